//! How rooms end: exactly as the program did, at a limit, or with the caller.
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod harness;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{Base, is_probe, run, stdout};
use sandbox::{Exit, Input, Limit, Output};
use tempfile::TempDir;

#[test]
fn case_33_exit_codes_are_exact() {
    let base = Base::new();
    for code in [0u8, 1, 2, 100, 125, 126, 127, 128, 129, 137, 255] {
        assert_eq!(run(&base.sh(&format!("exit {code}"))).0.exit, Exit::Code(code));
    }
}

#[test]
fn case_33_signals_are_exact_though_a_plain_first_process_would_ignore_them() {
    let base = Base::new();
    for signal in [1u8, 2, 3, 4, 6, 7, 8, 9, 10, 11, 13, 14, 15, 24, 30, 31] {
        let (outcome, ..) = run(&base.sh(&format!("kill -{signal} $$; exit 77")));
        assert_eq!(outcome.exit, Exit::Signal(signal));
        assert_eq!(outcome.cause, None);
    }
}

#[test]
fn case_28_what_runs_in_the_background_ends_with_the_program() {
    let base = Base::new();
    let (read, write) = std::io::pipe().unwrap();
    let mut room = base.sh("(trap '' HUP TERM INT; setsid sleep 1000 & ) & echo started >&5; exit 3");
    room.fds.push(sandbox::InheritedFd { source: write.as_raw_fd(), target: 5 });
    let child = room.spawn().unwrap();
    drop(write);
    assert_eq!(child.wait().unwrap().exit, Exit::Code(3));
    let mut text = String::new();
    // The end of the pipe: nobody who held it is left.
    BufReader::new(read).read_to_string(&mut text).unwrap();
    assert_eq!(text, "started\n");
}

#[test]
fn case_31_a_program_may_close_its_output_and_go_on() {
    let base = Base::new();
    let (outcome, out, _) = run(&base.sh("echo before; exec >&- 2>&-; sleep 0.2; exit 9"));
    assert_eq!((outcome.exit, out.as_str()), (Exit::Code(9), "before\n"));
}

#[test]
fn output_written_just_before_the_end_is_not_lost() {
    let base = Base::new();
    let out = stdout(&base.sh("head -c 60000 /dev/zero; echo end"));
    assert_eq!(out.len(), 60004);
    assert!(out.ends_with("end\n"));
}

#[test]
fn both_outputs_in_one_pipe_keep_their_order() {
    let base = Base::new();
    let mut room = base.sh("for i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; done");
    room.stderr = Output::Same;
    let (outcome, out, err) = room.output().unwrap();
    assert!(outcome.success() && err.is_empty());
    let expected: String = (1..10).map(|i| format!("out {i}\nerr {i}\n")).collect();
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn case_32_the_time_limit_ends_a_program_that_ignores_signals() {
    let base = Base::new();
    let mut room = base.sh("trap '' TERM INT HUP; while :; do sleep 1000; done");
    room.limits.wall = Some(Duration::from_millis(200));
    let (outcome, ..) = run(&room);
    assert_eq!((outcome.exit, outcome.cause), (Exit::Signal(9), Some(Limit::Wall)));
    assert!(outcome.usage.wall < harness::LONG);
}

#[test]
fn case_32_the_time_limit_ends_a_program_that_stopped_itself() {
    let base = Base::new();
    let mut room = base.sh("kill -STOP $$");
    room.limits.wall = Some(Duration::from_millis(200));
    assert_eq!(run(&room).0.cause, Some(Limit::Wall));
}

/// A sink that takes nothing as long as the room is there, and is then given the same again.
#[test]
fn case_32_the_time_limit_holds_while_nobody_takes_the_output() {
    let base = Base::new();
    for (script, exit) in [("echo one; sleep 1000", Exit::Signal(9)), ("echo one; exit 3", Exit::Code(3))] {
        let mut room = base.sh(script);
        room.limits.wall = (exit == Exit::Signal(9)).then_some(Duration::from_millis(200));
        let child = room.spawn().unwrap();
        let stat = format!("/proc/{}/stat", child.id());
        let (mut refused, mut taken) = (0, Vec::new());
        let outcome = child.wait_with(|_, bytes| {
            assert_eq!(bytes, b"one\n");
            if std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
                refused += 1;
                return Err(std::io::ErrorKind::WouldBlock.into());
            }
            taken.extend_from_slice(bytes);
            Ok(())
        });
        let outcome = outcome.unwrap();
        assert_eq!((outcome.exit, outcome.cause), (exit, room.limits.wall.map(|_| Limit::Wall)));
        assert_eq!(taken, b"one\n");
        assert!(refused > 0 || exit == Exit::Code(3));
    }
}

