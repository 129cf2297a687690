//! Rooms with many users.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests arrange trees of their own")]

mod harness;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use harness::{Base, root, stdout};
use sandbox::{DEFAULT_HOST_ID, Error, Ids, Room, remove_tree};
use tempfile::TempDir;

const RANGE: u32 = 4000;

/// A room whose program is root of a range, with a folder to write into at `/out`.
fn ranged(base: &Base, out: &Path, script: &str) -> Room {
    let mut room = base.sh(script);
    room.range = Some(RANGE);
    room.ids = Ids { uid: 0, gid: 0 };
    room.bind_rw(out, "/out");
    room
}

/// Whether this machine gives the caller a range; where it does not, the reason says what to do.
fn is_granted() -> bool {
    let base = Base::new();
    let dir = TempDir::new().unwrap();
    match ranged(&base, dir.path(), "true").spawn() {
        Ok(child) => {
            assert!(child.wait().unwrap().success());
            true
        }
        Err(error) => {
            assert!(!root(), "{error}");
            assert_eq!(error.step(), Some("mapping the range of users"), "{error}");
            let text = error.to_string();
            assert!(text.contains("usermod --add-subuids") || text.contains("newuidmap"), "{text}");
            false
        }
    }
}

#[test]
fn files_can_be_given_to_any_user_of_the_range_and_removed_after() {
    if !is_granted() {
        return;
    }
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let out = harness::mkdir(dir.path().join("out"));
    let script = "id -u; echo x >/out/own; echo x >/out/given; chown 12:34 /out/given; stat -c '%u %g' /out/own /out/given; \
        mkdir -m 700 /out/shut; echo x >/out/shut/in; chown -R 3999:3999 /out/shut; chown 4000 /out/own 2>/dev/null || echo beyond; \
        setpriv --reuid 5 --regid 6 --clear-groups sh -c 'id -u; id -g; ls /out/shut 2>/dev/null || echo closed'";
    let text = stdout(&ranged(&base, &out, script));
    assert_eq!(text, "0\n0 0\n12 34\nbeyond\n5\n6\nclosed\n");
    let own = std::fs::metadata(out.join("own")).unwrap();
    assert_eq!(own.uid(), rustix::process::geteuid().as_raw(), "what its root writes is the caller's");
    let given = std::fs::metadata(out.join("given")).unwrap();
    assert!(![0, 12, own.uid()].contains(&given.uid()), "no user of the host is meant");
    if root() {
        assert_eq!((given.uid(), given.gid()), (DEFAULT_HOST_ID + 12, DEFAULT_HOST_ID + 34));
    } else {
        assert!(std::fs::read_dir(out.join("shut")).is_err());
    }
    std::os::unix::fs::symlink("/etc", out.join("link")).unwrap();
    remove_tree(&out, RANGE).unwrap();
    assert!(!out.exists() && Path::new("/etc/passwd").exists());
}

#[test]
fn what_cannot_be_removed_is_an_error_that_names_it() {
    let dir = TempDir::new().unwrap();
    assert!(matches!(remove_tree(&dir.path().join("none"), RANGE), Err(Error::Remove { .. })));
    std::os::unix::fs::symlink("/etc", dir.path().join("link")).unwrap();
    remove_tree(&dir.path().join("link"), RANGE).unwrap();
    assert!(Path::new("/etc/passwd").exists() && !dir.path().join("link").is_symlink());
}

#[test]
fn a_user_of_a_range_other_than_its_root_has_no_rights() {
    if !is_granted() {
        return;
    }
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let script = "id -u; grep -E 'Cap(Bnd|Prm|Eff)' /proc/self/status | cut -f2 | sort -u; \
        echo x >/out/own; chown 12 /out/own 2>/dev/null || echo kept; grep Groups /proc/self/status";
    let mut room = ranged(&base, dir.path(), script);
    room.ids = Ids { uid: 77, gid: 78 };
    assert_eq!(stdout(&room), "77\n0000000000000000\nkept\nGroups:\t \n");
}

#[test]
fn the_root_of_a_range_has_seven_rights_and_no_more() {
    if !is_granted() {
        return;
    }
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let script = "grep -E 'Cap(Bnd|Prm|Eff)' /proc/self/status | cut -f2 | sort -u; grep -E 'NoNewPrivs|^Seccomp:' /proc/self/status; \
        (echo x >/proc/sys/kernel/core_pattern) 2>/dev/null || echo closed; \
        mount -t tmpfs x /tmp 2>/dev/null || echo closed; mknod /tmp/null c 1 3 2>/dev/null || echo closed; \
        hostname x 2>/dev/null || echo closed; kill -9 1; cat /proc/1/environ 2>/dev/null || echo closed; \
        (echo x >/usr/bin/new) 2>/dev/null || echo closed";
    let text = stdout(&ranged(&base, dir.path(), script));
    let closed = "closed\n".repeat(6);
    assert_eq!(text, format!("00000000800000db\nNoNewPrivs:\t1\nSeccomp:\t2\n{closed}"));
}

#[test]
fn files_of_others_stay_nobodys() {
    if !is_granted() {
        return;
    }
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    harness::write(dir.path().join("own"), "x");
    std::fs::set_permissions(dir.path().join("own"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let script = "stat -c '%u %g' /out/own; chown 7 /out/own; stat -c %u /usr; (echo x >>/usr/bin/env) 2>/dev/null || echo closed; \
        chown 0 /usr 2>/dev/null || echo closed";
    assert_eq!(stdout(&ranged(&base, dir.path(), script)), "0 0\n65534\nclosed\nclosed\n");
}

#[test]
fn a_range_must_hold_the_program_and_end_somewhere() {
    let base = Base::new();
    for (ids, range, host_id) in [(1000, 1000, DEFAULT_HOST_ID), (0, 0, DEFAULT_HOST_ID), (0, 10, u32::MAX - 5)] {
        let mut room = base.sh("true");
        room.ids = Ids { uid: ids, gid: 0 };
        (room.range, room.host_id) = (Some(range), host_id);
        assert!(matches!(room.spawn(), Err(Error::Invalid { .. })), "{ids} {range}");
    }
}

#[test]
fn rooms_from_a_stock_have_their_range_too() {
    if !is_granted() {
        return;
    }
    let (base, dir, stock) = (Base::new(), TempDir::new().unwrap(), sandbox::Stock::new(1));
    let room = ranged(&base, dir.path(), "echo x >/out/x; chown 9 /out/x; stat -c %u /out/x; rm /out/x");
    for _ in 0..4 {
        let mut text = Vec::new();
        let outcome = stock.run(&room, |_, bytes| {
            text.extend_from_slice(bytes);
            Ok(())
        });
        assert!(outcome.unwrap().success());
        assert_eq!(text, b"9\n");
    }
}

#[test]
fn the_same_holds_for_an_ordinary_user() {
    harness::again_as_a_user();
}
