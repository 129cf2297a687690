//! Looking at what runs in a room, and asking it to end, from outside.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Tasks, memory and open files of all processes but the init.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub tasks: u64,
    /// Bytes that no file on a disk holds, too. What processes share by a fork is counted for each; what they share otherwise and
    /// what memory files hold counts as the larger of both, since most of it is the same.
    pub memory: u64,
    /// Bytes that the largest process had at most.
    pub peak: u64,
    /// Of the process that has most.
    pub open_files: u64,
}

/// Looks at all descendants of `init`. Processes come and go meanwhile, so the result is approximate.
pub(crate) fn take(init: Option<Pid>) -> Census {
    let mut census = Census::default();
    let Some(init) = init else { return census };
    let (mut private, mut shared, mut files) = (0, 0, MemoryFiles::default());
    for pid in descendants(init.as_raw_nonzero().get()) {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        census.tasks += number(&status, "Threads:");
        census.peak = census.peak.max(number(&status, "VmHWM:") * 1024);
        private += number(&status, "RssAnon:") * 1024;
        shared += number(&status, "RssShmem:") * 1024;
        census.open_files = census.open_files.max(files.look(pid));
    }
    census.memory = private + files.bytes.max(shared);
    census
}

/// The number in the line of `/proc/PID/status` that begins with `name`.
fn number(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.split_ascii_whitespace().next()?.parse().ok());
    value.unwrap_or(0)
}

/// Files without a place (`memfd_create`) that are open in the room: memory of nobody.
#[derive(Default)]
struct MemoryFiles {
    seen: BTreeSet<u64>,
    bytes: u64,
}

impl MemoryFiles {
    /// Looks at those of a process; returns how many files it has open.
    fn look(&mut self, pid: i32) -> u64 {
        let mut count = 0;
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            count += 1;
            let path = entry.path();
            let is_memory =
                std::fs::read_link(&path).is_ok_and(|link| link.as_os_str().as_encoded_bytes().starts_with(b"/memfd:"));
            if !is_memory {
                continue;
            }
            if let Ok(found) = std::fs::metadata(&path)
                && self.seen.insert(found.ino())
            {
                self.bytes += found.blocks() * 512;
            }
        }
        count
    }
}

/// What the processes of a room have used that is about to be ended: nobody will reap them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Remains {
    /// Processor time, of those they waited for, too.
    pub user: Duration,
    pub system: Duration,
    /// Bytes that the largest had at most.
    pub peak: u64,
}

impl Remains {
    /// Of all descendants of `init`.
    pub(crate) fn of(init: i32) -> Self {
        let mut remains = Self::default();
        let second = rustix::param::clock_ticks_per_second().max(1);
        for pid in descendants(init) {
            let stat = fields(pid);
            let time = |own: usize| {
                let field = |place: usize| stat.get(place).and_then(|field| field.parse().ok()).unwrap_or(0u64);
                Duration::from_millis((field(own) + field(own + 2)).saturating_mul(1000) / second)
            };
            remains.user += time(11);
            remains.system += time(12);
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            remains.peak = remains.peak.max(number(&status, "VmHWM:") * 1024);
        }
        remains
    }
}

/// The fields of `/proc/PID/stat` from the state on. The name before it, in parentheses, may hold anything.
fn fields(pid: i32) -> Vec<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    rest.split_ascii_whitespace().map(str::to_owned).collect()
}

/// All processes that come from this one.
pub(crate) fn descendants(pid: i32) -> impl Iterator<Item = i32> {
    let mut pending = children(pid);
    std::iter::from_fn(move || {
        let next = pending.pop()?;
        pending.extend(children(next));
        Some(next)
    })
}

/// Asks all descendants of `init` to end, those that are stopped too.
pub(crate) fn ask_to_end(init: Option<Pid>) {
    let Some(init) = init.map(|pid| pid.as_raw_nonzero().get()) else { return };
    for pid in descendants(init) {
        let Some(process) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
            continue;
        };
        // The number may have become somebody else's before it was opened; what is open now stays what it is.
        if descends(pid, init) {
            let _ = pidfd_send_signal(&process, Signal::TERM);
            let _ = pidfd_send_signal(&process, Signal::CONT);
        }
    }
}

fn descends(mut pid: i32, ancestor: i32) -> bool {
    // Parents may change meanwhile, but only to the ancestor: no chain is longer than the processes there are.
    for _ in 0..1 << 22 {
        if pid == ancestor {
            return true;
        }
        match parent(pid) {
            Some(next) if next > 0 => pid = next,
            _ => return false,
        }
    }
    false
}

fn parent(pid: i32) -> Option<i32> {
    fields(pid).get(1)?.parse().ok()
}

fn tasks(pid: i32) -> Vec<i32> {
    let Ok(dir) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    dir.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn children(pid: i32) -> Vec<i32> {
    let lists = tasks(pid)
        .into_iter()
        .filter_map(|task| std::fs::read_to_string(format!("/proc/{pid}/task/{task}/children")).ok());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<_>>())
        .collect()
}
