//! A compressed package is the package, in frames that end where records end.
#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod samples;

use std::io::{Read, Write};

use codec::{Bounds, Decoder, Format, SeekTable};
use pkgfile::{Compressor, Error};
use pkgformat::record;
use proptest::prelude::*;
use samples::{Sample, compressed, options, sample, usual, words};

fn decompressed(file: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    Decoder::new(file, Bounds::default()).unwrap().read_to_end(&mut plain).unwrap();
    plain
}

/// Where the records of a package end.
fn ends(sample: &Sample) -> Vec<u64> {
    let mut ends = vec![sample.record.encoded_len()];
    for blob in sample.record.blobs() {
        let length = record::blob_len(sample.contents[&blob.digest].len() as u64).unwrap();
        ends.push(ends.last().unwrap() + length);
    }
    ends.push(sample.plain.len() as u64);
    ends
}

#[test]
fn every_format_gives_the_package_back() {
    let sample = usual();
    for format in [Format::Plain, Format::Zstd, Format::Xz, Format::Gzip, Format::Bzip2] {
        let file = compressed(&sample.plain, format, &options(2));
        assert_eq!(Format::sniff(&file), format);
        assert!(decompressed(&file) == sample.plain, "{format}");
    }
}

#[test]
fn frames_end_where_records_end() {
    let sample = usual();
    let file = compressed(&sample.plain, Format::Zstd, &options(2));
    let table = SeekTable::read(&file).unwrap().unwrap();
    let ends = ends(&sample);
    let cuts: Vec<u64> = table.frames().map(|frame| frame.content.end).collect();
    // The package record, the scripts, the summary.
    assert!([ends[0], ends[2], ends[ends.len() - 2]].iter().all(|end| cuts.contains(end)), "{cuts:?} of {ends:?}");
    for frame in table.frames() {
        let length = frame.content.end - frame.content.start;
        assert!(length <= 8 << 10, "{frame:?}");
        let is_small = length <= 4 << 10;
        let is_part = |window: &[u64]| window[0] <= frame.content.start && frame.content.end <= window[1];
        let is_of_one = frame.content.end <= ends[0] || ends.windows(2).any(is_part);
        assert!(is_of_one || is_small && ends.contains(&frame.content.end), "{frame:?}");
    }
}

#[test]
fn one_script_for_two_occasions_is_one_blob() {
    let sample = sample(&[b"same", b"same", b"other"], &[words(1, 100), words(2, 100)]);
    let file = compressed(&sample.plain, Format::Zstd, &options(1));
    let cuts: Vec<u64> = SeekTable::read(&file).unwrap().unwrap().frames().map(|frame| frame.content.end).collect();
    let ends = ends(&sample);
    assert_eq!(cuts, [ends[0], ends[2], ends[4], ends[5]]);
}

#[test]
fn blobs_that_were_compressed_ahead_give_the_same_file() {
    let sample = usual();
    let ends = ends(&sample).iter().map(|end| *end as usize).collect::<Vec<_>>();
    let (first, last) = (ends[0], ends[ends.len() - 2]);
    let mut ahead = Compressor::of_blobs(Vec::new(), 2, &options(2)).unwrap();
    ahead.write_all(&sample.plain[first..last]).unwrap();
    let (frames, table) = ahead.finish_frames().unwrap();

    let mut compressor = Compressor::new(Vec::new(), Format::Zstd, &options(2)).unwrap();
    compressor.write_all(&sample.plain[..first]).unwrap();
    compressor.append(&table, &*frames).unwrap();
    compressor.write_all(&sample.plain[last..]).unwrap();
    assert!(compressor.finish().unwrap() == compressed(&sample.plain, Format::Zstd, &options(2)));
}

#[test]
fn what_is_no_package_is_refused() {
    let sample = usual();
    let refusal = |bytes: &[u8]| {
        let mut compressor = Compressor::new(Vec::new(), Format::Zstd, &options(1)).unwrap();
        let error = compressor.write_all(bytes).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
        error.to_string()
    };
    assert!(refusal(b"not a package").contains("byte 5 of what is compressed"));
    let mut changed = sample.plain.clone();
    changed[sample.record.encoded_len() as usize] = 0;
    assert!(refusal(&changed).contains("no record of this version begins"));
    assert!(refusal(b"\xABKPK\x01\x09").contains("a size is not as it must be"));
    let endless = b"\xABKPK\x01\x01\x0Brecord=blob\x08\x7f\xff\xff\xff\xff\xff\xff\xff";
    assert!(refusal(endless).contains("too much metadata"));
}

#[test]
fn a_package_that_is_cut_off_can_not_be_finished() {
    let sample = usual();
    let length = sample.plain.len();
    for end in [3, 20, sample.record.encoded_len() as usize - 1, length - 1] {
        let mut compressor = Compressor::new(Vec::new(), Format::Zstd, &options(1)).unwrap();
        compressor.write_all(&sample.plain[..end]).unwrap();
        assert!(matches!(compressor.finish().unwrap_err(), Error::CutOff { offset } if offset == end as u64));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_file_follows_from_the_package_alone(
        sizes in proptest::collection::vec(0usize..12_000, 0..30),
        scripts in 0usize..4,
        piece in 1usize..3_000,
        threads in 2usize..5,
    ) {
        let files: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(seed, size)| words(seed as u64, *size)).collect();
        let scripts: Vec<Vec<u8>> = (0..scripts).map(|seed| words(1000 + seed as u64, 50)).collect();
        let sample = sample(&scripts.iter().map(Vec::as_slice).collect::<Vec<_>>(), &files);
        let mut compressor = Compressor::new(Vec::new(), Format::Zstd, &options(threads)).unwrap();
        for part in sample.plain.chunks(piece) {
            compressor.write_all(part).unwrap();
        }
        let file = compressor.finish().unwrap();
        prop_assert!(file == compressed(&sample.plain, Format::Zstd, &options(1)));
        prop_assert!(decompressed(&file) == sample.plain);
    }
}
