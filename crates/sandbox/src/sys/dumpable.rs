//! The caller's "dumpable" mark.
//!
//! A process that changes users clears it for the memory it lives in, and the set-up of a room lives in the caller's. Without
//! the mark `/proc/self` belongs to root, and an ordinary user cannot write his map. So it is put back with the last room that
//! is being entered, and a process that is to write a map sets it again if it was the caller's.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::raw;

/// How many rooms are being entered, and the mark before the first of them.
static KEPT: Mutex<(usize, usize)> = Mutex::new((0, 0));

fn kept() -> MutexGuard<'static, (usize, usize)> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the caller has the mark, apart from what rooms do to it.
pub(crate) fn marked() -> bool {
    let kept = kept();
    if kept.0 == 0 { raw::dumpable() == 1 } else { kept.1 == 1 }
}

/// The mark may be lost while this lives.
#[derive(Debug)]
pub(crate) struct Lost;

impl Lost {
    pub(crate) fn allow() -> Self {
        let mut kept = kept();
        if kept.0 == 0 {
            kept.1 = raw::dumpable();
        }
        kept.0 += 1;
        Self
    }
}

impl Drop for Lost {
    fn drop(&mut self) {
        let mut kept = kept();
        kept.0 -= 1;
        if kept.0 == 0 && kept.1 == 1 {
            raw::set_dumpable(1);
        }
    }
}
