use std::os::fd::AsFd;
use std::vec;

use pkgtypes::PkgPath;

use crate::{Batch, Error, FileKind, Result, Root, Stat, remove};

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
    batch: Batch<'r>,
    levels: Vec<Level>,
    /// The folder that came last and was not entered yet.
    pending: Option<PkgPath>,
}

#[derive(Debug)]
struct Level {
    folder: Option<PkgPath>,
    names: vec::IntoIter<Box<[u8]>>,
}

impl<'r> Walk<'r> {
    /// A walk over the whole tree; its top is not an entry.
    ///
    /// # Errors
    /// The top can not be read.
    pub fn new(root: &'r Root) -> Result<Self> {
        let names = root.read_dir(None)?.into_iter();
        Ok(Self { batch: Batch::new(root), levels: vec![Level { folder: None, names }], pending: None })
    }

    /// A walk over what is in one folder; the folder is not an entry.
    ///
    /// # Errors
    /// The folder can not be read.
    pub fn below(root: &'r Root, folder: &PkgPath) -> Result<Self> {
        let names = root.read_dir(Some(folder))?.into_iter();
        let level = Level { folder: Some(folder.clone()), names };
        Ok(Self { batch: Batch::new(root), levels: vec![level], pending: None })
    }

    /// Leaves out what is in the folder that came last.
    pub fn skip_folder(&mut self) {
        self.pending = None;
    }

    fn enter(&mut self, folder: PkgPath) -> Result<()> {
        let dir = self.batch.at(&folder)?.open_dir()?;
        let mut names = remove::names(dir.as_fd())
            .map_err(|errno| Error::errno("read the folder", &self.batch.root().path().join(&folder), errno))?;
        names.sort_unstable();
        self.levels.push(Level { folder: Some(folder), names: names.into_iter() });
        Ok(())
    }

    fn look(&mut self, path: PkgPath) -> Result<Option<WalkEntry>> {
        // A name that is gone since the folder was read is as if it had never been.
        let Some(stat) = self.batch.at(&path)?.stat()? else { return Ok(None) };
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
                    let path = self.batch.root().path().to_path_buf();
                    Err(Error::new("name what is in", path, std::io::Error::other(error)))
                }
            };
            if let Some(item) = found.transpose() {
                return Some(item);
            }
        }
    }
}
