//! Why something is not exported, or an export not believed.

use crate::protocol::challenge::ChallengeError;
use crate::protocol::digest::Digest;
use crate::protocol::receipt::ReceiptError;
use crate::protocol::result::FormError;

/// The first thing that doesn't hold. Text in two lines: what happened, what to
/// try; [`Refusal::code`] is its stable name.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Larger than what is exported.
    #[error(
        "the attestation has more than {limit_bytes} bytes, the most that is exported\n\
         Keep result and token as files, or ask for fewer samples."
    )]
    TooLarge {
        /// Bytes that are allowed.
        limit_bytes: u64,
    },
    /// No DSSE envelope.
    #[error(
        "this is not a DSSE envelope: {cause}\nGive a file that `attest export --in-toto` wrote."
    )]
    EnvelopeMalformed {
        /// The parser's words.
        cause: String,
    },
    /// An envelope around something else.
    #[error(
        "the envelope's payload type is {got:?}, not an in-toto statement's\n\
         Give a file that `attest export --in-toto` wrote."
    )]
    PayloadType {
        /// The type found.
        got: String,
    },
    /// An envelope without signatures.
    #[error("the envelope has no signature\nAsk for the signed one: nobody vouches for this.")]
    Unsigned,
    /// None of the signatures is the signer's.
    #[error(
        "no signature is this signer's over this payload\n\
         Check the key, and that the file is as it was signed."
    )]
    SignatureInvalid,
    /// No JSON Web Token of the expected form.
    #[error(
        "this is not an attestation result: {cause}\nGive a file that `attest export --ear` wrote."
    )]
    TokenMalformed {
        /// What it lacks.
        cause: String,
    },
    /// A token that is signed otherwise, or not at all.
    #[error("the token's alg is {got}, not EdDSA\nOnly Ed25519 signatures count.")]
    TokenAlgorithm {
        /// The algorithm found.
        got: String,
    },
    /// A token of another profile.
    #[error(
        "the token's eat_profile is {got}\nExpected an EAT attestation result of draft-ietf-rats-ear-04."
    )]
    TokenProfile {
        /// The profile found.
        got: String,
    },
    /// The signed payload is not a statement of this kind.
    #[error("the payload is malformed: {cause}\nAsk the signer how it was made.")]
    StatementMalformed {
        /// The parser's words.
        cause: String,
    },
    /// Another kind of statement.
    #[error("the statement's _type is {got:?}\nExpected an in-toto Statement v1.")]
    StatementType {
        /// The type found.
        got: String,
    },
    /// A statement about something else.
    #[error("the statement's predicateType is {got:?}\nExpected a result of this protocol.")]
    PredicateType {
        /// The type found.
        got: String,
    },
    /// The token is invalid.
    #[error(transparent)]
    Challenge(#[from] ChallengeError),
    /// The result has the wrong form for its challenge.
    #[error("{0}\nCheck that the result belongs to this challenge and is whole.")]
    ResultForm(#[from] FormError),
    /// A result to another challenge.
    #[error("the result answers challenge {got}, not {expected}\nCheck that they belong together.")]
    ChallengeMismatch {
        /// Digest of the challenge.
        expected: Digest,
        /// The result's challenge_digest.
        got: Digest,
    },
    /// miner_id did not sign this commitment.
    #[error(
        "the result's signature does not verify under the challenge's miner_id\n\
         Check that the result is as its miner made it."
    )]
    MinerSignature,
    /// The subjects are not the result's lanes.
    #[error("the statement's subjects are not the result's lanes\nAsk the signer how it was made.")]
    Subjects,
    /// The receipt doesn't hold.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The verdict isn't about this result.
    #[error("the verdict cannot go with the result: {cause}\nMake it with `attest verify --json`.")]
    Verdict {
        /// What doesn't fit.
        cause: String,
    },
}

impl Refusal {
    /// The stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::EnvelopeMalformed { .. } => "envelope-malformed",
            Self::PayloadType { .. } => "payload-type",
            Self::Unsigned => "unsigned",
            Self::SignatureInvalid => "signature-invalid",
            Self::TokenMalformed { .. } => "token-malformed",
            Self::TokenAlgorithm { .. } => "token-algorithm",
            Self::TokenProfile { .. } => "token-profile",
            Self::StatementMalformed { .. } => "statement-malformed",
            Self::StatementType { .. } => "statement-type",
            Self::PredicateType { .. } => "predicate-type",
            Self::Challenge(_) => "challenge-malformed",
            Self::ResultForm(_) => "result-malformed",
            Self::ChallengeMismatch { .. } => "challenge-mismatch",
            Self::MinerSignature => "miner-signature",
            Self::Subjects => "subjects",
            Self::Receipt(_) => "receipt",
            Self::Verdict { .. } => "verdict",
        }
    }
}
