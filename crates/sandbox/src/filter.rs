//! The deny list of system calls, compiled to classic BPF.
//!
//! Everything else stays allowed: builds trace, fork, map, lock and watch as they like. Denied is what reaches out of the
//! room or widens the kernel's attack surface: mounts, nested namespaces, keyrings, io_uring, bpf, modules, clocks, swap,
//! quota, handles, socket families beyond UNIX, INET, INET6 and NETLINK, putting characters into a terminal's input, and other
//! line disciplines for it; and where the program is in the caller's process group, what reaches all of that.

use std::sync::OnceLock;

use crate::{Session, SetId};

/// Whose the process group is that the program begins in. The others in it have no number in the room; only 0 names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Its own.
    Own,
    /// The caller's; Landlock keeps signals in the room.
    Scoped,
    /// The caller's.
    Shared,
}

impl Group {
    pub(crate) fn of(session: Session, scoped: bool) -> Self {
        match session {
            Session::Keep if scoped => Self::Scoped,
            Session::Keep => Self::Shared,
            Session::New | Session::Pty | Session::Foreground => Self::Own,
        }
    }
}

/// `struct sock_filter` as one number in memory order: code (16 bits), jt (8), jf (8), k (32).
pub(crate) type Instruction = u64;

const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER_EQUAL: u16 = 0x35;
const JUMP_SET: u16 = 0x45;
const RETURN: u16 = 0x06;
/// Copies the number at hand to where nobody looks.
const COPY: u16 = 0x07;

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
/// Gives a terminal another line discipline: a module of the kernel's that may have to be loaded, and a caller's terminal that is
/// no use any more.
const TIOCSETD: u32 = 0x5423;

/// O_CREAT and __O_TMPFILE, of which each gives `open` a mode.
const MAKES_FILE: u32 = 0o100 | 0o20_000_000;
/// S_ISUID and S_ISGID.
const SETID: u32 = 0o6000;
const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
const FS_IOC32_SETFLAGS: u32 = 0x4004_6602;
const FS_IOC_FSSETXATTR: u32 = 0x401c_5820;

/// How `setpriority` and `ioprio_set` are told a process group.
const PRIO_PGRP: u32 = 1;
const IOPRIO_WHO_PGRP: u32 = 2;

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
    /// `socket` and `socketpair`, which makes two of any family before it finds that they cannot be paired.
    sockets: [u32; 2],
    clone: u32,
    unshare: u32,
    ioctl: u32,
    kill: u32,
    setpriority: u32,
    ioprio_set: u32,
    /// The multiplexer of old 32-bit programs.
    socketcall: Option<u32>,
    /// Calls that set a file's mode, and which argument it is.
    modes: &'static [(u32, u32)],
    /// Calls that open a file, and which argument the flags are; the mode follows.
    opens: &'static [(u32, u32)],
    /// Calls that set extended attributes.
    attributes: &'static [u32],
    /// Numbers from here on belong to another table.
    end: u32,
}

/// Calls that have the same number everywhere: 424 and up. Absent are io_uring and clone3, which hides its flags behind a
/// pointer that a filter cannot follow (C libraries fall back to clone).
macro_rules! everywhere {
    (absent: $($number:literal),*) => { &[425, 426, 427, 435, $($number),*] };
    // open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, pidfd_getfd, mount_setattr, quotactl_fd, open_tree_attr
    (forbidden: $($number:literal),*) => { &[428, 429, 430, 431, 432, 433, 438, 442, 443, 467, $($number),*] };
    // fchmodat2
    (modes: $(($number:literal, $argument:literal)),*) => { &[(452, 2), $(($number, $argument)),*] };
    // setxattrat
    (attributes: $($number:literal),*) => { &[463, $($number),*] };
}

/// `openat2` and `file_setattr`, whose arguments are behind a pointer: absent where setid bits are banned.
const HIDE_MODES: [u32; 2] = [437, 469];

