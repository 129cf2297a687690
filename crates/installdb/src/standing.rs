use std::collections::HashSet;

use pkgformat::{Entry, PackageRecord};

/// A package's entries as they stand in the root: as its manifest names them, but below a link that is followed as below
/// the folder that it leads to. The manifest's order and numbers stay.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// `None` where all stand as they are named.
    moved: Option<Vec<Entry>>,
    /// Folders in whose places links stand.
    links: HashSet<usize>,
}

impl Standing {
    pub(crate) fn moved(entries: Vec<Entry>, links: HashSet<usize>) -> Self {
        Self { moved: Some(entries), links }
    }

    /// The entries of the package that this was made for.
    pub(crate) fn entries<'a>(&'a self, record: &'a PackageRecord) -> &'a [Entry] {
        self.moved.as_deref().unwrap_or_else(|| record.manifest().entries())
    }

    /// Whether an administrator's link stands in the place of this folder.
    pub(crate) fn is_link(&self, entry: usize) -> bool {
        self.links.contains(&entry)
    }
}
