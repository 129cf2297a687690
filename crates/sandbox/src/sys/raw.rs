//! System calls that touch nothing but the kernel: no allocation, no lock, no `errno`.
//!
//! The set-up process shares the memory of the process that starts it (vfork semantics), thread-local storage included, so
//! the C library's wrappers, which write `errno`, cannot be used there.

use std::ffi::CStr;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use libc::{c_char, c_int, c_long};

/// The kernel's error number.
pub(crate) type Errno = i32;

/// Result of a raw call.
pub(crate) type Sys<T> = Result<T, Errno>;

/// Calls the kernel.
///
/// # Safety
/// The arguments must be what call `nr` expects; memory they point to must be valid for the duration of the call, and
/// writable where the kernel writes.
#[inline]
#[cfg(target_arch = "x86_64")]
unsafe fn call(nr: c_long, a: [usize; 6]) -> Sys<usize> {
    let ret: isize;
    // SAFETY: the x86_64 system call convention; rcx and r11 are clobbered; the caller vouches for the arguments.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") nr as isize => ret, in("rdi") a[0], in("rsi") a[1], in("rdx") a[2],
            in("r10") a[3], in("r8") a[4], in("r9") a[5], lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    decode(ret)
}

/// Calls the kernel.
///
/// # Safety
/// The arguments must be what call `nr` expects; memory they point to must be valid for the duration of the call, and
/// writable where the kernel writes.
#[inline]
#[cfg(target_arch = "aarch64")]
unsafe fn call(nr: c_long, a: [usize; 6]) -> Sys<usize> {
    let ret: isize;
    // SAFETY: the aarch64 system call convention; the caller vouches for the arguments.
    unsafe {
        std::arch::asm!("svc 0", in("x8") nr, inlateout("x0") a[0] as isize => ret, in("x1") a[1], in("x2") a[2],
            in("x3") a[3], in("x4") a[4], in("x5") a[5], options(nostack));
    }
    decode(ret)
}

fn decode(ret: isize) -> Sys<usize> {
    if (-4095..0).contains(&ret) { Err(-ret as Errno) } else { Ok(ret as usize) }
}

macro_rules! sys {
    ($nr:expr) => { call($nr, [0; 6]) };
    ($nr:expr, $a:expr) => { call($nr, [$a as usize, 0, 0, 0, 0, 0]) };
    ($nr:expr, $a:expr, $b:expr) => { call($nr, [$a as usize, $b as usize, 0, 0, 0, 0]) };
    ($nr:expr, $a:expr, $b:expr, $c:expr) => { call($nr, [$a as usize, $b as usize, $c as usize, 0, 0, 0]) };
    ($nr:expr, $a:expr, $b:expr, $c:expr, $d:expr) => { call($nr, [$a as usize, $b as usize, $c as usize, $d as usize, 0, 0]) };
    ($nr:expr, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr) => { call($nr, [$a as usize, $b as usize, $c as usize, $d as usize, $e as usize, 0]) };
}

pub(crate) const MOUNT_ATTR_RDONLY: u64 = 0x1;
pub(crate) const MOUNT_ATTR_NOSUID: u64 = 0x2;
pub(crate) const MOUNT_ATTR_NODEV: u64 = 0x4;
pub(crate) const MOUNT_ATTR_NOEXEC: u64 = 0x8;
pub(crate) const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
const OPEN_TREE_CLONE: u32 = 1;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;
const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
const RESOLVE_IN_ROOT: u64 = 0x10;
const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_SET_FD: u32 = 5;
const FSCONFIG_CMD_CREATE: u32 = 6;
const CLOSE_RANGE_CLOEXEC: u32 = 4;
/// The same number everywhere; libc has it for some machines only.
const FCHMODAT2: c_long = 452;

/// How often a path is tried that others keep in motion.
pub(crate) const TRIES: u32 = 10_000;

/// Highest file descriptor number, as `close_range` takes it.
pub(crate) const LAST_FD: u32 = u32::MAX;

fn fd(raw: usize) -> RawFd {
    raw as RawFd
}