const X86_64: Table = Table {
    arch: 0xc000_003e,
    // add_key, request_key, keyctl, userfaultfd
    absent: everywhere!(absent: 248, 249, 250, 323),
    // syslog, adjtimex, pivot_root, settimeofday, mount, umount2, swapon, swapoff, reboot, iopl, ioperm, create_module,
    // init_module, delete_module, get_kernel_syms, query_module, quotactl, nfsservctl, acct, clock_settime, kexec_load,
    // vhangup, lookup_dcookie, perf_event_open, fanotify_init, open_by_handle_at, clock_adjtime, setns, finit_module,
    // kexec_file_load, bpf
    forbidden: everywhere!(forbidden: 103, 159, 155, 164, 165, 166, 167, 168, 169, 172, 173, 174, 175, 176, 177, 178, 179, 180,
        163, 227, 246, 153, 212, 298, 300, 304, 305, 308, 313, 320, 321),
    sockets: [41, 53],
    clone: 56,
    unshare: 272,
    ioctl: 16,
    kill: 62,
    setpriority: 141,
    ioprio_set: 251,
    socketcall: None,
    // chmod, fchmod, fchmodat, creat, mknod, mknodat
    modes: everywhere!(modes: (90, 1), (91, 1), (268, 2), (85, 1), (133, 1), (259, 2)),
    opens: &[(2, 1), (257, 2)],
    attributes: everywhere!(attributes: 188, 189, 190),
    end: 0x4000_0000,
};

const I386: Table = Table {
    arch: 0x4000_0003,
    // add_key, request_key, keyctl, userfaultfd
    absent: everywhere!(absent: 286, 287, 288, 374),
    // mount, umount, stime, acct, umount2, settimeofday, swapon, reboot, ioperm, syslog, iopl, vhangup, swapoff, adjtimex,
    // create_module, init_module, delete_module, get_kernel_syms, quotactl, query_module, nfsservctl, pivot_root,
    // lookup_dcookie, clock_settime, kexec_load, perf_event_open, fanotify_init, open_by_handle_at, clock_adjtime, setns,
    // finit_module, bpf, clock_settime64, clock_adjtime64
    forbidden: everywhere!(forbidden: 21, 22, 25, 51, 52, 79, 87, 88, 101, 103, 110, 111, 115, 124, 127, 128, 129, 130, 131, 167,
        169, 217, 253, 264, 283, 336, 338, 342, 343, 346, 350, 357, 404, 405),
    sockets: [359, 360],
    clone: 120,
    unshare: 310,
    ioctl: 54,
    kill: 37,
    setpriority: 97,
    ioprio_set: 289,
    socketcall: Some(102),
    modes: everywhere!(modes: (15, 1), (94, 1), (306, 2), (8, 1), (14, 1), (297, 2)),
    opens: &[(5, 1), (295, 2)],
    attributes: everywhere!(attributes: 226, 227, 228),
    end: u32::MAX,
};

const AARCH64: Table = Table {
    arch: 0xc000_00b7,
    // add_key, request_key, keyctl, userfaultfd
    absent: everywhere!(absent: 217, 218, 219, 282),
    // umount2, mount, pivot_root, nfsservctl, vhangup, quotactl, acct, kexec_load, init_module, delete_module, clock_settime,
    // syslog, reboot, settimeofday, adjtimex, swapon, swapoff, perf_event_open, fanotify_init, open_by_handle_at,
    // clock_adjtime, setns, finit_module, bpf, kexec_file_load, lookup_dcookie
    forbidden: everywhere!(forbidden: 39, 40, 41, 42, 58, 60, 89, 104, 105, 106, 112, 116, 142, 170, 171, 224, 225, 241, 262, 265,
        266, 268, 273, 280, 294, 18),
    sockets: [198, 199],
    clone: 220,
    unshare: 97,
    ioctl: 29,
    kill: 129,
    setpriority: 140,
    ioprio_set: 30,
    socketcall: None,
    // fchmod, fchmodat, mknodat
    modes: everywhere!(modes: (52, 1), (53, 2), (33, 2)),
    opens: &[(56, 2)],
    attributes: everywhere!(attributes: 5, 6, 7),
    end: u32::MAX,
};

