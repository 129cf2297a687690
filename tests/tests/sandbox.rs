//! `pkg sandbox` as people use it.
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]
#![expect(clippy::unwrap_used, reason = "the steps of a test fail as the test does")]

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

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

/// Whether a process runs in this namespace, as far as may be seen.
fn is_in_use(namespace: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let is_there =
        |process: &PathBuf| fs::read_link(process.join("ns/pid")).is_ok_and(|link| link.as_os_str() == namespace);
    let has_ended = |process: PathBuf| fs::read_to_string(process.join("stat")).is_ok_and(|stat| stat.contains(") Z "));
    processes.filter(is_there).any(|process| !has_ended(process))
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
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
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
fn the_terminal_has_a_name_in_the_room() {
    let env = env();
    for line in ["--ro-bind / / -- tty", "--ro-bind / / --shell -- tty"] {
        let (code, text) = Terminal::start(&env.command(&words(line))).end();
        assert_eq!((code, text.as_str()), (0, "/dev/console\r\n"));
    }
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

/// Runs a script that calls `pkg` by `$PKG`, in a folder with nothing but `files`.
fn script(env: &Env, files: &[(&str, &str)], text: &str) -> (i32, String, String) {
    for (name, content) in files {
        env.write(name, content);
    }
    let pkg = env.command(&[]);
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", text]).env("PKG", pkg.get_program());
    shell.current_dir(pkg.get_current_dir().unwrap());
    let ended = shell.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (ended.status.code().unwrap(), text(&ended.stdout), text(&ended.stderr))
}

/// A line as flatpak writes it: options and files by descriptors.
#[test]
fn a_line_as_flatpak_writes_it_runs() {
    let env = env();
    let options = "--unshare-pid --unshare-ipc --die-with-parent --proc /proc --dev /dev --ro-bind /usr /usr \
        --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 \
        --perms 0700 --dir /run/user/1000 --file 5 /.flatpak-info --ro-bind-data 6 /etc/passwd \
        --perms 0600 --ro-bind-data 7 /run/user/1000/.info --size 65536 --tmpfs /var/cache \
        --setenv XDG_RUNTIME_DIR /run/user/1000 --dev-bind-try /dev/zero /dev/given/zero --mqueue /dev/mqueue";
    let options = options.replace(' ', "\0");
    let text = "exec $PKG sandbox --args 4 --info-fd 8 --json-status-fd 9 -- sh -c '
        cat /.flatpak-info /etc/passwd /run/user/1000/.info
        stat -c \"%a %n\" /run/user/1000 /run/user/1000/.info /.flatpak-info
        stat -f -c %b*%s /var/cache; head -c1 /dev/given/zero | wc -c; echo $XDG_RUNTIME_DIR
        cd /proc/self/fd && echo ?
    ' 4<options 5<info 6<passwd 7<info 8>pid 9>status";
    let files = [("options", &*options), ("info", "[Application]\n"), ("passwd", "u:x:1000:1000::/:/bin/sh\n")];
    let (code, out, err) = script(&env, &files, text);
    let seen = "[Application]\nu:x:1000:1000::/:/bin/sh\n[Application]\n700 /run/user/1000\n600 /run/user/1000/.info\n\
        666 /.flatpak-info\n16*4096\n1\n/run/user/1000\n0 1 2 3\n";
    assert_eq!((code, out.as_str()), (0, seen), "{err}");
    let lines: Vec<serde_json::Value> = fs::read_to_string(env.path("status"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0]["child-pid"].as_u64().unwrap() > 1);
    assert_eq!(lines[1], serde_json::json!({ "exit-code": 0 }));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&fs::read_to_string(env.path("pid")).unwrap()).unwrap(),
        lines[0]
    );
}