pub(crate) fn openat(dir: RawFd, path: &CStr, flags: c_int, mode: u32) -> Sys<RawFd> {
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    unsafe { sys!(libc::SYS_openat, dir, path.as_ptr(), flags | libc::O_CLOEXEC, mode) }.map(fd)
}

/// Opens `path` as if `root` were `/`: no link leads out of it.
pub(crate) fn open_in_root(root: RawFd, path: &CStr) -> Sys<RawFd> {
    let how: [u64; 3] = [(libc::O_PATH | libc::O_CLOEXEC) as u64, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS];
    let mut tries = TRIES;
    loop {
        // SAFETY: `how` has the layout and size of `struct open_how`; both pointers outlive the call.
        match unsafe { sys!(libc::SYS_openat2, root, path.as_ptr(), how.as_ptr(), size_of_val(&how)) } {
            // Something was renamed or mounted, anywhere, while a `..` was followed.
            Err(libc::EAGAIN) if tries > 0 => tries -= 1,
            other => return other.map(fd),
        }
    }
}

pub(crate) fn read(from: RawFd, buffer: &mut [u8]) -> Sys<usize> {
    // SAFETY: the pointer and length describe one exclusively borrowed slice.
    unsafe { sys!(libc::SYS_read, from, buffer.as_mut_ptr(), buffer.len()) }
}

pub(crate) fn write(to: RawFd, bytes: &[u8]) -> Sys<usize> {
    // SAFETY: the pointer and length describe one borrowed slice.
    unsafe { sys!(libc::SYS_write, to, bytes.as_ptr(), bytes.len()) }
}

pub(crate) fn close(raw: RawFd) {
    // SAFETY: only the set-up processes call this, on descriptors of their own table.
    let _ = unsafe { sys!(libc::SYS_close, raw) };
}

pub(crate) fn mkdirat(dir: RawFd, path: &CStr, mode: u32) -> Sys<()> {
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    unsafe { sys!(libc::SYS_mkdirat, dir, path.as_ptr(), mode) }.map(drop)
}

/// Sets the mode of `dir`/`path`, not following a link (an empty path means `dir` itself).
pub(crate) fn chmod(dir: RawFd, path: &CStr, mode: u32) -> Sys<()> {
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH;
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    unsafe { sys!(FCHMODAT2, dir, path.as_ptr(), mode, flags) }.map(drop)
}

/// Makes an empty file that is not there yet.
pub(crate) fn make_file(dir: RawFd, path: &CStr, mode: u32) -> Sys<()> {
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    unsafe { sys!(libc::SYS_mknodat, dir, path.as_ptr(), libc::S_IFREG | mode, 0) }.map(drop)
}

pub(crate) fn symlinkat(target: &CStr, dir: RawFd, path: &CStr) -> Sys<()> {
    // SAFETY: both strings are NUL-terminated and outlive the call.
    unsafe { sys!(libc::SYS_symlinkat, target.as_ptr(), dir, path.as_ptr()) }.map(drop)
}

pub(crate) fn readlinkat(dir: RawFd, path: &CStr, buffer: &mut [u8]) -> Sys<usize> {
    // SAFETY: `path` is a NUL-terminated string that outlives the call; the other pointer and length describe one exclusively
    // borrowed slice.
    unsafe { sys!(libc::SYS_readlinkat, dir, path.as_ptr(), buffer.as_mut_ptr(), buffer.len()) }
}

/// Changes the owner of `path` itself; an empty path means `dir`.
pub(crate) fn chown(dir: RawFd, path: &CStr, uid: u32, gid: u32) -> Sys<()> {
    let flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    unsafe { sys!(libc::SYS_fchownat, dir, path.as_ptr(), uid, gid, flags) }.map(drop)
}

