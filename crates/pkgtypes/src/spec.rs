use std::fmt;
use std::str::FromStr;

use crate::{Capability, Constraint, Op, ParseError, Relation};

/// What a person names on a command line: `name`, `name=1.2`, `name=1.2-3`, `name>=1.2` or `so:libz.so.1`.
///
/// Package files (`./file.kpkg`) are told apart by the caller, because only the caller knows of files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageSpec(pub Relation);

impl FromStr for PackageSpec {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let at = text.find(['<', '=', '>', '~']).unwrap_or(text.len());
        let (name, rest) = text.split_at(at);
        let capability: Capability =
            name.parse().map_err(|error: ParseError| ParseError::new("package spec", text, error.reason))?;
        if rest.is_empty() {
            return Ok(Self(Relation::any(capability)));
        }
        let sign = rest.len() - rest.trim_start_matches(['<', '=', '>', '~']).len();
        let op: Op = rest[..sign].parse()?;
        Ok(Self(Relation { capability, constraint: Some(Constraint { op, bound: rest[sign..].parse()? }) }))
    }
}

impl fmt::Display for PackageSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.capability.fmt(f)?;
        match &self.0.constraint {
            Some(Constraint { op, bound }) => write!(f, "{op}{bound}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_grammar() {
        for good in ["lua", "lua=5.4", "lua=5.4-1", "lua>=5", "lua~5.4", "so:libz.so.1", "libstdc++6<=1:2"] {
            assert_eq!(good.parse::<PackageSpec>().unwrap().to_string(), good);
        }
        for bad in ["", "Lua", "lua=", "=1", "lua==1", "lua>", "lua=1-", "a b"] {
            assert!(bad.parse::<PackageSpec>().is_err(), "{bad}");
        }
    }
}
