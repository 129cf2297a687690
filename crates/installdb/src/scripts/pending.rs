//! Scripts and triggers that were decided on with a transaction and have not succeeded yet.

use std::time::Duration;

use pkgtypes::PackageName;
use rusqlite::{Connection, OptionalExtension as _};
use sandbox::Access;

use crate::column::word_column;
use crate::error::{DbResult as _, Result};
use crate::scripts::call::{Call, Ended, Program};
use crate::scripts::run;
use crate::words::{joined, split};
use crate::{Installed, Progress, sync};

/// A script of a package that came or went, or a trigger, that has not succeeded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingScript {
    /// The transaction.
    pub txn: i64,
    /// The package.
    pub package: PackageName,
    /// Which script: `post-install`, `post-remove`, `trigger`, or a name that a foreign package has for it.
    pub stage: String,
    /// A trigger's command.
    pub command: Option<String>,
    /// How it ended when it ran last; `None` where it did not run to its end yet.
    pub failure: Option<String>,
    /// Whether it failed again when it was repeated, so that only [`InstallDb::retry_scripts`] runs it once more.
    ///
    /// [`InstallDb::retry_scripts`]: crate::InstallDb::retry_scripts
    pub is_given_up: bool,
}

/// A script that failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) script: PendingScript,
    /// Whether it is still to be run.
    pub(crate) stays: bool,
}

/// What came of running scripts.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) failed: Vec<Failed>,
    /// Whether somebody asked to stop, so that others were not begun.
    pub(crate) is_stopped: bool,
}

/// Which scripts are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that no one has tried, or that were interrupted.
    Untried,
    /// Those that failed once, too. What fails again is given up.
    Failed,
    /// Those that were given up, too.
    All,
}

impl Which {
    /// Whether what failed is given up.
    fn gives_up(self, ended: &Ended) -> bool {
        self != Self::Untried && !ended.is_stopped
    }
}

/// Writes down what is to be run after the change, in this order.
pub(crate) fn save(conn: &Connection, txn: i64, calls: &[Call]) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO pending_scripts (txn, position, package, stage, command, arguments, environment, input, content)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for (position, Call { package, stage, program }) in calls.iter().enumerate() {
        let Program { command, arguments, environment, input, content } = program;
        let (arguments, environment) = (joined(arguments), joined(environment));
        let package = package.as_str();
        statement.execute((txn, position, package, stage, command, arguments, environment, input, content))?;
    }
    Ok(())
}

/// Takes scripts of packages that come or go now out of the list: they belong to versions that were there before.
pub(crate) fn supersede<'n>(conn: &Connection, names: impl Iterator<Item = &'n PackageName>) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached("DELETE FROM pending_scripts WHERE package = ? AND command IS NULL")?;
    for name in names {
        statement.execute([name.as_str()])?;
    }
    Ok(())
}

/// Takes a trigger that has not succeeded yet out of the list; what it was to read.
pub(crate) fn withdraw(conn: &Connection, command: &str) -> rusqlite::Result<Vec<u8>> {
    let mut statement = conn.prepare_cached("DELETE FROM pending_scripts WHERE command = ? RETURNING input")?;
    let inputs: rusqlite::Result<Vec<Vec<u8>>> = statement.query_map([command], |row| row.get(0))?.collect();
    Ok(inputs?.concat())
}

/// A script that ran.
struct Ran {
    place: Place,
    call: Call,
    ended: Ended,
}

/// Scripts that took this long together are written down as run before the next one starts, so that a kill repeats no
/// more than them and the one that it interrupted.
const NOTED_EVERY: Duration = Duration::from_secs(1);

/// Runs scripts in the order in which their transactions wrote them down, each once, and tells of those that failed. One
/// that fails stays, with what it said; unless it is of a package that is gone, and what it needs to run went along.
///
/// After a break none is begun any more. The one that runs is ended, and has failed.
pub(crate) fn run(db: &Installed, which: Which, patience: Duration, progress: &mut dyn Progress) -> Result<Results> {
    let mut results = Results::default();
    let mut ran: Vec<Ran> = Vec::new();
    let mut last = (i64::MIN, i64::MIN);
    while let Some((place, call)) = next(db, which, last)? {
        last = place;
        results.is_stopped |= !call.may_go_on(progress);
        if results.is_stopped {
            break;
        }
        let ended = call.run(&db.root, Access::Rw, patience, progress);
        ran.push(Ran { place, call, ended });
        if ran.iter().map(|ran| ran.ended.took).sum::<Duration>() >= NOTED_EVERY {
            results.failed.extend(note(db, which, std::mem::take(&mut ran))?);
        }
    }
    results.failed.extend(note(db, which, ran)?);
    Ok(results)
}

