//! The content of files: read and checked on one thread, written on all.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pkgformat::Reader;
use pkgfs::{Batch, Error as DiskError, Place};
use pkgtypes::Mode;

use super::finish::Finisher;
use super::plan::Plan;
use super::pool::{CloseOnDrop, Pool};
use super::sparse::{self, Extent};
use super::{NotApplied, Target, UnpackOptions};
use crate::progress::go_on;
use crate::{Error, Progress, Result, threads};

/// Content up to this size is checked before any of it is written, much of it in one buffer; longer content is written
/// in chunks of this size while it is checked.
const CHUNK: usize = 256 << 10;
/// Contents that go to a thread at a time.
const TOGETHER: usize = 64;

/// What a thread can do apart from the others.
enum Job {
    /// Writes whole files.
    Small(Group),
    /// Writes a part of a file.
    Chunk { file: Arc<Large>, offset: u64, bytes: Vec<u8> },
    /// The content was found right.
    Checked { file: Arc<Large> },
}

/// Contents side by side in one buffer.
#[derive(Debug, Default)]
struct Group {
    bytes: Vec<u8>,
    used: usize,
    /// Each with the index of the first entry that has it.
    contents: Vec<(u32, Range<usize>)>,
}

/// A file that several threads write.
#[derive(Debug)]
struct Large {
    /// The index of the first entry with this content.
    first: u32,
    size: u64,
    file: File,
    /// Jobs that are not done: every chunk, and the check. Who does the last one finishes the file.
    pending: AtomicUsize,
}

/// All files of a package.
#[derive(Clone, Copy)]
pub(super) struct Files<'a> {
    pub(super) target: &'a Target<'a>,
    pub(super) plan: &'a Plan,
    pub(super) options: &'a UnpackOptions,
}

impl Files<'_> {
    /// Writes all files that have content of their own.
    pub(super) fn write<R: Read>(self, reader: &mut Reader<R>, progress: &mut dyn Progress) -> Result<NotApplied> {
        let pool = Pool::new();
        let mut own = Hand::new(self);
        std::thread::scope(|scope| {
            let close = CloseOnDrop(&pool);
            let help = || {
                let mut hand = Hand::new(self);
                pool.work(|job| hand.run(job, &pool));
                hand.finisher.not_applied
            };
            let helpers =
                (1..self.options.threads.get()).map(|_| threads::spawn(scope, help)).collect::<Result<Vec<_>>>()?;
            Feeder { pool: &pool, own: &mut own, progress }.feed(reader)?;
            drop(close);
            pool.work(|job| own.run(job, &pool));
            for helper in helpers {
                own.finisher.not_applied.merge(threads::join(helper));
            }
            Ok::<_, Error>(())
        })?;
        pool.into_result()?;
        Ok(own.finisher.not_applied)
    }
}

/// Reads contents and hands them on.
struct Feeder<'a, 'f> {
    pool: &'a Pool<Job>,
    own: &'a mut Hand<'f>,
    progress: &'a mut dyn Progress,
}

impl Feeder<'_, '_> {
    fn feed<R: Read>(&mut self, reader: &mut Reader<R>) -> Result<()> {
        let mut group = Group::default();
        while let Some(mut blob) = reader.next_blob()? {
            // A script that is no file is checked by asking for the next blob.
            let Some(first) = blob.first() else { continue };
            let (first, size) = (first as u32, blob.size());
            let Some(size_here) = usize::try_from(size).ok().filter(|size| *size <= CHUNK) else {
                self.feed_large(first, size, &mut blob)?;
                continue;
            };
            if group.used + size_here > CHUNK || group.contents.len() == TOGETHER {
                self.hand_on(&mut group)?;
            }
            let range = group.take(size_here);
            blob.read_exact(&mut group.bytes[range.clone()]).map_err(pkgformat::Error::from)?;
            group.contents.push((first, range));
        }
        self.hand_on(&mut group)
    }

    fn hand_on(&mut self, group: &mut Group) -> Result<()> {
        let full = std::mem::replace(group, Group { bytes: self.pool.buffer(), ..Group::default() });
        go_on(self.progress.advance(full.used as u64))?;
        self.push(Job::Small(full))
    }

    fn push(&mut self, job: Job) -> Result<()> {
        match self.pool.push(job)? {
            Some(job) => self.own.run(job, self.pool),
            None => Ok(()),
        }
    }

