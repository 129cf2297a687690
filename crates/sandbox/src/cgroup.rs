//! Control groups: exact limits on memory and processes, where the caller may make groups.
//!
//! Both layouts are known: one tree for all controllers (version 2), and a tree for each (version 1). A group is made beside or
//! below the caller's own, never elsewhere, and removed after the room.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::plan::c_string;
use crate::sys::sweeper::{Kind, Leftover, Sweeper};
use crate::{Error, Limit, Limits};

/// How the names of groups begin; the caller's process id, its start time and a number follow.
const PREFIX: &str = "room";

/// How often the removal of a group is tried: the last process may take a moment to leave it.
const TRIES: usize = 10_000;

/// The group of a room, in one or two trees.
#[derive(Debug)]
pub(crate) struct Group {
    branches: Vec<Branch>,
    /// Removes them in place of a caller that was killed.
    sweeper: Sweeper,
}

/// A group in one tree.
#[derive(Debug)]
struct Branch {
    path: PathBuf,
    /// Opened by the caller, whose right to move processes counts.
    procs: OwnedFd,
    unified: bool,
    /// What it counts.
    controllers: Vec<Controller>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Controller {
    Memory,
    Pids,
}

impl Controller {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }

    fn limit(self) -> Limit {
        match self {
            Self::Memory => Limit::Memory,
            Self::Pids => Limit::Processes,
        }
    }

    /// Files to write, and whether one may be missing.
    fn settings(self, most: u64, unified: bool) -> Vec<(&'static str, u64, bool)> {
        match (self, unified) {
            (Self::Pids, _) => vec![("pids.max", most, false)],
            (Self::Memory, true) => {
                vec![("memory.max", most, false), ("memory.swap.max", 0, true), ("memory.oom.group", 1, true)]
            }
            (Self::Memory, false) => {
                vec![("memory.limit_in_bytes", most, false), ("memory.memsw.limit_in_bytes", most, true)]
            }
        }
    }

    /// The file and the word in it that count how often the limit was met.
    fn counter(self, unified: bool) -> (&'static str, &'static str) {
        match (self, unified) {
            (Self::Pids, _) => ("pids.events", "max"),
            (Self::Memory, true) => ("memory.events", "oom_kill"),
            (Self::Memory, false) => ("memory.oom_control", "oom_kill"),
        }
    }
}

/// A tree of groups, and where the caller is in it.
struct Tree {
    own: PathBuf,
    top: PathBuf,
    unified: bool,
}

impl Group {
    /// A group with these limits; none where there is nothing to limit or the caller may not make one.
    pub(crate) fn make(limits: &Limits) -> Result<Option<Self>, Error> {
        // The init is a process, too.
        let pids = limits.processes.map(|most| (Controller::Pids, most.saturating_add(1)));
        let wanted: Vec<_> = pids.into_iter().chain(limits.memory.map(|most| (Controller::Memory, most))).collect();
        let places = if wanted.is_empty() { Vec::new() } else { places(&wanted) };
        let Some(name) = (!places.is_empty()).then(name).flatten() else { return Ok(None) };
        let leftovers = places.iter().map(|place| place.leftover(&name)).collect::<Result<Vec<_>, _>>()?;
        // Before there is anything, so that there is no moment to be killed at.
        let sweeper = Sweeper::start(&leftovers)?;
        let branches: Vec<_> = places.into_iter().filter_map(|place| place.branch(&name)).collect();
        Ok((!branches.is_empty()).then_some(Self { branches, sweeper }))
    }

    /// Where a process writes that wants to be in it.
    pub(crate) fn doors(&self) -> Vec<RawFd> {
        self.branches.iter().map(|branch| branch.procs.as_raw_fd()).collect()
    }

    /// What the room must hold, so that it is not removed from under it.
    pub(crate) fn held(&self) -> RawFd {
        self.sweeper.held()
    }

    /// Whether it has this limit.
    pub(crate) fn has(&self, limit: Limit) -> bool {
        self.branches.iter().flat_map(|branch| &branch.controllers).any(|controller| controller.limit() == limit)
    }