const ARM: Table = Table {
    arch: 0x4000_0028,
    // add_key, request_key, keyctl, userfaultfd
    absent: everywhere!(absent: 309, 310, 311, 388),
    // mount, acct, umount2, settimeofday, swapon, reboot, syslog, vhangup, swapoff, adjtimex, init_module, delete_module,
    // quotactl, nfsservctl, pivot_root, lookup_dcookie, clock_settime, kexec_load, perf_event_open, fanotify_init,
    // open_by_handle_at, clock_adjtime, setns, finit_module, bpf, kexec_file_load, clock_settime64, clock_adjtime64
    forbidden: everywhere!(forbidden: 21, 51, 52, 79, 87, 88, 103, 111, 115, 124, 128, 129, 131, 169, 218, 249, 262, 347, 364, 367,
        371, 372, 375, 379, 386, 401, 404, 405),
    sockets: [281, 288],
    clone: 120,
    unshare: 337,
    ioctl: 54,
    kill: 37,
    setpriority: 97,
    ioprio_set: 314,
    socketcall: None,
    modes: everywhere!(modes: (15, 1), (94, 1), (333, 2), (8, 1), (14, 1), (324, 2)),
    opens: &[(5, 1), (322, 2)],
    attributes: everywhere!(attributes: 226, 227, 228),
    end: u32::MAX,
};

/// The tables of the two machines: the native one, and the one of its 32-bit programs.
const ON_X86_64: [&Table; 2] = [&X86_64, &I386];
const ON_AARCH64: [&Table; 2] = [&AARCH64, &ARM];

/// Instructions that always return; their jumps stay inside.
type Block = Vec<Instruction>;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    Allow,
    Fail(i32),
    /// Fails when one of the bits is set in an argument.
    Bits {
        argument: u32,
        bits: u32,
        errno: i32,
    },
    /// Fails when an argument is one of these values.
    Among {
        argument: u32,
        values: &'static [u32],
        errno: i32,
    },
    /// Fails when an argument is none of these values.
    NotAmong {
        argument: u32,
        values: &'static [u32],
        errno: i32,
    },
    /// Fails when the first argument is this value and the second 0.
    ZeroOf {
        kind: u32,
        errno: i32,
    },
    /// Refuses a mode with setid bits where the flags in this argument say that a mode follows.
    ModeOfOpen {
        flags: u32,
    },
}

/// The first number of a range that ends where the next begins, and what becomes of its calls.
type Range = (u32, Judgement);

fn load(offset: u32) -> Instruction {
    instruction(LOAD, 0, 0, offset)
}

fn ret(value: u32) -> Instruction {
    instruction(RETURN, 0, 0, value)
}

fn fail(errno: i32) -> Instruction {
    ret(ERRNO | errno as u32)
}

/// Jumps to `yes` when an argument is one of `values`, else to `no`.
fn among(index: u32, values: &[u32], yes: Instruction, no: Instruction) -> Block {
    let mut block = vec![load(argument(index))];
    for (place, value) in values.iter().enumerate() {
        block.push(instruction(JUMP_EQUAL, (values.len() - place) as u8, 0, *value));
    }
    block.extend([no, yes]);
    block
}

