use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use pkgfs::{ErrorKind as DiskError, FileKind};
use pkgtypes::{Digest, PackageName, PkgPath};
use rusqlite::{Connection, OpenFlags};

use crate::zpkg::ZpkgProblem;
use crate::{Finding, LinkProblem, Unmet};

/// What this crate answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a root's packages can not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A step on the disk did not work.
    #[error(transparent)]
    Disk(#[from] pkgfs::Error),
    /// The root has no install database.
    #[error("there is no install database at {path:?}")]
    NoDatabase {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A symbolic link on the way to our own folder, or to the users' files, is not followed.
    #[error("/{path} is a symbolic link on the way to what is needed here, and is not followed: {problem}")]
    Misplaced {
        /// The link.
        path: PkgPath,
        /// Why.
        problem: LinkProblem,
    },
    /// The root lies too deep for sqlite.
    #[error("{path:?} is too long a path for a database: it may have {limit} bytes")]
    PathTooLong {
        /// Where the database is or would be.
        path: PathBuf,
        /// How long it may be, in bytes.
        limit: usize,
    },
    /// sqlite did not do what it was asked for.
    #[error("cannot {operation} of the install database {path:?}: {source}")]
    Sqlite {
        /// What was tried, as a verb and its object.
        operation: &'static str,
        /// The database.
        path: PathBuf,
        /// What sqlite says.
        source: rusqlite::Error,
    },
    /// The file is no database, or is cut off, or its content contradicts itself.
    #[error("the install database {path:?} is damaged: {reason}")]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file belongs to another program.
    #[error("{path:?} is no install database but belongs to another program (application id {application_id:#010x})")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The `application_id` in its header.
        application_id: i32,
    },
    /// A later version of this program made the database.
    #[error("the install database {path:?} has version {found}, this program knows {known}: use a later one")]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its `user_version`.
        found: i32,
        /// The latest version known here.
        known: i32,
    },
    /// A package as a sqlite file can not be read or changed.
    #[error("{path:?}: {problem}")]
    Zpkg {
        /// The file; empty where it is in memory.
        path: PathBuf,
        /// Why.
        #[source]
        problem: ZpkgProblem,
    },
    /// No thread could be started: the user or the machine has as many as are allowed.
    #[error("a thread can not be started: {0}")]
    Thread(#[source] io::Error),
    /// Another process changes this root.
    #[error("the root is in use{}", held_by(*holder))]
    Busy {
        /// The process's id, when it said so.
        holder: Option<u32>,
    },
    /// Batches of an earlier change are still to be done. This version never leaves any; a later one that did goes on with
    /// them, or gives them up.
    #[error("an earlier change has {batches} more batches to do, and nothing else comes before them")]
    Unfinished {
        /// How many.
        batches: u64,
    },
    /// No package of this name is installed.
    #[error("package `{name}` is not installed")]
    NotInstalled {
        /// The name.
        name: PackageName,
    },
    /// There never was a transaction of this number.
    #[error("there is no transaction {txn} in the history")]
    NoTransaction {
        /// The number.
        txn: i64,
    },
    /// A transaction can not be taken back alone, because a later one built on it.
    #[error("transaction {txn} can not be undone alone: transaction {later} changed `{name}` after it")]
    ChangedSince {
        /// The transaction.
        txn: i64,
        /// A package that is not as it left it.
        name: PackageName,
        /// The transaction that changed that last.
        later: i64,
    },
    /// A content that was there when it was looked for is another one.
    #[error("the content {digest} of `{package}`, which was there a moment ago, was changed")]
    Spoilt {
        /// The package.
        package: PackageName,
        /// The content.
        digest: Digest,
    },
    /// The plan names a package twice.
    #[error("package `{name}` stands in the plan twice")]
    Twice {
        /// The name.
        name: PackageName,
    },
    /// Packages would miss what they require, or clash with what they exclude.
    #[error("the packages do not fit together: {}", List(.0))]
    Unmet(Vec<Unmet>),
    /// A check beforehand found reasons not to begin; nothing was changed.
    #[error("refused, and nothing was changed: {}", List(.0))]
    Refused(Vec<Finding>),
    /// A package does not hold what its first record promises.
    #[error("package `{package}`: {source}")]
    Package {
        /// The package.
        package: PackageName,
        /// What is wrong, and where in the file.
        source: pkgformat::Error,
    },
    /// The bytes that were to follow a verified record are those of another package.
    #[error("what follows is not package `{package}`, which was verified")]
    OtherPackage {
        /// The verified package.
        package: PackageName,
    },
    /// No package's new version lies beside a configuration file.
    #[error("no package has left a new version of /{path} beside it")]
    NoNewVersion {
        /// The file.
        path: PkgPath,
    },
    /// An installed package can not be written as a file again, because some of its contents are nowhere any more.
    #[error("files of `{package}` are not as they were installed: {}", Slashed(paths))]
    Changed {
        /// The package.
        package: PackageName,
        /// The files.
        paths: Vec<PkgPath>,
    },
    /// An installed package can not be written as a file again, because writing does not work.
    #[error("cannot write the package `{package}`: {source}")]
    Write {
        /// The package.
        package: PackageName,
        /// What does not work.
        source: pkgformat::Error,
    },
    /// A pre-script refused the change; nothing was changed.
    #[error("nothing was changed: the {stage} script of `{package}` refused: {reason}")]
    Script {
        /// The package.
        package: PackageName,
        /// Which script.
        stage: String,
        /// How it ended, and what it said last.
        reason: String,
    },
    /// No room could be made in which a pre-script could run; nothing was changed.
    #[error("nothing was changed: the {stage} script of `{package}` could not be run: {reason}")]
    NoRoom {
        /// The package.
        package: PackageName,
        /// Which script.
        stage: String,
        /// What is missing.
        reason: String,
    },
    /// The database was opened for plans alone.
    #[error("nothing can be changed: the database was opened to look at plans only")]
    OnlyLooking,
    /// A transaction was interrupted, and what it left is as it was.
    #[error("transaction {txn} was interrupted, and nothing can be planned before the root is recovered")]
    Unrecovered {
        /// The transaction.
        txn: i64,
    },
    /// A transaction changed no package, so that no package can be brought back to what it was before it.
    #[error("transaction {txn} changed no package, so there is nothing that can be undone")]
    NoPackages {
        /// The transaction.
        txn: i64,
    },
    /// Somebody else changed a file with users or groups while this transaction had a new one ready; nothing was changed.
    #[error("nothing was changed: /{path} was edited by somebody else meanwhile; try again")]
    Overtaken {
        /// The file.
        path: PkgPath,
    },
    /// Another program edits users and groups all the time.
    #[error("users and groups can not be changed: another program holds /{path}")]
    AccountsBusy {
        /// The lock.
        path: PkgPath,
    },
    /// The caller stopped the transaction; nothing was changed.
    #[error("stopped by request; nothing was changed")]
    Stopped,
    /// The transaction is decided and recorded, but a step on the disk failed; the next one that opens the database for
    /// writing finishes it.
    #[error("transaction {txn} is committed but not finished; recover finishes it once the cause is gone: {source}")]
    Interrupted {
        /// The transaction.
        txn: i64,
        /// What went wrong.
        source: Box<Error>,
    },
    /// Where a decided transaction has a folder, something else is or nothing, and nobody but the administrator can have
    /// done that.
    #[error("/{path} was a folder when this was decided, and is {} now", there(*found))]
    Displaced {
        /// The folder's path.
        path: PkgPath,
        /// What is there.
        found: Option<FileKind>,
    },
    /// Somebody puts things into the way of a decided transaction all the time.
    #[error("somebody keeps putting things into the way of /{path}")]
    Obstructed {
        /// What is to be placed.
        path: PkgPath,
    },
    /// The database could not record the outcome; the next one that opens it for writing finds out and recovers.
    #[error(
        "the outcome of transaction {txn} could not be recorded; recover brings the root to its old or new state: {source}"
    )]
    InDoubt {
        /// The transaction.
        txn: i64,
        /// What went wrong.
        source: Box<Error>,
    },
}

