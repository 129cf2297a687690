use std::ops::Deref;
use std::path::PathBuf;

use pkgfs::{ErrorKind as DiskError, FileKind, Lock, LockKind, Rename, Root, Wait, fd};
use pkgtypes::Mode;
use rusqlite::{Connection, MAIN_DB, OpenFlags};

use crate::error::{DbResult as _, Result};
use crate::home::Home;
use crate::installed::{database_file, full_path};
use crate::links::Links;
use crate::log::keep_log;
use crate::schema::Found;
use crate::scripts::call::PATIENCE;
use crate::scripts::pending::{self, PendingScript, Results, Which};
use crate::space::Space;
use crate::{
    Error, Finding, Installed, LinkProblem, Progress, Recovery, header, held, home, journal, memory, recover, schema,
};

/// The packages of a root, to be changed. One process at a time has it; questions are answered through [`Installed`],
/// which this dereferences to.
#[derive(Debug)]
pub struct InstallDb {
    installed: Installed,
    recovery: Option<Recovery>,
    /// `None` where nothing is going to be changed.
    lock: Option<Lock>,
}

impl InstallDb {
    /// Opens the database of the root at `path`, makes it when it is missing, and first brings the root out of a
    /// transaction that was interrupted, and runs the scripts that were still to be run.
    ///
    /// # Errors
    /// Another process has it ([`Error::Busy`]); it is damaged, foreign or of a later version; the root may not be
    /// written ([`Error::Refused`]); recovery failed.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::open_with(path, &mut ())
    }

    /// The same, with somebody who may stop the scripts that were still to be run; they stay in the list then.
    ///
    /// # Errors
    /// As [`InstallDb::open`].
    pub fn open_with(path: impl Into<PathBuf>, progress: &mut dyn Progress) -> Result<Self> {
        let root = Root::open(path)?;
        let home = Home::find(&root)?;
        database_file(&root, &home)?;
        if !header::is_there(&root, &home)? {
            find_room(&root, &home)?;
        }
        make_folder(&root, &home).map_err(refused)?;
        // Sqlite and the lock both make do with less, and would say so only in the middle of a transaction.
        root.may_change(Some(&home.folder())).map_err(refused)?;
        keep_lock_private(&root, &home)?;
        let lock = root.lock(&home.lock(), LockKind::Exclusive, Wait::No).map_err(busy)?;
        if !header::is_there(&root, &home)? {
            make_file(&root, &home)?;
        }
        let mut conn = memory::with_room(&root, &home, || connect(&root, &home))?;
        // Who may change the folder may not be the file's owner, or nobody may, and sqlite would say so in the middle.
        if conn.is_readonly(MAIN_DB).during("open the file", &conn)? {
            return Err(Error::Refused(vec![held::denied(&root, Some(home.database()))]));
        }
        schema::migrate(&mut conn)?;
        let mut installed = Installed::with_writer(root, home, conn);
        refuse_packages_links(&installed)?;
        let recovery = recover::recover(&mut installed)?;
        // Their failures, and what was left out, are found in the list.
        pending::run(&installed, Which::Untried, PATIENCE, progress)?;
        Ok(Self { installed, recovery, lock: Some(lock) })
    }

    /// Opens the database of the root at `path` for plans that are looked at and not carried out. Nothing is written, not
    /// even a database where there is none: such a root is one without packages. No lock is taken, so the plan may be
    /// outdated at once.
    ///
    /// # Errors
    /// As [`InstallDb::open`]; a transaction that was interrupted stays as it is ([`Error::Unrecovered`]).
    pub fn preview(path: impl Into<PathBuf>) -> Result<Self> {
        let root = Root::open(path)?;
        let home = Home::find(&root)?;
        database_file(&root, &home)?;
        may_change(&root, &home).map_err(refused)?;
        if !header::is_there(&root, &home)? {
            find_room(&root, &home)?;
            let memory = |source| Error::sqlite("make the tables", PathBuf::new(), source);
            let mut conn = Connection::open_in_memory().map_err(memory)?;
            schema::migrate(&mut conn)?;
            return Ok(Self { installed: Installed::with_writer(root, home, conn), recovery: None, lock: None });
        }
        let installed = Installed::open(root.path())?;
        refuse_packages_links(&installed)?;
        if let Some((txn, _)) = journal::current(&installed.conn)? {
            return Err(match root.lock(&home.lock(), LockKind::Shared, Wait::No) {
                Err(error) if matches!(error.kind, DiskError::Locked { .. }) => busy(error),
                _ => Error::Unrecovered { txn },
            });
        }
        Ok(Self { installed, recovery: None, lock: None })
    }

    /// Runs the scripts that have not succeeded yet once more, those too that failed, and tells of those that fail again.
    /// These are given up: they stay in the list, and only [`InstallDb::retry_scripts`] runs them again, or a later change
    /// that the same trigger belongs to.
    ///
    /// # Errors
    /// [`Error::Stopped`]; the database can not be read or written; that a script fails is none.
    pub fn run_pending_scripts(&mut self, progress: &mut dyn Progress) -> Result<Vec<PendingScript>> {
        self.repeat_scripts(Which::Failed, progress)
    }

    /// The same, and those that were given up as well.
    ///
    /// # Errors
    /// As [`InstallDb::run_pending_scripts`].
    pub fn retry_scripts(&mut self, progress: &mut dyn Progress) -> Result<Vec<PendingScript>> {
        self.repeat_scripts(Which::All, progress)
    }

    fn repeat_scripts(&mut self, which: Which, progress: &mut dyn Progress) -> Result<Vec<PendingScript>> {
        let Results { failed, is_stopped } = pending::run(self, which, PATIENCE, progress)?;
        if is_stopped {
            return Err(Error::Stopped);
        }
        Ok(failed.into_iter().filter(|failed| failed.stays).map(|failed| failed.script).collect())
    }

    pub(crate) fn is_preview(&self) -> bool {
        self.lock.is_none()
    }

    /// What was done about an interrupted transaction when this was opened; `None` where there was none.
    pub fn recovery(&self) -> Option<&Recovery> {
        self.recovery.as_ref()
    }

    pub(crate) fn installed_mut(&mut self) -> &mut Installed {
        &mut self.installed
    }
}

