//! Reads every file once: in threads, ahead of the writer, hashed and laid out as records by the time it takes them.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Condvar, Mutex, MutexGuard};

use pkgformat::record::{self, RecordDigests};
use pkgfs::{Batch, Error as DiskError, Place, Root, fd};
use pkgtypes::{Digest, PkgPath};

use super::large;
use super::sink::Sink;
use super::survey::{Look, Traits};
use crate::progress::go_on;
use crate::{Error, Progress, Result, threads};

/// A file that has to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) path: &'a PkgPath,
    pub(super) look: &'a Look,
    /// What the content must be, when it was read before.
    pub(super) expected: Option<Digest>,
}

/// Files up to this size are read whole, many into one buffer; larger ones pass in chunks.
const SMALL: u64 = 256 << 10;
/// So much of a file's beginning shows what it is.
const START: usize = 4;
/// A batch is full at this many bytes..
const BATCH_BYTES: u64 = 256 << 10;
/// ..or files.
const BATCH_FILES: usize = 256;
/// How many batches readers may be ahead of the writer: with a batch below half a MiB, a bound on memory.
const AHEAD: usize = 12;

/// A range of pieces that go through one buffer, or one piece that is too large for that.
#[derive(Debug, Clone)]
enum Load {
    Batch(Range<usize>),
    Large(usize),
}

fn loads(pieces: &[Piece<'_>]) -> Vec<Load> {
    let mut loads = Vec::new();
    let mut start = 0;
    let mut bytes = 0;
    for (index, piece) in pieces.iter().enumerate() {
        let is_large = piece.look.stat.size > SMALL;
        let is_full = index - start == BATCH_FILES || bytes + piece.look.stat.size > BATCH_BYTES;
        if (is_large || is_full) && start < index {
            loads.push(Load::Batch(start..index));
            start = index;
            bytes = 0;
        }
        if is_large {
            loads.push(Load::Large(index));
            start = index + 1;
        } else {
            bytes += piece.look.stat.size;
        }
    }
    if start < pieces.len() {
        loads.push(Load::Batch(start..pieces.len()));
    }
    loads
}

/// Files in the form in which they go out, one blob record after the other.
#[derive(Debug, Default)]
struct Filled {
    /// Longer than what is used of it: so it need not be cleared for the next batch.
    bytes: Vec<u8>,
    used: usize,
    blobs: Vec<Blob>,
    surprises: Vec<(usize, Traits)>,
}

#[derive(Debug)]
struct Blob {
    /// The end of its record in the buffer; it begins where the one before ends.
    end: usize,
    size: u64,
    digests: RecordDigests,
}

impl Filled {
    fn clear(&mut self) {
        self.used = 0;
        self.blobs.clear();
        self.surprises.clear();
    }

    /// The next `length` bytes to be filled.
    fn take(&mut self, length: usize) -> &mut [u8] {
        let start = self.used;
        self.used += length;
        if self.bytes.len() < self.used {
            self.bytes.resize(self.used.next_power_of_two(), 0);
        }
        &mut self.bytes[start..self.used]
    }

    fn put(&mut self, bytes: &[u8]) {
        self.take(bytes.len()).copy_from_slice(bytes);
    }

    fn read(&mut self, index: usize, place: &Place<'_>, piece: &Piece<'_>) -> Result<()> {
        let size = piece.look.stat.size;
        let mut open = piece.open(place)?;
        let head = record::blob_head(size);
        let head_digest = Digest::of(&head);
        self.put(&head);
        self.put(head_digest.as_bytes());
        let content = self.take(usize::try_from(size).expect("a small file's size fits"));
        open.fill(content)?;
        let data_digest = Digest::of(&*content);
        let surprise = open.surprise(content)?;
        open.close(data_digest)?;
        self.surprises.extend(surprise.map(|traits| (index, traits)));
        self.put(data_digest.as_bytes());
        let digests = RecordDigests { head: head_digest, data: data_digest };
        self.blobs.push(Blob { end: self.used, size, digests });
        Ok(())
    }
}

/// A file that is being read, and must not change meanwhile.
#[derive(Debug)]
pub(super) struct Open<'a> {
    file: std::fs::File,
    piece: Piece<'a>,
    place: &'a Place<'a>,
}

