//! Bringing a root out of a transaction that was interrupted.

use pkgfs::{ErrorKind as DiskError, Root};
use pkgtypes::PkgPath;

use crate::error::{DbResult as _, Result};
use crate::journal::{self, Ending, State};
use crate::step::{self, Step};
use crate::{Installed, Interference, accounts, kept, log, sync};

/// What was done about an interrupted transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// The transaction.
    pub txn: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// What others did between its decision and its end.
    pub interferences: Vec<Interference>,
}

/// How an interrupted transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It had not been decided: the root is as before it.
    RolledBack,
    /// It had been decided: the root is as after it.
    Finished,
}

impl Installed {
    /// Whether nothing of earlier changes is left to be done: neither the end of one that was interrupted, nor a script.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn is_settled(&self) -> Result<bool> {
        Ok(journal::current(&self.conn)?.is_none() && self.pending_scripts()?.is_empty())
    }
}

/// Finishes or takes back the transaction in the journal.
pub(crate) fn recover(db: &mut Installed) -> Result<Option<Recovery>> {
    let Some((txn, state)) = journal::current(&db.conn)? else { return Ok(None) };
    let outcome = match state {
        State::Committed => {
            // Its own sync may have been interrupted, and a power cut must not take it back after the first rename.
            sync_log(&db.root, &db.home.log())?;
            let steps = step::load(&db.conn)?;
            let _lock = accounts::lock(&db.root, steps.iter().map(Step::path), None)?;
            finish(db, txn, || Ending::Recovered)?;
            Outcome::Finished
        }
        State::Staging | State::Discarding => {
            discard(db, txn, Ending::RolledBack)?;
            Outcome::RolledBack
        }
    };
    Ok(Some(Recovery { txn, outcome, interferences: db.interferences(txn)? }))
}

/// Brings what stands in the database's log to the disk.
fn sync_log(root: &Root, path: &PkgPath) -> Result<()> {
    match root.open_file(path) {
        Ok(log) => log.sync_all().map_err(|error| pkgfs::Error::new("sync", root.path().join(path), error).into()),
        Err(error) if error.kind == DiskError::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Does the steps of a committed transaction and clears the journal.
///
/// The journal goes only after the renames are on the disk; that its going is not on the disk when the power fails does
/// no harm, since the steps can be repeated.
pub(crate) fn finish(db: &mut Installed, txn: i64, ending: impl FnOnce() -> Ending) -> Result<()> {
    let steps = step::load(&db.conn)?;
    step::run(&db.root, &db.conn, txn, &steps)?;
    sync::filesystems(&db.root, steps.iter().map(Step::path), None)?;
    journal::end(&mut db.conn, txn, ending())?;
    log::settle(db);
    Ok(())
}

/// Takes away what was staged and clears the journal.
///
/// The state is written first: a commit whose own sync failed may yet stand in the log, and after a power cut it would
/// be found there and believed, with its staged files gone.
pub(crate) fn discard(db: &mut Installed, txn: i64, ending: Ending) -> Result<()> {
    if !db.conn.is_autocommit() {
        db.conn.execute_batch("ROLLBACK").during("take back what was written", &db.conn)?;
    }
    journal::set_state(&db.conn, State::Discarding)?;
    step::discard(&db.root, txn, &step::load(&db.conn)?)?;
    kept::discard(&db.root, &db.home.kept(), txn)?;
    journal::end(&mut db.conn, txn, ending)?;
    log::settle(db);
    Ok(())
}
