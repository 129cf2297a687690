//! Reads every file once: in threads, ahead of the writer, hashed and laid out as records by the time it takes them.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Condvar, Mutex, MutexGuard};

use pkgformat::record::{self, RecordDigests};
use pkgfs::{Batch, Error as DiskError, Place, Root, fd};
use pkgtypes::{Digest, PkgPath};

use super::large;
use super::sink::{Nowhere, Room, Sink};
use super::survey::{Look, Traits};
use crate::progress::go_on;
use crate::transfer::{Step, Transfers};
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

    fn read(&mut self, index: usize, tree: &Root, place: &Place<'_>, piece: &Piece<'_>) -> Result<()> {
        let size = piece.look.stat.size;
        let open = piece.open(tree, place)?;
        let head = record::blob_head(size);
        let head_digest = Digest::of(&head);
        self.put(&head);
        self.put(head_digest.as_bytes());
        let content = self.take(usize::try_from(size).expect("a small file's size fits"));
        open.fill_at(content, 0)?;
        let data_digest = Digest::of(&*content);
        let surprise = open.surprise(place, content)?;
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
    file: File,
    piece: Piece<'a>,
    tree: &'a Root,
}

impl<'a> Piece<'a> {
    pub(super) fn open(&self, tree: &'a Root, place: &Place<'_>) -> Result<Open<'a>> {
        let (file, now) = place.open_with_stat()?;
        if !self.look.stat.is_unchanged(&now) {
            return Err(Error::Changed { path: self.path.clone() });
        }
        Ok(Open { file, piece: *self, tree })
    }
}

impl Open<'_> {
    /// Reads exactly as many bytes as `buffer` takes, from a place in the file: whoever looked for ELF facts moved the
    /// descriptor's own.
    pub(super) fn fill_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(buffer, offset).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.changed(),
            _ => self.error("read", error),
        }
    }

    fn error(&self, operation: &'static str, error: io::Error) -> Error {
        DiskError::new(operation, self.tree.path().join(self.piece.path), error).into()
    }

    /// The first bytes, without going on from them.
    fn start(&self) -> Result<[u8; START]> {
        let mut start = [0; START];
        self.file.read_at(&mut start, 0).map_err(|error| self.error("read", error))?;
        Ok(start)
    }

    /// What the file has to say that nobody knew of.
    fn surprise(&self, place: &Place<'_>, start: &[u8]) -> Result<Option<Traits>> {
        if self.piece.look.is_examined {
            return Ok(None);
        }
        let traits = Traits::with_start(&self.file, place, start)?;
        Ok(Some(traits).filter(|traits| *traits != Traits::default()))
    }

    fn changed(&self) -> Error {
        Error::Changed { path: self.piece.path.clone() }
    }

    /// After the last byte: that the file is still what it was, and the content what it must be.
    pub(super) fn close(&self, content: Digest) -> Result<()> {
        let now = fd::stat(&self.file).map_err(|error| self.error("look at", error))?;
        let is_other = self.piece.expected.is_some_and(|expected| expected != content);
        if is_other || !self.piece.look.stat.is_unchanged(&now) {
            return Err(self.changed());
        }
        Ok(())
    }
}

/// A large file that all threads read, write and hash.
#[derive(Debug)]
struct Large<'a> {
    open: Open<'a>,
    room: Room,
    /// How much of the room stands before the content.
    head_len: u64,
    /// Its number among the pieces, and that of its blob.
    piece: usize,
    blob: usize,
}

/// What became of a large file.
#[derive(Debug)]
struct Done {
    piece: usize,
    blob: usize,
    digest: Digest,
}

/// What the threads share.
#[derive(Debug)]
struct Shared<'a> {
    loads: Vec<Load>,
    state: Mutex<State<'a>>,
    moved: Condvar,
}

#[derive(Debug)]
struct State<'a> {
    /// The next load that nobody took.
    next: usize,
    /// The load that the writer is at.
    at: usize,
    filled: BTreeMap<usize, Filled>,
    spare: Vec<Filled>,
    transfers: Transfers<Large<'a>>,
    done: Vec<Done>,
    /// Bytes of large files that were handled since they were reported.
    handled: u64,
    error: Option<Error>,
    /// No large file comes any more.
    is_closed: bool,
    is_stopped: bool,
}

