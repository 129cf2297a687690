//! Disks without space: found beforehand, with what is needed and what is there, and survived where it was not.

use std::fs;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use installdb::{Error, Finding, InstallDb, Installed, Notice, Request};

use crate::medium::{medium, with_ext4, with_medium};
use crate::scene::{NOW, Packed, pack, path, request, run, snapshot};

/// Content of which no part is like another, and none is zeros.
fn content(length: u32) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8 + 1).collect()
}

fn mount(folder: &Path, options: &str) {
    fs::create_dir_all(folder).unwrap();
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", options, "none"]).arg(folder);
    assert!(command.status().unwrap().success());
}

fn install(root: &Path, packages: &[&Packed]) -> installdb::Result<installdb::Done> {
    run(&mut InstallDb::open(root)?, request(packages, &[]))
}

/// What is found against an installation that leaves everything as it is.
#[track_caller]
fn refused(root: &Path, package: &Packed) -> Vec<Finding> {
    let before = snapshot(root);
    let refused = install(root, &[package]).unwrap_err();
    assert_eq!(snapshot(root), before);
    let Error::Refused(findings) = refused else { panic!("{refused}") };
    findings
}

#[test]
fn too_little_space_is_found_beforehand_on_each_file_system() {
    with_medium("full_disk::too_little_space", "size=8m");
}

#[test]
#[ignore = "runs inside the test above"]
fn too_little_space() {
    let Some(root) = medium() else { return };
    drop(InstallDb::open(&root).unwrap());
    mount(&root.join("usr"), "size=1m,mode=755");
    let large = |at: &str| pack("large 1-1").file(at, 0o644, content(9 << 20)).build();
    for (package, folder) in [(large("opt/b"), None), (large("usr/b"), Some(path("usr")))] {
        let found = refused(&root, &package);
        let [Finding::NoSpace { path, needed, free }] = &found[..] else { panic!("{found:?}") };
        assert_eq!(*path, folder);
        assert!(*needed >= 9 << 20 && *free <= if folder.is_some() { 1 << 20 } else { 8 << 20 }, "{found:?}");
        let text = found[0].to_string();
        assert!(text.contains(&needed.to_string()) && text.contains(&free.to_string()), "{text}");
    }
    let both = pack("large 1-1").file("opt/b", 0o644, content(9 << 20)).file("usr/b", 0o644, content(2 << 20)).build();
    assert_eq!(refused(&root, &both).len(), 2, "each file system is told of");
    // What fits on the one does not have to fit on the other.
    let fits = pack("fits 1-1").file("opt/b", 0o644, content(3 << 20)).file("usr/b", 0o644, content(1 << 19)).build();
    install(&root, &[&fits]).unwrap();
    assert_eq!(Installed::open(&root).unwrap().verify(&[]).unwrap(), []);
}

#[test]
fn a_full_disk_answers_questions() {
    with_medium("full_disk::questions", "size=2m");
}

#[test]
#[ignore = "runs inside the test above"]
fn questions() {
    let Some(root) = medium() else { return };
    install(&root, &[&pack("p 1-1").file("a", 0o644, "a").build()]).unwrap();
    let at = |name: &str| root.join("var/lib/kista").join(name);
    // How scripts ended stays in the log when the transaction is over.
    let conn = Connection::open(at("install.db")).unwrap();
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    conn.execute("UPDATE transactions SET reason = 'as in the log'", []).unwrap();
    drop(conn);
    assert!(fs::metadata(at("install.db-wal")).unwrap().len() > 0);
    // As one leaves it who could not make it anew; in memory, it would get its own pages back.
    fs::write(at("install.db-shm"), "123").unwrap();
    let mut fill = fs::File::create(root.join("fill")).unwrap();
    while fill.write_all(&[0; 4096]).is_ok() {}
    for _ in 0..2 {
        let installed = Installed::open(&root).unwrap();
        assert_eq!(installed.list(&["p"]).unwrap().len(), 1);
        assert_eq!(installed.history().unwrap()[0].reason.as_deref(), Some("as in the log"));
    }
    drop(fill);
    fs::remove_file(root.join("fill")).unwrap();
    install(&root, &[&pack("q 1-1").file("b", 0o644, "b").build()]).unwrap();
    assert_eq!(Installed::open(&root).unwrap().list(&[]).unwrap().len(), 2);
}

#[test]
fn an_upgrade_needs_space_for_the_old_and_the_new() {
    with_medium("full_disk::old_and_new", "size=8m");
}

