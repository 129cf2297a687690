//! Contents: as rows, and as streams.

use std::io::{self, Read, Write};

use codec::{Bounds, Decoder, Encoder, EncoderOptions, Format};
use pkgtypes::{Digest, Hasher};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::ZpkgProblem;
use super::connection::Guarded;
use crate::column::digest_column;

/// The length of a row's content, but for the last one's: 1 MiB.
pub(super) const PART: usize = 1 << 20;
/// What is read at once.
const CHUNK: usize = 64 << 10;

/// How a blob is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    /// As it is.
    Plain,
    /// As one zstd stream.
    Zstd {
        /// 1 to 22.
        level: u32,
    },
}

impl Storage {
    fn word(self) -> &'static str {
        match self {
            Self::Plain => "none",
            Self::Zstd { .. } => "zstd",
        }
    }
}

/// A blob of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The digest of its content.
    pub digest: Digest,
    /// The size of its content.
    pub size: u64,
    /// Whether it is stored compressed.
    pub compressed: bool,
    /// Bytes that it takes in the file.
    pub stored: u64,
}

/// A blob's place in the tables.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) id: i64,
    pub(super) blob: Blob,
    /// How many rows of `blobparts` it has.
    pub(super) parts: u64,
}

const STORED: &str = "SELECT blobs.id, hash, size, compression, length(blobs.content),
        (SELECT count(*) FROM blobparts WHERE blob = blobs.id),
        (SELECT ifnull(sum(length(blobparts.content)), 0) FROM blobparts WHERE blob = blobs.id)
    FROM blobs";

impl Stored {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let compressed = row.get_ref(3)?.as_str()? == "zstd";
        let (first, rest): (u64, u64) = (row.get(4)?, row.get(6)?);
        let blob =
            Blob { digest: digest_column(row, 1)?, size: row.get(2)?, compressed, stored: first.saturating_add(rest) };
        Ok(Self { id: row.get(0)?, blob, parts: row.get(5)? })
    }

    /// Rows are full but for the last one, a content that is stored as it is has the size that is said of it.
    fn check(self) -> Result<Self, ZpkgProblem> {
        let Blob { digest, size, compressed, stored } = self.blob;
        let rows = stored.div_ceil(PART as u64).saturating_sub(1);
        let fits = self.parts == rows && (compressed || stored == size) && i64::try_from(stored).is_ok();
        match fits {
            true => Ok(self),
            false => Err(ZpkgProblem::Damaged(format!("blob {digest} does not have the rows that it must have"))),
        }
    }
}

/// All blobs, sorted by digest.
pub(super) fn list(guarded: &Guarded) -> Result<Vec<Stored>, ZpkgProblem> {
    let rows = guarded.ask("list the blobs", |conn| {
        let mut statement = conn.prepare_cached(&format!("{STORED} ORDER BY hash"))?;
        statement.query_map([], Stored::from_row)?.collect::<rusqlite::Result<Vec<_>>>()
    })?;
    rows.into_iter().map(Stored::check).collect()
}

/// The blob of this digest.
pub(super) fn find(guarded: &Guarded, digest: &Digest) -> Result<Stored, ZpkgProblem> {
    let found = guarded.ask("look up a blob", |conn| {
        let mut statement = conn.prepare_cached(&format!("{STORED} WHERE hash = ?"))?;
        statement.query_row([digest.as_bytes()], Stored::from_row).optional()
    })?;
    found.ok_or(ZpkgProblem::NoBlob(*digest))?.check()
}

/// The content of a blob. It is held against its digest before its last byte is handed out, so whoever has read
/// everything has what the digest promises.
#[derive(Debug)]
pub struct BlobContent<'a> {
    digest: Digest,
    size: u64,
    given: u64,
    hasher: Option<Hasher>,
    bytes: Bytes<'a>,
    /// One read ahead, so that the last bytes are only handed out when they are known to be the last and right.
    ahead: Vec<u8>,
    /// How many of these were handed out.
    used: usize,
    failed: bool,
}

