//! Memory for the stacks of processes that share the caller's memory.

use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use super::raw::Errno;

/// Memory for the stack of one process, with pages below it that nothing may touch.
#[derive(Debug)]
pub(crate) struct Stack {
    base: usize,
}

const SIZE: usize = 256 * 1024;
const GUARD: usize = 64 * 1024;
/// Stacks kept for the next room.
const KEPT: usize = 8;

static FREE: Mutex<Vec<Stack>> = Mutex::new(Vec::new());

impl Stack {
    /// One that was used before, or a new one.
    pub(crate) fn take() -> Result<Self, Errno> {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.map_or_else(Self::new, Ok)
    }

    /// Keeps it for another process; the one that used it must have left this memory.
    pub(crate) fn give_back(self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(self);
        }
    }

    fn new() -> Result<Self, Errno> {
        use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
        let flags = MapFlags::PRIVATE | MapFlags::STACK | MapFlags::NORESERVE;
        // SAFETY: a new anonymous mapping, at a place of the kernel's choice.
        let base =
            unsafe { mmap_anonymous(std::ptr::null_mut(), SIZE + GUARD, ProtFlags::READ | ProtFlags::WRITE, flags) };
        let base = base.map_err(rustix::io::Errno::raw_os_error)?;
        let stack = Self { base: base.expose_provenance() };
        // SAFETY: the lowest part of the mapping made above, which nothing uses yet.
        unsafe { mprotect(base, GUARD, MprotectFlags::empty()) }.map_err(rustix::io::Errno::raw_os_error)?;
        Ok(stack)
    }

    /// Where a process begins to use it; its end is aligned to a page.
    pub(crate) fn top(&self) -> *mut c_void {
        std::ptr::with_exposed_provenance_mut(self.base + SIZE + GUARD)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`; a stack is dropped only when no process uses it.
        let _ = unsafe { rustix::mm::munmap(std::ptr::with_exposed_provenance_mut(self.base), SIZE + GUARD) };
    }
}