#[test]
#[ignore = "runs inside the test above"]
fn old_and_new() {
    let Some(root) = medium() else { return };
    let of = |version: &str| {
        pack(&format!("p {version}")).file("b", 0o644, [content(4 << 20), version.into()].concat()).build()
    };
    install(&root, &[&of("1-1")]).unwrap();
    assert!(matches!(refused(&root, &of("2-1"))[..], [Finding::NoSpace { .. }]));
}

#[test]
fn too_few_inodes_are_found_beforehand() {
    with_medium("full_disk::too_few_inodes", "size=8m,nr_inodes=60");
}

#[test]
#[ignore = "runs inside the test above"]
fn too_few_inodes() {
    let Some(root) = medium() else { return };
    drop(InstallDb::open(&root).unwrap());
    let many = (0..100).fold(pack("many 1-1"), |many, n| many.file(&format!("many/{n}"), 0o644, "x"));
    let found = refused(&root, &many.build());
    let [Finding::NoInodes { needed, free, .. }] = &found[..] else { panic!("{found:?}") };
    assert!(*needed >= 101 && *free < 60, "{found:?}");
}

/// Half of a package, which takes the rest of the disk before it goes on.
struct Greedy<'a> {
    filler: PathBuf,
    /// Whether the process dies then.
    dies: bool,
    halves: [&'a [u8]; 2],
}

impl Read for Greedy<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let [first, second] = &mut self.halves;
        if !first.is_empty() {
            return first.read(buffer);
        }
        if !self.filler.exists() {
            let _ = fs::write(&self.filler, vec![1; 16 << 20]);
            if self.dies {
                std::process::abort();
            }
        }
        second.read(buffer)
    }
}

fn small() -> Packed {
    pack("small 1-1").file("usr/a", 0o644, "a").build()
}

fn fits() -> Packed {
    pack("fits 1-1").file("usr/b", 0o644, "first").file("usr/c", 0o644, content(3 << 20)).build()
}

fn stage(root: &Path, dies: bool) -> Error {
    let fits = fits();
    let (first, second) = fits.bytes.split_at(fits.bytes.len() / 2);
    let greedy = Greedy { filler: root.join("filler"), dies, halves: [first, second] };
    let request = Request { install: vec![fits.incoming_from(greedy)], ..request(&[], &[]) };
    let mut db = InstallDb::open(root).unwrap();
    db.plan(request).unwrap().check().unwrap().stage(&mut ()).unwrap_err()
}

#[test]
fn a_disk_that_fills_up_while_files_are_staged_is_left_as_it_was() {
    with_medium("full_disk::fills_up", "size=8m");
}

#[test]
#[ignore = "runs inside the test above"]
fn fills_up() {
    let Some(root) = medium() else { return };
    install(&root, &[&small()]).unwrap();
    let before = snapshot(&root);
    let failed = stage(&root, false);
    assert!(matches!(&failed, Error::Disk(error) if error.kind == pkgfs::ErrorKind::NoSpace), "{failed}");
    let full = snapshot(&root);
    assert_eq!(full.keys().filter(|path| !before.contains_key(*path)).collect::<Vec<_>>(), [Path::new("filler")]);
    assert_eq!(InstallDb::open(&root).unwrap().recovery(), None, "it was taken back though the disk was full");
    fs::remove_file(root.join("filler")).unwrap();
    assert_eq!(snapshot(&root), before);
    install(&root, &[&fits()]).unwrap();
    assert_eq!(Installed::open(&root).unwrap().verify(&[]).unwrap(), []);
}

#[test]
fn a_full_disk_does_not_keep_recovery_from_making_room() {
    with_medium("full_disk::dies_when_full", "size=8m");
}

#[test]
#[ignore = "runs inside the test above"]
fn dies_when_full() {
    let Some(root) = medium() else { return };
    if std::env::var_os("DIES").is_some() {
        stage(&root, true);
        return;
    }
    install(&root, &[&small()]).unwrap();
    let before = snapshot(&root);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "full_disk::dies_when_full", "--ignored"]).env("DIES", "yes");
    assert!(!command.output().unwrap().status.success());
    assert_ne!(snapshot(&root), before);
    // Nothing but what was staged is taken away, and the disk is as full as it can be until then.
    let _ = fs::OpenOptions::new()
        .append(true)
        .open(root.join("filler"))
        .map(|mut file| io::copy(&mut io::repeat(1).take(16 << 20), &mut file));
    assert!(InstallDb::open(&root).unwrap().recovery().is_some());
    fs::remove_file(root.join("filler")).unwrap();
    assert_eq!(snapshot(&root), before);
    install(&root, &[&fits()]).unwrap();
}

