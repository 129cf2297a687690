//! Bringing to the disk what was staged while more is staged, so that the sync before the decision has little left to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use pkgfs::Root;

use crate::error::Result;

/// So much is worth a sync of its own: some tenths of a second of a slow disk, next to nothing of a fast one.
const WORTH: u64 = 64 << 20;

/// A thread that syncs the root's file system now and then; none where little is going to be written.
pub(crate) struct Flusher<'scope>(Option<ScopedJoinHandle<'scope, Result<()>>>);

/// Counts what is written, and tells the flusher. It ends when all of these are gone.
#[derive(Clone)]
pub(crate) struct FlushMeter(Option<Arc<(AtomicU64, SyncSender<()>)>>);

impl<'scope> Flusher<'scope> {
    /// One for about `total` bytes.
    pub(crate) fn new(scope: &'scope Scope<'scope, '_>, root: &'scope Root, total: u64) -> (Self, FlushMeter) {
        if total < 2 * WORTH {
            return (Self(None), FlushMeter(None));
        }
        let (bell, rings) = sync_channel(1);
        let thread = scope.spawn(move || flush(root, &rings));
        (Self(Some(thread)), FlushMeter(Some(Arc::new((AtomicU64::new(0), bell)))))
    }

    /// Waits for the sync that is under way.
    ///
    /// # Errors
    /// The disk did not take what was written: a later sync might not say so again.
    pub(crate) fn finish(self) -> Result<()> {
        self.0.map_or(Ok(()), |thread| thread.join().expect("a sync does not panic"))
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
