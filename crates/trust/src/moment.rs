use pkgtypes::Timestamp;

use crate::Clock;

/// 2026-11-01T00:00:00Z: no clock of a machine that runs this code is right before it.
const RELEASED: Timestamp = Timestamp::from_seconds(1_793_491_200);
/// How far signers' clocks may be ahead, in seconds.
const SKEW: i64 = 24 * 60 * 60;

/// The time by which a package is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    clock: Option<Timestamp>,
    newest_signed: Timestamp,
}

impl Moment {
    pub(crate) fn new(clock: &dyn Clock, newest_signed: Option<Timestamp>) -> Self {
        let newest_signed = newest_signed.map_or(RELEASED, |time| time.max(RELEASED));
        Self { clock: clock.now().filter(|&now| now >= RELEASED), newest_signed }
    }

    /// What the clock shows; `None` without one and for a clock that was never set.
    pub fn clock(&self) -> Option<Timestamp> {
        self.clock
    }

    /// The newest time that a signature proves to have passed.
    pub fn newest_signed(&self) -> Timestamp {
        self.newest_signed
    }

    /// Whether `end` has come. A clock that is set back revives nothing.
    pub(crate) fn has_passed(&self, end: Timestamp) -> bool {
        end <= self.now()
    }

    /// Whether `issued` is further ahead than clocks differ. Without a clock nobody can tell.
    pub(crate) fn is_ahead(&self, issued: Timestamp) -> bool {
        self.clock.is_some() && issued > self.now().saturating_add_seconds(SKEW)
    }

    /// The later of the clock and the newest signed time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.map_or(self.newest_signed, |clock| clock.max(self.newest_signed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FixedClock;

    #[test]
    fn the_release_is_in_november_2026() {
        assert_eq!(RELEASED.to_utc().unwrap(), "2026-11-01T00:00:00Z");
    }

    #[test]
    fn a_clock_before_the_release_is_none() {
        let moment = Moment::new(&FixedClock(Some(Timestamp::EPOCH)), None);
        assert_eq!((moment.clock(), moment.now()), (None, RELEASED));
    }
}
