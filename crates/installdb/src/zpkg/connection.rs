//! A connection to a file that somebody else may have made to do harm.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use super::{ZpkgProblem, header, schema};

/// Longest value: the record of the largest package that is read, and something.
const LONGEST: i32 = 320 << 20;
/// Steps of sqlite's machine after which the count is looked at.
const STRIDE: i32 = 1024;
/// Steps that a question may take besides four for each byte of the file: a row takes 20 to 100, and more bytes than 20.
const HEADWAY: u64 = 1 << 18;

/// A connection that only ever sees our own tables.
#[derive(Debug)]
pub(super) struct Guarded {
    pub(super) conn: Connection,
    taken: Arc<AtomicU64>,
}

impl Guarded {
    /// Opens a file to be read as it is: no journal beside it is looked at, no lock taken.
    pub(super) fn read(file: &File) -> Result<Self, ZpkgProblem> {
        let len = check_header(file)?;
        let uri = format!("file:/proc/self/fd/{}?immutable=1", file.as_raw_fd());
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        Self::new(Connection::open_with_flags(uri, flags).map_err(opening)?, len)?.checked()
    }

    /// Takes the bytes of a file.
    pub(super) fn bytes(bytes: &[u8]) -> Result<Self, ZpkgProblem> {
        let Some(start) = bytes.first_chunk() else { return Err(cut_off()) };
        if i32::try_from(bytes.len()).is_err() {
            return Err(ZpkgProblem::Foreign("it is too long to be opened in memory".to_owned()));
        }
        header::check(start, bytes.len() as u64)?;
        let guarded = Self::new(Connection::open_in_memory().map_err(opening)?, bytes.len() as u64)?;
        let Self { mut conn, taken } = guarded;
        conn.deserialize_read_exact("main", bytes, bytes.len(), true).map_err(opening)?;
        Self { conn, taken }.checked()
    }

    /// Opens a file of ours to be changed, of which no other process knows.
    pub(super) fn change(file: &File) -> Result<Self, ZpkgProblem> {
        let len = check_header(file)?;
        let guarded = Self::new(open_own(file)?, len)?.checked()?;
        // What changes the file is ours alone.
        guarded.unbound()?;
        Ok(guarded)
    }

    /// Makes the tables in an empty file, of which no other process knows.
    pub(super) fn create(file: &File, page_size: u32) -> Result<Self, ZpkgProblem> {
        let guarded = Self::new(open_own(file)?, 0)?;
        guarded.unbound()?;
        let make = || {
            guarded.conn.pragma_update(None, "page_size", page_size)?;
            guarded.conn.pragma_update(None, "encoding", "UTF-8")?;
            guarded.begin()?;
            guarded.conn.execute_batch(schema::TABLES)?;
            guarded.conn.pragma_update(None, "application_id", header::ZPKG_APPLICATION_ID)?;
            guarded.conn.pragma_update(None, "user_version", header::ZPKG_USER_VERSION)
        };
        make().map_err(|source| ZpkgProblem::sqlite("make the tables", source))?;
        Ok(guarded)
    }

