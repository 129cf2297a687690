//! A disk that is full, and one that can only be read: a small file system of the test's own, where the kernel lets it
//! have one.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use installdb::{Error, Event, Finding, InstallDb, Installed, Progress};

use crate::scene::{pack, request, run, snapshot};

/// Runs one of the tests below with `MEDIUM` naming a fresh file system of 8 MiB.
fn with_medium(test: &str) {
    let scratch = tempfile::tempdir().unwrap();
    let unshared = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c"]);
        command.arg(format!("mount -t tmpfs -o size=8m,mode=755 none \"$MEDIUM\" && {program}"));
        command.arg("sh").arg(std::env::current_exe().unwrap());
        command.args(["--exact", &format!("medium::{test}"), "--ignored", "--nocapture"]);
        command.env("MEDIUM", scratch.path());
        command
    };
    let allowed = unshared("true").stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        return;
    }
    let output = unshared("exec \"$@\"").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn medium() -> Option<PathBuf> {
    std::env::var_os("MEDIUM").map(PathBuf::from)
}

#[test]
fn a_disk_that_fills_up_leaves_the_root_as_it_was() {
    with_medium("fills_up");
}

/// Takes the rest of the disk as soon as anything was staged.
struct Greedy(PathBuf);

impl Progress for Greedy {
    fn report(&mut self, _: Event<'_>) -> ControlFlow<()> {
        let _ = fs::write(self.0.join("filler"), vec![1; 16 << 20]);
        ControlFlow::Continue(())
    }
}

#[test]
#[ignore = "runs inside the test above"]
fn fills_up() {
    let Some(root) = medium() else { return };
    let small = pack("small 1-1").file("usr/a", 0o644, "a").build();
    run(&mut InstallDb::open(&root).unwrap(), request(&[&small], &[])).unwrap();
    let before = snapshot(&root);

    let content: Vec<u8> = (0..9_u32 << 20).map(|n| (n % 251) as u8).collect();
    let large = pack("large 1-1").file("usr/b", 0o644, content).build();
    let refused = run(&mut InstallDb::open(&root).unwrap(), request(&[&large], &[])).unwrap_err();
    assert!(
        matches!(&refused, Error::Refused(findings) if matches!(findings[0], Finding::NoSpace { .. })),
        "{refused}"
    );
    assert_eq!(snapshot(&root), before);

    let content: Vec<u8> = (0..3_u32 << 20).map(|n| (n % 251) as u8).collect();
    let fits = pack("fits 1-1").file("usr/b", 0o644, "first").file("usr/c", 0o644, content).build();
    let mut db = InstallDb::open(&root).unwrap();
    let checked = db.plan(request(&[&fits], &[])).unwrap().check().unwrap();
    let failed = checked.stage(&mut Greedy(root.clone())).unwrap_err();
    assert!(matches!(&failed, Error::Disk(error) if error.kind == pkgfs::ErrorKind::NoSpace), "{failed}");
    drop(db);
    fs::remove_file(root.join("filler")).unwrap();
    drop(InstallDb::open(&root).unwrap());
    assert_eq!(snapshot(&root), before);
    run(&mut InstallDb::open(&root).unwrap(), request(&[&fits], &[])).unwrap();
    assert_eq!(Installed::open(&root).unwrap().verify(&[]).unwrap(), []);
}

#[test]
fn a_disk_that_can_only_be_read_answers_questions() {
    with_medium("is_read_only");
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
