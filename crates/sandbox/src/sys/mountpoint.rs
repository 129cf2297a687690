//! Mount points that a writable root lacks and a room needs.

use std::ffi::OsString;
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::sweeper::{Leftover, Sweeper};
use crate::Error;
use crate::plan::c_string;

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
/// process of their own when the caller is killed.
#[derive(Debug, Default)]
pub(crate) struct MadePoints {
    made: Vec<(OwnedFd, Missing)>,
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
        let (base, is_folder) = (Arc::clone(&self.base), self.stand != Stand::File);
        Ok(Leftover { base, way: c_string(&self.way)?, name: c_string(&self.name)?, is_folder })
    }
}

impl MadePoints {
    /// Makes, inside `root`, what is missing of `wanted` and their parents; `explain` is given what could not be made.
    pub(crate) fn make(
        root: &OwnedFd,
        wanted: &[(PathBuf, Stand)],
        explain: impl Fn(&Path, Errno) -> Error,
    ) -> Result<Self, Error> {
        let missing = Missing::find(root, wanted).map_err(|errno| explain(Path::new("/"), errno))?;
        if missing.is_empty() {
            return Ok(Self::default());
        }
        let leftovers = missing.iter().rev().map(Missing::leftover).collect::<Result<Vec<_>, _>>()?;
        // Before there is anything, so that there is no moment to be killed at.
        let mut points = Self { made: Vec::new(), sweeper: Some(Sweeper::start(&leftovers)?) };
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

impl Drop for MadePoints {
    fn drop(&mut self) {
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
