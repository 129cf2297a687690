use pkgtypes::PkgPath;

use crate::lines::{Line, LineFile};
use crate::{LineProblem, RecipeError};

/// A line of `links`, for seeds without a build script: `PATH TARGET`, a symbolic link to add to what was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The link.
    pub path: PkgPath,
    /// What it points to.
    pub target: String,
}

pub(crate) fn parse(file: &LineFile<'_>) -> Result<Vec<Link>, RecipeError> {
    let mut links: Vec<(usize, Link)> = Vec::new();
    for line in file.lines() {
        let link = parse_line(line)?;
        if let Some((first, _)) = links.iter().find(|(_, other)| other.path == link.path) {
            return Err(line.words()[0].repeated("link", *first));
        }
        links.push((line.number, link));
    }
    Ok(links.into_iter().map(|(_, link)| link).collect())
}

fn parse_line(line: &Line<'_>) -> Result<Link, RecipeError> {
    let words = line.words();
    if let Some(surplus) = words.get(2) {
        return Err(surplus.surplus());
    }
    let [path, target] = words[..] else {
        return Err(line.end_error(LineProblem::Expected { what: "the link's target" }));
    };
    let parsed = PkgPath::new(path.text.as_bytes()).map_err(|error| path.error(error.into()))?;
    Ok(Link { path: parsed, target: target.text.to_owned() })
}
