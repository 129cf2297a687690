//! Opening a root's database, for questions and for changes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use installdb::{Error, ErrorKind, InstallDb, Installed};
use nix::sys::signal::{Signal, kill};

use crate::interruption::copy;
use crate::scene::{Scene, name, pack, path, request};

fn file(root: &Path) -> PathBuf {
    root.join("var/lib/kista/install.db")
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A root with a database that nobody has open.
fn arranged() -> tempfile::TempDir {
    let root = scratch();
    drop(InstallDb::open(root.path()).unwrap());
    root
}

#[test]
fn a_root_without_a_database_has_no_answers() {
    let root = scratch();
    assert!(matches!(Installed::open(root.path()), Err(Error::NoDatabase { .. })));
    assert_eq!(Installed::open(root.path()).unwrap_err().kind(), ErrorKind::Unknown);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "a question leaves nothing behind");
}

#[test]
fn the_database_is_open_to_every_user() {
    let root = arranged();
    for name in ["install.db", "install.db-wal", "install.db-shm"] {
        let mode = fs::metadata(file(root.path()).with_file_name(name)).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o644, "{name}");
    }
    for folder in ["var", "var/lib", "var/lib/kista"] {
        assert_eq!(fs::metadata(root.path().join(folder)).unwrap().mode() & 0o7777, 0o755, "{folder}");
    }
}

#[test]
fn questions_go_on_while_another_changes_the_root() {
    let root = arranged();
    let writer = InstallDb::open(root.path()).unwrap();
    let reader = Installed::open(root.path()).unwrap();
    drop(writer);
    drop(reader);
    Installed::open(root.path()).unwrap();
}

#[test]
fn answers_are_those_from_before_while_rows_are_being_written() {
    let scene = Scene::new();
    scene.install(&[&pack("hello 1-1").file("bin/hello", 0o755, "hej").build()]);
    let writer = rusqlite::Connection::open(file(scene.root())).unwrap();
    writer
        .execute_batch("BEGIN EXCLUSIVE; DELETE FROM paths; DELETE FROM wanted; UPDATE packages SET name = 'x'")
        .unwrap();
    let reader = scene.installed();
    assert_eq!(scene.packages(), ["hello 1-1"]);
    assert_eq!(reader.owners(&path("bin/hello")).unwrap(), [name("hello")]);
    assert_eq!(reader.verify(&[]).unwrap(), []);
    assert_eq!(reader.what_provides("hello").unwrap(), [name("hello")]);
    assert_eq!(reader.search(&["hello"]).unwrap().len(), 1);
    assert_eq!(reader.history().unwrap().len(), 1);
    writer.execute_batch("ROLLBACK").unwrap();
}

/// No version so far writes such rows.
#[test]
fn what_a_later_version_left_to_do_keeps_changes_back() {
    let scene = Scene::new();
    scene.install(&[&pack("hello 1-1").file("bin/hello", 0o755, "hej").build()]);
    let later = rusqlite::Connection::open(file(scene.root())).unwrap();
    later.execute_batch("INSERT INTO target VALUES (1, 'a'), (1, 'b'), (2, 'c')").unwrap();
    let refused = scene.change(&[], &["hello"]).unwrap_err();
    assert!(matches!(refused, Error::Unfinished { batches: 2 }), "{refused}");
    assert_eq!((refused.kind(), scene.packages()), (ErrorKind::Busy, vec!["hello 1-1".to_owned()]));
}

#[test]
fn one_process_changes_a_root_at_a_time() {
    let root = arranged();
    let _first = InstallDb::open(root.path()).unwrap();
    let refused = InstallDb::open(root.path()).unwrap_err();
    assert!(matches!(refused, Error::Busy { holder: Some(pid) } if pid == std::process::id()), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Busy);
}

