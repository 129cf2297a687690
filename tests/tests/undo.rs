//! Going back: undo, rollback, and what is kept for them.
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]

use std::fs;

use e2e::Env;

/// `hello` and `other` installed, and both upgraded in one step.
fn env() -> Env {
    let env = Env::new(env!("CARGO_BIN_EXE_pkg-e2e"));
    env.trusted_root();
    env.install("hello", &[("bin/hello", "one"), ("share/gone", "gone")]);
    env.install("other", &[("bin/other", "one of the other")]);
    fs::create_dir(env.path("first")).expect("the scratch folder is ours");
    for name in ["hello.kpkg", "other.kpkg"] {
        fs::rename(env.path(name), env.path("first").join(name)).expect("it was packed there");
    }
    env.pack_version("hello", "2.0", &[("bin/hello", "two")]);
    env.pack_version("other", "2.0", &[("bin/other", "two of the other")]);
    env.pkg(&["trust", "sign", "hello.kpkg", "other.kpkg", "--key", "key"]).code(0);
    env.pkg(&["install", "--root", "root", "-y", "hello.kpkg", "other.kpkg"]).code(0);
    env
}

fn list(env: &Env) -> String {
    env.pkg(&["list", "--root", "root"]).code(0).out
}

#[test]
fn an_upgrade_is_undone_and_done_again() {
    let env = env();
    let (tree, upgraded) = (env.snapshot("root/bin"), list(&env));
    let plan = env.pkg(&["undo", "--root", "root", "-n", "--json"]).code(0).events();
    assert_eq!((&plan[0]["reason"], &plan[0]["steps"][0]["op"]), (&"plan".into(), &"downgrade".into()));
    assert_eq!(env.snapshot("root/bin"), tree, "a plan changes nothing");
    env.pkg(&["undo", "--root", "root"]).code(7).err_has(&["nobody is there to be asked"]);
    env.pkg(&["undo", "--root", "root", "-y"])
        .code(0)
        .err_has(&["downgrade hello 2.0-1 -> 1.0-1", "transaction 4 done"]);
    assert_eq!(list(&env).matches(" 1.0-1 ").count(), 2);
    assert_eq!(fs::read_to_string(env.path("root/share/gone")).unwrap(), "gone");
    env.pkg(&["verify", "--root", "root"]).code(0);
    env.pkg(&["undo", "--root", "root", "-y"]).code(0);
    assert_eq!((env.snapshot("root/bin"), list(&env)), (tree, upgraded));
    env.pkg(&["undo", "1", "--root", "root", "-y"])
        .code(7)
        .err_has(&["transaction 5 changed `hello`", "pkg rollback 0"]);
}

#[test]
fn everything_goes_back_to_what_it_was_then() {
    let env = env();
    env.pkg(&["rollback", "1", "--root", "root", "-y"]).code(0);
    assert!(list(&env).starts_with("hello 1.0-1 ") && list(&env).lines().count() == 1);
    env.pkg(&["rollback", "1", "--root", "root", "-y"]).code(0).err_has(&["nothing was changed"]);
    env.pkg(&["rollback", "0", "--root", "root", "-y"]).code(0);
    assert!(!env.path("root/bin").exists());
    env.pkg(&["rollback", "3", "--root", "root", "-y"]).code(0);
    assert_eq!(fs::read_to_string(env.path("root/bin/other")).unwrap(), "two of the other");
    env.pkg(&["why", "hello", "--root", "root"]).code(0);
    env.pkg(&["rollback", "99", "--root", "root", "-y"]).code(5).err_has(&["no transaction 99"]);
}

#[test]
fn a_root_without_a_past_has_nothing_to_undo_and_gets_none() {
    let env = Env::new(env!("CARGO_BIN_EXE_pkg-e2e"));
    fs::create_dir(env.path("root")).unwrap();
    env.pkg(&["undo", "--root", "root", "-y"]).code(5);
    env.pkg(&["gc", "--root", "root", "-y"]).code(5);
    assert!(env.snapshot_names("root").is_empty());
}

