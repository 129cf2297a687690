use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read};
use std::rc::Rc;

use sha2::digest::DynDigest;

/// How a checksum is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChecksumAlgorithm {
    /// MD5; says nothing against an attacker.
    Md5,
    /// SHA-1; says little against an attacker.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// BLAKE2b of 512 bits.
    Blake2b,
}

impl ChecksumAlgorithm {
    /// Bytes of such a checksum.
    pub fn size(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 | Self::Blake2b => 64,
        }
    }
}

impl fmt::Display for ChecksumAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA-1",
            Self::Sha224 => "SHA-224",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
            Self::Blake2b => "BLAKE2b",
        })
    }
}

/// A checksum that a foreign package states; shown as hex.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Checksum {
    algorithm: ChecksumAlgorithm,
    bytes: Vec<u8>,
}

impl Checksum {
    /// The checksum of these bytes; `None` where there are too many or too few for the algorithm.
    pub fn new(algorithm: ChecksumAlgorithm, bytes: impl Into<Vec<u8>>) -> Option<Self> {
        let bytes = bytes.into();
        (bytes.len() == algorithm.size()).then_some(Self { algorithm, bytes })
    }

    /// The checksum that stands as hex, in upper or lower case.
    pub fn from_hex(algorithm: ChecksumAlgorithm, text: &[u8]) -> Option<Self> {
        if text.len() != 2 * algorithm.size() {
            return None;
        }
        let nibble = |byte: u8| char::from(byte).to_digit(16);
        let pair = |pair: &[u8]| Some((nibble(pair[0])? << 4 | nibble(pair[1])?) as u8);
        Self::new(algorithm, text.chunks(2).map(pair).collect::<Option<Vec<u8>>>()?)
    }

    /// How it is computed.
    pub fn algorithm(&self) -> ChecksumAlgorithm {
        self.algorithm
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Computes a checksum.
pub(crate) struct Hasher {
    algorithm: ChecksumAlgorithm,
    state: Box<dyn DynDigest>,
}

impl Hasher {
    pub(crate) fn new(algorithm: ChecksumAlgorithm) -> Self {
        let state: Box<dyn DynDigest> = match algorithm {
            ChecksumAlgorithm::Md5 => Box::new(md5::Md5::default()),
            ChecksumAlgorithm::Sha1 => Box::new(sha1::Sha1::default()),
            ChecksumAlgorithm::Sha224 => Box::new(sha2::Sha224::default()),
            ChecksumAlgorithm::Sha256 => Box::new(sha2::Sha256::default()),
            ChecksumAlgorithm::Sha384 => Box::new(sha2::Sha384::default()),
            ChecksumAlgorithm::Sha512 => Box::new(sha2::Sha512::default()),
            ChecksumAlgorithm::Blake2b => Box::new(blake2::Blake2b512::default()),
        };
        Self { algorithm, state }
    }

    pub(crate) fn of(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Checksum {
        let mut hasher = Self::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
    }

    pub(crate) fn finish(self) -> Checksum {
        Checksum { algorithm: self.algorithm, bytes: self.state.finalize().into_vec() }
    }
}

/// Hashes what is read through it.
pub(crate) struct Hashed<R> {
    inner: R,
    hashers: Vec<Hasher>,
}

impl<R> Hashed<R> {
    pub(crate) fn new(inner: R, algorithms: impl IntoIterator<Item = ChecksumAlgorithm>) -> Self {
        Self { inner, hashers: algorithms.into_iter().map(Hasher::new).collect() }
    }

    /// The checksums of what was read, in the order of the algorithms.
    pub(crate) fn finish(self) -> Vec<Checksum> {
        self.hashers.into_iter().map(Hasher::finish).collect()
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hashers.iter_mut().for_each(|hasher| hasher.update(&buffer[..read]));
        Ok(read)
    }
}

/// Hashes what another reader, which owns it, reads through it.
pub(crate) struct Tap<R> {
    inner: R,
    hashers: Rc<RefCell<Vec<Hasher>>>,
}

impl<R> Tap<R> {
    /// The tap, and the hashers that it feeds.
    pub(crate) fn new(inner: R, hashers: Vec<Hasher>) -> (Self, Rc<RefCell<Vec<Hasher>>>) {
        let hashers = Rc::new(RefCell::new(hashers));
        (Self { inner, hashers: Rc::clone(&hashers) }, hashers)
    }
}

impl<R: Read> Read for Tap<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hashers.borrow_mut().iter_mut().for_each(|hasher| hasher.update(&buffer[..read]));
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checksums of no bytes, as the standards and `b2sum` give them.
    #[test]
    fn of_nothing() {
        for (algorithm, hex) in [
            (ChecksumAlgorithm::Md5, "d41d8cd98f00b204e9800998ecf8427e"),
            (ChecksumAlgorithm::Sha1, "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            (ChecksumAlgorithm::Sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ] {
            assert_eq!(Hasher::of(algorithm, b"").to_string(), hex);
            assert_eq!(Checksum::from_hex(algorithm, hex.as_bytes()), Some(Hasher::of(algorithm, b"")));
        }
        let long = Hasher::of(ChecksumAlgorithm::Blake2b, b"").to_string();
        assert!(long.starts_with("786a02f742015903c6c6fd852552d272"), "{long}");
    }

    #[test]
    fn hex_of_another_length_is_none() {
        assert_eq!(Checksum::from_hex(ChecksumAlgorithm::Md5, b"00"), None);
        assert_eq!(Checksum::from_hex(ChecksumAlgorithm::Md5, &[b'g'; 32]), None);
    }
}
