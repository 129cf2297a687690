//! How much a room takes on the disk, where it writes into folders of the caller.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};

use crate::changes::wide;
use crate::{Access, Error, Mount, Room, Root, Upper, census};

/// What an entry takes besides its content: many empty files fill a disk, too.
const ENTRY: u64 = 1024;
/// Of the time between two looks, a look may take one part in so many.
const SHARE: u32 = 20;
/// Between two looks at least, and at most: what takes long to look at may be made so.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Of so many folders in folders one stays open, so that the way to those in it is short.
const STRIDE: usize = 256;
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The folders of the caller that a room writes into, and by how much they may grow.
#[derive(Debug)]
pub(crate) struct Disk {
    tops: Vec<Top>,
    most: u64,
    before: u64,
    /// When to look again; a look at a large tree takes its time.
    next: Instant,
}

#[derive(Debug)]
struct Top {
    fd: OwnedFd,
    device: u64,
    /// Bytes that were free in its file system when the room began.
    free: u64,
}

/// What a look found.
#[derive(Debug, Default)]
struct Found {
    bytes: u64,
    /// Whether there were folders that the caller may not read.
    shut: bool,
}

impl Disk {
    /// The folders of `room`, where their growth has a bound.
    pub(crate) fn of(room: &Room) -> Result<Option<Self>, Error> {
        let Some(most) = room.limits.disk else { return Ok(None) };
        let tops = written(room).into_iter().map(Top::open).collect::<Result<Vec<_>, _>>()?;
        let mut disk = Self { tops, most: u64::MAX, before: 0, next: Instant::now() + PAUSE };
        disk.before = disk.taken();
        disk.most = most;
        Ok(Some(disk))
    }

    /// Whether they have grown by more than they may, as far as can be said now. `init` is the room's, while it runs.
    pub(crate) fn is_over(&mut self, init: Option<i32>) -> bool {
        let begin = Instant::now();
        if init.is_some() && begin < self.next {
            return false;
        }
        let nameless = init.map_or(0, |init| self.nameless(init));
        let over = self.taken().saturating_add(nameless) > self.bound();
        self.next = Instant::now() + begin.elapsed().saturating_mul(SHARE).clamp(PAUSE, LONGEST_PAUSE);
        over
    }

    fn bound(&self) -> u64 {
        self.before.saturating_add(self.most)
    }

    /// Bytes that they take together; no more is counted than is needed to know that it is too much.
    fn taken(&self) -> u64 {
        let mut found = Found::default();
        for top in &self.tops {
            top.count(self.bound(), &mut found);
        }
        if !found.shut {
            return found.bytes;
        }
        // What cannot be seen is taken from the same file systems, as others may be.
        let mut devices = BTreeSet::new();
        let grown = |top: &Top| top.free.saturating_sub(free(&top.fd));
        let growth: u64 = self.tops.iter().filter(|top| devices.insert(top.device)).map(grown).sum();
        found.bytes.max(self.before.saturating_add(growth))
    }

    /// What files take that have no name any more, but are open in the room.
    fn nameless(&self, init: i32) -> u64 {
        let mut seen = BTreeSet::new();
        let mut bytes = 0u64;
        for pid in census::descendants(init) {
            for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
                let path = entry.path();
                let Ok(stat) = rustix::fs::statat(CWD, &path, AtFlags::empty()) else { continue };
                let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
                if is_file && stat.st_nlink == 0 && seen.insert((stat.st_dev, stat.st_ino)) && self.holds(&stat, &path)
                {
                    bytes = bytes.saturating_add(stat.st_blocks.unsigned_abs().saturating_mul(512));
                }
            }
        }
        bytes
    }

    /// Whether an open file is in one of them: the room's own file systems in memory have bounds of their own. An overlay, over an
    /// upper folder, has another device.
    fn holds(&self, stat: &Stat, path: &Path) -> bool {
        let is_overlay = || rustix::fs::statfs(path).is_ok_and(|found| found.f_type == libc::OVERLAYFS_SUPER_MAGIC);
        self.tops.iter().any(|top| top.device == stat.st_dev) || is_overlay()
    }
}

/// Folders and files of the caller that the room can change.
fn written(room: &Room) -> Vec<&Path> {
    let root = match &room.root {
        Root::Overlay { upper: Upper::Dir { upper, .. }, .. } => Some(upper.as_path()),
        Root::Dir { path, access: Access::Rw | Access::Devices, .. } => Some(path.as_path()),
        _ => None,
    };
    let binds = room.mounts.iter().filter_map(|mount| match mount {
        Mount::Bind { source, access: Access::Rw | Access::Devices, .. } => Some(source.as_path()),
        _ => None,
    });
    root.into_iter().chain(binds).collect()
}

impl Top {
    fn open(path: &Path) -> Result<Self, Error> {
        let open = || {
            let fd = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            let device = rustix::fs::fstat(&fd)?.st_dev;
            let free = free(&fd);
            Ok(Self { fd, device, free })
        };
        open().map_err(|errno: rustix::io::Errno| {
            Error::start(format!("opening {}", path.display()), errno.raw_os_error())
        })
    }

