//! Package scripts: an install root as `/`, as its root.

mod harness;

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use harness::{Base, root, run, stdout, write};
use sandbox::{Access, Exit, Mount, Owner, Room};

/// An install root that borrows the host's `/usr`.
fn script(base: &Base, access: Access, text: &str) -> Room {
    let mut room = Room::script(base.path(), access, format!("#!/bin/sh\n{text}\n"));
    room.env("PATH", "/usr/bin:/bin");
    room.mounts.push(Mount::Bind {
        source: "/usr".into(),
        target: "/usr".into(),
        access: Access::Ro,
        owner: Owner::Host,
    });
    room
}

#[test]
fn scripts_are_root_inside_and_get_their_arguments() {
    let base = Base::new();
    let mut room = script(&base, Access::Rw, "id -u; echo \"$#:$*\"; exit 6");
    room.args(["name", "2.0", "3", "1.0", "1"]);
    let (outcome, out, err) = run(&room);
    assert_eq!((outcome.exit, out.as_str()), (Exit::Code(6), "0\n5:name 2.0 3 1.0 1\n"), "{err}");
}

#[test]
fn what_a_script_writes_belongs_to_the_caller_outside() {
    let base = Base::new();
    stdout(&script(
        &base,
        Access::Rw,
        "echo x >/etc/new; mkdir -p /var/lib/x; chown 0:0 /etc/new; chmod 4711 /etc/new",
    ));
    let meta = std::fs::metadata(base.path().join("etc/new")).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()));
    assert_eq!(meta.permissions().mode() & 0o7777, 0o4711);
    assert!(base.path().join("var/lib/x").is_dir());
    assert!(!base.path().join("proc").exists() && !base.path().join("dev").exists());
}

#[test]
fn a_pre_script_sees_the_root_read_only() {
    let base = Base::new();
    let text = "(>/etc/new) 2>/dev/null || echo closed; (rm /etc/passwd) 2>/dev/null || echo kept; chmod 0 /etc/passwd 2>/dev/null || echo kept; cat /etc/passwd; >/tmp/scratch";
    assert_eq!(stdout(&script(&base, Access::Ro, text)), "closed\nkept\nkept\nbuild:x:1000:1000::/:/bin/sh\n");
    assert!(!base.path().join("proc").exists());
}

#[test]
fn real_owners_show_and_can_be_given_by_root_only() {
    let base = Base::new();
    let room =
        script(&base, Access::Rw, "chown 12:34 /etc/passwd 2>/dev/null && echo given; stat -c '%u %g' /etc/passwd");
    if root() {
        assert_eq!(stdout(&room), "given\n12 34\n");
        assert_eq!(std::fs::metadata(base.path().join("etc/passwd")).unwrap().uid(), 12);
    } else {
        assert_eq!(stdout(&room), "0 0\n");
    }
}

#[test]
fn scripts_keep_seven_capabilities_and_no_more() {
    let base = Base::new();
    let out = stdout(&script(&base, Access::Rw, "grep -E 'Cap(Eff|Prm|Bnd)|NoNewPrivs|^Seccomp:' /proc/self/status"));
    assert_eq!(
        out,
        "CapPrm:\t00000000800000db\nCapEff:\t00000000800000db\nCapBnd:\t00000000800000db\nNoNewPrivs:\t1\nSeccomp:\t2\n"
    );
}

#[test]
fn scripts_reach_nothing_outside_their_root() {
    let base = Base::new();
    let text = "for f in kernel/core_pattern kernel/hostname vm/swappiness; do (cat /proc/sys/$f >/proc/sys/$f) 2>/dev/null && echo WROTE $f; done; \
                mknod /dev/x c 1 1 2>/dev/null && echo MADE; mknod /tmp/x c 1 1 2>/dev/null && echo MADE; mknod /etc/x b 8 0 2>/dev/null && echo MADE; \
                mount -t tmpfs none /tmp 2>/dev/null && echo MOUNTED; umount /proc/sys 2>/dev/null && echo UNMOUNTED; \
                hostname x 2>/dev/null && echo RENAMED; chroot /proc/1/root true 2>/dev/null && echo LEFT; \
                kill -9 1 2>/dev/null; cat /proc/1/environ >/dev/null 2>&1 && echo LOOKED; chmod 0 /dev/null 2>/dev/null && echo CHANGED; \
                unshare -U true 2>/dev/null && echo NESTED; sed -n 3,9p /proc/net/dev | cut -d: -f1 | tr -d ' '; echo done";
    assert_eq!(stdout(&script(&base, Access::Rw, text)), "lo\ndone\n");
}

#[test]
fn a_missing_interpreter_is_an_error_that_says_so() {
    let base = Base::new();
    let room = Room::script(base.path(), Access::Rw, "#!/usr/bin/no-such-shell\n");
    let error = room.spawn().unwrap_err();
    assert!(error.to_string().contains("interpreter"), "{error}");
}

#[test]
fn bytes_on_standard_input_reach_the_script() {
    let base = Base::new();
    let mut room = script(&base, Access::Rw, "cat");
    room.stdin = sandbox::Input::Bytes(b"paths\n".to_vec());
    assert_eq!(stdout(&room), "paths\n");
    write(base.path().join("etc/x"), "");
}

#[test]
fn the_same_holds_for_an_ordinary_user() {
    harness::again_as_a_user();
}
