//! What a program finds in a room, and what it does not.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod harness;

use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use harness::{Base, run, stdout};
use sandbox::{Access, Error, Exit, HeadStart, Ids, InheritedFd, Input, Mount, Net, Owner, Program, Room, Root, Sysfs};

const KINDS: [&str; 7] = ["user", "mnt", "pid", "uts", "ipc", "net", "cgroup"];

fn namespaces(room: &Room) -> Vec<PathBuf> {
    stdout(room).lines().map(PathBuf::from).collect()
}

#[test]
fn every_namespace_is_new() {
    let base = Base::new();
    let links: String = KINDS.iter().map(|kind| format!("readlink /proc/self/ns/{kind};")).collect();
    let inside = namespaces(&base.sh(&links));
    for (kind, inside) in KINDS.iter().zip(&inside) {
        assert_ne!(*inside, std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap(), "{kind}");
    }
    let mut shared = base.sh("readlink /proc/self/ns/net");
    shared.net = Net::Host;
    assert_eq!(namespaces(&shared), [std::fs::read_link("/proc/self/ns/net").unwrap()]);
}

#[test]
fn case_16_environment_is_exactly_what_is_named() {
    let base = Base::new();
    let mut room = base.sh("");
    room.program = Program::Path("/usr/bin/env".into());
    room.args.clear();
    room.env("A", "1").env("B", "two words").env("A", "3");
    // The test runner's environment has many more.
    assert!(std::env::vars_os().count() > 3);
    assert_eq!(stdout(&room), "PATH=/usr/bin:/bin\nB=two words\nA=3\n");
}

#[test]
fn case_15_descriptors_are_exactly_those_declared() {
    let base = Base::new();
    let leak = std::fs::File::open("/").unwrap();
    // Copies without the close-on-exec mark, as careless callers leave them.
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
    let (read, write) = std::io::pipe().unwrap();
    let mut room = base
        .sh("i=0; while [ $i -lt 400 ]; do [ -e /proc/$$/fd/$i ] && echo -n \"$i \"; i=$((i+1)); done; \
         read line <&7; echo $line; readlink /proc/$$/fd/0");
    room.fds.push(InheritedFd { source: read.as_raw_fd(), target: 7 });
    std::io::Write::write_all(&mut &write, b"by the pipe\n").unwrap();
    assert_eq!(stdout(&room), "0 1 2 7 by the pipe\n/dev/null\n");
    drop(leak);
}

#[test]
fn descriptor_numbers_may_be_exchanged() {
    let base = Base::new();
    let pipes: Vec<_> = (0..12).map(|_| std::io::pipe().unwrap()).collect();
    let mut numbers: Vec<_> = pipes.iter().map(|(read, _)| read.as_raw_fd()).filter(|fd| *fd >= 3).collect();
    let mut room = base.sh("");
    let mut script = String::new();
    numbers.sort_unstable();
    for (source, target) in numbers.iter().zip(numbers.iter().rev()) {
        let (_, write) = pipes.iter().find(|(read, _)| read.as_raw_fd() == *source).unwrap();
        std::io::Write::write_all(&mut &*write, format!("{source} as {target}\n").as_bytes()).unwrap();
        room.fds.push(InheritedFd { source: *source, target: *target });
        script += &format!("head -n1 /proc/self/fd/{target};");
    }
    room.args = vec!["-c".into(), script.into()];
    let expected: String =
        numbers.iter().zip(numbers.iter().rev()).map(|(source, target)| format!("{source} as {target}\n")).collect();
    assert_eq!(stdout(&room), expected);
}

#[test]
fn the_program_has_one_user_and_no_power() {
    let base = Base::new();
    for ids in [Ids::default(), Ids { uid: 0, gid: 0 }, Ids { uid: 4321, gid: 77 }] {
        let mut room = base.sh("id -u; id -g; cat /proc/self/status");
        room.ids = ids;
        let out = stdout(&room);
        assert!(out.starts_with(&format!("{}\n{}\n", ids.uid, ids.gid)), "{out}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert!(out.contains(&format!("{set}:\t0000000000000000\n")), "{set} with {ids:?}\n{out}");
        }
        assert!(out.contains("NoNewPrivs:\t1\n") && out.contains("Seccomp:\t2\n"), "{out}");
    }
}

