//! Reading packages to their ends, verifying them, and making their files.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use pkgformat::{BlobReader, EntryKind, Reader, ScriptKind};
use pkgfs::Root;
use pkgtypes::{Digest, Hasher};

use super::relay::{Giver, Message};
use super::writer::{self, Target, Writer};
use crate::Error;
use crate::brought::{Aside, Script};
use crate::originals::{self, Original};
use crate::request::{Content, Source};
use crate::stock::Stock;
use crate::tree::Packages;
use crate::unset::Missing;

/// Contents up to this size are read whole, verified, and then written.
const WHOLE: u64 = 1 << 20;
/// Larger ones come in pieces of this size.
const PIECE: usize = 256 << 10;

/// The files of a package by content.
pub(crate) type Targets<'a> = HashMap<Digest, Vec<Target<'a>>>;

/// A package whose turn has not come: its position, its content, and what is made of it.
pub(crate) type Waiting<'a, 'p> = ((usize, Content<'p>), Targets<'a>);

/// Files and bytes that travel together: enough that threads seldom meet, little enough for any memory.
const BATCH_FILES: usize = 64;
const BATCH_BYTES: usize = 512 << 10;
/// Pieces in flight.
const PIECES: usize = 8;

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

/// What one thread took aside of the packages that it read, and what it could not give to the files that it made; or its
/// error, if it is its own, and the position of the package that it is about.
pub(crate) type Outcome = Result<(Aside, Vec<Missing>), Option<(usize, Error)>>;

/// What several threads read and made: everything, or what went wrong first.
pub(crate) fn gather(outcomes: impl IntoIterator<Item = Outcome>) -> Result<(Aside, Vec<Missing>), Option<Error>> {
    let (mut aside, mut missing, mut failures, mut is_whole) = (Aside::default(), Vec::new(), Vec::new(), true);
    for outcome in outcomes {
        match outcome {
            Ok((more, lacking)) => {
                aside.scripts.extend(more.scripts);
                aside.originals.extend(more.originals);
                missing.extend(lacking);
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
    Ok((aside, missing))
}

/// One thread that reads packages and makes their files.
pub(crate) struct PackageReader<'r, 'a> {
    root: &'a Root,
    packages: Packages<'a>,
    writer: Writer<'a>,
    others: Giver<'r, 'a>,
    /// What is going to be given to the others, and how many bytes.
    batch: Vec<(Target<'a>, Arc<Vec<u8>>)>,
    bytes: usize,
    count: Count,
    aside: Aside,
    /// Room for contents, so that not each needs its own.
    room: Vec<u8>,
}

/// What was read of a package, and who is told.
struct Count {
    told: SyncSender<(usize, u64)>,
    read: u64,
}

impl Count {
    /// Takes note of so much that was read, and tells it when it is worth a word.
    fn add(&mut self, package: usize, bytes: u64) -> Result<(), Interruption> {
        self.read = self.read.saturating_add(bytes);
        if self.read >= WHOLE { self.tell(package) } else { Ok(()) }
    }

    fn tell(&mut self, package: usize) -> Result<(), Interruption> {
        self.told.send((package, std::mem::take(&mut self.read))).map_err(|_| Interruption::Others)
    }
}

impl<'r, 'a> PackageReader<'r, 'a> {
    /// One that tells the position of a package, and how many bytes more of it were read.
    pub(crate) fn new(
        root: &'a Root,
        packages: Packages<'a>,
        writer: Writer<'a>,
        others: Giver<'r, 'a>,
        told: SyncSender<(usize, u64)>,
    ) -> Self {
        let (count, aside) = (Count { told, read: 0 }, Aside::default());
        Self { root, packages, writer, others, batch: Vec::new(), bytes: 0, count, aside, room: Vec::new() }
    }

    /// Reads one package after another until none is left, and makes then what others read.
    pub(crate) fn run<'p>(mut self, queue: &Mutex<impl Iterator<Item = Waiting<'a, 'p>>>) -> Outcome {
        let read = self.read_all(queue);
        if read.is_err() {
            self.others.give_up();
        }
        let Self { mut writer, others, aside, count, .. } = self;
        // Who is told until nobody tells any more is not kept waiting.
        drop(count);
        let helped = others.help(|message| make(&mut writer, message));
        read?;
        // An error of reading a package says more.
        helped.map_err(|error| Some((usize::MAX, error)))?;
        Ok((aside, writer.into_missing()))
    }

    fn read_all<'p>(
        &mut self,
        queue: &Mutex<impl Iterator<Item = Waiting<'a, 'p>>>,
    ) -> Result<(), Option<(usize, Error)>> {
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some(((package, content), targets)) = next() {
            self.read(package, content, targets).map_err(|interruption| match interruption {
                Interruption::Others => None,
                Interruption::Own(error) => Some((package, error)),
            })?;
        }
        Ok(())
    }

    /// The content is let go when it was read: a decompressor holds some megabytes and threads.
    fn read(&mut self, package: usize, content: Content<'_>, targets: Targets<'a>) -> Result<(), Interruption> {
        match content {
            Content::Package(mut reader) => self.read_package(package, &mut reader, targets)?,
            Content::Stock(stock) => self.read_stock(package, &stock, targets)?,
        }
        self.pass()?;
        self.count.tell(package)
    }

    /// Makes files with this content, or lets others make them.
    fn write(&mut self, targets: Vec<Target<'a>>, content: &[u8]) -> Result<(), Interruption> {
        if self.others.is_to_stop() {
            return Err(Interruption::Others);
        }
        if !self.others.has_helpers() {
            return Ok(targets.iter().try_for_each(|target| self.writer.write(target, content))?);
        }
        let content = Arc::new(content.to_vec());
        for target in targets {
            self.bytes += content.len();
            self.batch.push((target, Arc::clone(&content)));
        }
        if self.batch.len() >= BATCH_FILES || self.bytes >= BATCH_BYTES { self.pass() } else { Ok(()) }
    }

    /// Hands over what was gathered, or makes it.
    fn pass(&mut self) -> Result<(), Interruption> {
        let mut batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        if batch.is_empty() || self.others.give(|| Message::Whole(std::mem::take(&mut batch))) {
            return Ok(());
        }
        Ok(make(&mut self.writer, Message::Whole(batch))?)
    }

    /// Makes files with the content of this size that comes piece by piece, or lets others make them.
    fn stream(
        &mut self,
        package: usize,
        mut targets: Vec<Target<'a>>,
        size: u64,
        mut content: impl Read,
        failed: impl Fn(io::Error) -> Interruption,
    ) -> Result<(), Interruption> {
        let Self { others, writer, count, .. } = self;
        let mut next = |piece: &mut Vec<u8>| {
            if others.is_to_stop() {
                return Err(Interruption::Others);
            }
            let is_there = fill(&mut content, piece).map_err(&failed)?;
            count.add(package, piece.len() as u64)?;
            Ok(is_there)
        };
        let (sender, receiver) = sync_channel(PIECES);
        if others.give(|| Message::Stream(std::mem::take(&mut targets), size, receiver)) {
            let mut piece = Vec::new();
            while next(&mut piece)? {
                sender.send(std::mem::take(&mut piece)).map_err(|_| Interruption::Others)?;
            }
            return Ok(());
        }
        writer.stream(&targets, size, next)
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
                let mut room = std::mem::take(&mut self.room);
                let content = read_into(blob, &mut room).map_err(malformed)?;
                if is_original {
                    self.aside.originals.push(Original { package, digest, content: content.to_vec() });
                }
                for (kind, digest) in kinds.iter().filter(|(_, known)| *known == digest) {
                    let content = content.to_vec();
                    self.aside.scripts.push(Script { package, kind: *kind, digest: *digest, content });
                }
                self.write(files, content)?;
                self.room = room;
                self.count.add(package, size)?;
            } else if !files.is_empty() {
                self.stream(package, files, size, blob, |error| malformed(error.into()))?;
            }
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
                self.write(files, &[])?;
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
                self.write(files, &whole)?;
                self.count.add(package, size)?;
            } else {
                self.stream(package, files, size, &mut content, failed)?;
                if !content.is(digest) {
                    return Err(spoilt());
                }
            }
        }
        Ok(())
    }
}

