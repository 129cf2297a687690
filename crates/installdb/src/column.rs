//! Values in columns of the database.

use pkgtypes::{Digest, PkgPath};
use rusqlite::Row;
use rusqlite::types::Type;

/// A path in a column of bytes.
pub(crate) fn path_column(row: &Row<'_>, column: usize) -> rusqlite::Result<PkgPath> {
    let bytes = row.get_ref(column)?.as_blob()?;
    PkgPath::new(bytes).map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error)))
}

/// A word in a column of text.
pub(crate) fn word_column<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err = pkgtypes::ParseError>,
{
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

/// A digest in a column of bytes.
pub(crate) fn digest_column(row: &Row<'_>, column: usize) -> rusqlite::Result<Digest> {
    row.get(column).map(Digest::from_bytes)
}
