//! Scripts that were decided on with a transaction and have not succeeded yet.

use pkgtypes::PackageName;
use rusqlite::{Connection, OptionalExtension as _};
use sandbox::Access;

use crate::error::{DbResult as _, Result};
use crate::query::split;
use crate::rows::word_column;
use crate::script::Call;
use crate::stage::joined;
use crate::{InstallDb, Installed};

/// A script of a package that came or went and has not succeeded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingScript {
    /// The transaction.
    pub txn: i64,
    /// The package.
    pub package: PackageName,
    /// Which script: `post-install` or `post-remove`.
    pub stage: String,
    /// How it ended when it ran last; `None` where it did not run to its end yet.
    pub failure: Option<String>,
}

/// Which scripts are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that no one has tried, or that were interrupted.
    Untried,
    /// Those that failed, too.
    All,
}

/// Writes down what is to be run after the change, in this order.
pub(crate) fn save(conn: &Connection, txn: i64, calls: &[Call]) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO pending_scripts (txn, position, package, stage, arguments, content) VALUES (?, ?, ?, ?, ?, ?)",
    )?;
    for (position, call) in calls.iter().enumerate() {
        let package = call.package.as_str();
        statement.execute((txn, position, package, &call.stage, joined(&call.arguments), &call.content))?;
    }
    Ok(())
}

/// Runs scripts in the order in which their transactions wrote them down, each once, and tells of those that failed. One
/// that fails stays, with what it said.
pub(crate) fn run(db: &Installed, which: Which) -> Result<Vec<PendingScript>> {
    let mut failed = Vec::new();
    let mut place = (i64::MIN, i64::MIN);
    while let Some((next, call)) = next(db, which, place)? {
        place = next;
        match call.run(&db.root, Access::Rw) {
            Ok(()) => forget(db, place)?,
            Err(failure) => {
                note(db, place, &failure)?;
                let Call { package, stage, .. } = call;
                failed.push(PendingScript { txn: place.0, package, stage, failure: Some(failure) });
            }
        }
    }
    Ok(failed)
}

/// A script's transaction and its position there.
type Place = (i64, i64);

fn next(db: &Installed, which: Which, after: Place) -> Result<Option<(Place, Call)>> {
    let read = || {
        let mut statement = db.conn.prepare_cached(
            "SELECT txn, position, package, stage, arguments, content FROM pending_scripts
             WHERE (txn, position) > (?, ?) AND (? OR failure IS NULL) ORDER BY txn, position LIMIT 1",
        )?;
        let row = statement.query_row((after.0, after.1, which == Which::All), |row| {
            let call = Call {
                package: word_column(row, 2)?,
                stage: row.get(3)?,
                arguments: split(row.get_ref(4)?.as_blob()?),
                content: row.get(5)?,
            };
            Ok(((row.get(0)?, row.get(1)?), call))
        });
        row.optional()
    };
    read().during("read the scripts to be run", &db.conn)
}

fn forget(db: &Installed, place: Place) -> Result<()> {
    let done = db.conn.execute("DELETE FROM pending_scripts WHERE txn = ? AND position = ?", place);
    done.map(drop).during("write down that a script is done", &db.conn)
}

fn note(db: &Installed, (txn, position): Place, failure: &str) -> Result<()> {
    let query = "UPDATE pending_scripts SET failure = ? WHERE txn = ? AND position = ?";
    let noted = db.conn.execute(query, (failure, txn, position));
    noted.map(drop).during("write down that a script failed", &db.conn)
}

impl Installed {
    /// The scripts of packages that came or went and have not succeeded yet, in the order in which they run.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn pending_scripts(&self) -> Result<Vec<PendingScript>> {
        let read = || -> rusqlite::Result<Vec<PendingScript>> {
            let query = "SELECT txn, package, stage, failure FROM pending_scripts ORDER BY txn, position";
            let mut statement = self.conn.prepare_cached(query)?;
            let scripts = statement.query_map([], |row| {
                let (txn, package) = (row.get(0)?, word_column(row, 1)?);
                Ok(PendingScript { txn, package, stage: row.get(2)?, failure: row.get(3)? })
            })?;
            scripts.collect()
        };
        read().during("read the scripts to be run", &self.conn)
    }
}

impl InstallDb {
    /// Runs the scripts that have not succeeded yet once more, those too that failed, and tells of those that fail again.
    ///
    /// # Errors
    /// The database can not be read or written; that a script fails is none.
    pub fn run_pending_scripts(&mut self) -> Result<Vec<PendingScript>> {
        run(self, Which::All)
    }
}
