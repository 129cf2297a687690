use std::fmt;
use std::str::FromStr;

use pkgformat::PackageRecord;
use pkgtypes::{Arch, Digest, PackageId, PackageName, Release, Timestamp, Version};

use crate::error::shown;
use crate::{Error, RepoId, Result};

const HEADING: &str = "kista-statement v1";
const DAY: i64 = 24 * 60 * 60;
/// What every mandatory line begins with, in order; `claim` stands after `seq` when it stands at all.
const WHAT: &str = "statement";

/// What a signer says to have done with the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claim {
    /// Built it from its recipe; the meaning of a statement without a claim.
    Built,
    /// Read what is in it.
    Reviewed,
    /// Built it again and got the same package.
    Rebuilt,
    /// Passes it on unchanged.
    Mirrored,
}

impl Claim {
    /// The word in the statement.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::Reviewed => "reviewed",
            Self::Rebuilt => "rebuilt",
            Self::Mirrored => "mirrored",
        }
    }
}

impl FromStr for Claim {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Built, Self::Reviewed, Self::Rebuilt, Self::Mirrored]
            .into_iter()
            .find(|claim| claim.as_str() == text)
            .ok_or_else(|| Error::parse("claim", "it is one of built, reviewed, rebuilt, mirrored"))
    }
}

/// The signed thing: a short text that says which package in which repository is meant, and until when.
///
/// There is one way to write each statement: what [`Statement::parse`] accepts, [`Display`](fmt::Display) gives back
/// byte for byte. The package id in it commits to the package's metadata and all its content, so nothing of the package
/// itself needs to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    repo: RepoId,
    subject: Subject,
    seq: u64,
    claim: Option<Claim>,
    issued: Timestamp,
    expires: Timestamp,
}

/// Which package, exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The package's name.
    pub name: PackageName,
    /// Its version, the epoch included.
    pub version: Version,
    /// Its release.
    pub release: Release,
    /// Its architecture.
    pub arch: Arch,
    /// The digest that commits to all of it.
    pub package_id: PackageId,
}

impl Subject {
    /// The subject that `record` is, its id included.
    pub fn of(record: &PackageRecord) -> Self {
        let meta = record.meta();
        Self {
            name: meta.name.clone(),
            version: meta.version.clone(),
            release: meta.release,
            arch: meta.arch.clone(),
            package_id: record.id(),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}-{} {}", self.name, self.version, self.release, self.arch)
    }
}

/// When and where a statement holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The repository that the package is for.
    pub repo: RepoId,
    /// Grows with every statement for a name, architecture and key; at most 2^63 - 1.
    pub seq: u64,
    /// What the signer did; `None` is as good as [`Claim::Built`].
    pub claim: Option<Claim>,
    /// When the statement was made, in whole seconds.
    pub issued: Timestamp,
    /// When it ends, in whole seconds; at most [`Statement::MAX_LIFETIME`] seconds later.
    pub expires: Timestamp,
}

impl Statement {
    /// Longest statement, in bytes.
    pub const MAX_LEN: usize = 4096;
    /// How many seconds a statement holds at most (400 days), whatever it says.
    pub const MAX_LIFETIME: i64 = 400 * DAY;

    /// A statement on `subject`.
    ///
    /// # Errors
    /// `E_PARSE` for numbers above 2^63 - 1, times outside the years 2000 to 2199 or with a fraction, and a lifetime
    /// that is not between 1 second and 400 days.
    pub fn new(subject: Subject, terms: Terms) -> Result<Self> {
        let Terms { repo, seq, claim, issued, expires } = terms;
        let lifetime = expires.seconds().saturating_sub(issued.seconds());
        if !(1..=Self::MAX_LIFETIME).contains(&lifetime) {
            return Err(Error::parse(WHAT, "it must hold for at least 1 second and at most 400 days"));
        }
        let statement = Self { repo, subject, seq, claim, issued, expires };
        // Reading it back checks every other rule in the one place where they stand.
        match Self::parse(statement.to_string().as_bytes()) {
            Ok(read) if read == statement => Ok(statement),
            Ok(_) => Err(Error::parse(WHAT, "times in a statement have no fractions of a second")),
            Err(error) => Err(error),
        }
    }

