//! A blank room: everything of a room that does not depend on what it is for, ready to be entered.
//!
//! It is a handful of namespaces without a process: all but those of processes and control groups. The mount namespace holds an
//! empty root, or for rooms on the host's own `/` a copy of that, with `/dev`, `/sys` and `/tmp` on it, all of them the room's own;
//! the network namespace is new and its loopback is up. Nothing in a blank has ever been used.

use std::borrow::Cow;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use crate::error::{STEP_MAPS, STEP_NAMESPACES, STEP_PIVOT, STEP_RANGE};
use crate::plan::{Caller, STANDING, c_string, is_whole};
use crate::range;
use crate::spawn::explain;
use crate::steps::Steps;
use crate::sys::dumpable;
use crate::sys::namespaces::{Aside, Making};
use crate::sys::raw::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use crate::sys::step::{MountPoint, Ownership, Slot, Step};
use crate::sys::userns::{Extent, userns, write_maps};
use crate::{Error, Ids, Net, Profile, Room, Session, Sysfs};

const SAFE: u64 = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

const OPENING: &str = "opening the namespaces";
const KEEPING: &str = "keeping mounts to the room";

/// What blanks differ in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// The caller's user and group.
    caller: (u32, u32),
    root: bool,
    profile: Profile,
    ids: Ids,
    /// Of the program on the host, where that is another than the set-up's.
    host: Ids,
    range: Option<u32>,
    /// Whether its root is the host's own, read-only, with all that is mounted there: then that is a part of the blank.
    pub whole: bool,
    net: Net,
    dev: bool,
    sys: Option<Sysfs>,
    tmp: Option<u64>,
    pty: bool,
}

impl Kind {
    pub(crate) fn of(room: &Room, caller: &Caller) -> Self {
        let (root, user) = match caller {
            Caller::User { uid, gid } => (false, (*uid, *gid)),
            Caller::Root { .. } => (true, (0, 0)),
        };
        Self {
            caller: user,
            root,
            profile: room.profile,
            ids: room.program_ids(),
            host: room.host_ids(),
            range: room.range,
            whole: is_whole(room),
            net: room.net,
            dev: room.dev,
            sys: room.sys,
            tmp: room.tmp,
            pty: room.session == Session::Pty,
        }
    }

    /// Whether it has a copy of the caller's mounts.
    pub(crate) fn copies_mounts(&self) -> bool {
        !self.root || self.whole
    }

    /// Whether a room of this kind can have the network that was begun for one of the `other`.
    fn can_have_network_of(&self, other: &Self) -> bool {
        let same = (self.root, self.net, self.caller) == (other.root, other.net, other.caller);
        let alone = |kind: &Self| kind.net != Net::Host && !kind.mounts_need_network();
        let same_user = || self.range.is_none() && other.range.is_none() && self.user() == other.user();
        same && alone(self) && alone(other) && (self.root || same_user())
    }

    /// Whether its network is made in a namespace of users of its own, at the same time as its mounts.
    fn user_comes_with_network(&self) -> bool {
        !self.root && self.range.is_none() && self.net != Net::Host && !self.mounts_need_network()
    }

    /// The kinds of namespaces in which its mounts are made.
    fn namespaces(&self) -> i32 {
        let user = if self.root { 0 } else { libc::CLONE_NEWUSER };
        let net = if self.mounts_need_network() { libc::CLONE_NEWNET } else { 0 };
        libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | user | net
    }

    /// Whether its mounts must be made where its network is: `/sys` shows that of whoever mounts it.
    fn mounts_need_network(&self) -> bool {
        self.net != Net::Host && self.sys == Some(Sysfs::Real)
    }

    /// Owner of what the set-up makes, where that is not the set-up's own user.
    pub(crate) fn owner(&self) -> Option<Ownership> {
        let other = self.root && self.profile == Profile::Build;
        other.then_some(Ownership { uid: self.host.uid, gid: self.host.gid })
    }

