//! Taking away whole trees, whatever is in them.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pkgtypes::Mode;
use rustix::fs::{AtFlags, OFlags, RawDir};
use rustix::io::Errno;

use crate::place::chmod;
use crate::temp::random_name;

/// Folders open at a time. What lies deeper is renamed up to the top first, so that neither a descriptor limit nor the
/// stack bounds the depth of a tree that can be removed.
const MAX_DEPTH: usize = 48;

const OPEN: Mode = Mode::from_raw(0o700);

pub(crate) fn remove_tree(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(errno) => return Err(errno),
    }
    let Some(top) = open_dir(dir, name)? else { return Ok(()) };
    let emptier = Emptier { top: top.as_fd() };
    // Each round brings up what was too deep in the last.
    while emptier.empty(top.as_fd(), 0)? {}
    remove_dir(dir, name)
}

struct Emptier<'a> {
    top: BorrowedFd<'a>,
}

impl Emptier<'_> {
    /// Removes all that is in `dir`; says whether something was moved to the top instead.
    fn empty(&self, dir: BorrowedFd<'_>, depth: usize) -> Result<bool, Errno> {
        let mut moved = false;
        for name in names(dir)? {
            match unlink(dir, &name) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR) => moved |= self.remove_folder(dir, &name, depth)?,
                Err(errno) => return Err(errno),
            }
        }
        Ok(moved)
    }

    fn remove_folder(&self, dir: BorrowedFd<'_>, name: &[u8], depth: usize) -> Result<bool, Errno> {
        let Some(folder) = open_dir(dir, name)? else { return Ok(false) };
        if depth == MAX_DEPTH {
            rustix::fs::renameat(dir, name, self.top, random_name()?)?;
            return Ok(true);
        }
        let moved = self.empty(folder.as_fd(), depth + 1)?;
        drop(folder);
        remove_dir(dir, name)?;
        Ok(moved)
    }
}

fn remove_dir(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        answer => answer,
    }
}

/// Removes a name that is no folder's, and opens the folder around it for writing when that is in the way.
fn unlink(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::ACCESS) => {
            rustix::fs::fchmod(dir, rustix::fs::Mode::from_raw_mode(OPEN.bits()))?;
            rustix::fs::unlinkat(dir, name, AtFlags::empty())
        }
        answer => answer,
    }
}

/// Opens a folder, after giving its owner the right to when he took it from himself; `None` when it is gone.
fn open_dir(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(dir, name, flags, rustix::fs::Mode::empty());
    let fd = match open() {
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::ACCESS) => {
            chmod(dir, name, OPEN)?;
            open()?
        }
        answer => answer?,
    };
    let mode = Mode::from_raw(rustix::fs::fstat(&fd)?.st_mode);
    if mode.bits() & 0o300 != 0o300 && !rustix::process::geteuid().is_root() {
        rustix::fs::fchmod(&fd, rustix::fs::Mode::from_raw_mode(OPEN.bits()))?;
    }
    Ok(Some(fd))
}

/// The names in an open folder, without `.` and `..`, in the file system's order.
pub(crate) fn names(dir: BorrowedFd<'_>) -> Result<Vec<Box<[u8]>>, Errno> {
    let mut buffer = [MaybeUninit::uninit(); 32 << 10];
    rustix::fs::seek(dir, rustix::fs::SeekFrom::Start(0))?;
    let mut entries = RawDir::new(dir, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        match entry?.file_name().to_bytes() {
            b"." | b".." => {}
            name => names.push(name.into()),
        }
    }
    Ok(names)
}
