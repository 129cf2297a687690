//! Names in the trust directory are plain, and lead nowhere else (attack 27).

use std::os::unix::fs::symlink;

use trust::{KeyFile, ReasonCode, Store, Tier};

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

#[test]
fn links_are_not_followed() {
    let line = secret(1).public_line();
    for link in ["etc", "etc/trust.d", "etc/trust.d/keys", "etc/trust.d/keys/junior", "etc/trust.d/keys/junior/bob.pub"]
    {
        let dir = TrustDir::new();
        dir.add(Tier::Junior, "bob.pub", &line);
        assert_eq!(dir.open().unwrap().keys().count(), 1);
        let (link, elsewhere) = (dir.path().join(link), dir.path().join("elsewhere"));
        std::fs::rename(&link, &elsewhere).unwrap();
        symlink(&elsewhere, &link).unwrap();
        assert_eq!(dir.open().unwrap_err().code(), ReasonCode::TrustdirPerm, "{}", link.display());
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

    std::fs::remove_file(&mask).unwrap();
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
