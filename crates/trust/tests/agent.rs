//! An agent that lies or breaks off is an error, and never a signature.
#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use trust::{Agent, SecretKey, SignOptions, Signer, sign_package};

#[path = "fixture/mod.rs"]
#[expect(dead_code, reason = "only keys and records are needed here")]
mod fixture;

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend_from_slice(bytes);
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, message);
    out
}

fn identities(secret: &SecretKey) -> Vec<u8> {
    let mut message = vec![12, 0, 0, 0, 1];
    put(&mut message, &secret.public_key().to_wire());
    put(&mut message, b"bob\x1b[31m");
    framed(&message)
}

fn signature(bytes: &[u8]) -> Vec<u8> {
    let mut inner = Vec::new();
    put(&mut inner, b"ssh-ed25519");
    put(&mut inner, bytes);
    let mut message = vec![14];
    put(&mut message, &inner);
    framed(&message)
}

/// Answers each request with the next of `answers`, then hangs up.
fn serve(dir: &Path, answers: Vec<Vec<u8>>) -> PathBuf {
    let socket = dir.join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        for answer in answers {
            let mut len = [0; 4];
            stream.read_exact(&mut len).unwrap();
            let mut request = vec![0; u32::from_be_bytes(len) as usize];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    socket
}

fn sign_with(answer: Vec<u8>) -> Result<trust::SignedStatement, trust::Error> {
    let (dir, secret) = (tempfile::tempdir().unwrap(), fixture::secret(1));
    let agent = Agent::connect(serve(dir.path(), vec![identities(&secret), answer])).unwrap();
    let signer = agent.into_signer(secret.public_key().fingerprint()).unwrap();
    sign_package(&fixture::record("zlib"), &signer, &SignOptions::local(fixture::now()))
}

#[test]
fn a_signature_is_verified_before_it_is_used() {
    let text = fixture::statement(&fixture::record("zlib")).to_string();
    let sign = |number: u8| fixture::signature(&fixture::secret(number), trust::PACKAGE_NAMESPACE, text.as_bytes()).1;
    sign_with(signature(&sign(1))).unwrap();
    assert_eq!(sign_with(signature(&sign(2))).unwrap_err().code(), trust::ReasonCode::SigBad);
    assert_eq!(sign_with(signature(&[0; 64])).unwrap_err().code(), trust::ReasonCode::SigBad);
}

#[test]
fn what_is_no_answer_is_an_error() {
    for answer in [
        framed(&[5]),
        framed(&[12]),
        framed(&[14]),
        framed(&[14, 0, 0, 0, 9]),
        framed(&[]),
        vec![0xff; 4],
        vec![0, 0, 0, 9, 14],
        vec![0, 0],
        signature(&[0; 63]),
        [signature(&[0; 64]), vec![0]].concat(),
    ] {
        assert!(sign_with(answer.clone()).is_err(), "{answer:?}");
    }
}

#[test]
fn hostile_lists_are_bounded_and_comments_escaped() {
    let list = |answer| {
        let dir = tempfile::tempdir().unwrap();
        Agent::connect(serve(dir.path(), vec![answer])).unwrap().keys()
    };
    assert_eq!(list(identities(&fixture::secret(1))).unwrap()[0].comment, "bob\\x1b[31m");
    assert!(list(framed(&[12, 0xff, 0xff, 0xff, 0xff])).is_err());
    assert!(list(framed(&[12, 0, 0, 0, 0, 7])).is_err());
    assert!(list(framed(&[12, 0, 0, 0, 0])).unwrap().is_empty());
}

#[test]
fn nobody_at_the_socket_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let error = Agent::connect(dir.path().join("none")).unwrap_err().to_string();
    assert!(error.contains("cannot be reached"), "{error}");
}