/// The class of an error: what a caller may want to tell apart, one exit code each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The world did not play along: missing rights, a disk error, a damaged database.
    Failed,
    /// The packages do not fit together.
    NoSolution,
    /// A package is not what it must be.
    Malformed,
    /// There is no such package, or no database.
    Unknown,
    /// Refused by a check beforehand; nothing was changed.
    Refused,
    /// Another process, or an unfinished change, is in the way.
    Busy,
    /// The clean room in which scripts run could not be made; nothing was changed.
    NoRoom,
}

impl Error {
    /// The reasons that are too many for the error's text.
    pub fn further_reasons(&self) -> Vec<String> {
        match self {
            Self::Unmet(all) => all.iter().skip(SHOWN).map(ToString::to_string).collect(),
            Self::Refused(all) => all.iter().skip(SHOWN).map(ToString::to_string).collect(),
            _ => Vec::new(),
        }
    }

    /// The class of this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoDatabase { .. }
            | Self::NotInstalled { .. }
            | Self::NoTransaction { .. }
            | Self::NoNewVersion { .. } => ErrorKind::Unknown,
            Self::Busy { .. }
            | Self::Unfinished { .. }
            | Self::Overtaken { .. }
            | Self::Unrecovered { .. }
            | Self::AccountsBusy { .. } => ErrorKind::Busy,
            Self::NoRoom { .. } => ErrorKind::NoRoom,
            Self::Unmet(_) => ErrorKind::NoSolution,
            Self::Refused(_)
            | Self::Misplaced { .. }
            | Self::Twice { .. }
            | Self::Script { .. }
            | Self::Changed { .. }
            | Self::NoPackages { .. }
            | Self::ChangedSince { .. } => ErrorKind::Refused,
            Self::Package { .. } | Self::OtherPackage { .. } => ErrorKind::Malformed,
            Self::Zpkg { problem, .. } => problem.kind(),
            _ => ErrorKind::Failed,
        }
    }

    /// An error of sqlite, by what it means.
    pub(crate) fn sqlite(operation: &'static str, path: PathBuf, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match source.sqlite_error_code() {
            // To sqlite a disk that can not be read is a malformed file, too.
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                let unreadable = unreadable(&path).or_else(|| is_sound(&path).then(passing));
                match unreadable {
                    Some(error) => Self::Disk(pkgfs::Error::new("read the install database", path, error)),
                    None => Self::Damaged { path, reason: source.to_string() },
                }
            }
            _ => Self::Sqlite { operation, path, source },
        }
    }

    pub(crate) fn damaged(conn: &Connection, reason: impl fmt::Display) -> Self {
        Self::Damaged { path: path_of(conn), reason: reason.to_string() }
    }
}

