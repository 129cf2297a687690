//! Opening a root's database, for questions and for changes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use installdb::{Error, ErrorKind, InstallDb, Installed};

use crate::scene::{Scene, name, pack, path};

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
fn a_link_in_place_of_the_folder_is_not_followed() {
    let (root, elsewhere) = (scratch(), scratch());
    symlink(elsewhere.path(), root.path().join("var")).unwrap();
    assert!(matches!(InstallDb::open(root.path()), Err(Error::Disk(_))));
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