impl Judgement {
    fn block(self) -> Block {
        match self {
            Self::Allow => vec![ret(ALLOW)],
            Self::Fail(errno) => vec![fail(errno)],
            Self::Bits { argument: index, bits, errno } => {
                vec![load(argument(index)), instruction(JUMP_SET, 0, 1, bits), fail(errno), ret(ALLOW)]
            }
            Self::Among { argument, values, errno } => among(argument, values, fail(errno), ret(ALLOW)),
            Self::NotAmong { argument, values, errno } => among(argument, values, ret(ALLOW), fail(errno)),
            Self::ZeroOf { kind, errno } => vec![
                load(argument(0)),
                instruction(JUMP_EQUAL, 0, 3, kind),
                load(argument(1)),
                instruction(JUMP_EQUAL, 0, 1, 0),
                fail(errno),
                ret(ALLOW),
            ],
            Self::ModeOfOpen { flags } => vec![
                load(argument(flags)),
                instruction(JUMP_SET, 0, 3, MAKES_FILE),
                load(argument(flags + 1)),
                instruction(JUMP_SET, 0, 1, SETID),
                fail(libc::EPERM),
                ret(ALLOW),
            ],
        }
    }
}

/// The rules of one table, in no order. Every launch of a program of its own pays for this: nothing is allocated for a rule.
fn rules(table: &Table, setid: SetId, group: Group) -> Vec<Range> {
    use Judgement::{Among, Bits, Fail, ModeOfOpen, NotAmong, ZeroOf};
    const FAMILIES: &[u32] =
        &[libc::AF_UNIX as u32, libc::AF_INET as u32, libc::AF_INET6 as u32, libc::AF_NETLINK as u32];
    const TERMINALS: &[u32] = &[TIOCSTI, TIOCLINUX, TIOCSETD];
    const TERMINALS_AND_FLAGS: &[u32] =
        &[TIOCSTI, TIOCLINUX, TIOCSETD, FS_IOC_SETFLAGS, FS_IOC32_SETFLAGS, FS_IOC_FSSETXATTR];
    let bits = |argument, bits| Bits { argument, bits, errno: libc::EPERM };
    let mut rules = Vec::with_capacity(128);
    rules.extend(table.absent.iter().map(|number| (*number, Fail(libc::ENOSYS))));
    rules.extend(table.forbidden.iter().map(|number| (*number, Fail(libc::EPERM))));
    rules.push((table.clone, bits(0, NEW_NAMESPACES)));
    rules.push((table.unshare, bits(0, NEW_NAMESPACES | NEW_TIME)));
    let family = NotAmong { argument: 0, values: FAMILIES, errno: libc::EAFNOSUPPORT };
    rules.extend(table.sockets.map(|number| (number, family)));
    // The family is behind a pointer that a filter cannot follow: calls 1 and 8, those two, are refused.
    let socketcall = Among { argument: 0, values: &[1, 8], errno: libc::ENOSYS };
    rules.extend(table.socketcall.map(|number| (number, socketcall)));
    let requests = if setid == SetId::Ban { TERMINALS_AND_FLAGS } else { TERMINALS };
    rules.push((table.ioctl, Among { argument: 1, values: requests, errno: libc::EPERM }));
    if group != Group::Own {
        let of = |kind| ZeroOf { kind, errno: libc::EPERM };
        rules.extend([(table.setpriority, of(PRIO_PGRP)), (table.ioprio_set, of(IOPRIO_WHO_PGRP))]);
    }
    if group == Group::Shared {
        rules.push((table.kill, Among { argument: 0, values: &[0], errno: libc::EPERM }));
    }
    if setid == SetId::Ban {
        rules.extend(HIDE_MODES.map(|number| (number, Fail(libc::ENOSYS))));
        rules.extend(table.modes.iter().map(|(number, argument)| (*number, bits(*argument, SETID))));
        rules.extend(table.opens.iter().map(|(number, flags)| (*number, ModeOfOpen { flags: *flags })));
        rules.extend(table.attributes.iter().map(|number| (*number, Fail(libc::ENOTSUP))));
    }
    rules
}

