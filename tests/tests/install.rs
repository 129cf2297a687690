//! A root and its packages: install, remove, questions, verify, recover.
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]
#![expect(clippy::unwrap_used, reason = "what a scene is made of must be there")]

use std::fs;

use e2e::Env;
use e2e::pack::Pack;

fn env() -> Env {
    let env = Env::new(env!("CARGO_BIN_EXE_pkg-e2e"));
    env.trusted_root();
    env
}

#[test]
fn questions_about_what_is_installed() {
    let env = env();
    env.install("hello", &[("bin/hello", "hej"), ("share/hello/doc", "text")]);
    let list = env.pkg(&["list", "--root", "root", "--json"]).code(0).json();
    assert_eq!(list["packages"][0]["name"], "hello");
    assert_eq!(list["packages"][0]["version"], "1.0");
    assert_eq!(list["packages"][0]["wanted"], true);
    assert_eq!(
        env.pkg(&["files", "hello", "--root", "root"]).code(0).out,
        "/bin\n/bin/hello\n/share\n/share/hello\n/share/hello/doc\n"
    );
    assert_eq!(env.pkg(&["owner", "/bin/hello", "--root", "root"]).code(0).out, "hello /bin/hello\n");
    env.pkg(&["owner", "root/bin/hello", "--root", "root"]).code(0);
    env.pkg(&["info", "hello", "--root", "root"]).code(0).out_has(&["hello", "1.0-1"]);
    env.pkg(&["verify", "--root", "root"]).code(0);
}

#[test]
fn what_is_installed_already_is_left_as_it_is() {
    let env = env();
    env.install("hello", &[("bin/hello", "hej")]);
    let transactions =
        || env.pkg(&["history", "--root", "root", "--json"]).code(0).json()["transactions"].as_array().unwrap().len();
    assert_eq!(transactions(), 1);
    let again = ["install", "--root", "root", "-y", "hello.kpkg"];
    let told = env.pkg(&[again.as_slice(), &["--json"]].concat()).code(0).json();
    assert_eq!((told["reason"].as_str(), told["transaction"].is_null()), (Some("finished"), true));
    env.install("other", &[("bin/other", "other")]);
    env.pkg(&again).code(0).err_has(&["nothing was changed"]);
    assert_eq!(transactions(), 2);
    env.pkg(&[again.as_slice(), &["--reinstall"]].concat()).code(0).err_has(&["reinstall hello"]);
    env.pkg(&[again.as_slice(), &["hello.kpkg"]].concat()).code(0).err_has(&["nothing was changed"]);
    assert_eq!(transactions(), 3);
    // The same version with other content is another package, and of two of a name none is taken because the other is there.
    fs::copy(env.path("hello.kpkg"), env.path("first.kpkg")).unwrap();
    fs::copy(env.path("hello.kpkg.sigs"), env.path("first.kpkg.sigs")).unwrap();
    env.install("hello", &[("bin/hello", "hallo")]);
    env.pkg(&[again.as_slice(), &["first.kpkg"]].concat()).code(7).err_has(&["`hello` stands in the plan twice"]);
    assert_eq!(transactions(), 4);
    // Of several only what is missing comes.
    env.pkg(&["remove", "hello", "--root", "root", "-y"]).code(0);
    env.pkg(&["install", "--root", "root", "-y", "hello.kpkg", "other.kpkg"]).code(0).err_has(&["1 package changed"]);
}

#[test]
fn questions_without_an_answer() {
    let env = env();
    env.pkg(&["list", "--root", "root"]).code(5);
    env.install("hello", &[("bin/hello", "hej")]);
    env.pkg(&["list", "nothing*", "--root", "root"]).code(5);
    env.pkg(&["info", "nothing", "--root", "root"]).code(5).err_has(&["`nothing` is not installed"]);
    env.pkg(&["owner", "/bin/nothing", "--root", "root"]).code(5).err_has(&["no package owns"]);
    env.pkg(&["remove", "nothing", "--root", "root", "-y"]).code(5);
}

#[test]
fn a_question_or_a_removal_makes_nothing_in_a_root() {
    let env = env();
    env.pkg(&["remove", "nothing", "--root", "root", "-y"]).code(5);
    env.pkg(&["verify", "--root", "root"]).code(5);
    assert!(!env.path("root/var").exists());
}

