//! The deny list of system calls, compiled to classic BPF.
//!
//! Everything else stays allowed: builds trace, fork, map, lock and watch as they like. Denied is what reaches out of the
//! room or widens the kernel's attack surface: mounts, nested namespaces, keyrings, io_uring, bpf, modules, clocks, swap,
//! quota, handles, socket families beyond UNIX, INET, INET6 and NETLINK, and putting characters into a terminal's input.

/// `struct sock_filter` as one number in memory order: code (16 bits), jt (8), jf (8), k (32).
pub(crate) type Instruction = u64;

const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER_EQUAL: u16 = 0x35;
const JUMP_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

const NUMBER: u32 = 0;
const ARCH: u32 = 4;
/// Offset of the low half of an argument on a little-endian machine; the kernel looks at no more of those tested here.
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

/// CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET. In `clone` the lowest one is part of the exit
/// signal's byte.
const NEW_NAMESPACES: u32 = 0x7e02_0000;
const NEW_TIME: u32 = 0x80;

const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;

fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
    u64::from(code) | u64::from(jt) << 16 | u64::from(jf) << 24 | u64::from(k) << 32
}

/// The numbers of one system call table.
struct Table {
    arch: u32,
    /// Answered with ENOSYS: programs probe for these and do without.
    absent: &'static [u32],
    /// Answered with EPERM.
    forbidden: &'static [u32],
    socket: u32,
    clone: u32,
    unshare: u32,
    ioctl: u32,
    /// The multiplexer of old 32-bit programs.
    socketcall: Option<u32>,
    /// Numbers from here on belong to another table.
    end: u32,
}

/// Calls that have the same number everywhere: 424 and up. Absent are io_uring and clone3, which hides its flags behind a
/// pointer that a filter cannot follow (C libraries fall back to clone).
macro_rules! everywhere {
    (absent: $($number:literal),*) => { &[425, 426, 427, 435, $($number),*] };
    // open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, pidfd_getfd, mount_setattr, quotactl_fd, open_tree_attr
    (forbidden: $($number:literal),*) => { &[428, 429, 430, 431, 432, 433, 438, 442, 443, 467, $($number),*] };
}

#[cfg(target_arch = "x86_64")]
const TABLES: &[Table] = &[
    Table {
        arch: 0xc000_003e,
        // add_key, request_key, keyctl, userfaultfd
        absent: everywhere!(absent: 248, 249, 250, 323),
        // syslog, adjtimex, pivot_root, modify settimeofday, mount, umount2, swapon, swapoff, reboot, iopl, ioperm, create_module,
        // init_module, delete_module, get_kernel_syms, query_module, quotactl, nfsservctl, acct, clock_settime, kexec_load,
        // vhangup, lookup_dcookie, perf_event_open, fanotify_init, open_by_handle_at, clock_adjtime, setns, finit_module,
        // kexec_file_load, bpf
        forbidden: everywhere!(forbidden: 103, 159, 155, 164, 165, 166, 167, 168, 169, 172, 173, 174, 175, 176, 177, 178, 179, 180, 163, 227, 246,
            153, 212, 298, 300, 304, 305, 308, 313, 320, 321),
        socket: 41,
        clone: 56,
        unshare: 272,
        ioctl: 16,
        socketcall: None,
        end: 0x4000_0000,
    },
    Table {
        arch: 0x4000_0003,
        // add_key, request_key, keyctl, userfaultfd
        absent: everywhere!(absent: 286, 287, 288, 374),
        // mount, umount, stime, acct, umount2, settimeofday, swapon, reboot, ioperm, syslog, iopl, vhangup, swapoff, adjtimex,
        // create_module, init_module, delete_module, get_kernel_syms, quotactl, query_module, nfsservctl, pivot_root,
        // lookup_dcookie, clock_settime, kexec_load, perf_event_open, fanotify_init, open_by_handle_at, clock_adjtime, setns,
        // finit_module, bpf, clock_settime64, clock_adjtime64
        forbidden: everywhere!(forbidden: 21, 22, 25, 51, 52, 79, 87, 88, 101, 103, 110, 111, 115, 124, 127, 128, 129, 130, 131, 167, 169, 217, 253,
            264, 283, 336, 338, 342, 343, 346, 350, 357, 404, 405),
        socket: 359,
        clone: 120,
        unshare: 310,
        ioctl: 54,
        socketcall: Some(102),
        end: u32::MAX,
    },
];

