//! Hands work to threads beside the one that reads.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::{Error, Result};

/// Work that may wait. Each piece of it holds less than 512 KiB.
const WAITING: usize = 12;

/// Work in a queue of bounded length, for any number of threads.
#[derive(Debug)]
pub(super) struct Pool<J> {
    state: Mutex<State<J>>,
    moved: Condvar,
}

#[derive(Debug)]
struct State<J> {
    waiting: VecDeque<J>,
    spare: Vec<Vec<u8>>,
    error: Option<Error>,
    is_closed: bool,
}

impl<J> Pool<J> {
    pub(super) fn new() -> Self {
        let (waiting, spare) = (VecDeque::new(), Vec::new());
        let state = State { waiting, spare, error: None, is_closed: false };
        Self { state: Mutex::new(state), moved: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().expect("no thread panics with the lock held")
    }

    /// A buffer that was used before, or a new one.
    pub(super) fn buffer(&self) -> Vec<u8> {
        self.state().spare.pop().unwrap_or_default()
    }

    pub(super) fn give_back(&self, buffer: Vec<u8>) {
        self.state().spare.push(buffer);
    }

    /// Adds work. When enough waits, the longest waiting comes back, to be done by the caller: so nobody is idle, and
    /// memory is bounded.
    pub(super) fn push(&self, job: J) -> Result<Option<J>> {
        let mut state = self.state();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        state.waiting.push_back(job);
        let surplus = if state.waiting.len() > WAITING { state.waiting.pop_front() } else { None };
        drop(state);
        self.moved.notify_one();
        Ok(surplus)
    }

    /// Does work until there is none and there will be none; what fails first is the pool's error.
    pub(super) fn work(&self, mut run: impl FnMut(J) -> Result<()>) {
        while let Some(job) = self.next() {
            if let Err(error) = run(job) {
                let mut state = self.state();
                state.waiting.clear();
                state.error.get_or_insert(error);
            }
        }
    }

    fn next(&self) -> Option<J> {
        let mut state = self.state();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            if state.is_closed {
                return None;
            }
            state = self.moved.wait(state).expect("no thread panics with the lock held");
        }
    }

    /// No more work comes.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.moved.notify_all();
    }

    /// What failed, after everybody has ended.
    pub(super) fn into_result(self) -> Result<()> {
        let state = self.state.into_inner().expect("no thread panics with the lock held");
        state.error.map_or(Ok(()), Err)
    }
}

/// Lets the threads end also when the reader fails or panics.
pub(super) struct CloseOnDrop<'a, J>(pub(super) &'a Pool<J>);

impl<J> Drop for CloseOnDrop<'_, J> {
    fn drop(&mut self) {
        self.0.close();
    }
}
