//! Making the staged files, beside the thread that reads and verifies them.

use std::fs::File;
use std::io::{self, ErrorKind as IoError, Seek as _, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

use pkgformat::Entry;
use pkgfs::{Batch, Place, Root, fd};
use pkgtypes::{Mode, PkgPath};

use super::flusher::{FlushMeter, Flusher};
use crate::error::Result;
use crate::rights::{Grant, plain};
use crate::{Error, Unset};

/// Files and bytes that travel together: enough that threads seldom meet, little enough for any memory.
const BATCH_FILES: usize = 64;
const BATCH_BYTES: usize = 512 << 10;
/// Messages in flight.
const QUEUE: usize = 8;
/// Zeros of this length become a hole.
const HOLE: usize = 64 << 10;

/// A file to be made.
#[derive(Debug, Clone)]
pub(crate) struct Target<'a> {
    pub(crate) path: PkgPath,
    pub(crate) node: usize,
    pub(crate) entry: &'a Entry,
    pub(crate) grant: Grant,
}

/// What could not be given to a node.
pub(crate) type Missing = (usize, Unset);

enum Message<'a> {
    /// Files with their whole content.
    Whole(Vec<(Target<'a>, Arc<Vec<u8>>)>),
    /// One content, for one or more files, that comes piece by piece.
    Stream(Vec<Target<'a>>, Receiver<Vec<u8>>),
}

/// The threads that make files.
pub(crate) struct Writers<'scope, 'a> {
    /// What each feeder gets.
    feeding: Feeding<'a>,
    threads: Vec<ScopedJoinHandle<'scope, Result<Vec<Missing>>>>,
    flusher: Flusher<'scope>,
}

/// The way to the writers.
#[derive(Clone)]
struct Feeding<'a> {
    queue: SyncSender<Message<'a>>,
    failed: Arc<AtomicBool>,
    meter: FlushMeter,
}

/// One thread's way to the writers.
pub(crate) struct Feeder<'a> {
    feeding: Feeding<'a>,
    batch: Vec<(Target<'a>, Arc<Vec<u8>>)>,
    bytes: usize,
}

/// Somebody gave up; why, [`Writers::finish`] or the other feeders' owners say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed;

/// How many threads share a work: more than four wait for the file system's own locks.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get().min(4))
}

impl<'scope, 'a: 'scope> Writers<'scope, 'a> {
    /// Threads that are going to write about `total` bytes.
    pub(crate) fn new(scope: &'scope Scope<'scope, '_>, root: &'a Root, total: u64) -> Self {
        let (queue, messages) = sync_channel(QUEUE);
        let messages = Arc::new(Mutex::new(messages));
        let failed = Arc::new(AtomicBool::new(false));
        let threads = (0..threads()).map(|_| {
            let (messages, failed) = (Arc::clone(&messages), Arc::clone(&failed));
            scope.spawn(move || {
                let answer = work(root, &messages);
                failed.fetch_or(answer.is_err(), Ordering::Relaxed);
                answer
            })
        });
        let threads = threads.collect();
        let (flusher, meter) = Flusher::new(scope, root, total);
        Self { feeding: Feeding { queue, failed, meter }, threads, flusher }
    }

    pub(crate) fn feeder(&self) -> Feeder<'a> {
        Feeder { feeding: self.feeding.clone(), batch: Vec::new(), bytes: 0 }
    }

    /// Waits until all files are made, whose feeders are gone; what could not be given to them.
    pub(crate) fn finish(self) -> Result<Vec<Missing>> {
        let Self { feeding, threads, flusher } = self;
        drop(feeding);
        let mut missing = Vec::new();
        for thread in threads {
            missing.extend(thread.join().expect("a writer does not panic")?);
        }
        flusher.finish()?;
        Ok(missing)
    }
}

impl<'a> Feeder<'a> {
    /// Makes the files with this content.
    pub(crate) fn write(&mut self, targets: impl Iterator<Item = Target<'a>>, content: Vec<u8>) -> Result<(), Failed> {
        let content = Arc::new(content);
        for target in targets {
            self.bytes += content.len();
            self.batch.push((target, Arc::clone(&content)));
        }
        if self.batch.len() >= BATCH_FILES || self.bytes >= BATCH_BYTES {
            return self.pass();
        }
        Ok(())
    }

    /// Makes the files with the content of this size that is sent piece by piece.
    pub(crate) fn stream(&mut self, targets: Vec<Target<'a>>, size: u64) -> Result<SyncSender<Vec<u8>>, Failed> {
        self.pass()?;
        self.feeding.meter.add(size.saturating_mul(targets.len() as u64));
        let (pieces, receiver) = sync_channel(QUEUE);
        self.send(Message::Stream(targets, receiver))?;
        Ok(pieces)
    }

    /// Hands over what was gathered.
    pub(crate) fn pass(&mut self) -> Result<(), Failed> {
        self.feeding.meter.add(std::mem::take(&mut self.bytes) as u64);
        match std::mem::take(&mut self.batch) {
            batch if batch.is_empty() => Ok(()),
            batch => self.send(Message::Whole(batch)),
        }
    }

