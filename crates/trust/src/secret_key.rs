use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signer as _, SigningKey};
use pkgfs::{Durability, Rename, Root};
use pkgtypes::{Mode, PkgPath};
use rustix::fs::OFlags;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{Algorithm, Cipher, Kdf, LineEnding, PrivateKey};
use zeroize::Zeroizing;

use crate::{Error, PublicKey, Result, Signer, SshSig};

/// Larger than any ed25519 key file.
const MAX_LEN: u64 = 16 * 1024;
const OTHERS: u32 = 0o077;

/// How a secret key file is kept.
#[derive(Debug)]
pub enum Protection {
    /// Only by its mode, 0600.
    Mode,
    /// Encrypted (bcrypt-pbkdf and aes256-ctr, as ssh-keygen does).
    Passphrase {
        /// The passphrase.
        passphrase: Zeroizing<String>,
        /// How often bcrypt runs; [`Protection::ROUNDS`] takes about a second.
        rounds: u32,
    },
}

impl Protection {
    /// The rounds that new keys get.
    pub const ROUNDS: u32 = 64;
}

/// A secret ed25519 key in memory, wiped when it is dropped. OpenSSH's file format, so that ssh-keygen can make, change
/// and use the same files.
pub struct SecretKey {
    key: SigningKey,
    public: PublicKey,
    comment: String,
}

impl SecretKey {
    /// A new key from the kernel's random numbers.
    ///
    /// # Errors
    /// The kernel gives none.
    pub fn generate(comment: &str) -> Result<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        random(&mut *seed)?;
        Self::from_seed(&seed, comment)
    }

    /// The key that belongs to a seed of 32 bytes.
    ///
    /// # Errors
    /// Never for a seed in practice: only if its public key did not pass the key gate.
    pub fn from_seed(seed: &[u8; 32], comment: &str) -> Result<Self> {
        let key = SigningKey::from_bytes(seed);
        let public = PublicKey::from_bytes(key.verifying_key().as_bytes())?;
        Ok(Self { key, public, comment: comment.chars().filter(|character| !character.is_control()).collect() })
    }

    /// Loads an OpenSSH private key file; `passphrase` is asked when the file is encrypted.
    ///
    /// # Errors
    /// A file that others can get at, one that is not an ed25519 key (`E_KEY_TYPE`) or only a public half, or no or a wrong passphrase.
    pub fn load(path: impl AsRef<Path>, passphrase: &mut dyn FnMut() -> Option<Zeroizing<String>>) -> Result<Self> {
        let path = path.as_ref();
        let text = read_secret(path)?;
        let mut private = PrivateKey::from_openssh(text.as_slice()).map_err(|error| not_a_key(&error, path))?;
        if private.algorithm() != Algorithm::Ed25519 {
            return Err(other_kind(private.algorithm().as_str()));
        }
        if private.is_encrypted() {
            let missing = |reason| Error::Passphrase { path: path.to_owned(), reason };
            let passphrase = passphrase().ok_or_else(|| missing("no passphrase is given"))?;
            private = private.decrypt(passphrase.as_bytes()).map_err(|_| missing("the passphrase is wrong"))?;
        }
        let KeypairData::Ed25519(pair) = private.key_data() else {
            return Err(other_kind(private.algorithm().as_str()));
        };
        let secret = Self::from_seed(&Zeroizing::new(pair.private.to_bytes()), private.comment())?;
        if secret.public.as_bytes() != &pair.public.0 {
            return Err(Error::parse(path.display().to_string(), "its public half does not belong to its secret half"));
        }
        Ok(secret)
    }

    /// Makes a key, writes it to `path` (mode 0600) and its public half to `path.pub`; missing folders are made, for this
    /// user alone. The secret file appears complete or not at all.
    ///
    /// # Errors
    /// A file that is there already is not overwritten.
    pub fn create(path: impl AsRef<Path>, comment: &str, protection: &Protection) -> Result<Self> {
        let path = path.as_ref();
        let secret = Self::generate(comment)?;
        let (folder, name) = split(path)?;
        let folder = Root::create(folder, Mode::from_raw(0o700))?;
        let text = secret.to_openssh(protection)?;
        let staged = PkgPath::new(format!(".kista.{}", staged_name(&secret.public)).into_bytes())
            .expect("hex digits are a name");
        folder.write_file(&staged, Mode::from_raw(0o600), text.as_bytes(), Durability::Synced)?;
        if let Err(error) = folder.rename(&staged, &name, Rename::NoReplace) {
            folder.remove_file(&staged)?;
            return Err(match error.kind {
                pkgfs::ErrorKind::Exists => Error::Exists { path: path.to_owned() },
                _ => error.into(),
            });
        }
        let public = name.with_file_name(&[name.file_name(), b".pub"].concat());
        let public = public.map_err(|error| Error::parse("key file name", error.to_string()))?;
        let line = secret.public_line() + "\n";
        folder.write_file(&public, Mode::from_raw(0o644), line.as_bytes(), Durability::Synced)?;
        Ok(secret)
    }

    /// The user's own key: loads the file at `path`, or makes it, unencrypted, when there is none. Says whether it is new,
    /// so that the user can be told.
    ///
    /// # Errors
    /// As [`SecretKey::load`] and [`SecretKey::create`].
    pub fn load_or_create(
        path: impl AsRef<Path>,
        comment: &str,
        passphrase: &mut dyn FnMut() -> Option<Zeroizing<String>>,
    ) -> Result<(Self, bool)> {
        match Self::load(&path, passphrase) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            loaded => return loaded.map(|secret| (secret, false)),
        }
        match Self::create(&path, comment, &Protection::Mode) {
            // Another process was quicker: its key is the one.
            Err(Error::Exists { .. }) => Self::load(&path, passphrase).map(|secret| (secret, false)),
            created => created.map(|secret| (secret, true)),
        }
    }

    /// The comment that stands with the key, by custom its owner.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// The public half as one line without its end, for key files and `ssh-keygen`.
    pub fn public_line(&self) -> String {
        self.public.to_openssh(&self.comment)
    }

    fn to_openssh(&self, protection: &Protection) -> Result<Zeroizing<String>> {
        let failed = |error: ssh_key::Error| Error::parse("secret key", error.to_string());
        let pair = Ed25519Keypair::from_seed(self.key.as_bytes());
        let mut private = PrivateKey::new(KeypairData::Ed25519(pair), self.comment.clone()).map_err(failed)?;
        if let Protection::Passphrase { passphrase, rounds } = protection {
            let (mut salt, mut check) = ([0; 16], [0; 4]);
            random(&mut salt)?;
            random(&mut check)?;
            let kdf = Kdf::Bcrypt { salt: salt.to_vec(), rounds: *rounds };
            let check = u32::from_ne_bytes(check);
            private = private.encrypt_with(Cipher::Aes256Ctr, kdf, check, passphrase.as_bytes()).map_err(failed)?;
        }
        private.to_openssh(LineEnding::LF).map_err(failed)
    }
}