    /// Adds what is in it, until there is more than `most`.
    fn count(&self, most: u64, found: &mut Found) {
        let Ok(stat) = rustix::fs::fstat(&self.fd) else { return };
        found.bytes = found.bytes.saturating_add(size(&stat));
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return;
        }
        let (mut way, mut pending) = (Way::default(), vec![(0, None)]);
        while let Some((depth, name)) = pending.pop() {
            let folder = match way.open(&self.fd, depth, name) {
                Ok(folder) => folder,
                Err(errno) => {
                    found.shut |= errno == rustix::io::Errno::ACCESS;
                    continue;
                }
            };
            if self.folder(&folder, way.names.len(), &mut pending, most, found) {
                return;
            }
        }
    }

    /// Adds the entries of one folder and notes those to be looked into; says whether it is enough.
    fn folder(
        &self,
        folder: &OwnedFd,
        depth: usize,
        pending: &mut Vec<(usize, Option<CString>)>,
        most: u64,
        found: &mut Found,
    ) -> bool {
        let Ok(entries) = Dir::read_from(folder) else { return false };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            // What is gone by now takes nothing.
            let Ok(stat) = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            found.bytes = found.bytes.saturating_add(size(&stat));
            if found.bytes > most {
                return true;
            }
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory && stat.st_dev == self.device {
                pending.push((depth, Some(name.to_owned())));
            }
        }
        false
    }
}

/// The way from a top to a folder, which may be longer than a path can be. Nothing on it is followed.
#[derive(Default)]
struct Way {
    names: Vec<CString>,
    /// Every so many folders one that is open.
    marks: Vec<OwnedFd>,
}

impl Way {
    /// Opens `name` in the folder that is `depth` names deep on the way.
    fn open(&mut self, top: &OwnedFd, depth: usize, name: Option<CString>) -> Result<OwnedFd, rustix::io::Errno> {
        self.names.truncate(depth);
        self.names.extend(name);
        self.marks.truncate(depth / STRIDE);
        let begin = self.marks.len() * STRIDE;
        let mut folder = rustix::fs::openat(self.marks.last().unwrap_or(top), c".", FOLDER, Mode::empty())?;
        for (index, name) in self.names.iter().enumerate().skip(begin) {
            folder = rustix::fs::openat(&folder, name.as_c_str(), FOLDER, Mode::empty())?;
            if (index + 1) % STRIDE == 0 {
                self.marks.push(rustix::io::fcntl_dupfd_cloexec(&folder, 0)?);
            }
        }
        Ok(folder)
    }
}

/// What an entry takes; a file of many names takes a part for each.
fn size(stat: &Stat) -> u64 {
    let links = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory { 1 } else { wide(stat.st_nlink) };
    (stat.st_blocks.unsigned_abs().saturating_mul(512) / links.max(1)).saturating_add(ENTRY)
}

fn free(fd: &OwnedFd) -> u64 {
    rustix::fs::fstatvfs(fd).map_or(0, |found| found.f_bfree.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_folder_is_shut_the_whole_disk_is_looked_at() {
        let dir = tempfile::TempDir::new().unwrap();
        let shut = dir.path().join("shut");
        rustix::fs::mkdir(&shut, 0o000.into()).unwrap();
        let mut top = Top::open(dir.path()).unwrap();
        // As if all of it had been free before.
        top.free = u64::MAX;
        let mut disk = Disk { tops: vec![top], most: 1 << 20, before: 0, next: Instant::now() };
        // Nothing is shut to root.
        assert_eq!(disk.is_over(None), !rustix::process::geteuid().is_root());
        rustix::fs::chmod(&shut, 0o700.into()).unwrap();
        assert!(!disk.is_over(None));
    }

    #[test]
    fn a_tree_is_counted_however_deep_it_is() {
        let dir = tempfile::TempDir::new().unwrap();
        let top = Top::open(dir.path()).unwrap();
        let mut folder = rustix::fs::open(dir.path(), FOLDER, Mode::empty()).unwrap();
        for _ in 0..700 {
            for name in [c"a-folder-with-a-name", c"beside"] {
                rustix::fs::mkdirat(&folder, name, 0o755.into()).unwrap();
            }
            folder = rustix::fs::openat(&folder, c"a-folder-with-a-name", FOLDER, Mode::empty()).unwrap();
        }
        let flags = OFlags::WRONLY | OFlags::CREATE;
        let file = rustix::fs::openat(&folder, c"file", flags, 0o644.into()).unwrap();
        rustix::io::write(&file, &[1; 8192]).unwrap();
        rustix::fs::fsync(&file).unwrap();
        let mut found = Found::default();
        top.count(u64::MAX, &mut found);
        let content = rustix::fs::fstat(&file).unwrap().st_blocks.unsigned_abs() * 512;
        let folders = found.bytes - 1402 * ENTRY - content;
        // Each of the folders takes as much as any other, on whatever file system.
        assert_eq!((folders % 1401, found.shut), (0, false));
        let mut enough = Found::default();
        top.count(2000, &mut enough);
        assert!(enough.bytes > 2000 && enough.bytes < found.bytes);
    }
}
