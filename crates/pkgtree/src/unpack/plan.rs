//! Which paths get which content.

use std::sync::Arc;

use pkgformat::{Entry, EntryKind, PackageRecord};
use pkgtypes::Digest;

/// A package record, with its files chained by content.
#[derive(Debug)]
pub(super) struct Plan {
    record: Arc<PackageRecord>,
    /// For each entry, the index of the next file with the same content, or [`LAST`].
    next: Vec<u32>,
}

/// No further file has the content.
const LAST: u32 = u32::MAX;

impl Plan {
    pub(super) fn new(record: Arc<PackageRecord>) -> Self {
        let entries = record.manifest().entries();
        // More than 2^32 entries do not fit into memory.
        let content = |index: &u32| digest(&entries[*index as usize]);
        let mut files: Vec<u32> = (0..entries.len() as u32).filter(|index| content(index).is_some()).collect();
        files.sort_unstable_by_key(|index| (content(index), *index));
        let mut next = vec![LAST; entries.len()];
        for pair in files.windows(2) {
            if content(&pair[0]) == content(&pair[1]) {
                next[pair[0] as usize] = pair[1];
            }
        }
        Self { record, next }
    }

    fn entries(&self) -> &[Entry] {
        self.record.manifest().entries()
    }

    pub(super) fn indexed(&self) -> impl Iterator<Item = (u32, &Entry)> {
        (0..).zip(self.entries())
    }

    pub(super) fn entry(&self, index: u32) -> &Entry {
        &self.entries()[index as usize]
    }

    /// The files that have the content of the file at `first`, which is the first of them.
    pub(super) fn uses(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        std::iter::successors(Some(first), |&index| Some(self.next[index as usize]).filter(|&next| next != LAST))
    }

    /// The number of bytes that all files have together.
    pub(super) fn bytes(&self) -> u64 {
        let sizes =
            self.entries().iter().map(|entry| if let EntryKind::File { size, .. } = entry.kind { size } else { 0 });
        sizes.fold(0, u64::saturating_add)
    }
}

fn digest(entry: &Entry) -> Option<&Digest> {
    match &entry.kind {
        EntryKind::File { digest, .. } => Some(digest),
        _ => None,
    }
}
