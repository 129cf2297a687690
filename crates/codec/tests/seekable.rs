//! Seekable files: whatever wrote them reads them, from the front and from the middle, or they are refused.
#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;
use std::rc::Rc;

use codec::{
    Bounds, Decoder, Encoder, Error, Exceeded, Format, SeekTable, SeekableEncoder, SeekableOptions, SeekableReader,
};
use proptest::prelude::*;

/// Text that neither repeats itself soon nor is noise.
fn words(length: usize) -> Vec<u8> {
    (0..)
        .flat_map(|number: u64| format!("{} ", number.wrapping_mul(2_654_435_761) % 65_521).into_bytes())
        .take(length)
        .collect()
}

fn options(frame: usize, threads: usize) -> SeekableOptions {
    let mut options = SeekableOptions::default();
    options.frame = frame;
    options.threads = NonZeroUsize::new(threads).unwrap();
    options
}

/// Writes the parts with a cut after each.
fn packed<'a>(parts: impl IntoIterator<Item = &'a [u8]>, options: SeekableOptions) -> Vec<u8> {
    let mut encoder = SeekableEncoder::new(Vec::new(), &options).unwrap();
    for part in parts {
        encoder.write_all(part).unwrap();
        encoder.cut().unwrap();
    }
    encoder.finish().unwrap().0
}

fn read(mut source: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    source.read_to_end(&mut content)?;
    Ok(content)
}

fn front_to_back(file: &[u8]) -> io::Result<Vec<u8>> {
    read(Decoder::new(file, Bounds::default())?)
}

fn by_table(file: &[u8]) -> io::Result<Option<Vec<u8>>> {
    SeekableReader::open(file, Bounds::default())?.map(read).transpose()
}

#[test]
fn a_file_without_content_is_a_table() {
    let file = packed([], SeekableOptions::default());
    assert_eq!(file, b"\x5e\x2a\x4d\x18\x09\0\0\0\0\0\0\0\0\xb1\xea\x92\x8f");
    assert_eq!(front_to_back(&file).unwrap(), b"");
    assert_eq!(by_table(&file).unwrap().unwrap(), b"");
}

#[test]
fn a_frame_ends_when_it_is_full_or_cut() {
    let content = words(10_000);
    let file = packed([&content[..5_000], &content[5_000..]], options(2_000, 1));
    let table = SeekTable::read(&file).unwrap().unwrap();
    let ends: Vec<u64> = table.frames().map(|frame| frame.content.end).collect();
    assert_eq!(ends, [2_000, 4_000, 5_000, 7_000, 9_000, 10_000]);
    // Each frame stands alone.
    for frame in table.frames() {
        let part = zstd::stream::decode_all(&file[frame.packed.start as usize..frame.packed.end as usize]).unwrap();
        assert_eq!(part, &content[frame.content.start as usize..frame.content.end as usize]);
    }
}

#[test]
fn a_flush_does_not_show() {
    let content = words(5_000);
    let mut encoder = SeekableEncoder::new(Vec::new(), &options(2_000, 2)).unwrap();
    for part in content.chunks(700) {
        encoder.write_all(part).unwrap();
        encoder.flush().unwrap();
    }
    assert!(encoder.finish().unwrap().0 == packed([&content[..]], options(2_000, 2)));
}

