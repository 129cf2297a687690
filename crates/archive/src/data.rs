use std::io::{self, Read};

/// The data of a file in an archive: exactly as many bytes as the entry says, or an error.
pub(crate) struct Data<'a> {
    inner: &'a mut dyn Read,
    left: u64,
    truncated: bool,
    failed: Option<io::Error>,
}

/// Why data ended early.
pub(crate) enum Early {
    Truncated(u64),
    Failed(io::Error),
}

impl<'a> Data<'a> {
    pub(crate) fn new(inner: &'a mut dyn Read, size: u64) -> Self {
        Self { inner, left: size, truncated: false, failed: None }
    }

    /// Reads what the caller left, so that the next header is next.
    pub(crate) fn finish(mut self) -> Result<(), Early> {
        // An error of this copy was noted by `read` itself.
        let _ = io::copy(&mut self, &mut io::sink());
        match self.failed {
            Some(error) => Err(Early::Failed(error)),
            None if self.truncated => Err(Early::Truncated(self.left)),
            None => Ok(()),
        }
    }
}

impl Read for Data<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let read = match self.inner.read(&mut buffer[..most]) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                let copy = io::Error::new(error.kind(), error.to_string());
                self.failed = Some(error);
                return Err(copy);
            }
        };
        if read == 0 {
            self.truncated = true;
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{} bytes are missing", self.left)));
        }
        self.left -= read as u64;
        Ok(read)
    }
}
