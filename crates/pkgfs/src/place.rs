use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use pkgtypes::{Mode, PkgPath, Timestamp};
use rustix::fs::{AtFlags, FallocateFlags, Gid, OFlags, RenameFlags, StatxAttributes, StatxFlags, Uid};
use rustix::io::Errno;

use crate::{Error, ErrorKind, FileKind, Result, Stat, fd, remove, sys};

/// How a rename treats what already has the new name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rename {
    /// Puts the new in the place of the old, in one step.
    Replace,
    /// Refuses when the name is taken.
    NoReplace,
    /// Swaps the two, in one step.
    Exchange,
}

/// What keeps a name from being renamed over or removed, whoever asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Something is mounted on it.
    MountPoint,
    /// It is marked as one that must not change, or only grow.
    Immutable,
}

/// A name in an open folder: the spot where something is made, looked at or taken away.
///
/// The folder was reached without a symbolic link and without leaving the tree; the name itself is never followed
/// either.
#[derive(Debug)]
pub struct Place<'a> {
    pub(crate) base: &'a Path,
    pub(crate) folder: Folder<'a>,
    pub(crate) path: &'a PkgPath,
}

/// The open folder of a [`Place`]: its own, or one that a cache keeps.
#[derive(Debug)]
pub(crate) enum Folder<'a> {
    Owned(OwnedFd),
    Borrowed(BorrowedFd<'a>),
}

impl AsFd for Folder<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Owned(fd) => fd.as_fd(),
            Self::Borrowed(fd) => *fd,
        }
    }
}

fn raw(mode: Mode) -> rustix::fs::Mode {
    rustix::fs::Mode::from_raw_mode(mode.bits())
}