#[test]
fn files_that_are_no_database_are_left_alone() {
    let root = arranged();
    for name in ["install.db-wal", "install.db-shm"] {
        fs::remove_file(file(root.path()).with_file_name(name)).unwrap();
    }
    let text = "this is a diary\n".repeat(400);
    fs::write(file(root.path()), &text).unwrap();
    assert!(matches!(InstallDb::open(root.path()), Err(Error::Damaged { .. })));
    assert!(matches!(Installed::open(root.path()), Err(Error::Damaged { .. })));
    assert_eq!(fs::read_to_string(file(root.path())).unwrap(), text);
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let root = scratch();
    fs::create_dir_all(file(root.path()).parent().unwrap()).unwrap();
    let other = rusqlite::Connection::open(file(root.path())).unwrap();
    other.execute_batch("PRAGMA application_id = 77; CREATE TABLE bookmarks (url TEXT)").unwrap();
    drop(other);
    let before = fs::read(file(root.path())).unwrap();
    assert!(matches!(InstallDb::open(root.path()), Err(Error::Foreign { application_id: 77, .. })));
    assert!(matches!(Installed::open(root.path()), Err(Error::Foreign { application_id: 77, .. })));
    assert_eq!(fs::read(file(root.path())).unwrap(), before);
}

#[test]
fn a_later_version_is_refused() {
    let root = arranged();
    let conn = rusqlite::Connection::open(file(root.path())).unwrap();
    conn.pragma_update(None, "user_version", installdb::USER_VERSION + 1).unwrap();
    drop(conn);
    assert!(matches!(InstallDb::open(root.path()), Err(Error::Newer { .. })));
    assert!(matches!(Installed::open(root.path()), Err(Error::Newer { .. })));
}

/// Takes the tables of later versions away.
const AS_OF_1: &str = "DROP TABLE interferences; DROP INDEX packages_by_id; DROP TABLE displaced; DROP TABLE originals;
    DROP TABLE given_up; DROP TABLE reserve; DROP TABLE bases; PRAGMA user_version = 1";

#[test]
fn an_earlier_version_answers_questions_and_is_brought_up_to_date() {
    let scene = Scene::new();
    scene.install(&[&pack("old 1-1").file("old", 0o644, "old").build()]);
    let conn = rusqlite::Connection::open(file(scene.root())).unwrap();
    conn.execute_batch(AS_OF_1).unwrap();
    drop(conn);
    let version = || {
        let conn = rusqlite::Connection::open(file(scene.root())).unwrap();
        conn.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0)).unwrap()
    };
    let installed = scene.installed();
    assert_eq!((installed.list(&[]).unwrap().len(), installed.history().unwrap().len()), (1, 1));
    assert_eq!(installed.interferences(1).unwrap(), []);
    assert_eq!(installed.moved_aside(&[]).unwrap(), []);
    drop(installed);
    assert_eq!(version(), 1, "a question changes nothing");
    scene.install(&[&pack("new 1-1").file("new", 0o644, "new").build()]);
    assert_eq!(version(), installdb::USER_VERSION);
    scene.assert_verified();
}

#[test]
fn a_root_too_deep_for_sqlite_is_called_that_and_the_deepest_one_works() {
    let scratch = scratch();
    let of_length = |length: usize| {
        let mut root = scratch.path().canonicalize().unwrap();
        while root.as_os_str().len() + 200 < length {
            root.push("d".repeat(100));
        }
        root.push("e".repeat(length - root.as_os_str().len() - 1));
        fs::create_dir_all(&root).unwrap();
        root
    };
    let inside = "/var/lib/kista/install.db".len();
    let (fits, too_long) = (of_length(500 - inside), of_length(501 - inside));
    let file = pack("p 1-1").file("a", 0o644, "a").build();
    crate::scene::run(&mut InstallDb::open(&fits).unwrap(), request(&[&file], &[])).unwrap();
    assert_eq!(Installed::open(&fits).unwrap().list(&[]).unwrap().len(), 1);
    for refused in [InstallDb::open(&too_long).map(drop), Installed::open(&too_long).map(drop)] {
        assert!(matches!(refused, Err(Error::PathTooLong { limit: 500, .. })), "{refused:?}");
    }
    assert_eq!(fs::read_dir(too_long).unwrap().count(), 0);
}

