use std::fmt;
use std::io::{self, Write};
use std::ops::RangeInclusive;

use crate::gzip::GzipWriter;
use crate::{Error, Format};

/// The levels of zstd.
pub(crate) const ZSTD_LEVELS: RangeInclusive<u32> = 1..=22;

/// How to compress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncoderOptions {
    /// How hard to try: 1 to 22 for zstd, 0 to 9 for xz and gzip, 1 to 9 for bzip2. Without one it is what the format's
    /// own command uses.
    pub level: Option<u32>,
}

impl EncoderOptions {
    /// The level, held against those that the format has.
    pub(crate) fn level(&self, format: Format, default: u32, range: RangeInclusive<u32>) -> Result<u32, Error> {
        let level = self.level.unwrap_or(default);
        if range.contains(&level) { Ok(level) } else { Err(Error::Level { format, level, range }) }
    }
}

/// Writes a compressed file. Without [`Encoder::finish`] it is cut off.
#[must_use = "a compressed file ends with `finish`"]
pub struct Encoder<W: Write> {
    format: Format,
    state: State<W>,
}

enum State<W: Write> {
    Plain(W),
    Zstd(zstd::stream::write::Encoder<'static, W>),
    Xz(Box<liblzma::write::XzEncoder<W>>),
    Gzip(Box<GzipWriter<W>>),
    Bzip2(Box<bzip2::write::BzEncoder<W>>),
}

impl<W: Write> fmt::Debug for Encoder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("format", &self.format).finish_non_exhaustive()
    }
}

impl<W: Write> Encoder<W> {
    /// Compresses into `writer` as the format's own command does; equal input gives equal bytes.
    ///
    /// # Errors
    /// A format that is only read; no memory for the encoder.
    pub fn new(writer: W, format: Format) -> io::Result<Self> {
        Self::with_options(writer, format, &EncoderOptions::default())
    }

    /// Compresses into `writer`; equal input and an equal level give equal bytes.
    ///
    /// # Errors
    /// As [`Encoder::new`]; a level that the format does not have.
    pub fn with_options(writer: W, format: Format, options: &EncoderOptions) -> io::Result<Self> {
        let level = |default, range| options.level(format, default, range);
        let state = match format {
            Format::Plain => State::Plain(writer),
            Format::Zstd => State::Zstd(zstd_encoder(writer, level(3, ZSTD_LEVELS)?)?),
            Format::Xz => State::Xz(Box::new(liblzma::write::XzEncoder::new(writer, level(6, 0..=9)?))),
            Format::Gzip => State::Gzip(Box::new(GzipWriter::new(writer, level(6, 0..=9)?))),
            Format::Bzip2 => {
                let level = bzip2::Compression::new(level(9, 1..=9)?);
                State::Bzip2(Box::new(bzip2::write::BzEncoder::new(writer, level)))
            }
            Format::Lzip | Format::Lzma => return Err(Error::ReadOnly { format }.into()),
        };
        Ok(Self { format, state })
    }

    /// Writes what is left and gives the writer back, flushed.
    ///
    /// # Errors
    /// The writer fails.
    pub fn finish(self) -> io::Result<W> {
        let mut writer = match self.state {
            State::Plain(writer) => writer,
            State::Zstd(encoder) => encoder.finish()?,
            State::Xz(encoder) => encoder.finish()?,
            State::Gzip(encoder) => encoder.finish()?,
            State::Bzip2(encoder) => encoder.finish()?,
        };
        writer.flush()?;
        Ok(writer)
    }
}

fn zstd_encoder<W: Write>(writer: W, level: u32) -> io::Result<zstd::stream::write::Encoder<'static, W>> {
    let mut encoder = zstd::stream::write::Encoder::new(writer, level.cast_signed())?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            State::Plain(writer) => writer.write(bytes),
            State::Zstd(encoder) => encoder.write(bytes),
            State::Xz(encoder) => encoder.write(bytes),
            State::Gzip(encoder) => encoder.write(bytes),
            State::Bzip2(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::Plain(writer) => writer.flush(),
            State::Zstd(encoder) => encoder.flush(),
            State::Xz(encoder) => encoder.flush(),
            State::Gzip(encoder) => encoder.flush(),
            State::Bzip2(encoder) => encoder.flush(),
        }
    }
}
