use crate::lines::{Line, LineFile};
use crate::{Glob, LineProblem, LintId, RecipeError};

/// A line of `lint`: a finding that is right here, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// The finding.
    pub lint: LintId,
    /// The files that it is right for; `None` for all.
    pub glob: Option<Glob>,
    /// Why.
    pub reason: String,
}

pub(crate) fn parse(file: &LineFile<'_>) -> Result<Vec<Waiver>, RecipeError> {
    file.lines().iter().map(parse_line).collect()
}

/// `ID [GLOB] # REASON`
fn parse_line(line: &Line<'_>) -> Result<Waiver, RecipeError> {
    let words = line.words();
    let expected = |what| line.end_error(LineProblem::Expected { what });
    let lint = LintId::parse(&words[0])?;
    let hash = words.iter().position(|word| word.text.starts_with('#')).ok_or_else(|| expected("`#` and a reason"))?;
    let glob = match &words[1..hash] {
        [] => None,
        [glob] => Some(glob.parse()?),
        [_, surplus, ..] => return Err(surplus.surplus()),
    };
    let mut reason: Vec<&str> = words[hash..].iter().map(|word| word.text).collect();
    reason[0] = &reason[0][1..];
    let reason = reason.join(" ").trim().to_owned();
    if reason.is_empty() {
        return Err(expected("a reason"));
    }
    Ok(Waiver { lint, glob, reason })
}
