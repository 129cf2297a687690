use std::fs::File;
use std::io::{Seek, Write};
use std::path::PathBuf;

use pkgfs::{Durability, ErrorKind, Lock, TempFile};
use pkgtypes::{Digest, Hasher, PkgPath};

use crate::error::Failure;
use crate::store::{CHUNK, PRIVATE, read_chunk};
use crate::{Reason, Result, SourceStore};

/// A file on its way into the store: its digest is computed while it is written, and it can be taken up again later.
#[derive(Debug)]
pub(crate) struct Part<'s> {
    store: &'s SourceStore,
    path: PkgPath,
    file: File,
    hasher: Hasher,
    length: u64,
    limit: u64,
    keep: bool,
    _lock: Lock,
}

impl<'s> Part<'s> {
    /// What is left of an earlier transfer is copied, since it has to be read for the digest anyway and a fresh file
    /// is surely ours.
    pub(crate) fn begin(store: &'s SourceStore, path: PkgPath, limit: u64, lock: Lock) -> Result<Self> {
        let old = match store.root().open_file(&path) {
            Ok(file) => Some(file),
            Err(error) if error.kind == ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let fresh = TempFile::new_for(store.root(), &path, PRIVATE)?;
        let clone = fresh.file().try_clone();
        let file =
            clone.map_err(|source| pkgfs::Error::new("open the file", store.root().path().join(&path), source))?;
        fresh.persist(Durability::Atomic)?;
        let mut part = Self { store, path, file, hasher: Hasher::new(), length: 0, limit, keep: false, _lock: lock };
        if let Some(mut old) = old {
            part.take_over(&mut old)?;
        }
        Ok(part)
    }

    fn take_over(&mut self, old: &mut File) -> Result<()> {
        let mut chunk = vec![0; CHUNK];
        while let Ok(length @ 1..) = read_chunk(old, &mut chunk) {
            match self.write(&chunk[..length]) {
                Ok(()) => {}
                Err(Failure::Place(_)) => return self.restart(),
                Err(Failure::Error(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// How much is here.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let length = self.length.saturating_add(bytes.len() as u64);
        if length > self.limit {
            return Err(Reason::TooLarge { limit: self.limit }.into());
        }
        self.file.write_all(bytes).map_err(|source| self.error("write the file", source))?;
        self.hasher.update(bytes);
        self.length = length;
        Ok(())
    }

    /// Throws away what is here.
    pub(crate) fn restart(&mut self) -> Result<()> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(|source| self.error("empty the file", source))?;
        self.hasher = Hasher::new();
        self.length = 0;
        Ok(())
    }

    pub(crate) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Leaves what is here for the next try.
    pub(crate) fn keep(&mut self, keep: bool) {
        self.keep = keep;
    }

    /// Moves it to its place; the digest is what was wanted.
    pub(crate) fn finish(mut self, name: &str, digest: Digest) -> Result<PathBuf> {
        let path = self.store.insert(&self.path, name, digest)?;
        // Another process may have been faster, and ours is gone with its temporary folder then.
        self.keep = true;
        Ok(path)
    }

    fn error(&self, operation: &'static str, source: std::io::Error) -> pkgfs::Error {
        pkgfs::Error::new(operation, self.store.root().path().join(&self.path), source)
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        if !self.keep || self.length == 0 {
            // Nobody is there to hear of a failure, and the next process to be alone tidies up.
            let _ = self.store.root().remove_file(&self.path);
        }
    }
}
