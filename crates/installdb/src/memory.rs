//! Room on the disk for sqlite's shared memory.
//!
//! sqlite sets one byte of each page of it aside and reaches the others through the processor's memory. On a file system whose
//! blocks are smaller than a page, as those of small disks are, the other blocks may be missing: and where there is no room for
//! them any more, the kernel ends a process that writes there.

use std::fs::File;
use std::sync::mpsc::channel;
use std::thread::Builder;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use pkgfs::{ErrorKind, Root, fd};

use crate::error::Result;
use crate::home::Home;

/// The byte of the shared memory that everybody who uses it has locked. Who finds nobody makes it anew.
const IN_USE: i64 = 128;
/// sqlite's pages.
const PAGE: u64 = 4096;
/// Enough for a log of 64 MiB.
const ROOM: &[u8] = &[0; 128 << 10];

/// Whether pages may lack some of their blocks.
pub(crate) fn is_patchy(root: &Root, home: &Home) -> Result<bool> {
    let folder = root.path().join(home.folder());
    let about = rustix::fs::statvfs(&folder);
    Ok(about.map_err(|errno| pkgfs::Error::new("ask for the file system of", folder, errno.into()))?.f_frsize < PAGE)
}

/// Has the database opened with all blocks that its shared memory is going to need.
///
/// sqlite cuts it off first, unless somebody uses it already: so somebody does, with locks of his own, which a thread has that
/// shares no descriptors with the others.
pub(crate) fn with_room<T>(root: &Root, home: &Home, open: impl FnOnce() -> Result<T>) -> Result<T> {
    if !is_patchy(root, home)? {
        return open();
    }
    std::thread::scope(|scope| {
        let (tell, told) = channel();
        let (end, ended) = channel::<()>();
        let user = Builder::new().spawn_scoped(scope, move || {
            let (used, answer) = match occupy(root, home) {
                Ok(used) => (used, Ok(())),
                Err(error) => (None, Err(error)),
            };
            let _ = tell.send(answer);
            // Nobody says anything: whoever waits is gone when the database is open.
            let _ = ended.recv();
            drop(used);
        });
        // Without a thread, or one that ended, it is as sqlite makes it.
        let answer = if user.is_ok() { told.recv().unwrap_or(Ok(())) } else { Ok(()) };
        let opened = answer.and_then(|()| open());
        drop(end);
        opened
    })
}

/// Makes the shared memory anew, whole, and is one who uses it from then on; nothing where somebody else does.
fn occupy(root: &Root, home: &Home) -> Result<Option<File>> {
    if unshare(CloneFlags::CLONE_FILES).is_err() {
        return Ok(None);
    }
    let path = home.memory();
    let file = match root.at(&path)?.open_for_writing() {
        Ok(file) => file,
        Err(error) if error.kind == ErrorKind::NotFound => make(root, home)?,
        Err(error) if error.kind == ErrorKind::Denied => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !lock(&file, libc::F_WRLCK) {
        return Ok(None);
    }
    let failed = |error| pkgfs::Error::new("make room for the shared memory", root.path().join(&path), error);
    fd::write_all_at(&file, ROOM, 0).map_err(failed)?;
    Ok(lock(&file, libc::F_RDLCK).then_some(file))
}

/// With the permissions and the owner of the database, as sqlite makes it.
fn make(root: &Root, home: &Home) -> Result<File> {
    let (path, like) = (home.memory(), root.at(&home.database())?.open_with_stat()?.1);
    let file = root.create_file(&path, like.mode)?;
    let failed = |error| pkgfs::Error::new("make", root.path().join(&path), error);
    if rustix::process::geteuid().is_root() {
        fd::set_owner(&file, like.uid, like.gid).map_err(failed)?;
    }
    fd::set_mode(&file, like.mode).map_err(failed)?;
    Ok(file)
}

fn lock(file: &File, kind: libc::c_int) -> bool {
    let range = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: IN_USE,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_SETLK(&range)).is_ok()
}
