//! Configuration files as packages brought them. The administrator changes the file itself, so its first content would be
//! nowhere when it is asked for: by whoever merges a new version, or goes back to the old one.

use std::collections::HashSet;

use pkgformat::{Entry, EntryKind, PackageRecord, Use};
use pkgtypes::{Digest, PackageId, PkgPath};
use rusqlite::{Connection, OptionalExtension as _};

use crate::Installed;
use crate::error::{DbResult as _, Result};

/// Larger contents are not stored.
const LARGEST: u64 = 256 << 10;
/// No more than this is stored of one package.
const MOST: u64 = 4 << 20;

/// A configuration file as it came with a package.
#[derive(Debug)]
pub(crate) struct Original {
    /// The package's position among those that come.
    pub(crate) package: usize,
    pub(crate) digest: Digest,
    pub(crate) content: Vec<u8>,
}

/// A new version of a configuration file that is going to lie beside the administrator's.
#[derive(Debug)]
pub(crate) struct Beside {
    /// The file, as its package names it.
    pub(crate) path: PkgPath,
    /// What the version that goes had there.
    pub(crate) old: Digest,
    /// Whether one lies there already.
    pub(crate) is_further: bool,
}

/// The contents of a package that are stored, and their sizes together.
pub(crate) fn of(record: &PackageRecord) -> (HashSet<Digest>, u64) {
    let (mut stored, mut bytes) = (HashSet::new(), 0);
    for (digest, size) in record.manifest().entries().iter().filter_map(config) {
        if size <= LARGEST && bytes + size <= MOST && stored.insert(digest) {
            bytes += size;
        }
    }
    (stored, bytes)
}

fn config(entry: &Entry) -> Option<(Digest, u64)> {
    match entry.kind {
        EntryKind::File { digest, size, .. } if size > 0 && entry.uses.contains(&Use::Config) => Some((digest, size)),
        _ => None,
    }
}

/// Stores a content for as long as the package is installed, or can come back.
pub(crate) fn save(conn: &Connection, package: PackageId, original: &Original) -> rusqlite::Result<()> {
    let query = "INSERT OR IGNORE INTO originals (package_id, hash, content) VALUES (?, ?, ?)";
    let package = package.digest();
    let row = (package.as_bytes(), original.digest.as_bytes(), &original.content);
    conn.prepare_cached(query)?.execute(row).map(drop)
}

/// Forgets those of a package that does not come back.
pub(crate) fn forget(conn: &Connection, package: PackageId) -> rusqlite::Result<()> {
    let query = "DELETE FROM originals WHERE package_id = ?";
    conn.prepare_cached(query)?.execute([package.digest().as_bytes()]).map(drop)
}

/// Forgets those of packages that went up to this transaction, and are not there.
pub(crate) fn forget_past(conn: &Connection, last: i64) -> rusqlite::Result<()> {
    let query = "DELETE FROM originals WHERE package_id IN (SELECT package_id FROM past_packages WHERE txn <= ?)
                 AND NOT EXISTS (SELECT 1 FROM packages WHERE packages.package_id = originals.package_id)";
    conn.execute(query, [last]).map(drop)
}

/// Remembers the version that the administrator began with, of a file whose new version lies beside his from now on: the
/// one that goes, unless he has not decided about an earlier one yet.
pub(crate) fn save_base(conn: &Connection, Beside { path, old, is_further }: &Beside) -> rusqlite::Result<()> {
    if !is_further {
        forget_base(conn, path)?;
    }
    let query = "INSERT OR IGNORE INTO bases (path, content) SELECT ?, content FROM originals WHERE hash = ? LIMIT 1";
    conn.prepare_cached(query)?.execute((path.as_bytes(), old.as_bytes())).map(drop)
}

/// Forgets those of files that no package has any more, and of which no version of the administrator's can come back.
pub(crate) fn forget_bases(conn: &Connection) -> rusqlite::Result<()> {
    let query = "DELETE FROM bases WHERE NOT EXISTS (SELECT 1 FROM paths WHERE paths.path = bases.path)
                 AND NOT EXISTS (SELECT 1 FROM saves WHERE saves.path = bases.path)";
    conn.execute(query, []).map(drop)
}

/// Forgets the one of a file about which the administrator has decided.
pub(crate) fn forget_base(conn: &Connection, path: &PkgPath) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM bases WHERE path = ?")?.execute([path.as_bytes()]).map(drop)
}

impl Installed {
    /// The version of a configuration file that the administrator changed, where a package's new one lies beside his.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn base(&self, path: &PkgPath) -> Result<Option<Vec<u8>>> {
        let read = || {
            let mut statement = self.conn.prepare_cached("SELECT content FROM bases WHERE path = ?")?;
            statement.query_row([path.as_bytes()], |row| row.get(0)).optional()
        };
        read().during("read a configuration file as it was brought", &self.conn)
    }

    /// A content with this digest that some package brought for a configuration file: one that is installed, or that could
    /// come back.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn original(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let read = || {
            let query = "SELECT content FROM originals WHERE hash = ? LIMIT 1";
            let mut statement = self.conn.prepare_cached(query)?;
            statement.query_row([digest.as_bytes()], |row| row.get::<_, Vec<u8>>(0)).optional()
        };
        let content = read().during("read a configuration file as it was brought", &self.conn)?;
        Ok(content.filter(|content| Digest::of(content) == *digest))
    }
}
