use std::io;
use std::ops::Range;

use crate::{Error, ReadAt};

/// The skippable frame that holds a seek table.
const SKIPPABLE: [u8; 4] = 0x184D_2A5E_u32.to_le_bytes();
/// The last bytes of a file with a seek table.
const MAGIC: [u8; 4] = 0x8F92_EAB1_u32.to_le_bytes();
/// Magic and size of the skippable frame.
const HEADER: usize = 8;
/// Number of frames, descriptor, magic.
const FOOTER: usize = 9;
const CHECKSUMS: u8 = 1 << 7;
const RESERVED: u8 = 0b0111_1100;

/// Where the frames of a zstd file stand, and what they hold: the table at the end of a file in the seekable format of
/// zstd's own `contrib/seekable_format`.
///
/// ```
/// let mut table = codec::SeekTable::default();
/// table.push(20, 100)?;
/// table.push(30, 200)?;
/// let frame = table.frame_at(150).ok_or("there is one")?;
/// assert_eq!((frame.packed, frame.content), (20..50, 100..300));
/// assert_eq!(codec::SeekTable::parse(&table.encode())?, table);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeekTable {
    ends: Vec<End>,
}

/// Where a frame ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct End {
    packed: u64,
    content: u64,
}

/// A frame of a seekable file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Which one it is, from 0.
    pub index: usize,
    /// Where it stands in the file.
    pub packed: Range<u64>,
    /// Where what it holds stands in the content.
    pub content: Range<u64>,
}

impl SeekTable {
    /// The most frames that a table may have here: with frames of 256 KiB, 256 GiB of content.
    pub const MAX_FRAMES: usize = 1 << 20;

    /// Adds a frame by its size in the file and that of its content.
    ///
    /// # Errors
    /// There are [`SeekTable::MAX_FRAMES`] already.
    pub fn push(&mut self, packed: u32, content: u32) -> Result<(), Error> {
        if self.ends.len() == Self::MAX_FRAMES {
            return Err(Error::TooManyFrames { limit: Self::MAX_FRAMES });
        }
        let End { packed: at, content: from } = self.ends.last().copied().unwrap_or_default();
        // 2^20 sums of 32-bit numbers stay below 2^52.
        self.ends.push(End { packed: at + u64::from(packed), content: from + u64::from(content) });
        Ok(())
    }

    /// Reads the skippable frame that is a seek table.
    ///
    /// # Errors
    /// It is none, it is damaged, or it has more than [`SeekTable::MAX_FRAMES`].
    pub fn parse(frame: &[u8]) -> Result<Self, Error> {
        let wrong = |reason| Error::SeekTable { reason };
        let (header, rest) = frame.split_first_chunk::<HEADER>().ok_or(wrong("it is too short"))?;
        let (entries, footer) = rest.split_last_chunk::<FOOTER>().ok_or(wrong("it is too short"))?;
        let footer = Footer::parse(footer)?;
        if header[..4] != SKIPPABLE || number(&header[4..]) as usize != rest.len() {
            return Err(wrong("it is no skippable frame of its length"));
        }
        if entries.len() != footer.entries_len() {
            return Err(wrong("it has not as many entries as it says"));
        }
        let mut table = Self { ends: Vec::with_capacity(footer.frames) };
        for entry in entries.chunks_exact(footer.entry_len()) {
            table.push(number(&entry[..4]), number(&entry[4..8]))?;
        }
        Ok(table)
    }

    /// Reads the table of a file from its end; `None` where the file does not end with one.
    ///
    /// # Errors
    /// As [`SeekTable::parse`], with the error inside; where the frames are not all of the file; the source fails.
    pub fn read(source: &(impl ReadAt + ?Sized)) -> io::Result<Option<Self>> {
        let size = source.size()?;
        let mut footer = [0; FOOTER];
        let Some(at) = size.checked_sub(FOOTER as u64) else { return Ok(None) };
        source.read_exact_at(&mut footer, at)?;
        if footer[5..] != MAGIC {
            return Ok(None);
        }
        let length = HEADER + Footer::parse(&footer)?.entries_len() + FOOTER;
        let wrong = |reason| io::Error::from(Error::SeekTable { reason });
        let start = size.checked_sub(length as u64).ok_or_else(|| wrong("it is longer than the file"))?;
        // Not more than the file has, and `MAX_FRAMES` bounds it to 12 MiB.
        let mut frame = vec![0; length];
        source.read_exact_at(&mut frame, start)?;
        let table = Self::parse(&frame)?;
        if table.packed_len() != start {
            return Err(wrong("its frames are not all of the file"));
        }
        Ok(Some(table))
    }

