use base64ct::{Base64, Encoding};
use sha2::{Digest as _, Sha512};

use crate::error::shown;
use crate::public_key::ALGORITHM;
use crate::wire::{WireReader, put_string};
use crate::{Error, PublicKey, Result};

const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;
const HASH: &str = "sha512";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// Where `ssh-keygen` breaks its lines.
const COLUMNS: usize = 70;
const MAX_ARMORED: usize = 4096;

/// The namespace of package statements; a signature for anything else can never be taken for one of these.
pub const PACKAGE_NAMESPACE: &str = "package@v1.kista";

/// A signature as `ssh-keygen -Y` makes and verifies it (OpenSSH's PROTOCOL.sshsig), of the one accepted kind:
/// version 1, ssh-ed25519 over SHA-512, nothing reserved, nothing trailing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshSig {
    key: PublicKey,
    namespace: String,
    signature: [u8; 64],
}

impl SshSig {
    /// A signature from its parts, as a [`crate::Signer`] or an archive has them; [`SshSig::verify`] tells its worth.
    pub fn new(key: PublicKey, namespace: &str, signature: [u8; 64]) -> Self {
        Self { key, namespace: namespace.to_owned(), signature }
    }

    /// The key that is said to have signed.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The 64 bytes of the ed25519 signature.
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// The bytes that an ed25519 key really signs for `message`.
    pub fn signed_data(namespace: &str, message: &[u8]) -> Vec<u8> {
        let mut data = Vec::with_capacity(MAGIC.len() + namespace.len() + 96);
        data.extend_from_slice(MAGIC);
        put_string(&mut data, namespace.as_bytes());
        put_string(&mut data, b"");
        put_string(&mut data, HASH.as_bytes());
        put_string(&mut data, &Sha512::digest(message));
        data
    }

    /// Checks that the key signed `message` in the namespace of this signature.
    ///
    /// # Errors
    /// `E_SIG_BAD`.
    pub fn verify(&self, message: &[u8]) -> Result<()> {
        if self.key.verify(&Self::signed_data(&self.namespace, message), &self.signature) {
            return Ok(());
        }
        Err(Error::SigBad { fingerprint: self.key.fingerprint().to_string() })
    }

    /// Reads the binary form, which must be made for `namespace`.
    ///
    /// # Errors
    /// `E_NAMESPACE`, `E_HASH`, `E_KEY_TYPE`, `E_KEY_WEAK`, and `E_PARSE` for any other deviation.
    pub fn from_blob(blob: &[u8], namespace: &str) -> Result<Self> {
        let malformed = |reason: &str| Error::parse("SSH signature", reason);
        let short = || malformed("it ends too early");
        let mut reader = WireReader::new(blob);
        if reader.bytes(MAGIC.len()) != Some(MAGIC) {
            return Err(malformed("it does not begin with SSHSIG"));
        }
        if reader.number().ok_or_else(short)? != VERSION {
            return Err(malformed("only version 1 is known"));
        }
        let key = reader.string().ok_or_else(short)?;
        let found = reader.string().ok_or_else(short)?;
        let reserved = reader.string().ok_or_else(short)?;
        let hash = reader.string().ok_or_else(short)?;
        let inner = reader.string().ok_or_else(short)?;
        if !reader.is_empty() {
            return Err(malformed("bytes stand after its end"));
        }
        if found != namespace.as_bytes() {
            return Err(Error::Namespace { found: shown(found), expected: namespace.to_owned() });
        }
        if !reserved.is_empty() {
            return Err(malformed("its reserved field is not empty"));
        }
        if hash != HASH.as_bytes() {
            return Err(Error::Hash { found: shown(hash) });
        }
        Ok(Self {
            key: PublicKey::from_wire(key)?,
            namespace: namespace.to_owned(),
            signature: signature_bytes(inner)?,
        })
    }

    /// The binary form.
    pub fn to_blob(&self) -> Vec<u8> {
        let mut blob = MAGIC.to_vec();
        blob.extend_from_slice(&VERSION.to_be_bytes());
        put_string(&mut blob, &self.key.to_wire());
        put_string(&mut blob, self.namespace.as_bytes());
        put_string(&mut blob, b"");
        put_string(&mut blob, HASH.as_bytes());
        let mut inner = Vec::with_capacity(83);
        put_string(&mut inner, ALGORITHM.as_bytes());
        put_string(&mut inner, &self.signature);
        put_string(&mut blob, &inner);
        blob
    }

    /// Reads the text form (`-----BEGIN SSH SIGNATURE-----`), which must be made for `namespace`.
    ///
    /// # Errors
    /// As [`SshSig::from_blob`]; `E_PARSE` for text around it, `E_TOO_LARGE` above 4 KiB.
    pub fn from_armored(text: &str, namespace: &str) -> Result<Self> {
        if text.len() > MAX_ARMORED {
            let what = "SSH signature".to_owned();
            return Err(Error::TooLarge { what, limit: MAX_ARMORED as u64, unit: "bytes" });
        }
        let malformed = |reason: &str| Error::parse("SSH signature", reason);
        let text = text.strip_suffix('\n').unwrap_or(text);
        let body = text.strip_prefix(BEGIN).ok_or_else(|| malformed("its first line is not the expected one"))?;
        let body = body.strip_suffix(END).ok_or_else(|| malformed("its last line is not the expected one"))?;
        let body = body.strip_prefix('\n').and_then(|body| body.strip_suffix('\n')).unwrap_or_default();
        if body.split('\n').any(|line| line.is_empty() || line.len() > 76) {
            return Err(malformed("its lines are empty or longer than 76 characters"));
        }
        let blob = Base64::decode_vec(&body.replace('\n', "")).map_err(|_| malformed("it is not canonical base64"))?;
        Self::from_blob(&blob, namespace)
    }

    /// The text form, byte for byte what `ssh-keygen -Y sign` writes.
    pub fn to_armored(&self) -> String {
        let base64 = Base64::encode_string(&self.to_blob());
        let mut text = format!("{BEGIN}\n");
        for line in base64.as_bytes().chunks(COLUMNS) {
            text.extend(line.iter().map(|&byte| char::from(byte)));
            text.push('\n');
        }
        text + END + "\n"
    }
}

/// The 64 bytes inside `string(string("ssh-ed25519") string(signature))`'s content.
pub(crate) fn signature_bytes(inner: &[u8]) -> Result<[u8; 64]> {
    let malformed = || Error::parse("SSH signature", "its inner signature is not 64 bytes of ssh-ed25519");
    let mut reader = WireReader::new(inner);
    let kind = reader.string().ok_or_else(malformed)?;
    if kind != ALGORITHM.as_bytes() {
        return Err(Error::KeyType { what: "the signature", found: shown(kind) });
    }
    let signature = reader.string().ok_or_else(malformed)?;
    if !reader.is_empty() {
        return Err(malformed());
    }
    signature.try_into().map_err(|_| malformed())
}
