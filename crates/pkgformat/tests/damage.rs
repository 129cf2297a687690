//! A package that was cut off or changed is never taken for whole.

mod samples;

use std::io::{self, Read};

use pkgformat::{Error, Limits, Manifest, PackageRecord, Problem, Reader};
use samples::{read, rich, small, write};

#[test]
fn every_truncation_is_an_error() {
    let (record, contents) = rich();
    let package = write(&record, &contents);
    for length in 0..package.len() {
        match read(&package[..length]) {
            Err(Error::Read { offset, problem: Problem::UnexpectedEnd { .. }, .. }) => {
                assert_eq!(offset, length as u64);
            }
            other => panic!("cut off after {length} bytes: {other:?}"),
        }
    }
}

#[test]
fn every_change_of_a_byte_is_an_error() {
    let record = PackageRecord::new(samples::meta(), Manifest::default()).unwrap();
    let mut package = write(&record, &[]);
    for at in 0..package.len() {
        let byte = package[at];
        for change in 1..=255 {
            package[at] = byte ^ change;
            assert!(read(&package).is_err(), "byte {at} changed by {change}");
        }
        package[at] = byte;
    }
}

#[test]
fn every_change_of_a_bit_is_an_error() {
    let (record, contents) = small();
    let mut package = write(&record, &contents);
    for at in 0..package.len() {
        for bit in 0..8 {
            package[at] ^= 1 << bit;
            assert!(read(&package).is_err(), "bit {bit} of byte {at} changed");
            package[at] ^= 1 << bit;
        }
    }
}

#[test]
fn every_lost_or_added_byte_is_an_error() {
    let (record, contents) = small();
    let package = write(&record, &contents);
    for at in 0..=package.len() {
        let (before, after) = package.split_at(at);
        assert!(read(&[before, &[0], after].concat()).is_err(), "a byte added at {at}");
        if let Some((_, rest)) = after.split_first() {
            // Without one of two equal neighbours the bytes are the same wherever it is taken out.
            assert!(read(&[before, rest].concat()).is_err(), "byte {at} lost");
        }
    }
}

#[test]
fn damage_in_the_manifest_is_reported_as_damage() {
    let (record, contents) = small();
    let mut package = write(&record, &contents);
    let at = package.windows(8).position(|window| window == b"type=dir").unwrap();
    package[at] = b'T';
    let error = read(&package).unwrap_err();
    assert!(matches!(error, Error::Read { problem: Problem::DataChecksum { .. }, record: 1, .. }), "{error}");
}

/// A reader must not hand out the last byte of a content that is not what the manifest says.
#[test]
fn a_changed_content_is_found_before_its_last_byte() {
    let (record, contents) = small();
    let mut package = write(&record, &contents);
    let at = package.windows(11).position(|window| window == b"record=blob").unwrap() + 11 + 3 + 32;
    assert_eq!(&package[at..at + 2], b"hi");
    package[at] = b'H';
    let mut reader = Reader::open(&*package, Limits::default()).unwrap();
    let mut blob = reader.next_blob().unwrap().unwrap();
    let mut two = [0; 2];
    let error = Error::from(blob.read_exact(&mut two).unwrap_err());
    assert!(matches!(error, Error::Read { problem: Problem::DataChecksum { .. }, record: 2, .. }), "{error}");
    assert!(matches!(reader.next_blob(), Err(Error::Read { problem: Problem::Failed, .. })));
    assert!(reader.finish().is_err());
}

#[test]
fn what_is_not_read_is_checked_all_the_same() {
    let (record, contents) = rich();
    let package = write(&record, &contents);
    let mut reader = Reader::open(&*package, Limits::default()).unwrap();
    let mut blobs = 0;
    while let Some(mut blob) = reader.next_blob().unwrap() {
        let _ = blob.read(&mut [0; 3]).unwrap();
        blobs += 1;
    }
    assert_eq!(blobs, 6);
    assert_eq!(reader.finish().unwrap().blobs, 6);
    let at = package.windows(12).position(|window| window == b"licence text").unwrap();
    let mut damaged = package;
    damaged[at + 11] ^= 1;
    assert!(Reader::open(&*damaged, Limits::default()).unwrap().finish().is_err());
}

/// Sources give what they have: a byte at a time, with interruptions.
#[test]
fn a_slow_source_is_read_as_well() {
    #[derive(Debug)]
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
    let (record, contents) = rich();
    let package = write(&record, &contents);
    let reader = Reader::open(Slow(&package, false), Limits::default()).unwrap();
    assert_eq!(reader.package(), &record);
    assert_eq!(reader.finish().unwrap().blobs, 6);
}

#[test]
fn a_failing_source_is_named_as_the_cause() {
    #[derive(Debug)]
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the cable is out"))
        }
    }
    let (record, contents) = small();
    let package = write(&record, &contents);
    let source = package[..40].chain(Broken);
    let error = Reader::open(source, Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "record 1, byte 40: reading failed: the cable is out");
}

#[test]
fn a_record_is_decoded_from_exactly_its_bytes() {
    let (record, _) = rich();
    let bytes = record.encode();
    let limits = Limits::default();
    assert_eq!(PackageRecord::decode(&bytes, &limits).unwrap(), record);
    let longer = [&*bytes, &[0]].concat();
    let error = PackageRecord::decode(&longer, &limits).unwrap_err();
    assert!(matches!(error, Error::Read { problem: Problem::TrailingBytes, .. }));
    assert!(PackageRecord::decode(&bytes[..bytes.len() - 1], &limits).is_err());
}
