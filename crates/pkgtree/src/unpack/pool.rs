//! What the threads that unpack share: work that waits, and what became of it.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use pkgtypes::Hasher;

use crate::transfer::{Chunk, Step, Transfers};
use crate::{Error, Result};

/// Batches that may wait. Each of them holds about 256 KiB.
const WAITING: usize = 12;

/// Work for any number of threads: batches in a queue of bounded length, and long contents.
#[derive(Debug)]
pub(super) struct Pool<B, L> {
    state: Mutex<State<B, L>>,
    moved: Condvar,
}

#[derive(Debug)]
struct State<B, L> {
    waiting: VecDeque<B>,
    transfers: Transfers<L>,
    spare: Vec<Vec<u8>>,
    /// Bytes of content that were handled since somebody asked.
    handled: u64,
    error: Option<Error>,
    is_closed: bool,
    /// Whether a thread panicked, or the reader failed.
    is_stopped: bool,
}

/// What a thread does next.
#[derive(Debug)]
pub(super) enum Work<B, L> {
    Batch(B),
    Step(Step<L>),
}

impl<B, L> Pool<B, L> {
    pub(super) fn new(threads: NonZeroUsize) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            transfers: Transfers::new(threads),
            spare: Vec::new(),
            handled: 0,
            error: None,
            is_closed: false,
            is_stopped: false,
        };
        Self { state: Mutex::new(state), moved: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<B, L>> {
        self.state.lock().expect("no thread panics with the lock held")
    }

    /// A buffer that was used before, or a new one.
    pub(super) fn buffer(&self) -> Vec<u8> {
        self.state().spare.pop().unwrap_or_default()
    }

    pub(super) fn give_back(&self, buffer: Vec<u8>, handled: u64) {
        let mut state = self.state();
        state.spare.push(buffer);
        state.handled += handled;
    }

    /// How many bytes were handled since this was asked the last time.
    pub(super) fn handled(&self) -> Result<u64> {
        let mut state = self.state();
        assert!(!state.is_stopped, "a thread panicked");
        match state.error.take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut state.handled)),
        }
    }

    /// Adds a batch. When enough waits it comes back, to be done by the caller: so nobody is idle, and memory is
    /// bounded.
    pub(super) fn push(&self, batch: B) -> Option<B> {
        let mut state = self.state();
        if state.waiting.len() >= WAITING {
            return Some(batch);
        }
        state.waiting.push_back(batch);
        drop(state);
        self.moved.notify_one();
        None
    }

    /// Adds a long content, for all threads to copy.
    pub(super) fn begin(&self, large: L, size: u64) {
        self.state().transfers.begin(large, size);
        self.moved.notify_all();
    }

    /// How many long contents are under way.
    pub(super) fn large(&self) -> usize {
        self.state().transfers.len()
    }

    /// Adds a long content of which the caller copies all chunks, with [`Pool::chunk`].
    pub(super) fn begin_fed(&self, large: L, size: u64) -> u64 {
        self.state().transfers.begin_fed(large, size)
    }

    /// The next chunk of a fed content; `None` when something has to be hashed first.
    pub(super) fn chunk(&self, number: u64) -> Option<Chunk<L>> {
        self.state().transfers.copy(number)
    }

    /// Takes a chunk of a fed content.
    pub(super) fn feed(&self, chunk: Chunk<L>) {
        self.state().transfers.copied(chunk);
        self.moved.notify_one();
    }

    /// Something of a fed content to hash, if no other thread does it; else waits until something has changed.
    pub(super) fn hash_or_wait(&self) -> Option<Step<L>> {
        let mut state = self.state();
        let step = state.transfers.hash();
        if step.is_none() && state.error.is_none() && !state.is_stopped {
            drop(self.moved.wait(state));
        }
        step
    }

    /// Takes a chunk that was copied, and gives back what the thread can hash of it.
    pub(super) fn copied(&self, chunk: Chunk<L>) -> Option<Step<L>> {
        let step = self.state().transfers.hash_copied(chunk);
        if step.is_none() {
            self.moved.notify_one();
        }
        step
    }

    /// Takes a chunk that was hashed; with the last one the content is complete.
    pub(super) fn hashed(&self, chunk: Chunk<L>, hasher: Hasher) -> Option<(Arc<L>, Hasher)> {
        let mut state = self.state();
        state.handled += chunk.bytes.len() as u64;
        let complete = state.transfers.hashed(chunk, hasher);
        drop(state);
        self.moved.notify_all();
        complete
    }

    /// The next work; waits for it until there is none and there will be none.
    pub(super) fn next(&self) -> Option<Work<B, L>> {
        let mut state = self.state();
        loop {
            if let Some(step) = state.transfers.step() {
                return Some(Work::Step(step));
            }
            if let Some(batch) = state.waiting.pop_front() {
                return Some(Work::Batch(batch));
            }
            if state.is_closed && state.transfers.len() == 0 {
                return None;
            }
            state = self.moved.wait(state).expect("no thread panics with the lock held");
        }
    }

    /// Ends all work; what failed first is the pool's error.
    pub(super) fn fail(&self, error: Error) {
        let mut state = self.state();
        state.error.get_or_insert(error);
        state.waiting.clear();
        state.transfers.clear();
        drop(state);
        self.moved.notify_all();
    }

    /// No more work comes.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.moved.notify_all();
    }
}

/// Lets the others end also when one thread fails or panics.
pub(super) struct StopOnDrop<'a, B, L>(pub(super) &'a Pool<B, L>);

impl<B, L> Drop for StopOnDrop<'_, B, L> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_closed = true;
        state.is_stopped = true;
        state.waiting.clear();
        state.transfers.clear();
        drop(state);
        self.0.moved.notify_all();
    }
}
