//! A room that is begun before it is known.

use crate::blank::{Begun, Blank, Kind};
use crate::spawn::{caller, spawn_of};
use crate::{Child, Error, Room};

/// What takes the kernel longest for a room, begun before it is known what room it will be.
///
/// For a program that is started for the sake of one room: it begins first, and reads its command line while the kernel makes
/// namespaces and mounts. A [`Stock`](crate::Stock) is for programs that make many rooms.
///
/// The room that is begun is one like the `likely` one, apart from program, hardening, limits and the mounts that it names. Where
/// the room that comes is of another kind, its mounts are made when it comes, and where another network or user was likely, all of
/// it is. A room on the host's own `/` has the host's mounts of when it was begun.
///
/// ```no_run
/// use sandbox::{Access, HeadStart, Owner, Room, Root};
///
/// let root = Root::Dir { path: "/".into(), access: Access::Ro, owner: Owner::Host };
/// let start = HeadStart::begin(&Room::new(root.clone(), ""));
/// let mut words = std::env::args_os().skip(1);
/// let mut room = Room::new(root, words.next().unwrap_or_default());
/// room.args(words);
/// let outcome = start.spawn(&room)?.wait()?;
/// # Ok::<(), sandbox::Error>(())
/// ```
#[derive(Debug)]
pub struct HeadStart(Option<Begun>);

impl HeadStart {
    /// Begins.
    pub fn begin(likely: &Room) -> Self {
        // What was refused will be refused again to the room that wants it.
        let begun = caller(likely).and_then(|(caller, maps)| Begun::begin(&Kind::of(likely, &caller), &maps, None));
        Self(begun.ok())
    }

    /// As [`Room::spawn`].
    ///
    /// # Errors
    /// Those of [`Room::spawn`].
    pub fn spawn(self, room: &Room) -> Result<Child, Error> {
        let made = spawn_of(room, |kind, maps| match self.0.map(|begun| begun.of(kind)) {
            Some(Ok(begun)) => begun.finish(maps),
            Some(Err(network)) => Blank::make(kind, maps, network),
            None => Blank::make(kind, maps, None),
        });
        Ok(made?.0)
    }
}
