//! The power goes in the middle of transactions: at every flush of the disk, and with any part of what was written since.
//!
//! A series of commands that together do all that can be done to a root: an upgrade and an installation with configuration
//! files that the administrator changed, scripts, a trigger and a new user; a removal; a decision about a configuration
//! file; a fix; an undo from what was kept; a way back to the beginning; and the past forgotten. More moments between flushes than usual:
//!
//!     KISTA_POWER_CUTS=1000 cargo test -p e2e --test power_cut -- --nocapture
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]
#![expect(clippy::unwrap_used, reason = "what a scene is made of must be there")]

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use e2e::Env;
use e2e::disk::{Disk, Event, after_power_cut};
use e2e::pack::Pack;
use installdb::{InstallDb, Installed};
use pkgformat::ScriptKind;

const DISK_SIZE: usize = 32 << 20;

/// Moments between flushes, each with another part of the last writes lost; more of them with `KISTA_POWER_CUTS`.
const RANDOM_CUTS: usize = 60;

/// After one in so many cuts the rest of the commands is carried out, too.
const GO_ON: usize = 12;

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
    // A flush of nothing new leaves what the one before it left.
    let is_new = |moment: &usize| past.events[*moment - 1] == Event::Flush && past.events[*moment - 2] != Event::Flush;
    let flushes: Vec<usize> = (2..=past.events.len()).filter(is_new).collect();
    assert!(flushes.len() >= 2 * COMMANDS.len(), "{} flushes are few for durable transactions", flushes.len());

    let mut seen = [0; COMMANDS.len() + 1];
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
        "{} writes, {} flushes; cut at each flush and {cuts} times between; found so many times before the first command \
         and after each: {seen:?}",
        past.events.iter().filter(|event| **event != Event::Flush).count(),
        flushes.len(),
    );
    assert!(seen.iter().all(|&times| times > 0), "each state was found after some cut: {seen:?}");
}

/// One transaction each.
const COMMANDS: [&[&str]; 7] = [
    &["install", "-y", "--unowned", "replace", "tool-2.0.kpkg", "extra-1.0.kpkg"],
    &["remove", "-y", "gone"],
    &["config", "accept", "/etc/tool.conf"],
    &["fix", "-y", "--from", "broken-1.0.kpkg"],
    &["undo", "-y", "3"],
    &["rollback", "-y", "1"],
    &["gc", "-y", "--all"],
];

/// What happened to the disk while the commands ran.
struct Past {
    base: Vec<u8>,
    events: Vec<Event>,
    /// The states before the first command and after each.
    states: Vec<State>,
    /// What scripts had written in each state.
    told: Vec<String>,
    /// How many events there were when each command said that it was done.
    done: Vec<usize>,
}

/// What users see of a root.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    files: Vec<(String, String)>,
    /// The contents of what is kept, sorted.
    kept: Vec<Vec<u8>>,
    /// What the database says: packages, what was asked for, owned paths, differences, configuration files.
    database: Vec<String>,
}

struct Scene {
    disk: Disk,
    env: Env,
    cuts: usize,
}

impl Scene {
    fn new() -> Self {
        let env = Env::new(env!("CARGO_BIN_EXE_pkg-e2e"));
        env.trusted_root();
        fs::create_dir(env.path("fuse")).unwrap();
        fs::create_dir(env.path("disk")).unwrap();
        let disk = Disk::new(&env.path("fuse"), DISK_SIZE).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m0", "-b4096", "-Jsize=4"]).arg(disk.file()));
        let scene = Self { disk, env, cuts: 0 };
        scene.mount();
        run(Command::new("cp").arg("-a").arg(scene.env.path("root")).arg(scene.env.path("disk")));
        scene.arrange();
        scene.unmount();
        scene
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.env.path("disk/root").join(path)
    }

