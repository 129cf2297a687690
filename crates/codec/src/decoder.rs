use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::rc::Rc;

use crate::bounds::{Counted, Meter};
use crate::{Bounds, Format};

/// Reads a file whatever it is compressed with, and one that is not as it is.
///
/// Several compressed files one after another are one, as with `cat a.gz b.gz`. The source need not seek, so a pipe will
/// do.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for what is no such file or is damaged; with [`Exceeded`](crate::Exceeded) inside
/// where a bound is passed. [`io::ErrorKind::UnexpectedEof`] where the file is cut off.
pub struct Decoder<R: Read> {
    format: Format,
    state: State<R>,
    meter: Meter,
}

/// The source with the bytes that were looked at put back.
type Source<R> = BufReader<Counted<Chain<Cursor<Vec<u8>>, R>>>;

enum State<R: Read> {
    Plain(Source<R>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Source<R>>>),
    Xz(Box<liblzma::bufread::XzDecoder<Source<R>>>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<Source<R>>>),
    Bzip2(Box<bzip2::bufread::MultiBzDecoder<Source<R>>>),
}

impl<R: Read> fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("format", &self.format)
            .field("taken", &self.meter.taken)
            .finish_non_exhaustive()
    }
}

impl<R: Read> Decoder<R> {
    /// Looks at the first bytes of `source` and reads the rest accordingly.
    ///
    /// # Errors
    /// The source fails.
    pub fn new(mut source: R, bounds: Bounds) -> io::Result<Self> {
        let mut head = Vec::with_capacity(Format::MAGIC_LEN);
        source.by_ref().take(Format::MAGIC_LEN as u64).read_to_end(&mut head)?;
        let format = Format::sniff(&head);
        let given = Rc::new(Cell::new(0));
        let counted = Counted { inner: Cursor::new(head).chain(source), count: Rc::clone(&given) };
        let source = BufReader::with_capacity(1 << 17, counted);
        let state = match format {
            Format::Plain => State::Plain(source),
            Format::Zstd => State::Zstd(Box::new(zstd_decoder(source, bounds.memory)?)),
            Format::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(bounds.memory, liblzma::stream::CONCATENATED)?;
                State::Xz(Box::new(liblzma::bufread::XzDecoder::new_stream(source, stream)))
            }
            Format::Gzip => State::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(source))),
            Format::Bzip2 => State::Bzip2(Box::new(bzip2::bufread::MultiBzDecoder::new(source))),
        };
        Ok(Self { format, state, meter: Meter { bounds, given, taken: 0 } })
    }

    /// What the source is compressed with.
    pub fn format(&self) -> Format {
        self.format
    }
}

fn zstd_decoder<S: BufRead>(source: S, memory: u64) -> io::Result<zstd::stream::read::Decoder<'static, S>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
    // The format counts windows in powers of two.
    decoder.window_log_max(memory.max(1 << 10).ilog2())?;
    Ok(decoder)
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.state {
            State::Plain(source) => return source.read(buffer),
            State::Zstd(decoder) => decoder.read(buffer),
            State::Xz(decoder) => decoder.read(buffer),
            State::Gzip(decoder) => decoder.read(buffer),
            State::Bzip2(decoder) => decoder.read(buffer),
        };
        let read = read.map_err(|error| explain(self.format, &error, self.meter.given.get()))?;
        self.meter.add(read).map_err(|exceeded| io::Error::new(io::ErrorKind::InvalidData, exceeded))?;
        Ok(read)
    }
}

/// The libraries' messages, with the format and how far the source was read.
fn explain(format: Format, error: &io::Error, given: u64) -> io::Error {
    // The kinds that the libraries choose for damage differ; a source's own errors keep theirs.
    let kind = match error.kind() {
        io::ErrorKind::Other | io::ErrorKind::InvalidInput if error.raw_os_error().is_none() => {
            io::ErrorKind::InvalidData
        }
        kind => kind,
    };
    io::Error::new(kind, format!("{format} stream, before byte {given}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::{Encoder, Exceeded};

    const ALL: [Format; 5] = [Format::Plain, Format::Zstd, Format::Xz, Format::Gzip, Format::Bzip2];

    fn packed(format: Format, content: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), format).unwrap();
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        Decoder::new(bytes, Bounds::default())?.read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn several_files_in_a_row_are_one() {
        for format in ALL {
            let twice = [packed(format, b"one\n"), packed(format, b"two\n")].concat();
            assert_eq!(unpacked(&twice).unwrap(), b"one\ntwo\n", "{format}");
        }
    }

    #[test]
    fn a_file_that_is_cut_off_is_an_error() {
        for format in ALL.into_iter().filter(|format| *format != Format::Plain) {
            let whole = packed(format, b"some content that is long enough to be cut");
            for end in Format::MAGIC_LEN..whole.len() {
                assert!(unpacked(&whole[..end]).is_err(), "{format} cut at {end}");
            }
        }
    }

    #[test]
    fn a_bomb_is_stopped_by_its_ratio() {
        for format in ALL.into_iter().filter(|format| *format != Format::Plain) {
            let bomb = packed(format, &vec![0; 4 << 20]);
            let bounds = Bounds { slack: 1 << 16, ratio: 20, ..Bounds::default() };
            let error = io::copy(&mut Decoder::new(&*bomb, bounds).unwrap(), &mut io::sink()).unwrap_err();
            let exceeded = error.get_ref().and_then(|inner| inner.downcast_ref::<Exceeded>());
            assert!(matches!(exceeded, Some(Exceeded::Ratio { .. })), "{format}: {error}");
        }
    }

    #[test]
    fn output_is_bounded_in_bytes() {
        let bounds = Bounds { bytes: 100, ..Bounds::default() };
        let file = packed(Format::Gzip, &[7; 101]);
        assert!(io::copy(&mut Decoder::new(&*file, bounds).unwrap(), &mut io::sink()).is_err());
        let file = packed(Format::Gzip, &[7; 100]);
        assert_eq!(io::copy(&mut Decoder::new(&*file, bounds).unwrap(), &mut io::sink()).unwrap(), 100);
    }

    #[test]
    fn a_window_that_needs_too_much_memory_is_refused() {
        let bounds = Bounds { memory: 1 << 16, ..Bounds::default() };
        for format in [Format::Zstd, Format::Xz] {
            let file = packed(format, &vec![1; 8 << 20]);
            assert!(io::copy(&mut Decoder::new(&*file, bounds).unwrap(), &mut io::sink()).is_err(), "{format}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_went_in_comes_out(content in proptest::collection::vec(any::<u8>(), 0..2000), which in 0usize..5) {
            let format = ALL[which];
            // Content that begins like a compressed file is one, when it is not packed.
            prop_assume!(format != Format::Plain || Format::sniff(&content) == Format::Plain);
            prop_assert_eq!(unpacked(&packed(format, &content)).unwrap(), content);
        }

        #[test]
        fn damage_is_an_error_or_nothing(at in 0usize..1000, bit in 0u8..8, which in 1usize..5) {
            let mut file = packed(ALL[which], b"content content content");
            let at = at % file.len();
            file[at] ^= 1 << bit;
            // Whatever comes out, nothing panics and nothing hangs.
            let _ = unpacked(&file);
        }
    }
}
