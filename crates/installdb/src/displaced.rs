//! What no package owned where a package put something: kept as it is, under a second name, for the day on which the
//! transaction is taken back.

use std::io;

use pkgfs::{ErrorKind as DiskError, FileKind, Place, Stat, fd};
use pkgtypes::{Mode, PkgPath};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row};

use crate::column::path_column;
use crate::error::{DbResult as _, Result};
use crate::home::Home;
use crate::stage::{PRIVATE, given};
use crate::{Installed, kept};

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The package's took its place, because that was asked for.
    Replaced,
    /// It was what the package brings.
    Same,
    /// It stayed, and the package owns it.
    Adopted,
}

impl Manner {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Replaced, "replaced"), (Self::Same, "same"), (Self::Adopted, "adopted")];
}

impl ToSql for Manner {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let (_, name) = Self::ALL.iter().find(|(manner, _)| manner == self).expect("every manner has a name");
        name.to_sql()
    }
}

impl FromSql for Manner {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let name = value.as_str()?;
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(manner, _)| *manner).ok_or(FromSqlError::InvalidType)
    }
}

/// Something that a transaction is going to displace.
#[derive(Debug)]
pub(crate) struct Displacing {
    pub(crate) path: PkgPath,
    pub(crate) manner: Manner,
    pub(crate) stat: Stat,
    /// Whether nobody asks for it, but a transaction before did it, and is what things go back to.
    pub(crate) is_again: bool,
}

/// How something gets its second name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Second {
    /// A hard link.
    Link,
    /// A copy with all attributes, because it is on another file system.
    Copy,
}

impl Displacing {
    /// How it can be kept on the file system `home`; `None` where this user can not keep it as it is.
    pub(crate) fn second(&self, home: u64) -> Option<Second> {
        let me = rustix::process::geteuid();
        let is_mine = me.is_root() || self.stat.uid == me.as_raw();
        match self.stat.dev == home {
            _ if !is_mine => None,
            true => Some(Second::Link),
            false => Some(Second::Copy),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        if self.stat.kind == FileKind::File { self.stat.size } else { 0 }
    }
}

/// Something that was displaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Displaced {
    /// By this transaction.
    pub(crate) txn: i64,
    pub(crate) path: PkgPath,
    pub(crate) manner: Manner,
    pub(crate) size: u64,
    /// Its number among what that transaction kept; `None` where it is not kept.
    n: Option<i64>,
}

impl Displaced {
    /// Where it is kept.
    pub(crate) fn kept(&self, home: &Home) -> Option<PkgPath> {
        self.n.map(|n| kept::path(home, self.txn, n))
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (txn, path) = (row.get(0)?, path_column(row, 1)?);
        Ok(Self { txn, path, manner: row.get(2)?, size: row.get(3)?, n: row.get(4)? })
    }
}

/// What a transaction does about all of that.
#[derive(Debug, Default)]
pub(crate) struct Displacement {
    pub(crate) displacing: Vec<Displacing>,
    /// What comes back to where it was.
    pub(crate) returned: Vec<Displaced>,
}

/// What a reversal finds besides packages: what stood in their way before, comes back when they go, and gives way again
/// when they return.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ground {
    /// What comes back where the packages go, sorted by path.
    pub(crate) returning: Vec<Displaced>,
    /// What gives way again, sorted by path.
    pub(crate) again: Vec<(PkgPath, Manner)>,
    /// The first of the transactions that are taken back.
    pub(crate) since: Option<i64>,
}

impl Ground {
    /// Whether nothing can come back.
    pub(crate) fn is_empty(&self) -> bool {
        self.returning.iter().all(|thing| thing.n.is_none())
    }

    /// In which manner something at the path gave way before.
    pub(crate) fn again(&self, path: &PkgPath) -> Option<Manner> {
        let found = self.again.binary_search_by(|(known, _)| known.cmp(path)).ok();
        found.map(|index| self.again[index].1)
    }
}

impl Installed {
    /// What one transaction displaced, and those from it on brought back.
    pub(crate) fn ground_of(&self, txn: i64) -> Result<Ground> {
        let returning = "SELECT txn, path, manner, size, n FROM displaced WHERE txn = ? AND back IS NULL ORDER BY path";
        self.ground(returning, txn, txn)
    }

    /// What transactions after this one displaced, the first at each path, and brought back.
    pub(crate) fn ground_after(&self, txn: i64) -> Result<Ground> {
        let returning = "SELECT min(txn), path, manner, size, n FROM displaced WHERE txn > ? AND back IS NULL GROUP BY path ORDER BY path";
        self.ground(returning, txn, txn.saturating_add(1))
    }

    fn ground(&self, query: &str, txn: i64, since: i64) -> Result<Ground> {
        let read = || {
            let mut statement = self.conn.prepare_cached(query)?;
            let returning: rusqlite::Result<_> = statement.query_map([txn], Displaced::from_row)?.collect();
            let mut statement = self.conn.prepare_cached(
                "SELECT path, manner, max(back) FROM displaced WHERE back >= ? GROUP BY path ORDER BY path",
            )?;
            let again: rusqlite::Result<_> =
                statement.query_map([since], |row| Ok((path_column(row, 0)?, row.get(1)?)))?.collect();
            Ok(Ground { returning: returning?, again: again?, since: Some(since) })
        };
        read().during("read what was displaced", &self.conn)
    }

