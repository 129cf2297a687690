use pkgtypes::{Mode, PkgPath};

use crate::lines::{Line, LineFile, Word};
use crate::{Capabilities, Glob, LineProblem, RecipeError};

/// A line of `perms`, applied when the package is made: `GLOB MODE OWNER GROUP [cap=..]`. The last line that matches a
/// path counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Perm {
    /// The paths.
    pub glob: Glob,
    /// Their mode; `None` where `-` leaves it.
    pub mode: Option<Mode>,
    /// Their owner; `None` where `-` leaves it.
    pub owner: Option<String>,
    /// Their group; `None` where `-` leaves it.
    pub group: Option<String>,
    /// Their file capabilities.
    pub capabilities: Option<Capabilities>,
}

impl Perm {
    /// The line of `perms` that counts for `path`.
    pub fn of<'a>(perms: &'a [Self], path: &PkgPath) -> Option<&'a Self> {
        perms.iter().rev().find(|perm| perm.glob.matches(path))
    }
}

pub(crate) fn parse(file: &LineFile<'_>) -> Result<Vec<Perm>, RecipeError> {
    file.lines().iter().map(parse_line).collect()
}

fn parse_line(line: &Line<'_>) -> Result<Perm, RecipeError> {
    let words = line.words();
    let [glob, mode, owner, group, rest @ ..] = &words[..] else {
        return Err(line.end_error(LineProblem::Expected { what: "`GLOB MODE OWNER GROUP`" }));
    };
    let capabilities = match rest {
        [] => None,
        [word] => Some(parse_capabilities(word)?),
        [_, surplus, ..] => return Err(surplus.surplus()),
    };
    Ok(Perm {
        glob: glob.parse()?,
        mode: unless_dash(mode, |word| Mode::parse(word.text.as_bytes()).map_err(|error| word.error(error.into())))?,
        owner: unless_dash(owner, principal)?,
        group: unless_dash(group, principal)?,
        capabilities,
    })
}

fn unless_dash<T>(
    word: &Word<'_>,
    read: impl FnOnce(&Word<'_>) -> Result<T, RecipeError>,
) -> Result<Option<T>, RecipeError> {
    if word.text == "-" { Ok(None) } else { read(word).map(Some) }
}

/// A user or group: a name, or a decimal id.
fn principal(word: &Word<'_>) -> Result<String, RecipeError> {
    let text = word.text;
    let name = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    let id = text.parse::<u32>().is_ok_and(|id| id != u32::MAX && id.to_string() == text);
    if text.len() > 32 || !(name || id) {
        return Err(word.refused("a user or group has a name of a-z, 0-9, `_` and `-`, or a decimal id"));
    }
    Ok(text.to_owned())
}

fn parse_capabilities(word: &Word<'_>) -> Result<Capabilities, RecipeError> {
    match word.split_once('=') {
        Some((option, value)) if option.text == "cap" => value.parse(),
        Some((option, _)) => Err(option.unknown("option", ["cap"])),
        None => Err(word.unknown("option", ["cap="])),
    }
}
