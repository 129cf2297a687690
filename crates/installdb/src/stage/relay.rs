//! Files on their way from threads that read packages to those that have nothing left to read.
//!
//! As long as each thread has a package to read, each makes its files itself: what was just read and verified is still near
//! the processor, and nobody waits for anybody. What one of them reads when others have no package left, those make.

use std::collections::VecDeque;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::writer::Target;
use crate::error::Result;

/// Messages that wait to be taken.
const QUEUE: usize = 8;

/// Files that one thread makes for another.
pub(crate) enum Message<'a> {
    /// Files with their whole content.
    Whole(Vec<(Target<'a>, Arc<Vec<u8>>)>),
    /// One content of this size, for one or more files, that comes piece by piece.
    Stream(Vec<Target<'a>>, u64, Receiver<Vec<u8>>),
}

/// Where the threads meet.
pub(crate) struct Relay<'a> {
    state: Mutex<State<'a>>,
    changed: Condvar,
}

struct State<'a> {
    queue: VecDeque<Message<'a>>,
    /// Threads that may still give something.
    readers: usize,
    /// Threads that have nothing left to read.
    helpers: usize,
    has_failed: bool,
}

/// One thread's end, as long as it reads.
pub(crate) struct Giver<'r, 'a>(&'r Relay<'a>);

impl<'a> Relay<'a> {
    pub(crate) fn new() -> Self {
        let state = State { queue: VecDeque::new(), readers: 0, helpers: 0, has_failed: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// One more thread that reads. All of these are made before the first one begins.
    pub(crate) fn giver(&self) -> Giver<'_, 'a> {
        self.state().readers += 1;
        Giver(self)
    }

    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next message, if there is going to be one.
    fn take(&self) -> Option<Message<'a>> {
        let mut state = self.state();
        loop {
            if let Some(message) = state.queue.pop_front() {
                return Some(message);
            }
            if state.readers == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn fail(&self) {
        self.state().has_failed = true;
    }
}

impl<'r, 'a> Giver<'r, 'a> {
    /// Whether others wait for work.
    pub(crate) fn has_helpers(&self) -> bool {
        self.0.state().helpers > 0
    }

    /// Whether another thread gave up, and knows why.
    pub(crate) fn is_to_stop(&self) -> bool {
        self.0.state().has_failed
    }

    /// Lets the others stop, too.
    pub(crate) fn give_up(&self) {
        self.0.fail();
    }

    /// Gives away what `message` makes; `false`, without a call, where the others have enough to do.
    pub(crate) fn give(&self, message: impl FnOnce() -> Message<'a>) -> bool {
        let mut state = self.0.state();
        let has_time = state.helpers > 0 && state.queue.len() < QUEUE;
        if has_time {
            state.queue.push_back(message());
            self.0.changed.notify_one();
        }
        has_time
    }

    /// Reads no more, and takes what the others give until none of them reads. After a failure what comes is let go, so that
    /// nobody waits for ever for somebody to take it.
    pub(crate) fn help(self, mut make: impl FnMut(Message<'a>) -> Result<()>) -> Result<()> {
        let relay = self.0;
        relay.state().helpers += 1;
        drop(self);
        let mut answer = Ok(());
        while let Some(message) = relay.take() {
            if relay.state().has_failed {
                continue;
            }
            answer = make(message);
            if answer.is_err() {
                relay.fail();
            }
        }
        answer
    }
}

impl Drop for Giver<'_, '_> {
    fn drop(&mut self) {
        self.0.state().readers -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::Error;

    /// What the threads made themselves, and for others; messages are told apart by their sizes.
    fn run(counts: &[u64], make: impl Fn(u64) -> Result<()> + Sync) -> (Vec<u64>, Vec<Result<()>>) {
        let (relay, made) = (Relay::new(), Mutex::new(Vec::new()));
        let give = |giver: Giver<'_, '_>, first: u64, count: u64| {
            for size in first..first + count {
                let (_, pieces) = sync_channel(1);
                if !giver.give(|| Message::Stream(Vec::new(), size, pieces)) {
                    made.lock().unwrap().push(size);
                }
            }
            giver.help(|message| {
                let Message::Stream(_, size, _) = message else { panic!("nobody gave this") };
                made.lock().unwrap().push(size);
                make(size)
            })
        };
        let givers: Vec<_> = counts.iter().map(|_| relay.giver()).collect();
        let answers = std::thread::scope(|scope| {
            let threads = givers.into_iter().zip(counts).zip((0..).step_by(1000));
            let threads = threads.map(|((giver, count), first)| scope.spawn(move || give(giver, first, *count)));
            let threads: Vec<_> = threads.collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut made = made.into_inner().unwrap();
        made.sort_unstable();
        (made, answers)
    }

    #[test]
    fn whatever_is_read_is_made_once() {
        for counts in [[0, 900, 0], [900, 3, 40], [1, 0, 0]] {
            let (made, answers) = run(&counts, |_| Ok(()));
            let all = counts.iter().zip((0..).step_by(1000)).flat_map(|(count, first)| first..first + count);
            assert_eq!(made, all.collect::<Vec<u64>>());
            assert!(answers.iter().all(Result::is_ok));
        }
    }

    #[test]
    fn after_a_failure_nobody_waits_for_ever() {
        for _ in 0..50 {
            let (_, answers) = run(&[0, 900, 900], |_| Err(Error::Stopped));
            assert!(answers.iter().filter(|answer| answer.is_err()).count() <= 2);
        }
    }
}
