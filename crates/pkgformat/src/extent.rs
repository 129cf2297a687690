use std::io;
use std::ops::Range;
use std::sync::Arc;

use pkgtypes::{Digest, Hasher};

use crate::error::{Error, Problem, Result};
use crate::limits::Limits;
use crate::package::{ExpectedBlob, PackageRecord};
use crate::raw::RawReader;
use crate::reader::{check_head, explain};
use crate::record;

/// Blob records that stand side by side in a package, to be read and checked apart from the rest: by other threads, or
/// from another place of the file.
///
/// [`Reader::next_extent`](crate::Reader::next_extent) hands extents out and counts what it has handed out as not
/// checked. [`Extent::check`] gives each content only when it was found right, and a [`Checked`] that settles the
/// account; until all is settled, [`Reader::finish`](crate::Reader::finish) calls nothing done.
///
/// ```
/// # use pkgformat::{Entry, EntryKind, Manifest, PackageMeta, PackageRecord, Writer};
/// # use pkgtypes::{Digest, Mode, PkgPath};
/// use pkgformat::{Error, Limits, Reader};
/// # let file = EntryKind::File { mode: Mode::from_raw(0o644), size: 2, digest: Digest::of("hi"), elf: None };
/// # let manifest = Manifest::new(vec![Entry::new(PkgPath::new(b"greeting".as_slice())?, file)])?;
/// # let meta = PackageMeta::new("hello".parse()?, "1".parse()?, "1".parse()?, "noarch".parse()?);
/// # let record = PackageRecord::new(meta, manifest)?;
/// # let mut writer = Writer::new(Vec::new(), &record)?;
/// # writer.blob(2, &b"hi"[..])?;
/// # let (package, _) = writer.finish()?;
///
/// let mut reader = Reader::open(&*package, Limits::default())?;
/// while let Some(extent) = reader.next_extent(256 << 10, 64)? {
///     let mut bytes = vec![0; usize::try_from(extent.length())?];
///     let filled = reader.read_extent(&mut bytes)?;
///     let checked = extent.check(&bytes[..filled], |blob, content| {
///         println!("{} has {} bytes", blob.digest, content.len());
///         Ok::<(), Error>(())
///     })?;
///     reader.settle(checked);
/// }
/// reader.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Extent {
    package: Arc<PackageRecord>,
    limits: Limits,
    blobs: Range<usize>,
    offset: u64,
    length: u64,
}

/// That so many blobs were found right. Only a check makes one of at least one blob.
#[derive(Debug, Default)]
#[must_use = "a reader wants to know what was checked"]
pub struct Checked {
    pub(crate) blobs: usize,
}

impl Checked {
    /// Both.
    #[expect(clippy::needless_pass_by_value, reason = "what was checked counts once")]
    pub fn and(self, other: Self) -> Self {
        Self { blobs: self.blobs + other.blobs }
    }
}

impl Extent {
    pub(crate) fn new(package: Arc<PackageRecord>, limits: Limits, blobs: Range<usize>, at: Range<u64>) -> Self {
        Self { package, limits, blobs, offset: at.start, length: at.end - at.start }
    }

    /// Where the first record begins, counted from the beginning of the package.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes the records have together.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Holds all records against what they must be, and gives `take` each content that was found right. `bytes` are
    /// those at [`Extent::offset`]; fewer than [`Extent::length`] are a file that was cut off.
    ///
    /// # Errors
    /// Anything that is not as the package record and the format demand, with its byte offset and record number; what
    /// `take` says.
    pub fn check<'b, E: From<Error>>(
        &self,
        bytes: &'b [u8],
        mut take: impl FnMut(ExpectedBlob, &'b [u8]) -> Result<(), E>,
    ) -> Result<Checked, E> {
        let mut rest = bytes;
        for index in self.blobs.clone() {
            let right = self.package.blob(index).and_then(|blob| Some((blob, split(rest, &blob)?)));
            let Some((blob, (content, after))) = right else { return Err(self.explain(bytes, self.length).into()) };
            take(blob, content)?;
            rest = after;
        }
        Ok(Checked { blobs: self.blobs.len() })
    }

    /// The check of the only blob, which is too long to be held whole; `None` where there are several.
    pub fn single(&self) -> Option<SingleBlob> {
        let blob = self.package.blob(self.blobs.start).filter(|_| self.blobs.len() == 1)?;
        Some(SingleBlob { size: blob.size?, blob, extent: self.clone() })
    }

    /// The source failed after `filled` bytes.
    pub fn failed(&self, filled: u64, error: io::Error) -> Error {
        Error::Read { record: self.number(), offset: self.offset.saturating_add(filled), problem: Problem::Io(error) }
    }

    /// The number of the first record: the package record is the first of the file.
    fn number(&self) -> u64 {
        self.blobs.start as u64 + 2
    }

