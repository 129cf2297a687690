//! Counts the bytes of an archive before and after decompression and stops where the limits are.

use std::cell::Cell;
use std::io::{self, Read};

use crate::Error;
use crate::sig_archive::{MAX_PACKED, MAX_RATIO, MAX_UNPACKED};

/// What small archives may be larger than the ratio permits: a reader hands out less than it has taken in.
const SLACK: u64 = 64 << 10;

/// What passed so far, and which limit was hit.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    packed: Cell<u64>,
    unpacked: Cell<u64>,
    hit: Cell<Option<Limit>>,
}

#[derive(Debug, Clone, Copy)]
enum Limit {
    Packed,
    Unpacked,
    Ratio,
}

impl Counter {
    /// The error behind what the layers between made of it.
    pub(crate) fn explain(&self, source: pkgformat::Error, what: &str) -> Error {
        let what = what.to_owned();
        match self.hit.get() {
            Some(Limit::Packed) => Error::TooLarge { what, limit: MAX_PACKED, unit: "bytes" },
            Some(Limit::Unpacked) => Error::TooLarge { what, limit: MAX_UNPACKED, unit: "bytes unpacked" },
            Some(Limit::Ratio) => Error::Ratio { what, limit: MAX_RATIO },
            None => Error::Records { what, source: Box::new(source) },
        }
    }

    fn count(&self, side: Side, bytes: usize) -> io::Result<()> {
        let total = match side {
            Side::Packed => &self.packed,
            Side::Unpacked => &self.unpacked,
        };
        total.set(total.get().saturating_add(bytes as u64));
        let hit = match side {
            Side::Packed if self.packed.get() > MAX_PACKED => Limit::Packed,
            Side::Unpacked if self.unpacked.get() > MAX_UNPACKED => Limit::Unpacked,
            Side::Unpacked if self.unpacked.get() > self.packed.get() * MAX_RATIO + SLACK => Limit::Ratio,
            Side::Packed | Side::Unpacked => return Ok(()),
        };
        self.hit.set(Some(hit));
        Err(io::Error::other("a limit of signature archives is exceeded"))
    }
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Packed,
    Unpacked,
}

/// A reader whose bytes are counted.
#[derive(Debug)]
pub(crate) struct Counted<'a, R> {
    inner: R,
    counter: &'a Counter,
    side: Side,
}

impl<'a, R: Read> Counted<'a, R> {
    pub(crate) fn packed(inner: R, counter: &'a Counter) -> Self {
        Self { inner, counter, side: Side::Packed }
    }

    pub(crate) fn unpacked(inner: R, counter: &'a Counter) -> Self {
        Self { inner, counter, side: Side::Unpacked }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.counter.count(self.side, count)?;
        Ok(count)
    }
}
