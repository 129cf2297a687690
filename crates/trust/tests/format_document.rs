//! Every byte that `docs/format/signature.md` shows is what this crate writes and reads.
#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::path::Path;

use trust::{
    KeyFile, PACKAGE_NAMESPACE, Policy, PublicKey, SecretKey, SigArchive, Signer, SshSig, Statement, Tier, countersign,
};

const DOCUMENT: &str = include_str!("../../../docs/format/signature.md");

/// The fenced block after `<!-- NAME -->`.
fn block(name: &str) -> &'static str {
    let rest = DOCUMENT.split(&format!("<!-- {name} -->\n")).nth(1).unwrap();
    let body = rest.split_once("```").unwrap().1.split_once('\n').unwrap().1;
    body.split_once("```").unwrap().0
}

/// The bytes of a dump: hex pairs, and what stands after a `;` is a remark.
fn dumped(name: &str) -> Vec<u8> {
    let digits: String = block(name)
        .lines()
        .filter_map(|line| line.split(';').next())
        .flat_map(str::chars)
        .filter(|digit| !digit.is_whitespace())
        .collect();
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn secret() -> SecretKey {
    SecretKey::from_seed(&[9; 32], "bob").unwrap()
}

fn statement() -> Statement {
    Statement::parse(block("statement").as_bytes()).unwrap()
}

#[test]
fn the_statement_is_one() {
    assert_eq!(statement().to_string(), block("statement"));
    assert_eq!(statement().digest().to_string(), block("digest").trim_end());
}

#[test]
fn the_key_belongs_to_the_seed() {
    assert_eq!(secret().public_line() + "\n", block("key"));
    let (key, comment) = PublicKey::from_openssh(block("key")).unwrap();
    assert_eq!((key.fingerprint().to_string().as_str(), comment), (block("fingerprint").trim_end(), "bob"));
}

#[test]
fn the_signature_is_the_keys() {
    let text = block("statement").as_bytes();
    let signature = secret().sign(PACKAGE_NAMESPACE, text).unwrap();
    assert_eq!(signature.signature()[..], dumped("signature"));
    assert_eq!(signature.to_armored(), block("armored"));
    assert_eq!(SshSig::signed_data(PACKAGE_NAMESPACE, text), dumped("signed data"));
    SshSig::from_armored(block("armored"), PACKAGE_NAMESPACE).unwrap().verify(text).unwrap();
}

#[test]
fn the_archive_is_byte_for_byte() {
    let mut archive = SigArchive::new();
    archive.insert(countersign(&statement(), &secret()).unwrap()).unwrap();
    let bytes = archive.write(Vec::new()).unwrap();
    assert_eq!(bytes, dumped("archive"));
    assert_eq!(SigArchive::read(&*bytes, "sample").unwrap(), archive);
}

#[test]
fn the_key_file_is_understood() {
    let file = KeyFile::parse(block("key file").as_bytes(), Path::new("bob.pub"), Tier::Senior).unwrap();
    assert_eq!(file.key(), secret().public_key());
    assert!(file.covers(&"core".parse().unwrap(), &"libpng".parse().unwrap()));
    assert!(!file.covers(&"core".parse().unwrap(), &"libc".parse().unwrap()));
}

#[test]
fn the_policy_is_understood() {
    let policy = Policy::parse(block("policy").as_bytes(), Path::new("policy.toml")).unwrap();
    assert!(block("policy").contains(&format!("\"{}\"", policy.level())));
    assert_eq!(Policy::default().level().to_string(), "1 junior");
}

#[test]
fn every_reason_is_listed_once() {
    let codes: Vec<&str> = block("codes").lines().filter_map(|line| line.split_whitespace().next()).collect();
    let all: Vec<&str> = trust::ReasonCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(codes, all);
}
