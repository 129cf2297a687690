use std::fmt;
use std::str::FromStr;

use crate::ParseError;

/// A package's name: `[a-z0-9][a-z0-9+._-]{0,127}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageName(String);

impl PackageName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PackageName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        check(text).map_err(|reason| ParseError::new("package name", text, reason))?;
        Ok(Self(text.to_owned()))
    }
}

fn check(text: &str) -> Result<(), &'static str> {
    let first = text.bytes().next().ok_or("it is empty")?;
    if text.len() > 128 {
        return Err("it is longer than 128 characters");
    }
    if !first.is_ascii_lowercase() && !first.is_ascii_digit() {
        return Err("it must begin with a lower case letter or a digit");
    }
    if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+._-".contains(&b)) {
        return Err("only a-z, 0-9, `+`, `.`, `_` and `-` may stand in it");
    }
    Ok(())
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for PackageName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_ascii() {
        for good in ["a", "0ad", "libstdc++6", "gcc-12", "x.y_z", &"a".repeat(128)] {
            assert!(good.parse::<PackageName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "A", "a b", "a/b", "\u{430}", "a\u{202e}", &"a".repeat(129)] {
            assert!(bad.parse::<PackageName>().is_err(), "{bad}");
        }
    }
}
