//! On what packages were accepted, as rows: they outlive the packages, so that what was accepted once can come back.

use std::str::FromStr;

use pkgtypes::{PackageId, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row};
use trust::{Acceptance, Basis, Owner, SigArchive, Signed};

use crate::column::digest_column;

/// Writes down on what a package is accepted; the last time counts.
pub(crate) fn save(conn: &Connection, acceptance: &Acceptance) -> rusqlite::Result<()> {
    let id = *acceptance.package_id.digest().as_bytes();
    let Basis::Signed(signed) = &acceptance.basis else {
        let mut statement = conn.prepare_cached("INSERT OR REPLACE INTO acceptances (package_id) VALUES (?)")?;
        return statement.execute([id]).map(drop);
    };
    let owners: Vec<&str> = signed.owners.iter().map(Owner::as_str).collect();
    let mut statement = conn.prepare_cached(
        "INSERT OR REPLACE INTO acceptances (package_id, repo, seq, statement, issued, expires, tier, owners,
                                             signatures)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    statement.execute((
        id,
        signed.repo.to_string(),
        signed.seq.to_string(),
        signed.statement.as_bytes(),
        signed.issued.seconds(),
        signed.expires.seconds(),
        signed.tier.as_str(),
        owners.join("\n"),
        signed.signatures.write(Vec::new()).expect("a vector takes all bytes"),
    ))?;
    Ok(())
}

/// On what a package was accepted when it was installed; `None` where it never was.
pub(crate) fn load(conn: &Connection, package_id: PackageId) -> rusqlite::Result<Option<Acceptance>> {
    let mut statement = conn.prepare_cached(
        "SELECT repo, seq, statement, issued, expires, tier, owners, signatures FROM acceptances
         WHERE package_id = ?",
    )?;
    let basis = |row: &Row<'_>| {
        Ok(match row.get::<_, Option<String>>(0)? {
            None => Basis::Exception,
            Some(_) => Basis::Signed(signed(row)?),
        })
    };
    let basis = statement.query_row([package_id.digest().as_bytes()], basis).optional()?;
    Ok(basis.map(|basis| Acceptance { package_id, basis }))
}

fn signed(row: &Row<'_>) -> rusqlite::Result<Signed> {
    let owners = row.get_ref(6)?.as_str()?.lines().map(|owner| parse(6, owner));
    Ok(Signed {
        repo: parse(0, row.get_ref(0)?.as_str()?)?,
        seq: parse(1, row.get_ref(1)?.as_str()?)?,
        statement: digest_column(row, 2)?,
        issued: Timestamp::from_seconds(row.get(3)?),
        expires: Timestamp::from_seconds(row.get(4)?),
        tier: parse(5, row.get_ref(5)?.as_str()?)?,
        owners: owners.collect::<rusqlite::Result<_>>()?,
        signatures: SigArchive::read(row.get_ref(7)?.as_blob()?, "signatures of a package")
            .map_err(|error| unreadable(7, error))?,
    })
}

fn parse<T>(column: usize, text: &str) -> rusqlite::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    text.parse().map_err(|error| unreadable(column, error))
}

fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
