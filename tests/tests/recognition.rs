//! What the files under `contrib/` teach other programs to recognise: `file(1)` and desktops.
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::Env;

fn contrib(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib").join(name)
}

/// Whether a program is there; a test that needs it says that it does without.
fn has(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        eprintln!("skipped: this machine has no {program}");
    }
    is_there
}

/// Files of every kind, and the type that each must be told to have.
fn samples(env: &Env) -> Vec<(PathBuf, &'static str)> {
    env.pack("hello", &[("bin/hello", "hej"), ("share/doc", "text")]);
    env.pkg(&["trust", "key", "new", "key", "--no-passphrase"]).code(0);
    env.pkg(&["trust", "sign", "hello.kpkg", "--key", "key"]).code(0);
    env.pkg(&["db", "add-package", "hello.zpkg", "hello.kpkg"]).code(0);
    env.write("index", b"\xABKPK\x01\x01\x0Crecord=index\0\0");
    vec![
        (env.path("hello.kpkg"), "application/vnd.kista.package"),
        (env.path("hello.kpkg.sigs"), "application/vnd.kista.signatures"),
        (env.path("hello.zpkg"), "application/vnd.kista.package+sqlite3"),
        (env.path("index"), "application/vnd.kista.index"),
    ]
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("the program is there");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).expect("it is text")
}

#[test]
fn file_tells_what_is_what() {
    if !has("file") {
        return;
    }
    let env = Env::new(env!("CARGO_BIN_EXE_pkg-e2e"));
    let file = |options: &[&str], path: &Path| {
        let mut command = Command::new("file");
        output(command.args(options).arg("-bm").arg(contrib("magic/kpkg")).arg(path)).trim().to_owned()
    };
    for (path, mime) in samples(&env) {
        assert_eq!(file(&["--mime-type"], &path), mime, "{}", path.display());
    }
    let arch = std::env::consts::ARCH;
    let package = env.path("hello.kpkg");
    assert_eq!(file(&[], &package), format!("Kista package, arch={arch}, name=hello, version=1.0"));
    assert_eq!(file(&[], &env.path("hello.zpkg")), "Kista package as a sqlite file");
    env.write("text", "record=package");
    assert!(!file(&[], &env.path("text")).contains("Kista"));
}

/// The database is made with the types of this machine, where it has them, so that those of others do not win.
#[test]
fn desktops_tell_what_is_what() {
    if !has("update-mime-database") {
        return;
    }
    let env = Env::new(env!("CARGO_BIN_EXE_pkg-e2e"));
    let types = fs::read(contrib("mime/kista.xml")).unwrap();
    env.write("mime/packages/kista.xml", types);
    if let Ok(common) = fs::read("/usr/share/mime/packages/freedesktop.org.xml") {
        env.write("mime/packages/freedesktop.org.xml", common);
    }
    let folder = env.path("mime").parent().expect("it is in a folder").to_owned();
    let alone = |program: &str| {
        let mut command = Command::new(program);
        command.env("XDG_DATA_HOME", &folder).env("XDG_DATA_DIRS", &folder).env("PKGSYSTEM_ENABLE_FSYNC", "0");
        command
    };
    output(alone("update-mime-database").arg(env.path("mime")));
    let globs = fs::read_to_string(env.path("mime/globs2")).unwrap();
    for line in [
        "application/vnd.kista.package:*.kpkg",
        "application/vnd.kista.package+zstd:*.kpkg.zst",
        "application/vnd.kista.package+sqlite3:*.zpkg",
        "application/vnd.kista.signatures:*.sigs",
    ] {
        assert!(globs.lines().any(|glob| glob.ends_with(line)), "{line} is not in\n{globs}");
    }
    if !has("gio") {
        return;
    }
    for (path, mime) in samples(&env) {
        // Without an ending, so that the content tells.
        let bare = env.path("bare");
        fs::copy(&path, &bare).unwrap();
        let said = output(alone("gio").args(["info", "-a", "standard::content-type"]).arg(&bare));
        assert!(said.lines().any(|line| line.trim() == format!("standard::content-type: {mime}")), "{mime}: {said}");
    }
}