    /// What stands before: a shell, packages, and what the administrator and an accident made of them.
    fn arrange(&self) {
        // Where they are missing, a script's room makes them for its time.
        for folder in ["dev", "proc", "run", "sys", "tmp"] {
            fs::create_dir(self.at(folder)).unwrap();
        }
        self.env.add_shell("disk/root");
        let write = "while read -r path; do echo \"trigger $path\"; done >>/log";
        let packages = [
            tool("1.0", "old"),
            sharing("gone", "1.0")
                .config("etc/gone.conf", "default")
                .file("lib/gone/data", 0o600, &"gone".repeat(20_000))
                .script(ScriptKind::PostRemove, "echo gone went >>/log")
                .script(ScriptKind::PostInstall, "echo gone came >>/log"),
            Pack::new("broken", "1.0").file("lib/broken/a", 0o644, "whole").file("lib/broken/b", 0o600, "private"),
            Pack::new("fonts", "1.0").file("share/fonts/first", 0o644, "font").trigger("share/fonts/**", write),
        ];
        let files = packages.map(|package| package.write(&self.env));
        self.pkg(&[&["install", "-y"][..], &files.each_ref().map(String::as_str)].concat()).code(0);
        tool("2.0", "new").write(&self.env);
        let extra = sharing("extra", "1.0").file("share/fonts/extra", 0o644, "font").user("u daemon7 70");
        extra.script(ScriptKind::PostInstall, "echo extra came >>/log").write(&self.env);
        for config in ["etc/tool.conf", "etc/gone.conf"] {
            fs::write(self.at(config), "the administrator's").unwrap();
        }
        fs::write(self.at("share/fonts/extra"), "the administrator's, in the way of a package's").unwrap();
        fs::write(self.at("lib/broken/a"), "damaged").unwrap();
        fs::set_permissions(self.at("lib/broken/b"), fs::Permissions::from_mode(0o666)).unwrap();
        fs::remove_file(self.at("log")).unwrap();
    }

