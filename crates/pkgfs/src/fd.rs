//! Operations on a file that is already open; no path is looked up.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use pkgtypes::{Mode, Timestamp};
use rustix::fs::{Gid, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

use crate::Stat;

/// What the file system knows of the open file.
///
/// # Errors
/// As `fstat(2)`.
pub fn stat(file: &File) -> io::Result<Stat> {
    Ok(rustix::fs::fstat(file)?.into())
}

/// What is written at once. The kernel takes memory for a whole write in one piece where it can, and beyond eight pages it moves
/// other memory about to make room for it: on a machine whose memory is full of small files that took more time than the writing.
const PIECE: usize = 32 << 10;

/// Writes all of `bytes` at `offset`, in pieces that the kernel finds memory for.
///
/// # Errors
/// As `pwrite(2)`.
pub fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    bytes.chunks(PIECE).zip((offset..).step_by(PIECE)).try_for_each(|(piece, at)| file.write_all_at(piece, at))
}

/// Sets the permission bits, whatever the umask is.
///
/// # Errors
/// As `fchmod(2)`.
pub fn set_mode(file: &File, mode: Mode) -> io::Result<()> {
    Ok(rustix::fs::fchmod(file, rustix::fs::Mode::from_raw_mode(mode.bits()))?)
}

/// Sets owner and group. The kernel drops setid bits and capabilities with it, so set those afterwards.
///
/// # Errors
/// As `fchown(2)`.
pub fn set_owner(file: &File, uid: u32, gid: u32) -> io::Result<()> {
    Ok(rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
}

/// Sets the time of the last change to the nanosecond; the access time stays.
///
/// # Errors
/// As `futimens(2)`.
pub fn set_mtime(file: &File, mtime: Timestamp) -> io::Result<()> {
    Ok(rustix::fs::futimens(file, &only_mtime(mtime))?)
}

pub(crate) fn only_mtime(mtime: Timestamp) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds(), tv_nsec: mtime.nanos().into() },
    }
}

/// Sets one extended attribute.
///
/// # Errors
/// As `fsetxattr(2)`.
pub fn set_xattr(file: &File, name: &[u8], value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::fsetxattr(file, name, value, XattrFlags::empty())?)
}

/// The names of the extended attributes, in the kernel's order; none on a file system without any.
///
/// # Errors
/// As `flistxattr(2)`.
pub fn xattr_names(file: &File) -> io::Result<Vec<Vec<u8>>> {
    let list = read_growing(|buffer| match rustix::fs::flistxattr(file, buffer) {
        Err(Errno::OPNOTSUPP) => Ok(0),
        other => other,
    })?;
    Ok(list.split(|&byte| byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
}

/// The value of one extended attribute; `None` when the file has none of this name.
///
/// # Errors
/// As `fgetxattr(2)`.
pub fn xattr(file: &File, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    match read_growing(|buffer| rustix::fs::fgetxattr(file, name, buffer)) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Asks with a small buffer first, and with the largest the kernel allows (64 KiB) when that does not do.
fn read_growing(mut read: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; 256];
    match read(&mut small) {
        Ok(length) => Ok(small[..length].to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; 64 << 10];
            let length = read(&mut large)?;
            large.truncate(length);
            Ok(large)
        }
        Err(errno) => Err(errno),
    }
}
