//! `pkg sandbox` as people use it.
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]
#![expect(clippy::unwrap_used, reason = "the steps of a test fail as the test does")]

use std::fs;

use e2e::Env;
use e2e::terminal::Terminal;

fn env() -> Env {
    Env::new(env!("CARGO_BIN_EXE_pkg-e2e"))
}

/// Runs `pkg sandbox` with the words of a line.
fn words(line: &str) -> Vec<&str> {
    std::iter::once("sandbox").chain(line.split_whitespace()).collect()
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

/// Whether a process is in this namespace, as far as may be seen.
fn is_in_use(namespace: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| fs::read_link(entry.path().join("ns/pid")).ok())
        .any(|link| link.as_os_str() == namespace)
}

/// What a shell in a room says is its process namespace.
fn namespace(shell: &mut Terminal) -> String {
    shell.say("echo ns=$(readlink /proc/self/ns/pid)=");
    shell.wait_for("ns=pid:[");
    let number = shell.wait_for("]=");
    format!("pid:[{}", number.trim_end_matches('='))
}

#[test]
fn the_shell_of_a_failed_command_sees_its_files_and_ends_with_its_exit_code() {
    let (env, before) = (env(), mounts());
    let mut line = words("--shell-on-failure --ro-bind / / --chdir /tmp -- sh -c");
    line.push("echo made >left; sleep 1000 & echo said; exit 3");
    let mut shell = Terminal::start(&env.command(&line));
    shell.wait_for("said");
    shell.wait_for("exit status 3; this shell is in its room");
    shell.say("cat left; pwd; echo procs=$(echo /proc/[0-9]*)=");
    shell.wait_for("made");
    shell.wait_for("/tmp");
    // Its own first process, and itself.
    assert!(shell.wait_for("=").len() < 80 && shell.wait_for("=").split(' ').count() <= 3);
    let namespace = namespace(&mut shell);
    assert!(is_in_use(&namespace));
    shell.say("sleep 1000 & exit 9");
    let (code, rest) = shell.end();
    assert_eq!(code, 3, "the command's, not the shell's\n{rest}");
    assert!(!is_in_use(&namespace));
    assert_eq!(mounts(), before);
}

#[test]
fn a_closed_terminal_ends_the_shell_of_a_failed_command() {
    let (env, before) = (env(), mounts());
    let mut shell = Terminal::start(&env.command(&words("--shell-on-failure --ro-bind / / -- false")));
    shell.wait_for("this shell is in its room");
    let namespace = namespace(&mut shell);
    shell.say("trap '' HUP; setsid sleep 1000 & while :; do sleep 1; done");
    assert!(!shell.close().success());
    // Whoever had it may take a moment to let go.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while is_in_use(&namespace) {
        assert!(std::time::Instant::now() < deadline, "somebody is left");
        std::thread::yield_now();
    }
    assert_eq!(mounts(), before);
}

#[test]
fn a_command_that_succeeds_or_is_stopped_gets_no_shell() {
    let env = env();
    let (code, text) = Terminal::start(&env.command(&words("--shell-on-failure --ro-bind / / -- true"))).end();
    assert_eq!((code, text.as_str()), (0, ""));
    // `cat`, which Ctrl-C ends.
    let mut running = Terminal::start(&env.command(&words("--shell-on-failure --ro-bind / / -- cat")));
    running.say("up");
    running.wait_for("up\r\nup");
    running.press_ctrl_c();
    assert_eq!(running.end().0, 130);
}

#[test]
fn ctrl_c_is_the_commands_as_often_as_it_is_pressed() {
    let env = env();
    let mut line = words("--ro-bind / / -- sh -c");
    line.push("n=0; trap 'n=$((n+1)); echo int$n' INT QUIT; echo up; while [ $n -lt 3 ]; do sleep 0.1; done; exit 5");
    let mut running = Terminal::start(&env.command(&line));
    running.wait_for("up");
    for said in ["int1", "int2", "int3"] {
        running.press_ctrl_c();
        running.wait_for(said);
    }
    assert_eq!(running.end().0, 5, "the command decided what it means");
}

