use std::io::Read;

use pgp::composed::{CleartextSignedMessage, Deserializable, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{PublicKey, PublicSubkey, Signature, SignatureType};
use pgp::types::{KeyDetails, Tag, Timestamp};

use crate::ArchiveError;

/// OpenPGP keys whose signatures are accepted.
///
/// A signature counts if a key made it that may sign, that is not revoked, and that had not expired when, by its own
/// word, the signature was made: this crate has no clock. A subkey's binding to its key is checked both ways.
#[derive(Debug, Clone)]
pub struct OpenPgpKeys {
    signers: Vec<Signer>,
}

/// A key or subkey, and when it may sign.
#[derive(Debug, Clone)]
struct Signer {
    key: Key,
    /// Seconds since 1970, the first that counts and the first that does not.
    valid: Result<(u64, u64), &'static str>,
}

#[derive(Debug, Clone)]
enum Key {
    Primary(PublicKey),
    Sub(PublicSubkey),
}

impl OpenPgpKeys {
    /// Reads one or more public keys, as `gpg --export` gives them, with or without `--armor`.
    ///
    /// # Errors
    /// There is none, or one that can not be read.
    pub fn parse(bytes: &[u8]) -> Result<Self, ArchiveError> {
        let broken = |error: pgp::errors::Error| ArchiveError::Keys { reason: error.to_string() };
        let keys: Result<Vec<_>, _> = if is_armored(bytes) {
            SignedPublicKey::from_armor_many(bytes).map_err(broken)?.0.collect()
        } else {
            SignedPublicKey::from_bytes_many(bytes).map_err(broken)?.collect()
        };
        let signers: Vec<_> = keys.map_err(broken)?.iter().flat_map(signers).collect();
        if signers.is_empty() {
            return Err(ArchiveError::Keys { reason: "there is no public key".to_owned() });
        }
        Ok(Self { signers })
    }

    /// Checks a detached signature.
    pub(crate) fn check(&self, signature: &[u8], data: impl Read) -> Result<(), String> {
        let signature = if is_armored(signature) {
            DetachedSignature::from_armor_single(signature).map(|(signature, _)| signature)
        } else {
            DetachedSignature::from_bytes(signature)
        };
        let signature = signature.map_err(|error| format!("it can not be read: {error}"))?;
        self.check_one(&signature.signature, data)
    }

    /// Checks a text that is signed, and gives back what of it is. One good signature will do.
    pub(crate) fn check_text(&self, text: &str) -> Result<String, String> {
        let message = parse_text(text)?;
        let signed = message.signed_text();
        let mut reason = "there is none".to_owned();
        for signature in message.signatures() {
            match self.check_one(signature, signed.as_bytes()) {
                Ok(()) => return Ok(signed),
                Err(why) => reason = why,
            }
        }
        Err(reason)
    }

    fn check_one(&self, signature: &Signature, data: impl Read) -> Result<(), String> {
        if !matches!(signature.typ(), Some(SignatureType::Binary | SignatureType::Text)) {
            return Err("it is no signature of data".to_owned());
        }
        let signer = self.signers.iter().find(|signer| signer.key.says_it_made(signature));
        let signer = signer.ok_or("none of the keys made it")?;
        let (since, until) = signer.valid?;
        let made = signature.created().map(|made| u64::from(made.as_secs())).ok_or("it has no time")?;
        let lapses = signature.signature_expiration_time().is_some_and(|after| after.as_secs() > 0);
        if !(since..until).contains(&made) {
            return Err("it was not made while its key was valid".to_owned());
        }
        if lapses {
            return Err("it lapses at some time, which can not be told here".to_owned());
        }
        match &signer.key {
            Key::Primary(key) => signature.verify(key, data),
            Key::Sub(key) => signature.verify(key, data),
        }
        .map_err(|error| error.to_string())
    }
}

/// What is signed of a text, whoever did.
pub(crate) fn unchecked_text(text: &str) -> Result<String, String> {
    Ok(parse_text(text)?.signed_text())
}

fn parse_text(text: &str) -> Result<CleartextSignedMessage, String> {
    let message = CleartextSignedMessage::from_string(text);
    Ok(message.map_err(|error| format!("it can not be read: {error}"))?.0)
}

fn is_armored(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"-----BEGIN")
}

