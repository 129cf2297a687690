//! A process that is stopped at each of its system calls, and killed at one of them.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

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
    /// Changes anything else: a content, an attribute, a length.
    Write,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    /// The calls that change or sync something, in order; the last one was not carried out where it was killed.
    pub(crate) calls: Vec<Call>,
    pub(crate) killed: bool,
}

/// Runs one of the scenarios of [`super::interruption::victim`] on a root, and kills it right before call number
/// `kill_at`.
#[expect(clippy::zombie_processes, reason = "it is waited for, by its process id")]
pub(crate) fn run(scenario: &str, root: &Path, kill_at: Option<usize>) -> Run {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "interruption::victim", "--ignored", "--nocapture", "--test-threads=1"])
        .env("VICTIM_SCENARIO", scenario)
        .env("VICTIM_ROOT", root)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let child = Pid::from_raw(i32::try_from(child.id()).unwrap());
    // The thread that runs the scenario, which need not be the process's first one.
    let WaitStatus::Stopped(thread, Signal::SIGSTOP) = wait() else { panic!("the victim did not stop to be traced") };
    let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(thread, options).unwrap();
    ptrace::syscall(thread, None).unwrap();
    let run = follow(child, kill_at);
    end_others();
    run
}

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

fn follow(child: Pid, kill_at: Option<usize>) -> Run {
    let mut run = Run { calls: Vec::new(), killed: false };
    // For each thread that is in a call, the position of the call in the list.
    let mut inside: HashMap<Pid, Option<usize>> = HashMap::new();
    loop {
        match wait() {
            WaitStatus::PtraceSyscall(thread) => {
                if let Some(call) = inside.remove(&thread) {
                    // What did not work made no name.
                    if let Some(index) = call
                        && returned(thread).is_some_and(|value| value < 0)
                    {
                        run.calls[index] = Call::Write;
                    }
                } else {
                    let call = current_call(thread).filter(|_| !run.killed);
                    inside.insert(thread, call.map(|_| run.calls.len()));
                    run.calls.extend(call);
                    if call.is_some() && kill_at == Some(run.calls.len()) {
                        nix::sys::signal::kill(child, Signal::SIGKILL).unwrap();
                        run.killed = true;
                    }
                }
                go_on(thread, None);
            }
            WaitStatus::PtraceEvent(thread, ..) => go_on(thread, None),
            WaitStatus::Stopped(thread, signal) => {
                go_on(thread, Some(signal).filter(|signal| *signal != Signal::SIGSTOP));
            }
            WaitStatus::Exited(process, code) if process == child => {
                assert!(run.killed || code == 0, "the victim failed by itself");
                return run;
            }
            WaitStatus::Signaled(process, signal, _) if process == child => {
                assert!(run.killed, "the victim died of {signal}");
                return run;
            }
            _ => {}
        }
    }
}

/// A killed thread is gone before it can go on.
fn go_on(thread: Pid, signal: Option<Signal>) {
    match ptrace::syscall(thread, signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
        Err(error) => panic!("{error}"),
    }
}

/// The call that a thread is entering: its number, and its third argument.
fn entering(thread: Pid) -> Option<(i64, u64)> {
    let registers = ptrace::getregs(thread).ok()?;
    #[cfg(target_arch = "x86_64")]
    return Some((registers.orig_rax.cast_signed(), registers.rdx));
    #[cfg(target_arch = "aarch64")]
    return Some((registers.regs[8].cast_signed(), registers.regs[2]));
}

/// What the call that a thread is leaving answers.
fn returned(thread: Pid) -> Option<i64> {
    let registers = ptrace::getregs(thread).ok()?;
    #[cfg(target_arch = "x86_64")]
    return Some(registers.rax.cast_signed());
    #[cfg(target_arch = "aarch64")]
    return Some(registers.regs[0].cast_signed());
}

fn current_call(thread: Pid) -> Option<Call> {
    let (number, third) = entering(thread)?;
    const EXCLUSIVE: u64 = (libc::O_CREAT | libc::O_EXCL) as u64;
    match number {
        libc::SYS_openat if third & EXCLUSIVE == EXCLUSIVE => Some(Call::Create),
        libc::SYS_openat if third & libc::O_CREAT as u64 != 0 => Some(Call::Write),
        libc::SYS_mkdirat | libc::SYS_symlinkat | libc::SYS_linkat | libc::SYS_mknodat => Some(Call::Create),
        libc::SYS_renameat | libc::SYS_renameat2 => Some(Call::Rename),
        libc::SYS_unlinkat => Some(Call::Remove),
        libc::SYS_syncfs => Some(Call::SyncAll),
        libc::SYS_fsync | libc::SYS_fdatasync => Some(Call::SyncFile),
        libc::SYS_write
        | libc::SYS_pwrite64
        | libc::SYS_ftruncate
        | libc::SYS_fchmod
        | libc::SYS_fchmodat
        | SYS_FCHMODAT2
        | libc::SYS_fchown
        | libc::SYS_fchownat
        | libc::SYS_utimensat
        | libc::SYS_fsetxattr
        | libc::SYS_copy_file_range => Some(Call::Write),
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
        libc::SYS_chmod | libc::SYS_open => return Some(Call::Write),
        _ => {}
    }
    let _ = number;
    None
}
