//! An environment that end-to-end tests run commands in: folders, key, home and time of its own.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]

pub mod disk;
pub mod folding;
pub mod pack;
pub mod terminal;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A scratch folder with everything that a run of `pkg` reads or writes.
#[derive(Debug)]
pub struct Env {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Env {
    /// A new environment for the program at this path.
    pub fn new(program: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("kista-e2e.").tempdir().expect("a scratch folder can be made");
        fs::create_dir(folder.path().join("home")).expect("the scratch folder is ours");
        Self { program: program.into(), folder }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in it, and the folders above.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it is below the scratch folder")).expect("the scratch folder is ours");
        fs::write(&path, content).expect("the scratch folder is ours");
        path
    }

    /// Writes a file that can be executed.
    pub fn write_script(&self, name: &str, content: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.write(name, content);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
        path
    }

    /// The command with these words, ready to start.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).current_dir(self.folder.path()).stdin(Stdio::null());
        command
            .env_clear()
            .env("HOME", self.path("home"))
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("USER", "ann");
        command
    }

    /// Runs `pkg` with these words where it can start no thread, unless the user is root; its exit code, and what it said.
    pub fn without_threads(&self, words: &[&str]) -> (Option<i32>, String) {
        let pkg = self.command(words);
        let mut command = Command::new("prlimit");
        command.args(["--nproc=1", "--"]).arg(pkg.get_program()).args(pkg.get_args()).env_clear();
        command.envs(pkg.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = command.current_dir(self.folder.path()).output().expect("the program can be started");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Runs `pkg` with these words.
    pub fn pkg(&self, words: &[&str]) -> Run<'_> {
        let output = self.command(words).output().expect("the program can be started");
        Run { env: self, words: words.join(" "), output }
    }

    /// Makes a small tree and packs it as `NAME.kpkg`, version 1.0, release 1.
    pub fn pack(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        self.pack_version(name, "1.0", files)
    }

    /// Makes a small tree and packs it as `NAME.kpkg`, release 1.
    pub fn pack_version(&self, name: &str, version: &str, files: &[(&str, &str)]) -> PathBuf {
        let tree = format!("{name}-tree");
        let _ = fs::remove_dir_all(self.path(&tree));
        fs::create_dir(self.path(&tree)).expect("the scratch folder is ours");
        for (path, content) in files {
            self.write(&format!("{tree}/{path}"), content);
        }
        let file = format!("{name}.kpkg");
        let version = format!("version={version}");
        self.pkg(&["pack", &tree, "-o", &file, "-m", &version, "-m", "release=1"]).code(0);
        self.path(&file)
    }

    /// Makes a key, and a root that trusts it.
    pub fn trusted_root(&self) {
        self.pkg(&["trust", "key", "new", "key", "--owner", "ann", "--no-passphrase"]).code(0);
        fs::create_dir(self.path("root")).expect("the scratch folder is ours");
        self.pkg(&["trust", "key", "add", "key.pub", "--tier", "trusted", "--root", "root"]).code(0);
    }

    /// Puts the shell of this machine, and the libraries that it needs, into a root, for packages' scripts.
    pub fn add_shell(&self, root: &str) {
        let listed = Command::new("ldd").arg("/bin/sh").output().expect("a machine with a shell can say what it needs");
        let listed = String::from_utf8(listed.stdout).expect("the libraries' names are text");
        for file in listed.split_whitespace().filter(|word| word.starts_with('/')).chain(["/bin/sh"]) {
            let copy = self.path(root).join(&file[1..]);
            fs::create_dir_all(copy.parent().expect("it is in the root")).expect("the root is ours");
            fs::canonicalize(file).and_then(|file| fs::copy(file, copy)).expect("a shell can be read");
        }
    }

    /// Packs, signs and installs into the root of [`Env::trusted_root`].
    pub fn install(&self, name: &str, files: &[(&str, &str)]) {
        self.pack(name, files);
        let file = format!("{name}.kpkg");
        self.pkg(&["trust", "sign", &file, "--key", "key"]).code(0);
        self.pkg(&["install", "--root", "root", "-y", &file]).code(0);
    }

    /// The names in a folder, sorted.
    pub fn snapshot_names(&self, name: &str) -> Vec<std::ffi::OsString> {
        let listed = fs::read_dir(self.path(name)).expect("the folder can be read");
        let mut names: Vec<_> = listed.flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        names
    }

    /// Every path below a folder with its content, sorted; for comparing before and after.
    pub fn snapshot(&self, name: &str) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        let mut folders = vec![self.path(name)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("the folder can be read").flatten() {
                let path = entry.path();
                let kind = entry.file_type().expect("it was listed");
                let content = if kind.is_dir() {
                    folders.push(path.clone());
                    String::new()
                } else if kind.is_symlink() {
                    fs::read_link(&path).expect("it is a link").display().to_string()
                } else {
                    String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned()
                };
                found.push((path, content));
            }
        }
        found.sort();
        found
    }
}

/// A run that is over; its exit code must be asked about.
#[derive(Debug)]
#[must_use = "a run says nothing until its exit code is checked"]
pub struct Run<'e> {
    env: &'e Env,
    words: String,
    output: Output,
}

impl Run<'_> {
    /// Checks the exit code.
    ///
    /// # Panics
    /// It is another one; everything that was printed is shown.
    pub fn code(self, wanted: i32) -> Said {
        let said = Said {
            out: normalise(&self.output.stdout, self.env.folder.path()),
            err: normalise(&self.output.stderr, self.env.folder.path()),
        };
        assert_eq!(
            self.output.status.code(),
            Some(wanted),
            "`pkg {}` ended with {}\n--- stdout\n{}\n--- stderr\n{}",
            self.words,
            self.output.status,
            said.out,
            said.err
        );
        said
    }
}

/// The scratch folder's own path is another one each time.
fn normalise(bytes: &[u8], folder: &Path) -> String {
    String::from_utf8_lossy(bytes).replace(&folder.display().to_string(), "ENV")
}

/// What a run printed.
#[derive(Debug)]
pub struct Said {
    /// On standard output.
    pub out: String,
    /// On standard error.
    pub err: String,
}

impl Said {
    /// Checks that standard error holds all of these.
    ///
    /// # Panics
    /// One of them is missing.
    pub fn err_has(&self, parts: &[&str]) -> &Self {
        parts.iter().for_each(|part| assert!(self.err.contains(part), "`{part}` is missing in:\n{}", self.err));
        self
    }

    /// Checks that standard output holds all of these.
    ///
    /// # Panics
    /// One of them is missing.
    pub fn out_has(&self, parts: &[&str]) -> &Self {
        parts.iter().for_each(|part| assert!(self.out.contains(part), "`{part}` is missing in:\n{}", self.out));
        self
    }

    /// Standard output as one JSON document.
    ///
    /// # Panics
    /// It is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in:\n{}", self.out))
    }

    /// Standard output as JSON, one a line.
    ///
    /// # Panics
    /// A line is none.
    pub fn events(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in:\n{line}"));
        self.out.lines().map(parse).collect()
    }
}