#[test]
fn roots_own_id_never_enters_a_build() {
    let base = Base::new();
    // The outer number is the second column; the map is one line.
    let out = stdout(&base.sh("cat /proc/self/uid_map /proc/self/gid_map"));
    for line in out.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!((words[0], words[2]), ("1000", "1"));
    }
    let mut zero = base.sh("true");
    zero.host_id = 0;
    assert!(matches!(zero.spawn(), Err(Error::Invalid { .. })));
}

#[test]
fn case_42_signals_umask_and_limits_are_reset() {
    let base = Base::new();
    let out =
        stdout(&base.sh("umask; ulimit -c; grep -E '^Sig(Pnd|Blk|Ign)|^ShdPnd' /proc/self/status | cut -f2 | sort -u"));
    assert_eq!(out, "0022\n0\n0000000000000000\n");
}

/// Makes a room, and says what its program finds ignored.
#[test]
fn ignorer() {
    if !harness::is_probe("ignorer") {
        return;
    }
    let base = Base::new();
    let script = "grep -E '^Sig(Blk|Ign)' /proc/self/status | cut -f2 | sort -u; (exit 3); echo $?; umask; ulimit -c; \
        cat /proc/self/personality; exit 5";
    let (outcome, out, _) = run(&base.sh(script));
    println!("\nFOUND {} {:?}", out.trim().replace('\n', " "), outcome.exit);
}

#[test]
fn case_42_what_the_caller_ignores_blocks_and_pretends_stays_outside() {
    // And that has files with no rights for others, wants dumps, blocks signals, and is said to be another machine.
    let mut command = std::process::Command::new("setarch");
    let script = "umask 077; ulimit -S -c $(ulimit -H -c); trap '' CHLD PIPE HUP USR1; \
        exec env --block-signal=TERM --block-signal=USR2 \"$0\" --exact ignorer --nocapture";
    command.args(["--addr-no-randomize", "--uname-2.6", "--read-implies-exec", "sh", "-c", script]);
    let output = command.arg(std::env::current_exe().unwrap()).env("PROBE", "ignorer").output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    assert_eq!(harness::marked(&text, "FOUND "), ["0000000000000000 3 0022 0 00000000 Code(5)"], "{text}");
}

#[test]
fn case_05_proc_sys_cannot_be_written() {
    let base = Base::new();
    let files =
        "kernel/core_pattern kernel/hostname vm/swappiness net/ipv4/ip_forward kernel/printk user/max_user_namespaces";
    let script =
        format!("cd /proc/sys; for f in {files}; do (cat $f >$f) 2>/dev/null && echo WROTE $f; done; echo done");
    for ids in [Ids::default(), Ids { uid: 0, gid: 0 }] {
        let mut room = base.sh(&script);
        room.ids = ids;
        assert_eq!(stdout(&room), "done\n");
    }
}

#[test]
fn case_06_dangerous_files_of_proc_are_empty_or_closed() {
    let base = Base::new();
    let files = "kcore keys key-users kmsg timer_list sched_debug kpagecount kpageflags";
    let script = format!(
        "cd /proc; for f in {files}; do [ -e $f ] && timeout 1 head -c1 $f 2>/dev/null | grep -q . && echo READ $f; done; \
         for f in sysrq-trigger mtrr irq/default_smp_affinity; do (echo >$f) 2>/dev/null && echo WROTE $f; done; echo done"
    );
    assert_eq!(stdout(&base.sh(&script)), "done\n");
}

#[test]
fn case_22_sys_is_empty_or_read_only() {
    let base = Base::new();
    assert_eq!(stdout(&base.sh("ls -A /sys; (>/sys/x) 2>/dev/null || echo closed")), "closed\n");
    let mut real = base.sh("ls /sys/class/net; (echo >/sys/kernel/uevent_helper) 2>/dev/null || echo closed");
    real.sys = Some(Sysfs::Real);
    assert_eq!(stdout(&real), "lo\nclosed\n");
}

