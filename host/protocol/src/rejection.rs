//! Why a result is rejected: stable names, the step that found it, and what
//! was expected and found.
//!
//! Guarantees: codes never change within a protocol version; every code has a
//! tampering test of the same name in tests/rejections.
//! Deliberately lacks: "could not run", which is a fault on the validator's
//! side and never a rejection.

use super::evidence::Disagreement;
use super::json::printable;
use super::result::FormError;
use std::fmt;

macro_rules! reasons {
    ($($variant:ident $step:literal $code:literal $advice:literal;)*) => {
        /// One named reason for a rejection.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = concat!("`", $code, "`, found in step ", $step, ". ", $advice)] $variant,)*
        }

        impl Reason {
            /// All of them, in the order of the steps.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant),*];

            /// The stable kebab-case name.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }
            /// Which step of docs/protocol.md, "What a validator checks", 1 … 7.
            pub fn step(self) -> u8 {
                match self { $(Self::$variant => $step,)* }
            }
            /// What to try.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)* }
            }
        }
    };
}

reasons! {
    TooLarge 1 "too-large" "Send the result as the miner wrote it.";
    Malformed 1 "malformed" "Send the result of this very challenge, whole and unchanged.";
    Version 1 "version" "Use a miner of this protocol version.";
    EvidenceMalformed 1 "evidence-malformed" "Use a miner of this protocol version.";
    ZeroCoin 1 "zero-coin" "Leave the coin out if there was no live session.";
    NoLanes 1 "no-lanes" "A result needs at least one lane.";
    TooManyLanes 1 "too-many-lanes" "Use no more lanes than the challenge allows.";
    SignatureMissing 1 "signature-missing" "Sign with the key of the challenge's miner_id.";
    SignatureUnexpected 1 "signature-unexpected" "Leave the signature out.";
    ChallengeMismatch 2 "challenge-mismatch" "Check that result and challenge belong together.";
    NotIssued 2 "not-issued" "Only the validator that issued a challenge can accept it.";
    Expired 2 "expired" "Ask for a new challenge and answer it in time.";
    NonceSpent 2 "nonce-spent" "Ask for a new challenge: each is good for one result.";
    SignatureInvalid 2 "signature-invalid" "Sign the commitment with the key of miner_id.";
    CoinWithoutSession 2 "coin-without-session" "Only a live session has a coin.";
    CoinMissing 2 "coin-missing" "Put the session's coin into the result.";
    CoinMismatch 2 "coin-mismatch" "Put the session's coin into the result.";
    SessionMismatch 2 "session-mismatch" "Hand in the result that was committed to.";
    LaneCount 3 "lane-count" "Use exactly as many lanes as the challenge's gpu_count.";
    DuplicateUuid 3 "duplicate-uuid" "Give each device one lane.";
    RootCount 3 "root-count" "A lane has one root per iteration.";
    CommitmentMismatch 3 "commitment-mismatch" "Roots, UUIDs, evidence and commitment must be of one run.";
    OpeningsMismatch 4 "openings-mismatch" "Open exactly the leaves that commitment and coin select, in order.";
    PathLength 4 "path-length" "A path has one digest per sibling up to the root.";
    TooFast 5 "too-fast" "The claimed model cannot have done this work: name the true one.";
    Late 5 "late" "Answer within the time limit.";
    EvidenceInconsistent 6 "evidence-inconsistent" "Use a miner that reports what it measured.";
    EvidenceLanes 6 "evidence-lanes" "Report one entry per lane.";
    EvidenceUuid 6 "evidence-uuid" "Report the UUIDs that the lanes ran under.";
    EvidenceTileSum 6 "evidence-tile-sum" "Count every tile of every completed iteration once.";
    EvidenceModel 6 "evidence-model" "Run on the model that the challenge asks for.";
    EvidenceMemory 6 "evidence-memory" "Run on devices with the memory that the challenge asks for.";
    EvidenceSmUtilization 6 "evidence-sm-utilization" "Use as many SMs as the challenge asks for.";
    LeafMismatch 7 "leaf-mismatch" "The work was not done as committed.";
    RootMismatch 7 "root-mismatch" "The work was not done as committed.";
}

/// A rejection: the first check that failed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The named reason.
    pub reason: Reason,
    /// What was expected, what was found, and where first.
    pub detail: String,
}

impl Rejection {
    /// A rejection for `reason`; `detail` says what was expected and what was found.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: printable(&detail.into()) }
    }
    /// The stable kebab-case name.
    pub fn code(&self) -> &'static str {
        self.reason.code()
    }
    /// The step that found it, 1 … 7.
    pub fn step(&self) -> u8 {
        self.reason.step()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rejected in step {} ({}): {}\n{}",
            self.step(),
            self.code(),
            self.detail,
            self.reason.advice()
        )
    }
}

impl std::error::Error for Rejection {}

impl From<FormError> for Rejection {
    fn from(error: FormError) -> Self {
        let reason = match error {
            FormError::TooLarge { .. } => Reason::TooLarge,
            FormError::Malformed { .. } => Reason::Malformed,
            FormError::Version { .. } => Reason::Version,
            FormError::Evidence(_) => Reason::EvidenceMalformed,
            FormError::ZeroCoin => Reason::ZeroCoin,
            FormError::NoLanes => Reason::NoLanes,
            FormError::TooManyLanes { .. } => Reason::TooManyLanes,
            FormError::SignatureMissing => Reason::SignatureMissing,
            FormError::SignatureUnexpected => Reason::SignatureUnexpected,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<Disagreement> for Rejection {
    fn from(error: Disagreement) -> Self {
        let reason = match error {
            Disagreement::Itself { .. } => Reason::EvidenceInconsistent,
            Disagreement::LaneCount { .. } => Reason::EvidenceLanes,
            Disagreement::LaneUuid { .. } => Reason::EvidenceUuid,
            Disagreement::TileSum { .. } => Reason::EvidenceTileSum,
            Disagreement::Model { .. } => Reason::EvidenceModel,
            Disagreement::Memory { .. } => Reason::EvidenceMemory,
            Disagreement::SmUtilization { .. } => Reason::EvidenceSmUtilization,
        };
        Self::new(reason, error.to_string())
    }
}