#[test]
fn a_removal_needs_no_trust() {
    use std::os::unix::fs::PermissionsExt;
    let env = env();
    env.install("hello", &[("bin/hello", "hej")]);
    fs::set_permissions(env.path("root/etc/trust.d"), fs::Permissions::from_mode(0o777)).unwrap();
    env.pkg(&["remove", "hello", "--root", "root", "-y"]).code(0);
}

#[test]
fn removal_takes_everything_and_leaves_the_rest() {
    let env = env();
    let before = env.snapshot("root/etc");
    env.install("hello", &[("bin/hello", "hej"), ("share/hello/doc", "text")]);
    env.write("root/share/hello/mine", "mine");
    env.pkg(&["remove", "hello", "--root", "root", "-y"]).code(0);
    assert!(!env.path("root/bin").exists());
    assert_eq!(fs::read_to_string(env.path("root/share/hello/mine")).unwrap(), "mine");
    assert_eq!(before, env.snapshot("root/etc"));
}

#[test]
fn an_upgrade_replaces_what_was_there() {
    let env = env();
    env.install("hello", &[("bin/hello", "old"), ("bin/gone", "old")]);
    env.pack_version("hello", "1.1", &[("bin/hello", "new"), ("bin/added", "new")]);
    env.pkg(&["trust", "sign", "hello.kpkg", "--key", "key"]).code(0);
    let events = env.pkg(&["install", "--root", "root", "-y", "--json", "hello.kpkg"]).code(0).events();
    assert_eq!(events[0]["steps"][0]["op"], "upgrade");
    assert_eq!(fs::read_to_string(env.path("root/bin/hello")).unwrap(), "new");
    assert!(!env.path("root/bin/gone").exists() && env.path("root/bin/added").exists());
    env.pkg(&["verify", "--root", "root"]).code(0);
}

#[test]
fn verify_tells_what_differs() {
    let env = env();
    env.install("hello", &[("bin/hello", "hej"), ("bin/other", "x")]);
    fs::write(env.path("root/bin/hello"), "HEJ").unwrap();
    fs::remove_file(env.path("root/bin/other")).unwrap();
    env.pkg(&["verify", "--root", "root"]).code(10).out_has(&["hello /bin/hello content", "hello /bin/other missing"]);
}

#[test]
fn verify_and_fix_tell_what_is_there_and_what_should_be() {
    use std::os::unix::fs::PermissionsExt;
    let env = env();
    env.install("hello", &[("bin/hello", "hej"), ("bin/other", "x")]);
    fs::write(env.path("root/bin/hello"), "hello").unwrap();
    fs::set_permissions(env.path("root/bin/other"), fs::Permissions::from_mode(0o700)).unwrap();
    env.pkg(&["verify", "--root", "root"]).code(10).out_has(&[
        "differs  hello /bin/hello content 5 instead of 3 bytes\n",
        "differs  hello /bin/other mode 0700 instead of 0644\n",
    ]);
    let told = env.pkg(&["verify", "--root", "root", "--json"]).code(10).json();
    let digest = "9c478bf63e9500cb5db1e85ece82f18c8eb9e52e2f9135acd7f10972c8d563ba";
    let content = serde_json::json!([{
        "aspect": "content",
        "expected": { "size": 3, "digest": digest },
        "found": { "size": 5, "digest": null },
    }]);
    let mode = serde_json::json!([{ "aspect": "mode", "expected": "0644", "found": "0700" }]);
    assert_eq!((&told["differences"][0]["details"], &told["differences"][1]["details"]), (&content, &mode));
    let fix = ["fix", "--root", "root", "-n", "--from", "hello.kpkg"];
    env.pkg(&fix).code(0).err_has(&["fix   hello /bin/other mode 0700 instead of 0644\n"]);
    let plan = env.pkg(&[&fix[..], &["--json"]].concat()).code(0).events();
    assert_eq!((&plan[0]["repairs"][0]["details"], &plan[0]["repairs"][1]["details"]), (&content, &mode));
}

