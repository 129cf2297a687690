use pkgformat::PackageRecord;
use pkgtypes::PackageName;

use crate::Installed;
use crate::error::Result;
use crate::standing::Standing;

/// An installed package that a transaction takes away, or replaces.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The row in `packages`.
    pub(crate) row: i64,
    pub(crate) record: PackageRecord,
    pub(crate) standing: Standing,
}

impl Outgoing {
    /// The installed package of this name.
    pub(crate) fn load(db: &Installed, name: &PackageName) -> Result<Option<Self>> {
        let Some(row) = db.row_of(name)? else { return Ok(None) };
        Ok(Some(Self { row, record: db.record_of(row)?, standing: Standing::default() }))
    }
}
