//! The "new ASCII" cpio format, and rpm's short form of it.

use std::io::Read;

use crate::ArchiveError;
use crate::source::Source;

/// Bytes of a name with its NUL; the longest path there can be, and `./` before it.
const NAME_LIMIT: u64 = 4096 + 2;

/// A header of the archive.
pub(crate) enum Member {
    /// A header of its own.
    Named(Header),
    /// The number of a file that is described elsewhere.
    Numbered(u32),
    /// The end of the archive.
    End,
}

pub(crate) struct Header {
    pub(crate) name: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) device: (u32, u32),
}

/// Reads the next header, at the end of the data before it.
pub(crate) fn next<R: Read>(source: &mut Source<R>) -> Result<Member, ArchiveError> {
    source.align(4)?;
    let offset = source.offset();
    let mut magic = [0; 6];
    source.fill(&mut magic)?;
    let member = match &magic {
        b"070701" | b"070702" => named(source, offset)?,
        b"07070X" => Member::Numbered(word(source)?),
        _ => return Err(source.malformed(offset, "the header of a cpio member is expected")),
    };
    source.align(4)?;
    Ok(member)
}

fn named<R: Read>(source: &mut Source<R>, offset: u64) -> Result<Member, ArchiveError> {
    let mut words = [0; 13];
    for value in &mut words {
        *value = word(source)?;
    }
    let [_inode, mode, _uid, _gid, _links, _mtime, size, _major, _minor, major, minor, name_size, _check] = words;
    let name_size = u64::from(name_size);
    if name_size == 0 || name_size > NAME_LIMIT {
        return Err(source.malformed(offset, format!("a name of {name_size} bytes")));
    }
    let mut name = source.next_bytes(name_size)?;
    if name.pop() != Some(0) || name.contains(&0) {
        return Err(source.malformed(offset, "a name does not end in one NUL"));
    }
    if name == b"TRAILER!!!" {
        return Ok(Member::End);
    }
    Ok(Member::Named(Header { name, mode, size: u64::from(size), device: (major, minor) }))
}

/// Eight hex digits.
fn word<R: Read>(source: &mut Source<R>) -> Result<u32, ArchiveError> {
    let offset = source.offset();
    let mut digits = [0; 8];
    source.fill(&mut digits)?;
    let text = std::str::from_utf8(&digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let number = text.and_then(|text| u32::from_str_radix(text, 16).ok());
    number.ok_or_else(|| source.malformed(offset, "eight hex digits are expected"))
}
