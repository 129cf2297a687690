mod fill;
mod flusher;
mod package_reader;
mod relay;
mod writer;

use pkgfs::Root;
use pkgtypes::Timestamp;
use rusqlite::Connection;
use sandbox::Access;

use crate::accounts::Accounts;
use crate::arrivals::Arrivals;
use crate::brought::Findings;
use crate::commit::{self, Committed};
use crate::error::{DbResult as _, Result};
use crate::journal::Ending;
use crate::layout::{Fate, Layout};
use crate::rights::Rights;
use crate::scripts::call::{Call, PATIENCE};
use crate::scripts::run;
use crate::step::Step;
use crate::tree::Packages;
use crate::unset::Missing;
use crate::words::joined;
use crate::work::Work;
use crate::{
    Error, InstallDb, NotGiven, Notice, Operation, Progress, Unset, User, accounts, folding, interpreter, journal,
    recover, schedule, step,
};

pub use package_reader::readers;

use fill::Rest;
pub(crate) use fill::{PRIVATE, give, initial, make_node};
pub(crate) use package_reader::{fill, read_whole};
pub(crate) use writer::{Target, given, write_stream};

/// The scripts that may refuse, if all that run before the change and after it can.
pub(crate) fn runnable(
    db: &InstallDb,
    work: &Work<'_>,
    layout: &Layout,
    found: &Findings,
) -> Result<Vec<(Call, Access)>> {
    let before = schedule::before(&db.conn, work, found).during("read the scripts", &db.conn)?;
    let after = schedule::after(&db.conn, work, found).during("read the scripts", &db.conn)?;
    let missing = interpreter::missing(db, work, layout, before.iter().map(|(call, _)| call), &after)?;
    if missing.is_empty() { Ok(before) } else { Err(Error::Refused(missing)) }
}

/// Runs the scripts that may refuse.
fn ask_scripts(
    db: &InstallDb,
    txn: i64,
    work: &Work<'_>,
    layout: &Layout,
    found: &Findings,
    progress: &mut dyn Progress,
) -> Result<()> {
    for (call, access) in runnable(db, work, layout, found)? {
        if !call.may_go_on(progress) {
            return Err(Error::Stopped);
        }
        let ended = call.run(&db.root, access, work.options.script_limit.unwrap_or(PATIENCE), progress);
        run::save(&db.conn, txn, &call, &ended).during("write down how a script ended", &db.conn)?;
        if ended.is_stopped {
            return Err(Error::Stopped);
        }
        if let (Some(reason), true) = (&ended.failure, ended.is_without_room) {
            return Err(Error::NoRoom { package: call.package, stage: call.stage, reason: reason.clone() });
        }
        if let Some(reason) = ended.failure {
            return Err(Error::Script { package: call.package, stage: call.stage, reason });
        }
    }
    Ok(())
}

/// A transaction whose new files all stand beside their targets, verified. Dropped, they are taken away again.
#[derive(Debug)]
#[must_use = "dropping it takes the staged files away again"]
pub struct Staged<'db, 'p> {
    guard: Guard<'db>,
    work: Work<'p>,
    layout: Layout,
    accounts: Accounts,
    found: Findings,
    rest: Rest,
}

impl<'db, 'p> Staged<'db, 'p> {
    pub(crate) fn new(
        db: &'db mut InstallDb,
        mut work: Work<'p>,
        mut layout: Layout,
        accounts: Accounts,
        rights: Rights,
        progress: &mut dyn Progress,
    ) -> Result<Self> {
        let mut guard = Guard::begin(db, work.time, work.user.as_ref(), &work.argv, &layout.steps)?;
        let filled = step::open(guard.db().root(), &layout.steps)
            .and_then(|()| fill::fill(guard.db(), guard.txn, &mut work, &layout, rights, progress))
            .map_err(|error| folding::explain(guard.db().root(), guard.txn, &work, &layout, error));
        let asked = filled.and_then(|(found, rest)| {
            let findings = folding::find(guard.db().root(), guard.txn, &layout)?;
            if !findings.is_empty() {
                return Err(Error::Refused(findings));
            }
            if !work.options.skip_scripts {
                ask_scripts(guard.db(), guard.txn, &work, &layout, &found, progress)?;
            }
            Ok((found, rest))
        });
        match asked {
            Ok((found, rest)) => {
                layout.admit(&found.unkept);
                Ok(Self { guard, work, layout, accounts, found, rest })
            }
            Err(error) => {
                guard.ending = ending(&error);
                Err(error)
            }
        }
    }

    /// What it does with each package, sorted by name.
    pub fn operations(&self) -> &[Operation] {
        &self.work.operations
    }

    /// What the user should hear of.
    pub fn notices(&self) -> &[Notice] {
        &self.layout.notices
    }