#[derive(Debug)]
enum Bytes<'a> {
    Plain(Rows<'a>),
    Zstd(Box<Decoder<Rows<'a>>>),
}

impl<'a> BlobContent<'a> {
    pub(super) fn new(guarded: &'a Guarded, stored: &Stored) -> Result<Self, ZpkgProblem> {
        let Blob { digest, size, compressed, .. } = stored.blob;
        let rows = Rows { guarded, id: stored.id, next: 0, parts: stored.parts, part: Vec::new(), used: 0 };
        let failed = |source| ZpkgProblem::Content { digest, source };
        let bytes = match compressed {
            false => Bytes::Plain(rows),
            true => {
                let decoder = Decoder::new(rows, bounds(size)).map_err(failed)?;
                if decoder.format() != Format::Zstd {
                    return Err(ZpkgProblem::Damaged(format!("blob {digest} is not compressed with zstd")));
                }
                Bytes::Zstd(Box::new(decoder))
            }
        };
        let mut content = Self {
            digest,
            size,
            given: 0,
            hasher: Some(Hasher::new()),
            bytes,
            ahead: Vec::new(),
            used: 0,
            failed: false,
        };
        content.ahead = content.fetch().map_err(|error| own(error, failed))?;
        Ok(content)
    }

    /// The digest of the content.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The size of the content; a claim until everything has been read.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Some more bytes; none at the end, when everything was right.
    fn fetch(&mut self) -> io::Result<Vec<u8>> {
        let left = self.size.saturating_sub(self.given);
        // One byte more shows whether the content is longer than is said.
        let wanted = left.saturating_add(1).min(CHUNK as u64);
        let mut chunk = Vec::new();
        match &mut self.bytes {
            Bytes::Plain(rows) => rows.take(wanted).read_to_end(&mut chunk)?,
            Bytes::Zstd(decoder) => decoder.take(wanted).read_to_end(&mut chunk)?,
        };
        self.given += chunk.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&chunk);
        }
        if self.given > self.size || (self.given < self.size && (chunk.len() as u64) < wanted) {
            return Err(wrong(ZpkgProblem::Damaged(format!(
                "blob {} has not the size that it must have",
                self.digest
            ))));
        }
        if self.given == self.size
            && let Some(hasher) = self.hasher.take()
        {
            self.expect_end()?;
            let found = hasher.finish();
            if found != self.digest {
                return Err(wrong(ZpkgProblem::WrongContent { digest: self.digest, found }));
            }
        }
        Ok(chunk)
    }

    /// A compressed stream is checked at its end, and nothing follows it.
    fn expect_end(&mut self) -> io::Result<()> {
        let more = match &mut self.bytes {
            Bytes::Plain(rows) => rows.read(&mut [0])?,
            Bytes::Zstd(decoder) => decoder.read(&mut [0])?,
        };
        match more {
            0 => Ok(()),
            _ => Err(wrong(ZpkgProblem::Damaged(format!("blob {} has not the size that it must have", self.digest)))),
        }
    }
}

impl Read for BlobContent<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(io::Error::other("reading the blob failed before"));
        }
        let count = buffer.len().min(self.ahead.len() - self.used);
        buffer[..count].copy_from_slice(&self.ahead[self.used..self.used + count]);
        self.used += count;
        if self.used == self.ahead.len() && self.hasher.is_some() {
            self.failed = true;
            (self.ahead, self.used) = (self.fetch()?, 0);
            self.failed = false;
        }
        Ok(count)
    }
}

fn wrong(problem: ZpkgProblem) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

/// What a blob of this size may unpack to.
fn bounds(size: u64) -> Bounds {
    Bounds { bytes: size.saturating_add(1), ..Bounds::default() }
}

/// The stored bytes of a blob, row by row.
#[derive(Debug)]
struct Rows<'a> {
    guarded: &'a Guarded,
    id: i64,
    next: u64,
    parts: u64,
    part: Vec<u8>,
    used: usize,
}

