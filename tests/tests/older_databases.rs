//! Roots that older programs left, in the middle of a change: this one goes on with them (data/README.md says how they
//! were made).
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]
#![expect(clippy::unwrap_used, reason = "the steps of a test fail as the test does")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use e2e::Env;

/// An environment with such a root, which trusts its key.
fn left_by(version: u32) -> Env {
    let env = Env::new(env!("CARGO_BIN_EXE_pkg-e2e"));
    env.trusted_root();
    fs::rename(env.path("root/etc/trust.d"), env.path("keys")).unwrap();
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("data/root-v{version}.kpkg.zst"));
    env.pkg(&["unpack", packed.to_str().unwrap(), "-C", "root", "--into-existing"]).code(0);
    fs::rename(env.path("keys"), env.path("root/etc/trust.d")).unwrap();
    env
}

fn database(env: &Env) -> Vec<u8> {
    fs::read(env.path("root/var/lib/kista/install.db")).unwrap()
}

fn read(env: &Env, path: &str) -> String {
    fs::read_to_string(env.path("root").join(path)).unwrap()
}

#[test]
fn questions_are_answered_and_change_nothing() {
    for version in 1..=3 {
        let env = left_by(version);
        let before = database(&env);
        let ask = |words: &[&str]| env.pkg(&[words, &["--root", "root"]].concat()).code(0);
        assert_eq!(ask(&["list"]).out, "hello 2-1 noarch\nother 2-1 noarch\n", "{version}");
        assert_eq!(ask(&["list", "--at", "3"]).out, "hello 2-1 noarch\nother 1-1 noarch\ntool 1-1 noarch\n");
        ask(&["history"]).out_has(&["4 ", "pkg remove tool"]);
        ask(&["history", "2"]).out_has(&["hello 1-1 -> 2-1"]);
        assert_eq!(ask(&["owner", "/usr/share/other/data"]).out, "other /usr/share/other/data\n");
        ask(&["config", "list"]).out_has(&["changed,new   hello /etc/hello.conf"]);
        ask(&["info", "hello"]).out_has(&["MIT"]);
        // Half of the change is still to come.
        let verified = env.pkg(&["verify", "--unowned", "--root", "root"]).code(10);
        verified.out_has(&["other /usr/share/other/data"]).err_has(&["transaction 5 is under way or was interrupted"]);
        assert!(!verified.out.contains(".kista."), "{}", verified.out);
        assert!(before == database(&env), "{version}");
    }
}

#[test]
fn an_interrupted_change_is_finished_and_everything_can_be_taken_back() {
    for version in 1..=3 {
        let env = left_by(version);
        let go = |words: &[&str]| env.pkg(&[words, &["--root", "root", "-y"]].concat()).code(0);
        env.pkg(&["recover", "--root", "root"]).code(0);
        assert_eq!(read(&env, "usr/share/other/data"), "data of other 2\n", "{version}");
        let assert_verified = |differing: &str| {
            // To the program that left the root everything belonged to root, and not every user can give it to him.
            if fs::metadata("/proc/self").unwrap().uid() == 0 {
                assert_eq!(env.pkg(&["verify", "--root", "root"]).code(0).out, differing);
            }
        };
        assert_verified("changed  hello /etc/hello.conf content 22 instead of 21 bytes\n");
        go(&["undo"]);
        assert_eq!(read(&env, "usr/share/other/data"), "data of other 1\n");
        go(&["undo", "4"]);
        assert_eq!(read(&env, "etc/tool.conf"), "tool\n");
        env.pkg(&["config", "accept", "/etc/hello.conf", "--root", "root"]).code(0);
        assert_eq!(read(&env, "etc/hello.conf.save"), "color = blue\nsize = 1\n");
        assert_verified("");
        env.pack_version("hello", "3.0", &[("usr/share/hello/data", "data of hello 3\n")]);
        env.pkg(&["trust", "sign", "hello.kpkg", "--key", "key"]).code(0);
        go(&["install", "hello.kpkg"]);
        assert_eq!(read(&env, "usr/share/hello/data"), "data of hello 3\n");
        assert_verified("");
        go(&["remove", "hello"]);
        go(&["undo"]);
        go(&["undo", "9"]);
        assert_eq!(read(&env, "etc/hello.conf"), "color = red\nsize = 2\n");
        go(&["rollback", "3"]);
        assert_eq!(read(&env, "usr/share/hello/data"), "data of hello 2\n");
        assert_eq!(read(&env, "usr/share/tool/data"), "data of tool 1\n");
        go(&["rollback", "0"]);
        assert_eq!(env.pkg(&["list", "--root", "root"]).code(0).out, "");
        assert!(!env.path("root/usr").exists());
        go(&["gc"]);
    }
}
