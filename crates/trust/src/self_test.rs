use std::sync::OnceLock;

use ed25519_dalek::{Signer as _, SigningKey};

use crate::{Error, PublicKey, Result};

/// RFC 8032, section 7.1, test 1: an empty message.
const SEED: [u8; 32] = *b"\x9d\x61\xb1\x9d\xef\xfd\x5a\x60\xba\x84\x4a\xf4\x92\xec\x2c\xc4\x44\x49\xc5\x69\x7b\x32\x69\x19\x70\x3b\xac\x03\x1c\xae\x7f\x60";
const SIGNATURE_R: [u8; 32] = *b"\xe5\x56\x43\x00\xc3\x60\xac\x72\x90\x86\xe2\xcc\x80\x6e\x82\x8a\x84\x87\x7f\x1e\xb8\xe5\xd9\x74\xd8\x73\xe0\x65\x22\x49\x01\x55";
/// The order of the group, little endian.
const ORDER: [u8; 32] =
    *b"\xed\xd3\xf5\x5c\x1a\x63\x12\x58\xd6\x9c\xf7\xa2\xde\xf9\xde\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10";

/// Tests the compiled cryptography, once a process; everything that signs or verifies calls it first.
///
/// A feature of ed25519-dalek that any crate of the build may switch on (`legacy_compatibility`) makes strict
/// verification accept S + L in the place of S, the sixth case of ed25519-speccheck. This finds it at run time.
///
/// # Errors
/// `E_SELFTEST`.
pub fn self_test() -> Result<()> {
    static OUTCOME: OnceLock<std::result::Result<(), &'static str>> = OnceLock::new();
    OUTCOME.get_or_init(run).map_err(|reason| Error::Selftest { reason })
}

fn run() -> std::result::Result<(), &'static str> {
    let secret = SigningKey::from_bytes(&SEED);
    let key = PublicKey::from_bytes(secret.verifying_key().as_bytes()).map_err(|_| "a good key is refused")?;
    let good = secret.sign(b"").to_bytes();
    if good[..32] != SIGNATURE_R || !key.verify(b"", &good) {
        return Err("a signature of RFC 8032 is not reproduced");
    }
    if key.verify(b"\0", &good) {
        return Err("a signature is accepted for another message");
    }
    if key.verify(b"", &with_order_added(&good)) {
        return Err("a malleable signature is accepted (is ed25519-dalek/legacy_compatibility switched on?)");
    }
    let mut identity = [0; 32];
    identity[0] = 1;
    if PublicKey::from_bytes(&identity).is_ok() {
        return Err("a key of small order is accepted");
    }
    Ok(())
}

/// The same signature with S + L in the place of S: equal in the group, another encoding.
fn with_order_added(signature: &[u8; 64]) -> [u8; 64] {
    let mut malleable = *signature;
    let mut carry = 0;
    for (byte, order) in malleable[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    malleable
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::Signature;

    use super::*;

    #[test]
    fn this_build_passes() {
        run().unwrap();
    }

    #[test]
    fn the_malleable_signature_differs_in_s_alone() {
        let good = SigningKey::from_bytes(&SEED).sign(b"").to_bytes();
        let malleable = with_order_added(&good);
        assert_eq!(malleable[..32], good[..32]);
        assert_ne!(malleable[32..], good[32..]);
        // Below 2^253, where only the legacy check would let it through.
        assert!(malleable[63] < 0x20, "{:?}", Signature::from_bytes(&malleable));
    }
}