    /// Reads a statement in its only spelling.
    ///
    /// # Errors
    /// `E_TOO_LARGE` above 4 KiB, `E_PARSE` for a line that is missing, unknown, out of order or spelled otherwise.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > Self::MAX_LEN {
            return Err(Error::TooLarge { what: WHAT.to_owned(), limit: Self::MAX_LEN as u64, unit: "bytes" });
        }
        let text =
            std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\n')));
        let text = text.ok_or_else(|| Error::parse(WHAT, "only printable ASCII and line feeds may stand in it"))?;
        let mut lines = Lines::new(text)?;
        lines.fixed(HEADING)?;
        lines.fixed("type package")?;
        let statement = Self {
            repo: lines.field("repo", str::parse::<RepoId>)?,
            subject: Subject {
                name: lines.field("name", str::parse)?,
                version: lines.field("version", str::parse)?,
                release: lines.field("release", str::parse)?,
                arch: lines.field("arch", str::parse)?,
                package_id: PackageId::new(Digest::from_bytes([0; 32])),
            },
            seq: lines.field("seq", |text| text.parse::<Release>().map(|number| number.0))?,
            claim: lines.optional("claim", str::parse)?,
            issued: Timestamp::EPOCH,
            expires: Timestamp::EPOCH,
        };
        let package_id = lines.field("package-id", str::parse)?;
        let issued = lines.field("issued", Timestamp::parse_utc)?;
        let expires = lines.field("expires", Timestamp::parse_utc)?;
        lines.end()?;
        let statement = Self { subject: Subject { package_id, ..statement.subject }, issued, expires, ..statement };
        statement.check(text)?;
        Ok(statement)
    }

    fn check(&self, text: &str) -> Result<()> {
        const LARGEST: u64 = i64::MAX as u64;
        if self.seq > LARGEST || self.subject.release.0 > LARGEST || self.subject.version.epoch() > LARGEST {
            return Err(Error::parse(WHAT, "a number in it is larger than 2^63 - 1"));
        }
        if self.expires <= self.issued {
            return Err(Error::parse(WHAT, "it expires before it is issued"));
        }
        // Catches what the words accept in two spellings, such as the epoch `0:`.
        if self.to_string() != text {
            return Err(Error::parse(WHAT, "a value in it is not in its shortest spelling"));
        }
        Ok(())
    }

    /// The repository that the package is for.
    pub fn repo(&self) -> &RepoId {
        &self.repo
    }

    /// Which package is meant.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The statement's number; a larger one is newer.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// What the signer did.
    pub fn claim(&self) -> Claim {
        self.claim.unwrap_or(Claim::Built)
    }

    /// When it was made.
    pub fn issued(&self) -> Timestamp {
        self.issued
    }

    /// When it says to end.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// When it really ends: what it says, but 400 days after it was made at the latest.
    pub fn ends(&self) -> Timestamp {
        self.expires.min(self.issued.saturating_add_seconds(Self::MAX_LIFETIME))
    }

    /// The digest of its text, by which a decision refers to it.
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_string())
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Subject { name, version, release, arch, package_id } = &self.subject;
        writeln!(f, "{HEADING}\ntype package\nrepo {}\nname {name}\nversion {version}", self.repo)?;
        writeln!(f, "release {release}\narch {arch}\nseq {}", self.seq)?;
        if let Some(claim) = self.claim {
            writeln!(f, "claim {}", claim.as_str())?;
        }
        writeln!(f, "package-id {package_id}\nissued {}\nexpires {}", utc(self.issued), utc(self.expires))
    }
}

/// The time as statements write it; empty (and so refused by the parser) where there is no such text.
pub(crate) fn utc(time: Timestamp) -> String {
    time.to_utc().unwrap_or_default()
}