    /// Whether the program has the id of the host's root.
    pub(crate) fn user_is_root(&self) -> bool {
        self.root && self.profile == Profile::Script
    }

    /// The room's user, as a number in the namespace of the set-up.
    pub(crate) fn user(&self) -> Ownership {
        self.owner().unwrap_or(Ownership { uid: self.ids.uid, gid: self.ids.gid })
    }
}

/// A blank room.
#[derive(Debug)]
pub(crate) struct Blank {
    pub kind: Kind,
    /// For root the namespace of the program, for a user that of the whole room.
    pub user: OwnedFd,
    /// The network, where that is the room's own.
    pub net: Option<OwnedFd>,
    /// The names of the host, and what processes share by number or name.
    uts: OwnedFd,
    ipc: OwnedFd,
    /// A copy of the caller's mounts over which the room has power, where the caller has none over his own.
    pub host: Option<OwnedFd>,
    /// The other end of the room's terminal, where it has one.
    pub pty: Option<OwnedFd>,
    /// The room's mounts.
    pub mounts: OwnedFd,
}

impl Blank {
    /// Makes a blank of this kind; `maps` are those of the program for a caller who is root, and `network` is one that is being
    /// made for it.
    pub(crate) fn make(kind: &Kind, maps: &Maps, network: Option<Network>) -> Result<Self, Error> {
        Begun::begin(kind, maps, network)?.finish(maps)
    }

    /// The namespaces to enter before the room's processes exist, in this order.
    pub(crate) fn outer(&self) -> Vec<(RawFd, i32)> {
        let mut outer = Vec::new();
        if !self.kind.root {
            outer.push((self.user.as_raw_fd(), libc::CLONE_NEWUSER));
        }
        outer.extend(self.net.iter().map(|net| (net.as_raw_fd(), libc::CLONE_NEWNET)));
        outer.extend(self.host.iter().map(|host| (host.as_raw_fd(), libc::CLONE_NEWNS)));
        outer.extend([(self.uts.as_raw_fd(), libc::CLONE_NEWUTS), (self.ipc.as_raw_fd(), libc::CLONE_NEWIPC)]);
        outer
    }
}

/// A blank that is being made, by processes that share this one's memory and descriptors until they end.
#[derive(Debug)]
pub(crate) struct Begun {
    kind: Kind,
    making: Making,
    /// The names of the steps.
    names: Vec<Cow<'static, str>>,
    made: Places,
    /// A network that somebody else makes for it.
    network: Option<Network>,
    /// The namespace of users of a range.
    _range: Option<OwnedFd>,
    lost: Option<dumpable::Lost>,
}

impl Begun {
    /// Begins a blank of this kind.
    pub(crate) fn begin(kind: &Kind, maps: &Maps, network: Option<Network>) -> Result<Self, Error> {
        let range = (!kind.root && kind.range.is_some()).then(|| userns(|pid| range::write(pid, maps))).transpose()?;
        let range = range.map(|(range, _)| range);
        let user = range.as_ref().map(AsRawFd::as_raw_fd).or_else(|| network.as_ref().and_then(Network::user));
        let no_network = kind.net == Net::Host || network.is_some();
        let plan = Planner { kind, user, no_network, steps: Steps::default(), names: None, pty: None }.whole()?;
        // Where the namespace of users is made by somebody else, or there is none, a step makes the others.
        let joins = user.is_some() || kind.user_comes_with_network();
        let kinds = if joins || kind.root { 0 } else { kind.namespaces() };
        let lost = joins.then(dumpable::Lost::allow);
        let Steps { steps, names, slots } = plan.steps;
        let making = Making::begin(kinds, steps, plan.aside, slots).map_err(|refused| explain(&names, refused))?;
        Ok(Self { kind: kind.clone(), making, names, made: plan.made, network, _range: range, lost })
    }