/// What a thread does next.
#[derive(Debug)]
enum Work<'a> {
    Fill(usize, Range<usize>, Filled),
    Step(Step<Large<'a>>),
}

impl<'a> State<'a> {
    fn work(&mut self, loads: &[Load]) -> Option<Work<'a>> {
        if let Some(step) = self.transfers.step() {
            return Some(Work::Step(step));
        }
        while let Some(Load::Large(_)) = loads.get(self.next) {
            self.next += 1;
        }
        let index = self.next;
        let Load::Batch(range) = loads.get(index).filter(|_| index < self.at + AHEAD)? else { return None };
        self.next += 1;
        Some(Work::Fill(index, range.clone(), self.spare.pop().unwrap_or_default()))
    }

    /// The writer closes when it has taken every batch.
    fn is_over(&self) -> bool {
        self.is_stopped || (self.is_closed && self.transfers.len() == 0)
    }
}

impl<'a> Shared<'a> {
    fn new(loads: Vec<Load>, threads: NonZeroUsize) -> Self {
        let state = State {
            next: 0,
            at: 0,
            filled: BTreeMap::new(),
            spare: Vec::new(),
            transfers: Transfers::new(threads),
            done: Vec::new(),
            handled: 0,
            error: None,
            is_closed: false,
            is_stopped: false,
        };
        Self { loads, state: Mutex::new(state), moved: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().expect("no thread panics with the lock held")
    }

    /// Work for a helper, until there is none and there will be none.
    fn next(&self) -> Option<Work<'a>> {
        let mut state = self.state();
        loop {
            if state.is_over() {
                return None;
            }
            if let Some(work) = state.work(&self.loads) {
                return Some(work);
            }
            state = self.moved.wait(state).expect("no thread panics with the lock held");
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State<'a>) -> T) -> T {
        let changed = change(&mut self.state());
        self.moved.notify_all();
        changed
    }
}

/// Lets the others end also when one side fails or panics.
struct StopOnDrop<'s, 'a>(&'s Shared<'a>);

impl Drop for StopOnDrop<'_, '_> {
    fn drop(&mut self) {
        self.0.change(|state| state.is_stopped = true);
    }
}

/// One thread's means.
struct Hand<'s, 'a> {
    tree: &'a Root,
    pieces: &'s [Piece<'a>],
    shared: &'s Shared<'a>,
    folders: Batch<'a>,
}

