use std::collections::HashMap;
use std::time::Duration;

use pkgfs::{RecordLock, Root};
use pkgtypes::{PackageName, Timestamp};
use rusqlite::Connection;
use trust::Clock;

use crate::arrivals::Arrivals;
use crate::brought::Findings;
use crate::error::{DbResult as _, Result};
use crate::journal::{self, Ending, State};
use crate::layout::Layout;
use crate::rows;
use crate::scripts::call::PATIENCE;
use crate::scripts::pending::{self, Failed, Results, Which};
use crate::step::Step;
use crate::trigger;
use crate::work::Work;
use crate::{
    Error, InstallDb, Notice, Operation, PackageVersion, PendingScript, Progress, ScriptRun, log, originals, past,
    recover, schedule, space, sync, threads,
};

/// A transaction that is decided: its rows are in the database and the journal says so. What is left are the renames
/// and removals; if they are not done now, the next one who opens the database does them.
#[derive(Debug)]
#[must_use = "finish it, or leave it to the next one who opens the database"]
pub struct Committed<'db> {
    db: &'db mut InstallDb,
    txn: i64,
    started: Timestamp,
    operations: Vec<Operation>,
    notices: Vec<Notice>,
    patience: Duration,
    accounts: Option<RecordLock>,
}

/// A transaction that is over.
#[derive(Debug)]
pub struct Done {
    /// Its number in the history.
    pub txn: i64,
    /// What it did with each package, sorted by name.
    pub operations: Vec<Operation>,
    /// What the user should hear of.
    pub notices: Vec<Notice>,
    /// The scripts and triggers that ran, the first one first.
    pub scripts: Vec<ScriptRun>,
}

/// Finishes the staged files and brings them to the disk, then the rows and the decision in one database transaction, which
/// may have begun before.
///
/// The rows are written meanwhile; only their commit waits for the disk, and `amend`, which is told what finishing found
/// out. `is_keeping`: something was staged in our own folder, too. After an error the transaction may still be open.
pub(crate) fn decide<T: Send, U>(
    db: &mut InstallDb,
    steps: &[Step],
    is_keeping: bool,
    finish: impl FnOnce(&Root) -> Result<T> + Send,
    write: impl FnOnce(&Connection) -> rusqlite::Result<U>,
    amend: impl FnOnce(&Connection, U, &T) -> rusqlite::Result<()>,
) -> Result<T> {
    let installed = db.installed_mut();
    let (root, conn) = (&installed.root, &installed.conn);
    let kept = is_keeping.then(|| installed.home.kept());
    std::thread::scope(|scope| {
        let syncing = threads::spawn(scope, || {
            let found = finish(root)?;
            sync::filesystems(root, steps.iter().map(Step::path), kept)?;
            Ok::<T, Error>(found)
        })?;
        let doing = "write the packages";
        begin(conn).during(doing, conn)?;
        let written = write(conn).during(doing, conn)?;
        journal::set_state(conn, State::Committed)?;
        // To the file, not to the disk: what is left for the commit is short.
        conn.cache_flush().during(doing, conn)?;
        let found = syncing.join().expect("a sync does not panic")?;
        amend(conn, written, &found).during(doing, conn)?;
        conn.execute_batch("COMMIT").during(doing, conn)?;
        Ok(found)
    })
}

/// Begins the database transaction, unless it has begun.
pub(crate) fn begin(conn: &Connection) -> rusqlite::Result<()> {
    if conn.is_autocommit() { conn.execute_batch("BEGIN IMMEDIATE") } else { Ok(()) }
}

pub(crate) fn write(
    conn: &Connection,
    txn: i64,
    work: &Work<'_>,
    layout: &Layout,
    found: &Findings,
    begun: Option<Arrivals>,
) -> rusqlite::Result<Arrivals> {
    let mut calls = schedule::after(conn, work, found)?;
    for beside in &layout.besides {
        originals::save_base(conn, beside)?;
    }
    let stays = |id| work.incoming.iter().any(|incoming| incoming.record.id() == id);
    for outgoing in &work.outgoing {
        if layout.keeping.records && !stays(outgoing.record.id()) {
            past::store(conn, outgoing.row, txn)?;
        } else if !stays(outgoing.record.id()) {
            originals::forget(conn, outgoing.record.id())?;
        }
        rows::delete(conn, outgoing.row, &outgoing.record)?;
    }
    let mut arrivals = match begun {
        Some(arrivals) => arrivals,
        None => Arrivals::new(conn, &work.incoming, &work.tree.nodes, &found.unset, txn, work.time)?,
    };
    arrivals.write_rest(conn, &work.incoming)?;
    for script in &found.aside.scripts {
        rows::insert_script(conn, arrivals.row(script.package), script)?;
    }
    for incoming in work.incoming.iter().filter(|incoming| incoming.wanted) {
        wish(conn, txn, &incoming.record.meta().name, true)?;
    }
    let rooms = work.incoming.iter().map(|incoming| space::room_to_remove(&incoming.record));
    log::spare_at_least(conn, rooms.max().unwrap_or(0))?;
    for original in &found.aside.originals {
        originals::save(conn, work.incoming[original.package].record.id(), original)?;
    }
    for name in &work.removed {
        wish(conn, txn, name, false)?;
    }
    for known in &work.wishes {
        wish(conn, txn, &known.name, known.wanted)?;
    }
    pending::supersede(conn, work.operations.iter().map(|operation| &operation.name))?;
    if !work.options.skip_scripts {
        calls.extend(trigger::fire(conn, work, &trigger::touched(work, layout), arrivals.triggers())?);
        pending::save(conn, txn, &calls)?;
    }
    write_changes(conn, txn, work)?;
    for notice in &layout.notices {
        if let Notice::Saved { path, saved } = notice {
            past::note_saved(conn, txn, path, saved)?;
        }
    }
    originals::forget_bases(conn)?;
    layout.keeping.save(conn, txn, &found.unkept)?;
    Ok(arrivals)
}

