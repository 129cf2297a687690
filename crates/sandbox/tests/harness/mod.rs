//! A root to run things in, made of the host's `/usr`, and a way to run this test program inside it.
#![expect(dead_code, reason = "every test program uses a part of it")]
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests arrange trees of their own")]

use std::path::{Path, PathBuf};

use sandbox::{Access, Mount, Outcome, Owner, Room, Root};
use tempfile::TempDir;

/// Longer than anything takes here that does not hang, on an emulated machine that has much else to do, too.
pub(crate) const LONG: std::time::Duration = std::time::Duration::from_secs(1200);

/// A directory that is the lowest layer: the links of a merged `/usr`, and `/etc`.
pub(crate) struct Base(TempDir);

impl Base {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        for name in ["usr", "etc", "opt"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            let there = Path::new("/usr").join(name);
            if there.exists() {
                std::os::unix::fs::symlink(Path::new("usr").join(name), dir.path().join(name)).unwrap();
            }
        }
        std::fs::write(dir.path().join("etc/passwd"), "build:x:1000:1000::/:/bin/sh\n").unwrap();
        rustix::fs::chmod(dir.path(), 0o755.into()).unwrap();
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A room on this base alone that runs a shell script.
    pub(crate) fn sh(&self, script: &str) -> Room {
        let mut room = Room::new(Root::layers([self.path()]), "/bin/sh");
        dress(&mut room, script);
        room
    }

    /// A room that runs `probe` of this test program with `args`.
    pub(crate) fn probe(&self, probe: &str) -> Room {
        let mut room = self.sh("");
        room.program = sandbox::Program::Path("/tested".into());
        room.args = vec!["--exact".into(), probe.into(), "--nocapture".into()];
        room.env("PROBE", probe);
        let source = std::env::current_exe().unwrap();
        room.mounts.push(Mount::Bind { source, target: "/tested".into(), access: Access::Ro, owner: Owner::Host });
        room
    }
}

/// Gives a room with any root the host's `/usr` and a script to run.
pub(crate) fn dress(room: &mut Room, script: &str) {
    room.args = vec!["-c".into(), script.into()];
    room.env("PATH", "/usr/bin:/bin");
    room.mounts.push(Mount::Bind {
        source: "/usr".into(),
        target: "/usr".into(),
        access: Access::Ro,
        owner: Owner::Host,
    });
}

/// Whether this is the process inside a room (or a helper process) that is to do what `probe` names.
pub(crate) fn is_probe(probe: &str) -> bool {
    std::env::var_os("PROBE").is_some_and(|name| name == probe)
}

/// Runs a room to its end.
pub(crate) fn run(room: &Room) -> (Outcome, String, String) {
    let (outcome, out, err) = room.output().unwrap();
    (outcome, String::from_utf8_lossy(&out).into_owned(), String::from_utf8_lossy(&err).into_owned())
}

/// Runs a room whose program must succeed, and returns what it printed.
pub(crate) fn stdout(room: &Room) -> String {
    let (outcome, out, err) = run(room);
    assert!(outcome.success(), "{outcome:?}\n{out}\n{err}");
    out
}

/// Lines that a probe printed with this mark.
pub(crate) fn marked<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    // The test harness' own output may stand before the mark on its line.
    text.lines().filter_map(|line| line.split_once(mark).map(|(_, rest)| rest.trim())).collect()
}

/// A file below a directory.
pub(crate) fn write(path: impl Into<PathBuf>, text: &str) {
    std::fs::write(path.into(), text).unwrap();
}

/// A new directory.
pub(crate) fn mkdir(path: impl Into<PathBuf>) -> PathBuf {
    let path = path.into();
    std::fs::create_dir(&path).unwrap();
    path
}

/// Whether the tests run as root.
pub(crate) fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs every test of this program again as an ordinary user, where it runs as root.
pub(crate) fn again_as_a_user() {
    const MARK: &str = "AS_A_USER";
    if !root() || std::env::var_os(MARK).is_some() || std::env::var_os("PROBE").is_some() {
        return;
    }
    // A copy, since an ordinary user may not be able to reach the build directory.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    let shared = tempfile::Builder::new().permissions(mode).tempdir_in("/tmp").unwrap();
    let copy = shared.path().join("tested");
    // By another process: a writer's descriptor that a fork of this one held would make the copy busy.
    assert!(
        std::process::Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&copy).status().unwrap().success()
    );
    rustix::fs::chmod(&copy, 0o755.into()).unwrap();
    let mut command = std::process::Command::new(&copy);
    command.env(MARK, "1").env_remove("TMPDIR").current_dir("/").stdin(std::process::Stdio::null());
    std::os::unix::process::CommandExt::gid(&mut command, 12345);
    std::os::unix::process::CommandExt::uid(&mut command, 12345);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
