use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use crate::Format;

/// Bytes read at once, where less is wanted. Thousands of files may wait to be read.
const BUFFER: usize = 32 << 10;

/// What a decoder reads: the bytes that were looked at, put back, and the rest. It knows how many bytes the decoder has
/// used, and whether an error is its own.
#[derive(Debug)]
pub(crate) struct Source<R> {
    inner: BufReader<Chain<Cursor<Vec<u8>>, R>>,
    /// What was put back, to be read first.
    back: Cursor<Vec<u8>>,
    used: u64,
    failed: bool,
}

impl<R: Read> Source<R> {
    /// Looks at the first bytes.
    pub(crate) fn sniff(mut reader: R) -> io::Result<(Format, Self)> {
        let mut head = Vec::with_capacity(Format::MAGIC_LEN);
        reader.by_ref().take(Format::MAGIC_LEN as u64).read_to_end(&mut head)?;
        let format = Format::sniff(&head);
        let inner = BufReader::with_capacity(BUFFER, Cursor::new(head).chain(reader));
        Ok((format, Self { inner, back: Cursor::default(), used: 0, failed: false }))
    }

    fn has_back(&self) -> bool {
        self.back.position() < self.back.get_ref().len() as u64
    }

    /// How many bytes the decoder has used.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Puts the bytes that were used last back, to be read again.
    pub(crate) fn put_back(&mut self, bytes: Vec<u8>) {
        self.used -= bytes.len() as u64;
        self.back = Cursor::new(bytes);
    }

    /// Whether the reader failed, and not the decoder.
    pub(crate) fn failed(&self) -> bool {
        self.failed
    }
}

impl<R: Read> BufRead for Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.has_back() {
            return self.back.fill_buf();
        }
        // The decoders do not all go on after an interruption.
        while let Err(error) = self.inner.fill_buf() {
            if error.kind() != io::ErrorKind::Interrupted {
                self.failed = true;
                return Err(error);
            }
        }
        Ok(self.inner.buffer())
    }

    fn consume(&mut self, count: usize) {
        self.used += count as u64;
        if self.has_back() { self.back.consume(count) } else { self.inner.consume(count) }
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.len() >= BUFFER && !self.has_back() && self.inner.buffer().is_empty() {
            // Without a stop on the way.
            let answer = self.inner.read(buffer);
            self.failed |= answer.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted);
            self.used += *answer.as_ref().unwrap_or(&0) as u64;
            return answer;
        }
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}
