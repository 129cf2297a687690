//! Single contents come out of a package whatever it is compressed with, and only of what is needed.

mod samples;

use std::cell::Cell;
use std::io::{self, Read};

use codec::{Bounds, Decoder, Format, ReadAt};
use pkgfile::{PackageFile, Result};
use pkgformat::{Error as FormatError, Limits, Reader};
use pkgtypes::Digest;
use samples::{Sample, compressed, open, options, sample, usual, words};

const FORMATS: [Format; 5] = [Format::Plain, Format::Zstd, Format::Xz, Format::Gzip, Format::Bzip2];

fn content<S: ReadAt>(package: &mut PackageFile<S>, digest: &Digest) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    package.blob(digest)?.read_to_end(&mut content).map_err(FormatError::from)?;
    Ok(content)
}

#[test]
fn contents_come_out_in_any_order() {
    let sample = usual();
    for format in FORMATS {
        let mut package = open(compressed(&sample.plain, format, &options(2))).unwrap();
        assert_eq!(package.record().id(), sample.record.id());
        assert_eq!(package.is_random(), matches!(format, Format::Plain | Format::Zstd));
        for (digest, wanted) in sample.contents.iter().chain(sample.contents.iter().rev()) {
            assert_eq!(package.blob(digest).unwrap().size(), wanted.len() as u64);
            assert!(content(&mut package, digest).unwrap() == *wanted, "{format}");
        }
        let unknown = content(&mut package, &Digest::of("unknown")).unwrap_err();
        assert!(unknown.to_string().contains("no blob"), "{unknown}");
        let (digest, wanted) = sample.contents.first_key_value().unwrap();
        assert!(content(&mut package, digest).unwrap() == *wanted, "{format}, after what is not there");
    }
}

/// Written by `zstd`, not by us.
#[test]
fn a_file_without_a_seek_table_is_read_too() {
    let sample = usual();
    let mut encoder = codec::Encoder::new(Vec::new(), Format::Zstd).unwrap();
    io::Write::write_all(&mut encoder, &sample.plain).unwrap();
    let mut package = open(encoder.finish().unwrap()).unwrap();
    assert!(!package.is_random());
    for (digest, wanted) in &sample.contents {
        assert!(content(&mut package, digest).unwrap() == *wanted);
    }
}

struct Counted<'a>(&'a [u8], Cell<u64>);

impl ReadAt for Counted<'_> {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.0.read_at(buffer, offset)?;
        self.1.set(self.1.get() + count as u64);
        Ok(count)
    }
}

#[test]
fn only_the_head_and_one_content_are_read() {
    let mut files: Vec<Vec<u8>> = (0..200).map(|index| words(index, 3_000)).collect();
    files.push(words(1_000, 400_000));
    let sample = sample(&[b"a script"], &files);
    for format in [Format::Plain, Format::Zstd] {
        let file = compressed(&sample.plain, format, &options(2));
        let mut package = open(Counted(&file, Cell::new(0))).unwrap();
        let head = package.source().1.get();
        // pkgformat reads 64 KiB at once where nothing stops it.
        let most = if format == Format::Zstd { 30_000 } else { 100_000 };
        assert!(head < most, "{format}: {head} of {} for the head", file.len());
        assert!(content(&mut package, &Digest::of(&files[100])).unwrap() == files[100]);
        let one = package.source().1.get() - head;
        assert!(one < most, "{format}: {one} of {} for one content", file.len());
    }
}

/// Everything that a package file gives, or an error.
fn everything(file: &[u8], sample: &Sample) -> Result<()> {
    let mut package = open(file)?;
    assert_eq!(package.record().id(), sample.record.id());
    for (digest, wanted) in &sample.contents {
        assert!(content(&mut package, digest)? == *wanted);
    }
    Ok(())
}

/// The same read front to back, by who relies on digests alone.
fn front_to_back(file: &[u8], sample: &Sample) -> pkgformat::Result<()> {
    let plain = Decoder::new(file, Bounds::default())?.unchecked();
    let mut reader = Reader::open(plain, Limits::default())?;
    assert_eq!(reader.package().id(), sample.record.id());
    let mut count = 0;
    while let Some(mut blob) = reader.next_blob()? {
        let mut content = Vec::new();
        blob.read_to_end(&mut content)?;
        assert!(content == sample.contents[&blob.digest()]);
        count += 1;
    }
    assert_eq!(count, sample.contents.len());
    Ok(())
}

#[test]
fn a_truncated_file_gives_an_error_or_the_same_contents() {
    let sample = sample(&[b"script"], &[words(1, 300), words(2, 2_500), words(3, 100)]);
    let mut options = options(1);
    (options.group, options.frame) = (1 << 10, 1 << 10);
    let file = compressed(&sample.plain, Format::Zstd, &options);
    everything(&file, &sample).unwrap();
    for end in 0..file.len() {
        // Without a table every content is still there; without the summary, nobody asked for it.
        let _ = everything(&file[..end], &sample);
    }
}

#[test]
fn every_flip_gives_an_error_or_the_same_contents() {
    let sample = sample(&[b"script"], &[words(1, 100), words(2, 1_300)]);
    let mut options = options(1);
    (options.group, options.frame) = (1 << 10, 1 << 10);
    let file = compressed(&sample.plain, Format::Zstd, &options);
    front_to_back(&file, &sample).unwrap();
    let mut refused = 0;
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut changed = file.clone();
            changed[at] ^= 1 << bit;
            refused += usize::from(everything(&changed, &sample).is_err());
            let _ = front_to_back(&changed, &sample);
        }
    }
    assert!(refused > file.len() * 5, "{refused} of {} flips were refused", file.len() * 8);
}