/// Nothing is made where not even the database has room.
#[test]
fn a_disk_without_room_for_a_database_stays_as_it_is() {
    with_medium("full_disk::no_room_for_a_database", "size=100k");
    with_medium("full_disk::no_room_for_a_database", "size=8m,nr_inodes=4");
}

#[test]
#[ignore = "runs inside the test above"]
fn no_room_for_a_database() {
    let Some(root) = medium() else { return };
    let Error::Refused(findings) = install(&root, &[&small()]).unwrap_err() else { panic!("it is refused") };
    let (needed, free) = match &findings[..] {
        [Finding::NoSpace { needed, free, .. } | Finding::NoInodes { needed, free, .. }] => (*needed, *free),
        other => panic!("{other:?}"),
    };
    assert!(needed > free, "{findings:?}");
    let text = findings[0].to_string();
    assert!(text.contains(&needed.to_string()) && text.contains(&free.to_string()), "{text}");
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
}

/// Whatever room is left: the first installation is refused before anything is there, or done.
#[test]
fn what_is_not_refused_on_an_almost_full_disk_is_done() {
    with_medium("full_disk::almost_full", "size=8m");
    with_ext4("full_disk::almost_full", 16, "-m0 -O ^has_journal");
    with_ext4("full_disk::almost_full", 24, "-m5 -b1024 -Jsize=4");
}

#[test]
#[ignore = "runs inside the test above"]
fn almost_full() {
    let Some(medium) = medium() else { return };
    let many = (0..40).fold(pack("many 1-1"), |many, n| many.file(&format!("usr/{}/{n}", n % 7), 0o644, content(9000)));
    let many = many.file("usr/large", 0o644, content(1 << 20)).config("etc/many.conf", "many").build();
    let root = medium.join("root");
    let mut ends = [0, 0];
    for left in (0..=3 << 20).step_by(96 << 10) {
        fs::create_dir(&root).unwrap();
        fill_up(&medium, left);
        match install(&root, &[&many]) {
            Ok(_) => {
                assert_eq!(Installed::open(&root).unwrap().verify(&[]).unwrap(), [], "{left} bytes left");
                ends[1] += 1;
            }
            Err(Error::Refused(findings)) => {
                assert!(findings.iter().all(|found| matches!(found, Finding::NoSpace { .. })), "{left}: {findings:?}");
                let ours = |path: &&PathBuf| Path::new("var/lib/kista").starts_with(path);
                assert_eq!(snapshot(&root).keys().find(|path| !ours(path)), None, "{left} bytes left");
                ends[0] += 1;
            }
            Err(error) => panic!("{left} bytes left: {error}"),
        }
        fs::remove_dir_all(&root).unwrap();
        fs::remove_file(medium.join("filler")).unwrap();
    }
    assert!(ends[0] > 2 && ends[1] > 2, "refused {} times, done {} times", ends[0], ends[1]);
}

/// Fills the disk so that about this many bytes are left to ordinary users.
fn fill_up(medium: &Path, left: u64) {
    let filler = fs::File::create(medium.join("filler")).unwrap();
    let stat = rustix::fs::statvfs(medium).unwrap();
    let size = (stat.f_bavail * stat.f_frsize).saturating_sub(left);
    rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), 0, size.max(1)).unwrap();
}

#[test]
fn a_full_disk_answers_questions_and_refuses_changes() {
    with_medium("full_disk::answers_questions", "size=8m");
}

#[test]
#[ignore = "runs inside the test above"]
fn answers_questions() {
    let Some(root) = medium() else { return };
    install(&root, &[&small()]).unwrap();
    let _ = fs::write(root.join("filler"), vec![1; 16 << 20]);
    assert_eq!(rustix::fs::statvfs(&root).unwrap().f_bavail, 0);
    let installed = Installed::open(&root).unwrap();
    assert_eq!((installed.list(&[]).unwrap().len(), installed.verify(&[]).unwrap()), (1, vec![]));
    assert!(matches!(refused(&root, &fits())[..], [Finding::NoSpace { free: 0, .. }]));
    // Also when the files beside the database are to be made anew.
    for name in ["install.db-wal", "install.db-shm"] {
        fs::remove_file(root.join("var/lib/kista").join(name)).unwrap();
    }
    assert_eq!(Installed::open(&root).unwrap().list(&[]).unwrap().len(), 1);
    fs::remove_file(root.join("filler")).unwrap();
    install(&root, &[&fits()]).unwrap();
}

/// What a file system keeps for root is there for what makes room.
#[test]
fn root_removes_where_others_have_no_room_left() {
    with_ext4("full_disk::reserved", 24, "-m10 -Jsize=4");
}

