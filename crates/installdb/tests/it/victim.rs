//! A process that is stopped at each of its system calls, and killed at one of them, or told that it failed.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libc::user_regs_struct;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// What a system call does, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// Makes a new name: of a file, folder, link or node.
    Create,
    Rename,
    Remove,
    /// Brings a whole file system to the disk.
    SyncAll,
    /// Brings one file to the disk.
    SyncFile,
    /// Changes a content, or may make a file for it.
    Content,
    /// Changes anything else: an attribute, a length.
    Attribute,
    /// Changes nothing.
    Read,
}

/// What goes wrong in a run. Calls are counted from 1.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// The process is killed right before this call.
    Kill(usize),
    /// This call is not carried out, and answers so.
    Fail(usize, Errno),
    /// From this call on none is carried out that needs space.
    Full(usize, Errno),
    /// This one of the calls that read is not carried out, and answers so.
    FailRead(usize, Errno),
    /// Nor is any that reads after it.
    FailReads(usize, Errno),
}

/// How a run ended.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// The calls that change or sync something below the root, in order; where it was killed, the last one was not
    /// carried out.
    pub(crate) calls: Vec<Call>,
    /// How many calls read a file or folder below the root.
    pub(crate) reads: usize,
    pub(crate) killed: bool,
    /// What the scenario answered.
    pub(crate) answer: String,
}

/// Runs one of the scenarios of [`super::interruption::victim`] on a root, and kills it right before call number
/// `kill_at`.
pub(crate) fn run(scenario: &str, root: &Path, kill_at: Option<usize>) -> Run {
    run_with(scenario, root, kill_at.map(Fault::Kill))
}

#[expect(clippy::zombie_processes, reason = "it is waited for, by its process id")]
pub(crate) fn run_with(scenario: &str, root: &Path, fault: Option<Fault>) -> Run {
    let answer = tempfile::NamedTempFile::new().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "interruption::victim", "--ignored", "--nocapture", "--test-threads=1"])
        .env("VICTIM_SCENARIO", scenario)
        .env("VICTIM_ROOT", root)
        .env("VICTIM_ANSWER", answer.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let child = Pid::from_raw(i32::try_from(child.id()).unwrap());
    // The thread that runs the scenario, which need not be the process's first one.
    let WaitStatus::Stopped(thread, Signal::SIGSTOP) = wait() else { panic!("the victim did not stop to be traced") };
    let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(thread, options).unwrap();
    ptrace::syscall(thread, None).unwrap();
    let root = root.canonicalize().unwrap();
    let mut tracer = Tracer { child, root, fault, run: Run::default(), inside: HashMap::new(), over: false };
    tracer.follow();
    end_others();
    Run { answer: fs::read_to_string(answer.path()).unwrap(), ..tracer.run }
}

/// What the victim's scenario is framed by: everything it does in between counts.
pub(crate) fn traced(scenario: impl FnOnce() -> String) {
    ptrace::traceme().unwrap();
    nix::sys::signal::raise(Signal::SIGSTOP).unwrap();
    let answer = scenario();
    nix::sys::signal::raise(OVER).unwrap();
    fs::write(std::env::var_os("VICTIM_ANSWER").unwrap(), answer).unwrap();
}

const OVER: Signal = Signal::SIGUSR1;

/// The process may have been killed while it made another one, which then waits for us to let it go on.
fn end_others() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
        if let WaitStatus::Stopped(other, _) | WaitStatus::PtraceEvent(other, ..) | WaitStatus::PtraceSyscall(other) =
            status
        {
            // It may have gone by itself.
            let _ = nix::sys::signal::kill(other, Signal::SIGKILL);
        }
    }
}

/// Only what this thread started or traces: other tests run beside this one.
fn wait() -> WaitStatus {
    waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)).unwrap()
}

struct Tracer {
    child: Pid,
    root: PathBuf,
    fault: Option<Fault>,
    run: Run,
    /// The call that each thread is in.
    inside: HashMap<Pid, Entered>,
    /// Whether the scenario is over.
    over: bool,
}

/// A call that was entered and not left yet.
struct Entered {
    /// Its position in the list, where it is one that counts.
    index: Option<usize>,
    /// What its registers were before it was kept from doing anything, and what it answers.
    refused: Option<(user_regs_struct, Errno)>,
}

