//! Archives are bounded before anything is allocated for them (attack 5).

use std::io::Write;

use trust::{ReasonCode, SigArchive, Statement};

use crate::fixture::*;

fn code(bytes: &[u8]) -> ReasonCode {
    SigArchive::read(bytes, "x.sigs").map_or_else(|error| error.code(), |_| ReasonCode::Accept)
}

#[test]
fn a_row_has_at_most_16_signatures() {
    let text = statement(&record("zlib")).to_string();
    let mut keys: Vec<_> = (1..=17).map(|number| signature(&secret(number), "x", b"")).collect();
    keys.sort_unstable();
    assert_eq!(code(&raw_archive([raw_row(text.as_bytes(), &keys[..16])])), ReasonCode::Accept);
    assert_eq!(code(&raw_archive([raw_row(text.as_bytes(), &keys)])), ReasonCode::TooLarge);
    assert_eq!(code(&raw_archive([raw_row(text.as_bytes(), &[])])), ReasonCode::Parse);
}

#[test]
fn a_row_is_bounded_by_its_head() {
    let claims_much =
        pkgformat::record::encode_head(&pkgformat::Meta::new::<&str, &str>("statement", []).unwrap(), u64::MAX);
    let heading = raw_archive([]);
    let head = &heading[..heading.len() / 2];
    let mut bytes = raw_archive([vec![0; 10_000]]);
    assert_eq!(code(&bytes), ReasonCode::TooLarge);
    let at = bytes.windows(9).position(|window| window == b"statement").unwrap() - b"\xABKPK\x01\x01\x10record=".len();
    bytes.truncate(at);
    bytes.extend_from_slice(&claims_much);
    bytes.extend_from_slice(pkgtypes::Digest::of(&claims_much).as_bytes());
    assert_eq!(code(&bytes), ReasonCode::TooLarge);
    assert_eq!(code(head), ReasonCode::Parse);
}

#[test]
fn a_statement_is_bounded() {
    let text = statement(&record("zlib")).to_string().replace("local", &"l".repeat(Statement::MAX_LEN));
    let keys = [signature(&secret(1), "x", b"")];
    assert_eq!(code(&raw_archive([raw_row(text.as_bytes(), &keys)])), ReasonCode::TooLarge);
}

#[test]
fn other_files_of_records_are_no_archives() {
    assert_eq!(code(&record("zlib").encode()), ReasonCode::Parse);
    assert_eq!(code(b""), ReasonCode::Parse);
    assert_eq!(code(b"-----BEGIN SSH SIGNATURE-----\n"), ReasonCode::Parse);
}

fn compressed(format: codec::Format, parts: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut encoder = codec::Encoder::new(Vec::new(), format).unwrap();
    for part in parts {
        encoder.write_all(&part).unwrap();
    }
    encoder.finish().unwrap()
}

#[test]
fn a_bomb_is_stopped_by_its_ratio() {
    let head = raw_archive([]);
    for format in [codec::Format::Zstd, codec::Format::Xz, codec::Format::Gzip] {
        let bomb = compressed(format, (0..64).map(|_| vec![0; 1 << 20]));
        assert_ne!(code(&bomb), ReasonCode::Accept);
        // Behind a good beginning, as a meta entry that never ends.
        let entry = [&head[..5], &[8, 1, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_ne!(code(&compressed(format, [entry, vec![0; 1 << 20]])), ReasonCode::Accept);
        // And as rows, each in order, that pack to nearly nothing.
        assert_eq!(code(&compressed(format, [repetitive_archive(500)])), ReasonCode::Ratio, "{format}");
    }
}

/// Rows that differ in their number alone, under signatures that are none.
fn repetitive_archive(rows: u64) -> Vec<u8> {
    let text = statement(&record("zlib")).to_string();
    let key = signature(&secret(1), "x", b"").0;
    let keys: Vec<_> = (0..16).map(|number| (key, [number; 64])).collect();
    raw_archive((0..rows).map(|number| {
        let row = text.replace("seq 1795176000", &format!("seq {}", 2_000_000_000 + number));
        raw_row(row.as_bytes(), &keys)
    }))
}

#[test]
fn an_archive_is_bounded_as_a_file() {
    let mut bytes = raw_archive([]);
    bytes.resize(17 << 20, 0);
    assert_ne!(code(&bytes), ReasonCode::Accept);
    assert_eq!(code(&repetitive_archive(9_000)), ReasonCode::TooLarge);
}

#[test]
fn compressed_archives_are_read_as_they_are() {
    let (record, secret) = (record("zlib"), secret(1));
    let archive = signed(&record, &secret);
    let bytes = archive.write(Vec::new()).unwrap();
    for format in [codec::Format::Plain, codec::Format::Zstd, codec::Format::Xz, codec::Format::Gzip] {
        assert_eq!(SigArchive::read(&*compressed(format, [bytes.clone()]), "x.sigs").unwrap(), archive);
    }
}