#[test]
fn case_26_no_network_but_a_loopback_that_works() {
    let base = Base::new();
    let names = "tail -n+3 /proc/net/dev | cut -d: -f1 | tr -d ' '";
    assert_eq!(stdout(&base.sh(names)), "lo\n");
    let flags = |net| {
        let mut room = base.sh("cat /sys/class/net/lo/flags");
        room.net = net;
        room.sys = Some(Sysfs::Real);
        stdout(&room)
    };
    assert_eq!(flags(Net::Loopback), "0x9\n");
    assert_eq!(flags(Net::None), "0x8\n");
}

#[test]
fn a_room_with_a_head_start_is_like_all_others() {
    let base = Base::new();
    let names = "tail -n+3 /proc/net/dev | cut -d: -f1 | tr -d ' '; cat /sys/class/net/lo/flags 2>/dev/null; id -u";
    let kinds = [
        (Net::Loopback, None, 1000),
        (Net::Loopback, None, 7),
        (Net::Loopback, Some(Sysfs::Real), 1000),
        (Net::None, Some(Sysfs::Real), 1000),
        (Net::Host, None, 1000),
    ];
    let rooms = kinds.map(|(net, sys, uid)| {
        let mut room = base.sh(names);
        (room.net, room.sys, room.ids) = (net, sys, Ids { uid, gid: uid });
        room
    });
    let mut whole = rooms[0].clone();
    whole.root = Root::Dir { path: "/".into(), access: Access::Ro, owner: Owner::Host };
    for likely in rooms.iter().chain([&whole]) {
        for room in &rooms {
            let mut child = HeadStart::begin(likely).spawn(room).unwrap();
            let mut out = String::new();
            std::io::Read::read_to_string(&mut child.take_stdout().unwrap(), &mut out).unwrap();
            assert!(child.wait().unwrap().success());
            assert!(out.ends_with(&format!("{}\n", room.ids.uid)), "{out}");
            assert_eq!(out, stdout(room), "{:?} {:?} {:?} {likely:?}", room.net, room.sys, room.ids);
        }
        drop(HeadStart::begin(likely));
    }
    let mut wrong = base.sh("true");
    wrong.cwd = "nowhere".into();
    assert!(HeadStart::begin(&wrong).spawn(&wrong).is_err());
}

#[test]
fn case_41_what_names_the_host_is_fixed() {
    let base = Base::new();
    let script = "uname -n; cat /proc/sys/kernel/domainname; cat /sys/class/net/*/address 2>/dev/null; id -un; \
        cat /proc/cmdline /proc/sys/kernel/random/boot_id /etc/machine-id /var/lib/dbus/machine-id 2>/dev/null; \
        cat /sys/class/dmi/id/product_uuid 2>/dev/null; true";
    let mut room = base.sh(script);
    assert_eq!(stdout(&room), "localhost\n(none)\nbuild\n");
    room.hostname = "build-7".into();
    room.sys = Some(Sysfs::Real);
    assert_eq!(stdout(&room), "build-7\n(none)\n00:00:00:00:00:00\nbuild\n");
}

#[test]
fn dev_holds_six_devices_and_their_links() {
    let base = Base::new();
    let out = stdout(&base.sh("ls /dev; for d in null zero full random urandom tty; do [ -c /dev/$d ] || echo no $d; done; ls -A /dev/shm /dev/pts"));
    let names = "fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n";
    assert_eq!(out, format!("{names}/dev/pts:\nptmx\n\n/dev/shm:\n"));
    let script = "echo x >/dev/null; head -c2 /dev/zero | od -An -tx1; (echo x >/dev/full) 2>/dev/null || echo full; head -c4 /dev/urandom | wc -c; \
                  echo y >/dev/shm/f; cat </dev/shm/f; echo z >/dev/stdout; (>/dev/new) 2>/dev/null || echo closed; \
                  (chmod 0 /dev/null) 2>/dev/null || echo kept";
    assert_eq!(stdout(&base.sh(script)), " 00 00\nfull\n4\ny\nz\nclosed\nkept\n");
}

