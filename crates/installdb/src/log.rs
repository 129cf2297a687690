//! sqlite's write-ahead log.

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::Installed;
use crate::error::{DbResult as _, GONE, Result};

/// Leaves the log and the shared memory beside the database when the last connection closes: a reader without the right
/// to make them finds them.
pub(crate) fn keep_log(conn: &Connection) -> Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).during("configure the connection", conn)?;
    Ok(())
}

/// Moves the log's content into the database file, so that those who read without shared memory have little to do.
///
/// A reader that is in the way, or a full disk, only puts it off.
pub(crate) fn checkpoint(conn: &Connection) {
    let _ = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
}

/// The same when a transaction is over; and sets the room aside that a removal needs when the disk is full. Where there is
/// none, the next transaction tries again.
pub(crate) fn settle(Installed { root, conn, home, .. }: &Installed) {
    checkpoint(conn);
    let bytes = conn.query_row("SELECT bytes FROM reserve", [], |row| row.get(0));
    let log = home.log();
    if let (Ok(bytes), Ok(log)) = (bytes, root.at(&log)) {
        let _ = log.reserve(bytes);
    }
}

/// How much room is set aside behind the log's end.
///
/// # Errors
/// The disk failed.
pub(crate) fn spare(Installed { root, home, .. }: &Installed) -> Result<u64> {
    match root.stat(&home.log()) {
        Ok(log) => Ok(log.map_or(0, |log| log.allocated.saturating_sub(log.size))),
        Err(error) if GONE.contains(&error.kind) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Sees to it that from now on so much room is set aside.
pub(crate) fn spare_at_least(conn: &Connection, bytes: u64) -> rusqlite::Result<()> {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    conn.prepare_cached("UPDATE reserve SET bytes = ?1 WHERE bytes < ?1")?.execute([bytes]).map(drop)
}
