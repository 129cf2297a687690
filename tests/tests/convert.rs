//! Foreign packages on the command line.

use std::io::Write;
use std::process::Stdio;

use e2e::Env;

fn env() -> Env {
    Env::new(env!("CARGO_BIN_EXE_pkg-e2e"))
}

/// A tar archive, made by packing a tree and converting it.
fn archive(env: &Env) {
    env.write("tree/bin/hello", "#!/bin/sh\necho hello\n");
    env.write("tree/share/doc", "words\n");
    env.pkg(&["pack", "tree", "-o", "hello.kpkg", "-m", "version=1.0"]).code(0);
    env.pkg(&["convert", "hello.kpkg", "-o", "hello.tar.xz"]).code(0).err_has(&["not kept", "metadata"]);
}

#[test]
fn a_package_survives_every_container() {
    let env = env();
    archive(&env);
    let id = |file: &str| env.pkg(&["inspect", file, "--json"]).code(0).json()["id"].clone();
    for file in ["a.kpkg.zst", "a.zpkg", "b.kpkg.gz", "a.kpkg"] {
        let from = if file == "b.kpkg.gz" { "a.zpkg" } else { "hello.kpkg" };
        env.pkg(&["convert", from, "-o", file]).code(0);
        if file != "a.zpkg" {
            assert_eq!(id(file), id("hello.kpkg"), "{file}");
        }
    }
    env.pkg(&["convert", "hello.tar.xz", "-o", "again.kpkg", "-m", "version=1.0"]).code(0);
    env.pkg(&["cat", "again.kpkg", "bin/hello"]).code(0).out_has(&["echo hello"]);
    env.pkg(&["convert", "hello.kpkg", "-o", "hello.gpkg.tar", "--json"]).code(0).out_has(&["\"losses\""]);
    env.pkg(&["convert", "hello.gpkg.tar", "-o", "back.kpkg"]).code(0);
    env.pkg(&["cat", "back.kpkg", "share/doc"]).code(0).out_has(&["words"]);
}

#[test]
fn a_foreign_package_is_not_installed_but_said_to_be_one() {
    let env = env();
    env.write("x.deb", "!<arch>\ndebian-binary   ");
    env.write("empty/x", "");
    env.pkg(&["install", "x.deb", "--root", "empty"]).code(4).err_has(&["hint: `pkg convert FILE"]);
    env.pkg(&["inspect", "x.deb"]).code(4).err_has(&["hint: `pkg convert FILE"]);
}

#[test]
fn what_goes_wrong_leaves_nothing() {
    let env = env();
    archive(&env);
    let before = env.snapshot("").len();
    env.write("text", "no package\n");
    env.pkg(&["convert", "text", "-o", "out.kpkg"]).code(4).err_has(&["no package of a known kind"]);
    let whole = std::fs::read(env.path("hello.kpkg")).expect("it was written");
    env.write("short.kpkg", &whole[..whole.len() - 40]);
    env.pkg(&["convert", "short.kpkg", "-o", "out.kpkg"]).code(4);
    env.pkg(&["convert", "short.kpkg", "-o", "out.tar"]).code(4);
    env.pkg(&["convert", "short.kpkg", "-o", "out.zpkg"]).code(4);
    env.pkg(&["convert", "missing", "-o", "out.kpkg"]).code(1);
    env.pkg(&["convert", "hello.kpkg", "-o", "-", "--json"]).code(2);
    env.pkg(&["convert", "hello.kpkg", "-o", "out.kpkg", "-m", "version=2"]).code(2);
    assert_eq!(env.snapshot("").len(), before + 2, "only what the test wrote itself");
}

#[test]
fn standard_input_and_output_will_do() {
    let env = env();
    archive(&env);
    let mut command = env.command(&["convert", "-", "-o", "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let whole = std::fs::read(env.path("hello.kpkg")).expect("it was written");
    child.stdin.take().expect("it is piped").write_all(&whole).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    assert_eq!(output.stdout, whole);
}