/// The state of the program of a room, by the kernel's letter.
fn state_of_the_program(init: u32) -> Option<char> {
    let children = std::fs::read_to_string(format!("/proc/{init}/task/{init}/children")).ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", children.split_whitespace().next()?)).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[test]
fn case_32_a_grace_time_lets_everything_inside_end_by_itself() {
    let base = Base::new();
    let grace = Some(Duration::from_secs(60));
    // Not only the program is asked, and one that stopped itself hears it.
    let both = "trap 'wait; exit 7' TERM; (trap 'echo bye; exit 0' TERM; echo up; while :; do :; done) & wait; exit 9";
    let stopped = "trap 'echo bye; exit 7' TERM; echo up; kill -STOP $$; exit 9";
    for (script, state) in [(both, 'S'), (stopped, 'T')] {
        let mut room = base.sh(script);
        room.limits.grace = grace;
        let child = room.spawn().unwrap();
        let (init, text) = (child.id(), std::cell::RefCell::new(Vec::new()));
        let outcome = child.wait_while(
            |_, bytes| {
                text.borrow_mut().extend_from_slice(bytes);
                Ok(())
            },
            || !text.borrow().starts_with(b"up\n") || state_of_the_program(init) != Some(state),
        );
        let outcome = outcome.unwrap();
        assert_eq!((outcome.exit, outcome.cause), (Exit::Code(7), Some(Limit::Stopped)), "{script}");
        assert_eq!(text.into_inner(), b"up\nbye\n");
    }
    let mut room = base.sh("trap 'exit 7' TERM; while :; do :; done");
    (room.limits.wall, room.limits.grace) = (Some(Duration::from_millis(300)), grace);
    let (outcome, ..) = run(&room);
    assert_eq!(outcome.cause, Some(Limit::Wall));
    // It may not have come as far as its trap.
    assert!([Exit::Code(7), Exit::Signal(15)].contains(&outcome.exit), "{outcome:?}");
}

#[test]
fn case_32_who_does_not_use_the_grace_time_is_ended_after_it() {
    let base = Base::new();
    let mut room = base.sh("trap '' TERM; echo up; while :; do sleep 1000; done");
    room.limits.grace = Some(Duration::from_millis(300));
    let up = std::cell::Cell::new(false);
    let outcome = room.spawn().unwrap().wait_while(
        |_, _| {
            up.set(true);
            Ok(())
        },
        || !up.get(),
    );
    let outcome = outcome.unwrap();
    assert_eq!((outcome.exit, outcome.cause), (Exit::Signal(9), Some(Limit::Stopped)));
    assert!(outcome.usage.wall >= Duration::from_millis(300));
    // What runs away is ended at once.
    let mut room = base.sh("trap 'exit 7' TERM; yes; exit 7");
    (room.limits.log_bytes, room.limits.grace) = (Some(1000), Some(Duration::from_secs(60)));
    let (outcome, ..) = run(&room);
    assert_eq!((outcome.exit, outcome.cause), (Exit::Signal(9), Some(Limit::LogBytes)));
}

#[test]
fn case_31_silence_ends_the_room_and_output_postpones_it() {
    let base = Base::new();
    let mut seen = Vec::new();
    // On a machine that takes its time, in longer terms.
    for scale in [1u32, 5, 25] {
        let pause = scale * 200;
        let script = format!("for i in 1 2 3 4; do echo $i; sleep {}; done; sleep 1000", f64::from(pause) / 1000.0);
        let mut room = base.sh(&script);
        room.limits.silence = Some(Duration::from_millis(3 * u64::from(pause)));
        let (outcome, out, _) = run(&room);
        seen.push((outcome.cause, out));
        if seen.last() == Some(&(Some(Limit::Silence), "1\n2\n3\n4\n".to_owned())) {
            return;
        }
    }
    panic!("{seen:?}");
}

#[test]
fn case_31_a_flood_of_output_is_cut_at_the_limit_and_named() {
    let base = Base::new();
    let mut room = base.sh("yes; exit 0");
    room.limits.log_bytes = Some(100_000);
    let (outcome, out, err) = run(&room);
    assert_eq!(outcome.cause, Some(Limit::LogBytes));
    assert_eq!(out.len() + err.len(), 100_000);
}

/// Whether a room that has ended at its bound of processes is always told: by a group that counts, or by an init that is bounded as
/// the program is.
fn is_named() -> bool {
    !harness::root() || sandbox::probe().groups.works()
}

#[test]
fn case_27_a_fork_bomb_stops_at_the_limit_and_nothing_is_left() {
    let base = Base::new();
    let (mut read, write) = std::io::pipe().unwrap();
    let mut room = base.sh("i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done; wait");
    room.fds.push(sandbox::InheritedFd { source: write.as_raw_fd(), target: 5 });
    room.limits.processes = Some(20);
    room.limits.wall = Some(harness::LONG);
    let child = room.spawn().unwrap();
    drop(write);
    let outcome = child.wait().unwrap();
    // The shell gives up when it can fork no more, or it is seen at the bound before.
    if is_named() {
        assert_eq!(outcome.cause, Some(Limit::Processes), "{outcome:?}");
    }
    assert!(!outcome.success(), "{outcome:?}");
    assert_eq!(read.read(&mut [0u8; 1]).unwrap(), 0);
}

#[test]
fn a_room_at_its_bound_of_processes_is_named() {
    let base = Base::new();
    // Where nobody counts, it is seen at the bound; otherwise the kernel tells that it refused one more.
    let mut room =
        base.sh("sleep 0.3; for i in 1 2 3 4 5 6; do sleep 1000 & done; sleep 1; sleep 1000 & sleep 1000 & wait");
    room.limits.processes = Some(8);
    room.limits.wall = Some(harness::LONG);
    assert_eq!(run(&room).0.cause, Some(Limit::Processes));
}

#[test]
fn case_29_memory_of_one_process_is_bounded() {
    let base = Base::new();
    // One is over it for a moment and ends by itself; one would be for ever.
    for script in ["exec dd if=/dev/zero of=/dev/null bs=300M count=1", "exec tail /dev/zero"] {
        let mut room = base.sh(script);
        room.limits.memory = Some(100 << 20);
        room.limits.wall = Some(harness::LONG);
        let (outcome, ..) = run(&room);
        assert_eq!(outcome.cause, Some(Limit::Memory), "{script}: {outcome:?}");
        if sandbox::probe().groups.works() {
            assert!(outcome.usage.max_rss.is_none_or(|most| most < 200 << 20), "{outcome:?}");
        }
    }
    // Address space that is not used is nobody's loss, whoever counts.
    let mut room = base.sh("exec sort -S 400M /dev/null");
    room.limits.memory = Some(30 << 20);
    let (outcome, _, err) = run(&room);
    assert!(outcome.success(), "{outcome:?} {err}");
}

#[test]
fn case_29_memory_of_all_processes_together_is_bounded() {
    let base = Base::new();
    // Each holds 60 MB of a pipe's input that never ends.
    let one = "(head -c 60000000 /dev/zero; sleep 1000) | sort -S 100M >/dev/null &";
    let mut room = base.sh(&format!("{one} {one} {one} wait"));
    room.limits.memory = Some(130 << 20);
    room.limits.wall = Some(harness::LONG);
    assert_eq!(run(&room).0.cause, Some(Limit::Memory));
}

#[test]
fn case_29_the_kernels_killing_for_want_of_memory_is_named() {
    if !sandbox::probe().groups.works() {
        return;
    }
    let base = Base::new();
    // Memory of one process, of a file system in memory, and of many processes, each of them small.
    let many =
        "for i in 1 2 3 4 5 6; do (head -c 30000000 /dev/zero; sleep 1000) | sort -S 50M >/dev/null & done; wait";
    for script in
        ["exec dd if=/dev/zero of=/dev/null bs=300M count=1", "head -c 200000000 /dev/zero >/dev/shm/x; exit 0", many]
    {
        let mut room = base.sh(script);
        room.limits.memory = Some(100 << 20);
        room.limits.wall = Some(harness::LONG);
        assert_eq!(run(&room).0.cause, Some(Limit::Memory), "{script}");
    }
}

/// The control groups that process `pid` has made.
fn groups_of(pid: u32) -> Vec<String> {
    let found = Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name", &format!("room-{pid}-*")]).output();
    String::from_utf8(found.unwrap().stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Makes a room with limits, and tells which groups there are while it runs and after.
#[test]
fn grouper() {
    if !is_probe("grouper") {
        return;
    }
    let base = Base::new();
    let mut room = base.sh("cut -d: -f3 /proc/self/cgroup | sort -u; echo UP; sleep 1000");
    (room.limits.memory, room.limits.processes) = (Some(1 << 30), Some(50));
    let mut child = room.spawn().unwrap();
    println!("\nDURING {}", groups_of(std::process::id()).len());
    let mut lines = BufReader::new(child.take_stdout().unwrap()).lines();
    println!("\nINSIDE {}", lines.next().unwrap().unwrap());
    if std::env::var_os("HOLD").is_some() {
        println!("\nUP");
        child.wait().unwrap();
        return;
    }
    drop(child);
    println!("\nAFTER {}{}", groups_of(std::process::id()).len(), sweepers_of(std::process::id()).len());
}

#[test]
fn no_control_group_is_left_also_by_a_caller_that_is_killed() {
    if !sandbox::probe().groups.works() {
        return;
    }
    let scratch = TempDir::new().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .env("TMPDIR", scratch.path())
        .args(["--exact", "grouper", "--nocapture"])
        .env("PROBE", "grouper")
        .stderr(Stdio::null());
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(!text.contains("DURING 0") && text.contains("INSIDE /\n") && text.contains("AFTER 00"), "{text}");
    let mut holder = command.env("HOLD", "1").stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(holder.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("UP") {
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "the helper ended early");
    }
    assert!(!groups_of(holder.id()).is_empty());
    holder.kill().unwrap();
    holder.wait().unwrap();
    // The processes in it take a moment to go; no other room has a part in this.
    until("a control group was left", || groups_of(holder.id()).is_empty());
}

/// Waits for what others do, and not for ever.
fn until(else_: &str, is_so: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + harness::LONG;
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "{else_}");
        std::thread::yield_now();
    }
}

/// What is in a folder.
fn entries(path: &std::path::Path) -> Vec<String> {
    let found = Command::new("find").arg(path).args(["-mindepth", "1", "-printf", "%P %y %s\n"]).output().unwrap();
    let mut lines: Vec<_> = String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.retain(|line| !line.contains(" d "));
    lines.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()));
    lines.sort();
    lines
}

