use std::io;
use std::path::{Path, PathBuf};

use crate::ReasonCode;

/// What can go wrong with keys, signatures and the trust directory; [`Error::code`] is the stable name of each.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another algorithm than the one there is.
    #[error("{what} is of type `{found}`; only ssh-ed25519 is accepted (make one with `ssh-keygen -t ed25519`)")]
    KeyType {
        /// The key or signature.
        what: &'static str,
        /// The type it names, escaped.
        found: String,
    },
    /// A public key that lets one signature stand for several messages.
    #[error("the public key {key} is refused: {reason}; its owner has to make a new one")]
    KeyWeak {
        /// The key's 32 bytes in hex.
        key: String,
        /// Which test it fails.
        reason: &'static str,
    },
    /// A signature over another hash than SHA-512.
    #[error("the signature is over the hash `{found}`; only sha512 is accepted")]
    Hash {
        /// The hash it names, escaped.
        found: String,
    },
    /// A signature made for something else.
    #[error("the signature is made for `{found}`, not for `{expected}`")]
    Namespace {
        /// The namespace it names, escaped.
        found: String,
        /// The namespace that was asked for.
        expected: String,
    },
    /// The signature does not fit.
    #[error("the signature does not belong to this text and the key {fingerprint}")]
    SigBad {
        /// The key that the signature names.
        fingerprint: String,
    },
    /// Bytes that are not what they claim to be.
    #[error("{what}: {reason}")]
    Parse {
        /// What was read, and where.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A line of a text that is not what it claims to be.
    #[error("{what}, line {line}: {reason}")]
    Line {
        /// What was read.
        what: String,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A limit is exceeded; nothing was allocated for what is over it.
    #[error("{what} is larger than {limit} {unit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit.
        limit: u64,
        /// What is counted: bytes, rows, keys, ..
        unit: &'static str,
    },
    /// A compressed archive that grows more than signatures can.
    #[error("{what} unpacks to more than {limit} times its size, which signatures never do")]
    Ratio {
        /// The archive.
        what: String,
        /// The largest ratio that is accepted.
        limit: u64,
    },
    /// A name that may not stand there.
    #[error("`{name}` may not stand in {path}: {reason}", path = .path.display())]
    Name {
        /// The folder.
        path: PathBuf,
        /// The name, escaped.
        name: String,
        /// Why not, and what may.
        reason: &'static str,
    },
    /// Somebody else could change what is trusted.
    #[error("{path}: {reason}; {cure}", path = .path.display())]
    TrustdirPerm {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What mends it.
        cure: String,
    },
    /// What is trusted cannot be read, so nothing is.
    #[error("{path}: what is trusted here cannot be read", path = .path.display())]
    TrustdirIo {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A key file holds no usable key.
    #[error("{path}: its key is not usable", path = .path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with its key.
        #[source]
        source: Box<Error>,
    },
    /// A file of the trust directory that this version cannot follow, and may not ignore.
    #[error("{path}: {reason}", path = .path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// Why it cannot be followed.
        reason: String,
    },
    /// One key with two tiers or two owners.
    #[error("the key {fingerprint} stands in both {first} and {second}, which do not agree on its {what}; remove one of them", first = .first.display(), second = .second.display())]
    KeyAmbiguous {
        /// The key.
        fingerprint: String,
        /// One file.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
        /// `tier` or `owner`.
        what: &'static str,
    },
    /// A secret key file that others can read.
    #[error("{path}: the secret key has mode {mode:04o}, so that others can get at it; run `chmod 600 {path}`", path = .path.display())]
    SecretMode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The public half of a key, where the secret half is needed.
    #[error("{path}: this is the public half of a key; the secret half is needed{}", beside(.secret.as_deref()), path = .path.display())]
    PublicHalf {
        /// The file.
        path: PathBuf,
        /// Where the secret half is by custom.
        secret: Option<PathBuf>,
    },
    /// A secret key that needs a passphrase.
    #[error("{path}: the secret key is encrypted and {reason}", path = .path.display())]
    Passphrase {
        /// The file.
        path: PathBuf,
        /// What is missing.
        reason: &'static str,
    },
    /// A key file would be overwritten.
    #[error("{path} is there already and is not overwritten", path = .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A key file cannot be read or written.
    #[error("{path}: {what}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The disk layer refuses.
    #[error(transparent)]
    Disk(#[from] pkgfs::Error),
    /// A file of records is not a signature archive.
    #[error("{what} is not a whole signature archive")]
    Records {
        /// The archive.
        what: String,
        /// What is wrong, with the record and the byte.
        #[source]
        source: Box<pkgformat::Error>,
    },
    /// The kernel gives no random numbers.
    #[error("the kernel gives no random numbers: {reason}")]
    Random {
        /// What it says.
        reason: String,
    },
    /// ssh-agent does not do what it was asked for.
    #[error("the ssh-agent at {socket} {reason}", socket = .socket.display())]
    Agent {
        /// The agent's socket.
        socket: PathBuf,
        /// What it does instead.
        reason: String,
    },
    /// The compiled cryptography accepts what it must refuse, or the reverse.
    #[error("self-test failed: {reason}; nothing is signed or verified by this program")]
    Selftest {
        /// Which test.
        reason: &'static str,
    },
}

impl Error {
    /// The stable name of this error.
    pub fn code(&self) -> ReasonCode {
        match self {
            Self::KeyType { .. } => ReasonCode::KeyType,
            Self::KeyWeak { .. } => ReasonCode::KeyWeak,
            Self::Hash { .. } => ReasonCode::Hash,
            Self::Namespace { .. } => ReasonCode::Namespace,
            Self::SigBad { .. } => ReasonCode::SigBad,
            Self::TooLarge { .. } => ReasonCode::TooLarge,
            Self::Ratio { .. } => ReasonCode::Ratio,
            Self::Name { .. } => ReasonCode::Name,
            Self::TrustdirPerm { .. } | Self::SecretMode { .. } => ReasonCode::TrustdirPerm,
            Self::TrustdirIo { .. } | Self::Io { .. } | Self::Disk(_) | Self::Exists { .. } => ReasonCode::TrustdirIo,
            Self::KeyFile { source, .. } => source.code(),
            Self::Policy { .. } => ReasonCode::Policy,
            Self::KeyAmbiguous { .. } => ReasonCode::KeyAmbiguous,
            Self::Selftest { .. } | Self::Random { .. } => ReasonCode::Selftest,
            Self::Records { source, .. } => records_code(source),
            Self::Parse { .. }
            | Self::Line { .. }
            | Self::PublicHalf { .. }
            | Self::Passphrase { .. }
            | Self::Agent { .. } => ReasonCode::Parse,
        }
    }

    pub(crate) fn parse(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Parse { what: what.into(), reason: reason.into() }
    }
}

fn beside(secret: Option<&Path>) -> String {
    secret.map_or_else(String::new, |secret| format!(", by custom in {}", secret.display()))
}

fn records_code(error: &pkgformat::Error) -> ReasonCode {
    match error {
        pkgformat::Error::Read { problem: pkgformat::Problem::Limit { .. }, .. } => ReasonCode::TooLarge,
        _ => ReasonCode::Parse,
    }
}

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// Text from elsewhere, safe on a terminal and not too long for one.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const SHOWN: usize = 120;
    let text = bytes[..bytes.len().min(SHOWN)].escape_ascii().to_string();
    if bytes.len() > SHOWN { text + ".." } else { text }
}
