//! A package is rebuilt of what is at hand and a part of its file, exactly, or not at all.
#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod samples;

use std::collections::BTreeSet;
use std::io::{self, Read};

use codec::Format;
use pkgfile::{Error, Partial, Wanted, rebuild};
use pkgtypes::Digest;
use proptest::prelude::*;
use samples::{Sample, compressed, open, options, sample, usual, words};

/// What is wanted, and the file with everything else blanked out.
fn fetched(sample: &Sample, file: &[u8], gap: u64, have: &BTreeSet<Digest>) -> (Wanted, Partial<Vec<u8>>) {
    let wanted = open(file).unwrap().wanted(gap, |digest| have.contains(digest)).unwrap();
    assert_eq!(wanted.file, file.len() as u64);
    let mut part = vec![0xEE; file.len()];
    for range in &wanted.ranges {
        let range = range.start as usize..range.end as usize;
        part[range.clone()].copy_from_slice(&file[range]);
    }
    let count = sample.contents.keys().filter(|digest| !have.contains(digest)).count() as u64;
    assert!(wanted.blobs == count || wanted.bytes() == wanted.file);
    let ranges = wanted.ranges.clone();
    (wanted, Partial::new(part, ranges))
}

fn rebuilt(sample: &Sample, part: Partial<Vec<u8>>, have: &BTreeSet<Digest>) -> pkgfile::Result<Vec<u8>> {
    let mut file = open(part)?;
    let local = |digest: &Digest| Ok(have.contains(digest).then(|| &*sample.contents[digest]));
    Ok(rebuild(&sample.record, &mut file, local, Vec::new())?.0)
}

#[test]
fn with_everything_at_hand_the_head_is_enough() {
    let sample = usual();
    let have = sample.contents.keys().copied().collect();
    for format in [Format::Plain, Format::Zstd] {
        let file = compressed(&sample.plain, format, &options(2));
        let (wanted, part) = fetched(&sample, &file, 0, &have);
        assert!(wanted.bytes() < file.len() as u64 / 2, "{format}: {} of {}", wanted.bytes(), wanted.file);
        assert_eq!((wanted.blobs, wanted.content), (0, 0));
        assert!(rebuilt(&sample, part, &have).unwrap() == sample.plain, "{format}");
    }
}

#[test]
fn with_nothing_at_hand_all_but_the_summary_is_wanted() {
    let sample = usual();
    for format in [Format::Plain, Format::Zstd, Format::Xz, Format::Gzip] {
        let file = compressed(&sample.plain, format, &options(2));
        let (wanted, part) = fetched(&sample, &file, 0, &BTreeSet::new());
        assert!(wanted.bytes() + 400 > wanted.file, "{format}: {} of {}", wanted.bytes(), wanted.file);
        assert!(rebuilt(&sample, part, &BTreeSet::new()).unwrap() == sample.plain, "{format}");
    }
}

#[test]
fn a_content_at_hand_that_is_another_one_is_refused() {
    let sample = usual();
    let file = compressed(&sample.plain, Format::Zstd, &options(2));
    let have: BTreeSet<Digest> = sample.contents.keys().copied().collect();
    let (_, part) = fetched(&sample, &file, 0, &have);
    for wrong in [&b"wrong"[..], b""] {
        let mut file = open(part.clone()).unwrap();
        let error = rebuild(&sample.record, &mut file, |_| Ok(Some(wrong)), Vec::new()).unwrap_err();
        assert!(matches!(error, Error::Local { .. }), "{error}");
    }
}

#[test]
fn damage_in_what_was_fetched_is_found() {
    let sample = usual();
    let file = compressed(&sample.plain, Format::Plain, &options(1));
    let whole: Vec<u64> = (sample.record.encoded_len()..file.len() as u64 - 250).step_by(97).collect();
    for at in whole {
        let mut changed = file.clone();
        changed[at as usize] ^= 4;
        let all = Partial::new(changed, Some(0..file.len() as u64));
        assert!(rebuilt(&sample, all, &BTreeSet::new()).is_err(), "byte {at}");
    }
}

#[test]
fn what_was_not_fetched_is_not_read() {
    let sample = usual();
    let file = compressed(&sample.plain, Format::Zstd, &options(2));
    let have: BTreeSet<Digest> = sample.contents.keys().copied().collect();
    let (_, part) = fetched(&sample, &file, 0, &have);
    let error = rebuilt(&sample, part, &BTreeSet::new()).unwrap_err();
    assert!(error.to_string().contains("was not fetched"), "{error}");
}

#[test]
fn another_package_is_refused() {
    let (one, other) = (usual(), sample(&[], &[words(1, 10)]));
    let mut file = open(other.plain).unwrap();
    let error = rebuild(&one.record, &mut file, |_| Ok(None::<io::Empty>), Vec::new()).unwrap_err();
    assert!(matches!(error, Error::OtherPackage { expected, .. } if expected == one.record.id()), "{error}");
}

#[test]
fn an_error_of_what_is_at_hand_is_told() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
    let sample = usual();
    let mut file = open(&*sample.plain).unwrap();
    let error = rebuild(&sample.record, &mut file, |_| Ok(Some(Broken)), Vec::new()).unwrap_err();
    assert!(matches!(error, Error::Local { .. }), "{error}");
    assert!(rebuild(&sample.record, &mut file, |_| Ok(None::<Broken>), Vec::new()).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_parts_that_are_wanted_are_enough(
        sizes in proptest::collection::vec(0usize..12_000, 1..30),
        scripts in 0usize..4,
        at_hand in proptest::collection::vec(any::<bool>(), 34),
        gap in 0u64..5_000,
        which in 0usize..3,
    ) {
        let files: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(seed, size)| words(seed as u64, *size)).collect();
        let scripts: Vec<Vec<u8>> = (0..scripts).map(|seed| words(1000 + seed as u64, 50)).collect();
        let sample = sample(&scripts.iter().map(Vec::as_slice).collect::<Vec<_>>(), &files);
        let format = [Format::Plain, Format::Zstd, Format::Gzip][which];
        let file = compressed(&sample.plain, format, &options(2));
        let have: BTreeSet<Digest> =
            sample.contents.keys().zip(&at_hand).filter(|(_, at_hand)| **at_hand).map(|(digest, _)| *digest).collect();
        let (wanted, part) = fetched(&sample, &file, gap, &have);
        prop_assert!(wanted.ranges.windows(2).all(|pair| pair[0].end + gap < pair[1].start));
        prop_assert!(rebuilt(&sample, part, &have).unwrap() == sample.plain);
    }
}
