//! The permission gate: what is trusted is read only through folders that nobody else can change.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::error::shown;
use crate::{Error, Result};

const GROUP_WRITE: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Who reads the trust directory. Files and folders must belong to this user or to root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id; private to the user when it is the same number.
    pub gid: u32,
}

impl Caller {
    /// The user of this process.
    pub fn current() -> Self {
        Self { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
    }

    fn is_owner(self, stat: &Stat) -> bool {
        stat.st_uid == 0 || stat.st_uid == self.uid
    }

    fn has_private_group(self, stat: &Stat) -> bool {
        stat.st_gid == self.gid && self.gid == self.uid
    }
}

/// A folder that passed the gate, open.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    caller: Caller,
}

/// What stands under a name in a folder.
#[derive(Debug)]
pub(crate) enum Content {
    Missing,
    /// An empty file or a link to /dev/null: the name is taken, and nothing stands under it.
    Masked,
    Bytes(Vec<u8>),
}

/// What stands under a name on the way to a trust directory.
#[derive(Debug)]
pub(crate) enum Stands {
    Nothing,
    Folder(Folder),
    /// A symbolic link of root's or the caller's, and what is in it.
    Link(OsString),
}

impl Folder {
    /// Opens the root directory of a system: loosely checked above, strictly from there on.
    pub(crate) fn open_root(root: &Path, caller: Caller) -> Result<Self> {
        let path = root.canonicalize().map_err(|source| io_error(root, source))?;
        let mut folder = Self { fd: open_dir(&path, Path::new("/"), None)?, path: PathBuf::from("/"), caller };
        for component in path.components() {
            let Component::Normal(name) = component else { continue };
            folder.check_above()?;
            let path = folder.path.join(name);
            folder = Self { fd: open_dir(&path, Path::new(name), Some(&folder.fd))?, path, caller };
        }
        folder.check_strict()?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a folder in this one; `None` when nothing has that name.
    pub(crate) fn child(&self, name: impl AsRef<OsStr>) -> Result<Option<Self>> {
        let name = name.as_ref();
        let path = self.path.join(name);
        let fd = match open_dir(&path, Path::new(name), Some(&self.fd)) {
            Ok(fd) => fd,
            Err(Error::TrustdirIo { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let folder = Self { fd, path, caller: self.caller };
        folder.check_strict()?;
        Ok(Some(folder))
    }

    /// Looks a name up on the way to a trust directory.
    pub(crate) fn look_up(&self, name: &OsStr) -> Result<Stands> {
        match rustix::fs::readlinkat(&self.fd, name, Vec::new()) {
            Err(Errno::NOENT) => Ok(Stands::Nothing),
            Ok(target) => {
                let path = self.path.join(name);
                let stat = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|errno| io_error(&path, errno.into()))?;
                check_owner(&stat, &path, self.caller)?;
                Ok(Stands::Link(OsString::from_vec(target.into_bytes())))
            }
            // What is no link.
            Err(_) => Ok(self.child(name)?.map_or(Stands::Nothing, Stands::Folder)),
        }
    }

    /// The names in this folder, sorted, without files that are being put in place right now.
    pub(crate) fn names(&self, limit: usize) -> Result<Vec<String>> {
        let failed = |errno: Errno| io_error(&self.path, errno.into());
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." || name.starts_with(b".kista.") {
                continue;
            }
            if names.len() == limit {
                let what = self.path.display().to_string();
                return Err(Error::TooLarge { what, limit: limit as u64, unit: "files" });
            }
            names.push(plain_name(&self.path, name)?);
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Reads a file in this folder, at most `limit` bytes.
    pub(crate) fn read(&self, name: &str, limit: usize) -> Result<Content> {
        let path = self.path.join(name);
        // Not blocking: a pipe under that name must not hold us up before it is found not to be a file.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(Content::Missing),
            Err(Errno::LOOP) if self.is_mask(name) => return Ok(Content::Masked),
            Err(Errno::LOOP) => return Err(refused(&path, "it is a symbolic link", "put the file itself there")),
            Err(errno) => return Err(io_error(&path, errno.into())),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|errno| io_error(&path, errno.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(refused(&path, "it is not a file", "remove it"));
        }
        check_strict(&stat, &path, self.caller)?;
        let mut bytes = Vec::new();
        File::from(fd).take(limit as u64 + 1).read_to_end(&mut bytes).map_err(|source| io_error(&path, source))?;
        if bytes.len() > limit {
            return Err(Error::TooLarge { what: path.display().to_string(), limit: limit as u64, unit: "bytes" });
        }
        Ok(if bytes.is_empty() { Content::Masked } else { Content::Bytes(bytes) })
    }

    fn is_mask(&self, name: &str) -> bool {
        rustix::fs::readlinkat(&self.fd, name, Vec::new()).is_ok_and(|target| target.as_bytes() == b"/dev/null")
    }

    fn stat(&self) -> Result<Stat> {
        rustix::fs::fstat(&self.fd).map_err(|errno| io_error(&self.path, errno.into()))
    }

    fn check_strict(&self) -> Result<()> {
        check_strict(&self.stat()?, &self.path, self.caller)
    }

    /// Above the root it is enough that nobody else can put another folder in the place of the next one.
    fn check_above(&self) -> Result<()> {
        let stat = self.stat()?;
        check_owner(&stat, &self.path, self.caller)?;
        if stat.st_mode & STICKY != 0 {
            return Ok(());
        }
        if stat.st_mode & OTHERS_WRITE != 0 {
            return Err(refused_run(&self.path, "everybody can write to it", "chmod o-w"));
        }
        if stat.st_mode & GROUP_WRITE != 0 && !self.caller.has_private_group(&stat) {
            return Err(refused_run(&self.path, &format!("group {} can write to it", stat.st_gid), "chmod g-w"));
        }
        Ok(())
    }
}

fn open_dir(path: &Path, name: &Path, parent: Option<&OwnedFd>) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |flags| match parent {
        Some(parent) => rustix::fs::openat(parent, name, flags, Mode::empty()),
        None => rustix::fs::openat(CWD, name, flags, Mode::empty()),
    };
    // A folder on the way to the root need not be readable, only passable.
    let opened = match open(flags) {
        Err(Errno::ACCESS) => open(flags.difference(OFlags::RDONLY) | OFlags::PATH),
        opened => opened,
    };
    opened.map_err(|errno| match errno {
        Errno::LOOP | Errno::NOTDIR => refused(path, "it is a symbolic link or no folder", "put a folder there"),
        errno => io_error(path, errno.into()),
    })
}

/// Nobody but root and the caller can change it. Where there is an ACL, the group bits are its mask, so that an entry
/// that grants writing shows in them, too.
fn check_strict(stat: &Stat, path: &Path, caller: Caller) -> Result<()> {
    check_owner(stat, path, caller)?;
    if stat.st_mode & (GROUP_WRITE | OTHERS_WRITE) != 0 {
        let reason = format!("its mode {:04o} lets others write to it", stat.st_mode & 0o7777);
        return Err(refused_run(path, &reason, "chmod go-w"));
    }
    Ok(())
}

fn check_owner(stat: &Stat, path: &Path, caller: Caller) -> Result<()> {
    if caller.is_owner(stat) {
        return Ok(());
    }
    let reason = format!("it belongs to user {}, neither to root nor to user {}", stat.st_uid, caller.uid);
    Err(refused(path, &reason, "give it to one of them with `chown`"))
}

/// File names that can be shown and have one spelling.
fn plain_name(folder: &Path, name: &[u8]) -> Result<String> {
    let fits = name.len() <= 128
        && name.first().is_some_and(u8::is_ascii_alphanumeric)
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"@._+-".contains(byte));
    match std::str::from_utf8(name) {
        Ok(name) if fits => Ok(name.to_owned()),
        _ => Err(Error::Name {
            path: folder.to_owned(),
            name: shown(name),
            reason: "only letters, digits and `@._+-` may stand in the names here; rename or remove it",
        }),
    }
}

pub(crate) fn refused(path: &Path, reason: &str, cure: &str) -> Error {
    Error::TrustdirPerm { path: path.to_owned(), reason: reason.to_owned(), cure: cure.to_owned() }
}

fn refused_run(path: &Path, reason: &str, command: &str) -> Error {
    refused(path, reason, &format!("run `{command} {}`", path.display()))
}

fn io_error(path: &Path, source: io::Error) -> Error {
    Error::TrustdirIo { path: path.to_owned(), source }
}
