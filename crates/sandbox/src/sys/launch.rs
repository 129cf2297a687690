//! The two processes that become the room's init and the program.
//!
//! `enter` starts the first with vfork semantics in its new namespaces: it shares the caller's memory, starts the second, puts
//! the root in its place where it is not there yet, mounts the rest, and becomes the init by `execveat`. The second gives up
//! every right meanwhile, waits until the init runs (from then on nothing in the room shares the caller's
//! memory except itself), and becomes the program. Each runs on a stack of its own and writes to nothing but that stack and
//! the report. The end of both is seen as the end of the `done` pipe.

use std::ffi::{CString, c_char, c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::dumpable::Lost;
use super::raw::{self, Errno, Sys};
use super::report::Report;
use super::stack::Stack;
use super::step::{Failure, Slot, Slots, Step};
use crate::Session;

/// The first number that is a stage, not an index into the plan.
pub(crate) const FIRST_STAGE: u32 = 0x1_0000;

macro_rules! stages {
    ($($name:ident = $offset:literal, $text:expr;)*) => {
        $(pub(crate) const $name: u32 = FIRST_STAGE + $offset;)*
        /// What was done in a stage.
        pub(crate) fn stage_name(stage: u32) -> &'static str {
            match stage { $($name => $text,)* _ => "an unknown step" }
        }
    };
}

stages! {
    FORK = 1, "starting the program's process";
    INIT = 2, crate::error::STEP_INIT;
    WAIT_INIT = 3, "waiting for the room's init";
    FDS = 4, "arranging the file descriptors";
    SESSION = 5, "starting a session";
    RLIMITS = 6, "setting the resource limits";
    IDS = 7, "becoming the room's user";
    CAPS = 8, "dropping the capabilities";
    CWD = 9, "entering the working directory";
    NO_NEW_PRIVS = 10, "giving up new privileges";
    LANDLOCK = 11, "entering the Landlock domain";
    SECCOMP = 12, "loading the system call filter";
    EXEC = 13, "running the program";
    ENTER = 14, "entering the namespaces";
    CLONE = 15, crate::error::STEP_NAMESPACES;
    JOIN = 16, "entering the control group";
    ROOT = 17, "entering the root";
}

/// The user the program becomes, when the caller is root.
#[derive(Debug)]
pub(crate) struct Become {
    pub userns: RawFd,
    pub uid: u32,
    pub gid: u32,
}

/// A resource limit: number, soft, hard.
pub(crate) type Rlimit = (u32, u64, u64);

/// The program and all it gets.
#[derive(Debug)]
pub(crate) struct Payload {
    /// Paths to try in turn.
    pub candidates: Vec<CString>,
    pub argv: Vec<CString>,
    pub envp: Vec<CString>,
    pub cwd: CString,
    /// (caller's number, program's number), sorted by the second.
    pub fds: Vec<(RawFd, RawFd)>,
    pub session: Session,
    pub rlimits: Vec<Rlimit>,
    pub r#become: Option<Become>,
    /// Whether the caller's groups are given up; where not, the program has no right to.
    pub drop_groups: bool,
    pub keep_caps: u64,
    pub securebits: u32,
    pub landlock: Option<RawFd>,
    pub filter: &'static [u64],
}

/// The room's set-up, complete before the first process of it exists.
pub(crate) struct Launch<'a> {
    /// Kinds of namespaces made for this room.
    pub namespaces: c_int,
    /// Namespaces that exist already and are entered first, with their kinds.
    pub entered: &'a [(RawFd, c_int)],
    /// Whether one of those is a user namespace: then it is another process that makes the others, which would not belong to
    /// that one otherwise.
    pub hop: bool,
    pub steps: &'a [Step],
    /// The root that the steps put in its place; `None` where it is there.
    pub root: Option<Placed>,
    /// The room's mount namespace.
    pub mounts: RawFd,
    pub slots: usize,
    pub payload: &'a Payload,
    /// Locks and the like that the init keeps, so that they are held as long as anything is inside.
    pub held: &'a [RawFd],
    /// Files that move the process that writes to them into the room's control group.
    pub groups: &'a [RawFd],
    /// The most processes of its user with which the init finds at the end that there is place for one more; `None` does not look.
    pub full: Option<u64>,
    /// Read end; hangs up when the caller dies.
    pub alive: &'a OwnedFd,
    /// Write end; the init reports there.
    pub status: &'a OwnedFd,
}

/// A root that is put in its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    /// After how many steps.
    pub steps: usize,
    /// Where it is then.
    pub slot: Slot,
}

