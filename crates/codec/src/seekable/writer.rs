use std::fmt;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;

use crate::encoder::ZSTD_LEVELS;
use crate::pool::{self, Pool, Setting, Work};
use crate::{EncoderOptions, Error, Format, SeekTable};

/// How much content a frame may hold.
const FRAME_SIZES: RangeInclusive<usize> = 1 << 10..=1 << 30;
/// Bytes of content that are on their way at most, frames that are still filled not counted.
const ON_THE_WAY: usize = 24 << 20;
/// Bytes copied at once.
const COPY: usize = 128 << 10;

/// How to write seekable zstd files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeekableOptions {
    /// How hard to try, 1 to 22.
    pub level: u32,
    /// Bytes of content after which a frame ends by itself, 1 KiB to 1 GiB.
    pub frame: usize,
    /// How many threads compress. What is written does not depend on it.
    pub threads: NonZeroUsize,
}

impl Default for SeekableOptions {
    /// Level 3, frames of 1 MiB, as many threads as there are processors.
    fn default() -> Self {
        Self { level: 3, frame: 1 << 20, threads: pool::processors() }
    }
}

/// Writes a zstd file of independent frames and, at its end, their [`SeekTable`].
///
/// Frames end where [`SeekableEncoder::cut`] says, and where they are full. Each has its content's size in its header and
/// a checksum at its end, so that any zstd finds damage. What is written follows from content, cuts and level alone: not
/// from the number of threads, nor from how the input came in pieces.
///
/// Memory: 24 MiB of content, what it was compressed to, a frame more, and what zstd itself needs for each thread (about
/// 3 MiB at level 3).
///
/// ```
/// use std::io::{Read, Write};
///
/// use codec::{Bounds, Decoder, SeekableEncoder, SeekableOptions};
///
/// let mut encoder = SeekableEncoder::new(Vec::new(), &SeekableOptions::default())?;
/// encoder.write_all(b"one\n")?;
/// encoder.cut()?;
/// encoder.write_all(b"two\n")?;
/// let (file, table) = encoder.finish()?;
/// assert_eq!(table.frame(1).map(|frame| frame.content), Some(4..8));
///
/// let mut text = String::new();
/// Decoder::new(&*file, Bounds::default())?.read_to_string(&mut text)?;
/// assert_eq!(text, "one\ntwo\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a seekable file ends with `finish`"]
pub struct SeekableEncoder<W> {
    writer: W,
    pool: Pool<Task>,
    frame: usize,
    /// The frame that is filled.
    open: Task,
    /// Bytes on their way.
    weight: usize,
    table: SeekTable,
    /// Buffers to be used again.
    spare: Vec<Task>,
    /// A frame is missing in what was written.
    failed: bool,
}

/// A frame on its way.
#[derive(Debug, Default)]
struct Task {
    content: Vec<u8>,
    packed: Vec<u8>,
    error: Option<io::Error>,
}

impl<W> fmt::Debug for SeekableEncoder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeekableEncoder")
            .field("pool", &self.pool)
            .field("frames", &self.table.len())
            .finish_non_exhaustive()
    }
}

impl<W: Write> SeekableEncoder<W> {
    /// Compresses into `writer`.
    ///
    /// # Errors
    /// A level or frame size that there is not.
    pub fn new(writer: W, options: &SeekableOptions) -> io::Result<Self> {
        let level = EncoderOptions { level: Some(options.level) }.level(Format::Zstd, options.level, ZSTD_LEVELS)?;
        if !FRAME_SIZES.contains(&options.frame) {
            return Err(Error::FrameLength { size: options.frame, range: FRAME_SIZES }.into());
        }
        Ok(Self {
            writer,
            pool: Pool::new(options.threads, level.cast_signed(), worker),
            frame: options.frame,
            open: Task::default(),
            weight: 0,
            table: SeekTable::default(),
            spare: Vec::new(),
            failed: false,
        })
    }

    /// How many bytes the frame has that is filled now.
    pub fn open_len(&self) -> usize {
        self.open.content.len()
    }

