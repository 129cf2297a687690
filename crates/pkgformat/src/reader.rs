use std::io::{self, Read};
use std::sync::Arc;

use pkgtypes::Digest;

use crate::error::{Error, Problem, Result};
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
        Ok(Self { raw, package: Arc::new(package), begun: 0 })
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
        self.raw.finish()
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
fn explain(package: &PackageRecord, error: Error) -> Error {
    let Error::Read { record, offset, problem: Problem::Content { found, expected } } = error else { return error };
    let place = |wanted: Digest| package.blobs().position(|blob| blob.digest == wanted);
    let problem = match (place(found), place(expected)) {
        (None, _) => Problem::UnreferencedBlob { expected, found },
        (Some(stands), Some(due)) if stands < due => Problem::RepeatedBlob { expected, found },
        _ => Problem::BlobOrder { expected, found },
    };
    Error::Read { record, offset, problem }
}