    /// Waits for it.
    pub(crate) fn finish(self, maps: &Maps) -> Result<Blank, Error> {
        let Self { kind, making, names, made: places, network, lost, .. } = self;
        let program = kind.root.then(|| userns(|pid| write_maps(pid, maps)));
        crate::spawn::prepare(&kind);
        let made = making.finish();
        drop(lost);
        // The processes that made them end side by side.
        let program = program.transpose()?.map(|(program, _)| program);
        let mut made = made.map_err(|refused| explain(&names, refused))?;
        let network = network.map(Network::finish).transpose()?.flatten();
        let mut take = |slot: Option<Slot>| slot.and_then(|slot| made.get_mut(slot).and_then(Option::take));
        let missing = || Error::start(OPENING, libc::EBADF);
        let (user, net) = (take(places.user), take(places.net).or(network));
        if net.is_none() && kind.net != Net::Host {
            return Err(missing());
        }
        let (host, pty) = (take(places.host), take(places.pty));
        let mut taken = |slot| take(Some(slot)).ok_or_else(missing);
        let (uts, ipc, mounts) = (taken(places.uts)?, taken(places.ipc)?, taken(places.mounts)?);
        let user = program.or(user).ok_or_else(missing)?;
        Ok(Blank { kind, user, net, uts, ipc, host, pty, mounts })
    }

    /// The blank, if it is of this kind.
    pub(crate) fn of(self, kind: &Kind) -> Result<Self, Option<Network>> {
        if self.kind == *kind { Ok(self) } else { Err(self.network_for(kind)) }
    }

    /// Its network alone, if a room of another kind can have that.
    fn network_for(self, kind: &Kind) -> Option<Network> {
        let Self { kind: own, making, names, made: Places { user, net, .. }, lost, .. } = self;
        making.give_up();
        let network = Network { making, names, user, net, _lost: lost };
        let is_for = kind.can_have_network_of(&own) && user.is_none_or(|_| network.user().is_some());
        is_for.then_some(network)
    }
}

/// The network of a blank that was begun for a room of another kind.
#[derive(Debug)]
pub(crate) struct Network {
    making: Making,
    names: Vec<Cow<'static, str>>,
    user: Option<Slot>,
    net: Option<Slot>,
    _lost: Option<dumpable::Lost>,
}

impl Network {
    /// The namespace of users that it belongs to, for a caller who is not root. It has its maps.
    fn user(&self) -> Option<RawFd> {
        self.user.and_then(|slot| self.making.ready(slot))
    }

    /// Waits for it.
    fn finish(self) -> Result<Option<OwnedFd>, Error> {
        let mut made = self.making.finish().map_err(|refused| explain(&self.names, refused))?;
        Ok(self.net.and_then(|slot| made.get_mut(slot).and_then(Option::take)))
    }
}

/// The maps of a namespace for the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Maps {
    pub users: Vec<Extent>,
    pub groups: Vec<Extent>,
}

/// The steps, and what comes out of them.
struct Plan {
    steps: Steps,
    aside: Aside,
    made: Places,
}

/// The slots of what a blank is made of.
#[derive(Debug)]
struct Places {
    user: Option<Slot>,
    net: Option<Slot>,
    uts: Slot,
    ipc: Slot,
    host: Option<Slot>,
    pty: Option<Slot>,
    mounts: Slot,
}

struct Planner<'a> {
    kind: &'a Kind,
    /// A namespace of users that has its maps already.
    user: Option<RawFd>,
    /// Whether it has the host's network, or somebody else makes its own.
    no_network: bool,
    steps: Steps,
    /// The directory of this process' namespaces.
    names: Option<Slot>,
    pty: Option<Slot>,
}

