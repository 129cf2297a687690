use std::fmt;

use pkgtypes::{Digest, Mode, PackageName, ParseError, PkgPath};

use crate::lines::{Line, LineFile, Word};
use crate::{LineProblem, Position, RecipeError, RecipeId};

/// What a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// A tar archive, compressed or not: unpacked.
    Tar,
    /// A zip archive: unpacked.
    Zip,
    /// A file: put there as it is.
    File,
    /// A git commit: its tree is put there.
    Git,
    /// A folder of this recipe: copied.
    Dir,
    /// A patch: applied after everything is unpacked, in the order of the lines.
    Patch,
    /// A Debian package: its files are unpacked.
    Deb,
}

impl SourceKind {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Tar, "tar"),
        (Self::Zip, "zip"),
        (Self::File, "file"),
        (Self::Git, "git"),
        (Self::Dir, "dir"),
        (Self::Patch, "patch"),
        (Self::Deb, "deb"),
    ];

    /// Folders dropped from the beginning of each path (for a patch: of the names in it) where no `strip=` says.
    const fn default_strip(self) -> u32 {
        match self {
            Self::Patch => 1,
            _ => 0,
        }
    }

    fn takes(self, option: &str) -> bool {
        match option {
            "to" => true,
            "strip" => matches!(self, Self::Tar | Self::Zip | Self::Deb | Self::Patch),
            "mode" => self == Self::File,
            _ => false,
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(kind, _)| kind == self).map_or("", |(_, word)| word))
    }
}

/// How a source is told from every other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceDigest {
    /// `sha256:`: of the file's bytes.
    Sha256(Digest),
    /// `commit:`: a git commit's id, 40 or 64 hex digits.
    Commit(String),
    /// `-`: the file is in the recipe's own folder.
    Resource,
}

impl fmt::Display for SourceDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digest) => write!(f, "sha256:{digest}"),
            Self::Commit(id) => write!(f, "commit:{id}"),
            Self::Resource => f.write_str("-"),
        }
    }
}

/// A line of `sources`, its `%n`, `%v` and `%r` filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What it is.
    pub kind: SourceKind,
    /// The file's name; for a resource its path in the recipe's folder.
    pub name: PkgPath,
    /// What it must be.
    pub digest: SourceDigest,
    /// Where it can be had, in order of preference.
    pub urls: Vec<SourceUrl>,
    /// The folder below the build folder that it is put in; `None` for the build folder itself.
    pub to: Option<PkgPath>,
    /// Folders dropped from the beginning of each path; for a patch as `patch -p`.
    pub strip: u32,
    /// The mode of a `file`; `None` for 0644.
    pub mode: Option<Mode>,
    /// Where it stands.
    pub position: Position,
}

/// Where a source can be had: `https://..`, `http://..`, `file:///..`, `apt:NAME=VERSION` or `apt-src:NAME=VERSION/FILE`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceUrl(String);