    fn pkg(&self, words: &[&str]) -> e2e::Run<'_> {
        self.env.pkg(&[words, &["--root", "disk/root"]].concat())
    }

    /// Carries the commands out, and looks at what each leaves.
    fn play(&mut self) -> Past {
        let base = self.disk.content();
        self.disk.replace(base.clone());
        self.mount();
        let mut past =
            Past { base, events: Vec::new(), states: vec![self.look()], told: vec![self.told()], done: Vec::new() };
        for command in COMMANDS {
            self.pkg(command).code(0);
            past.done.push(self.disk.moment());
            past.states.push(self.look());
            past.told.push(self.told());
        }
        self.unmount();
        past.events = self.disk.events();
        let mut different = past.states.clone();
        different.dedup();
        assert_eq!(different.len(), past.states.len(), "every command changes something");
        past
    }

    /// Cuts the power after `moment` events, starts again, and tells which of the states is found.
    fn cut(&mut self, past: &Past, moment: usize, keep: impl FnMut() -> bool) -> usize {
        self.cuts += 1;
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
        let again = InstallDb::open(self.at("")).unwrap().recovery().cloned();
        assert_eq!((again, self.look()), (None, found.clone()), "a second recovery, after {moment} events");

        // What was said to be done is durable.
        let done = past.done.iter().filter(|&&done| done <= moment).count();
        let state = past.states.iter().position(|state| *state == found);
        let Some(state) = state else {
            panic!("after {moment} events the root is in no known state: {}", difference(past, &found))
        };
        assert!(state >= done, "after {moment} events {done} commands were done, but only {state} survived");
        self.assert_told(past, state, moment);
        self.assert_history(past, state, moment);
        if self.cuts.is_multiple_of(GO_ON) {
            COMMANDS[state..].iter().for_each(|command| {
                // The number of the transaction that is undone is another one where some were taken back.
                let words: Vec<&str> = command.iter().copied().filter(|word| *word != "3").collect();
                drop(self.pkg(&words).code(0));
            });
            assert_eq!(
                Some(&self.look()),
                past.states.last(),
                "after {moment} events the rest is not possible any more"
            );
        }
        self.unmount();
        state
    }

    /// Scripts of what was decided ran, and no others. Before what they wrote may stand what the cut made of an earlier run.
    fn assert_told(&self, past: &Past, state: usize, moment: usize) {
        let told = self.told();
        for (at, known) in past.told.iter().enumerate() {
            let missing = known.lines().find(|line| !told.lines().any(|other| other.ends_with(line)));
            let has_said_it = known.lines().all(|line| past.told[state].contains(line));
            assert_eq!(
                missing.is_none(),
                has_said_it,
                "after {moment} events, in state {state}, {at}: {missing:?}\n{told}"
            );
        }
        assert_eq!(Installed::open(self.at("")).unwrap().pending_scripts().unwrap(), []);
    }

    fn assert_history(&self, past: &Past, state: usize, moment: usize) {
        let history = Installed::open(self.at("")).unwrap().history().unwrap();
        let before = 1;
        let decided = history.iter().filter(|known| matches!(known.result.as_str(), "done" | "recovered"));
        assert_eq!(decided.count(), before + state, "after {moment} of {} events", past.events.len());
        assert!(history.iter().all(|known| known.result != "running"));
    }

    fn told(&self) -> String {
        fs::read_to_string(self.at("log")).unwrap_or_default()
    }

    fn look(&self) -> State {
        let db = Installed::open(self.at("")).unwrap();
        let mut files = Vec::new();
        gather(&self.at(""), "", &mut files);
        files.sort();
        let mut kept: Vec<Vec<u8>> = match fs::read_dir(self.at("var/lib/kista/kept")) {
            Ok(listed) => listed.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect(),
            Err(_) => Vec::new(),
        };
        kept.sort();
        let size: usize = kept.iter().map(Vec::len).sum();
        assert_eq!(db.kept().unwrap(), (kept.len() as u64, size as u64), "each row has its file");
        let packages = db.list(&[]).unwrap().into_iter().map(|package| format!("{} {}", package.name, package.version));
        let wanted = db.wanted().unwrap().into_iter().map(|name| format!("wanted {name}"));
        let paths = db.paths().unwrap().into_iter().map(|path| path.to_string());
        let differences = db.verify(&[]).unwrap().into_iter().map(|different| format!("{different:?}"));
        let configs = db.configs(&[]).unwrap().into_iter().map(|config| format!("{config:?}"));
        State { files, kept, database: packages.chain(wanted).chain(paths).chain(differences).chain(configs).collect() }
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

/// With a file that all have.
fn sharing(name: &str, version: &str) -> Pack {
    Pack::new(name, version).file("share/common", 0o644, "common")
}

fn tool(version: &str, word: &str) -> Pack {
    let large = word.repeat(20_000);
    sharing("tool", version)
        .file("bin/tool", 0o4755, word)
        .hardlink("bin/twin", "bin/tool")
        .symlink("lib/tool/current", version)
        .file(&format!("lib/tool/{version}/data"), 0o644, &large)
        .file("lib/tool/data", 0o644, &format!("{large}!"))
        .file(&format!("share/tool/{word}"), 0o644, word)
        .config("etc/tool.conf", word)
        .config("etc/untouched.conf", word)
        .script(ScriptKind::PostInstall, &format!("echo tool {version} came >>/log"))
}

/// Everything but our own folder, whose content users do not see, and what scripts write.
fn gather(folder: &Path, name: &str, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = format!("{name}/{}", entry.file_name().display());
        if name == "/var/lib/kista" || name == "/log" {
            continue;
        }
        let data = fs::symlink_metadata(entry.path()).unwrap();
        let content = if data.is_dir() {
            gather(&entry.path(), &name, files);
            String::new()
        } else if data.is_symlink() {
            fs::read_link(entry.path()).unwrap().display().to_string()
        } else {
            let content = fs::read(entry.path()).unwrap();
            format!("x{} {}", data.nlink(), String::from_utf8_lossy(&content))
        };
        files.push((name, format!("{:o} {}:{} {content}", data.mode(), data.uid(), data.gid())));
    }
}

/// In what a state differs from the one that is most like it.
fn difference(past: &Past, found: &State) -> String {
    let short = |text: &str| text.chars().take(120).collect::<String>();
    let differences = past.states.iter().enumerate().map(|(number, known)| {
        let missing = known.files.iter().filter(|file| !found.files.contains(file)).map(|file| ("-", file));
        let more = found.files.iter().filter(|file| !known.files.contains(file)).map(|file| ("+", file));
        let files = missing.chain(more).map(|(sign, (name, what))| format!("{sign}{name} {}", short(what)));
        let less = known.database.iter().filter(|row| !found.database.contains(row)).map(|row| format!("-{row}"));
        let rows = found.database.iter().filter(|row| !known.database.contains(row)).map(|row| format!("+{row}"));
        let kept = (known.kept != found.kept).then(|| "what is kept".to_owned());
        (number, files.chain(less).chain(rows).chain(kept).collect::<Vec<_>>())
    });
    let (number, lines) = differences.min_by_key(|(_, lines)| lines.len()).unwrap();
    format!("most like {number}, but\n{}", lines.join("\n"))
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
