//! Questions about what is installed.

use e2e::Env;

/// An application that was asked for, the library that it requires, and something else.
fn env() -> Env {
    let env = Env::new(env!("CARGO_BIN_EXE_pkg-e2e"));
    env.trusted_root();
    for (name, meta) in [
        ("app", ["requires=so:libx.so.1 | other", "description=Draws squares"]),
        ("libx", ["provides=so:libx.so.1", "description=Draws lines"]),
        ("alone", ["description=Does nothing", "url=https://example.org"]),
    ] {
        env.write(&format!("{name}-tree/share/{name}"), name);
        let (tree, file) = (format!("{name}-tree"), format!("{name}.kpkg"));
        let version = ["-m", "version=1.0", "-m", "release=1", "-m", meta[0], "-m", meta[1]];
        env.pkg(&[&["pack", &tree, "-o", &file], &version[..]].concat()).code(0);
        env.pkg(&["trust", "sign", &file, "--key", "key"]).code(0);
    }
    env.pkg(&["install", "--root", "root", "-y", "libx.kpkg", "app.kpkg", "alone.kpkg"]).code(0);
    env
}

#[test]
fn what_packages_require_and_offer_and_who_does() {
    let env = env();
    env.pkg(&["requires", "app", "--root", "root"]).code(0).out_has(&["so:libx.so.1 | other\n"]);
    env.pkg(&["provides", "libx", "--root", "root"]).code(0).out_has(&["libx = 1.0-1\n", "so:libx.so.1\n"]);
    env.pkg(&["what-requires", "so:libx.so.1", "--root", "root"]).code(0).out_has(&["app\n"]);
    env.pkg(&["what-provides", "so:libx.so.1", "--root", "root"]).code(0).out_has(&["libx\n"]);
    env.pkg(&["what-provides", "cmd:none", "--root", "root"]).code(5).err_has(&["cmd:none"]);
    env.pkg(&["requires", "none", "--root", "root"]).code(5);
    let listed = env.pkg(&["requires", "app", "--root", "root", "--json"]).code(0).json();
    assert_eq!(listed["packages"][0]["requires"][0], "so:libx.so.1 | other");
}

#[test]
fn why_a_package_is_there_and_which_one_a_word_means() {
    let env = env();
    let chain = env.pkg(&["why", "app", "--root", "root", "--json"]).code(0).json();
    assert_eq!(chain["packages"][0]["chain"], serde_json::json!(["app"]));
    env.pkg(&["why", "none", "--root", "root"]).code(5);
    env.pkg(&["why", "a*", "--root", "root"]).code(0).out_has(&["alone\n\napp\n"]);
    assert_eq!(env.pkg(&["search", "draws", "LINES", "--root", "root"]).code(0).out, "libx 1.0-1  Draws lines\n");
    assert_eq!(env.pkg(&["search", "d*L?nes", "--root", "root"]).code(0).out, "libx 1.0-1  Draws lines\n");
    env.pkg(&["search", "circles", "--root", "root"]).code(5).err_has(&["`circles`"]);
    env.pkg(&["list", "none*", "--root", "root"]).code(5).err_has(&["`none*`"]);
    // One that nothing fits is told beside those that something does.
    for at in [&[][..], &["--at", "1"]] {
        let some = env.pkg(&[&["list", "a*", "none*", "--root", "root"], at].concat()).code(5);
        assert_eq!(some.out.lines().count(), 2);
        assert_eq!(some.err, "error: no package has a name like `none*`\n");
    }
}

#[test]
fn what_was_done_and_what_was_installed_then() {
    let env = env();
    env.pkg(&["remove", "app", "--root", "root", "-y"]).code(0);
    env.pkg(&["history", "--root", "root"]).code(0).out_has(&["   2 ", "done", "1 package ", "pkg-e2e remove app"]);
    env.pkg(&["history", "2", "--root", "root"])
        .code(0)
        .out_has(&["change       remove    app 1.0-1\n", "no longer app"]);
    let shown = env.pkg(&["history", "1", "--root", "root", "--json"]).code(0).json();
    assert_eq!((&shown["result"], &shown["changes"][0]["op"]), (&"done".into(), &"install".into()));
    assert!(shown["user"]["uid"].is_u64() && shown["seconds"].is_f64());
    let diff = env.pkg(&["history", "diff", "1", "2", "--root", "root"]).code(0);
    assert_eq!(diff.out, "remove    app 1.0-1\n");
    env.pkg(&["list", "--at", "1", "a*", "--root", "root"]).code(0).out_has(&["alone 1.0-1 ", "app 1.0-1 "]);
    env.pkg(&["list", "--at", "9", "--root", "root"]).code(5).err_has(&["no transaction 9"]);
}

