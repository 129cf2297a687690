//! Names in the trust directory are plain, and lead nowhere else (attack 27).

use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};

use trust::{Caller, KeyFile, ReasonCode, Store, Tier};

use crate::a38_tampered_trust_dir::TrustDir;
use crate::fixture::*;

#[test]
fn strange_names_are_errors_and_not_skipped() {
    for name in [".hidden.pub", "-f.pub", "a b.pub", "\u{1b}[31m.pub", "b\u{430}b.pub", "bob.pub~", "README", "bob"] {
        let dir = TrustDir::new();
        dir.add(Tier::Junior, name, &secret(1).public_line());
        assert_eq!(dir.open().unwrap_err().code(), ReasonCode::Name, "{name:?}");
    }
    let dir = TrustDir::new();
    dir.add(Tier::Junior, ".kista.0123456789abcdef", "half written");
    assert_eq!(dir.open().unwrap().keys().count(), 0);
}

#[test]
fn a_misspelled_tier_is_an_error() {
    let dir = TrustDir::new();
    dir.folder("etc/trust.d/keys/untrused");
    assert_eq!(dir.open().unwrap_err().code(), ReasonCode::Name);
}

#[test]
fn a_rule_that_would_be_ignored_is_an_error() {
    for (file, text) in [
        ("policy.d", "[default]\nlevel = \"trusted\"\n"),
        ("policy.toml~", "[default]\nlevel = \"trusted\"\n"),
        ("policy.toml", "[default]\nlevel = \"trusted\"\n[repo.core]\nlevel = \"trusted\"\n"),
    ] {
        let dir = TrustDir::new();
        dir.file(&format!("etc/trust.d/{file}"), text);
        let code = dir.open().unwrap_err().code();
        assert!(matches!(code, ReasonCode::Policy | ReasonCode::Name), "{file}: {code}");
    }
}

#[test]
fn the_administrators_policy_comes_before_the_vendors() {
    let dir = TrustDir::new();
    let level = |dir: &TrustDir| dir.open().unwrap().policy().level().to_string();
    assert_eq!(level(&dir), "1 junior");
    dir.folder("usr/lib/trust.d");
    dir.file("usr/lib/trust.d/policy.toml", "[default]\nlevel = \"2 trusted\"\n");
    assert_eq!(level(&dir), "2 trusted");
    dir.file("etc/trust.d/policy.toml", "[default]\nlevel = \"senior\"\n");
    assert_eq!(level(&dir), "1 senior");
}

/// Moves a folder of the root to another place in it, and puts a link in its place.
fn moved(dir: &TrustDir, folder: &str, to: &str, link: &str) {
    let to = dir.path().join(to);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::rename(dir.path().join(folder), &to).unwrap();
    symlink(link, dir.path().join(folder)).unwrap();
}

#[test]
fn links_in_a_trust_directory_are_not_followed() {
    let line = secret(1).public_line();
    for link in ["etc/trust.d", "etc/trust.d/keys", "etc/trust.d/keys/junior", "etc/trust.d/keys/junior/bob.pub"] {
        let dir = TrustDir::new();
        dir.add(Tier::Junior, "bob.pub", &line);
        assert_eq!(dir.open().unwrap().keys().count(), 1);
        moved(&dir, link, "elsewhere", "/elsewhere");
        assert_eq!(dir.open().unwrap_err().code(), ReasonCode::TrustdirPerm, "{link}");
    }
}