    /// The limit that was met, if one was.
    pub(crate) fn reached(&self) -> Option<Limit> {
        self.branches.iter().find_map(|branch| {
            let met = |controller: &&Controller| {
                let (file, word) = controller.counter(branch.unified);
                std::fs::read_to_string(branch.path.join(file)).is_ok_and(|text| count(&text, word) > 0)
            };
            branch.controllers.iter().find(met).map(|controller| controller.limit())
        })
    }
}

impl Drop for Branch {
    fn drop(&mut self) {
        for _ in 0..TRIES {
            match rustix::fs::unlinkat(CWD, &self.path, AtFlags::REMOVEDIR) {
                Err(Errno::BUSY) => std::thread::yield_now(),
                _ => break,
            }
        }
    }
}

/// The number after `word` in lines of words and numbers.
fn count(text: &str, word: &str) -> u64 {
    let number = |line: &str| line.strip_prefix(word)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(number).unwrap_or(0)
}

/// Where a group can be made, and what it would limit.
struct Place {
    parent: PathBuf,
    unified: bool,
    wanted: Vec<(Controller, u64)>,
}

/// Where groups for these limits can be made: one for all, or one for each.
fn places(wanted: &[(Controller, u64)]) -> Vec<Place> {
    let Ok(own) = std::fs::read_to_string("/proc/self/cgroup") else { return Vec::new() };
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else { return Vec::new() };
    if let Some(place) = unified(&own, &mounts).and_then(|tree| tree.place(wanted)) {
        return vec![place];
    }
    let each = |wanted: &(Controller, u64)| separate(&own, &mounts, wanted.0)?.place(std::slice::from_ref(wanted));
    wanted.iter().filter_map(each).collect()
}

impl Tree {
    fn place(&self, wanted: &[(Controller, u64)]) -> Option<Place> {
        let parents = [Some(self.own.as_path()), self.own.parent().filter(|_| self.unified && self.own != self.top)];
        let parent =
            parents.into_iter().flatten().find(|parent| self.is_shared_out(parent, wanted) && may_write(parent))?;
        sweep(parent);
        Some(Place { parent: parent.to_owned(), unified: self.unified, wanted: wanted.to_vec() })
    }

    /// Whether groups below `parent` have the controllers.
    fn is_shared_out(&self, parent: &Path, wanted: &[(Controller, u64)]) -> bool {
        if !self.unified {
            return true;
        }
        let text = std::fs::read_to_string(parent.join("cgroup.subtree_control")).unwrap_or_default();
        wanted.iter().all(|(controller, _)| text.split_ascii_whitespace().any(|name| name == controller.name()))
    }
}

fn may_write(folder: &Path) -> bool {
    rustix::fs::accessat(CWD, folder, rustix::fs::Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

impl Place {
    fn leftover(&self, name: &str) -> Result<Leftover, Error> {
        let base = crate::sys::mountpoint::open_root(&self.parent).map_err(|errno| {
            Error::start(format!("opening the control group {}", self.parent.display()), errno.raw_os_error())
        })?;
        Ok(Leftover { base: Arc::new(base), way: c".".to_owned(), name: c_string(name)?, kind: Kind::Folder })
    }

    /// Makes a group; none where the kernel refuses it.
    fn branch(self, name: &str) -> Option<Branch> {
        let Self { parent, unified, wanted } = self;
        let path = parent.join(name);
        rustix::fs::mkdirat(CWD, &path, Mode::from_raw_mode(0o755)).ok()?;
        let controllers = wanted.iter().map(|(controller, _)| *controller).collect();
        let Some(procs) = open(&path.join("cgroup.procs")) else {
            let _ = rustix::fs::unlinkat(CWD, &path, AtFlags::REMOVEDIR);
            return None;
        };
        // From here on its end removes it.
        let branch = Branch { path, procs, unified, controllers };
        let settings = wanted.iter().flat_map(|(controller, most)| controller.settings(*most, unified));
        for (file, value, may_be_missing) in settings {
            let set = open(&branch.path.join(file)).map(|file| rustix::io::write(file, value.to_string().as_bytes()));
            if !matches!(set, Some(Ok(_))) && !may_be_missing {
                return None;
            }
        }
        Some(branch)
    }
}

/// A name that no other room's group has.
fn name() -> Option<String> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let pid = std::process::id();
    Some(format!("{PREFIX}-{pid}-{}-{number}", start_time(pid)?))
}

fn open(path: &Path) -> Option<OwnedFd> {
    rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// When a process began, in the kernel's ticks: with its number it names it for good.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Removes groups of callers that were killed together with the process that was to remove them.
fn sweep(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let mut parts = name.to_str().unwrap_or_default().split('-');
        let maker =
            (parts.next() == Some(PREFIX)).then(|| Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?)));
        if let Some(Some((pid, start))) = maker
            && start_time(pid) != Some(start)
        {
            let _ = rustix::fs::unlinkat(CWD, entry.path(), AtFlags::REMOVEDIR);
        }
    }
}

