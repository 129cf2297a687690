//! One signature has one encoding: S below the order, R canonical (attack 28).

use curve25519_dalek::scalar::Scalar;
use trust::{Signer, SshSig};

use crate::fixture::*;

/// The order of the group, little endian.
const ORDER: [u8; 32] =
    *b"\xed\xd3\xf5\x5c\x1a\x63\x12\x58\xd6\x9c\xf7\xa2\xde\xf9\xde\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10";

fn add(number: [u8; 32], other: [u8; 32]) -> Option<[u8; 32]> {
    let mut sum = [0; 32];
    let mut carry = 0;
    for ((sum, a), b) in sum.iter_mut().zip(number).zip(other) {
        let digit = u16::from(a) + u16::from(b) + carry;
        *sum = digit.to_le_bytes()[0];
        carry = digit >> 8;
    }
    (carry == 0).then_some(sum)
}

#[test]
fn the_order_is_the_order() {
    assert_eq!(Scalar::from_bytes_mod_order(ORDER), Scalar::ZERO);
}

#[test]
fn no_multiple_of_the_order_may_be_added_to_s() {
    for message in 0..32u8 {
        let good = secret(1).sign("x", &[message]).unwrap();
        good.verify(&[message]).unwrap();
        let mut s: [u8; 32] = good.signature()[32..].try_into().unwrap();
        let mut multiples = 0;
        while let Some(next) = add(s, ORDER) {
            let mut signature = *good.signature();
            signature[32..].copy_from_slice(&next);
            assert!(SshSig::new(*good.key(), "x", signature).verify(&[message]).is_err());
            (s, multiples) = (next, multiples + 1);
        }
        assert!(multiples >= 14);
    }
}

#[test]
fn no_bit_of_a_signature_is_free() {
    let good = secret(1).sign("x", b"message").unwrap();
    for bit in 0..512 {
        let mut signature = *good.signature();
        signature[bit / 8] ^= 1 << (bit % 8);
        assert!(SshSig::new(*good.key(), "x", signature).verify(b"message").is_err(), "bit {bit}");
    }
}
