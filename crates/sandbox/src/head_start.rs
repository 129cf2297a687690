//! The network of a room that is not known yet.

use std::borrow::Cow;
use std::os::fd::{OwnedFd, RawFd};

use crate::blank::{Blank, Early, Kind, early};
use crate::plan::Caller;
use crate::spawn::{explain, spawn_of};
use crate::steps::Steps;
use crate::sys::namespaces::Making;
use crate::sys::step::Slot;
use crate::{Child, Error, Room, Root};

/// What takes the kernel longest for a room, begun before it is known what room it will be.
///
/// For a program that is started for the sake of one room: it begins first, and reads its command line while the kernel makes the
/// network. It helps rooms with a loopback of their own, those of an ordinary user if their program is user and group 1000 as
/// [`Room::new`] has it, and changes nothing else. A [`Stock`](crate::Stock) is for programs that make many rooms.
///
/// ```no_run
/// use sandbox::{Access, HeadStart, Room, Root};
///
/// let start = HeadStart::begin();
/// let mut words = std::env::args_os().skip(1);
/// let mut room = Room::new(Root::dir("/", Access::Ro), words.next().unwrap_or_default());
/// room.args(words);
/// let outcome = start.spawn(&room)?.wait()?;
/// # Ok::<(), sandbox::Error>(())
/// ```
#[derive(Debug)]
pub struct HeadStart(Option<Network>);

/// A network that is being made, by a process that shares this one's memory and descriptors until it ends.
#[derive(Debug)]
pub(crate) struct Network {
    /// The kind of room that it was begun for.
    kind: Kind,
    making: Making,
    /// The names of the steps.
    names: Vec<Cow<'static, str>>,
    user: Option<Slot>,
    net: Option<Slot>,
}

impl HeadStart {
    /// Begins.
    pub fn begin() -> Self {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let caller = if uid.is_root() {
            Caller::Root { idmap: None }
        } else {
            Caller::User { uid: uid.as_raw(), gid: gid.as_raw() }
        };
        // What was refused will be refused again to the room that wants it.
        Self(Network::begin(Kind::of(&Room::new(Root::Empty, ""), &caller)))
    }

    /// As [`Room::spawn`].
    ///
    /// # Errors
    /// Those of [`Room::spawn`].
    pub fn spawn(self, room: &Room) -> Result<Child, Error> {
        let made = spawn_of(room, |kind, maps| Blank::make(kind, maps, self.0.filter(|network| network.is_for(kind))));
        Ok(made?.0)
    }
}

impl Network {
    fn begin(kind: Kind) -> Option<Self> {
        let mut steps = Steps::default();
        let Early { user, net, aside } = early(&mut steps, &kind);
        let Steps { steps, names, slots } = steps;
        let making = Making::begin(0, steps, aside, slots).ok()?;
        Some(Self { kind, making, names, user, net })
    }

    fn is_for(&self, kind: &Kind) -> bool {
        kind.can_have_network_of(&self.kind) && self.user.is_none_or(|_| self.user().is_some())
    }

    /// The namespace of users that it belongs to, for a caller who is not root. It has its maps.
    pub(crate) fn user(&self) -> Option<RawFd> {
        self.user.and_then(|slot| self.making.ready(slot))
    }

    /// Waits for it.
    pub(crate) fn finish(self) -> Result<Option<OwnedFd>, Error> {
        let mut made = self.making.finish().map_err(|refused| explain(&self.names, refused))?;
        Ok(self.net.and_then(|slot| made.get_mut(slot).and_then(Option::take)))
    }
}
