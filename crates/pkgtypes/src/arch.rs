use std::fmt;
use std::str::FromStr;

use crate::ParseError;

/// The architecture a package is for: `x86_64`, `aarch64`, .. or `noarch`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arch(String);

impl Arch {
    /// The architecture this program was compiled for, in the kernel's spelling.
    pub fn host() -> Self {
        Self(std::env::consts::ARCH.to_owned())
    }

    /// The architecture of packages without machine code.
    pub fn noarch() -> Self {
        Self("noarch".to_owned())
    }

    /// Whether a package of this architecture can be installed beside programs of `machine`.
    pub fn runs_on(&self, machine: &Self) -> bool {
        self == machine || self.0 == "noarch"
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Arch {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = |reason| ParseError::new("architecture", text, reason);
        if text.is_empty() || text.len() > 64 {
            return Err(error("it must have 1 to 64 characters"));
        }
        if !text.as_bytes()[0].is_ascii_lowercase() && !text.as_bytes()[0].is_ascii_digit() {
            return Err(error("it must begin with a lower case letter or a digit"));
        }
        if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b)) {
            return Err(error("only a-z, 0-9, `_`, `.` and `-` may stand in it"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
