//! What a room has of the caller's folders for itself until it is gone.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::Error;
use crate::sys::mountpoint::{self, MadePoints};

/// Mount points that were made for it, and folders that no other room may write into at the same time.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    pub made: MadePoints,
    locked: Vec<OwnedFd>,
    /// The root that other rooms may have, too.
    root: Option<Arc<OwnedFd>>,
}

impl Claims {
    /// Locks a folder that an overlay writes into: what two of them do with one the kernel leaves open.
    pub(crate) fn lock(&mut self, path: &Path) -> Result<(), Error> {
        let step = format!("locking {}", path.display());
        let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let locked = rustix::fs::open(path, folder, Mode::empty())
            // The numbers below are the init's, which holds a copy.
            .and_then(|folder| rustix::io::fcntl_dupfd_cloexec(&folder, 10))
            .and_then(|folder| rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive).map(|()| folder));
        match locked {
            Ok(folder) => {
                self.locked.push(folder);
                Ok(())
            }
            Err(Errno::WOULDBLOCK) => {
                let hint = "another room writes into it: wait for its end, or give each room folders of its own";
                Err(Error::hinted(&step, Errno::WOULDBLOCK.raw_os_error(), String::new(), hint.to_owned()))
            }
            Err(errno) => Err(Error::start(step, errno.raw_os_error())),
        }
    }

    /// Has others know that a room has this root. To be called before it is looked at.
    pub(crate) fn share(&mut self, root: &Path) -> Option<Arc<OwnedFd>> {
        self.root = mountpoint::share(root).map(Arc::new);
        self.root.clone()
    }

    /// The descriptors that keep all this, for whoever is to keep it too.
    pub(crate) fn held(&self) -> Vec<RawFd> {
        let root = self.root.iter().map(AsRawFd::as_raw_fd);
        self.locked.iter().map(AsRawFd::as_raw_fd).chain(root).chain(self.made.held()).collect()
    }
}
