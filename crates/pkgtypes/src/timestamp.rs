use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::{Date, Month, OffsetDateTime, Time};

use crate::ParseError;

/// A point in time: seconds since 1970 (negative before) and nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self { seconds: 0, nanos: 0 };

    /// A time in whole seconds.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }

    /// A time from seconds and nanoseconds as `stat` gives them; `None` from a thousand million nanoseconds up.
    pub const fn new(seconds: i64, nanos: u32) -> Option<Self> {
        if nanos < 1_000_000_000 { Some(Self { seconds, nanos }) } else { None }
    }

    /// Seconds since 1970, rounded down.
    pub const fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds after [`Timestamp::seconds`], below a thousand million.
    pub const fn nanos(self) -> u32 {
        self.nanos
    }

    /// This time moved by whole seconds, at the ends of the range at most.
    pub const fn saturating_add_seconds(self, seconds: i64) -> Self {
        Self { seconds: self.seconds.saturating_add(seconds), nanos: self.nanos }
    }

    /// Reads `SECONDS[.FRACTION]` in its only spelling: no leading zeros, no `-0`, a fraction of one to nine digits
    /// that does not end in 0.
    ///
    /// # Errors
    /// Any other spelling, and numbers outside 64 bits.
    pub fn parse_decimal(text: &[u8]) -> Result<Self, ParseError> {
        let error = |reason| ParseError::new("time", text, reason);
        let ascii = std::str::from_utf8(text).map_err(|_| error("it is not text"))?;
        let (whole, fraction) = match ascii.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (ascii, None),
        };
        let digits = whole.strip_prefix('-').unwrap_or(whole);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error("decimal seconds are expected"));
        }
        if (digits.len() > 1 && digits.starts_with('0')) || whole == "-0" {
            return Err(error("it has a needless zero"));
        }
        let nanos = match fraction {
            None => 0,
            Some(fraction) => parse_fraction(fraction).ok_or_else(|| error("its fraction is not in shortest form"))?,
        };
        let seconds = whole.parse().map_err(|_| error("it is too large"))?;
        Ok(Self { seconds, nanos })
    }

    /// Reads `YYYY-MM-DDTHH:MM:SSZ`, years 2000 to 2199.
    ///
    /// # Errors
    /// Any other spelling, a day that is none, a leap second.
    pub fn parse_utc(text: &str) -> Result<Self, ParseError> {
        let error = || ParseError::new("time", text, "YYYY-MM-DDTHH:MM:SSZ between 2000 and 2199 is expected");
        let shape = b"dddd-dd-ddTdd:dd:ddZ";
        let fits = |(&byte, &want): (&u8, &u8)| if want == b'd' { byte.is_ascii_digit() } else { byte == want };
        if text.len() != shape.len() || !text.as_bytes().iter().zip(shape).all(fits) {
            return Err(error());
        }
        let number = |range: std::ops::Range<usize>| text[range].parse::<u8>().map_err(|_| error());
        let year: i32 = text[..4].parse().map_err(|_| error())?;
        if !(2000..2200).contains(&year) {
            return Err(error());
        }
        let month = Month::try_from(number(5..7)?).map_err(|_| error())?;
        let date = Date::from_calendar_date(year, month, number(8..10)?).map_err(|_| error())?;
        let clock = Time::from_hms(number(11..13)?, number(14..16)?, number(17..19)?).map_err(|_| error())?;
        Ok(Self::from_seconds(OffsetDateTime::new_utc(date, clock).unix_timestamp()))
    }

    /// `YYYY-MM-DDTHH:MM:SSZ`, the fraction dropped; `None` outside the years 0 to 9999.
    pub fn to_utc(self) -> Option<String> {
        let utc = OffsetDateTime::from_unix_timestamp(self.seconds).ok().filter(|utc| utc.year() >= 0)?;
        let (year, month, day) = utc.to_calendar_date();
        let (hour, minute, second) = utc.to_hms();
        Some(format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month)))
    }
}

fn parse_fraction(digits: &str) -> Option<u32> {
    let shortest = (1..=9).contains(&digits.len()) && !digits.ends_with('0');
    if !shortest || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{digits:0<9}").parse().ok()
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let (seconds, nanos) = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => (i64::try_from(after.as_secs()).unwrap_or(i64::MAX), after.subsec_nanos()),
            Err(before) => before_epoch(before.duration()),
        };
        Self { seconds, nanos }
    }
}

fn before_epoch(before: Duration) -> (i64, u32) {
    let seconds = i64::try_from(before.as_secs()).map_or(i64::MIN, |seconds| -seconds);
    match before.subsec_nanos() {
        0 => (seconds, 0),
        nanos => (seconds.saturating_sub(1), 1_000_000_000 - nanos),
    }
}

/// `SECONDS[.FRACTION]`, as [`Timestamp::parse_decimal`] reads it. The fraction counts upward from the seconds, so half
/// a second before 1970 is `-1.5`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        if self.nanos == 0 {
            return Ok(());
        }
        let digits = format!("{:09}", self.nanos);
        write!(f, ".{}", digits.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn half_a_second_before_1970() {
        let time = Timestamp::from(UNIX_EPOCH - Duration::from_millis(500));
        assert_eq!((time.seconds(), time.nanos()), (-1, 500_000_000));
        assert_eq!(time.to_string(), "-1.5");
    }

    #[test]
    fn utc_text() {
        let time = Timestamp::parse_utc("2026-11-20T12:00:00Z").unwrap();
        assert_eq!(time.seconds(), 1_795_176_000);
        assert_eq!(time.to_utc().unwrap(), "2026-11-20T12:00:00Z");
        for bad in [
            "2026-02-29T00:00:00Z",
            "2026-11-20T12:00:60Z",
            "2026-11-20 12:00:00Z",
            "1999-01-01T00:00:00Z",
            "2026-11-20T12:00:00z",
            "+026-11-20T12:00:00Z",
        ] {
            assert!(Timestamp::parse_utc(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for bad in
            ["", "-", "-0", "00", "01", "+1", "1.", "1.0", "1.10", ".5", "1.1234567891", "1e3", "9223372036854775808"]
        {
            assert!(Timestamp::parse_decimal(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn decimal_text_round_trips(seconds: i64, nanos in 0u32..1_000_000_000) {
            let time = Timestamp::new(seconds, nanos).unwrap();
            prop_assert_eq!(Timestamp::parse_decimal(time.to_string().as_bytes()).unwrap(), time);
        }
    }
}
