//! The contents of files, by their digests.

use std::fs::File;
use std::io::{self, Read as _};

use pkgformat::{Entry, EntryKind};
use pkgfs::Root;
use pkgtypes::{Digest, Hasher, PkgPath};

use crate::error::Result;

/// The content of a file.
pub(crate) fn content(entry: &Entry) -> Option<Digest> {
    match &entry.kind {
        EntryKind::File { digest, .. } => Some(*digest),
        _ => None,
    }
}

pub(crate) fn digest_of(root: &Root, path: &PkgPath) -> Result<Digest> {
    let file = root.open_file(path)?;
    digest_file(file).map_err(|error| pkgfs::Error::new("read the file", root.path().join(path), error).into())
}

/// The digest of an open file's content.
pub(crate) fn digest_file(mut file: File) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(length) => hasher.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