/// Adds a name to what is wanted, or takes it away, and writes down where that changed something.
fn wish(conn: &Connection, txn: i64, name: &PackageName, wanted: bool) -> rusqlite::Result<()> {
    let name = name.as_str();
    let changed = match wanted {
        true => conn.prepare_cached("INSERT OR IGNORE INTO wanted (name, txn) VALUES (?, ?)")?.execute((name, txn))?,
        false => conn.prepare_cached("DELETE FROM wanted WHERE name = ?")?.execute([name])?,
    };
    if changed > 0 {
        let mut statement =
            conn.prepare_cached("INSERT OR REPLACE INTO wishes (txn, name, wanted) VALUES (?, ?, ?)")?;
        statement.execute((txn, name, wanted))?;
    }
    Ok(())
}

fn write_changes(conn: &Connection, txn: i64, work: &Work<'_>) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO changes (txn, name, old_version, old_release, old_id, new_version, new_release, new_id, new_arch)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let metas = work.incoming.iter().map(|incoming| incoming.record.meta());
    let arches: HashMap<&PackageName, &str> = metas.map(|meta| (&meta.name, meta.arch.as_str())).collect();
    for Operation { name, old, new } in &work.operations {
        let version = |known: &Option<PackageVersion>| known.as_ref().map(|known| known.version.to_string());
        let release = |known: &Option<PackageVersion>| {
            known.as_ref().map(|known| i64::try_from(known.release.0).unwrap_or(i64::MAX))
        };
        let id = |known: &Option<PackageVersion>| known.as_ref().map(|known| *known.id.digest().as_bytes());
        statement.execute((
            txn,
            name.as_str(),
            version(old),
            release(old),
            id(old),
            version(new),
            release(new),
            id(new),
            arches.get(name),
        ))?;
    }
    Ok(())
}

impl<'db> Committed<'db> {
    pub(crate) fn new(
        db: &'db mut InstallDb,
        txn: i64,
        work: Work<'_>,
        notices: Vec<Notice>,
        accounts: Option<RecordLock>,
    ) -> Self {
        let patience = work.options.script_limit.unwrap_or(PATIENCE);
        Self { db, txn, started: work.time, operations: work.operations, notices, patience, accounts }
    }

    /// The transaction's number in the history.
    pub fn txn(&self) -> i64 {
        self.txn
    }

    /// Puts everything in its place, takes away what goes, and runs the scripts that come after. The clock is asked
    /// between the two, for the history: a [`Timestamp`] is a clock that stands still.
    ///
    /// # Errors
    /// [`Error::Interrupted`]: the disk failed; the next one who opens the database goes on.
    pub fn finish(self, clock: impl Clock) -> Result<Done> {
        self.finish_with(clock, &mut ())
    }

    /// The same, with somebody who may stop the scripts: the one that runs is ended and has failed, those after it are left
    /// to the next one who opens the database ([`Notice::ScriptsLeft`]).
    ///
    /// # Errors
    /// As [`Committed::finish`].
    pub fn finish_with(self, clock: impl Clock, progress: &mut dyn Progress) -> Result<Done> {
        let Self { db, txn, started, operations, notices, patience, accounts } = self;
        let interrupted = |source| Error::Interrupted { txn, source: Box::new(source) };
        let ending = move || Ending::Done(clock.now().map(|now| (now, elapsed(started, now))));
        recover::finish(db.installed_mut(), txn, ending).map_err(interrupted)?;
        // Scripts may want to edit users, too.
        drop(accounts);
        let Results { failed, is_stopped } =
            pending::run(db, Which::Untried, patience, progress).map_err(interrupted)?;
        let failed = failed.into_iter().map(|Failed { script, stays }| {
            let PendingScript { package, stage, command, failure, .. } = script;
            Notice::ScriptFailed { package, stage, command, failure: failure.unwrap_or_default(), stays }
        });
        let left = if is_stopped { db.pending_scripts().map_err(interrupted)? } else { Vec::new() };
        let count = left.iter().filter(|script| script.failure.is_none()).count();
        let left = (count > 0).then_some(Notice::ScriptsLeft { count });
        let met = db.interferences(txn).map_err(interrupted)?.into_iter().map(Notice::Interference);
        let scripts = db.script_runs(txn).map_err(interrupted)?;
        Ok(Done {
            txn,
            operations,
            notices: notices.into_iter().chain(met).chain(failed).chain(left).collect(),
            scripts,
        })
    }
}

/// How long after `start` it is; nothing where the clock was set back meanwhile.
pub(crate) fn elapsed(start: Timestamp, now: Timestamp) -> Duration {
    let nanos = |time: Timestamp| i128::from(time.seconds()) * 1_000_000_000 + i128::from(time.nanos());
    let between = nanos(now).saturating_sub(nanos(start));
    Duration::from_nanos(u64::try_from(between.max(0)).unwrap_or(u64::MAX))
}