impl SourceUrl {
    /// The URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the first `:`.
    pub fn scheme(&self) -> &str {
        self.0.split_once(':').map_or("", |(scheme, _)| scheme)
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const SCHEMES: [&str; 5] = ["https", "http", "file", "apt", "apt-src"];
const OPTIONS: [&str; 3] = ["to", "strip", "mode"];
const DEEPEST_STRIP: u32 = 64;

pub(crate) fn parse(file: &LineFile<'_>, id: &RecipeId) -> Result<Vec<Source>, RecipeError> {
    let mut sources: Vec<Source> = Vec::new();
    for line in file.lines() {
        let source = parse_line(line, id)?;
        if let Some(first) = sources.iter().find(|other| other.name == source.name && other.to == source.to) {
            return Err(line.words()[1].repeated("source", first.position.line));
        }
        sources.push(source);
    }
    Ok(sources)
}

fn parse_line(line: &Line<'_>, id: &RecipeId) -> Result<Source, RecipeError> {
    let words = line.words();
    let expected = |what| line.end_error(LineProblem::Expected { what });
    let known = SourceKind::ALL.iter().find(|(_, text)| *text == words[0].text);
    let (kind, _) = *known.ok_or_else(|| words[0].unknown("kind of source", SourceKind::ALL.map(|(_, text)| text)))?;
    let name = words.get(1).ok_or_else(|| expected("a file name"))?;
    let digest = words.get(2).ok_or_else(|| expected("a digest"))?;
    let mut source = Source {
        kind,
        name: parse_path(name, id)?,
        digest: parse_digest(digest, kind)?,
        urls: Vec::new(),
        to: None,
        strip: kind.default_strip(),
        mode: None,
        position: words[0].position(),
    };
    let mut seen = Vec::new();
    for word in &words[3..] {
        match option_of(word) {
            Some((option, value)) => parse_option(&mut source, &option, &value, &mut seen, id)?,
            None => source.urls.push(parse_url(word, kind, id)?),
        }
    }
    match source.digest {
        SourceDigest::Resource if !source.urls.is_empty() => {
            Err(words[3].refused("`-` stands for a file of this recipe, which has no URL"))
        }
        SourceDigest::Sha256(_) | SourceDigest::Commit(_) if source.urls.is_empty() => Err(expected("a URL")),
        _ => check_name(source, name),
    }
}

/// A file from elsewhere has a plain name; only a resource may lie in a folder.
fn check_name(source: Source, name: &Word<'_>) -> Result<Source, RecipeError> {
    if source.digest != SourceDigest::Resource && source.name.components().count() > 1 {
        return Err(name.refused("a file name without `/` is expected"));
    }
    Ok(source)
}

fn parse_digest(word: &Word<'_>, kind: SourceKind) -> Result<SourceDigest, RecipeError> {
    if word.text == "-" {
        return match kind {
            SourceKind::Git | SourceKind::Deb => Err(word.refused("a digest is expected")),
            _ => Ok(SourceDigest::Resource),
        };
    }
    if kind == SourceKind::Dir {
        return Err(word.refused("a `dir` is a folder of this recipe, and `-` stands here"));
    }
    let Some((algorithm, hex)) = word.split_once(':') else {
        return Err(word.error(LineProblem::Expected { what: "`sha256:HEX`, `commit:HEX` or `-`" }));
    };
    match (algorithm.text, kind) {
        ("sha256", SourceKind::Git) => Err(word.refused("a git source has a `commit:`")),
        ("sha256", _) => Ok(SourceDigest::Sha256(hex.parse()?)),
        ("commit", SourceKind::Git) => parse_commit(&hex),
        ("commit", _) => Err(word.refused("only a git source has a `commit:`")),
        _ => Err(algorithm.unknown("digest", ["sha256", "commit"])),
    }
}

fn parse_commit(hex: &Word<'_>) -> Result<SourceDigest, RecipeError> {
    let digits = hex.text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if !digits || ![40, 64].contains(&hex.text.len()) {
        return Err(hex.error(LineProblem::Expected { what: "a commit id of 40 or 64 lower case hex digits" }));
    }
    Ok(SourceDigest::Commit(hex.text.to_owned()))
}

/// `NAME=VALUE` with a plain word before the `=`; a URL has a `:` there.
fn option_of<'a>(word: &Word<'a>) -> Option<(Word<'a>, Word<'a>)> {
    word.split_once('=').filter(|(option, _)| option.text.bytes().all(|byte| byte.is_ascii_lowercase()))
}

fn parse_option<'a>(
    source: &mut Source,
    option: &Word<'a>,
    value: &Word<'_>,
    seen: &mut Vec<&'a str>,
    id: &RecipeId,
) -> Result<(), RecipeError> {
    if !OPTIONS.contains(&option.text) {
        return Err(option.unknown("option", OPTIONS));
    }
    if seen.contains(&option.text) {
        return Err(option.repeated("option", source.position.line));
    }
    seen.push(option.text);
    if !source.kind.takes(option.text) {
        return Err(option.refused("the option is not for this kind of source"));
    }
    match option.text {
        "to" => source.to = Some(parse_path(value, id)?),
        "strip" => source.strip = parse_strip(value)?,
        _ => source.mode = Some(parse_mode(value)?),
    }
    Ok(())
}

