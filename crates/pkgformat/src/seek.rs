use std::io::{Read, Seek};

use pkgtypes::Digest;

use crate::error::{Error, Problem, Result};
use crate::limits::Limits;
use crate::package::{ExpectedBlob, PackageRecord};
use crate::raw::RawReader;
use crate::reader::{BlobReader, check_head};
use crate::record::{self, RecordDigests, Summary, SummaryBuilder};

/// Reads single blobs of a package whose source can seek.
///
/// Where each blob stands follows from the package record: heads and checksums have known lengths, and the manifest
/// gives the sizes of files. Only the heads of scripts, whose sizes it does not give, are read when the package is
/// opened. Nothing is read between the blobs that are asked for, and each of them is checked as it is read.
///
/// The source is read from where it stands, so a package inside another file can be opened too; but it must end where
/// its source ends.
#[derive(Debug)]
pub struct SeekReader<R> {
    raw: RawReader<R>,
    package: PackageRecord,
    spots: Vec<Spot>,
    /// Where the summary begins.
    summary: u64,
    /// Indexes of the blobs, sorted by digest.
    by_digest: Vec<u32>,
}

#[derive(Debug)]
struct Spot {
    offset: u64,
    size: u64,
}

/// Where a blob stands in a package that is not compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobPlace {
    /// The digest of its content.
    pub digest: Digest,
    /// The size of its content.
    pub size: u64,
    /// Where its record begins.
    pub offset: u64,
    /// Where its content begins.
    pub data_offset: u64,
    /// Where its record ends.
    pub end: u64,
}

impl<R: Read + Seek> SeekReader<R> {
    /// Reads the package record and the heads of scripts, and works out where everything else is.
    ///
    /// # Errors
    /// Anything that is not as the format demands, with its byte offset and record number.
    pub fn open(reader: R, limits: Limits) -> Result<Self> {
        let mut raw = RawReader::new(reader, limits);
        let package = PackageRecord::read(&mut raw)?;
        let (spots, summary) = lay_out(&mut raw, &package)?;
        let mut by_digest: Vec<u32> = (0..package.blobs().len() as u32).collect();
        by_digest.sort_unstable_by_key(|&index| package.blob(index as usize).map(|blob| blob.digest));
        Ok(Self { raw, package, spots, summary, by_digest })
    }

    /// The package record.
    pub fn package(&self) -> &PackageRecord {
        &self.package
    }

    /// Where each blob stands, in the order of the file.
    pub fn places(&self) -> impl Iterator<Item = BlobPlace> + '_ {
        (0..self.spots.len()).filter_map(|index| self.place(index))
    }

    /// Where the blob with this digest stands.
    pub fn find(&self, digest: &Digest) -> Option<BlobPlace> {
        self.index(digest).and_then(|index| self.place(index))
    }

    /// Goes to the blob with this digest.
    ///
    /// # Errors
    /// No such blob in the package; another record than the package record promises in its place.
    pub fn blob(&mut self, digest: &Digest) -> Result<BlobReader<'_, R>> {
        let missing = Error::NoSuchBlob(*digest);
        let Some((index, due)) = self.index(digest).and_then(|index| Some((index, self.package.blob(index)?))) else {
            return Err(missing);
        };
        let head = self.raw.seek_head(record_number(index), self.spots[index].offset)?;
        BlobReader::begin(&mut self.raw, &self.package, due, &head)
    }

    /// Checks every head, the stored checksum of every blob, the summary and the end of the file, without reading the
    /// blobs' contents: a file that passes is whole, though a content in it may be damaged.
    ///
    /// # Errors
    /// As [`Reader::finish`](crate::Reader::finish).
    pub fn check_heads(&mut self) -> Result<Summary> {
        let mut passed = SummaryBuilder::new();
        passed.record(&self.package.digests());
        for index in 0..self.spots.len() {
            let Some(place) = self.place(index) else { break };
            let digests = self.check_blob(index, &place)?;
            if !passed.blob(&digests, place.size) {
                return Err(self.raw.fail(Problem::TooManyBytes));
            }
        }
        let number = record_number(self.spots.len());
        self.raw.seek_summary(number, self.summary, passed.finish(self.package.manifest().entries().len() as u64))
    }

    fn check_blob(&mut self, index: usize, place: &BlobPlace) -> Result<RecordDigests> {
        let head = self.raw.seek_head(record_number(index), place.offset)?;
        let due = ExpectedBlob { digest: place.digest, size: Some(place.size), first: None };
        check_head(&head, &due).map_err(|problem| self.raw.fail(problem))?;
        let data = self.raw.seek_checksum(place.end - Digest::LEN as u64)?;
        if data != place.digest {
            return Err(self.raw.fail(Problem::Content { found: data, expected: place.digest }));
        }
        Ok(RecordDigests { head: head.digest, data })
    }

    fn index(&self, digest: &Digest) -> Option<usize> {
        let key = |index: u32| self.package.blob(index as usize).map(|blob| blob.digest);
        let place = self.by_digest.binary_search_by(|&index| key(index).cmp(&Some(*digest)));
        place.ok().map(|place| self.by_digest[place] as usize)
    }

    fn place(&self, index: usize) -> Option<BlobPlace> {
        let Spot { offset, size } = *self.spots.get(index)?;
        let end = offset + record::blob_len(size)?;
        let data_offset = end - Digest::LEN as u64 - size;
        Some(BlobPlace { digest: self.package.blob(index)?.digest, size, offset, data_offset, end })
    }
}

/// The number of a blob's record: the package record is the first one.
fn record_number(index: usize) -> u64 {
    index as u64 + 2
}

/// Works out where the blobs and the summary begin.
fn lay_out<R: Read + Seek>(raw: &mut RawReader<R>, package: &PackageRecord) -> Result<(Vec<Spot>, u64)> {
    let mut spots = Vec::with_capacity(package.blobs().len());
    let mut offset = package.encoded_len();
    for (index, blob) in package.blobs().enumerate() {
        let size = match blob.size {
            Some(size) => size,
            None => raw.seek_head(record_number(index), offset)?.size,
        };
        spots.push(Spot { offset, size });
        let end = record::blob_len(size).and_then(|length| offset.checked_add(length));
        offset = end.ok_or_else(|| raw.fail(Problem::TooManyBytes))?;
    }
    Ok((spots, offset))
}