/// That everything belongs to the one who installs it is a line; a program that lost its rights is a warning.
#[test]
fn what_could_not_be_given_is_counted_named_and_asked_about() {
    let env = env();
    let null = |version| Pack::new("null", version).file("bin/su", 0o4755, "su").device("dev/null", (1, 3)).write(&env);
    let install = env.pkg(&["install", "--root", "root", "-y", "--json", &null("1")]).code(0);
    let lacking = install.events()[1]["not_given"].clone();
    let verified = env.pkg(&["verify", "--root", "root", "--json"]).code(0).json();
    let info = env.pkg(&["info", "null", "--root", "root", "--json"]).code(0).json();
    assert_eq!((&verified["not_given"], &info["packages"][0]["not_given"]), (&lacking, &lacking));
    if rustix::process::geteuid().is_root() {
        // Where not even root may make devices there is one.
        assert!(lacking.as_array().unwrap().len() < 2, "{lacking}");
        return;
    }
    let device = serde_json::json!({ "package": "null", "path": "/dev/null", "what": ["device"] });
    let program = serde_json::json!({ "package": "null", "path": "/bin/su", "what": ["owner", "setid"] });
    assert_eq!((&lacking[1], &lacking[3]), (&program, &device));
    env.pkg(&["info", "null", "--root", "root"]).code(0).out_has(&["not given    3 owners, 1 setid mode, 1 device\n"]);
    env.pkg(&["verify", "-v", "--root", "root"])
        .code(0)
        .err_has(&["3 owners, 1 setid mode, 1 device", "/bin/su owner,setid"]);
    let install = env.pkg(&["install", "--root", "root", "-y", &null("2")]).code(0);
    install.err_has(&["warning: not given, only recorded: 1 owner, 1 setid mode, 1 device"]);
}

#[test]
fn verify_counts_damage_and_nothing_else() {
    let env = env();
    env.install("hello", &[("bin/hello", "hej")]);
    env.install("other", &[("bin/other", "x")]);
    env.write("root/bin/stray", "x");
    env.pkg(&["verify", "hel*", "--unowned", "--fast", "--root", "root"]).code(0).out_has(&["unowned  /bin/stray"]);
    fs::write(env.path("root/bin/other"), "X").unwrap();
    env.pkg(&["verify", "hel*", "--root", "root"]).code(0);
    env.pkg(&["verify", "nothing*", "--root", "root"]).code(5).err_has(&["like `nothing*`"]);
    let told = env.pkg(&["verify", "--unowned", "--root", "root", "--json"]).code(10).json();
    assert_eq!(told["differences"][0]["path"], "/bin/other");
    assert_eq!(told["differences"][0]["damage"], true);
    assert_eq!(told["unowned"], serde_json::json!(["/bin/stray"]));
}

/// That this process may open no more says nothing of the packages' files.
#[test]
fn who_may_open_few_files_is_told_so_and_finds_no_damage() {
    let env = env();
    let deep = "a/b/c/d/e/f/g/h/file";
    env.install("hello", &[("bin/hello", "hej"), (deep, "x"), ("share/text", "text")]);
    fs::hard_link(env.path("hello-tree").join(deep), env.path("hello-tree/bin/twin")).unwrap();
    env.pkg(&["pack", "hello-tree", "-o", "hello.kpkg", "-m", "version=2"]).code(0);
    env.pkg(&["trust", "sign", "hello.kpkg", "--key", "key"]).code(0);
    env.pkg(&["install", "--root", "root", "-y", "hello.kpkg"]).code(0);
    for words in [&["verify"][..], &["install", "-n", "--reinstall", "hello.kpkg"]] {
        few_files(&env, &[words, &["--root", "root"]].concat());
    }
}

fn few_files(env: &Env, words: &[&str]) {
    let pkg = env.command(words);
    let mut refused = 0;
    for limit in 3..40 {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("ulimit -n {limit}; exec \"$@\""), "sh"]).arg(pkg.get_program());
        let run = command.args(pkg.get_args()).current_dir(env.path("")).output().unwrap();
        let err = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(String::from_utf8_lossy(&run.stdout), "", "{limit}: {err}");
        match run.status.code() {
            Some(0) => {}
            // The loader and sqlite have words of their own.
            _ if !err.contains("Too many open files") => {}
            code => {
                assert_eq!(code, Some(1), "{limit}: {err}");
                assert!(err.contains("hint: raise the limit on open files"), "{limit}: {err}");
                refused += 1;
            }
        }
    }
    assert!(refused > 1);
}

/// For root the kernel knows no such limit.
#[test]
fn who_may_start_no_thread_is_told_so_and_can_verify() {
    if rustix::process::geteuid().is_root() {
        return;
    }
    let env = env();
    env.install("hello", &[("bin/hello", "hej")]);
    env.pack("other", &[("bin/other", "x")]);
    env.pkg(&["trust", "sign", "other.kpkg", "--key", "key"]).code(0);
    let before = env.snapshot("root/bin");
    for words in [&["install", "other.kpkg"][..], &["install", "other.kpkg", "hello.kpkg"], &["remove", "hello"]] {
        let (code, said) = env.without_threads(&[words, &["--root", "root", "-y"]].concat());
        assert_eq!(code, Some(1), "{words:?}: {said}");
        assert!(said.contains("a thread can not be started") && said.contains("hint: raise the limit"), "{said}");
        assert_eq!(env.snapshot("root/bin"), before);
    }
    assert_eq!(env.without_threads(&["verify", "--root", "root"]).0, Some(0));
    let (code, said) = env.without_threads(&["pack", "root", "-o", "whole.kpkg"]);
    assert!(code == Some(1) && said.contains("hint: raise the limit on processes"), "{code:?}: {said}");
    env.pkg(&["recover", "--root", "root"]).code(0);
}