    fn new(conn: Connection, len: u64) -> Result<Self, ZpkgProblem> {
        let taken = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&taken);
        let most = len.saturating_mul(4).saturating_add(HEADWAY);
        let set = || {
            for (limit, value) in LIMITS {
                conn.set_limit(limit, value)?;
            }
            for (setting, value) in SETTINGS {
                conn.set_db_config(setting, value)?;
            }
            conn.pragma_update(None, "cell_size_check", true)?;
            conn.pragma_update(None, "mmap_size", 0)?;
            // No file elsewhere; what has to be sorted is smaller than the file that it comes from.
            conn.pragma_update(None, "temp_store", "memory")?;
            conn.set_prepared_statement_cache_capacity(64);
            rusqlite::Result::Ok(())
        };
        set().map_err(|source| ZpkgProblem::sqlite("configure the connection", source))?;
        let step = u64::from(STRIDE.unsigned_abs());
        conn.progress_handler(STRIDE, Some(move || count.fetch_add(step, Ordering::Relaxed) > most));
        Ok(Self { conn, taken })
    }

    fn checked(self) -> Result<Self, ZpkgProblem> {
        schema::check(&self.conn)?;
        Ok(self)
    }

    fn unbound(&self) -> Result<(), ZpkgProblem> {
        self.conn.progress_handler(0, None::<fn() -> bool>);
        let set = || {
            // Whoever is killed leaves a file that nobody knows, so nothing has to be undone from the disk.
            self.conn.pragma_update(None, "journal_mode", "memory")?;
            self.conn.pragma_update(None, "synchronous", "off")?;
            self.conn.pragma_update(None, "cache_size", -16384)
        };
        set().map_err(|source| ZpkgProblem::sqlite("configure the connection", source))
    }

    pub(super) fn begin(&self) -> rusqlite::Result<()> {
        self.conn.execute_batch("BEGIN IMMEDIATE")
    }

    pub(super) fn commit(&self) -> Result<(), ZpkgProblem> {
        self.conn.execute_batch("COMMIT").map_err(|source| ZpkgProblem::sqlite("end the transaction", source))
    }

    /// Whether an eighth of the pages and more is empty.
    pub(super) fn is_sparse(&self) -> Result<bool, ZpkgProblem> {
        let count = |pragma| self.conn.pragma_query_value(None, pragma, |row| row.get::<_, u64>(0));
        let counts = count("freelist_count").and_then(|empty| Ok((empty, count("page_count")?)));
        let (empty, all) = counts.map_err(|source| ZpkgProblem::sqlite("count the pages", source))?;
        Ok(empty >= all.div_ceil(8))
    }

    /// Writes everything to an empty file, without the empty pages.
    pub(super) fn copy_to(&self, file: &File) -> Result<(), ZpkgProblem> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let copied = self.conn.execute("VACUUM INTO ?", [path]);
        copied.map(drop).map_err(|source| ZpkgProblem::sqlite("write the file", source))
    }

    pub(super) fn close(self) -> Result<(), ZpkgProblem> {
        self.conn.close().map_err(|(_, source)| ZpkgProblem::sqlite("close the file", source))
    }

    /// Asks something, with as many steps as a whole file may need.
    pub(super) fn ask<T>(
        &self,
        operation: &'static str,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ZpkgProblem> {
        self.taken.store(0, Ordering::Relaxed);
        question(&self.conn).map_err(|source| ZpkgProblem::sqlite(operation, source))
    }
}

/// Nothing here attaches, compounds or calls much; a description of a table that would is none of ours.
const LIMITS: [(Limit, i32); 10] = [
    (Limit::SQLITE_LIMIT_LENGTH, LONGEST),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 1 << 20),
    (Limit::SQLITE_LIMIT_COLUMN, 64),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 32),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 4),
    (Limit::SQLITE_LIMIT_VDBE_OP, 1 << 14),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 8),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 256),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

const SETTINGS: [(DbConfig, bool); 6] = [
    (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
    (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
];

fn open_own(file: &File) -> Result<Connection, ZpkgProblem> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(format!("/proc/self/fd/{}", file.as_raw_fd()), flags).map_err(opening)
}

fn check_header(file: &File) -> Result<u64, ZpkgProblem> {
    let failed = |error: std::io::Error| ZpkgProblem::Foreign(error.to_string());
    let data = file.metadata().map_err(failed)?;
    if !data.is_file() {
        return Err(ZpkgProblem::Foreign("it is no regular file".to_owned()));
    }
    if data.len() < header::LEN as u64 {
        return Err(cut_off());
    }
    let mut start = [0; header::LEN];
    file.read_exact_at(&mut start, 0).map_err(failed)?;
    header::check(&start, data.len())?;
    Ok(data.len())
}

fn cut_off() -> ZpkgProblem {
    ZpkgProblem::Foreign("it is too short for a sqlite file".to_owned())
}

fn opening(source: rusqlite::Error) -> ZpkgProblem {
    ZpkgProblem::sqlite("open the file", source)
}