impl Tracer {
    fn follow(&mut self) {
        loop {
            match wait() {
                WaitStatus::PtraceSyscall(thread) => {
                    match self.inside.remove(&thread) {
                        Some(entered) => self.leave(thread, &entered),
                        None => self.enter(thread),
                    }
                    go_on(thread, None);
                }
                WaitStatus::PtraceEvent(thread, ..) => go_on(thread, None),
                WaitStatus::Stopped(thread, signal) => {
                    self.over |= signal == OVER;
                    go_on(thread, Some(signal).filter(|signal| ![Signal::SIGSTOP, OVER].contains(signal)));
                }
                WaitStatus::Exited(process, code) if process == self.child => {
                    assert!(self.run.killed || code == 0, "the victim failed by itself");
                    return;
                }
                WaitStatus::Signaled(process, signal, _) if process == self.child => {
                    assert!(self.run.killed, "the victim died of {signal}");
                    return;
                }
                _ => {}
            }
        }
    }

    fn enter(&mut self, thread: Pid) {
        let registers = ptrace::getregs(thread).ok().filter(|_| !self.run.killed && !self.over);
        let call = registers.and_then(|registers| self.call(thread, &registers));
        let mut entered = Entered { index: None, refused: None };
        if let (Some(registers), Some(call)) = (registers, call) {
            if call == Call::Read {
                self.run.reads += 1;
            } else {
                entered.index = Some(self.run.calls.len());
                self.run.calls.push(call);
            }
            match self.fault {
                Some(Fault::Kill(at)) if call != Call::Read && at == self.run.calls.len() => {
                    nix::sys::signal::kill(self.child, Signal::SIGKILL).unwrap();
                    self.run.killed = true;
                }
                Some(fault) => entered.refused = self.answer_to(fault, call).map(|errno| (registers, errno)),
                None => {}
            }
            if entered.refused.is_some() {
                set_arguments_nowhere(thread, registers);
            }
        }
        self.inside.insert(thread, entered);
    }

    /// What a call answers instead of being carried out.
    fn answer_to(&self, fault: Fault, call: Call) -> Option<Errno> {
        let (errno, hit) = match fault {
            Fault::Kill(_) => return None,
            Fault::Fail(at, errno) => (errno, call != Call::Read && at == self.run.calls.len()),
            Fault::Full(at, errno) => {
                (errno, at <= self.run.calls.len() && matches!(call, Call::Create | Call::Content))
            }
            Fault::FailRead(at, errno) => (errno, call == Call::Read && at == self.run.reads),
            Fault::FailReads(at, errno) => (errno, call == Call::Read && at <= self.run.reads),
        };
        hit.then_some(errno)
    }

    fn leave(&mut self, thread: Pid, entered: &Entered) {
        if let Some((registers, errno)) = entered.refused {
            answer(thread, registers, errno);
        }
        // What did not work made no name.
        if let Some(index) = entered.index
            && returned(thread).is_some_and(|value| value < 0)
        {
            self.run.calls[index] = Call::Attribute;
        }
    }

    /// What the call that a thread is entering does to the root.
    fn call(&self, thread: Pid, registers: &user_regs_struct) -> Option<Call> {
        let (number, [first, second, third]) = arguments(registers);
        let call = call_of(number, third)?;
        let counts = match call {
            Call::Create | Call::Content if number == libc::SYS_openat => {
                text(thread, second).is_some_and(|path| path.is_relative() || path.starts_with(&self.root))
            }
            Call::Read | Call::Content | Call::SyncFile => {
                let open = fs::read_link(format!("/proc/{thread}/fd/{}", first.cast_signed()));
                open.is_ok_and(|path| path.starts_with(&self.root))
            }
            _ => true,
        };
        counts.then_some(call)
    }
}

/// A killed thread is gone before it can go on.
fn go_on(thread: Pid, signal: Option<Signal>) {
    match ptrace::syscall(thread, signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => panic!("{error}"),
    }
}

/// The path at an address of the thread's memory.
fn text(thread: Pid, address: u64) -> Option<PathBuf> {
    let memory = fs::File::open(format!("/proc/{thread}/mem")).ok()?;
    let mut bytes = [0; 4096];
    let length = memory.read_at(&mut bytes, address).ok()?;
    let end = bytes[..length].iter().position(|&byte| byte == 0)?;
    Some(OsStr::from_bytes(&bytes[..end]).into())
}