/// The processes that `pid` started to clean up after it.
fn sweepers_of(pid: u32) -> Vec<String> {
    let lists = Command::new("sh").arg("-c").arg("cat /proc/$0/task/*/children").arg(pid.to_string()).output().unwrap();
    let children = String::from_utf8(lists.stdout).unwrap();
    children.split_whitespace().filter(|pid| is_sweeper(pid)).map(str::to_owned).collect()
}

/// Whether this is such a process, and no dead one.
fn is_sweeper(pid: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"room-sweeper\0"))
}

/// A room whose root, in the folder `HOLD`, lacks all mount points, and which has a control group where that can be.
fn bare(dir: &std::path::Path) -> sandbox::Room {
    let mut room = sandbox::Room::new(sandbox::Root::dir(dir, sandbox::Access::Rw), "/usr/bin/sh");
    harness::dress(&mut room, "echo made >/kept; echo UP; sleep 1000");
    for name in ["bin", "lib", "lib64"] {
        room.mounts.push(sandbox::Mount::Link { target: format!("/{name}").into(), to: format!("usr/{name}").into() });
    }
    room.bind_ro("/etc/passwd", "/deep/in/it/passwd").tmpfs("/deep/below", 1 << 16);
    (room.limits.memory, room.limits.processes) = (Some(1 << 30), Some(50));
    room
}

/// Makes such a room and waits.
#[test]
fn barer() {
    if !is_probe("barer") {
        return;
    }
    println!("\nNOW");
    let mut room = bare(std::path::Path::new(&std::env::var_os("HOLD").unwrap()));
    (room.stdout, room.stderr) = (Output::Inherit, Output::Inherit);
    let child = room.spawn().unwrap();
    println!("\nINIT {}", child.id());
    let _ = child.wait();
}

/// Runs `barer` in a process group of its own until it has said `word`.
fn barer_until(dir: &std::path::Path, word: &str) -> (std::process::Child, BufReader<std::process::ChildStdout>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "barer", "--nocapture"]).env("PROBE", "barer").env("HOLD", dir);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut holder = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = BufReader::new(holder.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(word) {
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "the helper ended early");
    }
    (holder, out)
}

#[test]
fn no_mount_point_is_left_in_a_writable_root() {
    let dir = TempDir::new().unwrap();
    let mut room = bare(dir.path());
    room.args[1] = "echo made >/kept; cat /deep/in/it/passwd".into();
    assert!(!stdout(&room).is_empty());
    // What the program wrote stays, and the links that were asked for.
    assert_eq!(entries(dir.path()), ["bin", "bin l 7", "kept", "kept f 5", "lib", "lib l 7", "lib64", "lib64 l 9"]);
    // A file that somebody outside made of one is not thrown away.
    let mut child = bare(dir.path()).spawn().unwrap();
    BufReader::new(child.take_stdout().unwrap()).read_line(&mut String::new()).unwrap();
    harness::write(dir.path().join("deep/in/it/passwd"), "mine");
    drop(child);
    assert_eq!(std::fs::read_to_string(dir.path().join("deep/in/it/passwd")).unwrap(), "mine");
}

#[test]
fn the_first_of_two_rooms_on_one_root_takes_nothing_from_the_second() {
    let dir = TempDir::new().unwrap();
    let first = bare(dir.path()).spawn().unwrap();
    let mut room = bare(dir.path());
    room.args[1] =
        "echo UP; until [ -e /go ]; do :; done; cat /proc/self/comm; echo x >/dev/null; ls /deep/in/it".into();
    let mut second = room.spawn().unwrap();
    let mut out = BufReader::new(second.take_stdout().unwrap());
    out.read_line(&mut String::new()).unwrap();
    drop(first);
    harness::write(dir.path().join("go"), "");
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(second.wait().unwrap().success());
    assert_eq!(rest, "cat\npasswd\n");
    // The next one has the root for itself, and removes what it makes.
    let there = |name: &str| dir.path().join(name).is_dir();
    assert!(there("proc") && there("dev"));
    rustix::fs::rmdir(dir.path().join("proc")).unwrap();
    drop(bare(dir.path()).spawn().unwrap());
    assert!(!there("proc") && there("dev"));
}

#[test]
fn no_mount_point_is_left_by_a_caller_that_is_killed_together_with_all_he_started() {
    for (turn, word) in ["INIT", "UP"].into_iter().cycle().take(6).enumerate() {
        let dir = TempDir::new().unwrap();
        let (mut holder, mut out) = barer_until(dir.path(), word);
        let sweepers = sweepers_of(holder.id());
        assert!(!sweepers.is_empty(), "turn {turn}");
        let group = rustix::process::Pid::from_raw(holder.id() as i32).unwrap();
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        holder.wait().unwrap();
        ends(&mut out);
        let is_left = |line: &String| !["bin", "lib", "kept"].iter().any(|name| line.starts_with(name));
        until("mount points were left", || !entries(dir.path()).iter().any(is_left));
        until("a control group was left", || groups_of(holder.id()).is_empty());
        until("the process that cleans up goes on", || !sweepers.iter().any(|pid| is_sweeper(pid)));
    }
}

