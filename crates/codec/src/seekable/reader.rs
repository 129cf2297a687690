use std::fmt;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use crate::decoder::{wants_memory, zstd_decoder};
use crate::read_at::place;
use crate::{Bounds, Error, Exceeded, Format, Frame, ReadAt, SeekTable};

/// Bytes of a frame that are read at once.
const PIECE: u64 = 1 << 20;

/// Reads a seekable zstd file at any place, and decodes only the frames that are touched.
///
/// A read never goes over the end of a frame, so no frame is read from the source of which nothing is asked for. A frame
/// comes in one piece, where it is not larger than 1 MiB.
///
/// The table is held against each frame that is read to its end: it must hold just what the table says, and so must
/// frames without content between frames that are read one after the other. But where the table is wrong about frames
/// that are not read, content has the wrong place, which only its digest tells.
///
/// ```
/// use std::io::{Read, Seek, SeekFrom, Write};
///
/// use codec::{Bounds, SeekableEncoder, SeekableOptions, SeekableReader};
///
/// let mut encoder = SeekableEncoder::new(Vec::new(), &SeekableOptions::default())?;
/// encoder.write_all(b"one two")?;
/// let (file, _) = encoder.finish()?;
///
/// let mut reader = SeekableReader::open(file, Bounds::default())?.ok_or("it has a table")?;
/// reader.seek(SeekFrom::Start(4))?;
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "two");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SeekableReader<S> {
    source: Arc<S>,
    table: SeekTable,
    bounds: Bounds,
    /// Where the next byte stands in the content.
    offset: u64,
    open: Option<Open<S>>,
    /// The frame before which everything was read, from the first frame or from where a seek led.
    passed: Option<usize>,
    /// Bytes of frames that were opened, and bytes decoded.
    given: u64,
    taken: u64,
}

/// A frame that is being decoded.
struct Open<S> {
    frame: Frame,
    decoder: zstd::stream::read::Decoder<'static, BufReader<Slice<S>>>,
    /// Where its next byte stands in the content.
    offset: u64,
}

