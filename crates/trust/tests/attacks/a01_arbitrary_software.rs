//! Every byte of a package record, a statement, a signature and an archive counts.

use pkgformat::{Limits, PackageRecord};
use trust::{ReasonCode, SigArchive};

use crate::fixture::*;

#[test]
fn a_signed_package_is_accepted() {
    let (record, secret) = (record("zlib"), secret(1));
    let decision = judge(&bobs(&secret), &record, &signed(&record, &secret));
    assert_eq!(decision.code(), ReasonCode::Accept, "{}", decision.explain());
    assert_eq!(decision.into_verified(record.clone()).unwrap().id(), record.id());
}

/// As the archive arrives, with checksums that no longer fit.
#[test]
fn no_changed_archive_is_accepted() {
    let (record, secret) = (record("zlib"), secret(1));
    let store = bobs(&secret);
    let bytes = signed(&record, &secret).write(Vec::new()).unwrap();
    assert_eq!(judge_bytes(&store, &record, &bytes), ReasonCode::Accept);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        assert_ne!(judge_bytes(&store, &record, &changed), ReasonCode::Accept, "byte {at}");
        assert_ne!(judge_bytes(&store, &record, &bytes[..at]), ReasonCode::Accept, "cut at {at}");
    }
    assert_ne!(judge_bytes(&store, &record, &[&bytes[..], b"\0"].concat()), ReasonCode::Accept);
}

/// By an attacker who makes the checksums anew.
#[test]
fn no_changed_row_is_accepted() {
    let (record, secret) = (record("zlib"), secret(1));
    let store = bobs(&secret);
    let text = statement(&record).to_string();
    let row = raw_row(text.as_bytes(), &[signature(&secret, trust::PACKAGE_NAMESPACE, text.as_bytes())]);
    assert_eq!(judge_bytes(&store, &record, &raw_archive([row.clone()])), ReasonCode::Accept);
    for at in 0..row.len() {
        for bit in 0..8 {
            let mut changed = row.clone();
            changed[at] ^= 1 << bit;
            let code = judge_bytes(&store, &record, &raw_archive([changed]));
            assert_ne!(code, ReasonCode::Accept, "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn no_changed_package_is_accepted() {
    let (record, secret) = (record("zlib"), secret(1));
    let (store, archive) = (bobs(&secret), signed(&record, &secret));
    let bytes = record.encode();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        if let Ok(changed) = PackageRecord::decode(&changed, &Limits::default()) {
            assert_ne!(judge(&store, &changed, &archive).code(), ReasonCode::Accept, "byte {at}");
        }
    }
}

/// The same name and version with other content, everything else in order.
#[test]
fn other_content_under_a_signed_version_is_refused() {
    let secret = secret(1);
    let archive = signed(&record("zlib"), &secret);
    let decision = judge(&bobs(&secret), &record_with("zlib", "with a back door"), &archive);
    assert_eq!(decision.code(), ReasonCode::PackageId);
}

#[test]
fn a_decision_is_about_the_record_that_was_judged() {
    let (good, secret) = (record("zlib"), secret(1));
    let decision = judge(&bobs(&secret), &good, &signed(&good, &secret));
    let refusal = decision.into_verified(record_with("zlib", "swapped later")).unwrap_err();
    assert_eq!(refusal.code, ReasonCode::PackageId);
}

#[test]
fn writing_what_was_read_gives_the_same_archive() {
    let secret = secret(1);
    let rows = ["zlib", "bash", "coreutils"]
        .map(|name| trust::sign_package(&record(name), &secret, &trust::SignOptions::local(now())).unwrap());
    let bytes = archive(rows.clone()).write(Vec::new()).unwrap();
    assert_eq!(archive(rows.into_iter().rev()).write(Vec::new()).unwrap(), bytes);
    assert_eq!(SigArchive::read(&*bytes, "x.sigs").unwrap().write(Vec::new()).unwrap(), bytes);
}