#[test]
fn what_was_forgotten_is_named_and_comes_from_files_or_stays() {
    let env = env();
    env.pkg(&["gc", "--all", "--root", "root", "-n"]).code(0).err_has(&["3 kept contents", "transactions up to 3"]);
    env.pkg(&["gc", "--all", "--root", "root", "-y"]).code(0).err_has(&["kept: 0 contents"]);
    env.pkg(&["verify", "--root", "root"]).code(0);
    let (tree, upgraded) = (env.snapshot("root/bin"), list(&env));
    env.pkg(&["undo", "--root", "root", "-y"]).code(7).err_has(&[
        "`hello` can not be brought back",
        "`other`",
        "--cache DIR",
    ]);
    assert_eq!((env.snapshot("root/bin"), list(&env)), (tree, upgraded));
    fs::remove_file(env.path("first/other.kpkg")).unwrap();
    let words = ["undo", "--root", "root", "-y", "--cache", "first"];
    env.pkg(&words).code(7).err_has(&["`other` can not be brought back"]);
    env.pkg(&[&words[..], &["--skip-missing"]].concat())
        .code(0)
        .err_has(&["`other` can not be brought back", "it stays as it is"]);
    assert!(list(&env).contains("hello 1.0-1 ") && list(&env).contains("other 2.0-1 "));
    env.pkg(&["verify", "--root", "root"]).code(0);
    env.pkg(&["info", "hello", "--root", "root"]).code(0);
}

#[test]
fn bounds_of_what_is_kept_are_remembered() {
    let env = env();
    let kept = |words: &[&str]| {
        let told = env.pkg(&[&["gc", "--root", "root", "-y", "--json"], words].concat()).code(0).events();
        told.last().unwrap().clone()
    };
    assert_eq!(
        kept(&[])["bounds"],
        serde_json::json!({ "transactions": 100, "seconds": 2_592_000, "bytes": 2_u64 << 30 })
    );
    let set = kept(&["--keep-transactions", "none", "--keep-days", "7", "--keep-size", "0"]);
    assert_eq!(set["bounds"], serde_json::json!({ "transactions": null, "seconds": 604_800, "bytes": 0 }));
    assert_eq!((&set["contents"], &set["horizon"]), (&0.into(), &3.into()));
    assert_eq!(kept(&[])["bounds"], set["bounds"]);
    env.pkg(&["gc", "--keep-size", "2x", "--root", "root"]).code(2);
}

#[test]
fn what_gave_way_comes_back_and_what_can_not_is_said_before() {
    let env = Env::new(env!("CARGO_BIN_EXE_pkg-e2e"));
    env.trusted_root();
    env.write("root/bin/hello", "mine");
    env.pack_version("hello", "1.0", &[("bin/hello", "the package's")]);
    env.pkg(&["trust", "sign", "hello.kpkg", "--key", "key"]).code(0);
    let install = ["install", "--root", "root", "--unowned", "replace", "hello.kpkg"];
    let hello = || fs::read_to_string(env.path("root/bin/hello")).expect("it is there");
    env.pkg(&[&install[..], &["-n"]].concat()).code(0).err_has(&["`/bin/hello`", "an undo brings it back"]);
    env.pkg(&[&install[..], &["-y"]].concat()).code(0);
    assert_eq!(hello(), "the package's");
    let undo = ["undo", "--root", "root"];
    env.pkg(&[&undo[..], &["-n"]].concat()).code(0).err_has(&["`/bin/hello`, which stood there before, comes back"]);
    env.pkg(&[&undo[..], &["-y"]].concat()).code(0);
    assert_eq!(hello(), "mine");
    env.pkg(&[&undo[..], &["-y"]].concat()).code(0);
    assert_eq!(hello(), "the package's");
    env.pkg(&["gc", "--root", "root", "--all", "-y"]).code(0);
    env.pkg(&[&undo[..], &["-n"]].concat()).code(0).err_has(&["`/bin/hello` does not come back", "it is not kept"]);
}