impl Planner<'_> {
    fn whole(mut self) -> Result<Plan, Error> {
        let inner = self.kind.namespaces() & !libc::CLONE_NEWUSER;
        let with_network = self.user.is_none() && self.kind.user_comes_with_network();
        let no_network = self.no_network || self.kind.mounts_need_network();
        let Early { user: early_user, net, aside } = if with_network || (self.kind.root && !no_network) {
            early(&mut self.steps, self.kind)
        } else {
            self.outer(inner)
        };
        if let Some(slot) = early_user {
            self.steps.push(STEP_NAMESPACES, Step::Join { slot, kind: libc::CLONE_NEWUSER });
        }
        if early_user.is_some() || (self.kind.root && !no_network) {
            self.steps.push(STEP_NAMESPACES, Step::Unshare { kinds: inner });
        }
        let names = self.steps.slot();
        self.names = Some(names);
        self.steps.push(OPENING, Step::Open { slot: names, dir: None, path: c"/proc/self/ns".to_owned() });
        let user = early_user.or_else(|| (!self.kind.root).then(|| self.namespace(c"user")));
        let (uts, ipc) = (self.namespace(c"uts"), self.namespace(c"ipc"));
        let host = (!self.kind.root).then(|| {
            // What the caller unmounts later must not be held by the copy.
            self.steps.push(KEEPING, Step::Propagate { kind: libc::MS_SLAVE });
            let host = self.namespace(c"mnt");
            self.steps.push(STEP_NAMESPACES, Step::Unshare { kinds: libc::CLONE_NEWNS });
            host
        });
        self.mounts()?;
        let mounts = self.namespace(c"mnt");
        Ok(Plan { steps: self.steps, aside, made: Places { user, net, uts, ipc, host, pty: self.pty, mounts } })
    }

    /// The namespace of users and the network, where these do not come before all else.
    fn outer(&mut self, inner: i32) -> Early {
        if let Some(namespace) = self.user {
            self.steps.push(STEP_RANGE, Step::Enter { namespace, kind: libc::CLONE_NEWUSER });
            self.steps.push(STEP_NAMESPACES, Step::Unshare { kinds: inner });
        } else if self.kind.root {
            self.steps.push(STEP_NAMESPACES, Step::Unshare { kinds: inner });
        } else {
            map_user(&mut self.steps, self.kind);
        }
        let mapped = self.steps.steps.len();
        let mut end = mapped;
        let net = (!self.no_network).then(|| {
            if self.kind.mounts_need_network() {
                loopback(&mut self.steps, self.kind.net);
                return self.namespace(c"/proc/self/ns/net");
            }
            let net = network(&mut self.steps, self.kind.net);
            end = self.steps.steps.len();
            net
        });
        Early { user: None, net, aside: Aside { steps: mapped..end, kinds: 0, ready: mapped } }
    }

    /// Opens one of the namespaces of the process that does it.
    fn namespace(&mut self, name: &std::ffi::CStr) -> Slot {
        namespace(&mut self.steps, self.names, name)
    }

    fn tmpfs(&mut self, name: &'static str, size: u64, mode: u32, attributes: u64) -> Result<Slot, Error> {
        self.steps.tmpfs(name, size, mode, self.kind.user(), attributes)
    }

    /// The copy of the host's mounts that this namespace is, as the room's.
    fn host_root(&mut self) -> Slot {
        // Nor by this copy.
        self.steps.push(KEEPING, Step::Propagate { kind: libc::MS_SLAVE });
        let (slot, name) = (self.steps.slot(), "opening the root /");
        self.steps.push(name, Step::Open { slot, dir: None, path: c"/".to_owned() });
        self.steps.push(name, Step::Restrict { slot, set: SAFE | MOUNT_ATTR_RDONLY });
        slot
    }

    /// An empty root.
    fn own_root(&mut self) -> Result<Slot, Error> {
        self.steps.push(KEEPING, Step::Propagate { kind: libc::MS_PRIVATE });
        let owner = self.set_up();
        let root = self.steps.tmpfs("making a root", 1 << 20, 0o755, owner, SAFE)?;
        for name in STANDING {
            let path = c_string(name)?;
            self.steps.push("making a root", Step::Mkdir { dir: root, path, mode: 0o755, owner: None });
        }
        self.steps.push("attaching the root", Step::Park { slot: root });
        Ok(root)
    }

    /// A root with what every room of this kind has.
    fn mounts(&mut self) -> Result<(), Error> {
        let devices = if self.kind.dev { self.devices()? } else { Vec::new() };
        let root = if self.kind.whole { self.host_root() } else { self.own_root()? };
        if let Some(sys) = self.kind.sys {
            self.sys(root, sys)?;
        }
        if self.kind.dev {
            self.dev(root, devices)?;
        }
        if let Some(size) = self.kind.tmp {
            let tmp = self.tmpfs("mounting /tmp", size, 0o1777, SAFE)?;
            self.place("mounting /tmp", tmp, root, c"tmp");
        }
        if !self.kind.whole {
            let set = MOUNT_ATTR_RDONLY;
            let step = Step::Attributes { slot: root, set, recursive: false, idmap: None, chown: None };
            self.steps.push("making a root", step);
            self.steps.push(STEP_PIVOT, Step::Pivot { slot: root });
        }
        Ok(())
    }

    /// The set-up itself, in its own terms.
    fn set_up(&self) -> Ownership {
        if self.kind.root { Ownership { uid: 0, gid: 0 } } else { self.kind.user() }
    }

    fn place(&mut self, name: impl Into<Cow<'static, str>>, mount: Slot, root: Slot, at: &std::ffi::CStr) {
        let mut whole = b"/".to_vec();
        whole.extend_from_slice(at.to_bytes());
        let prefixes = std::ffi::CString::new(whole).into_iter().collect();
        // Whose a directory is that a mount covers nobody sees.
        let point = MountPoint { prefixes, names: vec![at.to_owned()], directory: Some(0o755), owner: None };
        self.steps.push(name, Step::Place { mount, root, point });
    }

    fn sys(&mut self, root: Slot, sys: Sysfs) -> Result<(), Error> {
        let name = "mounting /sys";
        let own_network = self.kind.net != Net::Host || self.kind.root;
        let attributes = SAFE | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY;
        let slot = if sys == Sysfs::Real && own_network {
            let (fs, slot) = (self.steps.slot(), self.steps.slot());
            self.steps.push(name, Step::FsOpen { slot: fs, kind: c"sysfs".to_owned() });
            self.steps.push(name, Step::FsMount { fs, slot, attributes });
            slot
        } else {
            self.tmpfs(name, 4096, 0o555, attributes)?
        };
        self.place(name, slot, root, c"sys");
        Ok(())
    }

    /// The devices of `/dev`, detached, with the point where each belongs. To be taken before the host's `/dev` is closed to
    /// devices, or covered.
    fn devices(&mut self) -> Result<Vec<(Slot, MountPoint)>, Error> {
        let mut devices = Vec::new();
        for device in ["null", "zero", "full", "random", "urandom", "tty"] {
            let (slot, source) = (self.steps.slot(), format!("/dev/{device}"));
            self.steps.push(
                format!("opening {source}"),
                Step::Clone { slot, dir: None, path: c_string(&source)?, recursive: false },
            );
            // Read-only keeps mode and owner of the host's node; the device itself is read and written all the same.
            let set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY;
            let step = Step::Attributes { slot, set, recursive: false, idmap: None, chown: None };
            self.steps.push(format!("opening {source}"), step);
            let names = vec![c_string(device)?];
            let prefixes = vec![c_string(Path::new("/").join(device))?];
            let point = MountPoint { prefixes, names, directory: None, owner: None };
            devices.push((slot, point));
        }
        Ok(devices)
    }

    fn dev(&mut self, root: Slot, devices: Vec<(Slot, MountPoint)>) -> Result<(), Error> {
        let name = "mounting /dev";
        let dev = self.tmpfs(name, 1 << 20, 0o755, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)?;
        self.place(name, dev, root, c"dev");
        for (mount, point) in devices {
            self.steps.push("mounting the devices", Step::Place { mount, root: dev, point });
        }
        let pts = self.pts()?;
        self.place("mounting /dev/pts", pts, dev, c"pts");
        let shm = self.tmpfs("mounting /dev/shm", 1 << 28, 0o1777, SAFE)?;
        self.place("mounting /dev/shm", shm, dev, c"shm");
        let owner = self.kind.owner();
        let links = [
            (c"ptmx", c"pts/ptmx"),
            (c"fd", c"/proc/self/fd"),
            (c"stdin", c"fd/0"),
            (c"stdout", c"fd/1"),
            (c"stderr", c"fd/2"),
        ];
        for (path, target) in links {
            let (path, target) = (path.to_owned(), target.to_owned());
            self.steps.push("making the links of /dev", Step::Symlink { dir: dev, path, target, owner });
        }
        let set = MOUNT_ATTR_RDONLY;
        let step = Step::Attributes { slot: dev, set, recursive: false, idmap: None, chown: None };
        self.steps.push("making /dev read-only", step);
        Ok(())
    }

    /// An instance of the pseudo-terminals of its own.
    fn pts(&mut self) -> Result<Slot, Error> {
        let name = "mounting /dev/pts";
        let (fs, pts) = (self.steps.slot(), self.steps.slot());
        self.steps.push(name, Step::FsOpen { slot: fs, kind: c"devpts".to_owned() });
        for (key, value) in [(c"ptmxmode", c"0666"), (c"mode", c"0620")] {
            self.steps.push(name, Step::FsString { fs, key: key.to_owned(), value: value.to_owned() });
        }
        let attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
        self.steps.push(name, Step::FsMount { fs, slot: pts, attributes });
        if let Some(owner) = self.kind.owner() {
            self.steps.push(name, Step::Chown { dir: pts, path: c"ptmx".to_owned(), owner });
        }
        if self.kind.pty {
            let slot = self.steps.slot();
            let flags = libc::O_RDWR | libc::O_NOCTTY;
            self.steps.push("making a terminal", Step::File { slot, dir: Some(pts), name: c"ptmx".to_owned(), flags });
            self.pty = Some(slot);
        }
        Ok(pts)
    }
}