impl Key {
    fn says_it_made(&self, signature: &Signature) -> bool {
        let (id, fingerprint) = match self {
            Self::Primary(key) => (key.legacy_key_id(), key.fingerprint()),
            Self::Sub(key) => (key.legacy_key_id(), key.fingerprint()),
        };
        let fingerprints = signature.issuer_fingerprint();
        if fingerprints.is_empty() {
            return signature.issuer_key_id().contains(&&id);
        }
        fingerprints.contains(&&fingerprint)
    }
}

/// The key and its subkeys.
fn signers(key: &SignedPublicKey) -> Vec<Signer> {
    let primary = self_signature(key);
    let lasts = primary.as_ref().map(|signature| lifetime(&key.primary_key, signature)).map_err(|reason| *reason);
    let may_sign =
        primary.and_then(|signature| if signature.key_flags().sign() { Ok(()) } else { Err("its key may not sign") });
    let subkeys = key.public_subkeys.iter().map(|subkey| Signer {
        key: Key::Sub(subkey.key.clone()),
        valid: lasts.and_then(|(since, until)| {
            let (later, sooner) = binding(key, subkey)?;
            Ok((since.max(later), until.min(sooner)))
        }),
    });
    let main =
        Signer { key: Key::Primary(key.primary_key.clone()), valid: lasts.and_then(|valid| may_sign.map(|()| valid)) };
    std::iter::once(main).chain(subkeys).collect()
}

/// The newest signature of a key over its own names or itself, which says what it is for.
fn self_signature(key: &SignedPublicKey) -> Result<&Signature, &'static str> {
    // One that can not be checked is believed: the worst is that a good key is refused.
    if !key.details.revocation_signatures.is_empty() {
        return Err("its key is revoked");
    }
    let named = key.details.users.iter().flat_map(|user| {
        let is_own = |signature: &&Signature| {
            signature.typ() != Some(SignatureType::CertRevocation)
                && signature.verify_certification(&key.primary_key, Tag::UserId, &user.id).is_ok()
        };
        user.signatures.iter().filter(is_own)
    });
    let direct =
        key.details.direct_signatures.iter().filter(|signature| signature.verify_key(&key.primary_key).is_ok());
    let newest = named.chain(direct).max_by_key(|signature| signature.created().map(Timestamp::as_secs));
    newest.ok_or("its key did not sign any of its names")
}

/// How long a subkey may sign, by the newest signature that binds it.
fn binding(key: &SignedPublicKey, subkey: &SignedPublicSubKey) -> Result<(u64, u64), &'static str> {
    if subkey.signatures.iter().any(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation)) {
        return Err("its subkey is revoked");
    }
    let is_own = |signature: &&Signature| signature.verify_subkey_binding(&key.primary_key, &subkey.key).is_ok();
    let newest = subkey.signatures.iter().filter(is_own);
    let newest = newest.max_by_key(|signature| signature.created().map(Timestamp::as_secs));
    let newest = newest.ok_or("its subkey is not bound to the key")?;
    if !newest.key_flags().sign() {
        return Err("its subkey may not sign");
    }
    let back = newest.embedded_signature();
    let back = back.filter(|back| back.verify_primary_key_binding(&subkey.key, &key.primary_key).is_ok());
    back.ok_or("its subkey did not sign the key")?;
    Ok(lifetime(&subkey.key, newest))
}

/// From when until when a key is valid.
fn lifetime(key: &impl KeyDetails, signature: &Signature) -> (u64, u64) {
    let since = u64::from(key.created_at().as_secs());
    let lasts = signature.key_expiration_time().map(|time| u64::from(time.as_secs())).filter(|seconds| *seconds > 0);
    (since, lasts.map_or(u64::MAX, |seconds| since.saturating_add(seconds)))
}
