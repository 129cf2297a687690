//! Compressed files are read whole or refused.
#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::io::{self, Read, Write};

use codec::{Bounds, Decoder, Encoder, Error, Exceeded, Format};
use liblzma::stream::{Action, Filters, LzmaOptions, Stream};
use proptest::prelude::*;

const PACKED: [Format; 6] = [Format::Zstd, Format::Xz, Format::Gzip, Format::Bzip2, Format::Lzip, Format::Lzma];
/// Formats of which several files in a row are one.
const CHAINED: [Format; 5] = [Format::Zstd, Format::Xz, Format::Gzip, Format::Bzip2, Format::Lzip];

fn packed(format: Format, content: &[u8]) -> Vec<u8> {
    let mut options = LzmaOptions::new_preset(6).unwrap();
    match format {
        Format::Lzma => run(Stream::new_lzma_encoder(&options).unwrap(), content),
        Format::Lzip => lzip(
            &run(Stream::new_raw_encoder(Filters::new().lzma1(options.dict_size(1 << 23))).unwrap(), content),
            content,
        ),
        _ => {
            let mut encoder = Encoder::new(Vec::new(), format).unwrap();
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
    }
}

fn run(mut stream: Stream, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(content.len() + 4096);
    stream.process_vec(content, &mut bytes, Action::Finish).unwrap();
    bytes
}

/// The .lz format around a raw stream: magic, version, dictionary of 2^23; checksum, size of content and file.
fn lzip(raw: &[u8], content: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(content);
    let (size, whole) = (content.len() as u64, raw.len() as u64 + 26);
    [b"LZIP\x01\x17", raw, &crc.sum().to_le_bytes(), &size.to_le_bytes(), &whole.to_le_bytes()].concat()
}

fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    Decoder::new(bytes, Bounds::default())?.read_to_end(&mut content)?;
    Ok(content)
}

fn refusal(bytes: &[u8], bounds: Bounds) -> io::Error {
    Decoder::new(bytes, bounds).and_then(|mut decoder| io::copy(&mut decoder, &mut io::sink())).unwrap_err()
}

fn exceeded(error: &io::Error) -> Exceeded {
    *error.get_ref().and_then(|inner| inner.downcast_ref()).unwrap_or_else(|| panic!("{error}"))
}

#[test]
fn formats_are_told_by_their_first_bytes() {
    for format in PACKED {
        assert_eq!(Decoder::new(&*packed(format, b"x"), Bounds::default()).unwrap().format(), format);
    }
    assert_eq!(Decoder::new(&b""[..], Bounds::default()).unwrap().format(), Format::Plain);
}

#[test]
fn several_files_in_a_row_are_one() {
    for format in CHAINED {
        let twice = [packed(format, b"one\n"), packed(format, b""), packed(format, b"two\n")].concat();
        assert_eq!(unpacked(&twice).unwrap(), b"one\ntwo\n", "{format}");
    }
}

#[test]
fn skippable_frames_are_skipped() {
    let skippable = b"\x5e\x2a\x4d\x18\x03\0\0\0abc";
    let file =
        [skippable, &*packed(Format::Zstd, b"one"), skippable, &packed(Format::Zstd, b"two"), skippable].concat();
    assert_eq!(unpacked(&file).unwrap(), b"onetwo");
    assert_eq!(unpacked(skippable).unwrap(), b"");
}

/// `printf 'hi\n' | gzip -n`, and the same with a file name in the header.
#[test]
fn files_of_other_programs() {
    let body = b"\xcb\xc8\xe4\x02\x00\x7a\x7a\x6f\xed\x03\0\0\0";
    for header in [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], b"\x1f\x8b\x08\x08\0\0\0\0\0\x03hi.txt\0"] {
        assert_eq!(unpacked(&[header, body].concat()).unwrap(), b"hi\n");
    }
}

#[test]
fn a_file_that_is_cut_off_is_an_error() {
    for format in PACKED {
        let one = packed(format, b"some content that is long enough to be cut");
        let files = if format == Format::Lzma { vec![one.clone()] } else { vec![one.clone(), one.clone()] };
        let file = files.concat();
        for end in (Format::MAGIC_LEN..file.len()).filter(|end| *end != one.len()) {
            assert!(unpacked(&file[..end]).is_err(), "{format} cut at {end} of {}", file.len());
        }
    }
}

#[test]
fn what_follows_the_end_is_an_error() {
    for format in PACKED {
        let file = [&*packed(format, b"content"), b"garbage"].concat();
        assert!(unpacked(&file).is_err(), "{format}");
    }
}

#[test]
fn a_bomb_is_stopped_by_its_ratio() {
    for format in PACKED {
        let bomb = packed(format, &vec![0; 4 << 20]);
        let bounds = Bounds { slack: 1 << 16, ratio: 20, ..Bounds::default() };
        let mut decoder = Decoder::new(&*bomb, bounds).unwrap();
        let error = io::copy(&mut decoder, &mut io::sink()).unwrap_err();
        assert!(matches!(exceeded(&error), Exceeded::Ratio { ratio: 20, .. }), "{format}: {error}");
        assert!(decoder.taken() < 1 << 20, "{format}: {} bytes came out", decoder.taken());
        assert!(decoder.read(&mut [0]).is_err(), "{format}: it gives nothing more");
    }
}

/// What stands behind a bomb does not pay for it.
#[test]
fn the_ratio_counts_what_was_used_alone() {
    let bomb = packed(Format::Gzip, &vec![0; 4 << 20]);
    let mut noise = vec![0; 1 << 20];
    let mut state = 1u32;
    noise.fill_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let file = [bomb, packed(Format::Gzip, &noise)].concat();
    let bounds = Bounds { slack: 1 << 16, ratio: 20, ..Bounds::default() };
    assert!(matches!(exceeded(&refusal(&file, bounds)), Exceeded::Ratio { .. }));
}

