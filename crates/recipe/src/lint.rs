use std::fmt;

use pkgtypes::{PkgPath, Release};

use crate::recipe::KNOWN_FILES;
use crate::{LintId, Recipe, Source, SourceDigest, SourceKind, Waiver, suggest};

/// Something in a recipe or a package that is seldom wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which lint.
    pub lint: LintId,
    /// The file of the recipe or the package, where there is one.
    pub path: Option<PkgPath>,
    /// What was found.
    pub message: String,
    /// Why the recipe wants it so; `None` where no line of `lint` says.
    pub waived: Option<String>,
}

impl Finding {
    /// A finding, waived where a line of `lint` says so.
    pub fn new(lint: LintId, path: Option<PkgPath>, message: impl Into<String>, waivers: &[Waiver]) -> Self {
        let fits = |waiver: &&Waiver| {
            let here = |glob: &crate::Glob| path.as_ref().is_some_and(|path| glob.matches(path));
            waiver.lint == lint && waiver.glob.as_ref().is_none_or(here)
        };
        let waived = waivers.iter().find(fits).map(|waiver| waiver.reason.clone());
        Self { lint, path, message: message.into(), waived }
    }
}

/// `PATH: MESSAGE (ID)`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{path}: ")?;
        }
        write!(f, "{} ({})", self.message, self.lint)
    }
}

/// What is seldom wanted in a recipe's own folder. Imported seeds (release 0) are left alone.
pub fn lint(recipe: &Recipe) -> Vec<Finding> {
    if recipe.id().release == Release(0) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut find = |lint, path: Option<PkgPath>, message: String| {
        findings.push(Finding::new(lint, path, message, recipe.waivers()));
    };
    let meta = recipe.meta(&recipe.id().name);
    if meta.description.is_empty() {
        find(LintId::NoDescription, None, "`meta` has no `description`".into());
    }
    if meta.licenses.is_empty() {
        find(LintId::NoLicense, None, "`meta` has no `license`".into());
    }
    if meta.url.is_none() && !recipe.sources().is_empty() {
        find(LintId::NoUrl, None, "`meta` has no `url`".into());
    }
    if recipe.has_build() && !recipe.has_test() && recipe.recipe_type().kind == crate::Kind::Binary {
        find(LintId::NoTest, None, "the package is not tested".into());
    }
    for source in recipe.sources() {
        for (lint, message) in lint_source(source) {
            find(lint, Some(source.name.clone()), message);
        }
    }
    for file in recipe.resources() {
        if let Some(meant) = likely_typo(&file.path) {
            find(LintId::LikelyTypo, Some(file.path.clone()), format!("a resource; was `{meant}` meant?"));
        }
    }
    findings
}

fn lint_source(source: &Source) -> Vec<(LintId, String)> {
    let mut findings = Vec::new();
    if source.digest == SourceDigest::Resource {
        return findings;
    }
    if source.urls.iter().all(|url| url.scheme() == "http") {
        findings.push((LintId::PlainHttp, "every URL is http without TLS".into()));
    }
    // What only a distribution has can not be had elsewhere, so one URL is all there is.
    if let Some(why) = repacked(source) {
        findings.push((LintId::RepackedSource, why));
    } else if let [only] = &source.urls[..] {
        findings.push((LintId::SingleUrl, format!("only {only} has it")));
    }
    findings
}

/// Marks of a tarball that a distribution made anew.
fn repacked(source: &Source) -> Option<String> {
    const MARKS: [&str; 3] = ["dfsg", "+ds", "repack"];
    if source.kind == SourceKind::Deb {
        return None;
    }
    let files = source.urls.iter().map(|url| url.as_str().rsplit('/').next().unwrap_or_default());
    let marked =
        files.into_iter().find_map(|file| MARKS.iter().find(|mark| file.contains(**mark)).map(|mark| (file, mark)));
    if let Some((file, mark)) = marked {
        return Some(format!("`{mark}` in {file}"));
    }
    source.urls.iter().all(|url| url.scheme() == "apt-src").then(|| "only a distribution has it".into())
}

fn likely_typo(path: &PkgPath) -> Option<String> {
    let name = std::str::from_utf8(path.as_bytes()).ok().filter(|name| !name.contains('/'))?;
    // A longer word that begins like a known one is a name of its own; one letter off is not.
    let near = suggest::nearest(name, KNOWN_FILES);
    near.into_iter().find(|known| known.len().abs_diff(name.len()) <= 1)
}