/// The tree of all controllers.
fn unified(own: &str, mounts: &str) -> Option<Tree> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    tree(own, mounts, |kind, _| kind == "cgroup2", true)
}

/// The tree of one controller.
fn separate(own: &str, mounts: &str, controller: Controller) -> Option<Tree> {
    let own = own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == controller.name()).then_some(path)
    })?;
    let has = |kind: &str, options: &str| kind == "cgroup" && options.split(',').any(|name| name == controller.name());
    tree(own, mounts, has, false)
}

/// Where the group `own` is shown, by the lines of `/proc/self/mountinfo`.
fn tree(own: &str, mounts: &str, is_it: impl Fn(&str, &str) -> bool, unified: bool) -> Option<Tree> {
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut kind = kind.split(' ');
        let (kind, options) = (kind.next()?, kind.nth(1)?);
        let mut place = place.split(' ').skip(3);
        let (root, top) = (place.next()?, PathBuf::from(place.next()?));
        let below = Path::new(own).strip_prefix(root).ok()?;
        is_it(kind, options).then(|| Tree { own: top.join(below), top: top.clone(), unified })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_group_is_found_in_either_layout() {
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            35 31 0:32 /box /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            36 31 0:33 / /sys/fs/cgroup/cpu,pids rw,relatime shared:3 - cgroup cgroup rw,cpu,pids\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let own = "8:cpu,pids:/a\n4:memory:/box/b/c\n0::/user.slice/x.scope\n";
        let place = |tree: Option<Tree>| tree.map(|tree| tree.own.display().to_string());
        assert_eq!(place(unified(own, mounts)).as_deref(), Some("/sys/fs/cgroup/unified/user.slice/x.scope"));
        assert_eq!(place(separate(own, mounts, Controller::Memory)).as_deref(), Some("/sys/fs/cgroup/memory/b/c"));
        assert_eq!(place(separate(own, mounts, Controller::Pids)).as_deref(), Some("/sys/fs/cgroup/cpu,pids/a"));
        assert_eq!(place(separate("", mounts, Controller::Pids)), None);
        assert_eq!(place(unified(own, "garbage\n1 2 - x\n")), None);
    }

    #[test]
    fn counters_are_read_by_their_whole_word() {
        let text = "low 7\noom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!((count(text, "oom_kill"), count(text, "oom"), count(text, "max")), (2, 3, 0));
    }

    #[test]
    fn a_tree_of_all_controllers_is_set_as_its_documents_say() {
        let dir = tempfile::TempDir::new().unwrap();
        let tree = Tree { own: dir.path().to_owned(), top: dir.path().to_owned(), unified: true };
        let wanted = [(Controller::Pids, 5), (Controller::Memory, 6)];
        assert!(!tree.is_shared_out(dir.path(), &wanted));
        for controller in [Controller::Pids, Controller::Memory] {
            assert!(controller.settings(5, true).iter().all(|(file, ..)| file.starts_with(controller.name())));
            assert!(controller.counter(true).0.ends_with(".events"));
        }
    }
}
