use std::io::{self, BufRead, BufReader, Read, Seek};

use pkgtypes::Digest;

use crate::error::{Error, Problem, Result};
use crate::size;

/// The most that is allocated before it has arrived.
pub(crate) const CHUNK: usize = 64 << 10;

/// Bytes read at once, where less is wanted. Thousands of packages may wait to be read.
const BUFFER: usize = 16 << 10;

/// A file of records being read: it knows where it is, so that errors can say so.
#[derive(Debug)]
pub(crate) struct Source<R> {
    inner: BufReader<R>,
    offset: u64,
    record: u64,
}

impl<R> Source<R> {
    /// How many bytes were read.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Counts records from 1, for errors.
    pub(crate) fn begin_record(&mut self, number: u64) {
        self.record = number;
    }

    /// `problem` at the present position.
    pub(crate) fn error(&self, problem: Problem) -> Error {
        self.error_at(self.offset, problem)
    }

    pub(crate) fn error_at(&self, offset: u64, problem: Problem) -> Error {
        Error::Read { record: self.record, offset, problem }
    }
}

impl<R: Read> Source<R> {
    /// A source of which the first byte stands at `offset` of a file.
    pub(crate) fn at(reader: R, offset: u64) -> Self {
        Self { inner: BufReader::with_capacity(BUFFER, reader), offset, record: 0 }
    }

    /// Reads some bytes; 0 at the end of the file.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.inner.read(buffer) {
                Ok(count) => {
                    self.offset += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(Problem::Io(error))),
            }
        }
    }

    /// Reads as many bytes as `buffer` takes, fewer only at the end of the file.
    pub(crate) fn read_full(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    }

    pub(crate) fn read_exact(&mut self, buffer: &mut [u8], expected: &'static str) -> Result<()> {
        if self.read_full(buffer)? < buffer.len() {
            return Err(self.error(Problem::UnexpectedEnd { expected }));
        }
        Ok(())
    }

    pub(crate) fn digest(&mut self, expected: &'static str) -> Result<Digest> {
        let mut bytes = [0; Digest::LEN];
        self.read_exact(&mut bytes, expected)?;
        Ok(Digest::from_bytes(bytes))
    }

    /// Reads a size and appends its bytes to `out` too.
    pub(crate) fn size(&mut self, out: &mut Vec<u8>, what: &'static str) -> Result<u64> {
        let at = self.offset;
        let wrong = |source: &Self, error| source.error_at(at, Problem::Size { what, source: error });
        let mut bytes = [0; size::MAX_LEN];
        self.read_exact(&mut bytes[..1], what)?;
        size::check_count(bytes[0]).map_err(|error| wrong(self, error))?;
        let end = 1 + usize::from(bytes[0]);
        self.read_exact(&mut bytes[1..end], what)?;
        out.extend_from_slice(&bytes[..end]);
        size::from_digits(&bytes[1..end]).map_err(|error| wrong(self, error))
    }

    /// Appends `length` bytes to `out`, which grows only as they arrive.
    pub(crate) fn append(&mut self, out: &mut Vec<u8>, length: u64, expected: &'static str) -> Result<()> {
        let mut missing = length;
        while missing > 0 {
            let step = usize::try_from(missing).map_or(CHUNK, |missing| missing.min(CHUNK));
            let filled = out.len();
            out.resize(filled + step, 0);
            self.read_exact(&mut out[filled..], expected)?;
            missing -= step as u64;
        }
        Ok(())
    }

    /// Hands the next bytes, `most` at most, to `take`; 0 at the end of the file.
    pub(crate) fn take_chunk(&mut self, most: u64, take: impl FnOnce(&[u8])) -> Result<usize> {
        loop {
            match self.inner.fill_buf() {
                Ok(bytes) => {
                    let count = usize::try_from(most).map_or(bytes.len(), |most| most.min(bytes.len()));
                    take(&bytes[..count]);
                    self.inner.consume(count);
                    self.offset += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(Problem::Io(error))),
            }
        }
    }

    pub(crate) fn at_end(&mut self) -> Result<bool> {
        Ok(self.take_chunk(0, |_| ())? == 0 && self.inner.buffer().is_empty())
    }
}

impl<R: Read + Seek> Source<R> {
    /// Goes on at `offset`, counted from where the source was when reading began.
    pub(crate) fn seek(&mut self, offset: u64) -> Result<()> {
        let Ok(leap) = i64::try_from(i128::from(offset) - i128::from(self.offset)) else {
            return Err(self.error(Problem::UnexpectedEnd { expected: "a record" }));
        };
        self.inner.seek_relative(leap).map_err(|error| self.error(Problem::Io(error)))?;
        self.offset = offset;
        Ok(())
    }
}
