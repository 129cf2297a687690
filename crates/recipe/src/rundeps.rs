use pkgtypes::{Capability, PackageSpec, ParseError, Relation, Requirement};

use crate::lines::{Line, LineFile, Word};
use crate::{DepSpec, LineProblem, Position, RecipeError};

/// What a package needs to run, beside what is found in its files: `rundeps` or `rundeps.<output>`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rundeps {
    /// What it needs.
    pub requires: Vec<RunDependency>,
    /// Requirements found in its files that do not count: the lines with a `!`.
    pub without: Vec<Capability>,
}

/// A line of `rundeps`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDependency {
    /// What is needed.
    pub requirement: Requirement,
    /// Where it stands.
    pub position: Position,
}

impl Rundeps {
    /// The requirements alone.
    pub fn requirements(&self) -> impl Iterator<Item = &Requirement> {
        self.requires.iter().map(|line| &line.requirement)
    }

    /// Whether a requirement found in the files does not count.
    pub fn leaves_out(&self, found: &Requirement) -> bool {
        found.alternatives().iter().any(|relation| self.without.contains(&relation.capability))
    }

    pub(crate) fn parse(file: &LineFile<'_>) -> Result<Self, RecipeError> {
        let mut rundeps = Self::default();
        for line in file.lines() {
            rundeps.parse_line(line)?;
        }
        Ok(rundeps)
    }

    fn parse_line(&mut self, line: &Line<'_>) -> Result<(), RecipeError> {
        let words = line.words();
        if words[0].text.starts_with('!') {
            self.without.push(words[0].part(1..).parse()?);
            return words.get(1).map_or(Ok(()), |word| Err(word.surplus()));
        }
        let requirement = parse_requirement(line, &words)?;
        if let Some(first) = self.requires.iter().find(|other| other.requirement == requirement) {
            return Err(words[0].repeated("requirement", first.position.line));
        }
        self.requires.push(RunDependency { requirement, position: words[0].position() });
        Ok(())
    }
}

/// `RELATION { | RELATION }`, each `NAME`, `NAME/VERSION/RELEASE`, `NAME>=VERSION` or `NAME >= VERSION`.
fn parse_requirement(line: &Line<'_>, words: &[Word<'_>]) -> Result<Requirement, RecipeError> {
    let mut relations = Vec::new();
    for alternative in words.split(|word| word.text == "|") {
        relations.push(parse_relation(line, alternative)?.to_string());
    }
    relations.join(" | ").parse().map_err(|error: ParseError| words[0].error(error.into()))
}

fn parse_relation(line: &Line<'_>, words: &[Word<'_>]) -> Result<Relation, RecipeError> {
    match words {
        [] => Err(line.end_error(LineProblem::Expected { what: "a requirement on both sides of the `|`" })),
        [spec] if spec.text.find(['/', ':']).is_some_and(|at| spec.text[at..].starts_with('/')) => {
            Ok(spec.parse::<DepSpec>()?.to_relation())
        }
        [spec] => Ok(spec.parse::<PackageSpec>()?.0),
        [name, op, version] => {
            let text = format!("{} {} {}", name.text, op.text, version.text);
            text.parse().map_err(|error: ParseError| name.error(error.into()))
        }
        [_, surplus] | [_, _, _, surplus, ..] => Err(surplus.surplus()),
    }
}
