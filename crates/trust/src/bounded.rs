//! Stops reading an archive where the limits are, before and after decompression.

use std::cell::Cell;
use std::io::{self, Read};

use codec::{Bounds, Decoder, Exceeded};
use pkgformat::Problem;

use crate::Error;

/// Largest archive as a file, in bytes.
const MAX_PACKED: u64 = 16 << 20;
/// Largest archive, in bytes.
const MAX_UNPACKED: u64 = 64 << 20;
/// How many times larger than its file an archive may be. Keys and signatures are random, so real ones stay below 3.
const MAX_RATIO: u64 = 20;
/// Archives up to this size are no attack, whatever their ratio is.
const SLACK: u64 = 64 << 10;
/// What a decoder may remember: what `zstd -19` and `xz -6` need for a file of this size.
const MEMORY: u64 = 32 << 20;

/// Whether more than [`MAX_PACKED`] bytes came; the layers between keep no errors of others.
#[derive(Debug, Default)]
pub(crate) struct Packed(Cell<u64>);

impl Packed {
    /// Reads what is in `reader`, compressed or not.
    pub(crate) fn open<R: Read>(&self, reader: R) -> io::Result<Decoder<Counted<'_, R>>> {
        let bounds = Bounds { bytes: MAX_UNPACKED, ratio: MAX_RATIO, slack: SLACK, memory: MEMORY };
        Decoder::new(Counted { inner: reader, packed: self }, bounds)
    }

    /// The error of this crate behind `source`.
    pub(crate) fn explain(&self, source: pkgformat::Error, what: &str) -> Error {
        let what = what.to_owned();
        if self.0.get() > MAX_PACKED {
            return Error::TooLarge { what, limit: MAX_PACKED, unit: "bytes" };
        }
        match exceeded(&source) {
            Some(Exceeded::Ratio { .. }) => Error::Ratio { what, limit: MAX_RATIO },
            Some(_) => Error::TooLarge { what, limit: MAX_UNPACKED, unit: "bytes unpacked" },
            None => Error::Records { what, source: Box::new(source) },
        }
    }
}

fn exceeded(error: &pkgformat::Error) -> Option<&Exceeded> {
    match error {
        pkgformat::Error::Read { problem: Problem::Io(source), .. } => source.get_ref()?.downcast_ref(),
        _ => None,
    }
}

/// A reader that fails behind the limit.
#[derive(Debug)]
pub(crate) struct Counted<'a, R> {
    inner: R,
    packed: &'a Packed,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.packed.0.set(self.packed.0.get().saturating_add(count as u64));
        if self.packed.0.get() > MAX_PACKED {
            return Err(io::Error::other("the archive is too large"));
        }
        Ok(count)
    }
}
