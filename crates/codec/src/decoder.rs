use std::fmt;
use std::io::{self, BufRead, Read};
use std::num::NonZeroUsize;

use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use zstd::zstd_safe::DParameter;

use crate::frames::Frames;
use crate::source::Source;
use crate::{Bounds, Error, Exceeded, Format, pool};

/// Reads a file whatever it is compressed with, and one that is not as it is.
///
/// Several compressed files one after another are one, as with `cat a.gz b.gz`, and skippable zstd frames are skipped.
/// The source need not seek, so a pipe will do.
///
/// The frames of a zstd file that has many are decoded on all processors, up to the first that is larger than 4 MiB or
/// does not tell its size; 4 MiB of them for each thread, 32 MiB in all, and a frame more, are on their way at most.
/// With one thread that is the caller's, which keeps a decoder and the buffers of one frame, 8 MiB at most, until it ends.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for what is damaged, with an [`Error`] inside, and where a bound is passed, with
/// [`Exceeded`] inside. [`io::ErrorKind::UnexpectedEof`] where the file is cut off. The source's own errors come as they
/// are.
pub struct Decoder<R: Read> {
    format: Format,
    bounds: Bounds,
    taken: u64,
    is_unchecked: bool,
    state: State<R>,
}

enum State<R: Read> {
    Plain(Source<R>),
    /// zstd, as long as its frames can be held whole.
    Frames(Box<Frames<R>>),
    /// zstd from the first frame on that can not.
    Zstd(Box<zstd::stream::read::Decoder<'static, Source<R>>>),
    /// The formats of liblzma.
    Lzma(Box<XzDecoder<Source<R>>>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<Source<R>>>),
    Bzip2(Box<bzip2::bufread::MultiBzDecoder<Source<R>>>),
    /// After an error or the end.
    Ended {
        used: u64,
        failed: bool,
    },
}

impl<R: Read> fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("format", &self.format)
            .field("used", &self.used())
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

impl<R: Read> Decoder<R> {
    /// Looks at the first bytes of `source` and reads the rest accordingly.
    ///
    /// # Errors
    /// The source fails.
    pub fn new(source: R, bounds: Bounds) -> io::Result<Self> {
        Self::with_threads(source, bounds, pool::processors())
    }

    /// The same with no more than so many threads, where several files are read at the same time; with one, that is the
    /// caller's.
    ///
    /// # Errors
    /// The source fails.
    pub fn with_threads(source: R, bounds: Bounds, threads: NonZeroUsize) -> io::Result<Self> {
        let (format, source) = Source::sniff(source)?;
        let state = match format {
            Format::Plain => State::Plain(source),
            Format::Zstd => State::Frames(Box::new(Frames::new(source, bounds.memory, threads))),
            Format::Xz => lzma(source, Stream::new_stream_decoder(bounds.memory, CONCATENATED)?),
            Format::Lzip => lzma(source, Stream::new_lzip_decoder(bounds.memory, 0)?),
            Format::Lzma => lzma(source, Stream::new_lzma_decoder(bounds.memory)?),
            Format::Gzip => State::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(source))),
            Format::Bzip2 => State::Bzip2(Box::new(bzip2::bufread::MultiBzDecoder::new(source))),
        };
        Ok(Self { format, bounds, taken: 0, is_unchecked: false, state })
    }

    /// Does not compute the checksums at the ends of zstd frames, for who holds all that comes out against digests. Damage
    /// comes out as content then, if it can be decoded at all.
    #[must_use]
    pub fn unchecked(mut self) -> Self {
        self.is_unchecked = true;
        if let State::Frames(frames) = &mut self.state {
            frames.leave_unchecked();
        }
        self
    }

    /// What the source is compressed with.
    pub fn format(&self) -> Format {
        self.format
    }

    /// How many bytes of the source were used.
    pub fn used(&self) -> u64 {
        match &self.state {
            State::Ended { used, .. } => *used,
            State::Frames(frames) => frames.used(),
            state => state.source().map_or(0, Source::used),
        }
    }

    /// How many bytes came out.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.state.read(buffer).map_err(|error| self.explain(error))?;
            self.taken = self.taken.saturating_add(count as u64);
            // What is not compressed can not be a bomb, however large it is.
            let given = if self.format == Format::Plain { u64::MAX } else { self.used() };
            self.bounds.check(given, self.taken)?;
            if count > 0 || self.end()? {
                return Ok(count);
            }
        }
    }

    /// The decoder has nothing more to give. False where another file follows that it has not seen.
    fn end(&mut self) -> io::Result<bool> {
        let (format, offset) = (self.format, self.used());
        let Some(source) = self.state.source_mut() else { return Ok(true) };
        let at_end = source.fill_buf()?.is_empty();
        match std::mem::replace(&mut self.state, State::Ended { used: offset, failed: false }) {
            State::Frames(frames) if !frames.at_end() => {
                let mut decoder = zstd_decoder(frames.into_source(), self.bounds.memory)?;
                decoder.set_parameter(DParameter::ForceIgnoreChecksum(self.is_unchecked))?;
                self.state = State::Zstd(Box::new(decoder));
                Ok(false)
            }
            _ if at_end => Ok(true),
            // Left to itself, liblzma takes the beginning of a second magic for something to ignore.
            State::Lzma(decoder) if format == Format::Lzip => {
                self.state = lzma(decoder.into_inner(), Stream::new_lzip_decoder(self.bounds.memory, 0)?);
                Ok(false)
            }
            _ => Err(Error::TrailingBytes { format, offset }.into()),
        }
    }

    /// A library's message, with the format and how far the source was used; a source's own error as it is.
    fn explain(&self, error: io::Error) -> io::Error {
        if self.state.source_failed() {
            return error;
        }
        if wants_memory(&error) {
            return Exceeded::Memory { limit: self.bounds.memory }.into();
        }
        Error::Damaged { format: self.format, offset: self.used(), source: error }.into()
    }
}