    /// What is kept of that which transactions up to this one displaced.
    pub(crate) fn displaced_until(&self, last: i64) -> rusqlite::Result<Vec<Displaced>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT txn, path, manner, size, n FROM displaced WHERE n IS NOT NULL AND txn <= ? ORDER BY txn, n",
        )?;
        statement.query_map([last], Displaced::from_row)?.collect()
    }
}

/// Writes down what is displaced, and under which number it is kept.
pub(crate) fn save(conn: &Connection, txn: i64, thing: &Displacing, n: Option<i64>) -> rusqlite::Result<()> {
    let query = "INSERT INTO displaced (txn, path, manner, n, size) VALUES (?, ?, ?, ?, ?)";
    let size = i64::try_from(thing.size()).unwrap_or(i64::MAX);
    conn.prepare_cached(query)?.execute((txn, thing.path.as_bytes(), thing.manner, n, size)).map(drop)
}

/// Writes down that something is back.
pub(crate) fn give_back(conn: &Connection, txn: i64, thing: &Displaced) -> rusqlite::Result<()> {
    let key = (txn, thing.txn, thing.path.as_bytes());
    conn.prepare_cached("UPDATE displaced SET back = ?, n = NULL WHERE txn = ? AND path = ?")?.execute(key)?;
    let size = i64::try_from(thing.size).unwrap_or(i64::MAX);
    conn.prepare_cached("UPDATE transactions SET kept = kept - ? WHERE id = ?")?.execute((size, thing.txn)).map(drop)
}

/// Forgets what transactions up to this one displaced. That it was there is remembered where it did not come back.
pub(crate) fn forget(conn: &Connection, last: i64) -> rusqlite::Result<()> {
    conn.execute("DELETE FROM displaced WHERE back <= ?1 OR (back IS NULL AND txn <= ?1 AND manner = 'same')", [last])?;
    conn.execute("UPDATE displaced SET n = NULL WHERE txn <= ? AND n IS NOT NULL", [last]).map(drop)
}

/// Gives something one more name, or makes it once more with all its attributes where it can have no further name there.
/// `false` where this user can do neither.
pub(crate) fn second_name(from: &Place<'_>, to: &Place<'_>) -> Result<bool> {
    match to.hard_link(from) {
        Ok(()) => return Ok(true),
        Err(error) if !kept::can_be_copied(&error) => return Err(error.into()),
        Err(_) => {}
    }
    let Some(stat) = from.stat()? else { return Ok(false) };
    match copy(from, to, &stat) {
        Err(crate::Error::Disk(error)) if error.kind == DiskError::Denied => {
            match to.remove_file() {
                Err(error) if error.kind != DiskError::NotFound => return Err(error.into()),
                _ => {}
            }
            Ok(false)
        }
        copied => copied.map(|()| true),
    }
}

fn copy(from: &Place<'_>, to: &Place<'_>, stat: &Stat) -> Result<()> {
    match stat.kind {
        FileKind::File => return copy_file(from, to, stat),
        FileKind::Symlink => to.symlink(&from.read_link()?)?,
        kind => to.create_node(kind, PRIVATE, stat.rdev)?,
    }
    to.set_owner(stat.uid, stat.gid)?;
    if stat.kind != FileKind::Symlink {
        to.set_mode(stat.mode)?;
    }
    Ok(to.set_mtime(stat.mtime)?)
}

fn copy_file(from: &Place<'_>, to: &Place<'_>, stat: &Stat) -> Result<()> {
    write_like(from, to, stat, &mut from.open_file()?)
}

/// Makes a file with the attributes of another one, and a content. Owner first, since a change of owner takes capabilities and
/// setid bits away.
pub(crate) fn write_like(from: &Place<'_>, to: &Place<'_>, stat: &Stat, content: &mut dyn io::Read) -> Result<()> {
    let like = from.open_file()?;
    let mut file = to.create_file(Mode::from_raw(0o600))?;
    let failed = |operation| move |error| pkgfs::Error::new(operation, to.full_path(), error);
    io::copy(content, &mut file).map_err(failed("write the file"))?;
    fd::set_owner(&file, stat.uid, stat.gid).map_err(failed("set the owner of"))?;
    for name in fd::xattr_names(&like).map_err(failed("read the extended attributes of"))? {
        if let Some(value) = fd::xattr(&like, &name).map_err(failed("read an extended attribute of"))? {
            given(fd::set_xattr(&file, &name, &value)).map_err(failed("set an extended attribute of"))?;
        }
    }
    fd::set_mode(&file, stat.mode).map_err(failed("set the mode of"))?;
    fd::set_mtime(&file, stat.mtime).map_err(failed("set the time of"))?;
    Ok(())
}
