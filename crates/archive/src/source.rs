use std::io::{self, Read};

use crate::ArchiveError;

/// A container's bytes, with how many of them were read.
pub(crate) struct Source<R> {
    inner: R,
    container: &'static str,
    offset: u64,
}

impl<R: Read> Source<R> {
    pub(crate) fn new(inner: R, container: &'static str) -> Self {
        Self { inner, container, offset: 0 }
    }

    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn malformed(&self, offset: u64, reason: impl Into<String>) -> ArchiveError {
        ArchiveError::Malformed { container: self.container, offset, reason: reason.into() }
    }

    /// Fills the buffer.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        let offset = self.offset;
        self.read_exact(buffer).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => self.malformed(offset, "it ends too early"),
            _ => ArchiveError::Io { offset, source },
        })
    }

    /// The next `length` bytes. Memory grows with what is there, not with what is asked for.
    pub(crate) fn next_bytes(&mut self, length: u64) -> Result<Vec<u8>, ArchiveError> {
        let offset = self.offset;
        let mut bytes = Vec::new();
        self.by_ref().take(length).read_to_end(&mut bytes).map_err(|source| ArchiveError::Io { offset, source })?;
        if (bytes.len() as u64) < length {
            return Err(self.malformed(offset, "it ends too early"));
        }
        Ok(bytes)
    }

    /// Passes over fill bytes up to a multiple of `unit`, a power of two.
    pub(crate) fn align(&mut self, unit: u64) -> Result<(), ArchiveError> {
        let fill = self.offset.wrapping_neg() % unit;
        self.next_bytes(fill).map(drop)
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.offset = self.offset.saturating_add(read as u64);
        Ok(read)
    }
}
