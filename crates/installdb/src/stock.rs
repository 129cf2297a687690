//! What is left of a package that was installed before.

use std::collections::HashMap;
use std::fs::File;

use pkgfs::Root;
use pkgtypes::{Digest, PackageName, PkgPath};

use crate::Error;
use crate::error::Result;

/// A package's scripts, and where on the disk the contents of its files are.
#[derive(Debug)]
pub(crate) struct Stock {
    /// Scripts by their digests.
    pub(crate) scripts: HashMap<Digest, Vec<u8>>,
    places: HashMap<Digest, PkgPath>,
}

impl Stock {
    pub(crate) fn new(scripts: HashMap<Digest, Vec<u8>>) -> Self {
        Self { scripts, places: HashMap::new() }
    }

    /// Takes note of where its contents are.
    pub(crate) fn supply(&mut self, places: HashMap<Digest, PkgPath>) {
        self.places = places;
    }

    /// Opens a content. It was looked at before, and has to be looked at again while it is read.
    pub(crate) fn open(&self, root: &Root, package: &PackageName, digest: Digest) -> Result<File> {
        let spoilt = || Error::Spoilt { package: package.clone(), digest };
        let place = self.places.get(&digest).ok_or_else(spoilt)?;
        Ok(root.open_file(place)?)
    }
}
