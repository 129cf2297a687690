//! The work of a verification, in portions.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use pkgformat::{EntryKind, PackageRecord};

use crate::Unset;
use crate::standing::Standing;

/// Entries, or bytes, after which a share is large enough.
const ENTRIES: usize = 128;
const BYTES: u64 = 1 << 20;
/// Shares with more bytes than this go first, the largest before all: what is left to one thread at the end is small. All
/// others keep their order, which is that of the disk rather than of chance.
const LARGE: u64 = 8 << 20;
/// As long as more entries than this are waiting, no further package is read.
const ENOUGH: usize = 1 << 16;

/// A package, and what could not be given to its entries, by their positions.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) record: PackageRecord,
    pub(crate) standing: Standing,
    pub(crate) unset: HashMap<usize, Unset>,
}

/// Some of a package's entries.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) package: Arc<Subject>,
    pub(crate) entries: Range<usize>,
    rank: (u64, Reverse<u64>),
}

/// What is still to be verified.
#[derive(Debug)]
pub(crate) struct Shares {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    shares: BinaryHeap<Share>,
    entries: usize,
    count: u64,
    closed: bool,
}

impl Shares {
    pub(crate) fn new() -> Self {
        Self { waiting: Mutex::default(), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the others could soon have nothing to do.
    pub(crate) fn is_low(&self) -> bool {
        self.lock().entries < ENOUGH
    }

    pub(crate) fn add(&self, package: Subject) {
        let package = Arc::new(package);
        let mut waiting = self.lock();
        for (entries, bytes) in portions(&package.record) {
            waiting.entries += entries.len();
            waiting.count += 1;
            let rank = (if bytes > LARGE { bytes } else { 0 }, Reverse(waiting.count));
            waiting.shares.push(Share { package: Arc::clone(&package), entries, rank });
        }
        drop(waiting);
        self.changed.notify_all();
    }

    /// The next share, if one is waiting.
    pub(crate) fn take_now(&self) -> Option<Share> {
        self.lock().pop()
    }

    /// The next share; `None` when there will be none.
    pub(crate) fn take(&self) -> Option<Share> {
        let mut waiting = self.lock();
        loop {
            match waiting.pop() {
                Some(share) => return Some(share),
                None if waiting.closed => return None,
                None => waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// No further package comes; what is waiting is of no use any more where `given_up`.
    pub(crate) fn close(&self, given_up: bool) {
        let mut waiting = self.lock();
        waiting.closed = true;
        if given_up {
            waiting.shares.clear();
        }
        drop(waiting);
        self.changed.notify_all();
    }
}

impl Waiting {
    fn pop(&mut self) -> Option<Share> {
        let share = self.shares.pop()?;
        self.entries -= share.entries.len();
        Some(share)
    }
}

/// Ranges of entries, each with the bytes of its files.
fn portions(record: &PackageRecord) -> Vec<(Range<usize>, u64)> {
    let mut portions = Vec::new();
    let (mut start, mut bytes) = (0, 0_u64);
    let entries = record.manifest().entries();
    for (index, entry) in entries.iter().enumerate() {
        if let EntryKind::File { size, .. } = entry.kind {
            bytes = bytes.saturating_add(size);
        }
        if bytes >= BYTES || index + 1 - start >= ENTRIES || index + 1 == entries.len() {
            portions.push((start..index + 1, bytes));
            (start, bytes) = (index + 1, 0);
        }
    }
    portions
}

impl Ord for Share {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Share {}
