//! What somebody else did to a root between a transaction's decision and its end.

use pkgtypes::{PackageName, PkgPath};
use rusqlite::{Connection, Row};

use crate::Installed;
use crate::column::path_column;
use crate::error::{DbResult as _, Result};

/// Something that somebody else did after a transaction was decided, so that it could only be worked around.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interference {
    /// Something was put where the transaction places something, or in the place of a folder on the way there.
    MovedAside {
        /// Where it stood.
        path: PkgPath,
        /// Where it is now.
        aside: PkgPath,
    },
    /// A folder was taken away. What the transaction places in it is missing.
    FolderGone {
        /// The folder.
        path: PkgPath,
    },
}

impl Interference {
    /// The path where something else should be.
    pub fn path(&self) -> &PkgPath {
        match self {
            Self::MovedAside { path, .. } | Self::FolderGone { path } => path,
        }
    }

    fn aside(&self) -> Option<&PkgPath> {
        match self {
            Self::MovedAside { aside, .. } => Some(aside),
            Self::FolderGone { .. } => None,
        }
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let path = path_column(row, 0)?;
        Ok(match row.get_ref(1)?.as_blob()? {
            b"" => Self::FolderGone { path },
            _ => Self::MovedAside { path, aside: path_column(row, 1)? },
        })
    }
}

/// Writes it down at once: whoever is killed next may be the only one who knows.
pub(crate) fn note(conn: &Connection, txn: i64, what: &Interference) -> Result<()> {
    let aside = what.aside().map_or(&[][..], PkgPath::as_bytes);
    let query = "INSERT OR IGNORE INTO interferences (txn, path, aside) VALUES (?, ?, ?)";
    conn.execute(query, (txn, what.path().as_bytes(), aside)).during("write down what was moved aside", conn)?;
    Ok(())
}

/// Takes back what was written down and did not come about.
pub(crate) fn withdraw(conn: &Connection, txn: i64, what: &Interference) -> Result<()> {
    let aside = what.aside().map_or(&[][..], PkgPath::as_bytes);
    let query = "DELETE FROM interferences WHERE txn = ? AND path = ? AND aside = ?";
    conn.execute(query, (txn, what.path().as_bytes(), aside)).during("write down what was moved aside", conn)?;
    Ok(())
}

impl Installed {
    /// What others did while a transaction was carried out, sorted by path.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn interferences(&self, txn: i64) -> Result<Vec<Interference>> {
        let read = || -> rusqlite::Result<Vec<Interference>> {
            let query = "SELECT path, aside FROM interferences WHERE txn = ? ORDER BY path, aside";
            let mut statement = self.conn.prepare_cached(query)?;
            statement.query_map([txn], Interference::from_row)?.collect()
        };
        read().during("read what was moved aside", &self.conn)
    }

    /// What was ever moved aside and is there still, where it is on the way to files of the packages of these names, or of
    /// any package where no name is given: the transaction, and the path before and now.
    ///
    /// # Errors
    /// The database or the disk can not be read.
    pub fn moved_aside(&self, names: &[PackageName]) -> Result<Vec<(i64, PkgPath, PkgPath)>> {
        let read = || -> rusqlite::Result<Vec<(i64, PkgPath, PkgPath)>> {
            let query = "SELECT txn, path, aside FROM interferences WHERE aside <> x'' ORDER BY path, aside";
            let mut statement = self.conn.prepare_cached(query)?;
            statement.query_map([], |row| Ok((row.get(0)?, path_column(row, 1)?, path_column(row, 2)?)))?.collect()
        };
        let mut found = Vec::new();
        for moved in read().during("read what was moved aside", &self.conn)? {
            let is_theirs = names.is_empty() || self.owners(&moved.1)?.iter().any(|owner| names.contains(owner));
            // What can not be looked at was not taken away for sure.
            if is_theirs && !matches!(self.root.stat(&moved.2), Ok(None)) {
                found.push(moved);
            }
        }
        Ok(found)
    }
}
