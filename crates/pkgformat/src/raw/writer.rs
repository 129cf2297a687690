use std::io::{Read, Write};

use pkgtypes::{Digest, Hasher};

use crate::error::{Error, Problem, Result};
use crate::list::Meta;
use crate::record::{self, RecordDigests, Summary, SummaryBuilder};
use crate::source::CHUNK;

/// Writes a file of records; [`RawReader`](crate::RawReader) shows both.
///
/// After an error what was written is of no use, and every further call says so.
#[derive(Debug)]
#[must_use = "without `finish` the file has no summary"]
pub struct RawWriter<W> {
    writer: W,
    passed: SummaryBuilder,
    files: u64,
    buffer: Vec<u8>,
    failed: bool,
}

impl<W: Write> RawWriter<W> {
    /// Begins a file.
    pub fn new(writer: W) -> Self {
        Self { writer, passed: SummaryBuilder::new(), files: 0, buffer: Vec::new(), failed: false }
    }

    /// Writes a record with its data.
    ///
    /// # Errors
    /// A writer that fails; the kind `summary`, which [`RawWriter::finish`] writes.
    pub fn record(&mut self, meta: &Meta, data: &[u8]) -> Result<RecordDigests> {
        check_kind(meta)?;
        self.whole(meta, data.len() as u64, |writer| writer.write_all(data).map(|()| Digest::of(data)))
    }

    /// Writes a record whose data come from `write`, which must write `size` bytes and give their digest.
    pub(crate) fn whole(
        &mut self,
        meta: &Meta,
        size: u64,
        write: impl FnOnce(&mut W) -> std::io::Result<Digest>,
    ) -> Result<RecordDigests> {
        self.guarded(|this| {
            let head = this.head(&record::encode_head(meta, size))?;
            let data = write(&mut this.writer).map_err(Error::Write)?;
            this.end(RecordDigests { head, data }, size, meta.kind() == record::BLOB)
        })
    }

    /// Writes a blob record whose data are all that `source` has to give, which must be `size` bytes.
    pub(crate) fn blob(
        &mut self,
        size: u64,
        source: impl Read,
        check: impl FnOnce(Digest) -> Result<()>,
    ) -> Result<()> {
        self.guarded(|this| {
            let head = this.head(&record::blob_head(size))?;
            let data = this.copy(size, source)?;
            check(data)?;
            this.end(RecordDigests { head, data }, size, true).map(|_| ())
        })
    }

    /// The manifest has this many entries, and the summary says so.
    pub(crate) fn set_files(&mut self, files: u64) {
        self.files = files;
    }

    /// Writes the summary and gives the writer back, flushed.
    ///
    /// # Errors
    /// A writer that fails or failed.
    pub fn finish(mut self) -> Result<(W, Summary)> {
        if self.failed {
            return Err(Error::WriterFailed);
        }
        let summary = self.passed.finish(self.files);
        self.writer.write_all(&summary.encode()).and_then(|()| self.writer.flush()).map_err(Error::Write)?;
        Ok((self.writer, summary))
    }

    /// Gives the writer back, flushed, without a summary: for files to which records are added later, which
    /// [`RawReader::open_ended`](crate::RawReader::open_ended) reads.
    ///
    /// # Errors
    /// As [`RawWriter::finish`].
    pub fn into_inner(mut self) -> Result<W> {
        if self.failed {
            return Err(Error::WriterFailed);
        }
        self.writer.flush().map_err(Error::Write)?;
        Ok(self.writer)
    }

    fn guarded<T>(&mut self, write: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if std::mem::replace(&mut self.failed, true) {
            return Err(Error::WriterFailed);
        }
        let written = write(self)?;
        self.failed = false;
        Ok(written)
    }

    fn head(&mut self, head: &[u8]) -> Result<Digest> {
        let digest = Digest::of(head);
        self.writer.write_all(head).and_then(|()| self.writer.write_all(digest.as_bytes())).map_err(Error::Write)?;
        Ok(digest)
    }

    fn end(&mut self, digests: RecordDigests, size: u64, is_blob: bool) -> Result<RecordDigests> {
        self.writer.write_all(digests.data.as_bytes()).map_err(Error::Write)?;
        if !is_blob {
            self.passed.record(&digests);
        } else if !self.passed.blob(&digests, size) {
            return Err(Error::Meta(crate::MetaError::TooLong));
        }
        Ok(digests)
    }

    fn copy(&mut self, size: u64, mut source: impl Read) -> Result<Digest> {
        let number = self.passed.records();
        let mut hasher = Hasher::new();
        let mut copied = 0u64;
        self.buffer.resize(CHUNK, 0);
        loop {
            let count = match source.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(Error::BlobSource { number, source }),
            };
            copied += count as u64;
            if copied > size {
                return Err(wrong_length(number, copied, size));
            }
            hasher.update(&self.buffer[..count]);
            self.writer.write_all(&self.buffer[..count]).map_err(Error::Write)?;
        }
        if copied < size {
            return Err(wrong_length(number, copied, size));
        }
        Ok(hasher.finish())
    }
}

fn check_kind(meta: &Meta) -> Result<()> {
    match meta.kind() {
        record::SUMMARY => Err(Error::ReservedKind(meta.kind().to_owned())),
        _ => Ok(()),
    }
}

fn wrong_length(number: u64, copied: u64, size: u64) -> Error {
    Error::BlobContent { number, problem: Problem::Length { found: copied, size } }
}
