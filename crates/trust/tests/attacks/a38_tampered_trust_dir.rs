//! What others can change is not trusted: mode and owner of every file and folder from the root down (attack 38).

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use trust::{Caller, ReasonCode, Result, Store, Tier};

use crate::fixture::*;

const NODES: [&str; 6] =
    ["", "etc", "etc/trust.d", "etc/trust.d/keys", "etc/trust.d/keys/junior", "etc/trust.d/keys/junior/bob.pub"];

/// A root with an administrator's trust directory.
pub(crate) struct TrustDir {
    scratch: tempfile::TempDir,
}

impl TrustDir {
    pub(crate) fn new() -> Self {
        let dir = Self { scratch: tempfile::tempdir().unwrap() };
        dir.folder("root");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        Store::create(dir.path()).unwrap();
        dir
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.scratch.path().join("root")
    }

    pub(crate) fn folder(&self, path: &str) {
        let path = if path == "root" { self.path() } else { self.path().join(path) };
        fs::create_dir_all(path).unwrap();
    }

    pub(crate) fn file(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    }

    pub(crate) fn add(&self, tier: Tier, name: &str, text: &str) {
        self.file(&format!("etc/trust.d/keys/{tier}/{name}"), text);
    }

    pub(crate) fn open(&self) -> Result<Store> {
        Store::open(self.path())
    }
}

fn with_bob() -> TrustDir {
    let dir = TrustDir::new();
    dir.add(Tier::Junior, "bob.pub", &secret(1).public_line());
    dir
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_others_can_write_is_refused() {
    for node in NODES {
        for extra in [0o020, 0o002] {
            let dir = with_bob();
            let path = dir.path().join(node);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(dir.open().unwrap().keys().count(), 1);
            set_mode(&path, mode | extra);
            let error = dir.open().unwrap_err();
            assert_eq!(error.code(), ReasonCode::TrustdirPerm, "{node} {extra:o}");
            assert!(error.to_string().contains("chmod go-w"), "{error}");
        }
    }
}

#[test]
fn what_belongs_to_somebody_else_is_refused() {
    let caller = Caller::current();
    // For a caller of another name everything here belongs to a stranger, unless it is root's.
    if caller.uid != 0 {
        let stranger = Caller { uid: caller.uid + 1, gid: caller.gid + 1 };
        assert_eq!(Store::open_as(with_bob().path(), stranger).unwrap_err().code(), ReasonCode::TrustdirPerm);
        return;
    }
    for node in NODES {
        let dir = with_bob();
        chown(dir.path().join(node), Some(12345), None).unwrap();
        assert_eq!(dir.open().unwrap_err().code(), ReasonCode::TrustdirPerm, "{node}");
        let owner = Caller { uid: 12345, gid: 12345 };
        assert!(Store::open_as(dir.path(), owner).is_ok(), "{node}");
    }
}

/// Above the root: sticky, or the caller's private group.
#[test]
fn a_folder_above_the_root_may_not_be_open_to_others() {
    let dir = with_bob();
    let above = dir.scratch.path();
    for (mode, allowed) in [(0o755, true), (0o757, false), (0o1757, true), (0o1777, true), (0o700, true)] {
        set_mode(above, mode);
        assert_eq!(dir.open().is_ok(), allowed, "{mode:o}");
    }
    set_mode(above, 0o775);
    let Caller { uid, gid } = Caller::current();
    let group = fs::metadata(above).map(|metadata| std::os::unix::fs::MetadataExt::gid(&metadata)).unwrap();
    assert_eq!(dir.open().is_ok(), group == gid && uid == gid);
    let in_another_group = Caller { uid, gid: group + 1 };
    assert!(Store::open_as(dir.path(), in_another_group).is_err());
}

#[test]
fn pipes_and_folders_are_no_key_files() {
    let dir = with_bob();
    dir.folder("etc/trust.d/keys/junior/ann.pub");
    assert_eq!(dir.open().unwrap_err().code(), ReasonCode::TrustdirPerm);
}

#[test]
fn one_key_has_one_tier_and_one_owner() {
    let dir = with_bob();
    dir.add(Tier::Trusted, "bob.pub", &secret(1).public_line());
    let error = dir.open().unwrap_err();
    assert_eq!(error.code(), ReasonCode::KeyAmbiguous);
    assert!(error.to_string().contains("trusted/bob.pub") && error.to_string().contains("junior/bob.pub"), "{error}");

    let dir = with_bob();
    dir.add(Tier::Junior, "ann.pub", &secret(1).public_line());
    assert_eq!(dir.open().unwrap_err().code(), ReasonCode::KeyAmbiguous);

    let dir = with_bob();
    dir.add(Tier::Untrusted, "bob.pub", &secret(1).public_line());
    assert_eq!(dir.open().unwrap().keys().count(), 2);
}

#[test]
fn keys_are_added_so_that_they_can_be_read() {
    let dir = TrustDir::new();
    let (bob, ann) = ("bob".parse().unwrap(), "ann/x".replace('/', "!").parse().unwrap());
    let (first, second) = (secret(1), secret(2));
    let key = |secret| *trust::Signer::public_key(secret);
    let path = Store::add_key(dir.path(), &key(&first), Tier::Trusted, &bob, now()).unwrap();
    assert!(path.ends_with("etc/trust.d/keys/trusted/bob.pub"));
    assert_eq!(Store::add_key(dir.path(), &key(&first), Tier::Trusted, &bob, now()).unwrap(), path);
    let further = Store::add_key(dir.path(), &key(&second), Tier::Trusted, &bob, now()).unwrap();
    assert!(further.ends_with("bob.1.pub"));
    assert!(Store::add_key(dir.path(), &key(&first), Tier::Junior, &bob, now()).is_err());
    assert!(Store::add_key(dir.path(), &key(&first), Tier::Trusted, &ann, now()).is_err());
    Store::add_key(dir.path(), &key(&first), Tier::Untrusted, &bob, now()).unwrap();
    assert_eq!(dir.open().unwrap().keys().filter(|file| file.owner() == &bob).count(), 3);
}
