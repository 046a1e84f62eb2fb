//! Ed25519 keys and signatures, as strictly as docs/protocol.md asks.
//!
//! Guarantees: a key decodes as RFC 8032 section 5.1.3 says (canonical y, no
//! negative zero); a signature is accepted only if S is below the group order,
//! neither A nor R has small order, and `[S]B − [h]A` encodes to exactly R.
//! Deliberately lacks: keeping or making keys.

use super::digest::Digest;
use ed25519_dalek::{Signature, VerifyingKey};

/// The public key that these 32 bytes encode, if they do.
pub fn decode_key(bytes: &[u8; 32]) -> Option<VerifyingKey> {
    let key = VerifyingKey::from_bytes(bytes).ok()?;
    // `from_bytes` also takes y ≥ p and −0; re-encoding tells them apart.
    (VerifyingKey::from(key.to_edwards()).to_bytes() == *bytes).then_some(key)
}

/// Whether `signature` is `key`'s over `message`, strictly.
pub fn is_valid(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> bool {
    key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
}

/// What a miner signs: "gpu-attest/v1/miner\0" ‖ c ‖ commitment.
pub fn miner_message(challenge: &Digest, commitment: &Digest) -> Vec<u8> {
    [b"gpu-attest/v1/miner\0", &challenge.0[..], &commitment.0].concat()
}

/// What a validator signs in a receipt: "gpu-attest/v1/receipt\0" ‖ c ‖
/// commitment ‖ coin ‖ be64(arrived_unix_ms).
pub fn receipt_message(
    challenge: &Digest,
    commitment: &Digest,
    coin: &Digest,
    arrived_unix_ms: u64,
) -> Vec<u8> {
    let arrived = arrived_unix_ms.to_be_bytes();
    [b"gpu-attest/v1/receipt\0", &challenge.0[..], &commitment.0, &coin.0, &arrived].concat()
}

#[cfg(test)]
mod tests {
    use super::{decode_key, is_valid};
    use ed25519_dalek::{Signer, SigningKey};

    #[test]
    fn non_canonical_keys_do_not_decode() {
        // y = 1 (the neutral element) decodes; written as 1 + p, or with the
        // sign bit of an x that is zero, it doesn't.
        let mut one = [0; 32];
        one[0] = 1;
        assert!(decode_key(&one).is_some());
        let mut negative_zero = one;
        negative_zero[31] = 0x80;
        assert!(decode_key(&negative_zero).is_none());
        let mut beyond = [0xff; 32];
        (beyond[0], beyond[31]) = (0xee, 0x7f);
        assert!(decode_key(&beyond).is_none());
    }

    #[test]
    fn a_signature_holds_for_its_message_only() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let signature = key.sign(b"message").to_bytes();
        assert!(is_valid(&key.verifying_key(), b"message", &signature));
        assert!(!is_valid(&key.verifying_key(), b"massage", &signature));
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
        assert!(!is_valid(&key.verifying_key(), b"message", &shifted));
        // The neutral element as A and R, S = 0: only the small-order rule refuses it.
        let mut one = [0; 32];
        one[0] = 1;
        let mut trivial = [0; 64];
        trivial[0] = 1;
        assert!(!is_valid(&decode_key(&one).unwrap(), b"message", &trivial));
    }
}
