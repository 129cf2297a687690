//! What came of scripts and triggers: the part of the history that they have.

use std::time::Duration;

use pkgtypes::PackageName;
use rusqlite::Connection;

use crate::Installed;
use crate::column::word_column;
use crate::error::{DbResult as _, Result};
use crate::scripts::call::{Call, Ended};

/// A script or a trigger that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScriptRun {
    /// The package.
    pub package: PackageName,
    /// Which script: `pre-install`, `post-install`, `pre-remove`, `post-remove`, `trigger`, or a name that a foreign package
    /// has for it.
    pub stage: String,
    /// A trigger's command.
    pub command: Option<String>,
    /// How it ended where it did not succeed.
    pub failure: Option<String>,
    /// The end of what it said, at most 16 KiB; nothing once the transaction is beyond the bounds of
    /// [`Retention`](crate::Retention).
    pub output: Vec<u8>,
    /// How long it took.
    pub took: Duration,
}

pub(crate) fn save(conn: &Connection, txn: i64, call: &Call, ended: &Ended) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO script_runs (txn, package, stage, command, failure, output, took) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    let took = i64::try_from(ended.took.as_millis()).unwrap_or(i64::MAX);
    let Call { package, stage, program } = call;
    statement.execute((txn, package.as_str(), stage, &program.command, &ended.failure, &ended.output, took))?;
    Ok(())
}

impl Installed {
    /// The scripts and triggers of a transaction that ran, the first one first; one that was run again stands there again.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn script_runs(&self, txn: i64) -> Result<Vec<ScriptRun>> {
        let read = || -> rusqlite::Result<Vec<ScriptRun>> {
            let query =
                "SELECT package, stage, command, failure, output, took FROM script_runs WHERE txn = ? ORDER BY id";
            let mut statement = self.conn.prepare_cached(query)?;
            let runs = statement.query_map([txn], |row| {
                Ok(ScriptRun {
                    package: word_column(row, 0)?,
                    stage: row.get(1)?,
                    command: row.get(2)?,
                    failure: row.get(3)?,
                    output: row.get(4)?,
                    took: Duration::from_millis(row.get(5)?),
                })
            })?;
            runs.collect()
        };
        read().during("read what scripts did", &self.conn)
    }
}
