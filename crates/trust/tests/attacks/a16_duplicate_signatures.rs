//! Voices are counted by owner, and a bad duplicate hides no good signature (attacks 16 and 17).

use trust::{Basis, ReasonCode, SigArchive, Tier, countersign};

use crate::fixture::*;

fn owners(decision: &trust::Decision) -> Vec<String> {
    match &decision.outcome().unwrap().basis {
        Basis::Signed(signed) => signed.owners.iter().map(ToString::to_string).collect(),
        other @ Basis::Exception => panic!("{other:?}"),
    }
}

#[test]
fn two_keys_of_one_owner_are_one_voice() {
    let (record, first, second, third) = (record("zlib"), secret(1), secret(2), secret(3));
    let store = store([
        key_file(&first, Tier::Junior, "bob", ""),
        key_file(&second, Tier::Senior, "bob", ""),
        key_file(&third, Tier::Junior, "ann", ""),
    ]);
    let statement = statement(&record);
    let mut rows = archive([&first, &second].map(|secret| countersign(&statement, secret).unwrap()));
    assert_eq!(rows.rows().len(), 1);
    assert_eq!(owners(&judge(&store, &record, &rows)), ["bob"]);
    rows.insert(countersign(&statement, &third).unwrap()).unwrap();
    assert_eq!(owners(&judge(&store, &record, &rows)), ["ann", "bob"]);
}

#[test]
fn the_same_signature_again_changes_nothing() {
    let (record, secret) = (record("zlib"), secret(1));
    let row = countersign(&statement(&record), &secret).unwrap();
    assert_eq!(archive([row.clone(), row.clone(), row.clone()]), archive([row]));
}

/// Both good and bad by the same key, sorted either way.
#[test]
fn a_bad_duplicate_hides_no_good_signature() {
    let (record, secret) = (record("zlib"), secret(1));
    let text = statement(&record).to_string();
    let good = signature(&secret, trust::PACKAGE_NAMESPACE, text.as_bytes());
    for bad in [[0; 64], [0xff; 64]] {
        let mut both = vec![good, (good.0, bad)];
        both.sort_unstable();
        let bytes = raw_archive([raw_row(text.as_bytes(), &both)]);
        assert_eq!(judge_bytes(&bobs(&secret), &record, &bytes), ReasonCode::Accept);
        both.reverse();
        let unsorted = raw_archive([raw_row(text.as_bytes(), &both)]);
        assert_eq!(SigArchive::read(&*unsorted, "x.sigs").unwrap_err().code(), ReasonCode::Parse);
    }
}

/// The other order of insertion, and of statements.
#[test]
fn a_bad_newer_statement_hides_no_good_older_one() {
    let (record, secret) = (record("zlib"), secret(1));
    let text = statement(&record).to_string();
    let newer = text.replace("seq 1795176000", "seq 1795176001");
    let good = raw_row(text.as_bytes(), &[signature(&secret, trust::PACKAGE_NAMESPACE, text.as_bytes())]);
    let bad = raw_row(newer.as_bytes(), &[signature(&secret, trust::PACKAGE_NAMESPACE, text.as_bytes())]);
    assert_eq!(judge_bytes(&bobs(&secret), &record, &raw_archive([good, bad])), ReasonCode::Accept);
}