#[test]
#[ignore = "runs inside the test above"]
fn reserved() {
    let Some(root) = medium() else { return };
    install(&root, &[&small(), &fits()]).unwrap();
    fill_up(&root, 0);
    assert!(matches!(
        refused(&root, &pack("more 1-1").file("m", 0o644, content(1 << 20)).build())[..],
        [Finding::NoSpace { .. }]
    ));
    run(&mut InstallDb::open(&root).unwrap(), request(&[], &["fits"])).unwrap();
    let mut forgetting = request(&[], &[]);
    forgetting.forget = true;
    run(&mut InstallDb::open(&root).unwrap(), forgetting).unwrap();
    assert!(rustix::fs::statvfs(&root).unwrap().f_bavail > 500, "what it had is free");
    install(&root, &[&pack("more 1-1").file("m", 0o644, "m").build()]).unwrap();
}

/// Takes all that is left, also what is kept for root.
fn fill_to_the_end(root: &Path) {
    for size in [1 << 16, 4096, 512, 1] {
        let mut filler = fs::OpenOptions::new().create(true).append(true).open(root.join("filler")).unwrap();
        while filler.write_all(&vec![1; size]).is_ok() {}
        // Where writes are put off, what was taken is not.
        let _ = filler.sync_all();
    }
}

/// sqlite reaches its shared memory without asking the file system, which ends who writes where it has no block.
#[test]
fn whatever_room_is_left_nobody_is_ended_for_want_of_a_block() {
    with_ext4("full_disk::few_blocks", 24, "-m5 -b1024 -Jsize=4");
}

#[test]
#[ignore = "runs inside the test above"]
fn few_blocks() {
    let Some(root) = medium() else { return };
    for _ in 0..20 {
        install(&root, &[&small()]).unwrap();
        let mut filler = fs::File::create(root.join("filler")).unwrap();
        while filler.write_all(&[1; 1024]).is_ok() {}
        assert_eq!(Installed::open(&root).unwrap().list(&[]).unwrap().len(), 1);
        run(&mut InstallDb::open(&root).unwrap(), request(&[], &["small"])).unwrap();
        assert_eq!(Installed::open(&root).unwrap().list(&[]).unwrap().len(), 0);
        fs::remove_file(root.join("filler")).unwrap();
    }
}

/// Packages go from a disk that takes nothing any more, whoever asks; and what was kept of them does.
#[test]
fn a_disk_that_is_full_for_everybody_lets_packages_go() {
    with_medium("full_disk::full_for_everybody", "size=24m");
    with_ext4("full_disk::full_for_everybody", 32, "-m0 -O ^has_journal");
    with_ext4("full_disk::full_for_everybody", 32, "-m5 -b1024 -Jsize=4");
}

#[test]
#[ignore = "runs inside the test above"]
fn full_for_everybody() {
    let Some(root) = medium() else { return };
    let many = (0..4000).fold(pack("many 1-1"), |many, n| many.file(&format!("usr/many/{}/{n}", n % 7), 0o644, "x"));
    install(&root, &[&small(), &fits(), &many.build()]).unwrap();
    install(&root, &[&pack("fits 2-1").file("usr/b", 0o644, "second").build()]).unwrap();
    fill_to_the_end(&root);
    let mut db = InstallDb::open(&root).unwrap();
    let kept = db.kept().unwrap().1;
    assert!(kept > 3 << 20, "{kept}");
    let checked = db.plan(request(&[], &["many"])).unwrap().check().unwrap();
    assert_eq!(checked.notices(), [Notice::PastLeftOut]);
    checked.stage(&mut ()).unwrap().commit().unwrap().finish(NOW).unwrap();
    drop(db);
    fill_to_the_end(&root);
    let mut forgetting = request(&[], &[]);
    forgetting.forget = true;
    run(&mut InstallDb::open(&root).unwrap(), forgetting).unwrap();
    let free = rustix::fs::statvfs(&root).unwrap();
    assert!(free.f_bfree * free.f_frsize > 3 << 19, "{} of {}", free.f_bfree, free.f_frsize);
    fill_to_the_end(&root);
    run(&mut InstallDb::open(&root).unwrap(), request(&[], &["fits"])).unwrap();
    let installed = Installed::open(&root).unwrap();
    assert_eq!((installed.list(&[]).unwrap().len(), installed.verify(&[]).unwrap()), (1, vec![]));
    assert!(!root.join("usr/many").exists() && !root.join("usr/b").exists());
    crate::undo::assert_no_litter(&root);
}
