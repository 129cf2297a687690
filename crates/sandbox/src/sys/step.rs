//! The steps that make a room, and how the set-up process does them.
//!
//! Everything a step needs is in it before the process exists; doing one calls the kernel and nothing else.

use std::ffi::{CString, c_int};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

use super::raw::{self, Errno, Sys};
use super::report::Report;

/// Index of a descriptor that one step makes and another uses.
pub(crate) type Slot = usize;

/// Owner in terms of the namespace that the set-up runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ownership {
    pub uid: u32,
    pub gid: u32,
}

/// What `Hide` puts over a path.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cover {
    /// The same tree, read-only.
    ReadOnly,
    /// This mount, of the host's null device: reads as empty.
    Null(Slot),
}

/// One step.
#[derive(Debug)]
pub(crate) enum Step {
    /// Writes `data` into a file of the caller's `/proc`, which is his as long as the memory is marked dumpable; `mark` says
    /// that it may be marked.
    Write { path: CString, data: Vec<u8>, mark: bool },
    /// Keeps the events of this namespace's mounts inside it; with `MS_PRIVATE` those of others outside, too.
    Propagate { kind: libc::c_ulong },
    /// Makes namespaces of these kinds.
    Unshare { kinds: c_int },
    /// Enters a namespace.
    Enter { namespace: RawFd, kind: c_int },
    /// Enters the namespace in `slot`.
    Join { slot: Slot, kind: c_int },
    /// Opens a file.
    File { slot: Slot, dir: Option<Slot>, name: CString, flags: c_int },
    /// Opens a directory of the host as a place to look from.
    Open { slot: Slot, dir: Option<Slot>, path: CString },
    /// Copies a mount, detached, with the mounts below it if `recursive`.
    Clone { slot: Slot, dir: Option<Slot>, path: CString, recursive: bool },
    /// Sets attributes of a mount, and those of the mounts below it if `recursive`, and takes it from among those of the host:
    /// what is mounted there does not come into the room, nor the other way round. Where its file system cannot map owners, the
    /// directory or file itself is given to `chown` instead, but no device, which is everybody's.
    Attributes { slot: Slot, set: u64, recursive: bool, idmap: Option<RawFd>, chown: Option<Ownership> },
    /// Sets attributes of a mount and of those below it, which go on following the host's.
    Restrict { slot: Slot, set: u64 },
    /// Starts the making of a file system.
    FsOpen { slot: Slot, kind: CString },
    /// Sets an option of it.
    FsString { fs: Slot, key: CString, value: CString },
    /// Sets an option of it that has no value.
    FsFlag { fs: Slot, key: CString },
    /// Gives it a directory.
    FsDir { fs: Slot, key: CString, dir: Slot },
    /// Makes it, and a detached mount of it.
    FsMount { fs: Slot, slot: Slot, attributes: u64 },
    /// Attaches a mount on top of the root, which nobody sees who has been [`Pivot`](Self::Pivot)ed or
    /// [`Settle`](Self::Settle)d.
    Park { slot: Slot },
    /// Makes a directory.
    Mkdir { dir: Slot, path: CString, mode: u32, owner: Option<Ownership> },
    /// Makes an empty file.
    Touch { dir: Slot, path: CString, owner: Option<Ownership> },
    /// Writes a file, which gets mode and owner if it is made.
    Fill { dir: Slot, path: CString, file: Content },
    /// Gives something to another owner.
    Chown { dir: Slot, path: CString, owner: Ownership },
    /// Makes a symbolic link.
    Symlink { dir: Slot, path: CString, target: CString, owner: Option<Ownership> },
    /// Attaches `mount` inside `root`, making the mount point when it is missing and can be made.
    Place { mount: Slot, root: Slot, point: MountPoint },
    /// Moves the mount at `path` of `from`, with all that is mounted in it, like [`Place`](Self::Place).
    Take { from: Slot, path: CString, root: Slot, point: MountPoint },
    /// Makes a directory inside `root` where there is none, and its parents.
    Folder { root: Slot, point: MountPoint },
    /// Writes a file inside `root`, in a folder that is made like that, as [`Fill`](Self::Fill) does.
    Put { root: Slot, folder: MountPoint, name: CString, file: Content },
    /// Sets the mode of what is at `path` inside `root`.
    Mode { root: Slot, path: CString, mode: u32 },
    /// Makes the mount at `path` inside `root` read-only, or writable, without those below it.
    Lock { root: Slot, path: CString, closed: bool },
    /// Makes the mount in `slot` read-only, or writable.
    Close { slot: Slot, closed: bool },
    /// Makes a symbolic link inside `root`, in a folder that is made like that, unless the same link is there.
    Link { root: Slot, folder: MountPoint, name: CString, target: CString, owner: Option<Ownership> },
    /// Covers a path below `root`, the kernel's own file system without links on the way, if it exists.
    Hide { root: Slot, path: CString, cover: Cover },
    /// Brings the loopback up.
    LoopbackUp,
    /// Names the host.
    HostName { name: Vec<u8> },
    /// Makes the mount in `slot` the root and lets the old one go.
    Pivot { slot: Slot },
    /// Makes the mount in `slot`, which is parked on a root that holds nothing, the root.
    Settle { slot: Slot },
}

