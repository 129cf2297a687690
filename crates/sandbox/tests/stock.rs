//! Rooms from a stock are rooms like all others.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod harness;

use std::collections::BTreeSet;

use harness::{Base, is_probe, marked, mkdir};
use sandbox::{Exit, Net, Room, Session, Stock};

fn stdout(stock: &Stock, room: &Room) -> String {
    let mut text = Vec::new();
    let outcome = stock.run(room, |_, bytes| {
        text.extend_from_slice(bytes);
        Ok(())
    });
    let text = String::from_utf8(text).unwrap();
    assert!(outcome.unwrap().success(), "{text}");
    text
}

#[test]
fn nothing_of_a_room_is_in_the_next() {
    let (base, stock) = (Base::new(), Stock::new(2));
    let script = "ls -A /tmp /dev/shm /dev/mqueue 2>/dev/null; ipcs -q | grep -c 0x; cat /sys/class/net/lo/flags 2>/dev/null; \
        echo x >/tmp/x; echo x >/dev/shm/x; ipcmk -Q >/dev/null; ls /dev/pts";
    let room = base.sh(script);
    let first = stdout(&stock, &room);
    for turn in 0..8 {
        assert_eq!(stdout(&stock, &room), first, "room {turn}");
    }
}

#[test]
fn every_room_has_namespaces_of_its_own() {
    let (base, stock) = (Base::new(), Stock::new(2));
    const KINDS: [&str; 7] = ["user", "mnt", "pid", "uts", "ipc", "net", "cgroup"];
    let rooms: Vec<_> = (0..6)
        .map(|_| {
            let mut room = base.sh("echo UP; read line");
            let (input, hold) = std::io::pipe().unwrap();
            room.stdin = sandbox::Input::Fd(std::os::fd::AsRawFd::as_raw_fd(&input));
            let mut child = stock.spawn(&room).unwrap();
            let mut out = std::io::BufReader::new(child.take_stdout().unwrap());
            std::io::BufRead::read_line(&mut out, &mut String::new()).unwrap();
            // Of the program, not of the init, which has the caller's user namespace where that is root's.
            let init = child.id();
            let list = std::fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
            let program = list.split_whitespace().next().unwrap().to_owned();
            (child, hold, program)
        })
        .collect();
    for kind in KINDS {
        let links: BTreeSet<_> = rooms
            .iter()
            .filter_map(|(_, _, program)| std::fs::read_link(format!("/proc/{program}/ns/{kind}")).ok())
            .chain(std::fs::read_link(format!("/proc/self/ns/{kind}")))
            .collect();
        // An ordinary user may not look into a program that has no right in common with it.
        assert!(links.len() == rooms.len() + 1 || links.len() == 1, "{kind}: {links:?}");
    }
    for (child, hold, _) in rooms {
        drop(hold);
        child.wait().unwrap();
    }
}

#[test]
fn kinds_of_rooms_are_told_apart() {
    let (base, stock) = (Base::new(), Stock::new(1));
    for _ in 0..3 {
        let mut room = base.sh("id -u; id -g; tail -n+3 /proc/net/dev | wc -l; stat -f -c %b /tmp; tty");
        room.ids = sandbox::Ids { uid: 7, gid: 8 };
        room.tmp = Some(1 << 20);
        assert!(stock.run(&room, |_, _| Ok(())).is_ok());
        let out = stock_output(&stock, &room);
        assert!(out.starts_with("7\n8\n1\n256\n"), "{out}");
        room.net = Net::Host;
        room.ids = sandbox::Ids { uid: 9, gid: 9 };
        assert!(stock_output(&stock, &room).starts_with("9\n9\n"));
        room.session = Session::Pty;
        assert!(stock_output(&stock, &room).ends_with("/dev/pts/0\r\n"));
    }
}

