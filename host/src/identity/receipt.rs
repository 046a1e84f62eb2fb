//! Making receipts: a validator's signed word that a session was live.
//!
//! Guarantees: a receipt that was made passes [`Receipt::check`].
//! Deliberately lacks: clocks and coins. When the commitment arrived and what was
//! drawn then, the session knows.

use super::SigningIdentity;
use crate::protocol::challenge::Challenge;
use crate::protocol::names::{Coin, Commitment};
use crate::protocol::receipt::{Receipt, ReceiptError};
use crate::protocol::signature::{PublicKey, receipt_message};

/// Why no receipt was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignReceiptError {
    /// The challenge names another validator.
    #[error(
        "the challenge's validator is {validator_id}, and this is the key of {own}\n\
         Sign with the key that the challenge names."
    )]
    OtherValidator {
        /// The public key in the challenge.
        validator_id: PublicKey,
        /// The public key at hand.
        own: PublicKey,
    },
    /// No such receipt would hold.
    #[error(transparent)]
    WouldNotHold(#[from] ReceiptError),
}

impl SigningIdentity {
    /// Signs that `commitment` was held at `arrived_unix_ms` (ms since 1970), and
    /// `coin` drawn after that.
    ///
    /// # Errors
    /// [`SignReceiptError`].
    pub fn sign_receipt(
        &self,
        challenge: &Challenge,
        commitment: &Commitment,
        coin: Coin,
        arrived_unix_ms: u64,
    ) -> Result<Receipt, SignReceiptError> {
        let validator_id = challenge.validator_id().ok_or(ReceiptError::NoValidator)?;
        let own = self.public();
        if validator_id != own {
            return Err(SignReceiptError::OtherValidator { validator_id, own });
        }
        let message = receipt_message(&challenge.digest(), commitment, &coin, arrived_unix_ms);
        let receipt = Receipt { arrived_unix_ms, coin, signature: self.sign(&message) };
        receipt.check(challenge, commitment, Some(&coin))?;
        Ok(receipt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mining::issue::{Request, issue};

    #[test]
    fn a_receipt_that_was_made_holds_and_survives_its_json() {
        let validator = SigningIdentity::generate().unwrap();
        let named = Request { validator_id: Some(validator.public()), ..Request::default() };
        let challenge = issue(&named).unwrap();
        let (commitment, coin) = (Commitment([1; 32]), Coin::new([2; 32]).unwrap());
        let end_ms = challenge.expires_at_unix_s() as u64 * 1000;
        let receipt = validator.sign_receipt(&challenge, &commitment, coin, end_ms - 1).unwrap();
        let read = Receipt::from_json(receipt.to_json().as_bytes()).unwrap();
        assert_eq!(read, receipt);
        assert_eq!(read.check(&challenge, &commitment, Some(&coin)), Ok(()));
        let wrong = read.check(&challenge, &Commitment([3; 32]), Some(&coin));
        assert_eq!(wrong, Err(ReceiptError::Signature));

        let made = |identity: &SigningIdentity, coin, at_ms| {
            identity.sign_receipt(&challenge, &commitment, coin, at_ms).unwrap_err()
        };
        let other = SigningIdentity::generate().unwrap();
        assert!(matches!(made(&other, coin, 0), SignReceiptError::OtherValidator { .. }));
        let would_not_hold = |error| match error {
            SignReceiptError::WouldNotHold(error) => error,
            SignReceiptError::OtherValidator { .. } => panic!("{error}"),
        };
        let late = would_not_hold(made(&validator, coin, end_ms));
        assert!(matches!(late, ReceiptError::Expired { .. }), "{late}");
        let without = read.check(&challenge, &commitment, None);
        assert_eq!(without, Err(ReceiptError::Coin { expected: coin, got: None }));
        let nobody = issue(&Request::default()).unwrap();
        let nobody = validator.sign_receipt(&nobody, &commitment, coin, 0).unwrap_err();
        assert_eq!(nobody, ReceiptError::NoValidator.into());
    }
}