#[test]
fn case_21_devices_of_the_host_are_not_there_and_cannot_be_made() {
    let base = Base::new();
    let script = "for d in vda sda mem kmem kvm fuse net/tun loop-control loop0 dri kmsg rtc rtc0; do [ -e /dev/$d ] && echo $d; done; \
                  mknod /tmp/mem c 1 1 2>/dev/null && echo MADE; mknod /tmp/disk b 8 0 2>/dev/null && echo MADE; echo done";
    assert_eq!(stdout(&base.sh(script)), "done\n");
}

#[test]
fn case_02_there_is_no_controlling_terminal() {
    let base = Base::new();
    assert_eq!(stdout(&base.sh("(: </dev/tty) 2>/dev/null || echo none")), "none\n");
}

#[test]
fn the_process_table_is_the_rooms_own() {
    let base = Base::new();
    assert_eq!(
        stdout(&base.sh("cd /proc; echo [0-9]*; cat 1/comm; echo $$")),
        "1 2\nroom-init\n2\n".replace("room-init", &init_name())
    );
}

/// The kernel names a program run from a descriptor after the argument or the descriptor, by version.
fn init_name() -> String {
    let base = Base::new();
    stdout(&base.sh("cat /proc/1/comm")).trim().to_owned()
}

#[test]
fn orphans_are_reaped() {
    let base = Base::new();
    let script = "for i in 1 2 3 4 5 6 7 8 9; do (sleep 0.05 &) ; done; \
                  while pgrep sleep >/dev/null; do :; done; cat /proc/[0-9]*/stat 2>/dev/null | grep -c ' Z ' ";
    let (_, out, err) = run(&base.sh(script));
    assert_eq!(out, "0\n", "{err}");
}

#[test]
fn the_root_and_the_world_outside_cannot_be_written() {
    let base = Base::new();
    let script = "for p in / /usr /usr/bin /etc /opt /proc /sys /dev /dev/pts; do (>$p/new) 2>/dev/null && echo WROTE $p; done; \
                  (echo x >/etc/passwd) 2>/dev/null && echo CHANGED; rm -f /etc/passwd 2>/dev/null && echo REMOVED; \
                  echo ok >/tmp/new && cat /tmp/new";
    assert_eq!(stdout(&base.sh(script)), "ok\n");
}

#[test]
fn case_14_setid_programs_give_nothing() {
    let base = Base::new();
    let out = stdout(&base.sh("cp /bin/sh /tmp/sh && chmod 6755 /tmp/sh && /tmp/sh -pc 'id -u; grep NoNewPrivs /proc/self/status'; grep ' /usr ' /proc/mounts | grep -c nosuid"));
    assert_eq!(out, "1000\nNoNewPrivs:\t1\n1\n");
}

#[test]
fn input_can_be_bytes() {
    let base = Base::new();
    let mut room = base.sh("cat; (echo x >&0) 2>/dev/null || echo sealed");
    room.stdin = Input::Bytes(b"a\0b\n".to_vec());
    assert_eq!(stdout(&room), "a\0b\nsealed\n");
}

#[test]
fn a_program_can_be_bytes() {
    let base = Base::new();
    let mut room = base.sh("");
    room.program = Program::Bytes(b"#!/bin/sh -e\necho \"$#:$1:$2\"\nexit 5\n".to_vec());
    room.args = vec!["one".into(), "two words".into()];
    let (outcome, out, err) = run(&room);
    assert_eq!((outcome.exit, out.as_str()), (Exit::Code(5), "2:one:two words\n"), "{err}");
    room.program = Program::Bytes(std::fs::read("/usr/bin/env").unwrap());
    room.args = vec!["echo".into(), "hello".into()];
    assert_eq!(stdout(&room), "hello\n");
}

#[test]
fn programs_are_found_in_the_rooms_path() {
    let base = Base::new();
    let mut room = base.sh("echo found");
    room.program = Program::Path("sh".into());
    room.env("PATH", "/nowhere:/usr/bin");
    assert_eq!(stdout(&room), "found\n");
    room.env.clear();
    assert!(matches!(room.spawn(), Err(Error::Invalid { .. })));
}

