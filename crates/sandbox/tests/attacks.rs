//! The attack list of `research/sandbox.md`, section 2.3: what needs system calls of its own.
//!
//! `attacker` is run inside a room (this test program shown at `/tested`) and prints one line for each attempt: its name and the
//! error number, 0 for "allowed".
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod harness;
#[cfg(target_arch = "x86_64")]
mod i386;

use std::io::{BufRead, BufReader};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use harness::{Base, is_probe, marked, stdout};
use sandbox::{Exit, Ids, InheritedFd, Input, Net, Room, Session, SetId};

/// Calls the kernel and returns the error number, 0 for success.
fn call(nr: libc::c_long, args: [usize; 6]) -> i32 {
    // SAFETY: attempts are made with null pointers, small numbers, or pointers to live, sufficiently large memory of the caller.
    let result = unsafe { libc::syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5]) };
    if result < 0 { std::io::Error::last_os_error().raw_os_error().unwrap_or(-1) } else { 0 }
}

fn address(text: &std::ffi::CStr) -> usize {
    text.as_ptr() as usize
}

fn opens(path: &str, write: bool) -> i32 {
    let result = std::fs::OpenOptions::new().read(!write).write(write).open(path);
    result.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |_| 0)
}

/// Asks not to be chosen when memory runs out.
fn lower_oom_score() -> i32 {
    let file = std::fs::OpenOptions::new().write(true).open("/proc/self/oom_score_adj");
    let result = file.and_then(|mut file| std::io::Write::write_all(&mut file, b"-500"));
    result.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |()| 0)
}

