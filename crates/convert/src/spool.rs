use std::borrow::Borrow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use pkgformat::ElfFacts;
use pkgtypes::{Digest, Hasher};

use crate::{Error, Result};

const CHUNK: usize = 256 << 10;

/// Contents on disk until all is known that stands before them in a package. Each distinct content is kept once.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    end: u64,
    contents: HashMap<Digest, Place>,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    start: u64,
    size: u64,
}

/// A content that was taken in.
pub(crate) struct Stored {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) elf: Option<Box<ElfFacts>>,
}

impl Spool {
    /// Leaves the first bytes of the file to somebody else.
    pub(crate) fn skip(&mut self, bytes: u64) {
        self.end = self.end.max(bytes);
    }

    pub(crate) fn new(file: File) -> Self {
        Self { file, end: 0, contents: HashMap::new(), buffer: vec![0; CHUNK] }
    }

    /// Takes in all that `data` has to give.
    pub(crate) fn store(&mut self, data: &mut dyn Read) -> Result<Stored> {
        let start = self.end;
        let mut size = 0u64;
        let mut hasher = Hasher::new();
        loop {
            let count = match data.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::Input(error)),
            };
            let bytes = &self.buffer[..count];
            hasher.update(bytes);
            self.file.write_all_at(bytes, start + size).map_err(Error::Spool)?;
            size += count as u64;
        }
        let digest = hasher.finish();
        let place = *self.contents.entry(digest).or_insert(Place { start, size });
        if place.start == start {
            self.end = start + size;
        }
        let elf = pkgtree::elf_facts(Content::new(&self.file, place));
        Ok(Stored { digest, size, elf })
    }

    /// A content that was taken in.
    pub(crate) fn content(&self, digest: &Digest) -> Option<(u64, impl Read + '_)> {
        let place = *self.contents.get(digest)?;
        Some((place.size, Content::new(&self.file, place)))
    }
}

impl Stored {
    /// Takes all of a source to the beginning of a file, where it can be read in any order. The file's own position is
    /// not used, so others may write behind.
    pub(crate) fn whole(file: &File, source: &mut dyn Read) -> Result<Content<File>> {
        let mut buffer = vec![0; CHUNK];
        let mut size = 0u64;
        loop {
            match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    file.write_all_at(&buffer[..count], size).map_err(Error::Spool)?;
                    size += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Input(error)),
            }
        }
        Ok(Content::new(file.try_clone().map_err(Error::Spool)?, Place { start: 0, size }))
    }
}

/// One content in the file.
pub(crate) struct Content<F> {
    file: F,
    place: Place,
    position: u64,
}

impl<F: Borrow<File>> Content<F> {
    fn new(file: F, place: Place) -> Self {
        Self { file, place, position: 0 }
    }

    /// Its size.
    pub(crate) fn len(&self) -> u64 {
        self.place.size
    }
}

impl<F: Borrow<File>> Read for Content<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.place.size.saturating_sub(self.position);
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let read = self.file.borrow().read_at(&mut buffer[..most], self.place.start + self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl<F: Borrow<File>> Seek for Content<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.place.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
