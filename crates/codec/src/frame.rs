//! Where a zstd frame ends, told from its headers (RFC 8878, section 3.1.1).

use std::io::{self, BufRead, Read};

use crate::source::Source;

const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// What a block holds at most.
const BLOCK: u64 = 128 << 10;

/// A frame that was read whole.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    /// The size of what it holds, as its header says and its blocks allow.
    pub(crate) content: usize,
}

/// What stands next in a zstd file.
#[derive(Debug)]
pub(crate) enum Next {
    /// A frame, all of which was read.
    Frame(Whole),
    /// A frame that was skipped.
    Skipped,
    /// The end of the file.
    End,
    /// Something that is too large or not understood here; what was read of it was read into the buffer.
    Other,
}

/// What a frame may be to be read whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    /// Bytes in the file, and bytes of content.
    pub(crate) bytes: usize,
    /// Bytes that its decoder remembers.
    pub(crate) window: u64,
}

/// Reads the next frame of `source` into `bytes`.
pub(crate) fn read<R: Read>(source: &mut Source<R>, bytes: &mut Vec<u8>, most: Most) -> io::Result<Next> {
    bytes.clear();
    if source.fill_buf()?.is_empty() {
        return Ok(Next::End);
    }
    let mut frame = Gathered { source, bytes, most: most.bytes };
    if !frame.take(MAGIC.len())? {
        return Ok(Next::Other);
    }
    if frame.bytes[1..] == [0x2a, 0x4d, 0x18] && frame.bytes[0] & 0xf0 == 0x50 {
        return frame.skip();
    }
    match frame.whole(most.window)? {
        Some(whole) => Ok(Next::Frame(whole)),
        None => Ok(Next::Other),
    }
}

struct Gathered<'a, R> {
    source: &'a mut Source<R>,
    bytes: &'a mut Vec<u8>,
    most: usize,
}

impl<R: Read> Gathered<'_, R> {
    /// Reads `count` more bytes; false where there are fewer, or the frame would be too large.
    fn take(&mut self, count: usize) -> io::Result<bool> {
        if count > self.most.saturating_sub(self.bytes.len()) {
            return Ok(false);
        }
        let mut missing = count;
        while missing > 0 {
            let present = self.source.fill_buf()?;
            if present.is_empty() {
                return Ok(false);
            }
            let step = present.len().min(missing);
            self.bytes.extend_from_slice(&present[..step]);
            self.source.consume(step);
            missing -= step;
        }
        Ok(true)
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        Ok(if self.take(1)? { self.bytes.last().copied() } else { None })
    }

    /// A number of `count` bytes.
    fn number(&mut self, count: usize) -> io::Result<Option<u64>> {
        let start = self.bytes.len();
        Ok(self.take(count)?.then(|| little_endian(&self.bytes[start..])))
    }

    /// Skips a skippable frame, however long, after its magic. Nothing of it is kept: it is nothing to any decoder.
    fn skip(&mut self) -> io::Result<Next> {
        let Some(length) = self.number(4)? else { return Ok(Next::Other) };
        let mut missing = length;
        while missing > 0 {
            let present = self.source.fill_buf()?.len();
            if present == 0 {
                // The header alone, of a frame that is cut off.
                return Ok(Next::Other);
            }
            let step = usize::try_from(missing).map_or(present, |missing| missing.min(present));
            self.source.consume(step);
            missing -= step as u64;
        }
        Ok(Next::Skipped)
    }

    /// Reads a frame after its magic; `None` where it is cut off, too large or not understood.
    fn whole(&mut self, window: u64) -> io::Result<Option<Whole>> {
        let Some(header) = self.header()? else { return Ok(None) };
        let Some(content) = header.content.filter(|content| *content <= self.most as u64) else { return Ok(None) };
        if header.window > window {
            return Ok(None);
        }
        let Some(blocks) = self.blocks()? else { return Ok(None) };
        // Memory for the content is taken at once, so the claim must be one that the blocks can keep.
        if content > blocks.saturating_mul(BLOCK) || (header.has_checksum && !self.take(4)?) {
            return Ok(None);
        }
        Ok(usize::try_from(content).ok().map(|content| Whole { content }))
    }

    fn header(&mut self) -> io::Result<Option<Header>> {
        let Some(descriptor) = self.byte()? else { return Ok(None) };
        let is_single = descriptor & 1 << 5 != 0;
        let is_reserved = descriptor & 1 << 3 != 0;
        let has_dictionary = descriptor & 3 != 0;
        if is_reserved || has_dictionary {
            return Ok(None);
        }
        let mut window = None;
        if !is_single {
            let Some(byte) = self.byte()? else { return Ok(None) };
            let base = 1_u64 << (10 + (byte >> 3));
            window = Some(base + base / 8 * u64::from(byte & 7));
        }
        let (length, offset) = match descriptor >> 6 {
            0 => (usize::from(is_single), 0),
            1 => (2, 256),
            2 => (4, 0),
            _ => (8, 0),
        };
        let Some(size) = self.number(length)? else { return Ok(None) };
        let content = (length > 0).then(|| size.saturating_add(offset));
        let window = window.or(content).unwrap_or(u64::MAX);
        Ok(Some(Header { window, content, has_checksum: descriptor & 1 << 2 != 0 }))
    }

    /// How many blocks there are.
    fn blocks(&mut self) -> io::Result<Option<u64>> {
        let mut blocks = 0;
        loop {
            let Some(header) = self.number(3)? else { return Ok(None) };
            let (is_last, kind, size) = (header & 1 != 0, header >> 1 & 3, header >> 3);
            let length = match kind {
                0 | 2 if size <= BLOCK => size,
                1 => 1,
                _ => return Ok(None),
            };
            if !self.take(length as usize)? {
                return Ok(None);
            }
            blocks += 1;
            if is_last {
                return Ok(Some(blocks));
            }
        }
    }
}