type Attempt = (&'static str, i32);

fn mounts() -> Vec<Attempt> {
    let (tmpfs, tmp, root, proc_sys, null) =
        (address(c"tmpfs"), address(c"/tmp"), address(c"/"), address(c"/proc/sys"), address(c"/dev/null"));
    vec![
        ("mount", call(libc::SYS_mount, [tmpfs, tmp, tmpfs, 0, 0, 0])),
        ("remount", call(libc::SYS_mount, [0, root, 0, (libc::MS_REMOUNT | libc::MS_BIND) as usize, 0, 0])),
        ("umount /proc/sys", call(libc::SYS_umount2, [proc_sys, 0, 0, 0, 0, 0])),
        ("umount /dev/null", call(libc::SYS_umount2, [null, libc::MNT_DETACH as usize, 0, 0, 0, 0])),
        ("pivot_root", call(libc::SYS_pivot_root, [tmp, tmp, 0, 0, 0, 0])),
        ("chroot", call(libc::SYS_chroot, [tmp, 0, 0, 0, 0, 0])),
        ("open_tree", call(libc::SYS_open_tree, [-100isize as usize, root, 1, 0, 0, 0])),
        ("fsopen", call(libc::SYS_fsopen, [tmpfs, 0, 0, 0, 0, 0])),
        (
            "mount_setattr",
            call(libc::SYS_mount_setattr, [-100isize as usize, root, 0, [0u64; 4].as_ptr() as usize, 32, 0]),
        ),
        ("open_tree_attr", call(467, [-100isize as usize, root, 1, [0u64; 4].as_ptr() as usize, 32, 0])),
    ]
}

fn namespaces() -> Vec<Attempt> {
    let new = |flag: i32| flag as usize;
    vec![
        ("unshare user", call(libc::SYS_unshare, [new(libc::CLONE_NEWUSER), 0, 0, 0, 0, 0])),
        ("unshare mount", call(libc::SYS_unshare, [new(libc::CLONE_NEWNS), 0, 0, 0, 0, 0])),
        ("unshare time", call(libc::SYS_unshare, [0x80, 0, 0, 0, 0, 0])),
        ("clone user", call(libc::SYS_clone, [new(libc::CLONE_NEWUSER | libc::SIGCHLD), 0, 0, 0, 0, 0])),
        ("clone3", call(libc::SYS_clone3, [[0u64; 11].as_ptr() as usize, 88, 0, 0, 0, 0])),
        ("setns", call(libc::SYS_setns, [0, 0, 0, 0, 0, 0])),
    ]
}

/// Opens for reading, and reads: an error, or that there is nothing.
fn opens_with_content(path: &str) -> i32 {
    match std::fs::File::open(path).and_then(|mut file| std::io::Read::read(&mut file, &mut [0u8; 1])) {
        Ok(0) => libc::ENODATA,
        Ok(_) => 0,
        Err(error) => error.raw_os_error().unwrap_or(-1),
    }
}

fn doors() -> Vec<Attempt> {
    let zero = [0u64; 32];
    let memory = zero.as_ptr() as usize;
    vec![
        ("io_uring_setup", call(libc::SYS_io_uring_setup, [1, memory, 0, 0, 0, 0])),
        ("bpf", call(libc::SYS_bpf, [0, memory, 72, 0, 0, 0])),
        ("perf_event_open", call(libc::SYS_perf_event_open, [memory, 0, 0, 0, 0, 0])),
        ("userfaultfd", call(libc::SYS_userfaultfd, [1, 0, 0, 0, 0, 0])),
        ("kexec_load", call(libc::SYS_kexec_load, [0, 0, 0, 0, 0, 0])),
        ("init_module", call(libc::SYS_init_module, [memory, 8, address(c""), 0, 0, 0])),
        ("finit_module", call(libc::SYS_finit_module, [0, address(c""), 0, 0, 0, 0])),
        ("open_by_handle_at", call(libc::SYS_open_by_handle_at, [-100isize as usize, memory, 0, 0, 0, 0])),
        ("fanotify_init", call(libc::SYS_fanotify_init, [0, 0, 0, 0, 0, 0])),
        ("quotactl", call(libc::SYS_quotactl, [0x8000_0100, 0, 0, 0, 0, 0])),
        ("swapon", call(libc::SYS_swapon, [address(c"/tmp"), 0, 0, 0, 0, 0])),
        ("acct", call(libc::SYS_acct, [0, 0, 0, 0, 0, 0])),
        ("reboot", call(libc::SYS_reboot, [0xfee1_dead, 672_274_793, 0, 0, 0, 0])),
        ("sethostname", call(libc::SYS_sethostname, [address(c"x"), 1, 0, 0, 0, 0])),
        (
            "mknod",
            call(
                libc::SYS_mknodat,
                [-100isize as usize, address(c"/tmp/dev"), (libc::S_IFCHR | 0o666) as usize, 0x101, 0, 0],
            ),
        ),
        ("setuid 0", call(libc::SYS_setuid, [0, 0, 0, 0, 0, 0])),
        ("setgroups", call(libc::SYS_setgroups, [0, 0, 0, 0, 0, 0])),
        (
            "setrlimit",
            call(libc::SYS_setrlimit, [libc::RLIMIT_CORE as usize, [u64::MAX; 2].as_ptr() as usize, 0, 0, 0, 0]),
        ),
    ]
}

fn log() -> Vec<Attempt> {
    vec![
        ("syslog", call(libc::SYS_syslog, [10, 0, 0, 0, 0, 0])),
        ("/dev/kmsg", opens("/dev/kmsg", true)),
        ("/proc/kmsg", opens_with_content("/proc/kmsg")),
    ]
}

fn clocks() -> Vec<Attempt> {
    let zero = [0u64; 32];
    let memory = zero.as_ptr() as usize;
    vec![
        ("settimeofday", call(libc::SYS_settimeofday, [memory, 0, 0, 0, 0, 0])),
        ("clock_settime", call(libc::SYS_clock_settime, [0, memory, 0, 0, 0, 0])),
        ("adjtimex", call(libc::SYS_adjtimex, [memory, 0, 0, 0, 0, 0])),
        ("clock_settime monotonic", call(libc::SYS_clock_settime, [1, memory, 0, 0, 0, 0])),
        ("/dev/rtc", opens("/dev/rtc", true)),
        ("/dev/rtc0", opens("/dev/rtc0", true)),
    ]
}

fn scheduling() -> Vec<Attempt> {
    vec![
        ("nice -20", call(libc::SYS_setpriority, [0, 0, -20isize as usize, 0, 0, 0])),
        ("realtime", call(libc::SYS_sched_setscheduler, [0, 1, [1i32; 2].as_ptr() as usize, 0, 0, 0])),
        ("oom_score_adj", lower_oom_score()),
        ("io priority", call(libc::SYS_ioprio_set, [1, 0, 1 << 13, 0, 0, 0])),
    ]
}

fn keyrings() -> Vec<Attempt> {
    let zero = [0u64; 32];
    let memory = zero.as_ptr() as usize;
    vec![
        ("keyctl", call(libc::SYS_keyctl, [0, -3isize as usize, 0, 0, 0, 0])),
        ("add_key", call(libc::SYS_add_key, [address(c"user"), address(c"x"), memory, 1, -3isize as usize, 0])),
        ("request_key", call(libc::SYS_request_key, [address(c"user"), address(c"x"), 0, 0, 0, 0])),
        ("search", call(libc::SYS_keyctl, [10, -3isize as usize, address(c"user"), address(c"sandbox-test"), 0, 0])),
        (
            "add to the user's",
            call(
                libc::SYS_add_key,
                [address(c"user"), address(c"sandbox-inside"), address(c"x"), 1, -4isize as usize, 0],
            ),
        ),
    ]
}

#[cfg(target_arch = "x86_64")]
fn ports() -> Vec<Attempt> {
    vec![("iopl", call(libc::SYS_iopl, [3, 0, 0, 0, 0, 0])), ("ioperm", call(libc::SYS_ioperm, [0x70, 2, 1, 0, 0, 0]))]
}

#[cfg(not(target_arch = "x86_64"))]
fn ports() -> Vec<Attempt> {
    Vec::new()
}

fn sockets() -> Vec<Attempt> {
    let socket = |family: i32, kind: i32| call(libc::SYS_socket, [family as usize, kind as usize, 0, 0, 0, 0]);
    let mut pair = [0i32; 2];
    let ends = pair.as_mut_ptr() as usize;
    // Two are made before the family is asked whether it has pairs: EAFNOSUPPORT says that none were.
    let of_vsock = call(libc::SYS_socketpair, [libc::AF_VSOCK as usize, libc::SOCK_STREAM as usize, 0, ends, 0, 0]);
    let is_refused = of_vsock == libc::EAFNOSUPPORT;
    vec![
        ("vsock", socket(libc::AF_VSOCK, libc::SOCK_STREAM)),
        ("vsock pair", if is_refused { of_vsock } else { 0 }),
        ("packet", socket(libc::AF_PACKET, libc::SOCK_RAW)),
        ("alg", socket(libc::AF_ALG, libc::SOCK_SEQPACKET)),
        ("bluetooth", socket(libc::AF_BLUETOOTH, libc::SOCK_RAW)),
        ("raw", socket(libc::AF_INET, libc::SOCK_RAW)),
    ]
}

/// Case 4: looking into, tracing, killing process 1.
fn init() -> Vec<Attempt> {
    let path = |what: &str| format!("/proc/1/{what}");
    let mut attempts = vec![
        ("ptrace 1", call(libc::SYS_ptrace, [libc::PTRACE_ATTACH as usize, 1, 0, 0, 0, 0])),
        ("seize 1", call(libc::SYS_ptrace, [libc::PTRACE_SEIZE as usize, 1, 0, 0, 0, 0])),
        ("mem", opens(&path("mem"), true)),
        ("environ", opens(&path("environ"), false)),
        ("maps", opens(&path("maps"), false)),
        ("fd", std::fs::read_link(path("fd/0")).map_or_else(|error| error.raw_os_error().unwrap_or(-1), |_| 0)),
    ];
    let [mut here, mut there] = [[0usize; 2]; 2];
    let mut byte = [0u8; 8];
    here[0] = byte.as_mut_ptr() as usize;
    here[1] = 8;
    there[0] = 0x40_0000;
    there[1] = 8;
    let arguments = [1, here.as_ptr() as usize, 1, there.as_ptr() as usize, 1, 0];
    attempts.push(("process_vm_readv", call(libc::SYS_process_vm_readv, arguments)));
    // Sent, but without effect: the room is still there to print this.
    let _ = call(libc::SYS_kill, [1, libc::SIGKILL as usize, 0, 0, 0, 0]);
    let _ = call(libc::SYS_kill, [1, libc::SIGSTOP as usize, 0, 0, 0, 0]);
    attempts
}

/// Case 45: writing into programs that run.
fn programs() -> Vec<Attempt> {
    vec![
        ("the init", opens("/proc/1/exe", true)),
        ("this program", opens("/proc/self/exe", true)),
        ("its file", opens("/tested", true)),
        ("its loader", opens("/lib64/ld-linux-x86-64.so.2", true)),
    ]
}

/// Case 1, and case 3 with the number of a process outside.
fn terminal() -> Vec<Attempt> {
    let push = |request: usize| call(libc::SYS_ioctl, [0, request, address(c"x"), 0, 0, 0]);
    // The one that it has: any other might be missing here.
    let discipline = 0i32;
    let set = call(libc::SYS_ioctl, [0, libc::TIOCSETD as usize, (&raw const discipline).expose_provenance(), 0, 0, 0]);
    vec![
        ("TIOCSTI", push(0x5412)),
        ("TIOCSTI, high bits", push(0x1_0000_5412)),
        ("TIOCLINUX", push(0x541c)),
        ("TIOCSETD", set),
    ]
}

fn outside() -> Vec<Attempt> {
    let victim: usize = std::env::var("VICTIM").ok().and_then(|pid| pid.parse().ok()).unwrap_or(0);
    let (byte, limits) = ([0u8; 8], [0u64; 2]);
    let part = [byte.as_ptr() as usize, 8];
    let write = [victim, part.as_ptr() as usize, 1, part.as_ptr() as usize, 1, 0];
    vec![
        ("kill", call(libc::SYS_kill, [victim, 9, 0, 0, 0, 0])),
        ("tgkill", call(libc::SYS_tgkill, [victim, victim, 9, 0, 0, 0])),
        ("kill everybody", call(libc::SYS_kill, [-1isize as usize, 9, 0, 0, 0, 0])),
        ("ptrace", call(libc::SYS_ptrace, [libc::PTRACE_ATTACH as usize, victim, 0, 0, 0, 0])),
        ("process_vm_writev", call(libc::SYS_process_vm_writev, write)),
        ("pidfd_open", call(libc::SYS_pidfd_open, [victim, 0, 0, 0, 0, 0])),
        ("prlimit", call(libc::SYS_prlimit64, [victim, libc::RLIMIT_CORE as usize, 0, limits.as_ptr() as usize, 0, 0])),
        ("setpriority", call(libc::SYS_setpriority, [0, victim, 19, 0, 0, 0])),
        ("its files", opens(&format!("/proc/{victim}/environ"), false)),
    ]
}

/// Case 3, too: what reaches the process group it is in, by a signal that nobody minds who did not ask for it.
fn group() -> Vec<Attempt> {
    const F_SETOWN: usize = 8;
    const F_SETOWN_EX: usize = 15;
    const FIOSETOWN: usize = 0x8901;
    const PROCESS_GROUP: usize = 4;
    let (signal, this, group) = (libc::SIGURG as usize, -10_001isize as usize, [2i32, 0]);
    let pidfd = |pid: usize| {
        // SAFETY: no memory is passed.
        unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) as usize }
    };
    let own = std::process::id() as usize;
    let pointer = [0i32].as_ptr() as usize;
    vec![
        ("kill", call(libc::SYS_kill, [0, signal, 0, 0, 0, 0])),
        ("kill, high bits", call(libc::SYS_kill, [1 << 32, signal, 0, 0, 0, 0])),
        ("a group by itself", call(libc::SYS_pidfd_send_signal, [this, signal, 0, PROCESS_GROUP, 0, 0])),
        ("by a descriptor", call(libc::SYS_pidfd_send_signal, [pidfd(own), signal, 0, PROCESS_GROUP, 0, 0])),
        ("by the init's", call(libc::SYS_pidfd_send_signal, [pidfd(1), signal, 0, PROCESS_GROUP, 0, 0])),
        ("F_SETOWN", call(libc::SYS_fcntl, [1, F_SETOWN, -(own as isize) as usize, 0, 0, 0])),
        ("F_SETOWN_EX", call(libc::SYS_fcntl, [1, F_SETOWN_EX, group.as_ptr() as usize, 0, 0, 0])),
        ("FIOSETOWN", call(libc::SYS_ioctl, [1, FIOSETOWN, pointer, 0, 0, 0])),
        ("nice", call(libc::SYS_setpriority, [1, 0, 7, 0, 0, 0])),
        ("idle", call(libc::SYS_ioprio_set, [2, 0, 3 << 13, 0, 0, 0])),
    ]
}

