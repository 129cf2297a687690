//! Blobs that are checked apart from the reader are held to the same rules.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod samples;

use std::io::Cursor;

use pkgformat::{Checked, Error, Extent, Limits, Problem, Reader, Result};
use pkgtypes::{Digest, Hasher};
use samples::{rich, small, write};

/// As much of a file as there is at `offset`.
fn at(file: &[u8], offset: u64, length: u64) -> &[u8] {
    let start = usize::try_from(offset).unwrap().min(file.len());
    let end = usize::try_from(offset.saturating_add(length)).unwrap_or(usize::MAX).min(file.len());
    &file[start..end]
}

/// Checks an extent of one blob in pieces of three bytes, as one that is too long to be held.
fn check_in_pieces(extent: &Extent, file: &[u8]) -> Result<Checked> {
    let single = extent.single().unwrap();
    single.check_head(at(file, extent.offset(), single.head_len() as u64))?;
    let content = at(file, single.data_offset(), single.size());
    let mut hasher = Hasher::new();
    content.chunks(3).for_each(|chunk| hasher.update(chunk));
    if (content.len() as u64) < single.size() {
        return Err(single.cut_off(content.len() as u64));
    }
    single.end(hasher, at(file, single.data_offset() + single.size(), Digest::LEN as u64))
}

/// The contents in their order, each extent checked as it comes.
fn streamed(file: &[u8], length: u64, blobs: usize) -> Result<Vec<Vec<u8>>> {
    let mut contents = Vec::new();
    let mut reader = Reader::open(file, Limits::default())?;
    while let Some(extent) = reader.next_extent(length, blobs)? {
        let mut bytes = vec![0; usize::try_from(extent.length()).unwrap()];
        let filled = reader.read_extent(&mut bytes)?;
        let checked = extent.check(&bytes[..filled], |blob, content| {
            assert_eq!(Digest::of(content), blob.digest);
            contents.push(content.to_vec());
            Ok::<_, Error>(())
        })?;
        reader.settle(checked);
    }
    reader.finish()?;
    Ok(contents)
}

/// The same, with the bytes taken from elsewhere; the first extent that is wrong counts, as in a stream.
fn placed(file: &[u8], in_pieces: bool) -> Result<()> {
    let mut reader = Reader::open(Cursor::new(file), Limits::default())?;
    while let Some(extent) = reader.next_extent(100, if in_pieces { 1 } else { 3 })? {
        reader.pass_extent()?;
        let checked = if in_pieces {
            check_in_pieces(&extent, file)
        } else {
            extent.check(at(file, extent.offset(), extent.length()), |_, _| Ok::<_, Error>(()))
        };
        reader.settle(checked?);
    }
    reader.finish().map(|_| ())
}

#[test]
fn extents_hold_all_contents() {
    for (record, contents) in [small(), rich()] {
        let package = write(&record, &contents);
        let files: Vec<Vec<u8>> = record
            .blobs()
            .zip(&contents)
            .filter(|(blob, _)| blob.size.is_some())
            .map(|(_, content)| content.clone())
            .collect();
        for (length, blobs) in [(0, 1), (1 << 20, 1), (1 << 20, 2), (1 << 20, 64), (150, 64)] {
            assert_eq!(streamed(&package, length, blobs).unwrap(), files, "{length} bytes, {blobs} blobs");
        }
        placed(&package, false).unwrap();
        placed(&package, true).unwrap();
    }
}

/// Every way to read gives the same error for the same damage; of a length that points behind the record, an extent knows
/// only that it is wrong.
fn assert_told_alike(file: &[u8], what: &str) {
    let Err(expected) = samples::read(file) else { panic!("{what} is no error") };
    let assert_same = |found: Error, how: &str| match (&expected, &found) {
        (Error::Read { record: first, .. }, Error::Read { record, problem: Problem::BlobHead, .. }) => {
            assert_eq!(record, first, "{what}, {how}: {expected}");
        }
        _ => assert_eq!(found.to_string(), expected.to_string(), "{what}, {how}"),
    };
    for (length, blobs) in [(0, 1), (1 << 20, 2), (1 << 20, 64)] {
        assert_same(streamed(file, length, blobs).unwrap_err(), &format!("extents of {length} bytes, {blobs} blobs"));
    }
    for in_pieces in [false, true] {
        assert_same(placed(file, in_pieces).unwrap_err(), if in_pieces { "in pieces" } else { "from elsewhere" });
    }
}

#[test]
fn truncations_are_told_alike() {
    let (record, contents) = rich();
    let package = write(&record, &contents);
    for length in usize::try_from(record.encoded_len()).unwrap()..package.len() {
        assert_told_alike(&package[..length], &format!("the first {length} bytes"));
    }
}

#[test]
fn changes_are_told_alike() {
    let (record, contents) = rich();
    let mut package = write(&record, &contents);
    for at in usize::try_from(record.encoded_len()).unwrap()..package.len() {
        for change in [1, 0x80] {
            package[at] ^= change;
            assert_told_alike(&package, &format!("byte {at} changed by {change}"));
            package[at] ^= change;
        }
    }
}

#[test]
fn what_nobody_checked_is_not_whole() {
    let (record, contents) = small();
    let package = write(&record, &contents);
    let mut reader = Reader::open(Cursor::new(&package), Limits::default()).unwrap();
    while reader.next_extent(100, 1).unwrap().is_some() {
        reader.pass_extent().unwrap();
    }
    let error = reader.finish().unwrap_err();
    assert!(matches!(error, Error::Read { problem: Problem::Unchecked { blobs: 1 }, .. }), "{error}");
}

#[test]
fn an_extent_is_read_to_its_end() {
    let (record, contents) = small();
    let package = write(&record, &contents);
    let mut reader = Reader::open(&*package, Limits::default()).unwrap();
    reader.next_extent(100, 1).unwrap().unwrap();
    assert_eq!(reader.read_extent(&mut [0; 3]).unwrap(), 3);
    assert!(matches!(reader.next_extent(100, 1), Err(Error::Read { problem: Problem::Failed, .. })));
    assert!(reader.finish().is_err());
}
