//! Counting what runs in a room, from outside.

use rustix::process::Pid;

/// Tasks and resident memory of all processes but the init.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub tasks: u64,
    /// Bytes; memory that processes share is counted for each.
    pub resident: u64,
}

/// Looks at all descendants of `init`. Processes come and go meanwhile, so the result is approximate.
pub(crate) fn take(init: Option<Pid>) -> Census {
    let mut census = Census::default();
    let Some(init) = init else { return census };
    let mut pending = children(init.as_raw_nonzero().get());
    while let Some(pid) = pending.pop() {
        pending.extend(children(pid));
        census.tasks += tasks(pid).len() as u64;
        census.resident += resident(pid);
    }
    census
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

fn resident(pid: i32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages: u64 = statm.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages.saturating_mul(rustix::param::page_size() as u64)
}
