//! What OpenSSH makes is read here, and what is made here OpenSSH reads: keys, signatures and the agent.
#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]
#![expect(clippy::print_stderr, reason = "a skipped test says why")]
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use trust::{Agent, Error, PACKAGE_NAMESPACE, Protection, ReasonCode, SecretKey, Signer, SshSig};
use zeroize::Zeroizing;

const MESSAGE: &[u8] = b"kista-statement v1\n";

/// A folder of its own; `None`, with the reason on the screen, where OpenSSH is not installed.
fn scratch() -> Option<tempfile::TempDir> {
    for tool in ["ssh-keygen", "ssh-agent", "ssh-add"] {
        let found =
            std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(tool).exists());
        if !found {
            eprintln!("skipped: {tool} is not installed (Debian: openssh-client)");
            return None;
        }
    }
    Some(tempfile::tempdir().unwrap())
}

fn run(program: &str, arguments: &[&OsStr], input: &[u8]) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .env_remove("SSH_ASKPASS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses early does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn succeed(program: &str, arguments: &[&OsStr], input: &[u8]) -> String {
    let output = run(program, arguments, input);
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

macro_rules! arguments {
    ($($argument:expr),* $(,)?) => { &[$(OsStr::new(&$argument)),*] };
}

fn keygen(dir: &Path, kind: &str, passphrase: &str) -> PathBuf {
    let path = dir.join(format!("{kind}.key"));
    succeed("ssh-keygen", arguments!["-q", "-t", kind, "-a", "1", "-N", passphrase, "-C", "bob", "-f", path], b"");
    path
}

fn load(path: &Path, passphrase: Option<&str>) -> Result<SecretKey, Error> {
    SecretKey::load(path, &mut || passphrase.map(|text| Zeroizing::new(text.to_owned())))
}

#[test]
fn keys_of_ssh_keygen_are_loaded() {
    let Some(dir) = scratch() else { return };
    let path = keygen(dir.path(), "ed25519", "");
    let secret = load(&path, None).unwrap();
    assert_eq!(secret.public_line() + "\n", fs::read_to_string(path.with_extension("key.pub")).unwrap());
    let listed = succeed("ssh-keygen", arguments!["-l", "-f", path], b"");
    assert!(listed.contains(&secret.public_key().fingerprint().to_string()), "{listed}");
}

#[test]
fn encrypted_keys_of_ssh_keygen_are_loaded() {
    let Some(dir) = scratch() else { return };
    let path = keygen(dir.path(), "ed25519", "correct horse");
    load(&path, Some("correct horse")).unwrap();
    for wrong in [None, Some("battery staple"), Some("")] {
        assert!(matches!(load(&path, wrong), Err(Error::Passphrase { .. })), "{wrong:?}");
    }
}

#[test]
fn other_kinds_of_keys_are_refused_by_name() {
    let Some(dir) = scratch() else { return };
    for kind in ["rsa", "ecdsa"] {
        let path = keygen(dir.path(), kind, "");
        assert_eq!(load(&path, None).unwrap_err().code(), ReasonCode::KeyType, "{kind}");
    }
}

#[test]
fn ssh_keygen_reads_keys_made_here() {
    let Some(dir) = scratch() else { return };
    let plain = dir.path().join("plain");
    let secret = SecretKey::create(&plain, "bob", &Protection::Mode).unwrap();
    assert_eq!(succeed("ssh-keygen", arguments!["-y", "-f", plain], b"").trim_end(), secret.public_line());

    let locked = dir.path().join("locked");
    let protection = Protection::Passphrase { passphrase: Zeroizing::new("correct horse".to_owned()), rounds: 1 };
    let secret = SecretKey::create(&locked, "bob", &protection).unwrap();
    let shown = succeed("ssh-keygen", arguments!["-y", "-P", "correct horse", "-f", locked], b"");
    assert_eq!(shown.trim_end(), secret.public_line());
    assert!(!run("ssh-keygen", arguments!["-y", "-P", "wrong", "-f", locked], b"").status.success());
}

fn verify(dir: &Path, secret: &SecretKey, armored: &str, message: &[u8]) -> bool {
    let (allowed, signature) = (dir.join("allowed"), dir.join("signature"));
    fs::write(&allowed, format!("bob namespaces=\"{PACKAGE_NAMESPACE}\" {}\n", secret.public_line())).unwrap();
    fs::write(&signature, armored).unwrap();
    let arguments = arguments!["-Y", "verify", "-f", allowed, "-I", "bob", "-n", PACKAGE_NAMESPACE, "-s", signature];
    run("ssh-keygen", arguments, message).status.success()
}

/// ed25519 is deterministic, so both must give the same bytes.
#[test]
fn signatures_are_the_same_as_ssh_keygens() {
    let Some(dir) = scratch() else { return };
    let path = keygen(dir.path(), "ed25519", "");
    let secret = load(&path, None).unwrap();
    for length in [0, 1, 69, 70, 71, 400, 4096] {
        let message = vec![b'x'; length];
        let arguments = arguments!["-q", "-Y", "sign", "-f", path, "-n", PACKAGE_NAMESPACE];
        let theirs = succeed("ssh-keygen", arguments, &message);
        let ours = secret.sign(PACKAGE_NAMESPACE, &message).unwrap();
        assert_eq!(ours.to_armored(), theirs);
        SshSig::from_armored(&theirs, PACKAGE_NAMESPACE).unwrap().verify(&message).unwrap();
        assert!(verify(dir.path(), &secret, &ours.to_armored(), &message));
    }
}

#[test]
fn ssh_keygen_refuses_what_is_refused_here() {
    let Some(dir) = scratch() else { return };
    let secret = SecretKey::from_seed(&[9; 32], "bob").unwrap();
    let armored = secret.sign(PACKAGE_NAMESPACE, MESSAGE).unwrap().to_armored();
    assert!(verify(dir.path(), &secret, &armored, MESSAGE));
    assert!(!verify(dir.path(), &secret, &armored, &[MESSAGE, b"\n"].concat()));
    let other = secret.sign("snapshot@v1.kista", MESSAGE).unwrap().to_armored();
    assert!(!verify(dir.path(), &secret, &other, MESSAGE));
}

/// An ssh-agent that ends with the test.
struct RunningAgent {
    socket: PathBuf,
    pid: String,
}

impl RunningAgent {
    fn start(dir: &Path) -> Self {
        let socket = dir.join("agent");
        let text = succeed("ssh-agent", arguments!["-s", "-a", socket], b"");
        let pid = text.split("SSH_AGENT_PID=").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
        Self { socket, pid: pid.to_owned() }
    }

    fn add(&self, key: &Path) {
        let output = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &self.socket).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for RunningAgent {
    fn drop(&mut self) {
        let _ = Command::new("ssh-agent").arg("-k").env("SSH_AGENT_PID", &self.pid).output();
    }
}

#[test]
fn an_agent_signs_with_the_named_key() {
    let Some(dir) = scratch() else { return };
    let running = RunningAgent::start(dir.path());
    let (rsa, path) = (keygen(dir.path(), "rsa", ""), keygen(dir.path(), "ed25519", ""));
    running.add(&rsa);
    running.add(&path);
    let secret = load(&path, None).unwrap();

    let agent = Agent::connect(&running.socket).unwrap();
    let keys = agent.keys().unwrap();
    assert_eq!(
        keys.iter().map(|held| (held.key, held.comment.as_str())).collect::<Vec<_>>(),
        [(*secret.public_key(), "bob")]
    );
    let signer = agent.into_signer(secret.public_key().fingerprint()).unwrap();
    let signature = signer.sign(PACKAGE_NAMESPACE, MESSAGE).unwrap();
    assert_eq!(signature, secret.sign(PACKAGE_NAMESPACE, MESSAGE).unwrap());
    assert!(verify(dir.path(), &secret, &signature.to_armored(), MESSAGE));

    let absent = SecretKey::from_seed(&[1; 32], "").unwrap().public_key().fingerprint();
    let error = Agent::connect(&running.socket).unwrap().into_signer(absent).unwrap_err();
    assert!(error.to_string().contains("ssh-add"), "{error}");
}
