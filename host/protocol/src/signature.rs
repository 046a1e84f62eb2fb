//! Ed25519 keys and signatures, as strictly as docs/protocol.md asks.
//!
//! Guarantees: a key decodes as RFC 8032 section 5.1.3 says (canonical y, no
//! negative zero); a signature is accepted only if S is below the group order,
//! neither A nor R has small order, and `[S]B − [h]A` encodes to exactly R.
//! Deliberately lacks: keeping or making keys.

use super::digest::{Digest, hex_array, hex_shown, hex_text};
use super::names::{Coin, Commitment};
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use serde::de::{Deserialize, Deserializer, Error as _};

/// 32 bytes that stand for a public key and may encode none: as a challenge, a hello
/// or a record has them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EncodedKey(pub [u8; 32]);
hex_text!(EncodedKey 32 "64");

impl EncodedKey {
    /// The public key that these bytes encode, if they do.
    pub fn decode(&self) -> Option<PublicKey> {
        let key = VerifyingKey::from_bytes(&self.0).ok()?;
        // `from_bytes` also takes y ≥ p and −0; re-encoding tells them apart.
        (VerifyingKey::from(key.to_edwards()).to_bytes() == self.0).then_some(PublicKey(self.0))
    }
}

/// An Ed25519 public key: 32 bytes that were found to encode one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);
hex_shown!(PublicKey "64");

/// Text that is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 public key, which is 64 lower-case hex digits that encode a point")]
pub struct PublicKeyError;

impl PublicKey {
    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key as it is written.
    pub const fn encoded(&self) -> EncodedKey {
        EncodedKey(self.0)
    }

    /// Whether `signature` is this key's over `message`, strictly.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = Signature::from_bytes(signature);
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

impl From<&SigningKey> for PublicKey {
    fn from(key: &SigningKey) -> Self {
        Self(key.verifying_key().to_bytes())
    }
}

impl std::str::FromStr for PublicKey {
    type Err = PublicKeyError;
    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        hex_array(text).ok().and_then(|bytes| EncodedKey(bytes).decode()).ok_or(PublicKeyError)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        EncodedKey::deserialize(d)?.decode().ok_or_else(|| D::Error::custom(PublicKeyError))
    }
}

/// What a miner signs: "gpu-attest/v1/miner\0" ‖ c ‖ commitment.
pub fn miner_message(challenge: &Digest, commitment: &Commitment) -> Vec<u8> {
    [b"gpu-attest/v1/miner\0", &challenge.0[..], &commitment.0].concat()
}

/// What a validator signs in a receipt: "gpu-attest/v1/receipt\0" ‖ c ‖
/// commitment ‖ coin ‖ be64(arrived_unix_ms).
pub fn receipt_message(
    challenge: &Digest,
    commitment: &Commitment,
    coin: &Coin,
    arrived_unix_ms: u64,
) -> Vec<u8> {
    let arrived = arrived_unix_ms.to_be_bytes();
    [b"gpu-attest/v1/receipt\0", &challenge.0[..], &commitment.0, coin.as_bytes(), &arrived]
        .concat()
}

#[cfg(test)]
mod tests {
    use super::{EncodedKey, PublicKey};
    use ed25519_dalek::{Signer, SigningKey};

    #[test]
    fn non_canonical_keys_do_not_decode() {
        // y = 1 (the neutral element) decodes; written as 1 + p, or with the
        // sign bit of an x that is zero, it doesn't.
        let mut one = [0; 32];
        one[0] = 1;
        assert!(EncodedKey(one).decode().is_some());
        let mut negative_zero = one;
        negative_zero[31] = 0x80;
        assert!(EncodedKey(negative_zero).decode().is_none());
        let mut beyond = [0xff; 32];
        (beyond[0], beyond[31]) = (0xee, 0x7f);
        assert!(EncodedKey(beyond).decode().is_none());
        assert!(EncodedKey(beyond).to_string().parse::<PublicKey>().is_err());
        let written = EncodedKey(one).to_string();
        assert_eq!(written.parse::<PublicKey>().unwrap().to_string(), written);
    }

    #[test]
    fn a_signature_holds_for_its_message_only() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let signature = key.sign(b"message").to_bytes();
        let public = PublicKey::from(&key);
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"massage", &signature));
        // S + the group order is the same number: only strictness refuses it.
        let order: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9,
            0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let mut shifted = signature;
        let mut carry = 0;
        for (s, l) in shifted[32..].iter_mut().zip(order) {
            let sum = u16::from(*s) + u16::from(l) + carry;
            (*s, carry) = (sum as u8, sum >> 8);
        }
        assert!(!public.verifies(b"message", &shifted));
        // The neutral element as A and R, S = 0: only the small-order rule refuses it.
        let mut one = [0; 32];
        one[0] = 1;
        let mut trivial = [0; 64];
        trivial[0] = 1;
        assert!(!EncodedKey(one).decode().unwrap().verifies(b"message", &trivial));
    }
}
