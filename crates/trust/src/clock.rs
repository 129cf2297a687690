use std::time::SystemTime;

use pkgtypes::Timestamp;

/// Where the time comes from: this crate's only way to it.
pub trait Clock {
    /// The time, or `None` where there is no clock.
    fn now(&self) -> Option<Timestamp>;
}

/// The clock of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Option<Timestamp> {
        Some(Timestamp::from(SystemTime::now()))
    }
}

/// A time fixed beforehand; a transaction asks the clock once and decides everything at that moment.
#[derive(Debug, Clone, Copy)]
pub struct FixedClock(pub Option<Timestamp>);

impl FixedClock {
    /// The moment that `clock` shows now.
    pub fn at(clock: &dyn Clock) -> Self {
        Self(clock.now())
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Option<Timestamp> {
        self.0
    }
}

/// A clock that stands still.
impl Clock for Timestamp {
    fn now(&self) -> Option<Timestamp> {
        Some(*self)
    }
}
