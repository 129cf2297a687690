//! The network of a room that is not known yet.

use std::os::fd::OwnedFd;
use std::sync::LazyLock;

use crate::blank::{Blank, Kind, network};
use crate::spawn::{explain, spawn_of};
use crate::steps::Steps;
use crate::sys::namespaces::{Aside, Making};
use crate::sys::step::Slot;
use crate::{Child, Error, Net, Room};

/// What takes the kernel longest for a room, begun before it is known what room it will be.
///
/// For a program that is started for the sake of one room: it begins first, and reads its command line while the kernel makes the
/// network. It helps root's rooms with a loopback of their own, and changes nothing else; where it can not help, it does nothing. A [`Stock`](crate::Stock) is for programs that make many rooms.
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
pub(crate) struct Network(Making<'static>);

/// The steps that make a network, and where it is found.
static STEPS: LazyLock<(Steps, Slot)> = LazyLock::new(|| {
    let mut steps = Steps::default();
    let slot = network(&mut steps, Net::Loopback);
    (steps, slot)
});

impl HeadStart {
    /// Begins.
    pub fn begin() -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self(None);
        }
        let steps = &STEPS.0;
        let aside = Aside { steps: 0..steps.steps.len(), kinds: 0, ready: 0 };
        // What was refused will be refused again to the room that wants it.
        Self(Making::begin(0, &steps.steps, aside, steps.slots).ok().map(Network))
    }

    /// As [`Room::spawn`].
    ///
    /// # Errors
    /// Those of [`Room::spawn`].
    pub fn spawn(self, room: &Room) -> Result<Child, Error> {
        let made = spawn_of(room, |kind, maps| Blank::make(kind, maps, self.0.filter(|_| Network::is_for(kind))));
        Ok(made?.0)
    }
}

impl Network {
    fn is_for(kind: &Kind) -> bool {
        kind.has_plain_network()
    }

    /// Waits for it.
    pub(crate) fn finish(self) -> Result<Option<OwnedFd>, Error> {
        let (steps, slot) = &*STEPS;
        let mut made = self.0.finish().map_err(|refused| explain(&steps.names, refused))?;
        Ok(made.get_mut(*slot).and_then(Option::take))
    }
}
