//! A denial that cannot be read is no denial less: everything stops (attack 39).

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};

use rustix::process::Uid;
use trust::{Caller, ReasonCode, Store, Tier};

use crate::a38_tampered_trust_dir::TrustDir;
use crate::fixture::*;

const USER: u32 = 12345;

/// Runs `work` in a thread that is not root.
fn as_user<T: Send>(work: impl FnOnce(Caller) -> T + Send) -> T {
    let caller = Caller::current();
    if caller.uid != 0 {
        return work(caller);
    }
    let user = Uid::from_raw(USER);
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            rustix::thread::set_thread_res_uid(user, user, user).unwrap();
            work(Caller { uid: USER, gid: USER })
        });
        thread.join().unwrap()
    })
}

#[test]
fn what_cannot_be_read_is_an_error() {
    for node in ["untrusted", "untrusted/mallory.pub"] {
        let dir = TrustDir::new();
        dir.add(Tier::Junior, "bob.pub", &secret(1).public_line());
        dir.add(Tier::Untrusted, "mallory.pub", &secret(2).public_line());
        let path = dir.path().join("etc/trust.d/keys").join(node);
        let scratch = dir.path().parent().unwrap().to_owned();
        fs::set_permissions(&scratch, Permissions::from_mode(0o755)).unwrap();
        if Caller::current().uid == 0 {
            chown(&path, Some(USER), None).unwrap();
        }
        let open = || as_user(|caller| Store::open_as(dir.path(), caller));
        assert_eq!(open().unwrap().keys().count(), 2);
        fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
        let code = open().unwrap_err().code();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(code, ReasonCode::TrustdirIo, "{node}");
    }
}
