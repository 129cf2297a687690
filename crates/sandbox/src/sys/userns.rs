//! User namespaces made for their id map alone.

use std::ffi::{c_int, c_void};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

use super::raw;
use crate::Error;
use crate::blank::Maps;
use crate::error::STEP_MAPS;

/// Sleeps until killed, also by the end of the thread that waits for it. `parent` is that process' id.
extern "C" fn sleep(parent: *mut c_void) -> c_int {
    if raw::die_with_parent(parent as usize) { raw::sleep_forever() } else { raw::exit(1) }
}

/// First number inside, first outside, how many.
pub(crate) type Extent = (u32, u32, u32);

/// A user namespace whose maps `map` writes, which gets the number of a process in it.
pub(crate) fn userns(map: impl FnOnce(i32) -> Result<(), Error>) -> Result<OwnedFd, Error> {
    let parent = std::ptr::without_provenance_mut(std::process::id() as usize);
    let mut stack = vec![0u64; 2048];
    let mask = raw::set_signal_mask(u64::MAX);
    // SAFETY: the child only sleeps, on a stack that outlives it: it is killed and reaped below before the stack is dropped.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.len());
        libc::clone(sleep, top.cast(), libc::CLONE_VM | libc::CLONE_NEWUSER, parent)
    };
    let error = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL);
    raw::set_signal_mask(mask);
    if pid < 0 {
        return Err(Error::start(STEP_MAPS, error));
    }
    let result = map(pid).and_then(|()| {
        rustix::fs::open(format!("/proc/{pid}/ns/user"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(refused)
    });
    let _ = raw::kill(pid, libc::SIGKILL);
    let _ = raw::wait(pid);
    result
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