impl<'a> Piece<'a> {
    pub(super) fn open(&self, place: &'a Place<'a>) -> Result<Open<'a>>
    where
        Self: 'a,
    {
        let (file, now) = place.open_with_stat()?;
        if !self.look.stat.is_unchanged(&now) {
            return Err(Error::Changed { path: self.path.clone() });
        }
        Ok(Open { file, piece: *self, place })
    }
}

impl Open<'_> {
    /// Reads exactly as many bytes as `buffer` takes.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.file.read_exact(buffer).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.changed(),
            _ => DiskError::new("read", self.place.full_path(), error).into(),
        })
    }

    /// The first bytes, without going on from them.
    fn start(&self) -> Result<[u8; START]> {
        let mut start = [0; START];
        let read = self.file.read_at(&mut start, 0);
        read.map_err(|error| DiskError::new("read", self.place.full_path(), error))?;
        Ok(start)
    }

    /// What the file has to say that nobody knew of.
    pub(super) fn surprise(&self, start: &[u8]) -> Result<Option<Traits>> {
        if self.piece.look.is_examined {
            return Ok(None);
        }
        let traits = Traits::with_start(&self.file, self.place, start)?;
        Ok(Some(traits).filter(|traits| *traits != Traits::default()))
    }

    fn changed(&self) -> Error {
        Error::Changed { path: self.piece.path.clone() }
    }

    /// After the last byte: that the file is still what it was, and the content what it must be.
    pub(super) fn close(self, content: Digest) -> Result<()> {
        let now = fd::stat(&self.file).map_err(|error| DiskError::new("look at", self.place.full_path(), error))?;
        let is_other = self.piece.expected.is_some_and(|expected| expected != content);
        if is_other || !self.piece.look.stat.is_unchanged(&now) {
            return Err(self.changed());
        }
        Ok(())
    }
}

/// What the readers and the writer share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The next load that no reader took.
    next: usize,
    /// The load that the writer is at.
    at: usize,
    filled: BTreeMap<usize, Result<Filled>>,
    spare: Vec<Filled>,
    stopped: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the lock held")
    }

    /// The next batch to be read, when the writer is near enough; `None` when nothing is left.
    fn next(&self, loads: &[Load]) -> Option<(usize, Range<usize>, Filled)> {
        let mut state = self.state();
        loop {
            if state.stopped {
                return None;
            }
            let index = state.next;
            match loads.get(index)? {
                Load::Large(_) => state.next += 1,
                Load::Batch(_) if index >= state.at + AHEAD => {
                    state = self.moved.wait(state).expect("no thread panics with the lock held");
                }
                Load::Batch(range) => {
                    state.next += 1;
                    return Some((index, range.clone(), state.spare.pop().unwrap_or_default()));
                }
            }
        }
    }

    fn give(&self, index: usize, filled: Result<Filled>) {
        self.state().filled.insert(index, filled);
        self.moved.notify_all();
    }

    fn receive(&self, index: usize) -> Result<Filled> {
        let mut state = self.state();
        loop {
            assert!(!state.stopped, "a reader panicked");
            if let Some(filled) = state.filled.remove(&index) {
                return filled;
            }
            state = self.moved.wait(state).expect("no thread panics with the lock held");
        }
    }

    fn advance(&self, spare: Option<Filled>) {
        let mut state = self.state();
        state.at += 1;
        state.spare.extend(spare);
        drop(state);
        self.moved.notify_all();
    }

    fn stop(&self) {
        self.state().stopped = true;
        self.moved.notify_all();
    }
}

/// Lets the others end also when one side fails or panics.
struct StopOnDrop<'a>(&'a Shared);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn fill(tree: &Root, pieces: &[Piece<'_>], loads: &[Load], shared: &Shared) {
    let stop = StopOnDrop(shared);
    let mut folders = Batch::new(tree);
    while let Some((index, range, mut filled)) = shared.next(loads) {
        filled.clear();
        let read = range.into_iter().try_for_each(|index| {
            let piece = &pieces[index];
            filled.read(index, &folders.at(piece.path)?, piece)
        });
        shared.give(index, read.map(|()| filled));
    }
    std::mem::forget(stop);
}

/// What was read and written.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// The digest of each piece.
    pub(super) digests: Vec<Digest>,
    /// Checksums and size of each blob, in their order.
    pub(super) blobs: Vec<(RecordDigests, u64)>,
    /// What was not known of a piece before it was read.
    pub(super) surprises: Vec<(usize, Traits)>,
}

