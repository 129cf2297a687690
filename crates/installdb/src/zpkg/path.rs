//! Paths: those of packages, and those that belong to none yet.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use pkgformat::{Entry, EntryKind, Principal, Use};
use pkgtypes::{Digest, Mode, ParseError, PkgPath, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::ZpkgProblem;
use super::connection::Guarded;
use crate::column::{digest_column, path_column};
use crate::rows::filetype;

/// The package of a path that belongs to none.
const NONE: i64 = 0;

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathType {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink,
    /// One more name of a file.
    Hardlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A path that the package owns but does not ship.
    Ghost,
}

impl PathType {
    /// All types, with their names in a manifest.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::File, "file"),
        (Self::Dir, "dir"),
        (Self::Symlink, "symlink"),
        (Self::Hardlink, "hardlink"),
        (Self::Fifo, "fifo"),
        (Self::Socket, "socket"),
        (Self::Char, "char"),
        (Self::Block, "block"),
        (Self::Ghost, "ghost"),
    ];
}

impl FromStr for PathType {
    type Err = ZpkgProblem;

    fn from_str(text: &str) -> Result<Self, ZpkgProblem> {
        let known = Self::ALL.iter().find(|(_, name)| *name == text);
        known.map(|(known, _)| *known).ok_or_else(|| ZpkgProblem::Damaged(format!("{text:?} is no type of a path")))
    }
}

impl fmt::Display for PathType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, name) = Self::ALL.iter().find(|(known, _)| known == self).expect("every type has a name");
        f.write_str(name)
    }
}

/// A path that belongs to no package yet. What its type can not have is refused when it comes to a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoosePath {
    /// Where it goes.
    pub path: PkgPath,
    /// What it is.
    pub kind: PathType,
    /// Its permissions: of all but links and ghosts.
    pub mode: Option<Mode>,
    /// Its owner.
    pub owner: Principal,
    /// Its group.
    pub group: Principal,
    /// When its content changed.
    pub mtime: Timestamp,
    /// What it is used for.
    pub uses: BTreeSet<Use>,
    /// The blob that is its content: of files, once there is one.
    pub content: Option<Digest>,
    /// Of links, where they lead.
    pub target: Option<Vec<u8>>,
    /// Of devices, the major and minor number.
    pub device: Option<(u32, u32)>,
}

impl LoosePath {
    /// A path of root's, with time 0, nothing else said.
    pub fn new(path: PkgPath, kind: PathType) -> Self {
        Self {
            path,
            kind,
            mode: None,
            owner: Principal::ROOT,
            group: Principal::ROOT,
            mtime: Timestamp::EPOCH,
            uses: BTreeSet::new(),
            content: None,
            target: None,
            device: None,
        }
    }

    /// The entry of a manifest that says the same; `size` knows how large blobs are.
    pub(super) fn entry(&self, size: impl Fn(&Digest) -> Result<u64, ZpkgProblem>) -> Result<Entry, ZpkgProblem> {
        let Self { path, owner, group, mtime, uses, .. } = self.clone();
        Ok(Entry { path, kind: self.entry_kind(size)?, owner, group, mtime, xattrs: Vec::new(), uses })
    }

    fn entry_kind(&self, size: impl Fn(&Digest) -> Result<u64, ZpkgProblem>) -> Result<EntryKind, ZpkgProblem> {
        let Self { mode, content, target, device, .. } = self;
        let mode = || mode.ok_or_else(|| self.incomplete("it has no mode"));
        let target = || target.clone().ok_or_else(|| self.incomplete("it has no target"));
        let device = || device.ok_or_else(|| self.incomplete("it has no device number"));
        self.refuse_surplus()?;
        Ok(match self.kind {
            PathType::File => {
                let digest = content.ok_or_else(|| self.incomplete("no blob is its content"))?;
                EntryKind::File { mode: mode()?, size: size(&digest)?, digest, elf: None }
            }
            PathType::Dir => EntryKind::Dir { mode: mode()? },
            PathType::Symlink => EntryKind::Symlink { target: target()? },
            PathType::Hardlink => {
                let wrong = |_: ParseError| self.incomplete("its target is no path");
                EntryKind::Hardlink { target: PkgPath::new(target()?).map_err(wrong)? }
            }
            PathType::Fifo => EntryKind::Fifo { mode: mode()? },
            PathType::Socket => EntryKind::Socket { mode: mode()? },
            PathType::Char => EntryKind::Char { mode: mode()?, major: device()?.0, minor: device()?.1 },
            PathType::Block => EntryKind::Block { mode: mode()?, major: device()?.0, minor: device()?.1 },
            PathType::Ghost => EntryKind::Ghost,
        })
    }