/// What a file is made of.
#[derive(Debug)]
pub(crate) struct Content {
    pub bytes: Vec<u8>,
    pub mode: u32,
    pub owner: Option<Ownership>,
}

/// A path inside the room with all its parents, for making what is missing.
#[derive(Debug)]
pub(crate) struct MountPoint {
    /// `/a`, `/a/b`, .. the path itself last.
    pub prefixes: Vec<CString>,
    /// The last component of each.
    pub names: Vec<CString>,
    /// The mode of the last, where it is a directory.
    pub directory: Option<u32>,
    /// Owner of what is made.
    pub owner: Option<Ownership>,
}

/// Descriptors made on the way.
#[derive(Debug)]
pub(crate) struct Slots(Vec<AtomicI32>);

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self((0..count).map(|_| AtomicI32::new(-1)).collect())
    }

    /// The descriptor in `slot`; -1, which every call refuses, before it is made.
    pub(super) fn fd(&self, slot: Slot) -> RawFd {
        self.0.get(slot).map_or(-1, |fd| fd.load(Relaxed))
    }

    /// Where a path begins: at the descriptor in `slot`, or where this process is.
    fn place(&self, slot: Option<Slot>) -> RawFd {
        slot.map_or(libc::AT_FDCWD, |slot| self.fd(slot))
    }

    /// Makes the mount in `slot` this process' root.
    pub(super) fn settle(&self, slot: Slot) -> Sys<()> {
        raw::fchdir(self.fd(slot))?;
        raw::chroot_here()?;
        raw::chdir(c"/")
    }

    /// Takes every descriptor that is still open out of the slots.
    ///
    /// # Safety
    /// The descriptors must be open in this process' own table, and nobody else's.
    pub(crate) unsafe fn take(self) -> Vec<Option<OwnedFd>> {
        self.0
            .into_iter()
            .map(AtomicI32::into_inner)
            // SAFETY: the caller vouches for it.
            .map(|fd| (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) }))
            .collect()
    }

    fn set(&self, slot: Slot, fd: RawFd) {
        if let Some(place) = self.0.get(slot) {
            place.store(fd, Relaxed);
        }
    }
}

impl Step {
    /// A descriptor that it uses and the set-up has not made itself.
    pub(super) fn outer(&self) -> Option<RawFd> {
        match self {
            Self::Enter { namespace, .. } => Some(*namespace),
            Self::Attributes { idmap, .. } => *idmap,
            _ => None,
        }
    }

