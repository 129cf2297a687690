//! Which key signs, and who trusts it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use pkgfs::Root;
use pkgtypes::Timestamp;
use trust::{Agent, Clock, Owner, SecretKey, Signer, Store, SystemClock, Tier};

use crate::exit;
use crate::failure::Failure;
use crate::render::Voice;
use crate::{passphrase, places};

/// The key that `--key` names (a file, or `SHA256:..` of a key that the ssh-agent holds), else the user's own, which is
/// made the first time.
///
/// # Errors
/// A key that can not be read; an agent that does not have it.
pub fn signer(named: Option<&Path>, voice: &Voice) -> anyhow::Result<Box<dyn Signer>> {
    let Some(named) = named else { return own(voice).map(|key| Box::new(key) as Box<dyn Signer>) };
    if let Some(fingerprint) = named.to_str().filter(|text| text.starts_with("SHA256:")) {
        let socket = places::agent_socket().ok_or_else(|| {
            Failure::new(exit::FAILED, "no ssh-agent is running: `SSH_AUTH_SOCK` is not set")
                .hint("start one with `eval $(ssh-agent)`, or name the key's file")
        })?;
        return Ok(Box::new(Agent::connect(socket)?.into_signer(
            fingerprint.parse().map_err(|error: trust::Error| Failure::new(exit::USAGE, error.to_string()))?,
        )?));
    }
    let key = SecretKey::load(named, &mut || passphrase::of_key(named));
    Ok(Box::new(key.with_context(|| format!("cannot use the key `{}`", named.display()))?))
}

fn own(voice: &Voice) -> anyhow::Result<SecretKey> {
    let path = places::own_key()?;
    let (key, is_new) = SecretKey::load_or_create(&path, owner().as_str(), &mut || passphrase::of_key(&path))
        .with_context(|| format!("cannot use your own key `{}`", path.display()))?;
    if is_new {
        voice.status(format_args!(
            "made your own signing key {}, without a passphrase, in `{}`",
            key.public_key().fingerprint(),
            path.display()
        ));
    }
    Ok(key)
}

/// The user's name, as far as it can be one of an owner.
pub fn owner() -> Owner {
    let named = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()?.parse().ok());
    named.unwrap_or_else(|| "builder".parse().expect("it is a name"))
}

/// Makes a root trust a signer's key and nothing else, if nothing is in the root yet: who is trusted in a root that is in
/// use is its admin's to say.
///
/// # Errors
/// The root's trust folder can not be made or read.
pub fn trust_in_new_root(root: &Path, signer: &dyn Signer) -> anyhow::Result<Option<PathBuf>> {
    let is_empty = Root::open(root)?.read_dir(None)?.is_empty();
    if !is_empty {
        return Ok(None);
    }
    Store::create(root)?;
    Ok(Some(Store::add_key(root, signer.public_key(), Tier::Trusted, &owner(), now())?))
}

/// The time, for statements and the history.
pub fn now() -> Timestamp {
    SystemClock.now().unwrap_or(Timestamp::EPOCH)
}
