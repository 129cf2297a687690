//! Single contents are fetched from a file without reading the others.

mod samples;

use std::cell::Cell;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::rc::Rc;

use pkgformat::{Error, Limits, Manifest, PackageRecord, Problem, Reader, SeekReader};
use pkgtypes::Digest;
use samples::{file, meta, rich, write};

/// Counts what is read.
struct Counted<R>(R, Rc<Cell<u64>>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.set(self.1.get() + count as u64);
        Ok(count)
    }
}

impl<R: Seek> Seek for Counted<R> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn each_content_is_found_by_its_digest() {
    let (record, contents) = rich();
    let package = write(&record, &contents);
    let mut reader = SeekReader::open(Cursor::new(&package), Limits::default()).unwrap();
    assert_eq!(reader.package(), &record);
    for content in contents.iter().rev() {
        let digest = Digest::of(content);
        let mut read = Vec::new();
        let mut blob = reader.blob(&digest).unwrap();
        assert_eq!((blob.digest(), blob.size()), (digest, content.len() as u64));
        blob.read_to_end(&mut read).unwrap();
        assert_eq!(&read, content);
        let place = reader.find(&digest).unwrap();
        assert_eq!(&package[place.data_offset as usize..][..place.size as usize], &content[..]);
        assert_eq!(&package[place.offset as usize..][..4], b"\xABKPK");
    }
    let nothing = Digest::of("nothing");
    assert!(matches!(reader.blob(&nothing), Err(Error::NoSuchBlob(digest)) if digest == nothing));
    assert_eq!(reader.find(&nothing), None);
}

#[test]
fn the_heads_alone_give_the_summary() {
    let (record, contents) = rich();
    let package = write(&record, &contents);
    let whole = Reader::open(&*package, Limits::default()).unwrap().finish().unwrap();
    let mut reader = SeekReader::open(Cursor::new(&package), Limits::default()).unwrap();
    assert_eq!(reader.check_heads().unwrap(), whole);
    assert_eq!(reader.check_heads().unwrap(), whole, "and again");
    let ends: Vec<u64> = reader.places().map(|place| place.end).collect();
    let offsets: Vec<u64> = reader.places().map(|place| place.offset).collect();
    assert_eq!(offsets[0], record.encoded_len());
    assert_eq!(offsets[1..], ends[..5]);
}

#[test]
fn a_file_that_is_not_whole_is_found_by_its_heads() {
    let (record, contents) = rich();
    let package = write(&record, &contents);
    let check = |bytes: &[u8]| SeekReader::open(Cursor::new(bytes), Limits::default())?.check_heads();
    for length in 0..package.len() {
        assert!(check(&package[..length]).is_err(), "cut off after {length} bytes");
    }
    assert!(matches!(check(&[&*package, &[0]].concat()), Err(Error::Read { problem: Problem::TrailingBytes, .. })));
    assert!(check(&package).is_ok());
}

/// A damaged content is found when it is read, and the others can still be read.
#[test]
fn damage_stays_where_it_is() {
    let (record, contents) = rich();
    let mut package = write(&record, &contents);
    let at = package.windows(12).position(|window| window == b"licence text").unwrap();
    package[at] ^= 1;
    let mut reader = SeekReader::open(Cursor::new(&package), Limits::default()).unwrap();
    let mut blob = reader.blob(&Digest::of("licence text")).unwrap();
    let error = Error::from(blob.read_to_end(&mut Vec::new()).unwrap_err());
    assert!(matches!(error, Error::Read { problem: Problem::DataChecksum { .. }, .. }), "{error}");
    let mut text = String::new();
    reader.blob(&Digest::of("config")).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "config");
}

/// Metadata, manifest and one content of a large package cost no more than themselves and a few buffers.
#[test]
fn what_is_not_asked_for_is_not_read() {
    let contents: Vec<Vec<u8>> = (0..40u8).map(|number| vec![number; 1 << 20]).collect();
    let entries =
        contents.iter().enumerate().map(|(number, content)| file(&format!("f{number:02}"), content)).collect();
    let record = PackageRecord::new(meta(), Manifest::new(entries).unwrap()).unwrap();
    let package = write(&record, &contents);
    let read = Rc::new(Cell::new(0));

    let front = Reader::open(Counted(&*package, Rc::clone(&read)), Limits::default()).unwrap();
    assert_eq!(front.package().id(), record.id());
    assert!(read.get() <= 128 << 10, "{} bytes for the package record", read.get());

    read.set(0);
    let mut reader = SeekReader::open(Counted(Cursor::new(&package), Rc::clone(&read)), Limits::default()).unwrap();
    let mut content = Vec::new();
    reader.blob(&Digest::of(&contents[39])).unwrap().read_to_end(&mut content).unwrap();
    assert_eq!(content, contents[39]);
    assert!(read.get() <= (1 << 20) + (256 << 10), "{} bytes for one content of 1 MiB", read.get());
}