    /// The skippable frame, to be written after the last of the frames.
    pub fn encode(&self) -> Vec<u8> {
        let length = self.encoded_len();
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&SKIPPABLE);
        put(&mut bytes, (length - HEADER) as u64);
        for frame in self.frames() {
            put(&mut bytes, frame.packed.end - frame.packed.start);
            put(&mut bytes, frame.content.end - frame.content.start);
        }
        put(&mut bytes, self.ends.len() as u64);
        bytes.push(0);
        bytes.extend_from_slice(&MAGIC);
        bytes
    }

    /// The length of [`SeekTable::encode`]. The table in a file may be longer by the checksums of frames, which are
    /// skipped.
    pub fn encoded_len(&self) -> usize {
        HEADER + self.ends.len() * 8 + FOOTER
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no frame.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many bytes the frames take in the file, the table not counted.
    pub fn packed_len(&self) -> u64 {
        self.ends.last().map_or(0, |end| end.packed)
    }

    /// How many bytes of content there are.
    pub fn content_len(&self) -> u64 {
        self.ends.last().map_or(0, |end| end.content)
    }

    /// The frame with this index.
    pub fn frame(&self, index: usize) -> Option<Frame> {
        let end = self.ends.get(index)?;
        let start = index.checked_sub(1).map(|before| self.ends[before]).unwrap_or_default();
        Some(Frame { index, packed: start.packed..end.packed, content: start.content..end.content })
    }

    /// All frames, in order.
    pub fn frames(&self) -> impl Iterator<Item = Frame> + '_ {
        (0..self.ends.len()).filter_map(|index| self.frame(index))
    }

    /// The frame that holds the byte at `offset` of the content.
    pub fn frame_at(&self, offset: u64) -> Option<Frame> {
        self.frame(self.ends.partition_point(|end| end.content <= offset))
    }

    /// The frames that hold the bytes of this part of the content.
    pub fn frames_of(&self, content: Range<u64>) -> impl Iterator<Item = Frame> + '_ {
        let first = self.ends.partition_point(|end| end.content <= content.start);
        (first..self.ends.len())
            .filter_map(|index| self.frame(index))
            .take_while(move |frame| frame.content.start < content.end)
    }
}

/// The end of a table.
struct Footer {
    frames: usize,
    has_checksums: bool,
}

impl Footer {
    fn parse(footer: &[u8; FOOTER]) -> Result<Self, Error> {
        let wrong = |reason| Error::SeekTable { reason };
        if footer[5..] != MAGIC {
            return Err(wrong("it does not end with its magic"));
        }
        if footer[4] & RESERVED != 0 {
            return Err(wrong("it uses bits that have no meaning yet"));
        }
        let frames = number(&footer[..4]) as usize;
        if frames > SeekTable::MAX_FRAMES {
            return Err(Error::TooManyFrames { limit: SeekTable::MAX_FRAMES });
        }
        Ok(Self { frames, has_checksums: footer[4] & CHECKSUMS != 0 })
    }

    fn entry_len(&self) -> usize {
        if self.has_checksums { 12 } else { 8 }
    }

    fn entries_len(&self) -> usize {
        self.frames * self.entry_len()
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn put(bytes: &mut Vec<u8>, number: u64) {
    let number = u32::try_from(number).expect("sizes of frames come from 32-bit numbers, and a table is below 8 MiB");
    bytes.extend_from_slice(&number.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> SeekTable {
        let mut table = SeekTable::default();
        for (packed, content) in [(10, 100), (9, 0), (30, 5), (u32::MAX, u32::MAX)] {
            table.push(packed, content).unwrap();
        }
        table
    }

    #[test]
    fn a_frame_is_found_by_what_it_holds() {
        let table = table();
        let index = |offset| table.frame_at(offset).map(|frame| frame.index);
        assert_eq!([0, 99, 100, 104, 105].map(index), [Some(0), Some(0), Some(2), Some(2), Some(3)]);
        assert_eq!(index(table.content_len()), None);
        let indexes = |range| table.frames_of(range).map(|frame| frame.index).collect::<Vec<_>>();
        assert_eq!(indexes(99..101), [0, 1, 2]);
        assert_eq!(indexes(100..105), [2]);
        assert_eq!(indexes(0..0), []);
    }

    #[test]
    fn a_table_of_another_shape_is_refused() {
        let frame = table().encode();
        assert_eq!(SeekTable::parse(&frame).unwrap(), table());
        for end in 0..frame.len() {
            assert!(SeekTable::parse(&frame[..end]).is_err());
        }
        // Magic, length, number of frames, reserved bits, magic.
        for at in [0, 4, 40, 41, 44, 45] {
            let mut changed = frame.clone();
            changed[at] ^= 4;
            assert!(SeekTable::parse(&changed).is_err(), "{at}");
        }
    }

    /// Written by `t2sz` and others.
    #[test]
    fn checksums_are_skipped() {
        let footer = [2, 0, 0, 0, CHECKSUMS, 0xB1, 0xEA, 0x92, 0x8F];
        let entries = [[7, 0, 0, 0, 9, 0, 0, 0, 1, 2, 3, 4], [8, 0, 0, 0, 1, 0, 0, 0, 5, 6, 7, 8]].concat();
        let frame = [&[0x5E, 0x2A, 0x4D, 0x18, 33, 0, 0, 0], &*entries, &footer].concat();
        let table = SeekTable::parse(&frame).unwrap();
        assert_eq!((table.packed_len(), table.content_len()), (15, 10));
        let file = [&[0; 15][..], &frame].concat();
        assert_eq!(SeekTable::read(&file).unwrap().unwrap(), table);
    }

    #[test]
    fn a_claim_of_frames_takes_no_memory() {
        let claim = |frames: u32| [&frames.to_le_bytes()[..], &[0, 0xB1, 0xEA, 0x92, 0x8F]].concat();
        let error = SeekTable::read(&claim(u32::MAX)).unwrap_err();
        assert!(error.to_string().contains("more than 1048576 frames"), "{error}");
        let error = SeekTable::read(&claim(1000)).unwrap_err();
        assert!(error.to_string().contains("longer than the file"), "{error}");
    }

    #[test]
    fn a_file_that_ends_otherwise_has_no_table() {
        assert_eq!(SeekTable::read(&b"\x28\xb5\x2f\xfd and more"[..]).unwrap(), None);
        assert_eq!(SeekTable::read(&b""[..]).unwrap(), None);
    }

    #[test]
    fn frames_before_the_table_must_be_all() {
        let table = [&[0; 9][..], &{
            let mut table = SeekTable::default();
            table.push(10, 1).unwrap();
            table.encode()
        }]
        .concat();
        assert!(SeekTable::read(&table).unwrap_err().to_string().contains("not all of the file"));
    }
}