#[test]
fn output_is_bounded_in_bytes() {
    for format in [Format::Plain, Format::Zstd, Format::Xz, Format::Gzip, Format::Bzip2] {
        let bounds = Bounds { bytes: 100, ..Bounds::default() };
        let error = refusal(&packed(format, &[7; 101]), bounds);
        assert_eq!(exceeded(&error), Exceeded::Bytes { limit: 100 }, "{format}");
        let file = packed(format, &[7; 100]);
        assert_eq!(io::copy(&mut Decoder::new(&*file, bounds).unwrap(), &mut io::sink()).unwrap(), 100, "{format}");
    }
}

#[test]
fn a_window_that_needs_too_much_memory_is_refused() {
    let bounds = Bounds { memory: 1 << 16, ..Bounds::default() };
    for format in [Format::Zstd, Format::Xz, Format::Lzip, Format::Lzma] {
        let error = refusal(&packed(format, &vec![1; 8 << 20]), bounds);
        assert_eq!(exceeded(&error), Exceeded::Memory { limit: 1 << 16 }, "{format}");
    }
}

#[test]
fn any_bounds_can_be_given() {
    for format in PACKED {
        let file = packed(format, b"x");
        let all = Bounds { bytes: u64::MAX, ratio: u64::MAX, slack: u64::MAX, memory: u64::MAX };
        assert_eq!(io::copy(&mut Decoder::new(&*file, all).unwrap(), &mut io::sink()).unwrap(), 1, "{format}");
        let none = Bounds { bytes: 0, ratio: 0, slack: 0, memory: 0 };
        assert!(Decoder::new(&*file, none).is_err() || refusal(&file, none).get_ref().is_some(), "{format}");
    }
}

#[test]
fn damage_names_format_and_place() {
    let mut file = packed(Format::Gzip, b"content");
    let last = file.len() - 1;
    file[last] ^= 1;
    let error = refusal(&file, Bounds::default());
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let damage = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let Some(Error::Damaged { format: Format::Gzip, offset, .. }) = damage else { panic!("{error}") };
    assert_eq!(*offset, file.len() as u64);
    assert!(error.to_string().starts_with("the gzip file is damaged at byte 27: "), "{error}");
    let cut = refusal(&packed(Format::Xz, b"content")[..20], Bounds::default());
    assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_sources_own_errors_come_as_they_are() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(5))
        }
    }
    for format in PACKED {
        let file = packed(format, b"some content");
        let mut decoder = Decoder::new(file[..16].chain(Broken), Bounds::default()).unwrap();
        let error = io::copy(&mut decoder, &mut io::sink()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5), "{format}: {error}");
    }
}

/// A pipe gives what it has, a byte at a time, with interruptions.
#[test]
fn a_slow_source_is_read_as_well() {
    struct Slow<'a>(&'a [u8], bool);
    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let length = buffer.len().min(1);
            self.0.read(&mut buffer[..length])
        }
    }
    for format in PACKED {
        let file = packed(format, b"some content");
        let mut content = String::new();
        Decoder::new(Slow(&file, false), Bounds::default()).unwrap().read_to_string(&mut content).unwrap();
        assert_eq!(content, "some content", "{format}");
    }
}

/// The first frame is decoded whole; what does not tell its size is decoded piece by piece.
#[test]
fn checksums_are_left_alone_for_who_has_digests() {
    let content = b"content content content";
    let mut frame = packed(Format::Zstd, content);
    let mut sized = zstd::bulk::Compressor::new(3).unwrap();
    sized.include_checksum(true).unwrap();
    let mut whole = sized.compress(content).unwrap();
    for file in [&mut frame, &mut whole] {
        *file.last_mut().unwrap() ^= 1;
        assert!(unpacked(file).is_err());
        let mut read = Vec::new();
        Decoder::new(&file[..], Bounds::default()).unwrap().unchecked().read_to_end(&mut read).unwrap();
        assert_eq!(read, content);
    }
}

#[test]
fn decoders_and_encoders_go_to_other_threads() {
    fn is_send<T: Send>() {}
    is_send::<Decoder<io::Empty>>();
    is_send::<Encoder<Vec<u8>>>();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_went_in_comes_out(content in proptest::collection::vec(any::<u8>(), 0..2000), which in 0usize..6) {
        prop_assert_eq!(unpacked(&packed(PACKED[which], &content)).unwrap(), content);
    }

    #[test]
    fn what_is_not_compressed_stays_as_it_is(content in proptest::collection::vec(any::<u8>(), 0..2000)) {
        // Content that begins like a compressed file is one.
        prop_assume!(Format::sniff(&content) == Format::Plain);
        prop_assert_eq!(unpacked(&content).unwrap(), content);
    }

    /// Formats with a checksum over content and structure let no change through.
    #[test]
    fn damage_is_found(at in 0usize..1000, bit in 0u8..8, which in 0usize..6) {
        let content = b"content content content";
        let mut file = packed(PACKED[which], content);
        let at = at % file.len();
        file[at] ^= 1 << bit;
        let read = unpacked(&file);
        // gzip's header, lzip's dictionary size and zstd's unused bits say nothing of the content; .lzma has no checksum.
        // A changed magic makes it another file.
        if PACKED[which] != Format::Lzma && Format::sniff(&file) == PACKED[which] {
            prop_assert!(read.is_err() || read.unwrap() == content);
        }
    }
}