impl Place<'_> {
    fn dir(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    fn name(&self) -> &[u8] {
        self.path.file_name()
    }

    /// The path with that of the tree before it, for messages.
    pub fn full_path(&self) -> PathBuf {
        self.base.join(self.path)
    }

    /// Another name in the same open folder, without a look-up; `None` when `path` is in another folder.
    pub fn sibling<'b>(&'b self, path: &'b PkgPath) -> Option<Place<'b>> {
        let same = self.path.parent() == path.parent();
        same.then(|| Place { base: self.base, folder: Folder::Borrowed(self.folder.as_fd()), path })
    }

    fn error(&self, operation: &'static str) -> impl Fn(Errno) -> Error + '_ {
        move |errno| Error::errno(operation, &self.full_path(), errno)
    }

    fn io_error(&self, operation: &'static str) -> impl Fn(std::io::Error) -> Error + '_ {
        move |error| Error::new(operation, self.full_path(), error)
    }

    pub(crate) fn open(&self, operation: &'static str, flags: OFlags, mode: Mode) -> Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.dir(), self.name(), flags, raw(mode)).map_err(self.error(operation))?;
        Ok(File::from(fd))
    }

    /// What has this name; `None` when nothing has.
    ///
    /// # Errors
    /// As `fstatat(2)`, except that an absent name is no error.
    pub fn stat(&self) -> Result<Option<Stat>> {
        match rustix::fs::statat(self.dir(), self.name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat.into())),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.error("look at")(errno)),
        }
    }

    /// What the kernel would refuse a change of this name for; `None` also where nothing has the name, or the kernel does
    /// not tell.
    ///
    /// # Errors
    /// As `statx(2)`.
    pub fn hold(&self) -> Result<Option<Hold>> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let attributes = match rustix::fs::statx(self.dir(), self.name(), flags, StatxFlags::empty()) {
            Ok(found) => found.stx_attributes,
            Err(Errno::NOENT | Errno::NOSYS) => return Ok(None),
            Err(errno) => return Err(self.error("look at")(errno)),
        };
        let has = |any: StatxAttributes| attributes.intersects(any);
        if has(StatxAttributes::MOUNT_ROOT) {
            return Ok(Some(Hold::MountPoint));
        }
        Ok(has(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND).then_some(Hold::Immutable))
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// As `openat(2)`; a symbolic link and anything else that is no regular file.
    pub fn open_file(&self) -> Result<File> {
        Ok(self.open_with_stat()?.0)
    }

    /// Opens a regular file for reading, and says what it is: one look-up for both.
    ///
    /// # Errors
    /// As [`Place::open_file`].
    pub fn open_with_stat(&self) -> Result<(File, Stat)> {
        // Without NONBLOCK a pipe put there by another would hold us forever.
        let file = self.open("open the file", OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::from_raw(0))?;
        let stat = fd::stat(&file).map_err(self.io_error("look at"))?;
        if stat.kind != FileKind::File {
            let errno = if stat.kind == FileKind::Dir { Errno::ISDIR } else { Errno::INVAL };
            return Err(self.error("read as a regular file")(errno).with_kind(ErrorKind::WrongType));
        }
        Ok((file, stat))
    }

    /// Opens a file for reading and writing, as it is.
    ///
    /// # Errors
    /// As `openat(2)`.
    pub fn open_for_writing(&self) -> Result<File> {
        self.open("open the file", OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::from_raw(0))
    }

    /// Keeps this much space behind the end of a regular file for later writes to it, as far as the file system can do
    /// that; nothing else of the file changes.
    ///
    /// # Errors
    /// As `openat(2)` and `fallocate(2)`, except that a file system without the latter is no error.
    pub fn reserve(&self, bytes: u64) -> Result<()> {
        let file = self.open_for_writing()?;
        let end = fd::stat(&file).map_err(self.io_error("look at"))?.size;
        match rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, end, bytes) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(errno) => Err(self.error("reserve space for")(errno)),
        }
    }

    /// Opens a folder for reading, for its extended attributes or for a sync.
    ///
    /// # Errors
    /// As `openat(2)`; anything that is no folder.
    pub fn open_dir(&self) -> Result<File> {
        self.open("open the folder", OFlags::RDONLY | OFlags::DIRECTORY, Mode::from_raw(0))
    }

    /// Makes a new file, open for reading and writing. The umask takes bits from `mode`; [`fd::set_mode`] does not ask
    /// it.
    ///
    /// # Errors
    /// As `openat(2)`; a name that is taken, be it by a dangling link.
    pub fn create_file(&self, mode: Mode) -> Result<File> {
        self.open("create the file", OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode)
    }

    /// Makes a folder. The umask takes bits from `mode`.
    ///
    /// # Errors
    /// As `mkdirat(2)`.
    pub fn create_dir(&self, mode: Mode) -> Result<()> {
        rustix::fs::mkdirat(self.dir(), self.name(), raw(mode)).map_err(self.error("create the folder"))
    }

    /// Makes a symbolic link. The target is text to the kernel and to us: it may point anywhere.
    ///
    /// # Errors
    /// As `symlinkat(2)`.
    pub fn symlink(&self, target: &[u8]) -> Result<()> {
        rustix::fs::symlinkat(target, self.dir(), self.name()).map_err(self.error("create the symbolic link"))
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// As `readlinkat(2)`.
    pub fn read_link(&self) -> Result<Vec<u8>> {
        let target = rustix::fs::readlinkat(self.dir(), self.name(), Vec::new());
        Ok(target.map_err(self.error("read the symbolic link"))?.into_bytes())
    }

    /// Gives the file at `existing` this name too.
    ///
    /// # Errors
    /// As `linkat(2)`.
    pub fn hard_link(&self, existing: &Place<'_>) -> Result<()> {
        rustix::fs::linkat(existing.dir(), existing.name(), self.dir(), self.name(), AtFlags::empty())
            .map_err(self.error("create the hard link"))
    }

    /// Makes a pipe, a socket's name or a device; `device` counts for the latter only.
    ///
    /// # Errors
    /// As `mknodat(2)`; `kind` is a file, folder or link.
    pub fn create_node(&self, kind: FileKind, mode: Mode, (major, minor): (u32, u32)) -> Result<()> {
        use rustix::fs::FileType;
        let kind = match kind {
            FileKind::Fifo => FileType::Fifo,
            FileKind::Socket => FileType::Socket,
            FileKind::Char => FileType::CharacterDevice,
            FileKind::Block => FileType::BlockDevice,
            FileKind::File | FileKind::Dir | FileKind::Symlink => {
                return Err(self.error("create the special file")(Errno::INVAL));
            }
        };
        rustix::fs::mknodat(self.dir(), self.name(), kind, raw(mode), rustix::fs::makedev(major, minor))
            .map_err(self.error("create the special file"))
    }

    /// Renames to another place.
    ///
    /// # Errors
    /// As `renameat2(2)`.
    pub fn rename(&self, to: &Place<'_>, how: Rename) -> Result<()> {
        let flags = match how {
            Rename::Replace => RenameFlags::empty(),
            Rename::NoReplace => RenameFlags::NOREPLACE,
            Rename::Exchange => RenameFlags::EXCHANGE,
        };
        rustix::fs::renameat_with(self.dir(), self.name(), to.dir(), to.name(), flags)
            .map_err(to.error("rename a staged name to"))
    }

    /// Takes away a name that is no folder's.
    ///
    /// # Errors
    /// As `unlinkat(2)`.
    pub fn remove_file(&self) -> Result<()> {
        rustix::fs::unlinkat(self.dir(), self.name(), AtFlags::empty()).map_err(self.error("remove"))
    }

    /// Takes away an empty folder.
    ///
    /// # Errors
    /// As `unlinkat(2)`.
    pub fn remove_dir(&self) -> Result<()> {
        rustix::fs::unlinkat(self.dir(), self.name(), AtFlags::REMOVEDIR).map_err(self.error("remove the folder"))
    }

    /// Takes away whatever has this name, a folder with all that is in it; no link is followed, and folders that the
    /// user closed to himself are opened. An absent name is no error.
    ///
    /// # Errors
    /// The first step that did not work; the rest of the tree may stand.
    pub fn remove_tree(&self) -> Result<()> {
        remove::remove_tree(self.dir(), self.name()).map_err(self.error("remove the tree"))
    }

    /// Sets the permission bits, of anything but a symbolic link.
    ///
    /// # Errors
    /// As `fchmodat2(2)`.
    pub fn set_mode(&self, mode: Mode) -> Result<()> {
        chmod(self.dir(), self.name(), mode).map_err(self.error("set the mode of"))
    }

    /// Sets owner and group, of a link itself when it is one. The kernel drops setid bits with it.
    ///
    /// # Errors
    /// As `fchownat(2)`.
    pub fn set_owner(&self, uid: u32, gid: u32) -> Result<()> {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chownat(self.dir(), self.name(), Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(self.error("set the owner of"))
    }

    /// Sets the time of the last change to the nanosecond, of a link itself when it is one.
    ///
    /// # Errors
    /// As `utimensat(2)`.
    pub fn set_mtime(&self, mtime: Timestamp) -> Result<()> {
        rustix::fs::utimensat(self.dir(), self.name(), &fd::only_mtime(mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(self.error("set the time of"))
    }
}

/// `chmod` that never follows a link, on kernels before `fchmodat2` through `/proc`.
pub(crate) fn chmod(dir: BorrowedFd<'_>, name: &[u8], mode: Mode) -> Result<(), Errno> {
    match sys::fchmodat2(dir, name, mode.bits()) {
        // Sandboxes that do not know the call answer EPERM for it.
        Err(first @ (Errno::NOSYS | Errno::PERM)) => {
            // Without `/proc` the first answer is the one that says something.
            chmod_through_proc(dir, name, mode).map_err(|errno| if errno == Errno::NOENT { first } else { errno })
        }
        answer => answer,
    }
}

fn chmod_through_proc(dir: BorrowedFd<'_>, name: &[u8], mode: Mode) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, rustix::fs::Mode::empty())?;
    if Stat::from(rustix::fs::fstat(&fd)?).kind == FileKind::Symlink {
        return Err(Errno::OPNOTSUPP);
    }
    rustix::fs::chmod(format!("/proc/self/fd/{}", fd.as_raw_fd()), raw(mode))
}