/// The number of the call that a thread is entering, and its first three arguments.
fn arguments(registers: &user_regs_struct) -> (i64, [u64; 3]) {
    #[cfg(target_arch = "x86_64")]
    return (registers.orig_rax.cast_signed(), [registers.rdi, registers.rsi, registers.rdx]);
    #[cfg(target_arch = "aarch64")]
    return (registers.regs[8].cast_signed(), [registers.regs[0], registers.regs[1], registers.regs[2]]);
}

/// No descriptor and no address is like this, so that the call does nothing.
fn set_arguments_nowhere(thread: Pid, mut registers: user_regs_struct) {
    const NOWHERE: u64 = u64::MAX;
    #[cfg(target_arch = "x86_64")]
    {
        (registers.rdi, registers.rsi, registers.rdx) = (NOWHERE, NOWHERE, NOWHERE);
        (registers.r10, registers.r8, registers.r9) = (NOWHERE, NOWHERE, NOWHERE);
    }
    #[cfg(target_arch = "aarch64")]
    registers.regs[..6].fill(NOWHERE);
    ptrace::setregs(thread, registers).unwrap();
}

/// Lets a call that did nothing answer this error.
fn answer(thread: Pid, mut registers: user_regs_struct, errno: Errno) {
    let value = i64::from(-(errno as i32)).cast_unsigned();
    #[cfg(target_arch = "x86_64")]
    (registers.rax = value);
    #[cfg(target_arch = "aarch64")]
    (registers.regs[0] = value);
    ptrace::setregs(thread, registers).unwrap();
}

/// What the call that a thread is leaving answers.
fn returned(thread: Pid) -> Option<i64> {
    let registers = ptrace::getregs(thread).ok()?;
    #[cfg(target_arch = "x86_64")]
    return Some(registers.rax.cast_signed());
    #[cfg(target_arch = "aarch64")]
    return Some(registers.regs[0].cast_signed());
}

fn call_of(number: i64, third: u64) -> Option<Call> {
    const EXCLUSIVE: u64 = (libc::O_CREAT | libc::O_EXCL) as u64;
    match number {
        libc::SYS_openat if third & EXCLUSIVE == EXCLUSIVE => Some(Call::Create),
        libc::SYS_openat if third & libc::O_CREAT as u64 != 0 => Some(Call::Content),
        libc::SYS_mkdirat | libc::SYS_symlinkat | libc::SYS_linkat | libc::SYS_mknodat => Some(Call::Create),
        libc::SYS_renameat | libc::SYS_renameat2 => Some(Call::Rename),
        libc::SYS_unlinkat => Some(Call::Remove),
        libc::SYS_syncfs => Some(Call::SyncAll),
        libc::SYS_fsync | libc::SYS_fdatasync => Some(Call::SyncFile),
        libc::SYS_write
        | libc::SYS_writev
        | libc::SYS_pwrite64
        | libc::SYS_pwritev
        | libc::SYS_fallocate
        | libc::SYS_copy_file_range => Some(Call::Content),
        libc::SYS_ftruncate
        | libc::SYS_fchmod
        | libc::SYS_fchmodat
        | SYS_FCHMODAT2
        | libc::SYS_fchown
        | libc::SYS_fchownat
        | libc::SYS_utimensat
        | libc::SYS_fsetxattr => Some(Call::Attribute),
        libc::SYS_read | libc::SYS_pread64 | libc::SYS_getdents64 => Some(Call::Read),
        _ => old_call(number),
    }
}

/// The same number on every architecture; libc does not name it everywhere.
const SYS_FCHMODAT2: i64 = 452;

/// Calls that only the oldest architectures have, which sqlite's code still makes.
fn old_call(number: i64) -> Option<Call> {
    #[cfg(target_arch = "x86_64")]
    match number {
        libc::SYS_unlink | libc::SYS_rmdir => return Some(Call::Remove),
        libc::SYS_mkdir => return Some(Call::Create),
        libc::SYS_chmod => return Some(Call::Attribute),
        _ => {}
    }
    let _ = number;
    None
}
