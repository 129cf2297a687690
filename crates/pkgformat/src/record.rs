//! The bytes of a record, for those who lay out a file themselves.
//!
//! A packer that reads each file once writes the blobs before it knows every digest. It can, because lengths do not
//! depend on digests: a digest is 64 hex digits in a meta list and 32 bytes after a head, whatever it is. So
//! [`package_len`] of a manifest with placeholder digests (distinct ones where `license-file` names them) is the length
//! of the final package record; the packer leaves that much room, writes each blob as [`blob_head`], [`Digest`] of that
//! head, data, [`Digest`] of the data, and the [`Summary`] from a [`SummaryBuilder`]; the package record comes last.
//!
//! ```
//! use pkgformat::record;
//!
//! let head = record::blob_head(300);
//! assert_eq!(head, b"\xABKPK\x01\x01\x0Brecord=blob\x00\x02\x01\x2C");
//! assert_eq!(record::blob_len(300), Some(head.len() as u64 + 32 + 300 + 32));
//! ```

use pkgtypes::{Digest, Hasher};

use crate::error::MetaError;
use crate::list::Meta;
use crate::{Manifest, PackageMeta, size};

/// The first bytes of every record.
pub const MAGIC: [u8; 4] = *b"\xABKPK";
/// The version of the record format, the byte after the magic.
pub const VERSION: u8 = 1;
/// The kind of the first record of a package.
pub const PACKAGE: &str = "package";
/// The kind of the records that hold content.
pub const BLOB: &str = "blob";
/// The kind of the last record.
pub const SUMMARY: &str = "summary";

const BLOB_META: &[u8] = b"\x01\x0Brecord=blob\0";

/// A record's head: everything from the magic up to and including the size of the data.
pub fn encode_head(meta: &Meta, size: u64) -> Vec<u8> {
    head_of(meta.as_bytes(), size)
}

/// The head of a blob record with `size` bytes of data.
pub fn blob_head(size: u64) -> Vec<u8> {
    head_of(BLOB_META, size)
}

fn head_of(meta: &[u8], size: u64) -> Vec<u8> {
    let mut head = Vec::with_capacity(MAGIC.len() + 1 + meta.len() + size::MAX_LEN);
    head.extend_from_slice(&MAGIC);
    head.push(VERSION);
    head.extend_from_slice(meta);
    size::put(&mut head, size);
    head
}

/// The length of a head.
pub(crate) fn head_len(meta: &[u8], size: u64) -> usize {
    MAGIC.len() + 1 + meta.len() + size::len(size)
}

/// The length of a whole blob record with `size` bytes of data; `None` where it is no 64-bit number.
pub fn blob_len(size: u64) -> Option<u64> {
    record_len(BLOB_META, size)
}

pub(crate) fn record_len(meta: &[u8], size: u64) -> Option<u64> {
    size.checked_add((head_len(meta, size) + 2 * Digest::LEN) as u64)
}

/// The length of the package record of `meta` and `manifest`, which does not depend on the digests in them. As
/// [`PackageRecord::encoded_len`](crate::PackageRecord::encoded_len), but digests need not make sense yet.
///
/// # Errors
/// Metadata that can not be written.
pub fn package_len(meta: &PackageMeta, manifest: &Manifest) -> Result<u64, MetaError> {
    let list = meta.to_list(PACKAGE)?;
    record_len(list.as_bytes(), manifest.encoded_len()).ok_or(MetaError::TooLong)
}

/// The two checksums that a record carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordDigests {
    /// H(head).
    pub head: Digest,
    /// H(data).
    pub data: Digest,
}

impl RecordDigests {
    /// SHA-256 over H(head)||H(data); of a package record, this is the package's id.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new();
        self.add_to(&mut hasher);
        hasher.finish()
    }

    fn add_to(&self, hasher: &mut Hasher) {
        hasher.update(self.head.as_bytes());
        hasher.update(self.data.as_bytes());
    }
}

/// What the last record says of all records before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Number of blob records.
    pub blobs: u64,
    /// Sum of the blobs' sizes.
    pub bytes: u64,
    /// SHA-256 over H(head)||H(data) of every earlier record, in order.
    pub checksum: Digest,
    /// Number of manifest entries; 0 in files of records that are no packages.
    pub files: u64,
    /// Number of records, the summary included.
    pub records: u64,
}

impl Summary {
    pub(crate) fn values(&self) -> [(&'static str, String); 5] {
        [
            ("blobs", self.blobs.to_string()),
            ("bytes", self.bytes.to_string()),
            ("checksum", self.checksum.to_string()),
            ("files", self.files.to_string()),
            ("records", self.records.to_string()),
        ]
    }

    /// The whole summary record.
    pub fn encode(&self) -> Vec<u8> {
        let meta = Meta::new(SUMMARY, self.values()).expect("the names of a summary are in the grammar");
        let mut record = encode_head(&meta, 0);
        let head = Digest::of(&record);
        record.extend_from_slice(head.as_bytes());
        record.extend_from_slice(Digest::of([]).as_bytes());
        record
    }
}

/// Counts and hashes records as they pass, in their order.
#[derive(Debug, Clone, Default)]
pub struct SummaryBuilder {
    hasher: Hasher,
    blobs: u64,
    bytes: u64,
    records: u64,
}

impl SummaryBuilder {
    /// Of no record yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of a file of which this many records have passed, for errors alone.
    pub(crate) fn after(records: u64) -> Self {
        Self { records, ..Self::default() }
    }

    /// Counts a record that is no blob.
    pub fn record(&mut self, digests: &RecordDigests) {
        digests.add_to(&mut self.hasher);
        self.records += 1;
    }

    /// Counts a blob record with `size` bytes of data; false, and nothing counted, where the sum of all sizes would be
    /// no 64-bit number.
    #[must_use]
    pub fn blob(&mut self, digests: &RecordDigests, size: u64) -> bool {
        let Some(bytes) = self.bytes.checked_add(size) else { return false };
        self.bytes = bytes;
        self.blobs += 1;
        self.record(digests);
        true
    }

    /// How many records were counted.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The summary of a file with `files` manifest entries.
    pub fn finish(self, files: u64) -> Summary {
        let Self { hasher, blobs, bytes, records } = self;
        Summary { blobs, bytes, checksum: hasher.finish(), files, records: records + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_head_is_the_head_of_a_blob() {
        let meta = Meta::new::<&str, &str>(BLOB, []).unwrap();
        for size in [0, 1, 255, 256, u64::MAX] {
            assert_eq!(blob_head(size), encode_head(&meta, size));
            assert_eq!(blob_head(size).len(), head_len(BLOB_META, size));
        }
        assert_eq!(blob_len(u64::MAX), None);
    }

    #[test]
    fn the_sum_of_sizes_does_not_wrap() {
        let digests = RecordDigests { head: Digest::of("a"), data: Digest::of("b") };
        let mut builder = SummaryBuilder::new();
        assert!(builder.blob(&digests, u64::MAX));
        assert!(!builder.blob(&digests, 1));
        assert!(builder.blob(&digests, 0));
        assert_eq!(builder.finish(0).blobs, 2);
    }
}