#[test]
fn case_33_a_program_that_cannot_run_is_an_error_not_an_exit() {
    let base = Base::new();
    harness::write(base.path().join("etc/plain"), "text");
    harness::write(base.path().join("etc/lost"), "#!/no/such/interpreter\n");
    rustix::fs::chmod(base.path().join("etc/lost"), 0o755.into()).unwrap();
    let mut room = base.sh("");
    for (program, errno) in [
        ("/no/such/file", libc::ENOENT),
        ("/etc/plain", libc::EACCES),
        ("/etc/lost", libc::ENOENT),
        ("/etc", libc::EACCES),
    ] {
        room.program = Program::Path(program.into());
        let error = room.spawn().unwrap_err();
        assert!(matches!(error, Error::Exec { .. }), "{error:?}");
        assert_eq!(error.errno(), Some(errno), "{program}");
        assert!(error.to_string().contains(program));
    }
    room.program = Program::Bytes(b"no program".to_vec());
    assert_eq!(room.spawn().unwrap_err().errno(), Some(libc::ENOEXEC));
}

#[test]
fn a_set_up_that_fails_names_its_step_and_leaves_nothing() {
    let base = Base::new();
    let mut room = base.sh("true");
    room.cwd("/no/such/dir");
    let error = room.spawn().unwrap_err();
    assert_eq!(
        (error.step(), error.errno()),
        (Some("entering the working directory /no/such/dir"), Some(libc::ENOENT))
    );
    let mut room = base.sh("true");
    room.bind_ro("/no/such/source", "/opt");
    let error = room.spawn().unwrap_err();
    assert_eq!((error.step(), error.errno()), (Some("opening /no/such/source"), Some(libc::ENOENT)));
    let mut room = base.sh("true");
    room.fds.push(InheritedFd { source: 987_654, target: 5 });
    assert_eq!(room.spawn().unwrap_err().step(), Some("arranging the file descriptors"));
}

#[test]
fn contradictions_are_refused_before_anything_happens() {
    let base = Base::new();
    let wrong: [fn(&mut Room); 9] = [
        |room| room.mounts.push(Mount::Tmpfs { target: "relative".into(), size: 1, mode: 0o755 }),
        |room| room.mounts.push(Mount::Tmpfs { target: "/a/../../x".into(), size: 1, mode: 0o755 }),
        |room| room.mounts.push(Mount::Tmpfs { target: "/".into(), size: 1, mode: 0o755 }),
        |room| room.hostname.clear(),
        |room| room.cwd = "relative".into(),
        |room| room.args.push("nul\0".into()),
        |room| room.env.push(("A=B".into(), "".into())),
        |room| room.fds.push(InheritedFd { source: 1, target: 2 }),
        |room| room.program = Program::Path("".into()),
    ];
    for (index, change) in wrong.into_iter().enumerate() {
        let mut room = base.sh("true");
        change(&mut room);
        assert!(matches!(room.spawn(), Err(Error::Invalid { .. })), "number {index}");
    }
}

#[test]
fn arguments_need_not_be_utf8() {
    let base = Base::new();
    let mut room = base.sh("printf %s \"$1\" | od -An -tx1");
    room.args.extend(["sh".into(), std::ffi::OsString::from_vec(vec![0xff, 0xfe])]);
    assert_eq!(stdout(&room), " ff fe\n");
}

#[test]
fn a_description_survives_being_written_and_read() {
    let mut room = Room::new(Root::dir("/some/root", Access::Ro), "/bin/sh");
    room.arg("-c").env("A", "b").cwd("/x").bind_rw("/src", "/dst").tmpfs("/t", 5);
    room.mounts.push(Mount::Bind { source: "/a".into(), target: "/b".into(), access: Access::Ro, owner: Owner::Host });
    room.limits.wall = Some(std::time::Duration::from_millis(1500));
    let text = serde_json::to_string(&room).unwrap();
    assert_eq!(serde_json::from_str::<Room>(&text).unwrap(), room);
}

