//! Transactions that change paths of installed packages, and no package.

use rusqlite::Connection;
use trust::Clock;

use crate::author::Author;
use crate::commit::elapsed;
use crate::error::Result;
use crate::journal::Ending;
use crate::stage::{Guard, ending};
use crate::step::Step;
use crate::{Done, Error, InstallDb, Notice, recover};

/// Carries out steps: `stage` makes what they place, and `write` has the rows that are decided together with them.
pub(crate) fn amend<T>(
    db: &mut InstallDb,
    author: &Author,
    steps: &[Step],
    clock: &dyn Clock,
    stage: impl FnOnce(&InstallDb, i64) -> Result<T>,
    write: impl FnOnce(&Connection, i64, &T) -> rusqlite::Result<()>,
) -> Result<Done> {
    let Author { time, argv, user } = author;
    let mut guard = Guard::begin(db, *time, user.as_ref(), argv, steps)?;
    let txn = guard.txn;
    let staged = match stage(guard.db(), txn) {
        Ok(staged) => staged,
        Err(error) => {
            guard.ending = ending(&error);
            return Err(error);
        }
    };
    let (db, ()) = guard.decide(steps, false, |_| Ok(()), |conn| write(conn, txn, &staged), |_, (), ()| Ok(()))?;
    let ending = || Ending::Done(clock.now().map(|now| (now, elapsed(*time, now))));
    let finished = recover::finish(db.installed_mut(), txn, ending);
    let met = finished.and_then(|()| db.interferences(txn));
    let met = met.map_err(|source| Error::Interrupted { txn, source: Box::new(source) })?;
    let notices = met.into_iter().map(Notice::Interference).collect();
    Ok(Done { txn, operations: Vec::new(), notices, scripts: Vec::new() })
}
