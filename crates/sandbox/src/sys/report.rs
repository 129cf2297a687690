//! What the set-up processes leave in the memory they share with the caller.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, Ordering::SeqCst};

use super::raw::{self, Errno};
use super::step::Failure;

const DETAIL: usize = 240;

/// The first failure, and what the file system said about it.
#[derive(Debug)]
pub(crate) struct Report {
    step: AtomicU32,
    errno: AtomicI32,
    detail: [AtomicU8; DETAIL],
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { step: AtomicU32::new(0), errno: AtomicI32::new(0), detail: [const { AtomicU8::new(0) }; DETAIL] }
    }

    pub(super) fn fail(&self, step: u32, errno: Errno) {
        // Only the first: what fails next fails because of it.
        if self.errno.compare_exchange(0, errno, SeqCst, SeqCst).is_ok() {
            self.step.store(step, SeqCst);
        }
    }

    /// Keeps the first message in the log of a file system context.
    pub(super) fn keep_log(&self, fs: RawFd) {
        let mut buffer = [0u8; DETAIL];
        let count = raw::read(fs, &mut buffer).unwrap_or(0);
        for (place, byte) in self.detail.iter().zip(buffer.iter().take(count)) {
            place.store(*byte, SeqCst);
        }
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        let errno = self.errno.load(SeqCst);
        (errno != 0).then(|| Failure { step: self.step.load(SeqCst), errno })
    }

    /// The file system's words, without their `e ` (error) mark.
    pub(crate) fn detail(&self) -> String {
        let bytes: Vec<u8> = self.detail.iter().map(|byte| byte.load(SeqCst)).take_while(|byte| *byte != 0).collect();
        let text = String::from_utf8_lossy(&bytes);
        text.trim().trim_start_matches("e ").to_owned()
    }
}
