use std::fmt;

use pkgtypes::{Digest, PackageName};

use crate::lines::{Line, LineFile};
use crate::{DepSpec, LineProblem, Position, RecipeError, RecipeId};

/// What `latest` stood for when the lock was written: the file `lock`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// One line per `latest`.
    pub lines: Vec<LockLine>,
}

/// `dep latest NAME -> NAME/VERSION/RELEASE sha256:RECIPE-HASH`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockLine {
    /// The package of the `latest` line.
    pub name: PackageName,
    /// The recipe that makes it.
    pub recipe: RecipeId,
    /// That recipe's hash.
    pub recipe_hash: Digest,
    /// Where it stands; `None` for a line that is not written yet.
    pub position: Option<Position>,
}

impl Lock {
    /// The line for `latest NAME`.
    pub fn find(&self, name: &PackageName) -> Option<&LockLine> {
        self.lines.iter().find(|line| line.name == *name)
    }

    pub(crate) fn parse(file: &LineFile<'_>) -> Result<Self, RecipeError> {
        let mut lock = Self::default();
        for line in file.lines() {
            let parsed = parse_line(line)?;
            if let Some(first) = lock.find(&parsed.name).and_then(|line| line.position.as_ref()) {
                return Err(line.words()[2].repeated("package", first.line));
            }
            lock.lines.push(parsed);
        }
        Ok(lock)
    }
}

const SHAPE: &str = "`dep latest NAME -> NAME/VERSION/RELEASE sha256:HEX`";

fn parse_line(line: &Line<'_>) -> Result<LockLine, RecipeError> {
    let words = line.words();
    let expected = |what| line.end_error(LineProblem::Expected { what });
    if words[0].text != "dep" {
        return Err(words[0].unknown("word", ["dep"]));
    }
    let [_, latest, name, arrow, recipe, digest] = words[..] else { return Err(expected(SHAPE)) };
    if latest.text != "latest" || arrow.text != "->" {
        return Err(latest.error(LineProblem::Expected { what: SHAPE }));
    }
    let spec: DepSpec = recipe.parse()?;
    let bound = spec.constraint.map(|constraint| constraint.bound);
    let Some((version, release)) = bound.and_then(|bound| Some((bound.version, bound.release?))) else {
        return Err(recipe.error(LineProblem::Expected { what: "NAME/VERSION/RELEASE" }));
    };
    let hex = digest.split_once(':').filter(|(algorithm, _)| algorithm.text == "sha256");
    let (_, hex) = hex.ok_or_else(|| digest.error(LineProblem::Expected { what: "`sha256:HEX`" }))?;
    Ok(LockLine {
        name: name.parse()?,
        recipe: RecipeId::new(spec.name, version, release),
        recipe_hash: hex.parse()?,
        position: Some(words[0].position()),
    })
}

/// The file as it is written.
impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "dep latest {} -> {} sha256:{}", line.name, line.recipe, line.recipe_hash)?;
        }
        Ok(())
    }
}