#[test]
fn a_line_from_bubblewraps_manual_runs() {
    let env = env();
    let merged = ["bin", "lib", "lib64", "sbin"].iter().filter(|name| fs::exists(format!("/usr/{name}")).unwrap());
    let links: String = merged.map(|name| format!("--symlink usr/{name} /{name} ")).collect();
    let line = format!(
        "--ro-bind /usr /usr --dir /tmp --dir /var --symlink ../tmp var/tmp --proc /proc --dev /dev {links} --chdir / \
         --unshare-all --die-with-parent --new-session --cap-drop ALL --dir /run/user/1000 --setenv A b --hostname h \
         --uid 7 --gid 8 /bin/sh -c"
    );
    let mut line = words(&line);
    line.push("readlink /var/tmp /bin; ls -d /run/user/1000; id -u; id -g; uname -n; echo $A; touch /x");
    let said = env.pkg(&line).code(1);
    assert_eq!(said.out, "../tmp\nusr/bin\n/run/user/1000\n7\n8\nh\nb\n");
    said.err_has(&["Read-only file system"]);
}

#[test]
fn codes_are_the_commands_and_125_says_what_to_do() {
    let env = env();
    env.pkg(&["sandbox", "--ro-bind", "/", "/", "sh", "-c", "exit 42"]).code(42);
    env.pkg(&["sandbox", "--ro-bind", "/", "/", "sh", "-c", "kill -9 $$"]).code(137);
    env.pkg(&words("-- /bin/sh")).code(125).err_has(&["error:", "/bin/sh"]);
    env.pkg(&words("--root missing -- /bin/sh")).code(125).err_has(&["opening the root missing", "No such file"]);
    env.pkg(&words("--ro-bind / / --chdir /no/such -- true"))
        .code(125)
        .err_has(&["entering the working directory /no/such: No such file"]);
    env.write("file", "");
    env.pkg(&words("--ro-bind / / --bind file /mnt -- true")).code(125).err_has(&["mounting /mnt", "of a file only"]);
    env.pkg(&words("--ro-bind / / --tmpfs /a/../b -- true")).code(125).err_has(&["must not contain '..'"]);
    env.pkg(&words("--ro-bind / / --root / -- true")).code(2).err_has(&["more than one root"]);
    env.pkg(&words("--ro-bind / / --memory 100K -- true")).code(125).err_has(&["is less than the"]);
    env.pkg(&words("--no-such-option -- true")).code(2);
    env.pkg(&words("--ro-bind / /")).code(2);
}

#[test]
fn a_reader_that_has_gone_is_told_by_the_code_alone() {
    let env = env();
    for options in ["--ro-bind / / -- yes", "--pty --ro-bind / / -- yes"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = env.command(&words(options));
        let ended = command.stdout(writer).output().unwrap();
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(141), &b""[..]), "{options}");
    }
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let ended = env.command(&words("--pty --ro-bind / / -- yes")).stdout(full).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
}

#[test]
fn a_limit_that_ends_a_room_is_named() {
    let env = env();
    let out = env.path("out");
    fs::create_dir(&out).unwrap();
    let out = out.display().to_string();
    for (options, script, name) in [
        ("--timeout 0.2", "sleep 1000", "the time limit"),
        ("--ulimit-file 1M", "exec head -c 2000000 /dev/zero >/tmp/x", "the limit on file size"),
        ("--disk 1M", "head -c 9000000 /dev/zero >/mnt/x", "the limit on disk space"),
        (
            "--ulimit-nofile 6",
            "exec 3</dev/null 4</dev/null 5</dev/null; while :; do :; done",
            "the limit on open files",
        ),
        ("--memory 50M", "head -c 200000000 /dev/zero | sort -S 150M", "the limit on memory"),
        (
            "--pids 5",
            "sleep 0.3; for i in 1 2 3; do sleep 1000 & done; sleep 1; sleep 1000 & sleep 1000 & wait",
            "the limit on processes",
        ),
    ] {
        let mut line = words(options);
        line.extend(["--ro-bind", "/", "/", "--bind", &out, "/mnt"]);
        line.retain(|word| *word != "--ro-bind" && *word != "/");
        line.extend(["--ro-bind", "/", "/", "--", "sh", "-c", script]);
        // Without a control group a program that gets no memory may end by itself.
        let output = env.command(&line).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(name) || (options.contains("memory") && !output.status.success()), "{options}: {said}");
    }
}
