use std::io::{self, Read};

use ::tar::{EntryType, GnuExtSparseHeader, Header};

use crate::ArchiveError;
use crate::error::shown;
use crate::source::Source;

use super::holes::Holes;
use super::pax::{Pax, number};
use super::{BLOCK, CONTAINER};

/// An entry as it stands in the archive, with the headers before it that are about it. Its data follow in the source.
pub(super) struct Raw {
    pub(super) header: Header,
    pub(super) pax: Pax,
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    /// Where its own header is.
    pub(super) offset: u64,
    /// Bytes of data in the archive.
    pub(super) stored: u64,
    pub(super) holes: Option<Holes>,
}

/// What comes next in an archive.
pub(super) enum Next {
    Entry(Box<Raw>),
    /// A block of zeros, or the end of the bytes.
    End {
        is_marked: bool,
    },
}

/// Reads the headers of the next entry, of which there may be `room` bytes.
pub(super) fn next<R: Read>(source: &mut Source<R>, room: u64) -> Result<Next, ArchiveError> {
    let mut before = Before { limit: room, room, path: None, link: None, pax: None };
    loop {
        let offset = source.offset();
        let Some(header) = read_header(source)? else {
            before.check_unused(source)?;
            return Ok(Next::End { is_marked: source.offset() > offset });
        };
        match header.entry_type() {
            EntryType::GNULongName => before.path = Some(before.read(source, &header, before.path.is_some())?),
            EntryType::GNULongLink => before.link = Some(before.read(source, &header, before.link.is_some())?),
            EntryType::XHeader => before.pax = Some(before.read(source, &header, before.pax.is_some())?),
            _ => return before.entry(source, header, offset).map(|raw| Next::Entry(Box::new(raw))),
        }
    }
}

/// The headers that are about the entry after them.
struct Before {
    limit: u64,
    room: u64,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Vec<u8>>,
}

impl Before {
    fn read<R: Read>(&mut self, source: &mut Source<R>, header: &Header, again: bool) -> Result<Vec<u8>, ArchiveError> {
        let offset = source.offset();
        if again {
            return Err(source.malformed(offset, "two headers say the same of one entry"));
        }
        let size = size(header).map_err(|error| source.malformed(offset, error))?;
        self.take(size.saturating_add(BLOCK), source)?;
        let bytes = source.next_bytes(size)?;
        source.align(BLOCK)?;
        Ok(bytes)
    }

    fn take<R: Read>(&mut self, bytes: u64, source: &Source<R>) -> Result<(), ArchiveError> {
        let reason = || format!("the headers of one entry have more than {} bytes", self.limit);
        self.room = self.room.checked_sub(bytes).ok_or_else(|| source.malformed(source.offset(), reason()))?;
        Ok(())
    }

    fn check_unused<R: Read>(&self, source: &Source<R>) -> Result<(), ArchiveError> {
        if self.path.is_some() || self.link.is_some() || self.pax.is_some() {
            return Err(source.malformed(source.offset(), "it ends after a header that is about an entry"));
        }
        Ok(())
    }

    fn entry<R: Read>(mut self, source: &mut Source<R>, header: Header, offset: u64) -> Result<Raw, ArchiveError> {
        let broken = |reason: String| {
            let name = shown(&header.path_bytes());
            ArchiveError::Malformed { container: CONTAINER, offset, reason: format!("entry `{name}`: {reason}") }
        };
        let pax = Pax::parse(&self.pax.take().unwrap_or_default()).map_err(broken)?;
        let path = self.path.take().map(until_nul).or_else(|| pax.path.clone());
        let link = self.link.take().map(until_nul).or_else(|| pax.link.clone());
        let stored = pax.size.map_or_else(|| size(&header), Ok).map_err(broken)?;
        let mut raw = Raw {
            path: path.unwrap_or_else(|| header.path_bytes().into_owned()),
            link: link.or_else(|| header.link_name_bytes().map(Into::into)).unwrap_or_default(),
            header,
            pax,
            offset,
            stored,
            holes: None,
        };
        self.find_holes(source, &mut raw)?;
        Ok(raw)
    }