/// Whether a descriptor is of a device, or of something that nobody can tell.
pub(crate) fn is_device(fd: RawFd) -> bool {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel writes one structure of that size, exclusively borrowed.
    let known = unsafe { sys!(libc::SYS_fstat, fd, stat.as_mut_ptr()) };
    // SAFETY: it was written, since the call succeeded.
    known.is_err() || matches!(unsafe { stat.assume_init() }.st_mode & libc::S_IFMT, libc::S_IFCHR | libc::S_IFBLK)
}

/// Gives a pipe without a name to a user; other descriptors stay as they are.
pub(crate) fn give_pipe(pipe: RawFd, owner: crate::Ids) {
    const PIPEFS_MAGIC: i64 = 0x5049_5045;
    // `struct statfs` is 120 bytes and begins with the type.
    let mut stat = [0i64; 16];
    // SAFETY: `stat` is larger than the structure the kernel writes and exclusively borrowed.
    let known = unsafe { sys!(libc::SYS_fstatfs, pipe, stat.as_mut_ptr()) };
    if known.is_ok() && stat[0] == PIPEFS_MAGIC {
        let _ = chown(pipe, c"", owner.uid, owner.gid);
    }
}

/// Keeps every mount event of this namespace inside it, and, with `MS_PRIVATE`, those of others outside.
pub(crate) fn propagate(kind: libc::c_ulong) -> Sys<()> {
    let none = std::ptr::null::<c_char>();
    // SAFETY: a change of propagation reads only the target, a static string.
    unsafe { sys!(libc::SYS_mount, none, c"/".as_ptr(), none, libc::MS_REC | kind, none) }.map(drop)
}

/// A detached copy of the mount at `path`.
pub(crate) fn open_tree(dir: RawFd, path: &CStr, recursive: bool) -> Sys<RawFd> {
    let mut flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as u32 | libc::AT_EMPTY_PATH as u32;
    if recursive {
        flags |= libc::AT_RECURSIVE as u32;
    }
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    unsafe { sys!(libc::SYS_open_tree, dir, path.as_ptr(), flags) }.map(fd)
}

/// Attaches the mount `from` on top of `dir`/`path` (an empty path means `dir` itself).
pub(crate) fn move_mount(from: RawFd, dir: RawFd, path: &CStr) -> Sys<()> {
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: both strings are NUL-terminated and outlive the call.
    unsafe { sys!(libc::SYS_move_mount, from, c"".as_ptr(), dir, path.as_ptr(), flags) }.map(drop)
}

/// Sets mount attributes; with `userns`, the mount's id map, and with `propagation` how mount events reach it and leave it.
pub(crate) fn mount_setattr(
    mount: RawFd,
    set: u64,
    recursive: bool,
    userns: Option<RawFd>,
    propagation: libc::c_ulong,
) -> Sys<()> {
    let mut attr: [u64; 4] = [set, 0, propagation, 0];
    if let Some(userns) = userns {
        attr[0] |= MOUNT_ATTR_IDMAP;
        attr[3] = userns as u64;
    }
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `attr` has the layout and size of `struct mount_attr`; the path is a static string.
    unsafe { sys!(libc::SYS_mount_setattr, mount, c"".as_ptr(), flags, attr.as_ptr(), size_of_val(&attr)) }.map(drop)
}

/// Makes a mount read-only or writable, without those below it.
pub(crate) fn close_mount(mount: RawFd, closed: bool) -> Sys<()> {
    let attr = if closed { [MOUNT_ATTR_RDONLY, 0, 0, 0] } else { [0, MOUNT_ATTR_RDONLY, 0, 0] };
    // SAFETY: as in `mount_setattr`.
    unsafe {
        sys!(libc::SYS_mount_setattr, mount, c"".as_ptr(), libc::AT_EMPTY_PATH, attr.as_ptr(), size_of_val(&attr))
    }
    .map(drop)
}

pub(crate) fn fsopen(kind: &CStr) -> Sys<RawFd> {
    // SAFETY: `kind` is a NUL-terminated string that outlives the call; 1 is FSOPEN_CLOEXEC.
    unsafe { sys!(libc::SYS_fsopen, kind.as_ptr(), 1) }.map(fd)
}