impl Signer for SecretKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, namespace: &str, message: &[u8]) -> Result<SshSig> {
        let signature = self.key.sign(&SshSig::signed_data(namespace, message));
        Ok(SshSig::new(self.public, namespace, signature.to_bytes()))
    }
}

/// Without the secret.
impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretKey")
            .field("public", &self.public)
            .field("comment", &self.comment)
            .finish_non_exhaustive()
    }
}

fn not_a_key(error: &ssh_key::Error, path: &Path) -> Error {
    match error {
        ssh_key::Error::AlgorithmUnsupported { algorithm } => other_kind(algorithm.as_str()),
        ssh_key::Error::AlgorithmUnknown => other_kind("unknown"),
        _ => Error::parse(path.display().to_string(), "it is not an OpenSSH private key"),
    }
}

fn other_kind(found: &str) -> Error {
    Error::KeyType { what: "the secret key", found: found.to_owned() }
}

fn split(path: &Path) -> Result<(PathBuf, PkgPath)> {
    let name = path.file_name().and_then(|name| PkgPath::from_os(name).ok());
    let name = name.ok_or_else(|| Error::parse(path.display().to_string(), "it does not name a file"))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((folder.to_owned(), name))
}

/// Nobody else has this name, because nobody else has this key.
fn staged_name(key: &PublicKey) -> String {
    key.as_bytes()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| Error::Random { reason: error.to_string() })
}

/// Reads the file that was opened and checked, not the one that its name means a moment later.
fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let failed = |source| Error::Io { path: path.to_owned(), what: "the secret key cannot be read", source };
    // Not blocking, in case the name is that of a pipe.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(nonblocking).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Error::parse(path.display().to_string(), "it is not a file"));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_LEN as usize));
    file.take(MAX_LEN).read_to_end(&mut text).map_err(failed)?;
    // Before its mode: others may read the public half, and closing it to them would help nobody.
    if is_public_half(&text) {
        let secret = (path.extension() == Some("pub".as_ref())).then(|| path.with_extension(""));
        return Err(Error::PublicHalf { path: path.to_owned(), secret });
    }
    if mode & OTHERS != 0 {
        return Err(Error::SecretMode { path: path.to_owned(), mode });
    }
    Ok(text)
}

fn is_public_half(text: &[u8]) -> bool {
    text.starts_with(b"ssh-") || text.starts_with(b"ecdsa-") || text.starts_with(b"sk-")
}