    /// What is wrong with bytes that were found not to be right, and of which there should be so many: the reader of
    /// records knows.
    fn explain(&self, bytes: &[u8], length: u64) -> Error {
        let mut raw = RawReader::resume(bytes, self.limits, self.number(), self.offset);
        let wrong = self.blobs.clone().find_map(|index| self.read_one(&mut raw, index).err());
        match wrong {
            // The file goes on, and a damaged length points behind these records.
            Some(Error::Read { record, offset, problem: Problem::UnexpectedEnd { .. } })
                if bytes.len() as u64 == length =>
            {
                Error::Read { record, offset, problem: Problem::BlobHead }
            }
            Some(error) => error,
            None => raw.fail(Problem::TrailingBytes),
        }
    }

    fn read_one(&self, raw: &mut RawReader<&[u8]>, index: usize) -> Result<()> {
        let Some(due) = self.package.blob(index) else { return Err(raw.fail(Problem::Failed)) };
        let head = match raw.next_head() {
            Ok(Some(head)) => head,
            Ok(None) => return Err(raw.fail(Problem::UnexpectedEnd { expected: "a record" })),
            Err(Error::Read { record, offset, problem: Problem::Kind { found, .. } }) if found == record::SUMMARY => {
                return Err(Error::Read { record, offset, problem: Problem::MissingBlob { expected: due.digest } });
            }
            Err(error) => return Err(error),
        };
        check_head(&head, &due).map_err(|problem| raw.fail(problem))?;
        raw.expect_data(due.digest);
        raw.skip_data().map_err(|error| explain(&self.package, error))
    }
}

/// The content at the beginning of `bytes` and what follows its record, if the record is right.
fn split<'b>(bytes: &'b [u8], blob: &ExpectedBlob) -> Option<(&'b [u8], &'b [u8])> {
    let size = blob.size?;
    let rest = bytes.strip_prefix(&*framed_head(size))?;
    let (content, rest) = rest.split_at_checked(usize::try_from(size).ok()?)?;
    let rest = rest.strip_prefix(blob.digest.as_bytes())?;
    (Digest::of(content) == blob.digest).then_some((content, rest))
}

/// All that stands before the content of a blob.
fn framed_head(size: u64) -> Vec<u8> {
    let mut head = record::blob_head(size);
    let digest = Digest::of(&head);
    head.extend_from_slice(digest.as_bytes());
    head
}

/// The record of one blob that passes in pieces. Its content is not to be trusted before [`SingleBlob::end`].
#[derive(Debug)]
pub struct SingleBlob {
    extent: Extent,
    blob: ExpectedBlob,
    size: u64,
}

impl SingleBlob {
    /// The blob.
    pub fn blob(&self) -> ExpectedBlob {
        self.blob
    }

    /// The size of the content.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes stand before the content.
    pub fn head_len(&self) -> usize {
        usize::try_from(self.extent.length - self.size).unwrap_or(usize::MAX) - Digest::LEN
    }

    /// Where the content begins, counted from the beginning of the package.
    pub fn data_offset(&self) -> u64 {
        self.extent.offset + self.head_len() as u64
    }

    /// Holds what stands before the content against what it must be.
    ///
    /// # Errors
    /// As [`Extent::check`].
    pub fn check_head(&self, bytes: &[u8]) -> Result<()> {
        if bytes == framed_head(self.size) { Ok(()) } else { Err(self.extent.explain(bytes, self.head_len() as u64)) }
    }

    /// Holds the content, of which everything was hashed, and the checksum that follows it against what they must be.
    ///
    /// # Errors
    /// As [`Extent::check`].
    pub fn end(&self, content: Hasher, stored: &[u8]) -> Result<Checked> {
        let end = self.extent.offset + self.extent.length;
        let error = |offset, problem| Error::Read { record: self.extent.number(), offset, problem };
        let Ok(stored) = <[u8; Digest::LEN]>::try_from(stored).map(Digest::from_bytes) else {
            let offset = end - Digest::LEN as u64 + stored.len() as u64;
            return Err(error(offset, Problem::UnexpectedEnd { expected: "the checksum of a record's data" }));
        };
        let (computed, expected) = (content.finish(), self.blob.digest);
        if stored != computed {
            return Err(error(end, Problem::DataChecksum { stored, computed }));
        }
        if computed != expected {
            let problem = Problem::Content { found: computed, expected };
            return Err(explain(&self.extent.package, error(end, problem)));
        }
        Ok(Checked { blobs: 1 })
    }

    /// The source ended after `filled` bytes of the content.
    pub fn cut_off(&self, filled: u64) -> Error {
        let problem = Problem::UnexpectedEnd { expected: "the data of a record" };
        Error::Read { record: self.extent.number(), offset: self.data_offset().saturating_add(filled), problem }
    }

    /// The source failed after `filled` bytes of what stands before the content.
    pub fn failed_head(&self, filled: u64, error: io::Error) -> Error {
        self.extent.failed(filled, error)
    }

    /// The source failed after `filled` bytes of the content.
    pub fn failed(&self, filled: u64, error: io::Error) -> Error {
        self.extent.failed((self.head_len() as u64).saturating_add(filled), error)
    }
}
