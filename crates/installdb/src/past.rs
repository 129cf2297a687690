//! Packages that went: what is needed to bring them back.

use std::collections::HashMap;

use pkgformat::{Limits, PackageRecord, Reader};
use pkgtypes::{Digest, PackageId, PackageName, PkgPath};
use rusqlite::{Connection, OptionalExtension as _};

use crate::column::{digest_column, path_column};
use crate::error::{DbResult as _, Result};
use crate::request::Accepted;
use crate::stock::Stock;
use crate::{Error, Incoming, Installed, Source, acceptance};

/// Keeps the record and the scripts of an installed package that this transaction takes away.
pub(crate) fn store(conn: &Connection, row: i64, txn: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO past_packages (package_id, txn, record)
         SELECT packages.package_id, ?2, records.record FROM packages JOIN records ON records.package = packages.id
         WHERE packages.id = ?1
         ON CONFLICT (package_id) DO UPDATE SET txn = excluded.txn",
    )?
    .execute((row, txn))?;
    conn.prepare_cached(
        "INSERT OR IGNORE INTO past_scripts (package_id, hash, content)
         SELECT packages.package_id, scripts.hash, scripts.content FROM packages
         JOIN scripts ON scripts.package = packages.id WHERE packages.id = ?1",
    )?
    .execute([row])?;
    Ok(())
}

/// Writes down under which name the administrator's version of a configuration file survives its package.
pub(crate) fn note_saved(conn: &Connection, txn: i64, path: &PkgPath, saved: &PkgPath) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached("INSERT OR REPLACE INTO saves (txn, path, saved) VALUES (?, ?, ?)")?;
    statement.execute((txn, path.as_bytes(), saved.as_bytes())).map(drop)
}

impl Installed {
    /// A package that was installed before, to be installed again as what it was accepted as then: from the contents
    /// that were kept when it went, or that installed packages have in their files. `None` where its record is not kept
    /// any more. [`Checked`](crate::Checked) finds out whether all contents are there.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn past_package(&self, id: PackageId) -> Result<Option<Incoming<'static>>> {
        let Some(record) = self.past_record(id)? else { return Ok(None) };
        let Some(record) = self.accepted(record)? else { return Ok(None) };
        Ok(Some(Incoming::returning(record, Stock::new(self.past_scripts(id)?))))
    }

    /// A package that was installed before, to be installed again as what it was accepted as then, with its content from
    /// a package file. `None` where it never was installed.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn past_package_from<'p>(&self, reader: Reader<Source<'p>>) -> Result<Option<Incoming<'p>>> {
        let accepted = self.accepted(reader.package().clone())?;
        Ok(accepted.map(|record| Incoming::returning_from(record, reader)))
    }

    fn accepted(&self, record: PackageRecord) -> Result<Option<Accepted>> {
        let acceptance =
            acceptance::load(&self.conn, record.id()).during("read on what it was accepted", &self.conn)?;
        Ok(acceptance.map(|acceptance| Accepted::again(record, acceptance)))
    }

    fn past_record(&self, id: PackageId) -> Result<Option<PackageRecord>> {
        let read = || {
            self.conn
                .prepare_cached("SELECT record FROM past_packages WHERE package_id = ?")?
                .query_row([id.digest().as_bytes()], |row| row.get::<_, Vec<u8>>(0))
                .optional()
        };
        let Some(bytes) = read().during("read a package record", &self.conn)? else { return Ok(None) };
        let record = PackageRecord::decode(&bytes, &Limits::default());
        let record = record.map_err(|error| Error::damaged(&self.conn, error))?;
        match record.id() == id {
            true => Ok(Some(record)),
            false => Err(Error::damaged(&self.conn, "the record of a past package is another one's")),
        }
    }

    fn past_scripts(&self, id: PackageId) -> Result<HashMap<Digest, Vec<u8>>> {
        let read = || -> rusqlite::Result<HashMap<Digest, Vec<u8>>> {
            let query = "SELECT hash, content FROM past_scripts WHERE package_id = ?";
            let mut statement = self.conn.prepare_cached(query)?;
            let scripts =
                statement.query_map([id.digest().as_bytes()], |row| Ok((digest_column(row, 0)?, row.get(1)?)))?;
            scripts.collect()
        };
        read().during("read a script", &self.conn)
    }

    /// Under which name the administrator's version of a configuration file lies since he accepted a package's, first in
    /// the transactions from `since` on; `None` where another one was put there later.
    pub(crate) fn accepted_since(&self, path: &PkgPath, since: i64) -> Result<Option<PkgPath>> {
        let read = || {
            let mut statement = self.conn.prepare_cached(
                "SELECT saved FROM saves AS first WHERE path = ?1 AND txn >= ?2
                 AND NOT EXISTS (SELECT 1 FROM changes WHERE changes.txn = first.txn)
                 AND NOT EXISTS (SELECT 1 FROM saves WHERE saves.txn > first.txn AND saves.saved = first.saved)
                 ORDER BY txn LIMIT 1",
            )?;
            statement.query_row((path.as_bytes(), since), |row| path_column(row, 0)).optional()
        };
        read().during("look up a path", &self.conn)
    }

    /// Under which name the administrator's version of a configuration file survived, when its package gave it up, by going or
    /// for a version without it, first in the transactions from `since` on; as [`Installed::accepted_since`].
    pub(crate) fn saved_as(&self, package: &PackageName, path: &PkgPath, since: i64) -> Result<Option<PkgPath>> {
        let read = || {
            let mut statement = self.conn.prepare_cached(
                "SELECT saved FROM saves AS first JOIN changes USING (txn) WHERE path = ?2 AND name = ?1 AND txn >= ?3
                 AND NOT EXISTS (SELECT 1 FROM saves WHERE saves.txn > first.txn AND saves.saved = first.saved)
                 ORDER BY txn LIMIT 1",
            )?;
            statement.query_row((package.as_str(), path.as_bytes(), since), |row| path_column(row, 0)).optional()
        };
        read().during("look up a path", &self.conn)
    }
}