#[test]
fn a_fix_brings_back_what_was_damaged_from_a_package_or_the_cache() {
    let env = env();
    env.install("hello", &[("bin/hello", "hej"), ("share/text", "text")]);
    let fix = |more: &[&str]| env.pkg(&[&["fix", "--root", "root", "--cache", "cache"], more].concat());
    fix(&["-n"]).code(0).err_has(&["everything is as its packages say"]);
    fs::write(env.path("root/bin/hello"), "HEJ").unwrap();
    fs::remove_dir_all(env.path("root/share")).unwrap();
    fix(&["-y"]).code(10).err_has(&[
        "3 bytes: its content is nowhere to be had",
        "hint: `--from FILE` takes contents from a package file",
    ]);
    // As a shell writes `--from *.kpkg`.
    fix(&["-y", "--from", "hello.kpkg", "other.kpkg"]).code(2).err_has(&["`other.kpkg` is a file", "before each"]);
    assert!(env.path("root/share").exists() && !env.path("root/share/text").exists());
    fix(&["-n", "--from", "hello.kpkg"]).code(0).err_has(&["fix   hello /bin/hello content"]);
    env.pack("useless", &[("share/useless", "useless")]);
    fix(&["-n", "--from", "useless.kpkg"]).code(10).err_has(&["`useless.kpkg` has nothing that is needed"]);
    fs::create_dir_all(env.path("cache/packages/key")).unwrap();
    fs::copy(env.path("hello.kpkg"), env.path("cache/packages/key/hello-1.0-1.kpkg")).unwrap();
    let events = fix(&["hello", "-y", "--json"]).code(0).events();
    assert_eq!(events[0]["repairs"][1]["path"], "/share/text");
    assert_eq!(events[1]["restored"], 2);
    env.pkg(&["verify", "--root", "root"]).code(0);
    env.pkg(&["history", "--root", "root"]).code(0).out_has(&["fix"]);
}

#[test]
fn an_installed_package_comes_back_as_the_signed_file_it_was() {
    let env = env();
    env.install("hello", &[("bin/hello", "hej"), ("share/copy", "hej"), ("share/text", "text")]);
    let file = fs::read(env.path("hello.kpkg")).unwrap();
    env.pkg(&["pack", "--installed", "hello", "--root", "root", "-o", "back.kpkg"]).code(0);
    assert_eq!(fs::read(env.path("back.kpkg")).unwrap(), file);
    env.pkg(&["trust", "verify", "back.kpkg", "--root", "root"]).code(0);
    fs::write(env.path("root/bin/hello"), "HEJ").unwrap();
    env.pkg(&["pack", "--installed", "hello", "--root", "root", "-o", "again.kpkg.zst"]).code(0);
    fs::write(env.path("root/share/text"), "TEXT").unwrap();
    let refused = env.pkg(&["pack", "--installed", "hello", "--root", "root", "-o", "third.kpkg"]).code(7);
    refused.err_has(&["not as they were installed: /share/text"]);
    assert!(!env.path("third.kpkg").exists());
    env.pkg(&["trust", "verify", "again.kpkg.zst", "--root", "root"]).code(0);
    env.pkg(&["pack", "--installed", "none", "--root", "root", "-o", "none.kpkg"]).code(5);
}

#[test]
fn two_packages_can_not_bring_one_file() {
    let env = env();
    env.install("first", &[("bin/tool", "one")]);
    env.pack("second", &[("bin/tool", "two")]);
    env.pkg(&["trust", "sign", "second.kpkg", "--key", "key"]).code(0);
    let before = env.snapshot("root/bin");
    env.pkg(&["install", "--root", "root", "-y", "second.kpkg"]).code(7).err_has(&["first", "second", "bin/tool"]);
    assert_eq!(before, env.snapshot("root/bin"));
}