    /// Does the step. Async-signal-safe; runs in the set-up process.
    pub(super) fn run(&self, slots: &Slots, report: &Report) -> Sys<()> {
        match self {
            Self::Write { path, data, mark } => write_file(path, data, *mark),
            Self::Propagate { kind } => raw::propagate(*kind),
            Self::Unshare { kinds } => raw::unshare(*kinds),
            Self::Enter { namespace, kind } => raw::enter(*namespace, *kind),
            Self::Join { slot, kind } => raw::enter(slots.fd(*slot), *kind),
            Self::File { slot, dir, name, flags } => {
                slots.set(*slot, raw::openat(slots.place(*dir), name, *flags, 0)?);
                Ok(())
            }
            Self::Open { slot, dir, path } => {
                let dir = slots.place(*dir);
                slots.set(*slot, raw::openat(dir, path, libc::O_PATH | libc::O_DIRECTORY, 0)?);
                Ok(())
            }
            Self::Clone { slot, dir, path, recursive } => {
                slots.set(*slot, raw::open_tree(slots.place(*dir), path, *recursive)?);
                Ok(())
            }
            Self::Attributes { slot, set, recursive, idmap, chown } => {
                attributes(slots.fd(*slot), *set, *recursive, *idmap, *chown)
            }
            Self::Restrict { slot, set } => raw::mount_setattr(slots.fd(*slot), *set, true, None, 0),
            Self::FsOpen { slot, kind } => {
                slots.set(*slot, raw::fsopen(kind)?);
                Ok(())
            }
            Self::FsString { fs, key, value } => raw::fsconfig_string(slots.fd(*fs), key, value),
            Self::FsFlag { fs, key } => raw::fsconfig_flag(slots.fd(*fs), key),
            Self::FsDir { fs, key, dir } => give_directory(slots.fd(*fs), key, slots.fd(*dir), report),
            Self::FsMount { fs, slot, attributes } => {
                let context = slots.fd(*fs);
                let mount = fs_mount(context, *attributes, report);
                // Let go, also for a caller that shares the descriptors.
                slots.set(*fs, -1);
                raw::close(context);
                slots.set(*slot, mount?);
                Ok(())
            }
            Self::Park { slot } => raw::move_mount(slots.fd(*slot), libc::AT_FDCWD, c"/"),
            Self::Mkdir { dir, path, mode, owner } => {
                make_directory(slots.fd(*dir), path, *mode)?;
                own(slots.fd(*dir), path, *owner)
            }
            Self::Touch { dir, path, owner } => {
                touch(slots.fd(*dir), path)?;
                own(slots.fd(*dir), path, *owner)
            }
            Self::Fill { dir, path, file } => file.write(slots.fd(*dir), path),
            Self::Chown { dir, path, owner } => own(slots.fd(*dir), path, Some(*owner)),
            Self::Symlink { dir, path, target, owner } => {
                raw::symlinkat(target, slots.fd(*dir), path)?;
                own(slots.fd(*dir), path, *owner)
            }
            Self::Place { mount, root, point } => {
                point.with(slots.fd(*root), |target| raw::move_mount(slots.fd(*mount), target, c""))
            }
            Self::Take { from, path, root, point } => {
                point.with(slots.fd(*root), |target| raw::move_attached(slots.fd(*from), path, target))
            }
            Self::Folder { root, point } => point.with(slots.fd(*root), |_| Ok(())),
            Self::Put { root, folder, name, file } => folder.with(slots.fd(*root), |dir| file.write(dir, name)),
            Self::Mode { root, path, mode } => at(slots.fd(*root), path, |found| raw::chmod(found, c"", *mode)),
            Self::Lock { root, path, closed } => at(slots.fd(*root), path, |mount| raw::close_mount(mount, *closed)),
            Self::Close { slot, closed } => raw::close_mount(slots.fd(*slot), *closed),
            Self::Link { root, folder, name, target, owner } => {
                folder.with(slots.fd(*root), |dir| link(dir, name, target, *owner))
            }
            Self::Hide { root, path, cover } => hide(slots, slots.fd(*root), path, *cover),
            Self::LoopbackUp => raw::loopback_up(),
            Self::HostName { name } => raw::set_host_name(name),
            Self::Pivot { slot } => pivot(slots.fd(*slot)),
            Self::Settle { slot } => slots.settle(*slot),
        }
    }
}

impl MountPoint {
    /// Does something with the mount point inside `root`.
    fn with(&self, root: RawFd, act: impl FnOnce(RawFd) -> Sys<()>) -> Sys<()> {
        let target = self.open(root)?;
        let done = act(target);
        raw::close(target);
        done
    }

