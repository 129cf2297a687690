//! Where records go.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

use crate::{Error, Result};

/// Takes records one after the other.
pub(super) trait Sink {
    /// Takes the next bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Forgets the last bytes again: their content stands there already.
    fn take_back(&mut self, length: u64);
}

/// Counts on the digests alone.
#[derive(Debug)]
pub(super) struct Nowhere;

impl Sink for Nowhere {
    fn write(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn take_back(&mut self, _: u64) {}
}

/// A file that is written from a position on.
#[derive(Debug)]
pub(super) struct FileSink<'a> {
    pub(super) file: &'a File,
    pub(super) position: u64,
}

impl Sink for FileSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, self.position).map_err(Error::Output)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn take_back(&mut self, length: u64) {
        self.position -= length;
    }
}

/// A stream, to which only what is known to be new is written.
#[derive(Debug)]
pub(super) struct StreamSink<W>(pub(super) W);

impl<W: Write> Sink for StreamSink<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).map_err(Error::Output)
    }

    fn take_back(&mut self, _: u64) {
        unreachable!("every content comes once, and is checked to be what it was");
    }
}