/// A room that has been entered.
pub(crate) struct Entered {
    pub pid: i32,
    pub pidfd: OwnedFd,
}

/// Why a room was not entered.
pub(crate) enum Refused {
    /// Before a process of it existed, at the named step.
    Early(&'static str, Errno),
    /// In one of its processes.
    Setup(Failure, String),
}

/// Everything the two processes look at.
struct Shared<'a> {
    launch: &'a Launch<'a>,
    slots: Slots,
    report: Report,
    /// The descriptors that the set-up uses, in order.
    needed: Vec<RawFd>,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    moved: Vec<std::sync::atomic::AtomicI32>,
    init: RawFd,
    ready: (RawFd, RawFd),
    done: RawFd,
    first_stack: *mut c_void,
    second_stack: *mut c_void,
    /// The number of the first process, when another than the caller makes it.
    pid: std::sync::atomic::AtomicI32,
    /// A descriptor of it in the caller's table.
    pidfd: std::sync::atomic::AtomicI32,
    /// Not 0 when the root is in its place.
    placed: std::sync::atomic::AtomicU32,
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(rustix::io::Errno::raw_os_error)
}

/// A copy numbered 10 or more: the numbers below are the init's.
fn high(fd: &OwnedFd) -> Result<OwnedFd, Errno> {
    rustix::io::fcntl_dupfd_cloexec(fd, 10).map_err(rustix::io::Errno::raw_os_error)
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain(std::iter::once(std::ptr::null())).collect()
}