#[test]
fn a_truncated_database_is_damaged_not_empty() {
    let root = arranged();
    let whole = fs::read(file(root.path())).unwrap();
    assert!(whole.len() > 8192, "the tables are in the file itself, not only in the log");
    for length in [100, 4096, whole.len() / 2 / 4096 * 4096, whole.len() - 1] {
        fs::write(file(root.path()), &whole[..length]).unwrap();
        let refused = InstallDb::open(root.path()).unwrap_err();
        assert!(matches!(refused, Error::Damaged { .. }), "{length} bytes: {refused}");
        let refused = Installed::open(root.path()).unwrap_err();
        assert!(matches!(refused, Error::Damaged { .. }), "{length} bytes: {refused}");
    }
}

#[test]
fn an_empty_database_is_damaged_not_new() {
    let root = arranged();
    for beside in [true, false] {
        if !beside {
            for name in ["install.db-wal", "install.db-shm"] {
                fs::remove_file(file(root.path()).with_file_name(name)).unwrap();
            }
        }
        fs::write(file(root.path()), "").unwrap();
        assert!(matches!(InstallDb::open(root.path()), Err(Error::Damaged { .. })));
        assert!(matches!(Installed::open(root.path()), Err(Error::Damaged { .. })));
        assert_eq!(fs::metadata(file(root.path())).unwrap().len(), 0);
    }
}

#[test]
fn a_database_without_tables_is_damaged_not_new() {
    let root = scratch();
    fs::create_dir_all(file(root.path()).parent().unwrap()).unwrap();
    let blank = rusqlite::Connection::open(file(root.path())).unwrap();
    blank.execute_batch("CREATE TABLE gone (x); DROP TABLE gone; VACUUM").unwrap();
    drop(blank);
    assert!(matches!(InstallDb::open(root.path()), Err(Error::Damaged { .. })));
    assert!(matches!(Installed::open(root.path()), Err(Error::Damaged { .. })));
}

#[test]
fn a_log_without_its_database_is_kept() {
    let root = arranged();
    fs::remove_file(file(root.path())).unwrap();
    let log = file(root.path()).with_file_name("install.db-wal");
    fs::write(&log, "decisions").unwrap();
    assert!(matches!(InstallDb::open(root.path()), Err(Error::Damaged { .. })));
    assert!(matches!(Installed::open(root.path()), Err(Error::Damaged { .. })));
    assert_eq!(fs::read_to_string(&log).unwrap(), "decisions");
}

#[test]
fn what_is_left_of_making_a_database_is_in_nobodys_way() {
    let root = scratch();
    fs::create_dir_all(file(root.path()).parent().unwrap()).unwrap();
    let unfinished = file(root.path()).with_file_name("install.db.new");
    fs::write(&unfinished, "SQLite format 3").unwrap();
    assert!(matches!(Installed::open(root.path()), Err(Error::NoDatabase { .. })));
    drop(InstallDb::open(root.path()).unwrap());
    Installed::open(root.path()).unwrap();
    assert!(!unfinished.exists());
}

#[test]
fn a_link_in_place_of_a_folder_is_not_followed_out_of_the_root() {
    let (root, elsewhere) = (scratch(), scratch());
    symlink(elsewhere.path(), root.path().join("var")).unwrap();
    assert!(matches!(InstallDb::open(root.path()), Err(Error::Misplaced { .. })));
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_link_in_place_of_the_database_is_not_followed() {
    let (root, elsewhere) = (arranged(), arranged());
    fs::remove_file(file(root.path())).unwrap();
    symlink(file(elsewhere.path()), file(root.path())).unwrap();
    assert!(InstallDb::open(root.path()).is_err());
    assert!(Installed::open(root.path()).is_err());
}

/// Asks in a thread that may write neither the files nor their folder, as another user may not, or nobody on a
/// read-only medium.
fn without_the_right_to_write<T: Send>(root: &Path, ask: impl FnOnce() -> T + Send) -> T {
    let everything = || {
        let mut names: Vec<_> =
            fs::read_dir(file(root).parent().unwrap()).unwrap().map(|e| e.unwrap().path()).collect();
        names.push(file(root).parent().unwrap().to_owned());
        names
    };
    let set = |write: bool| {
        for path in everything() {
            let mode = fs::metadata(&path).unwrap().mode() & 0o555 | if write { 0o200 } else { 0 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    set(false);
    let answer = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                // The rights of root are this thread's own, and given up by it alone.
                rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65534)).unwrap();
            }
            assert!(fs::File::create(file(root).with_file_name("probe")).is_err());
            ask()
        });
        asking.join().unwrap()
    });
    set(true);
    answer
}