/// What a room prints, however it ends.
fn stock_output(stock: &Stock, room: &Room) -> String {
    let mut text = Vec::new();
    let outcome = stock.run(room, |_, bytes| {
        text.extend_from_slice(bytes);
        Ok(())
    });
    outcome.unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn a_room_outlives_the_stock() {
    let base = Base::new();
    let stock = Stock::new(2);
    let child = stock.spawn(&base.sh("sleep 0.1; exit 6")).unwrap();
    drop(stock);
    assert_eq!(child.wait().unwrap().exit, Exit::Code(6));
}

/// Mounts something between two rooms.
#[test]
fn mounter() {
    if !is_probe("mounter") {
        return;
    }
    let (base, dir, stock) = (Base::new(), tempfile::TempDir::new().unwrap(), Stock::new(2));
    let shown = mkdir(dir.path().join("shown"));
    let mut room = base.sh("ls /opt");
    room.bind_ro(&shown, "/opt");
    for _ in 0..3 {
        assert_eq!(stdout(&stock, &room), "");
    }
    let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&shown).status().unwrap();
    assert!(mounted.success());
    harness::write(shown.join("new"), "");
    println!("\nSHOWN {}", stdout(&stock, &room).trim());
    // The same of a room on the host's own root, which the stock has copied ahead.
    let list = format!("ls {}", shown.display());
    let mut room = on_the_host(&list);
    room.tmp = None;
    for _ in 0..3 {
        assert_eq!(stdout(&stock, &room), "new\n");
    }
    assert!(std::process::Command::new("umount").arg(&shown).status().unwrap().success());
    assert_eq!(stdout(&stock, &room), "");
    // A new file system in the place of the old one is seen as such.
    assert!(std::process::Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&shown).status().unwrap().success());
    assert_eq!(stdout(&stock, &room), "");
    println!("\nALSO fresh");
}

/// A room on all that the host has.
fn on_the_host(script: &str) -> Room {
    let root = sandbox::Root::Dir { path: "/".into(), access: sandbox::Access::Ro, owner: sandbox::Owner::Host };
    let mut room = Room::new(root, "/bin/sh");
    room.args = vec!["-c".into(), script.into()];
    room.env("PATH", "/usr/bin:/bin");
    room
}

#[test]
fn rooms_on_the_hosts_root_are_closed_and_apart() {
    let stock = Stock::new(2);
    let script = "for p in / /usr /etc /var /dev /proc /sys; do (: >$p/sandbox-new) 2>/dev/null && echo WROTE $p; done; \
        ls -A /tmp /dev/shm /sys; echo x >/tmp/x; echo x >/dev/shm/x; ls /dev | tr '\\n' ' '; cd /proc; echo [0-9]*; \
        (cat sys/kernel/core_pattern >sys/kernel/core_pattern) 2>/dev/null || echo closed";
    let mut room = on_the_host(script);
    let plain = {
        let (_, out, _) = room.output().unwrap();
        String::from_utf8(out).unwrap()
    };
    assert!(plain.ends_with("closed\n") && !plain.contains("WROTE"), "{plain}");
    for _ in 0..4 {
        assert_eq!(stdout(&stock, &room), plain);
    }
    // What is bound in addition is there, and only then.
    let dir = tempfile::TempDir::new().unwrap();
    harness::write(dir.path().join("file"), "shown");
    room.args = vec!["-c".into(), "cat /tmp/in/file; (: >/tmp/in/new) 2>/dev/null || echo closed".into()];
    room.bind_ro(dir.path(), "/tmp/in");
    for _ in 0..3 {
        assert_eq!(stdout(&stock, &room), "shownclosed\n");
    }
    // A mount point that the host lacks is made in none of it.
    room.mounts.clear();
    room.args = vec!["-c".into(), "ls /sandbox-missing".into()];
    room.bind_ro(dir.path(), "/sandbox-missing");
    let _ = stock.run(&room, |_, _| Ok(()));
    assert!(!std::path::Path::new("/sandbox-missing").exists());
}

#[test]
fn what_the_caller_mounts_meanwhile_is_seen() {
    let scratch = tempfile::TempDir::new().unwrap();
    let mut command = std::process::Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "mounter", "--nocapture"]).env("PROBE", "mounter").env("TMPDIR", scratch.path());
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!((marked(&text, "SHOWN "), marked(&text, "ALSO ")), (vec!["new"], vec!["fresh"]), "{text}");
}

#[test]
fn the_same_holds_for_an_ordinary_user() {
    harness::again_as_a_user();
}