#[test]
fn links_above_a_trust_directory_are_followed_inside_the_root() {
    for (folder, to, link) in [
        ("etc", "mnt/etc", "mnt/etc"),
        ("etc", "mnt/etc", "/mnt/./etc/"),
        ("etc", "mnt/etc", "//mnt/../mnt/etc"),
        ("usr", "mnt/usr", "/mnt/usr"),
        ("usr/lib", "lib", "../lib"),
    ] {
        let dir = TrustDir::new();
        dir.folder("usr/lib/trust.d/keys/senior");
        dir.add(Tier::Junior, "bob.pub", &secret(1).public_line());
        dir.file("usr/lib/trust.d/keys/senior/vendor.pub", &secret(2).public_line());
        moved(&dir, folder, to, link);
        assert_eq!(dir.open().unwrap().keys().count(), 2, "{link}");
        // Keys are added where they are read.
        let ann = *trust::Signer::public_key(&secret(3));
        Store::add_key(dir.path(), &ann, Tier::Senior, &"ann".parse().unwrap(), now()).unwrap();
        assert_eq!(dir.open().unwrap().keys().count(), 3, "{link}");
        assert_eq!(fs::read_link(dir.path().join(folder)).unwrap().to_str(), Some(link));
    }
}

#[test]
fn a_link_that_leads_nowhere_good_is_refused() {
    for (link, reason) in [
        ("/nowhere", "leads to nothing"),
        ("../root/mnt", "leads out of the root"),
        ("/mnt/../../root/mnt", "leads out of the root"),
        ("etc", "leads in a circle"),
        ("/", "leads to the root's top"),
        ("mnt/file", "no folder"),
    ] {
        let dir = TrustDir::new();
        dir.folder("mnt");
        dir.file("mnt/file", "");
        moved(&dir, "etc", "mnt/etc", link);
        let error = dir.open().unwrap_err();
        assert_eq!(error.code(), ReasonCode::TrustdirPerm, "{link}");
        assert!(error.to_string().contains(reason), "{link}: {error}");
        let bob = *trust::Signer::public_key(&secret(1));
        Store::add_key(dir.path(), &bob, Tier::Trusted, &"bob".parse().unwrap(), now()).unwrap_err();
    }
}

/// Who may change a folder on the way, or made a link on it, says what is trusted.
#[test]
fn a_link_leads_only_through_what_nobody_else_can_change() {
    for open in ["mnt", "mnt/etc", "mnt/etc/trust.d"] {
        let dir = TrustDir::new();
        moved(&dir, "etc", "mnt/etc", "/mnt/etc");
        assert!(dir.open().is_ok());
        fs::set_permissions(dir.path().join(open), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(dir.open().unwrap_err().code(), ReasonCode::TrustdirPerm, "{open}");
    }
    let dir = TrustDir::new();
    moved(&dir, "etc", "mnt/etc", "/mnt/etc");
    if Caller::current().uid == 0 {
        lchown(dir.path().join("etc"), Some(12345), None).unwrap();
        assert_eq!(dir.open().unwrap_err().code(), ReasonCode::TrustdirPerm);
    }
}

#[test]
fn a_vendors_key_is_masked_by_its_name() {
    let dir = TrustDir::new();
    let vendor = "usr/lib/trust.d/keys/trusted";
    dir.folder(vendor);
    dir.file(&format!("{vendor}/vendor.pub"), &secret(1).public_line());
    assert_eq!(dir.open().unwrap().keys().map(KeyFile::tier).collect::<Vec<_>>(), [Tier::Trusted]);

    let mask = dir.path().join("etc/trust.d/keys/junior/vendor.pub");
    symlink("/dev/null", &mask).unwrap();
    assert_eq!(dir.open().unwrap().keys().count(), 0);

    fs::remove_file(&mask).unwrap();
    dir.add(Tier::Junior, "vendor.pub", &secret(1).public_line());
    assert_eq!(dir.open().unwrap().keys().map(KeyFile::tier).collect::<Vec<_>>(), [Tier::Junior]);
}

#[test]
fn a_root_without_a_trust_dir_trusts_nobody() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(Store::open(root.path()).unwrap().keys().count(), 0);
    let missing = Store::open(root.path().join("missing")).unwrap_err();
    assert_eq!(missing.code(), ReasonCode::TrustdirIo);
}
