//! Namespaces made by processes that share the caller's memory and descriptors, and end at once.
//!
//! One makes the mounts. A network takes the kernel as long as all the rest, so a second makes that at the same time.

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering::SeqCst};

use super::launch::Refused;
use super::raw::{self, Errno};
use super::report::Report;
use super::stack::Stack;
use super::step::{Slots, Step};

/// The part of the steps that a second process does, at the same time as what follows them.
#[derive(Clone, Debug)]
pub(crate) struct Aside {
    pub steps: Range<usize>,
    /// The namespaces in which it does them. If there are any, the steps come first, and what follows waits..
    pub kinds: c_int,
    /// ..until those before this one are done.
    pub ready: usize,
}

/// What both processes look at.
struct Shared<'a> {
    steps: &'a [Step],
    aside: Aside,
    /// Not 0 once the second process is as far as the other waits for.
    ready: AtomicU32,
    slots: Slots,
    report: Report,
    /// The number of the second process, once there is one.
    second: AtomicI32,
    second_stack: Option<Stack>,
}

/// Namespaces that are being made.
pub(crate) struct Making<'a> {
    kinds: c_int,
    /// Boxed: a process may be looking at it.
    shared: Box<Shared<'a>>,
}

impl<'a> Making<'a> {
    /// Prepares to run `steps` in new namespaces of `kinds`, those in `aside` by a second process. If they come first, they run
    /// from now on.
    pub(crate) fn begin(kinds: c_int, steps: &'a [Step], aside: Aside, slots: usize) -> Result<Self, Refused> {
        let (slots, report) = (Slots::new(slots), Report::new());
        let (ready, second) = (AtomicU32::new(0), AtomicI32::new(0));
        let second_stack = if aside.steps.is_empty() { None } else { Some(Stack::take().map_err(no_stack)?) };
        let shared = Shared { steps, aside, ready, slots, report, second, second_stack };
        let making = Self { kinds, shared: Box::new(shared) };
        if making.shared.aside.steps.start == 0 {
            let mask = raw::set_signal_mask(u64::MAX);
            let started = making.shared.start_second();
            raw::set_signal_mask(mask);
            started.map_err(|errno| Refused::Early(crate::error::STEP_NAMESPACES, errno))?;
        }
        Ok(making)
    }

    /// Runs the steps and returns the descriptors left in the slots.
    pub(crate) fn finish(mut self) -> Result<Vec<Option<OwnedFd>>, Refused> {
        let stack = Stack::take().map_err(no_stack)?;
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | self.kinds;
        let mask = raw::set_signal_mask(u64::MAX);
        // SAFETY: the stack is as large as said and lives until the process has ended, which CLONE_VFORK waits for; `work` and
        // all it calls only read `shared`, store into its atomics, and call the kernel; with every signal blocked no handler of
        // this program runs on that stack. The exit signal is 0, so nobody else's wait() takes the child.
        let pid = unsafe { libc::clone(work, stack.top(), flags, self.shared.address()) };
        let error = if pid < 0 { std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL) } else { 0 };
        raw::set_signal_mask(mask);
        stack.give_back();
        if pid < 0 {
            return Err(Refused::Early(crate::error::STEP_NAMESPACES, error));
        }
        let _ = raw::wait(pid);
        self.shared.end_second();
        let made = std::mem::replace(&mut self.shared.slots, Slots::new(0));
        // SAFETY: the processes had this process' descriptor table and have ended; what their steps opened stays in the slots
        // until it is closed.
        let made = unsafe { made.take() };
        let report = &self.shared.report;
        report.failure().map_or(Ok(made), |failure| Err(Refused::Setup(failure, report.detail())))
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.shared.end_second();
        let slots = std::mem::replace(&mut self.shared.slots, Slots::new(0));
        // SAFETY: as in `finish`, after which the slots are empty.
        drop(unsafe { slots.take() });
        if let Some(stack) = self.shared.second_stack.take() {
            stack.give_back();
        }
    }
}

fn no_stack(errno: Errno) -> Refused {
    Refused::Early("making a stack", errno)
}

impl Shared<'_> {
    fn address(&self) -> *mut c_void {
        (&raw const *self).cast_mut().cast()
    }

    /// Starts the second process, if there are steps for one, as a child of the caller. Every signal must be blocked.
    fn start_second(&self) -> Result<(), Errno> {
        let Some(stack) = &self.second_stack else { return Ok(()) };
        let flags = libc::CLONE_VM | libc::CLONE_FILES | self.aside.kinds;
        let parent = if self.aside.steps.start == 0 { 0 } else { libc::CLONE_PARENT };
        // SAFETY: as in `finish`, but for the end of the process: `end_second` waits for it before the stack and `self` go. The
        // C library's `errno` for a failure is that of the caller, who is here or waits.
        let pid = unsafe { libc::clone(work_aside, stack.top(), flags | parent, self.address()) };
        if pid < 0 {
            return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL));
        }
        self.second.store(pid, SeqCst);
        Ok(())
    }

    /// Waits for the end of the second process.
    fn end_second(&self) {
        let pid = self.second.swap(0, SeqCst);
        if pid > 0 {
            let _ = raw::wait(pid);
        }
    }

    /// Runs some of the steps; false at the first that failed.
    fn run(&self, range: Range<usize>) -> bool {
        for (index, step) in self.steps.iter().enumerate().take(range.end).skip(range.start) {
            if let Err(errno) = step.run(&self.slots, &self.report) {
                self.report.fail(index as u32, errno);
                return false;
            }
        }
        true
    }
}

extern "C" fn work(shared: *mut c_void) -> c_int {
    // SAFETY: `finish` passes a `Shared` that lives until this process has ended; nobody writes it.
    let shared: &Shared<'_> = unsafe { &*shared.cast_const().cast() };
    raw::umask(0o022);
    let Range { start, end } = shared.aside.steps;
    if shared.aside.kinds != 0 {
        raw::wait_for(&shared.ready);
        if shared.report.failure().is_some() {
            raw::exit(0)
        }
    }
    if shared.run(0..start) {
        match if start > 0 { shared.start_second() } else { Ok(()) } {
            Ok(()) => drop(shared.run(end..shared.steps.len())),
            Err(errno) => shared.report.fail(start as u32, errno),
        }
    }
    raw::exit(0)
}

extern "C" fn work_aside(shared: *mut c_void) -> c_int {
    // SAFETY: as in `work`.
    let shared: &Shared<'_> = unsafe { &*shared.cast_const().cast() };
    let Aside { steps: Range { start, end }, ready, .. } = shared.aside;
    let done = shared.run(start..ready);
    raw::announce(&shared.ready);
    if done {
        shared.run(ready..end);
    }
    raw::exit(0)
}