    /// Ends the frame: what follows goes into another one. Without bytes in it there is none to end.
    ///
    /// # Errors
    /// The writer fails; too many frames.
    pub fn cut(&mut self) -> io::Result<()> {
        if self.open.content.is_empty() {
            return Ok(());
        }
        // A frame on its way takes its content, and about as much again for what it is compressed to.
        while self.weight >= ON_THE_WAY {
            self.write_oldest()?;
        }
        let next = self.spare.pop().unwrap_or_default();
        let task = std::mem::replace(&mut self.open, next);
        self.weight += task.content.len();
        self.pool.submit(task);
        Ok(())
    }

    /// Adds the frames of another seekable file, which stand in `packed` as `table` says, as they are.
    ///
    /// # Errors
    /// `packed` ends too early or fails; the writer fails; too many frames.
    pub fn append(&mut self, table: &SeekTable, packed: impl Read) -> io::Result<()> {
        self.drain()?;
        self.failed = true;
        let mut packed = packed.take(table.packed_len());
        let mut buffer = vec![0; COPY];
        let mut missing = table.packed_len();
        while missing > 0 {
            let count = match packed.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.writer.write_all(&buffer[..count])?;
            missing -= count as u64;
        }
        for frame in table.frames() {
            let length = |range: std::ops::Range<u64>| (range.end - range.start) as u32;
            self.table.push(length(frame.packed), length(frame.content))?;
        }
        self.failed = false;
        Ok(())
    }

    /// Writes what is left and the table, and gives the writer back, flushed.
    ///
    /// # Errors
    /// As [`SeekableEncoder::cut`].
    pub fn finish(mut self) -> io::Result<(W, SeekTable)> {
        self.drain()?;
        self.writer.write_all(&self.table.encode())?;
        self.writer.flush()?;
        Ok((self.writer, self.table))
    }

    /// As [`SeekableEncoder::finish`], without the table in the file: frames for [`SeekableEncoder::append`].
    ///
    /// # Errors
    /// As [`SeekableEncoder::cut`].
    pub fn finish_frames(mut self) -> io::Result<(W, SeekTable)> {
        self.drain()?;
        self.writer.flush()?;
        Ok((self.writer, self.table))
    }

    /// Ends the frame and writes all that are on their way.
    fn drain(&mut self) -> io::Result<()> {
        self.cut()?;
        self.write_pending()
    }

    fn write_pending(&mut self) -> io::Result<()> {
        while self.pool.pending() > 0 {
            self.write_oldest()?;
        }
        if self.failed { Err(Error::EncoderFailed { format: Format::Zstd }.into()) } else { Ok(()) }
    }

    fn write_oldest(&mut self) -> io::Result<()> {
        let Some(mut task) = self.pool.next() else { return Ok(()) };
        self.weight -= task.content.len();
        if std::mem::replace(&mut self.failed, true) {
            return Err(Error::EncoderFailed { format: Format::Zstd }.into());
        }
        if let Some(error) = task.error.take() {
            return Err(error);
        }
        let length =
            |bytes: &[u8]| u32::try_from(bytes.len()).expect("a frame is at most 1 GiB, and little more packed");
        self.table.push(length(&task.packed), length(&task.content))?;
        self.writer.write_all(&task.packed)?;
        self.failed = false;
        task.content.clear();
        task.packed.clear();
        self.spare.push(task);
        Ok(())
    }
}

impl<W: Write> Write for SeekableEncoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.frame - self.open.content.len());
        self.open.content.extend_from_slice(&bytes[..count]);
        if self.open.content.len() == self.frame {
            self.cut()?;
        }
        Ok(count)
    }

    /// Writes what is complete; the open frame stays open, so that flushing does not show in the file.
    fn flush(&mut self) -> io::Result<()> {
        self.write_pending()?;
        self.writer.flush()
    }
}

fn worker(level: Setting) -> Work<Task> {
    let mut encoder = None;
    Box::new(move |task| {
        if let Err(error) = encode(&mut encoder, level, task) {
            task.error = Some(error);
        }
    })
}

fn encode(encoder: &mut Option<zstd::bulk::Compressor<'static>>, level: Setting, task: &mut Task) -> io::Result<()> {
    let encoder = match encoder {
        Some(encoder) => encoder,
        None => {
            let encoder = encoder.insert(zstd::bulk::Compressor::new(level)?);
            encoder.include_checksum(true)?;
            encoder
        }
    };
    task.packed.clear();
    task.packed.reserve(zstd::zstd_safe::compress_bound(task.content.len()));
    encoder.compress_to_buffer(&task.content, &mut task.packed)?;
    Ok(())
}
