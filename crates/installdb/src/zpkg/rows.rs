//! A package as rows.

use pkgformat::PackageRecord;
use rusqlite::Connection;

use super::path;
use crate::rows::RecordRows;

/// Writes all rows of a package; without an `id` it gets the next free one.
pub(super) fn insert(conn: &Connection, id: Option<i64>, record: &PackageRecord) -> rusqlite::Result<()> {
    let row = RecordRows { conn, record }.insert(id, None)?;
    path::insert_entries(conn, row, record.manifest().entries())?;
    let mut statement = conn.prepare_cached("INSERT INTO scripts (package, stage, hash) VALUES (?, ?, ?)")?;
    for (kind, digest) in record.meta().scripts.iter() {
        statement.execute((row, kind.to_string(), digest.as_bytes()))?;
    }
    Ok(())
}
