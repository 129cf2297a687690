//! Blank rooms made ahead.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::blank::{Blank, Kind, Maps};
use crate::spawn::spawn_of;
use crate::{Child, Error, Outcome, Room, Root, Stream, Upper};

/// Kinds of rooms that are kept ready at once.
const KINDS: usize = 4;

/// Keeps blank rooms ready, so that the next room of a kind starts in half the time.
///
/// A blank is what does not depend on the program: its namespaces but those of processes and control groups, with `/dev`, `/sys`
/// and `/tmp`. It is new; no program has been in it, and none but one will be. A thread of the stock makes them, for the kinds of
/// rooms that were spawned last (user, network, `/tmp`), and ends when the stock is dropped. A blank has no process; it costs a few descriptors
/// and about 100 KiB of the kernel's memory.
///
/// When [`Child::wait`] of such a room returns, every process in it is gone as ever; its mounts go a moment later, on the thread
/// (at once where its root has [`Upper::Dir`]).
///
/// Worth it for a program that makes many rooms. For a single one [`Room::spawn`] does the same, a little slower.
///
/// ```no_run
/// use sandbox::{Room, Root, Stock};
///
/// let stock = Stock::new(2);
/// let room = Room::new(Root::layers(["/store/tool", "/store/libc"]), "/usr/bin/tool");
/// for _ in 0..100 {
///     stock.spawn(&room)?.wait()?;
/// }
/// # Ok::<(), sandbox::Error>(())
/// ```
#[derive(Debug)]
pub struct Stock {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    shelf: Mutex<Shelf>,
    changed: Condvar,
    /// Blanks of each kind.
    depth: usize,
}

#[derive(Debug, Default)]
struct Shelf {
    ready: Vec<Ready>,
    /// Mounts of rooms that have ended.
    ended: Vec<OwnedFd>,
    /// What was asked for, the last one first.
    wanted: Vec<(Kind, Maps)>,
    stop: bool,
}

/// The mounts of the caller as they were when a copy of them was made.
#[derive(Debug)]
struct Seen {
    table: File,
    place: Place,
}

/// The mount namespace and the root of the calling thread, by device and inode.
type Place = [(u64, u64); 2];

impl Seen {
    fn now() -> Option<Self> {
        Some(Self { table: File::open("/proc/thread-self/mounts").ok()?, place: Self::place()? })
    }

    fn place() -> Option<Place> {
        let identity = |path: &str| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        Some([identity("/proc/thread-self/ns/mnt")?, identity("/")?])
    }

    fn still(&self) -> bool {
        // The kernel tells by "priority" that the table has changed since it was opened.
        let mut fds = [PollFd::new(&self.table, PollFlags::PRI)];
        let unchanged = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(0);
        unchanged && Self::place() == Some(self.place)
    }
}

/// A blank room that waits, and of which mounts of the caller it has a copy.
#[derive(Debug)]
struct Ready {
    blank: Blank,
    seen: Option<Seen>,
}

impl Ready {
    fn make(kind: &Kind, maps: &Maps) -> Result<Self, Error> {
        // Before the copy: a mount made meanwhile makes it stale.
        let seen = if kind.copies_mounts() { Seen::now() } else { None };
        Ok(Self { blank: Blank::make(kind, maps, None)?, seen })
    }

    /// Whether the copy of the caller's mounts still is one.
    fn is_fresh(&self) -> bool {
        !self.blank.kind.copies_mounts() || self.seen.as_ref().is_some_and(Seen::still)
    }
}

impl Stock {
    /// An empty stock that keeps `depth` blanks of each kind; the first room of a kind is made on the spot.
    pub fn new(depth: usize) -> Self {
        let shared = Shared { shelf: Mutex::default(), changed: Condvar::new(), depth };
        Self { shared: Arc::new(shared), worker: None }.with_worker()
    }

    fn with_worker(mut self) -> Self {
        let shared = Arc::clone(&self.shared);
        // Without a thread every room is made on the spot.
        self.worker = std::thread::Builder::new().name("room-stock".to_owned()).spawn(move || shared.work()).ok();
        self
    }

