//! From a description to the list of steps that make it: pure, apart from looking at which mount points exist.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::blank::Blank;
use crate::claims::Claims;
use crate::error::{STEP_IDMAP, STEP_OVERLAY, STEP_PIVOT, STEP_PROC, STEP_WRITE};
use crate::steps::Steps;
use crate::sys::launch::Placed;
use crate::sys::mountpoint::{self, MadePoints, exists_in, open_root};
use crate::sys::raw::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use crate::sys::step::{Content, Cover, MountPoint, Ownership, Slot, Step};
use crate::{Access, Error, Mount, Owner, Room, Root, Upper};

/// Lower directories of one overlay (`OVL_MAX_STACK`).
const MAX_LOWER: usize = 500;
/// Layers of a room: its overlay takes one that is an overlay itself, and there is one of mount points.
const MAX_LAYERS: usize = 2 * MAX_LOWER - 2;

/// Bytes of file systems in memory that are the room's own, besides what is put into them.
const SPARE: u64 = 1 << 20;

const SAFE: u64 = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

const MOUNT_POINTS: &str = "making the layer of mount points";

/// Folders in the empty root of a blank.
pub(crate) const STANDING: [&str; 4] = ["dev", "sys", "tmp", "proc"];

/// Who makes the room.
#[derive(Debug)]
pub(crate) enum Caller {
    /// An ordinary user, or the root of a container that may not do more.
    User { uid: u32, gid: u32 },
    /// Root. `idmap` shows root's files as the room's user.
    Root { idmap: Option<Arc<OwnedFd>> },
}

/// How a room is made.
#[derive(Debug)]
pub(crate) struct Plan {
    pub steps: Steps,
    /// The root that they put in its place; `None` where it is in the blank already.
    pub root: Option<Placed>,
    /// Kept until the room is gone.
    pub claims: Arc<Claims>,
}

struct Planner<'a> {
    room: &'a Room,
    caller: &'a Caller,
    blank: &'a Blank,
    /// Done where the caller's mounts are: these make descriptors and attach nothing.
    outside: Steps,
    /// Done among the room's own mounts.
    inside: Steps,
    claims: Claims,
    /// The mounts for [`Mount::Data`], the first one's first.
    data: std::vec::IntoIter<Slot>,
}

/// The steps that make `room`, which has passed [`check`], of `blank` for `caller`.
pub(crate) fn plan(room: &Room, caller: &Caller, blank: &Blank) -> Result<Plan, Error> {
    let (outside, inside) = (Steps::default(), Steps::default());
    let (claims, data) = (Claims::default(), Vec::new().into_iter());
    let mut planner = Planner { room, caller, blank, outside, inside, claims, data };
    let root = planner.whole()?;
    let Planner { outside: mut steps, inside, claims, .. } = planner;
    let namespace = blank.mounts.as_raw_fd();
    steps.push("entering the room's mounts", Step::Enter { namespace, kind: libc::CLONE_NEWNS });
    let root = root.map(|Placed { steps: inside, slot }| Placed { steps: steps.steps.len() + inside, slot });
    steps.append(inside);
    Ok(Plan { steps, root, claims: Arc::new(claims) })
}

/// The steps that make a room of `blank` ready again, in which `room` was made before, with these claims, and has ended.
pub(crate) fn plan_again(room: &Room, caller: &Caller, blank: &Blank, held: &Arc<Claims>) -> Result<Plan, Error> {
    let (outside, inside) = (Steps::default(), Steps::default());
    let (claims, data) = (Claims::default(), Vec::new().into_iter());
    let mut planner = Planner { room, caller, blank, outside, inside, claims, data };
    let (root, proc) = planner.standing();
    // Somebody may have mounted something else over its devices.
    planner.fresh_proc(root, proc, None)?;
    let Planner { outside: mut steps, inside, .. } = planner;
    let namespace = blank.mounts.as_raw_fd();
    steps.push("entering the room's mounts", Step::Enter { namespace, kind: libc::CLONE_NEWNS });
    steps.append(inside);
    Ok(Plan { steps, root: None, claims: Arc::clone(held) })
}

