use std::io::{self, Read, Seek};
use std::sync::Arc;

use pkgtypes::Digest;

use crate::error::{Error, Problem, Result};
use crate::extent::{Checked, Extent};
use crate::limits::Limits;
use crate::package::{ExpectedBlob, PackageRecord};
use crate::raw::{Head, RawReader};
use crate::record::{self, Summary};

/// Reads a package from any source, front to back, and checks every byte of it.
///
/// [`Reader::open`] reads the package record and no blob, so that its authenticity can be decided before anything is
/// unpacked.
///
/// ```
/// # use pkgformat::{Entry, EntryKind, Manifest, PackageMeta, PackageRecord, Writer};
/// # use pkgtypes::{Digest, Mode, PkgPath};
/// use std::io::Read;
///
/// use pkgformat::{Limits, Reader};
/// # let file = EntryKind::File { mode: Mode::from_raw(0o644), size: 2, digest: Digest::of("hi"), elf: None };
/// # let manifest = Manifest::new(vec![Entry::new(PkgPath::new(b"greeting".as_slice())?, file)])?;
/// # let meta = PackageMeta::new("hello".parse()?, "1".parse()?, "1".parse()?, "noarch".parse()?);
/// # let record = PackageRecord::new(meta, manifest)?;
/// # let mut writer = Writer::new(Vec::new(), &record)?;
/// # writer.blob(2, &b"hi"[..])?;
/// # let (package, _) = writer.finish()?;
///
/// let mut reader = Reader::open(&*package, Limits::default())?;
/// println!("{} has the id {}", reader.package().meta().name, reader.package().id());
/// while let Some(mut blob) = reader.next_blob()? {
///     let mut content = Vec::new();
///     blob.read_to_end(&mut content)?;
/// }
/// reader.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    raw: RawReader<R>,
    package: Arc<PackageRecord>,
    /// How many blobs were begun.
    begun: usize,
    /// How many blobs were handed out unchecked.
    owed: usize,
}

impl<R: Read> Reader<R> {
    /// Reads and checks the package record.
    ///
    /// # Errors
    /// Anything that is not as the format demands, with its byte offset and record number.
    pub fn open(reader: R, limits: Limits) -> Result<Self> {
        let mut raw = RawReader::new(reader, limits);
        let package = PackageRecord::read(&mut raw)?;
        raw.expect_files(package.manifest().entries().len() as u64);
        Ok(Self { raw, package: Arc::new(package), begun: 0, owed: 0 })
    }

    /// The package record.
    pub fn package(&self) -> &PackageRecord {
        &self.package
    }

    /// The package record, to be held while blobs are read.
    pub fn shared_package(&self) -> Arc<PackageRecord> {
        Arc::clone(&self.package)
    }

    /// The package record, when nothing else is wanted.
    pub fn into_package(self) -> PackageRecord {
        Arc::unwrap_or_clone(self.package)
    }

    /// Checks what is left of the present blob and begins the next one; `None` after the last, when the summary and the
    /// end of the file were checked too.
    ///
    /// # Errors
    /// Anything that is not as the format demands; the reader is of no use then.
    pub fn next_blob(&mut self) -> Result<Option<BlobReader<'_, R>>> {
        self.raw.skip_data().map_err(|error| explain(&self.package, error))?;
        let due = self.package.blob(self.begun);
        let Some(head) = self.raw.next_head()? else {
            return match due {
                None => Ok(None),
                Some(due) => Err(self.raw.fail(Problem::MissingBlob { expected: due.digest })),
            };
        };
        let Some(due) = due else {
            return Err(self.raw.fail(surplus(&head, self.begun as u64)));
        };
        self.begun += 1;
        BlobReader::begin(&mut self.raw, &self.package, due, &head).map(Some)
    }

    /// Checks all that is left of the file.
    ///
    /// # Errors
    /// As [`Reader::next_blob`].
    pub fn finish(mut self) -> Result<Summary> {
        while self.next_blob()?.is_some() {}
        match self.owed as u64 {
            0 => self.raw.finish(),
            blobs => Err(self.raw.fail(Problem::Unchecked { blobs })),
        }
    }

    /// Hands out the next blob records to be checked by the caller, at most `blobs` of them and as many as fit into
    /// `length` bytes, but at least one; `None` after the last, when the summary and the end of the file were checked
    /// too. Scripts that are no files come in no extent: they are checked here.
    ///
    /// The bytes are read with [`Reader::read_extent`], or elsewhere and passed over with [`Reader::pass_extent`], to
    /// their end.
    ///
    /// # Errors
    /// As [`Reader::next_blob`].
    pub fn next_extent(&mut self, length: u64, blobs: usize) -> Result<Option<Extent>> {
        let due = loop {
            match self.package.blob(self.begun) {
                Some(ExpectedBlob { size: Some(size), digest, .. }) => break (size, digest),
                Some(_) => _ = self.next_blob()?,
                None => {
                    // It checks the summary, since no blob is due.
                    self.next_blob()?;
                    return Ok(None);
                }
            }
        };
        self.raw.end_record().map_err(|error| explain(&self.package, error))?;
        let (first, start) = (self.begun, self.raw.source().offset());
        let mut end = start;
        let mut next = Some(due);
        while let Some((size, digest)) = next {
            self.raw.leave_unchecked(size, digest)?;
            self.begun += 1;
            self.owed += 1;
            // It did not overflow when the record was counted.
            end += record::blob_len(size).unwrap_or(0);
            let room = length.saturating_sub(end - start);
            let due = self.package.blob(self.begun).filter(|_| self.begun - first < blobs);
            next = due.and_then(|due| Some((due.size?, due.digest)));
            next = next.filter(|(size, _)| record::blob_len(*size).is_some_and(|length| length <= room));
        }
        let package = Arc::clone(&self.package);
        Ok(Some(Extent::new(package, *self.raw.limits(), first..self.begun, start..end)))
    }

    /// Reads bytes of the present extent, as many as are left and `buffer` takes; fewer only at the end of the file.
    ///
    /// # Errors
    /// The source fails.
    pub fn read_extent(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.raw.read_unchecked(buffer)
    }

    /// Hears that extents were checked.
    #[expect(clippy::needless_pass_by_value, reason = "what was checked counts once")]
    pub fn settle(&mut self, checked: Checked) {
        self.owed = self.owed.saturating_sub(checked.blobs);
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Goes past the present extent without reading it.
    ///
    /// # Errors
    /// The source fails.
    pub fn pass_extent(&mut self) -> Result<()> {
        self.raw.pass_unchecked()
    }
}

