use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

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

/// More came out of a decoder than its [`Bounds`] accept.
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
}

/// Counts what goes into a decoder.
pub(crate) struct Counted<R> {
    pub(crate) inner: R,
    pub(crate) count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.set(self.count.get().saturating_add(read as u64));
        Ok(read)
    }
}

/// Holds what comes out to the bounds.
pub(crate) struct Meter {
    pub(crate) bounds: Bounds,
    pub(crate) given: Rc<Cell<u64>>,
    pub(crate) taken: u64,
}

impl Meter {
    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), Exceeded> {
        let Bounds { bytes: limit, ratio, slack, .. } = self.bounds;
        self.taken = self.taken.saturating_add(bytes as u64);
        let given = self.given.get();
        if self.taken > limit {
            return Err(Exceeded::Bytes { limit });
        }
        if self.taken > slack && self.taken / ratio.max(1) > given {
            return Err(Exceeded::Ratio { given, taken: self.taken, ratio });
        }
        Ok(())
    }
}