#[test]
fn a_file_that_nobody_owns_is_not_replaced_unasked() {
    let env = env();
    env.write("root/bin/hello", "mine");
    env.pack("hello", &[("bin/hello", "theirs")]);
    env.pkg(&["trust", "sign", "hello.kpkg", "--key", "key"]).code(0);
    env.pkg(&["install", "--root", "root", "-y", "hello.kpkg"]).code(7).err_has(&["bin/hello"]);
    assert_eq!(fs::read_to_string(env.path("root/bin/hello")).unwrap(), "mine");
    env.pkg(&["install", "--root", "root", "-y", "--unowned", "replace", "hello.kpkg"]).code(0);
    assert_eq!(fs::read_to_string(env.path("root/bin/hello")).unwrap(), "theirs");
}

#[test]
fn a_requirement_that_nothing_meets_is_no_solution() {
    let env = env();
    env.pack("hello", &[("bin/hello", "hej")]);
    env.pkg(&["pack", "hello-tree", "-o", "hello.kpkg", "-m", "requires=so:libmissing.so.1"]).code(0);
    env.pkg(&["trust", "sign", "hello.kpkg", "--key", "key"]).code(0);
    env.pkg(&["install", "--root", "root", "-y", "hello.kpkg"]).code(3).err_has(&["so:libmissing.so.1"]);
    let many: Vec<String> = (10..22).map(|number| format!("requires=so:lib{number}.so")).collect();
    let mut words = vec!["pack", "hello-tree", "-o", "hello.kpkg"];
    words.extend(many.iter().flat_map(|requires| ["-m", requires]));
    env.pkg(&words).code(0);
    env.pkg(&["trust", "sign", "hello.kpkg", "--key", "key"]).code(0);
    let few = env.pkg(&["install", "--root", "root", "-y", "hello.kpkg"]).code(3);
    few.err_has(&["lib17", "and 4 more", "hint: `-v` names all", "`--ignore-relations` goes ahead"]);
    assert!(!few.err.contains("lib21"));
    env.pkg(&["install", "--root", "root", "-y", "-v", "hello.kpkg"]).code(3).err_has(&["lib18", "lib21"]);
}

#[test]
fn a_root_that_is_not_there_is_not_made() {
    let env = env();
    env.pack("hello", &[("bin/hello", "hej")]);
    env.pkg(&["install", "--root", "nowhere", "-y", "hello.kpkg"]).code(1).err_has(&["there is no root", "hint:"]);
    assert!(!env.path("nowhere").exists());
}

#[test]
fn a_name_is_no_package_file() {
    let env = env();
    env.pkg(&["install", "--root", "root", "-y", "lua"]).code(5).err_has(&["pkg build lua --into"]);
    env.pkg(&["install", "--root", "root", "-y", "./lua.kpkg"]).code(1);
}

#[test]
fn a_dry_run_changes_nothing() {
    let env = env();
    env.install("hello", &[("bin/hello", "hej")]);
    let before = env.snapshot("root/bin");
    env.pkg(&["remove", "hello", "--root", "root", "-n"]).code(0).err_has(&["remove", "hello"]);
    assert_eq!(before, env.snapshot("root/bin"));
    env.pkg(&["list", "--root", "root"]).code(0);
    // Nor does it make a database where there is none.
    fs::create_dir(env.path("bare")).unwrap();
    env.pkg(&["trust", "key", "add", "key.pub", "--tier", "trusted", "--root", "bare"]).code(0);
    env.pkg(&["install", "--root", "bare", "-n", "hello.kpkg"]).code(0).err_has(&["install   hello"]);
    assert_eq!(env.snapshot_names("bare"), ["etc"]);
}

#[test]
fn nobody_is_kept_waiting_for_an_answer() {
    let env = env();
    env.install("hello", &[("bin/hello", "hej")]);
    env.pkg(&["remove", "hello", "--root", "root"]).code(7).err_has(&["nobody is there to be asked", "-y"]);
}