#[test]
fn a_room_can_have_a_terminal_of_its_own() {
    let base = Base::new();
    let mut room = base.sh("tty; [ -t 0 ] && [ -t 2 ] && (: </dev/tty) && echo controlled; read line; echo \"got $line\"; stty size; stat -c %u $(tty)");
    room.session = sandbox::Session::Pty;
    let child = room.spawn().unwrap();
    let size = rustix::termios::Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(child.pty().unwrap(), size).unwrap();
    rustix::io::write(child.pty().unwrap(), b"a line\n").unwrap();
    let mut text = Vec::new();
    let outcome = child.wait_with(|_, bytes| {
        text.extend_from_slice(bytes);
        Ok(())
    });
    assert!(outcome.unwrap().success());
    let text = String::from_utf8(text).unwrap();
    for line in ["/dev/pts/0", "controlled", "got a line", "33 77", "1000"] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}

/// Makes a room, and prints why it could not be made.
#[test]
fn limited() {
    if !harness::is_probe("limited") {
        return;
    }
    let error = Room::new(Root::dir("/", Access::Ro), "/bin/true").spawn().map(drop).unwrap_err();
    println!("\nREFUSED {error}");
}

/// Where every mount is shared, as most systems have it.
#[test]
fn sharer() {
    if !harness::is_probe("sharer") {
        return;
    }
    let (base, dir) = (Base::new(), tempfile::TempDir::new().unwrap());
    let (inner, later) = (harness::mkdir(dir.path().join("inner")), harness::mkdir(dir.path().join("later")));
    let script =
        format!("echo UP; read line; ls /x/later {0} 2>&1; (: >{0}/new) 2>/dev/null && echo WROTE", later.display());
    let mut rooms = vec![base.sh(&script), base.sh(&script)];
    rooms[0].bind_rw(dir.path(), "/x").tmpfs("/x/inner", 1 << 20);
    rooms[1].root = Root::Dir { path: "/".into(), access: Access::Ro, owner: Owner::Host };
    (rooms[1].tmp, rooms[1].mounts) = (None, Vec::new());
    for mut room in rooms {
        let (input, mut hold) = std::io::pipe().unwrap();
        room.stdin = Input::Fd(input.as_raw_fd());
        let mut child = room.spawn().unwrap();
        let mut out = std::io::BufReader::new(child.take_stdout().unwrap());
        std::io::BufRead::read_line(&mut out, &mut String::new()).unwrap();
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        println!("\nOUTSIDE {}", table.matches(inner.to_str().unwrap()).count());
        let mount = |command: &mut std::process::Command| assert!(command.arg(&later).status().unwrap().success());
        mount(std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "mode=1777", "tmpfs"]));
        harness::write(later.join("seen"), "");
        std::io::Write::write_all(&mut hold, b"go\n").unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut out, &mut text).unwrap();
        child.wait().unwrap();
        println!("\nINSIDE {}", text.matches("seen").count() + text.matches("WROTE").count());
        mount(&mut std::process::Command::new("umount"));
    }
}

#[test]
fn no_mount_of_the_host_comes_into_a_room_nor_the_other_way_round() {
    let mut command = std::process::Command::new("unshare");
    if !harness::root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "--propagation", "shared"]).arg(std::env::current_exe().unwrap());
    let output = command.args(["--exact", "sharer", "--nocapture"]).env("PROBE", "sharer").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(harness::marked(&text, "OUTSIDE "), ["0", "0"], "{text}");
    assert_eq!(harness::marked(&text, "INSIDE "), ["0", "0"], "{text}");
}

/// Why no room could be made for a user to whom this limit is set.
fn refusal_of_a_user(name: &str, limit: u32) -> Option<String> {
    // In a user namespace of its own the limit is this test's alone.
    let script = format!("echo {limit} >/proc/sys/user/{name} && exec \"$0\" --exact limited --nocapture");
    let mut command = std::process::Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", &script]).arg(std::env::current_exe().unwrap());
    refusal(&String::from_utf8_lossy(&command.env("PROBE", "limited").output().unwrap().stdout))
}

