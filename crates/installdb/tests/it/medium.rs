//! A disk that can only be read, and a small file system of a test's own, where the kernel lets it have one.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use installdb::{Error, Finding, InstallDb, Installed, Notice};

use crate::scene::{Scene, pack, request, run};

/// Runs one of the ignored tests, by its full name, with `MEDIUM` naming a fresh file system in memory that is made with
/// these options.
pub(crate) fn with_medium(test: &str, options: &str) {
    with_mounted(test, "--map-root-user", &format!("mount -t tmpfs -o mode=755,{options} none \"$MEDIUM\""));
}

/// The same with a disk of this many MiB, and a file system that `mkfs.ext4` makes with these options; only root has one.
pub(crate) fn with_ext4(test: &str, size: u64, options: &str) {
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(size << 20).unwrap();
    let disk = image.path().display();
    let make = format!("mkfs.ext4 -q -F {options} {disk} && mount -o loop {disk} \"$MEDIUM\"");
    with_mounted(test, "--propagation=private", &make);
}

fn with_mounted(test: &str, how: &str, mount: &str) {
    let scratch = tempfile::tempdir().unwrap();
    let unshared = |program: &str| {
        let mut command = Command::new("unshare");
        command.args([how, "--mount", "sh", "-c"]);
        command.arg(format!("{mount} && {program}"));
        command.arg("sh").arg(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--ignored", "--nocapture"]);
        command.env("MEDIUM", scratch.path());
        command
    };
    let allowed = unshared("true").stderr(Stdio::null()).stdout(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        return;
    }
    let output = unshared("exec \"$@\"").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn medium() -> Option<PathBuf> {
    std::env::var_os("MEDIUM").map(PathBuf::from)
}

#[test]
fn a_disk_that_can_only_be_read_answers_questions() {
    with_medium("medium::is_read_only", "size=8m");
}

#[test]
#[ignore = "runs inside the test above"]
fn is_read_only() {
    let Some(root) = medium() else { return };
    let small = pack("small 1-1").file("usr/a", 0o644, "a").build();
    run(&mut InstallDb::open(&root).unwrap(), request(&[&small], &[])).unwrap();
    assert!(Command::new("mount").args(["-o", "remount,bind,ro"]).arg(&root).status().unwrap().success());
    let installed = Installed::open(&root).unwrap();
    assert_eq!(installed.list(&["sm*"]).unwrap().len(), 1);
    assert_eq!(installed.verify(&[]).unwrap(), []);
    let refused = InstallDb::open(&root).unwrap_err();
    assert!(
        matches!(&refused, Error::Refused(findings) if matches!(findings[0], Finding::ReadOnly { .. })),
        "{refused}"
    );
}

#[test]
fn what_goes_is_copied_to_a_database_on_another_disk() {
    with_medium("medium::database_elsewhere", "size=8m");
}

#[test]
#[ignore = "runs inside the test above"]
fn database_elsewhere() {
    let Some(medium) = medium() else { return };
    let scene = Scene::new();
    let ours = scene.at("var/lib/kista");
    fs::create_dir_all(&ours).unwrap();
    assert!(Command::new("mount").arg("--bind").args([&medium, &ours]).status().unwrap().success());
    let version = |text: &str, large: usize| {
        let full = format!("p {text}-1");
        pack(&full).file("usr/p", 0o4755, text).file("usr/large", 0o644, text.repeat(large)).build()
    };
    scene.install(&[&version("1", 1000)]);
    let before = scene.tree();
    assert_eq!(scene.install(&[&version("2", 9 << 20)]).notices, []);
    crate::undo::undo_last(scene.root());
    crate::undo::assert_no_litter(scene.root());
    assert_eq!(scene.tree(), before);
    // What would not fit there is not kept, and the change goes on.
    assert_eq!(scene.install(&[&version("3", 10)]).notices, []);
    scene.install(&[&version("2", 9 << 20)]);
    let done = scene.install(&[&version("4", 10)]);
    assert_eq!(done.notices, [Notice::NotKept { bytes: (9 << 20) + 1 }]);
    crate::undo::assert_no_litter(scene.root());
    assert!(Command::new("umount").arg(&ours).status().unwrap().success());
}