#[test]
fn questions_need_no_right_to_write() {
    let root = arranged();
    without_the_right_to_write(root.path(), || Installed::open(root.path()).map(drop)).unwrap();
    let writer = InstallDb::open(root.path()).unwrap();
    without_the_right_to_write(root.path(), || Installed::open(root.path()).map(drop)).unwrap();
    drop(writer);
    for name in ["install.db-wal", "install.db-shm"] {
        fs::remove_file(file(root.path()).with_file_name(name)).unwrap();
    }
    without_the_right_to_write(root.path(), || Installed::open(root.path()).map(drop)).unwrap();
    fs::remove_file(file(root.path()).with_file_name("lock")).unwrap();
    without_the_right_to_write(root.path(), || Installed::open(root.path()).map(drop)).unwrap();
}

/// Something else in the place of each of our files: it is told, nobody waits for it, and it stays.
#[test]
fn what_is_no_file_in_the_place_of_one_of_ours_is_told() {
    for name in ["install.db", "install.db-wal", "install.db-shm", "install.db-journal", "lock", "kept"] {
        for kind in ["fifo", "folder", "link", "device"] {
            let (scene, outside) = (Scene::new(), scratch());
            scene.install(&[&pack("hello 1-1").file("bin/hello", 0o755, "hej").build()]);
            let place = file(scene.root()).with_file_name(name);
            let _ = fs::remove_file(&place);
            let is_made = match kind {
                "fifo" => {
                    use rustix::fs::{CWD, FileType, Mode, mknodat};
                    mknodat(CWD, &place, FileType::Fifo, Mode::RWXU, 0).is_ok()
                }
                "folder" => fs::create_dir(&place).and_then(|()| fs::write(place.join("own"), "x")).is_ok(),
                "link" => symlink(outside.path().join("nothing"), &place).is_ok(),
                // Only root makes one.
                _ => Command::new("mknod")
                    .arg(&place)
                    .args(["c", "1", "3"])
                    .stderr(Stdio::null())
                    .status()
                    .unwrap()
                    .success(),
            };
            let context = format!("{name} is a {kind}");
            if !is_made || (name, kind) == ("kept", "folder") {
                continue;
            }
            let before = fs::symlink_metadata(&place).unwrap();
            let upgraded = scene.change(&[&pack("hello 2-1").file("bin/hello", 0o755, "hello").build()], &[]);
            let asked = Installed::open(scene.root()).and_then(|db| db.list(&[]).map(|listed| listed.len()));
            // The rollback journal and what is kept are nothing that a question needs.
            assert!(
                matches!(&asked, Ok(1) | Err(Error::Damaged { .. } | Error::Sqlite { .. })),
                "{context}: {asked:?}"
            );
            match upgraded {
                Ok(_) => assert_eq!(scene.read("bin/hello"), "hello", "{context}"),
                Err(error) => {
                    assert_eq!(scene.read("bin/hello"), "hej", "{context}: {error}");
                    assert!(error.to_string().contains("var/lib/kista"), "{context}: {error}");
                }
            }
            let after = fs::symlink_metadata(&place).unwrap();
            assert_eq!((before.ino(), before.file_type()), (after.ino(), after.file_type()), "{context}");
            assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "{context}");
        }
    }
}