impl<S> fmt::Debug for SeekableReader<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeekableReader")
            .field("frames", &self.table.len())
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl<S: ReadAt> SeekableReader<S> {
    /// Reads the table of a file; `None` where it does not end with one.
    ///
    /// # Errors
    /// As [`SeekTable::read`]; more content than `bounds` accept, with [`Exceeded`] inside.
    pub fn open(source: S, bounds: Bounds) -> io::Result<Option<Self>> {
        let Some(table) = SeekTable::read(&source)? else { return Ok(None) };
        Self::with_table(source, table, bounds).map(Some)
    }

    /// Reads a file whose table is known.
    ///
    /// # Errors
    /// More content than `bounds` accept, with [`Exceeded`] inside.
    pub fn with_table(source: S, table: SeekTable, bounds: Bounds) -> io::Result<Self> {
        if table.content_len() > bounds.bytes {
            return Err(Exceeded::Bytes { limit: bounds.bytes }.into());
        }
        Ok(Self { source: Arc::new(source), table, bounds, offset: 0, open: None, passed: Some(0), given: 0, taken: 0 })
    }

    /// The table.
    pub fn table(&self) -> &SeekTable {
        &self.table
    }

    /// What is read.
    pub fn get_ref(&self) -> &S {
        &self.source
    }

    /// Begins to decode a frame.
    fn open_frame(&mut self, frame: Frame) -> io::Result<Open<S>> {
        let packed = frame.packed.clone();
        let length = packed.end - packed.start;
        self.given = self.given.saturating_add(length);
        let slice = Slice { source: Arc::clone(&self.source), rest: packed, failed: false };
        let piece = usize::try_from(length.clamp(1, PIECE)).expect("a mebibyte is a usize");
        let decoder = zstd_decoder(BufReader::with_capacity(piece, slice), self.bounds.memory)?;
        Ok(Open { offset: frame.content.start, decoder, frame })
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let frame = self.table.frame_at(self.offset);
        self.pass_empty(frame.as_ref().map_or(self.table.len(), |frame| frame.index))?;
        let Some(frame) = frame else { return Ok(0) };
        let present = self.open.take().filter(|open| open.frame.index == frame.index && open.offset <= self.offset);
        let mut open = match present {
            Some(open) => open,
            None => self.open_frame(frame)?,
        };
        while open.offset < self.offset {
            let mut scratch = [0; 8 << 10];
            let gap = usize::try_from(self.offset - open.offset).map_or(scratch.len(), |gap| gap.min(scratch.len()));
            self.step(&mut open, &mut scratch[..gap])?;
        }
        let rest = usize::try_from(open.frame.content.end - open.offset).unwrap_or(usize::MAX);
        let most = buffer.len().min(rest);
        let count = self.step(&mut open, &mut buffer[..most])?;
        self.offset = open.offset;
        if open.offset < open.frame.content.end {
            self.open = Some(open);
        } else {
            self.passed = Some(open.frame.index + 1);
            self.check_end(open)?;
        }
        Ok(count)
    }

    /// Sees that the frames up to this one, all of which the table says hold nothing, do.
    fn pass_empty(&mut self, next: usize) -> io::Result<()> {
        while let Some(index) = self.passed.filter(|index| *index < next) {
            self.passed = Some(index + 1);
            let Some(frame) = self.table.frame(index) else { break };
            let open = self.open_frame(frame)?;
            self.check_end(open)?;
        }
        Ok(())
    }

    /// Sees that a frame has no more than was read.
    fn check_end(&self, mut open: Open<S>) -> io::Result<()> {
        match decode(&mut open, &mut [0], self.bounds.memory)? {
            0 => Ok(()),
            _ => Err(wrong_size(&open.frame)),
        }
    }

    /// Decodes some bytes of a frame that has more, as the table says.
    fn step(&mut self, open: &mut Open<S>, buffer: &mut [u8]) -> io::Result<usize> {
        let count = decode(open, buffer, self.bounds.memory)?;
        if count == 0 {
            return Err(wrong_size(&open.frame));
        }
        open.offset += count as u64;
        self.taken = self.taken.saturating_add(count as u64);
        self.bounds.check(self.given, self.taken)?;
        Ok(count)
    }
}

fn decode<S: ReadAt>(open: &mut Open<S>, buffer: &mut [u8], memory: u64) -> io::Result<usize> {
    open.decoder.read(buffer).map_err(|error| {
        if open.decoder.get_ref().get_ref().failed {
            return error;
        }
        if wants_memory(&error) {
            return Exceeded::Memory { limit: memory }.into();
        }
        Error::Damaged { format: Format::Zstd, offset: open.frame.packed.start, source: error }.into()
    })
}

fn wrong_size(frame: &Frame) -> io::Error {
    Error::FrameSize { offset: frame.packed.start, size: frame.content.end - frame.content.start }.into()
}

impl<S: ReadAt> Read for SeekableReader<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() { Ok(0) } else { self.try_read(buffer) }
    }
}

impl<S: ReadAt> Seek for SeekableReader<S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let offset = place(to, self.offset, || Ok(self.table.content_len()))?;
        if offset != self.offset {
            self.offset = offset;
            self.passed = None;
        }
        Ok(offset)
    }
}

/// A part of a source.
struct Slice<S> {
    source: Arc<S>,
    rest: Range<u64>,
    failed: bool,
}

impl<S: ReadAt> Read for Slice<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.rest.end - self.rest.start).unwrap_or(usize::MAX);
        let most = buffer.len().min(rest);
        loop {
            match self.source.read_at(&mut buffer[..most], self.rest.start) {
                Ok(count) => {
                    self.rest.start += count as u64;
                    return Ok(count);
                }
                // zstd does not go on after an interruption.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = true;
                    return Err(error);
                }
            }
        }
    }
}