    /// What would be lost without a word.
    fn refuse_surplus(&self) -> Result<(), ZpkgProblem> {
        use PathType::{Block, Char, File, Ghost, Hardlink, Symlink};
        let surplus = [
            (self.mode.is_some() && matches!(self.kind, Symlink | Hardlink | Ghost), "its type has no mode"),
            (self.content.is_some() && self.kind != File, "its type has no content"),
            (self.target.is_some() && !matches!(self.kind, Symlink | Hardlink), "its type has no target"),
            (self.device.is_some() && !matches!(self.kind, Char | Block), "its type has no device number"),
        ];
        match surplus.into_iter().find(|(is_there, _)| *is_there) {
            Some((_, reason)) => Err(self.incomplete(reason)),
            None => Ok(()),
        }
    }

    pub(super) fn incomplete(&self, reason: &'static str) -> ZpkgProblem {
        ZpkgProblem::Incomplete { path: self.path.clone(), reason }
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let text = |column| row.get::<_, Option<String>>(column);
        let mode = text(3)?.map(|text| Mode::parse(text.as_bytes()));
        let uses = text(1)?.unwrap_or_default();
        let content =
            if row.get_ref(7)? == rusqlite::types::ValueRef::Null { None } else { Some(digest_column(row, 7)?) };
        Ok(Self {
            path: path_column(row, 0)?,
            kind: row.get_ref(2)?.as_str()?.parse().map_err(|problem| unfit(2, problem))?,
            mode: mode.transpose().map_err(|error| unfit(3, error))?,
            owner: principal(row, 4)?,
            group: principal(row, 5)?,
            mtime: match text(6)? {
                None => Timestamp::EPOCH,
                Some(text) => Timestamp::parse_decimal(text.as_bytes()).map_err(|error| unfit(6, error))?,
            },
            uses: uses
                .split(',')
                .filter(|word| !word.is_empty())
                .map(str::parse)
                .collect::<Result<_, _>>()
                .map_err(|error: ParseError| unfit(1, error))?,
            content,
            target: row.get(8)?,
            device: text(9)?.map(|text| device(&text).ok_or_else(|| unfit(9, Unfit(text)))).transpose()?,
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no device number")]
struct Unfit(String);

fn unfit(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

fn principal(row: &Row<'_>, column: usize) -> rusqlite::Result<Principal> {
    match row.get::<_, Option<String>>(column)? {
        None => Ok(Principal::ROOT),
        Some(text) => text.parse().map_err(|error: ParseError| unfit(column, error)),
    }
}

/// Reads `MAJOR:MINOR`.
pub(super) fn device(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    Some((number(major)?, number(minor)?))
}

const COLUMNS: &str = r#"path, filetype, type, mode, owner, "group", mtime, hash, target, device"#;

/// All paths that belong to no package, sorted bytewise.
pub(super) fn list(guarded: &Guarded) -> Result<Vec<LoosePath>, ZpkgProblem> {
    guarded.ask("list the paths", |conn| {
        let mut statement = conn.prepare(&format!("SELECT {COLUMNS} FROM paths WHERE package = ? ORDER BY path"))?;
        statement.query_map([NONE], LoosePath::from_row)?.collect()
    })
}

pub(super) fn find(guarded: &Guarded, path: &PkgPath) -> Result<LoosePath, ZpkgProblem> {
    let found = guarded.ask("look up a path", |conn| {
        let query = format!("SELECT {COLUMNS} FROM paths WHERE path = ? AND package = ?");
        conn.prepare_cached(&query)?.query_row((path.as_bytes(), NONE), LoosePath::from_row).optional()
    })?;
    found.ok_or_else(|| ZpkgProblem::NoPath { path: path.clone(), package: None })
}

pub(super) fn insert(conn: &Connection, loose: &LoosePath) -> Result<(), ZpkgProblem> {
    let row = row_of(loose);
    let inserted = conn.prepare_cached(INSERT).and_then(|mut statement| row.insert(&mut statement, NONE, None));
    match inserted {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
            Err(ZpkgProblem::PathExists { path: loose.path.clone(), package: None })
        }
        inserted => inserted.map_err(|source| ZpkgProblem::sqlite("write a path", source)),
    }
}

pub(super) fn delete(guarded: &Guarded, path: &PkgPath) -> Result<(), ZpkgProblem> {
    guarded.ask("remove a path", |conn| {
        let mut statement = conn.prepare_cached("DELETE FROM paths WHERE path = ? AND package = ?")?;
        statement.execute((path.as_bytes(), NONE)).map(drop)
    })
}

/// Writes the paths of a package.
pub(super) fn insert_entries(conn: &Connection, package: i64, entries: &[Entry]) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(INSERT)?;
    for (index, entry) in entries.iter().enumerate() {
        row_of_entry(entry).insert(&mut statement, package, Some(index))?;
    }
    Ok(())
}

const INSERT: &str = r#"INSERT INTO paths (path, package, entry, filetype, unset, type, mode, owner, "group", mtime, size,
                                           hash, target, device)
                        VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?)"#;

/// The columns of a path.
struct PathRow<'a> {
    path: &'a PkgPath,
    filetype: Option<String>,
    kind: &'static str,
    mode: Option<Mode>,
    owner: &'a Principal,
    group: &'a Principal,
    mtime: Timestamp,
    size: Option<u64>,
    hash: Option<Digest>,
    target: Option<&'a [u8]>,
    device: Option<(u32, u32)>,
}

