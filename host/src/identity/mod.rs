//! Who signs: the Ed25519 keys of miners and validators.
//!
//! ```text
//! generate ─▶ write_new ─▶ read ─▶ sign, sign_receipt
//! ```
//!
//! Guarantees: the secret is wiped from memory when the identity is dropped, and
//! no text that this module makes, but for the key file, contains it.
//! Deliberately lacks: any list of known keys. Whose key it is, is known to whoever
//! names it in a challenge.

pub mod key_file;
pub mod receipt;

use crate::protocol::signature::PublicKey;
use ed25519_dalek::{Signer as _, SigningKey};
use std::fmt;
use zeroize::Zeroizing;

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
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(GenerateError)?;
        Ok(Self { key: SigningKey::from_bytes(&seed) })
    }

    /// The public key: a challenge's `miner_id` or `validator_id`.
    pub fn public(&self) -> PublicKey {
        PublicKey::from(&self.key)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_public_half_only() {
        let identity = SigningIdentity::from(SigningKey::from_bytes(&[0x5a; 32]));
        let text = format!("{identity:?}");
        assert_eq!(text, format!("SigningIdentity({})", identity.public()));
        assert!(!text.contains("5a5a"), "{text}");
    }

    #[test]
    fn two_identities_differ() {
        let [a, b] = [(); 2].map(|()| SigningIdentity::generate().unwrap().public());
        assert_ne!(a, b);
    }
}