#[cfg(target_arch = "aarch64")]
const TABLES: &[Table] = &[Table {
    arch: 0xc000_00b7,
    // add_key, request_key, keyctl, userfaultfd
    absent: everywhere!(absent: 217, 218, 219, 282),
    // umount2, mount, pivot_root, nfsservctl, vhangup, quotactl, acct, kexec_load, init_module, delete_module, clock_settime,
    // syslog, reboot, settimeofday, adjtimex, swapon, swapoff, perf_event_open, fanotify_init, open_by_handle_at,
    // clock_adjtime, setns, finit_module, bpf, kexec_file_load, lookup_dcookie
    forbidden: everywhere!(forbidden: 39, 40, 41, 42, 58, 60, 89, 104, 105, 106, 112, 116, 142, 170, 171, 224, 225, 241, 262, 265, 266, 268, 273, 280,
        294, 18),
    socket: 198,
    clone: 220,
    unshare: 97,
    ioctl: 29,
    socketcall: None,
    end: u32::MAX,
}];

/// A list of instructions.
struct Program(Vec<Instruction>);

impl Program {
    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) {
        self.0.push(instruction(code, jt, jf, k));
    }

    fn fail(&mut self, errno: i32) {
        self.push(RETURN, 0, 0, ERRNO | errno as u32);
    }

    /// With the call's number loaded: the block of the range it lies in. A search tree, since the kernel runs the filter for
    /// every number there is when it is loaded.
    fn search(&mut self, ranges: &[Range]) {
        if let [(_, block)] = ranges {
            self.0.extend_from_slice(block);
            return;
        }
        let (low, high) = ranges.split_at(ranges.len() / 2);
        let Some((middle, _)) = high.first() else { return };
        let mut left = Self(Vec::new());
        left.search(low);
        if let Ok(near) = u8::try_from(left.0.len()) {
            self.push(JUMP_GREATER_EQUAL, near, 0, *middle);
        } else {
            self.push(JUMP_GREATER_EQUAL, 0, 1, *middle);
            self.push(JUMP, 0, 0, left.0.len() as u32);
        }
        self.0.append(&mut left.0);
        self.search(high);
    }

    /// Returns `errno` when one of `bits` is set in an argument, else allows the call.
    fn deny_bits(&mut self, index: u32, bits: u32, errno: i32) {
        self.push(LOAD, 0, 0, argument(index));
        self.push(JUMP_SET, 0, 1, bits);
        self.fail(errno);
        self.push(RETURN, 0, 0, ALLOW);
    }

    /// Returns `errno` when an argument is one of `values`, else allows the call.
    fn deny_values(&mut self, index: u32, values: &[u32], errno: i32) {
        self.push(LOAD, 0, 0, argument(index));
        for value in values {
            self.push(JUMP_EQUAL, 0, 1, *value);
            self.fail(errno);
        }
        self.push(RETURN, 0, 0, ALLOW);
    }

    fn table(&mut self, table: &Table) {
        self.push(LOAD, 0, 0, NUMBER);
        let mut rules: Vec<Rule> = Vec::new();
        let absent = table.absent.iter().map(|number| (*number, libc::ENOSYS));
        let forbidden = table.forbidden.iter().map(|number| (*number, libc::EPERM));
        rules.extend(absent.chain(forbidden).map(|(number, errno)| rule(number, |block| block.fail(errno))));
        rules.push(rule(table.clone, |block| block.deny_bits(0, NEW_NAMESPACES, libc::EPERM)));
        rules.push(rule(table.unshare, |block| block.deny_bits(0, NEW_NAMESPACES | NEW_TIME, libc::EPERM)));
        rules.push(rule(table.socket, |block| {
            block.push(LOAD, 0, 0, argument(0));
            for family in [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK] {
                block.push(JUMP_EQUAL, 0, 1, family as u32);
                block.push(RETURN, 0, 0, ALLOW);
            }
            block.fail(libc::EAFNOSUPPORT);
        }));
        rules.push(rule(table.ioctl, |block| block.deny_values(1, &[TIOCSTI, TIOCLINUX], libc::EPERM)));
        if let Some(socketcall) = table.socketcall {
            // Its family is behind a pointer that a filter cannot follow: only call 1, `socket`, is refused.
            rules.push(rule(socketcall, |block| block.deny_values(0, &[1], libc::ENOSYS)));
        }
        self.search(&ranges(rules, table.end));
    }
}