/// The ranges of numbers of one table, those allowed and those of no table included.
fn ranges(table: &Table, setid: SetId, group: Group) -> Vec<Range> {
    let mut rules = rules(table, setid, group);
    rules.sort_unstable_by_key(|(number, _)| *number);
    let mut ranges: Vec<Range> = Vec::with_capacity(2 * rules.len() + 2);
    let mut next = 0;
    for (number, judgement) in rules {
        if number > next {
            ranges.push((next, Judgement::Allow));
        }
        ranges.push((number, judgement));
        next = number + 1;
    }
    ranges.push((next, Judgement::Allow));
    if table.end != u32::MAX {
        ranges.push((table.end, Judgement::Fail(libc::ENOSYS)));
    }
    ranges.dedup_by(|next, last| next.1 == last.1);
    ranges
}

/// About how many calls there are.
const MOST: u32 = 470;

/// A comparison of the call's number in the search tree, and where it leads.
struct Node {
    least: u32,
    /// For numbers from `least` on.
    high: Goal,
    /// For smaller ones.
    low: Goal,
}

/// Where a comparison leads.
enum Goal {
    Node(usize),
    Block(usize),
}

/// Adds the tree over `ranges`, which end at `end`, and returns where it begins. The kernel runs the filter for every number
/// there is when it is loaded, and compiles every instruction: so a tree that has as many numbers on one side as on the other,
/// and whose leaves are jumps to blocks that all of them share.
fn tree(ranges: &[Range], end: u32, nodes: &mut Vec<Node>, blocks: &mut Vec<Judgement>) -> Goal {
    let begin = ranges.first().map_or(0, |(first, _)| *first);
    // Numbers beyond those that exist do not count.
    let middle = begin + (end.min(MOST).saturating_sub(begin)) / 2;
    let place = (1..ranges.len()).min_by_key(|place| ranges[*place].0.abs_diff(middle)).unwrap_or(0);
    let (low, high) = ranges.split_at(place);
    let (Some((least, _)), false) = (high.first(), low.is_empty()) else {
        let block = ranges.first().map_or(Judgement::Allow, |(_, block)| *block);
        let known = blocks.iter().position(|known| *known == block).unwrap_or_else(|| {
            blocks.push(block);
            blocks.len() - 1
        });
        return Goal::Block(known);
    };
    let place = nodes.len();
    nodes.push(Node { least: *least, high: Goal::Block(0), low: Goal::Block(0) });
    let low = tree(low, *least, nodes, blocks);
    let high = tree(high, end, nodes, blocks);
    nodes[place] = Node { least: *least, high, low };
    Goal::Node(place)
}

/// The instructions for one table, with the call's number loaded.
fn search(table: &Table, setid: SetId, group: Group) -> Block {
    let ranges = ranges(table, setid, group);
    let (mut nodes, mut blocks) = (Vec::with_capacity(ranges.len()), Vec::new());
    tree(&ranges, u32::MAX, &mut nodes, &mut blocks);
    let blocks: Vec<Block> = blocks.into_iter().map(Judgement::block).collect();
    let mut starts = Vec::new();
    let mut end = nodes.len();
    for block in &blocks {
        starts.push(end);
        end += block.len();
    }
    let mut program: Block = Vec::with_capacity(end);
    for (place, node) in nodes.iter().enumerate() {
        let offset = |goal: &Goal| {
            let target = match goal {
                Goal::Node(node) => *node,
                Goal::Block(block) => starts[*block],
            };
            u8::try_from(target - place - 1)
                .expect("a table has fewer than 255 comparisons and blocks: a test counts them")
        };
        program.push(instruction(JUMP_GREATER_EQUAL, offset(&node.high), offset(&node.low), node.least));
    }
    program.extend(blocks.into_iter().flatten());
    program
}

