use std::fmt;
use std::str::FromStr;

use crate::error::shown;
use crate::{Error, Result};

/// A repository's name in statements: `[a-z0-9][a-z0-9_.-]{0,63}`. It is a name, not an address, so that mirrors are
/// interchangeable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoId(String);

impl RepoId {
    /// The repository of what is built and signed on this machine.
    pub fn local() -> Self {
        Self("local".to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepoId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bytes = text.as_bytes();
        let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = bytes.len() <= 64
            && bytes.first().is_some_and(plain)
            && bytes.iter().all(|byte| plain(byte) || b"_.-".contains(byte));
        if fits {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::parse(
            format!("repository `{}`", shown(bytes)),
            "1 to 64 characters a-z, 0-9, `_`, `.`, `-` are expected, a letter or digit first",
        ))
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
