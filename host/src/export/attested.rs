//! A result and what goes with it.
//!
//! Guarantees: challenge, result, miner's signature, receipt and verdict of an
//! [`Attested`] belong to each other.
//! Deliberately lacks: any check of the work itself.

use super::Refusal;
use crate::protocol::challenge::Challenge;
use crate::protocol::digest::Digest;
use crate::protocol::json::{printable, read_value};
use crate::protocol::names::Commitment;
use crate::protocol::receipt::Receipt;
use crate::protocol::result::ResultDoc;
use crate::protocol::signature::miner_message;
use crate::protocol::verdict::VERDICT_SCHEMA;
use serde_json::Value;
use std::fmt::Display;

/// Longest verdict in bytes.
pub const VERDICT_BYTES_MAX: usize = 4 << 20;

/// What one attestation is about.
#[derive(Clone, Debug)]
pub struct Attested {
    challenge: Challenge,
    result: ResultDoc,
    receipt: Option<Receipt>,
    verdict: Option<Value>,
}

impl Attested {
    /// Puts together what belongs together. `verdict` is the JSON of
    /// [`crate::protocol::verdict::Verdict`].
    ///
    /// # Errors
    /// [`Refusal`]: the first thing that doesn't fit.
    pub fn new(
        challenge: Challenge,
        result: ResultDoc,
        receipt: Option<Receipt>,
        verdict: Option<&str>,
    ) -> Result<Self, Refusal> {
        result.check_form(&challenge)?;
        let (expected, got) = (challenge.digest(), result.challenge_digest);
        if expected != got {
            return Err(Refusal::ChallengeMismatch { expected, got });
        }
        if let (Some(key), Some(signature)) = (challenge.miner_id(), &result.miner_signature) {
            let message = miner_message(&expected, &result.commitment);
            if !key.verifies(&message, signature) {
                return Err(Refusal::MinerSignature);
            }
        }
        if let Some(receipt) = &receipt {
            receipt.check(&challenge, &result.commitment, result.coin.as_ref())?;
        }
        let verdict = verdict.map(|text| verdict_on(text, &expected, &result.commitment));
        Ok(Self { challenge, result, receipt, verdict: verdict.transpose()? })
    }

    /// The challenge.
    pub fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// The result. Nothing in it has been recomputed.
    pub fn result(&self) -> &ResultDoc {
        &self.result
    }

    /// The receipt of a live session, which holds.
    pub fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    /// A verdict on this result: an object with outcome, challenge_digest and
    /// commitment. It is as good as who signed it.
    pub fn verdict(&self) -> Option<&Value> {
        self.verdict.as_ref()
    }
}

/// Reads a verdict that must be about this result.
fn verdict_on(text: &str, challenge: &Digest, commitment: &Commitment) -> Result<Value, Refusal> {
    let refused = |cause: &str| Err(Refusal::Verdict { cause: cause.to_owned() });
    if text.len() > VERDICT_BYTES_MAX {
        return refused("it is too long");
    }
    let verdict = match read_value(text.as_bytes()) {
        Ok(verdict) => verdict,
        Err(error) => return refused(&printable(&error)),
    };
    let is = |name: &str, value: &dyn Display| verdict[name] == value.to_string();
    if verdict["schema"] != VERDICT_SCHEMA || !verdict["outcome"].is_string() {
        return refused("it is not a verdict, or one of another version");
    }
    match is("challenge_digest", challenge) && is("commitment", commitment) {
        true => Ok(verdict),
        false => refused("it does not name this challenge and commitment"),
    }
}
