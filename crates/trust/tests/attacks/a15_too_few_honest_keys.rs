//! A level that needs several owners is not met by fewer, however many keys and statements they have (attacks 15 and 18).

use std::path::Path;

use trust::{Basis, Policy, ReasonCode, SigArchive, SignOptions, Store, Tier, countersign, sign_package};

use crate::fixture::*;

fn store_with(level: &str) -> Store {
    let text = format!("[default]\nlevel = \"{level}\"\n");
    let policy = Policy::parse(text.as_bytes(), Path::new("etc/trust.d/policy.toml")).unwrap();
    let tiers = [Tier::Trusted, Tier::Senior, Tier::Senior, Tier::Junior, Tier::Junior];
    let owners = ["tom", "sue", "sid", "jan", "jan"];
    let files = (1..).zip(tiers).zip(owners).map(|((number, tier), owner)| key_file(&secret(number), tier, owner, ""));
    store(files).with_policy(policy)
}

/// Each signs a statement of its own, the later the larger its number.
fn signed_by(numbers: &[u8]) -> SigArchive {
    let rows = numbers.iter().zip(0..).map(|(&number, later)| {
        let options = SignOptions { seq: Some(100 + later), ..SignOptions::local(now()) };
        sign_package(&record("zlib"), &secret(number), &options).unwrap()
    });
    archive(rows)
}

fn code(level: &str, signers: &[u8]) -> ReasonCode {
    judge(&store_with(level), &record("zlib"), &signed_by(signers)).code()
}

#[test]
fn owners_are_counted_and_not_keys() {
    const TOM: u8 = 1;
    const SUE: u8 = 2;
    const SID: u8 = 3;
    const JAN: [u8; 2] = [4, 5];
    for (level, signers, expected) in [
        ("2 senior", &[SUE][..], ReasonCode::Quorum),
        ("2 senior", &[SUE, SID], ReasonCode::Accept),
        ("2 senior", &[SUE, TOM], ReasonCode::Accept),
        ("2 senior", &[SUE, JAN[0], JAN[1]], ReasonCode::Quorum),
        ("2 junior", &JAN, ReasonCode::Quorum),
        ("2 junior", &[JAN[0], SUE], ReasonCode::Accept),
        ("1 trusted or 1 senior + 1 junior", &[SUE], ReasonCode::Quorum),
        ("1 trusted or 1 senior + 1 junior", &[SUE, JAN[1]], ReasonCode::Accept),
        ("1 trusted or 1 senior + 1 junior", &[TOM], ReasonCode::Accept),
        ("trusted", &[SUE, SID, JAN[0]], ReasonCode::Quorum),
    ] {
        assert_eq!(code(level, signers), expected, "{level} by {signers:?}");
    }
}

#[test]
fn a_refusal_says_who_signed_and_what_is_needed() {
    let decision = judge(&store_with("2 senior"), &record("zlib"), &signed_by(&[2, 4]));
    let refusal = decision.outcome().unwrap_err();
    for word in ["2 senior", "sue (senior)", "jan (junior)"] {
        assert!(refusal.cause.contains(word), "{refusal}");
    }
    assert!(refusal.cure.contains("policy.toml"), "{}", refusal.cure);
}

/// One of the two could be a thief with a huge number: only what both agree to is kept.
#[test]
fn a_quorum_vouches_for_its_smallest_number() {
    let decision = judge(&store_with("2 senior"), &record("zlib"), &signed_by(&[2, 3]));
    let Basis::Signed(signed) = decision.outcome().unwrap().basis.clone() else { panic!("an exception") };
    assert_eq!(signed.seq, 100);
    assert_eq!(signed.owners.len(), 2);
}

#[test]
fn statements_for_different_repositories_do_not_add_up() {
    let core = SignOptions { repo: "core".parse().unwrap(), ..SignOptions::local(now()) };
    let mut rows = signed_by(&[2]);
    rows.insert(sign_package(&record("zlib"), &secret(3), &core).unwrap()).unwrap();
    assert_eq!(judge(&store_with("2 senior"), &record("zlib"), &rows).code(), ReasonCode::Quorum);
}

#[test]
fn countersigned_is_as_good_as_signed() {
    let statement = statement(&record("zlib"));
    let rows = archive([2, 3].map(|number| countersign(&statement, &secret(number)).unwrap()));
    assert_eq!(judge(&store_with("2 senior"), &record("zlib"), &rows).code(), ReasonCode::Accept);
}

#[test]
fn a_denied_key_is_no_voice() {
    let mut store = store_with("2 senior");
    store.insert(key_file(&secret(3), Tier::Untrusted, "sid", "")).unwrap();
    assert_eq!(judge(&store, &record("zlib"), &signed_by(&[2, 3])).code(), ReasonCode::KeyUntrusted);
    assert_eq!(judge(&store, &record("zlib"), &signed_by(&[1, 2, 3])).code(), ReasonCode::Accept);
}