    fn feed_large(&mut self, first: u32, size: u64, blob: &mut impl Read) -> Result<()> {
        let file = Arc::new(self.own.begin_large(first, size)?);
        let mut offset = 0;
        while offset < size {
            let mut bytes = self.pool.buffer();
            let length = usize::try_from(size - offset).map_or(CHUNK, |left| left.min(CHUNK));
            bytes.resize(length, 0);
            blob.read_exact(&mut bytes).map_err(pkgformat::Error::from)?;
            file.pending.fetch_add(1, Ordering::Relaxed);
            self.push(Job::Chunk { file: Arc::clone(&file), offset, bytes })?;
            offset += length as u64;
            go_on(self.progress.advance(length as u64))?;
        }
        // With its last byte the content was found right.
        self.push(Job::Checked { file })
    }
}

impl Group {
    fn take(&mut self, length: usize) -> Range<usize> {
        let start = self.used;
        self.used += length;
        // The buffer only grows, so that it need not be cleared each time.
        if self.bytes.len() < self.used {
            self.bytes.resize(CHUNK.max(self.used), 0);
        }
        start..self.used
    }
}

/// One thread's means.
struct Hand<'f> {
    files: Files<'f>,
    places: Batch<'f>,
    finisher: Finisher<'f>,
}

impl<'f> Hand<'f> {
    fn new(files: Files<'f>) -> Self {
        Self { files, places: Batch::new(files.target.root), finisher: Finisher::new(files.options) }
    }

    fn run(&mut self, job: Job, pool: &Pool<Job>) -> Result<()> {
        match job {
            Job::Small(group) => {
                for (first, range) in &group.contents {
                    self.write_small(*first, &group.bytes[range.clone()])?;
                }
                pool.give_back(group.bytes);
                Ok(())
            }
            Job::Chunk { file, offset, bytes } => {
                let written = sparse::write(&file.file, &bytes, offset, Extent::Part);
                written.map_err(|error| self.error(file.first, error))?;
                pool.give_back(bytes);
                self.end_one(&file)
            }
            Job::Checked { file } => self.end_one(&file),
        }
    }

    fn error(&self, index: u32, error: io::Error) -> Error {
        let path = &self.files.plan.entry(index).path;
        DiskError::new("write", self.files.target.root.path().join(path), error).into()
    }

    fn write_small(&mut self, first: u32, bytes: &[u8]) -> Result<()> {
        for index in self.files.plan.uses(first) {
            self.make(index, |file, place| {
                let write = || {
                    sparse::write(file, bytes, 0, Extent::Whole)?;
                    if ends_with_hole(bytes) { file.set_len(bytes.len() as u64) } else { Ok(()) }
                };
                Ok(write().map_err(|error| DiskError::new("write", place.full_path(), error))?)
            })?;
        }
        Ok(())
    }

    /// Makes a file, fills it, and sets what belongs to it.
    fn make(&mut self, index: u32, fill: impl FnOnce(&File, &Place<'_>) -> Result<()>) -> Result<()> {
        let entry = self.files.plan.entry(index);
        let place = self.places.at(&entry.path)?;
        let file = place.create_file(without_setid(self.finisher.mode(entry)))?;
        self.files.target.note(index);
        fill(&file, &place)?;
        self.finisher.finish(&file, &place, entry)
    }

    fn begin_large(&mut self, first: u32, size: u64) -> Result<Large> {
        let place = self.places.at(&self.files.plan.entry(first).path)?;
        let file = place.create_file(Mode::from_raw(0o600))?;
        self.files.target.note(first);
        Ok(Large { first, size, file, pending: AtomicUsize::new(1) })
    }

    fn end_one(&mut self, large: &Large) -> Result<()> {
        // Who comes last sees what all others wrote.
        if large.pending.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(());
        }
        large.file.set_len(large.size).map_err(|error| self.error(large.first, error))?;
        let plan = self.files.plan;
        for index in plan.uses(large.first).skip(1) {
            self.make(index, |file, place| {
                // In the kernel, and without a copy where the file system can share.
                let copy = || {
                    (&large.file).seek(SeekFrom::Start(0))?;
                    io::copy(&mut &large.file, &mut &*file)
                };
                copy().map_err(|error| DiskError::new("write", place.full_path(), error))?;
                Ok(())
            })?;
        }
        let entry = plan.entry(large.first);
        let place = self.places.at(&entry.path)?;
        self.finisher.finish(&large.file, &place, entry)
    }
}

/// A file that is not complete must not run as its owner.
fn without_setid(mode: Mode) -> Mode {
    Mode::from_raw(mode.bits() & 0o777)
}

fn ends_with_hole(bytes: &[u8]) -> bool {
    bytes.len() >= 4096 && bytes.last() == Some(&0)
}
