//! Which paths get which content.

use std::sync::Arc;

use pkgformat::{Entry, EntryKind, PackageRecord};
use pkgtypes::Digest;

/// A package record, with its files sorted by content.
#[derive(Debug)]
pub(super) struct Plan {
    record: Arc<PackageRecord>,
    /// Indexes of the entries that are files, sorted by digest and then by place.
    by_digest: Vec<u32>,
}

impl Plan {
    pub(super) fn new(record: Arc<PackageRecord>) -> Self {
        let entries = record.manifest().entries();
        // More than 2^32 entries do not fit into memory.
        let mut by_digest: Vec<u32> = (0..entries.len() as u32).collect();
        by_digest.retain(|&index| digest(&entries[index as usize]).is_some());
        by_digest.sort_unstable_by_key(|&index| (digest(&entries[index as usize]), index));
        Self { record, by_digest }
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

    /// The files with this content, the first one first.
    pub(super) fn uses(&self, content: &Digest) -> &[u32] {
        let digest = |index: &u32| digest(self.entry(*index));
        let start = self.by_digest.partition_point(|index| digest(index) < Some(content));
        let length = self.by_digest[start..].partition_point(|index| digest(index) == Some(content));
        &self.by_digest[start..start + length]
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