fn make<'a>(writer: &mut Writer<'a>, message: Message<'a>) -> Result<(), Error> {
    match message {
        Message::Whole(files) => files.iter().try_for_each(|(target, content)| writer.write(target, content)),
        Message::Stream(targets, size, pieces) => writer.stream(&targets, size, |piece| match pieces.recv() {
            Ok(next) => {
                *piece = next;
                Ok(true)
            }
            Err(_) => Ok(false),
        }),
    }
}

/// The whole content.
pub(crate) fn read_whole(blob: BlobReader<'_, Source<'_>>) -> pkgformat::Result<Vec<u8>> {
    let mut room = Vec::new();
    let length = read_into(blob, &mut room)?.len();
    room.truncate(length);
    Ok(room)
}

/// The whole content, in the place of others before it. What is there for it grows with what really comes, not with what
/// is claimed.
fn read_into<'r>(mut blob: BlobReader<'_, Source<'_>>, room: &'r mut Vec<u8>) -> pkgformat::Result<&'r [u8]> {
    let (size, mut length) = (usize::try_from(blob.size()).unwrap_or(usize::MAX), 0);
    while length < size {
        let end = size.min(length + WHOLE as usize);
        if room.len() < end {
            room.resize(end, 0);
        }
        match read_full(&mut blob, &mut room[length..end])? {
            0 => break,
            count => length += count,
        }
    }
    Ok(&room[..length])
}

/// Puts the next piece of a content in place of the last; whether there is one.
pub(crate) fn fill(content: &mut impl Read, piece: &mut Vec<u8>) -> io::Result<bool> {
    piece.resize(PIECE, 0);
    let length = read_full(content, piece)?;
    piece.truncate(length);
    Ok(length > 0)
}

/// Reads as many bytes as there is room for, fewer only at the end.
fn read_full(content: &mut impl Read, room: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < room.len() {
        match content.read(&mut room[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
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