/// A script's transaction and its position there.
type Place = (i64, i64);

fn next(db: &Installed, which: Which, after: Place) -> Result<Option<(Place, Call)>> {
    let read = || {
        let mut statement = db.conn.prepare_cached(
            "SELECT txn, position, package, stage, command, arguments, environment, input, content FROM pending_scripts
             WHERE (txn, position) > (?, ?) AND (? OR failure IS NULL)
             AND (? OR (txn, position) NOT IN (SELECT txn, position FROM given_up)) ORDER BY txn, position LIMIT 1",
        )?;
        let (failed, all) = (which != Which::Untried, which == Which::All);
        let row = statement.query_row((after.0, after.1, failed, all), |row| {
            let program = Program {
                command: row.get(4)?,
                arguments: split(row.get_ref(5)?.as_blob()?),
                environment: split(row.get_ref(6)?.as_blob()?),
                input: row.get(7)?,
                content: row.get(8)?,
            };
            Ok(((row.get(0)?, row.get(1)?), Call { package: word_column(row, 2)?, stage: row.get(3)?, program }))
        });
        row.optional()
    };
    read().during("read the scripts to be run", &db.conn)
}

/// Writes down how scripts ended, after what they wrote is on the disk: a power cut must not leave one that is taken for
/// run and came to nothing. Tells of those that failed.
fn note(db: &Installed, which: Which, ran: Vec<Ran>) -> Result<Vec<Failed>> {
    if ran.is_empty() {
        return Ok(Vec::new());
    }
    sync::written(&db.root, &db.home)?;
    let staying = ran.iter().map(|ran| stays(db, ran)).collect::<Result<Vec<_>>>()?;
    let write = || {
        let change = db.conn.unchecked_transaction()?;
        for (Ran { place: (txn, position), call, ended }, &stays) in ran.iter().zip(&staying) {
            run::save(&change, *txn, call, ended)?;
            if stays {
                let query = "UPDATE pending_scripts SET failure = ? WHERE txn = ? AND position = ?";
                change.execute(query, (&ended.failure, txn, position))?;
                // One that somebody stopped may yet succeed.
                if which.gives_up(ended) {
                    change.execute("INSERT OR IGNORE INTO given_up (txn, position) VALUES (?, ?)", (txn, position))?;
                }
            } else {
                change.execute("DELETE FROM pending_scripts WHERE txn = ? AND position = ?", (txn, position))?;
            }
        }
        change.commit()
    };
    write().during("write down how scripts ended", &db.conn)?;
    let failed = ran.into_iter().zip(staying).filter(|(ran, _)| ran.ended.failure.is_some());
    Ok(failed.map(|(ran, stays)| Failed { script: ran.told(which), stays }).collect())
}

/// Whether it is still to be run.
fn stays(db: &Installed, Ran { call, ended, .. }: &Ran) -> Result<bool> {
    let is_lost = ended.is_missing && db.row_of(&call.package)?.is_none();
    Ok(ended.failure.is_some() && !is_lost)
}

impl Ran {
    fn told(self, which: Which) -> PendingScript {
        let is_given_up = which.gives_up(&self.ended);
        let Self { place: (txn, _), call: Call { package, stage, program }, ended } = self;
        PendingScript { txn, package, stage, command: program.command, failure: ended.failure, is_given_up }
    }
}

impl Installed {
    /// The scripts of packages that came or went, and the triggers, that have not succeeded yet, in the order in which
    /// they run.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn pending_scripts(&self) -> Result<Vec<PendingScript>> {
        let read = || -> rusqlite::Result<Vec<PendingScript>> {
            let query = "SELECT txn, package, stage, command, failure,
                         (txn, position) IN (SELECT txn, position FROM given_up)
                         FROM pending_scripts ORDER BY txn, position";
            let mut statement = self.conn.prepare_cached(query)?;
            let scripts = statement.query_map([], |row| {
                let (txn, package) = (row.get(0)?, word_column(row, 1)?);
                Ok(PendingScript {
                    txn,
                    package,
                    stage: row.get(2)?,
                    command: row.get(3)?,
                    failure: row.get(4)?,
                    is_given_up: row.get(5)?,
                })
            })?;
            scripts.collect()
        };
        read().during("read the scripts to be run", &self.conn)
    }
}
