//! What a room has written into its upper directory.

use std::collections::VecDeque;
use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::{Error, Outcome};

/// Entries that [`changes`] looks at before it gives up.
const ENTRIES: usize = 4 << 20;
/// Folders in folders.
const DEPTH: usize = 200;

/// Something that is in the upper directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// In the room, without the first slash.
    pub path: PathBuf,
    /// What is there.
    pub kind: Changed,
    /// Permission bits, those of setuid, setgid and the sticky bit included; 0 for what was removed.
    pub mode: u32,
    /// Names of extended attributes, overlayfs' own left out; among them `security.capability` of a file with capabilities.
    pub attributes: Vec<String>,
}

/// What a change is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    /// The layers have it, the room removed it.
    Removed,
    /// A folder; `opaque` when nothing of the layers shows in it.
    Folder {
        /// Nothing of the layers shows in it.
        opaque: bool,
    },
    /// A file.
    File {
        /// Bytes as they read.
        size: u64,
        /// Bytes on the disk.
        stored: u64,
        /// Names it has.
        links: u64,
    },
    /// A symbolic link, never followed.
    Link {
        /// Where it points.
        target: PathBuf,
    },
    /// A fifo, a socket, a device.
    Special,
}

/// Lists what a room wrote into its [`Upper::Dir`](crate::Upper::Dir), parents before what is in them.
///
/// Whoever keeps a file makes a copy of it: a descriptor that the room handed out by a socket of the caller's still writes to the
/// room's own.
///
/// Asks for the outcome, since only then nothing in the room runs that could change it meanwhile. Follows no link, leaves no
/// file system, opens nothing but folders.
///
/// # Errors
/// [`Error::Changes`]: a folder that cannot be read, one more than 200 folders deep, or more than four million entries.
pub fn changes(_ended: &Outcome, upper: &Path) -> Result<Vec<Change>, Error> {
    let top = rustix::fs::open(upper, FOLDER, Mode::empty()).map_err(|errno| failed(upper, errno))?;
    let device = rustix::fs::fstat(&top).map_err(|errno| failed(upper, errno))?.st_dev;
    let mut found = Vec::new();
    // By path from the top, not by a chain of descriptors: a deep tree must not use them up.
    let mut folders = VecDeque::from([PathBuf::new()]);
    while let Some(folder) = folders.pop_front() {
        let whole = || upper.join(&folder);
        let fd = if folder.as_os_str().is_empty() {
            top.try_clone().map_err(|error| Error::Changes { path: whole(), source: error })?
        } else {
            beneath(&top, &folder, FOLDER).map_err(|errno| failed(&whole(), errno))?
        };
        let depth = folder.components().count();
        for entry in rustix::fs::Dir::read_from(&fd).map_err(|errno| failed(&whole(), errno))? {
            let entry = entry.map_err(|errno| failed(&whole(), errno))?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let path = folder.join(OsStr::from_bytes(name.to_bytes()));
            if found.len() == ENTRIES || depth == DEPTH {
                return Err(failed(&upper.join(&path), if depth == DEPTH { Errno::NAMETOOLONG } else { Errno::FBIG }));
            }
            let change = look(&fd, name, path, device).map_err(|(path, errno)| failed(&upper.join(path), errno))?;
            if matches!(change.kind, Changed::Folder { .. }) {
                folders.push_back(change.path.clone());
            }
            found.push(change);
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn failed(path: &Path, errno: Errno) -> Error {
    Error::Changes { path: path.to_owned(), source: errno.into() }
}

fn beneath(top: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    rustix::fs::openat2(top, path, flags, Mode::empty(), resolve)
}

fn look(folder: &OwnedFd, name: &CStr, path: PathBuf, device: u64) -> Result<Change, (PathBuf, Errno)> {
    let kind = || -> Result<(Changed, Stat, Vec<String>), Errno> {
        // Without opening it: a fifo would wait for its other end, a device might do anything.
        let fd = rustix::fs::openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let stat = rustix::fs::statat(&fd, c"", AtFlags::EMPTY_PATH)?;
        if stat.st_dev != device {
            return Err(Errno::XDEV);
        }
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice if stat.st_rdev == 0 => Changed::Removed,
            FileType::Directory => Changed::Folder { opaque: attribute(&fd, c"user.overlay.opaque") == Some(b'y') },
            FileType::RegularFile => Changed::File {
                size: stat.st_size.unsigned_abs(),
                stored: stat.st_blocks.unsigned_abs() * 512,
                links: wide(stat.st_nlink),
            },
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&fd, c"", Vec::new())?;
                Changed::Link { target: PathBuf::from(OsStr::from_bytes(target.to_bytes())) }
            }
            _ => Changed::Special,
        };
        let named = matches!(kind, Changed::File { .. } | Changed::Folder { .. });
        let attributes = if named { attributes(&fd)? } else { Vec::new() };
        Ok((kind, stat, attributes))
    };
    match kind() {
        Ok((Changed::Removed, ..)) => Ok(Change { path, kind: Changed::Removed, mode: 0, attributes: Vec::new() }),
        Ok((kind, stat, attributes)) => Ok(Change { path, kind, mode: stat.st_mode & 0o7777, attributes }),
        Err(errno) => Err((path, errno)),
    }
}

/// A count that is narrower on some machines.
pub(crate) fn wide(count: impl Into<u64>) -> u64 {
    count.into()
}

/// The file behind a descriptor that gives only a place, for calls that want a name.
fn by_name(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// The first byte of an attribute.
fn attribute(fd: &OwnedFd, name: &CStr) -> Option<u8> {
    let mut value = [0u8; 16];
    let length = rustix::fs::getxattr(by_name(fd), name, &mut value[..]).ok()?;
    value[..length].first().copied()
}

fn attributes(fd: &OwnedFd) -> Result<Vec<String>, Errno> {
    // As much as the kernel gives at all.
    let mut names = vec![0u8; 1 << 16];
    let length = match rustix::fs::listxattr(by_name(fd), &mut names[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let names = names.map(|name| String::from_utf8_lossy(name).into_owned());
    Ok(names.filter(|name| !name.starts_with("user.overlay.") && !name.starts_with("trusted.overlay.")).collect())
}