pub(crate) fn fsconfig_string(fs: RawFd, key: &CStr, value: &CStr) -> Sys<()> {
    // SAFETY: both strings are NUL-terminated and outlive the call.
    unsafe { sys!(libc::SYS_fsconfig, fs, FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr(), 0) }.map(drop)
}

pub(crate) fn fsconfig_flag(fs: RawFd, key: &CStr) -> Sys<()> {
    // SAFETY: the key is NUL-terminated and outlives the call; a flag has no value.
    unsafe { sys!(libc::SYS_fsconfig, fs, FSCONFIG_SET_FLAG, key.as_ptr(), 0, 0) }.map(drop)
}

pub(crate) fn fsconfig_fd(fs: RawFd, key: &CStr, value: RawFd) -> Sys<()> {
    // SAFETY: the key is NUL-terminated and outlives the call; the value is the descriptor in the last argument.
    unsafe { sys!(libc::SYS_fsconfig, fs, FSCONFIG_SET_FD, key.as_ptr(), 0, value) }.map(drop)
}

pub(crate) fn fsconfig_create(fs: RawFd) -> Sys<()> {
    // SAFETY: the command takes neither key nor value.
    unsafe { sys!(libc::SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0) }.map(drop)
}

pub(crate) fn fsmount(fs: RawFd, attributes: u64) -> Sys<RawFd> {
    // SAFETY: no memory is passed; 1 is FSMOUNT_CLOEXEC.
    unsafe { sys!(libc::SYS_fsmount, fs, 1, attributes) }.map(fd)
}

/// Moves the attached mount at `dir`/`path`, with all below it, on top of `target`.
pub(crate) fn move_attached(dir: RawFd, path: &CStr, target: RawFd) -> Sys<()> {
    // SAFETY: both strings are NUL-terminated and outlive the call.
    unsafe { sys!(libc::SYS_move_mount, dir, path.as_ptr(), target, c"".as_ptr(), MOVE_MOUNT_T_EMPTY_PATH) }.map(drop)
}

pub(crate) fn chroot_here() -> Sys<()> {
    // SAFETY: the argument is a static string.
    unsafe { sys!(libc::SYS_chroot, c".".as_ptr()) }.map(drop)
}

pub(crate) fn unshare(flags: c_int) -> Sys<()> {
    // SAFETY: no memory is passed; only processes of a room's set-up call this.
    unsafe { sys!(libc::SYS_unshare, flags) }.map(drop)
}

/// Waits until `word`, which processes that share this memory see, is not 0.
pub(crate) fn wait_for(word: &AtomicU32) {
    while word.load(SeqCst) == 0 {
        // SAFETY: `word` is an aligned word that outlives the call; no time limit is passed.
        let _ = unsafe { sys!(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, 0, 0) };
    }
}

/// Sets `word` and wakes who waits for it.
pub(crate) fn announce(word: &AtomicU32) {
    word.store(1, SeqCst);
    // SAFETY: as in `wait_for`.
    let _ = unsafe { sys!(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, i32::MAX) };
}

pub(crate) fn pivot_root_here() -> Sys<()> {
    // SAFETY: both arguments are static strings.
    unsafe { sys!(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) }.map(drop)
}

/// Lets a mount go, with everything mounted in it.
pub(crate) fn detach(path: &CStr) -> Sys<()> {
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    unsafe { sys!(libc::SYS_umount2, path.as_ptr(), libc::MNT_DETACH) }.map(drop)
}

pub(crate) fn fchdir(dir: RawFd) -> Sys<()> {
    // SAFETY: no memory is passed.
    unsafe { sys!(libc::SYS_fchdir, dir) }.map(drop)
}

pub(crate) fn chdir(path: &CStr) -> Sys<()> {
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    unsafe { sys!(libc::SYS_chdir, path.as_ptr()) }.map(drop)
}

