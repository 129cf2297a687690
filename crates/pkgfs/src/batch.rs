use std::os::fd::{AsFd, OwnedFd};

use pkgtypes::PkgPath;

use crate::place::Folder;
use crate::root::{beneath_error, open_beneath};
use crate::{Place, Result, Root};

/// Folders that a batch keeps open. Paths that go deeper are looked up from the last of them.
const MAX_OPEN: usize = 48;

/// Places of one tree in turn, with the folders on the way kept open.
///
/// When paths come in their order (as a manifest and a [`Walk`](crate::Walk) have them), a place costs no look-up
/// while the folder stays the same, and one per folder when it changes, instead of the whole path each time.
///
/// # Limitations
/// A folder that is kept open is the same folder after a rename. Make a new batch after moving or removing folders.
#[derive(Debug)]
pub struct Batch<'r> {
    root: &'r Root,
    /// Path of the innermost open folder.
    path: Vec<u8>,
    /// The open folders from the outside in, each with the length of its path.
    open: Vec<(usize, OwnedFd)>,
}

impl<'r> Batch<'r> {
    /// A batch with no folder open yet.
    pub fn new(root: &'r Root) -> Self {
        Self { root, path: Vec::new(), open: Vec::new() }
    }

    /// The tree.
    pub fn root(&self) -> &'r Root {
        self.root
    }

    /// The place that `path` names, as [`Root::at`].
    ///
    /// # Errors
    /// The folder does not exist, or a link is in the way.
    pub fn at<'a>(&'a mut self, path: &'a PkgPath) -> Result<Place<'a>> {
        let bytes = path.as_bytes();
        let parent = bytes.len().checked_sub(path.file_name().len() + 1).map_or(&[][..], |length| &bytes[..length]);
        self.enter(parent)?;
        let folder = self.open.last().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd());
        Ok(Place { base: self.root.path(), folder: Folder::Borrowed(folder), path })
    }

    fn enter(&mut self, folder: &[u8]) -> Result<()> {
        if self.path == folder {
            return Ok(());
        }
        while !is_within(folder, &self.path) {
            self.leave();
        }
        while self.path.len() < folder.len() {
            self.descend(folder)?;
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.open.pop();
        self.path.truncate(self.open.last().map_or(0, |(length, _)| *length));
    }

    /// Opens the next folder on the way to `folder`, or all the rest at once when enough are open.
    fn descend(&mut self, folder: &[u8]) -> Result<()> {
        let start = if self.path.is_empty() { 0 } else { self.path.len() + 1 };
        let next = folder[start..].iter().position(|&byte| byte == b'/').filter(|_| self.open.len() < MAX_OPEN);
        let end = next.map_or(folder.len(), |length| start + length);
        let from = self.open.last().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd());
        let fd = open_beneath(from, &folder[start..end]).map_err(|errno| {
            use std::os::unix::ffi::OsStrExt;
            beneath_error(&self.root.path().join(std::ffi::OsStr::from_bytes(&folder[..end])), errno)
        })?;
        self.path.clear();
        self.path.extend_from_slice(&folder[..end]);
        self.open.push((end, fd));
        Ok(())
    }
}

fn is_within(path: &[u8], folder: &[u8]) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}