/// All descriptors of the caller that the first process and those after it use.
fn needed(launch: &Launch<'_>, own: [RawFd; 4]) -> Vec<RawFd> {
    let payload = launch.payload;
    let mut needed = vec![0, 1, 2, launch.alive.as_raw_fd(), launch.status.as_raw_fd()];
    needed.extend(own);
    needed.push(launch.mounts);
    needed.extend(launch.entered.iter().map(|(namespace, _)| *namespace));
    needed.extend(launch.groups);
    needed.extend(launch.held);
    needed.extend(launch.steps.iter().filter_map(Step::outer));
    needed.extend(payload.fds.iter().map(|(source, _)| *source));
    needed.extend(payload.landlock);
    needed.extend(payload.r#become.iter().map(|user| user.userns));
    needed.retain(|fd| *fd >= 0);
    needed.sort_unstable();
    needed.dedup();
    needed
}

/// Makes the room and starts the program.
pub(crate) fn enter(launch: &Launch<'_>) -> Result<Entered, Refused> {
    let early = |step: &'static str| move |errno| Refused::Early(step, errno);
    let init =
        super::init::init_program().map_err(|errno| Refused::Early(crate::error::STEP_INIT, errno.raw_os_error()))?;
    let stack = || Stack::take().map_err(early("making a stack"));
    let (first_stack, second_stack) = (stack()?, stack()?);
    let (ready_read, ready_write) = pipe().map_err(early("making a pipe"))?;
    let (done_read, done_write) = pipe().map_err(early("making a pipe"))?;
    let ready =
        (high(&ready_read).map_err(early("making a pipe"))?, high(&ready_write).map_err(early("making a pipe"))?);
    let own = [init.as_raw_fd(), ready.0.as_raw_fd(), ready.1.as_raw_fd(), done_write.as_raw_fd()];
    let shared = Shared {
        launch,
        slots: Slots::new(launch.slots),
        report: Report::new(),
        needed: needed(launch, own),
        argv: pointers(&launch.payload.argv),
        envp: pointers(&launch.payload.envp),
        moved: (0..launch.payload.fds.len()).map(|_| std::sync::atomic::AtomicI32::new(-1)).collect(),
        init: init.as_raw_fd(),
        ready: (ready.0.as_raw_fd(), ready.1.as_raw_fd()),
        done: done_write.as_raw_fd(),
        first_stack: first_stack.top(),
        second_stack: second_stack.top(),
        pid: std::sync::atomic::AtomicI32::new(0),
        pidfd: std::sync::atomic::AtomicI32::new(-1),
        placed: std::sync::atomic::AtomicU32::new(0),
    };
    let lost = (launch.hop || launch.payload.r#become.is_some()).then(Lost::allow);
    let mut hop = Hop(0);
    let started = if launch.hop { by_hop(&shared, &mut hop) } else { directly(&shared) };
    drop(done_write);
    // It has ended by itself, but counts as a process of the room's user until it is reaped: that is to be before the program runs.
    drop(hop);
    if started.is_ok() {
        wait_for_end_of(&done_read);
    }
    first_stack.give_back();
    second_stack.give_back();
    drop(lost);
    let (pid, pidfd) = started?;
    match shared.report.failure() {
        None => Ok(Entered { pid, pidfd }),
        Some(failure) => {
            let _ = raw::wait_behind(pidfd.as_raw_fd());
            Err(Refused::Setup(failure, shared.report.detail()))
        }
    }
}

/// Starts the first process from here.
fn directly(shared: &Shared<'_>) -> Result<(i32, OwnedFd), Refused> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | shared.launch.namespaces;
    let mut pidfd: c_int = -1;
    let mask = raw::set_signal_mask(u64::MAX);
    // SAFETY: the stack is as large as said and lives until both processes have left this memory (`enter` sees that as the end
    // of `done`); `first` and all it calls only read `shared`, store into its atomics, and call the kernel; with every signal
    // blocked no handler of this program runs on that stack. The exit signal is 0, so nobody else's wait() takes the child.
    let pid = unsafe {
        libc::clone(
            first,
            shared.first_stack,
            flags,
            (&raw const *shared).cast_mut().cast(),
            &raw mut pidfd,
            std::ptr::null_mut::<c_void>(),
            std::ptr::null_mut::<c_int>(),
        )
    };
    let error = if pid < 0 { std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL) } else { 0 };
    raw::set_signal_mask(mask);
    if pid < 0 {
        return Err(Refused::Early(crate::error::STEP_NAMESPACES, error));
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// A process that only starts another; reaped when this is dropped.
struct Hop(i32);

impl Drop for Hop {
    fn drop(&mut self) {
        if self.0 > 0 {
            raw::wait(self.0);
        }
    }
}

/// Starts the first process by another one that has entered its user namespace; it is a child of the caller all the same.
fn by_hop(shared: &Shared<'_>, reaped: &mut Hop) -> Result<(i32, OwnedFd), Refused> {
    let stack = Stack::take().map_err(|errno| Refused::Early("making a stack", errno))?;
    // It opens nothing but a descriptor that the caller is to have: no copy of the others is needed.
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES;
    let mask = raw::set_signal_mask(u64::MAX);
    // SAFETY: as in `directly`; CLONE_VFORK waits until this process has left its stack.
    let hop = unsafe { libc::clone(hop, stack.top(), flags, (&raw const *shared).cast_mut().cast()) };
    let error = if hop < 0 { std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL) } else { 0 };
    raw::set_signal_mask(mask);
    stack.give_back();
    if hop < 0 {
        return Err(Refused::Early("starting the set-up", error));
    }
    reaped.0 = hop;
    let pid = shared.pid.load(std::sync::atomic::Ordering::SeqCst);
    if pid <= 0 {
        let failure = shared.report.failure().unwrap_or(Failure { step: CLONE, errno: libc::ECHILD });
        return Err(Refused::Setup(failure, shared.report.detail()));
    }
    // SAFETY: the kernel has made this descriptor for the process that has ended, in the table that it shared with this one.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(shared.pidfd.load(std::sync::atomic::Ordering::SeqCst)) }))
}

extern "C" fn hop(shared: *mut c_void) -> c_int {
    // SAFETY: `by_hop` passes a `Shared` that lives until this process has ended; nobody writes it.
    let shared: &Shared<'_> = unsafe { &*shared.cast_const().cast() };
    enter_namespaces(shared);
    let argument = (&raw const *shared).cast_mut().cast();
    let flags = libc::CLONE_VM | libc::CLONE_PARENT | libc::CLONE_PIDFD | shared.launch.namespaces;
    let none = std::ptr::null_mut::<c_void>();
    // SAFETY: as in `directly`; the descriptor's number goes into an atomic of `shared`.
    let pid = unsafe { libc::clone(first, shared.first_stack, flags, argument, shared.pidfd.as_ptr(), none, none) };
    if pid < 0 {
        // The C library keeps the reason in the memory of the calling thread, which waits.
        fail(shared, CLONE, std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL));
    }
    shared.pid.store(pid, std::sync::atomic::Ordering::SeqCst);
    raw::exit(0)
}

fn enter_namespaces(shared: &Shared<'_>) {
    for (namespace, kind) in shared.launch.entered {
        if let Err(errno) = raw::enter(*namespace, *kind) {
            fail(shared, ENTER, errno);
        }
    }
}

/// Returns when nobody holds the other end of `pipe` any more.
fn wait_for_end_of(pipe: &OwnedFd) {
    let mut byte = [0u8; 1];
    while !matches!(raw::read(pipe.as_raw_fd(), &mut byte), Ok(0)) {}
}

fn fail(shared: &Shared<'_>, step: u32, errno: Errno) -> ! {
    shared.report.fail(step, errno);
    raw::exit(125)
}

extern "C" fn first(shared: *mut c_void) -> c_int {
    // SAFETY: `enter` passes a `Shared` that lives until this process has left its memory; nobody writes it.
    let shared: &Shared<'_> = unsafe { &*shared.cast_const().cast() };
    // Were it ignored, as a caller may have it, the end of the program's process would go unseen. The others can wait.
    raw::default_signal(libc::SIGCHLD);
    raw::umask(0o022);
    close_all_but(&shared.needed);
    if !shared.launch.hop {
        enter_namespaces(shared);
    }
    if let Err(errno) = join(shared.launch.groups) {
        fail(shared, JOIN, errno);
    }
    let root = shared.launch.root;
    // The root will be handed over as a descriptor.
    let files = if root.is_some() { libc::CLONE_FILES } else { 0 };
    let argument = (&raw const *shared).cast_mut().cast();
    // SAFETY: a stack of its own that outlives the process's use of this memory; the rest as in `directly`.
    let pid = unsafe { libc::clone(second, shared.second_stack, libc::CLONE_VM | files | libc::SIGCHLD, argument) };
    if pid != 2 {
        fail(shared, FORK, if pid < 0 { libc::EAGAIN } else { libc::ESRCH });
    }
    let (early, late) = shared.launch.steps.split_at_checked(root.map_or(0, |root| root.steps)).unwrap_or_default();
    run(shared, early, 0);
    if root.is_some() {
        if let Err(errno) = raw::unshare(libc::CLONE_FILES) {
            fail(shared, FORK, errno);
        }
        raw::announce(&shared.placed);
    }
    run(shared, late, early.len());
    let errno = become_init(shared);
    fail(shared, INIT, errno)
}

/// Lets go of what other rooms and threads of the caller have open: a set-up may take long, where a path of the host hangs, and
/// nobody must wait for the end of a pipe meanwhile.
fn close_all_but(needed: &[RawFd]) {
    let mut free = 0u32;
    for fd in needed {
        let fd = *fd as u32;
        if fd > free {
            raw::close_between(free, fd - 1);
        }
        free = fd + 1;
    }
    raw::close_between(free, raw::LAST_FD);
}

/// Enters the control group, and makes it the top of all that the room sees of them.
fn join(groups: &[RawFd]) -> Sys<()> {
    if groups.is_empty() {
        return Ok(());
    }
    for group in groups {
        raw::write(*group, b"0")?;
    }
    raw::unshare(libc::CLONE_NEWCGROUP)
}

/// Does `steps`, of which the first has the number `base`.
fn run(shared: &Shared<'_>, steps: &[Step], base: usize) {
    for (index, step) in steps.iter().enumerate() {
        if let Err(errno) = step.run(&shared.slots, &shared.report) {
            fail(shared, (base + index) as u32, errno);
        }
    }
}

fn become_init(shared: &Shared<'_>) -> Errno {
    let launch = shared.launch;
    let arrange = || -> Sys<()> {
        let signals = raw::child_signals()?;
        let signals_high = raw::dup_above(signals, 10)?;
        raw::dup_to(launch.alive.as_raw_fd(), 0)?;
        raw::dup_to(launch.status.as_raw_fd(), 1)?;
        raw::dup_to(shared.ready.1, 2)?;
        raw::dup_to(signals_high, 3)?;
        let mut free = 4;
        for held in launch.held {
            raw::dup_to(*held, free)?;
            free += 1;
        }
        if let Some(most) = launch.full {
            raw::set_rlimit(libc::RLIMIT_NPROC, most, most)?;
        }
        raw::close_on_exec(free as u32, raw::LAST_FD)
    };
    let none = std::ptr::null();
    let argv = [c"room-init".as_ptr(), launch.full.map_or(none, |_| c"full?".as_ptr()), none];
    match arrange() {
        Err(errno) => errno,
        // SAFETY: the array ends with a null pointer and holds static strings.
        Ok(()) => unsafe { raw::exec_file(shared.init, argv.as_ptr()) },
    }
}

extern "C" fn second(shared: *mut c_void) -> c_int {
    // SAFETY: as in `first`; `enter` waits for the end of `done`, which this process holds until it has left this memory.
    let shared: &Shared<'_> = unsafe { &*shared.cast_const().cast() };
    let (stage, errno) = become_program(shared);
    fail(shared, stage, errno)
}

/// Gives up every right and runs the program. Returns only when that failed.
fn become_program(shared: &Shared<'_>) -> (u32, Errno) {
    let payload = shared.launch.payload;
    match prepare_program(shared, payload) {
        Err(failure) => failure,
        Ok(()) => (EXEC, run_program(shared, payload)),
    }
}

fn prepare_program(shared: &Shared<'_>, payload: &Payload) -> Result<(), (u32, Errno)> {
    let at = |stage: u32| move |errno: Errno| (stage, errno);
    raw::enter(shared.launch.mounts, libc::CLONE_NEWNS).map_err(at(ENTER))?;
    raw::default_signals();
    raw::new_session_keyring();
    raw::plain_personality();
    if matches!(payload.session, Session::New | Session::Pty) {
        raw::setsid().map_err(at(SESSION))?;
    }
    if payload.drop_groups {
        raw::drop_groups().map_err(at(IDS))?;
    }
    if let Some(user) = &payload.r#become {
        raw::enter(user.userns, libc::CLONE_NEWUSER).map_err(at(IDS))?;
    }
    raw::limit_bounding_set(payload.keep_caps).map_err(at(CAPS))?;
    // The kernel takes its time for the filter, and the root may not be there yet.
    raw::no_new_privs().map_err(at(NO_NEW_PRIVS))?;
    if let Some(rules) = payload.landlock {
        raw::landlock_restrict(rules).map_err(at(LANDLOCK))?;
    }
    if !payload.filter.is_empty() {
        raw::seccomp(payload.filter).map_err(at(SECCOMP))?;
    }
    if let Some(root) = shared.launch.root {
        raw::wait_for(&shared.placed);
        raw::unshare(libc::CLONE_FILES).map_err(at(ROOT))?;
        shared.slots.settle(root.slot).map_err(at(ROOT))?;
    }
    if let Some(user) = &payload.r#become {
        raw::set_ids(user.uid, user.gid).map_err(at(IDS))?;
    }
    drop_rights(payload).map_err(at(CAPS))?;
    // Only the init must hold the other end, or its death would not be seen.
    raw::close(shared.ready.1);
    let mut byte = [0u8; 1];
    if raw::read(shared.ready.0, &mut byte).map_err(at(WAIT_INIT))? != 1 {
        return Err((WAIT_INIT, libc::ESRCH));
    }
    raw::chdir(&payload.cwd).map_err(at(CWD))?;
    arrange_descriptors(shared, payload).map_err(at(FDS))?;
    // After the descriptors, whose numbers here may be beyond the program's limit.
    for (resource, soft, hard) in &payload.rlimits {
        raw::set_rlimit(*resource, *soft, *hard).map_err(at(RLIMITS))?;
    }
    match payload.session {
        Session::Foreground => raw::take_foreground().map_err(at(SESSION))?,
        Session::Pty => raw::take_terminal().map_err(at(SESSION))?,
        Session::New | Session::Keep => {}
    }
    raw::set_signal_mask(0);
    Ok(())
}

