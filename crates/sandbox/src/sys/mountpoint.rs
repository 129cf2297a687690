//! Directories that a writable root lacks and a room needs for its mounts.

use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Whether `path` exists inside `root`, no link leading out of it.
pub(crate) fn exists_in(root: &OwnedFd, path: &Path) -> bool {
    open_in(root, path).is_ok()
}

/// Opens a root directory to look into.
pub(crate) fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn open_in(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut tries = super::raw::TRIES;
    loop {
        match rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) if tries > 0 => tries -= 1,
            other => return other,
        }
    }
}

/// Directories made in a root for the time of a room; removed again, where nothing was put into them, when dropped.
#[derive(Debug, Default)]
pub(crate) struct MadeDirectories(Vec<(OwnedFd, PathBuf)>);

impl MadeDirectories {
    /// Makes `path`, with this mode, and its parents inside `root` where they are missing.
    pub(crate) fn make(&mut self, root: &OwnedFd, path: &Path, mode: u32) -> Result<(), Errno> {
        let mut parent = open_in(root, Path::new("/"))?;
        let mut whole = PathBuf::from("/");
        for name in path.components() {
            let Component::Normal(name) = name else { continue };
            whole.push(name);
            let next = match open_in(root, &whole) {
                Err(Errno::NOENT) => {
                    let mode = if whole == path { mode } else { 0o755 };
                    rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(mode))?;
                    self.0.push((parent, PathBuf::from(name)));
                    open_in(root, &whole)?
                }
                other => other?,
            };
            parent = next;
        }
        Ok(())
    }
}

impl Drop for MadeDirectories {
    fn drop(&mut self) {
        for (parent, name) in self.0.iter().rev() {
            let _ = rustix::fs::unlinkat(parent, name, rustix::fs::AtFlags::REMOVEDIR);
        }
    }
}
