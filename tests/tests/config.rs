//! Configuration files that both the administrator and a package changed.
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]

use std::fs;

use e2e::Env;

/// Installs a version of `hello` that has `etc/hello.conf` with this content.
fn install(env: &Env, version: &str, setting: &str) {
    let file = pack(env, version, setting);
    env.pkg(&["install", "--root", "root", "-y", &file]).code(0);
}

fn pack(env: &Env, version: &str, setting: &str) -> String {
    let (file, version) = (format!("hello-{version}.kpkg"), format!("version={version}"));
    env.write("setting", setting);
    let _ = fs::remove_file(env.path("hello.zpkg"));
    env.pkg(&["db", "create", "hello.zpkg", "-m", "name=hello", "-m", &version, "-m", "release=1"]).code(0);
    let added = env.pkg(&["db", "add-blob", "hello.zpkg", "setting", "--json"]).code(0).json();
    let blob = added["blobs"][0]["digest"].as_str().expect("a blob was added");
    env.pkg(&["db", "add-path", "hello.zpkg", "etc", "--type", "dir", "--package", "hello"]).code(0);
    let place = ["add-path", "hello.zpkg", "etc/hello.conf", "--use", "config", "--package", "hello", "--blob", blob];
    env.pkg(&[&["db"], &place[..]].concat()).code(0);
    env.pkg(&["db", "to-kpkg", "hello.zpkg", "-o", &file]).code(0);
    env.pkg(&["trust", "sign", &file, "--key", "key"]).code(0);
    file
}

fn env() -> Env {
    let env = Env::new(env!("CARGO_BIN_EXE_pkg-e2e"));
    env.trusted_root();
    install(&env, "1", "color = red\nsize = 1\n");
    env
}

#[test]
fn a_changed_file_is_listed_compared_and_decided_about() {
    let env = env();
    let config = |words: &[&str]| env.pkg(&[&["config"], words, &["--root", "root"]].concat());
    assert_eq!(config(&["list"]).code(0).out, "");
    config(&["list", "--all"]).code(0).out_has(&["unchanged     hello /etc/hello.conf"]);
    env.write("root/etc/hello.conf", "color = blue\nsize = 1\n");
    let verified = env.pkg(&["verify", "--root", "root"]).code(0);
    assert_eq!(verified.out, "changed  hello /etc/hello.conf content 22 instead of 21 bytes\n");
    // Before it a user is told what he could not give.
    assert!(verified.err.ends_with("nothing is damaged\n"), "{}", verified.err);
    let changes = config(&["diff", "--from", "hello-1.kpkg"]).code(0).out;
    assert_eq!(
        changes,
        "--- /etc/hello.conf (of hello)\n+++ /etc/hello.conf\n@@ -1,2 +1,2 @@\n-color = red\n+color = blue\n size = 1\n"
    );
    config(&["accept", "/etc/hello.conf"]).code(5).err_has(&["no package has left a new version"]);
    pack(&env, "2", "color = red\nsize = 2\n");
    let dry = env.pkg(&["install", "--root", "root", "-n", "hello-2.kpkg"]).code(0);
    dry.err_has(&["`/etc/hello.conf` was changed by you and stays; the package's is `/etc/hello.conf.new`"]);
    let dry = env.pkg(&["install", "--root", "root", "-n", "--json", "hello-2.kpkg"]).code(0).events();
    assert_eq!(dry[0]["notices"].as_array().map(Vec::len), Some(1));
    install(&env, "2", "color = red\nsize = 2\n");
    config(&["list"]).code(0).out_has(&["changed,new   hello /etc/hello.conf"]);
    config(&["diff", "/etc/hello.conf"]).code(0).out_has(&["+++ /etc/hello.conf.new", "-color = blue", "+size = 2"]);
    config(&["accept", "-n", "/etc/hello.conf"]).code(0).err_has(&["/etc/hello.conf.new takes the place of"]);
    let events = config(&["accept", "root/etc/hello.conf", "--json"]).code(0).events();
    assert_eq!(events[0]["saved"], serde_json::json!(["/etc/hello.conf.save"]));
    assert_eq!(fs::read_to_string(env.path("root/etc/hello.conf")).unwrap(), "color = red\nsize = 2\n");
    let listed = config(&["list", "--json"]).code(0).json();
    assert_eq!(
        (&listed["files"][0]["state"], &listed["files"][0]["new"]),
        (&"unchanged".into(), &serde_json::Value::Null)
    );
    assert_eq!(listed["files"][0]["saved"], "/etc/hello.conf.save");
    config(&["diff", "/etc/none"]).code(5).err_has(&["/etc/none is no configuration file"]);
}

#[test]
fn what_is_kept_stays_as_it_is() {
    let env = env();
    let config = |words: &[&str]| env.pkg(&[&["config"], words, &["--root", "root"]].concat());
    env.write("root/etc/hello.conf", "mine\n");
    config(&["diff", "/etc/hello.conf"]).code(0).out_has(&["-color = red", "+mine"]);
    install(&env, "2", "color = green\n");
    config(&["keep", "/etc/hello.conf"]).code(0).err_has(&["1 file kept as yours"]);
    config(&["list"]).code(0).out_has(&["changed       hello /etc/hello.conf"]);
    assert!(!env.path("root/etc/hello.conf.new").exists());
    env.pkg(&["verify", "--root", "root"]).code(0).out_has(&["changed  hello /etc/hello.conf content"]);
}

#[test]
fn what_both_sides_changed_is_merged_where_it_is_not_the_same_lines() {
    let env = env();
    let config = |words: &[&str]| env.pkg(&[&["config"], words, &["--root", "root"]].concat());
    env.write("root/etc/hello.conf", "color = red\nsize = 7\n");
    install(&env, "2", "# the color\ncolor = red\nsize = 1\n");
    config(&["diff", "--base", "/etc/hello.conf"]).code(0).out_has(&["-size = 1", "+size = 7", "+# the color"]);
    config(&["merge", "-n", "/etc/hello.conf"]).code(0).out_has(&["+# the color"]);
    config(&["merge", "/etc/hello.conf"]).code(0).err_has(&["1 file merged", "/etc/hello.conf.save"]);
    assert_eq!(fs::read_to_string(env.path("root/etc/hello.conf")).unwrap(), "# the color\ncolor = red\nsize = 7\n");
    config(&["merge", "/etc/hello.conf"]).code(5);
    install(&env, "3", "color = red\nsize = 3\n");
    config(&["merge", "/etc/hello.conf"]).code(7).err_has(&["the same lines of /etc/hello.conf", "hint:"]);
    config(&["merge", "-n", "/etc/hello.conf"]).code(7).out_has(&["+<<<<<<<", "size = 3"]);
    assert_eq!(fs::read_to_string(env.path("root/etc/hello.conf")).unwrap(), "# the color\ncolor = red\nsize = 7\n");
}

#[test]
fn a_mark_has_a_line_of_its_own_where_the_last_line_has_no_end() {
    let env = env();
    env.write("root/etc/hello.conf", "color = blue");
    install(&env, "2", "color = green");
    let merge = ["config", "merge", "-n", "--json", "/etc/hello.conf", "--root", "root"];
    let plan = env.pkg(&merge).code(7).events();
    let content = plan[0]["files"][0]["content"].as_str().expect("it is text").to_owned();
    let lines =
        ["<<<<<<< ours", "color = blue", "||||||| original", "color = red", "size = 1", "=======", "color = green"];
    assert_eq!(content, [&lines[..], &[">>>>>>> theirs", ""]].concat().join("\n"));
}
