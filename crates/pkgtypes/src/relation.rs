use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::{FullVersion, PackageName, ParseError, Release, Version};

/// What a package offers or needs: a package name, or `prefix:text` such as `so:libz.so.1(64bit)` or `cmd:gcc`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(String);

impl Capability {
    /// The capability as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The package name, where this is one and no `prefix:text`.
    pub fn package_name(&self) -> Option<PackageName> {
        self.0.parse().ok()
    }

    /// The prefix and the text of `prefix:text`.
    pub fn label(&self) -> Option<(&str, &str)> {
        self.0.split_once(':')
    }
}

impl From<PackageName> for Capability {
    fn from(name: PackageName) -> Self {
        Self(name.as_str().to_owned())
    }
}

impl FromStr for Capability {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let Some((prefix, rest)) = text.split_once(':') else {
            let name: PackageName = text.parse()?;
            return Ok(name.into());
        };
        let error = |reason| ParseError::new("capability", text, reason);
        if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(error("before the `:` only a-z, 0-9 and `-` may stand"));
        }
        if rest.is_empty() || text.len() > 4096 {
            return Err(error("after the `:` 1 to 4000 characters are expected"));
        }
        if rest.chars().any(|c| c.is_control() || c.is_whitespace() || "|<=>".contains(c)) {
            return Err(error("blanks, control characters, `|`, `<`, `=` and `>` may not stand in it"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a relation compares versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `=`
    Equal,
    /// `>=`
    GreaterEqual,
    /// `>`
    Greater,
    /// `~`: the dotted parts of the named version begin the other one.
    Prefix,
}

impl Op {
    const ALL: [(Self, &'static str); 6] = [
        (Self::LessEqual, "<="),
        (Self::GreaterEqual, ">="),
        (Self::Less, "<"),
        (Self::Equal, "="),
        (Self::Greater, ">"),
        (Self::Prefix, "~"),
    ];

    fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessEqual => order.is_le(),
            Self::Equal | Self::Prefix => order.is_eq(),
            Self::GreaterEqual => order.is_ge(),
            Self::Greater => order.is_gt(),
        }
    }
}

impl FromStr for Op {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let known = Self::ALL.iter().find(|(_, sign)| *sign == text);
        known.map(|(op, _)| *op).ok_or_else(|| ParseError::new("operator", text, "it is none of < <= = >= > ~"))
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, sign) = Self::ALL.iter().find(|(op, _)| op == self).expect("every operator has a sign");
        f.write_str(sign)
    }
}

/// A bound on versions: an operator and a version, with or without a release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Constraint {
    /// How to compare.
    pub op: Op,
    /// What to compare with; without a release, releases are ignored.
    pub bound: FullVersion,
}

impl Constraint {
    /// Whether `version-release` satisfies this bound.
    pub fn accepts(&self, version: &Version, release: Release) -> bool {
        if self.op == Op::Prefix {
            let release_fits = self.bound.release.is_none_or(|wanted| wanted == release);
            return release_fits && version.has_prefix(&self.bound.version);
        }
        let order = version.compare(&self.bound.version);
        self.op.accepts(match self.bound.release {
            Some(wanted) => order.then(release.cmp(&wanted)),
            None => order,
        })
    }
}

/// A capability, perhaps with a bound on its version: `zlib >= 1.2.13`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Relation {
    /// What is related to.
    pub capability: Capability,
    /// In which versions; `None` for all.
    pub constraint: Option<Constraint>,
}

impl Relation {
    /// The relation to every version of `capability`.
    pub fn any(capability: Capability) -> Self {
        Self { capability, constraint: None }
    }

    /// Whether a package `name version-release` itself satisfies this relation.
    pub fn accepts(&self, name: &PackageName, version: &Version, release: Release) -> bool {
        self.capability.as_str() == name.as_str()
            && self.constraint.as_ref().is_none_or(|constraint| constraint.accepts(version, release))
    }

