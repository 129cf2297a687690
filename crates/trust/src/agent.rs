use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::sshsig::signature_bytes;
use crate::wire::{WireReader, put_string};
use crate::{Error, Fingerprint, PublicKey, Result, Signer, SshSig};

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// ssh-agent's own limit on a message.
const MAX_MESSAGE: u32 = 256 * 1024;
/// Long enough for a person to confirm (`ssh-add -c`) or to touch a token.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection to an ssh-agent (draft-ietf-sshm-ssh-agent: list and sign). The secret key never leaves the agent.
#[derive(Debug)]
pub struct Agent {
    socket: PathBuf,
    stream: Mutex<UnixStream>,
}

/// A key that an agent holds.
#[derive(Debug, Clone)]
pub struct AgentKey {
    /// The key.
    pub key: PublicKey,
    /// The agent's comment on it, control characters escaped.
    pub comment: String,
}

impl Agent {
    /// Connects to the agent that listens at `socket` (what `SSH_AUTH_SOCK` names).
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(socket: impl AsRef<Path>) -> Result<Self> {
        let socket = socket.as_ref().to_owned();
        let connected = UnixStream::connect(&socket).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => Ok(Self { socket, stream: Mutex::new(stream) }),
            Err(error) => Err(Error::Agent { socket, reason: format!("cannot be reached: {error}") }),
        }
    }

    /// The usable keys: ssh-ed25519, through the key gate. Others are left out.
    ///
    /// # Errors
    /// The agent refuses or does not speak the protocol.
    pub fn keys(&self) -> Result<Vec<AgentKey>> {
        let answer = self.ask(REQUEST_IDENTITIES, &[], IDENTITIES_ANSWER)?;
        let malformed = || self.error("lists its keys in a form that is not understood");
        let mut reader = WireReader::new(&answer);
        let count = reader.number().ok_or_else(malformed)?;
        let mut keys = Vec::new();
        for _ in 0..count {
            let blob = reader.string().ok_or_else(malformed)?;
            let comment = reader.string().ok_or_else(malformed)?;
            if let Ok(key) = PublicKey::from_wire(blob) {
                keys.push(AgentKey { key, comment: comment.escape_ascii().to_string() });
            }
        }
        if reader.is_empty() { Ok(keys) } else { Err(malformed()) }
    }

    /// A signer for the key with this fingerprint; the agent is never searched for another one.
    ///
    /// # Errors
    /// The agent does not hold that key.
    pub fn into_signer(self, fingerprint: Fingerprint) -> Result<AgentSigner> {
        let keys = self.keys()?;
        match keys.into_iter().find(|held| held.key.fingerprint() == fingerprint) {
            Some(held) => Ok(AgentSigner { agent: self, key: held.key }),
            None => Err(self.error(&format!("does not hold the key {fingerprint}; add it with `ssh-add FILE`"))),
        }
    }

    fn ask(&self, request: u8, payload: &[u8], expected: u8) -> Result<Vec<u8>> {
        let mut message = vec![request];
        message.extend_from_slice(payload);
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = exchange(&stream, &message).map_err(|error| self.error(&format!("broke off: {error}")))?;
        match answer.split_first() {
            Some((&kind, body)) if kind == expected => Ok(body.to_vec()),
            Some((&FAILURE, _)) => {
                Err(self.error("refuses (a locked agent, a key that is only for logins, or a no from its owner)"))
            }
            _ => Err(self.error("answers something that was not asked for")),
        }
    }

    fn error(&self, reason: &str) -> Error {
        Error::Agent { socket: self.socket.clone(), reason: reason.to_owned() }
    }
}

fn exchange(mut stream: &UnixStream, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut framed = Vec::with_capacity(message.len() + 4);
    put_string(&mut framed, message);
    stream.write_all(&framed)?;
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let len = u32::from_be_bytes(len);
    if len > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer is too long"));
    }
    let mut answer = Vec::new();
    stream.take(u64::from(len)).read_to_end(&mut answer)?;
    if answer.len() as u64 == u64::from(len) { Ok(answer) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Signs with one key of an ssh-agent.
#[derive(Debug)]
pub struct AgentSigner {
    agent: Agent,
    key: PublicKey,
}

impl Signer for AgentSigner {
    fn public_key(&self) -> &PublicKey {
        &self.key
    }

    fn sign(&self, namespace: &str, message: &[u8]) -> Result<SshSig> {
        const NO_FLAGS: u32 = 0;
        let mut payload = Vec::new();
        put_string(&mut payload, &self.key.to_wire());
        put_string(&mut payload, &SshSig::signed_data(namespace, message));
        payload.extend_from_slice(&NO_FLAGS.to_be_bytes());
        let answer = self.agent.ask(SIGN_REQUEST, &payload, SIGN_RESPONSE)?;
        let mut reader = WireReader::new(&answer);
        match reader.string() {
            Some(inner) if reader.is_empty() => Ok(SshSig::new(self.key, namespace, signature_bytes(inner)?)),
            _ => Err(self.agent.error("gives a signature in a form that is not understood")),
        }
    }
}
