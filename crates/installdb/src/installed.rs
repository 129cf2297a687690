use std::path::{Path, PathBuf};

use pkgfs::{ErrorKind as DiskError, Lock, LockKind, Root, Wait};
use pkgtypes::PkgPath;
use rusqlite::{Connection, OpenFlags, Transaction};

use crate::error::{DbResult as _, Result};
use crate::home::Home;
use crate::log::keep_log;
use crate::{Error, header, memory, schema};

/// How long a question waits for a process that is just then creating or repairing the database's shared memory.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// The packages of a root, for questions. Nothing is ever written through it, and no right to write is needed.
///
/// While another process changes the root, answers are those of the moment before its decision or after it.
#[derive(Debug)]
pub struct Installed {
    pub(crate) root: Root,
    pub(crate) conn: Connection,
    pub(crate) home: Home,
    /// Held only where the file is read without sqlite's own locks.
    _still: Option<Lock>,
}

impl Installed {
    /// Opens the database of the root at `path`.
    ///
    /// # Errors
    /// There is none, or it is damaged, foreign or of a later version.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let root = Root::open(path)?;
        let home = Home::find(&root)?;
        let file = database_file(&root, &home)?;
        if !header::is_there(&root, &home)? {
            return Err(Error::NoDatabase { path: file });
        }
        if memory::is_patchy(&root, &home)?
            && let Ok(conn) = open_with(&file, READ_ONLY_MEMORY)
        {
            return Ok(Self { root, conn, home, _still: None });
        }
        match open_shared(&file) {
            Err(error @ Error::Sqlite { .. }) if header::is_empty(&root, &home.log())? => {
                Self::open_still(root, home, &file, error)
            }
            Err(error) if is_disk_error(&error) => {
                let conn = open_with(&file, READ_ONLY_MEMORY).map_err(|_| error)?;
                Ok(Self { root, conn, home, _still: None })
            }
            conn => Ok(Self { root, conn: conn?, home, _still: None }),
        }
    }

    /// Reads the file without sqlite's locks: on a read-only medium, or where the files beside the database are missing
    /// and may not be made. Our own lock keeps a writer away meanwhile.
    fn open_still(root: Root, home: Home, file: &Path, why: Error) -> Result<Self> {
        let still = match root.lock(&home.lock(), LockKind::Shared, Wait::No) {
            Ok(lock) => Some(lock),
            Err(error) if matches!(error.kind, DiskError::NotFound | DiskError::ReadOnly | DiskError::Denied) => None,
            Err(_) => return Err(why),
        };
        let conn = open_with(file, "immutable=1").map_err(|_| why)?;
        Ok(Self { root, conn, home, _still: still })
    }

    /// Sees to it that all questions find one state of the database, until what this gives is dropped; and that sqlite
    /// takes its locks once instead of for each question.
    pub(crate) fn read_at_once(&self) -> Result<Transaction<'_>> {
        self.conn.unchecked_transaction().during("read the state", &self.conn)
    }

    pub(crate) fn with_writer(root: Root, home: Home, conn: Connection) -> Self {
        Self { root, conn, home, _still: None }
    }

    /// The root.
    pub fn root(&self) -> &Root {
        &self.root
    }
}

/// How long the database's path may be: sqlite takes 512 bytes, of which it keeps 8 for the names of the files beside, and
/// one that is not finished has a longer name.
pub(crate) const LONGEST: usize = 500;

/// The database's path.
pub(crate) fn database_file(root: &Root, home: &Home) -> Result<PathBuf> {
    let path = full_path(root, &home.database())?;
    if path.as_os_str().len() > LONGEST {
        return Err(Error::PathTooLong { path, limit: LONGEST });
    }
    Ok(path)
}

/// A path with every link above the root resolved, so that sqlite can be told to follow none.
pub(crate) fn full_path(root: &Root, path: &PkgPath) -> Result<PathBuf> {
    let top = root.path().canonicalize().map_err(|error| pkgfs::Error::new("open the tree", root.path(), error))?;
    Ok(top.join(path))
}

/// Whoever may write the shared memory makes it anew when nobody uses it. On a full disk he can not; but he can read the log
/// as those do who may not write.
const READ_ONLY_MEMORY: &str = "readonly_shm=1";

fn is_disk_error(error: &Error) -> bool {
    let Error::Sqlite { source, .. } = error else { return false };
    source.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure)
}

/// Opens the file with a parameter of sqlite's.
fn open_with(file: &Path, parameter: &str) -> Result<Connection> {
    let uri = format!("file:{}?{parameter}", percent_encoded(file));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let conn = Connection::open_with_flags(uri, flags)
        .map_err(|source| Error::sqlite("open the file", file.to_owned(), source))?;
    conn.busy_timeout(PATIENCE).during("open the file", &conn)?;
    keep_log(&conn)?;
    schema::expect_tables(&conn)?;
    Ok(conn)
}

fn open_shared(file: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let conn = Connection::open_with_flags(file, flags)
        .map_err(|source| Error::sqlite("open the file", file.to_owned(), source))?;
    conn.busy_timeout(PATIENCE).during("open the file", &conn)?;
    keep_log(&conn)?;
    schema::expect_tables(&conn)?;
    Ok(conn)
}

fn percent_encoded(file: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let mut uri = String::new();
    for &byte in file.as_os_str().as_bytes() {
        if byte == b'/' || byte.is_ascii_alphanumeric() {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_that_belong_together_find_one_state() {
        let root = tempfile::tempdir().unwrap();
        drop(crate::InstallDb::open(root.path()).unwrap());
        let reader = Installed::open(root.path()).unwrap();
        let reading = reader.read_at_once().unwrap();
        assert_eq!(reader.wanted().unwrap(), []);
        let writer = Connection::open(root.path().join("var/lib/kista/install.db")).unwrap();
        writer.execute_batch("PRAGMA foreign_keys = OFF; INSERT INTO wanted VALUES ('hello', 1)").unwrap();
        assert_eq!(reader.wanted().unwrap(), []);
        drop(reading);
        assert_eq!(reader.wanted().unwrap().len(), 1);
    }
}