#[test]
fn frames_are_appended_as_they_are() {
    let content = words(9_000);
    let mut encoder = SeekableEncoder::new(Vec::new(), &options(2_000, 2)).unwrap();
    encoder.write_all(&content[3_000..]).unwrap();
    let (frames, table) = encoder.finish_frames().unwrap();
    assert_eq!(frames.len() as u64, table.packed_len());

    let mut encoder = SeekableEncoder::new(Vec::new(), &options(2_000, 2)).unwrap();
    encoder.write_all(&content[..3_000]).unwrap();
    encoder.append(&table, &*frames).unwrap();
    let (file, _) = encoder.finish().unwrap();
    assert!(file == packed([&content[..3_000], &content[3_000..]], options(2_000, 2)));

    let mut encoder = SeekableEncoder::new(Vec::new(), &options(2_000, 2)).unwrap();
    assert_eq!(encoder.append(&table, &frames[1..]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert!(encoder.finish().is_err());
}

#[test]
fn only_the_frames_that_are_touched_are_read() {
    struct Counted(Vec<u8>, Rc<Cell<u64>>);
    impl codec::ReadAt for Counted {
        fn size(&self) -> io::Result<u64> {
            self.0.size()
        }
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let count = self.0.read_at(buffer, offset)?;
            self.1.set(self.1.get() + count as u64);
            Ok(count)
        }
    }
    let content = words(1 << 20);
    let file = packed([&content[..]], options(64 << 10, 2));
    let (length, count) = (file.len() as u64, Rc::new(Cell::new(0)));
    let mut reader = SeekableReader::open(Counted(file, Rc::clone(&count)), Bounds::default()).unwrap().unwrap();
    let mut part = [0; 1000];
    reader.seek(SeekFrom::End(-1000)).unwrap();
    reader.read_exact(&mut part).unwrap();
    assert_eq!(part, content[content.len() - 1000..]);
    assert!(count.get() < length / 10, "{} of {length} bytes were read", count.get());
}

#[test]
fn a_reader_goes_back_and_forth() {
    let content = words(20_000);
    let file = packed([&content[..]], options(3_000, 2));
    let mut reader = SeekableReader::open(&*file, Bounds::default()).unwrap().unwrap();
    for (from, length) in [(19_000, 1_000), (0, 1), (2_999, 2), (2_000, 9_000), (1_000, 500), (1_600, 100), (0, 20_000)]
    {
        let mut part = vec![0; length];
        reader.seek(SeekFrom::Start(from as u64)).unwrap();
        reader.read_exact(&mut part).unwrap();
        assert!(part == content[from..from + length], "{length} from {from}");
    }
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    reader.seek(SeekFrom::Start(1 << 40)).unwrap();
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    assert!(reader.seek(SeekFrom::Current(-(1 << 41))).is_err());
}

/// Frames with and without their size, larger ones than are held whole, and frames that are skipped.
#[test]
fn files_of_other_programs_are_read() {
    let (small, large) = (words(70_000), words(9 << 20));
    let streamed = |content: &[u8]| zstd::stream::encode_all(content, 1).unwrap();
    let sized = |content: &[u8]| zstd::bulk::compress(content, 1).unwrap();
    let skipped = b"\x50\x2a\x4d\x18\x04\0\0\0\x07\0\0\0".to_vec();
    let parts =
        [sized(&small), skipped.clone(), sized(&large), streamed(&small), skipped, sized(&small), streamed(b"")];
    let wanted = [&small[..], &large, &small, &small].concat();
    assert!(front_to_back(&parts.concat()).unwrap() == wanted);
    assert!(by_table(&parts.concat()).unwrap().is_none());
}

#[test]
fn truncation_gives_an_error() {
    let content = words(3_000);
    let file = packed([&content[..1_000], &content[1_000..]], options(1 << 10, 2));
    let table = SeekTable::read(&file).unwrap().unwrap();
    for end in 1..file.len() {
        // A file that ends where a frame ends is a shorter file to any zstd; it is the record format that tells.
        let is_whole = table.frames().any(|frame| frame.packed.end == end as u64);
        match front_to_back(&file[..end]) {
            Ok(read) => assert!(is_whole && content.starts_with(&read) || read == file[..end], "cut at {end}"),
            Err(_) => assert!(!is_whole, "cut at {end}"),
        }
        assert!(by_table(&file[..end]).map_or(true, |read| read.is_none()), "cut at {end}");
    }
}

#[test]
fn every_flip_gives_an_error_or_the_same_content() {
    let content = words(1_200);
    // A size of 1,024 is one flip away from none.
    let file = packed([&content[..50], &content[50..]], options(1 << 10, 2));
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut changed = file.clone();
            changed[at] ^= 1 << bit;
            // Another magic is another file.
            if Format::sniff(&changed) == Format::Zstd
                && let Ok(read) = front_to_back(&changed)
            {
                assert!(read == content, "byte {at} bit {bit}");
            }
            if let Ok(Some(read)) = by_table(&changed) {
                assert!(read == content, "byte {at} bit {bit}, by the table");
            }
        }
    }
}