/// Brings the loopback interface of this network namespace up.
pub(crate) fn loopback_up() -> Sys<()> {
    #[repr(C)]
    struct IfReq {
        name: [u8; 16],
        flags: i16,
        rest: [u8; 22],
    }
    let mut request = IfReq { name: *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0", flags: 0, rest: [0; 22] };
    // SAFETY: no memory is passed.
    let socket = unsafe { sys!(libc::SYS_socket, libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }.map(fd)?;
    // SAFETY: `request` has the layout of `struct ifreq` (40 bytes) and is exclusively borrowed.
    let mut done = unsafe { sys!(libc::SYS_ioctl, socket, libc::SIOCGIFFLAGS, &raw mut request) };
    if done.is_ok() {
        request.flags |= libc::IFF_UP as i16;
        // SAFETY: as above.
        done = unsafe { sys!(libc::SYS_ioctl, socket, libc::SIOCSIFFLAGS, &raw mut request) };
    }
    close(socket);
    done.map(drop)
}

pub(crate) fn set_host_name(name: &[u8]) -> Sys<()> {
    // SAFETY: the pointer and length describe one borrowed slice.
    unsafe { sys!(libc::SYS_sethostname, name.as_ptr(), name.len()) }?;
    // SAFETY: as above, a static slice.
    unsafe { sys!(libc::SYS_setdomainname, b"(none)".as_ptr(), 6) }.map(drop)
}

/// `dup3` that also accepts equal numbers; the copy survives `execve`.
pub(crate) fn dup_to(from: RawFd, to: RawFd) -> Sys<()> {
    if from == to {
        // SAFETY: no memory is passed.
        return unsafe { sys!(libc::SYS_fcntl, from, libc::F_SETFD, 0) }.map(drop);
    }
    // SAFETY: no memory is passed; the set-up process owns its descriptor table.
    unsafe { sys!(libc::SYS_dup3, from, to, 0) }.map(drop)
}

/// A copy numbered `least` or more that is closed by `execve`.
pub(crate) fn dup_above(from: RawFd, least: RawFd) -> Sys<RawFd> {
    // SAFETY: no memory is passed.
    unsafe { sys!(libc::SYS_fcntl, from, libc::F_DUPFD_CLOEXEC, least) }.map(fd)
}

/// Closes the descriptors `first..=last`.
pub(crate) fn close_between(first: u32, last: u32) {
    // SAFETY: no memory is passed; only a set-up process with a table of its own calls this.
    let _ = unsafe { sys!(libc::SYS_close_range, first, last, 0) };
}

/// Marks the descriptors `first..=last` to be closed by `execve`.
pub(crate) fn close_on_exec(first: u32, last: u32) -> Sys<()> {
    // SAFETY: no memory is passed.
    unsafe { sys!(libc::SYS_close_range, first, last, CLOSE_RANGE_CLOEXEC) }.map(drop)
}

/// The caller's process group; `None` where that is of another process namespace.
pub(crate) fn process_group() -> Option<rustix::process::Pid> {
    // SAFETY: takes a number.
    let group = unsafe { sys!(libc::SYS_getpgid, 0usize) }.ok()?;
    rustix::process::Pid::from_raw(group as i32)
}

pub(crate) fn setsid() -> Sys<()> {
    // SAFETY: no memory is passed.
    unsafe { sys!(libc::SYS_setsid) }.map(drop)
}

/// Makes this process its own group and that group the foreground of the terminal on descriptor 0, if there is one.
/// SIGTTOU must be blocked.
pub(crate) fn take_foreground() -> Sys<()> {
    // SAFETY: no memory is passed.
    unsafe { sys!(libc::SYS_setpgid, 0, 0) }?;
    // SAFETY: no memory is passed.
    let group = unsafe { sys!(libc::SYS_getpid) }? as c_int;
    // SAFETY: `group` outlives the call. Without a terminal of ours there is nothing to take.
    let _ = unsafe { sys!(libc::SYS_ioctl, 0, libc::TIOCSPGRP, &raw const group) };
    Ok(())
}

/// Makes the terminal on descriptor 0 that of this session, which has none.
pub(crate) fn take_terminal() -> Sys<()> {
    // SAFETY: the request takes a number.
    unsafe { sys!(libc::SYS_ioctl, 0, libc::TIOCSCTTY, 0) }.map(drop)
}

/// A copy of a descriptor that is known only by its number. One that `execve` closes came with no `execve`.
pub(crate) fn copy_inherited(number: RawFd) -> Sys<std::os::fd::OwnedFd> {
    // SAFETY: no memory is passed.
    let flags = unsafe { sys!(libc::SYS_fcntl, number, libc::F_GETFD, 0) }?;
    if flags & libc::FD_CLOEXEC as usize != 0 {
        return Err(libc::EBADF);
    }
    let copy = dup_above(number, 3)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(copy) })
}

