use std::io::{Read, Write};

use pkgtypes::Digest;

use crate::error::{Error, Problem, Result};
use crate::package::{ExpectedBlob, PackageRecord};
use crate::raw::RawWriter;
use crate::record::Summary;

/// Writes a package: its record first, then its blobs in their order, then the summary.
///
/// ```
/// use pkgformat::{Entry, EntryKind, Manifest, PackageMeta, PackageRecord, Writer};
/// use pkgtypes::{Digest, Mode, PkgPath};
///
/// let content = b"hello\n";
/// let file = EntryKind::File {
///     mode: Mode::from_raw(0o644),
///     size: content.len() as u64,
///     digest: Digest::of(content),
///     elf: None,
/// };
/// let manifest = Manifest::new(vec![Entry::new(PkgPath::new(b"greeting".as_slice())?, file)])?;
/// let meta = PackageMeta::new("hello".parse()?, "1".parse()?, "1".parse()?, "noarch".parse()?);
/// let record = PackageRecord::new(meta, manifest)?;
///
/// let mut writer = Writer::new(Vec::new(), &record)?;
/// writer.blob(6, &content[..])?;
/// let (package, summary) = writer.finish()?;
/// assert_eq!((summary.blobs, summary.records), (1, 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// After an error what was written is of no use, and every further call says so.
#[derive(Debug)]
#[must_use = "without `finish` the package is not whole"]
pub struct Writer<'a, W> {
    raw: RawWriter<W>,
    record: &'a PackageRecord,
    written: usize,
}

impl<'a, W: Write> Writer<'a, W> {
    /// Writes the package record; its blobs are due then.
    ///
    /// # Errors
    /// A writer that fails.
    pub fn new(writer: W, record: &'a PackageRecord) -> Result<Self> {
        let mut raw = RawWriter::new(writer);
        record.write(&mut raw)?;
        raw.set_files(record.manifest().entries().len() as u64);
        Ok(Self { raw, record, written: 0 })
    }

    /// The blob that is due; `None` when all were written.
    pub fn due(&self) -> Option<ExpectedBlob> {
        self.record.blob(self.written)
    }

    /// Writes the blob that is due: all that `source` has to give, which must be `size` bytes with the due digest.
    ///
    /// # Errors
    /// Another size or content than the package record says, a blob too many, a source or a writer that fails.
    pub fn blob(&mut self, size: u64, source: impl Read) -> Result<()> {
        let number = self.written as u64 + 1;
        let wrong = |problem| Error::BlobContent { number, problem };
        let blobs = self.written as u64;
        let due = self.due().ok_or_else(|| wrong(Problem::ExtraBlob { blobs }))?;
        if let Some(known) = due.size.filter(|known| *known != size) {
            return Err(wrong(Problem::BlobSize { expected: due.digest, size: known, found: size }));
        }
        self.raw.blob(size, source, |found: Digest| match found == due.digest {
            true => Ok(()),
            false => Err(wrong(Problem::Content { found, expected: due.digest })),
        })?;
        self.written += 1;
        Ok(())
    }

    /// Writes the summary and gives the writer back, flushed.
    ///
    /// # Errors
    /// A blob that is still due, a writer that fails.
    pub fn finish(self) -> Result<(W, Summary)> {
        if let Some(due) = self.due() {
            let problem = Problem::MissingBlob { expected: due.digest };
            return Err(Error::BlobContent { number: self.written as u64 + 1, problem });
        }
        self.raw.finish()
    }
}