/// The same for a root who has all ids that this one has.
fn refusal_of_root(name: &str, limit: u32) -> Option<String> {
    use std::io::{BufRead, Read};
    use std::process::Stdio;
    let script = format!("echo {limit} >/proc/sys/user/{name} && exec \"$0\" --exact limited --nocapture");
    let mut command = std::process::Command::new("unshare");
    // A program started after the map is there has the rights of root again.
    command.args(["--user", "--mount", "sh", "-c", "echo UP; read go; exec sh -c \"$1\" \"$0\""]);
    command.arg(std::env::current_exe().unwrap()).arg(script).env("PROBE", "limited");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    for kind in ["uid_map", "gid_map"] {
        let own = std::fs::read_to_string(format!("/proc/self/{kind}")).unwrap();
        let same = |line: &str| {
            let words: Vec<_> = line.split_whitespace().collect();
            format!("{0} {0} {1}\n", words[0], words[2])
        };
        let map: String = own.lines().map(same).collect();
        harness::write(format!("/proc/{}/{kind}", child.id()), &map);
    }
    drop(child.stdin.take().map(|mut input| std::io::Write::write_all(&mut input, b"go\n")));
    let mut text = String::new();
    out.read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    refusal(&text)
}

fn refusal(text: &str) -> Option<String> {
    harness::marked(text, "REFUSED ").first().map(ToString::to_string)
}

#[test]
fn a_limit_on_namespaces_is_named_where_it_forbids_rooms() {
    for kind in ["user", "mnt", "pid", "net", "uts", "ipc", "cgroup"] {
        let name = format!("max_{kind}_namespaces");
        let refused = [Some(refusal_of_a_user(&name, 0)), harness::root().then(|| refusal_of_root(&name, 0))];
        for refused in refused.into_iter().flatten() {
            let named = format!("user.{name} = 0");
            assert!(refused.as_ref().is_some_and(|text| text.contains(&named)), "{kind}: {refused:?}");
        }
    }
    // Every mount that is made is in a namespace of its own until it is put into its place.
    let later: Vec<_> = (1..8).filter_map(|limit| refusal_of_a_user("max_mnt_namespaces", limit)).collect();
    assert!(later.len() > 2 && later.iter().all(|text| text.contains("user.max_mnt_namespaces = ")), "{later:#?}");
}

#[test]
fn a_limit_on_processes_is_named_where_it_forbids_rooms() {
    if harness::root() {
        // No such limit holds for root.
        return;
    }
    let mut command = std::process::Command::new("prlimit");
    command.arg("--nproc=1").arg(std::env::current_exe().unwrap());
    let output = command.args(["--exact", "limited", "--nocapture"]).env("PROBE", "limited").output();
    let refused = refusal(&String::from_utf8_lossy(&output.unwrap().stdout));
    assert!(refused.as_ref().is_some_and(|text| text.contains("ulimit -u")), "{refused:?}");
}

#[test]
fn a_host_without_proc_is_named() {
    let mut command = std::process::Command::new("unshare");
    if !harness::root() {
        command.args(["--user", "--map-root-user"]);
    }
    let script = "mount -t tmpfs none /proc && exec \"$0\" --exact limited --nocapture";
    command.args(["--mount", "sh", "-c", script]).arg(std::env::current_exe().unwrap()).env("PROBE", "limited");
    let refused = refusal(&String::from_utf8_lossy(&command.output().unwrap().stdout));
    assert!(refused.as_ref().is_some_and(|text| text.contains("/proc")), "{refused:?}");
}

#[test]
fn this_machine_grants_what_rooms_need() {
    let probe = sandbox::probe();
    for (name, finding) in probe.findings() {
        // That is an administrator's to give.
        let given = ["range of users", "control groups"].contains(&name);
        assert!(finding.works() || given, "{name}: {finding:?}");
        assert!(!sandbox::Probe::cost(name).is_empty(), "{name}");
    }
    assert!(!Path::new(&probe.kernel).as_os_str().is_empty());
}

#[test]
fn the_same_holds_for_an_ordinary_user() {
    harness::again_as_a_user();
}
