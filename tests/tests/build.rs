//! Real builds in the clean room, with the tiny toolchain from the machine's own apt: one bootstrap serves them all.
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "the steps of a test fail as the test does")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

use e2e::terminal::Terminal;
use e2e::{Env, Run};

const RECIPES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../recipes");

#[test]
fn real_builds() {
    let env = Env::new(env!("CARGO_BIN_EXE_pkg-e2e"));
    let bootstrap = env.command(&["bootstrap", "tiny", "--recipes", RECIPES, "--cache", "cache"]).output().unwrap();
    if bootstrap.status.code() == Some(6) {
        let why = String::from_utf8_lossy(&bootstrap.stderr);
        eprintln!("not tested: the bootstrap packages can not be had from apt here\n{why}");
        return;
    }
    assert!(bootstrap.status.success(), "{}", String::from_utf8_lossy(&bootstrap.stderr));
    copy_seeds(&env);
    a_compiler_rebuilds_itself_to_a_fixpoint(&env);
    what_was_built_is_not_built_again(&env);
    a_changed_summary_packs_again_and_builds_nothing(&env);
    the_room_is_clean(&env);
    a_failing_build_shows_its_log_and_leaves_nothing(&env);
    a_build_that_takes_more_than_it_may_is_ended(&env);
    a_failed_build_has_a_shell(&env);
    a_room_has_a_shell_before_anything_is_built(&env);
    a_dynamic_program_in_a_static_recipe_is_refused(&env);
    an_interrupted_build_leaves_nothing(&env);
    what_a_kill_left_is_swept_up(&env);
    two_builds_of_one_recipe_take_turns(&env);
    a_folder_that_is_shut_is_packed_as_it_is(&env);
    pins_that_moved_are_made_anew(&env);
}

/// The recipes of the toolchain and of tcc, in a tree that the tests may add to.
fn copy_seeds(env: &Env) {
    let copied = std::process::Command::new("cp").args(["-r", RECIPES]).arg(env.path("recipes")).status().unwrap();
    assert!(copied.success());
}

fn build<'e>(env: &'e Env, words: &[&str]) -> Run<'e> {
    env.pkg(&[&["build", "--recipes", "recipes", "--cache", "cache"], words].concat())
}

/// A recipe that runs this script with the tiny toolchain.
fn recipe(env: &Env, name: &str, script: &str) {
    let folder = format!("recipes/ga/{name}/1/1");
    env.write(&format!("{folder}/type"), "binary\n");
    env.write(&format!("{folder}/deps"), "toolchain-tiny\n");
    env.write_script(&format!("{folder}/build"), &format!("#!/bin/sh -e\n{script}\n"));
}

/// Folders of work that is over, and logs aside, `builds` holds finished trees only.
fn nothing_is_left(env: &Env) {
    for folder in ["cache/builds", "cache/packages", "cache/trees"] {
        let names = fs::read_dir(env.path(folder)).unwrap().flatten().map(|entry| entry.file_name());
        let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(".kista")).collect();
        assert!(left.is_empty(), "{folder}: {left:?}");
    }
}

fn a_compiler_rebuilds_itself_to_a_fixpoint(env: &Env) {
    build(env, &["tcc", "--into", "root"]).code(0);
    let log = env.pkg(&["log", "tcc", "--recipes", "recipes", "--cache", "cache"]).code(0).out;
    let digests: Vec<&str> = log.lines().filter(|line| line.contains("  stage")).map(|line| &line[..64]).collect();
    assert_eq!(digests.len(), 3, "{log}");
    assert_eq!(digests[1], digests[2], "the compiler that tcc builds builds another one");
    env.pkg(&["sandbox", "--root", "root", "--", "tcc", "-v"]).code(0).out_has(&["tcc version 0.9.27"]);
    env.pkg(&["verify", "--root", "root"]).code(0);
}

fn what_was_built_is_not_built_again(env: &Env) {
    let start = Instant::now();
    build(env, &["tcc"]).code(0).err_has(&["built before, nothing to do"]);
    eprintln!("a second run took {:?}", start.elapsed());
}

fn a_changed_summary_packs_again_and_builds_nothing(env: &Env) {
    recipe(env, "counted", "mkdir -p $DESTDIR/share; echo content > $DESTDIR/share/counted; echo building-now");
    let first = build(env, &["counted"]).code(0).out;
    let log = env.path("cache/builds/counted-1-1.log");
    assert_eq!(fs::read_to_string(&log).unwrap(), "building-now\n");
    fs::remove_file(&log).unwrap();
    env.write("recipes/ga/counted/1/1/meta", "description=now with a summary\n");
    let second = build(env, &["counted"]).code(0).out;
    assert_ne!(first, second);
    assert!(!log.exists(), "the script ran again");
}

