use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use pkgtypes::{Mode, PkgPath};
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use crate::{Error, ErrorKind, Result, Root};

/// What a lock keeps out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Everybody else.
    Exclusive,
    /// Those who want it exclusively.
    Shared,
}

/// What to do while another process holds the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Nothing: an error that names the holder.
    No,
    /// Wait until it is free.
    Yes,
}

/// A lock between processes that is held until this is dropped, or the process ends, however it ends.
#[derive(Debug)]
#[must_use = "the lock is given back when this is dropped"]
pub struct Lock {
    file: File,
}

impl Root {
    /// Takes the lock that the file at `path` stands for, and makes the file when it is missing. Whoever holds it
    /// exclusively leaves his process id in it, for the message of those who come later.
    ///
    /// A reader needs no right to write: an existing file that can only be read serves as well.
    ///
    /// # Errors
    /// As `openat(2)`; another process holds it and `wait` is [`Wait::No`].
    pub fn lock(&self, path: &PkgPath, kind: LockKind, wait: Wait) -> Result<Lock> {
        let (file, writable) = self.open_lock_file(path)?;
        let operation = match (kind, wait) {
            (LockKind::Exclusive, Wait::Yes) => FlockOperation::LockExclusive,
            (LockKind::Exclusive, Wait::No) => FlockOperation::NonBlockingLockExclusive,
            (LockKind::Shared, Wait::Yes) => FlockOperation::LockShared,
            (LockKind::Shared, Wait::No) => FlockOperation::NonBlockingLockShared,
        };
        rustix::fs::flock(&file, operation).map_err(|errno| {
            let error = Error::errno("lock", &self.path().join(path), errno);
            if errno == Errno::WOULDBLOCK {
                return error.with_kind(ErrorKind::Locked { holder: holder(&file) });
            }
            error
        })?;
        if writable && kind == LockKind::Exclusive {
            // The id is a courtesy; a full disk must not keep anybody from the lock.
            let _ = file.set_len(0);
            let _ = file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0);
        }
        Ok(Lock { file })
    }

    /// Takes the record lock (`fcntl(2)`) on the file at `path`, as other programs do that edit something together; waits
    /// for it about as long as `patience`. Where there is no such file there is no lock either, and none is made.
    ///
    /// # Errors
    /// As `openat(2)`; another process holds it all the time ([`ErrorKind::Locked`]).
    pub fn record_lock(&self, path: &PkgPath, patience: Duration) -> Result<Option<RecordLock>> {
        const INTERVAL: Duration = Duration::from_millis(20);
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match self.at(path).and_then(|place| place.open("open the lock", flags, Mode::from_raw(0))) {
            Ok(file) => file,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut left = patience;
        loop {
            match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(RecordLock { _file: file })),
                Err(errno @ (Errno::AGAIN | Errno::ACCESS)) if left.is_zero() => {
                    let error = Error::errno("lock", &self.path().join(path), errno);
                    return Err(error.with_kind(ErrorKind::Locked { holder: None }));
                }
                Err(Errno::AGAIN | Errno::ACCESS) => {
                    std::thread::sleep(INTERVAL.min(left));
                    left = left.saturating_sub(INTERVAL);
                }
                Err(errno) => return Err(Error::errno("lock", &self.path().join(path), errno)),
            }
        }
    }

    fn open_lock_file(&self, path: &PkgPath) -> Result<(File, bool)> {
        let place = self.at(path)?;
        let writable = OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK;
        match place.open("open the lock", writable, Mode::from_raw(0o644)) {
            Ok(file) => Ok((file, true)),
            Err(error) if matches!(error.kind, ErrorKind::Denied | ErrorKind::ReadOnly) => {
                Ok((place.open("open the lock", OFlags::RDONLY | OFlags::NONBLOCK, Mode::from_raw(0))?, false))
            }
            Err(error) => Err(error),
        }
    }
}

/// A lock on the content of a file, held until this is dropped or the process ends. It keeps out other processes only, and
/// is gone as soon as this process closes the file in whichever way.
#[derive(Debug)]
#[must_use = "the lock is given back when this is dropped"]
pub struct RecordLock {
    /// The kernel gives it back when this is closed.
    _file: File,
}

/// Given back explicitly: a process that another thread is just then forking has a copy of the descriptor, and would hold
/// the lock until it runs its program.
impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file does the same later.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

fn holder(file: &File) -> Option<u32> {
    let mut text = [0; 16];
    let length = file.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(&text[..length]).ok()?.trim_end().parse().ok()
}
