//! What is left of a package that was installed before.

use std::collections::HashMap;
use std::io::{Cursor, Read};

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
    originals: HashMap<Digest, Vec<u8>>,
}

impl Stock {
    pub(crate) fn new(scripts: HashMap<Digest, Vec<u8>>) -> Self {
        Self { scripts, places: HashMap::new(), originals: HashMap::new() }
    }

    /// Takes note of where its contents are, and of those that the database itself has.
    pub(crate) fn supply(&mut self, places: HashMap<Digest, PkgPath>, originals: HashMap<Digest, Vec<u8>>) {
        (self.places, self.originals) = (places, originals);
    }

    /// Opens a content. It was looked at before, and has to be looked at again while it is read.
    pub(crate) fn open(&self, root: &Root, package: &PackageName, digest: Digest) -> Result<Box<dyn Read>> {
        if let Some(content) = self.originals.get(&digest) {
            return Ok(Box::new(Cursor::new(content.clone())));
        }
        let spoilt = || Error::Spoilt { package: package.clone(), digest };
        let place = self.places.get(&digest).ok_or_else(spoilt)?;
        Ok(Box::new(root.open_file(place)?))
    }
}
