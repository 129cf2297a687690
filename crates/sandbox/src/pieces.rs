//! A read-only root that lacks mount points and has other file systems mounted in it.
//!
//! An overlay could be given the mount points, but shows nothing of what is mounted in its layers, and for an ordinary user the kernel
//! refuses it. So the room gets an empty root with everything in its place that the other has, one mount for each entry.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::plan::{Caller, missing};
use crate::sys::mountpoint::{inside, open_root};
use crate::{Access, Mount, Owner, Room, Root};

/// More mounts than this are not made for a root; each takes an open file.
const MOST: usize = 400;

/// The room with a root in pieces, where that is needed.
pub(crate) fn pieced(room: &Room, caller: &Caller) -> Option<Room> {
    let Root::Dir { path, access: Access::Ro, owner } = &room.root else { return None };
    if matches!((caller, owner), (Caller::Root { idmap: Some(_) }, Owner::Caller)) {
        // What is mounted there does not show in any case.
        return None;
    }
    let top = open_root(path).ok()?;
    let missing = missing(room, &top);
    let whole = inside(&top, Path::new("/"))?;
    if missing.is_empty() || !has_mounts(&std::fs::read("/proc/self/mountinfo").ok()?, &whole) {
        return None;
    }
    let folder_of = |(target, _): (PathBuf, _)| {
        target
            .ancestors()
            .skip(1)
            .find_map(|folder| inside(&top, folder)?.strip_prefix(&whole).ok().map(Path::to_owned))
    };
    let opened: Vec<PathBuf> = missing.into_iter().filter_map(folder_of).collect();
    let is_root = matches!(caller, Caller::Root { .. });
    let mut pieces = Pieces { room, whole: &whole, owner: *owner, opened, is_root, mounts: Vec::new() };
    pieces.take_apart(Path::new(""))?;
    let mut mounts = pieces.mounts;
    mounts.extend(room.mounts.iter().cloned());
    Some(Room { root: Root::Empty, mounts, ..room.clone() })
}

struct Pieces<'a> {
    room: &'a Room,
    /// The root's place on the host.
    whole: &'a Path,
    owner: Owner,
    /// Folders below it that get new entries.
    opened: Vec<PathBuf>,
    is_root: bool,
    mounts: Vec<Mount>,
}

impl Pieces<'_> {
    /// Adds what is in a folder of the root; `None` where that cannot be seen, or is too much.
    fn take_apart(&mut self, folder: &Path) -> Option<()> {
        if self.is_root && !is_roots(&std::fs::metadata(self.whole.join(folder)).ok()?) {
            return None;
        }
        for entry in std::fs::read_dir(self.whole.join(folder)).ok()? {
            let (entry, source) = entry.ok().map(|entry| (folder.join(entry.file_name()), entry.path()))?;
            let target = Path::new("/").join(&entry);
            if self.is_own(&target) {
                continue;
            }
            let Ok(found) = std::fs::symlink_metadata(&source) else { continue };
            if found.is_symlink() {
                self.mounts.push(Mount::Link { target, to: std::fs::read_link(&source).ok()? });
            } else if found.is_dir() && self.opened.iter().any(|opened| opened.starts_with(&entry)) {
                self.mounts.push(Mount::Folder { target, mode: found.permissions().mode() & 0o1777 });
                self.take_apart(&entry)?;
            } else {
                self.mounts.push(Mount::Bind { source, target, access: Access::Ro, owner: self.owner });
            }
            if self.mounts.len() > MOST {
                return None;
            }
        }
        Some(())
    }

    /// Whether the room has a file system of its own there.
    fn is_own(&self, target: &Path) -> bool {
        let Room { proc, dev, sys, tmp, .. } = self.room;
        let own = [("/proc", *proc), ("/dev", *dev), ("/sys", sys.is_some()), ("/tmp", tmp.is_some())];
        own.iter().any(|(path, there)| *there && target == Path::new(path))
    }
}

/// Whether nobody else than root can put another thing, such as a link to his files, where one was found.
fn is_roots(folder: &Metadata) -> bool {
    folder.uid() == 0 && folder.mode() & 0o022 == 0
}

/// Whether a table of mounts has one below this place.
fn has_mounts(table: &[u8], place: &Path) -> bool {
    table.split(|byte| *byte == b'\n').any(|line| {
        let point = line.split(|byte| *byte == b' ').nth(4).map(unescaped).unwrap_or_default();
        let point = Path::new(OsStr::from_bytes(&point));
        point != place && point.starts_with(place)
    })
}

/// A path of the table, in which some bytes stand as a backslash and three octal digits.
fn unescaped(word: &[u8]) -> Vec<u8> {
    let (mut path, mut rest) = (Vec::new(), word);
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                path.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => path.push(*first),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_may_write_is_not_roots() {
        let dir = tempfile::TempDir::new().unwrap();
        let found = |mode| {
            rustix::fs::chmod(dir.path(), rustix::fs::Mode::from_raw_mode(mode)).unwrap();
            is_roots(&std::fs::metadata(dir.path()).unwrap())
        };
        assert_eq!(found(0o755), rustix::process::geteuid().is_root());
        assert!(!found(0o775) && !found(0o1777));
    }

    #[test]
    fn a_mount_is_below_its_folders_alone() {
        let table = b"21 1 8:1 / / rw - ext4 a rw\n22 21 0:5 / /a\\040b/c rw - tmpfs none rw\n";
        let below = |place| has_mounts(table, Path::new(place));
        assert!(below("/") && below("/a b"));
        assert!(!below("/a b/c") && !below("/a") && !below("/other"));
    }
}