    fn find_holes<R: Read>(&mut self, source: &mut Source<R>, raw: &mut Raw) -> Result<(), ArchiveError> {
        let sparse = &raw.pax.sparse;
        let parts = match (raw.header.entry_type(), sparse.major, sparse.minor) {
            (EntryType::GNUSparse, ..) => self.old_map(source, &raw.header)?,
            (_, Some(1), Some(0)) if !sparse.is_other => {
                if let Some(name) = &sparse.name {
                    raw.path.clone_from(name);
                }
                self.map(source, &mut raw.stored)?
            }
            (_, None, None) if !sparse.is_other => return Ok(()),
            _ => {
                let what = "a file with holes in a form that is not known".to_owned();
                return Err(ArchiveError::Unsupported { entry: shown(&raw.path), offset: raw.offset, what });
            }
        };
        let broken =
            || source.malformed(raw.offset, format!("entry `{}`: a map of holes that is none", shown(&raw.path)));
        let size = match raw.header.as_gnu() {
            Some(header) if raw.header.entry_type() == EntryType::GNUSparse => header.real_size().ok(),
            _ => sparse.real_size,
        };
        raw.holes = Some(size.and_then(|size| Holes::new(parts, size, raw.stored)).ok_or_else(broken)?);
        Ok(())
    }

    /// The map of the old GNU format: in the header and the blocks after it.
    fn old_map<R: Read>(&mut self, source: &mut Source<R>, header: &Header) -> Result<Vec<(u64, u64)>, ArchiveError> {
        let offset = source.offset();
        let broken = |_| source.malformed(offset, "a map of holes that is none");
        let gnu =
            header.as_gnu().ok_or_else(|| source.malformed(offset, "a file with holes outside of GNU's format"))?;
        let part = |part: &::tar::GnuSparseHeader| Ok((part.offset()?, part.length()?));
        let mut map = Vec::new();
        for sparse in gnu.sparse.iter().filter(|sparse| !sparse.is_empty()) {
            map.push(part(sparse).map_err(broken)?);
        }
        let mut more = gnu.is_extended();
        while more {
            self.take(BLOCK, source)?;
            let mut block = GnuExtSparseHeader::new();
            source.fill(block.as_mut_bytes())?;
            for sparse in block.sparse().iter().filter(|sparse| !sparse.is_empty()) {
                let broken = |_: io::Error| source.malformed(offset, "a map of holes that is none");
                map.push(part(sparse).map_err(broken)?);
            }
            more = block.is_extended();
        }
        Ok(map)
    }

    /// The map of the pax format, version 1.0: decimal numbers, each on a line, in blocks before the data.
    fn map<R: Read>(&mut self, source: &mut Source<R>, stored: &mut u64) -> Result<Vec<(u64, u64)>, ArchiveError> {
        let offset = source.offset();
        let mut numbers = Vec::new();
        let mut line = Vec::new();
        let mut due = 1;
        while numbers.len() < due {
            self.take(BLOCK, source)?;
            let broken = || source.malformed(offset, "a map of holes that is none");
            *stored = stored.checked_sub(BLOCK).ok_or_else(broken)?;
            let block = source.next_bytes(BLOCK)?;
            let broken = || source.malformed(offset, "a map of holes that is none");
            for byte in block {
                if byte != b'\n' {
                    line.push(byte);
                    continue;
                }
                numbers.push(number(&std::mem::take(&mut line)).ok_or_else(broken)?);
                if let [count] = numbers[..] {
                    let count = usize::try_from(count).ok().and_then(|count| count.checked_mul(2)?.checked_add(1));
                    due = count.ok_or_else(broken)?;
                }
                if numbers.len() == due {
                    break;
                }
            }
        }
        Ok(numbers[1..].chunks_exact(2).map(|part| (part[0], part[1])).collect())
    }
}

/// The next header; `None` at a block of zeros, and where there are no more bytes.
fn read_header<R: Read>(source: &mut Source<R>) -> Result<Option<Header>, ArchiveError> {
    let offset = source.offset();
    let mut header = Header::new_old();
    let mut filled = 0;
    while filled < BLOCK as usize {
        match source.read(&mut header.as_mut_bytes()[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(source.malformed(offset, "it ends within a header")),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(ArchiveError::Io { offset, source }),
        }
    }
    if header.as_bytes().iter().all(|&byte| byte == 0) {
        return Ok(None);
    }
    let bytes = header.as_bytes();
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    // The checksum counts as blanks.
    let sum = sum(&bytes[..148]) + 8 * u32::from(b' ') + sum(&bytes[156..]);
    if header.cksum().ok() != Some(sum) {
        return Err(source.malformed(offset, "the checksum of a header is wrong"));
    }
    Ok(Some(header))
}

fn size(header: &Header) -> Result<u64, String> {
    field(&header.as_old().size, header.entry_size(), "its size")
}

/// A number of a header. Archivers leave one out that they do not know.
pub(super) fn field(field: &[u8], read: io::Result<u64>, what: &str) -> Result<u64, String> {
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Ok(0);
    }
    // The library quotes what it took for a name.
    read.map_err(|error| format!("{what}: {}", shown(error.to_string().as_bytes())))
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()));
    bytes
}
