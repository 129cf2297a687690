//! Rooms that can be entered again.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::blank::Blank;
use crate::claims::Claims;
use crate::plan::plan_again;
use crate::spawn::{caller, enter_blank, spawn_of};
use crate::{Child, Error, Input, Limits, Output, Room, Session};

/// A room that stays when its program has ended, with everything the program left in it: its file systems in memory, what was
/// written over its layers, its network and its mounts. Only processes do not stay.
///
/// It is there to be looked at: enter it with a shell when a program failed. It goes when this is dropped.
///
/// ```no_run
/// use sandbox::{Room, Root};
///
/// let room = Room::new(Root::layers(["/store/tool", "/store/libc"]), "/usr/bin/tool");
/// let (child, kept) = room.spawn_keeping()?;
/// if !child.wait()?.success() {
///     kept.enter(&kept.shell("/bin/sh"))?.wait()?;
/// }
/// # Ok::<(), sandbox::Error>(())
/// ```
#[derive(Debug)]
pub struct Kept {
    room: Room,
    blank: Blank,
    /// Held by who is inside, too: the last to go gives them up.
    claims: Arc<Claims>,
    /// Whether a program is inside.
    taken: Arc<AtomicBool>,
}

impl Kept {
    pub(crate) fn spawn(room: &Room) -> Result<(Child, Self), Error> {
        let (mut child, blank) = spawn_of(room, |kind, maps| Blank::make(kind, maps, None))?;
        let (taken, claims) = (Arc::new(AtomicBool::new(true)), child.claims());
        child.at_last(leaving(&taken));
        Ok((child, Self { room: room.clone(), blank, claims, taken }))
    }

    /// The room that was kept, with an interactive shell on the caller's terminal as its program and without limits; the rest,
    /// environment and working directory among it, is as it was.
    pub fn shell(&self, shell: impl Into<OsString>) -> Room {
        let mut room = self.room.clone();
        room.interactive(shell);
        room
    }

    /// Runs the program of `room` in the room that was kept, after the one before has ended.
    ///
    /// `room` is the description of the kept one with another program, environment, working directory, standard streams, limits or
    /// filter; all else must be the same. A terminal of its own ([`Session::Pty`]) it cannot have.
    ///
    /// # Errors
    /// [`Error::Invalid`] when `room` is another one, or when a program is still in it; otherwise as [`Room::spawn`].
    pub fn enter(&self, room: &Room) -> Result<Child, Error> {
        let begin = Instant::now();
        self.check(room)?;
        if self.taken.swap(true, Ordering::SeqCst) {
            return Err(Error::invalid("a program is still in the room that was kept: wait for its end first"));
        }
        let entered = caller(room).and_then(|(caller, _)| {
            let plan = plan_again(room, &caller, &self.blank, &self.claims)?;
            enter_blank(room, &caller, &self.blank, plan, None, begin)
        });
        match entered {
            Ok(mut child) => {
                child.at_last(leaving(&self.taken));
                Ok(child)
            }
            Err(error) => {
                self.taken.store(false, Ordering::SeqCst);
                Err(error)
            }
        }
    }

    fn check(&self, room: &Room) -> Result<(), Error> {
        if room.session == Session::Pty {
            return Err(Error::invalid("a room that was kept has no terminal of its own to give"));
        }
        let mut same = room.clone();
        let Room { program, arg0, args, env, cwd, stdin, stdout, stderr, .. } = self.room.clone();
        (same.program, same.arg0, same.args, same.env, same.cwd) = (program, arg0, args, env, cwd);
        (same.stdin, same.stdout, same.stderr, same.fds) = (stdin, stdout, stderr, self.room.fds.clone());
        (same.session, same.limits) = (self.room.session, self.room.limits.clone());
        (same.seccomp, same.setid) = (self.room.seccomp, self.room.setid);
        if same == self.room {
            return Ok(());
        }
        Err(Error::invalid(
            "the room to enter is not the one that was kept: only its program and what that gets may differ",
        ))
    }
}

/// Says that nobody is inside any more.
fn leaving(taken: &Arc<AtomicBool>) -> impl FnOnce() + Send + Sync + 'static {
    let taken = Arc::clone(taken);
    move || taken.store(false, Ordering::SeqCst)
}

impl Room {
    /// [`spawn`](Self::spawn), and the room stays when the program has ended.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn).
    pub fn spawn_keeping(&self) -> Result<(Child, Kept), Error> {
        Kept::spawn(self)
    }

    /// Makes an interactive shell on the caller's terminal the program, and lifts the limits.
    pub fn interactive(&mut self, shell: impl Into<OsString>) -> &mut Self {
        self.program = crate::Program::Path(shell.into());
        (self.arg0, self.args) = (None, vec!["-i".into()]);
        self.stdin = Input::Inherit;
        (self.stdout, self.stderr) = (Output::Inherit, Output::Inherit);
        (self.session, self.limits) = (Session::Foreground, Limits::default());
        self.fds.clear();
        self
    }
}
