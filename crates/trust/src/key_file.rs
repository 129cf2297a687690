use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use pkgtypes::{PackageName, Timestamp};

use crate::error::shown;
use crate::statement::utc;
use crate::{Error, PublicKey, RepoId, Result};

/// How far a key is trusted: the folder that its file stands in. Never said by the signer, always by the verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Explicitly denied, which wins over everything.
    Untrusted,
    /// New or lightly known.
    Junior,
    /// Proven.
    Senior,
    /// As good as the administrator's own.
    Trusted,
}

impl Tier {
    /// All tiers, the highest first.
    pub const ALL: [Self; 4] = [Self::Trusted, Self::Senior, Self::Junior, Self::Untrusted];

    /// The folder's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Untrusted => "untrusted",
            Self::Junior => "junior",
            Self::Senior => "senior",
            Self::Trusted => "trusted",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Tier {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == text).ok_or_else(|| {
            Error::parse(
                format!("tier `{}`", shown(text.as_bytes())),
                "it is one of trusted, senior, junior, untrusted",
            )
        })
    }
}

/// The person or machine behind a key: 1 to 64 printable ASCII characters without a blank or `/`. Two keys of one owner
/// are one voice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(String);

impl Owner {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Owner {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
        if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::parse(
            format!("owner `{}`", shown(text.as_bytes())),
            "1 to 64 printable ASCII characters without blanks and `/` are expected",
        ))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A type of statement that a key may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Packages.
    Package,
    /// The state of a repository.
    Snapshot,
    /// The keys of a repository.
    Keyset,
    /// Denials.
    Deny,
    /// Recommendations of keys.
    Vouch,
    /// Independent rebuilds.
    Rebuild,
    /// Sources.
    Source,
}

impl Role {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Package, "package"),
        (Self::Snapshot, "snapshot"),
        (Self::Keyset, "keyset"),
        (Self::Deny, "deny"),
        (Self::Vouch, "vouch"),
        (Self::Rebuild, "rebuild"),
        (Self::Source, "source"),
    ];
}

/// A pattern for package names: `*` stands for any run of characters, `?` for one; a `!` before it excludes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    excludes: bool,
    glob: String,
}

impl Pattern {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let (excludes, glob) = match text.strip_prefix('!') {
            Some(glob) => (true, glob),
            None => (false, text),
        };
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+._-*?".contains(&b);
        if (1..=128).contains(&glob.len()) && glob.bytes().all(fits) {
            return Ok(Self { excludes, glob: glob.to_owned() });
        }
        Err(format!("`{}` is no pattern for package names", shown(text.as_bytes())))
    }

    fn matches(&self, name: &PackageName) -> bool {
        matches(self.glob.as_bytes(), name.as_str().as_bytes())
    }
}

/// Linear in both lengths for one star, quadratic at worst: a star never needs to be tried again once a later one fits.
fn matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star = None;
    while from < text.len() {
        match glob.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[from] => (at, from) = (at + 1, from + 1),
            _ => match star {
                Some((glob_at, text_at)) => {
                    star = Some((glob_at, text_at + 1));
                    (at, from) = (glob_at + 1, text_at + 1);
                }
                None => return false,
            },
        }
    }
    glob[at..].iter().all(|&byte| byte == b'*')
}

/// A key and what the administrator says about it: an OpenSSH public-key line, then `field: value` lines.
#[derive(Debug, Clone)]
pub struct KeyFile {
    key: PublicKey,
    tier: Tier,
    owner: Owner,
    added: Option<Timestamp>,
    not_after: Option<Timestamp>,
    repos: Vec<RepoId>,
    patterns: Vec<Pattern>,
    roles: Vec<Role>,
    path: PathBuf,
}

impl KeyFile {
    /// Largest key file, in bytes.
    pub const MAX_LEN: usize = 4096;

    /// The key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The folder it stands in.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Whose key it is.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// When it was added, where the file says so.
    pub fn added(&self) -> Option<Timestamp> {
        self.added
    }

