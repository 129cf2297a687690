//! The content of files: read in order, or from everywhere at once, and checked and written by all threads.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use pkgformat::{Checked, ExpectedBlob, Extent, Reader, SingleBlob};
use pkgfs::{Batch, Error as DiskError, Place};
use pkgtypes::{Digest, Hasher, Mode};

use super::finish::Finisher;
use super::plan::Plan;
use super::pool::{Pool as SharedPool, StopOnDrop, Work};
use super::sparse::{self, Portion};
use super::{NotApplied, Placed, Target, UnpackOptions};
use crate::progress::go_on;
use crate::transfer::{self, Step};
use crate::{Error, Progress, Result, threads};

/// Records up to this length, together, are read at once and checked before any of them is written; longer contents are
/// written in chunks while they are checked.
const TOGETHER: u64 = 256 << 10;
/// Contents that go to a thread at a time.
const BLOBS: usize = 64;

type Pool = SharedPool<Records, Large>;

/// Blob records side by side.
#[derive(Debug)]
struct Records {
    extent: Extent,
    /// Their bytes, if they came in a stream.
    bytes: Option<Vec<u8>>,
}

/// A content that several threads write.
#[derive(Debug)]
struct Large {
    record: SingleBlob,
    /// The index of the first entry with this content.
    first: u32,
    file: File,
    /// The checksum behind the content, if it came in a stream.
    stored: OnceLock<Vec<u8>>,
}

/// All files of a package.
#[derive(Clone, Copy)]
pub(super) struct Files<'a> {
    pub(super) target: &'a Target<'a>,
    pub(super) plan: &'a Plan,
    pub(super) options: &'a UnpackOptions,
    /// The package, where it can be read at any place.
    pub(super) package: Option<&'a File>,
}

impl Files<'_> {
    /// Writes all files that have content of their own.
    pub(super) fn write<R: Read>(
        self,
        reader: &mut Reader<R>,
        placed: Option<&Placed<R>>,
        progress: &mut dyn Progress,
    ) -> Result<NotApplied> {
        let pool = Pool::new(self.options.threads);
        let mut own = Hand::new(self, &pool);
        std::thread::scope(|scope| {
            let stop = StopOnDrop(&pool);
            let help = || {
                let stop = StopOnDrop(&pool);
                let mut hand = Hand::new(self, &pool);
                while let Some(work) = pool.next() {
                    hand.run(work);
                }
                std::mem::forget(stop);
                (hand.finisher.not_applied, hand.checked)
            };
            let helpers =
                (1..self.options.threads.get()).map(|_| threads::spawn(scope, help)).collect::<Result<Vec<_>>>()?;
            Feeder { reader, placed, own: &mut own, progress: &mut *progress }.feed()?;
            std::mem::forget(stop);
            for helper in helpers {
                let (not_applied, checked) = threads::join(helper);
                own.finisher.not_applied.merge(not_applied);
                own.checked = std::mem::take(&mut own.checked).and(checked);
            }
            Ok::<_, Error>(())
        })?;
        let Hand { finisher, checked, .. } = own;
        reader.settle(checked);
        go_on(progress.advance(pool.handled()?))?;
        Ok(finisher.not_applied)
    }
}

/// Hands out contents, on the thread that was asked to unpack.
struct Feeder<'a, 'f, R> {
    reader: &'a mut Reader<R>,
    placed: Option<&'a Placed<R>>,
    own: &'a mut Hand<'f>,
    progress: &'a mut dyn Progress,
}

impl<R: Read> Feeder<'_, '_, R> {
    fn feed(mut self) -> Result<()> {
        let pool = self.own.pool;
        while let Some(extent) = self.reader.next_extent(TOGETHER, BLOBS)? {
            self.report()?;
            match extent.single().filter(|_| extent.length() > TOGETHER) {
                Some(record) if self.placed.is_some() => self.begin_large(record)?,
                Some(record) => self.feed_large(record)?,
                None => self.hand_on(extent)?,
            }
            if let Some(placed) = self.placed {
                (placed.pass)(self.reader)?;
            }
        }
        pool.close();
        while let Some(work) = pool.next() {
            self.own.run(work);
            self.report()?;
        }
        Ok(())
    }

