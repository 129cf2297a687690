use std::collections::BTreeMap;
use std::io::Read;

use crate::ArchiveError;
use crate::source::Source;

use super::CONTAINER;

/// As in rpm itself: tags, and bytes of their values.
const MAX_TAGS: u32 = 0xffff;
const MAX_BYTES: u32 = 256 << 20;
/// Items of one value, such as files: several times those of the largest packages there are.
const MAX_ITEMS: u32 = 1 << 19;

/// One of the two tables of tags in a package.
pub(super) struct Header {
    offset: u64,
    /// All its bytes, for its checksum.
    bytes: Vec<u8>,
    values: BTreeMap<u32, Value>,
}

/// Where a value is, counted in the header's bytes.
#[derive(Clone, Copy)]
struct Value {
    kind: u32,
    start: usize,
    end: usize,
    count: u32,
}

impl Header {
    /// Reads a header and holds it to the rules: values lie within it and not over each other.
    pub(super) fn read<R: Read>(source: &mut Source<R>) -> Result<Self, ArchiveError> {
        let offset = source.offset();
        let mut bytes = source.next_bytes(16)?;
        if !bytes.starts_with(&[0x8e, 0xad, 0xe8, 1]) {
            return Err(source.malformed(offset, "a header is expected"));
        }
        let (tags, size) = (word(&bytes, 8), word(&bytes, 12));
        if tags > MAX_TAGS || size > MAX_BYTES {
            return Err(source.malformed(offset, format!("a header of {tags} tags and {size} bytes")));
        }
        bytes.extend(source.next_bytes(u64::from(tags) * 16 + u64::from(size))?);
        let mut header = Self { offset, bytes, values: BTreeMap::new() };
        header.index(tags as usize)?;
        Ok(header)
    }

    /// Everything of it, as its checksum is computed.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn has(&self, tag: u32) -> bool {
        self.values.contains_key(&tag)
    }

    /// The values of strings; none where the tag is missing.
    pub(super) fn strings(&self, tag: u32) -> Result<Vec<&[u8]>, ArchiveError> {
        let Some(value) = self.values.get(&tag) else { return Ok(Vec::new()) };
        if !matches!(value.kind, 6 | 8 | 9) {
            return Err(self.wrong(tag, "it is no string"));
        }
        let bytes = &self.bytes[value.start..value.end];
        Ok(bytes.split(|&byte| byte == 0).take(value.count as usize).collect())
    }

    /// The first string: that of the C locale where there are several languages.
    pub(super) fn string(&self, tag: u32) -> Result<Option<&[u8]>, ArchiveError> {
        Ok(self.strings(tag)?.first().copied())
    }

    /// A string that must be UTF-8, such as a name.
    pub(super) fn text(&self, tag: u32) -> Result<Option<String>, ArchiveError> {
        self.string(tag)?.map(|bytes| self.utf8(tag, bytes)).transpose()
    }

    /// A string for people; old packages have it in any encoding.
    pub(super) fn prose(&self, tag: u32) -> Result<Option<String>, ArchiveError> {
        Ok(self.string(tag)?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    }

    pub(super) fn texts(&self, tag: u32) -> Result<Vec<String>, ArchiveError> {
        self.strings(tag)?.into_iter().map(|bytes| self.utf8(tag, bytes)).collect()
    }

    /// The values of numbers of any width; none where the tag is missing.
    pub(super) fn numbers(&self, tag: u32) -> Result<Vec<u64>, ArchiveError> {
        let Some(value) = self.values.get(&tag) else { return Ok(Vec::new()) };
        let width = width(value.kind).filter(|width| *width > 0 && value.kind != 7);
        let width = width.ok_or_else(|| self.wrong(tag, "it is no number"))?;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
        Ok(self.bytes[value.start..value.end].chunks(width).map(number).collect())
    }

    pub(super) fn number(&self, tag: u32) -> Result<Option<u64>, ArchiveError> {
        Ok(self.numbers(tag)?.first().copied())
    }

    /// The bytes of a binary value.
    pub(super) fn binary(&self, tag: u32) -> Option<&[u8]> {
        self.values.get(&tag).filter(|value| value.kind == 7).map(|value| &self.bytes[value.start..value.end])
    }

    pub(super) fn wrong(&self, tag: u32, reason: &str) -> ArchiveError {
        self.malformed(format!("tag {tag}: {reason}"))
    }

    pub(super) fn malformed(&self, reason: impl Into<String>) -> ArchiveError {
        ArchiveError::Malformed { container: CONTAINER, offset: self.offset, reason: reason.into() }
    }

    fn utf8(&self, tag: u32, bytes: &[u8]) -> Result<String, ArchiveError> {
        String::from_utf8(bytes.to_vec()).map_err(|_| self.wrong(tag, "it is not UTF-8"))
    }

    /// Finds the values: each lies within the header, and none over another, which would make a small header large.
    fn index(&mut self, tags: usize) -> Result<(), ArchiveError> {
        let data = 16 + 16 * tags;
        let mut places: Vec<_> = (0..tags).map(|index| self.place(data, 16 + 16 * index)).collect::<Result<_, _>>()?;
        places.sort_unstable();
        let ends: Vec<_> = places.iter().skip(1).map(|place| place.0).chain([self.bytes.len()]).collect();
        for ((start, tag, kind, count), limit) in places.into_iter().zip(ends) {
            let length = length(&self.bytes[start..limit], kind, count);
            let end = start + length.ok_or_else(|| self.wrong(tag, "its value has no room where it should be"))?;
            // A string is one whatever its count says.
            let count = if kind == 6 { 1 } else { count };
            if self.values.insert(tag, Value { kind, start, end, count }).is_some() {
                return Err(self.wrong(tag, "it stands here twice"));
            }
        }
        Ok(())
    }

    /// Where an entry of the index says that its value begins, its tag, type and count.
    fn place(&self, data: usize, at: usize) -> Result<(usize, u32, u32, u32), ArchiveError> {
        let [tag, kind, start, count] = [0, 4, 8, 12].map(|field| word(&self.bytes, at + field));
        if kind != 7 && count > MAX_ITEMS {
            return Err(self.wrong(tag, "it has too many items"));
        }
        let start = data.checked_add(start as usize).filter(|start| *start <= self.bytes.len());
        Ok((start.ok_or_else(|| self.wrong(tag, "its value is not within the header"))?, tag, kind, count))
    }
}

/// How long a value is; `None` where it does not end within `bytes` or its type is not known.
fn length(bytes: &[u8], kind: u32, count: u32) -> Option<usize> {
    if let Some(width) = width(kind) {
        return width.checked_mul(count as usize).filter(|length| *length <= bytes.len());
    }
    let count = match kind {
        6 => 1,
        8 | 9 => count,
        _ => return None,
    };
    let mut rest = bytes;
    for _ in 0..count {
        let end = rest.iter().position(|&byte| byte == 0)?;
        rest = &rest[end + 1..];
    }
    Some(bytes.len() - rest.len())
}

/// Bytes of an item of this type; `None` for strings and what is not known.
fn width(kind: u32) -> Option<usize> {
    match kind {
        0 => Some(0),
        1 | 2 | 7 => Some(1),
        3 => Some(2),
        4 => Some(4),
        5 => Some(8),
        _ => None,
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |word, &byte| word << 8 | u32::from(byte))
}
