//! A disk that remembers what was written to it and when it was told to flush, so that the power can be cut afterwards,
//! at any moment of its past.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request,
    TimeOrNow, WriteFlags,
};

/// What a disk loses or keeps as one piece: a block of the file systems on it.
pub const PIECE: usize = 4096;

const NAME: &str = "disk";
const FILE: INodeNo = INodeNo(2);
const NEVER_CACHED: Duration = Duration::ZERO;

/// Something that happened to a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Bytes were written; until the next flush they may be lost.
    Write {
        /// Where they begin.
        offset: usize,
        /// What they are.
        data: Vec<u8>,
    },
    /// Everything written before is safe.
    Flush,
}

/// A disk in memory, shown as a file that a loop device can stand on.
#[derive(Debug)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    folder: PathBuf,
    _session: BackgroundSession,
}

#[derive(Debug)]
struct State {
    content: Vec<u8>,
    events: Vec<Event>,
}

impl Disk {
    /// A disk of zeros, mounted on this folder. Who drops it unmounts it.
    ///
    /// # Errors
    /// Missing rights, or no FUSE.
    pub fn new(folder: &Path, size: usize) -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State { content: vec![0; size], events: Vec::new() }));
        let session = fuser::spawn_mount(Served(Arc::clone(&state)), folder, &Config::default())?;
        Ok(Self { state, folder: folder.to_owned(), _session: session })
    }

    /// The file that is the disk.
    pub fn file(&self) -> PathBuf {
        self.folder.join(NAME)
    }

    /// What it holds now.
    pub fn content(&self) -> Vec<u8> {
        lock(&self.state).content.clone()
    }

    /// Makes it hold something else, and forgets what happened. Nobody may have it mounted meanwhile.
    pub fn replace(&self, content: Vec<u8>) {
        *lock(&self.state) = State { content, events: Vec::new() };
    }

    /// How much happened since it was replaced.
    pub fn moment(&self) -> usize {
        lock(&self.state).events.len()
    }

    /// What happened since it was replaced.
    pub fn events(&self) -> Vec<Event> {
        lock(&self.state).events.clone()
    }
}

/// What is left of `base` when the power goes after these events: everything up to the last flush, and of what came
/// later the pieces that `keep` keeps.
pub fn after_power_cut(base: &[u8], events: &[Event], mut keep: impl FnMut() -> bool) -> Vec<u8> {
    let mut content = base.to_vec();
    let safe = events.iter().rposition(|event| *event == Event::Flush).unwrap_or(0);
    for (index, event) in events.iter().enumerate() {
        let Event::Write { offset, data } = event else { continue };
        for (number, piece) in data.chunks(PIECE).enumerate() {
            if index < safe || keep() {
                let start = offset + number * PIECE;
                content[start..start + piece.len()].copy_from_slice(piece);
            }
        }
    }
    content
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Served(Arc<Mutex<State>>);

impl Served {
    fn attributes(&self, ino: INodeNo) -> FileAttr {
        let is_file = ino == FILE;
        let size = if is_file { lock(&self.0).content.len() as u64 } else { 0 };
        FileAttr {
            ino,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_file { FileType::RegularFile } else { FileType::Directory },
            perm: if is_file { 0o600 } else { 0o700 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: PIECE as u32,
            flags: 0,
        }
    }
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == NAME {
            reply.entry(&NEVER_CACHED, &self.attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&NEVER_CACHED, &self.attributes(ino));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<std::time::SystemTime>,
        _: Option<FileHandle>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply.attr(&NEVER_CACHED, &self.attributes(ino));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Without the page cache in between, the loop device's writes come here in the order in which it makes them.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let state = lock(&self.0);
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(state.content.len());
        let end = start.saturating_add(size as usize).min(state.content.len());
        reply.data(&state.content[start..end]);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = lock(&self.0);
        let place = usize::try_from(offset).ok().and_then(|start| Some(start..start.checked_add(data.len())?));
        let Some(place) = place.filter(|place| place.end <= state.content.len()) else {
            return reply.error(Errno::ENOSPC);
        };
        state.events.push(Event::Write { offset: place.start, data: data.to_vec() });
        state.content[place].copy_from_slice(data);
        reply.written(data.len() as u32);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        lock(&self.0).events.push(Event::Flush);
        reply.ok();
    }
}
