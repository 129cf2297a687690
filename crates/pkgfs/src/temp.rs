use std::fs::File;
use std::io::{self, Write};

use pkgtypes::{Mode, PkgPath};
use rustix::io::Errno;
use rustix::rand::GetRandomFlags;

use crate::{Durability, Error, ErrorKind, Rename, Result, Root, fd};

/// A name that nobody else has: `.kista.` and 16 hex digits.
pub(crate) fn random_name() -> Result<Vec<u8>, Errno> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes[..], GetRandomFlags::empty())?;
    Ok(format!(".kista.{:016x}", u64::from_ne_bytes(bytes)).into_bytes())
}

fn random_path(root: &Root, folder: Option<&PkgPath>) -> Result<PkgPath> {
    let name = random_name().map_err(|errno| Error::errno("name a temporary in", root.path(), errno))?;
    match folder {
        Some(folder) => folder.join(&name),
        None => PkgPath::new(name),
    }
    .map_err(|error| Error::new("name a temporary in", root.path(), io::Error::other(error)))
}

/// Tries names until one is free.
fn with_random_path<T>(
    root: &Root,
    folder: Option<&PkgPath>,
    mut make: impl FnMut(&PkgPath) -> Result<T>,
) -> Result<(PkgPath, T)> {
    loop {
        let path = random_path(root, folder)?;
        match make(&path) {
            Ok(made) => return Ok((path, made)),
            Err(error) if error.kind == ErrorKind::Exists => {}
            Err(error) => return Err(error),
        }
    }
}

/// A folder under a name of its own, for a tree that is not complete yet. Dropped, it is removed with all that is in
/// it.
#[derive(Debug)]
#[must_use = "the folder is removed when this is dropped"]
pub struct TempDir {
    parent: Root,
    path: PkgPath,
    root: Option<Root>,
}

impl TempDir {
    /// Makes the folder with mode 0700 in `folder` (`None`: the tree's top), where it can be renamed into place.
    ///
    /// # Errors
    /// As `mkdirat(2)`.
    pub fn new_in(parent: &Root, folder: Option<&PkgPath>) -> Result<Self> {
        let parent = parent.try_clone()?;
        let (path, ()) = with_random_path(&parent, folder, |path| parent.create_dir(path, Mode::from_raw(0o700)))?;
        let mut temp = Self { parent, path, root: None };
        temp.root = Some(temp.parent.sub(&temp.path)?);
        Ok(temp)
    }

    /// The tree in the folder.
    pub fn root(&self) -> &Root {
        self.root.as_ref().expect("the tree is open until the folder is kept or dropped")
    }

    /// The folder's path in the tree around it.
    pub fn path(&self) -> &PkgPath {
        &self.path
    }

    /// Renames the folder to the name where it stays, and hands out its tree.
    ///
    /// # Errors
    /// As `renameat2(2)`; the folder is removed then.
    pub fn persist(mut self, to: &PkgPath, how: Rename) -> Result<Root> {
        self.parent.rename(&self.path, to, how)?;
        let mut root = self.root.take().expect("the tree is open until the folder is kept or dropped");
        root.set_path(self.parent.path().join(to));
        Ok(root)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if self.root.take().is_some() {
            // Nobody is there to hear of a failure, and the name says what it is.
            let _ = self.parent.remove_tree(&self.path);
        }
    }
}

/// A file under a name of its own, for a content that is not complete yet. Dropped, it is removed.
#[derive(Debug)]
#[must_use = "the file is removed when this is dropped"]
pub struct TempFile {
    root: Root,
    path: PkgPath,
    target: PkgPath,
    mode: Mode,
    file: Option<File>,
}

impl TempFile {
    /// Makes the file beside `target`; it gets exactly this mode when it is kept, and is private until then.
    ///
    /// # Errors
    /// As `openat(2)`.
    pub fn new_for(root: &Root, target: &PkgPath, mode: Mode) -> Result<Self> {
        let root = root.try_clone()?;
        let private = Mode::from_raw(0o600);
        let (path, file) = with_random_path(&root, target.parent().as_ref(), |path| root.create_file(path, private))?;
        Ok(Self { root, path, target: target.clone(), mode, file: Some(file) })
    }

    /// The file, open for reading and writing.
    pub fn file(&self) -> &File {
        self.file.as_ref().expect("the file is open until it is kept or dropped")
    }

    /// Puts the file in the target's place, in one step.
    ///
    /// # Errors
    /// As `fchmod(2)`, `fsync(2)` and `renameat(2)`; the target is as it was and the file removed, unless only the last sync failed.
    pub fn persist(mut self, durability: Durability) -> Result<()> {
        let full = || self.root.path().join(&self.target);
        // Not earlier: the kernel takes setid bits from a file that an ordinary user writes to.
        fd::set_mode(self.file(), self.mode).map_err(|error| Error::new("set the mode of", full(), error))?;
        if durability == Durability::Synced {
            self.file().sync_all().map_err(|error| Error::new("sync the file", full(), error))?;
        }
        self.root.rename(&self.path, &self.target, Rename::Replace)?;
        self.file = None;
        match durability {
            Durability::Atomic => Ok(()),
            Durability::Synced => self.root.sync_dir(self.target.parent().as_ref()),
        }
    }
}

impl Write for TempFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Nobody is there to hear of a failure, and the name says what it is.
            let _ = self.root.remove_file(&self.path);
        }
    }
}
