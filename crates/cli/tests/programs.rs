//! The programs of one verb do what the verb does.

use std::process::{Command, Output};

const PKG: &str = env!("CARGO_BIN_EXE_pkg");
const SANDBOX: &str = env!("CARGO_BIN_EXE_pkg-sandbox");

fn run(program: &str, words: &[&str]) -> Output {
    Command::new(program).args(words).output().expect("the program runs")
}

#[test]
fn a_room_is_the_same_by_both_names() {
    let script = "id -u; uname -n; env; ls /dev; tail -n+3 /proc/net/dev | cut -d: -f1; echo told >&2; exit 7";
    let line = ["--ro-bind", "/", "/", "--setenv", "A", "b", "--", "/bin/sh", "-c", script];
    let (alone, verb) = (run(SANDBOX, &line), run(PKG, &[&["sandbox"], line.as_slice()].concat()));
    assert_eq!((alone.status.code(), &alone.stdout, &alone.stderr), (verb.status.code(), &verb.stdout, &verb.stderr));
    assert_eq!((alone.status.code(), alone.stderr.as_slice()), (Some(7), b"told\n".as_slice()));
}

#[test]
fn each_program_speaks_of_itself() {
    for (name, program) in [
        ("pkg-sandbox", SANDBOX),
        ("pkg-build", env!("CARGO_BIN_EXE_pkg-build")),
        ("pkg-install", env!("CARGO_BIN_EXE_pkg-install")),
    ] {
        let help = run(program, &["--help"]);
        let text = String::from_utf8_lossy(&help.stdout);
        assert!(help.status.success() && text.contains(&format!("Usage: {name} [OPTIONS]")), "{text}");
        assert!(run(program, &["--version"]).stdout.starts_with(name.as_bytes()));
        assert_eq!(run(program, &["--no-such-option"]).status.code(), Some(2));
    }
}

#[test]
fn a_room_that_cannot_start_is_told() {
    let output = run(SANDBOX, &["--root", "/no/such/folder", "--", "true"]);
    assert_eq!(output.status.code(), Some(125));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("opening the root /no/such/folder") && told.contains("make it, or name another"), "{told}");
}
