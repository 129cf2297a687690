use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use codec::{Bounds, Decoder, Format, Position, ReadAt, SeekTable, SeekableReader};
use pkgformat::{BlobReader, Limits, PackageRecord, Reader, SeekReader};
use pkgtypes::Digest;

use crate::{Error, Result};

/// A package in anything that can be read at any place, whatever it is compressed with.
///
/// Opening it reads the package record and the heads of scripts; of a seekable zstd file, the frames of these and the
/// table. In a file that is compressed otherwise, what comes before a content is decompressed to find it; so it is where
/// the seek table is damaged.
///
/// What comes out was checked: the record against its checksums, each content against the record. Whether the record is
/// to be trusted is for others to say.
pub struct PackageFile<S: ReadAt> {
    source: Arc<S>,
    limits: Limits,
    bounds: Bounds,
    access: Access<S>,
}

enum Access<S: ReadAt> {
    Random(Random<S>),
    Stream(Stream<S>),
}

/// A package of which each content has a known place.
pub(crate) struct Random<S: ReadAt> {
    pub(crate) reader: Box<SeekReader<Content<S>>>,
    /// Of a file that is not compressed, none.
    table: Option<SeekTable>,
}

/// A package that is read front to back.
struct Stream<S: ReadAt> {
    reader: Box<Reader<Decoder<Position<Arc<S>>>>>,
    /// How many contents were begun.
    begun: usize,
}

impl<S: ReadAt> fmt::Debug for PackageFile<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackageFile").field("id", &self.record().id()).finish_non_exhaustive()
    }
}

impl<S: ReadAt> PackageFile<S> {
    /// Reads the package record.
    ///
    /// # Errors
    /// No package, or a damaged one; the source fails; more content than `bounds` accept.
    pub fn open(source: S, limits: Limits, bounds: Bounds) -> Result<Self> {
        let source = Arc::new(source);
        let access = match Random::open(&source, limits, bounds)? {
            Some(random) => Access::Random(random),
            None => Access::Stream(Stream::open(&source, limits, bounds)?),
        };
        Ok(Self { source, limits, bounds, access })
    }

    /// The package record.
    pub fn record(&self) -> &PackageRecord {
        match &self.access {
            Access::Random(random) => random.reader.package(),
            Access::Stream(stream) => stream.reader.package(),
        }
    }

    /// What is read.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Whether a content is found without reading what comes before it.
    pub fn is_random(&self) -> bool {
        self.random().is_some()
    }

    /// The content with this digest.
    ///
    /// # Errors
    /// No such content in the package; another one in its place; the source fails.
    pub fn blob(&mut self, digest: &Digest) -> Result<Blob<'_, S>> {
        let stream = match &mut self.access {
            Access::Random(random) => return Ok(Blob(Origin::Random(random.reader.blob(digest)?))),
            Access::Stream(stream) => stream,
        };
        let missing = pkgformat::Error::NoSuchBlob(*digest);
        let Some(index) = stream.reader.package().blobs().position(|blob| blob.digest == *digest) else {
            return Err(missing.into());
        };
        if index < stream.begun {
            *stream = Stream::open(&self.source, self.limits, self.bounds)?;
        }
        while stream.begun < index {
            stream.reader.next_blob()?;
            stream.begun += 1;
        }
        stream.begun += 1;
        let blob = stream.reader.next_blob()?.ok_or(missing)?;
        Ok(Blob(Origin::Stream(blob)))
    }

    /// How long the content with this digest is, where that is known without reading it.
    pub(crate) fn size_of(&self, digest: &Digest) -> Option<u64> {
        self.random()?.reader.find(digest).map(|place| place.size)
    }

    pub(crate) fn random(&self) -> Option<&Random<S>> {
        match &self.access {
            Access::Random(random) => Some(random),
            Access::Stream(_) => None,
        }
    }
}

