//! Bringing to the disk what was staged while more is staged, so that the sync before the decision has little left to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use pkgfs::Root;

use crate::error::Result;

/// So much is worth a sync of its own: some tenths of a second of a slow disk, next to nothing of a fast one.
const WORTH: u64 = 64 << 20;

/// A thread that syncs the root's file system now and then; none where little is going to be written. Dropped, it waits for
/// the sync that is under way.
#[derive(Debug)]
pub(crate) struct Flusher(Option<JoinHandle<Result<()>>>);

/// Counts what is written, and tells the flusher. It ends when all of these are gone.
#[derive(Clone)]
pub(crate) struct FlushMeter(Option<Arc<(AtomicU64, SyncSender<()>)>>);

impl Flusher {
    /// One for about `total` bytes.
    ///
    /// # Errors
    /// Too many open files.
    pub(crate) fn new(root: &Root, total: u64) -> Result<(Self, FlushMeter)> {
        if total < 2 * WORTH {
            return Ok((Self(None), FlushMeter(None)));
        }
        let (bell, rings) = sync_channel(1);
        let root = root.try_clone()?;
        // The sync before the decision finds more to do without it.
        let thread = Builder::new().spawn(move || flush(&root, &rings)).ok();
        Ok((Self(thread), FlushMeter(Some(Arc::new((AtomicU64::new(0), bell))))))
    }

    /// Waits for the sync that is under way.
    ///
    /// # Errors
    /// The disk did not take what was written: a later sync might not say so again.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.wait()
    }

    fn wait(&mut self) -> Result<()> {
        self.0.take().map_or(Ok(()), |thread| thread.join().expect("a sync does not panic"))
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        // Whoever drops it gives up what was staged.
        let _ = self.wait();
    }
}

impl FlushMeter {
    /// Takes note of so much that is being written.
    pub(crate) fn add(&self, bytes: u64) {
        let Some((sum, bell)) = self.0.as_deref() else { return };
        let before = sum.fetch_add(bytes, Ordering::Relaxed);
        if before / WORTH != before.wrapping_add(bytes) / WORTH {
            // One that is busy, or failed, needs no second word.
            let _ = bell.try_send(());
        }
    }
}

fn flush(root: &Root, rings: &Receiver<()>) -> Result<()> {
    for () in rings {
        root.syncfs()?;
    }
    Ok(())
}
