//! User namespaces made for their id map alone.

use std::ffi::{c_int, c_void};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

use super::raw;
use super::stack::Stack;
use crate::Error;
use crate::blank::Maps;
use crate::error::STEP_MAPS;

/// Sleeps until killed, also by the end of the thread that waits for it. `parent` is that process' id.
extern "C" fn sleep(parent: *mut c_void) -> c_int {
    if raw::die_with_parent(parent as usize) { raw::sleep_forever() } else { raw::exit(1) }
}

/// First number inside, first outside, how many.
pub(crate) type Extent = (u32, u32, u32);

/// A process that only sleeps and shares the caller's memory. Reaped when this is dropped.
pub(crate) struct Sleeper {
    pid: i32,
    stack: Option<Stack>,
}

impl Sleeper {
    /// One in a user namespace of its own.
    fn start() -> Result<Self, Error> {
        let stack = Stack::take().map_err(|errno| Error::start("making a stack", errno))?;
        let parent = std::ptr::without_provenance_mut(std::process::id() as usize);
        let mask = raw::set_signal_mask(u64::MAX);
        // SAFETY: the child only sleeps, on a stack that is given to nobody else before it is reaped in `drop`.
        let pid = unsafe { libc::clone(sleep, stack.top(), libc::CLONE_VM | libc::CLONE_NEWUSER, parent) };
        let error = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL);
        raw::set_signal_mask(mask);
        if pid < 0 {
            stack.give_back();
            return Err(Error::start(STEP_MAPS, error));
        }
        Ok(Self { pid, stack: Some(stack) })
    }

    fn end(&self) {
        let _ = raw::kill(self.pid, libc::SIGKILL);
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.end();
        raw::wait(self.pid);
        if let Some(stack) = self.stack.take() {
            stack.give_back();
        }
    }
}

/// A user namespace whose maps `map` writes, which gets the number of a process in it. That is about to end; whoever has other
/// things to do drops it after them.
pub(crate) fn userns(map: impl FnOnce(i32) -> Result<(), Error>) -> Result<(OwnedFd, Sleeper), Error> {
    let sleeper = Sleeper::start()?;
    map(sleeper.pid)?;
    let path = format!("/proc/{}/ns/user", sleeper.pid);
    let namespace = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(refused)?;
    sleeper.end();
    Ok((namespace, sleeper))
}

fn refused(errno: rustix::io::Errno) -> Error {
    Error::start(STEP_MAPS, errno.raw_os_error())
}

/// Writes the maps of process `pid`, which only a caller with the right to do so can.
pub(crate) fn write_maps(pid: i32, maps: &Maps) -> Result<(), Error> {
    for (name, extents) in [("uid_map", &maps.users), ("gid_map", &maps.groups)] {
        let lines: String =
            extents.iter().map(|(inside, outside, count)| format!("{inside} {outside} {count}\n")).collect();
        let file = rustix::fs::open(format!("/proc/{pid}/{name}"), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        rustix::io::write(&file.map_err(refused)?, lines.as_bytes()).map_err(refused)?;
    }
    Ok(())
}
