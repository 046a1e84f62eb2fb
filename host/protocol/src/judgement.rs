//! A policy's judgement of a result: the part of a verdict that goes
//! beyond the protocol.
//!
//! Guarantees: reasons have stable codes and one printable, bounded text each;
//! those that reject stand before those that warn.
//! Deliberately lacks: the rules. `crate::policy` has them; whoever has rules of
//! their own makes a [`Judgement`] of their own.

use super::digest::Digest;
use super::json::printable;
use schemars::JsonSchema;
use serde::Serialize;

/// What a reason does to the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// The result earns nothing under this policy.
    Reject,
    /// It is told, and changes nothing.
    Warn,
}

/// One thing that the policy holds against a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reason {
    /// The stable kebab-case name, one of docs/policy.md.
    pub code: &'static str,
    /// What was expected and what was found, in one line.
    pub text: String,
    /// What it does.
    pub weight: Weight,
}

impl Reason {
    /// A reason; what a miner said in it is escaped and cut.
    pub fn new(code: &'static str, weight: Weight, text: impl AsRef<str>) -> Self {
        Self { code, text: printable(&text.as_ref()), weight }
    }
}

/// A policy's word on one result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Judgement {
    /// The policy's own name for itself.
    pub policy: String,
    /// SHA-256 of the RFC 8785 form of its resolved values: two files that
    /// demand the same have the same digest.
    pub policy_digest: Digest,
    /// What it holds against the result; those that reject come first.
    pub reasons: Vec<Reason>,
}

impl Judgement {
    /// A judgement; the reasons are put in order, and their own order kept.
    pub fn new(policy: impl Into<String>, policy_digest: Digest, mut reasons: Vec<Reason>) -> Self {
        reasons.sort_by_key(|reason| reason.weight);
        Self { policy: policy.into(), policy_digest, reasons }
    }

    /// Whether any reason rejects.
    pub fn rejects(&self) -> bool {
        self.rejecting().next().is_some()
    }

    /// The reasons that reject.
    pub fn rejecting(&self) -> impl Iterator<Item = &Reason> {
        self.reasons.iter().filter(|reason| reason.weight == Weight::Reject)
    }
}
