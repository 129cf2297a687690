//! A signature made for anything else is none here (attacks 24 and 25).

use ed25519_dalek::{Signer as _, SigningKey};
use trust::{ReasonCode, SshSig};

use crate::fixture::*;

#[test]
fn a_signature_of_another_namespace_is_refused() {
    let (record, secret) = (record("zlib"), secret(1));
    let text = statement(&record).to_string();
    for namespace in ["snapshot@v1.kista", "package@v2.kista", "package@v1.kist", "file", "git", ""] {
        let row = raw_row(text.as_bytes(), &[signature(&secret, namespace, text.as_bytes())]);
        assert_eq!(judge_bytes(&bobs(&secret), &record, &raw_archive([row])), ReasonCode::SigBad, "{namespace}");
        let armored = trust::Signer::sign(&secret, namespace, text.as_bytes()).unwrap().to_armored();
        let error = SshSig::from_armored(&armored, trust::PACKAGE_NAMESPACE).unwrap_err();
        assert_eq!(error.code(), ReasonCode::Namespace, "{namespace}");
    }
}

/// As signify and minisign sign: the bytes themselves.
#[test]
fn a_bare_signature_is_refused() {
    let (record, secret) = (record("zlib"), secret(1));
    let text = statement(&record).to_string();
    let bare = SigningKey::from_bytes(&[1; 32]).sign(text.as_bytes()).to_bytes();
    let key = *trust::Signer::public_key(&secret).as_bytes();
    let row = raw_row(text.as_bytes(), &[(key, bare)]);
    assert_eq!(judge_bytes(&bobs(&secret), &record, &raw_archive([row])), ReasonCode::SigBad);
}

/// No message in a namespace gives the bytes of another message in another namespace.
#[test]
fn the_signed_bytes_begin_with_their_namespace() {
    let data = SshSig::signed_data("a", b"message");
    assert!(data.starts_with(b"SSHSIG\0\0\0\x01a\0\0\0\0\0\0\0\x06sha512\0\0\0\x40"));
    assert_ne!(SshSig::signed_data("ab", b"message"), SshSig::signed_data("a", b"bmessage"));
}