/// As NixOS runs foreign programs, and as blogs hide things.
#[test]
fn lines_of_wrappers_and_blogs_run() {
    let env = env();
    env.write("home/secret", "s");
    env.write("home/own/file", "f");
    let line = "--dev-bind /dev /dev --proc /proc --chdir / --die-with-parent --ro-bind-try /nix /nix --ro-bind /usr /usr \
        --tmpfs /usr/share --symlink /etc/ld.so.conf /usr/share/ld.so.conf --remount-ro /usr/share \
        --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 --ro-bind /etc /etc --tmpfs /etc/ssl \
        -- sh -c";
    let mut nix = words(line);
    nix.push("ls -A /usr/share /etc/ssl; test -c /dev/null; head -c1 /dev/urandom | wc -c; touch /usr/share/x 2>/dev/null || echo closed");
    assert_eq!(env.pkg(&nix).code(0).out, "/etc/ssl:\n\n/usr/share:\nld.so.conf\n1\nclosed\n");
    let (_, out, err) = script(
        &env,
        &[],
        "exec $PKG sandbox --ro-bind / / --dev /dev --bind $PWD $PWD --tmpfs $PWD/home \
        --bind $PWD/home/own $PWD/home/own --chdir $PWD -- sh -c 'ls home; cat home/own/file; echo new >made'",
    );
    assert_eq!((out.as_str(), fs::read_to_string(env.path("made")).unwrap().as_str()), ("own\nf", "new\n"), "{err}");
    // What comes later hides what came before.
    let (code, out, err) =
        script(&env, &[], "exec $PKG sandbox --ro-bind / / --bind $PWD/home/own /mnt/own --tmpfs /mnt ls -A /mnt");
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    // A place that the host has not, and what wrappers put twice, the last one counting.
    let line = "--unshare-cgroup --unshare-cgroup-try --die-with-parent --die-with-parent --uid 7 --uid 9 --chdir /nowhere \
        --chdir /absent --hostname a --hostname b";
    let line = format!(
        "exec $PKG sandbox --ro-bind / / --bind $PWD/home/own /absent {line} sh -c 'hostname; id -u; cat file'"
    );
    assert_eq!(script(&env, &[], &line), (0, "b\n9\nf".to_owned(), String::new()));
    let written = env.pkg(&words(
        "--tmpfs / --ro-bind /usr /usr --symlink usr/lib64 /lib64 --symlink usr/lib /lib /usr/bin/touch /x",
    ));
    written.code(0);
    env.pkg(&words("--ro-bind / / --dev-bind / / true")).code(2).err_has(&["no devices", "--dev-bind /dev /dev"]);
    env.pkg(&words("--ro-bind / / --file 0 /etc/x true")).code(125).err_has(&["writing /etc/x", "mount the data"]);
    env.pkg(&words("--args 99 true")).code(2).err_has(&["--args descriptor 99"]);
}

#[test]
fn events_on_standard_output_tell_all_of_a_room() {
    let env = env();
    let mut line = words("--json --ro-bind / / --timeout 100 -- sh -c");
    line.push("printf 'a\\303'; sleep 0; printf '\\251\\n'; echo no >&2; printf '\\377'; exit 3");
    let ended = env.pkg(&line).code(3);
    assert_eq!(ended.err, "");
    let events: Vec<serde_json::Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = |stream: &str| -> String {
        let of = events.iter().filter(|event| event["reason"] == "output" && event["stream"] == stream);
        of.map(|event| event["text"].as_str().unwrap()).collect()
    };
    assert_eq!((events[0]["reason"].as_str(), said("stdout").as_str()), (Some("started"), "aé\n\u{fffd}"));
    assert_eq!(said("stderr"), "no\n");
    let last = events.last().unwrap();
    assert_eq!((&last["reason"], &last["exit_code"]), (&"finished".into(), &3.into()));
    let failed = env.pkg(&words("--json --root missing true")).code(125);
    failed.err_has(&["opening the root missing"]);
    let event: serde_json::Value = serde_json::from_str(&failed.out).unwrap();
    assert_eq!((&event["reason"], &event["exit_code"], &event["errno"]), (&"finished".into(), &125.into(), &2.into()));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = env.command(&words("--json --ro-bind / / -- yes")).stdout(writer).output().unwrap();
    assert_eq!(ended.status.code(), Some(141));
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
    for (line, hint) in [
        ("--ro-bind / / /etc", "name a program"),
        ("--ro-bind / / --bind /etc/passwd/x /mnt true", "on the way to it is a file"),
        ("--ro-bind /usr /usr --symlink usr/lib /lib --symlink usr /lib true", "leave the link out"),
        ("--ro-bind / / --chmod 700 /no/such true", "name what is in it"),
        ("--ro-bind / / --chmod 700 /usr true", "is read-only"),
    ] {
        env.pkg(&words(line)).code(125).err_has(&[hint]);
    }
    env.write("file", "");
    env.pkg(&words("--ro-bind / / --bind file /mnt -- true")).code(125).err_has(&["mounting /mnt", "of a file only"]);
    env.pkg(&words("--ro-bind / / --root / -- true")).code(2).err_has(&["more than one root"]);
    env.pkg(&words("--no-such-option -- true")).code(2);
    env.pkg(&words("--ro-bind / /")).code(2);
}

