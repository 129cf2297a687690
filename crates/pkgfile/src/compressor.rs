use std::fmt;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;

use codec::{Encoder, EncoderOptions, Format, SeekTable, SeekableEncoder, SeekableOptions};

use crate::boundaries::{Begun, Boundaries, Kind, Step};
use crate::{Error, Result};

/// The level of zstd when none is given.
const ZSTD_LEVEL: u32 = 2;

/// How to compress packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompressOptions {
    /// How hard to try, as [`EncoderOptions::level`] has it; 2 for zstd when none is given, which is a tenth larger than
    /// a `zstd -3` of the whole at most (3 is a twentieth), and takes a quarter less time than 3.
    pub level: Option<u32>,
    /// zstd: small contents share a frame that is no larger than this.
    pub group: usize,
    /// zstd: larger contents are split into frames of this many bytes.
    pub frame: usize,
    /// zstd: how many threads compress. What is written does not depend on it.
    pub threads: NonZeroUsize,
}

impl Default for CompressOptions {
    /// Groups of 256 KiB, frames of 2 MiB, as many threads as there are processors.
    fn default() -> Self {
        Self { level: None, group: 256 << 10, frame: 2 << 20, threads: SeekableOptions::default().threads }
    }
}

/// Takes the bytes of a package that is not compressed, and writes them compressed.
///
/// With zstd the file is a seekable one: the package record stands alone in its frames, so do the scripts and the
/// summary, small contents are grouped, large ones are split. Any zstd gives the package back, and a
/// [`PackageFile`](crate::PackageFile) gets single contents out. With the other formats it is one stream.
///
/// Equal packages give equal files at the same options, whatever the number of threads and the pieces in which the bytes
/// come. That they are records is checked, because frames follow from it; checksums are not.
#[must_use = "a compressed package ends with `finish`"]
pub struct Compressor<W: Write> {
    state: State<W>,
}

enum State<W: Write> {
    Stream(Encoder<W>),
    Frames(Box<Frames<W>>),
}

impl<W: Write> fmt::Debug for Compressor<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Stream(encoder) => encoder.fmt(f),
            State::Frames(frames) => frames.encoder.fmt(f),
        }
    }
}

/// Bytes on their way into frames.
struct Frames<W> {
    encoder: SeekableEncoder<W>,
    boundaries: Boundaries,
    group: usize,
    /// What the record is that passes.
    present: Kind,
    /// How many scripts are still to come.
    scripts: usize,
}

impl<W: Write> Compressor<W> {
    /// Compresses into `writer`; [`Format::Plain`] leaves the bytes as they are.
    ///
    /// # Errors
    /// A level or frame size that there is not; a format that is only read.
    pub fn new(writer: W, format: Format, options: &CompressOptions) -> io::Result<Self> {
        let state = if format == Format::Zstd {
            State::Frames(Box::new(Frames::new(writer, options)?))
        } else {
            State::Stream(Encoder::with_options(writer, format, &EncoderOptions { level: options.level })?)
        };
        Ok(Self { state })
    }

    /// Compresses with zstd the blob records of a package whose first record is not known yet, the first `scripts` of
    /// them scripts. [`Compressor::finish_frames`] gives frames that [`Compressor::append`] puts in their place.
    ///
    /// # Errors
    /// As [`Compressor::new`].
    pub fn of_blobs(writer: W, scripts: usize, options: &CompressOptions) -> io::Result<Self> {
        let frames = Frames { scripts, ..Frames::new(writer, options)? };
        Ok(Self { state: State::Frames(Box::new(frames)) })
    }

    /// Adds blob records that were compressed ahead: the file becomes the one that it would be had they been written
    /// here. It must be a zstd file, with the package record in it already and nothing else.
    ///
    /// # Errors
    /// A record is not whole, or the format is another; `packed` fails or ends too early; the writer fails.
    pub fn append(&mut self, table: &SeekTable, packed: impl Read) -> Result<()> {
        let State::Frames(frames) = &mut self.state else { return Err(Error::NoFrames) };
        frames.boundaries.check_end()?;
        frames.scripts = 0;
        frames.encoder.append(table, packed).map_err(Error::Source)
    }

    /// Writes what is left and gives the writer back, flushed.
    ///
    /// # Errors
    /// What was compressed ends within a record; the writer fails.
    pub fn finish(self) -> Result<W> {
        match self.state {
            State::Stream(encoder) => encoder.finish().map_err(Error::Source),
            State::Frames(frames) => {
                frames.boundaries.check_end()?;
                Ok(frames.encoder.finish().map_err(Error::Source)?.0)
            }
        }
    }
}

impl<W: Write> Compressor<W> {
    /// As [`Compressor::finish`], but without the seek table: frames for [`Compressor::append`].
    ///
    /// # Errors
    /// As [`Compressor::finish`]; the format is not zstd.
    pub fn finish_frames(self) -> Result<(W, SeekTable)> {
        let State::Frames(frames) = self.state else { return Err(Error::NoFrames) };
        frames.boundaries.check_end()?;
        frames.encoder.finish_frames().map_err(Error::Source)
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            State::Stream(encoder) => encoder.write(bytes),
            State::Frames(_) if bytes.is_empty() => Ok(0),
            State::Frames(frames) => Ok(frames.write(bytes)?),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::Stream(encoder) => encoder.flush(),
            State::Frames(frames) => frames.encoder.flush(),
        }
    }
}

impl<W: Write> Frames<W> {
    fn new(writer: W, options: &CompressOptions) -> io::Result<Self> {
        let CompressOptions { level, group, frame, threads } = *options;
        let mut seekable = SeekableOptions::default();
        seekable.level = level.unwrap_or(ZSTD_LEVEL);
        seekable.frame = frame;
        seekable.threads = threads;
        Ok(Self {
            encoder: SeekableEncoder::new(writer, &seekable)?,
            boundaries: Boundaries::default(),
            group,
            present: Kind::Blob,
            scripts: 0,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let step = self.boundaries.step(bytes)?;
        let count = match step {
            Step::Head(count) => count,
            Step::Begin(count, begun) => {
                self.begin(begun).map_err(Error::Source)?;
                count
            }
            Step::Body(count) | Step::End(count) => {
                self.encoder.write_all(&bytes[..count]).map_err(Error::Source)?;
                count
            }
        };
        if let Step::End(_) = step {
            self.end().map_err(Error::Source)?;
        }
        Ok(count)
    }

    /// Ends the frame where the record that begins shall not be in it.
    fn begin(&mut self, begun: Begun) -> io::Result<()> {
        let is_too_much = begun.length.saturating_add(self.encoder.open_len() as u64) > self.group as u64;
        if begun.kind != Kind::Blob || is_too_much {
            self.encoder.cut()?;
        }
        self.present = begun.kind;
        self.encoder.write_all(&self.boundaries.take_head())
    }

    /// Ends the frame where nothing shall follow in it.
    fn end(&mut self) -> io::Result<()> {
        let is_whole = match self.present {
            Kind::Package { scripts } => {
                self.scripts = scripts;
                true
            }
            Kind::Summary => true,
            Kind::Blob if self.scripts > 0 => {
                self.scripts -= 1;
                self.scripts == 0
            }
            Kind::Blob => self.encoder.open_len() >= self.group,
        };
        if is_whole { self.encoder.cut() } else { Ok(()) }
    }
}