pub(crate) fn umask(mask: u32) {
    // SAFETY: no memory is passed.
    let _ = unsafe { sys!(libc::SYS_umask, mask) };
}

/// Machine type, address layout and the like as a program has them that nobody changed them for.
pub(crate) fn plain_personality() {
    // SAFETY: takes a number, and changes nothing but the calling process.
    let _ = unsafe { sys!(libc::SYS_personality, 0usize) };
}

pub(crate) fn set_rlimit(resource: u32, soft: u64, hard: u64) -> Sys<()> {
    let limit: [u64; 2] = [soft, hard];
    // SAFETY: `limit` has the layout of `struct rlimit64`; no old limit is asked for.
    unsafe { sys!(libc::SYS_prlimit64, 0, resource, limit.as_ptr(), 0) }.map(drop)
}

pub(crate) fn drop_groups() -> Sys<()> {
    // SAFETY: a length of zero means that the pointer is not read.
    unsafe { sys!(libc::SYS_setgroups, 0, 0) }.map(drop)
}

/// Enters a namespace of this kind (`CLONE_NEWUSER` ..).
pub(crate) fn enter(namespace: RawFd, kind: c_int) -> Sys<()> {
    // SAFETY: no memory is passed.
    unsafe { sys!(libc::SYS_setns, namespace, kind) }.map(drop)
}

pub(crate) fn set_ids(uid: u32, gid: u32) -> Sys<()> {
    // SAFETY: no memory is passed.
    unsafe { sys!(libc::SYS_setresgid, gid, gid, gid) }?;
    // SAFETY: no memory is passed.
    unsafe { sys!(libc::SYS_setresuid, uid, uid, uid) }.map(drop)
}

fn prctl(option: c_int, a: usize, b: usize) -> Sys<usize> {
    // SAFETY: the options used in this module take numbers only.
    unsafe { sys!(libc::SYS_prctl, option, a, b, 0, 0) }
}

/// Drops every capability not in `keep` from the bounding set.
pub(crate) fn limit_bounding_set(keep: u64) -> Sys<()> {
    for cap in 0..64usize {
        if keep >> cap & 1 == 0 {
            match prctl(libc::PR_CAPBSET_DROP, cap, 0) {
                Ok(_) => {}
                Err(libc::EINVAL) => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

pub(crate) fn set_securebits(bits: u32) -> Sys<()> {
    prctl(libc::PR_SET_SECUREBITS, bits as usize, 0).map(drop)
}

pub(crate) fn clear_ambient() -> Sys<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as usize, 0).map(drop)
}

pub(crate) fn no_new_privs() -> Sys<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}

/// Arranges this process' death with the thread that made it; false when that has ended already.
pub(crate) fn die_with_parent(parent: usize) -> bool {
    // SAFETY: no memory is passed.
    let current = || unsafe { sys!(libc::SYS_getppid) };
    prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as usize, 0).is_ok() && current() == Ok(parent)
}

/// 1 when other processes of this user may look into this one.
pub(crate) fn dumpable() -> usize {
    prctl(libc::PR_GET_DUMPABLE, 0, 0).unwrap_or(0)
}

pub(crate) fn set_dumpable(value: usize) {
    let _ = prctl(libc::PR_SET_DUMPABLE, value, 0);
}

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: c_int,
}

const CAP_VERSION_3: u32 = 0x2008_0522;