impl<'s, 'a> Hand<'s, 'a> {
    fn new(tree: &'a Root, pieces: &'s [Piece<'a>], shared: &'s Shared<'a>) -> Self {
        Self { tree, pieces, shared, folders: Batch::new(tree) }
    }

    fn help(mut self) {
        let stop = StopOnDrop(self.shared);
        while let Some(work) = self.shared.next() {
            self.run(work);
        }
        std::mem::forget(stop);
    }

    fn run(&mut self, work: Work<'a>) {
        let done = match work {
            Work::Fill(index, range, filled) => self.fill(index, range, filled),
            Work::Step(step) => self.go_on(step),
        };
        if let Err(error) = done {
            self.shared.change(|state| {
                state.error.get_or_insert(error);
                state.transfers.clear();
            });
        }
    }

    fn fill(&mut self, index: usize, range: Range<usize>, mut filled: Filled) -> Result<()> {
        filled.clear();
        for index in range {
            let piece = &self.pieces[index];
            let place = self.folders.at(piece.path)?;
            filled.read(index, self.tree, &place, piece)?;
        }
        self.shared.change(|state| state.filled.insert(index, filled));
        Ok(())
    }

    /// Does a step, and the next one of the same file as long as it is at hand.
    fn go_on(&self, step: Step<Large<'a>>) -> Result<()> {
        let mut next = Some(step);
        while let Some(step) = next.take() {
            match step {
                Step::Copy(mut chunk) => {
                    let large = &chunk.task;
                    large.open.fill_at(&mut chunk.bytes, chunk.offset)?;
                    large.room.write(&chunk.bytes, large.head_len + chunk.offset)?;
                    next = self.shared.change(|state| state.transfers.hash_copied(chunk));
                }
                Step::Hash(chunk, mut hasher) => {
                    hasher.update(&chunk.bytes);
                    let complete = self.shared.change(|state| {
                        state.handled += chunk.bytes.len() as u64;
                        state.transfers.hashed(chunk, hasher)
                    });
                    if let Some((large, hasher)) = complete {
                        self.end(&large, hasher.finish())?;
                    }
                }
            }
        }
        Ok(())
    }

    fn end(&self, large: &Large<'a>, digest: Digest) -> Result<()> {
        large.room.write(digest.as_bytes(), large.head_len + large.open.piece.look.stat.size)?;
        large.open.close(digest)?;
        let done = Done { piece: large.piece, blob: large.blob, digest };
        self.shared.change(|state| state.done.push(done));
        Ok(())
    }
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
pub(super) struct Contents<'c, 'a, S> {
    tree: &'a Root,
    sink: &'c mut S,
    progress: &'c mut dyn Progress,
    known: HashSet<Digest>,
    written: Written,
}

impl<'c, 'a, S: Sink> Contents<'c, 'a, S> {
    pub(super) fn new(tree: &'a Root, sink: &'c mut S, progress: &'c mut dyn Progress) -> Self {
        Self { tree, sink, progress, known: HashSet::new(), written: Written::default() }
    }

    /// Reads all pieces, and writes those whose content is new, in their order.
    pub(super) fn write_all(mut self, pieces: &[Piece<'a>], threads: NonZeroUsize) -> Result<Written> {
        let repeats = repeats(self.tree, pieces)?;
        let shared = Shared::new(loads(pieces), threads);
        let tree = self.tree;
        std::thread::scope(|scope| {
            let stop = StopOnDrop(&shared);
            let helpers = (threads.get() - 1).min(shared.loads.len());
            for _ in 0..helpers {
                let help = || Hand::new(tree, pieces, &shared).help();
                threads::spawn(scope, help)?;
            }
            let mut hand = Hand::new(tree, pieces, &shared);
            for (index, load) in shared.loads.iter().enumerate() {
                let spare = match load {
                    Load::Large(index) => {
                        self.write_large(*index, repeats.contains(index), &mut hand, threads)?;
                        None
                    }
                    Load::Batch(_) => {
                        let mut filled = self.work_until(&mut hand, |state| state.filled.remove(&index))?;
                        self.write_batch(&mut filled)?;
                        Some(filled)
                    }
                };
                shared.change(|state| {
                    state.at += 1;
                    state.spare.extend(spare);
                });
            }
            shared.change(|state| state.is_closed = true);
            self.wait_for_large(&mut hand)?;
            std::mem::forget(stop);
            Ok(self.written)
        })
    }

    /// Does what there is to do until something is ready.
    fn work_until<T>(
        &mut self,
        hand: &mut Hand<'_, 'a>,
        mut ready: impl FnMut(&mut State<'a>) -> Option<T>,
    ) -> Result<T> {
        let shared = hand.shared;
        let mut state = shared.state();
        loop {
            assert!(!state.is_stopped, "a thread panicked");
            if let Some(error) = state.error.take() {
                return Err(error);
            }
            let handled = std::mem::take(&mut state.handled);
            if handled > 0 {
                drop(state);
                go_on(self.progress.advance(handled))?;
                state = shared.state();
            } else if let Some(result) = ready(&mut state) {
                return Ok(result);
            } else if let Some(work) = state.work(&shared.loads) {
                drop(state);
                hand.run(work);
                state = shared.state();
            } else {
                state = shared.moved.wait(state).expect("no thread panics with the lock held");
            }
        }
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

    fn write_large(
        &mut self,
        index: usize,
        may_repeat: bool,
        hand: &mut Hand<'_, 'a>,
        threads: NonZeroUsize,
    ) -> Result<()> {
        let piece = hand.pieces[index];
        let place = self.tree.at(piece.path)?;
        let open = piece.open(self.tree, &place)?;
        let surprise = open.surprise(&place, &open.start()?)?;
        self.written.surprises.extend(surprise.map(|traits| (index, traits)));
        if may_repeat {
            return self.write_once(&piece, &open, hand);
        }
        let size = piece.look.stat.size;
        let length = record::blob_len(size).ok_or(Error::TooLarge)?;
        let Some(room) = self.sink.room(length) else { return self.write_next(size, &open) };
        self.work_until(hand, |state| (state.transfers.len() <= threads.get()).then_some(()))?;
        let head = record::blob_head(size);
        let head_digest = Digest::of(&head);
        room.write(&head, 0)?;
        room.write(head_digest.as_bytes(), head.len() as u64)?;
        let blob = self.written.blobs.len();
        self.written.blobs.push((RecordDigests { head: head_digest, data: UNKNOWN }, size));
        self.written.digests.push(UNKNOWN);
        let large = Large { open, room, head_len: (head.len() + Digest::LEN) as u64, piece: index, blob };
        hand.shared.change(|state| state.transfers.begin(large, size));
        Ok(())
    }

    /// Waits until all large files that were begun are complete.
    fn wait_for_large(&mut self, hand: &mut Hand<'_, 'a>) -> Result<()> {
        let begun = self.written.blobs.iter().filter(|(digests, _)| digests.data == UNKNOWN).count();
        let is_done = |state: &mut State<'a>| (state.done.len() == begun).then(|| std::mem::take(&mut state.done));
        for Done { piece, blob, digest } in self.work_until(hand, is_done)? {
            self.written.digests[piece] = digest;
            self.written.blobs[blob].0.data = digest;
            // It differed from all others of its size when they were compared, so one of them has changed.
            if !self.known.insert(digest) {
                return Err(Error::Changed { path: hand.pieces[piece].path.clone() });
            }
        }
        Ok(())
    }

    /// Writes a file that seems to have the content of an earlier one only if it has another. It is read before, and
    /// read again to be written.
    fn write_once(&mut self, piece: &Piece<'a>, open: &Open<'a>, hand: &mut Hand<'_, 'a>) -> Result<()> {
        self.wait_for_large(hand)?;
        let size = piece.look.stat.size;
        let digest = large::copy(open, size, &mut Nowhere, self.progress)?;
        if self.known.contains(&digest) {
            self.written.digests.push(digest);
            return Ok(());
        }
        let place = self.tree.at(piece.path)?;
        let again = Piece { expected: Some(digest), ..*piece };
        self.write_next(size, &again.open(self.tree, &place)?)
    }

    /// Writes a file that is known to have a new content.
    fn write_next(&mut self, size: u64, open: &Open<'a>) -> Result<()> {
        let head = record::blob_head(size);
        let head_digest = Digest::of(&head);
        self.sink.write(&head)?;
        self.sink.write(head_digest.as_bytes())?;
        let data = large::copy(open, size, self.sink, self.progress)?;
        self.sink.write(data.as_bytes())?;
        self.written.digests.push(data);
        self.is_new(&RecordDigests { head: head_digest, data }, size);
        Ok(())
    }
}

/// Stands for a digest until it is known.
const UNKNOWN: Digest = Digest::from_bytes([0; Digest::LEN]);
/// So much of the beginning, the middle and the end of large files is compared.
const SAMPLE: usize = 4096;

/// The large files that seem to have the content of an earlier one, because what was compared of them is the same.
/// Others have certainly not.
fn repeats(tree: &Root, pieces: &[Piece<'_>]) -> Result<HashSet<usize>> {
    let mut by_size: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (index, piece) in pieces.iter().enumerate().filter(|(_, piece)| piece.look.stat.size > SMALL) {
        by_size.entry(piece.look.stat.size).or_default().push(index);
    }
    let mut repeats = HashSet::new();
    for (size, group) in by_size.into_iter().filter(|(_, group)| group.len() > 1) {
        let mut samples = HashSet::new();
        for index in group {
            let place = tree.at(pieces[index].path)?;
            let open = pieces[index].open(tree, &place)?;
            let mut sample = [0; 3 * SAMPLE];
            let end = size - SAMPLE as u64;
            for (part, offset) in sample.chunks_exact_mut(SAMPLE).zip([0, end / 2, end]) {
                open.fill_at(part, offset)?;
            }
            if !samples.insert(Digest::of(sample)) {
                repeats.insert(index);
            }
        }
    }
    Ok(repeats)
}
