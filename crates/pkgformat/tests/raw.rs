//! Files of records of any kind.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod samples;

use std::io::Read;

use pkgformat::{Error, Limits, Meta, Problem, RawReader, RawWriter};
use pkgtypes::Digest;
use proptest::collection::vec;
use proptest::prelude::*;
use samples::{Forged, list, seal};

fn archive(records: &[(Meta, Vec<u8>)]) -> Vec<u8> {
    let mut writer = RawWriter::new(Vec::new());
    for (meta, data) in records {
        writer.record(meta, data).unwrap();
    }
    writer.finish().unwrap().0
}

fn read(bytes: &[u8]) -> pkgformat::Result<Vec<(Meta, Vec<u8>)>> {
    let mut reader = RawReader::new(bytes, Limits::default());
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        records.push((record.meta().clone(), record.into_data()?));
    }
    reader.finish()?;
    Ok(records)
}

fn row() -> impl Strategy<Value = (Meta, Vec<u8>)> {
    let entries = vec(("[a-z][a-z0-9.:-]{0,5}", vec(any::<u8>(), 0..6)), 0..5);
    let entries = entries.prop_filter("`record` is the kind", |list| list.iter().all(|(name, _)| name != "record"));
    ("[a-r][a-z]{0,5}", entries, vec(any::<u8>(), 0..200))
        .prop_map(|(kind, entries, data)| (Meta::new(&kind, entries).unwrap(), data))
}

proptest! {
    #[test]
    fn archives_are_read_back(rows in vec(row(), 0..8)) {
        prop_assert_eq!(read(&archive(&rows)).unwrap(), rows);
    }
}

#[test]
fn golden() {
    let meta = Meta::new("sig", [("key", "a")]).unwrap();
    let forged = seal(&[Forged::new(&list(&["record=sig", "key=a"]), b"data")], 0);
    assert_eq!(archive(&[(meta, b"data".to_vec())]), forged);
}

#[test]
fn the_summary_counts_only_blobs_as_blobs() {
    let mut writer = RawWriter::new(Vec::new());
    writer.record(&Meta::new::<&str, &str>("note", []).unwrap(), b"12345").unwrap();
    writer.record(&Meta::new::<&str, &str>("blob", []).unwrap(), b"123").unwrap();
    let (_, summary) = writer.finish().unwrap();
    assert_eq!((summary.records, summary.blobs, summary.bytes, summary.files), (3, 1, 3, 0));
}

#[test]
fn a_summary_is_not_written_by_hand() {
    let mut writer = RawWriter::new(Vec::new());
    let refusal = writer.record(&Meta::new::<&str, &str>("summary", []).unwrap(), b"");
    assert!(matches!(refusal, Err(Error::ReservedKind(kind)) if kind == "summary"));
}

#[test]
fn data_over_the_limit_are_not_taken_into_memory() {
    let file = archive(&[(Meta::new::<&str, &str>("note", []).unwrap(), vec![0; 100])]);
    let limits = Limits { record_data: 99, ..Default::default() };
    let mut reader = RawReader::new(&*file, limits);
    let error = reader.next_record().unwrap().unwrap().into_data().unwrap_err();
    assert!(matches!(error, Error::Read { problem: Problem::Limit { claimed: 100, limit: 99, .. }, .. }));
    // As a stream they can be read.
    let mut reader = RawReader::new(&*file, limits);
    let mut record = reader.next_record().unwrap().unwrap();
    assert_eq!(record.size(), 100);
    assert_eq!(std::io::copy(&mut record, &mut std::io::sink()).unwrap(), 100);
    assert_eq!(record.read(&mut [0]).unwrap(), 0);
    assert!(reader.finish().is_ok());
}

#[test]
fn an_open_ended_file_ends_after_any_record() {
    let meta = Meta::new("row", [("n", "1")]).unwrap();
    let mut writer = RawWriter::new(Vec::new());
    writer.record(&meta, b"one").unwrap();
    let mut log = writer.into_inner().unwrap();
    let mut writer = RawWriter::new(&mut log);
    writer.record(&meta, b"two").unwrap();
    writer.into_inner().unwrap();

    let mut reader = RawReader::open_ended(&*log, Limits::default());
    let mut rows = 0;
    while let Some(record) = reader.next_record().unwrap() {
        assert_eq!(record.meta(), &meta);
        rows += 1;
    }
    assert_eq!(rows, 2);
    assert_eq!(reader.finish().unwrap().records, 2);
    assert!(read(&log).is_err(), "without a summary it is no closed file");
    for length in (1..log.len()).filter(|&length| length != log.len() / 2) {
        assert!(RawReader::open_ended(&log[..length], Limits::default()).finish().is_err(), "{length}");
    }
    let closed = archive(&[(meta, vec![])]);
    assert!(RawReader::open_ended(&*closed, Limits::default()).finish().is_err(), "a summary closes a file for good");
}

#[test]
fn the_digest_of_a_record_covers_its_head() {
    let record = |value: &str| {
        let mut writer = RawWriter::new(Vec::new());
        writer.record(&Meta::new("row", [("n", value)]).unwrap(), b"").unwrap()
    };
    assert_ne!(record("1").digest(), record("2").digest());
    assert_eq!(record("1").data, Digest::of(""));
}
