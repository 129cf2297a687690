use std::io::{Read, Write};

use pkgtypes::{Digest, Hasher, PackageId};

use crate::error::{Error, ManifestError, MetaError, Problem, Result};
use crate::limits::Limits;
use crate::manifest::{Decoder, EntryKind, Manifest};
use crate::meta::PackageMeta;
use crate::raw::{RawReader, RawWriter};
use crate::record::{self, RecordDigests};
use crate::source::CHUNK;

/// The first record of a package: its metadata and its manifest. It commits to all content, and its digest is the
/// package's identity.
///
/// ```
/// use pkgformat::{Limits, Manifest, PackageMeta, PackageRecord};
///
/// let meta = PackageMeta::new("nothing".parse()?, "1".parse()?, "1".parse()?, "noarch".parse()?);
/// let record = PackageRecord::new(meta, Manifest::default())?;
/// let bytes = record.encode();
/// assert_eq!(bytes.len() as u64, record.encoded_len());
/// assert_eq!(PackageRecord::decode(&bytes, &Limits::default())?.id(), record.id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRecord {
    meta: PackageMeta,
    manifest: Manifest,
    digests: RecordDigests,
    manifest_len: u64,
    encoded_len: u64,
    blobs: Blobs,
}

/// A blob that belongs to a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedBlob {
    /// The digest of its content.
    pub digest: Digest,
    /// Its size; `None` for a script that is no file too.
    pub size: Option<u64>,
    /// The index of the first manifest entry with this content; `None` for a script that is no file too.
    pub first: Option<usize>,
}

impl PackageRecord {
    /// The record of this metadata, normalised, and this manifest.
    ///
    /// # Errors
    /// A value that can not be written; a licence file that is no blob of the package; one digest with two sizes.
    #[expect(clippy::needless_pass_by_value, reason = "the record takes the metadata over and may use it as it is")]
    pub fn new(meta: PackageMeta, manifest: Manifest) -> Result<Self> {
        let list = meta.to_list(record::PACKAGE)?;
        let meta = PackageMeta::from_list(&list)?;
        let (manifest_len, data) = manifest.measure();
        let digests = RecordDigests { head: Digest::of(record::encode_head(&list, manifest_len)), data };
        let encoded_len = record::record_len(list.as_bytes(), manifest_len).ok_or(MetaError::TooLong)?;
        let blobs = Blobs::of(&meta, &manifest)?;
        Ok(Self { meta, manifest, digests, manifest_len, encoded_len, blobs })
    }

    /// Reads a record from exactly these bytes.
    ///
    /// # Errors
    /// Bytes that are no package record, or that follow one.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self> {
        let mut reader = RawReader::new(bytes, *limits);
        let record = Self::read(&mut reader)?;
        match reader.at_end()? {
            true => Ok(record),
            false => Err(reader.fail(Problem::TrailingBytes)),
        }
    }

    /// Reads the first record of a file.
    pub(crate) fn read<R: Read>(reader: &mut RawReader<R>) -> Result<Self> {
        let limits = *reader.limits();
        let expected = "a package record";
        let head = reader.next_head()?.ok_or_else(|| reader.fail(Problem::UnexpectedEnd { expected }))?;
        if head.meta.kind() != record::PACKAGE {
            return Err(reader.fail_at(0, Problem::Kind { found: head.meta.kind().to_owned(), expected }));
        }
        let list = head.meta;
        let meta = PackageMeta::from_list(&list).map_err(|error| reader.fail_at(0, Problem::Meta(error)))?;
        if head.size > limits.manifest {
            let problem = Problem::Limit { what: "bytes of manifest", claimed: head.size, limit: limits.manifest };
            return Err(reader.fail(problem));
        }
        let manifest = read_manifest(reader, head.size, &limits)?;
        let blobs = Blobs::of(&meta, &manifest).map_err(|error| reader.fail_at(0, error.into()))?;
        let digests = reader.last().ok_or_else(|| reader.fail(Problem::UnexpectedEnd { expected }))?;
        let encoded_len = reader.source().offset();
        Ok(Self { meta, manifest, digests, manifest_len: head.size, encoded_len, blobs })
    }

    /// The metadata.
    pub fn meta(&self) -> &PackageMeta {
        &self.meta
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Metadata and manifest, to be changed.
    pub fn into_parts(self) -> (PackageMeta, Manifest) {
        (self.meta, self.manifest)
    }

    /// The package's identity.
    pub fn id(&self) -> PackageId {
        PackageId::new(self.digests.digest())
    }

    /// The record's two checksums.
    pub fn digests(&self) -> RecordDigests {
        self.digests
    }

    /// The length of the whole record. It depends on everything but the digests in it: see [`record`].
    pub fn encoded_len(&self) -> u64 {
        self.encoded_len
    }

    /// The whole record, checksums included.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = RawWriter::new(Vec::with_capacity(usize::try_from(self.encoded_len).unwrap_or(0)));
        self.write(&mut writer).and_then(|()| writer.into_inner()).expect("a vector takes all bytes")
    }

    pub(crate) fn write<W: Write>(&self, writer: &mut RawWriter<W>) -> Result<()> {
        let list = self.meta.to_list(record::PACKAGE)?;
        writer.whole(&list, self.manifest_len, |out| {
            let mut hasher = Hasher::new();
            self.manifest.encode(|bytes| {
                hasher.update(bytes);
                out.write_all(bytes)
            })?;
            Ok(hasher.finish())
        })?;
        Ok(())
    }

    /// The blobs in the order in which they follow: scripts, then files, each at its first use.
    pub fn blobs(&self) -> impl ExactSizeIterator<Item = ExpectedBlob> + '_ {
        (0..self.blobs.len()).map(|index| self.blob(index).expect("the index is below the count"))
    }

    /// The blob with this index among [`PackageRecord::blobs`].
    pub(crate) fn blob(&self, index: usize) -> Option<ExpectedBlob> {
        self.blobs.nth(&self.manifest, index)
    }
}

