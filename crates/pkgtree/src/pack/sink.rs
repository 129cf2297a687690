//! Where records go.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::{Error, Result};

/// Takes records one after the other.
pub(super) trait Sink {
    /// Takes the next bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Leaves out the next bytes, to be written by whoever has the room; `None` where everything must come in its order.
    fn room(&mut self, length: u64) -> Option<Room>;
}

/// Room for some bytes, which may be written in any order.
#[derive(Debug)]
pub(super) struct Room {
    /// Without a file, the bytes are not kept.
    file: Option<Arc<File>>,
    position: u64,
}

impl Room {
    pub(super) fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file
            .as_ref()
            .map_or(Ok(()), |file| file.write_all_at(bytes, self.position + offset))
            .map_err(Error::Output)
    }
}

/// Counts on the digests alone.
#[derive(Debug)]
pub(super) struct Nowhere;

impl Sink for Nowhere {
    fn write(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn room(&mut self, _: u64) -> Option<Room> {
        Some(Room { file: None, position: 0 })
    }
}

/// A file that is written from a position on.
#[derive(Debug)]
pub(super) struct FileSink {
    file: Arc<File>,
    position: u64,
}

impl FileSink {
    pub(super) fn new(file: Arc<File>, position: u64) -> Self {
        Self { file, position }
    }
}

impl Sink for FileSink {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, self.position).map_err(Error::Output)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn room(&mut self, length: u64) -> Option<Room> {
        let position = self.position;
        self.position = position.checked_add(length)?;
        Some(Room { file: Some(Arc::clone(&self.file)), position })
    }
}

/// A stream, to which only what is known to be new is written.
#[derive(Debug)]
pub(super) struct StreamSink<W>(pub(super) W);

impl<W: Write> Sink for StreamSink<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).map_err(Error::Output)
    }

    fn room(&mut self, _: u64) -> Option<Room> {
        None
    }
}