#[test]
fn a_caller_that_is_killed_takes_nothing_from_another_room_on_the_same_root() {
    let dir = TempDir::new().unwrap();
    let (mut holder, mut held) = barer_until(dir.path(), "UP");
    let mut room = bare(dir.path());
    room.args[1] = "echo UP; until [ -e /go ]; do :; done; cat /proc/self/comm; ls /deep/in/it".into();
    let mut second = room.spawn().unwrap();
    let mut out = BufReader::new(second.take_stdout().unwrap());
    out.read_line(&mut String::new()).unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
    ends(&mut held);
    harness::write(dir.path().join("go"), "");
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "cat\npasswd\n");
    drop(second);
    let is_left = |line: &String| !["bin", "lib", "kept", "go"].iter().any(|name| line.starts_with(name));
    until("mount points were left", || !entries(dir.path()).iter().any(is_left));
}

#[test]
fn case_43_a_caller_killed_at_any_moment_leaves_no_folder() {
    let dir = TempDir::new().unwrap();
    // Later and later, until some were late enough.
    let (mut before, mut after, mut micros) = (0, 0, 100);
    while after < 4 {
        let (mut holder, mut out) = barer_until(dir.path(), "NOW");
        // Waits for what never comes, to be somewhere in the set-up when the time is over.
        let moment = rustix::event::Timespec::try_from(Duration::from_micros(micros)).unwrap();
        micros += micros / 12;
        rustix::event::poll(&mut [], Some(&moment)).unwrap();
        holder.kill().unwrap();
        holder.wait().unwrap();
        let mut said = String::new();
        out.read_to_string(&mut said).unwrap();
        *if said.contains("UP") { &mut after } else { &mut before } += 1;
        let is_left = |line: &String| !["bin", "lib", "kept"].iter().any(|name| line.starts_with(name));
        until("mount points were left", || !entries(dir.path()).iter().any(is_left));
        until("a control group was left", || groups_of(holder.id()).is_empty());
    }
    assert!(before > 0, "no moment was within the set-up");
}

#[test]
fn case_30_a_file_beyond_its_limit_is_named() {
    let base = Base::new();
    let mut room = base.sh("exec head -c 2000000 /dev/zero >/tmp/big");
    room.limits.file_size = Some(1 << 20);
    let (outcome, ..) = run(&room);
    assert_eq!((outcome.exit, outcome.cause), (Exit::Signal(25), Some(Limit::FileSize)));
}

#[test]
fn open_files_are_bounded() {
    let base = Base::new();
    let mut room = base.sh("ulimit -n; ulimit -Hn; ulimit -c");
    room.limits.open_files = Some(77);
    assert_eq!(stdout(&room), "77\n77\n0\n");
}

#[test]
fn too_many_open_files_end_the_room_and_are_named() {
    let base = Base::new();
    let script = "i=3; while [ $i -lt 9 ]; do eval \"exec $i</dev/null\"; i=$((i+1)); done; while :; do :; done";
    let mut room = base.sh(script);
    room.limits.open_files = Some(9);
    room.limits.wall = Some(harness::LONG);
    assert_eq!(run(&room).0.cause, Some(Limit::OpenFiles));
    // One more than are open.
    let mut room = base.sh(&script.replace("while :; do :; done", "exit 0"));
    room.limits.open_files = Some(11);
    assert!(run(&room).0.success());
}

/// A room whose `/out` and `/more` lie on the disk and may grow by a mebibyte together.
fn on_the_disk(base: &Base, dir: &std::path::Path, script: &str) -> sandbox::Room {
    let mut room = base.sh(script);
    for name in ["out", "more"] {
        let path = dir.join(name);
        if !path.exists() {
            harness::write(harness::mkdir(&path).join("before"), &"x".repeat(3 << 20));
        }
        room.bind_rw(path, format!("/{name}"));
    }
    room.limits.disk = Some(1 << 20);
    room.limits.wall = Some(harness::LONG);
    room
}

#[test]
fn case_30_what_a_room_writes_to_the_disk_is_bounded_and_named() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let fits =
        "head -c 900000 /dev/zero >/out/x; rm /more/before; head -c 3000000 /dev/zero >/more/y; ln /out/x /out/z";
    assert!(run(&on_the_disk(&base, dir.path(), fits)).0.success());
    let again = on_the_disk(&base, dir.path(), "head -c 900000 /dev/zero >/out/more; rm /out/x /out/z");
    assert!(run(&again).0.success(), "what was there before does not count");
    // Running and over at once; over at the end; in many files, in two folders, in files without content.
    let busy = "head -c 9000000 /dev/zero >/out/big; sleep 1000";
    let both = "head -c 600000 /dev/zero >/out/half; head -c 600000 /dev/zero >/more/half";
    let empty = "seq -f /out/%g 2000 | xargs touch";
    let deep = "cd /out; i=0; while [ $i -lt 300 ]; do mkdir ddddddddddddddd; cd ddddddddddddddd; i=$((i+1)); done; \
        head -c 2000000 /dev/zero >x; sleep 1000";
    // A file that has lost its name, held by two processes.
    let nameless = "exec 3>/out/gone; rm /out/gone; head -c 2000000 /dev/zero >&3; sleep 1000";
    for script in [busy, "head -c 9000000 /dev/zero >/out/big", both, empty, deep, nameless] {
        let fresh = TempDir::new().unwrap();
        let (outcome, ..) = run(&on_the_disk(&base, fresh.path(), script));
        assert_eq!(outcome.cause, Some(Limit::Disk), "{script}");
    }
}

#[test]
fn case_30_a_writable_root_and_an_upper_folder_are_bounded_too() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let script = "head -c 9000000 /dev/zero >/etc/big; exit 0";
    let mut room = sandbox::Room::new(sandbox::Root::dir(base.path(), sandbox::Access::Rw), "/bin/sh");
    harness::dress(&mut room, script);
    room.limits.disk = Some(1 << 20);
    assert_eq!(run(&room).0.cause, Some(Limit::Disk));
    std::fs::remove_file(base.path().join("etc/big")).unwrap();
    let [upper, work] = ["upper", "work"].map(|name| harness::mkdir(dir.path().join(name)));
    let upper = sandbox::Upper::Dir { upper, work };
    room.root = sandbox::Root::Overlay { layers: vec![base.path().to_owned()], upper };
    assert_eq!(run(&room).0.cause, Some(Limit::Disk));
    assert!(!base.path().join("etc/big").exists());
    // What is in memory has a bound of its own.
    room.args = vec!["-c".into(), "head -c 9000000 /dev/zero >/tmp/big".into()];
    room.limits.disk = Some(20 << 20);
    assert!(run(&room).0.success());
}

