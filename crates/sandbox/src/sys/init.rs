//! The room's first process after the set-up.
//!
//! It is a program of its own, two hundred bytes of machine code in sealed memory, so that it shares nothing with the
//! process that made the room: no memory that a prisoner could read, and no cost that grows with its size.
//!
//! Descriptors: 0 the liveness pipe (its other end is in the caller only), 1 the status pipe, 2 a pipe that tells the set-up
//! that the caller's memory has been left, 3 a signalfd for SIGCHLD, from 4 on what it keeps as long as anything is inside. It reaps every orphan; when the program (always process 2)
//! has ended it reports status and usage (8 + 144 bytes) and exits, and when descriptor 0 hangs up it exits at once. With an argument
//! it tries before that to have a child, and the fifth byte of the report is 1 where the kernel refuses it one. When the
//! first process of a pid namespace exits, the kernel kills and reaps all others before anybody can see it gone.
//! It also exits when it cannot look at its descriptors any more: a program with its user may take its `RLIMIT_NOFILE` away.

use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;

/// Bytes of a report: the status word, whether one more process was refused, then `struct rusage`.
pub(crate) const REPORT_LEN: usize = 8 + 144;

/// What the init says when the program has ended.
pub(crate) struct Report {
    /// The program's status word.
    pub status: i32,
    /// Whether there was no place for one more process.
    pub full: bool,
    /// What the program and those it waited for used: `struct rusage` as 18 machine words.
    pub usage: [i64; 18],
}

impl Report {
    pub(crate) fn read(bytes: &[u8; REPORT_LEN]) -> Self {
        let [word, rest @ ..] = bytes.as_chunks::<8>().0 else {
            return Self { status: 0, full: false, usage: [0; 18] };
        };
        let mut usage = [0; 18];
        for (place, bytes) in usage.iter_mut().zip(rest) {
            *place = i64::from_ne_bytes(*bytes);
        }
        let [a, b, c, d, full, ..] = *word;
        Self { status: i32::from_ne_bytes([a, b, c, d]), full: full != 0, usage }
    }
}

#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".pushsection .rodata.sandbox_init, \"a\"",
    ".globl sandbox_init_start, sandbox_init_end",
    "sandbox_init_start:",
    "sub rsp, 1024",
    // prctl(PR_SET_DUMPABLE, 0), before the program may run
    "mov eax, 157",
    "mov edi, 4",
    "xor esi, esi",
    "syscall",
    // write(2, "", 1), close(2)
    "mov byte ptr [rsp], 1",
    "mov eax, 1",
    "mov edi, 2",
    "mov rsi, rsp",
    "mov edx, 1",
    "syscall",
    "mov eax, 3",
    "mov edi, 2",
    "syscall",
    "2:",
    // poll([(0, POLLIN), (3, POLLIN)], 2, -1)
    "mov dword ptr [rsp], 0",
    "mov dword ptr [rsp + 4], 1",
    "mov dword ptr [rsp + 8], 3",
    "mov dword ptr [rsp + 12], 1",
    "mov eax, 7",
    "mov rdi, rsp",
    "mov esi, 2",
    "mov edx, -1",
    "syscall",
    "test eax, eax",
    "js 5f",
    "cmp word ptr [rsp + 6], 0",
    "jne 5f",
    // read(3, .., 128): the signal is only a hint to look
    "xor eax, eax",
    "mov edi, 3",
    "lea rsi, [rsp + 512]",
    "mov edx, 128",
    "syscall",
    "3:",
    // wait4(-1, &status, WNOHANG | __WALL, &usage)
    "mov qword ptr [rsp + 16], 0",
    "mov eax, 61",
    "mov rdi, -1",
    "lea rsi, [rsp + 16]",
    "mov edx, 0x40000001",
    "lea r10, [rsp + 24]",
    "syscall",
    "test rax, rax",
    "jle 2b",
    "cmp rax, 2",
    "jne 3b",
    "cmp qword ptr [rsp + 1024], 1",
    "je 4f",
    // fork()
    "mov eax, 57",
    "syscall",
    "test eax, eax",
    "jz 6f",
    "jns 4f",
    "mov dword ptr [rsp + 20], 1",
    "4:",
    // write(1, report, 152), exit_group(0)
    "mov eax, 1",
    "mov edi, 1",
    "lea rsi, [rsp + 16]",
    "mov edx, 152",
    "syscall",
    "xor edi, edi",
    "jmp 6f",
    "5:",
    "mov edi, 1",
    "6:",
    "mov eax, 231",
    "syscall",
    "jmp 6b",
    "sandbox_init_end:",
    ".popsection",
);