struct Header {
    window: u64,
    content: Option<u64>,
    has_checksum: bool,
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Most = Most { bytes: 1 << 20, window: 1 << 20 };

    fn next(file: &[u8]) -> (Next, Vec<u8>, u64) {
        let (_, mut source) = Source::sniff(file).unwrap();
        let mut bytes = Vec::new();
        let next = read(&mut source, &mut bytes, MOST).unwrap();
        (next, bytes, source.used())
    }

    #[test]
    fn a_frame_ends_where_its_library_says() {
        let text: Vec<u8> = (0..300_000_u32).flat_map(|number| number.to_string().into_bytes()).take(900_000).collect();
        for content in [&text[..], &text[..255], &text[..256], &text[..70_000], &[7; 500_000], b""] {
            for with_checksum in [false, true] {
                let mut packer = zstd::bulk::Compressor::new(3).unwrap();
                packer.include_checksum(with_checksum).unwrap();
                let mut file = packer.compress(content).unwrap();
                let length = file.len();
                file.extend_from_slice(b"what follows");
                let (next, bytes, used) = next(&file);
                assert!(matches!(next, Next::Frame(Whole { content: size }) if size == content.len()), "{next:?}");
                assert_eq!((&bytes[..], used), (&file[..length], length as u64));
            }
        }
    }

    #[test]
    fn what_is_not_understood_is_left_to_the_library() {
        let frame = zstd::bulk::compress(b"some content", 3).unwrap();
        for end in 1..frame.len() {
            let (next, bytes, _) = next(&frame[..end]);
            assert!(matches!(next, Next::Other), "{end}");
            assert_eq!(bytes, &frame[..end]);
        }
        let unknown_size = zstd::stream::encode_all(&b"some content"[..], 3).unwrap();
        assert!(matches!(next(&unknown_size).0, Next::Other));
        assert!(matches!(next(b"garbage").0, Next::Other));
    }

    /// A claim of a megabyte needs eight blocks to hold it.
    #[test]
    fn a_claim_that_the_blocks_can_not_keep_is_left_to_the_library() {
        let header = [&MAGIC[..], &[2 << 6 | 1 << 5], &1_000_000_u32.to_le_bytes()].concat();
        let run = |is_last: u32| (is_last | 1 << 1 | (128 << 10) << 3).to_le_bytes();
        let block = |is_last| [&run(is_last)[..3], b"x"].concat();
        let file = |blocks: usize| [header.clone(), block(0).repeat(blocks - 1), block(1)].concat();
        assert!(matches!(next(&file(7)).0, Next::Other));
        assert!(matches!(next(&file(8)).0, Next::Frame(_)));
    }
}
