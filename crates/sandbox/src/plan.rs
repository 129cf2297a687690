//! From a description to the list of steps that make it: pure, apart from looking at which mount points exist.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::error::{STEP_IDMAP, STEP_MAPS, STEP_OVERLAY, STEP_PIVOT, STEP_PROC};
use crate::sys::mountpoint::{MadeDirectories, exists_in, open_root};
use crate::sys::raw::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use crate::sys::step::{Cover, MountPoint, Ownership, Slot, Step};
use crate::{Access, Error, Mount, Net, Owner, Profile, Room, Root, Sysfs, Upper};

/// Layers of one overlay, the skeleton and an upper directory included (`OVL_MAX_STACK`).
const MAX_LAYERS: usize = 500;

const SAFE: u64 = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

/// Who makes the room.
#[derive(Debug)]
pub(crate) enum Caller {
    /// An ordinary user, or the root of a container that may not do more.
    User { uid: u32, gid: u32 },
    /// Root. `idmap` shows root's files as the room's user.
    Root { idmap: Option<Arc<OwnedFd>> },
}

/// The steps, and a name for each.
#[derive(Debug)]
pub(crate) struct Plan {
    pub steps: Vec<Step>,
    pub names: Vec<String>,
    pub slots: usize,
    /// Kept until the room is gone.
    pub made: MadeDirectories,
}

struct Planner<'a> {
    room: &'a Room,
    caller: &'a Caller,
    steps: Vec<Step>,
    names: Vec<String>,
    slots: usize,
    made: MadeDirectories,
}

/// The steps that make `room`, which has passed [`check`], for `caller`.
pub(crate) fn plan(room: &Room, caller: &Caller) -> Result<Plan, Error> {
    let mut planner =
        Planner { room, caller, steps: Vec::new(), names: Vec::new(), slots: 0, made: MadeDirectories::default() };
    planner.whole()?;
    let Planner { steps, names, slots, made, .. } = planner;
    Ok(Plan { steps, names, slots, made })
}

/// Refuses what no kernel could make.
pub(crate) fn check(room: &Room) -> Result<(), Error> {
    for target in targets(room) {
        normal_target(&target)?;
    }
    if room.hostname.is_empty() || room.hostname.len() > 64 {
        return Err(Error::invalid("the host name must have 1 to 64 bytes"));
    }
    if room.host_id == 0 || room.host_id == u32::MAX {
        return Err(Error::invalid("the host id of a room must be neither 0 nor 4294967295"));
    }
    if room.setid == crate::SetId::Ban && !room.seccomp {
        return Err(Error::invalid("setid bits are banned by the system call filter, which is switched off"));
    }
    if room.ids.uid == u32::MAX || room.ids.gid == u32::MAX {
        return Err(Error::invalid("a user or group id of 4294967295 does not exist"));
    }
    Ok(())
}

fn normal_target(target: &Path) -> Result<(), Error> {
    let wrong = |why: &str| Err(Error::invalid(format!("the mount point {} {why}", target.display())));
    if !target.is_absolute() {
        return wrong("must be absolute");
    }
    if target.components().any(|part| part == Component::ParentDir) {
        return wrong("must not contain '..'");
    }
    if target.components().count() < 2 {
        return wrong("is the root; name it as the room's root instead");
    }
    Ok(())
}

/// All mount points, in the order they are mounted.
fn targets(room: &Room) -> Vec<PathBuf> {
    let own = [(room.proc, "/proc"), (room.sys.is_some(), "/sys"), (room.dev, "/dev"), (room.tmp.is_some(), "/tmp")];
    let own = own.into_iter().filter(|(wanted, _)| *wanted).map(|(_, path)| PathBuf::from(path));
    own.chain(room.mounts.iter().map(|mount| mount.target().to_owned())).collect()
}

/// Mount points that the root itself must have: those that do not lie in an earlier mount.
fn root_targets(room: &Room) -> Vec<(PathBuf, bool)> {
    let all = targets(room);
    let own = all.len() - room.mounts.len();
    all.iter()
        .enumerate()
        .filter(|(index, target)| {
            !all[..*index].iter().any(|earlier| target.starts_with(earlier) && *target != earlier)
        })
        .map(|(index, target)| {
            let directory = index < own || room.mounts.get(index - own).is_none_or(is_directory);
            (target.clone(), directory)
        })
        .collect()
}

/// Whether what is mounted is a directory. A source that cannot be looked at is reported when it is opened.
fn is_directory(mount: &Mount) -> bool {
    match mount {
        Mount::Bind { source, .. } => std::fs::metadata(source).map_or(true, |found| found.is_dir()),
        Mount::Tmpfs { .. } => true,
    }
}