#[test]
fn case_30_memory_file_systems_are_full_at_their_size() {
    let base = Base::new();
    let mut room = base.sh(
        "head -c 3000000 /dev/zero >/tmp/x; echo $?; stat -c %s /tmp/x; head -c 1 /dev/zero >/small/y && echo fits",
    );
    room.tmp = Some(1 << 20);
    room.tmpfs("/small", 1 << 16);
    let (_, out, err) = run(&room);
    assert_eq!(out, "1\n1048576\nfits\n");
    assert!(err.contains("No space left"), "{err}");
}

#[test]
fn case_31_one_line_without_an_end_is_cut() {
    let base = Base::new();
    let mut room = base.sh("exec head -c 2147483648 /dev/zero");
    room.limits.log_bytes = Some(1 << 20);
    let (outcome, out, _) = run(&room);
    assert_eq!((outcome.cause, out.len()), (Some(Limit::LogBytes), 1 << 20));
}

#[test]
fn case_29_memory_that_has_no_process_is_bounded() {
    let base = Base::new();
    // Shared memory, what lies in /dev/shm and pipes is no process' own; each has its own bound.
    let script = "head -c 400000000 /dev/zero >/dev/shm/x; echo $? $(($(stat -c %s /dev/shm/x) <= 268435456)); \
        mkdir /tmp/r 2>/dev/null; mount -t ramfs r /tmp/r 2>/dev/null && echo MOUNTED; true";
    let (_, out, _) = run(&base.sh(script));
    assert_eq!(out, "1 1\n");
}

#[test]
fn case_30_files_without_content_are_bounded() {
    let base = Base::new();
    let mut room = base.sh("cd /tmp; seq 1 5000 | xargs touch 2>/dev/null; echo $(($(ls | wc -l) < 2000))");
    room.tmp = Some(1 << 20);
    room.limits.wall = Some(harness::LONG);
    let (_, out, _) = run(&room);
    assert_eq!(out, "1\n");
    // A sparse file is as large as it says, and takes nothing.
    let mut room = base.sh("truncate -s 1T /tmp/x 2>/dev/null; echo $?; stat -c %b /tmp/x 2>/dev/null");
    room.limits.file_size = Some(1 << 30);
    assert_ne!(run(&room).1, "0\n");
}

#[test]
fn kill_and_drop_end_everything() {
    let base = Base::new();
    let child = base.sh("sleep 1000").spawn().unwrap();
    child.kill().unwrap();
    let outcome = child.wait().unwrap();
    assert_eq!((outcome.exit, outcome.cause), (Exit::Signal(9), None));

    let (mut read, write) = std::io::pipe().unwrap();
    let mut room = base.sh("sleep 1000 & sleep 1000");
    room.fds.push(sandbox::InheritedFd { source: write.as_raw_fd(), target: 5 });
    let child = room.spawn().unwrap();
    drop(write);
    drop(child);
    assert_eq!(read.read(&mut [0u8; 1]).unwrap(), 0);
}

#[test]
fn a_request_to_stop_is_obeyed_while_the_program_is_silent() {
    let base = Base::new();
    let child = base.sh("sleep 1000").spawn().unwrap();
    let mut asked = 0;
    let outcome = child.wait_while(
        |_, _| Ok(()),
        || {
            asked += 1;
            asked < 3
        },
    );
    assert_eq!(outcome.unwrap().cause, Some(Limit::Stopped));
}

#[test]
fn a_sink_that_fails_ends_the_room() {
    let base = Base::new();
    let result = base.sh("echo x; sleep 1000").run(|_, _| Err(std::io::Error::other("full")));
    assert!(matches!(result, Err(sandbox::Error::Sink(_))));
}

/// The helper of the next test: a process that makes a room, says so, and waits.
#[test]
fn holder() {
    if !is_probe("holder") {
        return;
    }
    let base = Base::new();
    let mut room = base.sh("trap '' HUP TERM; sleep 1000 & echo UP; sleep 1000");
    room.stdout = Output::Inherit;
    room.stderr = Output::Inherit;
    println!("\nNOW");
    let _ = room.spawn().unwrap().wait();
}