/// Refuses what no kernel could make.
pub(crate) fn check(room: &Room) -> Result<(), Error> {
    for target in targets(room) {
        normal_target(&target)?;
    }
    if sizes(room).any(|size| size == 0) {
        return Err(Error::invalid("a file system in memory of 0 bytes is one without a bound: give it a size"));
    }
    if !room.proc && room.mounts.iter().any(|mount| matches!(mount, Mount::Data { .. })) {
        return Err(Error::invalid("mounted data is made below /proc, which the room has not"));
    }
    if room.hostname.is_empty() || room.hostname.len() > 64 {
        return Err(Error::invalid("the host name must have 1 to 64 bytes"));
    }
    if room.host_id == 0 || room.host_id == u32::MAX {
        return Err(Error::invalid("the host id of a room must be neither 0 nor 4294967295"));
    }
    if let Some(count) = room.range {
        let crate::Ids { uid, gid } = room.program_ids();
        if uid.max(gid) >= count {
            return Err(Error::invalid(format!(
                "the user {uid} or the group {gid} is not within a range of {count} ids"
            )));
        }
        if room.host_id.checked_add(count).is_none() {
            return Err(Error::invalid("the range of users ends beyond the last id"));
        }
    }
    if let Some(memory) = room.limits.memory.filter(|memory| *memory < least_memory(room)) {
        return Err(Error::invalid(format!(
            "a limit of {memory} bytes of memory is less than the {} that making this room may take",
            least_memory(room)
        )));
    }
    if room.setid == crate::SetId::Ban && !room.seccomp {
        return Err(Error::invalid("setid bits are banned by the system call filter, which is switched off"));
    }
    if room.session == crate::Session::Pty && !room.dev {
        return Err(Error::invalid("the terminal of a room is in its /dev, which it has not"));
    }
    if room.ids.uid == u32::MAX || room.ids.gid == u32::MAX {
        return Err(Error::invalid("a user or group id of 4294967295 does not exist"));
    }
    Ok(())
}

/// Sizes of the file systems in memory that a room names.
fn sizes(room: &Room) -> impl Iterator<Item = u64> {
    let upper = match &room.root {
        Root::Overlay { upper: Upper::Tmpfs { size }, .. } => Some(*size),
        _ => None,
    };
    let mounts = room.mounts.iter().filter_map(|mount| match mount {
        Mount::Tmpfs { size, .. } => Some(*size),
        _ => None,
    });
    mounts.chain(upper).chain(room.tmp)
}

/// What the kernel may count for the set-up, generously. It shares the caller's memory for a while: were it chosen when memory runs
/// out, the caller would be killed with it.
fn least_memory(room: &Room) -> u64 {
    let layers = if let Root::Overlay { layers, .. } = &room.root { layers.len() } else { 0 };
    (2 << 20) + ((layers + room.mounts.len()) as u64) * (8 << 10)
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

/// What stands where something is mounted, or by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand<'a> {
    Folder { mode: u32 },
    File,
    Link(&'a Path),
}

impl<'a> Stand<'a> {
    const FOLDER: Self = Self::Folder { mode: 0o755 };

    fn of(mount: &'a Mount) -> Self {
        match mount {
            Mount::Link { to, .. } => Self::Link(to),
            Mount::Folder { mode, .. } => Self::Folder { mode: *mode },
            mount if is_directory(mount) => Self::FOLDER,
            _ => Self::File,
        }
    }
}

/// What the root itself must have: all that does not lie in an earlier mount.
fn root_targets(room: &Room) -> Vec<(PathBuf, Stand<'_>)> {
    let all = targets(room);
    let own = all.len() - room.mounts.len();
    let mount_of = |index: usize| index.checked_sub(own).and_then(|index| room.mounts.get(index));
    let is_mounted = |index: usize| mount_of(index).is_none_or(Mount::is_mounted);
    all.iter()
        .enumerate()
        .filter(|(index, target)| {
            let mut earlier = all[..*index].iter().enumerate();
            !earlier.any(|(index, earlier)| target.starts_with(earlier) && *target != earlier && is_mounted(index))
                && mount_of(*index).is_none_or(Mount::needs_place)
        })
        .map(|(index, target)| (target.clone(), mount_of(index).map_or(Stand::FOLDER, Stand::of)))
        .collect()
}

/// What the root that is open as `top` lacks.
pub(crate) fn missing<'a>(room: &'a Room, top: &OwnedFd) -> Vec<(PathBuf, Stand<'a>)> {
    root_targets(room).into_iter().filter(|(target, _)| !exists_in(top, target)).collect()
}

