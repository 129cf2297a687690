//! Reading packages to their ends and verifying them, for the threads that make the files.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, PoisonError};

use pkgformat::{BlobReader, EntryKind, Reader, ScriptKind};
use pkgfs::Root;
use pkgtypes::{Digest, Hasher};

use super::writer::{self, Failed, Feeder, Target};
use crate::Error;
use crate::brought::{Aside, Script};
use crate::originals::{self, Original};
use crate::request::{Content, Source};
use crate::stock::Stock;
use crate::tree::Packages;

/// Contents up to this size are read whole, verified, and then written.
const WHOLE: u64 = 1 << 20;
/// Larger ones come in pieces of this size.
const PIECE: usize = 256 << 10;

/// The files of a package by content.
pub(crate) type Targets<'a> = HashMap<Digest, Vec<Target<'a>>>;

/// A package whose turn has not come: its position, its content, and what is made of it.
pub(crate) type Waiting<'a, 'p> = ((usize, Content<'p>), Targets<'a>);

/// How many of `packages` are read at the same time. Who decompresses them with threads has so many times these.
pub fn readers(packages: usize) -> usize {
    writer::threads().min(packages)
}

/// Why reading ended early.
enum Interruption {
    /// Somebody else gave up, and knows why.
    Others,
    Own(Error),
}

impl From<Error> for Interruption {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

impl From<Failed> for Interruption {
    fn from(_: Failed) -> Self {
        Self::Others
    }
}

/// What one thread took aside of the packages that it read; or its error, if it is its own, and the position of the package that
/// it is about.
pub(crate) type Outcome = Result<Aside, Option<(usize, Error)>>;

/// What several threads read: everything, or what went wrong, if that is known here.
pub(crate) fn gather(outcomes: impl IntoIterator<Item = Outcome>) -> Result<Aside, Option<Error>> {
    let (mut aside, mut failures, mut is_whole) = (Aside::default(), Vec::new(), true);
    for outcome in outcomes {
        match outcome {
            Ok(more) => {
                aside.scripts.extend(more.scripts);
                aside.originals.extend(more.originals);
            }
            Err(failure) => {
                is_whole = false;
                failures.extend(failure);
            }
        }
    }
    if !is_whole {
        return Err(failures.into_iter().min_by_key(|(package, _)| *package).map(|(_, error)| error));
    }
    // As if one thread had read them.
    aside.scripts.sort_by_key(|script| script.package);
    Ok(aside)
}

/// One thread that reads packages.
pub(crate) struct PackageReader<'a> {
    root: &'a Root,
    packages: Packages<'a>,
    writers: Feeder<'a>,
    /// Is told the position of a package, and how many bytes more of it were read.
    told: SyncSender<(usize, u64)>,
    aside: Aside,
}

impl<'a> PackageReader<'a> {
    pub(crate) fn new(
        root: &'a Root,
        packages: Packages<'a>,
        writers: Feeder<'a>,
        told: SyncSender<(usize, u64)>,
    ) -> Self {
        Self { root, packages, writers, told, aside: Aside::default() }
    }

    /// Reads one package after another until none is left.
    pub(crate) fn run<'p>(mut self, queue: &Mutex<impl Iterator<Item = Waiting<'a, 'p>>>) -> Outcome {
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some(((package, content), targets)) = next() {
            self.read(package, content, targets).map_err(|interruption| match interruption {
                Interruption::Others => None,
                Interruption::Own(error) => {
                    self.writers.give_up();
                    Some((package, error))
                }
            })?;
        }
        self.writers.pass().map_err(|Failed| None)?;
        Ok(self.aside)
    }

    /// The content is let go when it was read: a decompressor holds some megabytes and threads.
    fn read(&mut self, package: usize, content: Content<'_>, targets: Targets<'a>) -> Result<(), Interruption> {
        match content {
            Content::Package(mut reader) => self.read_package(package, &mut reader, targets),
            Content::Stock(stock) => self.read_stock(package, &stock, targets),
        }
    }

    fn tell(&self, package: usize, size: u64) -> Result<(), Interruption> {
        self.told.send((package, size)).map_err(|_| Interruption::Others)
    }

    fn read_package(
        &mut self,
        package: usize,
        reader: &mut Reader<Source<'_>>,
        mut targets: Targets<'a>,
    ) -> Result<(), Interruption> {
        let record = &self.packages.incoming[package].record;
        let (meta, (originals, _)) = (record.meta(), originals::of(record));
        let malformed = |source| Interruption::Own(Error::Package { package: meta.name.clone(), source });
        let kinds: Vec<(ScriptKind, Digest)> = meta.scripts.iter().collect();
        while let Some(blob) = reader.next_blob().map_err(malformed)? {
            let (digest, size) = (blob.digest(), blob.size());
            let files = targets.remove(&digest).unwrap_or_default();
            let is_script = kinds.iter().any(|(_, known)| *known == digest);
            let is_original = originals.contains(&digest);
            if is_script || is_original || (!files.is_empty() && size <= WHOLE) {
                let content = read_whole(blob).map_err(malformed)?;
                if is_original {
                    self.aside.originals.push(Original { package, digest, content: content.clone() });
                }
                for (kind, digest) in kinds.iter().filter(|(_, known)| *known == digest) {
                    self.aside.scripts.push(Script { package, kind: *kind, digest: *digest, content: content.clone() });
                }
                self.writers.write(files.into_iter(), content)?;
            } else if !files.is_empty() {
                let pieces = self.writers.stream(files, size)?;
                let failed = |error: io::Error| malformed(error.into());
                read_pieces(blob, |piece| pieces.send(piece).map_err(|_| Interruption::Others), failed)?;
            }
            self.tell(package, size)?;
        }
        Ok(())
    }

    /// Reads what is staged of a package that comes back, and verifies it.
    fn read_stock(&mut self, package: usize, stock: &Stock, targets: Targets<'a>) -> Result<(), Interruption> {
        let meta = self.packages.incoming[package].record.meta();
        for (kind, digest) in meta.scripts.iter() {
            let content = stock.scripts.get(&digest).cloned();
            let content = content.ok_or_else(|| Error::Spoilt { package: meta.name.clone(), digest })?;
            self.aside.scripts.push(Script { package, kind, digest, content });
        }
        let mut targets: Vec<(Digest, Vec<Target<'a>>)> = targets.into_iter().collect();
        targets.sort_by(|(_, a), (_, b)| a[0].path.cmp(&b[0].path));
        for (digest, files) in targets {
            let EntryKind::File { size, .. } = files[0].entry.kind else { continue };
            if size == 0 {
                self.writers.write(files.into_iter(), Vec::new())?;
                continue;
            }
            let mut content = Checking::new(stock.open(self.root, &meta.name, digest)?, size);
            let spoilt = || Interruption::Own(Error::Spoilt { package: meta.name.clone(), digest });
            let failed =
                |error| Interruption::Own(pkgfs::Error::new("read a kept content of", self.root.path(), error).into());
            if size <= WHOLE {
                let mut whole = Vec::new();
                content.read_to_end(&mut whole).map_err(failed)?;
                if !content.is(digest) {
                    return Err(spoilt());
                }
                self.writers.write(files.into_iter(), whole)?;
            } else {
                let pieces = self.writers.stream(files, size)?;
                read_pieces(&mut content, |piece| pieces.send(piece).map_err(|_| Interruption::Others), failed)?;
                if !content.is(digest) {
                    return Err(spoilt());
                }
            }
            self.tell(package, size)?;
        }
        Ok(())
    }
}

/// Its buffer grows with what really comes, not with what is claimed.
pub(crate) fn read_whole(mut blob: BlobReader<'_, Source<'_>>) -> pkgformat::Result<Vec<u8>> {
    let capacity = usize::try_from(blob.size().min(WHOLE)).unwrap_or(0);
    let mut content = Vec::with_capacity(capacity);
    blob.read_to_end(&mut content)?;
    Ok(content)
}

fn read_pieces<E>(
    mut content: impl Read,
    mut take: impl FnMut(Vec<u8>) -> Result<(), E>,
    failed: impl Fn(io::Error) -> E,
) -> Result<(), E> {
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        content.by_ref().take(PIECE as u64).read_to_end(&mut piece).map_err(&failed)?;
        if piece.is_empty() {
            return Ok(());
        }
        take(piece)?;
    }
}

/// A content that is held against its digest while it is read; never more of it than was promised.
struct Checking {
    file: io::Take<Box<dyn Read>>,
    hasher: Hasher,
}

impl Checking {
    fn new(file: Box<dyn Read>, size: u64) -> Self {
        Self { file: file.take(size), hasher: Hasher::new() }
    }

    fn is(self, digest: Digest) -> bool {
        self.hasher.finish() == digest
    }
}

impl Read for Checking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        Ok(length)
    }
}
