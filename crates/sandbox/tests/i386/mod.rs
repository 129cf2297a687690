//! Calls of the 32-bit table: by `int 0x80` from here, and by a 32-bit program made by hand.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Where strings and structures lie, for both.
pub(crate) const DATA: u32 = 0x2000_0000;
const CODE: u32 = 0x1000_0000;
const PAGE: usize = 4096;

/// A number and five arguments.
pub(crate) type Call = [u32; 6];

/// Strings and structures, and where each lies.
struct Data(Vec<u8>);

impl Data {
    fn put(&mut self, bytes: &[u8]) -> u32 {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        let place = DATA + self.0.len() as u32;
        self.0.extend_from_slice(bytes);
        self.0.push(0);
        place
    }

    fn words(&mut self, words: &[u32]) -> u32 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(&bytes)
    }
}

/// Cases 12, 17, 19, 23 and the like in this table, and the data they point to.
pub(crate) fn calls() -> (Vec<(&'static str, Call)>, Vec<u8>) {
    const AT: u32 = -100i32 as u32;
    const SETID: u32 = 0o6755;
    const CREATE: u32 = 0o101;
    let mut data = Data(Vec::new());
    let (tmpfs, tmp, root, proc_sys) = (data.put(b"tmpfs"), data.put(b"/tmp"), data.put(b"/"), data.put(b"/proc/sys"));
    let (file, new, text) = (data.put(b"/out/file"), data.put(b"/out/new"), data.put(b"x"));
    let zero = data.words(&[0; 32]);
    let how = data.words(&[CREATE, 0, SETID, 0, 0, 0]);
    let vsock = data.words(&[40, 1, 0]);
    let (user, namespace) = (libc::CLONE_NEWUSER as u32, libc::CLONE_NEWNS as u32);
    let session = -3i32 as u32;
    let calls = vec![
        ("mount", [21, tmpfs, tmp, tmpfs, 0, 0]),
        ("umount", [22, proc_sys, 0, 0, 0, 0]),
        ("umount2", [52, proc_sys, 2, 0, 0, 0]),
        ("pivot_root", [217, tmp, tmp, 0, 0, 0]),
        ("chroot", [61, tmp, 0, 0, 0, 0]),
        ("open_tree", [428, AT, root, 1, 0, 0]),
        ("move_mount", [429, AT, root, AT, tmp, 0]),
        ("fsopen", [430, tmpfs, 0, 0, 0, 0]),
        ("fsconfig", [431, 0, 6, 0, 0, 0]),
        ("fsmount", [432, 0, 0, 0, 0, 0]),
        ("fspick", [433, AT, root, 0, 0, 0]),
        ("mount_setattr", [442, AT, root, 0, zero, 32]),
        ("open_tree_attr", [467, AT, root, 1, zero, 32]),
        ("unshare user", [310, user, 0, 0, 0, 0]),
        ("unshare mount", [310, namespace, 0, 0, 0, 0]),
        ("unshare time", [310, 0x80, 0, 0, 0, 0]),
        ("clone user", [120, user | 17, 0, 0, 0, 0]),
        ("clone3", [435, zero, 88, 0, 0, 0]),
        ("setns", [346, 0, 0, 0, 0, 0]),
        ("chmod", [15, file, SETID, 0, 0, 0]),
        ("fchmod", [94, 0, SETID, 0, 0, 0]),
        ("fchmodat", [306, AT, file, SETID, 0, 0]),
        ("fchmodat2", [452, AT, file, SETID, 0, 0]),
        ("open", [5, new, CREATE, SETID, 0, 0]),
        ("openat", [295, AT, new, CREATE, SETID, 0]),
        ("openat2", [437, AT, new, how, 24, 0]),
        ("creat", [8, new, SETID, 0, 0, 0]),
        ("mknod", [14, new, 0o100_000 | SETID, 0, 0, 0]),
        ("mknodat", [297, AT, new, 0o100_000 | SETID, 0, 0]),
        ("io_uring_setup", [425, 1, zero, 0, 0, 0]),
        ("bpf", [357, 0, zero, 72, 0, 0]),
        ("perf_event_open", [336, zero, 0, 0, -1i32 as u32, 0]),
        ("userfaultfd", [374, 1, 0, 0, 0, 0]),
        ("kexec_load", [283, 0, 0, 0, 0, 0]),
        ("init_module", [128, zero, 8, text, 0, 0]),
        ("finit_module", [350, 0, text, 0, 0, 0]),
        ("open_by_handle_at", [342, AT, zero, 0, 0, 0]),
        ("fanotify_init", [338, 0, 0, 0, 0, 0]),
        ("quotactl", [131, 0x8000_0100, 0, 0, 0, 0]),
        ("swapon", [87, tmp, 0, 0, 0, 0]),
        ("swapoff", [115, tmp, 0, 0, 0, 0]),
        ("acct", [51, 0, 0, 0, 0, 0]),
        ("reboot", [88, 0xfee1_dead, 672_274_793, 0, 0, 0]),
        ("iopl", [110, 3, 0, 0, 0, 0]),
        ("ioperm", [101, 0x70, 2, 1, 0, 0]),
        ("syslog", [103, 10, 0, 0, 0, 0]),
        ("keyctl", [288, 0, session, 0, 0, 0]),
        ("add_key", [286, text, text, text, 1, session]),
        ("request_key", [287, text, text, 0, 0, 0]),
        ("settimeofday", [79, zero, 0, 0, 0, 0]),
        ("stime", [25, zero, 0, 0, 0, 0]),
        ("clock_settime", [264, 0, zero, 0, 0, 0]),
        ("clock_settime64", [404, 0, zero, 0, 0, 0]),
        ("adjtimex", [124, zero, 0, 0, 0, 0]),
        ("sethostname", [74, text, 1, 0, 0, 0]),
        ("socket vsock", [359, 40, 1, 0, 0, 0]),
        ("socketcall vsock", [102, 1, vsock, 0, 0, 0]),
        ("ptrace 1", [26, 16, 1, 0, 0, 0]),
        ("TIOCSTI", [54, 0, 0x5412, text, 0, 0]),
    ];
    assert!(data.0.len() < PAGE);
    (calls, data.0)
}

/// Puts `data` where the calls expect it, here.
pub(crate) fn share(data: &[u8]) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let place = std::ptr::without_provenance_mut(DATA as usize);
    // SAFETY: a new mapping at a place that is free, or the call fails; the data fits into it.
    unsafe {
        let page = libc::mmap(place, PAGE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert_eq!(page, place);
        page.cast::<u8>().copy_from_nonoverlapping(data.as_ptr(), data.len());
    }
    drop(std::fs::File::create("/out/file"));
}

/// The error number of a call by the entry that is open to any 64-bit program.
pub(crate) fn old_entry([nr, a, b, c, d, e]: Call) -> i32 {
    let result: i32;
    // SAFETY: the i386 convention of `int 0x80`; pointers are into the shared page, which is live. rbx is restored.
    unsafe {
        std::arch::asm!("push rbx", "mov ebx, {a:e}", "int 0x80", "pop rbx", a = in(reg) a, inlateout("eax") nr => result, in("ecx") b,
            in("edx") c, in("esi") d, in("edi") e, lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _);
    }
    if result < 0 { -result } else { 0 }
}

/// The same calls by a program of 32 bits; none where the kernel knows no such programs.
pub(crate) fn by_a_program(calls: &[(&'static str, Call)], data: &[u8]) -> Vec<(&'static str, i32)> {
    let plain: Vec<Call> = calls.iter().map(|(_, call)| *call).collect();
    std::fs::write("/tmp/i386", program(&plain, data)).unwrap();
    rustix::fs::chmod("/tmp/i386", 0o755.into()).unwrap();
    let output = match Command::new("/tmp/i386").arg0("i386").output() {
        Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => return Vec::new(),
        other => other.unwrap(),
    };
    assert!(output.status.success() && output.stdout.len() == 4 * calls.len(), "{output:?}");
    let results = output.stdout.chunks_exact(4).map(|word| i32::from_le_bytes(word.try_into().unwrap()));
    calls.iter().zip(results).map(|((name, _), result)| (*name, if result < 0 { -result } else { 0 })).collect()
}

/// An i386 executable that makes the calls in turn and writes their results to its standard output.
pub(crate) fn program(calls: &[Call], data: &[u8]) -> Vec<u8> {
    const HEADERS: u32 = 52 + 2 * 32;
    let results = DATA + PAGE as u32;
    let mut code = Vec::new();
    let make = |code: &mut Vec<u8>, call: &Call| {
        // mov eax, ebx, ecx, edx, esi, edi; int 0x80
        for (register, value) in [0xb8, 0xbb, 0xb9, 0xba, 0xbe, 0xbf].iter().zip(call) {
            code.push(*register);
            code.extend_from_slice(&value.to_le_bytes());
        }
        code.extend_from_slice(&[0xcd, 0x80]);
    };
    for (index, call) in calls.iter().enumerate() {
        make(&mut code, call);
        // mov [results + 4 * index], eax
        code.push(0xa3);
        code.extend_from_slice(&(results + 4 * index as u32).to_le_bytes());
    }
    make(&mut code, &[4, 1, results, 4 * calls.len() as u32, 0, 0]);
    make(&mut code, &[1, 0, 0, 0, 0, 0]);
    let code_len = HEADERS + code.len() as u32;
    let data_start = code_len.next_multiple_of(PAGE as u32);
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0".to_vec();
    let mut words = |words: &[u32]| file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    // version, entry, program headers, no sections, flags; sizes and counts of headers
    words(&[1, CODE + HEADERS, 52, 0, 0, 52 | 32 << 16, 2, 0]);
    words(&[1, 0, CODE, CODE, code_len, code_len, 5, PAGE as u32]);
    words(&[1, data_start, DATA, DATA, data.len() as u32, 2 * PAGE as u32, 6, PAGE as u32]);
    file.extend_from_slice(&code);
    file.resize(data_start as usize, 0);
    file.extend_from_slice(data);
    file
}