#[test]
fn a_log_whose_shared_memory_is_lost_or_spoilt_is_read_all_the_same() {
    let scene = Scene::new();
    scene.install(&[&pack("one 1-1").file("a", 0o644, "a").build()]);
    // Somebody who reads keeps the last change in the log.
    let reader = scene.installed();
    reader.list(&[]).unwrap();
    let kept = rusqlite::Connection::open(file(scene.root())).unwrap();
    kept.execute_batch("BEGIN; SELECT * FROM packages").unwrap();
    scene.install(&[&pack("two 1-1").file("b", 0o644, "b").build()]);
    let log = file(scene.root()).with_file_name("install.db-wal");
    assert!(fs::metadata(&log).unwrap().len() > 0);
    for memory in [None, Some(vec![0x5a; 32 << 10]), Some(vec![0; 100])] {
        let root = copy(scene.root());
        let place = file(root.path()).with_file_name("install.db-shm");
        match &memory {
            None => fs::remove_file(&place).unwrap(),
            Some(content) => fs::write(&place, content).unwrap(),
        }
        // Without the right to make it anew there is an answer that is right, or none.
        let asked = without_the_right_to_write(root.path(), || {
            Installed::open(root.path()).and_then(|db| db.list(&[]).map(|listed| listed.len()))
        });
        assert!(matches!(asked, Ok(2) | Err(Error::Sqlite { .. })), "{asked:?}");
        assert_eq!(Installed::open(root.path()).unwrap().list(&[]).unwrap().len(), 2);
        drop(InstallDb::open(root.path()).unwrap());
        assert_eq!(Installed::open(root.path()).unwrap().verify(&[]).unwrap(), []);
    }
}

/// As after a power cut on a disk that lost the end of what it was told to keep.
#[test]
fn a_log_that_is_cut_off_makes_the_change_undone_or_done() {
    let scene = Scene::new();
    let version = |text: &str| {
        let large = text.repeat(30_000);
        pack(&format!("p {text}-1")).file("usr/p", 0o644, text).file(&format!("usr/{text}"), 0o644, large).build()
    };
    scene.install(&[&version("1")]);
    let before = scene.tree();
    let (two, mut db) = (version("2"), scene.open());
    let packages = [&two];
    let staged = db.plan(request(&packages, &[])).unwrap().check().unwrap().stage(&mut ()).unwrap();
    let log = file(scene.root()).with_file_name("install.db-wal");
    let begun = fs::metadata(&log).unwrap().len();
    drop(staged.commit().unwrap());
    drop(db);
    let whole = fs::metadata(&log).unwrap().len();
    let mut ends = [0, 0];
    for length in (begun..=whole).step_by(700).chain([whole - 1, whole]) {
        let root = copy(scene.root());
        let log = file(root.path()).with_file_name("install.db-wal");
        fs::OpenOptions::new().write(true).open(log).unwrap().set_len(length).unwrap();
        drop(InstallDb::open(root.path()).unwrap());
        let installed = Installed::open(root.path()).unwrap();
        let is_new = installed.list(&[]).unwrap()[0].version.to_string() == "2";
        ends[usize::from(is_new)] += 1;
        assert_eq!(installed.verify(&[]).unwrap(), [], "{length} of {whole}");
        assert!(is_new || crate::scene::snapshot(root.path()) == before, "{length} of {whole}");
        crate::undo::assert_no_litter(root.path());
    }
    assert!(ends[0] > 3 && ends[1] > 0, "{ends:?}");
}

/// Run by the test below.
#[test]
#[ignore = "runs inside the test below"]
fn holds_the_lock() {
    let Some(root) = std::env::var_os("HELD_ROOT") else { return };
    let _db = InstallDb::open(PathBuf::from(root)).unwrap();
    println!("\nheld");
    std::io::stdin().lines().next();
}

#[test]
fn a_writer_that_was_stopped_is_named_and_blocks_no_question() {
    let scene = Scene::new();
    scene.install(&[&pack("hello 1-1").file("bin/hello", 0o755, "hej").build()]);
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "database::holds_the_lock", "--ignored", "--nocapture"])
        .env("HELD_ROOT", scene.root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(writer.stdout.take().unwrap()).lines();
    assert!(told.any(|line| line.unwrap() == "held"));
    let process = nix::unistd::Pid::from_raw(i32::try_from(writer.id()).unwrap());
    kill(process, Signal::SIGSTOP).unwrap();
    let refused = InstallDb::open(scene.root()).unwrap_err();
    assert!(matches!(refused, Error::Busy { holder: Some(pid) } if pid == writer.id()), "{refused}");
    assert_eq!(scene.packages(), ["hello 1-1"]);
    scene.assert_verified();
    kill(process, Signal::SIGKILL).unwrap();
    writer.wait().unwrap();
    scene.install(&[&pack("two 1-1").file("b", 0o644, "b").build()]);
}