#[test]
fn a_table_that_lies_about_a_frame_is_found_out() {
    let content = words(2_000);
    let file = packed([&content[..1_000], &content[1_000..]], options(1 << 10, 1));
    let table = SeekTable::read(&file).unwrap().unwrap();
    for size in [999, 1_001] {
        let mut lies = SeekTable::default();
        let length = |index| table.frame(index).map(|frame| (frame.packed.end - frame.packed.start) as u32).unwrap();
        lies.push(length(0), size).unwrap();
        lies.push(length(1), 1_000).unwrap();
        let file = [&file[..table.packed_len() as usize], &lies.encode()].concat();
        let error = by_table(&file).unwrap_err();
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        assert!(matches!(inner, Some(Error::FrameSize { offset: 0, .. })), "{error}");
    }
}

#[test]
fn what_follows_is_an_error() {
    let file = [packed([&words(3_000)[..]], options(1 << 10, 2)), b"garbage".to_vec()].concat();
    assert!(front_to_back(&file).is_err());
}

fn exceeded(error: &io::Error) -> Exceeded {
    *error.get_ref().and_then(|inner| inner.downcast_ref()).unwrap_or_else(|| panic!("{error}"))
}

/// A small frame of noise, then bombs: what stands behind a bomb does not pay for it, nor does reading ahead.
#[test]
fn a_bomb_in_frames_is_stopped() {
    let zeros = vec![0; 1 << 20];
    let file = packed((0..64).map(|_| &zeros[..]), SeekableOptions::default());
    let bounds = Bounds { slack: 1 << 16, ratio: 20, ..Bounds::default() };
    let mut decoder = Decoder::new(&*file, bounds).unwrap();
    let error = io::copy(&mut decoder, &mut io::sink()).unwrap_err();
    assert!(matches!(exceeded(&error), Exceeded::Ratio { ratio: 20, .. }), "{error}");
    assert!(decoder.taken() < 1 << 20, "{} bytes came out", decoder.taken());
    let mut reader = SeekableReader::open(&*file, bounds).unwrap().unwrap();
    let error = io::copy(&mut reader, &mut io::sink()).unwrap_err();
    assert!(matches!(exceeded(&error), Exceeded::Ratio { .. }), "{error}");

    let bounds = Bounds { bytes: (10 << 20) - 1, ratio: u64::MAX, ..Bounds::default() };
    let error = io::copy(&mut Decoder::new(&*file, bounds).unwrap(), &mut io::sink()).unwrap_err();
    assert!(matches!(exceeded(&error), Exceeded::Bytes { .. }), "{error}");
    assert!(matches!(exceeded(&SeekableReader::open(&*file, bounds).unwrap_err()), Exceeded::Bytes { .. }));
}

#[test]
fn a_window_that_needs_too_much_memory_is_refused() {
    let file = packed([&words(4 << 20)[..]], options(4 << 20, 1));
    let bounds = Bounds { memory: 1 << 20, ..Bounds::default() };
    let error = io::copy(&mut Decoder::new(&*file, bounds).unwrap(), &mut io::sink()).unwrap_err();
    assert!(matches!(exceeded(&error), Exceeded::Memory { .. }), "{error}");
    let mut reader = SeekableReader::open(&*file, bounds).unwrap().unwrap();
    assert!(matches!(exceeded(&io::copy(&mut reader, &mut io::sink()).unwrap_err()), Exceeded::Memory { .. }));
}

#[test]
fn an_error_of_the_source_comes_after_what_came_before_it() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(5))
        }
    }
    let content = words(5_000);
    let file = packed([&content[..]], options(1 << 10, 2));
    let cut = SeekTable::read(&file).unwrap().unwrap().frame(3).unwrap().packed.end as usize + 5;
    let mut decoder = Decoder::new(file[..cut].chain(Broken), Bounds::default()).unwrap();
    let mut read = Vec::new();
    let error = decoder.read_to_end(&mut read).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5), "{error}");
    assert!(read == content[..4 << 10]);
}