impl Rows<'_> {
    fn load(&mut self) -> Result<(), ZpkgProblem> {
        let Self { guarded, id, next, .. } = *self;
        let part = guarded.ask("read a blob", |conn| {
            if next == 0 {
                let mut statement = conn.prepare_cached("SELECT content FROM blobs WHERE id = ?")?;
                return statement.query_row([id], |row| row.get(0));
            }
            let mut statement = conn.prepare_cached("SELECT content FROM blobparts WHERE blob = ? AND part = ?")?;
            statement.query_row((id, next), |row| row.get(0))
        });
        self.part = match part {
            Err(ZpkgProblem::Sqlite { source: rusqlite::Error::QueryReturnedNoRows, .. }) => {
                return Err(ZpkgProblem::Damaged(format!("a row of a blob is missing, number {next}")));
            }
            part => part?,
        };
        let is_last = next == self.parts;
        if self.part.len() > PART || (self.part.len() < PART && !is_last) {
            return Err(ZpkgProblem::Damaged(format!("a row of a blob has a wrong length, number {next}")));
        }
        (self.next, self.used) = (next + 1, 0);
        Ok(())
    }
}

impl Read for Rows<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.used == self.part.len() && self.next <= self.parts {
            self.load().map_err(wrong)?;
        }
        let count = buffer.len().min(self.part.len() - self.used);
        buffer[..count].copy_from_slice(&self.part[self.used..self.used + count]);
        self.used += count;
        Ok(count)
    }
}

/// Stores a content as it is, unless it is there already; gives its digest and size.
pub(super) fn store(conn: &Connection, source: impl Read) -> Result<(Digest, u64), ZpkgProblem> {
    store_as(conn, source, Storage::Plain)
}

fn store_as(conn: &Connection, source: impl Read, storage: Storage) -> Result<(Digest, u64), ZpkgProblem> {
    let mut plain = Hashing { source, hasher: Hasher::new(), size: 0 };
    let mut sink = Sink { conn, row: None, parts: 0, part: Vec::new() };
    match storage {
        Storage::Plain => copy(&mut plain, &mut sink)?,
        Storage::Zstd { level } => {
            let options = EncoderOptions { level: Some(level) };
            let mut encoder = Encoder::with_options(sink, Format::Zstd, &options).map_err(outgoing)?;
            copy(&mut plain, &mut encoder)?;
            sink = encoder.finish().map_err(outgoing)?;
        }
    }
    let (digest, size) = (plain.hasher.finish(), plain.size);
    sink.finish(&digest, size, storage).map_err(|source| ZpkgProblem::sqlite("store a blob", source))?;
    Ok((digest, size))
}

/// Stores a blob another way. What would not be smaller, or could not be read again because it would look like an attack,
/// stays as it is.
pub(super) fn restore(guarded: &Guarded, digest: &Digest, storage: Storage) -> Result<(), ZpkgProblem> {
    let old = find(guarded, digest)?;
    let rename =
        |id: i64, name: &[u8; 32]| guarded.conn.execute("UPDATE blobs SET hash = ? WHERE id = ?", (name, id)).map(drop);
    let failed = |source| ZpkgProblem::sqlite("store a blob", source);
    // The new one takes the name of the old one when it is complete.
    rename(old.id, &ASIDE).map_err(failed)?;
    store_as(&guarded.conn, BlobContent::new(guarded, &old)?, storage)?;
    let new = find(guarded, digest)?;
    let better = matches!(storage, Storage::Plain) || is_better(guarded, &new);
    let (kept, dropped) = if better { (new.id, old.id) } else { (old.id, new.id) };
    guarded.conn.execute("DELETE FROM blobs WHERE id = ?", [dropped]).map_err(failed)?;
    rename(kept, digest.as_bytes()).map_err(failed)
}