    fn report(&mut self) -> Result<()> {
        match self.own.pool.handled()? {
            0 => Ok(()),
            bytes => go_on(self.progress.advance(bytes)),
        }
    }

    fn hand_on(&mut self, extent: Extent) -> Result<()> {
        let bytes = if self.placed.is_some() { None } else { Some(self.read(&extent)?) };
        if let Some(records) = self.own.pool.push(Records { extent, bytes }) {
            self.own.run(Work::Batch(records));
        }
        Ok(())
    }

    fn read(&mut self, extent: &Extent) -> Result<Vec<u8>> {
        let mut bytes = self.own.pool.buffer();
        bytes.resize(length(extent), 0);
        let filled = self.reader.read_extent(&mut bytes)?;
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Lets all threads copy a content. As many are begun as threads can be busy with.
    fn begin_large(&mut self, record: SingleBlob) -> Result<()> {
        let mut head = vec![0; record.head_len()];
        let offset = record.data_offset() - head.len() as u64;
        let filled = self.own.fill(&mut head, offset);
        let filled = filled.map_err(|(filled, error)| record.failed_head(filled, error))?;
        record.check_head(&head[..filled])?;
        let size = record.size();
        let large = self.own.begin_large(record)?;
        self.own.pool.begin(large, size);
        while self.own.pool.large() > self.own.files.options.threads.get() {
            self.report()?;
            if let Some(work) = self.own.pool.next() {
                self.own.run(work);
            }
        }
        Ok(())
    }

    /// Reads and writes a content, while other threads hash it.
    fn feed_large(&mut self, record: SingleBlob) -> Result<()> {
        let mut head = vec![0; record.head_len()];
        let filled = self.reader.read_extent(&mut head)?;
        record.check_head(&head[..filled])?;
        let size = record.size();
        let large = self.own.begin_large(record)?;
        let pool = self.own.pool;
        let number = pool.begin_fed(large, size);
        let mut fed = 0;
        while fed < size {
            self.report()?;
            let Some(mut chunk) = pool.chunk(number) else {
                if let Some(step) = pool.hash_or_wait() {
                    self.own.run(Work::Step(step));
                }
                continue;
            };
            let filled = self.reader.read_extent(&mut chunk.bytes)?;
            if filled < chunk.bytes.len() {
                return Err(chunk.task.record.cut_off(fed + filled as u64).into());
            }
            fed += filled as u64;
            if fed == size {
                let mut stored = vec![0; Digest::LEN];
                let filled = self.reader.read_extent(&mut stored)?;
                stored.truncate(filled);
                chunk.task.stored.set(stored).expect("a content ends once");
            }
            self.own.write_chunk(&chunk)?;
            pool.feed(chunk);
        }
        // Alone, nobody else hashes what is left.
        while pool.large() > 0 && self.own.files.options.threads.get() == 1 {
            self.report()?;
            if let Some(step) = pool.hash_or_wait() {
                self.own.run(Work::Step(step));
            }
        }
        Ok(())
    }
}

fn length(extent: &Extent) -> usize {
    usize::try_from(extent.length()).expect("an extent is short, or has a single record")
}

/// One thread's means.
struct Hand<'f> {
    files: Files<'f>,
    pool: &'f Pool,
    places: Batch<'f>,
    finisher: Finisher<'f>,
    checked: Checked,
}

impl<'f> Hand<'f> {
    fn new(files: Files<'f>, pool: &'f Pool) -> Self {
        let (places, finisher) = (Batch::new(files.target.root), Finisher::new(files.options));
        Self { files, pool, places, finisher, checked: Checked::default() }
    }

    fn run(&mut self, work: Work<Records, Large>) {
        let done = match work {
            Work::Batch(records) => self.write_small(records),
            Work::Step(step) => self.go_on(step),
        };
        if let Err(error) = done {
            self.pool.fail(error);
        }
    }

    fn error(&self, index: u32, error: io::Error) -> Error {
        let path = &self.files.plan.entry(index).path;
        DiskError::new("write", self.files.target.root.path().join(path), error).into()
    }

    fn settle(&mut self, checked: Checked) {
        self.checked = std::mem::take(&mut self.checked).and(checked);
    }