    /// When it ends, where the file says so.
    pub fn not_after(&self) -> Option<Timestamp> {
        self.not_after
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The repositories that it may sign for; empty for all.
    pub fn repos(&self) -> &[RepoId] {
        &self.repos
    }

    /// Whether its scope covers package statements on `name` in `repo`. Without `repos`, `pkgs` and `roles` everything
    /// is covered; of the patterns one must fit and none that excludes may.
    pub fn covers(&self, repo: &RepoId, name: &PackageName) -> bool {
        let repo_fits = self.repos.is_empty() || self.repos.contains(repo);
        let role_fits = self.roles.is_empty() || self.roles.contains(&Role::Package);
        let mut included = self.patterns.iter().filter(|pattern| !pattern.excludes).peekable();
        let name_fits = included.peek().is_none() || included.any(|pattern| pattern.matches(name));
        let excluded = self.patterns.iter().any(|pattern| pattern.excludes && pattern.matches(name));
        repo_fits && role_fits && name_fits && !excluded
    }

    /// Reads a key file's text; `path` names it and, without an `owner` line, its owner.
    ///
    /// # Errors
    /// `E_PARSE` with the line for an unknown or repeated field or a value outside its grammar, `E_TOO_LARGE` above
    /// 4 KiB, and as [`PublicKey::from_openssh`].
    pub fn parse(bytes: &[u8], path: &Path, tier: Tier) -> Result<Self> {
        let what = path.display().to_string();
        if bytes.len() > Self::MAX_LEN {
            return Err(Error::TooLarge { what, limit: Self::MAX_LEN as u64, unit: "bytes" });
        }
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.chars().all(is_harmless));
        let text = text.ok_or_else(|| Error::parse(&what, "it is not plain UTF-8 text"))?;
        let body = text.strip_suffix('\n').unwrap_or(text);
        let (line, rest) = body.split_once('\n').map_or((body, None), |(line, rest)| (line, Some(rest)));
        let (key, _) = PublicKey::from_openssh(line)
            .map_err(|source| Error::KeyFile { path: path.to_owned(), source: Box::new(source) })?;
        let mut fields = Fields::default();
        for (index, line) in rest.into_iter().flat_map(|rest| rest.split('\n')).enumerate() {
            fields.take(line).map_err(|reason| Error::Line { what: what.clone(), line: index + 2, reason })?;
        }
        let owner = match fields.owner {
            Some(owner) => owner,
            None => owner_of(path)?,
        };
        Ok(Self {
            key,
            tier,
            owner,
            added: fields.added,
            not_after: fields.not_after,
            repos: fields.repos.unwrap_or_default(),
            patterns: fields.patterns.unwrap_or_default(),
            roles: fields.roles.unwrap_or_default(),
            path: path.to_owned(),
        })
    }
}

/// The text of a key file for a new key.
pub(crate) fn key_file_text(key: &PublicKey, owner: &Owner, added: Timestamp) -> String {
    format!("{}\nowner: {owner}\nadded: {}\n", key.to_openssh(owner.as_str()), utc(added))
}

/// No controls, and none of the characters that reorder or hide text on a screen.
fn is_harmless(character: char) -> bool {
    let hides = matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e0fff}'
    );
    character == '\n' || !(character.is_control() || hides)
}

/// `OWNER.pub` or, for further keys of one owner, `OWNER.N.pub`.
fn owner_of(path: &Path) -> Result<Owner> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let owner = match stem.rsplit_once('.') {
        Some((owner, number)) if number.parse::<u16>().is_ok() => owner,
        _ => stem,
    };
    owner.parse()
}

#[derive(Default)]
struct Fields {
    owner: Option<Owner>,
    added: Option<Timestamp>,
    not_after: Option<Timestamp>,
    repos: Option<Vec<RepoId>>,
    patterns: Option<Vec<Pattern>>,
    roles: Option<Vec<Role>>,
}

