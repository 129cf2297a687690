use pkgtypes::PkgPath;
use rusqlite::Row;
use rusqlite::types::Type;

/// A path in a column of bytes.
pub(crate) fn path_column(row: &Row<'_>, column: usize) -> rusqlite::Result<PkgPath> {
    let bytes = row.get_ref(column)?.as_blob()?;
    PkgPath::new(bytes).map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error)))
}