/// Effective and permitted sets become `caps`, the inheritable one empty.
pub(crate) fn capset(caps: u64) -> Sys<()> {
    let header = CapHeader { version: CAP_VERSION_3, pid: 0 };
    let (low, high) = (caps as u32, (caps >> 32) as u32);
    let data: [u32; 6] = [low, low, 0, high, high, 0];
    // SAFETY: header and data have the layout of version 3 of the interface and outlive the call.
    unsafe { sys!(libc::SYS_capset, &raw const header, data.as_ptr()) }.map(drop)
}

/// The permitted and the effective capability set.
pub(crate) fn capget() -> Sys<(u64, u64)> {
    let mut header = CapHeader { version: CAP_VERSION_3, pid: 0 };
    let mut data = [0u32; 6];
    // SAFETY: header and data have the layout of version 3 of the interface and are exclusively borrowed.
    unsafe { sys!(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) }?;
    Ok((u64::from(data[1]) | u64::from(data[4]) << 32, u64::from(data[0]) | u64::from(data[3]) << 32))
}

/// Leaves the caller's session keyring for a new, empty one. Kernels without keyrings have nothing to leave.
pub(crate) fn new_session_keyring() {
    const JOIN_SESSION_KEYRING: usize = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    let _ = unsafe { sys!(libc::SYS_keyctl, JOIN_SESSION_KEYRING, 0) };
}

pub(crate) fn landlock_abi() -> Sys<usize> {
    // SAFETY: with flag 1 (LANDLOCK_CREATE_RULESET_VERSION) the kernel reads no memory.
    unsafe { sys!(libc::SYS_landlock_create_ruleset, 0, 0, 1) }
}

/// A ruleset that confines abstract sockets and signals to the domain and restricts nothing else.
pub(crate) fn landlock_scope() -> Sys<RawFd> {
    let attr: [u64; 3] = [0, 0, 0b11];
    // SAFETY: `attr` has the layout and size of `struct landlock_ruleset_attr` of ABI 6.
    unsafe { sys!(libc::SYS_landlock_create_ruleset, attr.as_ptr(), size_of_val(&attr), 0) }.map(fd)
}

pub(crate) fn landlock_restrict(ruleset: RawFd) -> Sys<()> {
    // SAFETY: no memory is passed.
    unsafe { sys!(libc::SYS_landlock_restrict_self, ruleset, 0) }.map(drop)
}

/// Loads a seccomp filter; the length of `program` is at most 4096 instructions of 8 bytes.
pub(crate) fn seccomp(program: &[u64]) -> Sys<()> {
    #[repr(C)]
    struct Fprog {
        len: u16,
        filter: *const u64,
    }
    let prog = Fprog { len: program.len() as u16, filter: program.as_ptr() };
    // SAFETY: `prog` has the layout of `struct sock_fprog`; each u64 is one `struct sock_filter`; 1 is SECCOMP_SET_MODE_FILTER.
    unsafe { sys!(libc::SYS_seccomp, 1, 0, &raw const prog) }.map(drop)
}

/// Gives every signal its default action.
pub(crate) fn default_signals() {
    (1..=64).for_each(default_signal);
}

/// Gives one signal its default action.
pub(crate) fn is_ignored(signal: c_int) -> bool {
    let mut now = [0usize; 4];
    // SAFETY: `now` is as large as `struct kernel_sigaction`, whose first member is the handler.
    let asked = unsafe { sys!(libc::SYS_rt_sigaction, signal, 0, now.as_mut_ptr(), 8) };
    asked.is_ok() && now[0] == libc::SIG_IGN
}

pub(crate) fn default_signal(signal: c_int) {
    let default = [0usize; 4];
    // SAFETY: all zero is `struct kernel_sigaction` with SIG_DFL; SIGKILL and SIGSTOP fail with EINVAL, harmlessly.
    let _ = unsafe { sys!(libc::SYS_rt_sigaction, signal, default.as_ptr(), 0, 8) };
}