impl Fields {
    fn take(&mut self, line: &str) -> std::result::Result<(), String> {
        let (field, value) = line.split_once(": ").ok_or("`FIELD: VALUE` is expected")?;
        let time = || Timestamp::parse_utc(value).map_err(|error| error.to_string());
        let fresh = match field {
            "owner" => self.owner.replace(value.parse().map_err(|error: Error| error.to_string())?).is_none(),
            "added" => self.added.replace(time()?).is_none(),
            "not-after" => self.not_after.replace(time()?).is_none(),
            "repos" => {
                self.repos.replace(words(value, |word| word.parse::<RepoId>().map_err(|e| e.to_string()))?).is_none()
            }
            "pkgs" => self.patterns.replace(words(value, Pattern::parse)?).is_none(),
            "roles" => self.roles.replace(words(value, role)?).is_none(),
            _ => {
                let known = "owner, added, not-after, repos, pkgs, roles";
                return Err(format!("unknown field `{}`; there are {known}", shown(field.as_bytes())));
            }
        };
        if fresh { Ok(()) } else { Err(format!("`{field}` stands here twice")) }
    }
}

fn words<T>(value: &str, read: impl Fn(&str) -> std::result::Result<T, String>) -> std::result::Result<Vec<T>, String> {
    value.split(' ').map(read).collect()
}

fn role(word: &str) -> std::result::Result<Role, String> {
    let found = Role::ALL.into_iter().find(|(_, name)| *name == word);
    found.map(|(role, _)| role).ok_or_else(|| format!("`{}` is no role", shown(word.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP0XJDhaoMdbZPt4zWAvodmR/ev3axPFjtcC6sg16fYY bob 2026";

    fn parse(fields: &str) -> Result<KeyFile> {
        KeyFile::parse(format!("{LINE}\n{fields}").as_bytes(), Path::new("keys/junior/carol.2.pub"), Tier::Junior)
    }

    fn covers(file: &KeyFile, repo: &str, name: &str) -> bool {
        file.covers(&repo.parse().unwrap(), &name.parse().unwrap())
    }

    #[test]
    fn a_bare_line_covers_everything() {
        let file = parse("").unwrap();
        assert_eq!(file.owner().as_str(), "carol");
        assert!(covers(&file, "core", "zlib"));
    }

    #[test]
    fn fields_narrow_the_scope() {
        let file = parse(
            "owner: bob\nadded: 2026-02-01T00:00:00Z\nnot-after: 2028-02-01T00:00:00Z\nrepos: core extra\n\
             pkgs: lib* !libc*\nroles: package rebuild\n",
        )
        .unwrap();
        assert_eq!(file.owner().as_str(), "bob");
        assert!(covers(&file, "core", "libz"));
        assert!(!covers(&file, "core", "libcap"));
        assert!(!covers(&file, "core", "zlib"));
        assert!(!covers(&file, "local", "libz"));
        assert!(!covers(&parse("roles: rebuild\n").unwrap(), "core", "zlib"));
        assert!(covers(&parse("pkgs: !glibc\n").unwrap(), "core", "zlib"));
    }

    #[test]
    fn anything_not_understood_is_refused() {
        for bad in [
            "ownr: bob\n",
            "owner: bob\nowner: bob\n",
            "owner:bob\n",
            "owner: b ob\n",
            "owner: \n",
            "\n",
            "added: yesterday\n",
            "repos: Core\n",
            "repos: core  extra\n",
            "pkgs: li[bc]\n",
            "roles: everything\n",
            "owner: bob\r\n",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert!(matches!(parse(&"#".repeat(KeyFile::MAX_LEN)), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn patterns_match_whole_names() {
        for (glob, text, expected) in [
            ("*", "zlib", true),
            ("z*b", "zlib", true),
            ("z?ib", "zlib", true),
            ("zli", "zlib", false),
            ("*lib*b", "zlibb", true),
            ("*a*b", "aab", true),
            ("*ab", "aabaab", true),
            ("?", "", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(glob.as_bytes(), text.as_bytes()), expected, "{glob} {text}");
        }
    }
}