struct Lines<'a> {
    lines: std::iter::Peekable<std::iter::Enumerate<std::str::Split<'a, char>>>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Result<Self> {
        let body = text.strip_suffix('\n').ok_or_else(|| Error::parse(WHAT, "it must end with a line feed"))?;
        Ok(Self { lines: body.split('\n').enumerate().peekable() })
    }

    fn fixed(&mut self, expected: &str) -> Result<()> {
        match self.lines.next() {
            Some((_, line)) if line == expected => Ok(()),
            found => Err(unexpected(found, expected)),
        }
    }

    fn field<T, E: fmt::Display>(
        &mut self,
        key: &str,
        read: impl FnOnce(&'a str) -> std::result::Result<T, E>,
    ) -> Result<T> {
        let next = self.lines.next();
        let Some((index, value)) = next.and_then(|(index, line)| Some((index, after_key(line, key)?))) else {
            return Err(unexpected(next, key));
        };
        read(value).map_err(|error| line_error(index, error.to_string()))
    }

    fn optional<T, E: fmt::Display>(
        &mut self,
        key: &str,
        read: impl FnOnce(&'a str) -> std::result::Result<T, E>,
    ) -> Result<Option<T>> {
        match self.lines.peek() {
            Some((_, line)) if after_key(line, key).is_some() => self.field(key, read).map(Some),
            _ => Ok(None),
        }
    }

    fn end(&mut self) -> Result<()> {
        match self.lines.next() {
            None => Ok(()),
            found => Err(unexpected(found, "the end")),
        }
    }
}

fn after_key<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix(' ')
}

fn unexpected(found: Option<(usize, &str)>, expected: &str) -> Error {
    match found {
        Some((index, line)) => line_error(index, format!("`{expected}` is expected, not `{}`", shown(line.as_bytes()))),
        None => Error::parse(WHAT, format!("it ends where `{expected}` is expected")),
    }
}

