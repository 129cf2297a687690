//! Ctrl-C and its kin: noted when they come, raised again once everything is cleaned up.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use codec::ReadAt;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};

use crate::failure::Interrupted;

static CAUGHT: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// What is done at SIGINT.
static AT_INTERRUPT: Mutex<Vec<SigId>> = Mutex::new(Vec::new());

fn caught() -> &'static Arc<AtomicUsize> {
    CAUGHT.get_or_init(Arc::default)
}

/// Notes SIGINT, SIGTERM and SIGHUP from now on; a second one ends the process at once, since recovery runs at the
/// next start. One that the caller wants to be ignored, as `nohup` does, stays so. A file that grows beyond the limit is
/// an error like a full disk, and no reason to be killed.
pub fn watch() {
    // It can be caught, so this is not refused.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
    for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !sandbox::is_ignored(*signal)) {
        let number = usize::try_from(signal).expect("signal numbers are positive");
        let first = Arc::clone(caught());
        // Both are refused only for signals that can not be caught, and these can.
        let armed = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let made = [
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&armed)),
            signal_hook::flag::register(signal, armed),
            signal_hook::flag::register_usize(signal, first, number),
        ];
        if signal == SIGINT {
            AT_INTERRUPT.lock().unwrap_or_else(PoisonError::into_inner).extend(made.into_iter().flatten());
        }
    }
}

/// Leaves what is typed at the terminal (Ctrl-C, Ctrl-\) to a program that shares it: from now on both do nothing here.
pub fn leave_typed_ones() {
    for id in AT_INTERRUPT.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        signal_hook::low_level::unregister(id);
    }
    // It can be caught, so this is not refused.
    let _ = signal_hook::flag::register(SIGQUIT, Arc::default());
}

/// The signal that asked to stop, if one did.
pub fn pending() -> Option<i32> {
    i32::try_from(caught().load(Ordering::Relaxed)).ok().filter(|&signal| signal != 0)
}

/// Whether to go on.
///
/// # Errors
/// [`Interrupted::Signal`] when a signal asked to stop.
pub fn check() -> Result<(), Interrupted> {
    match pending() {
        Some(signal) => Err(Interrupted::Signal(signal)),
        None => Ok(()),
    }
}

/// Ends the process as the noted signal would have, so that a shell sees what happened; returns when there was none.
pub(crate) fn raise_again() {
    if let Some(signal) = pending() {
        // It returns only for a signal that can not end a process.
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    }
}

/// Stops long work when a signal asks to.
#[derive(Debug, Clone, Copy)]
pub struct Watch;

impl Watch {
    fn answer() -> ControlFlow<()> {
        if pending().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl pkgtree::Progress for Watch {
    fn begin(&mut self, _: u64) {}

    fn advance(&mut self, _: u64) -> ControlFlow<()> {
        Self::answer()
    }
}

impl installdb::Progress for Watch {
    fn report(&mut self, _: installdb::Event<'_>) -> ControlFlow<()> {
        Self::answer()
    }
}

/// A reader that ends with an error when a signal asks to stop.
#[derive(Debug)]
pub struct Stoppable<R>(pub R);

impl<R: Read> Read for Stoppable<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        check().map_err(io::Error::other)?;
        self.0.read(buffer)
    }
}

/// How soon a signal is noticed that came to another thread.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// A stream that may say nothing for long, as pipes and terminals do: the wait for it ends with an error when a signal asks
/// to stop. A read by itself would be taken up again after the signal.
#[derive(Debug)]
pub struct Awaited<R>(pub R);

impl<R: Read + AsFd> Read for Awaited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            check().map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&TICK)) {
                Ok(0) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
                Ok(_) => match self.0.read(buffer) {
                    // Somebody else who reads it was faster.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    read => return read,
                },
            }
        }
    }
}

impl<S: ReadAt> ReadAt for Stoppable<S> {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        check().map_err(io::Error::other)?;
        self.0.read_at(buffer, offset)
    }
}