/// The device and inode behind a descriptor.
fn identity(fd: i32) -> Option<(u64, u64)> {
    if fd < 0 {
        return None;
    }
    // SAFETY: it is only looked at, and stays open meanwhile.
    let stat = rustix::fs::fstat(unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) }).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

/// What `path` from a folder that is open leads to: 0 where that is neither the root nor below it.
fn leaves(folder: i32, path: &std::ffi::CStr, root: (u64, u64)) -> i32 {
    // SAFETY: the path is NUL-terminated and lives.
    let fd = unsafe { libc::openat(folder, path.as_ptr(), libc::O_PATH | libc::O_DIRECTORY) };
    if fd < 0 {
        return std::io::Error::last_os_error().raw_os_error().unwrap_or(-1);
    }
    if identity(fd) == Some(root) { libc::EXDEV } else { 0 }
}

/// Case 20: climbing with a folder that was open before chroot, by links of `/proc`, and by a folder that moves away.
fn climb() -> Vec<Attempt> {
    use std::io::Read;
    let open = |path: &str| std::fs::File::open(path).unwrap().into_raw_fd();
    let (root_fd, out) = (open("/"), open("/out"));
    let root = identity(root_fd).unwrap();
    let up = c"../../../../../../../../../../../..";
    let mut attempts = vec![
        ("chroot", call(libc::SYS_chroot, [address(c"/tmp"), 0, 0, 0, 0, 0])),
        ("up from the root", leaves(root_fd, up, root)),
        ("up from a mount", leaves(out, up, root)),
        ("/proc/self/root", leaves(libc::AT_FDCWD, c"/proc/self/root/../..", root)),
        ("/proc/self/fd", leaves(libc::AT_FDCWD, c"/proc/self/fd/../../../..", root)),
        ("/proc/1/root", leaves(libc::AT_FDCWD, c"/proc/1/root", root)),
        ("/proc/1/cwd", leaves(libc::AT_FDCWD, c"/proc/1/cwd", root)),
        ("a handle of the root", call(libc::SYS_open_by_handle_at, [root_fd as usize, root.1 as usize, 0, 0, 0, 0])),
    ];
    assert_eq!(call(libc::SYS_fchdir, [root_fd as usize, 0, 0, 0, 0, 0]), 0);
    attempts.push(("up after fchdir", leaves(libc::AT_FDCWD, up, root)));
    for folder in ["/out/a", "/out/a/b"] {
        rustix::fs::mkdir(folder, 0o755.into()).unwrap();
    }
    let inner = open("/out/a/b");
    std::env::set_current_dir("/out/a/b").unwrap();
    // An accomplice outside moves it to where the room has no mount.
    rustix::io::write(rustix::stdio::stdout(), b"\nMOVE\n").unwrap();
    std::io::stdin().read_exact(&mut [0u8; 1]).unwrap();
    assert!(!std::path::Path::new("/out/a/b").exists());
    attempts.extend([
        ("up from where it went", leaves(libc::AT_FDCWD, c"..", root)),
        ("higher", leaves(inner, up, root)),
        ("its neighbour", opens("../secret", false)),
        ("by the link", opens(&format!("/proc/self/fd/{inner}/../secret"), false)),
        ("by its name", opens("/proc/self/cwd/../secret", false)),
    ]);
    attempts
}

/// Case 5: every setting of the kernel, opened for writing but not written.
fn settings() -> Vec<Attempt> {
    let mut folders = vec![std::path::PathBuf::from("/proc/sys")];
    let (mut seen, mut attempts) = (0, vec![("any setting", libc::EROFS)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
                continue;
            }
            seen += 1;
            let path = entry.path();
            // What is covered is the null device.
            let is_setting = std::fs::metadata(&path).is_ok_and(|found| found.is_file());
            let path = path.to_string_lossy().into_owned();
            if is_setting && opens(&path, true) == 0 {
                attempts.push((path.leak(), 0));
            }
        }
    }
    assert!(seen > 100, "{seen}");
    attempts
}

