//! Ctrl-C and its kin at any moment of a change: what was before, or what comes, and nothing left to be done.
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]
#![expect(clippy::unwrap_used, reason = "what a scene is made of must be there")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use e2e::Env;
use e2e::pack::Pack;
use pkgformat::ScriptKind;
use rustix::process::{Pid, Signal};

/// System calls before which the signal comes, and how often they are tried at most.
const CALLS: [&str; 8] = ["openat2", "mkdirat", "linkat", "renameat2", "unlinkat", "pwrite64", "fsync", "syncfs"];
const TIMES: usize = 5;

/// Where the kernel lets nobody trace, as in some containers, there is nothing to try.
fn can_trace() -> bool {
    Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|end| end.success())
}

fn version(env: &Env, version: &str) -> String {
    let tool = Pack::new("tool", version).file("bin/tool", 0o755, version).hardlink("bin/twin", "bin/tool");
    let tool = tool.file(&format!("share/{version}/data"), 0o644, &version.repeat(10_000)).config("etc/conf", version);
    tool.write(env)
}

fn env() -> Env {
    let env = Env::new(env!("CARGO_BIN_EXE_pkg-e2e"));
    env.trusted_root();
    let one = version(&env, "1");
    env.pkg(&["install", "--root", "root", "-y", &one]).code(0);
    env.write("root/etc/conf", "mine");
    version(&env, "2");
    env
}

const UPGRADE: [&str; 5] = ["install", "--root", "copy", "-y", "tool-2.kpkg"];

/// A fresh copy of the root to work on.
fn copy(env: &Env) {
    let _ = fs::remove_dir_all(env.path("copy"));
    let copied = Command::new("cp").arg("-a").args([env.path("root"), env.path("copy")]).status();
    assert!(copied.unwrap().success());
}

/// The tree but for our own folder, and what the database says of packages.
fn state(env: &Env) -> (Vec<(PathBuf, String)>, String) {
    let ours = env.path("copy/var/lib/kista");
    let tree = env.snapshot("copy").into_iter().filter(|(path, _)| !path.starts_with(&ours)).collect();
    (tree, env.pkg(&["list", "--root", "copy"]).code(0).out)
}

fn strace(env: &Env, arguments: &[&str]) -> Command {
    let pkg = env.command(&UPGRADE);
    // Whoever runs the tests in the background may have signals ignored.
    let mut command = Command::new("env");
    command
        .args(["--default-signal", "strace", "-qq", "-o"])
        .arg(env.path("trace"))
        .args(arguments)
        .arg(pkg.get_program())
        .args(pkg.get_args());
    command
        .current_dir(pkg.get_current_dir().unwrap())
        .env_clear()
        .envs(pkg.get_envs().map(|(name, value)| (name, value.unwrap())));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// How often each call is made by the first thread. Others are not looked at: each would get a signal of its own, and the
/// second one ends the process at once.
fn counts(env: &Env) -> BTreeMap<&'static str, usize> {
    copy(env);
    let traced = strace(env, &["-e", &format!("trace={}", CALLS.join(","))]).output().unwrap();
    assert!(traced.status.success(), "{}", String::from_utf8_lossy(&traced.stderr));
    let trace = fs::read_to_string(env.path("trace")).unwrap();
    let count = |name: &str| trace.lines().filter(|line| line.starts_with(&format!("{name}("))).count();
    CALLS.iter().map(|name| (*name, count(name))).collect()
}

