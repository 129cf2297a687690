use std::fmt;
use std::io::{self, Write};

use crate::Format;

/// Levels at which each format is still quick; zstd's is the one its own command uses.
const ZSTD_LEVEL: i32 = 3;
const XZ_LEVEL: u32 = 6;

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
    Gzip(Box<flate2::write::GzEncoder<W>>),
    Bzip2(Box<bzip2::write::BzEncoder<W>>),
}

impl<W: Write> fmt::Debug for Encoder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("format", &self.format).finish_non_exhaustive()
    }
}

impl<W: Write> Encoder<W> {
    /// Compresses into `writer`; equal input gives equal bytes.
    ///
    /// # Errors
    /// No memory for the encoder.
    pub fn new(writer: W, format: Format) -> io::Result<Self> {
        let state = match format {
            Format::Plain => State::Plain(writer),
            Format::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(writer, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                State::Zstd(encoder)
            }
            Format::Xz => State::Xz(Box::new(liblzma::write::XzEncoder::new(writer, XZ_LEVEL))),
            Format::Gzip => {
                State::Gzip(Box::new(flate2::write::GzEncoder::new(writer, flate2::Compression::default())))
            }
            Format::Bzip2 => State::Bzip2(Box::new(bzip2::write::BzEncoder::new(writer, bzip2::Compression::best()))),
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