/// Reads a manifest and keeps no more of its bytes than one entry has. Damage is reported before nonsense: what does not
/// have its checksum is not worth a complaint about its content.
fn read_manifest<R: Read>(reader: &mut RawReader<R>, size: u64, limits: &Limits) -> Result<Manifest> {
    let start = reader.source().offset();
    let mut decoder = Decoder::new(limits);
    let mut pushed = Ok(());
    let mut buffer = vec![0; usize::try_from(size).map_or(CHUNK, |size| size.min(CHUNK))];
    loop {
        let count = reader.read_data(&mut buffer)?;
        if count == 0 {
            break;
        }
        pushed = pushed.and_then(|()| decoder.push(&buffer[..count]));
    }
    let manifest = pushed.and_then(|()| decoder.finish());
    manifest.map_err(|(offset, problem)| reader.fail_at(start + offset, problem))
}

/// Which blobs a package has, and in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Blobs {
    scripts: Vec<ExpectedBlob>,
    /// Indexes of the manifest entries that are the first with their content.
    files: Vec<u32>,
}

impl Blobs {
    fn of(meta: &PackageMeta, manifest: &Manifest) -> Result<Self, ContentError> {
        let by_digest = ByDigest::of(manifest)?;
        let mut scripts: Vec<ExpectedBlob> = Vec::new();
        for (_, digest) in meta.scripts.iter() {
            if scripts.iter().all(|known| known.digest != digest) {
                scripts.push(by_digest.blob(digest));
            }
        }
        let is_script = |digest: &Digest| scripts.iter().any(|script| script.digest == *digest);
        for digest in &meta.license_files {
            if !is_script(digest) && by_digest.blob(*digest).first.is_none() {
                return Err(MetaError::NoSuchBlob { name: "license-file", digest: *digest }.into());
            }
        }
        let mut files: Vec<u32> = by_digest.firsts().collect();
        if !scripts.is_empty() {
            files.retain(|&index| file(manifest, index).is_some_and(|(digest, _)| !is_script(&digest)));
        }
        files.sort_unstable();
        Ok(Self { scripts, files })
    }

    fn len(&self) -> usize {
        self.scripts.len() + self.files.len()
    }

    fn nth(&self, manifest: &Manifest, index: usize) -> Option<ExpectedBlob> {
        if let Some(script) = self.scripts.get(index) {
            return Some(*script);
        }
        let first = *self.files.get(index - self.scripts.len())?;
        let (digest, size) = file(manifest, first)?;
        Some(ExpectedBlob { digest, size: Some(size), first: Some(first as usize) })
    }
}

