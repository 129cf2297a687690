//! A directory becomes a package.

mod content;
mod large;
mod sink;
mod survey;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use pkgformat::record::{self, Summary, SummaryBuilder};
use pkgformat::{Entry, EntryKind, Manifest, PackageMeta, PackageRecord, ScriptKind, Scripts, Use};
use pkgfs::{Batch, Durability, Error as DiskError, FileKind, Root, TempFile};
use pkgtypes::{Digest, Mode, PkgPath, Timestamp};

use self::content::{Contents, Piece, Written};
use self::sink::{FileSink, Nowhere, Sink, StreamSink};
use self::survey::{Found, Look, Traits};
use crate::{Error, Names, Progress, Result};

/// Who owns what is in the package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Owners {
    /// Root owns everything, whoever packs.
    #[default]
    Root,
    /// Owners are kept, by these names.
    Keep(Names),
}

/// How a directory becomes a package.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PackOptions {
    /// Who owns what.
    pub owners: Owners,
    /// Later times become this one.
    pub clamp_mtime: Option<Timestamp>,
    /// How many threads read; as many as there are processors. The package does not depend on it.
    pub threads: NonZeroUsize,
}

impl Default for PackOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { owners: Owners::Root, clamp_mtime: None, threads }
    }
}

/// Bytes that are copied at a time from the file in between.
const THROUGH: usize = 256 << 10;

/// A filter's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The entry goes into the package.
    Yes,
    /// It does not; of a folder, neither does anything in it.
    No,
}

type Filter<'a> = dyn FnMut(&mut Entry) -> Result<Keep, Box<dyn std::error::Error + Send + Sync>> + 'a;

/// Packs a directory.
///
/// Equal trees give equal bytes, whatever the machine, the order in which the file system lists names, and the number
/// of threads. A tree that changes meanwhile is an error, never a package with a wrong content.
///
/// ```
/// use pkgformat::PackageMeta;
/// use pkgfs::{Durability, Root};
/// use pkgtree::{PackOptions, Packer};
/// use pkgtypes::{Mode, PkgPath};
///
/// # let scratch = tempfile::tempdir()?;
/// # let directory = scratch.path();
/// let tree = Root::create(directory.join("tree"), Mode::from_raw(0o755))?;
/// tree.write_file(&PkgPath::new(*b"hello")?, Mode::from_raw(0o644), b"hello\n", Durability::Atomic)?;
///
/// let meta = PackageMeta::new("hello".parse()?, "1.0".parse()?, "1".parse()?, "any".parse()?);
/// let mut package = Vec::new();
/// let packed = Packer::new(&tree, meta, PackOptions::default()).write_to(&mut package)?;
/// assert_eq!(packed.record.manifest().entries().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Packer<'a> {
    tree: &'a Root,
    meta: PackageMeta,
    options: PackOptions,
    scripts: BTreeMap<ScriptKind, Vec<u8>>,
    added: Vec<Entry>,
    filter: Option<Box<Filter<'a>>>,
    progress: Option<&'a mut dyn Progress>,
}

impl fmt::Debug for Packer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer").field("tree", &self.tree).field("options", &self.options).finish_non_exhaustive()
    }
}

/// What was packed.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The first record: metadata and manifest.
    pub record: PackageRecord,
    /// The last record's numbers.
    pub summary: Summary,
    /// The package's length in bytes.
    pub bytes: u64,
}

impl<'a> Packer<'a> {
    /// Packs `tree` with these metadata. The installed size, the digests of scripts that are given, and those of files
    /// with [`Use::License`] are put into them.
    pub fn new(tree: &'a Root, meta: PackageMeta, options: PackOptions) -> Self {
        Self { tree, meta, options, scripts: BTreeMap::new(), added: Vec::new(), filter: None, progress: None }
    }

    /// Gives the package a script.
    #[must_use]
    pub fn script(mut self, kind: ScriptKind, content: Vec<u8>) -> Self {
        self.scripts.insert(kind, content);
        self
    }

