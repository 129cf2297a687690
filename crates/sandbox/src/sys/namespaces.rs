//! Namespaces made by processes that share the caller's memory and descriptors, and end at once.
//!
//! One makes the mounts. A network takes the kernel as long as all the rest, so a second makes that at the same time. The caller
//! goes on meanwhile, so neither may touch what it has besides their steps: no memory is allocated, no `errno` set.

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering::SeqCst};

use super::launch::Refused;
use super::raw::{self, Errno};
use super::report::Report;
use super::stack::Stack;
use super::step::{Slot, Slots, Step};

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
#[derive(Debug)]
struct Shared {
    steps: Vec<Step>,
    aside: Aside,
    /// Not 0 once the second process is as far as the other waits for.
    ready: AtomicU32,
    /// Whether the first process is to leave its steps.
    given_up: AtomicBool,
    slots: Slots,
    report: Report,
    /// The number of the second process where the first starts it, and the stack for it.
    nested: AtomicI32,
    nested_stack: Option<Stack>,
}

/// A process that shares this one's memory, and its stack.
#[derive(Debug)]
struct Process {
    pid: c_int,
    stack: Stack,
}

impl Process {
    fn start(work: extern "C" fn(*mut c_void) -> c_int, flags: c_int, shared: &Shared) -> Result<Self, Refused> {
        let stack = Stack::take().map_err(no_stack)?;
        let mask = raw::set_signal_mask(u64::MAX);
        // SAFETY: the stack is as large as said and lives until `end` has waited for the process; so does `shared`, see there.
        // `work` and all it calls only read `shared`, store into its atomics, and call the kernel; with every signal blocked no
        // handler of this program runs on that stack. The exit signal is 0, so nobody else's wait() takes the child.
        let pid =
            unsafe { libc::clone(work, stack.top(), libc::CLONE_VM | libc::CLONE_FILES | flags, shared.address()) };
        let error = if pid < 0 { std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL) } else { 0 };
        raw::set_signal_mask(mask);
        if pid < 0 {
            stack.give_back();
            return Err(Refused::Early(crate::error::STEP_NAMESPACES, error));
        }
        Ok(Self { pid, stack })
    }

    /// Waits for its end.
    fn end(self) {
        raw::wait(self.pid);
        self.stack.give_back();
    }
}

/// Namespaces that are being made.
#[derive(Debug)]
pub(crate) struct Making {
    kinds: c_int,
    /// Boxed: processes are looking at it, all of which have ended before it goes.
    shared: Box<Shared>,
    first: Option<Process>,
    second: Option<Process>,
}

impl Making {
    /// Begins to run `steps`, those in `aside` by a second process and all others by a first, in new namespaces of `kinds`. Both
    /// run while the caller goes on, unless the first has to start the second: then they run in `finish`.
    pub(crate) fn begin(kinds: c_int, steps: Vec<Step>, aside: Aside, slots: usize) -> Result<Self, Refused> {
        let nested = aside.steps.start > 0 && !aside.steps.is_empty();
        let nested_stack = if nested { Some(Stack::take().map_err(no_stack)?) } else { None };
        let (slots, report) = (Slots::new(slots), Report::new());
        let (ready, given_up, pid) = (AtomicU32::new(0), AtomicBool::new(false), AtomicI32::new(0));
        let count = steps.len();
        let shared = Box::new(Shared { steps, aside, ready, given_up, slots, report, nested: pid, nested_stack });
        let mut making = Self { kinds, shared, first: None, second: None };
        let Aside { steps: Range { start, end }, kinds, .. } = making.shared.aside;
        if !nested && end > start {
            making.second = Some(Process::start(work_aside, kinds, &making.shared)?);
        }
        if !nested && end - start < count {
            making.first = Some(Process::start(work, making.kinds, &making.shared)?);
        }
        Ok(making)
    }

    /// Waits until the second process is as far as others wait for, and returns what is in `slot` then; `None` if it failed.
    pub(crate) fn ready(&self, slot: Slot) -> Option<RawFd> {
        raw::wait_for(&self.shared.ready);
        self.shared.report.failure().is_none().then(|| self.shared.slots.fd(slot))
    }

