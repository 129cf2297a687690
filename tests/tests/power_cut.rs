//! The power goes in the middle of a transaction: at every flush of the disk, and with any part of what was written since.
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]
#![expect(clippy::unwrap_used, reason = "what a scene is made of must be there")]

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use e2e::Env;
use e2e::disk::{Disk, Event, after_power_cut};

const DISK_SIZE: usize = 24 << 20;

/// Moments between flushes, each with another part of the last writes lost; more of them with `KISTA_POWER_CUTS`.
const RANDOM_CUTS: usize = 60;

/// Mounts end with the mount name space of the process that made them, so it has one of its own.
#[test]
fn a_power_cut_leaves_the_old_or_the_new() {
    if let Err(why) = can_mount_disks() {
        eprintln!("skipped: {why}");
        return;
    }
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "in_a_mount_name_space_of_its_own", "--nocapture"])
        .status()
        .unwrap();
    assert!(status.success(), "the power cuts ended with {status}");
}

fn can_mount_disks() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("mounting a disk needs root".to_owned());
    }
    for device in ["/dev/fuse", "/dev/loop-control"] {
        let kind = fs::metadata(device).map_err(|error| format!("{device}: {error}"))?.file_type();
        if !kind.is_char_device() {
            return Err(format!("{device} is no device"));
        }
    }
    for program in ["mkfs.ext4", "mount", "umount", "unshare"] {
        Command::new(program).arg("--version").output().map_err(|error| format!("{program}: {error}"))?;
    }
    Ok(())
}

#[test]
#[ignore = "started by a_power_cut_leaves_the_old_or_the_new"]
fn in_a_mount_name_space_of_its_own() {
    let mut scene = Scene::new();
    let past = scene.play();
    let flushes: Vec<usize> = past
        .events
        .iter()
        .enumerate()
        .filter(|(_, event)| **event == Event::Flush)
        .map(|(index, _)| index + 1)
        .collect();
    assert!(flushes.len() >= 4, "two durable transactions flush more often than {} times", flushes.len());

    let mut seen = [0; 3];
    for &moment in &flushes {
        seen[scene.cut(&past, moment, || true)] += 1;
    }
    let cuts: usize =
        std::env::var("KISTA_POWER_CUTS").map_or(RANDOM_CUTS, |number| number.parse().expect("a number of cuts"));
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..cuts {
        let moment = dice.below(past.events.len() + 1);
        let kept = dice.below(101);
        seen[scene.cut(&past, moment, || dice.below(100) < kept)] += 1;
    }
    println!(
        "{} writes, {} flushes; cut at each flush and {cuts} times between: {} times before, {} times after the first \
         transaction, {} times after the second",
        past.events.len() - flushes.len(),
        flushes.len(),
        seen[0],
        seen[1],
        seen[2]
    );
    assert!(seen.iter().all(|&times| times > 0), "each state was found after some cut: {seen:?}");
}

/// What happened to the disk while two transactions ran.
struct Past {
    base: Vec<u8>,
    events: Vec<Event>,
    /// The states before, between and after the transactions.
    states: [State; 3],
    /// How many events there were when each transaction said that it was done.
    done: [usize; 2],
}

/// What users see of a root.
#[derive(Debug, PartialEq, Eq)]
struct State {
    packages: Vec<(String, String)>,
    files: Vec<(String, u32, Vec<u8>)>,
}

struct Scene {
    disk: Disk,
    env: Env,
}

impl Scene {
    fn new() -> Self {
        let env = Env::new(env!("CARGO_BIN_EXE_pkg-e2e"));
        env.trusted_root();
        fs::create_dir(env.path("fuse")).unwrap();
        fs::create_dir(env.path("disk")).unwrap();
        let disk = Disk::new(&env.path("fuse"), DISK_SIZE).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m0", "-b4096", "-Jsize=4"]).arg(disk.file()));
        let scene = Self { disk, env };
        scene.mount();
        run(Command::new("cp").arg("-a").arg(scene.env.path("root")).arg(scene.env.path("disk")));
        scene.install(&[("tool", "1.0", "old"), ("gone", "1.0", "old")]);
        scene.unmount();
        scene
    }