/// A call's number and the instructions that judge it, which always return.
type Rule = (u32, Vec<Instruction>);

/// The first number of a range that ends where the next begins, and the instructions that judge it.
type Range = (u32, Vec<Instruction>);

/// What holds for every number: the rules, between them "allowed", and "absent" from `end` on.
fn ranges(mut rules: Vec<Rule>, end: u32) -> Vec<Range> {
    let allow = rule(0, |block| block.push(RETURN, 0, 0, ALLOW)).1;
    let mut edges = std::collections::BTreeMap::from([(0, allow.clone())]);
    rules.sort_by_key(|(number, _)| *number);
    for (number, block) in rules {
        edges.insert(number, block);
        edges.insert(number + 1, allow.clone());
    }
    if end != u32::MAX {
        edges.insert(end, rule(0, |block| block.fail(libc::ENOSYS)).1);
    }
    let mut ranges: Vec<Range> = edges.into_iter().collect();
    ranges.dedup_by(|next, last| next.1 == last.1);
    ranges
}

fn rule(number: u32, write: impl FnOnce(&mut Program)) -> Rule {
    let mut block = Program(Vec::new());
    write(&mut block);
    (number, block.0)
}

/// The filter for this machine's tables; calls by any other table are answered with ENOSYS.
pub(crate) fn deny_list() -> Vec<Instruction> {
    let mut program = Program(Vec::new());
    for table in TABLES {
        let mut inner = Program(Vec::new());
        inner.table(table);
        program.push(LOAD, 0, 0, ARCH);
        program.push(JUMP_EQUAL, 1, 0, table.arch);
        // A jump over a whole table needs more than the 8 bits of a conditional one.
        program.push(JUMP, 0, 0, inner.0.len() as u32);
        program.0.append(&mut inner.0);
    }
    program.fail(libc::ENOSYS);
    program.0
}

#[cfg(test)]
mod tests {
    use super::{ALLOW, ERRNO, deny_list};

