use std::fmt;

use crate::ParseError;

/// Permission bits of a file, `0000` to `7777`; its text is four octal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mode(u16);

impl Mode {
    /// All bits that a mode can have.
    pub const MASK: u32 = 0o7777;
    /// The bits that make a program run as its owner or group.
    pub const SETID: u32 = 0o6000;

    /// The permission bits of a raw `st_mode`; the type bits are dropped.
    pub const fn from_raw(raw: u32) -> Self {
        Self((raw & Self::MASK) as u16)
    }

    /// The bits as a number.
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }

    /// Reads exactly four octal digits.
    ///
    /// # Errors
    /// Another length or another character.
    pub fn parse(text: &[u8]) -> Result<Self, ParseError> {
        if text.len() != 4 || !text.iter().all(|digit| (b'0'..=b'7').contains(digit)) {
            return Err(ParseError::new("mode", text, "four octal digits are expected"));
        }
        Ok(Self(text.iter().fold(0, |mode, digit| mode << 3 | u16::from(digit - b'0'))))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mode({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_survives_its_text() {
        for bits in 0..=Mode::MASK {
            let mode = Mode::from_raw(bits | 0o100_000);
            assert_eq!(Mode::parse(mode.to_string().as_bytes()).unwrap(), mode);
        }
        assert!(Mode::parse(b"755").is_err());
        assert!(Mode::parse(b"0788").is_err());
    }
}