    /// Upgrades one package and installs another in one transaction, and removes a third in the next.
    fn play(&mut self) -> Past {
        self.sign(&[("tool", "2.0", "new"), ("extra", "1.0", "new")]);
        let base = self.disk.content();
        self.disk.replace(base.clone());
        self.mount();
        let before = self.look();
        self.env.pkg(&["install", "--root", "disk/root", "-y", "tool.kpkg", "extra.kpkg"]).code(0);
        let installed = self.disk.moment();
        let between = self.look();
        self.env.pkg(&["remove", "--root", "disk/root", "-y", "gone"]).code(0);
        let removed = self.disk.moment();
        let after = self.look();
        self.unmount();
        Past { base, events: self.disk.events(), states: [before, between, after], done: [installed, removed] }
    }

    /// Cuts the power after `moment` events, starts again, and tells which of the states is found.
    fn cut(&mut self, past: &Past, moment: usize, keep: impl FnMut() -> bool) -> usize {
        self.disk.replace(after_power_cut(&past.base, &past.events[..moment], keep));
        self.mount();
        let recovered = self.env.command(&["recover", "--root", "disk/root"]).output().unwrap();
        assert!(
            matches!(recovered.status.code(), Some(0 | 8)),
            "recovery after {moment} events: {}\n{}",
            recovered.status,
            String::from_utf8_lossy(&recovered.stderr)
        );
        let found = self.look();
        self.env.pkg(&["verify", "--root", "disk/root"]).code(0);
        self.env.pkg(&["recover", "--root", "disk/root"]).code(0);
        assert_eq!(found, self.look(), "a second recovery changes something, after {moment} events");
        self.unmount();

        // What was said to be done is durable.
        let first = past.done.iter().filter(|&&done| done <= moment).count();
        let state = past.states.iter().position(|state| *state == found);
        match state {
            Some(state) if state >= first => state,
            Some(state) => panic!("after {moment} events {first} transactions were done, but only {state} survived"),
            None => panic!("after {moment} events the root is in no known state: {found:?}"),
        }
    }

    fn look(&self) -> State {
        let list = self.env.pkg(&["list", "--root", "disk/root", "--json"]).code(0).json();
        let text = |package: &serde_json::Value, name: &str| package[name].as_str().unwrap().to_owned();
        let packages = list["packages"].as_array().unwrap().iter();
        let packages = packages.map(|package| (text(package, "name"), text(package, "version"))).collect();
        let mut files = Vec::new();
        gather(&self.env.path("disk/root"), "", &mut files);
        files.sort();
        State { packages, files }
    }

    fn install(&self, packages: &[(&str, &str, &str)]) {
        self.sign(packages);
        let files: Vec<String> = packages.iter().map(|(name, ..)| format!("{name}.kpkg")).collect();
        let mut words = vec!["install", "--root", "disk/root", "-y"];
        words.extend(files.iter().map(String::as_str));
        self.env.pkg(&words).code(0);
    }

    fn sign(&self, packages: &[(&str, &str, &str)]) {
        for (name, version, content) in packages {
            let big = content.repeat(20_000);
            let files: Vec<(String, &str)> = vec![
                (format!("bin/{name}"), content),
                (format!("lib/{name}/{version}/data"), &big),
                (format!("lib/{name}/data"), &big),
                (format!("share/{name}/{content}"), content),
                (format!("etc/{name}.conf"), "setting=1\n"),
            ];
            let files: Vec<(&str, &str)> = files.iter().map(|(path, content)| (path.as_str(), *content)).collect();
            self.env.pack_version(name, version, &files);
            self.env.pkg(&["trust", "sign", &format!("{name}.kpkg"), "--key", "key"]).code(0);
        }
    }

    fn mount(&self) {
        let options = ["-t", "ext4", "-o", "loop,noatime"];
        run(Command::new("mount").args(options).arg(self.disk.file()).arg(self.env.path("disk")));
    }

    fn unmount(&self) {
        run(Command::new("umount").arg(self.env.path("disk")));
    }
}

/// A process that serves the disk can not end while it has the disk mounted: the kernel would wait for its answer.
impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = Command::new("umount").arg(self.env.path("disk")).status();
        }
    }
}

/// Everything but the database, whose pages users do not see.
fn gather(folder: &Path, name: &str, files: &mut Vec<(String, u32, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = format!("{name}/{}", entry.file_name().display());
        if name == "/var/lib/kista" {
            continue;
        }
        let data = fs::symlink_metadata(entry.path()).unwrap();
        let content = if data.is_dir() {
            gather(&entry.path(), &name, files);
            Vec::new()
        } else {
            fs::read(entry.path()).unwrap()
        };
        files.push((name, data.permissions().mode(), content));
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The same numbers in every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}
