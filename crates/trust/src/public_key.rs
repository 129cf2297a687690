use std::fmt;
use std::str::FromStr;

use base64ct::{Base64, Base64Unpadded, Encoding};
use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_dalek::{Signature, VerifyingKey};
use pkgtypes::Digest;

use crate::error::shown;
use crate::wire::{WireReader, put_string};
use crate::{Error, Result};

pub(crate) const ALGORITHM: &str = "ssh-ed25519";

/// A public ed25519 key that passed the key gate: its encoding is the canonical one, and it generates the subgroup of
/// prime order. Under such a key and strict verification one signature stands for one message, whoever verifies it.
#[derive(Clone, Copy)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Takes 32 bytes through the key gate.
    ///
    /// # Errors
    /// `E_KEY_WEAK` for a point that is not on the curve, not canonically encoded, of small order or of mixed order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self> {
        let refuse = |reason| Error::KeyWeak { key: Digest::from_bytes(*bytes).to_string(), reason };
        let point = CompressedEdwardsY(*bytes).decompress().ok_or_else(|| refuse("it is no point of the curve"))?;
        if point.compress().as_bytes() != bytes {
            return Err(refuse("its encoding is not the canonical one"));
        }
        // The identity counts as torsion-free, so the three tests are needed together.
        if point.is_small_order() {
            return Err(refuse("it is of small order, so that anybody can sign for it"));
        }
        if !point.is_torsion_free() {
            return Err(refuse("it is of mixed order"));
        }
        VerifyingKey::from_bytes(bytes).map(Self).map_err(|_| refuse("it is no point of the curve"))
    }

    /// Reads one line `ssh-ed25519 BASE64 [COMMENT]` as `ssh-keygen` writes it, and gives the comment too.
    ///
    /// # Errors
    /// `E_KEY_TYPE` for other kinds of key (also those behind options), `E_PARSE`, and as [`PublicKey::from_bytes`].
    pub fn from_openssh(line: &str) -> Result<(Self, &str)> {
        let line = line.strip_suffix('\n').unwrap_or(line);
        if line.contains('\n') {
            return Err(Error::parse("public key", "one line is expected"));
        }
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        if kind != ALGORITHM {
            return Err(Error::KeyType { what: "the public key", found: shown(kind.as_bytes()) });
        }
        let (text, comment) = rest.split_once(' ').unwrap_or((rest, ""));
        let blob = Base64::decode_vec(text)
            .map_err(|_| Error::parse("public key", "its second word is not canonical base64"))?;
        Ok((Self::from_wire(&blob)?, comment))
    }

    /// Reads SSH's wire form, the content of the base64 word.
    ///
    /// # Errors
    /// As [`PublicKey::from_openssh`].
    pub fn from_wire(blob: &[u8]) -> Result<Self> {
        let malformed = || Error::parse("public key", "its wire form is not that of an ed25519 key");
        let mut reader = WireReader::new(blob);
        let kind = reader.string().ok_or_else(malformed)?;
        if kind != ALGORITHM.as_bytes() {
            return Err(Error::KeyType { what: "the public key", found: shown(kind) });
        }
        let bytes = reader.string().ok_or_else(malformed)?;
        if !reader.is_empty() {
            return Err(malformed());
        }
        Self::from_bytes(bytes.try_into().map_err(|_| malformed())?)
    }

    /// SSH's wire form.
    pub fn to_wire(&self) -> Vec<u8> {
        wire(self.as_bytes())
    }

    /// `ssh-ed25519 BASE64 COMMENT` without an end of line; control characters do not get into the comment.
    pub fn to_openssh(&self, comment: &str) -> String {
        let word = Base64::encode_string(&self.to_wire());
        let comment: String = comment.chars().filter(|character| !character.is_control()).collect();
        if comment.is_empty() { format!("{ALGORITHM} {word}") } else { format!("{ALGORITHM} {word} {comment}") }
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// What `ssh-keygen -lf` prints for this key.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_bytes(self.as_bytes())
    }

    /// Strict verification: S below the group order, R canonical and not of small order, no cofactor.
    pub(crate) fn verify(&self, data: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(data, &Signature::from_bytes(signature)).is_ok()
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for PublicKey {}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

/// The short name of a key: `SHA256:` and 43 characters of base64. For people and for choosing a key; decisions compare
/// whole keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(Digest);

impl Fingerprint {
    /// Of 32 bytes that need not be a usable key.
    pub(crate) fn of_bytes(key: &[u8; 32]) -> Self {
        Self(Digest::of(wire(key)))
    }
}

fn wire(key: &[u8; 32]) -> Vec<u8> {
    let mut blob = Vec::with_capacity(51);
    put_string(&mut blob, ALGORITHM.as_bytes());
    put_string(&mut blob, key);
    blob
}

impl FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let malformed = || Error::parse("fingerprint", "`SHA256:` and 43 characters of base64 are expected");
        let mut bytes = [0; 32];
        let word = text.strip_prefix("SHA256:").ok_or_else(malformed)?;
        match Base64Unpadded::decode(word, &mut bytes) {
            Ok(decoded) if decoded.len() == 32 => Ok(Self(Digest::from_bytes(bytes))),
            _ => Err(malformed()),
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", Base64Unpadded::encode_string(self.0.as_bytes()))
    }
}