/// What is made before all else, or beside it, and by which steps.
struct Early {
    /// The namespace of users that the network belongs to, for a caller who is not root.
    user: Option<Slot>,
    net: Option<Slot>,
    aside: Aside,
}

/// Adds the steps of a second process from its first on.
fn early(steps: &mut Steps, kind: &Kind) -> Early {
    let user = (!kind.root).then(|| {
        map_user(steps, kind);
        namespace(steps, None, c"/proc/self/ns/user")
    });
    let ready = steps.steps.len();
    let net = Some(network(steps, kind.net));
    let kinds = if kind.root { 0 } else { libc::CLONE_NEWUSER };
    Early { user, net, aside: Aside { steps: 0..steps.steps.len(), kinds, ready } }
}

fn map_user(steps: &mut Steps, kind: &Kind) {
    let ((uid, gid), inside) = (kind.caller, kind.user());
    let mark = dumpable::marked();
    let lines = [
        (c"/proc/self/setgroups", "deny".to_owned()),
        (c"/proc/self/uid_map", format!("{} {uid} 1\n", inside.uid)),
        (c"/proc/self/gid_map", format!("{} {gid} 1\n", inside.gid)),
    ];
    for (path, data) in lines {
        steps.push(STEP_MAPS, Step::Write { path: path.to_owned(), data: data.into_bytes(), mark });
    }
}

/// Makes a network of its own.
fn network(steps: &mut Steps, net: Net) -> Slot {
    steps.push(STEP_NAMESPACES, Step::Unshare { kinds: libc::CLONE_NEWNET });
    loopback(steps, net);
    namespace(steps, None, c"/proc/self/ns/net")
}

fn loopback(steps: &mut Steps, net: Net) {
    if net == Net::Loopback {
        steps.push("bringing the loopback up", Step::LoopbackUp);
    }
}

fn namespace(steps: &mut Steps, dir: Option<Slot>, name: &std::ffi::CStr) -> Slot {
    let (slot, name) = (steps.slot(), name.to_owned());
    steps.push(OPENING, Step::File { slot, dir, name, flags: libc::O_RDONLY });
    slot
}