fn the_room_is_clean(env: &Env) {
    recipe(
        env,
        "look",
        "mkdir -p $DESTDIR/share
         { id -u; id -g; pwd; hostname; umask; env | sort; ls /; ls /proc/self/fd; cat /proc/self/status | grep -E '^(Cap|NoNew|Seccomp:)'; } > $DESTDIR/share/look
         ! touch /usr/bin/x 2>/dev/null
         ! touch /recipe/x 2>/dev/null",
    );
    let package = build(env, &["look"]).code(0).out.trim().replace("ENV/", "");
    let said = env.pkg(&["cat", &package, "share/look"]).code(0);
    said.out_has(&[
        "1000\n1000\n/build/look-1\nlocalhost\n0022\n",
        "DESTDIR=/dest\n",
        "SOURCE_DATE_EPOCH=",
        "NoNewPrivs:\t1\n",
    ]);
    said.out_has(&["CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n"]);
    for leaked in ["USER=ann", "/home/", &env.path("").display().to_string()] {
        assert!(!said.out.contains(leaked), "{leaked} in:\n{}", said.out);
    }
}

fn a_failing_build_shows_its_log_and_leaves_nothing(env: &Env) {
    recipe(env, "broken", "echo one; echo 'x.c:1: error: no' >&2; for i in $(seq 40); do echo line $i; done; exit 3");
    let said = build(env, &["broken"]).code(1);
    said.err_has(&[
        "broken/1/1: `build` failed with exit status 3",
        "first error: x.c:1: error: no",
        "line 40",
        "`--shell`",
    ]);
    assert!(!said.err.contains("line 15\n") && said.err.contains("line 16\n"), "the last 25 lines:\n{}", said.err);
    nothing_is_left(env);
    recipe(env, "empty", "true");
    build(env, &["empty"]).code(1).err_has(&["installed nothing", "$DESTDIR"]);
    nothing_is_left(env);
    recipe(env, "setid", "mkdir -p $DESTDIR/bin; cp /bin/busybox $DESTDIR/bin/su; chmod 4755 $DESTDIR/bin/su");
    build(env, &["setid"]).code(1).err_has(&["bin/su", "perms"]);
    build(env, &["broken", "--keep"]).code(1).err_has(&["the build's folder: ENV/cache/builds/broken-1-1.failed"]);
    assert!(env.path("cache/builds/broken-1-1.failed/build/broken-1").is_dir());
}

fn a_build_that_takes_more_than_it_may_is_ended(env: &Env) {
    recipe(env, "large", "i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero >$i; done");
    build(env, &["large", "--disk", "20M"]).code(1).err_has(&["large", "disk"]);
    nothing_is_left(env);
}

fn on_a_terminal(env: &Env, words: &[&str]) -> Terminal {
    Terminal::start(&env.command(&[&["build", "--recipes", "recipes", "--cache", "cache"], words].concat()))
}

fn a_failed_build_has_a_shell(env: &Env) {
    let script =
        "sleep 1000 & echo left >/tmp/x; echo part >made; echo staged >$DESTDIR/y; A=b; export A; echo said; exit 7";
    recipe(env, "shelled", script);
    let mut shell = on_a_terminal(env, &["shelled", "--shell-on-failure"]);
    shell.wait_for("`build` failed with exit status 7");
    shell.wait_for("this shell is in its room, as it was left");
    shell.say("cat /tmp/x made /dest/y; pwd; echo version=$PKG_VERSION=");
    for line in ["left", "part", "staged", "/build/shelled-1", "version=1="] {
        shell.wait_for(line);
    }
    shell.say("echo sleepers=$(cat /proc/[0-9]*/cmdline | grep -c [s]leep)=");
    shell.wait_for("sleepers=0=");
    shell.say("sleep 1000 & echo more >/tmp/z; exit 0");
    let (code, rest) = shell.end();
    assert_eq!(code, 1, "{rest}");
    assert!(rest.contains("shelled/1/1: `build` failed with exit status 7") && rest.contains("said"), "{rest}");
    nothing_is_left(env);
}

