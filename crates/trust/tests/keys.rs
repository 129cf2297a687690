//! Secret key files: made once, for their owner alone, and loaded back.
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use trust::{Error, Protection, SecretKey, Signer};
use zeroize::Zeroizing;

fn no_passphrase() -> Option<Zeroizing<String>> {
    None
}

#[test]
fn a_new_key_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/below/key");
    let made = SecretKey::create(&path, "bob", &Protection::Mode).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&dir.path().join("deep")) & 0o077, 0);
    assert_eq!(fs::read_to_string(path.with_extension("pub")).unwrap(), made.public_line() + "\n");
    let loaded = SecretKey::load(&path, &mut no_passphrase).unwrap();
    assert_eq!((loaded.public_key(), loaded.comment()), (made.public_key(), "bob"));
    let names = fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(names, 2, "nothing else is left");
}

#[test]
fn no_key_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    fs::write(&path, "precious").unwrap();
    let error = SecretKey::create(&path, "bob", &Protection::Mode).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    SecretKey::create(&path, "bob", &Protection::Mode).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o601] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = SecretKey::load(&path, &mut no_passphrase).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
        // Through a link it is the same file.
        let link = dir.path().join("link");
        let _ = fs::remove_file(&link);
        symlink(&path, &link).unwrap();
        assert!(SecretKey::load(&link, &mut no_passphrase).is_err());
    }
    fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    SecretKey::load(&path, &mut no_passphrase).unwrap();
}

#[test]
fn the_public_half_does_not_sign() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("me");
    SecretKey::create(&path, "bob", &Protection::Mode).unwrap();
    let error = SecretKey::load(path.with_extension("pub"), &mut no_passphrase).unwrap_err();
    assert!(matches!(&error, Error::PublicHalf { secret: Some(secret), .. } if *secret == path), "{error}");
    assert!(!error.to_string().contains("chmod"), "{error}");
    fs::rename(path.with_extension("pub"), dir.path().join("other")).unwrap();
    let error = SecretKey::load(dir.path().join("other"), &mut no_passphrase).unwrap_err();
    assert!(matches!(error, Error::PublicHalf { secret: None, .. }), "{error}");
}

#[test]
fn the_own_key_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kista/key");
    let (made, is_new) = SecretKey::load_or_create(&path, "bob", &mut no_passphrase).unwrap();
    assert!(is_new);
    let (loaded, is_new) = SecretKey::load_or_create(&path, "ann", &mut no_passphrase).unwrap();
    assert!(!is_new);
    assert_eq!(loaded.public_key(), made.public_key());
}

#[test]
fn a_passphrase_is_asked_for_only_when_needed() {
    let dir = tempfile::tempdir().unwrap();
    let (plain, locked) = (dir.path().join("plain"), dir.path().join("locked"));
    SecretKey::create(&plain, "bob", &Protection::Mode).unwrap();
    SecretKey::load(&plain, &mut || panic!("asked")).unwrap();
    let passphrase = Zeroizing::new("correct horse".to_owned());
    let made = SecretKey::create(&locked, "bob", &Protection::Passphrase { passphrase: passphrase.clone(), rounds: 1 });
    let loaded = SecretKey::load(&locked, &mut || Some(passphrase.clone())).unwrap();
    assert_eq!(loaded.public_key(), made.unwrap().public_key());
    assert!(matches!(SecretKey::load(&locked, &mut no_passphrase), Err(Error::Passphrase { .. })));
}

#[test]
fn what_is_no_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    SecretKey::create(&path, "bob", &Protection::Mode).unwrap();
    let good = fs::read(&path).unwrap();
    for at in 40..good.len() - 40 {
        let mut changed = good.clone();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        fs::write(&path, &changed).unwrap();
        if let Ok(loaded) = SecretKey::load(&path, &mut no_passphrase) {
            // Only its comment and its check number can differ and go unnoticed.
            let signature = loaded.sign("x", b"message").unwrap();
            signature.verify(b"message").unwrap();
        }
    }
    assert!(SecretKey::load(dir.path(), &mut no_passphrase).is_err());
    assert!(SecretKey::load("/dev/null", &mut no_passphrase).is_err());
}

#[test]
fn secrets_are_not_printed() {
    let secret = SecretKey::from_seed(&[0x5a; 32], "bob").unwrap();
    let shown = format!("{secret:?}");
    assert!(!shown.contains("90") && !shown.to_lowercase().contains("5a5a"), "{shown}");
}