#[test]
fn a_signal_at_any_moment_leaves_the_old_or_the_new_and_nothing_to_do() {
    if !can_trace() {
        eprintln!("skipped: nothing can be traced here");
        return;
    }
    let env = env();
    copy(&env);
    let old = state(&env);
    env.pkg(&UPGRADE).code(0);
    let new = state(&env);
    assert_ne!(old, new);
    let signals = [("SIGINT", 2), ("SIGTERM", 15), ("SIGHUP", 1)];
    let mut ends = [0, 0];
    let counts = counts(&env);
    assert!(CALLS.iter().all(|call| counts[call] > 0), "{counts:?}");
    for (call, count) in counts {
        let moments = (1..=count).step_by(count.div_ceil(TIMES));
        for (moment, (name, number)) in moments.zip(signals.iter().cycle().skip(call.len())) {
            copy(&env);
            let inject = format!("inject={call}:signal={name}:when={moment}");
            let ended = strace(&env, &["-e", &format!("trace={call}"), "-e", &inject]).output().unwrap();
            let context = format!("{inject} of {count}: {}", String::from_utf8_lossy(&ended.stderr));
            // A thread of another run may make one call less.
            assert!(ended.status.signal() == Some(*number) || ended.status.success(), "{}: {context}", ended.status);
            env.pkg(&["recover", "--root", "copy"]).code(0).err_has(&["no transaction was interrupted"]);
            let found = state(&env);
            assert!(found == old || found == new, "{context}: {found:?}");
            ends[usize::from(found == new)] += 1;
            if found == old {
                env.pkg(&UPGRADE).code(0);
                assert_eq!(state(&env), new, "{context}");
            }
        }
    }
    println!("as before after {}, as it comes after {}", ends[0], ends[1]);
    assert!(ends[0] > 5 && ends[1] > 5, "{ends:?}");
}

/// As `nohup` has it, and a shell for what it runs in the background.
#[test]
fn a_signal_that_the_caller_ignores_stops_nothing() {
    if !can_trace() {
        eprintln!("skipped: nothing can be traced here");
        return;
    }
    let env = env();
    for signal in ["SIGHUP", "SIGINT"] {
        copy(&env);
        let traced = strace(&env, &["-e", "trace=mkdirat", "-e", &format!("inject=mkdirat:signal={signal}:when=1")]);
        let mut command = Command::new("env");
        command.arg(format!("--ignore-signal={signal}")).args(traced.get_args().skip(1)).env_clear();
        command.envs(traced.get_envs().map(|(name, value)| (name, value.unwrap())));
        let ended = command.current_dir(env.path("")).stdin(Stdio::null()).output().unwrap();
        let trace = fs::read_to_string(env.path("trace")).unwrap();
        assert!(trace.contains(&format!("--- {signal}")), "{trace}");
        assert!(ended.status.success(), "{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr));
        env.pkg(&["list", "--root", "copy"]).code(0).out_has(&["tool 2"]);
    }
}

/// Opening the pipe to write waits for the program to have it open.
#[test]
fn who_waits_for_a_pipe_ends_at_the_first_signal() {
    let env = env();
    let pipe = env.path("pipe.kpkg");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    env.pkg(&["db", "add-package", "it.zpkg", "tool-2.kpkg"]).code(0);
    let contents = ["db", "add-blob", "it.zpkg", "pipe.kpkg"];
    let key = ["trust", "key", "add", "pipe.kpkg", "--tier", "senior", "--root", "root"];
    let install = ["install", "--root", "root", "-y", "pipe.kpkg"];
    for words in [&["inspect", "pipe.kpkg"][..], &install, &contents, &key] {
        for bytes in [0, 100] {
            let waiting = env.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let mut writer = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
            writer.write_all(&fs::read(env.path("tool-2.kpkg")).unwrap()[..bytes]).unwrap();
            rustix::process::kill_process(Pid::from_child(&waiting), Signal::TERM).unwrap();
            let ended = waiting.wait_with_output().unwrap();
            assert_eq!(ended.status.signal(), Some(Signal::TERM.as_raw()), "{words:?} {bytes}");
        }
    }
    assert_eq!(env.pkg(&["list", "--root", "root"]).code(0).out, "tool 1-1 noarch\n");
    // What comes in time is taken.
    let waiting = env.command(&["inspect", "pipe.kpkg"]).stdout(Stdio::piped()).spawn().unwrap();
    fs::copy(env.path("tool-2.kpkg"), &pipe).unwrap();
    assert!(waiting.wait_with_output().unwrap().status.success());
}

/// As `ulimit -f` has it.
#[test]
fn a_limit_on_the_size_of_files_is_an_error_and_no_end_in_the_middle() {
    let env = env();
    copy(&env);
    let old = state(&env);
    let pkg = env.command(&UPGRADE);
    let mut refused = 0;
    for limit in [0, 1, 4, 16, 64, 128, 256, 512, 4096] {
        copy(&env);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -f {limit}; exec \"$@\""), "sh"]).arg(pkg.get_program());
        let run = command.args(pkg.get_args()).current_dir(env.path("")).output().unwrap();
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        // Where not even giving up can be written down, that was said.
        let recovered = env.command(&["recover", "--root", "copy"]).output().unwrap().status.code();
        assert!(
            recovered == Some(0) || recovered == Some(8) && said.contains("`pkg recover`"),
            "{recovered:?}: {said}"
        );
        match run.status.code() {
            Some(0) => assert_ne!(state(&env), old),
            code => {
                assert_eq!(code, Some(1), "{limit}: {}: {said}", run.status);
                assert!(said.contains("hint: "), "{said}");
                assert_eq!(state(&env), old, "{limit}: {said}");
                refused += 1;
            }
        }
    }
    assert!(refused > 1);
}

