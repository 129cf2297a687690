//! The tables, and whether a file has exactly these.

use rusqlite::Connection;

use super::ZpkgProblem;

/// The tables of every file of packages, and those of packages as sqlite files.
pub(super) const TABLES: &str =
    concat!(include_str!("../schema/package-v1.sql"), include_str!("../schema/blobs-v1.sql"));

/// Type, name, table and text of one thing in a schema.
type Thing = (String, String, String, Option<String>);

/// Checks that the file has our tables, indexes and views, to the letter, and nothing else: no trigger, no expression of
/// somebody else that a question could set going.
pub(super) fn check(conn: &Connection) -> Result<(), ZpkgProblem> {
    let failed = |source| ZpkgProblem::sqlite("read the tables' descriptions", source);
    let expected = expected().map_err(|source| ZpkgProblem::sqlite("make the tables in memory", source))?;
    let found = things(conn, expected.len()).map_err(failed)?;
    if found == expected {
        return Ok(());
    }
    let odd = found.iter().find(|thing| !expected.contains(thing));
    let missing = expected.iter().find(|thing| !found.contains(thing));
    let reason = match (odd, missing) {
        (Some((kind, name, ..)), _) => format!("its {kind} {name:?} is none that such a file has"),
        (None, Some((kind, name, ..))) => format!("its {kind} {name:?} is missing"),
        (None, None) => "something stands in its list of tables twice".to_owned(),
    };
    Err(ZpkgProblem::Damaged(reason))
}

fn expected() -> rusqlite::Result<Vec<Thing>> {
    let conn = Connection::open_in_memory()?;
    conn.execute_batch(TABLES)?;
    things(&conn, usize::MAX - 1)
}

/// All things of a schema, sorted; one more than `most` are enough to see that there are too many.
fn things(conn: &Connection, most: usize) -> rusqlite::Result<Vec<Thing>> {
    let mut statement = conn.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let mut things = rows.take(most + 1).collect::<rusqlite::Result<Vec<Thing>>>()?;
    things.sort();
    Ok(things)
}