fn surplus(head: &Head, blobs: u64) -> Problem {
    match head.meta.kind() {
        record::BLOB => Problem::ExtraBlob { blobs },
        other => Problem::Kind { found: other.to_owned(), expected: "the summary" },
    }
}

/// Holds a blob's head against what is due.
pub(crate) fn check_head(head: &Head, due: &ExpectedBlob) -> Result<(), Problem> {
    if head.meta.kind() != record::BLOB {
        return Err(Problem::Kind { found: head.meta.kind().to_owned(), expected: "a blob" });
    }
    if let Some((name, _)) = head.meta.entries().next() {
        return Err(Problem::Meta(crate::MetaError::Unknown(name.to_owned())));
    }
    match due.size {
        Some(size) if size != head.size => Err(Problem::BlobSize { expected: due.digest, size, found: head.size }),
        _ => Ok(()),
    }
}

/// The content of one blob.
///
/// It reads like a file. The content is held against its checksum and the manifest before its last byte is handed out,
/// so whoever has read everything has what the package record promised; the bytes before the last one are not to be
/// trusted until then. What is not read is checked when the next blob is asked for. An error inside an [`io::Error`] is
/// an [`Error`](crate::Error); `Error::from` gets it out.
#[derive(Debug)]
pub struct BlobReader<'a, R> {
    raw: &'a mut RawReader<R>,
    package: &'a PackageRecord,
    due: ExpectedBlob,
    size: u64,
}

impl<'a, R: Read> BlobReader<'a, R> {
    /// The content of the record whose head was read just now.
    pub(crate) fn begin(
        raw: &'a mut RawReader<R>,
        package: &'a PackageRecord,
        due: ExpectedBlob,
        head: &Head,
    ) -> Result<Self> {
        check_head(head, &due).map_err(|problem| raw.fail(problem))?;
        raw.expect_data(due.digest);
        Ok(Self { raw, package, due, size: head.size })
    }

    /// The digest of the content.
    pub fn digest(&self) -> Digest {
        self.due.digest
    }

    /// The size of the content. For a file the package record says so too; for a script it is a claim until everything
    /// has been read.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The index of the first manifest entry with this content; `None` for a script that is no file too.
    pub fn first(&self) -> Option<usize> {
        self.due.first
    }
}

impl<R: Read> Read for BlobReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.raw.read_data(buffer).map_err(|error| explain(self.package, error))?)
    }
}

/// Says of a blob with another content than the due one what it is.
pub(crate) fn explain(package: &PackageRecord, error: Error) -> Error {
    let Error::Read { record, offset, problem: Problem::Content { found, expected } } = error else { return error };
    let place = |wanted: Digest| package.blobs().position(|blob| blob.digest == wanted);
    let problem = match (place(found), place(expected)) {
        (None, _) => Problem::UnreferencedBlob { expected, found },
        (Some(stands), Some(due)) if stands < due => Problem::RepeatedBlob { expected, found },
        _ => Problem::BlobOrder { expected, found },
    };
    Error::Read { record, offset, problem }
}
