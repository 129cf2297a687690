//! What could not be given to installed paths.

use pkgtypes::PackageName;

use super::stored::Stored;
use crate::error::Result;
use crate::{Installed, NotGiven, Unset};

impl Installed {
    /// What could not be given to paths of these packages, or of all where no name is given, and is therefore no difference.
    /// In the order of the packages' numbers, then of the paths.
    ///
    /// # Errors
    /// [`Error::NotInstalled`](crate::Error::NotInstalled); the database can not be read.
    pub fn not_given(&self, names: &[PackageName]) -> Result<Vec<NotGiven>> {
        let rows = self.rows_of(names)?;
        let (mut stored, _) = Stored::load(self, &rows)?;
        let mut all = Vec::new();
        for row in rows.into_iter().filter(|row| stored.may_lack(*row)).collect::<Vec<_>>() {
            let Some(record) = self.record_if_there(row)? else { continue };
            let unset = stored.take(self, row, &record)?;
            let entries = record.manifest().entries().iter().enumerate();
            all.extend(entries.filter_map(|(index, entry)| {
                let what = unset.get(&index).copied().filter(|what| *what != Unset::NOTHING)?;
                Some(NotGiven { package: record.meta().name.clone(), path: entry.path.clone(), what })
            }));
        }
        Ok(all)
    }
}
