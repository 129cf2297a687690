//! Recipes that are wrong: each says where and what, and nothing is left behind.

use std::fs;

use e2e::{Env, Run};

fn env() -> Env {
    Env::new(env!("CARGO_BIN_EXE_pkg-e2e"))
}

fn build<'e>(env: &'e Env, spec: &str) -> Run<'e> {
    env.pkg(&["build", spec, "--recipes", "recipes", "--cache", "cache"])
}

/// A recipe that only puts a file of its own into a package.
fn simple(env: &Env, name: &str) {
    let folder = format!("recipes/ga/{name}/1/1");
    env.write(&format!("{folder}/type"), "binary noarch\n");
    env.write(&format!("{folder}/sources"), "dir tree -\n");
    env.write(&format!("{folder}/tree/share/{name}"), "content\n");
}

#[test]
fn a_recipe_without_a_build_script_packs_its_files() {
    let env = env();
    simple(&env, "data");
    let said = build(&env, "data").code(0);
    let package = said.out.trim().replace("ENV/", "");
    env.pkg(&["cat", &package, "share/data"]).code(0).out_has(&["content"]);
    build(&env, "data").code(0).err_has(&["built before, nothing to do"]);
    let left: Vec<_> =
        fs::read_dir(env.path("cache/builds")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".kista")), "{left:?}");
}

#[test]
fn the_same_recipe_gives_the_same_package_elsewhere() {
    let env = env();
    simple(&env, "data");
    let first = build(&env, "data").code(0).out;
    let second = env.pkg(&["build", "data", "--recipes", "recipes", "--cache", "elsewhere/deeper/cache"]).code(0).out;
    let bytes = |path: &str| fs::read(env.path(&path.trim().replace("ENV/", ""))).unwrap();
    assert_eq!(bytes(&first), bytes(&second));
}

#[test]
fn packages_are_signed_and_installed_into_a_new_root() {
    let env = env();
    simple(&env, "data");
    let words = ["build", "data", "--recipes", "recipes", "--cache", "cache", "--into", "root"];
    env.pkg(&words).code(0).err_has(&["made your own signing key", "trusts your key and nothing else"]);
    assert_eq!(fs::read_to_string(env.path("root/share/data")).unwrap(), "content\n");
    env.pkg(&words).code(0).err_has(&["has all of it already"]);
    env.pkg(&["build", "data", "--recipes", "recipes", "--cache", "cache", "-o", "out"]).code(0);
    env.pkg(&["trust", "verify", "out/data-1-1.noarch.kpkg", "--root", "root"]).code(0);
}

#[test]
fn an_unknown_name_has_suggestions() {
    let env = env();
    simple(&env, "lua");
    build(&env, "lau").code(5).err_has(&["no recipe is called `lau`", "lua"]);
    build(&env, "lua>=9").code(5).err_has(&["lua/1/1"]);
}

#[test]
fn an_unknown_word_is_told_with_its_place() {
    let env = env();
    simple(&env, "data");
    env.write("recipes/ga/data/1/1/type", "binary statik\n");
    build(&env, "data").code(1).err_has(&["type:1:8", "statik", "static"]);
}

#[test]
fn a_missing_tarball_tells_every_place_that_was_tried() {
    let env = env();
    simple(&env, "data");
    let digest = "0".repeat(64);
    let place = format!("file://{}", env.path("nowhere.tar").display());
    env.write("recipes/ga/data/1/1/sources", format!("tar data.tar sha256:{digest} {place}\n"));
    build(&env, "data").code(6).err_has(&["nowhere.tar", &digest]);
}

#[test]
fn a_wrong_digest_tells_both() {
    let env = env();
    simple(&env, "data");
    let file = env.write("data.tar", "something else");
    let digest = "0".repeat(64);
    env.write("recipes/ga/data/1/1/sources", format!("tar data.tar sha256:{digest} file://{}\n", file.display()));
    build(&env, "data").code(4).err_has(&[&digest, &sha256(&file), "data.tar"]);
}

#[test]
fn a_dependency_cycle_is_shown_as_its_chain() {
    let env = env();
    for (name, needs) in [("a", "b"), ("b", "c"), ("c", "a")] {
        env.write(&format!("recipes/ga/{name}/1/1/type"), "binary\n");
        env.write(&format!("recipes/ga/{name}/1/1/deps"), format!("{needs}\n"));
        env.write_script(&format!("recipes/ga/{name}/1/1/build"), "#!/bin/sh\n");
    }
    build(&env, "a").code(3).err_has(&["a/1/1", "b/1/1", "c/1/1"]);
}

#[test]
fn an_archive_can_not_write_outside() {
    let env = env();
    simple(&env, "data");
    let mut header = [0u8; 1024 + 512];
    header[..9].copy_from_slice(b"../escape");
    header[100..107].copy_from_slice(b"0000644");
    header[124..135].copy_from_slice(b"00000000000");
    header[136..147].copy_from_slice(b"00000000000");
    header[148..156].fill(b' ');
    let sum: u32 = header[..512].iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let file = env.write("evil.tar", header);
    let id = sha256(&file);
    env.write("recipes/ga/data/1/1/sources", format!("tar evil.tar sha256:{id} file://{}\n", file.display()));
    build(&env, "data").code(4).err_has(&["escape"]);
    assert!(env.snapshot("cache").iter().all(|(path, _)| !path.ends_with("escape")));
}

fn sha256(path: &std::path::Path) -> String {
    let output = std::process::Command::new("sha256sum").arg(path).output().expect("sha256sum is there");
    String::from_utf8(output.stdout).expect("digests are text")[..64].to_owned()
}

#[test]
fn sources_are_taken_from_a_folder_by_their_digest() {
    let env = env();
    let file = env.write("downloads/whatever it is called", "the source");
    env.write("recipes/ga/data/1/1/type", "binary noarch\n");
    let source = format!("file data.txt sha256:{} https://nowhere.invalid/data.txt\n", sha256(&file));
    env.write("recipes/ga/data/1/1/sources", source);
    build(&env, "data").code(6).err_has(&["nowhere.invalid"]);
    let words = ["fetch", "data", "--recipes", "recipes", "--cache", "cache", "--offline"];
    env.pkg(&words).code(6);
    env.pkg(&[&words[..], &["--from-dir", "downloads"]].concat()).code(0).err_has(&["1 source in the store"]);
    let package = build(&env, "data").code(0).out.trim().replace("ENV/", "");
    env.pkg(&["cat", &package, "data.txt"]).code(0).out_has(&["the source"]);
}

/// For root the kernel knows no such limit.
#[test]
fn who_may_start_no_thread_fetches_nothing_and_is_told_so() {
    if rustix::process::geteuid().is_root() {
        return;
    }
    let env = env();
    let file = env.write("data.txt", "the source");
    env.write("recipes/ga/data/1/1/type", "binary noarch\n");
    let source = format!("file data.txt sha256:{} file://{}\n", sha256(&file), file.display());
    env.write("recipes/ga/data/1/1/sources", source);
    let words = ["fetch", "data", "--recipes", "recipes", "--cache", "cache"];
    let (code, said) = env.without_threads(&words);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("a thread can not be started") && said.contains("hint: raise the limit"), "{said}");
    env.pkg(&words).code(0).err_has(&["1 source in the store"]);
}

#[test]
fn no_build_script_gets_the_network() {
    let env = env();
    env.write("recipes/ga/net/1/1/type", "source\n");
    env.write_script("recipes/ga/net/1/1/build", "#!/bin/sh\n");
    build(&env, "net").code(1).err_has(&["net/1/1", "`source` recipe with a build script"]);
}