/// Whether a compressed blob is smaller, and within the bounds on what little input may unpack to.
fn is_better(guarded: &Guarded, new: &Stored) -> bool {
    let Blob { size, stored, .. } = new.blob;
    let readable = || {
        let mut content = BlobContent::new(guarded, new).ok()?;
        io::copy(&mut content, &mut io::sink()).ok()
    };
    stored < size && (size <= Bounds::default().slack || readable().is_some())
}

/// The name of a row that is not complete; no content is known that has such a digest.
const UNNAMED: [u8; 32] = [0; 32];
/// The name of a row that is being replaced.
const ASIDE: [u8; 32] = [0xFF; 32];

struct Hashing<R> {
    source: R,
    hasher: Hasher,
    size: u64,
}

/// Copies all of the source; says which side failed.
fn copy(source: &mut Hashing<impl Read>, sink: &mut impl Write) -> Result<(), ZpkgProblem> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = match source.source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(incoming(error)),
        };
        source.hasher.update(&buffer[..count]);
        source.size += count as u64;
        sink.write_all(&buffer[..count]).map_err(outgoing)?;
    }
}

/// A problem of our own, out of an [`io::Error`].
pub(super) fn own(error: io::Error, otherwise: impl FnOnce(io::Error) -> ZpkgProblem) -> ZpkgProblem {
    error.downcast::<ZpkgProblem>().unwrap_or_else(otherwise)
}

fn incoming(error: io::Error) -> ZpkgProblem {
    own(error, ZpkgProblem::Input)
}

/// Nothing but the database can fail when something is stored, and the encoder.
fn outgoing(error: io::Error) -> ZpkgProblem {
    own(error, ZpkgProblem::Compress)
}

/// Takes the bytes to be stored, and makes rows of them.
struct Sink<'c> {
    conn: &'c Connection,
    /// The blob's row, once there is more than one part.
    row: Option<i64>,
    /// How many rows were written.
    parts: u64,
    part: Vec<u8>,
}

impl Sink<'_> {
    /// Writes a part that is full, to a row that has no name yet.
    fn flush_part(&mut self) -> rusqlite::Result<()> {
        match self.row {
            None => {
                let mut statement = self
                    .conn
                    .prepare_cached("INSERT INTO blobs (hash, size, compression, content) VALUES (?, 0, 'none', ?)")?;
                self.row = Some(statement.insert((UNNAMED, &self.part))?);
            }
            Some(row) => self.insert_part(row)?,
        }
        self.parts += 1;
        self.part.clear();
        Ok(())
    }

    fn insert_part(&self, row: i64) -> rusqlite::Result<()> {
        let mut statement = self.conn.prepare_cached("INSERT INTO blobparts (blob, part, content) VALUES (?, ?, ?)")?;
        statement.execute((row, self.parts, &self.part)).map(drop)
    }

    /// Writes what is left and names the row, or takes it back where the content is there already.
    fn finish(self, digest: &Digest, size: u64, storage: Storage) -> rusqlite::Result<()> {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let known = "SELECT 1 FROM blobs WHERE hash = ?";
        let is_known = self.conn.prepare_cached(known)?.exists([digest.as_bytes()])?;
        let Some(row) = self.row else {
            if is_known {
                return Ok(());
            }
            let mut statement =
                self.conn.prepare_cached("INSERT INTO blobs (hash, size, compression, content) VALUES (?, ?, ?, ?)")?;
            return statement.execute((digest.as_bytes(), size, storage.word(), &self.part)).map(drop);
        };
        if is_known {
            return self.conn.prepare_cached("DELETE FROM blobs WHERE id = ?")?.execute([row]).map(drop);
        }
        if !self.part.is_empty() {
            self.insert_part(row)?;
        }
        let mut statement =
            self.conn.prepare_cached("UPDATE blobs SET hash = ?, size = ?, compression = ? WHERE id = ?")?;
        statement.execute((digest.as_bytes(), size, storage.word(), row)).map(drop)
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.part.len() == PART {
            self.flush_part().map_err(|source| wrong(ZpkgProblem::sqlite("store a blob", source)))?;
        }
        let count = bytes.len().min(PART - self.part.len());
        self.part.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