#[test]
fn a_line_that_describes_no_room_is_a_wrong_one() {
    let env = env();
    let long = "h".repeat(65);
    let lines = [
        ("--tmpfs /a/../b", "must not contain '..'"),
        ("--memory 100K", "is less than the"),
        ("--uid 4294967295", "does not exist"),
        ("--id-range 9 --uid 9", "not within a range of 9 ids"),
        ("--chdir here", "must be absolute"),
        ("--setenv A=B c", "not the name of an environment variable"),
        ("--unsetenv PATH", "no PATH"),
        ("--size 0 --tmpfs /x", "give it a size"),
        (&*format!("--hostname {long}"), "1 to 64 bytes"),
    ];
    for (options, why) in lines {
        env.pkg(&words(&format!("--ro-bind / / {options} -- true"))).code(2).err_has(&["error:", why]);
    }
    let failed = env.pkg(&words("--json --ro-bind / / --uid 4294967295 -- true")).code(2);
    let event: serde_json::Value = serde_json::from_str(&failed.out).unwrap();
    assert_eq!((&event["reason"], &event["exit_code"]), (&"finished".into(), &2.into()));
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
fn a_reader_who_takes_his_time_holds_up_neither_a_limit_nor_a_signal() {
    let env = env();
    let script = "readlink /proc/self/ns/pid >&3; head -c 1000000 /dev/zero | tr '\\0' a; exec sleep 1000";
    for mode in ["--json", "--pty"] {
        for limit in ["--timeout 1", ""] {
            let mut line = words(mode);
            line.extend(limit.split_whitespace());
            line.extend(["--ro-bind", "/", "/", "--bind", ".", "/mnt", "--", "sh", "-c"]);
            let script = script.replace("&3", "/mnt/namespace");
            line.push(&script);
            let mut command = env.command(&line);
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let namespace = loop {
                let told = fs::read_to_string(env.path("namespace")).unwrap_or_default();
                if told.ends_with('\n') {
                    break told.trim().to_owned();
                }
                std::thread::sleep(Duration::from_millis(10));
            };
            if limit.is_empty() {
                let pid = rustix::process::Pid::from_child(&child);
                rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
                assert_eq!(child.wait().unwrap().signal(), Some(15), "{mode}");
            } else {
                while is_in_use(&namespace) {
                    std::thread::sleep(Duration::from_millis(10));
                }
                let ended = child.wait_with_output().unwrap();
                assert_eq!(ended.status.code(), Some(137), "{mode}");
                assert!(String::from_utf8_lossy(&ended.stderr).contains("the time limit"));
            }
            assert!(!is_in_use(&namespace));
            fs::remove_file(env.path("namespace")).unwrap();
        }
    }
}

#[test]
fn a_command_that_ends_well_in_spite_of_a_limit_is_not_taken_for_one_that_did() {
    let env = env();
    let mut line = words("--ro-bind / / --json-status 1 --grace 60 --timeout 0.3 -- sh -c");
    line.push("trap 'exit 0' TERM; while :; do sleep 0.01; done");
    let ended = env.pkg(&line).code(137);
    ended.err_has(&["the room reached the time limit"]);
    let status: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&status["exit_code"], &status["exit"]["code"]), (&137.into(), &0.into()));
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
        let output = env.command(&line).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(name), "{options}: {said}");
    }
}
