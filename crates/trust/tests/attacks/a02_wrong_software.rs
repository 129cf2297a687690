//! A good signature on something else than what was asked for.

use trust::{FixedClock, ReasonCode, SignOptions, Want, evaluate, sign_package};

use crate::fixture::*;

fn judge_want(want: &Want) -> ReasonCode {
    let (record, secret) = (record("bar"), secret(1));
    let archive = signed(&record, &secret);
    evaluate(&bobs(&secret), want, &record, &archive, &FixedClock(Some(now()))).code()
}

#[test]
fn what_was_asked_for_is_what_is_there() {
    let right = Want {
        repo: Some("local".parse().unwrap()),
        name: Some("bar".parse().unwrap()),
        version: Some("1.3.1-2".parse().unwrap()),
        package_id: Some(record("bar").id()),
        ..Want::default()
    };
    assert_eq!(judge_want(&right), ReasonCode::Accept);
    let any_release = Want { version: Some("1.3.1".parse().unwrap()), ..right.clone() };
    assert_eq!(judge_want(&any_release), ReasonCode::Accept);

    let other_name = Want { name: Some("foo".parse().unwrap()), ..right.clone() };
    assert_eq!(judge_want(&other_name), ReasonCode::SubjectMismatch);
    for version in ["1.3.1-3", "1:1.3.1-2", "1.3.10"] {
        let other_version = Want { version: Some(version.parse().unwrap()), ..right.clone() };
        assert_eq!(judge_want(&other_version), ReasonCode::SubjectMismatch, "{version}");
    }
    let other_repo = Want { repo: Some("core".parse().unwrap()), ..right.clone() };
    assert_eq!(judge_want(&other_repo), ReasonCode::RepoMismatch);
    let other_content = Want { package_id: Some(record("foo").id()), ..right };
    assert_eq!(judge_want(&other_content), ReasonCode::PackageId);
}

/// A signer that says another name, version or architecture than the package itself.
#[test]
fn a_statement_that_misnames_the_package_is_refused() {
    let (record, secret) = (record("bar"), secret(1));
    let text = statement(&record).to_string();
    for (from, to) in [("name bar", "name foo"), ("release 2", "release 3"), ("arch x86_64", "arch aarch64")] {
        let text = text.replace(from, to);
        let row = raw_row(text.as_bytes(), &[signature(&secret, trust::PACKAGE_NAMESPACE, text.as_bytes())]);
        let code = judge_bytes(&bobs(&secret), &record, &raw_archive([row]));
        assert_eq!(code, ReasonCode::SubjectMismatch, "{to}");
    }
}

/// The keys of one repository do not sign for another.
#[test]
fn a_key_counts_only_in_its_scope() {
    let (record, secret) = (record("bar"), secret(1));
    let store = |lines| store([key_file(&secret, trust::Tier::Trusted, "bob", lines)]);
    let archive = signed(&record, &secret);
    for (lines, expected) in [
        ("repos: local core\n", ReasonCode::Accept),
        ("repos: core\n", ReasonCode::Quorum),
        ("pkgs: b*\n", ReasonCode::Accept),
        ("pkgs: b* !bar\n", ReasonCode::Quorum),
        ("roles: package\n", ReasonCode::Accept),
        ("roles: snapshot rebuild\n", ReasonCode::Quorum),
    ] {
        assert_eq!(judge(&store(lines), &record, &archive).code(), expected, "{lines}");
    }
}

/// Statements on other versions, as an archive of a whole repository has them, neither help nor disturb.
#[test]
fn an_archive_of_many_packages_serves_each() {
    let secret = secret(1);
    let (wanted, other) = (record("bar"), record("foo"));
    let both =
        archive([&wanted, &other].map(|record| sign_package(record, &secret, &SignOptions::local(now())).unwrap()));
    assert_eq!(judge(&bobs(&secret), &wanted, &both).code(), ReasonCode::Accept);
    assert_eq!(judge(&bobs(&secret), &other, &both).code(), ReasonCode::Accept);
    assert_eq!(judge(&bobs(&secret), &record("baz"), &both).code(), ReasonCode::Unsigned);
}
