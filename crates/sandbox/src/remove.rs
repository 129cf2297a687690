//! Removing what rooms with a range of users leave.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType};

use crate::{Access, Error, Ids, Limits, Mount, Output, Owner, Room, Root};

/// Where the tree is shown.
const SHOWN: &str = "/tmp/tree";

/// Removes a tree whose files belong to users of a [`Room::range`] of `range` ids, which an ordinary caller cannot do himself.
///
/// A room with that range removes what is in the tree, with the host's `find`; it sees nothing else that it could write. Follows
/// no link and stays on one file system. No process may be at work in the tree.
///
/// # Errors
/// Those of [`Room::run`]; [`Error::Remove`] when something could not be removed, with what `find` says about it.
pub fn remove_tree(path: &Path, range: u32) -> Result<(), Error> {
    let failed = |source: std::io::Error, detail| Error::Remove { path: path.to_owned(), source, detail };
    let errno = |errno: rustix::io::Errno| failed(errno.into(), String::new());
    let found = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).map_err(errno)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
        return rustix::fs::unlinkat(CWD, path, AtFlags::empty()).map_err(errno);
    }
    let (outcome, _, said) = emptier(path, range).output()?;
    if !outcome.success() {
        let said = String::from_utf8_lossy(&said).trim().replace(SHOWN, &path.to_string_lossy());
        return Err(failed(std::io::Error::other(outcome.exit.to_string()), said));
    }
    rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR).map_err(errno)
}

/// The room that empties the tree.
fn emptier(path: &Path, range: u32) -> Room {
    let root = Root::Dir { path: "/".into(), access: Access::Ro, owner: Owner::Host };
    let mut room = Room::new(root, "find");
    room.env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
    room.args([SHOWN, "-xdev", "-mindepth", "1", "-delete"]);
    let (source, target) = (path.to_owned(), SHOWN.into());
    room.mounts.push(Mount::Bind { source, target, access: Access::Rw, owner: Owner::Caller });
    room.ids = Ids { uid: 0, gid: 0 };
    room.range = Some(range);
    room.stdout = Output::Null;
    room.limits = Limits { log_bytes: Some(1 << 16), ..Limits::default() };
    room
}