/// Sets the signal mask and returns the old one.
pub(crate) fn set_signal_mask(mask: u64) -> u64 {
    let mut old = 0u64;
    // SAFETY: both point to 8-byte kernel signal sets; SIG_SETMASK cannot fail with them.
    let _ = unsafe { sys!(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, &raw mut old, 8) };
    old
}

/// A descriptor that becomes readable when a child ends.
pub(crate) fn child_signals() -> Sys<RawFd> {
    let mask = 1u64 << (libc::SIGCHLD - 1);
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: `mask` is an 8-byte kernel signal set.
    unsafe { sys!(libc::SYS_signalfd4, -1isize, &raw const mask, 8, flags) }.map(fd)
}

/// Replaces this process; returns only the reason why it could not.
///
/// # Safety
/// `argv` and `envp` must be null-terminated arrays of NUL-terminated strings.
pub(crate) unsafe fn execve(path: &CStr, argv: *const *const c_char, envp: *const *const c_char) -> Errno {
    // SAFETY: the caller vouches for the arrays.
    unsafe { sys!(libc::SYS_execve, path.as_ptr(), argv, envp) }.err().unwrap_or(0)
}

/// Replaces this process by the program in `file`, without an environment; returns only the reason why it could not.
///
/// # Safety
/// `argv` must be a null-terminated array of NUL-terminated strings.
pub(crate) unsafe fn exec_file(file: RawFd, argv: *const *const c_char) -> Errno {
    let envp = [std::ptr::null::<c_char>()];
    // SAFETY: the caller vouches for `argv`; the other array ends with a null pointer.
    unsafe { sys!(libc::SYS_execveat, file, c"".as_ptr(), argv, envp.as_ptr(), libc::AT_EMPTY_PATH) }.err().unwrap_or(0)
}

pub(crate) fn exit(code: i32) -> ! {
    loop {
        // SAFETY: ends this process, touching nothing it shares.
        let _ = unsafe { sys!(libc::SYS_exit_group, code) };
    }
}

/// Sleeps until a signal kills this process.
pub(crate) fn sleep_forever() -> ! {
    loop {
        // SAFETY: waiting for no descriptor without a time limit reads no memory.
        let _ = unsafe { sys!(libc::SYS_ppoll, 0, 0, 0, 0, 8) };
    }
}

/// Waits for child `pid`, whatever signal it ends with and whatever signals come meanwhile: when this returns it is gone.
pub(crate) fn wait(pid: i32) {
    // SAFETY: nothing is written but by the kernel's own leave.
    while unsafe { sys!(libc::SYS_wait4, pid, 0, libc::__WALL, 0) } == Err(libc::EINTR) {}
}

/// Waits for the child behind `pidfd`, and tells what it used: `struct rusage` as 18 machine words. `ECHILD` where somebody else had
/// it: a caller who ignores SIGCHLD has all of them reaped by the kernel, and another of his threads may reap whatever ends.
pub(crate) fn wait_behind(pidfd: RawFd) -> Sys<[i64; 18]> {
    const P_PIDFD: usize = 3;
    let mut usage = [0i64; 18];
    let options = libc::WEXITED | libc::__WALL;
    loop {
        // SAFETY: how it ended is not asked for; the other result is exclusively borrowed, and `struct rusage` is 144 bytes.
        match unsafe { sys!(libc::SYS_waitid, P_PIDFD, pidfd, 0, options, usage.as_mut_ptr()) } {
            Err(libc::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(_) => return Ok(usage),
        }
    }
}

/// What this process has used, as `struct rusage`.
pub(crate) fn own_usage() -> [i64; 18] {
    let mut usage = [0; 18];
    // SAFETY: the result is exclusively borrowed and has the 144 bytes of `struct rusage`; 0 is RUSAGE_SELF.
    let _ = unsafe { sys!(libc::SYS_getrusage, 0, usage.as_mut_ptr()) };
    usage
}

pub(crate) fn kill(pid: i32, signal: i32) -> Sys<()> {
    // SAFETY: no memory is passed.
    unsafe { sys!(libc::SYS_kill, pid, signal) }.map(drop)
}
