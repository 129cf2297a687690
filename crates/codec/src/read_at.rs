use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// Bytes of known number that can be read at any place: a file, a slice, something far away.
pub trait ReadAt {
    /// How many bytes there are.
    ///
    /// # Errors
    /// The source can not tell.
    fn size(&self) -> io::Result<u64>;

    /// Reads some of the bytes from `offset` on; 0 only at the end, or where `buffer` is empty.
    ///
    /// # Errors
    /// The source fails.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where there are too few; the source fails.
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    buffer = &mut buffer[count..];
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl ReadAt for [u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        rest.read(buffer)
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> io::Result<u64> {
        self.as_slice().size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.as_slice().read_at(buffer, offset)
    }
}

impl ReadAt for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<T: ReadAt + ?Sized> ReadAt for $pointer {
            fn size(&self) -> io::Result<u64> {
                (**self).size()
            }

            fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
                (**self).read_at(buffer, offset)
            }
        }
    )*};
}

forward!(&T, Box<T>, std::sync::Arc<T>);

/// A place in a [`ReadAt`], from which it is read like a file.
#[derive(Debug, Clone)]
pub struct Position<S> {
    source: S,
    offset: u64,
}

impl<S: ReadAt> Position<S> {
    /// At the first byte.
    pub fn new(source: S) -> Self {
        Self { source, offset: 0 }
    }

    /// What is read.
    pub fn get_ref(&self) -> &S {
        &self.source
    }
}

impl<S: ReadAt> Read for Position<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

impl<S: ReadAt> Seek for Position<S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.offset = place(to, self.offset, || self.source.size())?;
        Ok(self.offset)
    }
}

/// The offset that is meant.
pub(crate) fn place(to: SeekFrom, here: u64, end: impl FnOnce() -> io::Result<u64>) -> io::Result<u64> {
    let offset = match to {
        SeekFrom::Start(offset) => Some(offset),
        SeekFrom::Current(leap) => here.checked_add_signed(leap),
        SeekFrom::End(leap) => end()?.checked_add_signed(leap),
    };
    offset.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a place before the first byte"))
}
