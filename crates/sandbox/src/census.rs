//! Looking at what runs in a room, and asking it to end, from outside.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Tasks, resident memory and open files of all processes but the init.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub tasks: u64,
    /// Bytes; memory that processes share is counted for each.
    pub resident: u64,
    /// Of the process that has most.
    pub open_files: u64,
}

/// Looks at all descendants of `init`. Processes come and go meanwhile, so the result is approximate.
pub(crate) fn take(init: Option<Pid>) -> Census {
    let mut census = Census::default();
    let Some(init) = init else { return census };
    for pid in descendants(init.as_raw_nonzero().get()) {
        census.tasks += tasks(pid).len() as u64;
        census.resident += resident(pid);
        census.open_files = census.open_files.max(open_files(pid));
    }
    census
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
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    stat.rsplit_once(") ")?.1.split_ascii_whitespace().nth(1)?.parse().ok()
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

fn open_files(pid: i32) -> u64 {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64)
}

fn resident(pid: i32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages: u64 = statm.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages.saturating_mul(rustix::param::page_size() as u64)
}
