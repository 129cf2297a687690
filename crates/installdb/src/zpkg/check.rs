//! Whether a file holds together.

use std::io::{self, Read as _};

use pkgformat::PackageRecord;
use pkgtypes::PackageId;
use rusqlite::Connection;

use super::content::{self, own};
use super::{BlobContent, Zpkg, ZpkgProblem, path, rows, schema};
use crate::column::digest_column;

/// What a file that was checked holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZpkgContents {
    /// How many packages.
    pub packages: u64,
    /// How many contents.
    pub blobs: u64,
    /// How many bytes these have together.
    pub bytes: u64,
    /// How many paths that belong to no package.
    pub loose_paths: u64,
}

/// The tables that follow from the packages' records, with an order in which their rows can be compared.
const DERIVED: [(&str, &str); 9] = [
    ("packages", "id"),
    ("paths", "path, package"),
    ("libraries", "package, soname, path"),
    ("librarydeps", "package, soname, path"),
    ("scripts", "package, stage"),
    ("provides", "package, relation"),
    ("requires", "package, requirement, label"),
    ("conflicts", "package, relation"),
    ("packagegroups", r#"package, "group""#),
];

pub(super) fn check(file: &Zpkg) -> Result<ZpkgContents, ZpkgProblem> {
    check_structure(file)?;
    let (blobs, bytes) = check_blobs(file)?;
    let should = Connection::open_in_memory().map_err(in_memory)?;
    should.execute_batch(schema::TABLES).map_err(in_memory)?;
    let packages = check_packages(file, &should)?;
    let loose_paths = check_loose_paths(file, &should)?;
    for (table, order) in DERIVED {
        compare(file, &should, table, order)?;
    }
    Ok(ZpkgContents { packages, blobs, bytes, loose_paths })
}

fn in_memory(source: rusqlite::Error) -> ZpkgProblem {
    ZpkgProblem::sqlite("make the tables in memory", source)
}

/// sqlite's own look at its pages and indexes.
fn check_structure(file: &Zpkg) -> Result<(), ZpkgProblem> {
    let answer: String = file
        .guarded
        .ask("check the pages", |conn| conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)))?;
    if answer == "ok" { Ok(()) } else { Err(ZpkgProblem::Damaged(answer)) }
}

fn check_blobs(file: &Zpkg) -> Result<(u64, u64), ZpkgProblem> {
    let blobs = content::list(&file.guarded)?;
    let mut bytes = 0u64;
    let mut parts = 0u64;
    for stored in &blobs {
        let digest = stored.blob.digest;
        let mut content = BlobContent::new(&file.guarded, stored)?;
        io::copy(&mut content.by_ref(), &mut io::sink())
            .map_err(|error| own(error, |source| ZpkgProblem::Content { digest, source }))?;
        bytes = bytes.saturating_add(stored.blob.size);
        parts = parts.saturating_add(stored.parts);
    }
    let found: u64 = file.guarded.ask("count the rows of blobs", |conn| {
        conn.query_row("SELECT count(*) FROM blobparts", [], |row| row.get(0))
    })?;
    match found == parts {
        true => Ok((blobs.len() as u64, bytes)),
        false => Err(ZpkgProblem::Damaged("rows of contents belong to no blob".to_owned())),
    }
}

/// Checks each package, and writes the rows that it should have to `should`.
fn check_packages(file: &Zpkg, should: &Connection) -> Result<u64, ZpkgProblem> {
    let known = file.guarded.ask("list the packages", |conn| {
        let mut statement = conn.prepare("SELECT id, package_id FROM packages ORDER BY id")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, PackageId::new(digest_column(row, 1)?))))?;
        rows.collect::<rusqlite::Result<Vec<(i64, PackageId)>>>()
    })?;
    let records: u64 = file
        .guarded
        .ask("count the records", |conn| conn.query_row("SELECT count(*) FROM records", [], |row| row.get(0)))?;
    if records != known.len() as u64 {
        return Err(ZpkgProblem::Damaged("records belong to no package".to_owned()));
    }
    for (row, id) in &known {
        let (found, record) = file.find_package(id)?;
        if found != *row || *row < 1 {
            return Err(ZpkgProblem::Damaged(format!("package {id} stands in a wrong row")));
        }
        check_contents(file, &record)?;
        rows::insert(should, Some(*row), &record).map_err(in_memory)?;
    }
    Ok(known.len() as u64)
}

fn check_contents(file: &Zpkg, record: &PackageRecord) -> Result<(), ZpkgProblem> {
    for due in record.blobs() {
        let stored = content::find(&file.guarded, &due.digest)?;
        if due.size.is_some_and(|size| size != stored.blob.size) {
            let reason = format!("blob {} has not the size that package {} says", due.digest, record.id());
            return Err(ZpkgProblem::Damaged(reason));
        }
    }
    Ok(())
}

fn check_loose_paths(file: &Zpkg, should: &Connection) -> Result<u64, ZpkgProblem> {
    let loose = path::list(&file.guarded)?;
    for known in &loose {
        if let Some(digest) = &known.content {
            content::find(&file.guarded, digest)?;
        }
        path::insert(should, known)?;
    }
    Ok(loose.len() as u64)
}

fn compare(file: &Zpkg, should: &Connection, table: &str, order: &str) -> Result<(), ZpkgProblem> {
    let query = format!("SELECT * FROM {table} ORDER BY {order}");
    let same = file.guarded.ask("compare the rows", |conn| {
        let (mut have, mut expected) = (conn.prepare(&query)?, should.prepare(&query)?);
        let columns = have.column_count();
        let (mut have, mut expected) = (have.query([])?, expected.query([])?);
        loop {
            match (have.next()?, expected.next()?) {
                (None, None) => return Ok(true),
                (Some(have), Some(expected)) => {
                    for column in 0..columns {
                        if have.get_ref(column)? != expected.get_ref(column)? {
                            return Ok(false);
                        }
                    }
                }
                _ => return Ok(false),
            }
        }
    })?;
    match same {
        true => Ok(()),
        false => Err(ZpkgProblem::Damaged(format!("table {table:?} does not say what the packages say"))),
    }
}
