use pkgtypes::{PackageName, PkgPath};

use crate::lines::{Line, LineFile, Word};
use crate::{DepSpec, Position, RecipeError};

/// A line of `deps`: what the build room holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The package and its versions.
    pub spec: DepSpec,
    /// The recipe that makes it, where `from` names one.
    pub from: Option<PackageName>,
    /// Whether `latest` stands before it.
    pub latest: bool,
    /// The folder of the room that its tree is laid at; `None` for the root.
    pub at: Option<PkgPath>,
    /// The environment variable that tells the build script that folder.
    pub variable: Option<String>,
    /// Where it stands.
    pub position: Position,
}

impl Dependency {
    /// The recipe that makes it, as far as the line says.
    pub fn recipe_name(&self) -> &PackageName {
        self.from.as_ref().unwrap_or(&self.spec.name)
    }
}

pub(crate) fn parse(file: &LineFile<'_>) -> Result<Vec<Dependency>, RecipeError> {
    let mut dependencies: Vec<Dependency> = Vec::new();
    for line in file.lines() {
        let dependency = parse_line(line)?;
        let same = |other: &&Dependency| other.spec.name == dependency.spec.name && other.at == dependency.at;
        if let Some(first) = dependencies.iter().find(same) {
            let word = line.words()[usize::from(dependency.latest)];
            return Err(word.repeated("dependency", first.position.line));
        }
        dependencies.push(dependency);
    }
    Ok(dependencies)
}

fn parse_line(line: &Line<'_>) -> Result<Dependency, RecipeError> {
    let words = line.words();
    let latest = words[0].text == "latest";
    let mut words = words[usize::from(latest)..].iter().peekable();
    let spec = words.next().ok_or_else(|| expected(line, "a package after `latest`"))?;
    let mut dependency =
        Dependency { spec: spec.parse()?, from: None, latest, at: None, variable: None, position: spec.position() };
    if latest && dependency.spec.constraint.is_some() {
        return Err(spec.refused("`latest` takes a name without a version"));
    }
    if words.next_if(|word| word.text == "from").is_some() {
        let recipe = words.next().ok_or_else(|| expected(line, "a recipe's name after `from`"))?;
        dependency.from = Some(recipe.parse()?);
    }
    for word in words {
        parse_option(&mut dependency, word)?;
    }
    if dependency.variable.is_some() && dependency.at.is_none() {
        return Err(expected(line, "an `at=` that `as=` can name"));
    }
    Ok(dependency)
}

fn expected(line: &Line<'_>, what: &'static str) -> RecipeError {
    line.end_error(crate::LineProblem::Expected { what })
}

fn parse_option(dependency: &mut Dependency, word: &Word<'_>) -> Result<(), RecipeError> {
    let Some((name, value)) = word.split_once('=') else {
        return Err(word.unknown("word", ["from", "at=", "as="]));
    };
    match name.text {
        "at" if dependency.at.is_none() => dependency.at = Some(parse_mount_point(&value)?),
        "as" if dependency.variable.is_none() => dependency.variable = Some(parse_variable(&value)?),
        "at" | "as" => return Err(name.repeated("option", dependency.position.line)),
        _ => return Err(name.unknown("option", ["at", "as"])),
    }
    Ok(())
}

/// Folders of the room that are its own.
const ROOM: [&str; 8] = ["build", "dest", "recipe", "tmp", "proc", "sys", "dev", "run"];

fn parse_mount_point(word: &Word<'_>) -> Result<PkgPath, RecipeError> {
    let Some(relative) = word.text.strip_prefix('/') else {
        return Err(word.refused("an absolute path is expected"));
    };
    let path = PkgPath::new(relative.as_bytes()).map_err(|error| word.error(error.into()))?;
    if path.components().next().is_some_and(|first| ROOM.iter().any(|own| own.as_bytes() == first)) {
        return Err(word.refused("the room needs that folder itself"));
    }
    Ok(path)
}

fn parse_variable(word: &Word<'_>) -> Result<String, RecipeError> {
    crate::env::check_name(word)?;
    Ok(word.text.to_owned())
}