    /// Reads from a place of the package, less only at its end; with an error, how much was read before it.
    fn fill(&self, buffer: &mut [u8], offset: u64) -> Result<usize, (u64, io::Error)> {
        let package = self.files.package.expect("without it everything comes in a stream");
        let mut filled = 0;
        while filled < buffer.len() {
            match package.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((filled as u64, error)),
            }
        }
        Ok(filled)
    }

    fn write_small(&mut self, records: Records) -> Result<()> {
        let Records { extent, bytes } = records;
        let bytes = match bytes {
            Some(bytes) => bytes,
            None => {
                let mut bytes = self.pool.buffer();
                bytes.resize(length(&extent), 0);
                let filled = self.fill(&mut bytes, extent.offset());
                let filled = filled.map_err(|(filled, error)| extent.failed(filled, error))?;
                bytes.truncate(filled);
                bytes
            }
        };
        let mut handled = 0;
        let checked = extent.check(&bytes, |blob, content| {
            handled += content.len() as u64;
            self.write_content(blob, content)
        })?;
        self.settle(checked);
        self.pool.give_back(bytes, handled);
        Ok(())
    }

    fn write_content(&mut self, blob: ExpectedBlob, bytes: &[u8]) -> Result<()> {
        // Scripts that are no files come in no extent.
        let Some(first) = blob.first else { return Ok(()) };
        let plan = self.files.plan;
        for index in plan.uses(first as u32) {
            self.make(index, |file, place| {
                let write = || {
                    sparse::write(file, bytes, 0, Portion::Whole)?;
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

    fn begin_large(&mut self, record: SingleBlob) -> Result<Large> {
        let first = record.blob().first.expect("scripts that are no files come in no extent") as u32;
        let place = self.places.at(&self.files.plan.entry(first).path)?;
        let file = place.create_file(Mode::from_raw(0o600))?;
        self.files.target.note(first);
        Ok(Large { record, first, file, stored: OnceLock::new() })
    }

    /// Does a step, and the next one of the same content as long as it is at hand.
    fn go_on(&mut self, step: Step<Large>) -> Result<()> {
        let mut next = Some(step);
        while let Some(step) = next.take() {
            match step {
                Step::Copy(mut chunk) => {
                    self.read_chunk(&mut chunk)?;
                    self.write_chunk(&chunk)?;
                    next = self.pool.copied(chunk);
                }
                Step::Hash(chunk, mut hasher) => {
                    hasher.update(&chunk.bytes);
                    if let Some((large, hasher)) = self.pool.hashed(chunk, hasher) {
                        self.end_large(&large, hasher)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn read_chunk(&self, chunk: &mut Chunk) -> Result<()> {
        let record = &chunk.task.record;
        let filled = self.fill(&mut chunk.bytes, record.data_offset() + chunk.offset);
        let filled = filled.map_err(|(filled, error)| record.failed(chunk.offset + filled, error))?;
        if filled < chunk.bytes.len() {
            return Err(record.cut_off(chunk.offset + filled as u64).into());
        }
        Ok(())
    }

    fn write_chunk(&self, chunk: &Chunk) -> Result<()> {
        let large = &chunk.task;
        let written = sparse::write(&large.file, &chunk.bytes, chunk.offset, Portion::Part);
        written.map_err(|error| self.error(large.first, error))
    }

    /// Everything was written and hashed.
    fn end_large(&mut self, large: &Large, hasher: Hasher) -> Result<()> {
        let size = large.record.size();
        let checked = match large.stored.get() {
            Some(stored) => large.record.end(hasher, stored)?,
            None => {
                let mut stored = [0; Digest::LEN];
                let filled = self.fill(&mut stored, large.record.data_offset() + size);
                let filled = filled.map_err(|(filled, error)| large.record.failed(size + filled, error))?;
                large.record.end(hasher, &stored[..filled])?
            }
        };
        self.settle(checked);
        large.file.set_len(size).map_err(|error| self.error(large.first, error))?;
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

type Chunk = transfer::Chunk<Large>;

/// A file that is not complete must not run as its owner.
fn without_setid(mode: Mode) -> Mode {
    Mode::from_raw(mode.bits() & 0o777)
}

fn ends_with_hole(bytes: &[u8]) -> bool {
    bytes.len() >= 4096 && bytes.last() == Some(&0)
}