fn drop_rights(payload: &Payload) -> Sys<()> {
    raw::clear_ambient()?;
    raw::set_securebits(payload.securebits)?;
    raw::capset(payload.keep_caps)
}

/// Puts every declared descriptor where the program expects it and marks all others to be closed.
fn arrange_descriptors(shared: &Shared<'_>, payload: &Payload) -> Sys<()> {
    use std::sync::atomic::Ordering::Relaxed;
    let above = payload.fds.last().map_or(3, |(_, target)| target + 1).max(10);
    for ((source, _), moved) in payload.fds.iter().zip(&shared.moved) {
        moved.store(raw::dup_above(*source, above)?, Relaxed);
    }
    // The `done` pipe must not be lost when its number is taken: its end would be seen before the program runs.
    raw::dup_above(shared.done, above)?;
    let mut first_free = 0u32;
    for ((_, target), moved) in payload.fds.iter().zip(&shared.moved) {
        raw::dup_to(moved.load(Relaxed), *target)?;
        if *target as u32 > first_free {
            raw::close_on_exec(first_free, *target as u32 - 1)?;
        }
        first_free = *target as u32 + 1;
    }
    raw::close_on_exec(first_free, raw::LAST_FD)
}

fn run_program(shared: &Shared<'_>, payload: &Payload) -> Errno {
    let mut result = libc::ENOENT;
    for path in &payload.candidates {
        // SAFETY: both arrays are null-terminated and hold strings that live in `payload`.
        let errno = unsafe { raw::execve(path, shared.argv.as_ptr(), shared.envp.as_ptr()) };
        // As execvp(3): a file that may not be run is remembered, one that is missing is not.
        if !matches!(errno, libc::ENOENT | libc::ENOTDIR | libc::EACCES) {
            return errno;
        }
        if errno == libc::EACCES {
            result = errno;
        }
    }
    result
}
