//! What the database knows of paths and the manifests do not.

use std::collections::{HashMap, HashSet};

use pkgformat::PackageRecord;
use pkgtypes::PkgPath;

use crate::column::path_column;
use crate::error::{DbResult as _, Result};
use crate::{Installed, Unset};

/// What could not be given to entries when their packages were installed.
#[derive(Debug)]
pub(crate) enum Stored {
    /// Of every package, by its row.
    All(HashMap<i64, HashMap<usize, Unset>>),
    /// It is looked up path by path.
    Single,
}

impl Stored {
    /// With it come the paths that more than one of these packages own. One look at the whole table is cheaper than one for
    /// each path of all packages, and dearer than that for a few packages' paths.
    pub(crate) fn load(db: &Installed, rows: &[i64]) -> Result<(Self, HashSet<PkgPath>)> {
        if rows.len() as u64 != db.count()? {
            return Ok((Self::Single, HashSet::new()));
        }
        let mut unset: HashMap<i64, HashMap<usize, Unset>> = HashMap::new();
        let mut shared = HashSet::new();
        let mut read = || -> rusqlite::Result<()> {
            let mut statement =
                db.conn.prepare_cached("SELECT path, package, entry, unset FROM paths ORDER BY path")?;
            let mut rows = statement.query([])?;
            let mut last = Vec::new();
            while let Some(row) = rows.next()? {
                let path = row.get_ref(0)?.as_blob()?;
                if path == last {
                    shared.insert(path_column(row, 0)?);
                } else {
                    last.clear();
                    last.extend_from_slice(path);
                }
                let bits = Unset::from_bits(row.get(3)?);
                if bits != Unset::NOTHING {
                    unset.entry(row.get(1)?).or_default().insert(row.get(2)?, bits);
                }
            }
            Ok(())
        };
        read().during("read the paths", &db.conn)?;
        Ok((Self::All(unset), shared))
    }

    /// Whether anything is known to be missing in the package with this row, or not known yet.
    pub(crate) fn may_lack(&self, row: i64) -> bool {
        match self {
            Self::All(unset) => unset.contains_key(&row),
            Self::Single => true,
        }
    }

    /// Of one package, by the positions of its entries.
    pub(crate) fn take(&mut self, db: &Installed, row: i64, record: &PackageRecord) -> Result<HashMap<usize, Unset>> {
        if let Self::All(unset) = self {
            return Ok(unset.remove(&row).unwrap_or_default());
        }
        let read = || -> rusqlite::Result<HashMap<usize, Unset>> {
            let query = "SELECT unset FROM paths WHERE path = ? AND package = ?";
            let mut statement = db.conn.prepare_cached(query)?;
            let entries = record.manifest().entries().iter().enumerate();
            let bits = entries.map(|(index, entry)| {
                let bits = statement.query_row((entry.path.as_bytes(), row), |row| row.get(0))?;
                Ok((index, Unset::from_bits(bits)))
            });
            bits.filter(|bits| !matches!(bits, Ok((_, Unset::NOTHING)))).collect()
        };
        match read() {
            // The package went after its record was read, and nobody asks what it lacks.
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(HashMap::new()),
            found => found.during("look up a path", &db.conn),
        }
    }
}