    /// Lets the other feeders fail.
    pub(crate) fn give_up(&self) {
        self.feeding.failed.store(true, Ordering::Relaxed);
    }

    fn send(&self, message: Message<'a>) -> Result<(), Failed> {
        if self.feeding.failed.load(Ordering::Relaxed) {
            return Err(Failed);
        }
        self.feeding.queue.send(message).map_err(|_| Failed)
    }
}

fn work(root: &Root, messages: &Mutex<Receiver<Message<'_>>>) -> Result<Vec<Missing>> {
    let mut folders = Batch::new(root);
    let mut missing = Vec::new();
    loop {
        let message = messages.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match message {
            Err(_) => return Ok(missing),
            Ok(Message::Whole(files)) => {
                for (target, content) in files {
                    missing.extend(write_whole(&mut folders, &target, &content)?);
                }
            }
            Ok(Message::Stream(targets, pieces)) => {
                missing.extend(write_stream(&mut folders, &targets, pieces.into_iter().map(Ok))?);
            }
        }
    }
}

fn disk(place: &Place<'_>, operation: &'static str) -> impl Fn(io::Error) -> Error {
    let path = place.full_path();
    move |error| pkgfs::Error::new(operation, path.clone(), error).into()
}

/// Nobody else may open it before it is whole.
const PRIVATE: Mode = Mode::from_raw(0o600);

fn write_whole(folders: &mut Batch<'_>, target: &Target<'_>, content: &[u8]) -> Result<Option<Missing>> {
    let place = folders.at(&target.path)?;
    let file = place.create_file(PRIVATE)?;
    fd::write_all_at(&file, content, 0).map_err(disk(&place, "write the file"))?;
    finish_file(&place, &file, target)
}

/// Makes files with one content that comes piece by piece.
pub(crate) fn write_stream(
    folders: &mut Batch<'_>,
    targets: &[Target<'_>],
    pieces: impl Iterator<Item = io::Result<Vec<u8>>>,
) -> Result<Vec<Missing>> {
    let Some((first, copies)) = targets.split_first() else { return Ok(Vec::new()) };
    let mut missing = Vec::new();
    let mut original = {
        let place = folders.at(&first.path)?;
        let file = place.create_file(PRIVATE)?;
        write_pieces(&file, pieces).map_err(disk(&place, "write the file"))?;
        missing.extend(finish_file(&place, &file, first)?);
        file
    };
    for target in copies {
        let place = folders.at(&target.path)?;
        let mut file = place.create_file(PRIVATE)?;
        original.seek(SeekFrom::Start(0)).map_err(disk(&place, "write the file"))?;
        io::copy(&mut original, &mut file).map_err(disk(&place, "write the file"))?;
        missing.extend(finish_file(&place, &file, target)?);
    }
    Ok(missing)
}

fn write_pieces(file: &File, pieces: impl Iterator<Item = io::Result<Vec<u8>>>) -> io::Result<()> {
    let mut length = 0;
    for piece in pieces {
        let piece = piece?;
        if piece.len() < HOLE || piece.iter().any(|&byte| byte != 0) {
            fd::write_all_at(file, &piece, length)?;
        }
        length += piece.len() as u64;
    }
    file.set_len(length)
}

/// Owner first, since a change of owner takes capabilities and setid bits away.
fn finish_file(place: &Place<'_>, file: &File, target: &Target<'_>) -> Result<Option<Missing>> {
    let Grant { mut mode, owner, .. } = target.grant;
    let mut unset = Unset::NOTHING;
    if let Some((uid, gid)) = owner
        && !given(fd::set_owner(file, uid, gid)).map_err(disk(place, "set the owner of"))?
    {
        unset = unset | Unset::OWNER | if mode == plain(mode) { Unset::NOTHING } else { Unset::SETID };
        mode = plain(mode);
    }
    for xattr in &target.entry.xattrs {
        let answer = given(fd::set_xattr(file, &xattr.name, &xattr.value));
        if !answer.map_err(disk(place, "set an extended attribute of"))? {
            unset = unset | Unset::XATTRS;
        }
    }
    fd::set_mode(file, mode).map_err(disk(place, "set the mode of"))?;
    if fd::stat(file).map_err(disk(place, "look at"))?.mode != mode {
        unset = unset | Unset::MODE;
    }
    fd::set_mtime(file, target.entry.mtime).map_err(disk(place, "set the time of"))?;
    Ok((unset != Unset::NOTHING).then_some((target.node, unset)))
}

/// Whether a property could be given. That this user, or this file system, can not is an answer and no failure.
pub(crate) fn given(answer: io::Result<()>) -> io::Result<bool> {
    match answer {
        Ok(()) => Ok(true),
        Err(error)
            if matches!(error.kind(), IoError::PermissionDenied | IoError::InvalidInput | IoError::Unsupported) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
