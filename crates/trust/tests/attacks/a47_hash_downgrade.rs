//! One algorithm: other hashes and key types are refused by name (attack 47).

use trust::{PublicKey, ReasonCode, Signer, SshSig};

use crate::fixture::*;

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend_from_slice(bytes);
}

struct Parts {
    magic: &'static [u8],
    version: u32,
    key_type: &'static [u8],
    reserved: &'static [u8],
    hash: &'static [u8],
    signature_type: &'static [u8],
    trailing: &'static [u8],
}

const GOOD: Parts = Parts {
    magic: b"SSHSIG",
    version: 1,
    key_type: b"ssh-ed25519",
    reserved: b"",
    hash: b"sha512",
    signature_type: b"ssh-ed25519",
    trailing: b"",
};

fn code(parts: &Parts) -> ReasonCode {
    let secret = secret(1);
    let good = secret.sign("x", b"message").unwrap();
    let (mut key, mut inner, mut blob) = (Vec::new(), Vec::new(), parts.magic.to_vec());
    put(&mut key, parts.key_type);
    put(&mut key, good.key().as_bytes());
    put(&mut inner, parts.signature_type);
    put(&mut inner, good.signature());
    blob.extend_from_slice(&parts.version.to_be_bytes());
    for part in [&key[..], b"x", parts.reserved, parts.hash, &inner] {
        put(&mut blob, part);
    }
    blob.extend_from_slice(parts.trailing);
    match SshSig::from_blob(&blob, "x") {
        Ok(signature) => {
            assert_eq!(signature.to_blob(), blob);
            ReasonCode::Accept
        }
        Err(error) => error.code(),
    }
}

#[test]
fn only_the_one_form_is_accepted() {
    assert_eq!(code(&GOOD), ReasonCode::Accept);
    for hash in [&b"sha256"[..], b"sha1", b"SHA512", b"sha512 ", b""] {
        assert_eq!(code(&Parts { hash, ..GOOD }), ReasonCode::Hash, "{hash:?}");
    }
    for key_type in [&b"ssh-rsa"[..], b"sk-ssh-ed25519@openssh.com", b"ecdsa-sha2-nistp256", b""] {
        assert_eq!(code(&Parts { key_type, ..GOOD }), ReasonCode::KeyType);
        assert_eq!(code(&Parts { signature_type: key_type, ..GOOD }), ReasonCode::KeyType);
    }
    for parts in [
        Parts { magic: b"SSHSIH", ..GOOD },
        Parts { version: 0, ..GOOD },
        Parts { version: 2, ..GOOD },
        Parts { reserved: b"x", ..GOOD },
        Parts { trailing: b"\0", ..GOOD },
    ] {
        assert_eq!(code(&parts), ReasonCode::Parse);
    }
}

#[test]
fn only_ed25519_keys_are_read() {
    for line in [
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ== bob",
        "sk-ssh-ed25519@openssh.com AAAA bob",
        "ssh-dss AAAA bob",
        "ssh-ed25519-cert-v01@openssh.com AAAA bob",
        "no-pty ssh-ed25519 AAAA bob",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----",
        "",
    ] {
        assert_eq!(PublicKey::from_openssh(line).unwrap_err().code(), ReasonCode::KeyType, "{line}");
    }
    let line = secret(1).public_line();
    let (key, comment) = PublicKey::from_openssh(&line).unwrap();
    assert_eq!((key.to_openssh(comment), comment), (line.clone(), "tester"));
    for bad in [line.replace(" AAAA", " AAAB"), line.replace(" AAAA", "  AAAA"), format!("{line}\n{line}")] {
        assert!(PublicKey::from_openssh(&bad).is_err(), "{bad}");
    }
}

#[test]
fn the_armor_is_exact() {
    let text = secret(1).sign("x", b"message").unwrap().to_armored();
    let parse = |text: &str| SshSig::from_armored(text, "x").map_err(|error| error.code());
    assert_eq!(parse(&text).unwrap().to_armored(), text);
    assert!(parse(text.trim_end()).is_ok());
    for bad in [
        format!(" {text}"),
        format!("{text}\n"),
        format!("{text}{text}"),
        text.replace('\n', "\r\n"),
        text.replace("SSH SIGNATURE", "PGP SIGNATURE"),
        text.replacen("\n-----END", "=\n-----END", 1),
        text.replacen('U', "*", 1),
        text.replacen("-----\nU1NI", "-----\n\nU1NI", 1),
        String::new(),
        "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n".to_owned(),
    ] {
        assert_eq!(parse(&bad), Err(ReasonCode::Parse), "{bad}");
    }
    assert_eq!(parse(&"A".repeat(5000)), Err(ReasonCode::TooLarge));
}
