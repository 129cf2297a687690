//! Without a signature that counts, nothing is accepted; the only way around is one exact exception.

use trust::{Basis, Exception, FixedClock, ReasonCode, SigArchive, Store, Tier, Want, evaluate};

use crate::fixture::*;

#[test]
fn stripped_is_unsigned() {
    let secret = secret(1);
    let decision = judge(&bobs(&secret), &record("zlib"), &SigArchive::new());
    assert_eq!(decision.code(), ReasonCode::Unsigned);
    let refusal = decision.outcome().unwrap_err();
    assert!(refusal.to_string().contains("E_UNSIGNED") && refusal.cure.contains("pkg trust sign"), "{refusal}");
}

#[test]
fn unknown_is_as_good_as_unsigned() {
    let (record, secret) = (record("zlib"), secret(1));
    let decision = judge(&Store::default(), &record, &signed(&record, &secret));
    assert_eq!(decision.code(), ReasonCode::KeyUnknown);
    let refusal = decision.outcome().unwrap_err();
    let fingerprint = trust::Signer::public_key(&secret).fingerprint().to_string();
    assert!(refusal.cause.contains(&fingerprint) && refusal.cure.contains("pkg trust key add"), "{refusal}");
}

#[test]
fn denial_wins_over_every_tier() {
    let (record, bob) = (record("zlib"), secret(1));
    let denied = store([key_file(&bob, Tier::Trusted, "bob", ""), key_file(&bob, Tier::Untrusted, "bob", "")]);
    let archive = signed(&record, &bob);
    assert_eq!(judge(&denied, &record, &archive).code(), ReasonCode::KeyUntrusted);
    // Somebody else's word still counts.
    let ann = secret(2);
    let mut both = archive;
    both.insert(signed(&record, &ann).rows()[0].clone()).unwrap();
    let mut with_ann = denied;
    with_ann.insert(key_file(&ann, Tier::Junior, "ann", "")).unwrap();
    assert_eq!(judge(&with_ann, &record, &both).code(), ReasonCode::Accept);
}

fn judge_exception(store: &Store, exception: &str, archive: &SigArchive) -> Result<Basis, ReasonCode> {
    let exception: Exception = exception.parse().unwrap();
    let want = Want { exception: Some(exception), ..Want::default() };
    let decision = evaluate(store, &want, &record("zlib"), archive, &FixedClock(Some(now())));
    decision.outcome().map(|acceptance| acceptance.basis.clone()).map_err(|refusal| refusal.code)
}

#[test]
fn an_exception_is_for_one_name_and_content() {
    let none = SigArchive::new();
    let right = format!("zlib@{}", record("zlib").id());
    assert_eq!(judge_exception(&Store::default(), &right, &none), Ok(Basis::Exception));
    let other_content = format!("zlib@{}", record_with("zlib", "changed").id());
    assert_eq!(judge_exception(&Store::default(), &other_content, &none), Err(ReasonCode::Unsigned));
    let other_name = format!("bash@{}", record("zlib").id());
    assert_eq!(judge_exception(&Store::default(), &other_name, &none), Err(ReasonCode::Unsigned));
    for bad in ["zlib", "zlib@", "zlib@sha256", "@", &right.to_uppercase(), &right[..right.len() - 1]] {
        assert!(bad.parse::<Exception>().is_err(), "{bad}");
    }
}

#[test]
fn an_exception_does_not_lift_a_denial() {
    let secret = secret(1);
    let denied = store([key_file(&secret, Tier::Untrusted, "bob", "")]);
    let right = format!("zlib@{}", record("zlib").id());
    let archive = signed(&record("zlib"), &secret);
    assert_eq!(judge_exception(&denied, &right, &archive), Err(ReasonCode::KeyUntrusted));
}

/// A signature that suffices is what the install database should hear of, exception or not.
#[test]
fn an_exception_is_not_used_when_a_signature_suffices() {
    let secret = secret(1);
    let right = format!("zlib@{}", record("zlib").id());
    let basis = judge_exception(&bobs(&secret), &right, &signed(&record("zlib"), &secret)).unwrap();
    assert!(matches!(basis, Basis::Signed(signed) if signed.tier == Tier::Senior));
}