impl PathRow<'_> {
    fn insert(
        &self,
        statement: &mut rusqlite::Statement<'_>,
        package: i64,
        entry: Option<usize>,
    ) -> rusqlite::Result<()> {
        let values = (
            self.path.as_bytes(),
            package,
            entry,
            &self.filetype,
            self.kind,
            self.mode.map(|mode| mode.to_string()),
            self.owner.as_str(),
            self.group.as_str(),
            self.mtime.to_string(),
            self.size.map(|size| i64::try_from(size).unwrap_or(i64::MAX)),
            self.hash.map(|digest| *digest.as_bytes()),
            self.target,
            self.device.map(|(major, minor)| format!("{major}:{minor}")),
        );
        statement.execute(values).map(drop)
    }
}

fn row_of(loose: &LoosePath) -> PathRow<'_> {
    let (_, kind) = PathType::ALL.into_iter().find(|(known, _)| *known == loose.kind).expect("every type has a name");
    let uses: Vec<&str> = loose.uses.iter().map(|known| known.as_str()).collect();
    PathRow {
        path: &loose.path,
        filetype: (!uses.is_empty()).then(|| uses.join(",")),
        kind,
        mode: loose.mode,
        owner: &loose.owner,
        group: &loose.group,
        mtime: loose.mtime,
        size: None,
        hash: loose.content,
        target: loose.target.as_deref(),
        device: loose.device,
    }
}

fn row_of_entry(entry: &Entry) -> PathRow<'_> {
    let (size, hash) = match &entry.kind {
        EntryKind::File { size, digest, .. } => (Some(*size), Some(*digest)),
        _ => (None, None),
    };
    let target = match &entry.kind {
        EntryKind::Symlink { target } => Some(&**target),
        EntryKind::Hardlink { target } => Some(target.as_bytes()),
        _ => None,
    };
    let device = match &entry.kind {
        EntryKind::Char { major, minor, .. } | EntryKind::Block { major, minor, .. } => Some((*major, *minor)),
        _ => None,
    };
    PathRow {
        path: &entry.path,
        filetype: filetype(entry),
        kind: entry.kind.name(),
        mode: entry.kind.mode(),
        owner: &entry.owner,
        group: &entry.group,
        mtime: entry.mtime,
        size,
        hash,
        target,
        device,
    }
}
