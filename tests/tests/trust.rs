//! What is refused, with exit code 4 and the reason.
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]

use std::fs;

use e2e::Env;

fn env() -> Env {
    Env::new(env!("CARGO_BIN_EXE_pkg-e2e"))
}

fn refused(env: &Env, code: &str) {
    let before = env.snapshot("root");
    env.pkg(&["install", "--root", "root", "-y", "hello.kpkg"]).code(4).err_has(&[code]);
    assert_eq!(before, env.snapshot("root"), "{code}");
}

#[test]
fn a_signed_package_of_a_trusted_key_is_installed() {
    let env = env();
    env.trusted_root();
    env.install("hello", &[("bin/hello", "hej")]);
    assert_eq!(fs::read_to_string(env.path("root/bin/hello")).unwrap(), "hej");
    env.pkg(&["trust", "verify", "hello.kpkg", "--root", "root"]).code(0);
}

#[test]
fn a_program_learns_which_key_it_made_and_trusts() {
    let env = env();
    let made = env.pkg(&["trust", "key", "new", "key", "--owner", "ann", "--no-passphrase", "--json"]).code(0).json();
    assert_eq!((&made["public"], &made["encrypted"]), (&"key.pub".into(), &false.into()));
    let add = ["trust", "key", "add", "key.pub", "--tier", "junior", "--root", "root", "--json"];
    env.pkg(&add).code(1).err_has(&["there is no root `root`", "hint: make the folder first"]);
    fs::create_dir(env.path("root")).unwrap();
    let added = env.pkg(&add).code(0).json();
    assert_eq!((&added["fingerprint"], &added["tier"]), (&made["fingerprint"], &"junior".into()));
}

/// An administrator may have his files on another disk.
#[test]
fn keys_are_found_behind_a_link_in_the_place_of_etc() {
    let env = env();
    env.trusted_root();
    fs::create_dir(env.path("root/mnt")).unwrap();
    fs::rename(env.path("root/etc"), env.path("root/mnt/etc")).unwrap();
    std::os::unix::fs::symlink("/mnt/etc", env.path("root/etc")).unwrap();
    env.install("hello", &[("etc/hello.conf", "hej")]);
    assert_eq!(fs::read_to_string(env.path("root/mnt/etc/hello.conf")).unwrap(), "hej");
    env.pkg(&["verify", "--root", "root"]).code(0);
    env.pkg(&["trust", "key", "add", "key.pub", "--tier", "trusted", "--root", "root"])
        .code(0)
        .err_has(&["root/mnt/etc/trust.d/keys/trusted"]);
    fs::remove_file(env.path("root/etc")).unwrap();
    std::os::unix::fs::symlink("../mnt", env.path("root/etc")).unwrap();
    env.pack_version("hello", "2.0", &[("etc/hello.conf", "hej")]);
    refused(&env, "E_TRUSTDIR_PERM");
}

#[test]
fn an_unsigned_package_is_refused() {
    let env = env();
    env.trusted_root();
    env.pack("hello", &[("bin/hello", "hej")]);
    refused(&env, "E_UNSIGNED");
}

#[test]
fn a_junior_can_not_make_keys_trusted() {
    let env = env();
    env.trusted_root();
    fs::rename(env.path("root/etc/trust.d/keys/trusted"), env.path("root/etc/trust.d/keys/junior")).unwrap();
    env.install("hello", &[("bin/hello", "hej")]);
    env.pack("hello", &[("etc/trust.d/keys/trusted/mine.pub", &fs::read_to_string(env.path("key.pub")).unwrap())]);
    env.pkg(&["trust", "sign", "hello.kpkg", "--key", "key"]).code(0);
    refused(&env, "E_FLOOR");
    env.pkg(&["trust", "why", "hello.kpkg", "--root", "root"]).code(4).out_has(&["a trusted key is needed"]);
}

#[test]
fn one_unsigned_package_can_be_accepted_by_its_exact_content() {
    let env = env();
    env.trusted_root();
    env.pack("hello", &[("bin/hello", "hej")]);
    let id = env.pkg(&["inspect", "hello.kpkg", "--json"]).code(0).json()["id"].as_str().unwrap().to_owned();
    let exception = format!("hello@{id}");
    env.pkg(&["install", "--root", "root", "-y", "--accept-unsigned", &exception, "hello.kpkg"]).code(0);
    env.pack("hello", &[("bin/hello", "another")]);
    env.pkg(&["install", "--root", "root", "-y", "--accept-unsigned", &exception, "hello.kpkg"]).code(4);
}

#[test]
fn an_altered_package_is_refused() {
    let env = env();
    env.trusted_root();
    env.pack("hello", &[("bin/hello", "hej")]);
    env.pkg(&["trust", "sign", "hello.kpkg", "--key", "key"]).code(0);
    let signatures = fs::read(env.path("hello.kpkg.sigs")).unwrap();
    env.pack("hello", &[("bin/hello", "evil")]);
    fs::write(env.path("hello.kpkg.sigs"), signatures).unwrap();
    let before = env.snapshot("root");
    env.pkg(&["install", "--root", "root", "-y", "hello.kpkg"]).code(4);
    assert_eq!(before, env.snapshot("root"));
}

#[test]
fn a_package_of_an_unknown_key_is_refused() {
    let env = env();
    env.trusted_root();
    env.pkg(&["trust", "key", "new", "other", "--owner", "eve", "--no-passphrase"]).code(0);
    env.pack("hello", &[("bin/hello", "hej")]);
    env.pkg(&["trust", "sign", "hello.kpkg", "--key", "other"]).code(0);
    refused(&env, "E_KEY_UNKNOWN");
}

#[test]
fn a_package_of_a_denied_key_is_refused() {
    let env = env();
    env.trusted_root();
    env.pkg(&["trust", "key", "new", "other", "--owner", "eve", "--no-passphrase"]).code(0);
    env.pkg(&["trust", "key", "add", "other.pub", "--tier", "untrusted", "--root", "root"]).code(0);
    env.pack("hello", &[("bin/hello", "hej")]);
    env.pkg(&["trust", "sign", "hello.kpkg", "--key", "other"]).code(0);
    refused(&env, "E_KEY_UNTRUSTED");
}

#[test]
fn a_trust_folder_that_others_may_write_stops_everything() {
    use std::os::unix::fs::PermissionsExt;
    let env = env();
    env.trusted_root();
    env.pack("hello", &[("bin/hello", "hej")]);
    env.pkg(&["trust", "sign", "hello.kpkg", "--key", "key"]).code(0);
    let folder = env.path("root/etc/trust.d/keys/trusted");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    refused(&env, "E_TRUSTDIR_PERM");
}
