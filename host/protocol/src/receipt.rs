//! Receipts: a validator's signed word that a session was live.
//!
//! Guarantees: [`Receipt::check`] passes only for the challenge's own
//! validator, this commitment and coin, and an arrival before the challenge
//! expired.
//! Deliberately lacks: signing. Identities do that, over
//! [`super::signature::receipt_message`].

use super::challenge::{Challenge, INTEGER_MAX};
use super::digest::hex_array_from;
use super::json::{printable, read_value};
use super::names::{Coin, Commitment};
use super::signature::receipt_message;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// JSON beside a result, never in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// When the commitment arrived, ms since 1970, below 2⁵³.
    pub arrived_unix_ms: u64,
    /// The coin that was drawn then.
    pub coin: Coin,
    /// validator_id's signature, 128 hex digits.
    #[serde(serialize_with = "write_signature", deserialize_with = "read_signature")]
    pub signature: [u8; 64],
}

fn write_signature<S: Serializer>(bytes: &[u8; 64], s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&hex::encode(bytes))
}

fn read_signature<'de, D: Deserializer<'de>>(d: D) -> Result<[u8; 64], D::Error> {
    hex_array_from(d)
}

/// Why a receipt shows nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not a JSON object with the right fields.
    #[error("this is not a receipt: {cause}\nA receipt has arrived_unix_ms, coin and signature.")]
    Malformed {
        /// The parser's words.
        cause: String,
    },
    /// The challenge names no validator.
    #[error(
        "the challenge has no validator_id, so nobody's receipt counts\nAsk for challenges that name their validator."
    )]
    NoValidator,
    /// Another coin than the result's.
    #[error(
        "the receipt's coin is {expected}, the result's {}\nCheck that they belong together.",
        got.map_or("none".to_owned(), |coin| coin.to_string())
    )]
    Coin {
        /// The receipt's coin.
        expected: Coin,
        /// The result's; zero if it has none.
        got: Option<Coin>,
    },
    /// The commitment came too late.
    #[error(
        "the commitment arrived at {arrived_unix_ms} ms, the challenge expired at {expires_unix_ms} ms\nThe session was over."
    )]
    Expired {
        /// Of the receipt.
        arrived_unix_ms: u64,
        /// Of the challenge.
        expires_unix_ms: i64,
    },
    /// The signature does not verify.
    #[error(
        "the receipt's signature does not verify under validator_id\nCheck that it belongs to this challenge and result."
    )]
    Signature,
}

impl Receipt {
    /// Reads a receipt under the protocol's JSON rules.
    ///
    /// # Errors
    /// [`ReceiptError::Malformed`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let malformed =
            |cause: &dyn std::fmt::Display| ReceiptError::Malformed { cause: printable(&cause) };
        let value = read_value(bytes).map_err(|error| malformed(&error))?;
        if !value.is_object() {
            return Err(malformed(&"not a JSON object"));
        }
        let receipt: Self = serde_json::from_value(value).map_err(|error| malformed(&error))?;
        if receipt.arrived_unix_ms > INTEGER_MAX {
            return Err(malformed(&"arrived_unix_ms is 2^53 or more"));
        }
        Ok(receipt)
    }

    /// The receipt as JSON, without white space.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a receipt has string keys and no reals")
    }

    /// Whether it shows that `commitment` was held before `coin` was drawn.
    ///
    /// # Errors
    /// The first thing that doesn't fit.
    pub fn check(
        &self,
        challenge: &Challenge,
        commitment: &Commitment,
        coin: Option<&Coin>,
    ) -> Result<(), ReceiptError> {
        let key = challenge.validator_id().ok_or(ReceiptError::NoValidator)?;
        if coin != Some(&self.coin) {
            return Err(ReceiptError::Coin { expected: self.coin, got: coin.copied() });
        }
        let arrived_unix_ms = self.arrived_unix_ms;
        let expires_unix_ms = challenge.expires_at_unix_s().saturating_mul(1000);
        if i128::from(arrived_unix_ms) >= i128::from(expires_unix_ms) {
            return Err(ReceiptError::Expired { arrived_unix_ms, expires_unix_ms });
        }
        let message = receipt_message(&challenge.digest(), commitment, &self.coin, arrived_unix_ms);
        match key.verifies(&message, &self.signature) {
            true => Ok(()),
            false => Err(ReceiptError::Signature),
        }
    }
}