/// The file entries of a manifest, sorted by digest and then by place.
struct ByDigest<'a> {
    manifest: &'a Manifest,
    files: Vec<FileEntry>,
}

/// The front of the digest stands beside the index, so that sorting seldom looks at the entries themselves.
#[derive(Clone, Copy)]
struct FileEntry {
    prefix: u64,
    index: u32,
}

impl<'a> ByDigest<'a> {
    fn of(manifest: &'a Manifest) -> Result<Self, ContentError> {
        // More than 2^32 entries do not fit into memory.
        let all = 0..manifest.entries().len() as u32;
        let mut files: Vec<FileEntry> = all
            .filter_map(|index| file(manifest, index).map(|(digest, _)| FileEntry { prefix: prefix(&digest), index }))
            .collect();
        let digest = |entry: &FileEntry| file(manifest, entry.index).map(|(digest, _)| digest);
        files.sort_unstable_by(|a, b| {
            let by_digest = a.prefix.cmp(&b.prefix).then_with(|| digest(a).cmp(&digest(b)));
            by_digest.then(a.index.cmp(&b.index))
        });
        let sorted = Self { manifest, files };
        sorted.check_sizes()?;
        Ok(sorted)
    }

    /// One content has one size, and all together a sum that can be written.
    fn check_sizes(&self) -> Result<(), ManifestError> {
        let mut total = 0u64;
        for group in self.groups() {
            let size = |entry: &FileEntry| file(self.manifest, entry.index).map_or(0, |(_, size)| size);
            let path = |entry: &FileEntry| self.manifest.entries()[entry.index as usize].path.clone();
            if let Some(other) = group.iter().find(|entry| size(entry) != size(&group[0])) {
                return Err(ManifestError::SizeConflict { path: path(other), first: path(&group[0]) });
            }
            total = total.checked_add(size(&group[0])).ok_or(ManifestError::TooManyBytes)?;
        }
        Ok(())
    }

    /// The entries of each content.
    fn groups(&self) -> impl Iterator<Item = &[FileEntry]> {
        self.files.chunk_by(|a, b| a.prefix == b.prefix && self.digest(*a) == self.digest(*b))
    }

    /// The first index of each content.
    fn firsts(&self) -> impl Iterator<Item = u32> {
        self.groups().map(|group| group[0].index)
    }

    fn digest(&self, entry: FileEntry) -> Option<Digest> {
        file(self.manifest, entry.index).map(|(digest, _)| digest)
    }

    fn blob(&self, digest: Digest) -> ExpectedBlob {
        let place = self.files.partition_point(|entry| self.digest(*entry).is_some_and(|other| other < digest));
        let first = self.files.get(place).and_then(|entry| Some((entry.index, file(self.manifest, entry.index)?)));
        match first {
            Some((index, (found, size))) if found == digest => {
                ExpectedBlob { digest, size: Some(size), first: Some(index as usize) }
            }
            _ => ExpectedBlob { digest, size: None, first: None },
        }
    }
}

fn prefix(digest: &Digest) -> u64 {
    digest.as_bytes()[..8].iter().fold(0, |prefix, &byte| prefix << 8 | u64::from(byte))
}

/// Digest and size of the file entry with this index.
fn file(manifest: &Manifest, index: u32) -> Option<(Digest, u64)> {
    match &manifest.entries().get(index as usize)?.kind {
        EntryKind::File { digest, size, .. } => Some((*digest, *size)),
        _ => None,
    }
}

/// What is wrong with metadata and manifest together.
enum ContentError {
    Meta(MetaError),
    Manifest(ManifestError),
}

impl From<MetaError> for ContentError {
    fn from(error: MetaError) -> Self {
        Self::Meta(error)
    }
}

impl From<ManifestError> for ContentError {
    fn from(error: ManifestError) -> Self {
        Self::Manifest(error)
    }
}

impl From<ContentError> for Error {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::Meta(error) => Self::Meta(error),
            ContentError::Manifest(error) => Self::Manifest(error),
        }
    }
}

impl From<ContentError> for Problem {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::Meta(error) => Self::Meta(error),
            ContentError::Manifest(error) => Self::Manifest(error),
        }
    }
}
