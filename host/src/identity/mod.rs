//! Who signs: the Ed25519 keys of miners and validators.
//!
//! Guarantees: the secret is wiped from memory when the identity is dropped, and
//! no text that this module makes contains it.
//! Deliberately lacks: any list of known keys. Whose key it is, is known to who
//! names it in a challenge.

use crate::protocol::digest::Digest;
use ed25519_dalek::{Signer as _, SigningKey};
use std::fmt;

/// A secret key and what it signs with. `Debug` shows the public half.
pub struct SigningIdentity {
    key: SigningKey,
}

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("no random bytes for a key: {0}\nCheck that the system's random generator works.")]
pub struct GenerateError(getrandom::Error);

impl SigningIdentity {
    /// A new identity, from the operating system's random generator.
    ///
    /// # Errors
    /// [`GenerateError`].
    pub fn generate() -> Result<Self, GenerateError> {
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(GenerateError)?;
        Ok(Self { key: SigningKey::from_bytes(&seed) })
    }

    /// The public key: a challenge's `miner_id` or `validator_id`.
    pub fn public(&self) -> Digest {
        Digest(self.key.verifying_key().to_bytes())
    }

    /// The PureEd25519 signature of `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl From<SigningKey> for SigningIdentity {
    fn from(key: SigningKey) -> Self {
        Self { key }
    }
}

impl fmt::Debug for SigningIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningIdentity({})", self.public())
    }
}
