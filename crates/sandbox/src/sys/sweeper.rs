//! A process that removes what a caller made on the host for a room, when the caller was killed and cannot.
//!
//! It is a program of its own, as the init is: machine code in sealed memory, so that it holds neither the caller's memory nor
//! his descriptors. Descriptor 0 is a pipe whose other end the caller and the room's init have, and nobody else; from 1 on there is
//! a folder for each thing.
//!
//! Arguments come in threes: `d` or `f` for a folder or a file, the way from the thing's folder to the one that it is in, and its
//! name. When the pipe hangs up, after the caller's end and that of the room, it removes them in this order, where they are
//! empty; links are not followed, and what is busy is tried again for ten seconds, since a control group is busy until all its
//! processes are gone. With `l` the folder is one that other rooms may have locked as well; where they still have after ten
//! seconds, what follows stays. Then it exits. A caller who lives removes them himself, and ends it.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, pidfd_send_signal};

use super::init::{executable, sealed};
use super::raw::{self, Errno, Sys};
use super::stack::Stack;
use crate::Error;

/// What is told where it cannot be started.
const STEP: &str = "starting the process that removes what a killed caller leaves";

#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".pushsection .rodata.sandbox_sweeper, \"a\"",
    ".globl sandbox_sweeper_start, sandbox_sweeper_end",
    "sandbox_sweeper_start:",
    // the second argument
    "lea r12, [rsp + 16]",
    "sub rsp, 320",
    "2:",
    // poll([(0, 0)], 1, -1)
    "mov qword ptr [rsp], 0",
    "mov eax, 7",
    "mov rdi, rsp",
    "mov esi, 1",
    "mov edx, -1",
    "syscall",
    "cmp word ptr [rsp + 6], 0",
    "je 2b",
    "mov r13d, 1",
    "3:",
    "mov rdi, [r12]",
    "test rdi, rdi",
    "jz 7f",
    "cmp byte ptr [rdi], 'l'",
    "jne 9f",
    "mov r15d, 10000",
    "32:",
    // flock(folder, LOCK_EX | LOCK_NB)
    "mov eax, 73",
    "mov edi, r13d",
    "mov esi, 6",
    "syscall",
    "test eax, eax",
    "jz 6f",
    "dec r15d",
    "jz 7f",
    // poll([], 0, 1)
    "mov eax, 7",
    "xor edi, edi",
    "xor esi, esi",
    "mov edx, 1",
    "syscall",
    "jmp 32b",
    "9:",
    // openat2(folder, way, {O_PATH | O_DIRECTORY | O_CLOEXEC, 0, RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH}, 24)
    "mov qword ptr [rsp + 8], {open}",
    "mov qword ptr [rsp + 16], 0",
    "mov qword ptr [rsp + 24], 0x0c",
    "mov eax, 437",
    "mov edi, r13d",
    "mov rsi, [r12 + 8]",
    "lea rdx, [rsp + 8]",
    "mov r10d, 24",
    "syscall",
    "test eax, eax",
    "js 6f",
    "mov r14d, eax",
    "mov r15d, 10000",
    "4:",
    "mov rdi, [r12]",
    "mov edx, 0x200",
    "cmp byte ptr [rdi], 'd'",
    "je 5f",
    // statx(it, name, AT_SYMLINK_NOFOLLOW, STATX_SIZE, ..)
    "mov eax, 332",
    "mov edi, r14d",
    "mov rsi, [r12 + 16]",
    "mov edx, 0x100",
    "mov r10d, 0x200",
    "lea r8, [rsp + 64]",
    "syscall",
    "test eax, eax",
    "jnz 8f",
    "cmp qword ptr [rsp + 104], 0",
    "jne 8f",
    "xor edx, edx",
    "5:",
    // unlinkat(it, name, AT_REMOVEDIR or 0)
    "mov eax, 263",
    "mov edi, r14d",
    "mov rsi, [r12 + 16]",
    "syscall",
    "cmp eax, -16",
    "jne 8f",
    "dec r15d",
    "jz 8f",
    // poll([], 0, 1)
    "mov eax, 7",
    "xor edi, edi",
    "xor esi, esi",
    "mov edx, 1",
    "syscall",
    "jmp 4b",
    "8:",
    // close(it)
    "mov eax, 3",
    "mov edi, r14d",
    "syscall",
    "6:",
    "add r12, 24",
    "inc r13d",
    "jmp 3b",
    "7:",
    // exit_group(0)
    "mov eax, 231",
    "xor edi, edi",
    "syscall",
    "jmp 7b",
    "sandbox_sweeper_end:",
    ".popsection",
    open = const libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC,
);

