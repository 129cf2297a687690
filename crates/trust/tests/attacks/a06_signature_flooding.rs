//! Junk rows by known keys cost the verifier a bounded number of verifications, and by unknown keys none.

use trust::{ReasonCode, SigArchive};

use crate::fixture::*;

const ROWS: u64 = 5_000;

fn flood(key: [u8; 32], rows: u64) -> SigArchive {
    let text = statement(&record("zlib")).to_string();
    let rows = (0..rows).map(|number| {
        let text = text.replace(" 1795176000", &format!(" {}", 2_000_000_000 + number));
        assert!(text.contains(&format!("seq {}", 2_000_000_000 + number)));
        raw_row(text.as_bytes(), &[(key, [7; 64])])
    });
    SigArchive::read(&*raw_archive(rows), "x.sigs").unwrap()
}

#[test]
fn junk_by_a_known_key_stops_at_the_limit() {
    let secret = secret(1);
    let archive = flood(signature(&secret, "", b"").0, ROWS);
    let decision = judge(&bobs(&secret), &record("zlib"), &archive);
    assert_eq!(decision.code(), ReasonCode::TooLarge);
    assert_eq!(decision.findings().iter().filter(|finding| finding.code == ReasonCode::SigBad).count(), 64);
}

#[test]
fn what_stands_behind_the_limit_is_not_verified() {
    let (secret, record) = (secret(1), record("zlib"));
    let good = signed(&record, &secret).rows()[0].clone();
    for (junk, expected) in [(63, ReasonCode::Accept), (64, ReasonCode::TooLarge)] {
        let mut archive = flood(signature(&secret, "", b"").0, junk);
        archive.insert(good.clone()).unwrap();
        assert_eq!(judge(&bobs(&secret), &record, &archive).code(), expected, "{junk}");
    }
}

#[test]
fn junk_by_unknown_keys_hides_nothing() {
    let (stranger, bob, record) = (secret(2), secret(1), record("zlib"));
    let mut archive = flood(signature(&stranger, "", b"").0, ROWS);
    assert_eq!(judge(&bobs(&bob), &record, &archive).code(), ReasonCode::KeyUnknown);
    archive.insert(signed(&record, &bob).rows()[0].clone()).unwrap();
    let decision = judge(&bobs(&bob), &record, &archive);
    assert_eq!(decision.code(), ReasonCode::Accept);
    assert!(decision.explain().lines().count() < 200);
}