    /// As [`Room::spawn`].
    ///
    /// # Errors
    /// Those of [`Room::spawn`].
    pub fn spawn(&self, room: &Room) -> Result<Child, Error> {
        let (mut child, blank) = spawn_of(room, |kind, maps| {
            self.shared.take(kind, maps).map_or_else(|| Blank::make(kind, maps, None), Ok)
        })?;
        if self.worker.is_some() && !matches!(room.root, Root::Overlay { upper: Upper::Dir { .. }, .. }) {
            // The kernel takes its time to take mounts apart: the last hold on them is the thread's, not the room's.
            let (shared, Blank { mounts, host, .. }) = (Arc::clone(&self.shared), blank);
            child.at_last(move || shared.let_go(host.into_iter().chain([mounts])));
        }
        Ok(child)
    }

    /// As [`Room::run`].
    ///
    /// # Errors
    /// Those of [`Room::run`].
    pub fn run(&self, room: &Room, sink: impl FnMut(Stream, &[u8]) -> std::io::Result<()>) -> Result<Outcome, Error> {
        self.spawn(room)?.wait_with(sink)
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        self.shared.shelf().stop = true;
        self.shared.changed.notify_all();
        if let Some(worker) = self.worker.take() {
            // It cannot panic in a way that matters here: its blanks are gone with it.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A blank of this kind, if there is one, and an order for the next.
    fn take(&self, kind: &Kind, maps: &Maps) -> Option<Blank> {
        let mut shelf = self.shelf();
        shelf.wanted.retain(|(wanted, _)| wanted != kind);
        shelf.wanted.insert(0, (kind.clone(), maps.clone()));
        shelf.wanted.truncate(KINDS);
        let place = shelf.ready.iter().position(|ready| ready.blank.kind == *kind);
        let ready = place.map(|place| shelf.ready.remove(place));
        let last = shelf.ready.iter().all(|ready| ready.blank.kind != *kind);
        drop(shelf);
        if last {
            // Otherwise the thread has time until the room has ended, and does not disturb its start.
            self.changed.notify_one();
        }
        ready.filter(Ready::is_fresh).map(|ready| ready.blank)
    }

    fn let_go(&self, mounts: impl Iterator<Item = OwnedFd>) {
        let mut shelf = self.shelf();
        if shelf.stop {
            return;
        }
        shelf.ended.extend(mounts);
        drop(shelf);
        self.changed.notify_one();
    }

    fn work(&self) {
        let mut shelf = self.shelf();
        while !shelf.stop {
            let old = (std::mem::take(&mut shelf.ended), shelf.forgotten());
            let order = shelf.order(self.depth);
            if order.is_none() && old.0.is_empty() && old.1.is_empty() {
                shelf = self.changed.wait(shelf).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            drop(shelf);
            drop(old);
            let Some((kind, maps)) = order else {
                shelf = self.shelf();
                continue;
            };
            let made = Ready::make(&kind, &maps);
            shelf = self.shelf();
            match made {
                Ok(ready) => shelf.ready.push(ready),
                // The next one to ask for it makes it on the spot and learns why it cannot be made.
                Err(_) => shelf.wanted.retain(|(wanted, _)| *wanted != kind),
            }
        }
    }
}

impl Shelf {
    /// Blanks of kinds that are no longer asked for.
    fn forgotten(&mut self) -> Vec<Ready> {
        let Self { ready, wanted, .. } = self;
        ready.extract_if(.., |ready| wanted.iter().all(|(kind, _)| *kind != ready.blank.kind)).collect()
    }

    /// A kind of which there are fewer than `depth`.
    fn order(&self, depth: usize) -> Option<(Kind, Maps)> {
        let count = |kind: &Kind| self.ready.iter().filter(|ready| ready.blank.kind == *kind).count();
        self.wanted.iter().find(|(kind, _)| count(kind) < depth).cloned()
    }
}