    /// Decides: from here on the root is going to be as planned, whatever happens.
    ///
    /// # Errors
    /// Somebody else changed users or groups meanwhile ([`Error::Overtaken`]); the disk or the database failed; the root
    /// is as before, unless the error is [`Error::InDoubt`].
    pub fn commit(self) -> Result<Committed<'db>> {
        let Self { mut guard, work, layout, accounts, mut found, rest } = self;
        let txn = guard.txn;
        let paths = accounts.changed().map(|file| &file.path);
        // Until the new files are in their places, so that no edit comes between the look at the old ones and that.
        let lock = match accounts::lock(&guard.db().root, paths, work.options.lock_limit) {
            Ok(lock) => lock,
            Err(error) => {
                guard.ending = ending(&error);
                return Err(error);
            }
        };
        for file in accounts.changed() {
            if !file.is_current(&guard.db().root)? {
                let error = Error::Overtaken { path: file.path.clone() };
                guard.ending = ending(&error);
                return Err(error);
            }
        }
        let (packages, nodes) = (work.packages(), &work.tree.nodes);
        let finish = |root: &Root| rest.finish(root, packages, nodes);
        let begun = found.begun.take();
        let write = |conn: &Connection| commit::write(conn, txn, &work, &layout, &found, begun);
        let amend = |conn: &Connection, arrivals: Arrivals, late: &Vec<Missing>| {
            arrivals.add_unset(conn, &work.incoming, nodes, found.missing.iter().chain(late))
        };
        let (db, late) = guard.decide(&layout.steps, layout.keeping.is_staged(), finish, write, amend)?;
        found.missing.extend(late);
        let lacking = not_given(&work, &layout, &found);
        let notices = layout.notices.into_iter().chain(lacking).collect();
        Ok(Committed::new(db, txn, work, notices, lock))
    }
}

/// A transaction in the journal that is taken back unless it is released.
#[derive(Debug)]
pub(crate) struct Guard<'db> {
    db: Option<&'db mut InstallDb>,
    pub(crate) txn: i64,
    /// What history says of it when it is taken back.
    pub(crate) ending: Ending,
}

const HELD: &str = "the database is held until it is released, which ends the guard";

/// What the database's log grows by when a transaction is taken back, however large that is.
const ROOM_TO_END: u64 = 256 << 10;

impl<'db> Guard<'db> {
    /// Writes to the journal what is going to be staged, and brings that to the disk before anything is. From then on
    /// the log has room for what takes it back: were the disk full of staged files, they could not be given up.
    pub(crate) fn begin(
        db: &'db mut InstallDb,
        time: Timestamp,
        user: Option<&User>,
        argv: &[Vec<u8>],
        steps: &[Step],
    ) -> Result<Self> {
        if db.is_preview() {
            return Err(Error::OnlyLooking);
        }
        let conn = &mut db.installed_mut().conn;
        let change = conn.unchecked_transaction().during("begin a transaction", conn)?;
        let txn = journal::begin(&change, time, user, &joined(argv))?;
        step::save(&change, steps)?;
        change.commit().during("begin a transaction", conn)?;
        let guard = Self { db: Some(db), txn, ending: Ending::RolledBack };
        guard.db().root().at(&guard.db().home.log())?.reserve(ROOM_TO_END)?;
        Ok(guard)
    }

    /// Decides, as [`commit::decide`].
    pub(crate) fn decide<T: Send, U>(
        mut self,
        steps: &[Step],
        is_keeping: bool,
        finish: impl FnOnce(&Root) -> Result<T> + Send,
        write: impl FnOnce(&Connection) -> rusqlite::Result<U>,
        amend: impl FnOnce(&Connection, U, &T) -> rusqlite::Result<()>,
    ) -> Result<(&'db mut InstallDb, T)> {
        let txn = self.txn;
        match commit::decide(self.db_mut(), steps, is_keeping, finish, write, amend) {
            Ok(found) => Ok((self.release(), found)),
            // Whether the decision stands in the log after all is settled by writing the opposite.
            Err(error) => Err(match recover::discard(self.release().installed_mut(), txn, ending(&error)) {
                Ok(()) => error,
                Err(_) => Error::InDoubt { txn, source: Box::new(error) },
            }),
        }
    }

    pub(crate) fn db(&self) -> &InstallDb {
        self.db.as_ref().expect(HELD)
    }

    fn db_mut(&mut self) -> &mut InstallDb {
        self.db.as_mut().expect(HELD)
    }

    fn release(mut self) -> &'db mut InstallDb {
        self.db.take().expect(HELD)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(db) = self.db.take() {
            // What fails here is found in the journal by the next one who opens the database.
            let _ = recover::discard(db.installed_mut(), self.txn, self.ending.clone());
        }
    }
}

pub(crate) fn ending(error: &Error) -> Ending {
    Ending::Failed(error.to_string())
}

/// What could not be given to what is staged.
fn not_given(work: &Work<'_>, layout: &Layout, found: &Findings) -> Option<Notice> {
    let packages = Packages { incoming: &work.incoming, outgoing: &work.outgoing };
    let mut unset = found.unset.clone();
    for (node, more) in &found.missing {
        unset[*node] = unset[*node] | *more;
    }
    let nodes = work.tree.nodes.iter().zip(&layout.fates).zip(&unset);
    // What stands is somebody's already; a device is left out where it can not be made.
    let is_new = |fate: &Fate, what: Unset| matches!(fate, Fate::Staged(_)) || what.contains(Unset::DEVICE);
    let lacking = nodes.filter(|((_, fate), what)| **what != Unset::NOTHING && is_new(fate, **what));
    let lacking = lacking.map(|((node, _), what)| NotGiven {
        package: packages.new_record(node.source).meta().name.clone(),
        path: packages.new_named(node.source).clone(),
        what: *what,
    });
    Some(lacking.collect::<Vec<_>>()).filter(|lacking| !lacking.is_empty()).map(Notice::NotGiven)
}