#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    ".pushsection .rodata.sandbox_sweeper, \"a\"",
    ".balign 4",
    ".globl sandbox_sweeper_start, sandbox_sweeper_end",
    "sandbox_sweeper_start:",
    "add x19, sp, #16",
    "sub sp, sp, #320",
    "2:",
    // ppoll([(0, 0)], 1, NULL, NULL)
    "str xzr, [sp]",
    "mov x0, sp",
    "mov x1, #1",
    "mov x2, #0",
    "mov x3, #0",
    "mov x4, #8",
    "mov x8, #73",
    "svc 0",
    "ldrh w9, [sp, #6]",
    "cbz w9, 2b",
    "mov w20, #1",
    "3:",
    "ldr x9, [x19]",
    "cbz x9, 7f",
    "ldrb w9, [x9]",
    "cmp w9, #108",
    "b.ne 9f",
    "mov w22, #10000",
    "32:",
    // flock(folder, LOCK_EX | LOCK_NB)
    "mov w0, w20",
    "mov x1, #6",
    "mov x8, #32",
    "svc 0",
    "cbz w0, 6f",
    "subs w22, w22, #1",
    "b.eq 7f",
    // ppoll(NULL, 0, {0, 1000000}, NULL)
    "movz x9, #0x4240",
    "movk x9, #0xf, lsl #16",
    "str xzr, [sp, #32]",
    "str x9, [sp, #40]",
    "mov x0, #0",
    "mov x1, #0",
    "add x2, sp, #32",
    "mov x3, #0",
    "mov x4, #8",
    "mov x8, #73",
    "svc 0",
    "b 32b",
    "9:",
    "movz x9, #({open} & 0xffff)",
    "movk x9, #({open} >> 16), lsl #16",
    "str x9, [sp, #8]",
    "str xzr, [sp, #16]",
    "mov x9, #0x0c",
    "str x9, [sp, #24]",
    "mov w0, w20",
    "ldr x1, [x19, #8]",
    "add x2, sp, #8",
    "mov x3, #24",
    "mov x8, #437",
    "svc 0",
    "cmp w0, #0",
    "b.lt 6f",
    "mov w21, w0",
    "mov w22, #10000",
    "4:",
    "ldr x9, [x19]",
    "ldrb w9, [x9]",
    "mov x2, #0x200",
    "cmp w9, #100",
    "b.eq 5f",
    "mov w0, w21",
    "ldr x1, [x19, #16]",
    "mov x2, #0x100",
    "mov x3, #0x200",
    "add x4, sp, #64",
    "mov x8, #291",
    "svc 0",
    "cbnz w0, 8f",
    "ldr x9, [sp, #104]",
    "cbnz x9, 8f",
    "mov x2, #0",
    "5:",
    "mov w0, w21",
    "ldr x1, [x19, #16]",
    "mov x8, #35",
    "svc 0",
    "cmn w0, #16",
    "b.ne 8f",
    "subs w22, w22, #1",
    "b.eq 8f",
    // ppoll(NULL, 0, {0, 1000000}, NULL)
    "movz x9, #0x4240",
    "movk x9, #0xf, lsl #16",
    "str xzr, [sp, #32]",
    "str x9, [sp, #40]",
    "mov x0, #0",
    "mov x1, #0",
    "add x2, sp, #32",
    "mov x3, #0",
    "mov x4, #8",
    "mov x8, #73",
    "svc 0",
    "b 4b",
    "8:",
    "mov w0, w21",
    "mov x8, #57",
    "svc 0",
    "6:",
    "add x19, x19, #24",
    "add w20, w20, #1",
    "b 3b",
    "7:",
    "mov x0, #0",
    "mov x8, #94",
    "svc 0",
    "b 7b",
    "sandbox_sweeper_end:",
    ".popsection",
    open = const libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC,
);

unsafe extern "C" {
    static sandbox_sweeper_start: u8;
    static sandbox_sweeper_end: u8;
}

/// The program, made once.
fn program() -> Result<&'static OwnedFd, rustix::io::Errno> {
    static PROGRAM: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(program) = PROGRAM.get() {
        return Ok(program);
    }
    let (start, end) = (&raw const sandbox_sweeper_start, &raw const sandbox_sweeper_end);
    // SAFETY: both labels stand in one read-only section, `start` before `end`, with initialised bytes between them.
    let code = unsafe { std::slice::from_raw_parts(start, end.offset_from_unsigned(start)) };
    let made = sealed("room-sweeper", &executable(code))?;
    Ok(PROGRAM.get_or_init(|| made))
}

/// What a leftover is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File,
    /// Nothing to remove: what follows stays as long as others have locked `base`, too.
    Lock,
}

impl Kind {
    fn word(self) -> &'static CStr {
        match self {
            Self::Folder => c"d",
            Self::File => c"f",
            Self::Lock => c"l",
        }
    }
}

/// Something on the host that must not outlive a room.
#[derive(Clone, Debug)]
pub(crate) struct Leftover {
    /// A folder that was there before, and stays..
    pub base: Arc<OwnedFd>,
    /// ..the way from it to the one that the thing is in, `.` for itself..
    pub way: CString,
    /// ..and the thing's name there.
    pub name: CString,
    pub kind: Kind,
}

