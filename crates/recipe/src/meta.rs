use pkgtypes::{Digest, PkgPath, Relation, Requirement, Timestamp};

use crate::lines::{LineFile, Word};
use crate::{Glob, LineProblem, Position, RecipeError};

/// What `meta` or `meta.<output>` says of a package, in the names of the package format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// `description`: lines, the first a summary.
    pub description: Vec<String>,
    /// `url`: the project's page.
    pub url: Option<String>,
    /// `license`: SPDX expressions.
    pub licenses: Vec<String>,
    /// `license-file`: paths in the package.
    pub license_files: Vec<PkgPath>,
    /// `group`
    pub groups: Vec<String>,
    /// `tied`: the package goes with that one.
    pub tied: Option<Relation>,
    /// `provides`
    pub provides: Vec<Relation>,
    /// `conflicts`
    pub conflicts: Vec<Relation>,
    /// `obsoletes`
    pub obsoletes: Vec<Relation>,
    /// `recommends`
    pub recommends: Vec<Requirement>,
    /// `suggests`
    pub suggests: Vec<Requirement>,
    /// `script.pre-install`, ..: files of the recipe.
    pub scripts: MetaScripts,
    /// `trigger`: a pattern, a blank and the command.
    pub triggers: Vec<(Glob, String)>,
    /// `sysuser`: sysusers.d lines.
    pub sysusers: Vec<String>,
    /// `sysgroup`: sysusers.d lines.
    pub sysgroups: Vec<String>,
    /// `source-date`: SOURCE_DATE_EPOCH of the build; `None` for the newest time in the sources.
    pub source_date: Option<Timestamp>,
    /// `output-sha256`: the tree that a `source` recipe's build must reach.
    pub output_digest: Option<Digest>,
    /// Names that begin with `x-` or `foreign.`: kept as they are.
    pub other: Vec<(String, String)>,
}

/// Files of the recipe that are a package's scripts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetaScripts {
    /// `script.pre-install`
    pub pre_install: Option<Script>,
    /// `script.post-install`
    pub post_install: Option<Script>,
    /// `script.pre-remove`
    pub pre_remove: Option<Script>,
    /// `script.post-remove`
    pub post_remove: Option<Script>,
}

impl MetaScripts {
    /// The scripts that there are.
    pub fn iter(&self) -> impl Iterator<Item = &Script> {
        [&self.pre_install, &self.post_install, &self.pre_remove, &self.post_remove].into_iter().flatten()
    }
}

/// A script of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The file in the recipe's folder.
    pub path: PkgPath,
    /// Where it is named.
    pub position: Position,
}

const NAMES: [&str; 20] = [
    "conflicts",
    "description",
    "group",
    "license",
    "license-file",
    "obsoletes",
    "output-sha256",
    "provides",
    "recommends",
    "script.post-install",
    "script.post-remove",
    "script.pre-install",
    "script.pre-remove",
    "source-date",
    "suggests",
    "sysgroup",
    "sysuser",
    "tied",
    "trigger",
    "url",
];

/// Names of the package format that are not for `meta`, and why.
const ELSEWHERE: [(&str, &str); 11] = [
    ("arch", "`type` says it with `noarch`"),
    ("build-date", "the builder sets it"),
    ("epoch", "the recipe's folder says it"),
    ("installed-size", "the builder sets it"),
    ("name", "the recipe's folder says it"),
    ("recipe-hash", "the builder sets it"),
    ("record", "the package format sets it"),
    ("release", "the recipe's folder says it"),
    ("requires", "the file `rundeps` says it"),
    ("subpackage", "the file `outputs` says it"),
    ("version", "the recipe's folder says it"),
];

impl Meta {
    /// This output's meta with what an output takes over from the main package: `url`, `license` and `source-date`.
    #[must_use]
    pub fn inheriting(&self, main: &Self) -> Self {
        let mut meta = self.clone();
        meta.url = meta.url.or_else(|| main.url.clone());
        meta.source_date = meta.source_date.or(main.source_date);
        if meta.licenses.is_empty() {
            meta.licenses.clone_from(&main.licenses);
        }
        meta
    }