    /// Has the first process leave the steps that it has not done yet.
    pub(crate) fn give_up(&self) {
        self.shared.given_up.store(true, SeqCst);
    }

    /// Waits for the steps, and returns the descriptors left in the slots.
    pub(crate) fn finish(mut self) -> Result<Vec<Option<OwnedFd>>, Refused> {
        if self.shared.nested_stack.is_some() {
            self.first = Some(Process::start(work, self.kinds, &self.shared)?);
        }
        self.end();
        let made = std::mem::replace(&mut self.shared.slots, Slots::new(0));
        // SAFETY: the processes had this process' descriptor table and have ended; what their steps opened stays in the slots
        // until it is closed.
        let made = unsafe { made.take() };
        let report = &self.shared.report;
        report.failure().map_or(Ok(made), |failure| Err(Refused::Setup(failure, report.detail())))
    }

    /// Waits for every process.
    fn end(&mut self) {
        for process in [self.first.take(), self.second.take()].into_iter().flatten() {
            process.end();
        }
        let nested = self.shared.nested.swap(0, SeqCst);
        if nested > 0 {
            raw::wait(nested);
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.give_up();
        self.end();
        let slots = std::mem::replace(&mut self.shared.slots, Slots::new(0));
        // SAFETY: as in `finish`, after which the slots are empty.
        drop(unsafe { slots.take() });
        if let Some(stack) = self.shared.nested_stack.take() {
            stack.give_back();
        }
    }
}

fn no_stack(errno: Errno) -> Refused {
    Refused::Early("making a stack", errno)
}

impl Shared {
    fn address(&self) -> *mut c_void {
        (&raw const *self).cast_mut().cast()
    }

    /// Starts the second process as a child of the caller's.
    fn start_nested(&self, stack: &Stack) -> Result<(), Errno> {
        let flags = libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_PARENT;
        // SAFETY: as in `Process::start`; `Making::end` waits for the process before the stack and `self` go. The C library's
        // `errno` for a failure is that of the caller, who waits.
        let pid = unsafe { libc::clone(work_aside, stack.top(), flags, self.address()) };
        if pid < 0 {
            return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL));
        }
        self.nested.store(pid, SeqCst);
        Ok(())
    }

    /// Runs some of the steps, as long as they are wanted; false at the first that failed.
    fn run(&self, range: Range<usize>, wanted: impl Fn() -> bool) -> bool {
        for (index, step) in self.steps.iter().enumerate().take(range.end).skip(range.start) {
            if !wanted() {
                return false;
            }
            if let Err(errno) = step.run(&self.slots, &self.report) {
                self.report.fail(index as u32, errno);
                return false;
            }
        }
        true
    }
}

extern "C" fn work(shared: *mut c_void) -> c_int {
    // SAFETY: `Process::start` passes a `Shared` that lives until this process has ended; nobody writes it.
    let shared: &Shared = unsafe { &*shared.cast_const().cast() };
    raw::umask(0o022);
    if shared.aside.kinds != 0 {
        raw::wait_for(&shared.ready);
        if shared.report.failure().is_some() {
            raw::exit(0)
        }
    }
    let Range { start, end } = shared.aside.steps;
    let wanted = || !shared.given_up.load(SeqCst);
    if shared.run(0..start, wanted) {
        match shared.nested_stack.as_ref().map_or(Ok(()), |stack| shared.start_nested(stack)) {
            Ok(()) => drop(shared.run(end..shared.steps.len(), wanted)),
            Err(errno) => shared.report.fail(start as u32, errno),
        }
    }
    raw::exit(0)
}

extern "C" fn work_aside(shared: *mut c_void) -> c_int {
    // SAFETY: as in `work`.
    let shared: &Shared = unsafe { &*shared.cast_const().cast() };
    let Aside { steps: Range { start, end }, ready, .. } = shared.aside;
    let done = shared.run(start..ready, || true);
    raw::announce(&shared.ready);
    if done {
        shared.run(ready..end, || true);
    }
    raw::exit(0)
}