/// Damage in a frame is named as such even when the source fails behind it.
#[test]
fn damage_is_told_by_its_place() {
    let content = words(5_000);
    let mut file = packed([&content[..]], options(1 << 10, 2));
    let frame = SeekTable::read(&file).unwrap().unwrap().frame(2).unwrap();
    file[frame.packed.start as usize + 100] ^= 0x55;
    let mut decoder = Decoder::new(&*file, Bounds::default()).unwrap();
    let mut read = Vec::new();
    let error = decoder.read_to_end(&mut read).unwrap_err();
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let Some(Error::Damaged { format: Format::Zstd, offset, .. }) = inner else { panic!("{error}") };
    assert_eq!(*offset, frame.packed.end);
    assert!(read == content[..2 << 10]);
    assert!(decoder.read(&mut [0]).is_err(), "it gives nothing more");
}

#[test]
fn who_reads_little_does_not_read_all() {
    let content = words(4 << 20);
    let file = packed([&content[..]], options(64 << 10, 2));
    let mut source = &*file;
    let mut first = [0; 10];
    Decoder::new(&mut source, Bounds::default()).unwrap().read_exact(&mut first).unwrap();
    assert!(source.len() > file.len() / 2, "{} of {} are left", source.len(), file.len());
}

#[test]
fn a_writer_that_failed_can_not_be_finished() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut encoder = SeekableEncoder::new(Full, &options(1 << 10, 1)).unwrap();
    encoder.write_all(&words(1 << 10)).unwrap();
    assert_eq!(encoder.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert!(encoder.finish().is_err());
}

#[test]
fn options_that_there_are_not() {
    for (level, frame) in [(0, 1 << 20), (23, 1 << 20), (3, 0), (3, usize::MAX)] {
        let mut options = options(frame, 1);
        options.level = level;
        assert_eq!(SeekableEncoder::new(Vec::new(), &options).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn an_encoder_of_one_frame_is_read_by_the_same_decoder() {
    let content = words(1 << 20);
    let mut encoder = Encoder::new(Vec::new(), Format::Zstd).unwrap();
    encoder.write_all(&content).unwrap();
    assert!(front_to_back(&encoder.finish().unwrap()).unwrap() == content);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The file follows from content and cuts, whatever the number of threads and the pieces in which it came.
    #[test]
    fn what_went_in_comes_out(
        parts in proptest::collection::vec((0usize..5_000, any::<u8>(), any::<bool>()), 0..40),
        frame in 1usize << 10..5_000,
        threads in 2usize..6,
        level in 1u32..8,
        reads in proptest::collection::vec((0usize..100_000, 0usize..10_000), 0..8),
    ) {
        let text = words(5_000);
        let parts: Vec<Vec<u8>> = parts.iter().map(|(length, byte, is_text)| {
            if *is_text { text[..*length].to_vec() } else { vec![*byte; *length] }
        }).collect();
        let content = parts.concat();
        let with = |threads| {
            let mut options = options(frame, threads);
            options.level = level;
            packed(parts.iter().map(Vec::as_slice), options)
        };
        let file = with(threads);
        prop_assert!(file == with(1));
        prop_assert!(zstd::stream::decode_all(&*file).unwrap() == content);
        prop_assert!(front_to_back(&file).unwrap() == content);
        let mut reader = SeekableReader::open(&*file, Bounds::default()).unwrap().unwrap();
        prop_assert_eq!(reader.table().content_len(), content.len() as u64);
        for (from, length) in reads {
            let from = from.min(content.len());
            let wanted = &content[from..content.len().min(from + length)];
            reader.seek(SeekFrom::Start(from as u64)).unwrap();
            prop_assert!(read(reader.by_ref().take(wanted.len() as u64)).unwrap() == wanted);
        }
    }

    #[test]
    fn any_table_is_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(table) = SeekTable::parse(&bytes) {
            prop_assert_eq!(SeekTable::parse(&table.encode()).unwrap(), table);
        }
    }
}