fn lzma<R: Read>(source: Source<R>, stream: Stream) -> State<R> {
    State::Lzma(Box::new(XzDecoder::new_stream(source, stream)))
}

pub(crate) fn zstd_decoder<S: BufRead>(source: S, memory: u64) -> io::Result<zstd::stream::read::Decoder<'static, S>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
    // The format counts windows in powers of two, and the library knows these; less where addresses are short.
    let largest = if cfg!(target_pointer_width = "64") { 1 << 31 } else { 1 << 30 };
    decoder.window_log_max(memory.clamp(1 << 10, largest).ilog2())?;
    Ok(decoder)
}

pub(crate) fn wants_memory(error: &io::Error) -> bool {
    let Some(inner) = error.get_ref() else { return false };
    match inner.downcast_ref() {
        Some(error) => matches!(error, liblzma::stream::Error::MemLimit),
        // zstd's errors reach us as text alone.
        None => inner.to_string().contains("too much memory"),
    }
}

impl<R: Read> State<R> {
    fn source(&self) -> Option<&Source<R>> {
        match self {
            Self::Plain(source) => Some(source),
            Self::Frames(frames) => Some(frames.source()),
            Self::Zstd(decoder) => Some(decoder.get_ref()),
            Self::Lzma(decoder) => Some(decoder.get_ref()),
            Self::Gzip(decoder) => Some(decoder.get_ref()),
            Self::Bzip2(decoder) => Some(decoder.get_ref()),
            Self::Ended { .. } => None,
        }
    }

    fn source_mut(&mut self) -> Option<&mut Source<R>> {
        match self {
            Self::Plain(source) => Some(source),
            Self::Frames(frames) => Some(frames.source_mut()),
            Self::Zstd(decoder) => Some(decoder.get_mut()),
            Self::Lzma(decoder) => Some(decoder.get_mut()),
            Self::Gzip(decoder) => Some(decoder.get_mut()),
            Self::Bzip2(decoder) => Some(decoder.get_mut()),
            Self::Ended { .. } => None,
        }
    }

    /// Whether an error is the source's own.
    fn source_failed(&self) -> bool {
        match self {
            // It may have failed behind what a frame's error is about.
            Self::Frames(frames) => frames.source_failed(),
            state => state.source().is_some_and(Source::failed),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(buffer),
            Self::Frames(frames) => frames.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
            Self::Lzma(decoder) => decoder.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Bzip2(decoder) => decoder.read(buffer),
            Self::Ended { .. } => Ok(0),
        }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if let State::Ended { failed: true, .. } = self.state {
            return Err(Error::Failed { format: self.format }.into());
        }
        let count = self.try_read(buffer);
        if count.is_err() {
            self.state = State::Ended { used: self.used(), failed: true };
        }
        count
    }
}
