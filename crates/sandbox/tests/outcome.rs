//! How rooms end: exactly as the program did, at a limit, or with the caller.

mod harness;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{Base, is_probe, run, stdout};
use sandbox::{Exit, Input, Limit, Output};

#[test]
fn exit_codes_are_exact() {
    let base = Base::new();
    for code in [0u8, 1, 2, 100, 125, 126, 127, 128, 129, 137, 255] {
        assert_eq!(run(&base.sh(&format!("exit {code}"))).0.exit, Exit::Code(code));
    }
}

#[test]
fn signals_are_exact_though_a_plain_first_process_would_ignore_them() {
    let base = Base::new();
    for signal in [1u8, 2, 3, 4, 6, 7, 8, 9, 10, 11, 13, 14, 15, 24, 30, 31] {
        let (outcome, ..) = run(&base.sh(&format!("kill -{signal} $$; exit 77")));
        assert_eq!(outcome.exit, Exit::Signal(signal));
        assert_eq!(outcome.cause, None);
    }
}

#[test]
fn what_runs_in_the_background_ends_with_the_program() {
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
fn a_program_may_close_its_output_and_go_on() {
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
fn the_time_limit_ends_a_program_that_ignores_signals() {
    let base = Base::new();
    let mut room = base.sh("trap '' TERM INT HUP; while :; do sleep 1000; done");
    room.limits.wall = Some(Duration::from_millis(200));
    let (outcome, ..) = run(&room);
    assert_eq!((outcome.exit, outcome.cause), (Exit::Signal(9), Some(Limit::Wall)));
    assert!(outcome.usage.wall < Duration::from_secs(20));
}

#[test]
fn the_time_limit_ends_a_program_that_stopped_itself() {
    let base = Base::new();
    let mut room = base.sh("kill -STOP $$");
    room.limits.wall = Some(Duration::from_millis(200));
    assert_eq!(run(&room).0.cause, Some(Limit::Wall));
}

#[test]
fn silence_ends_the_room_and_output_postpones_it() {
    let base = Base::new();
    let mut room = base.sh("for i in 1 2 3 4; do echo $i; sleep 0.2; done; sleep 1000");
    room.limits.silence = Some(Duration::from_millis(600));
    let (outcome, out, _) = run(&room);
    assert_eq!((outcome.cause, out.as_str()), (Some(Limit::Silence), "1\n2\n3\n4\n"));
}

#[test]
fn a_flood_of_output_is_cut_at_the_limit_and_named() {
    let base = Base::new();
    let mut room = base.sh("yes; exit 0");
    room.limits.log_bytes = Some(100_000);
    let (outcome, out, err) = run(&room);
    assert_eq!(outcome.cause, Some(Limit::LogBytes));
    assert_eq!(out.len() + err.len(), 100_000);
}

#[test]
fn a_fork_bomb_stops_at_the_limit_and_nothing_is_left() {
    let base = Base::new();
    let (mut read, write) = std::io::pipe().unwrap();
    let mut room = base.sh("i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done; wait");
    room.fds.push(sandbox::InheritedFd { source: write.as_raw_fd(), target: 5 });
    room.limits.processes = Some(20);
    room.limits.wall = Some(Duration::from_secs(20));
    let child = room.spawn().unwrap();
    drop(write);
    let outcome = child.wait().unwrap();
    // Either the shell gave up when it could fork no more, or it was seen at the bound.
    assert!(outcome.cause == Some(Limit::Processes) || !outcome.exit.success(), "{outcome:?}");
    assert_eq!(read.read(&mut [0u8; 1]).unwrap(), 0);
}

#[test]
fn a_room_at_its_bound_of_processes_is_named() {
    let base = Base::new();
    let mut room = base.sh("for i in 1 2 3 4 5 6 7; do sleep 1000 & done; wait");
    room.limits.processes = Some(8);
    room.limits.wall = Some(Duration::from_secs(20));
    assert_eq!(run(&room).0.cause, Some(Limit::Processes));
}

#[test]
fn memory_of_one_process_is_bounded() {
    let base = Base::new();
    let mut room = base.sh("exec dd if=/dev/zero of=/dev/null bs=300M count=1");
    room.limits.memory = Some(100 << 20);
    room.limits.wall = Some(Duration::from_secs(60));
    let (outcome, ..) = run(&room);
    assert!(!outcome.success(), "{outcome:?}");
    assert!(outcome.usage.max_rss < 200 << 20);
}

#[test]
fn memory_of_all_processes_together_is_bounded() {
    let base = Base::new();
    // Each holds 60 MB of a pipe's input that never ends.
    let one = "(head -c 60000000 /dev/zero; sleep 1000) | sort -S 100M >/dev/null &";
    let mut room = base.sh(&format!("{one} {one} {one} wait"));
    room.limits.memory = Some(130 << 20);
    room.limits.wall = Some(Duration::from_secs(60));
    assert_eq!(run(&room).0.cause, Some(Limit::Memory));
}

#[test]
fn a_file_beyond_its_limit_is_named() {
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
fn memory_file_systems_are_full_at_their_size() {
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
    let _ = room.spawn().unwrap().wait();
}

#[test]
fn everything_dies_with_a_caller_that_is_killed() {
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holder", "--nocapture"])
        .env("PROBE", "holder")
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
    for turn in 0..40u64 {
        let (mut read, write) = std::io::pipe().unwrap();
        let mut holder = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "holder", "--nocapture"])
            .env("PROBE", "holder")
            .stdout(write)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Waits for what never comes, to be somewhere in the set-up when the time is over.
        let moment = rustix::event::Timespec::try_from(Duration::from_micros(turn * 400)).unwrap();
        rustix::event::poll(&mut [], Some(&moment)).unwrap();
        holder.kill().unwrap();
        holder.wait().unwrap();
        let long = rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 };
        let mut bytes = [0u8; 256];
        loop {
            let mut fds = [rustix::event::PollFd::new(&read, rustix::event::PollFlags::IN)];
            assert_eq!(rustix::event::poll(&mut fds, Some(&long)), Ok(1), "somebody still holds the output");
            if read.read(&mut bytes).unwrap() == 0 {
                break;
            }
        }
    }
}

#[test]
fn a_room_outlives_the_thread_that_made_it() {
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
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
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
    assert!(outcome.usage.max_rss > 500_000);
}