fn line_error(index: usize, reason: String) -> Error {
    Error::Line { what: WHAT.to_owned(), line: index + 1, reason }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAMPLE: &str = "kista-statement v1\ntype package\nrepo core\nname zlib\nversion 1:1.3.1\nrelease 2\narch x86_64\n\
        seq 1042\nclaim built\npackage-id 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n\
        issued 2026-11-20T12:00:00Z\nexpires 2027-02-18T12:00:00Z\n";

    #[test]
    fn the_sample_is_understood() {
        let statement = Statement::parse(SAMPLE.as_bytes()).unwrap();
        assert_eq!(statement.subject().to_string(), "zlib 1:1.3.1-2 x86_64");
        assert_eq!(statement.claim(), Claim::Built);
        assert_eq!(statement.to_string(), SAMPLE);
    }

    #[test]
    fn every_other_spelling_is_refused() {
        let without_claim = SAMPLE.replace("claim built\n", "");
        Statement::parse(without_claim.as_bytes()).unwrap();
        let changes = [
            ("kista-statement v1", "kista-statement v2"),
            ("kista-statement v1\n", "\u{feff}kista-statement v1\n"),
            ("type package", "type snapshot"),
            ("repo core", "repo  core"),
            ("repo core", "repo core "),
            ("repo core", "repo Core"),
            ("repo core", "repo\tcore"),
            ("repo core\n", ""),
            ("repo core\n", "repo core\nrepo core\n"),
            ("name zlib", "name zl\u{456}b"),
            ("name zlib", "name Zlib"),
            ("name zlib\nversion 1:1.3.1", "version 1:1.3.1\nname zlib"),
            ("version 1:1.3.1", "version 0:1.3.1"),
            ("version 1:1.3.1", "version 01:1.3.1"),
            ("version 1:1.3.1", "version 1:1.3.1-2"),
            ("version 1:1.3.1", "version 9223372036854775808:1"),
            ("release 2", "release 02"),
            ("release 2", "release -2"),
            ("release 2", "release 9223372036854775808"),
            ("seq 1042", "seq +1042"),
            ("seq 1042", "seq 9223372036854775808"),
            ("seq 1042\nclaim built", "claim built\nseq 1042"),
            ("claim built", "claim copied"),
            ("claim built", "x-claim built"),
            ("package-id 9f", "package-id 9F"),
            ("12:00:00Z\nexpires", "12:00:00z\nexpires"),
            ("12:00:00Z\nexpires", "12:00:60Z\nexpires"),
            ("expires 2027", "expires 2026-11-20T12:00:00Z\nexpires 2027"),
            ("expires 2027", "expires 2025"),
            ("Z\nexpires", "Z\r\nexpires"),
            ("expires 2027-02-18T12:00:00Z\n", "expires 2027-02-18T12:00:00Z"),
            ("expires 2027-02-18T12:00:00Z\n", "expires 2027-02-18T12:00:00Z\n\n"),
            ("expires 2027-02-18T12:00:00Z\n", "expires 2027-02-18T12:00:00Z\nnote x\n"),
        ];
        for (from, to) in changes {
            let changed = SAMPLE.replacen(from, to, 1);
            assert_ne!(changed, SAMPLE, "{from:?} is not in the sample");
            assert!(Statement::parse(changed.as_bytes()).is_err(), "{changed}");
        }
        let long = SAMPLE.replace("core", &"c".repeat(Statement::MAX_LEN));
        assert!(matches!(Statement::parse(long.as_bytes()), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn a_lifetime_beyond_the_cap_ends_at_the_cap() {
        let text = SAMPLE.replace("expires 2027", "expires 2099");
        let statement = Statement::parse(text.as_bytes()).unwrap();
        assert_eq!(statement.ends(), statement.issued().saturating_add_seconds(Statement::MAX_LIFETIME));
    }

    #[test]
    fn what_cannot_be_written_is_not_made() {
        let sample = Statement::parse(SAMPLE.as_bytes()).unwrap();
        let terms =
            |seq, issued: Timestamp, expires| Terms { repo: RepoId::local(), seq, claim: None, issued, expires };
        let start = sample.issued();
        let later = start.saturating_add_seconds(60);
        assert!(Statement::new(sample.subject().clone(), terms(1, start, later)).is_ok());
        let fraction = Timestamp::new(start.seconds(), 1).unwrap();
        for (seq, issued, expires) in [
            (1, start, start),
            (1, start, start.saturating_add_seconds(Statement::MAX_LIFETIME + 1)),
            (u64::MAX, start, later),
            (1, fraction, later),
            (1, Timestamp::EPOCH, Timestamp::from_seconds(60)),
            (1, Timestamp::from_seconds(i64::MAX - 60), Timestamp::from_seconds(i64::MAX)),
        ] {
            assert!(Statement::new(sample.subject().clone(), terms(seq, issued, expires)).is_err());
        }
    }

    prop_compose! {
        fn statements()(
            repo in "[a-z0-9][a-z0-9_.-]{0,63}", name in "[a-z0-9][a-z0-9+._-]{0,127}", epoch in 0..=i64::MAX as u64,
            upstream in "[0-9A-Za-z][0-9A-Za-z.+_~^]{0,127}", release in 0..=i64::MAX as u64,
            arch in "[a-z0-9][a-z0-9_.-]{0,63}", seq in 0..=i64::MAX as u64, claim in 0usize..5, id: [u8; 32],
            issued in 946_684_800i64..7_200_000_000, lifetime in 1..Statement::MAX_LIFETIME,
        ) -> Statement {
            let claims = [None, Some(Claim::Built), Some(Claim::Reviewed), Some(Claim::Rebuilt), Some(Claim::Mirrored)];
            let subject = Subject {
                name: name.parse().unwrap(),
                version: Version::new(epoch, &upstream).unwrap(),
                release: Release(release),
                arch: arch.parse().unwrap(),
                package_id: PackageId::new(Digest::from_bytes(id)),
            };
            let issued = Timestamp::from_seconds(issued);
            let expires = issued.saturating_add_seconds(lifetime);
            Statement::new(subject, Terms { repo: repo.parse().unwrap(), seq, claim: claims[claim], issued, expires }).unwrap()
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(statement in statements()) {
            let text = statement.to_string();
            prop_assert!(text.len() <= Statement::MAX_LEN);
            prop_assert_eq!(Statement::parse(text.as_bytes()).unwrap(), statement);
        }

        /// Injective: no two texts mean the same statement.
        #[test]
        fn what_is_read_is_written_back(statement in statements(), at: prop::sample::Index, byte: u8) {
            let mut text = statement.to_string().into_bytes();
            let at = at.index(text.len());
            text[at] = byte;
            if let Ok(read) = Statement::parse(&text) {
                prop_assert_eq!(read.to_string().into_bytes(), text);
            }
        }
    }
}
