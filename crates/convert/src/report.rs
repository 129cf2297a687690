use std::collections::HashSet;
use std::fmt;

/// What a conversion could not keep, in the order in which it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The single losses.
    pub losses: Vec<Loss>,
}

/// One thing that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Loss {
    /// Of which kind it is.
    pub kind: LossKind,
    /// What it is: a path, a field, a relation in its own spelling.
    pub what: String,
    /// What became of it and why.
    pub why: String,
}

/// Kinds of losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LossKind {
    /// A script: it is kept under `foreign.*` and does not run.
    Script,
    /// A relation that can not be said in our words; it is kept under `foreign.*` and nobody heeds it.
    Relation,
    /// A name outside our grammar: the package has another one.
    Name,
    /// An attribute of a file.
    Attribute,
    /// A file.
    File,
    /// Another field of the metadata.
    Field,
}

impl LossKind {
    /// The word for it in messages and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Relation => "relation",
            Self::Name => "name",
            Self::Attribute => "attribute",
            Self::File => "file",
            Self::Field => "field",
        }
    }
}

impl fmt::Display for LossKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Report {
    pub(crate) fn add(&mut self, kind: LossKind, what: impl Into<String>, why: impl Into<String>) {
        self.losses.push(Loss { kind, what: what.into(), why: why.into() });
    }

    /// Says each loss once.
    pub(crate) fn dedup(&mut self) {
        let mut seen = HashSet::new();
        self.losses.retain(|loss| seen.insert(loss.clone()));
    }

    /// Whether nothing but scripts was lost.
    pub fn is_scripts_only(&self) -> bool {
        self.losses.iter().all(|loss| loss.kind == LossKind::Script)
    }
}
