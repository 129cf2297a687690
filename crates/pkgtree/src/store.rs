//! Packages as plain trees, each unpacked once.

use std::fs::File;
use std::io::Read;

use pkgformat::Reader;
use pkgfs::{Durability, ErrorKind, FileKind, Rename, Root, TempDir};
use pkgtypes::{Mode, PackageId, PkgPath};

use crate::{Error, Result, UnpackOptions, Unpacker};

/// A folder of unpacked packages, `<package id>/` each, to be mounted or copied from.
///
/// The trees are plain: folders 0755, files 0644 or 0755, no owners, attributes, special bits or special files, times
/// as the package says. A tree that is there is complete; two processes may add the same one at the same time. The store
/// keeps its folder closed to others, so no tree in it is a way for them to run what an administrator did not install.
#[derive(Debug)]
pub struct TreeStore {
    root: Root,
    durability: Durability,
}

impl TreeStore {
    /// Opens the store in this folder, and makes it first when it is missing, with mode 0700.
    ///
    /// # Errors
    /// As `mkdir(2)` and `open(2)`.
    pub fn open(path: impl Into<std::path::PathBuf>, durability: Durability) -> Result<Self> {
        Ok(Self { root: Root::create(path, Mode::from_raw(0o700))?, durability })
    }

    /// The tree of this package, when the store has it.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn tree(&self, id: &PackageId) -> Result<Option<Root>> {
        let path = name(id);
        match self.root.stat(&path)? {
            Some(found) if found.kind == FileKind::Dir => Ok(Some(self.root.sub(&path)?)),
            _ => Ok(None),
        }
    }

    /// The tree of the package that `reader` reads, unpacked unless the store has it.
    ///
    /// # Errors
    /// As [`Unpacker::create`].
    pub fn add<R: Read>(&self, reader: Reader<R>) -> Result<Root> {
        let id = reader.package().id();
        if let Some(tree) = self.tree(&id)? {
            return Ok(tree);
        }
        let options = UnpackOptions { durability: self.durability, normalise: true, ..UnpackOptions::default() };
        match Unpacker::new(reader, options).create(&self.root, &name(&id)) {
            Ok(unpacked) => Ok(unpacked.root),
            // Another process was faster, and its tree has the same content.
            Err(Error::Occupied(_)) => Ok(self.root.sub(&name(&id))?),
            Err(error) => Err(error),
        }
    }

    /// Takes a tree out of the store. It is gone under its name at once, and file by file after that.
    ///
    /// # Errors
    /// As `unlink(2)`.
    pub fn remove(&self, id: &PackageId) -> Result<()> {
        let bin = TempDir::new_in(&self.root, None)?;
        let tree = bin.path().join(b"tree").expect("the name is in the grammar");
        match self.root.rename(&name(id), &tree, Rename::NoReplace) {
            Err(error) if error.kind != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The packages of which the store has a tree, sorted.
    ///
    /// # Errors
    /// As `getdents(2)`.
    pub fn ids(&self) -> Result<Vec<PackageId>> {
        let names = self.root.read_dir(None)?;
        Ok(names.iter().filter_map(|name| std::str::from_utf8(name).ok()?.parse().ok()).collect())
    }

    /// One file of a package's tree.
    ///
    /// # Errors
    /// The store has no such tree, or the tree no such file.
    pub fn open_file(&self, id: &PackageId, path: &PkgPath) -> Result<File> {
        Ok(self.root.sub(&name(id))?.open_file(path)?)
    }
}

fn name(id: &PackageId) -> PkgPath {
    PkgPath::new(id.to_string().into_bytes()).expect("hex digits are a name")
}
