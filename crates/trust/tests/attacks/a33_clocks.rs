//! A wrong clock revives nothing, and stops nothing for good (attacks 33 to 36).

use pkgtypes::Timestamp;
use trust::{FixedClock, ReasonCode, SignOptions, Statement, Tier, Want, evaluate, sign_package};

use crate::fixture::*;

fn code_at(
    signed_on: i64,
    lifetime_days: i64,
    clock: Option<Timestamp>,
    newest_signed: Option<Timestamp>,
) -> ReasonCode {
    let (record, secret) = (record("zlib"), secret(1));
    let options = SignOptions { lifetime: lifetime_days * DAY, ..SignOptions::local(days_later(signed_on)) };
    let archive = archive([sign_package(&record, &secret, &options).unwrap()]);
    let want = Want { newest_signed, ..Want::default() };
    evaluate(&bobs(&secret), &want, &record, &archive, &FixedClock(clock)).code()
}

#[test]
fn a_statement_ends_when_it_says() {
    assert_eq!(code_at(0, 90, Some(days_later(89)), None), ReasonCode::Accept);
    assert_eq!(code_at(0, 90, Some(days_later(90)), None), ReasonCode::Expired);
}

#[test]
fn a_clock_set_back_revives_nothing() {
    let expired = Some(days_later(91));
    assert_eq!(code_at(0, 90, Some(days_later(1)), expired), ReasonCode::Expired);
    assert_eq!(code_at(0, 90, Some(Timestamp::EPOCH), expired), ReasonCode::Expired);
    // Even without any memory, what ended before this program was made stays ended.
    assert_eq!(code_at(-400, 90, Some(Timestamp::EPOCH), None), ReasonCode::Expired);
}

/// A machine without a battery for its clock boots in 1970 and can still install what is fresh.
#[test]
fn a_clock_that_was_never_set_is_no_clock() {
    for clock in [None, Some(Timestamp::EPOCH)] {
        assert_eq!(code_at(30, 90, clock, None), ReasonCode::Accept);
    }
    let (record, secret) = (record("zlib"), secret(1));
    let decision = judge_at(&bobs(&secret), &record, &signed(&record, &secret), None);
    assert!(decision.explain().contains("freeze-unprotected"), "{}", decision.explain());
}

/// And nothing remembers the wrong clock afterwards.
#[test]
fn a_clock_set_ahead_expires_everything_until_it_is_right() {
    let in_2099 = Timestamp::from_seconds(4_070_908_800);
    let (record, secret) = (record("zlib"), secret(1));
    let archive = signed(&record, &secret);
    let decision = judge_at(&bobs(&secret), &record, &archive, Some(in_2099));
    assert_eq!(decision.code(), ReasonCode::Expired);
    let refusal = decision.outcome().unwrap_err();
    assert!(refusal.cause.contains("2099") && refusal.cure.contains("clock"), "{refusal}");
    assert_eq!(judge(&bobs(&secret), &record, &archive).code(), ReasonCode::Accept);
}

#[test]
fn a_postdated_statement_waits_for_its_time() {
    assert_eq!(code_at(1, 90, Some(now()), None), ReasonCode::Accept);
    assert_eq!(code_at(2, 90, Some(now()), None), ReasonCode::Future);
}

#[test]
fn nothing_holds_for_more_than_400_days() {
    let (record, secret) = (record("zlib"), secret(1));
    let text = statement(&record).to_string().replace("expires 2027", "expires 2099");
    assert!(Statement::parse(text.as_bytes()).is_ok());
    let row = raw_row(text.as_bytes(), &[signature(&secret, trust::PACKAGE_NAMESPACE, text.as_bytes())]);
    let archive = trust::SigArchive::read(&*raw_archive([row]), "x.sigs").unwrap();
    let code = |days| judge_at(&bobs(&secret), &record, &archive, Some(days_later(days))).code();
    assert_eq!((code(399), code(400)), (ReasonCode::Accept, ReasonCode::Expired));
}

#[test]
fn a_key_ends_when_its_file_says() {
    let (record, secret) = (record("zlib"), secret(1));
    let archive = signed(&record, &secret);
    let ends = format!("not-after: {}\n", days_later(10).to_utc().unwrap());
    let store = store([key_file(&secret, Tier::Senior, "bob", &ends)]);
    let code = |days| judge_at(&store, &record, &archive, Some(days_later(days))).code();
    assert_eq!((code(9), code(10)), (ReasonCode::Accept, ReasonCode::KeyExpired));
}
