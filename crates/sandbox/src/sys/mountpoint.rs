//! Mount points that a writable root lacks and a room needs.

use std::ffi::{CString, OsString};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::sweeper::{Kind, Leftover, Sweeper};
use crate::Error;
use crate::plan::c_string;

/// Whether `path` exists inside `root`, no link leading out of it.
pub(crate) fn exists_in(root: &OwnedFd, path: &Path) -> bool {
    open_in(root, path).is_ok()
}

/// Where on the host `path` inside `root` leads.
pub(crate) fn inside(root: &OwnedFd, path: &Path) -> Option<PathBuf> {
    let found = open_in(root, path).ok()?;
    std::fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd())).ok()
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

/// What a mount needs to stand on, where it is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    /// A directory with this mode.
    Directory(u32),
    /// An empty file.
    File,
}

impl Stand {
    const PARENT: Self = Self::Directory(0o755);
}

/// Mount points made in a root for the time of a room; removed again, where nothing was put into them, when dropped, and by a
/// process of their own when the caller is killed. Not while another room has that root: a folder that is removed takes what
/// others have mounted on it along.
#[derive(Debug, Default)]
pub(crate) struct MadePoints {
    made: Vec<(OwnedFd, Missing)>,
    /// The root, locked by each room that has it.
    root: Option<Arc<OwnedFd>>,
    sweeper: Option<Sweeper>,
}

/// Something to be made in a root.
#[derive(Debug)]
struct Missing {
    whole: PathBuf,
    /// The last folder on the way that is there..
    base: Arc<OwnedFd>,
    /// ..and those between it and this.
    way: PathBuf,
    name: OsString,
    stand: Stand,
}

impl Missing {
    /// What is missing for `wanted` inside `root`, parents first.
    fn find(root: &OwnedFd, wanted: &[(PathBuf, Stand)]) -> Result<Vec<Self>, Errno> {
        let top = Arc::new(open_in(root, Path::new("/"))?);
        let mut all: Vec<Self> = Vec::new();
        for (path, stand) in wanted {
            let (mut base, mut way, mut whole) = (Arc::clone(&top), PathBuf::from("."), PathBuf::from("/"));
            for name in path.components() {
                let Component::Normal(name) = name else { continue };
                whole.push(name);
                if let Some(known) = all.iter().find(|known| known.whole == whole) {
                    (base, way) = (Arc::clone(&known.base), known.way.join(name));
                    continue;
                }
                match open_in(root, &whole) {
                    Ok(there) => (base, way) = (Arc::new(there), PathBuf::from(".")),
                    Err(Errno::NOENT) => {
                        let stand = if whole == *path { *stand } else { Stand::PARENT };
                        let (whole, base, name) = (whole.clone(), Arc::clone(&base), name.to_owned());
                        way.push(&name);
                        let between = way.parent().map_or_else(PathBuf::new, Path::to_owned);
                        all.push(Self { whole, base, way: between, name, stand });
                    }
                    Err(errno) => return Err(errno),
                }
            }
        }
        Ok(all)
    }

    /// Makes it, and returns the folder that it is in.
    fn make(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let parent = rustix::fs::openat2(&*self.base, &self.way, flags, Mode::empty(), resolve)?;
        match self.stand {
            Stand::Directory(mode) => rustix::fs::mkdirat(&parent, &self.name, Mode::from_raw_mode(mode))?,
            Stand::File => {
                let (kind, mode) = (rustix::fs::FileType::RegularFile, Mode::from_raw_mode(0o644));
                rustix::fs::mknodat(&parent, &self.name, kind, mode, 0)?;
            }
        }
        Ok(parent)
    }

    fn leftover(&self) -> Result<Leftover, Error> {
        let kind = if self.stand == Stand::File { Kind::File } else { Kind::Folder };
        Ok(Leftover { base: Arc::clone(&self.base), way: c_string(&self.way)?, name: c_string(&self.name)?, kind })
    }
}

impl MadePoints {
    /// Makes, inside `root`, what is missing of `wanted` and their parents; `locked` is that root as [`share`] has it, and
    /// `explain` is given what could not be made.
    pub(crate) fn make(
        root: &OwnedFd,
        locked: Option<Arc<OwnedFd>>,
        wanted: &[(PathBuf, Stand)],
        explain: impl Fn(&Path, Errno) -> Error,
    ) -> Result<Self, Error> {
        let missing = Missing::find(root, wanted).map_err(|errno| explain(Path::new("/"), errno))?;
        if missing.is_empty() {
            return Ok(Self::default());
        }
        let lock = |base: &Arc<OwnedFd>| Leftover {
            base: Arc::clone(base),
            way: CString::default(),
            name: CString::default(),
            kind: Kind::Lock,
        };
        let things = missing.iter().rev().map(Missing::leftover);
        let leftovers = locked.iter().map(lock).map(Ok).chain(things).collect::<Result<Vec<_>, _>>()?;
        // Before there is anything, so that there is no moment to be killed at.
        let mut points = Self { made: Vec::new(), root: locked, sweeper: Some(Sweeper::start(&leftovers)?) };
        for missing in missing {
            let parent = missing.make().map_err(|errno| explain(&missing.whole, errno))?;
            points.made.push((parent, missing));
        }
        Ok(points)
    }

    /// What the room must hold, so that they are not removed from under it.
    pub(crate) fn held(&self) -> Option<RawFd> {
        self.sweeper.as_ref().map(Sweeper::held)
    }
}

/// Locks a root for a room, beside others that have it. `None` where it cannot be opened, or somebody else locks it for long.
pub(crate) fn share(root: &Path) -> Option<OwnedFd> {
    const PAUSE: Duration = Duration::from_millis(1);
    let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(root, folder, Mode::empty()).ok()?;
    // The numbers below are the init's, which holds a copy.
    let folder = rustix::io::fcntl_dupfd_cloexec(&folder, 10).ok()?;
    for _ in 0..100 {
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockShared) {
            // The last room is just removing its mount points.
            Err(Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
            other => return other.ok().map(|()| folder),
        }
    }
    None
}

impl Drop for MadePoints {
    fn drop(&mut self) {
        let is_shared =
            |root: &Arc<OwnedFd>| rustix::fs::flock(root, FlockOperation::NonBlockingLockExclusive).is_err();
        if self.root.as_ref().is_some_and(is_shared) {
            return;
        }
        for (parent, missing) in self.made.iter().rev() {
            let is_empty = || {
                let found = rustix::fs::statat(parent, &missing.name, AtFlags::SYMLINK_NOFOLLOW);
                found.is_ok_and(|found| found.st_size == 0)
            };
            let flags = match missing.stand {
                Stand::Directory(_) => AtFlags::REMOVEDIR,
                Stand::File if is_empty() => AtFlags::empty(),
                Stand::File => continue,
            };
            let _ = rustix::fs::unlinkat(parent, &missing.name, flags);
        }
    }
}