    /// Opens the mount point inside `root`, making it and missing parents on the way.
    fn open(&self, root: RawFd) -> Sys<RawFd> {
        let Some(whole) = self.prefixes.last() else { return raw::open_in_root(root, c"/") };
        match raw::open_in_root(root, whole) {
            Err(libc::ENOENT) => {}
            other => return other,
        }
        let last = self.names.len().saturating_sub(1);
        let mut parent = None;
        for (index, (prefix, name)) in self.prefixes.iter().zip(&self.names).enumerate() {
            // The whole is known to be missing.
            let there = if index == last { Err(libc::ENOENT) } else { raw::open_in_root(root, prefix) };
            let next = match there {
                Err(libc::ENOENT) => self
                    .make(parent.unwrap_or(root), name, if index < last { Some(FOR_ALL) } else { self.directory })
                    .and_then(|()| raw::open_in_root(root, prefix)),
                other => other,
            };
            if let Some(parent) = parent.take() {
                raw::close(parent);
            }
            parent = Some(next?);
        }
        parent.ok_or(libc::ENOENT)
    }

    fn make(&self, parent: RawFd, name: &std::ffi::CStr, directory: Option<u32>) -> Sys<()> {
        match directory {
            Some(mode) => make_directory(parent, name, mode)?,
            None => touch(parent, name)?,
        }
        own(parent, name, self.owner)
    }
}

impl Content {
    fn write(&self, dir: RawFd, name: &std::ffi::CStr) -> Sys<()> {
        // Neither a link nor a pipe that somebody put there leads away or makes it wait.
        let flags = libc::O_WRONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let (file, new) = match raw::openat(dir, name, flags | libc::O_CREAT | libc::O_EXCL, 0o600) {
            Err(libc::EEXIST) => (raw::openat(dir, name, flags | libc::O_TRUNC, 0)?, false),
            other => (other?, true),
        };
        let done = self.fill(file).and_then(|()| {
            if !new {
                return Ok(());
            }
            own(file, c"", self.owner)?;
            raw::chmod(file, c"", self.mode)
        });
        raw::close(file);
        done
    }

    fn fill(&self, file: RawFd) -> Sys<()> {
        let mut rest = self.bytes.as_slice();
        while !rest.is_empty() {
            let written = raw::write(file, rest)?;
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }
}

/// Does something with what is at `path` inside `root`.
fn at(root: RawFd, path: &std::ffi::CStr, act: impl FnOnce(RawFd) -> Sys<()>) -> Sys<()> {
    let found = raw::open_in_root(root, path)?;
    let done = act(found);
    raw::close(found);
    done
}

/// The mode of directories if none is named.
const FOR_ALL: u32 = 0o755;

fn make_directory(parent: RawFd, name: &std::ffi::CStr, mode: u32) -> Sys<()> {
    raw::mkdirat(parent, name, mode)?;
    // The set-up's mask took some bits.
    if mode == FOR_ALL { Ok(()) } else { at(parent, name, |made| raw::chmod(made, c"", mode)) }
}

fn write_file(path: &std::ffi::CStr, data: &[u8], mark: bool) -> Sys<()> {
    let mut tries = if mark { 1000 } else { 0 };
    let file = loop {
        match raw::openat(libc::AT_FDCWD, path, libc::O_WRONLY, 0) {
            // Another room of this process was entered just now and took the mark.
            Err(libc::EACCES) if tries > 0 => {
                raw::set_dumpable(1);
                tries -= 1;
            }
            other => break other?,
        }
    };
    let written = raw::write(file, data);
    raw::close(file);
    if written? == data.len() { Ok(()) } else { Err(libc::EIO) }
}

fn touch(dir: RawFd, path: &std::ffi::CStr) -> Sys<()> {
    // Not by opening it: a descriptor for writing, copied by a fork elsewhere in the caller, would keep the mount writable.
    raw::make_file(dir, path, 0o644)
}

fn link(dir: RawFd, name: &std::ffi::CStr, target: &std::ffi::CStr, owner: Option<Ownership>) -> Sys<()> {
    match raw::symlinkat(target, dir, name) {
        Ok(()) => own(dir, name, owner),
        Err(libc::EEXIST) => {
            let mut there = [0u8; libc::PATH_MAX as usize];
            let same = raw::readlinkat(dir, name, &mut there)
                .is_ok_and(|length| there.get(..length) == Some(target.to_bytes()));
            if same { Ok(()) } else { Err(libc::EEXIST) }
        }
        other => other,
    }
}

fn attributes(mount: RawFd, set: u64, recursive: bool, idmap: Option<RawFd>, chown: Option<Ownership>) -> Sys<()> {
    match raw::mount_setattr(mount, set, recursive, idmap, libc::MS_PRIVATE) {
        Err(libc::EINVAL | libc::EPERM) if idmap.is_some() => {
            raw::mount_setattr(mount, set, recursive, None, libc::MS_PRIVATE)?;
            own(mount, c"", chown.filter(|_| !raw::is_device(mount)))
        }
        other => other,
    }
}

fn own(dir: RawFd, path: &std::ffi::CStr, owner: Option<Ownership>) -> Sys<()> {
    owner.map_or(Ok(()), |owner| raw::chown(dir, path, owner.uid, owner.gid))
}

/// Gives a file system context a directory by descriptor, or, before Linux 6.13, as the working directory: no path leads there,
/// since the room has no `/proc` yet.
fn give_directory(fs: RawFd, key: &std::ffi::CStr, dir: RawFd, report: &Report) -> Sys<()> {
    match raw::fsconfig_fd(fs, key, dir) {
        Err(libc::EINVAL | libc::EBADF) => {}
        other => return other,
    }
    raw::fchdir(dir)?;
    let given = raw::fsconfig_string(fs, key, c".").inspect_err(|_| report.keep_log(fs));
    raw::chdir(c"/")?;
    given
}

const FD_PATH: usize = 32;

/// `prefix` and the number `fd`, in decimal.
fn fd_path<'a>(prefix: &std::ffi::CStr, fd: RawFd, buffer: &'a mut [u8; FD_PATH]) -> Option<&'a std::ffi::CStr> {
    let mut digits = [0u8; 10];
    let mut count = 0;
    let mut rest = fd.unsigned_abs();
    for place in &mut digits {
        *place = b'0' + (rest % 10) as u8;
        count += 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let text = prefix.to_bytes().iter().chain(digits.iter().take(count).rev());
    for (place, byte) in buffer.iter_mut().zip(text) {
        *place = *byte;
    }
    std::ffi::CStr::from_bytes_until_nul(buffer).ok()
}