    /// Whether an offered relation (`provides`) satisfies this one; an offer without a version satisfies none that
    /// asks for one.
    pub fn satisfied_by(&self, offer: &Self) -> bool {
        if self.capability != offer.capability {
            return false;
        }
        match (&self.constraint, &offer.constraint) {
            (None, _) => true,
            (Some(wanted), Some(Constraint { op: Op::Equal, bound })) => {
                wanted.accepts(&bound.version, bound.release.unwrap_or_default())
            }
            (Some(_), _) => false,
        }
    }
}

impl FromStr for Relation {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut words = text.split(' ');
        let mut word = || words.next().filter(|word| !word.is_empty());
        let error = |reason| ParseError::new("relation", text, reason);
        let capability = word().ok_or_else(|| error("a capability is expected first"))?.parse()?;
        let relation = match (word(), word()) {
            (None, _) => Self::any(capability),
            (Some(_), None) => return Err(error("after the operator a version is expected")),
            (Some(op), Some(bound)) => {
                Self { capability, constraint: Some(Constraint { op: op.parse()?, bound: bound.parse()? }) }
            }
        };
        // One spelling only: what was read must be what would be written.
        if relation.to_string() != text {
            return Err(error("`NAME` or `NAME OP VERSION` with single blanks is expected"));
        }
        Ok(relation)
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.capability.fmt(f)?;
        match &self.constraint {
            Some(Constraint { op, bound }) => write!(f, " {op} {bound}"),
            None => Ok(()),
        }
    }
}

/// One or more relations of which one must hold: `mawk | gawk >= 4`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement(Vec<Relation>);

impl Requirement {
    /// The alternatives, the preferred one first; never empty.
    pub fn alternatives(&self) -> &[Relation] {
        &self.0
    }
}

impl From<Relation> for Requirement {
    fn from(relation: Relation) -> Self {
        Self(vec![relation])
    }
}

impl FromStr for Requirement {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        text.split(" | ").map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, relation) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" | ")?;
            }
            relation.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(relation: &str, version: &str, release: u64) -> bool {
        let relation: Relation = relation.parse().unwrap();
        relation.accepts(&"a".parse().unwrap(), &version.parse().unwrap(), Release(release))
    }

    #[test]
    fn a_bound_without_release_ignores_releases() {
        assert!(accepts("a = 1.1", "1.1", 2));
        assert!(!accepts("a > 2.6.90", "2.6.90", 5));
        assert!(accepts("a > 2.6.90-4", "2.6.90", 5));
        assert!(!accepts("a = 1.1-1", "1.1", 2));
        assert!(accepts("a ~ 1.6", "1.6.9", 1) && !accepts("a ~ 1.6", "1.60", 1));
        assert!(!accepts("b", "1", 1));
    }

    #[test]
    fn an_offer_without_version_satisfies_no_bound() {
        let relation = |text: &str| text.parse::<Relation>().unwrap();
        assert!(relation("so:libz.so.1").satisfied_by(&relation("so:libz.so.1")));
        assert!(relation("mta >= 2").satisfied_by(&relation("mta = 3")));
        assert!(!relation("mta >= 2").satisfied_by(&relation("mta")));
        assert!(!relation("mta >= 2").satisfied_by(&relation("mta >= 3")));
    }

    #[test]
    fn one_spelling_each() {
        for good in ["a", "so:libz.so.1(64bit)", "a >= 1:2.3-4", "file:/usr/bin/sh"] {
            assert_eq!(good.parse::<Relation>().unwrap().to_string(), good);
        }
        for bad in ["", " a", "a ", "a  >= 1", "a >=", "a >= 1 ", "a == 1", "a >= 1 x", "So:x", "so:", "so:a|b", "a>=1"]
        {
            assert!(bad.parse::<Relation>().is_err(), "{bad}");
        }
        assert_eq!("a | b >= 2".parse::<Requirement>().unwrap().alternatives().len(), 2);
        for bad in ["a |b", "a | ", " | a", "a |  b"] {
            assert!(bad.parse::<Requirement>().is_err(), "{bad}");
        }
    }
}