/// The script says that it runs through a pipe, and then does until it is asked to end; the second time it is done at once.
#[test]
fn a_script_after_the_change_is_ended_and_can_be_run_again() {
    let env = Env::new(env!("CARGO_BIN_EXE_pkg-e2e"));
    env.trusted_root();
    env.add_shell("root");
    assert!(Command::new("mkfifo").arg(env.path("root/pipe")).status().unwrap().success());
    let script = "[ -e /asked ] && exit 0; trap ': >/asked; exit 3' TERM; echo begun >/pipe; while :; do :; done";
    let tool = Pack::new("tool", "1").file("bin/tool", 0o755, "1").script(ScriptKind::PostInstall, script).write(&env);
    for signal in [Signal::INT, Signal::TERM] {
        let mut command = env.command(&["install", "--root", "root", "-y", "--reinstall", &tool]);
        let change = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        assert_eq!(fs::read_to_string(env.path("root/pipe")).unwrap(), "begun\n");
        rustix::process::kill_process(Pid::from_child(&change), signal).unwrap();
        let ended = change.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.signal(), Some(signal.as_raw()), "{said}");
        assert!(said.contains("a request to stop") && said.contains("`pkg recover` runs it again"), "{said}");
        assert!(env.path("root/asked").exists());
        env.pkg(&["verify", "--root", "root"]).code(0);
        env.pkg(&["recover", "--root", "root"]).code(0).err_has(&["have succeeded"]);
        fs::remove_file(env.path("root/asked")).unwrap();
    }
}

/// As where the output goes to a program that has ended.
#[test]
fn nobody_who_listens_is_no_reason_to_stop_half_way() {
    let env = env();
    copy(&env);
    env.pkg(&UPGRADE).code(0);
    let new = state(&env);
    for (out, err) in [(true, false), (false, true), (true, true)] {
        copy(&env);
        let gone = || {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            Stdio::from(writer)
        };
        let open = Stdio::null;
        let mut command = env.command(&[&UPGRADE[..], &["--json"]].concat());
        command.stdout(if out { gone() } else { open() }).stderr(if err { gone() } else { open() });
        let ended = command.status().unwrap();
        assert!(ended.success(), "{ended}");
        env.pkg(&["recover", "--root", "copy"]).code(0).err_has(&["no transaction was interrupted"]);
        let found = state(&env);
        assert!(found == new || found.1.contains("tool 1"), "{found:?}");
    }
}