    /// Runs the filter as the kernel would.
    fn verdict(arch: u32, number: u32, args: [u64; 6]) -> u32 {
        let program = deny_list();
        let mut data = [0u8; 64];
        data[..4].copy_from_slice(&number.to_le_bytes());
        data[4..8].copy_from_slice(&arch.to_le_bytes());
        for (place, argument) in data[16..].chunks_mut(8).zip(args) {
            place.copy_from_slice(&argument.to_le_bytes());
        }
        let (mut at, mut a) = (0usize, 0u32);
        loop {
            let word = program[at];
            let (code, jt, jf, k) = (word as u16, (word >> 16) as u8, (word >> 24) as u8, (word >> 32) as u32);
            at += 1;
            let jump = |taken: bool| usize::from(if taken { jt } else { jf });
            match code {
                0x20 => a = u32::from_le_bytes(data[k as usize..k as usize + 4].try_into().unwrap()),
                0x05 => at += k as usize,
                0x15 => at += jump(a == k),
                0x35 => at += jump(a >= k),
                0x45 => at += jump(a & k != 0),
                0x06 => return k,
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    const NONE: [u64; 6] = [0; 6];

    fn errno(value: i32) -> u32 {
        ERRNO | value as u32
    }

    #[test]
    fn every_jump_stays_inside_and_the_program_fits() {
        let program = deny_list();
        assert!(program.len() <= 4096);
        for (at, word) in program.iter().enumerate() {
            let (code, jt, jf, k) = (*word as u16, (word >> 16) as u8, (word >> 24) as u8, (word >> 32) as u32);
            let far = match code {
                0x05 => k as usize,
                0x15 | 0x35 | 0x45 => usize::from(jt.max(jf)),
                _ => continue,
            };
            assert!(at + 1 + far < program.len(), "instruction {at}");
        }
        assert_eq!(program.last().map(|word| *word as u16), Some(0x06));
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn x86_64_calls_are_judged_by_number_and_argument() {
        let judge = |number, args| verdict(0xc000_003e, number, args);
        assert_eq!(judge(libc::SYS_read as u32, NONE), ALLOW);
        assert_eq!(judge(libc::SYS_ptrace as u32, NONE), ALLOW);
        for call in [libc::SYS_io_uring_setup, libc::SYS_keyctl, libc::SYS_clone3, libc::SYS_userfaultfd] {
            assert_eq!(judge(call as u32, NONE), errno(libc::ENOSYS), "call {call}");
        }
        for call in [
            libc::SYS_mount,
            libc::SYS_bpf,
            libc::SYS_setns,
            libc::SYS_finit_module,
            libc::SYS_fsopen,
            libc::SYS_clock_settime,
        ] {
            assert_eq!(judge(call as u32, NONE), errno(libc::EPERM), "call {call}");
        }
        let clone = libc::SYS_clone as u32;
        assert_eq!(judge(clone, [libc::SIGCHLD as u64, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(judge(clone, [libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0]), errno(libc::EPERM));
        let unshare = libc::SYS_unshare as u32;
        assert_eq!(judge(unshare, [libc::CLONE_FILES as u64, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(judge(unshare, [libc::CLONE_NEWNS as u64, 0, 0, 0, 0, 0]), errno(libc::EPERM));
        assert_eq!(judge(unshare, [0x80, 0, 0, 0, 0, 0]), errno(libc::EPERM));
        let socket = libc::SYS_socket as u32;
        assert_eq!(judge(socket, [libc::AF_INET6 as u64, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(judge(socket, [libc::AF_VSOCK as u64, 0, 0, 0, 0, 0]), errno(libc::EAFNOSUPPORT));
        let ioctl = libc::SYS_ioctl as u32;
        assert_eq!(judge(ioctl, [0, 0x5401, 0, 0, 0, 0]), ALLOW);
        assert_eq!(judge(ioctl, [0, 0x5412, 0, 0, 0, 0]), errno(libc::EPERM));
        assert_eq!(judge(ioctl, [0, 0x1_0000_5412, 0, 0, 0, 0]), errno(libc::EPERM), "the kernel reads 32 bits of it");
    }

    #[test]
    fn every_number_of_every_table_is_judged_as_listed() {
        for table in super::TABLES {
            let special =
                [Some(table.socket), Some(table.clone), Some(table.unshare), Some(table.ioctl), table.socketcall];
            for number in (0..600).filter(|number| !special.contains(&Some(*number))) {
                let expected = match (table.absent.contains(&number), table.forbidden.contains(&number)) {
                    (true, false) => errno(libc::ENOSYS),
                    (false, true) => errno(libc::EPERM),
                    (false, false) => ALLOW,
                    (true, true) => panic!("{number} is listed twice"),
                };
                assert_eq!(verdict(table.arch, number, NONE), expected, "call {number} of {:#x}", table.arch);
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn other_tables_get_no_way_around() {
        assert_eq!(verdict(0xc000_003e, 0x4000_0000 | 165, NONE), errno(libc::ENOSYS), "x32");
        assert_eq!(verdict(0x4000_0003, 21, NONE), errno(libc::EPERM), "i386 mount");
        assert_eq!(verdict(0x4000_0003, 3, NONE), ALLOW, "i386 read");
        assert_eq!(verdict(0x4000_0003, 102, [1, 0, 0, 0, 0, 0]), errno(libc::ENOSYS), "i386 socketcall(socket)");
        assert_eq!(verdict(0x4000_0003, 102, [3, 0, 0, 0, 0, 0]), ALLOW, "i386 socketcall(connect)");
        assert_eq!(verdict(0xc000_00b7, 0, NONE), errno(libc::ENOSYS), "another machine");
    }
}
