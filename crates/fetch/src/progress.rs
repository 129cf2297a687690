use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, Builder};
use std::time::Duration;

use crate::Error;
use crate::error::Result;

/// Hears how a fetch goes on, and may stop it. Several sources can be on the way at once; all calls come from the
/// thread that asked.
pub trait Progress {
    /// A source, or a whole set of packages, is asked for at `place`.
    fn begin(&mut self, name: &str, place: &str) {
        let _ = (name, place);
    }

    /// `done` bytes of it are here; `total` are expected, where that is known.
    fn advance(&mut self, name: &str, done: u64, total: Option<u64>) {
        let _ = (name, done, total);
    }

    /// No more comes of it from this place, be it here now or not.
    fn end(&mut self, name: &str) {
        let _ = name;
    }

    /// Another process brings the same just now; this one waits.
    fn waiting(&mut self, name: &str) {
        let _ = name;
    }

    /// Whether to stop; asked several times a second.
    fn is_cancelled(&mut self) -> bool {
        false
    }
}

/// Nobody listens.
impl Progress for () {}

/// How often is asked whether to stop while nothing happens.
pub(crate) const TICK: Duration = Duration::from_millis(50);

enum Event {
    Begin(Arc<str>, String),
    Advance(Arc<str>, u64, Option<u64>),
    End(Arc<str>),
    Waiting(String),
}

/// The way from the threads that work to the listener.
pub(crate) struct Relay {
    events: Sender<Event>,
    cancelled: Arc<AtomicBool>,
}

/// One thing that is on the way; its end is told when this is dropped.
pub(crate) struct Told<'r> {
    relay: &'r Relay,
    name: Arc<str>,
}

impl Relay {
    /// Does the work in another thread, and tells the listener of it in this one.
    ///
    /// # Errors
    /// [`Error::Thread`]; nothing was done.
    pub(crate) fn listen<T: Send>(progress: &mut dyn Progress, work: impl FnOnce(&Self) -> T + Send) -> Result<T> {
        let (events, heard) = mpsc::channel();
        let relay = Self { events, cancelled: Arc::new(AtomicBool::new(progress.is_cancelled())) };
        let cancelled = Arc::clone(&relay.cancelled);
        thread::scope(|scope| {
            // The channel ends with the work, since the relay is dropped then.
            let worker = Builder::new().spawn_scoped(scope, move || work(&relay)).map_err(Error::Thread)?;
            loop {
                match heard.recv_timeout(TICK) {
                    Ok(event) => event.tell(progress),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                if progress.is_cancelled() {
                    cancelled.store(true, Ordering::Relaxed);
                }
            }
            Ok(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    pub(crate) fn begin(&self, name: &str, place: &str) -> Told<'_> {
        let name = Arc::from(name);
        self.send(Event::Begin(Arc::clone(&name), place.to_owned()));
        Told { relay: self, name }
    }

    pub(crate) fn waiting(&self, name: &str) {
        self.send(Event::Waiting(name.to_owned()));
    }

    pub(crate) fn goes_on(&self) -> bool {
        !self.cancelled.load(Ordering::Relaxed)
    }

    fn send(&self, event: Event) {
        // The listener outlives every relay.
        let _ = self.events.send(event);
    }
}

impl Told<'_> {
    /// Says how much is here, and hears whether to go on.
    pub(crate) fn advance(&self, done: u64, total: Option<u64>) -> bool {
        self.relay.send(Event::Advance(Arc::clone(&self.name), done, total));
        self.relay.goes_on()
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.relay.send(Event::End(Arc::clone(&self.name)));
    }
}

impl Event {
    fn tell(self, progress: &mut dyn Progress) {
        match self {
            Self::Begin(name, place) => progress.begin(&name, &place),
            Self::Advance(name, done, total) => progress.advance(&name, done, total),
            Self::End(name) => progress.end(&name),
            Self::Waiting(name) => progress.waiting(&name),
        }
    }
}
