//! Results for other tools: an in-toto Statement in a signed DSSE envelope.
//!
//! ```text
//! Attested::new ─▶ to_statement ─▶ dsse::sign ─▶ dsse::open ─▶ from_statement ─▶ Attested
//! ```
//!
//! Guarantees: what an [`Attested`] holds belongs together, whether it was made
//! or read; a payload is parsed only after its signature was found valid.
//! Deliberately lacks: verification of the work. An envelope shows who vouches
//! for what; `attest verify` recomputes.

mod attested;
pub mod dsse;
pub mod ear;
mod refusal;
mod statement;

pub use attested::{Attested, VERDICT_BYTES_MAX};
pub use refusal::Refusal;
pub use statement::{PREDICATE_TYPE, STATEMENT_TYPE, Subject, SubjectDigest, subjects};

use crate::identity::SigningIdentity;
use crate::protocol::signature::PublicKey;

/// What the envelope holds, for DSSE.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// Signs `attested` as `identity`: the envelope as JSON.
///
/// # Errors
/// [`Refusal::TooLarge`].
pub fn export(attested: &Attested, identity: &SigningIdentity) -> Result<String, Refusal> {
    let statement = attested.to_statement();
    if statement.len() > dsse::PAYLOAD_BYTES_MAX {
        return Err(Refusal::TooLarge { limit_bytes: dsse::PAYLOAD_BYTES_MAX as u64 });
    }
    Ok(dsse::sign(identity, PAYLOAD_TYPE, statement.as_bytes()))
}

/// Reads an envelope that `signer` must have signed.
///
/// # Errors
/// [`Refusal`]: the first thing that doesn't hold.
pub fn check(envelope: &[u8], signer: &PublicKey) -> Result<Attested, Refusal> {
    let payload = dsse::open(envelope, PAYLOAD_TYPE, signer)?;
    Attested::from_statement(&payload)
}
