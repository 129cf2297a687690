//! A file that is open only while it is read, so that thousands of packages can wait for their turn.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use codec::ReadAt;

/// A file that is opened again when it is read after [`OnDemand::close`]. At its end it closes itself.
#[derive(Debug, Clone)]
pub(crate) struct OnDemand(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// What the file was when it was opened first.
    identity: Identity,
    file: Mutex<Option<File>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl From<&Metadata> for Identity {
    fn from(data: &Metadata) -> Self {
        let changed = (data.ctime(), data.ctime_nsec());
        Self { device: data.dev(), inode: data.ino(), size: data.len(), changed }
    }
}

impl OnDemand {
    /// A file that was opened under this path.
    ///
    /// # Errors
    /// The file can not be looked at.
    pub(crate) fn new(path: &Path, file: File) -> io::Result<Self> {
        let identity = Identity::from(&file.metadata()?);
        Ok(Self(Arc::new(Inner { path: path.to_owned(), identity, file: Mutex::new(Some(file)) })))
    }

    /// Closes the file until it is read again.
    pub(crate) fn close(&self) {
        self.0.slot().take();
    }
}

impl Inner {
    fn slot(&self) -> MutexGuard<'_, Option<File>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> io::Result<File> {
        let explain =
            |what: &dyn std::fmt::Display| format!("`{}`, which is still to be installed, {what}", self.path.display());
        let file = File::open(&self.path)
            .map_err(|error| io::Error::new(error.kind(), explain(&format_args!("cannot be opened again: {error}"))))?;
        if Identity::from(&file.metadata()?) != self.identity {
            return Err(io::Error::other(explain(&"was changed meanwhile")));
        }
        Ok(file)
    }
}

impl ReadAt for OnDemand {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.identity.size)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut slot = self.0.slot();
        let file = match slot.take() {
            Some(file) => file,
            None => self.0.open()?,
        };
        let count = file.read_at(buffer, offset)?;
        if count > 0 || buffer.is_empty() {
            *slot = Some(file);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests arrange files of their own")]

    use super::*;

    #[test]
    fn a_closed_file_goes_on_where_it_was_and_one_that_changed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.kpkg");
        std::fs::write(&path, "first, second").unwrap();
        let file = OnDemand::new(&path, File::open(&path).unwrap()).unwrap();
        let mut buffer = [0; 5];
        file.read_exact_at(&mut buffer, 0).unwrap();
        file.close();
        let mut rest = [0; 6];
        file.read_exact_at(&mut rest, 7).unwrap();
        assert_eq!((&buffer, &rest), (b"first", b"second"));
        assert_eq!(file.read_at(&mut rest, 13).unwrap(), 0);
        assert!(file.0.slot().is_none(), "a file that was read to its end is closed");
        std::fs::write(&path, "other, things").unwrap();
        let error = file.read_at(&mut rest, 0).unwrap_err().to_string();
        assert!(error.contains("a.kpkg") && error.contains("was changed meanwhile"), "{error}");
    }
}