#[test]
fn two_at_once_are_one_after_the_other_or_refused() {
    let env = env();
    env.install("hello", &[("bin/hello", "hej")]);
    // A lock as a running installation holds it.
    let lock = fs::read_dir(env.path("root/var/lib/kista"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().ends_with("lock"))
        .expect("the database has a lock file");
    let file = fs::File::open(lock).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    env.pkg(&["remove", "hello", "--root", "root", "-y"]).code(9).err_has(&["in use", "hint:"]);
    env.pkg(&["list", "--root", "root"]).code(0);
    drop(file);
    env.pkg(&["remove", "hello", "--root", "root", "-y"]).code(0);
}

#[test]
fn recover_has_nothing_to_do_after_a_good_run() {
    let env = env();
    env.pkg(&["recover", "--root", "root"]).code(5);
    env.install("hello", &[("bin/hello", "hej")]);
    env.pkg(&["recover", "--root", "root"]).code(0);
}

#[test]
fn recovery_comes_to_an_end_although_a_trigger_never_succeeds() {
    let env = Env::new(env!("CARGO_BIN_EXE_pkg-e2e"));
    env.trusted_root();
    env.add_shell("root");
    let tool = Pack::new("tool", "1").file("bin/tool", 0o755, "1").trigger("bin/tool", "exit 3").write(&env);
    env.pkg(&["install", "--root", "root", "-y", &tool]).code(0).err_has(&["`pkg recover` runs it again"]);
    env.pkg(&["recover", "--root", "root"]).code(1).err_has(&["exit status 3; given up", "pkg recover --again"]);
    env.pkg(&["recover", "--root", "root"]).code(0).err_has(&["no transaction was interrupted", "given up"]);
    let told = env.pkg(&["recover", "--root", "root", "--json", "--again"]).code(1).json();
    assert_eq!((told["reason"].as_str(), told["given_up"].as_bool()), (Some("script-failed"), Some(true)));
    env.pkg(&["remove", "--root", "root", "-y", "tool"]).code(0);
}

/// Somebody puts something into the way between a decision and the recovery that carries it out.
#[test]
fn what_was_moved_aside_is_told_at_once_and_afterwards() {
    let env = env();
    decide_to_install_tool(&env);
    env.write("root/bin/tool/theirs", "");

    let json = env.pkg(&["recover", "--root", "root", "--json"]).code(0).json();
    assert_eq!((&json["outcome"], json["notices"].as_array().unwrap().len()), (&"finished".into(), 1));
    assert!(json["notices"][0].as_str().unwrap().contains("it is `bin/tool.save.1` now"), "{json}");
    env.pkg(&["history", "3", "--root", "root"]).code(0).out_has(&["`bin/tool.save.1`"]);
    env.pkg(&["verify", "--root", "root"]).code(0).out_has(&["aside    /bin/tool.save.1 transaction 3"]);
    let json = env.pkg(&["verify", "--root", "root", "--json", "tool"]).code(0).json();
    assert_eq!(json["aside"][0]["before"], "/bin/tool");
    fs::remove_dir_all(env.path("root/bin/tool.save.1")).unwrap();
    assert_eq!(env.pkg(&["verify", "--root", "root"]).code(0).out, "");
}

/// Decides to install `bin/tool`, beside an unowned `bin/kept`, and leaves it at that; the package's file.
fn decide_to_install_tool(env: &Env) -> String {
    let tool = Pack::new("tool", "1").file("bin/tool", 0o755, "1").write(env);
    env.write("root/bin/kept", "");
    env.pkg(&["install", "--root", "root", "-y", &tool]).code(0);
    env.pkg(&["remove", "--root", "root", "-y", "tool"]).code(0);
    let now = pkgtypes::Timestamp::from_seconds(1_800_000_000);
    let mut db = installdb::InstallDb::open(env.path("root")).unwrap();
    let id = db.history().unwrap()[0].changes[0].new.as_ref().unwrap().id;
    let mut request = installdb::Request::new(now);
    request.install = vec![db.past_package(id).unwrap().unwrap()];
    drop(db.plan(request).unwrap().check().unwrap().stage(&mut ()).unwrap().commit().unwrap());
    tool
}

/// The administrator moved a folder to another disk after a crash.
#[test]
fn a_folder_that_is_a_link_now_is_named_and_waited_for() {
    let env = env();
    let tool = decide_to_install_tool(&env);
    fs::rename(env.path("root/bin"), env.path("root/other")).unwrap();
    std::os::unix::fs::symlink("other", env.path("root/bin")).unwrap();
    for verb in [&["recover"][..], &["install", "-y", &tool]] {
        let said = env.pkg(&[verb, &["--root", "root"]].concat()).code(1);
        said.err_has(&[
            "/bin was a folder when this was decided, and is a symbolic link now",
            "hint: put the folder back",
        ]);
    }
    fs::remove_file(env.path("root/bin")).unwrap();
    fs::rename(env.path("root/other"), env.path("root/bin")).unwrap();
    env.pkg(&["recover", "--root", "root"]).code(0);
    assert_eq!(fs::read_to_string(env.path("root/bin/tool")).unwrap(), "1");
}
