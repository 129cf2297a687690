//! What is not as it should be: the exit code says which way, the message where, and nothing is lost.

use std::fs;
use std::path::Path;

use e2e::Env;

const DATABASE: &str = "root/var/lib/kista/install.db";

/// A root with a package, and another package that could be installed.
fn env() -> Env {
    let env = Env::new(env!("CARGO_BIN_EXE_pkg-e2e"));
    env.trusted_root();
    env.install("hello", &[("bin/hello", "hej")]);
    env.pack("other", &[("bin/other", "x")]);
    env.pkg(&["trust", "sign", "other.kpkg", "--key", "key"]).code(0);
    env
}

/// Every verb that reads or changes the root ends with this code and these words, and leaves the database as it is.
#[track_caller]
fn refused(env: &Env, code: u8, words: &[&str]) {
    let before = fs::read(env.path(DATABASE)).expect("the database is there");
    let tree = env.snapshot("root/bin");
    for verb in [
        &["install", "-y", "other.kpkg"][..],
        &["remove", "-y", "hello"],
        &["list"],
        &["owner", "/bin/hello"],
        &["verify"],
        &["recover"],
        &["history"],
    ] {
        let run = env.pkg(&[verb, &["--root", "root"]].concat());
        run.code(code.into()).err_has(words);
    }
    assert_eq!(fs::read(env.path(DATABASE)).expect("the database is there"), before);
    assert_eq!(env.snapshot("root/bin"), tree);
}

/// Puts four bytes into the database's header.
fn set(env: &Env, at: usize, number: u32) {
    let mut content = fs::read(env.path(DATABASE)).expect("the database is there");
    content[at..at + 4].copy_from_slice(&number.to_be_bytes());
    env.write(DATABASE, content);
}

const USER_VERSION: usize = 60;
const APPLICATION_ID: usize = 68;

#[test]
fn a_database_from_a_later_version() {
    let env = env();
    set(&env, USER_VERSION, 99);
    refused(&env, 1, &["has version 99", "use a later one"]);
}

#[test]
fn a_database_of_another_program() {
    let env = env();
    set(&env, APPLICATION_ID, 77);
    refused(&env, 1, &["belongs to another program"]);
}

#[test]
fn a_database_that_is_cut_off() {
    let env = env();
    let content = fs::read(env.path(DATABASE)).expect("the database is there");
    for length in [content.len() - 1, content.len() / 2, 50, 0] {
        env.write(DATABASE, &content[..length]);
        refused(&env, 1, &["is damaged", "hint:"]);
    }
    env.write(DATABASE, content);
    env.pkg(&["verify", "--root", "root"]).code(0);
}

#[test]
fn a_file_that_is_no_database() {
    let env = env();
    env.write(DATABASE, "a diary\n".repeat(5000));
    refused(&env, 1, &["is damaged", "no database", "hint:"]);
}

/// Nothing happens to this machine's own root because somebody did not say which one he meant.
#[test]
fn a_root_that_was_not_named_is_not_this_machines_own() {
    if Path::new("/var/lib/kista").exists() {
        return;
    }
    let env = env();
    env.pkg(&["install", "-y", "other.kpkg"]).code(7).err_has(&["no root was named", "--root /"]);
    assert!(!Path::new("/var/lib/kista").exists());
}