impl Deref for InstallDb {
    type Target = Installed;

    fn deref(&self) -> &Installed {
        &self.installed
    }
}

fn busy(error: pkgfs::Error) -> Error {
    match error.kind {
        DiskError::Locked { holder } => Error::Busy { holder },
        _ => Error::Disk(error),
    }
}

/// No right to change the root is a reason not to begin, and no failure.
fn refused(error: pkgfs::Error) -> Error {
    let path = Some(home::named());
    match error.kind {
        DiskError::ReadOnly => Error::Refused(vec![Finding::ReadOnly { path }]),
        DiskError::Denied => Error::Refused(vec![Finding::Denied { path }]),
        _ => Error::Disk(error),
    }
}

/// A link that a package brought goes with it, and the database would be gone.
fn refuse_packages_links(db: &Installed) -> Result<()> {
    for link in db.home.links() {
        if let Some(package) = Links::new(db).bringer(link)? {
            return Err(Error::Misplaced { path: link.clone(), problem: LinkProblem::Brought { package } });
        }
    }
    Ok(())
}

/// What a database takes up before anything is in it, with its log, its shared memory and the folders around it.
const BLANK_BYTES: u64 = 512 << 10;
const BLANK_INODES: u64 = 8;

/// Finds out whether there is room for a new database, before anything of it is made.
fn find_room(root: &Root, home: &Home) -> Result<()> {
    let mut folder = Some(home.folder());
    while let Some(path) = &folder
        && root.stat(path)?.is_none()
    {
        folder = path.parent();
    }
    let mut findings = Vec::new();
    Space::check_need(root, folder, (BLANK_BYTES, BLANK_INODES), false, &mut findings)?;
    if findings.is_empty() { Ok(()) } else { Err(Error::Refused(findings)) }
}

/// Whether our folder could be made, or changed where it is there.
fn may_change(root: &Root, home: &Home) -> pkgfs::Result<()> {
    let mut folder = Some(home.folder());
    loop {
        match root.may_change(folder.as_ref()) {
            Err(error) if error.kind == DiskError::NotFound && folder.is_some() => {
                folder = folder.and_then(|folder| folder.parent());
            }
            answer => return answer,
        }
    }
}

