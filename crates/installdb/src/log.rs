//! sqlite's write-ahead log.

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::error::{DbResult as _, Result};

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