#[test]
fn everything_dies_with_a_caller_that_is_killed() {
    let scratch = TempDir::new().unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holder", "--nocapture"])
        .env("PROBE", "holder")
        .env("TMPDIR", scratch.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(holder.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("UP") {
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "the helper ended early");
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    // Ends only when the processes in the room, which hold the other end, are gone.
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
}

#[test]
fn case_43_a_caller_killed_at_any_moment_leaves_nothing() {
    let scratch = TempDir::new().unwrap();
    // From the moment before the room is made, until after its program runs: eight times as often as the study did.
    let mut before = 0;
    for turn in 0..160u64 {
        let (mut read, write) = std::io::pipe().unwrap();
        let mut holder = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "holder", "--nocapture"])
            .env("PROBE", "holder")
            .env("TMPDIR", scratch.path())
            .stdout(write)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut bytes = [0u8; 256];
        let mut said = String::new();
        while !said.contains("NOW") {
            let count = read.read(&mut bytes).unwrap();
            assert_ne!(count, 0, "the helper ended early");
            said.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        // Waits for what never comes, to be somewhere in the set-up when the time is over.
        let moment = rustix::event::Timespec::try_from(Duration::from_micros(turn * 50)).unwrap();
        rustix::event::poll(&mut [], Some(&moment)).unwrap();
        holder.kill().unwrap();
        holder.wait().unwrap();
        let long = rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 };
        loop {
            let mut fds = [rustix::event::PollFd::new(&read, rustix::event::PollFlags::IN)];
            assert_eq!(rustix::event::poll(&mut fds, Some(&long)), Ok(1), "somebody still holds the output");
            let count = read.read(&mut bytes).unwrap();
            if count == 0 {
                break;
            }
            said.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        before += u32::from(!said.contains("UP"));
    }
    assert!(before > 0, "no moment was within the set-up");
}

/// Returns when nobody in the room is left that holds the other end.
fn ends(out: &mut impl Read) {
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
}

/// A process that makes a room from `probe` with its folders in `scratch`, and the end of its output, which only the room's processes keep open.
fn made_by(probe: &str, scratch: &TempDir) -> (std::process::Child, BufReader<std::process::ChildStdout>, i32) {
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", probe, "--nocapture"])
        .env("PROBE", probe)
        .env("TMPDIR", scratch.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(holder.stdout.take().unwrap());
    let (mut line, mut init) = (String::new(), 0);
    while !line.contains("UP") {
        if let Some((_, number)) = line.split_once("INIT ") {
            init = number.trim().parse().unwrap();
        }
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "the helper ended early");
    }
    (holder, out, init)
}

/// The namespaces of a process, by kind and number.
fn namespaces_of(pid: i32) -> Vec<std::path::PathBuf> {
    let own = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
    let kinds = ["mnt", "pid", "net", "ipc", "uts"];
    let found = kinds.iter().filter_map(|kind| {
        let link = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
        (link != own(kind)).then_some(link)
    });
    found.collect()
}

/// Whether any process is in one of these.
fn in_use(namespaces: &[std::path::PathBuf]) -> bool {
    let numbers = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    numbers.filter(|path| path.join("ns").exists()).any(|path| {
        ["mnt", "pid", "net", "ipc", "uts"]
            .iter()
            .filter_map(|kind| std::fs::read_link(path.join("ns").join(kind)).ok())
            .any(|link| namespaces.contains(&link))
    })
}

/// A process that has let go of its descriptors may take a moment to let go of its namespaces, too.
fn assert_free(namespaces: &[std::path::PathBuf]) {
    let deadline = std::time::Instant::now() + harness::LONG;
    while in_use(namespaces) {
        assert!(std::time::Instant::now() < deadline, "a namespace is still in use");
        std::thread::yield_now();
    }
}

/// A process that makes a room, tells its init, and waits.
#[test]
fn maker() {
    if !is_probe("maker") {
        return;
    }
    let base = Base::new();
    let mut room = base.sh("trap '' HUP TERM INT; setsid sleep 1000 & sleep 1000");
    (room.stdout, room.stderr) = (Output::Inherit, Output::Inherit);
    room.stdin = Input::Inherit;
    let child = room.spawn().unwrap();
    println!("\nINIT {}", child.id());
    println!("\nUP");
    let outcome = child.wait().unwrap();
    println!("\nOUTCOME {outcome:?}");
}

#[test]
fn no_orphans_when_the_caller_is_killed() {
    let scratch = TempDir::new().unwrap();
    let (mut holder, mut out, init) = made_by("maker", &scratch);
    let namespaces = namespaces_of(init);
    assert!(!namespaces.is_empty());
    holder.kill().unwrap();
    holder.wait().unwrap();
    ends(&mut out);
    assert_free(&namespaces);
    assert!(run(&Base::new().sh("exit 0")).0.success(), "the next room works");
}

#[test]
fn no_orphans_when_the_init_is_killed() {
    let scratch = TempDir::new().unwrap();
    let (mut holder, mut out, init) = made_by("maker", &scratch);
    let namespaces = namespaces_of(init);
    let pid = rustix::process::Pid::from_raw(init).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert!(holder.wait().unwrap().success(), "the caller learns of it and goes on");
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("exit: Signal(9)"), "{rest}");
    assert_free(&namespaces);
}

#[test]
fn no_orphans_when_the_programs_leader_is_killed() {
    let base = Base::new();
    let (mut read, write) = std::io::pipe().unwrap();
    let mut room = base.sh("(trap '' HUP TERM INT; setsid sleep 1000 &) & kill -9 $$; sleep 1000");
    room.fds.push(sandbox::InheritedFd { source: write.as_raw_fd(), target: 5 });
    let child = room.spawn().unwrap();
    drop(write);
    let namespaces = namespaces_of(child.id() as i32);
    assert_eq!(child.wait().unwrap().exit, Exit::Signal(9));
    ends(&mut read);
    assert_free(&namespaces);
}

#[test]
fn no_orphans_and_no_deaths_when_a_thread_of_the_caller_ends() {
    let base = Base::new();
    let (mut read, write) = std::io::pipe().unwrap();
    let mut room = base.sh("echo UP; read line; exit 7");
    let (input, mut go) = std::io::pipe().unwrap();
    room.stdin = Input::Fd(input.as_raw_fd());
    room.fds.push(sandbox::InheritedFd { source: write.as_raw_fd(), target: 5 });
    let mut child = std::thread::spawn(move || room.spawn().unwrap()).join().unwrap();
    drop(write);
    let namespaces = namespaces_of(child.id() as i32);
    let mut out = BufReader::new(child.take_stdout().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "UP\n", "alive without the thread");
    go.write_all(b"go\n").unwrap();
    assert_eq!(child.wait().unwrap().exit, Exit::Code(7));
    ends(&mut read);
    assert_free(&namespaces);
}

/// A process whose terminal is closed while its room runs.
#[test]
fn no_orphans_when_the_terminal_is_closed() {
    let scratch = TempDir::new().unwrap();
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let (mut read, write) = std::io::pipe().unwrap();
    // setsid makes the terminal the controlling one of a new session, as a terminal emulator does. Whoever started the
    // tests may ignore hang-ups.
    let mut holder = Command::new("env")
        .args(["--default-signal=HUP", "setsid", "--ctty", "--wait"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "on_a_terminal", "--nocapture"])
        .env("TMPDIR", scratch.path())
        .env("PROBE", "on_a_terminal")
        .stdin(std::fs::File::options().read(true).write(true).open(&name).unwrap())
        .stdout(write)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(&mut read);
    let mut line = String::new();
    while !line.contains("UP") {
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "the helper ended early");
    }
    drop(master);
    ends(&mut out);
    holder.wait().unwrap();
}

/// The helper of the test before: an interactive room, which a hang-up ends with its caller.
#[test]
fn on_a_terminal() {
    if !is_probe("on_a_terminal") {
        return;
    }
    let base = Base::new();
    let mut room = base.sh("trap '' HUP; (trap '' HUP; setsid sleep 1000 &) & echo UP; while :; do sleep 1000; done");
    (room.stdin, room.stdout) = (Input::Inherit, Output::Inherit);
    room.session = sandbox::Session::Foreground;
    let _ = room.spawn().unwrap().wait();
}

/// Makes a room of the caller's session.
#[test]
fn keeper() {
    if !is_probe("keeper") {
        return;
    }
    let base = Base::new();
    let mut room = base.sh("exit 6");
    room.session = sandbox::Session::Keep;
    println!("\nENDED {:?}", run(&room).0.exit);
}

#[test]
fn a_caller_whose_process_group_is_in_another_namespace_is_served() {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", "keeper", "--nocapture"]).env("PROBE", "keeper");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(harness::marked(&text, "ENDED "), ["Code(6)"], "{output:?}");
}

