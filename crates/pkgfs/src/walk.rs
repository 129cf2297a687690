use std::fs::File;
use std::os::fd::AsFd;
use std::vec;

use pkgtypes::PkgPath;

use crate::place::Folder;
use crate::{Error, FileKind, Place, Result, Root, Stat, remove};

/// A name that a walk came by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkEntry {
    /// Its path in the tree.
    pub path: PkgPath,
    /// What it is.
    pub stat: Stat,
}

/// Everything in a tree, each folder before what is in it, in the order of [`PkgPath`], whatever order the file system
/// has. No link is followed.
///
/// A folder that can not be read is an `Err` of its own; the walk goes on after it.
///
/// # Limitations
/// The names of the folders on the way are held in memory, all of each.
#[derive(Debug)]
pub struct Walk<'r> {
    root: &'r Root,
    levels: Vec<Level>,
    /// The folder that came last and was not entered yet.
    pending: Option<PkgPath>,
}

/// Folders that are kept open. What lies deeper is looked up from the top.
const MAX_OPEN: usize = 48;

#[derive(Debug)]
struct Level {
    folder: Option<PkgPath>,
    dir: Option<File>,
    names: vec::IntoIter<Box<[u8]>>,
}

impl<'r> Walk<'r> {
    /// A walk over the whole tree; its top is not an entry.
    ///
    /// # Errors
    /// The top can not be read.
    pub fn new(root: &'r Root) -> Result<Self> {
        Self::start(root, None)
    }

    /// A walk over what is in one folder; the folder is not an entry.
    ///
    /// # Errors
    /// The folder can not be read.
    pub fn below(root: &'r Root, folder: &PkgPath) -> Result<Self> {
        Self::start(root, Some(folder.clone()))
    }

    fn start(root: &'r Root, folder: Option<PkgPath>) -> Result<Self> {
        let dir = root.open_dir(folder.as_ref())?;
        let mut walk = Self { root, levels: Vec::new(), pending: None };
        walk.push(folder, dir)?;
        Ok(walk)
    }

    /// Leaves out what is in the folder that came last.
    pub fn skip_folder(&mut self) {
        self.pending = None;
    }

    fn push(&mut self, folder: Option<PkgPath>, dir: File) -> Result<()> {
        let mut names = remove::names(dir.as_fd())
            .map_err(|errno| Error::errno("read the folder", &self.root.full(folder.as_ref()), errno))?;
        names.sort_unstable();
        let dir = Some(dir).filter(|_| self.levels.len() < MAX_OPEN);
        self.levels.push(Level { folder, dir, names: names.into_iter() });
        Ok(())
    }

    /// The place of a path in the innermost folder.
    fn place<'a>(&'a self, path: &'a PkgPath) -> Result<Place<'a>> {
        match self.levels.last().and_then(|level| level.dir.as_ref()) {
            Some(dir) => Ok(Place { base: self.root.path(), folder: Folder::Borrowed(dir.as_fd()), path }),
            None => self.root.at(path),
        }
    }

    fn enter(&mut self, folder: PkgPath) -> Result<()> {
        let dir = self.place(&folder)?.open_dir()?;
        self.push(Some(folder), dir)
    }

    fn look(&mut self, path: PkgPath) -> Result<Option<WalkEntry>> {
        // A name that is gone since the folder was read is as if it had never been.
        let Some(stat) = self.place(&path)?.stat()? else { return Ok(None) };
        if stat.kind == FileKind::Dir {
            self.pending = Some(path.clone());
        }
        Ok(Some(WalkEntry { path, stat }))
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<WalkEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(folder) = self.pending.take()
            && let Err(error) = self.enter(folder)
        {
            return Some(Err(error));
        }
        loop {
            let level = self.levels.last_mut()?;
            let Some(name) = level.names.next() else {
                self.levels.pop();
                continue;
            };
            let joined = match &level.folder {
                Some(folder) => folder.join(&name),
                None => PkgPath::new(name),
            };
            let found = match joined {
                Ok(path) => self.look(path),
                Err(error) => {
                    let path = self.root.path().to_path_buf();
                    Err(Error::new("name what is in", path, std::io::Error::other(error)))
                }
            };
            if let Some(item) = found.transpose() {
                return Some(item);
            }
        }
    }
}