/// The filter for a machine with these tables; calls by any other table are answered with ENOSYS.
fn assemble(tables: &[&Table], setid: SetId, group: Group) -> Block {
    let mut program = vec![load(ARCH)];
    for (place, table) in tables.iter().enumerate() {
        let mut inner = search(table, setid, group);
        if place > 0 {
            // When it is loaded the kernel runs the filter for every number of both tables, to know what is allowed whatever the
            // arguments are; a run ends at what is neither a comparison nor a load. Programs of the second table are rare, and
            // rooms start sooner without its runs.
            inner.insert(0, instruction(COPY, 0, 0, 0));
        }
        program.push(instruction(JUMP_EQUAL, 1, 0, table.arch));
        // A jump over a whole table needs more than the 8 bits of a conditional one.
        program.push(instruction(JUMP, 0, 0, inner.len() as u32 + 1));
        program.push(load(NUMBER));
        program.extend(inner);
    }
    program.push(fail(libc::ENOSYS));
    program
}

/// The filter for this machine, made once.
pub(crate) fn deny_list(setid: SetId, group: Group) -> &'static [Instruction] {
    static MADE: [[OnceLock<Block>; 3]; 2] = [const { [const { OnceLock::new() }; 3] }; 2];
    let tables = if cfg!(target_arch = "x86_64") { &ON_X86_64 } else { &ON_AARCH64 };
    MADE[usize::from(setid == SetId::Ban)][group as usize].get_or_init(|| assemble(tables, setid, group))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINES: [&[&Table]; 2] = [&ON_X86_64, &ON_AARCH64];
    const NONE: [u64; 6] = [0; 6];

    fn errno(value: i32) -> u32 {
        ERRNO | value as u32
    }

    /// Runs the filter as the kernel would.
    fn verdict(program: &[Instruction], arch: u32, number: u32, args: [u64; 6]) -> u32 {
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
                LOAD => a = u32::from_le_bytes(data[k as usize..k as usize + 4].try_into().unwrap()),
                JUMP => at += k as usize,
                JUMP_EQUAL => at += jump(a == k),
                JUMP_GREATER_EQUAL => at += jump(a >= k),
                JUMP_SET => at += jump(a & k != 0),
                RETURN => return k,
                COPY => {}
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    /// Every filter there is, with its tables.
    fn filters() -> Vec<(Block, &'static [&'static Table], SetId, Group)> {
        let mut filters = Vec::new();
        for setid in [SetId::Record, SetId::Ban] {
            for group in [Group::Own, Group::Scoped, Group::Shared] {
                filters.extend(MACHINES.map(|tables| (assemble(tables, setid, group), tables, setid, group)));
            }
        }
        filters
    }

    #[test]
    fn every_jump_stays_inside_and_the_program_fits() {
        for (program, ..) in filters() {
            assert!(program.len() <= 4096);
            for (at, word) in program.iter().enumerate() {
                let (code, jt, jf, k) = (*word as u16, (word >> 16) as u8, (word >> 24) as u8, (word >> 32) as u32);
                let far = match code {
                    JUMP => k as usize,
                    JUMP_EQUAL | JUMP_GREATER_EQUAL | JUMP_SET => usize::from(jt.max(jf)),
                    _ => continue,
                };
                assert!(at + 1 + far < program.len(), "instruction {at}");
            }
            assert_eq!(program.last().map(|word| *word as u16), Some(RETURN));
        }
    }

    #[test]
    fn the_filter_stays_small() {
        // What the kernel compiles for every room: about 0.3 microseconds an instruction.
        assert!(assemble(&ON_X86_64, SetId::Record, Group::Own).len() < 230);
    }

    #[test]
    fn every_number_of_every_table_is_judged_as_listed() {
        for (program, tables, setid, group) in filters() {
            for table in tables {
                let judged = |number: u32| {
                    let ban = setid == SetId::Ban;
                    let by_mode = table.modes.iter().chain(table.opens).any(|(listed, _)| *listed == number);
                    let special = [table.clone, table.unshare, table.ioctl];
                    let of_groups = [table.kill, table.setpriority, table.ioprio_set];
                    (group != Group::Own && of_groups.contains(&number))
                        || special.contains(&number)
                        || table.sockets.contains(&number)
                        || table.socketcall == Some(number)
                        || (ban && by_mode)
                };
                for number in (0..600).filter(|number| !judged(*number)) {
                    let ban = setid == SetId::Ban;
                    let found = [
                        (table.absent.contains(&number), errno(libc::ENOSYS)),
                        (table.forbidden.contains(&number), errno(libc::EPERM)),
                        (ban && HIDE_MODES.contains(&number), errno(libc::ENOSYS)),
                        (ban && table.attributes.contains(&number), errno(libc::ENOTSUP)),
                    ];
                    let listed: Vec<_> = found.iter().filter(|(listed, _)| *listed).collect();
                    assert!(listed.len() < 2, "{number} is listed twice");
                    let expected = listed.first().map_or(ALLOW, |(_, verdict)| *verdict);
                    assert_eq!(verdict(&program, table.arch, number, NONE), expected, "{number} of {:#x}", table.arch);
                }
            }
        }
    }

    #[test]
    fn arguments_are_judged_on_every_machine() {
        for (program, tables, ..) in filters() {
            for table in tables {
                let judge = |number, args| verdict(&program, table.arch, number, args);
                let first = |value: u64| [value, 0, 0, 0, 0, 0];
                assert_eq!(judge(table.clone, first(libc::SIGCHLD as u64)), ALLOW);
                assert_eq!(judge(table.unshare, first(libc::CLONE_FILES as u64)), ALLOW);
                for flag in [
                    libc::CLONE_NEWUSER,
                    libc::CLONE_NEWNS,
                    libc::CLONE_NEWPID,
                    libc::CLONE_NEWNET,
                    libc::CLONE_NEWIPC,
                    libc::CLONE_NEWUTS,
                    libc::CLONE_NEWCGROUP,
                ] {
                    assert_eq!(judge(table.clone, first(flag as u64)), errno(libc::EPERM), "{flag:#x}");
                    assert_eq!(judge(table.unshare, first(flag as u64)), errno(libc::EPERM), "{flag:#x}");
                }
                assert_eq!(judge(table.unshare, first(0x80)), errno(libc::EPERM), "a time namespace");
                for family in 0..60i32 {
                    let ordinary = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK].contains(&family);
                    let expected = if ordinary { ALLOW } else { errno(libc::EAFNOSUPPORT) };
                    for number in table.sockets {
                        assert_eq!(judge(number, first(family as u64)), expected, "{family} by {number}");
                    }
                }
                assert_eq!(judge(table.ioctl, [0, 0x5401, 0, 0, 0, 0]), ALLOW);
                for request in [0x5412, 0x541c, 0x5423, 0x1_0000_5412] {
                    let verdict = judge(table.ioctl, [0, request, 0, 0, 0, 0]);
                    assert_eq!(verdict, errno(libc::EPERM), "the kernel reads 32 bits of {request:#x}");
                }
            }
        }
    }

    #[test]
    fn setid_bits_are_refused_only_where_they_are_banned() {
        for (program, tables, setid, _) in filters() {
            for table in tables {
                let refused =
                    |verdict| if setid == SetId::Ban { verdict == errno(libc::EPERM) } else { verdict == ALLOW };
                let at = |index: u32, value: u64| {
                    let mut args = NONE;
                    args[index as usize] = value;
                    args
                };
                for (number, index) in table.modes {
                    for mode in [0o4755, 0o2755, 0o6000] {
                        assert!(refused(verdict(&program, table.arch, *number, at(*index, mode))), "{number}");
                    }
                    assert_eq!(verdict(&program, table.arch, *number, at(*index, 0o1777)), ALLOW);
                }
                for (number, flags) in table.opens {
                    let with = |flag: u64| {
                        let mut args = at(*flags, flag);
                        args[*flags as usize + 1] = 0o4755;
                        verdict(&program, table.arch, *number, args)
                    };
                    assert!(refused(with(0o100)) && refused(with(0o20_000_000)), "{number}");
                    assert_eq!(with(0o2), ALLOW, "without O_CREAT the mode is not read");
                }
            }
        }
    }

    #[test]
    fn a_group_that_is_the_callers_has_no_name() {
        for (program, tables, _, group) in filters() {
            for table in tables {
                let denied = |number, first: u64, second: u64| {
                    verdict(&program, table.arch, number, [first, second, 9, 0, 0, 0]) != ALLOW
                };
                // A process number has 32 bits, whatever is above them.
                for zero in [0, 1 << 32] {
                    assert_eq!(denied(table.kill, zero, 9), group == Group::Shared, "{group:?}");
                    assert_eq!(denied(table.setpriority, 1, zero), group != Group::Own, "{group:?}");
                    assert_eq!(denied(table.ioprio_set, 2, zero), group != Group::Own, "{group:?}");
                }
                // A process, everybody in the room, a group of the room's own, oneself.
                for number in [2, -1i64 as u64, -2i64 as u64] {
                    assert!(!denied(table.kill, number, 9));
                }
                assert!(!denied(table.setpriority, 0, 0) && !denied(table.setpriority, 1, 2));
                assert!(!denied(table.ioprio_set, 1, 0) && !denied(table.ioprio_set, 2, 2));
            }
        }
    }

    #[test]
    fn other_tables_get_no_way_around() {
        let (x86, arm) =
            (assemble(&ON_X86_64, SetId::Record, Group::Own), assemble(&ON_AARCH64, SetId::Record, Group::Own));
        assert_eq!(verdict(&x86, X86_64.arch, 0x4000_0000 | 165, NONE), errno(libc::ENOSYS), "x32");
        assert_eq!(verdict(&x86, I386.arch, 21, NONE), errno(libc::EPERM), "i386 mount");
        assert_eq!(verdict(&x86, I386.arch, 3, NONE), ALLOW, "i386 read");
        for (number, name) in [(1, "socket"), (8, "socketpair")] {
            let found = verdict(&x86, I386.arch, 102, [number, 0, 0, 0, 0, 0]);
            assert_eq!(found, errno(libc::ENOSYS), "i386 socketcall({name})");
        }
        assert_eq!(verdict(&x86, I386.arch, 102, [3, 0, 0, 0, 0, 0]), ALLOW, "i386 socketcall(connect)");
        assert_eq!(verdict(&x86, AARCH64.arch, 0, NONE), errno(libc::ENOSYS), "another machine");
        assert_eq!(verdict(&arm, X86_64.arch, 0, NONE), errno(libc::ENOSYS), "another machine");
        assert_eq!(verdict(&arm, ARM.arch, 21, NONE), errno(libc::EPERM), "arm mount");
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_numbers_are_those_of_the_c_library() {
        let program = assemble(&ON_X86_64, SetId::Record, Group::Own);
        let judge = |number: i64| verdict(&program, X86_64.arch, number as u32, NONE);
        for call in [libc::SYS_io_uring_setup, libc::SYS_keyctl, libc::SYS_clone3, libc::SYS_userfaultfd] {
            assert_eq!(judge(call), errno(libc::ENOSYS), "call {call}");
        }
        for call in [libc::SYS_mount, libc::SYS_bpf, libc::SYS_setns, libc::SYS_finit_module, libc::SYS_fsopen] {
            assert_eq!(judge(call), errno(libc::EPERM), "call {call}");
        }
        let shared = assemble(&ON_X86_64, SetId::Record, Group::Shared);
        for (call, kind) in [(libc::SYS_kill, 0), (libc::SYS_setpriority, 1), (libc::SYS_ioprio_set, 2)] {
            let judged = verdict(&shared, X86_64.arch, call as u32, [kind, 0, 0, 0, 0, 0]);
            assert_eq!(judged, errno(libc::EPERM), "call {call}");
        }
        for call in [libc::SYS_read, libc::SYS_ptrace, libc::SYS_personality, libc::SYS_seccomp] {
            assert_eq!(judge(call), ALLOW, "call {call}");
        }
    }
}