#[test]
fn no_orphans_when_the_disk_is_full() {
    let (base, small) = (Base::new(), Base::new());
    // The root's own memory is the disk that is full: mounts in it, an upper directory, what the program writes.
    let script =
        "head -c 9000000 /dev/zero >/big 2>/dev/null; cp /big /tmp/big 2>/dev/null; (setsid sleep 1000 &) & exit 4";
    let layers = vec![small.path().to_owned(), base.path().to_owned()];
    let mut room = sandbox::Room::new(
        sandbox::Root::Overlay { layers, upper: sandbox::Upper::Tmpfs { size: 1 << 20 } },
        "/bin/sh",
    );
    harness::dress(&mut room, script);
    room.tmp = Some(1 << 20);
    let (mut read, write) = std::io::pipe().unwrap();
    room.fds.push(sandbox::InheritedFd { source: write.as_raw_fd(), target: 5 });
    for _ in 0..3 {
        let child = room.spawn().unwrap();
        let namespaces = namespaces_of(child.id() as i32);
        assert_eq!(child.wait().unwrap().exit, Exit::Code(4));
        assert_free(&namespaces);
    }
    room.fds.clear();
    drop(write);
    ends(&mut read);
}

/// Makes rooms on a disk that is full, in a mount namespace of its own.
#[test]
fn on_a_full_disk() {
    if !is_probe("on_a_full_disk") {
        return;
    }
    use sandbox::{Access, Root, Upper};
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let disk = harness::mkdir(dir.path().join("disk"));
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k,nr_inodes=16", "tmpfs"]).arg(&disk).status();
    assert!(mounted.unwrap().success());
    let [root, upper, work, out] = ["root", "upper", "work", "out"].map(|name| harness::mkdir(disk.join(name)));
    let entries = || {
        let found = Command::new("find").arg(&disk).args(["-printf", "%p %y\n"]).output().unwrap();
        let mut lines: Vec<_> = String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    // Bytes and inodes are used up.
    let filled = Command::new("sh")
        .arg("-c")
        .arg("cd \"$0\"; cat /dev/zero >big; i=0; while : >f$i; do i=$((i+1)); done")
        .arg(&disk)
        .stderr(Stdio::null())
        .status();
    assert!(!filled.unwrap().success());
    let before = (entries(), mounts());
    let script = "(setsid sleep 1000 &) & cat /dev/zero >/out/x 2>/dev/null; mkdir /made 2>/dev/null; exit 4";
    let layers = vec![base.path().to_owned()];
    let mut rooms = vec![base.sh(script), base.sh(script), base.sh(script)];
    rooms[0].bind_rw(&out, "/out");
    rooms[1].root = Root::Overlay { layers, upper: Upper::Dir { upper: upper.clone(), work: work.clone() } };
    // Mount points must be made there, and cannot be.
    rooms[2].root = Root::dir(&root, Access::Rw);
    let mut ended = Vec::new();
    for room in &rooms {
        let (mut read, write) = std::io::pipe().unwrap();
        let mut room = room.clone();
        room.fds.push(sandbox::InheritedFd { source: write.as_raw_fd(), target: 5 });
        let result = room.spawn().and_then(sandbox::Child::wait);
        drop(write);
        ends(&mut read);
        // A program that ran said so itself; a room that could not be made says where it was stopped.
        ended.push(match result {
            Ok(outcome) => outcome.exit.to_string(),
            Err(error) => format!("{:?} {:?}", error.step().is_some(), error.errno()),
        });
        let now: Vec<_> = entries().into_iter().filter(|line| !line.contains("/work/")).collect();
        assert_eq!((now, mounts()), before, "{ended:?}");
    }
    assert_eq!(ended[0], "exit status 4");
    assert_eq!(ended[2], format!("true {:?}", Some(libc::ENOSPC)));
    // With room on the disk the next one works.
    assert!(Command::new("sh").arg("-c").arg("cd \"$0\"; rm -rf big f* work/*").arg(&disk).status().unwrap().success());
    for room in &mut rooms {
        room.args = vec!["-c".into(), "exit 0".into()];
    }
    for (number, room) in rooms[..2].iter().enumerate() {
        assert!(run(room).0.success(), "number {number}");
    }
    println!("\nFULL {}", ended.join(", "));
}

#[test]
fn no_orphans_when_the_hosts_disk_is_full() {
    let scratch = TempDir::new().unwrap();
    let mut command = Command::new("unshare");
    if !harness::root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--mount").arg(std::env::current_exe().unwrap());
    let output = command
        .args(["--exact", "on_a_full_disk", "--nocapture"])
        .env("TMPDIR", scratch.path())
        .env("PROBE", "on_a_full_disk")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(harness::marked(&text, "FULL ").len(), 1, "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// Makes rooms while the set-up of another waits for a file system that does not answer.
#[test]
fn beside_a_path_that_hangs() {
    if !is_probe("beside_a_path_that_hangs") {
        return;
    }
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let Ok(server) = std::fs::File::options().read(true).write(true).open("/dev/fuse") else {
        println!("\nDONE without FUSE");
        return;
    };
    let options =
        std::ffi::CString::new(format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd())).unwrap();
    let mounted =
        rustix::mount::mount("fuse", dir.path(), "fuse", rustix::mount::MountFlags::empty(), options.as_c_str());
    if let Err(errno) = mounted {
        println!("\nDONE without FUSE: {errno}");
        return;
    }
    let mut hanging = base.sh("exit 0");
    // A layer, which only the set-up itself looks at.
    hanging.root = sandbox::Root::layers([dir.path().join("x"), base.path().to_owned()]);
    let waiting = std::thread::spawn(move || hanging.spawn().map(drop).unwrap_err());
    // The kernel asks for the server's version first, then for the file, and gets no answer.
    let (tell, told) = std::sync::mpsc::channel();
    let others = std::thread::spawn(move || {
        for turn in 0..20 {
            assert!(run(&base.sh("exit 0")).0.success());
            tell.send(turn).unwrap();
        }
    });
    for turn in 0..20 {
        assert_eq!(told.recv_timeout(harness::LONG), Ok(turn), "rooms of other threads wait");
    }
    others.join().unwrap();
    drop(server);
    assert!(waiting.join().unwrap().errno().is_some());
    println!("\nDONE");
}

#[test]
fn a_path_that_hangs_delays_no_other_room() {
    let scratch = TempDir::new().unwrap();
    let mut command = Command::new("unshare");
    if !harness::root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--mount").arg(std::env::current_exe().unwrap());
    command
        .args(["--exact", "beside_a_path_that_hangs", "--nocapture"])
        .env("TMPDIR", scratch.path())
        .env("PROBE", "beside_a_path_that_hangs");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("DONE"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn case_43_a_room_outlives_the_thread_that_made_it() {
    let base = Base::new();
    let (read, mut write) = std::io::pipe().unwrap();
    let mut room = base.sh("read line; [ \"$line\" = go ] && exit 42");
    room.stdin = Input::Fd(read.as_raw_fd());
    let child = std::thread::spawn(move || room.spawn().unwrap()).join().unwrap();
    write.write_all(b"go\n").unwrap();
    assert_eq!(child.wait().unwrap().exit, Exit::Code(42));
}

#[test]
fn many_rooms_at_once_do_not_disturb_each_other() {
    let base = Base::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8u8)
            .map(|worker| {
                let base = &base;
                scope.spawn(move || {
                    for turn in 0..6u8 {
                        let mut room = base.sh(&format!("echo {worker}.{turn}; exit {worker}"));
                        room.host_id += u32::from(worker);
                        let (outcome, out, err) = run(&room);
                        assert_eq!((outcome.exit, out), (Exit::Code(worker), format!("{worker}.{turn}\n")), "{err}");
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn the_caller_itself_is_left_as_it_was() {
    let base = Base::new();
    let state = || {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let own: Vec<_> = status
            .lines()
            .filter(|line| {
                ["Sig", "Cap", "Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp:", "Umask"]
                    .iter()
                    .any(|name| line.starts_with(name))
            })
            .map(str::to_owned)
            .filter(|line| !line.starts_with("SigQ"))
            .collect();
        (own, rustix::process::DumpableBehavior::Dumpable, std::env::current_dir().unwrap())
    };
    let before = state();
    for memory in [None, Some(1 << 30)] {
        let mut room = base.sh("exit 0");
        room.limits.memory = memory;
        assert!(run(&room).0.success());
    }
    let mut failing = base.sh("exit 0");
    failing.cwd("/missing");
    assert!(failing.spawn().is_err());
    let after = state();
    assert_eq!((after.0, after.2), (before.0, before.2));
    // While rooms of other tests are on their way the mark may be off; it comes back with the last of them.
    let deadline = std::time::Instant::now() + harness::LONG;
    while rustix::process::dumpable_behavior().unwrap() != before.1 {
        assert!(std::time::Instant::now() < deadline, "the caller was left undumpable");
        std::thread::yield_now();
    }
}

#[test]
fn nothing_is_left_behind() {
    let base = Base::new();
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let child = base.sh("sleep 1000 & exit 0").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    assert_eq!(mounts(), before);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn usage_counts_everything_inside() {
    let base = Base::new();
    let (outcome, ..) = run(&base.sh("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"));
    assert!(outcome.usage.user > Duration::from_millis(20), "{outcome:?}");
    assert!(outcome.usage.wall >= outcome.usage.user / 4);
}

#[test]
fn usage_counts_what_was_there_when_a_room_was_ended() {
    let base = Base::new();
    // The program itself, one in the background, and one that has ended.
    let burn = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
    for script in [
        format!("{burn}; echo UP; sleep 1000"),
        format!("({burn}; echo UP; sleep 1000) & wait"),
        format!("({burn}); echo UP; sleep 1000"),
    ] {
        let up = std::cell::Cell::new(false);
        let sink = |_: sandbox::Stream, _: &[u8]| {
            up.set(true);
            Ok(())
        };
        let outcome = base.sh(&script).spawn().unwrap().wait_while(sink, || !up.get()).unwrap();
        assert_eq!(outcome.cause, Some(Limit::Stopped));
        assert!(outcome.usage.user > Duration::from_millis(20), "{script}: {outcome:?}");
        assert!(outcome.usage.max_rss.is_some_and(|most| most > 500_000), "{outcome:?}");
    }
}

/// Makes rooms while the kernel reaps its children, while a thread does, and while signals interrupt whatever waits.
#[test]
fn careless_caller() {
    extern "C" fn nothing(_: libc::c_int) {}
    if !is_probe("careless_caller") {
        return;
    }
    let base = Base::new();
    let ends = |how: &str| {
        for _ in 0..20 {
            for limits in [false, true] {
                let mut room = base.sh("exit 7");
                room.limits.memory = limits.then_some(1 << 30);
                assert_eq!(run(&room).0.exit, Exit::Code(7), "{how}");
            }
            assert_eq!(run(&base.sh("kill -TERM $$")).0.exit, Exit::Signal(15), "{how}");
            let child = base.sh("sleep 1000").spawn().unwrap();
            child.kill().unwrap();
            assert_eq!(child.wait().unwrap().exit, Exit::Signal(9), "{how}");
            drop(base.sh("sleep 1000").spawn().unwrap());
            let mut failing = base.sh("exit 0");
            failing.cwd("/missing");
            assert_eq!(failing.spawn().map(drop).unwrap_err().errno(), Some(libc::ENOENT), "{how}");
        }
    };
    let signal = |number, act: libc::sighandler_t| {
        // Without SA_RESTART, unlike signal(2).
        // SAFETY: all zero is a valid `struct sigaction`; the handler does nothing.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = act;
            assert_eq!(libc::sigaction(number, &raw const action, std::ptr::null_mut()), 0);
        }
    };
    signal(libc::SIGALRM, nothing as *const () as libc::sighandler_t);
    let often = libc::timeval { tv_sec: 0, tv_usec: 200 };
    let timer = libc::itimerval { it_interval: often, it_value: often };
    // SAFETY: the new value is read, no old one is asked for.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) }, 0);
    ends("interrupted");
    signal(libc::SIGCHLD, libc::SIG_IGN);
    ends("reaped by the kernel");
    signal(libc::SIGCHLD, libc::SIG_DFL);
    std::thread::spawn(|| {
        loop {
            // SAFETY: the status is not asked for.
            unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
            std::thread::yield_now();
        }
    });
    ends("reaped by a thread");
    println!("\nDONE");
}

#[test]
fn a_caller_may_ignore_reap_and_be_interrupted() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "careless_caller", "--nocapture"]).env("PROBE", "careless_caller");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("DONE"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// Makes a room when it has much memory of its own.
#[test]
fn large_caller() {
    if !is_probe("large_caller") {
        return;
    }
    let memory = vec![1u8; 300 << 20];
    let (base, mut used) = (Base::new(), Vec::new());
    let large = "exec dd if=/dev/zero of=/dev/null bs=400M count=1";
    for (script, limit) in [("exit 0", None), ("exit 0", Some(100 << 20)), (large, None)] {
        let mut room = base.sh(script);
        room.limits.memory = limit;
        let outcome = run(&room).0;
        used.push(format!("{:?} {:?}", outcome.cause, outcome.usage.max_rss.map(|most| most >> 20 >= 400)));
    }
    println!("\nUSED {}, {}", used.join(", "), memory[9]);
}

#[test]
fn usage_does_not_count_the_callers_own_memory() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "large_caller", "--nocapture"]).env("PROBE", "large_caller");
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert_eq!(harness::marked(&text, "USED "), ["None None, None None, None Some(true), 1"], "{text}");
}

#[test]
fn the_same_holds_for_an_ordinary_user() {
    harness::again_as_a_user();
}
