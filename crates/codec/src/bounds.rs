use std::io;

/// What a decoder may give and remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes that come out, at most.
    pub bytes: u64,
    /// Bytes that come out for each byte that goes in, at most.
    pub ratio: u64,
    /// Bytes that may come out before the ratio counts: small files of zeros are no attack.
    pub slack: u64,
    /// Bytes a decoder may remember.
    pub memory: u64,
}

impl Default for Bounds {
    /// 64 GiB, 1,000 times the input once 64 MiB came out, 160 MiB of memory (`zstd --ultra -22` and `xz -9` need 128
    /// and 65).
    fn default() -> Self {
        Self { bytes: 64 << 30, ratio: 1000, slack: 64 << 20, memory: 160 << 20 }
    }
}

impl Bounds {
    /// Holds what has come out, and what went in for it, to the bounds.
    pub(crate) fn check(&self, given: u64, taken: u64) -> Result<(), Exceeded> {
        let Self { bytes: limit, ratio, slack, .. } = *self;
        if taken > limit {
            return Err(Exceeded::Bytes { limit });
        }
        if taken > slack && taken / ratio.max(1) > given {
            return Err(Exceeded::Ratio { given, taken, ratio });
        }
        Ok(())
    }
}

/// More came out of a decoder than its [`Bounds`] accept, or it would have to remember more; stands inside an
/// [`io::Error`], where [`io::Error::get_ref`] finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Exceeded {
    /// More bytes than are accepted at all.
    #[error("it unpacks to more than {limit} bytes")]
    Bytes {
        /// How many are accepted.
        limit: u64,
    },
    /// More bytes than are accepted for so little input.
    #[error(
        "{given} bytes unpack to {taken} and more, over {ratio} times as many: this is made to fill memory or disk"
    )]
    Ratio {
        /// Bytes that went in.
        given: u64,
        /// Bytes that came out.
        taken: u64,
        /// The bound on their proportion.
        ratio: u64,
    },
    /// A window or dictionary larger than is accepted.
    #[error("it takes more than {limit} bytes of memory to unpack")]
    Memory {
        /// How many are accepted.
        limit: u64,
    },
}

impl From<Exceeded> for io::Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::new(io::ErrorKind::InvalidData, exceeded)
    }
}