    pub(crate) fn parse(file: &LineFile<'_>) -> Result<Self, RecipeError> {
        let mut meta = Self::default();
        let mut seen: Vec<(&str, &str, usize)> = Vec::new();
        for line in file.lines() {
            let (name, value) = line.assignment()?;
            let once = ONCE.contains(&name.text);
            let clashes =
                |(other, text, _): &&(&str, &str, usize)| *other == name.text && (once || *text == value.text);
            if let Some((.., first)) = seen.iter().find(clashes).filter(|_| name.text != "description") {
                return Err(name.repeated("value", *first));
            }
            seen.push((name.text, value.text, line.number));
            meta.set(&name, &value)?;
        }
        Ok(meta)
    }

    fn set(&mut self, name: &Word<'_>, value: &Word<'_>) -> Result<(), RecipeError> {
        match name.text {
            "description" => self.description.push(value.text.to_owned()),
            "url" => self.url = Some(filled(value)?),
            "license" => self.licenses.push(filled(value)?),
            "license-file" => self.license_files.push(path(value)?),
            "group" => self.groups.push(filled(value)?),
            "tied" => self.tied = Some(value.parse()?),
            "provides" => self.provides.push(value.parse()?),
            "conflicts" => self.conflicts.push(value.parse()?),
            "obsoletes" => self.obsoletes.push(value.parse()?),
            "recommends" => self.recommends.push(value.parse()?),
            "suggests" => self.suggests.push(value.parse()?),
            "trigger" => self.triggers.push(trigger(value)?),
            "sysuser" => self.sysusers.push(filled(value)?),
            "sysgroup" => self.sysgroups.push(filled(value)?),
            "source-date" => self.source_date = Some(source_date(value)?),
            "output-sha256" => self.output_digest = Some(value.parse()?),
            "script.pre-install" => self.scripts.pre_install = Some(script(value)?),
            "script.post-install" => self.scripts.post_install = Some(script(value)?),
            "script.pre-remove" => self.scripts.pre_remove = Some(script(value)?),
            "script.post-remove" => self.scripts.post_remove = Some(script(value)?),
            _ => self.other.push((other_name(name)?, value.text.to_owned())),
        }
        Ok(())
    }
}

/// Names that are no lists.
const ONCE: [&str; 8] = [
    "output-sha256",
    "script.post-install",
    "script.post-remove",
    "script.pre-install",
    "script.pre-remove",
    "source-date",
    "tied",
    "url",
];

/// A name that begins with `x-` or `foreign.`, which the package keeps as it is.
fn other_name(name: &Word<'_>) -> Result<String, RecipeError> {
    if let Some((_, reason)) = ELSEWHERE.iter().find(|(other, _)| *other == name.text) {
        return Err(name.refused(reason));
    }
    if !name.text.starts_with("x-") && !name.text.starts_with("foreign.") {
        return Err(name.unknown("name", NAMES));
    }
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".:-".contains(&byte);
    if name.text.len() > 64 || !name.text.bytes().all(fits) {
        return Err(name.refused("a name has at most 64 of a-z, 0-9, `.`, `:` and `-`"));
    }
    Ok(name.text.to_owned())
}

fn filled(value: &Word<'_>) -> Result<String, RecipeError> {
    match value.text {
        "" => Err(value.error(LineProblem::Expected { what: "a value" })),
        text => Ok(text.to_owned()),
    }
}

fn path(value: &Word<'_>) -> Result<PkgPath, RecipeError> {
    PkgPath::new(value.text.as_bytes()).map_err(|error| value.error(error.into()))
}

fn script(value: &Word<'_>) -> Result<Script, RecipeError> {
    Ok(Script { path: path(value)?, position: value.position() })
}

fn trigger(value: &Word<'_>) -> Result<(Glob, String), RecipeError> {
    let (glob, command) = value
        .split_once(' ')
        .ok_or_else(|| value.error(LineProblem::Expected { what: "a pattern, a blank and a command" }))?;
    Ok((glob.parse()?, filled(&command)?))
}

/// Seconds since 1970, or a UTC time.
fn source_date(value: &Word<'_>) -> Result<Timestamp, RecipeError> {
    let parsed = if value.text.contains('T') {
        Timestamp::parse_utc(value.text)
    } else {
        Timestamp::parse_decimal(value.text.as_bytes())
    };
    let time = parsed.map_err(|error| value.error(error.into()))?;
    if time.nanos() != 0 || time.seconds() < 0 {
        return Err(value.refused("whole seconds since 1970 are expected"));
    }
    Ok(time)
}
