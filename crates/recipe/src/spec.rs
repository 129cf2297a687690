use std::fmt;
use std::str::FromStr;

use pkgtypes::{Capability, Constraint, FullVersion, Op, PackageName, PackageSpec, ParseError, Relation};

use crate::RecipeId;

/// Which recipe is meant: `zlib`, `zlib/1.2.13`, `zlib/1.2.13/1` or `zlib>=1.2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DepSpec {
    /// The package's name.
    pub name: PackageName,
    /// The versions that satisfy; `None` for all.
    pub constraint: Option<Constraint>,
}

impl DepSpec {
    /// Every version of `name`.
    pub fn any(name: PackageName) -> Self {
        Self { name, constraint: None }
    }

    /// Exactly one recipe.
    pub fn exact(recipe: &RecipeId) -> Self {
        let constraint = Constraint { op: Op::Equal, bound: recipe.full_version() };
        Self { name: recipe.name.clone(), constraint: Some(constraint) }
    }

    /// Whether a recipe's version and release satisfy; the name is not compared, because an output's recipe has
    /// another one.
    pub fn accepts_version(&self, recipe: &RecipeId) -> bool {
        self.constraint.as_ref().is_none_or(|constraint| constraint.accepts(&recipe.version, recipe.release))
    }

    /// The relation of installed packages that says the same.
    pub fn to_relation(&self) -> Relation {
        Relation { capability: Capability::from(self.name.clone()), constraint: self.constraint.clone() }
    }
}

impl FromStr for DepSpec {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let Some((name, version)) = text.split_once('/') else {
            let PackageSpec(relation) = text.parse()?;
            return Self::try_from(&relation);
        };
        let bound = match version.split_once('/') {
            None => FullVersion { version: version.parse()?, release: None },
            Some((version, release)) => FullVersion { version: version.parse()?, release: Some(release.parse()?) },
        };
        Ok(Self { name: name.parse()?, constraint: Some(Constraint { op: Op::Equal, bound }) })
    }
}

impl TryFrom<&Relation> for DepSpec {
    type Error = ParseError;

    /// The same relation, where its capability is a package's name.
    fn try_from(relation: &Relation) -> Result<Self, ParseError> {
        let name = relation.capability.as_str().parse()?;
        Ok(Self { name, constraint: relation.constraint.clone() })
    }
}

/// `zlib`, `zlib/1.2.13/1` or `zlib>=1.2`.
impl fmt::Display for DepSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)?;
        match &self.constraint {
            None => Ok(()),
            Some(Constraint { op: Op::Equal, bound: FullVersion { version, release: None } }) => {
                write!(f, "/{version}")
            }
            Some(Constraint { op: Op::Equal, bound: FullVersion { version, release: Some(release) } }) => {
                write!(f, "/{version}/{release}")
            }
            Some(Constraint { op, bound }) => write!(f, "{op}{bound}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_grammar() {
        for good in ["zlib", "zlib/1.2.13", "zlib/1:1.2.13^2/0", "zlib>=1.2", "zlib<2-1", "zlib~1.2"] {
            assert_eq!(good.parse::<DepSpec>().unwrap().to_string(), good);
        }
        assert_eq!("zlib=1.2-3".parse::<DepSpec>().unwrap().to_string(), "zlib/1.2/3");
        for bad in ["", "zlib/", "zlib/1/", "zlib/1/01", "zlib/1/1/1", "/1", "so:x", "zlib/1.2-3", "zlib==1"] {
            assert!(bad.parse::<DepSpec>().is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_that_satisfy() {
        let recipe = RecipeId::new("a".parse().unwrap(), "1.2".parse().unwrap(), pkgtypes::Release(1));
        let accepts = |text: &str| text.parse::<DepSpec>().unwrap().accepts_version(&recipe);
        assert!(accepts("a") && accepts("a/1.2") && accepts("a/1.2/1") && accepts("a>=1.0") && accepts("a~1"));
        assert!(!accepts("a/1.3") && !accepts("a/1.2/2") && !accepts("a<1.2"));
        assert!(DepSpec::exact(&recipe).accepts_version(&recipe));
    }
}
