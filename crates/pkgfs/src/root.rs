use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use pkgtypes::{Mode, PkgPath, Timestamp};
use rustix::fs::{Access, AtFlags, CWD, OFlags, ResolveFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::place::Folder;
use crate::{Error, ErrorKind, FileKind, Place, Rename, Result, Space, Stat, TempFile, remove};

/// An open directory tree.
///
/// Every path is looked up from the tree's top with `openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
/// RESOLVE_NO_MAGICLINKS)`: no link in it is followed, and nothing outside can be reached, even while another process
/// moves things about. The path under which the tree was opened is only shown in messages; renaming the tree does not
/// disturb an open `Root`.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
    path: PathBuf,
}

/// `FS_CASEFOLD_FL`, of ext4, f2fs and tmpfs; new folders get it from those around them.
const CASEFOLD: u32 = 0x4000_0000;
/// The numbers of vfat and exFAT in `statfs(2)`.
const FOLDING: [u32; 2] = [0x4d44, 0x2011_bab0];

/// Whether a change has to survive a power cut when the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The change is atomic for other processes; the kernel writes it when it likes.
    Atomic,
    /// The change is on the disk, too.
    Synced,
}

impl Root {
    /// Opens the tree at `path`; links in this path itself are followed.
    ///
    /// # Errors
    /// As `open(2)`; a kernel without `openat2`.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(CWD, &path, flags, rustix::fs::Mode::empty())
            .map_err(|errno| Error::errno("open the tree", &path, errno))?;
        // Asked here once, so that an old kernel is the first message and not one in the middle of the work.
        open_beneath(dir.as_fd(), b".").map_err(|errno| beneath_error(&path, errno))?;
        Ok(Self { dir, path })
    }

    /// Opens the tree at `path`, and makes it first, with the folders above it, where it is missing. New folders get
    /// `mode`, less the umask.
    ///
    /// # Errors
    /// As `mkdir(2)` and [`Root::open`].
    pub fn create(path: impl Into<PathBuf>, mode: Mode) -> Result<Self> {
        let path = path.into();
        match DirBuilder::new().recursive(true).mode(mode.bits()).create(&path) {
            Ok(()) => Self::open(path),
            Err(error) => Err(Error::new("create the folder", path, error)),
        }
    }

    /// The path under which the tree was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn set_path(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// A second handle on the same tree.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn try_clone(&self) -> Result<Self> {
        let dir = self.dir.try_clone().map_err(|error| Error::new("open the tree", &self.path, error))?;
        Ok(Self { dir, path: self.path.clone() })
    }

    /// The tree below a folder of this one.
    ///
    /// # Errors
    /// No folder is there, or a link is in the way.
    pub fn sub(&self, path: &PkgPath) -> Result<Self> {
        Ok(Self { dir: self.resolve(path)?, path: self.path.join(path) })
    }

    fn resolve(&self, folder: &PkgPath) -> Result<OwnedFd> {
        open_beneath(self.dir.as_fd(), folder.as_bytes()).map_err(|errno| beneath_error(&self.path.join(folder), errno))
    }

    /// The place that `path` names: its folder, open, and the name in it.
    ///
    /// # Errors
    /// The folder does not exist, or a link is in the way.
    pub fn at<'a>(&'a self, path: &'a PkgPath) -> Result<Place<'a>> {
        let folder = match path.parent() {
            None => Folder::Borrowed(self.dir.as_fd()),
            Some(parent) => Folder::Owned(self.resolve(&parent)?),
        };
        Ok(Place { base: &self.path, folder, path })
    }

    pub(crate) fn full(&self, path: Option<&PkgPath>) -> PathBuf {
        path.map_or_else(|| self.path.clone(), |path| self.path.join(path))
    }

    /// The folder itself, open for reading; `None` is the tree's top.
    pub(crate) fn open_dir(&self, path: Option<&PkgPath>) -> Result<File> {
        match path {
            Some(path) => self.at(path)?.open_dir(),
            None => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(&self.dir, ".", flags, rustix::fs::Mode::empty())
                    .map_err(|errno| Error::errno("open the folder", &self.path, errno))?;
                Ok(File::from(fd))
            }
        }
    }

    /// The names in a folder (`None`: the tree's top), sorted.
    ///
    /// # Errors
    /// As `getdents(2)`.
    pub fn read_dir(&self, path: Option<&PkgPath>) -> Result<Vec<Box<[u8]>>> {
        let folder = self.open_dir(path)?;
        let mut names =
            remove::names(folder.as_fd()).map_err(|errno| Error::errno("read the folder", &self.full(path), errno))?;
        names.sort_unstable();
        Ok(names)
    }

    /// As [`Place::stat`]; also `None` when a folder above is missing.
    ///
    /// # Errors
    /// As `fstatat(2)`; a link or a file where a folder should be.
    pub fn stat(&self, path: &PkgPath) -> Result<Option<Stat>> {
        match self.at(path) {
            Ok(place) => place.stat(),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the tree's top itself is.
    ///
    /// # Errors
    /// As `fstat(2)`.
    pub fn stat_top(&self) -> Result<Stat> {
        let stat = rustix::fs::fstat(&self.dir).map_err(|errno| Error::errno("look at", &self.path, errno))?;
        Ok(stat.into())
    }

    /// As [`Place::open_file`].
    ///
    /// # Errors
    /// As there.
    pub fn open_file(&self, path: &PkgPath) -> Result<File> {
        self.at(path)?.open_file()
    }

    /// As [`Place::read_link`].
    ///
    /// # Errors
    /// As there.
    pub fn read_link(&self, path: &PkgPath) -> Result<Vec<u8>> {
        self.at(path)?.read_link()
    }

    /// As [`Place::create_file`].
    ///
    /// # Errors
    /// As there.
    pub fn create_file(&self, path: &PkgPath, mode: Mode) -> Result<File> {
        self.at(path)?.create_file(mode)
    }

    /// As [`Place::create_dir`].
    ///
    /// # Errors
    /// As there.
    pub fn create_dir(&self, path: &PkgPath, mode: Mode) -> Result<()> {
        self.at(path)?.create_dir(mode)
    }

    /// Makes a folder and those above it that are missing; says which ones it made, the topmost first.
    ///
    /// # Errors
    /// As `mkdirat(2)`; something that is no folder has one of the names.
    pub fn create_dirs(&self, path: &PkgPath, mode: Mode) -> Result<Vec<PkgPath>> {
        let mut folders: Vec<PkgPath> = path.ancestors().collect();
        folders.reverse();
        folders.push(path.clone());
        let mut made = Vec::new();
        for folder in folders {
            match self.create_dir(&folder, mode) {
                Ok(()) => made.push(folder),
                Err(error) if error.kind == ErrorKind::Exists => {}
                Err(error) => return Err(error),
            }
        }
        self.resolve(path)?;
        Ok(made)
    }

    /// As [`Place::symlink`].
    ///
    /// # Errors
    /// As there.
    pub fn symlink(&self, path: &PkgPath, target: &[u8]) -> Result<()> {
        self.at(path)?.symlink(target)
    }

    /// Gives the file at `existing` the name `path` too.
    ///
    /// # Errors
    /// As `linkat(2)`.
    pub fn hard_link(&self, existing: &PkgPath, path: &PkgPath) -> Result<()> {
        self.at(path)?.hard_link(&self.at(existing)?)
    }

    /// As [`Place::create_node`].
    ///
    /// # Errors
    /// As there.
    pub fn create_node(&self, path: &PkgPath, kind: FileKind, mode: Mode, device: (u32, u32)) -> Result<()> {
        self.at(path)?.create_node(kind, mode, device)
    }

    /// Renames inside the tree.
    ///
    /// # Errors
    /// As `renameat2(2)`.
    pub fn rename(&self, from: &PkgPath, to: &PkgPath, how: Rename) -> Result<()> {
        self.at(from)?.rename(&self.at(to)?, how)
    }

    /// As [`Place::remove_file`].
    ///
    /// # Errors
    /// As there.
    pub fn remove_file(&self, path: &PkgPath) -> Result<()> {
        self.at(path)?.remove_file()
    }

    /// As [`Place::remove_dir`].
    ///
    /// # Errors
    /// As there.
    pub fn remove_dir(&self, path: &PkgPath) -> Result<()> {
        self.at(path)?.remove_dir()
    }

    /// As [`Place::remove_tree`]; a missing folder above is no error either.
    ///
    /// # Errors
    /// As there.
    pub fn remove_tree(&self, path: &PkgPath) -> Result<()> {
        match self.at(path) {
            Ok(place) => place.remove_tree(),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// As [`Place::set_mode`].
    ///
    /// # Errors
    /// As there.
    pub fn set_mode(&self, path: &PkgPath, mode: Mode) -> Result<()> {
        self.at(path)?.set_mode(mode)
    }

    /// As [`Place::set_owner`].
    ///
    /// # Errors
    /// As there.
    pub fn set_owner(&self, path: &PkgPath, uid: u32, gid: u32) -> Result<()> {
        self.at(path)?.set_owner(uid, gid)
    }

    /// As [`Place::set_mtime`].
    ///
    /// # Errors
    /// As there.
    pub fn set_mtime(&self, path: &PkgPath, mtime: Timestamp) -> Result<()> {
        self.at(path)?.set_mtime(mtime)
    }

    /// Puts a file with this content at `path`, replacing what file is there in one step: readers see the old or the
    /// new, never a part.
    ///
    /// # Errors
    /// Any step that did not work; what was there before is untouched then.
    pub fn write_file(&self, path: &PkgPath, mode: Mode, content: &[u8], durability: Durability) -> Result<()> {
        let mut file = TempFile::new_for(self, path, mode)?;
        file.write_all(content).map_err(|error| Error::new("write the file", self.full(Some(path)), error))?;
        file.persist(durability)
    }

    /// Brings one folder's list of names to the disk (`None`: the tree's top).
    ///
    /// # Errors
    /// As `fsync(2)`.
    pub fn sync_dir(&self, path: Option<&PkgPath>) -> Result<()> {
        self.open_dir(path)?.sync_all().map_err(|error| Error::new("sync the folder", self.full(path), error))
    }

    /// Brings everything on the tree's file system to the disk: one wait, however many files changed.
    ///
    /// # Errors
    /// As `syncfs(2)`; a write that failed since the tree's file system was last synced.
    pub fn syncfs(&self) -> Result<()> {
        rustix::fs::syncfs(self.open_dir(None)?)
            .map_err(|errno| Error::errno("sync the file system of", &self.path, errno))
    }

    /// Whether this user may make and remove names in a folder (`None`: the tree's top), as far as that can be told
    /// without trying.
    ///
    /// # Errors
    /// Why not: [`ErrorKind::Denied`], also of a folder to which names can only be added; [`ErrorKind::ReadOnly`].
    pub fn may_change(&self, folder: Option<&PkgPath>) -> Result<()> {
        let access = Access::WRITE_OK | Access::EXEC_OK;
        let ask = |dir: BorrowedFd<'_>| {
            rustix::fs::accessat(dir, ".", access, AtFlags::EACCESS)?;
            match rustix::fs::statx(dir, "", AtFlags::EMPTY_PATH, StatxFlags::empty()) {
                Ok(found) if found.stx_attributes.contains(StatxAttributes::APPEND) => Err(Errno::PERM),
                _ => Ok(()),
            }
        };
        let answer = match folder {
            None => ask(self.dir.as_fd()),
            Some(path) => ask(self.resolve(path)?.as_fd()),
        };
        answer.map_err(|errno| Error::errno("change the folder", &self.full(folder), errno))
    }

    /// Whether the kernel knows a folder (`None`: the tree's top) for one in which names that differ in case are one. Of file
    /// systems of programs and servers it does not.
    ///
    /// # Errors
    /// As `fstatfs(2)`; the folder can not be read.
    pub fn folds_names(&self, folder: Option<&PkgPath>) -> Result<bool> {
        let dir = self.open_dir(folder)?;
        let flags = rustix::fs::ioctl_getflags(&dir).map_or(0, |flags| flags.bits());
        let kind = rustix::fs::fstatfs(&dir)
            .map_err(|errno| Error::errno("ask for the file system of", &self.full(folder), errno))?
            .f_type;
        Ok(flags & CASEFOLD != 0 || FOLDING.iter().any(|known| i128::from(kind) == i128::from(*known)))
    }

    /// What is left on the file system of a folder (`None`: the tree's top) for this user.
    ///
    /// # Errors
    /// As `fstatvfs(2)`.
    pub fn free_space(&self, path: Option<&PkgPath>) -> Result<Space> {
        let answer = match path {
            None => rustix::fs::fstatvfs(&self.dir),
            Some(path) => rustix::fs::fstatvfs(self.resolve(path)?),
        };
        answer.map(Space::from).map_err(|errno| Error::errno("ask for the free space of", &self.full(path), errno))
    }
}

/// For calls that take a descriptor, such as mounting the tree or entering it.
impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

/// Opens a folder below another, for look-ups only.
pub(crate) fn open_beneath(dir: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(dir, path, flags, rustix::fs::Mode::empty(), resolve)
}

pub(crate) fn beneath_error(path: &Path, errno: Errno) -> Error {
    let error = Error::errno("open the folder", path, errno);
    match errno {
        // Sandboxes that do not know the call answer EPERM for it.
        Errno::NOSYS | Errno::PERM => {
            let release = rustix::system::uname().release().to_string_lossy().into_owned();
            error.with_kind(ErrorKind::KernelTooOld { release })
        }
        _ => error,
    }
}