    /// Gives the package an entry that is not in the tree: a device that the user could not make, a ghost, a folder of
    /// root's. It passes no filter.
    #[must_use]
    pub fn entry(mut self, entry: Entry) -> Self {
        self.added.push(entry);
        self
    }

    /// Asks `filter` about every entry that the tree has, in path order, before any file is opened: digests, ELF facts,
    /// attributes and the targets of links are not known yet. It may change owner, group, mode, time and uses, and add
    /// attributes, which count more than those that the file has. Whether a file is a further name of another one is
    /// found out afterwards.
    #[must_use]
    pub fn filter(
        mut self,
        filter: impl FnMut(&mut Entry) -> Result<Keep, Box<dyn std::error::Error + Send + Sync>> + 'a,
    ) -> Self {
        self.filter = Some(Box::new(filter));
        self
    }

    /// Tells `progress` how far it is.
    #[must_use]
    pub fn progress(mut self, progress: &'a mut dyn Progress) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Packs into a file of this name, which has the whole package or is not there.
    ///
    /// # Errors
    /// A tree that can not be read or changes; a disk that is full.
    pub fn create(self, root: &Root, path: &PkgPath, durability: Durability) -> Result<Packed> {
        let file = TempFile::new_for(root, path, Mode::from_raw(0o644))?;
        let packed = self.write_to_file(file.file()).map_err(|error| match error {
            Error::Output(error) => DiskError::new("write the file", root.path().join(path), error).into(),
            other => other,
        })?;
        file.persist(durability)?;
        Ok(packed)
    }

    /// Packs into an open file, from its first byte on. Every file of the tree is read once.
    ///
    /// # Errors
    /// As [`Packer::create`]; what the file holds then is no package.
    pub fn write_to_file(mut self, file: &File) -> Result<Packed> {
        file.set_len(0).map_err(Error::Output)?;
        let output = Arc::new(file.try_clone().map_err(Error::Output)?);
        let mut prepared = self.prepare()?;
        let (room, mut sink, written) = loop {
            self.begin(prepared.bytes());
            // Lengths do not depend on digests, so where the first blob goes is known before any content is.
            let room = record::package_len(&prepared.meta, &prepared.manifest).map_err(pkgformat::Error::from)?;
            let mut sink = FileSink::new(Arc::clone(&output), room);
            let mut written = self.write_blobs(&mut sink, &prepared.pieces())?;
            if written.surprises.is_empty() {
                break (room, sink, written);
            }
            // Rare: a file that did not look like it has attributes or is ELF, so the room is too small.
            prepared.learn(std::mem::take(&mut written.surprises))?;
        };
        prepared.check_folders(self.tree)?;
        let (record, _) = prepared.into_record(&written.digests)?;
        assert_eq!(record.encoded_len(), room, "a digest's length is always the same");
        FileSink::new(output, 0).write(&record.encode())?;
        let packed = finish(&mut sink, record, &written)?;
        Ok(packed)
    }

    /// Packs into anything that takes bytes. Every file of the tree is read twice, because a stream can not be gone
    /// back in: first for the digests, then to be copied, and it must be the same then.
    ///
    /// # Errors
    /// A tree that can not be read or changes; a writer that fails. What was written then is no package.
    pub fn write_to(mut self, output: impl Write) -> Result<Packed> {
        let mut prepared = self.prepare()?;
        self.begin(prepared.bytes().saturating_mul(2));
        let Written { digests, surprises, .. } = self.write_blobs(&mut Nowhere, &prepared.pieces())?;
        prepared.learn(surprises)?;
        prepared.check_folders(self.tree)?;
        let (record, looks) = prepared.into_record(&digests)?;
        let mut sink = StreamSink(output);
        sink.write(&record.encode())?;
        let written = self.write_blobs(&mut sink, &first_uses(&record, &looks))?;
        let packed = finish(&mut sink, record, &written)?;
        sink.0.flush().map_err(Error::Output)?;
        Ok(packed)
    }

    /// Packs into anything that takes bytes, through a file in between that nobody else may change: so every file of the
    /// tree is read and hashed once, which takes less time than [`Packer::write_to`] and as much space as the package.
    ///
    /// # Errors
    /// As [`Packer::write_to`]; a disk without room for the file.
    pub fn write_through(self, between: &File, mut output: impl Write) -> Result<Packed> {
        let packed = self.write_to_file(between)?;
        let mut buffer = vec![0; THROUGH];
        let mut position = 0;
        while position < packed.bytes {
            let length = usize::try_from(packed.bytes - position).map_or(THROUGH, |left| left.min(THROUGH));
            between.read_exact_at(&mut buffer[..length], position).map_err(Error::Output)?;
            output.write_all(&buffer[..length]).map_err(Error::Output)?;
            position += length as u64;
        }
        output.flush().map_err(Error::Output)?;
        Ok(packed)
    }

    fn begin(&mut self, bytes: u64) {
        if let Some(progress) = &mut self.progress {
            progress.begin(bytes);
        }
    }

    /// Reads and writes everything between the package record and the summary.
    fn write_blobs(&mut self, sink: &mut impl Sink, pieces: &[Piece<'_>]) -> Result<Written> {
        let mut silent = ();
        let progress = self.progress.as_deref_mut().unwrap_or(&mut silent);
        let mut contents = Contents::new(self.tree, sink, progress);
        // A map of scripts is in the order of their blobs.
        self.scripts.values().try_for_each(|script| contents.write_bytes(script))?;
        contents.write_all(pieces, self.options.threads)
    }

    /// Looks at the tree, and says everything of the package but the digests of its files.
    fn prepare(&mut self) -> Result<Prepared> {
        let mut found = survey::walk(self.tree, &self.options)?;
        if let Some(filter) = &mut self.filter {
            found = survey::apply_filter(found, filter)?;
        }
        survey::link_further_names(&mut found);
        survey::examine(self.tree, &mut found, self.options.threads)?;
        for entry in std::mem::take(&mut self.added) {
            if is_file(&entry) {
                return Err(Error::AddedFile { path: entry.path });
            }
            found.push(Found { entry, look: None });
        }
        found.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
        let (entries, looks): (Vec<Entry>, _) = found.into_iter().map(|found| (found.entry, found.look)).unzip();
        let manifest = Manifest::new(entries).map_err(pkgformat::Error::from)?;
        let mut prepared = Prepared { meta: self.meta.clone(), manifest, looks };
        prepared.meta.installed_size = Some(prepared.bytes());
        self.name_scripts(&mut prepared.meta);
        self.name_licenses(&mut prepared)?;
        Ok(prepared)
    }

    fn name_scripts(&self, meta: &mut PackageMeta) {
        let digest = |kind| self.scripts.get(&kind).map(Digest::of);
        meta.scripts = Scripts {
            pre_install: digest(ScriptKind::PreInstall),
            post_install: digest(ScriptKind::PostInstall),
            pre_remove: digest(ScriptKind::PreRemove),
            post_remove: digest(ScriptKind::PostRemove),
        };
    }

    /// Licence files are read ahead: how many distinct ones there are counts for the length of the package record.
    fn name_licenses(&self, prepared: &mut Prepared) -> Result<()> {
        let mut digests = Vec::new();
        for (entry, piece) in prepared.files() {
            if entry.uses.contains(&Use::License) {
                let place = self.tree.at(piece.path)?;
                digests.push(large::copy(
                    &piece.open(self.tree, &place)?,
                    piece.look.stat.size,
                    &mut Nowhere,
                    &mut (),
                )?);
            }
        }
        prepared.meta.license_files.extend(digests);
        prepared.meta.license_files.sort_unstable();
        prepared.meta.license_files.dedup();
        Ok(())
    }
}

/// A package of which everything is known but the content of its files.
struct Prepared {
    meta: PackageMeta,
    manifest: Manifest,
    /// What was seen at each entry.
    looks: Vec<Option<Look>>,
}

impl Prepared {
    fn files(&self) -> impl Iterator<Item = (&Entry, Piece<'_>)> {
        let entries = self.manifest.entries().iter().zip(&self.looks);
        let files = entries.filter(|(entry, _)| is_file(entry));
        files.filter_map(|(entry, look)| {
            let piece = Piece { path: &entry.path, look: look.as_ref()?, expected: None };
            Some((entry, piece))
        })
    }

    fn pieces(&self) -> Vec<Piece<'_>> {
        self.files().map(|(_, piece)| piece).collect()
    }

    fn bytes(&self) -> u64 {
        self.files().fold(0, |sum, (_, piece)| sum.saturating_add(piece.look.stat.size))
    }

    /// That no folder got or lost a name since it was looked at.
    fn check_folders(&self, tree: &Root) -> Result<()> {
        let mut batch = Batch::new(tree);
        for (entry, look) in self.manifest.entries().iter().zip(&self.looks) {
            let stat = look.as_ref().map(|look| &look.stat);
            let Some(before) = stat.filter(|stat| stat.kind == FileKind::Dir) else { continue };
            let now = batch.at(&entry.path)?.stat()?;
            if !now.is_some_and(|now| before.is_unchanged(&now)) {
                return Err(Error::Changed { path: entry.path.clone() });
            }
        }
        Ok(())
    }

    /// Puts in what was not known of files before they were read.
    fn learn(&mut self, surprises: Vec<(usize, Traits)>) -> Result<()> {
        let mut surprises = surprises.into_iter().peekable();
        let mut entries = std::mem::take(&mut self.manifest).into_entries();
        let files = entries.iter_mut().zip(&mut self.looks).filter(|(entry, _)| is_file(entry));
        for (index, (entry, look)) in files.enumerate() {
            if let Some(look) = look {
                look.is_examined = true;
            }
            if let Some((_, traits)) = surprises.next_if(|(piece, _)| *piece == index) {
                traits.apply(entry);
            }
        }
        self.manifest = Manifest::new(entries).map_err(pkgformat::Error::from)?;
        Ok(())
    }

    /// Puts in the digests of the files, in their order.
    fn into_record(self, digests: &[Digest]) -> Result<(PackageRecord, Vec<Option<Look>>)> {
        let mut digests = digests.iter();
        let mut entries = self.manifest.into_entries();
        for entry in &mut entries {
            if let EntryKind::File { digest, .. } = &mut entry.kind {
                *digest = *digests.next().expect("every file of the manifest was read");
            }
        }
        let manifest = Manifest::new(entries).map_err(pkgformat::Error::from)?;
        Ok((PackageRecord::new(self.meta, manifest)?, self.looks))
    }
}

fn is_file(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::File { .. })
}