/// Other users may ask questions, so the folders are open to them whatever the umask is.
fn make_folder(root: &Root, home: &Home) -> pkgfs::Result<()> {
    let mode = Mode::from_raw(0o755);
    for made in root.create_dirs(&home.folder(), mode)? {
        root.set_mode(&made, mode)?;
    }
    Ok(())
}

/// Whoever can open the lock can hold it, and keep everybody from changing the root. So nobody but the folder's owner can;
/// who asks questions does without. In a folder of somebody else the lock is left to him.
fn keep_lock_private(root: &Root, home: &Home) -> pkgfs::Result<()> {
    let (path, mode, me) = (home.lock(), Mode::from_raw(0o600), rustix::process::geteuid().as_raw());
    if root.stat(&home.folder())?.is_none_or(|folder| folder.uid != me) {
        return Ok(());
    }
    match root.stat(&path)? {
        None => match root.create_file(&path, mode) {
            Err(error) if error.kind != DiskError::Exists => Err(error),
            _ => Ok(()),
        },
        Some(stat) if stat.kind == FileKind::File && stat.uid == me && stat.mode != mode => root.set_mode(&path, mode),
        Some(_) => Ok(()),
    }
}

/// Makes the database under another name, and gives it its own when it is complete: whoever is killed meanwhile leaves
/// nothing that could be taken for a database, or for a damaged one.
fn make_file(root: &Root, home: &Home) -> Result<()> {
    let unfinished = home.unfinished();
    match root.remove_file(&unfinished) {
        Err(error) if error.kind != DiskError::NotFound => return Err(error.into()),
        _ => {}
    }
    // sqlite gives the files beside the database the mode of the database itself.
    let mode = Mode::from_raw(0o644);
    let file = root.create_file(&unfinished, mode)?;
    let failed = |operation| {
        let path = root.path().join(&unfinished);
        move |error| Error::Disk(pkgfs::Error::new(operation, path, error))
    };
    fd::set_mode(&file, mode).map_err(failed("set the mode of"))?;
    make_tables(full_path(root, &unfinished)?)?;
    file.sync_all().map_err(failed("sync"))?;
    root.rename(&unfinished, &home.database(), Rename::NoReplace)?;
    Ok(root.sync_dir(Some(&home.folder()))?)
}

fn make_tables(path: PathBuf) -> Result<()> {
    let mut conn = open_file(path.clone())?;
    let set =
        |conn: &Connection, name, value| conn.pragma_update(None, name, value).during("configure the connection", conn);
    // What is not complete is thrown away, and needs no journal to go back; what is complete is synced before it is named.
    set(&conn, "journal_mode", "memory")?;
    set(&conn, "synchronous", "off")?;
    schema::migrate(&mut conn)?;
    // Now, since the first connection that is to survive would pay three more syncs for the change.
    set(&conn, "journal_mode", "wal")?;
    conn.close().map_err(|(_, source)| Error::sqlite("make the tables", path, source))
}

fn open_file(path: PathBuf) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    Connection::open_with_flags(&path, flags).map_err(|source| Error::sqlite("open the file", path, source))
}

fn connect(root: &Root, home: &Home) -> Result<Connection> {
    let conn = open_file(database_file(root, home)?)?;
    conn.busy_timeout(std::time::Duration::from_secs(5)).during("open the file", &conn)?;
    // Looked at before anything is set, so that a file of somebody else stays as it is.
    if schema::inspect(&conn)? == Found::Blank {
        return Err(schema::blank(&conn));
    }
    keep_log(&conn)?;
    let set = || {
        conn.pragma_update(None, "journal_mode", "wal")?;
        // With a write-ahead log: one sync at each commit, none elsewhere.
        conn.pragma_update(None, "synchronous", "full")?;
        conn.pragma_update(None, "foreign_keys", true)?;
        // Done by us when a transaction is over, never in the middle of one.
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        conn.pragma_update(None, "cache_size", -65536)?;
        // Another disk may be full.
        conn.pragma_update(None, "temp_store", "memory")?;
        conn.set_prepared_statement_cache_capacity(64);
        rusqlite::Result::Ok(())
    };
    set().during("configure the connection", &conn)?;
    Ok(conn)
}