/// Makes `root` the root and lets the old one go with all that is mounted in it.
///
/// The old root must be named exactly: other mounts are parked on top of it, and a path would lead to the uppermost.
fn pivot(root: RawFd) -> Sys<()> {
    let old = raw::openat(libc::AT_FDCWD, c"/", libc::O_PATH | libc::O_DIRECTORY, 0)?;
    let leave = || {
        raw::fchdir(root)?;
        raw::pivot_root_here()?;
        raw::fchdir(old)?;
        let mut buffer = [0u8; FD_PATH];
        raw::detach(fd_path(c"proc/self/fd/", old, &mut buffer).ok_or(libc::EINVAL)?)?;
        raw::fchdir(root)?;
        raw::chdir(c"/")
    };
    let left = leave();
    raw::close(old);
    left
}

fn fs_mount(fs: RawFd, attributes: u64, report: &Report) -> Sys<RawFd> {
    raw::fsconfig_create(fs).inspect_err(|_| report.keep_log(fs))?;
    raw::fsmount(fs, attributes)
}

fn hide(slots: &Slots, root: RawFd, path: &std::ffi::CStr, cover: Cover) -> Sys<()> {
    let done = match cover {
        Cover::Null(mount) => raw::move_mount(slots.fd(mount), root, path),
        Cover::ReadOnly => raw::open_tree(root, path, true).and_then(|copy| {
            let set = raw::MOUNT_ATTR_RDONLY | raw::MOUNT_ATTR_NOSUID | raw::MOUNT_ATTR_NODEV | raw::MOUNT_ATTR_NOEXEC;
            raw::mount_setattr(copy, set, true, None, libc::MS_PRIVATE)?;
            raw::move_mount(copy, root, path)
        }),
    };
    let Err(errno) = done else { return Ok(()) };
    // What the set-up cannot reach the program, which has fewer rights, cannot either. Anything else is no reason to go on.
    match raw::open_in_root(root, path) {
        Err(libc::ENOENT | libc::EACCES) => Ok(()),
        there => {
            there.into_iter().for_each(raw::close);
            Err(errno)
        }
    }
}

/// Where the set-up failed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Which step: an index into the plan, or one of the numbers from [`super::launch::FIRST_STAGE`] on.
    pub step: u32,
    /// The kernel's answer.
    pub errno: Errno,
}
