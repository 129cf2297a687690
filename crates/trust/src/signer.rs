use crate::{PublicKey, Result, SshSig, self_test};

/// Something that holds a secret key and signs with it. It signs nothing but SSHSIG, so that no signature of this
/// project can be taken for one of another protocol.
pub trait Signer: Send + Sync {
    /// The key that signatures will name.
    fn public_key(&self) -> &PublicKey;

    /// Signs `message` in `namespace`, as `ssh-keygen -Y sign -n NAMESPACE` does.
    ///
    /// # Errors
    /// The key cannot be reached or used.
    fn sign(&self, namespace: &str, message: &[u8]) -> Result<SshSig>;
}

/// Signs and verifies what came out, so that a fault while signing does not leak the key or get shipped.
pub(crate) fn sign_then_verify(signer: &dyn Signer, namespace: &str, message: &[u8]) -> Result<SshSig> {
    self_test()?;
    let signature = signer.sign(namespace, message)?;
    let bound = SshSig::new(*signer.public_key(), namespace, *signature.signature());
    bound.verify(message)?;
    Ok(bound)
}
