//! The classes of ed25519-speccheck, made from the curve itself: keys and nonces of small and mixed order and encodings
//! that are not canonical. The key gate and strict verification refuse all of them (attack 29).

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest as _, Sha512};
use trust::{PublicKey, ReasonCode, SshSig};

const NAMESPACE: &str = "x";
const MESSAGE: &[u8] = b"message";

fn scalar(seed: u8) -> Scalar {
    Scalar::from_bytes_mod_order([seed; 32])
}

fn refuses(bytes: [u8; 32]) -> bool {
    PublicKey::from_bytes(&bytes).is_err_and(|error| error.code() == ReasonCode::KeyWeak)
}

/// Encodings whose y is not reduced: p + 0 .. p + 18, with both signs.
fn noncanonical() -> impl Iterator<Item = [u8; 32]> {
    (0xed..=0xffu8).flat_map(|low| {
        [0x7f, 0xff].map(|high| {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, high);
            bytes
        })
    })
}

/// The signature with this nonce point that fits the equation S = r + k a, for the key's encoding `a_bytes`.
fn forge(a_bytes: [u8; 32], r_bytes: [u8; 32], a: Scalar, r: Scalar) -> [u8; 64] {
    let data = SshSig::signed_data(NAMESPACE, MESSAGE);
    let hash = Sha512::new().chain_update(r_bytes).chain_update(a_bytes).chain_update(data).finalize();
    let s = r + Scalar::from_bytes_mod_order_wide(&hash.into()) * a;
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r_bytes);
    signature[32..].copy_from_slice(s.as_bytes());
    signature
}

fn bytes(point: EdwardsPoint) -> [u8; 32] {
    point.compress().to_bytes()
}

#[test]
fn keys_of_small_order_are_refused() {
    for torsion in EIGHT_TORSION {
        assert!(refuses(bytes(torsion)));
    }
}

#[test]
fn keys_that_are_not_canonical_are_refused() {
    assert!(noncanonical().all(refuses));
    // The identity with the other sign, which is not among the unreduced ones.
    let mut negative_zero = [0; 32];
    (negative_zero[0], negative_zero[31]) = (1, 0x80);
    assert!(refuses(negative_zero));
    assert!(noncanonical().any(|bytes| CompressedEdwardsY(bytes).decompress().is_some()));
}

#[test]
fn keys_of_mixed_order_are_refused() {
    let honest = ED25519_BASEPOINT_POINT * scalar(3);
    assert!(!refuses(bytes(honest)));
    for torsion in &EIGHT_TORSION[1..] {
        assert!(refuses(bytes(honest + torsion)));
    }
}

/// With an honest key, so that verification itself has to say no.
#[test]
fn nonces_with_torsion_are_refused() {
    let (a, r) = (scalar(3), scalar(5));
    let a_bytes = bytes(ED25519_BASEPOINT_POINT * a);
    let key = PublicKey::from_bytes(&a_bytes).unwrap();
    let verifies = |signature| SshSig::new(key, NAMESPACE, signature).verify(MESSAGE).is_ok();
    let honest = ED25519_BASEPOINT_POINT * r;
    assert!(verifies(forge(a_bytes, bytes(honest), a, r)));
    for torsion in EIGHT_TORSION {
        // Small order: r is 0. The identity fits even the equation without cofactor, and is refused all the same.
        assert!(!verifies(forge(a_bytes, bytes(torsion), a, Scalar::ZERO)));
    }
    for torsion in &EIGHT_TORSION[1..] {
        assert!(!verifies(forge(a_bytes, bytes(honest + torsion), a, r)));
    }
    for r_bytes in noncanonical() {
        assert!(!verifies(forge(a_bytes, r_bytes, a, Scalar::ZERO)));
    }
}

#[test]
fn points_off_the_curve_are_refused() {
    let mut off = 0;
    for low in 0..=255u8 {
        let mut encoding = [7; 32];
        encoding[0] = low;
        if CompressedEdwardsY(encoding).decompress().is_none() {
            assert!(refuses(encoding));
            off += 1;
        }
    }
    assert!(off > 64);
}
