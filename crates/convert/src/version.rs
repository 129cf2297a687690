//! Versions of other systems as versions of ours, in the same order.
//!
//! Each system is told apart by a [`Scheme`]. A mapping is a code: it turns the tokens of the foreign version into
//! characters that our order compares as the foreign tool compares the tokens. What can not be coded is refused.
//! `docs/format/conversion.md` has the tables and the reasons.

mod debian;
mod pacman;
mod rpm;
mod suffixed;

use pkgtypes::{Constraint, FullVersion, Op, Release, Version};

/// Whose versions they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `[epoch:]upstream[-revision]`, as dpkg compares.
    Debian,
    /// `[epoch:]version[-release]`, as rpm compares.
    Rpm,
    /// `[epoch:]version[-release]`, as pacman compares.
    Pacman,
    /// `1.2b_rc3-r4`, as apk compares.
    Apk,
    /// `1.2b_rc3-r4`, as Portage compares.
    Gentoo,
}

/// A version that has no counterpart with the same order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the version `{}` {reason}", text.escape_debug())]
pub struct VersionError {
    /// The foreign version.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl VersionError {
    fn new(text: &str, reason: &'static str) -> Self {
        Self { text: text.chars().take(120).collect(), reason }
    }
}

/// How a foreign relation compares. [`Op`] is what most systems have; the others have no single counterpart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// One of ours.
    Op(Op),
    /// The named version with any revision.
    AnyRevision,
    /// Every version that begins with the named one.
    Beginning,
}

impl Scheme {
    /// The counterpart of a whole version.
    ///
    /// # Errors
    /// A version outside the system's own grammar, or without a counterpart.
    pub fn version(self, text: &str) -> Result<Version, VersionError> {
        let coded = self.code(text)?;
        coded.whole(text)
    }

    /// The constraints that hold together just where the foreign one does. rpm and pacman ignore the release where a
    /// relation names none, and so does this.
    ///
    /// # Errors
    /// As [`Scheme::version`].
    pub fn constraints(self, comparison: Comparison, text: &str) -> Result<Vec<Constraint>, VersionError> {
        let coded = self.code(text)?;
        let whole = coded.whole(text)?;
        let one = |op, version| Constraint { op, bound: FullVersion { version, release: None } };
        let ignores_release = matches!(self, Self::Rpm | Self::Pacman) && coded.revision.is_none();
        let op = match comparison {
            Comparison::AnyRevision => Op::Equal,
            Comparison::Op(op) if !ignores_release => return Ok(vec![one(op, whole)]),
            Comparison::Op(op) => op,
            Comparison::Beginning if coded.revision.is_some() => return Ok(vec![one(Op::Equal, whole)]),
            Comparison::Beginning => return coded.beginning(text),
        };
        let beyond = || coded.with_end(text, &format!("{}^^", coded.joint));
        Ok(match op {
            Op::GreaterEqual | Op::Less => vec![one(op, whole)],
            Op::LessEqual => vec![one(Op::Less, beyond()?)],
            Op::Greater => vec![one(Op::GreaterEqual, beyond()?)],
            Op::Equal | Op::Prefix => {
                let base = coded.with_end(text, "")?;
                vec![one(Op::GreaterEqual, base), one(Op::Less, beyond()?)]
            }
        })
    }

    fn code(self, text: &str) -> Result<Coded, VersionError> {
        match self {
            Self::Debian => debian::code(text),
            Self::Rpm => rpm::code(text),
            Self::Pacman => pacman::code(text),
            Self::Apk => suffixed::code(text, suffixed::Dialect::Apk),
            Self::Gentoo => suffixed::code(text, suffixed::Dialect::Gentoo),
        }
    }
}

/// The version of Portage's that has this one as its counterpart; a release of ours is a revision.
pub(crate) fn for_portage(version: &Version, release: Release) -> Option<String> {
    let upstream = match release.0 {
        0 => version.upstream().to_owned(),
        revision => format!("{}^{revision}", version.upstream()),
    };
    let text = suffixed::decode(&upstream)?;
    // Whatever was understood must mean the same.
    let coded = Scheme::Gentoo.version(&text).ok()?;
    (version.epoch() == 0 && coded.upstream() == upstream).then_some(text)
}

/// A foreign version, coded.
struct Coded {
    epoch: u64,
    /// The upstream version.
    upstream: String,
    /// What stands between the upstream version and what follows it, so that this follows a number.
    joint: &'static str,
    /// What follows, its mark included.
    revision: Option<String>,
}

impl Coded {
    fn whole(&self, text: &str) -> Result<Version, VersionError> {
        match &self.revision {
            None => self.with_end(text, ""),
            Some(revision) => self.with_end(text, &format!("{}{revision}", self.joint)),
        }
    }

    /// All versions that begin with this one: what follows a number is a mark after `~` and before `_`.
    fn beginning(&self, text: &str) -> Result<Vec<Constraint>, VersionError> {
        let suffix = text.rsplit_once('_').map_or("", |(_, suffix)| suffix);
        if suffix.ends_with(|last: char| last.is_ascii_alphabetic()) {
            return Err(VersionError::new(text, "ends in a suffix whose number is open, which has no counterpart"));
        }
        let one = |op, end| -> Result<Constraint, VersionError> {
            Ok(Constraint { op, bound: FullVersion { version: self.with_end(text, end)?, release: None } })
        };
        Ok(vec![one(Op::GreaterEqual, "~~")?, one(Op::Less, "_")?])
    }

    fn with_end(&self, text: &str, end: &str) -> Result<Version, VersionError> {
        let coded = format!("{}{end}", self.upstream);
        Version::new(self.epoch, &coded).map_err(|error| VersionError::new(text, error.reason))
    }
}

/// Cuts the epoch off.
fn split_epoch(text: &str) -> Result<(u64, &str), VersionError> {
    let Some((epoch, rest)) = text.split_once(':') else { return Ok((0, text)) };
    let is_number = !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit());
    match epoch.parse() {
        Ok(epoch) if is_number => Ok((epoch, rest)),
        _ => Err(VersionError::new(text, "has an epoch that is no number")),
    }
}

/// Whether digits stand for zero.
fn is_zero(digits: &str) -> bool {
    digits.bytes().all(|digit| digit == b'0')
}

/// The leading characters of a kind, and what follows.
fn split_run(text: &str, is_inside: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(|byte| !is_inside(byte)).unwrap_or(text.len());
    // A byte outside is ASCII or begins a character, because no continuation byte follows one that is inside.
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portages_versions_come_back() {
        for text in ["1", "1.0", "1.01", "1.2.3b", "1.0_rc1", "1.0b_alpha2_p3-r4", "1.0_p20240101-r1", "2024.03.1"] {
            let version = Scheme::Gentoo.version(text).unwrap();
            assert_eq!(for_portage(&version, Release(0)).as_deref(), Some(text));
        }
        let ours = |text: &str, release| for_portage(&text.parse().unwrap(), Release(release));
        assert_eq!(ours("1.2", 3).as_deref(), Some("1.2-r3"));
        for other in ["2.36^9+deb12u14", "1:1.0", "1.0+git1", "1.0~~", "1.2_", "1.0^"] {
            assert_eq!(ours(other, 0), None, "{other}");
        }
    }
}
