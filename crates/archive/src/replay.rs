use std::cell::Cell;
use std::io::{self, Cursor, Read};
use std::rc::Rc;

/// Remembers what was read, so that it can be read again.
pub(crate) struct Recorder<R> {
    inner: R,
    record: Vec<u8>,
    limit: usize,
    closed: Rc<Cell<bool>>,
}

/// What was remembered, and then the rest.
pub(crate) type Replay<R> = io::Chain<Cursor<Vec<u8>>, R>;

impl<R: Read> Recorder<R> {
    /// Remembers up to `limit` bytes; the next one is an error.
    pub(crate) fn new(inner: R, limit: usize) -> Self {
        Self { inner, record: Vec::new(), limit, closed: Rc::default() }
    }

    /// A switch that ends the reading, for who has seen enough while another one reads.
    pub(crate) fn closed(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.closed)
    }

    pub(crate) fn replay(self) -> Replay<R> {
        Cursor::new(self.record).chain(self.inner)
    }
}

impl<R: Read> Read for Recorder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.closed.get() {
            return Err(io::Error::other("enough was read"));
        }
        if self.record.len() >= self.limit && !buffer.is_empty() {
            return Err(io::Error::other(format!("its metadata have more than {} bytes", self.limit)));
        }
        let most = buffer.len().min(self.limit - self.record.len());
        let read = self.inner.read(&mut buffer[..most])?;
        self.record.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}
