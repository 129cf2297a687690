//! The tables, and how a file is known to hold them.

use rusqlite::{Connection, TransactionBehavior};

use crate::Error;
use crate::error::{DbResult as _, Result};

/// `application_id` of an install database: "KiS1".
pub const APPLICATION_ID: i32 = 0x4B49_5331;

/// Each script takes a database from the version that is its position to the next. None of them is ever edited: there are
/// databases that it made.
const MIGRATIONS: [&str; 4] = [
    concat!(include_str!("schema/package-v1.sql"), include_str!("schema/install-v1.sql")),
    include_str!("schema/install-v2.sql"),
    include_str!("schema/install-v3.sql"),
    include_str!("schema/install-v4.sql"),
];

/// What questions to a database of version 1, and then of version 2 and so on, which are as good as ever, find empty.
const SINCE: [&str; 3] = [
    "CREATE TEMPORARY TABLE interferences (txn INTEGER, path BLOB, aside BLOB)",
    "CREATE TEMPORARY TABLE displaced (txn INTEGER, path BLOB, manner TEXT, n INTEGER, size INTEGER, back INTEGER);
     CREATE TEMPORARY TABLE originals (package_id BLOB, hash BLOB, content BLOB);
     CREATE TEMPORARY TABLE given_up (txn INTEGER, position INTEGER);",
    "CREATE TEMPORARY TABLE bases (path BLOB, content BLOB)",
];

/// The version of the tables that this library writes.
pub const USER_VERSION: i32 = MIGRATIONS.len() as i32;

/// What a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing was ever written to it.
    Blank,
    /// Tables of this version.
    Version(i32),
}

/// Says whose database this is.
///
/// # Errors
/// A database of another program, or one of a later version of this library.
pub(crate) fn inspect(conn: &Connection) -> Result<Found> {
    let number =
        |pragma| conn.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0)).during("read the header", conn);
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .during("read the list of tables", conn)?;
    match application {
        APPLICATION_ID if version > USER_VERSION => {
            Err(Error::Newer { path: crate::error::path_of(conn), found: version, known: USER_VERSION })
        }
        APPLICATION_ID if version > 0 => Ok(Found::Version(version)),
        0 if version == 0 && tables == 0 => Ok(Found::Blank),
        _ => Err(Error::Foreign { path: crate::error::path_of(conn), application_id: application }),
    }
}

/// Sees to it that questions can be asked, of a database of an earlier version, too. Nothing is written to it.
///
/// # Errors
/// As [`inspect`]; a file without tables.
pub(crate) fn expect_tables(conn: &Connection) -> Result<()> {
    match inspect(conn)? {
        Found::Blank => Err(blank(conn)),
        Found::Version(version) => {
            let missing = SINCE.iter().skip(usize::try_from(version - 1).unwrap_or(0));
            missing.copied().try_for_each(|tables| conn.execute_batch(tables)).during("read the list of tables", conn)
        }
    }
}

/// A database gets its name when its tables are in it.
pub(crate) fn blank(conn: &Connection) -> Error {
    Error::damaged(conn, "it has no tables")
}

/// Brings the tables to [`USER_VERSION`], all steps in one transaction.
///
/// # Errors
/// As [`inspect`], and what sqlite reports.
pub(crate) fn migrate(conn: &mut Connection) -> Result<()> {
    let from = match inspect(conn)? {
        Found::Version(USER_VERSION) => return Ok(()),
        Found::Version(older) => older,
        Found::Blank => 0,
    };
    let path = crate::error::path_of(conn);
    let steps = || -> rusqlite::Result<()> {
        let txn = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for script in &MIGRATIONS[usize::try_from(from).unwrap_or(0)..] {
            txn.execute_batch(script)?;
        }
        txn.pragma_update(None, "application_id", APPLICATION_ID)?;
        txn.pragma_update(None, "user_version", USER_VERSION)?;
        txn.commit()
    };
    let mut steps = steps;
    steps().map_err(|source| Error::sqlite("make the tables", path, source))?;
    crate::log::checkpoint(conn);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_file_becomes_ours_and_stays_ours() {
        let mut conn = Connection::open_in_memory().unwrap();
        assert_eq!(inspect(&conn).unwrap(), Found::Blank);
        migrate(&mut conn).unwrap();
        assert_eq!(inspect(&conn).unwrap(), Found::Version(USER_VERSION));
        migrate(&mut conn).unwrap();
    }

    #[test]
    fn a_script_that_made_databases_is_never_edited() {
        let digests = MIGRATIONS.map(|script| pkgtypes::Digest::of(script).to_string());
        let made = [
            "5441d508ebf264136ddebc44b58ffa9a04d75d6f2338d3f47cad2f4c66e8bda4",
            "38f90ef290223718919151da26945771744f8bbddef306723dccb781e742a0a1",
            "55b69411400668ac1b38a928e0ce64b3848db38e5c4331631afe5293ddd5bbf1",
            "a251eaf9b40e16e06abfb9475703ce57091a17fa212ccdf3c7d9162d801dfbd8",
        ];
        assert_eq!(digests, made);
    }

    #[test]
    fn a_database_of_the_first_version_becomes_one_of_the_last() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(MIGRATIONS[0]).unwrap();
        conn.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        conn.pragma_update(None, "user_version", 1).unwrap();
        migrate(&mut conn).unwrap();
        assert_eq!(inspect(&conn).unwrap(), Found::Version(USER_VERSION));
        conn.execute_batch("SELECT * FROM interferences; SELECT * FROM reserve").unwrap();
    }

    #[test]
    fn questions_to_earlier_tables_find_the_later_ones_empty() {
        for version in 1..USER_VERSION {
            let conn = Connection::open_in_memory().unwrap();
            for script in &MIGRATIONS[..usize::try_from(version).unwrap()] {
                conn.execute_batch(script).unwrap();
            }
            conn.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
            conn.pragma_update(None, "user_version", version).unwrap();
            expect_tables(&conn).unwrap();
            for table in ["interferences", "displaced", "originals", "given_up", "bases"] {
                let count = format!("SELECT count(*) FROM {table}");
                assert_eq!(conn.query_row(&count, [], |row| row.get(0)), Ok(0), "{version}");
            }
        }
    }

    #[test]
    fn later_tables_are_refused() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn).unwrap();
        conn.pragma_update(None, "user_version", USER_VERSION + 1).unwrap();
        assert!(matches!(migrate(&mut conn), Err(Error::Newer { found, .. }) if found == USER_VERSION + 1));
    }

    #[test]
    fn tables_of_another_program_are_left_alone() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
        assert!(matches!(migrate(&mut conn), Err(Error::Foreign { application_id: 0, .. })));
    }
}