#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    ".pushsection .rodata.sandbox_init, \"a\"",
    ".balign 4",
    ".globl sandbox_init_start, sandbox_init_end",
    "sandbox_init_start:",
    "sub sp, sp, #1024",
    "mov x0, #4",
    "mov x1, #0",
    "mov x8, #167",
    "svc 0",
    "mov x0, #2",
    "mov x1, sp",
    "mov x2, #1",
    "mov x8, #64",
    "svc 0",
    "mov x0, #2",
    "mov x8, #57",
    "svc 0",
    "2:",
    // ppoll([(0, POLLIN), (3, POLLIN)], 2, NULL, NULL)
    "mov w9, #1",
    "mov w10, #3",
    "str wzr, [sp]",
    "str w9, [sp, #4]",
    "str w10, [sp, #8]",
    "str w9, [sp, #12]",
    "mov x0, sp",
    "mov x1, #2",
    "mov x2, #0",
    "mov x3, #0",
    "mov x4, #8",
    "mov x8, #73",
    "svc 0",
    "tbnz x0, #63, 5f",
    "ldrh w9, [sp, #6]",
    "cbnz w9, 5f",
    "mov x0, #3",
    "add x1, sp, #512",
    "mov x2, #128",
    "mov x8, #63",
    "svc 0",
    "3:",
    "str xzr, [sp, #16]",
    "mov x0, #-1",
    "add x1, sp, #16",
    "movz w2, #0x4000, lsl #16",
    "orr w2, w2, #1",
    "add x3, sp, #24",
    "mov x8, #260",
    "svc 0",
    "cmp x0, #0",
    "b.le 2b",
    "cmp x0, #2",
    "b.ne 3b",
    "ldr x9, [sp, #1024]",
    "cmp x9, #1",
    "b.eq 4f",
    // clone(SIGCHLD, NULL, NULL, 0, NULL)
    "mov x0, #17",
    "mov x1, #0",
    "mov x2, #0",
    "mov x3, #0",
    "mov x4, #0",
    "mov x8, #220",
    "svc 0",
    "cbz x0, 6f",
    "tbz x0, #63, 4f",
    "mov w9, #1",
    "str w9, [sp, #20]",
    "4:",
    "mov x0, #1",
    "add x1, sp, #16",
    "mov x2, #152",
    "mov x8, #64",
    "svc 0",
    "mov x0, #0",
    "b 6f",
    "5:",
    "mov x0, #1",
    "6:",
    "mov x8, #94",
    "svc 0",
    "b 6b",
    "sandbox_init_end:",
    ".popsection",
);

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the room's init is written for x86_64 and aarch64");

unsafe extern "C" {
    static sandbox_init_start: u8;
    static sandbox_init_end: u8;
}

fn code() -> &'static [u8] {
    let (start, end) = (&raw const sandbox_init_start, &raw const sandbox_init_end);
    // SAFETY: both labels stand in one read-only section, `start` before `end`, with initialised bytes between them.
    unsafe { std::slice::from_raw_parts(start, end.offset_from_unsigned(start)) }
}

/// A static executable whose only segment is `code`.
pub(crate) fn executable(code: &[u8]) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let machine: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    let size = HEADERS + code.len() as u64;
    let mut file = Vec::with_capacity(size as usize);
    file.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    for half in [2, machine] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    file.extend_from_slice(&1u32.to_le_bytes());
    for word in [BASE + HEADERS, 64, 0] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.extend_from_slice(&0u32.to_le_bytes());
    for half in [64u16, 56, 1, 64, 0, 0] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    // PT_LOAD, readable and executable
    for word in [1u32, 5] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    for word in [0, BASE, BASE, size, size, 0x1_0000] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.extend_from_slice(code);
    file
}

/// Sealed memory with `bytes`, opened for reading and running only.
pub(crate) fn sealed(name: &str, bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = match rustix::fs::memfd_create(name, flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags)?,
        other => other?,
    };
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = &rest[written..];
    }
    rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    // A file that anybody has open for writing cannot be run.
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let reader = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::fcntl_dupfd_cloexec(reader, 10)
}

/// A program that does nothing but exit with 0.
pub(crate) fn exit_program() -> Vec<u8> {
    #[cfg(target_arch = "x86_64")]
    // xor edi, edi; mov eax, 231; syscall
    let code = [0x31, 0xff, 0xb8, 0xe7, 0, 0, 0, 0x0f, 0x05];
    #[cfg(target_arch = "aarch64")]
    // mov x0, #0; mov x8, #94; svc 0
    let code = [0x00, 0x00, 0x80, 0xd2, 0xc8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4];
    executable(&code)
}

/// The Landlock rules of rooms.
pub(crate) fn landlock_rules() -> Result<OwnedFd, i32> {
    let fd = super::raw::landlock_scope()?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) })
}

/// The init program, made once.
pub(crate) fn init_program() -> Result<&'static OwnedFd, Errno> {
    static PROGRAM: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(program) = PROGRAM.get() {
        return Ok(program);
    }
    let made = sealed("room-init", &executable(code()))?;
    Ok(PROGRAM.get_or_init(|| made))
}
