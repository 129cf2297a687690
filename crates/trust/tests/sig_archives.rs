//! Signature archives as files.
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]
#![expect(clippy::unwrap_used, reason = "a test that can not be arranged has failed")]

#[expect(dead_code, reason = "only keys and records are needed here")]
mod fixture;

use std::fs;

use fixture::{record, secret, signed, statement};
use trust::{Error, ReasonCode, SigArchive, SignedStatement, Signer};

#[test]
fn signatures_that_come_at_the_same_time_are_all_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("zlib.kpkg.sigs");
    let sign = |number: u8| {
        let (secret, statement) = (secret(number), statement(&record("zlib")));
        let signature = secret.sign(trust::PACKAGE_NAMESPACE, statement.to_string().as_bytes()).unwrap();
        let row = SignedStatement::new(statement, &signature).unwrap();
        SigArchive::update(&path, |archive| {
            // Whoever does not wait for the others reads the same archive as they do.
            std::thread::yield_now();
            archive.insert(row)
        })
    };
    std::thread::scope(|scope| {
        let signers: Vec<_> = (1..=8).map(|number| scope.spawn(move || sign(number))).collect();
        signers.into_iter().for_each(|signer| signer.join().unwrap().unwrap());
    });
    let archive = SigArchive::load(&path).unwrap();
    assert_eq!(archive.rows().iter().map(|row| row.signatures().len()).sum::<usize>(), 8);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left beside the package");
}

#[test]
fn a_change_that_fails_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("zlib.kpkg.sigs");
    let fail = |_: &mut SigArchive| -> trust::Result<()> { Err(Error::Exists { path: path.clone() }) };
    assert!(SigArchive::update(&path, fail).is_err());
    assert!(!path.exists());
    signed(&record("zlib"), &secret(1)).save(&path).unwrap();
    let before = fs::read(&path).unwrap();
    let spoil = |archive: &mut SigArchive| {
        *archive = SigArchive::new();
        fail(archive)
    };
    assert!(SigArchive::update(&path, spoil).is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_folder_is_no_archive() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("zlib.kpkg.sigs");
    fs::create_dir(&path).unwrap();
    for error in [SigArchive::load(&path).unwrap_err(), SigArchive::update(&path, |_| Ok(())).unwrap_err()] {
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert_eq!(error.code(), ReasonCode::TrustdirIo);
        assert!(error.to_string().ends_with("the signatures cannot be read"), "{error}");
    }
}
