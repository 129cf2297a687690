//! Rooms that stay when their program has ended, and are entered again.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod harness;

use harness::{Base, dress, stdout};
use sandbox::{Access, Child, Error, Exit, Kept, Mount, Outcome, Room, Root, Session, Upper};

/// A room that can be written, at whose end things lie about.
fn failing(base: &Base) -> Room {
    let layers = vec![base.path().to_owned()];
    let mut room = Room::new(Root::Overlay { layers, upper: Upper::Tmpfs { size: 1 << 20 } }, "/bin/sh");
    let script = "echo a >/tmp/a; echo b >/etc/b; echo c >/dev/shm/c; mkdir /made; sleep 1000 & exit 3";
    dress(&mut room, script);
    room.env("NAME", "value").cwd("/etc");
    room
}

fn text(child: Child) -> (Outcome, String) {
    let mut text = Vec::new();
    let outcome = child.wait_with(|_, bytes| {
        text.extend_from_slice(bytes);
        Ok(())
    });
    (outcome.unwrap(), String::from_utf8(text).unwrap())
}

fn kept(room: &Room) -> Kept {
    let (child, kept) = room.spawn_keeping().unwrap();
    assert_eq!(child.wait().unwrap().exit, Exit::Code(3));
    kept
}

fn again(room: &Room, script: &str) -> Room {
    let mut room = room.clone();
    room.args = vec!["-c".into(), script.into()];
    room
}

#[test]
fn all_that_a_program_left_is_there_but_no_process() {
    let base = Base::new();
    let room = failing(&base);
    let kept = kept(&room);
    let script = "pwd; echo $NAME; cat /tmp/a b /dev/shm/c; ls -d /made; cd /proc; echo [0-9]*; hostname; tail -n+3 net/dev | cut -d: -f1; \
        echo d >/tmp/d";
    let (outcome, out) = text(kept.enter(&again(&room, script)).unwrap());
    assert!(outcome.success());
    assert_eq!(out, "/etc\nvalue\na\nb\nc\n/made\n1 2\nlocalhost\n    lo\n");
    let (_, out) = text(kept.enter(&again(&room, "cat /tmp/a /tmp/d")).unwrap());
    assert_eq!(out, "a\nd\n", "as often as one likes");
    assert!(!base.path().join("etc/b").exists());
}

#[test]
fn who_enters_has_no_more_rights_than_the_program_had() {
    let base = Base::new();
    let room = failing(&base);
    let kept = kept(&room);
    let script = "id -u; grep -E 'Cap(Bnd|Prm|Eff)' /proc/self/status | cut -f2 | sort -u; grep -E 'NoNewPrivs|^Seccomp:' /proc/self/status; \
        (cat /proc/sys/kernel/core_pattern >/proc/sys/kernel/core_pattern) 2>/dev/null || echo closed; \
        mount -t tmpfs x /tmp 2>/dev/null || echo closed; umount /proc 2>/dev/null || echo closed; \
        (>/usr/new) 2>/dev/null || echo closed; cat /proc/1/environ 2>/dev/null || echo closed; head -c1 /proc/kcore 2>/dev/null; ls /proc/1/root 2>/dev/null";
    let (_, out) = text(kept.enter(&again(&room, script)).unwrap());
    assert_eq!(out, format!("1000\n0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n{}", "closed\n".repeat(5)));
}

#[test]
fn one_program_at_a_time_is_inside() {
    let base = Base::new();
    let room = failing(&base);
    let (child, kept) = room.spawn_keeping().unwrap();
    assert!(matches!(kept.enter(&room), Err(Error::Invalid { .. })));
    child.wait().unwrap();
    let mut wrong = room.clone();
    wrong.cwd("/no/such/folder");
    assert_eq!(kept.enter(&wrong).unwrap_err().step(), Some("entering the working directory /no/such/folder"));
    let child = kept.enter(&again(&room, "sleep 1000")).unwrap();
    assert!(matches!(kept.enter(&room), Err(Error::Invalid { .. })));
    drop(child);
    assert!(text(kept.enter(&again(&room, "true")).unwrap()).0.success());
}

#[test]
fn another_room_than_the_one_that_was_kept_is_refused() {
    let base = Base::new();
    let room = failing(&base);
    let kept = kept(&room);
    let changes: [fn(&mut Room); 5] = [
        |room| room.mounts.push(Mount::Tmpfs { target: "/more".into(), size: 1, mode: 0o755 }),
        |room| room.ids.uid = 0,
        |room| room.net = sandbox::Net::Host,
        |room| room.root = Root::Empty,
        |room| room.session = Session::Pty,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut other = room.clone();
        change(&mut other);
        assert!(matches!(kept.enter(&other), Err(Error::Invalid { .. })), "number {number}");
    }
}

#[test]
fn nothing_is_left_when_a_kept_room_goes() {
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    for room_goes_first in [false, true] {
        let base = Base::new();
        let mut room = Room::new(Root::dir(base.path(), Access::Rw), "/bin/sh");
        dress(&mut room, "exit 3");
        let (child, kept) = room.spawn_keeping().unwrap();
        assert!(base.path().join("proc").exists());
        if room_goes_first {
            drop(kept);
            child.wait().unwrap();
        } else {
            child.wait().unwrap();
            assert!(base.path().join("proc").exists(), "the mount points stay with the room");
            drop(kept);
        }
        assert!(!base.path().join("proc").exists());
        assert_eq!(mounts(), before);
    }
}

#[test]
fn a_kept_room_has_a_shell() {
    let base = Base::new();
    let room = failing(&base);
    let kept = kept(&room);
    let mut shell = kept.shell("/bin/sh");
    assert_eq!((&shell.env, &shell.cwd, shell.session), (&room.env, &room.cwd, Session::Foreground));
    // Nobody is at the terminal of a test.
    shell.stdin = sandbox::Input::Bytes(b"cat /tmp/a\nexit 9\n".to_vec());
    (shell.stdout, shell.stderr) = (sandbox::Output::Pipe, sandbox::Output::Null);
    let (outcome, out) = text(kept.enter(&shell).unwrap());
    assert_eq!((outcome.exit, out.as_str()), (Exit::Code(9), "a\n"));
    drop(kept);
    assert!(stdout(&base.sh("ls /tmp")).is_empty());
}

#[test]
fn the_same_holds_for_an_ordinary_user() {
    harness::again_as_a_user();
}
