//! File systems that fold names: nothing is lost there. Where this user can mount none, nothing is tested.
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "the steps of a test fail as the test does")]

use std::fs;

use e2e::pack::Pack;
use e2e::{Env, folding};

/// Runs a test in a root whose `boot` is such a file system.
fn with_boot(test: impl FnOnce(&Env)) {
    let env = Env::new(env!("CARGO_BIN_EXE_pkg-e2e"));
    env.trusted_root();
    fs::create_dir(env.path("root/boot")).unwrap();
    match folding::mount(&env.path("root/boot")) {
        Ok(session) => {
            test(&env);
            drop(session);
        }
        Err(error) => eprintln!("not tested: {error}"),
    }
}

fn install<'e>(env: &'e Env, files: &[&str]) -> e2e::Run<'e> {
    env.pkg(&[&["install", "--root", "root", "-y"], files].concat())
}

#[test]
fn a_package_is_installed_verified_upgraded_and_removed() {
    with_boot(|env| {
        let pack = |version: &str| {
            let pack = Pack::new("boot", version).file("boot/EFI/Boot.efi", 0o755, version);
            pack.file("boot/loader.conf", 0o644, version).symlink("boot/Link", "loader.conf").write(env)
        };
        install(env, &[&pack("1")]).code(0).err_has(&["warning: not given, only recorded: 1 mode"]);
        env.pkg(&["verify", "-v", "--root", "root"]).code(0).err_has(&["not given boot /boot/loader.conf mode"]);
        install(env, &[&pack("2")]).code(0);
        env.pkg(&["verify", "--unowned", "--root", "root"]).code(0);
        assert_eq!(fs::read_to_string(env.path("root/boot/efi/boot.EFI")).unwrap(), "2");
        env.pkg(&["undo", "--root", "root", "-y"]).code(0);
        env.pkg(&["verify", "--root", "root"]).code(0);
        env.pkg(&["remove", "boot", "--root", "root", "-y"]).code(0);
        assert_eq!(env.snapshot("root/boot"), []);
    });
}

/// Nothing changed, and nothing is left.
fn refused(env: &Env, words: &[&str], code: i32, told: &[&str]) {
    let state = || (env.snapshot("root/boot"), env.pkg(&["list", "--root", "root"]).code(0).out);
    let before = state();
    install(env, words).code(code).err_has(told);
    assert_eq!(state(), before);
    env.pkg(&["recover", "--root", "root"]).code(0);
    env.pkg(&["verify", "--root", "root"]).code(0);
}

#[test]
fn twins_are_refused_wherever_they_come_from() {
    with_boot(|env| {
        install(env, &[&Pack::new("base", "1").file("boot/Config", 0o644, "base").write(env)]).code(0);
        let pack = |name: &str, paths: &[&str]| {
            let files = paths.iter().fold(Pack::new(name, "1"), |pack, path| pack.file(path, 0o644, path));
            files.write(env)
        };
        let one_name = |path: &str, other: &str| format!("/{path} and /{other} are one name");
        let at_once = |files: &[&str], path: &str, other: &str| {
            refused(env, files, 7, &[&one_name(path, other)]);
            refused(env, &[&["-n"], files].concat(), 7, &[&one_name(path, other)]);
        };
        at_once(&[&pack("both", &["boot/README", "boot/Readme"])], "boot/README", "boot/Readme");
        let (first, second) = (pack("first", &["boot/Ärger"]), pack("second", &["boot/ärger"]));
        at_once(&[&first, &second], "boot/Ärger", "boot/ärger");
        at_once(&[&pack("folders", &["boot/Dir/a", "boot/dir/b"])], "boot/Dir", "boot/dir");
        let inner = pack("inner", &["boot/new/deep/README", "boot/new/deep/Readme"]);
        at_once(&[&inner], "boot/new/deep/README", "boot/new/deep/Readme");
        // One that stands already is another package's, whatever is said of files that no package owns.
        let other = pack("other", &["boot/CONFIG"]);
        for words in [&[&*other][..], &["--unowned", "replace", &other], &["--unowned", "adopt", &other]] {
            refused(env, words, 7, &[&one_name("boot/CONFIG", "boot/Config")]);
        }
        // A package that comes by itself is none the worse for it.
        install(env, &[&first]).code(0);
    });
}