/// A path or value as the kernel takes it.
pub(crate) fn c_string(text: impl AsRef<OsStr>) -> Result<CString, Error> {
    let bytes = text.as_ref().as_bytes();
    CString::new(bytes).map_err(|_| Error::invalid(format!("{:?} contains a NUL byte", text.as_ref())))
}

fn host_path(path: &Path) -> Result<CString, Error> {
    let absolute = std::path::absolute(path).map_err(|error| Error::invalid(format!("{}: {error}", path.display())))?;
    c_string(absolute)
}

impl Planner<'_> {
    fn step(&mut self, name: impl Into<String>, step: Step) {
        self.steps.push(step);
        self.names.push(name.into());
    }

    fn slot(&mut self) -> Slot {
        self.slots += 1;
        self.slots - 1
    }

    /// Owner of what the set-up makes, where that is not the set-up's own user.
    fn owner(&self) -> Option<Ownership> {
        match (self.caller, self.room.profile) {
            (Caller::Root { .. }, Profile::Build) => Some(Ownership { uid: self.room.host_id, gid: self.room.host_id }),
            _ => None,
        }
    }

    /// The room's user, as a number in the namespace of the set-up.
    fn user(&self) -> Ownership {
        match (self.owner(), self.room.profile) {
            (Some(owner), _) => owner,
            (None, Profile::Script) => Ownership { uid: 0, gid: 0 },
            (None, Profile::Build) => Ownership { uid: self.room.ids.uid, gid: self.room.ids.gid },
        }
    }

    fn idmap(&self, owner: Owner) -> Option<RawFd> {
        match (self.caller, owner) {
            (Caller::Root { idmap: Some(idmap) }, Owner::Caller) => Some(idmap.as_raw_fd()),
            _ => None,
        }
    }

    fn whole(&mut self) -> Result<(), Error> {
        self.map_user();
        self.step("keeping mounts to the room", Step::Private);
        let room = self.room;
        if room.net == Net::Loopback {
            self.step("bringing the loopback up", Step::LoopbackUp);
        }
        self.step("naming the host", Step::HostName { name: room.hostname.clone().into_bytes() });
        let root = self.root()?;
        self.step("attaching the root", Step::Park { slot: root });
        self.own_mounts(root)?;
        for mount in &room.mounts {
            self.mount(root, mount)?;
        }
        if room.root == Root::Empty {
            self.step(
                "making the root read-only",
                Step::Attributes { slot: root, set: MOUNT_ATTR_RDONLY, recursive: false, idmap: None, chown: None },
            );
        }
        self.step(STEP_PIVOT, Step::Pivot { slot: root });
        Ok(())
    }

    fn map_user(&mut self) {
        let Caller::User { uid, gid } = self.caller else { return };
        let inside = self.user();
        let lines = [
            (c"/proc/self/setgroups", "deny".to_owned()),
            (c"/proc/self/uid_map", format!("{} {uid} 1\n", inside.uid)),
            (c"/proc/self/gid_map", format!("{} {gid} 1\n", inside.gid)),
        ];
        for (path, data) in lines {
            self.step(STEP_MAPS, Step::Write { path: path.to_owned(), data: data.into_bytes() });
        }
    }

    /// A detached mount that becomes `/`.
    fn root(&mut self) -> Result<Slot, Error> {
        let room = self.room;
        match &room.root {
            Root::Empty => self.tmpfs("mounting the root", 1 << 20, 0o755, SAFE),
            Root::Overlay { layers, upper } => {
                let layers: Vec<_> = layers.iter().map(|layer| (layer.as_path(), Owner::Caller)).collect();
                self.overlay(&layers, upper)
            }
            Root::Dir { path, access, owner } => {
                let top = open_root(path).map_err(|error| {
                    Error::start(format!("opening the root {}", path.display()), error.raw_os_error())
                })?;
                let missing: Vec<_> =
                    root_targets(room).into_iter().filter(|(target, _)| !exists_in(&top, target)).collect();
                if *access == Access::Ro && !missing.is_empty() {
                    return self.overlay(&[(path, *owner)], &Upper::None);
                }
                for (target, directory) in missing {
                    let target = if directory { Some(target.as_path()) } else { target.parent() };
                    if let Some(target) = target {
                        let made = self.made.make(&top, target);
                        made.map_err(|error| {
                            Error::start(
                                format!("making {} in the root {}", target.display(), path.display()),
                                error.raw_os_error(),
                            )
                        })?;
                    }
                }
                self.bind(path, *access, *owner)
            }
        }
    }

    fn tmpfs(&mut self, name: &str, size: u64, mode: u32, attributes: u64) -> Result<Slot, Error> {
        let (fs, slot, user) = (self.slot(), self.slot(), self.user());
        self.step(name, Step::FsOpen { slot: fs, kind: c"tmpfs".to_owned() });
        let options = [
            ("size", size.to_string()),
            ("mode", format!("{mode:o}")),
            ("uid", user.uid.to_string()),
            ("gid", user.gid.to_string()),
        ];
        for (key, value) in options {
            self.step(name, Step::FsString { fs, key: c_string(key)?, value: c_string(value)? });
        }
        self.step(name, Step::FsMount { fs, slot, attributes });
        Ok(slot)
    }

    /// A detached copy of the mount at `source`.
    fn bind(&mut self, source: &Path, access: Access, owner: Owner) -> Result<Slot, Error> {
        let slot = self.slot();
        let idmap = self.idmap(owner);
        let recursive = idmap.is_none();
        self.step(format!("opening {}", source.display()), Step::Clone { slot, path: host_path(source)?, recursive });
        let set = match access {
            Access::Ro => SAFE | MOUNT_ATTR_RDONLY,
            Access::Rw => SAFE,
        };
        let what = if idmap.is_some() { STEP_IDMAP } else { "setting the attributes of" };
        let chown = if access == Access::Rw { self.owner() } else { None };
        self.step(format!("{what} {}", source.display()), Step::Attributes { slot, set, recursive, idmap, chown });
        Ok(slot)
    }

    fn overlay(&mut self, layers: &[(&Path, Owner)], upper: &Upper) -> Result<Slot, Error> {
        let most = MAX_LAYERS - 2;
        if layers.len() > most {
            return Err(Error::invalid(format!(
                "{} layers are more than the {most} that overlayfs takes; merge some",
                layers.len()
            )));
        }
        let mut lower = Vec::new();
        for (index, (layer, owner)) in layers.iter().enumerate() {
            lower.push((self.layer(layer, *owner, index)?, format!("adding layer {index} ({})", layer.display())));
        }
        lower.push((self.skeleton()?, "adding the layer of mount points".to_owned()));
        let upper = self.upper(upper)?;
        let (fs, slot) = (self.slot(), self.slot());
        self.step(STEP_OVERLAY, Step::FsOpen { slot: fs, kind: c"overlay".to_owned() });
        for (dir, name) in lower {
            self.step(name, Step::FsDir { fs, key: c"lowerdir+".to_owned(), dir });
        }
        if let Some((upper, work)) = upper {
            self.step("adding the upper directory", Step::FsDir { fs, key: c"upperdir".to_owned(), dir: upper });
            self.step("adding the work directory", Step::FsDir { fs, key: c"workdir".to_owned(), dir: work });
        }
        self.step(STEP_OVERLAY, Step::FsFlag { fs, key: c"userxattr".to_owned() });
        for key in [c"xino", c"index"] {
            self.step(STEP_OVERLAY, Step::FsString { fs, key: key.to_owned(), value: c"off".to_owned() });
        }
        let attributes = if upper.is_some() { SAFE } else { SAFE | MOUNT_ATTR_RDONLY };
        self.step(STEP_OVERLAY, Step::FsMount { fs, slot, attributes });
        Ok(slot)
    }

    /// A directory that overlayfs can take as a layer.
    fn layer(&mut self, path: &Path, owner: Owner, index: usize) -> Result<Slot, Error> {
        let slot = self.slot();
        let shown = path.display();
        let opening = format!("opening layer {index} ({shown})");
        let Some(idmap) = self.idmap(owner) else {
            self.step(opening, Step::Open { slot, dir: None, path: host_path(path)? });
            return Ok(slot);
        };
        self.step(opening.clone(), Step::Clone { slot, path: host_path(path)?, recursive: false });
        let inside = self.slot();
        self.step(opening, Step::Open { slot: inside, dir: Some(slot), path: c".".to_owned() });
        let attributes =
            Step::Attributes { slot, set: SAFE | MOUNT_ATTR_RDONLY, recursive: false, idmap: Some(idmap), chown: None };
        self.step(format!("{STEP_IDMAP} layer {index} ({shown})"), attributes);
        self.step(format!("attaching layer {index} ({shown})"), Step::Park { slot });
        Ok(slot)
    }

    /// A layer with nothing but the mount points, for the bottom: a read-only overlay could not be given them later.
    fn skeleton(&mut self) -> Result<Slot, Error> {
        let name = "making the layer of mount points";
        let slot = self.tmpfs(name, 1 << 20, 0o755, SAFE)?;
        self.step(name, Step::Park { slot });
        let mut made = std::collections::BTreeSet::new();
        let owner = self.owner();
        for (target, directory) in root_targets(self.room) {
            let mut path = PathBuf::new();
            let parts: Vec<_> = target.components().filter(|part| matches!(part, Component::Normal(_))).collect();
            for (index, part) in parts.iter().enumerate() {
                path.push(part);
                if made.insert(path.clone()) {
                    let (dir, relative) = (slot, c_string(&path)?);
                    self.step(
                        name,
                        if directory || index + 1 < parts.len() {
                            Step::Mkdir { dir, path: relative, mode: 0o755, owner }
                        } else {
                            Step::Touch { dir, path: relative, owner }
                        },
                    );
                }
            }
        }
        Ok(slot)
    }

    /// The upper and the work directory.
    fn upper(&mut self, upper: &Upper) -> Result<Option<(Slot, Slot)>, Error> {
        match upper {
            Upper::None => Ok(None),
            Upper::Tmpfs { size } => {
                let name = "making the upper directory in memory";
                let base = self.tmpfs(name, *size, 0o755, SAFE)?;
                self.step(name, Step::Park { slot: base });
                let owner = self.owner();
                for path in [c"upper", c"work"] {
                    self.step(name, Step::Mkdir { dir: base, path: path.to_owned(), mode: 0o755, owner });
                }
                Ok(Some((self.open_in(base, c"upper".to_owned(), name), self.open_in(base, c"work".to_owned(), name))))
            }
            Upper::Dir { upper, work } => {
                let (Some(parent), Some(upper_name), Some(work_name)) =
                    (upper.parent(), upper.file_name(), work.file_name())
                else {
                    return Err(Error::invalid("the upper and the work directory must not be roots"));
                };
                if work.parent() != Some(parent) {
                    return Err(Error::invalid("the upper and the work directory must stand in the same directory"));
                }
                let base = self.bind(parent, Access::Rw, Owner::Caller)?;
                self.step(format!("attaching {}", parent.display()), Step::Park { slot: base });
                let upper = self.open_in(base, c_string(upper_name)?, &format!("opening {}", upper.display()));
                let work = self.open_in(base, c_string(work_name)?, &format!("opening {}", work.display()));
                Ok(Some((upper, work)))
            }
        }
    }

    fn open_in(&mut self, base: Slot, path: CString, name: &str) -> Slot {
        let slot = self.slot();
        self.step(name, Step::Open { slot, dir: Some(base), path });
        slot
    }

    fn place(
        &mut self,
        name: impl Into<String>,
        mount: Slot,
        root: Slot,
        target: &Path,
        directory: bool,
    ) -> Result<(), Error> {
        let (mut prefixes, mut names, mut whole) = (Vec::new(), Vec::new(), PathBuf::from("/"));
        for part in target.components() {
            if let Component::Normal(part) = part {
                whole.push(part);
                prefixes.push(c_string(&whole)?);
                names.push(c_string(part)?);
            }
        }
        let point = MountPoint { prefixes, names, directory, owner: self.owner() };
        self.step(name, Step::Place { mount, root, point });
        Ok(())
    }

    fn own_mounts(&mut self, root: Slot) -> Result<(), Error> {
        if self.room.proc {
            self.proc(root)?;
        }
        if let Some(sys) = self.room.sys {
            self.sys(root, sys)?;
        }
        if self.room.dev {
            self.dev(root)?;
        }
        if let Some(size) = self.room.tmp {
            let tmp = self.tmpfs("mounting /tmp", size, 0o1777, SAFE)?;
            self.place("mounting /tmp", tmp, root, Path::new("/tmp"), true)?;
        }
        Ok(())
    }

    fn proc(&mut self, root: Slot) -> Result<(), Error> {
        let (fs, slot) = (self.slot(), self.slot());
        self.step(STEP_PROC, Step::FsOpen { slot: fs, kind: c"proc".to_owned() });
        self.step(STEP_PROC, Step::FsMount { fs, slot, attributes: SAFE | MOUNT_ATTR_NOEXEC });
        self.place(STEP_PROC, slot, root, Path::new("/proc"), true)?;
        for path in [
            c"/sys",
            c"/sysrq-trigger",
            c"/irq",
            c"/bus",
            c"/fs",
            c"/acpi",
            c"/scsi",
            c"/asound",
            c"/driver",
            c"/mtrr",
            c"/dynamic_debug",
        ] {
            self.hide(slot, path, Cover::ReadOnly);
        }
        for path in [
            c"/kcore",
            c"/keys",
            c"/key-users",
            c"/kmsg",
            c"/timer_list",
            c"/timer_stats",
            c"/sched_debug",
            c"/latency_stats",
            c"/kpagecount",
            c"/kpageflags",
            c"/kpagecgroup",
        ] {
            self.hide(slot, path, Cover::Null);
        }
        Ok(())
    }

    fn hide(&mut self, root: Slot, path: &std::ffi::CStr, cover: Cover) {
        self.step(
            format!("covering /proc{}", path.to_string_lossy()),
            Step::Hide { root, path: path.to_owned(), cover },
        );
    }

    fn sys(&mut self, root: Slot, sys: Sysfs) -> Result<(), Error> {
        let name = "mounting /sys";
        let own_network = self.room.net != Net::Host || matches!(self.caller, Caller::Root { .. });
        let attributes = SAFE | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY;
        let slot = if sys == Sysfs::Real && own_network {
            let (fs, slot) = (self.slot(), self.slot());
            self.step(name, Step::FsOpen { slot: fs, kind: c"sysfs".to_owned() });
            self.step(name, Step::FsMount { fs, slot, attributes });
            slot
        } else {
            self.tmpfs(name, 4096, 0o555, attributes)?
        };
        self.place(name, slot, root, Path::new("/sys"), true)
    }

    fn dev(&mut self, root: Slot) -> Result<(), Error> {
        let name = "mounting /dev";
        let dev = self.tmpfs(name, 1 << 20, 0o755, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)?;
        self.place(name, dev, root, Path::new("/dev"), true)?;
        for device in ["null", "zero", "full", "random", "urandom", "tty"] {
            let (slot, source) = (self.slot(), format!("/dev/{device}"));
            self.step(format!("opening {source}"), Step::Clone { slot, path: c_string(&source)?, recursive: false });
            // Read-only keeps mode and owner of the host's node; the device itself is read and written all the same.
            let set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY;
            self.step(
                format!("opening {source}"),
                Step::Attributes { slot, set, recursive: false, idmap: None, chown: None },
            );
            self.place(format!("mounting {source}"), slot, dev, &Path::new("/").join(device), false)?;
        }
        let (fs, pts) = (self.slot(), self.slot());
        self.step("mounting /dev/pts", Step::FsOpen { slot: fs, kind: c"devpts".to_owned() });
        for (key, value) in [(c"ptmxmode", c"0666"), (c"mode", c"0620")] {
            self.step("mounting /dev/pts", Step::FsString { fs, key: key.to_owned(), value: value.to_owned() });
        }
        self.step(
            "mounting /dev/pts",
            Step::FsMount { fs, slot: pts, attributes: MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC },
        );
        if let Some(owner) = self.owner() {
            self.step("mounting /dev/pts", Step::Chown { dir: pts, path: c"ptmx".to_owned(), owner });
        }
        self.place("mounting /dev/pts", pts, dev, Path::new("/pts"), true)?;
        let shm = self.tmpfs("mounting /dev/shm", 1 << 28, 0o1777, SAFE)?;
        self.place("mounting /dev/shm", shm, dev, Path::new("/shm"), true)?;
        let owner = self.owner();
        let links = [
            (c"ptmx", c"pts/ptmx"),
            (c"fd", c"/proc/self/fd"),
            (c"stdin", c"fd/0"),
            (c"stdout", c"fd/1"),
            (c"stderr", c"fd/2"),
        ];
        for (path, target) in links {
            self.step(
                "making the links of /dev",
                Step::Symlink { dir: dev, path: path.to_owned(), target: target.to_owned(), owner },
            );
        }
        self.step(
            "making /dev read-only",
            Step::Attributes { slot: dev, set: MOUNT_ATTR_RDONLY, recursive: false, idmap: None, chown: None },
        );
        Ok(())
    }

    fn mount(&mut self, root: Slot, mount: &Mount) -> Result<(), Error> {
        let name = format!("mounting {}", mount.target().display());
        let slot = match mount {
            Mount::Bind { source, access, owner, .. } => self.bind(source, *access, *owner)?,
            Mount::Tmpfs { size, mode, .. } => self.tmpfs(&name, *size, *mode, SAFE)?,
        };
        self.place(name, slot, root, mount.target(), is_directory(mount))
    }
}