/// What the caller has in its memory for case 44, made of bytes that are nowhere else.
fn canary() -> impl Iterator<Item = u8> {
    (0u32..64).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8 ^ 0xa5)
}

/// How often the canary is in a piece of memory; nothing of it is written down meanwhile.
fn canaries(mut memory: &[u8]) -> usize {
    let (first, mut found) = (canary().next().unwrap(), 0);
    loop {
        // SAFETY: the pointer and length describe one borrowed slice.
        let next = unsafe { libc::memchr(memory.as_ptr().cast(), i32::from(first), memory.len()) };
        if next.is_null() {
            return found;
        }
        memory = &memory[next.addr() - memory.as_ptr().addr()..];
        found += usize::from(memory.iter().copied().take(64).eq(canary()));
        memory = &memory[1..];
    }
}

/// Case 44: the memory of every process that there is.
fn memories() -> Vec<Attempt> {
    use std::os::unix::fs::FileExt;
    const PIECE: usize = 1 << 20;
    let numbers = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let (mut read, mut found) = (0u64, 0);
    // A page of its own, and no copy of it elsewhere, so that the search is seen to find something.
    let known: Box<[u8]> = if std::env::var_os("KNOWN").is_some() { canary().collect() } else { Box::default() };
    for process in numbers.filter(|path| path.join("maps").exists()) {
        let Ok(maps) = std::fs::read_to_string(process.join("maps")) else { continue };
        let Ok(memory) = std::fs::File::open(process.join("mem")) else { continue };
        for line in maps.lines().filter(|line| !line.contains("[v")) {
            let (begin, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let (mut at, end) = (u64::from_str_radix(begin, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
            let mut piece = vec![0u8; PIECE];
            while at < end {
                let most = usize::try_from(end - at).unwrap().min(PIECE);
                let Ok(count) = memory.read_at(&mut piece[..most], at) else { break };
                found += canaries(&piece[..count]);
                read += count as u64;
                // What lies across two pieces is whole in one of them.
                at += if count < 128 || at + count as u64 == end { count.max(1) } else { count - 64 } as u64;
            }
        }
    }
    let fields = ["environ", "cmdline"].map(|name| std::fs::read(format!("/proc/self/{name}")).unwrap_or_default());
    found += fields.iter().map(|field| canaries(field)).sum::<usize>();
    assert!(read > 1 << 20, "{read}");
    drop(known);
    vec![("the canary", if found > 0 { 0 } else { libc::ENODATA })]
}

/// Case 46: the old 32-bit table, by a 64-bit program and by a 32-bit one, and that of x32.
#[cfg(target_arch = "x86_64")]
fn i386() -> Vec<Attempt> {
    let (calls, data) = i386::calls();
    i386::share(&data);
    let mut attempts: Vec<_> = calls.iter().map(|(name, call)| (*name, i386::old_entry(*call))).collect();
    attempts.extend(i386::by_a_program(&calls, &data));
    let first_allowed = (0..600).find(|nr| call((nr | 0x4000_0000) as libc::c_long, [0; 6]) == 0);
    attempts.push(("every number of x32", first_allowed.map_or(libc::ENOSYS, |_| 0)));
    attempts
}

/// Case 8: a socket without a file, in the host's network.
fn abstract_socket() -> Vec<Attempt> {
    let name = std::env::var("SOCKET").unwrap_or_default();
    let address = SocketAddr::from_abstract_name(name).unwrap();
    vec![("connect", UnixStream::connect_addr(&address).map_or_else(|error| error.raw_os_error().unwrap_or(-1), |_| 0))]
}

/// Case 10: sockets that have a file.
fn path_sockets() -> Vec<Attempt> {
    let connect = |path: &str| UnixStream::connect(path).map_or_else(|error| error.raw_os_error().unwrap_or(-1), |_| 0);
    let own = std::env::var("SOCKET").unwrap_or_default();
    vec![
        ("a socket of the caller", connect(&own)),
        ("dbus", connect("/run/dbus/system_bus_socket")),
        ("docker", connect("/var/run/docker.sock")),
        ("x11", connect("/tmp/.X11-unix/X0")),
    ]
}

/// Case 12: every way to a file with setid bits.
fn setid() -> Vec<Attempt> {
    let at = -100isize as usize;
    let make = |name: &str| {
        let path = std::ffi::CString::new(format!("/out/{name}")).unwrap();
        drop(std::fs::File::create(format!("/out/{name}")));
        path
    };
    let (creates, mode) = ((libc::O_CREAT | libc::O_WRONLY) as usize, 0o6755usize);
    let fchmod = std::fs::File::create("/out/fchmod").unwrap();
    let how = [creates as u64, mode as u64, 0];
    let mut attempts = vec![
        ("chmod", call(libc::SYS_fchmodat, [at, address(&make("chmod")), mode, 0, 0, 0])),
        ("fchmod", call(libc::SYS_fchmod, [fchmod.as_raw_fd() as usize, mode, 0, 0, 0, 0])),
        ("fchmodat2", call(452, [at, address(&make("fchmodat2")), mode, 0, 0, 0])),
        ("openat", call(libc::SYS_openat, [at, address(c"/out/openat"), creates, mode, 0, 0])),
        ("openat2", call(libc::SYS_openat2, [at, address(c"/out/openat2"), how.as_ptr() as usize, 24, 0, 0])),
        ("mknodat", call(libc::SYS_mknodat, [at, address(c"/out/mknodat"), libc::S_IFREG as usize | mode, 0, 0, 0])),
        ("O_TMPFILE", tmpfile(mode)),
        ("io_uring", call(libc::SYS_io_uring_setup, [1, how.as_ptr() as usize, 0, 0, 0, 0])),
    ];
    #[cfg(target_arch = "x86_64")]
    attempts.extend([
        ("old chmod", call(libc::SYS_chmod, [address(&make("chmod-old")), mode, 0, 0, 0, 0])),
        ("open", call(libc::SYS_open, [address(c"/out/open"), creates, mode, 0, 0, 0])),
        ("creat", call(libc::SYS_creat, [address(c"/out/creat"), mode, 0, 0, 0, 0])),
        ("mknod", call(libc::SYS_mknod, [address(c"/out/mknod"), libc::S_IFREG as usize | mode, 0, 0, 0, 0])),
    ]);
    attempts
}

/// A file without a name that gets one afterwards.
fn tmpfile(mode: usize) -> i32 {
    let flags = (libc::O_TMPFILE | libc::O_WRONLY) as usize;
    // SAFETY: the path is NUL-terminated and lives.
    let fd = unsafe { libc::syscall(libc::SYS_openat, -100isize, address(c"/out"), flags, mode) };
    if fd < 0 {
        return std::io::Error::last_os_error().raw_os_error().unwrap_or(-1);
    }
    let from = std::ffi::CString::new(format!("/proc/self/fd/{fd}")).unwrap();
    let follow = libc::AT_SYMLINK_FOLLOW as usize;
    let at = -100isize as usize;
    call(libc::SYS_linkat, [at, address(&from), at, address(c"/out/tmpfile"), follow, 0])
}

/// Case 13: attributes by every call there is.
fn set_attributes() -> Vec<Attempt> {
    let file = std::fs::File::create("/out/file").unwrap();
    let (path, name, value) = (address(c"/out/file"), address(c"user.test"), address(c"value"));
    let fd = file.as_raw_fd() as usize;
    // A capability set of revision 2: CAP_NET_RAW.
    let raw: [u32; 5] = [0x0200_0001, 1 << 13, 0, 0, 0];
    let arguments = [value as u64, 5, 0];
    let immutable = 0x10u64;
    vec![
        ("setxattr", call(libc::SYS_setxattr, [path, name, value, 5, 0, 0])),
        ("lsetxattr", call(libc::SYS_lsetxattr, [path, name, value, 5, 0, 0])),
        ("fsetxattr", call(libc::SYS_fsetxattr, [fd, name, value, 5, 0, 0])),
        ("setxattrat", call(463, [-100isize as usize, path, 0, name, arguments.as_ptr() as usize, 16])),
        (
            "capability",
            call(libc::SYS_setxattr, [path, address(c"security.capability"), raw.as_ptr() as usize, 20, 0, 0]),
        ),
        ("acl", call(libc::SYS_setxattr, [path, address(c"system.posix_acl_access"), value, 4, 0, 0])),
        ("flags", call(libc::SYS_ioctl, [fd, 0x4008_6602, (&raw const immutable) as usize, 0, 0, 0])),
        ("file_setattr", call(469, [-100isize as usize, path, (&raw const immutable) as usize, 24, 0, 0])),
    ]
}

/// Case 26: the host's listener, by the address that means the room inside.
fn tcp() -> Vec<Attempt> {
    let port = std::env::var("PORT").unwrap_or_default();
    let connect = |address: String| {
        std::net::TcpStream::connect(address).map_or_else(|error| error.raw_os_error().unwrap_or(-1), |_| 0)
    };
    vec![("loopback", connect(format!("127.0.0.1:{port}"))), ("elsewhere", connect("192.0.2.1:80".into()))]
}

#[test]
fn attacker() {
    if !is_probe("attacker") {
        return;
    }
    let attempts = match std::env::var("ATTACK").unwrap().as_str() {
        "mounts" => mounts(),
        "namespaces" => namespaces(),
        "doors" => doors().into_iter().chain(ports()).collect(),
        "log" => log(),
        "clocks" => clocks(),
        "scheduling" => scheduling(),
        "keyrings" => keyrings(),
        "programs" => programs(),
        "sockets by path" => path_sockets(),
        "setid" => setid(),
        "attributes" => set_attributes(),
        "sockets" => sockets(),
        "init" => init(),
        "terminal" => terminal(),
        "outside" => outside(),
        "group" => group(),
        "climb" => climb(),
        "settings" => settings(),
        "memories" => memories(),
        #[cfg(target_arch = "x86_64")]
        "i386" => i386(),
        "abstract" => abstract_socket(),
        "tcp" => tcp(),
        "needs" => needs(),
        "smuggle" => smuggle(),
        other => panic!("no attack {other}"),
    };
    for (name, errno) in attempts {
        println!("\nATTEMPT {errno} {name}");
    }
}

fn attack(room: &mut Room, name: &str) -> Vec<(i32, String)> {
    room.env("ATTACK", name);
    let text = stdout(room);
    let attempts: Vec<_> = marked(&text, "ATTEMPT ")
        .iter()
        .map(|line| {
            let (errno, name) = line.split_once(' ').unwrap();
            (errno.parse().unwrap(), name.to_owned())
        })
        .collect();
    assert!(!attempts.is_empty(), "{text}");
    attempts
}

fn assert_denied(room: &mut Room, name: &str) {
    let allowed: Vec<_> = attack(room, name).into_iter().filter(|(errno, _)| *errno == 0).collect();
    assert!(allowed.is_empty(), "allowed: {allowed:?}");
}

/// Every attempt of a group is refused, as an ordinary user of the room and as its uid 0.
fn denied_to_all(name: &str) {
    let base = Base::new();
    for ids in [Ids::default(), Ids { uid: 0, gid: 0 }] {
        let mut room = base.probe("attacker");
        room.ids = ids;
        assert_denied(&mut room, name);
    }
}

#[test]
fn case_17_mounts_cannot_be_changed() {
    denied_to_all("mounts");
}

#[test]
fn case_18_nothing_can_be_uncovered_even_without_the_filter() {
    let base = Base::new();
    let mut room = base.probe("attacker");
    room.seccomp = false;
    assert_denied(&mut room, "mounts");
}

#[test]
fn case_19_namespaces_cannot_be_nested() {
    denied_to_all("namespaces");
}

#[test]
fn case_23_the_kernels_doors_are_closed() {
    let base = Base::new();
    assert_denied(&mut base.probe("attacker"), "doors");
}

#[test]
fn case_07_the_kernels_log_cannot_be_read_or_written() {
    denied_to_all("log");
}

#[test]
fn case_24_clocks_cannot_be_set() {
    denied_to_all("clocks");
}

#[test]
fn case_25_nobody_gets_ahead_of_others() {
    denied_to_all("scheduling");
}

/// Fills a file that has no place.
#[test]
fn memory_file() {
    if !is_probe("memory_file") {
        return;
    }
    let file = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    for _ in 0..400 {
        rustix::io::write(&file, &[1; 1 << 20]).unwrap();
    }
    rustix::event::poll(&mut [], None).unwrap();
}

#[test]
fn case_29_memory_files_are_bounded() {
    let base = Base::new();
    let mut room = base.probe("memory_file");
    room.limits.memory = Some(200 << 20);
    room.limits.wall = Some(harness::LONG);
    assert_eq!(harness::run(&room).0.cause, Some(sandbox::Limit::Memory));
}

/// The serial number of a key of the session that is named like this, if there is one.
fn key_of_the_session(name: &std::ffi::CStr) -> Option<i64> {
    const SEARCH: usize = 10;
    const SESSION: usize = -3isize as usize;
    // SAFETY: both strings are NUL-terminated and live.
    let found = unsafe { libc::syscall(libc::SYS_keyctl, SEARCH, SESSION, address(c"user"), address(name), 0) };
    (found > 0).then_some(found)
}

#[test]
fn case_11_the_callers_keys_are_out_of_reach() {
    let base = Base::new();
    // SAFETY: all strings are NUL-terminated and live; the length is that of the value.
    let made = unsafe {
        let (kind, name, value) = (address(c"user"), address(c"sandbox-test"), address(c"secret"));
        libc::syscall(libc::SYS_add_key, kind, name, value, 6, -3isize as usize)
    };
    assert_denied(&mut base.probe("attacker"), "keyrings");
    // Without the filter there still is another session: the caller's key is not found there.
    let mut room = base.probe("attacker");
    room.seccomp = false;
    let search = attack(&mut room, "keyrings").into_iter().find(|(_, name)| name == "search").unwrap();
    assert_ne!(search.0, 0);
    if made > 0 {
        assert_eq!(key_of_the_session(c"sandbox-test"), Some(made), "the caller's own is still there");
    }
    assert_eq!(key_of_the_session(c"sandbox-inside"), None);
}

#[test]
fn case_26_only_ordinary_socket_families_exist() {
    denied_to_all("sockets");
}

#[test]
fn case_04_the_init_cannot_be_looked_into_or_ended() {
    denied_to_all("init");
}

/// A program that takes from the init what it needs to see the end of the caller, and wakes it.
#[test]
fn starver() {
    if !is_probe("starver") {
        return;
    }
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the new limit is read, no old one is asked for.
    if unsafe { libc::prlimit(1, libc::RLIMIT_NOFILE, &raw const none, std::ptr::null_mut()) } != 0 {
        return;
    }
    std::process::Command::new("/bin/sh").args(["-c", "exit 0 &"]).status().unwrap();
    std::thread::sleep(harness::LONG);
}

#[test]
fn no_orphans_when_the_program_takes_the_inits_limits() {
    let base = Base::new();
    let mut room = base.probe("starver");
    room.limits.wall = Some(harness::LONG / 2);
    let outcome = harness::run(&room).0;
    // Root's init is not the program's to change.
    let expected = if rustix::process::geteuid().is_root() { Exit::Code(0) } else { Exit::Signal(9) };
    assert_eq!((outcome.exit, outcome.cause), (expected, None));
}

#[test]
fn case_45_programs_that_run_cannot_be_overwritten() {
    denied_to_all("programs");
}

#[test]
fn case_10_sockets_with_a_file_are_not_shown() {
    let (base, dir) = (Base::new(), tempfile::TempDir::new().unwrap());
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let mut room = base.probe("attacker");
    room.env("SOCKET", &path);
    assert_denied(&mut room, "sockets by path");
    drop(listener);
}

/// A room that has a writable `/out`, with a parent that only the caller enters.
fn with_output(base: &Base) -> (tempfile::TempDir, Room) {
    let dir = tempfile::TempDir::new().unwrap();
    rustix::fs::chmod(dir.path(), 0o700.into()).unwrap();
    rustix::fs::mkdir(dir.path().join("out"), 0o755.into()).unwrap();
    let mut room = base.probe("attacker");
    room.bind_rw(dir.path().join("out"), "/out");
    (dir, room)
}

/// The setid bits of files outside.
fn setid_outside(dir: &tempfile::TempDir) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(dir.path().join("out")).unwrap().flatten();
    let marked = entries.filter(|entry| entry.metadata().unwrap().mode() & 0o6000 != 0);
    marked.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn case_12_setid_files_are_banned_or_without_effect() {
    let base = Base::new();
    let (dir, mut room) = with_output(&base);
    room.setid = SetId::Ban;
    assert_denied(&mut room, "setid");
    assert_eq!(setid_outside(&dir), Vec::<String>::new());
    // Allowed they are written, but nothing comes of them: nosuid inside, and a parent that keeps all others out.
    let (dir, mut room) = with_output(&base);
    attack(&mut room, "setid");
    assert!(setid_outside(&dir).contains(&"openat".to_owned()));
    let mut room = base.sh(
        "cp /bin/sh /out/sh && chmod 6755 /out/sh && /out/sh -pc 'grep -E \"^(Uid|NoNewPrivs)\" /proc/self/status'",
    );
    room.bind_rw(dir.path().join("out"), "/out");
    let text = stdout(&room);
    assert!(text.contains("Uid:\t1000\t1000\t1000\t1000") && text.contains("NoNewPrivs:\t1"), "{text}");
}

#[test]
fn case_13_attributes_are_banned_or_told() {
    let base = Base::new();
    let (_dir, mut room) = with_output(&base);
    room.setid = SetId::Ban;
    assert_denied(&mut room, "attributes");
    // Allowed, the owner's own kind works; capabilities and immutability are for those who have power, and a room has none.
    let (_dir, mut room) = with_output(&base);
    let attempts = attack(&mut room, "attributes");
    for name in ["capability", "flags"] {
        assert!(attempts.iter().any(|(errno, attempt)| attempt == name && *errno != 0), "{name}: {attempts:?}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn case_46_other_call_tables_are_no_way_around() {
    let base = Base::new();
    for ids in [Ids::default(), Ids { uid: 0, gid: 0 }] {
        let (dir, mut room) = with_output(&base);
        (room.ids, room.setid) = (ids, SetId::Ban);
        let attempts = attack(&mut room, "i386");
        // By the filter or for want of rights, not because a pointer was wrong.
        let reasons = [libc::EPERM, libc::ENOSYS, libc::EAFNOSUPPORT];
        let others: Vec<_> = attempts.iter().filter(|(errno, _)| !reasons.contains(errno)).collect();
        assert!(others.is_empty(), "{others:?}");
        assert_eq!(setid_outside(&dir), Vec::<String>::new());
    }
}

/// Where 32-bit programs are known, they run: the denied calls are all that they miss.
#[test]
#[cfg(target_arch = "x86_64")]
fn case_46_a_program_of_32_bits_runs() {
    let base = Base::new();
    let write = [4, 1, i386::DATA, 6, 0, 0];
    let mut room = base.sh("");
    room.args.clear();
    room.program = sandbox::Program::Bytes(i386::program(&[write], b"hello\n"));
    match room.output() {
        // The results of all its calls follow.
        Ok((outcome, out, _)) => assert!(outcome.success() && out == b"hello\n\x06\0\0\0", "{outcome:?} {out:?}"),
        Err(error) => assert_eq!(error.errno(), Some(libc::ENOEXEC), "{error}"),
    }
}

#[test]
fn case_01_nothing_can_be_typed_into_the_callers_terminal() {
    let base = Base::new();
    let master = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
    rustix::pty::grantpt(&master).unwrap();
    rustix::pty::unlockpt(&master).unwrap();
    let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
    let terminal =
        rustix::fs::open(name, rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY, rustix::fs::Mode::empty())
            .unwrap();
    for session in [Session::New, Session::Keep] {
        let mut room = base.probe("attacker");
        room.stdin = Input::Fd(terminal.as_raw_fd());
        room.session = session;
        assert_denied(&mut room, "terminal");
    }
    rustix::io::ioctl_fionbio(&master, true).unwrap();
    assert!(rustix::io::read(&master, &mut [0u8; 8]).is_err());
}

#[test]
fn case_03_a_process_outside_cannot_be_reached() {
    let base = Base::new();
    let mut victim =
        std::process::Command::new("/usr/bin/sleep").arg("1000").stdout(std::process::Stdio::null()).spawn().unwrap();
    let mut room = base.probe("attacker");
    room.env("VICTIM", victim.id().to_string());
    for (errno, name) in attack(&mut room, "outside") {
        // There is no such process, rather than one that is protected.
        assert!([libc::ESRCH, libc::ENOENT].contains(&errno), "{name}: {errno}");
    }
    assert!(victim.try_wait().unwrap().is_none());
    victim.kill().unwrap();
    victim.wait().unwrap();
}

#[test]
fn case_03_the_callers_process_group_cannot_be_reached() {
    let base = Base::new();
    // Of this process' group, as a room is that keeps the session.
    let mut victim = std::process::Command::new("/bin/sh")
        .args(["-c", "trap 'exit 9' URG; echo up; read line; exit 0"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    BufReader::new(victim.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    // SAFETY: no memory is passed.
    let priorities = |pid: u32| unsafe {
        (libc::syscall(libc::SYS_getpriority, 0, pid), libc::syscall(libc::SYS_ioprio_get, 1, pid))
    };
    let before = priorities(victim.id());
    let shared = ["kill", "kill, high bits", "nice", "idle"];
    for session in [Session::Keep, Session::Foreground, Session::New] {
        let mut room = base.probe("attacker");
        room.session = session;
        let attempts = attack(&mut room, "group");
        for (errno, name) in &attempts {
            if session != Session::Keep && shared.contains(&name.as_str()) {
                assert_eq!(*errno, 0, "{name} reaches the room's own group, {session:?}");
            }
        }
        assert_eq!(priorities(victim.id()), before, "{attempts:?}");
    }
    drop(victim.stdin.take());
    assert_eq!(victim.wait().unwrap().code(), Some(0), "it was signalled");
}

/// Runs an attack that says `MOVE` when the folder `a/b` of its `/out` is to be moved away.
fn attack_with_accomplice(dir: &tempfile::TempDir, room: &mut Room) -> Vec<String> {
    let (read, write) = std::io::pipe().unwrap();
    room.stdin = Input::Fd(read.as_raw_fd());
    room.env("ATTACK", "climb");
    let mut child = room.spawn().unwrap();
    let mut lines = BufReader::new(child.take_stdout().unwrap()).lines();
    while !lines.next().expect("it says when it is ready").unwrap().contains("MOVE") {}
    rustix::fs::rename(dir.path().join("out/a/b"), dir.path().join("b")).unwrap();
    std::io::Write::write_all(&mut &write, b"x").unwrap();
    let text: Vec<_> = lines.map(Result::unwrap).collect();
    let outcome = child.wait().unwrap();
    assert!(outcome.success(), "{text:?}");
    marked(&text.join("\n"), "ATTEMPT ").into_iter().map(str::to_owned).collect()
}

#[test]
fn case_20_nothing_leads_out_of_the_root_or_of_a_mount() {
    let base = Base::new();
    for (ids, seccomp) in [(Ids::default(), true), (Ids { uid: 0, gid: 0 }, false)] {
        let (dir, mut room) = with_output(&base);
        let secret = rustix::fs::open(
            dir.path().join("secret"),
            rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY,
            0o666.into(),
        );
        drop(secret.unwrap());
        (room.ids, room.seccomp) = (ids, seccomp);
        let attempts = attack_with_accomplice(&dir, &mut room);
        assert_eq!(attempts.len(), 14, "{attempts:?}");
        let allowed: Vec<_> = attempts.iter().filter(|line| line.starts_with("0 ")).collect();
        assert!(allowed.is_empty(), "{allowed:?}");
    }
}

#[test]
fn case_05_no_setting_of_the_kernel_can_be_opened_for_writing() {
    denied_to_all("settings");
}

#[test]
fn case_08_abstract_sockets_of_the_host_are_cut_off() {
    let base = Base::new();
    let name = format!("sandbox-test-{}", std::process::id());
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let mut room = base.probe("attacker");
    room.env("SOCKET", &name);
    assert_denied(&mut room, "abstract");
    if sandbox::probe().landlock_abi >= 6 {
        room.net = Net::Host;
        assert_denied(&mut room, "abstract");
    }
    drop(listener);
    // The other way: what the room listens on is not there outside.
    let mut room = base.probe("listens");
    room.env("SOCKET", format!("{name}-inside"));
    room.stdin = Input::Inherit;
    let (read, write) = std::io::pipe().unwrap();
    room.stdin = Input::Fd(read.as_raw_fd());
    let mut child = room.spawn().unwrap();
    let mut lines = BufReader::new(child.take_stdout().unwrap()).lines();
    while !lines.next().unwrap().unwrap().contains("LISTENING") {}
    let inside = SocketAddr::from_abstract_name(format!("{name}-inside")).unwrap();
    assert_eq!(UnixStream::connect_addr(&inside).unwrap_err().raw_os_error(), Some(libc::ECONNREFUSED));
    drop(write);
    while lines.next().is_some_and(|line| line.is_ok()) {}
    assert!(child.wait().unwrap().success());
}

/// Listens on an abstract socket until its standard input ends.
#[test]
fn listens() {
    if !is_probe("listens") {
        return;
    }
    let name = std::env::var("SOCKET").unwrap();
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
    println!("\nLISTENING");
    std::io::Read::read_to_end(&mut std::io::stdin(), &mut Vec::new()).unwrap();
}

#[test]
fn case_26_listeners_of_the_host_are_cut_off() {
    let base = Base::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut room = base.probe("attacker");
    room.env("PORT", listener.local_addr().unwrap().port().to_string());
    assert_denied(&mut room, "tcp");
    room.net = Net::Host;
    let attempts = attack(&mut room, "tcp");
    assert_eq!(attempts[0], (0, "loopback".to_owned()), "the host's network is there when it is asked for");
}

/// Case 47: what builds and their tests do every day.
fn needs() -> Vec<Attempt> {
    let errno = |result: std::io::Result<()>| result.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |()| 0);
    let loopback = || -> std::io::Result<()> {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = std::net::TcpListener::bind(address)?;
            std::net::TcpStream::connect(listener.local_addr()?)?;
        }
        Ok(())
    };
    let unix = || -> std::io::Result<()> {
        let listener = UnixListener::bind("/tmp/socket")?;
        UnixStream::connect("/tmp/socket")?;
        drop(listener);
        UnixStream::pair()?;
        let own = SocketAddr::from_abstract_name("own")?;
        let listener = UnixListener::bind_addr(&own)?;
        UnixStream::connect_addr(&own)?;
        drop(listener);
        Ok(())
    };
    let pty = || -> std::io::Result<()> {
        let master = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR)?;
        rustix::pty::unlockpt(&master)?;
        let name = rustix::pty::ptsname(&master, Vec::new())?;
        rustix::fs::open(name, rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY, rustix::fs::Mode::empty())?;
        Ok(())
    };
    let threads = || -> std::io::Result<()> {
        let handle = std::thread::Builder::new().spawn(|| std::process::Command::new("/usr/bin/true").status())?;
        let status = handle.join().map_err(|_| std::io::Error::other("panic"))??;
        if status.success() { Ok(()) } else { Err(std::io::Error::other("status")) }
    };
    let trace = || -> std::io::Result<()> {
        let mut child = std::process::Command::new("/usr/bin/sleep").arg("1000").spawn()?;
        let traced = call(libc::SYS_ptrace, [libc::PTRACE_SEIZE as usize, child.id() as usize, 0, 0, 0, 0]);
        child.kill()?;
        child.wait()?;
        if traced == 0 { Ok(()) } else { Err(std::io::Error::from_raw_os_error(traced)) }
    };
    vec![
        ("loopback", errno(loopback())),
        ("unix sockets", errno(unix())),
        ("pty", errno(pty())),
        ("threads and processes", errno(threads())),
        ("tracing a child", errno(trace())),
        ("memfd", call(libc::SYS_memfd_create, [address(c"x"), 0, 0, 0, 0, 0])),
        ("inotify", call(libc::SYS_inotify_init1, [0, 0, 0, 0, 0, 0])),
        ("personality", call(libc::SYS_personality, [0x004_0000, 0, 0, 0, 0, 0])),
        ("mlock", call(libc::SYS_mlock, [address(c"x") & !4095, 4096, 0, 0, 0, 0])),
        ("message queue", call(libc::SYS_msgget, [0, 0o1600, 0, 0, 0, 0])),
        ("shared memory", call(libc::SYS_shmget, [0, 4096, 0o1600, 0, 0, 0])),
        ("semaphore", call(libc::SYS_semget, [0, 1, 0o1600, 0, 0, 0])),
        (
            "chown to oneself",
            std::fs::File::create("/tmp/own")
                .map_or(-1, |file| errno(std::os::unix::fs::fchown(&file, Some(1000), Some(1000)))),
        ),
        ("/dev/shm", errno(std::fs::File::create("/dev/shm/x").map(drop))),
    ]
}

#[test]
fn case_47_builds_find_what_they_need() {
    let base = Base::new();
    let failed: Vec<_> =
        attack(&mut base.probe("attacker"), "needs").into_iter().filter(|(errno, _)| *errno != 0).collect();
    assert!(failed.is_empty(), "refused: {failed:?}");
}

#[test]
fn case_44_no_copy_of_the_callers_memory_is_in_the_room() {
    let base = Base::new();
    // On the heap and on the stack of the process that makes the room, whose memory the set-up shares for a while.
    let heap: Vec<u8> = std::iter::repeat_with(canary).take(1000).flatten().collect();
    let stack: [u8; 64] = std::array::from_fn(|index| heap[index]);
    for ids in [Ids::default(), Ids { uid: 0, gid: 0 }] {
        let mut room = base.probe("attacker");
        room.ids = ids;
        assert_denied(&mut room, "memories");
    }
    let mut room = base.probe("attacker");
    room.env("KNOWN", "1");
    assert_eq!(attack(&mut room, "memories")[0].0, 0, "what is there is found");
    assert_eq!(canaries(&stack), 1);
    let out = stdout(&base.sh("grep VmRSS /proc/1/status"));
    let resident: u64 = out.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap();
    assert!(resident < 200, "the init is a small program of its own: {out}");
}

/// Sends a descriptor by a socket.
fn send(socket: &UnixStream, fd: std::os::fd::BorrowedFd<'_>) -> std::io::Result<()> {
    let (mut byte, mut control) = ([0u8; 1], [0u64; 8]);
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: all zero is an empty message; its parts live to the end, and the control buffer is aligned and large enough for one
    // descriptor.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        ((*header).cmsg_level, (*header).cmsg_type) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
        (*header).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(header).cast::<i32>().write_unaligned(fd.as_raw_fd());
        libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL)
    };
    if sent < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

/// Waits for a descriptor.
fn receive(socket: &UnixStream) -> std::fs::File {
    let (mut byte, mut control) = ([0u8; 1], [0u64; 8]);
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: as in `send`; the kernel has made the descriptor for us.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        assert!(libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) > 0);
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        assert!(!header.is_null(), "no descriptor came");
        std::os::fd::FromRawFd::from_raw_fd(libc::CMSG_DATA(header).cast::<i32>().read_unaligned())
    }
}

/// Case 9: hands a writable descriptor of an output to whoever listens outside.
fn smuggle() -> Vec<Attempt> {
    let output = std::fs::File::create("/out/result").unwrap();
    std::io::Write::write_all(&mut &output, b"honest").unwrap();
    let name = std::env::var("SOCKET").unwrap();
    let give = |socket: std::io::Result<UnixStream>| {
        let given = socket.and_then(|socket| send(&socket, std::os::fd::AsFd::as_fd(&output)));
        given.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |()| 0)
    };
    let host = SocketAddr::from_abstract_name(&name).unwrap();
    let mut attempts = vec![
        ("abstract socket", give(UnixStream::connect_addr(&host))),
        ("socket in /tmp", give(UnixStream::connect(format!("/tmp/{name}")))),
    ];
    if std::env::var_os("DECLARED").is_some() {
        let declared = std::fs::File::from(sandbox::inherited(9).unwrap());
        attempts = vec![("declared socket", give(Ok(UnixStream::from(std::os::fd::OwnedFd::from(declared)))))];
    }
    attempts
}

#[test]
fn case_09_an_output_cannot_be_changed_after_it_was_collected() {
    use std::os::unix::fs::MetadataExt;
    let base = Base::new();
    let name = format!("sandbox-smuggle-{}", std::process::id());
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let path = std::path::Path::new("/tmp").join(&name);
    let by_path = UnixListener::bind(&path).unwrap();
    let (dir, mut room) = with_output(&base);
    room.env("SOCKET", &name);
    assert_denied(&mut room, "smuggle");
    if sandbox::probe().landlock_abi >= 6 {
        room.net = Net::Host;
        assert_denied(&mut room, "smuggle");
    }
    drop((listener, by_path));
    rustix::fs::unlink(&path).unwrap();
    // A socket that the caller declared is a way out, as it was meant. What comes through it can change the room's file, so whoever
    // collects makes a copy, after which it is too late.
    let (ours, theirs) = UnixStream::pair().unwrap();
    room.fds.push(InheritedFd { source: theirs.as_raw_fd(), target: 9 });
    room.env("DECLARED", "1");
    assert_eq!(attack(&mut room, "smuggle"), [(0, "declared socket".to_owned())]);
    let kept = receive(&ours);
    let mut collected = tempfile::tempfile().unwrap();
    let mut output = std::fs::File::open(dir.path().join("out/result")).unwrap();
    std::io::copy(&mut output, &mut collected).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&kept, b"forged", 0).unwrap();
    let text = |file: &std::fs::File| {
        let mut bytes = [0u8; 6];
        std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, 0).unwrap();
        bytes
    };
    assert_eq!((text(&collected), text(&output)), (*b"honest", *b"forged"));
    assert_ne!(collected.metadata().unwrap().ino(), kept.metadata().unwrap().ino());
}

#[test]
fn the_same_holds_for_an_ordinary_user() {
    harness::again_as_a_user();
}