/// Nothing stands there yet whose other case could be asked for.
#[test]
fn twins_in_a_new_folder_of_an_empty_file_system_are_refused() {
    with_boot(|env| {
        let pack = |name: &str, paths: &[&str]| {
            paths.iter().fold(Pack::new(name, "1"), |pack, path| pack.file(path, 0o644, path)).write(env)
        };
        install(env, &[&pack("base", &["share/x"])]).code(0);
        let (files, folders) =
            (pack("files", &["boot/new/README", "boot/new/Readme"]), ["boot/n/Dir/a", "boot/n/dir/a"]);
        refused(env, &[&files], 7, &["/boot/new/README and /boot/new/Readme are one name"]);
        refused(env, &[&pack("folders", &folders)], 7, &["/boot/n/Dir and /boot/n/dir are one name"]);
    });
}

#[test]
fn a_file_that_gets_another_case_takes_the_place_of_the_old_one() {
    with_boot(|env| {
        // The same content, and another one; a name that changes, and a folder's.
        for (old, new) in [("boot/Readme", "boot/README"), ("boot/Dir/Deep/x", "boot/dir/deep/x")] {
            for contents in [["same", "same"], ["1", "2"]] {
                let pack = |version: &str, path: &str, content: &str| {
                    Pack::new("boot", version).file(path, 0o644, content).file("boot/other", 0o644, content).write(env)
                };
                let standing = || fs::read_to_string(env.path("root").join(new)).unwrap();
                install(env, &[&pack("1", old, contents[0])]).code(0);
                install(env, &[&pack("2", new, contents[1])]).code(0);
                assert_eq!(standing(), contents[1], "{new}");
                assert_eq!(env.pkg(&["verify", "--unowned", "--root", "root"]).code(0).out, "");
                env.pkg(&["undo", "--root", "root", "-y"]).code(0);
                assert_eq!(standing(), contents[0], "{new}");
                env.pkg(&["verify", "--root", "root"]).code(0);
                install(env, &[&pack("2", new, contents[1])]).code(0);
                env.pkg(&["remove", "boot", "--root", "root", "-y"]).code(0);
                assert_eq!(env.snapshot("root/boot"), []);
            }
        }
    });
}

#[test]
fn a_changed_file_that_gets_another_case_stays() {
    with_boot(|env| {
        let pack = |version: &str, path: &str| Pack::new("boot", version).config(path, version).write(env);
        install(env, &[&pack("1", "boot/Conf")]).code(0);
        env.write("root/boot/Conf", "mine");
        install(env, &[&pack("2", "boot/CONF")]).code(0).err_has(&["`/boot/CONF` was changed by you and stays"]);
        assert_eq!(fs::read_to_string(env.path("root/boot/conf")).unwrap(), "mine");
        assert_eq!(fs::read_to_string(env.path("root/boot/conf.new")).unwrap(), "2");
    });
}

/// What one package has is not another's under another case, not even where it is the same.
#[test]
fn a_file_of_another_package_is_not_taken_under_another_case() {
    with_boot(|env| {
        let pack = |name: &str, path: &str| Pack::new(name, "1").file(path, 0o644, "same").write(env);
        install(env, &[&pack("first", "boot/Dir/x")]).code(0);
        refused(env, &[&pack("second", "boot/dir/x")], 7, &["/boot/dir/x and /boot/Dir/x are one name"]);
        install(env, &[&pack("third", "boot/dir/y")]).code(0);
        env.pkg(&["remove", "third", "--root", "root", "-y"]).code(0);
        // The folder has its old case on the disk.
        install(env, &[&Pack::new("first", "2").file("boot/dir/x", 0o644, "same").write(env)]).code(0);
        refused(env, &[&pack("second", "boot/Dir/x")], 7, &["/boot/Dir/x and /boot/dir/x are one name"]);
        env.pkg(&["verify", "--root", "root"]).code(0);
    });
}

/// A file that somebody gave another case is the package's all the same.
#[test]
fn a_file_that_was_renamed_to_another_case_is_upgraded() {
    with_boot(|env| {
        let pack = |version: &str| Pack::new("boot", version).file("boot/Readme", 0o644, version).write(env);
        install(env, &[&pack("1")]).code(0);
        fs::rename(env.path("root/boot/Readme"), env.path("root/boot/README")).unwrap();
        install(env, &[&pack("2")]).code(0);
        env.pkg(&["verify", "--root", "root"]).code(0);
    });
}

#[test]
fn a_name_that_is_not_taken_is_refused_before_anything_changes() {
    with_boot(|env| {
        let pack = |path: &str| Pack::new("colon", "1").file(path, 0o644, "x").file("share/x", 0o644, "x").write(env);
        install(env, &[&Pack::new("base", "1").file("boot/Config", 0o644, "base").write(env)]).code(0);
        refused(env, &[&pack("boot/a:b")], 7, &["/boot/a:b", "takes no such name"]);
        refused(env, &[&pack("boot/new/a:b")], 7, &["/boot/new/a:b", "takes no such name"]);
        assert!(!env.path("root/share").exists());
    });
}
