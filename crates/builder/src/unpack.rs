//! Foreign archives onto disk, below one folder.

use std::fs::File;
use std::io::{self, Read};

use archive::{Entry, EntryKind};
use pkgfs::Root;
use pkgtypes::{Mode, PkgPath, Timestamp};

use crate::Error;

/// Puts the entries of archives into a folder, in any order they come.
pub(crate) struct Unpacker<'a> {
    root: &'a Root,
    /// The folder below `root` that everything goes into; `None` is `root` itself.
    folder: Option<PkgPath>,
    /// Times of folders, set when nothing is put into them any more.
    folders: Vec<(PkgPath, Mode, Timestamp)>,
    newest: Timestamp,
}

/// What goes wrong between an archive and the disk.
#[derive(Debug)]
pub(crate) enum UnpackError {
    Archive(archive::ArchiveError),
    Disk(pkgfs::Error),
    Refused(String),
}

impl From<archive::ArchiveError> for UnpackError {
    fn from(error: archive::ArchiveError) -> Self {
        Self::Archive(error)
    }
}

impl From<pkgfs::Error> for UnpackError {
    fn from(error: pkgfs::Error) -> Self {
        Self::Disk(error)
    }
}

impl<'a> Unpacker<'a> {
    pub(crate) fn new(root: &'a Root, folder: Option<PkgPath>) -> Self {
        Self { root, folder, folders: Vec::new(), newest: Timestamp::EPOCH }
    }

    /// Puts one entry there.
    pub(crate) fn put(&mut self, entry: &Entry, data: &mut dyn Read) -> Result<(), UnpackError> {
        let path = self.place(&entry.path)?;
        self.make_parents(&path)?;
        self.newest = self.newest.max(entry.mtime);
        match &entry.kind {
            EntryKind::Dir => {
                self.make_folder(&path)?;
                // A build writes into the folders of its source.
                let mode = Mode::from_raw(entry.mode.bits() | 0o700);
                self.folders.push((path, mode, entry.mtime));
            }
            EntryKind::File { .. } => {
                self.replace(&path)?;
                let mut file = self.root.create_file(&path, Mode::from_raw(0o600))?;
                copy(data, &mut file)
                    .map_err(|error| pkgfs::Error::new("write", self.root.path().join(path.as_path()), error))?;
                self.root.set_mode(&path, Mode::from_raw(entry.mode.bits() | 0o600))?;
                self.root.set_mtime(&path, entry.mtime)?;
            }
            EntryKind::Symlink { target } => {
                self.replace(&path)?;
                self.root.symlink(&path, target)?;
                self.root.set_mtime(&path, entry.mtime)?;
            }
            EntryKind::Hardlink { target } => {
                self.replace(&path)?;
                self.root.hard_link(&self.place(target)?, &path)?;
            }
            EntryKind::Char { .. } | EntryKind::Block { .. } | EntryKind::Fifo => {
                return Err(UnpackError::Refused(format!(
                    "`{}` is a device or a pipe, which no source needs",
                    entry.path
                )));
            }
        }
        Ok(())
    }

    /// Adds a symbolic link that no archive brought.
    pub(crate) fn link(&mut self, path: &PkgPath, target: &str) -> Result<(), UnpackError> {
        let path = self.place(path)?;
        self.make_parents(&path)?;
        Ok(self.root.symlink(&path, target.as_bytes())?)
    }

    /// Sets what had to wait, and says when the newest entry was changed.
    pub(crate) fn finish(self) -> Result<Timestamp, UnpackError> {
        for (path, mode, mtime) in self.folders.iter().rev() {
            self.root.set_mode(path, *mode)?;
            self.root.set_mtime(path, *mtime)?;
        }
        Ok(self.newest)
    }

    fn place(&self, path: &PkgPath) -> Result<PkgPath, UnpackError> {
        let Some(folder) = &self.folder else { return Ok(path.clone()) };
        let joined = [folder.as_bytes(), b"/", path.as_bytes()].concat();
        PkgPath::new(joined).map_err(|error| UnpackError::Refused(error.to_string()))
    }

    fn make_parents(&self, path: &PkgPath) -> Result<(), UnpackError> {
        if let Some(parent) = path.parent() {
            self.make_folder(&parent)?;
        }
        Ok(())
    }

    fn make_folder(&self, path: &PkgPath) -> Result<(), UnpackError> {
        self.root.create_dirs(path, Mode::from_raw(0o755))?;
        Ok(())
    }

    /// An archive may hold a path twice; the later entry counts, as with tar.
    fn replace(&self, path: &PkgPath) -> Result<(), UnpackError> {
        if self.root.stat(path)?.is_some() {
            self.root.remove_tree(path)?;
        }
        Ok(())
    }
}

fn copy(mut data: &mut dyn Read, file: &mut File) -> io::Result<()> {
    io::copy(&mut data, file).map(drop)
}

impl UnpackError {
    /// The same with the recipe and source it happened in.
    pub(crate) fn of(self, recipe: &recipe::RecipeId, source_name: &PkgPath) -> Error {
        let (recipe, source_name) = (Box::new(recipe.clone()), source_name.to_string());
        match self {
            Self::Archive(error) => Error::Unpack { recipe, source_name, error },
            Self::Disk(error) => Error::Tree(error),
            Self::Refused(what) => Error::Result { recipe, what: format!("source `{source_name}`: {what}") },
        }
    }
}