/// The files whose contents follow the scripts, each content once.
fn first_uses<'a>(record: &'a PackageRecord, looks: &'a [Option<Look>]) -> Vec<Piece<'a>> {
    let scripts: Vec<Digest> = record.meta().scripts.iter().map(|(_, digest)| digest).collect();
    let files = record.blobs().filter(|blob| !scripts.contains(&blob.digest));
    let pieces = files.filter_map(|blob| {
        let index = blob.first?;
        let path = &record.manifest().entries()[index].path;
        Some(Piece { path, look: looks[index].as_ref()?, expected: Some(blob.digest) })
    });
    pieces.collect()
}

/// Writes the summary. Its checksum begins with the package record, which is known last.
fn finish(sink: &mut impl Sink, record: PackageRecord, written: &Written) -> Result<Packed> {
    let mut summary = SummaryBuilder::new();
    summary.record(&record.digests());
    let mut bytes = record.encoded_len();
    for (digests, size) in &written.blobs {
        let length = record::blob_len(*size).filter(|_| summary.blob(digests, *size));
        bytes = length.and_then(|length| bytes.checked_add(length)).ok_or(Error::TooLarge)?;
    }
    let summary = summary.finish(record.manifest().entries().len() as u64);
    let last = summary.encode();
    sink.write(&last)?;
    bytes += last.len() as u64;
    Ok(Packed { record, summary, bytes })
}