#[test]
fn names_paths_and_capabilities_may_be_patterns() {
    let env = env();
    let ask = |words: &[&str]| env.pkg(&[words, &["--root", "root"]].concat());
    ask(&["info", "a*", "--json"]).code(0).out_has(&["\"alone\"", "\"app\""]);
    assert_eq!(ask(&["files", "li*"]).code(0).out, "/share\n/share/libx\n");
    assert_eq!(ask(&["requires", "?pp"]).code(0).out, "so:libx.so.1 | other\n");
    ask(&["provides", "[al]*"]).code(0).out_has(&["alone = 1.0-1", "so:libx.so.1"]);
    ask(&["provides", "x*"]).code(5).err_has(&["no installed package has a name like `x*`"]);
    assert_eq!(ask(&["owner", "/sha*/a*"]).code(0).out, "alone /share/alone\napp /share/app\n");
    assert_eq!(ask(&["owner", "*/alone"]).code(0).out, "alone /share/alone\n");
    ask(&["owner", "alone"])
        .code(5)
        .err_has(&["no package owns `/alone`", "hint: `*/alone` is looked for in all folders"]);
    let owners = ask(&["owner", "/share/li*", "/none*", "--json"]).code(5).json();
    assert_eq!(owners["owners"][0], serde_json::json!({ "path": "/share/libx", "packages": ["libx"] }));
    assert_eq!(owners["owners"][1]["packages"], serde_json::json!([]));
    assert_eq!(ask(&["what-provides", "so:lib*"]).code(0).out, "libx\n");
    assert_eq!(ask(&["what-requires", "so:lib[a-z].so.?"]).code(0).out, "app\n");
    ask(&["what-requires", "cmd:*"]).code(5);
}

#[test]
fn a_root_without_packages_is_told_with_what_to_do() {
    let env = env();
    env.pkg(&["list", "--root", "elsewhere"]).code(1).err_has(&["elsewhere", "hint: `--root DIR` names a folder"]);
    env.write("empty/file", "");
    env.pkg(&["list", "--root", "empty"]).code(5).err_has(&["no install database", "hint: nothing was installed"]);
    let owners = env.pkg(&["owner", "/", "--root", "root", "--json"]).code(5);
    assert_eq!(owners.json()["owners"][0], serde_json::json!({ "path": "/", "packages": [] }));
    owners.err_has(&["no package owns `/`"]);
}

/// A lock as a running installation holds it, for which nothing is recovered yet either.
#[test]
fn no_question_waits_for_one_who_changes_the_root() {
    let env = env();
    let lock = std::fs::File::open(env.path("root/var/lib/kista/lock")).expect("the database has a lock");
    lock.lock().expect("nobody else has it");
    let before = env.snapshot("root/etc");
    let questions: [&[&str]; 13] = [
        &["list"],
        &["info", "app"],
        &["files", "app"],
        &["owner", "/share/app"],
        &["requires", "app"],
        &["provides", "app"],
        &["what-requires", "so:libx.so.1"],
        &["what-provides", "app"],
        &["why", "app"],
        &["search", "draws"],
        &["verify", "--unowned"],
        &["history"],
        &["config", "list"],
    ];
    for question in questions {
        env.pkg(&[question, &["--root", "root"]].concat()).code(0);
        env.pkg(&[question, &["--root", "root", "--json"]].concat()).code(0).json();
    }
    env.pkg(&["remove", "app", "--root", "root", "-y"]).code(9);
    assert_eq!(before, env.snapshot("root/etc"));
}