fn a_room_has_a_shell_before_anything_is_built(env: &Env) {
    let mut shell = on_a_terminal(env, &["shelled", "--shell"]);
    shell.say("echo dir=$PWD=; ls /recipe; ls /tmp | wc -l");
    shell.wait_for("dir=/build/shelled-1=");
    shell.wait_for("build");
    shell.say("exit 4");
    assert_eq!(shell.end().0, 4);
    nothing_is_left(env);
}

fn a_dynamic_program_in_a_static_recipe_is_refused(env: &Env) {
    recipe(env, "dynamic", "mkdir -p $DESTDIR/bin; cp /usr/bin/make $DESTDIR/bin/");
    env.write("recipes/ga/dynamic/1/1/type", "binary static\n");
    build(env, &["dynamic"]).code(1).err_has(&["linked dynamically", "bin/make"]);
}

fn an_interrupted_build_leaves_nothing(env: &Env) {
    recipe(env, "endless", "echo started; while :; do :; done");
    let mut command = env.command(&["build", "endless", "-v", "--recipes", "recipes", "--cache", "cache"]);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("log: ")), "the build began");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2), "{status}");
    nothing_is_left(env);
}

fn what_a_kill_left_is_swept_up(env: &Env) {
    let left = env.path("cache/builds/.kista.0123456789abcdef");
    fs::create_dir_all(left.join("build")).unwrap();
    let lock = fs::File::create(left.join("lock")).unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    fs::File::open(&left).unwrap().set_modified(long_ago).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    build(env, &["tcc"]).code(0);
    assert!(left.exists(), "somebody works there");
    drop(lock);
    build(env, &["tcc"]).code(0);
    assert!(!left.exists());
}

fn two_builds_of_one_recipe_take_turns(env: &Env) {
    recipe(env, "slow", "echo begin; sleep 1; mkdir -p $DESTDIR/share; echo x > $DESTDIR/share/slow");
    let words = ["build", "slow", "--recipes", "recipes", "--cache", "cache"];
    let start = || env.command(&words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let children = [start(), start(), start()];
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    nothing_is_left(env);
}

/// Root reads it all the same, and a user has to get the same package.
fn a_folder_that_is_shut_is_packed_as_it_is(env: &Env) {
    recipe(
        env,
        "shut",
        "mkdir -p $DESTDIR/shut/in; echo x > $DESTDIR/shut/in/x; chmod 0 $DESTDIR/shut/in/x $DESTDIR/shut",
    );
    let package = build(env, &["shut"]).code(0).out.trim().replace("ENV/", "");
    env.pkg(&["inspect", "--files", &package]).code(0).out_has(&["d0000 root:root", "-0000 root:root"]);
}

/// As if Debian had gone on since: the pins of one package are those of an older version.
fn pins_that_moved_are_made_anew(env: &Env) {
    let words = ["bootstrap", "tiny", "--recipes", "recipes", "--cache", "cache", "--relock"];
    env.pkg(&words).code(0);
    let now = fs::read_to_string(env.path("recipes/ga/make/4.3/0/sources")).unwrap();
    let set = fs::read_to_string(env.path("recipes/ga/toolchain-tiny/1/1/rundeps")).unwrap();
    fs::create_dir(env.path("recipes/ga/make/4.2")).unwrap();
    fs::rename(env.path("recipes/ga/make/4.3/0"), env.path("recipes/ga/make/4.2/0")).unwrap();
    fs::remove_dir(env.path("recipes/ga/make/4.3")).unwrap();
    let older = format!("deb make.deb sha256:{} apt:make=4.2-1\n", "1".repeat(64));
    env.write("recipes/ga/make/4.2/0/sources", older);
    for name in ["toolchain-tiny", "toolchain-core"] {
        let path = format!("recipes/ga/{name}/1/1/rundeps");
        let text = fs::read_to_string(env.path(&path)).unwrap();
        env.write(&path, text.replace("make/4.3/0", "make/4.2/0"));
    }
    let said = env.pkg(&words).code(0);
    assert!(said.out.starts_with("make 4.2-1 -> 4.3-"), "{}", said.out);
    assert_eq!(fs::read_to_string(env.path("recipes/ga/make/4.3/0/sources")).unwrap(), now);
    assert_eq!(fs::read_to_string(env.path("recipes/ga/toolchain-tiny/1/1/rundeps")).unwrap(), set);
    assert!(!env.path("recipes/ga/make/4.2").exists());
}