impl<S: ReadAt> Random<S> {
    /// `None` where the file is to be read front to back.
    fn open(source: &Arc<S>, limits: Limits, bounds: Bounds) -> Result<Option<Self>> {
        let mut head = Vec::with_capacity(Format::MAGIC_LEN);
        let beginning = Position::new(Arc::clone(source)).take(Format::MAGIC_LEN as u64);
        io::BufReader::with_capacity(Format::MAGIC_LEN, beginning).read_to_end(&mut head).map_err(Error::Source)?;
        let (content, table) = match Format::sniff(&head) {
            Format::Plain => (Content::Plain(Position::new(Arc::clone(source))), None),
            Format::Zstd => {
                let Some(table) = table(source).map_err(Error::Source)? else { return Ok(None) };
                let reader = SeekableReader::with_table(Arc::clone(source), table.clone(), bounds);
                (Content::Seekable(Box::new(reader.map_err(Error::Source)?)), Some(table))
            }
            _ => return Ok(None),
        };
        Ok(Some(Self { reader: Box::new(SeekReader::open(content, limits)?), table }))
    }

    /// Where a part of the content stands in the file.
    pub(crate) fn packed(&self, part: Range<u64>) -> Vec<Range<u64>> {
        match &self.table {
            None => vec![part],
            Some(table) => table.frames_of(part).map(|frame| frame.packed).collect(),
        }
    }

    /// Where the seek table begins.
    pub(crate) fn table_at(&self) -> Option<u64> {
        self.table.as_ref().map(SeekTable::packed_len)
    }
}

/// The seek table, unless it is wrong: the file may still be read front to back.
fn table(source: &impl ReadAt) -> io::Result<Option<SeekTable>> {
    SeekTable::read(source).or_else(|error| {
        let is_wrong = error.get_ref().and_then(|inner| inner.downcast_ref::<codec::Error>()).is_some();
        if is_wrong { Ok(None) } else { Err(error) }
    })
}

impl<S: ReadAt> Stream<S> {
    fn open(source: &Arc<S>, limits: Limits, bounds: Bounds) -> Result<Self> {
        let decoder = Decoder::new(Position::new(Arc::clone(source)), bounds).map_err(Error::Source)?;
        Ok(Self { reader: Box::new(Reader::open(decoder, limits)?), begun: 0 })
    }
}

/// A package's bytes, decompressed.
pub(crate) enum Content<S> {
    Plain(Position<Arc<S>>),
    Seekable(Box<SeekableReader<Arc<S>>>),
}

impl<S: ReadAt> Read for Content<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(buffer),
            Self::Seekable(source) => source.read(buffer),
        }
    }
}

impl<S: ReadAt> Seek for Content<S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Plain(source) => source.seek(to),
            Self::Seekable(source) => source.seek(to),
        }
    }
}

/// One content of a package, read like a file.
///
/// It is held against its digest before its last byte is handed out, as by [`BlobReader`]; the bytes before are not to
/// be trusted until then.
pub struct Blob<'a, S: ReadAt>(Origin<'a, S>);

enum Origin<'a, S: ReadAt> {
    Random(BlobReader<'a, Content<S>>),
    Stream(BlobReader<'a, Decoder<Position<Arc<S>>>>),
}

impl<S: ReadAt> fmt::Debug for Blob<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob").field("digest", &self.digest()).field("size", &self.size()).finish()
    }
}

impl<S: ReadAt> Blob<'_, S> {
    /// Its digest.
    pub fn digest(&self) -> Digest {
        match &self.0 {
            Origin::Random(blob) => blob.digest(),
            Origin::Stream(blob) => blob.digest(),
        }
    }

    /// Its size; of a script, a claim until everything was read.
    pub fn size(&self) -> u64 {
        match &self.0 {
            Origin::Random(blob) => blob.size(),
            Origin::Stream(blob) => blob.size(),
        }
    }
}

impl<S: ReadAt> Read for Blob<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Origin::Random(blob) => blob.read(buffer),
            Origin::Stream(blob) => blob.read(buffer),
        }
    }
}