/// Why the file can not be read to its end, if it can not.
fn unreadable(path: &Path) -> Option<io::Error> {
    let read = File::open(path).and_then(|mut file| io::copy(&mut file, &mut io::sink()));
    read.err()
}

/// Whether all of the database is in order when it is looked at once more.
fn is_sound(path: &Path) -> bool {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let check = || Connection::open_with_flags(path, flags)?.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    check().is_ok_and(|answer: String| answer == "ok")
}

fn passing() -> io::Error {
    io::Error::other("a read failed, and the same read did not when it was tried again")
}

/// What says that a path is not there (any more): it is absent, something on the way to it is no folder
/// or a link, or what has its name is of another type.
pub(crate) const GONE: [DiskError; 3] = [DiskError::NotFound, DiskError::WrongType, DiskError::Symlink];

/// The file behind a connection, for messages.
pub(crate) fn path_of(conn: &Connection) -> PathBuf {
    Path::new(conn.path().unwrap_or_default()).to_owned()
}

/// Puts an answer of sqlite into its context.
pub(crate) trait DbResult<T> {
    /// Names what was tried, and with which database.
    fn during(self, operation: &'static str, conn: &Connection) -> Result<T>;
}

impl<T> DbResult<T> for rusqlite::Result<T> {
    fn during(self, operation: &'static str, conn: &Connection) -> Result<T> {
        self.map_err(|source| Error::sqlite(operation, path_of(conn), source))
    }
}

fn held_by(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" by process {pid}"))
}

fn there(found: Option<FileKind>) -> &'static str {
    match found {
        None => "gone",
        Some(FileKind::Symlink) => "a symbolic link",
        Some(_) => "none",
    }
}

/// As many reasons as an error names in its text.
const SHOWN: usize = 8;

/// The first few of many, and how many more there are.
struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{item}", if index > 0 { "; " } else { "" })?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// Paths as they are seen from the root.
struct Slashed<'a>(&'a [PkgPath]);

impl fmt::Display for Slashed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<String> = self.0.iter().map(|path| format!("/{path}")).collect();
        List(&paths).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_fails_once_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        let malformed =
            || rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), None);
        let told = |path: &Path| Error::sqlite("read the packages", path.to_owned(), malformed());
        assert!(matches!(told(&path), Error::Disk(_)), "{}", told(&path));
        let file = File::options().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 200], 100).unwrap();
        assert!(matches!(told(&path), Error::Damaged { .. }), "{}", told(&path));
    }
}