/// Writes each distinct content once.
pub(super) struct Contents<'a, S> {
    tree: &'a Root,
    sink: &'a mut S,
    progress: &'a mut dyn Progress,
    known: HashSet<Digest>,
    written: Written,
}

impl<'a, S: Sink> Contents<'a, S> {
    pub(super) fn new(tree: &'a Root, sink: &'a mut S, progress: &'a mut dyn Progress) -> Self {
        Self { tree, sink, progress, known: HashSet::new(), written: Written::default() }
    }

    /// Reads all pieces, and writes those whose content is new, in their order.
    pub(super) fn write_all(mut self, pieces: &[Piece<'_>], threads: NonZeroUsize) -> Result<Written> {
        let loads = loads(pieces);
        let shared = Shared::default();
        let tree = self.tree;
        std::thread::scope(|scope| {
            let _stop = StopOnDrop(&shared);
            for _ in 0..threads.get().min(loads.len()) {
                let read = || fill(tree, pieces, &loads, &shared);
                threads::spawn(scope, read)?;
            }
            for (index, load) in loads.iter().enumerate() {
                let spare = match load {
                    Load::Large(piece) => {
                        self.write_large(*piece, &pieces[*piece])?;
                        None
                    }
                    Load::Batch(_) => {
                        let mut filled = shared.receive(index)?;
                        self.write_batch(&mut filled)?;
                        Some(filled)
                    }
                };
                shared.advance(spare);
            }
            Ok(self.written)
        })
    }

    /// Writes a blob that is at hand.
    pub(super) fn write_bytes(&mut self, content: &[u8]) -> Result<()> {
        let head = record::blob_head(content.len() as u64);
        let digests = RecordDigests { head: Digest::of(&head), data: Digest::of(content) };
        if self.is_new(&digests, content.len() as u64) {
            for part in [&head, digests.head.as_bytes().as_slice(), content, digests.data.as_bytes()] {
                self.sink.write(part)?;
            }
        }
        Ok(())
    }

    fn is_new(&mut self, digests: &RecordDigests, size: u64) -> bool {
        let is_new = self.known.insert(digests.data);
        if is_new {
            self.written.blobs.push((*digests, size));
        }
        is_new
    }

    /// Writes the new records of a batch, those that stand side by side in one call.
    fn write_batch(&mut self, filled: &mut Filled) -> Result<()> {
        let mut pending = 0..0;
        let mut bytes = 0;
        for blob in &filled.blobs {
            bytes += blob.size;
            self.written.digests.push(blob.digests.data);
            if self.is_new(&blob.digests, blob.size) {
                pending.end = blob.end;
            } else {
                self.sink.write(&filled.bytes[pending])?;
                pending = blob.end..blob.end;
            }
        }
        self.sink.write(&filled.bytes[pending])?;
        self.written.surprises.append(&mut filled.surprises);
        go_on(self.progress.advance(bytes))?;
        Ok(())
    }

    fn write_large(&mut self, index: usize, piece: &Piece<'_>) -> Result<()> {
        let size = piece.look.stat.size;
        let length = record::blob_len(size).ok_or(Error::TooLarge)?;
        let head = record::blob_head(size);
        let head_digest = Digest::of(&head);
        self.sink.write(&head)?;
        self.sink.write(head_digest.as_bytes())?;
        let place = self.tree.at(piece.path)?;
        let open = piece.open(&place)?;
        let surprise = open.surprise(&open.start()?)?;
        self.written.surprises.extend(surprise.map(|traits| (index, traits)));
        let data = large::copy(open, size, self.sink, self.progress)?;
        self.sink.write(data.as_bytes())?;
        self.written.digests.push(data);
        if !self.is_new(&RecordDigests { head: head_digest, data }, size) {
            self.sink.take_back(length);
        }
        Ok(())
    }
}
