//! Namespaces made by a process that shares the caller's memory and descriptors, and ends at once.

use std::ffi::{c_int, c_void};
use std::os::fd::OwnedFd;

use super::launch::Refused;
use super::raw;
use super::report::Report;
use super::stack::Stack;
use super::step::{Slots, Step};

struct Shared<'a> {
    steps: &'a [Step],
    slots: Slots,
    report: Report,
}

/// Runs `steps` in new namespaces of `kinds` and returns the descriptors left in the slots.
pub(crate) fn make(kinds: c_int, steps: &[Step], slots: usize) -> Result<Vec<Option<OwnedFd>>, Refused> {
    let stack = Stack::take().map_err(|errno| Refused::Early("making a stack", errno))?;
    let shared = Shared { steps, slots: Slots::new(slots), report: Report::new() };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | kinds;
    let mask = raw::set_signal_mask(u64::MAX);
    // SAFETY: the stack is as large as said and lives until the process has ended, which CLONE_VFORK waits for; `work` and all
    // it calls only read `shared`, store into its atomics, and call the kernel; with every signal blocked no handler of this
    // program runs on that stack. The exit signal is 0, so nobody else's wait() takes the child.
    let pid = unsafe { libc::clone(work, stack.top(), flags, (&raw const shared).cast_mut().cast()) };
    let error = if pid < 0 { std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL) } else { 0 };
    raw::set_signal_mask(mask);
    stack.give_back();
    if pid < 0 {
        return Err(Refused::Early(crate::error::STEP_NAMESPACES, error));
    }
    let _ = raw::wait(pid);
    let Shared { slots, report, .. } = shared;
    // SAFETY: the process had this process' descriptor table; what its steps opened stays in the slots until it is closed.
    let made = unsafe { slots.take() };
    report.failure().map_or(Ok(made), |failure| Err(Refused::Setup(failure, report.detail())))
}

extern "C" fn work(shared: *mut c_void) -> c_int {
    // SAFETY: `make` passes a `Shared` that lives until this process has ended; nobody writes it.
    let shared: &Shared<'_> = unsafe { &*shared.cast_const().cast() };
    raw::umask(0o022);
    for (index, step) in shared.steps.iter().enumerate() {
        if let Err(errno) = step.run(&shared.slots, &shared.report) {
            shared.report.fail(index as u32, errno);
            raw::exit(1);
        }
    }
    raw::exit(0)
}