/// The process. Ended when this is dropped, and does nothing then.
#[derive(Debug)]
pub(crate) struct Sweeper {
    pidfd: OwnedFd,
    alive: OwnedFd,
}

/// What the process looks at before it is that program.
struct Start {
    /// The caller's numbers of its descriptors, in order; none of them is one of its own numbers.
    fds: Vec<RawFd>,
    program: RawFd,
    argv: Vec<*const c_char>,
    /// Why it did not become that program.
    failed: AtomicI32,
}

impl Sweeper {
    /// One that removes these, which need not be there yet, in this order when the caller is killed.
    pub(crate) fn start(things: &[Leftover]) -> Result<Self, Error> {
        let failed = |errno: rustix::io::Errno| Error::start(STEP, errno.raw_os_error());
        let program = program().map_err(failed)?;
        let (read, alive) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
        // The numbers below are the init's, which holds a copy.
        let alive = rustix::io::fcntl_dupfd_cloexec(&alive, 10).map_err(failed)?;
        let least = RawFd::try_from(things.len()).map_err(|_| Error::start(STEP, libc::EMFILE))? + 1;
        let bases = std::iter::once(&read).chain(things.iter().map(|thing| &*thing.base));
        let above = |fd| rustix::io::fcntl_dupfd_cloexec(fd, least);
        let fds: Vec<OwnedFd> = bases.map(above).collect::<Result<_, _>>().map_err(failed)?;
        let program = above(program).map_err(failed)?;
        let words = things.iter().flat_map(|thing| [thing.kind.word(), thing.way.as_c_str(), thing.name.as_c_str()]);
        let argv = std::iter::once(c"room-sweeper").chain(words).map(CStr::as_ptr);
        let start = Start {
            fds: fds.iter().map(AsRawFd::as_raw_fd).collect(),
            program: program.as_raw_fd(),
            argv: argv.chain(std::iter::once(std::ptr::null())).collect(),
            failed: AtomicI32::new(0),
        };
        let pidfd = start.run().map_err(|errno| Error::start(STEP, errno))?;
        let sweeper = Self { pidfd, alive };
        match start.failed.into_inner() {
            0 => Ok(sweeper),
            errno => Err(Error::start(STEP, errno)),
        }
    }

    /// What keeps it from its work, for whoever is to be waited for besides the caller.
    pub(crate) fn held(&self) -> RawFd {
        self.alive.as_raw_fd()
    }
}

impl Start {
    /// Arranges the descriptors and becomes the program; returns only the reason why it could not.
    fn exec(&self) -> Errno {
        let arrange = || -> Sys<()> {
            let mut number = 0;
            for fd in &self.fds {
                raw::dup_to(*fd, number)?;
                number += 1;
            }
            raw::close_on_exec(number.unsigned_abs(), raw::LAST_FD)
        };
        match arrange() {
            Err(errno) => errno,
            // SAFETY: the array ends with a null pointer and holds strings that outlive this process' use of them.
            Ok(()) => unsafe { raw::exec_file(self.program, self.argv.as_ptr()) },
        }
    }

    fn run(&self) -> Sys<OwnedFd> {
        let stack = Stack::take()?;
        let mut pidfd: c_int = -1;
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD;
        let mask = raw::set_signal_mask(u64::MAX);
        // SAFETY: the stack is as large as said, and CLONE_VFORK waits until the process has left this memory; `become_sweeper`
        // only reads `self`, stores into its atomic, and calls the kernel; with every signal blocked no handler of this program
        // runs on that stack. The exit signal is 0 until the program runs.
        let pid = unsafe {
            libc::clone(
                become_sweeper,
                stack.top(),
                flags,
                (&raw const *self).cast_mut().cast(),
                &raw mut pidfd,
                std::ptr::null_mut::<c_void>(),
                std::ptr::null_mut::<c_int>(),
            )
        };
        let error = if pid < 0 { std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL) } else { 0 };
        raw::set_signal_mask(mask);
        stack.give_back();
        // SAFETY: the kernel has just made this descriptor for us.
        if pid < 0 { Err(error) } else { Ok(unsafe { OwnedFd::from_raw_fd(pidfd) }) }
    }
}

extern "C" fn become_sweeper(start: *mut c_void) -> c_int {
    // SAFETY: `Start::run` passes itself and waits until this process has left its memory; nobody else writes it meanwhile.
    let start: &Start = unsafe { &*start.cast_const().cast() };
    // Signals stay blocked, and a session of its own keeps those away that end a whole process group.
    let _ = raw::setsid();
    let _ = raw::chdir(c"/");
    start.failed.store(start.exec(), SeqCst);
    raw::exit(125)
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        let _ = raw::wait_behind(self.pidfd.as_raw_fd());
    }
}