/// What the caller makes at `target` of a writable root for the time of the room. A link is made by the set-up, and stays.
fn stand_in_root((target, stand): (PathBuf, Stand<'_>)) -> Option<(PathBuf, mountpoint::Stand)> {
    match stand {
        Stand::Folder { mode } => Some((target, mountpoint::Stand::Directory(mode))),
        Stand::File => Some((target, mountpoint::Stand::File)),
        Stand::Link(_) => Some((target.parent()?.to_owned(), mountpoint::Stand::Directory(0o755))),
    }
}

/// Whether the root of a room is the host's own as it is, read-only, and all mount points are there.
pub(crate) fn is_whole(room: &Room) -> bool {
    let Root::Dir { path, access: Access::Ro, owner: Owner::Host } = &room.root else { return false };
    path == Path::new("/") && root_targets(room).iter().all(|(target, _)| target.exists())
}

/// Whether what is mounted is a directory. A source that cannot be looked at is reported when it is opened.
fn is_directory(mount: &Mount) -> bool {
    match mount {
        Mount::Bind { source, .. } => std::fs::metadata(source).map_or(true, |found| found.is_dir()),
        Mount::Tmpfs { .. } | Mount::Folder { .. } | Mount::Queues { .. } => true,
        _ => false,
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
    /// Among the caller's mounts.
    fn outside(&mut self, name: impl Into<Cow<'static, str>>, step: Step) {
        self.outside.push(name, step);
    }

    /// Among the room's mounts.
    fn inside(&mut self, name: impl Into<Cow<'static, str>>, step: Step) {
        self.inside.push(name, step);
    }

    fn slot(&mut self) -> Slot {
        let slot = self.outside.slot();
        self.inside.slots = self.outside.slots;
        slot
    }

    /// Owner of what the set-up makes, where that is not the set-up's own user.
    fn owner(&self) -> Option<Ownership> {
        self.blank.kind.owner()
    }

    fn idmap(&self, owner: Owner) -> Option<RawFd> {
        match (self.caller, owner) {
            (Caller::Root { idmap: Some(idmap) }, Owner::Caller) => Some(idmap.as_raw_fd()),
            _ => None,
        }
    }

    /// Plans everything; returns the root that the steps inside put in its place, unless it is there.
    fn whole(&mut self) -> Result<Option<Placed>, Error> {
        let room = self.room;
        if self.blank.kind.whole {
            let (root, proc) = self.standing();
            self.data(root)?;
            self.fresh_proc(root, proc, Some(root))?;
            self.mounts(root)?;
            return Ok(None);
        }
        self.outside("naming the host", Step::HostName { name: room.hostname.clone().into_bytes() });
        let proc = room.proc.then(|| self.proc());
        let blank = self.slot();
        self.inside("entering the room's mounts", Step::Open { slot: blank, dir: None, path: c"/".to_owned() });
        let root = self.root(blank)?;
        self.inside("attaching the root", Step::Park { slot: root });
        self.inside(STEP_PIVOT, Step::Settle { slot: root });
        let placed = Placed { steps: self.inside.steps.len(), slot: root };
        self.data(root)?;
        self.own_mounts(root, blank, proc)?;
        self.mounts(root)?;
        if room.root == Root::Empty {
            self.inside("making the root read-only", read_only(root));
        }
        Ok(Some(placed))
    }

    /// Where the root is in its place already: it is given to whoever enters the mounts. Returns it and a new `/proc`.
    fn standing(&mut self) -> (Slot, Option<Slot>) {
        self.outside("naming the host", Step::HostName { name: self.room.hostname.clone().into_bytes() });
        let proc = self.room.proc.then(|| self.proc());
        let root = self.slot();
        // What the host mounts from now on does not come in. Until now what it let go went from here, too.
        self.inside("keeping mounts to the room", Step::Propagate { kind: libc::MS_PRIVATE });
        self.inside("entering the room's mounts", Step::Open { slot: root, dir: None, path: c"/".to_owned() });
        (root, proc)
    }

    /// A detached mount that becomes `/`; `blank` is what does so far.
    fn root(&mut self, blank: Slot) -> Result<Slot, Error> {
        let room = self.room;
        match &room.root {
            Root::Empty => {
                let files = room.mounts.iter().filter_map(|mount| match mount {
                    Mount::File { contents, .. } => Some(contents.as_slice()),
                    _ => None,
                });
                self.tmpfs("mounting the root", SPARE + taken(files), 0o755, SAFE)
            }
            Root::Overlay { layers, upper } => {
                let layers: Vec<_> = layers.iter().map(|layer| (layer.as_path(), Owner::Caller)).collect();
                self.overlay(&layers, upper, blank)
            }
            Root::Dir { path, access, owner } => {
                let top = open_root(path).map_err(|error| {
                    Error::start(format!("opening the root {}", path.display()), error.raw_os_error())
                })?;
                let locked = self.claims.share(path);
                let missing = missing(room, &top);
                if *access == Access::Ro && !missing.is_empty() {
                    return self.overlay(&[(path, *owner)], &Upper::None, blank);
                }
                let wanted: Vec<_> = missing.into_iter().filter_map(stand_in_root).collect();
                self.claims.made = MadePoints::make(&top, locked, &wanted, |target, errno| {
                    let step = format!("making {} in the root {}", target.display(), path.display());
                    Error::start(step, errno.raw_os_error())
                })?;
                self.bind(path, *access, *owner)
            }
        }
    }

    fn tmpfs(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        size: u64,
        mode: u32,
        attributes: u64,
    ) -> Result<Slot, Error> {
        let slot = self.inside.tmpfs(name, size, mode, self.blank.kind.user(), attributes);
        self.outside.slots = self.inside.slots;
        slot
    }

    /// A detached copy of the mount at `source`.
    fn bind(&mut self, source: &Path, access: Access, owner: Owner) -> Result<Slot, Error> {
        let slot = self.slot();
        let idmap = self.idmap(owner);
        let recursive = idmap.is_none();
        let opening = format!("opening {}", source.display());
        self.outside(opening, Step::Clone { slot, dir: None, path: host_path(source)?, recursive });
        let what = if idmap.is_some() { STEP_IDMAP } else { "setting the attributes of" };
        let chown = if access == Access::Ro { None } else { self.owner() };
        let step = Step::Attributes { slot, set: attributes(access), recursive, idmap, chown };
        self.outside(format!("{what} {}", source.display()), step);
        Ok(slot)
    }

    fn overlay(&mut self, layers: &[(&Path, Owner)], upper: &Upper, blank: Slot) -> Result<Slot, Error> {
        let most = MAX_LAYERS;
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
        lower.push((self.skeleton(blank)?, "adding the layer of mount points".to_owned()));
        if lower.len() > MAX_LOWER {
            let rest = lower.split_off(MAX_LOWER - 1);
            let slot = self.overlay_of(rest, None);
            self.inside(STEP_OVERLAY, Step::Park { slot });
            lower.push((slot, "adding the overlay of the lower layers".to_owned()));
        }
        let upper = self.upper(upper)?;
        Ok(self.overlay_of(lower, upper))
    }

    /// An overlay of directories that are open.
    fn overlay_of(&mut self, lower: Vec<(Slot, String)>, upper: Option<(Slot, Slot)>) -> Slot {
        let (fs, slot) = (self.slot(), self.slot());
        self.inside(STEP_OVERLAY, Step::FsOpen { slot: fs, kind: c"overlay".to_owned() });
        for (dir, name) in lower {
            self.inside(name, Step::FsDir { fs, key: c"lowerdir+".to_owned(), dir });
        }
        if let Some((upper, work)) = upper {
            self.inside("adding the upper directory", Step::FsDir { fs, key: c"upperdir".to_owned(), dir: upper });
            self.inside("adding the work directory", Step::FsDir { fs, key: c"workdir".to_owned(), dir: work });
        }
        self.inside(STEP_OVERLAY, Step::FsFlag { fs, key: c"userxattr".to_owned() });
        for key in [c"xino", c"index"] {
            self.inside(STEP_OVERLAY, Step::FsString { fs, key: key.to_owned(), value: c"off".to_owned() });
        }
        let attributes = if upper.is_some() { SAFE } else { SAFE | MOUNT_ATTR_RDONLY };
        self.inside(STEP_OVERLAY, Step::FsMount { fs, slot, attributes });
        slot
    }

    /// A directory that overlayfs can take as a layer.
    fn layer(&mut self, path: &Path, owner: Owner, index: usize) -> Result<Slot, Error> {
        let slot = self.slot();
        let shown = path.display();
        let idmap = self.idmap(owner);
        let mut place = host_path(path)?.into_bytes();
        // So that a file is refused here, by its name.
        place.extend_from_slice(b"/.");
        let (path, recursive) = (c_string(OsStr::from_bytes(&place))?, idmap.is_none());
        self.outside(format!("opening layer {index} ({shown})"), Step::Clone { slot, dir: None, path, recursive });
        if idmap.is_some() {
            let set = SAFE | MOUNT_ATTR_RDONLY;
            let step = Step::Attributes { slot, set, recursive: false, idmap, chown: None };
            self.outside(format!("{STEP_IDMAP} layer {index} ({shown})"), step);
        }
        // Attached, though new kernels take others: to let go of a detached mount costs a grace period.
        self.inside(format!("attaching layer {index} ({shown})"), Step::Park { slot });
        Ok(slot)
    }

    /// A layer with nothing but the mount points, for the bottom: a read-only overlay could not be given them later.
    fn skeleton(&mut self, blank: Slot) -> Result<Slot, Error> {
        let room = self.room;
        let mut made = std::collections::BTreeSet::new();
        // The blank's own root has these, and nothing else.
        if room.proc && room.sys.is_some() && room.dev && room.tmp.is_some() {
            made.extend(STANDING.map(PathBuf::from));
            let points = self.mount_points(blank, &mut made)?;
            let lock = |closed| Step::Close { slot: blank, closed };
            if !points.is_empty() {
                let all = std::iter::once(lock(false)).chain(points).chain([lock(true)]);
                all.for_each(|step| self.inside(MOUNT_POINTS, step));
            }
            return Ok(blank);
        }
        let slot = self.tmpfs(MOUNT_POINTS, 1 << 20, 0o755, SAFE)?;
        self.inside(MOUNT_POINTS, Step::Park { slot });
        let points = self.mount_points(slot, &mut made)?;
        points.into_iter().for_each(|step| self.inside(MOUNT_POINTS, step));
        Ok(slot)
    }

    /// The steps that make, in `dir`, what the root must have and is not among those `made`.
    fn mount_points(&self, dir: Slot, made: &mut std::collections::BTreeSet<PathBuf>) -> Result<Vec<Step>, Error> {
        let (mut steps, owner) = (Vec::new(), self.owner());
        for (target, stand) in root_targets(self.room) {
            let mut path = PathBuf::new();
            let parts: Vec<_> = target.components().filter(|part| matches!(part, Component::Normal(_))).collect();
            for (index, part) in parts.iter().enumerate() {
                path.push(part);
                if made.insert(path.clone()) {
                    let path = c_string(&path)?;
                    steps.push(match stand {
                        Stand::File if index + 1 == parts.len() => Step::Touch { dir, path, owner },
                        Stand::Link(to) if index + 1 == parts.len() => {
                            Step::Symlink { dir, path, target: c_string(to)?, owner }
                        }
                        Stand::Folder { mode } if index + 1 == parts.len() => Step::Mkdir { dir, path, mode, owner },
                        _ => Step::Mkdir { dir, path, mode: 0o755, owner },
                    });
                }
            }
        }
        Ok(steps)
    }

    /// The upper and the work directory.
    fn upper(&mut self, upper: &Upper) -> Result<Option<(Slot, Slot)>, Error> {
        match upper {
            Upper::None => Ok(None),
            Upper::Tmpfs { size } => {
                let name = "making the upper directory in memory";
                let base = self.tmpfs(name, *size, 0o755, SAFE)?;
                self.inside(name, Step::Park { slot: base });
                let owner = self.owner();
                for path in [c"upper", c"work"] {
                    self.inside(name, Step::Mkdir { dir: base, path: path.to_owned(), mode: 0o755, owner });
                }
                Ok(Some((self.open_in(base, c"upper".to_owned(), name), self.open_in(base, c"work".to_owned(), name))))
            }
            Upper::Dir { upper, work } => {
                let (Some(parent), Some(upper_name), Some(work_name)) =
                    (upper.parent(), upper.file_name(), work.file_name())
                else {
                    return Err(Error::invalid("the upper and the work directory must not be roots"));
                };
                if upper_name == work_name {
                    return Err(Error::invalid("the upper and the work directory must be two"));
                }
                if work.parent() != Some(parent) {
                    return Err(Error::invalid("the upper and the work directory must stand in the same directory"));
                }
                self.claims.lock(upper)?;
                self.claims.lock(work)?;
                let base = self.bind(parent, Access::Rw, Owner::Caller)?;
                self.inside(format!("attaching {}", parent.display()), Step::Park { slot: base });
                let upper = self.open_in(base, c_string(upper_name)?, &format!("opening {}", upper.display()));
                let work = self.open_in(base, c_string(work_name)?, &format!("opening {}", work.display()));
                Ok(Some((upper, work)))
            }
        }
    }

    fn open_in(&mut self, base: Slot, path: CString, name: &str) -> Slot {
        let slot = self.slot();
        self.inside(name.to_owned(), Step::Open { slot, dir: Some(base), path });
        slot
    }

    fn place(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        mount: Slot,
        root: Slot,
        target: &Path,
        directory: bool,
    ) -> Result<(), Error> {
        let point = self.point(target, directory.then_some(0o755))?;
        self.inside(name, Step::Place { mount, root, point });
        Ok(())
    }

    /// A place in the room: a directory with this mode, if it is made, or a file.
    fn point(&self, target: &Path, directory: Option<u32>) -> Result<MountPoint, Error> {
        let (mut prefixes, mut names, mut whole) = (Vec::new(), Vec::new(), PathBuf::from("/"));
        for part in target.components() {
            if let Component::Normal(part) = part {
                whole.push(part);
                prefixes.push(c_string(&whole)?);
                names.push(c_string(part)?);
            }
        }
        Ok(MountPoint { prefixes, names, directory, owner: self.owner() })
    }

    /// What the blank has already, and `/proc`.
    fn own_mounts(&mut self, root: Slot, blank: Slot, proc: Option<Slot>) -> Result<(), Error> {
        self.fresh_proc(root, proc, Some(blank))?;
        let room = self.room;
        let ready = [(room.sys.is_some(), "/sys"), (room.dev, "/dev"), (room.tmp.is_some(), "/tmp")];
        for (_, path) in ready.into_iter().filter(|(there, _)| *there) {
            let point = self.point(Path::new(path), Some(0o755))?;
            self.inside(
                format!("mounting {path}"),
                Step::Take { from: blank, path: c_string(&path[1..])?, root, point },
            );
        }
        Ok(())
    }

    /// Puts `/proc` in its place; `made` is a root on which the blank's own `/dev` lies, if it has one.
    fn fresh_proc(&mut self, root: Slot, proc: Option<Slot>, made: Option<Slot>) -> Result<(), Error> {
        let Some(proc) = proc else { return Ok(()) };
        self.place(STEP_PROC, proc, root, Path::new("/proc"), true)?;
        self.cover(proc, made.filter(|_| self.room.dev));
        Ok(())
    }

    /// A fresh `/proc`, detached. Made outside: the kernel gives an ordinary user one only where he sees another.
    fn proc(&mut self) -> Slot {
        let (fs, slot) = (self.slot(), self.slot());
        self.outside(STEP_PROC, Step::FsOpen { slot: fs, kind: c"proc".to_owned() });
        self.outside(STEP_PROC, Step::FsMount { fs, slot, attributes: SAFE | MOUNT_ATTR_NOEXEC });
        slot
    }

    fn cover(&mut self, proc: Slot, devices: Option<Slot>) {
        for &(path, hidden) in covers(self.blank.kind.user_is_root()) {
            let name = format!("covering /proc/{}", path.to_string_lossy());
            let cover = if hidden { Cover::Null(self.null(&name, devices)) } else { Cover::ReadOnly };
            self.inside(name, Step::Hide { root: proc, path: path.to_owned(), cover });
        }
    }

    /// A read-only mount of the null device: a copy of the one that the blank has in its `/dev`, or of the host's.
    fn null(&mut self, name: &str, devices: Option<Slot>) -> Slot {
        let slot = self.slot();
        if devices.is_some() {
            let path = c"dev/null".to_owned();
            self.inside(name.to_owned(), Step::Clone { slot, dir: devices, path, recursive: false });
            return slot;
        }
        let (dir, path) = (None, c"/dev/null".to_owned());
        self.outside(name.to_owned(), Step::Clone { slot, dir, path, recursive: false });
        let set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
        let step = Step::Attributes { slot, set, recursive: false, idmap: None, chown: None };
        self.outside(name.to_owned(), step);
        slot
    }

    /// Prepares what [`Mount::Data`] shows: files in memory, on a mount that `/proc` then covers. A part of a mount that is attached
    /// nowhere cannot be copied.
    fn data(&mut self, root: Slot) -> Result<(), Error> {
        let files = self.room.mounts.iter().filter_map(|mount| match mount {
            Mount::Data { contents, mode, access, target } => Some((contents, *mode, *access, target)),
            _ => None,
        });
        let files: Vec<_> = files.collect();
        if files.is_empty() {
            return Ok(());
        }
        let name = "making the files of data";
        let size = SPARE + taken(files.iter().map(|(contents, ..)| contents.as_slice()));
        let store = self.tmpfs(name, size, 0o755, SAFE)?;
        self.place(name, store, root, Path::new("/proc"), true)?;
        let mut made = Vec::new();
        for (number, (contents, mode, access, target)) in files.into_iter().enumerate() {
            let (slot, path) = (self.slot(), c_string(number.to_string())?);
            let name = format!("making the data of {}", target.display());
            let file = Content { bytes: contents.clone(), mode, owner: self.owner() };
            self.inside(name.clone(), Step::Fill { dir: store, path: path.clone(), file });
            self.inside(name.clone(), Step::Clone { slot, dir: Some(store), path, recursive: false });
            let set = attributes(access);
            self.inside(name, Step::Attributes { slot, set, recursive: false, idmap: None, chown: None });
            made.push(slot);
        }
        self.data = made.into_iter();
        Ok(())
    }

    /// All that is named, in its order.
    fn mounts(&mut self, root: Slot) -> Result<(), Error> {
        let room = self.room;
        let in_dev = |mount: &Mount| mount.target().starts_with("/dev") && mount.target() != Path::new("/dev");
        let opened = room.dev && room.mounts.iter().any(in_dev);
        let lock = |closed| Step::Lock { root, path: c"/dev".to_owned(), closed };
        if opened {
            self.inside("opening /dev", lock(false));
        }
        for mount in &room.mounts {
            self.mount(root, mount)?;
        }
        if opened && !room.mounts.iter().any(|mount| mount.target() == Path::new("/dev")) {
            self.inside("closing /dev", lock(true));
        }
        Ok(())
    }

    fn mount(&mut self, root: Slot, mount: &Mount) -> Result<(), Error> {
        let name = format!("mounting {}", mount.target().display());
        let slot = match mount {
            Mount::Bind { source, access, owner, .. } => self.bind(source, *access, *owner)?,
            Mount::Tmpfs { size, mode, .. } => self.tmpfs(name.clone(), *size, *mode, SAFE)?,
            Mount::Data { .. } => self.data.next().ok_or_else(|| Error::invalid("data was not prepared"))?,
            Mount::Queues { .. } => self.queues(&name),
            _ => return self.change(root, mount),
        };
        self.place(name, slot, root, mount.target(), is_directory(mount))
    }

    fn queues(&mut self, name: &str) -> Slot {
        let (fs, slot) = (self.slot(), self.slot());
        self.inside(name.to_owned(), Step::FsOpen { slot: fs, kind: c"mqueue".to_owned() });
        self.inside(name.to_owned(), Step::FsMount { fs, slot, attributes: SAFE | MOUNT_ATTR_NOEXEC });
        slot
    }

    /// What is no mount but made, or changed, in those that are there.
    fn change(&mut self, root: Slot, mount: &Mount) -> Result<(), Error> {
        let target = mount.target();
        let shown = target.display();
        let nowhere = || Error::invalid(format!("{shown} cannot be a file or a link"));
        let (what, step) = match mount {
            Mount::Folder { mode, .. } => ("making", Step::Folder { root, point: self.point(target, Some(*mode))? }),
            Mount::Link { to, .. } => {
                let (folder, name) = self.entry(target).ok_or_else(nowhere)??;
                ("making the link", Step::Link { root, folder, name, target: c_string(to)?, owner: self.owner() })
            }
            Mount::File { contents, mode, .. } => {
                let (folder, name) = self.entry(target).ok_or_else(nowhere)??;
                let file = Content { bytes: contents.clone(), mode: *mode, owner: self.owner() };
                (STEP_WRITE, Step::Put { root, folder, name, file })
            }
            Mount::Mode { mode, .. } => {
                ("setting the mode of", Step::Mode { root, path: c_string(target)?, mode: *mode })
            }
            Mount::ReadOnly { .. } => ("making read-only", Step::Lock { root, path: c_string(target)?, closed: true }),
            Mount::Bind { .. } | Mount::Tmpfs { .. } | Mount::Data { .. } | Mount::Queues { .. } => return Ok(()),
        };
        self.inside(format!("{what} {shown}"), step);
        Ok(())
    }

    /// The folder and the name of an entry.
    fn entry(&self, target: &Path) -> Option<Result<(MountPoint, CString), Error>> {
        let (folder, name) = (target.parent()?, target.file_name()?);
        Some(self.point(folder, Some(0o755)).and_then(|folder| Ok((folder, c_string(name)?))))
    }
}

/// Bytes that files with these contents take in memory.
fn taken<'a>(files: impl Iterator<Item = &'a [u8]>) -> u64 {
    files.map(|contents| (contents.len() as u64).next_multiple_of(4096)).sum()
}

fn attributes(access: Access) -> u64 {
    match access {
        Access::Ro => SAFE | MOUNT_ATTR_RDONLY,
        Access::Rw => SAFE,
        Access::Devices => MOUNT_ATTR_NOSUID,
    }
}

/// What is covered below `/proc`, and whether it is hidden or only made read-only: for a program with root's own id everything
/// that could matter; for others what the mode bits of the host do not close already.
pub(crate) fn covers(root: bool) -> &'static [(&'static CStr, bool)] {
    const SYS: (&CStr, bool) = (c"sys", false);
    const ALL: [(&CStr, bool); 23] = [
        SYS,
        (c"sysrq-trigger", false),
        (c"irq", false),
        (c"bus", false),
        (c"fs", false),
        (c"acpi", false),
        (c"scsi", false),
        (c"asound", false),
        (c"driver", false),
        (c"mtrr", false),
        (c"dynamic_debug", false),
        (c"kcore", true),
        (c"keys", true),
        (c"key-users", true),
        (c"kmsg", true),
        (c"timer_list", true),
        (c"sched_debug", true),
        (c"latency_stats", true),
        (c"kpagecount", true),
        (c"kpageflags", true),
        (c"kpagecgroup", true),
        // What names this machine and this run of it.
        (c"cmdline", true),
        (c"sys/kernel/random/boot_id", true),
    ];
    static THERE: OnceLock<Vec<(&'static CStr, bool)>> = OnceLock::new();
    static OPEN: OnceLock<Vec<(&'static CStr, bool)>> = OnceLock::new();
    let there = |path: &CStr| Path::new("/proc").join(OsStr::from_bytes(path.to_bytes())).exists();
    if root {
        THERE.get_or_init(|| ALL.into_iter().filter(|(path, _)| there(path)).collect())
    } else {
        let own = rustix::process::geteuid().as_raw();
        OPEN.get_or_init(|| {
            ALL.into_iter().filter(|cover| *cover == SYS || (cover.1 && is_open(cover.0, own))).collect()
        })
    }
}

/// Whether this file of `/proc` is there and anybody but its owner may read or write it, or `own` is its owner.
fn is_open(path: &CStr, own: u32) -> bool {
    use std::os::unix::fs::MetadataExt;
    let path = format!("/proc/{}", path.to_string_lossy());
    std::fs::metadata(path).is_ok_and(|found| found.mode() & 0o077 != 0 || (found.uid() == own && own != 0))
}

fn read_only(slot: Slot) -> Step {
    Step::Attributes { slot, set: MOUNT_ATTR_RDONLY, recursive: false, idmap: None, chown: None }
}
