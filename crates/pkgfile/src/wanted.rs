use std::ops::Range;

use codec::ReadAt;
use pkgformat::BlobPlace;
use pkgtypes::Digest;

use crate::PackageFile;
use crate::partial::joined;

/// Which bytes of a package file are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The ranges, in order, apart from one another.
    pub ranges: Vec<Range<u64>>,
    /// How many contents are needed that are not at hand.
    pub blobs: u64,
    /// How long these contents are together.
    pub content: u64,
    /// How long the whole file is.
    pub file: u64,
}

impl Wanted {
    /// How many bytes the ranges have together.
    pub fn bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }
}

impl<S: ReadAt> PackageFile<S> {
    /// The byte ranges of the file that [`rebuild`](crate::rebuild) needs where `have` says which contents are at hand.
    /// What was read to open the file is among them. Ranges of which less than `gap` bytes lie between are one, because a
    /// further request costs more than a few bytes.
    ///
    /// A file without a seek table is needed whole.
    ///
    /// # Errors
    /// The source can not tell the file's size.
    pub fn wanted(&self, gap: u64, mut have: impl FnMut(&Digest) -> bool) -> std::io::Result<Wanted> {
        let file = self.source().size()?;
        let Some(random) = self.random() else {
            let blobs = self.record().blobs();
            let (blobs, content) =
                blobs.fold((0, 0), |(blobs, bytes), blob| (blobs + 1, bytes + blob.size.unwrap_or(0)));
            return Ok(Wanted { ranges: Vec::from_iter(Some(0..file)), blobs, content, file });
        };
        let mut wanted = Wanted { ranges: Vec::new(), blobs: 0, content: 0, file };
        let mut parts = Vec::from_iter(Some(0..self.record().encoded_len()));
        for (place, blob) in random.reader.places().zip(self.record().blobs()) {
            if !have(&place.digest) {
                wanted.blobs += 1;
                wanted.content = wanted.content.saturating_add(place.size);
                parts.push(place.offset..place.end);
            } else if blob.size.is_none() {
                parts.push(head(&place));
            }
        }
        let table = random.table_at().map(|start| start..file);
        wanted.ranges = joined(parts.into_iter().flat_map(|part| random.packed(part)).chain(table), gap);
        Ok(wanted)
    }
}

/// Where the head of a record stands, and its checksum.
fn head(place: &BlobPlace) -> Range<u64> {
    place.offset..place.data_offset
}