fn parse_strip(word: &Word<'_>) -> Result<u32, RecipeError> {
    let plain = !word.text.is_empty() && word.text.bytes().all(|byte| byte.is_ascii_digit());
    let number = word.text.parse().ok().filter(|&strip| plain && strip <= DEEPEST_STRIP);
    number.ok_or_else(|| word.error(LineProblem::Expected { what: "a number from 0 to 64" }))
}

fn parse_mode(word: &Word<'_>) -> Result<Mode, RecipeError> {
    let mode = Mode::parse(word.text.as_bytes()).map_err(|error| word.error(error.into()))?;
    if mode.bits() & Mode::SETID != 0 {
        return Err(word.refused("setid bits stand in `perms`"));
    }
    Ok(mode)
}

fn parse_path(word: &Word<'_>, id: &RecipeId) -> Result<PkgPath, RecipeError> {
    PkgPath::new(fill_in(word, id)?.into_bytes()).map_err(|error| word.error(error.into()))
}

fn parse_url(word: &Word<'_>, kind: SourceKind, id: &RecipeId) -> Result<SourceUrl, RecipeError> {
    let Some((scheme, _)) = word.split_once(':') else {
        return Err(word.error(LineProblem::Expected { what: "a URL or an option" }));
    };
    if !SCHEMES.contains(&scheme.text) {
        return Err(scheme.unknown("scheme", SCHEMES));
    }
    let text = fill_in(word, id)?;
    check_url(&text).map_err(|reason| word.error(ParseError { what: "URL", text: text.clone(), reason }.into()))?;
    if kind == SourceKind::Git && scheme.text.starts_with("apt") {
        return Err(word.refused("a git source comes from https, http or file"));
    }
    Ok(SourceUrl(text))
}

fn check_url(text: &str) -> Result<(), &'static str> {
    let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
    let pair =
        |text: &str| text.split_once('=').is_some_and(|(name, version)| is_apt_name(name) && is_apt_version(version));
    match scheme {
        "http" | "https" => match rest.strip_prefix("//").map(|rest| rest.split('/').next().unwrap_or("")) {
            None | Some("") => Err("`//HOST/` is expected after the scheme"),
            Some(host) if host.contains('@') => Err("a user name can not stand in it"),
            Some(_) => Ok(()),
        },
        "file" if !rest.starts_with("///") => Err("`file:///PATH` is expected"),
        "apt" if !pair(rest) => Err("`apt:NAME=VERSION` is expected"),
        "apt-src" if !rest.rsplit_once('/').is_some_and(|(source, file)| pair(source) && is_file_name(file)) => {
            Err("`apt-src:NAME=VERSION/FILE` is expected")
        }
        _ => Ok(()),
    }
}

fn is_apt_name(name: &str) -> bool {
    name.parse::<PackageName>().is_ok()
}

fn is_apt_version(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_digit())
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-~:".contains(&byte))
}

fn is_file_name(name: &str) -> bool {
    PkgPath::new(name.as_bytes()).is_ok() && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `%n` the name, `%v` the upstream version, `%r` the release, `%%` a percent sign.
fn fill_in(word: &Word<'_>, id: &RecipeId) -> Result<String, RecipeError> {
    let mut filled = String::with_capacity(word.text.len());
    let mut rest = word.text;
    while let Some(at) = rest.find('%') {
        filled.push_str(&rest[..at]);
        let mut after = rest[at + 1..].chars();
        match after.next() {
            Some('n') => filled.push_str(id.name.as_str()),
            Some('v') => filled.push_str(id.version.upstream()),
            Some('r') => filled.push_str(&id.release.to_string()),
            Some('%') => filled.push('%'),
            _ => {
                let offset = word.text.len() - rest.len() + at;
                return Err(word.part(offset..).error(LineProblem::Expected { what: "one of %n %v %r %%" }));
            }
        }
        rest = after.as_str();
    }
    filled.push_str(rest);
    Ok(filled)
}
