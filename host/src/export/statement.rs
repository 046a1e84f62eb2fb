//! in-toto Statements, version 1, about the devices of a result.
//!
//! Guarantees: the subjects are the result's lanes, in their order; a statement
//! that was read says nothing that was not checked: unknown fields are errors.
//! Deliberately lacks: signatures; see [`super::dsse`].

use super::{Attested, Refusal};
use crate::protocol::challenge::Challenge;
use crate::protocol::digest::Digest;
use crate::protocol::evidence::EvidenceExecutor;
use crate::protocol::json::{present, printable};
use crate::protocol::receipt::Receipt;
use crate::protocol::result::{LaneRoots, ResultDoc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// `_type` of a statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// `predicateType` of ours; docs/export.md says what the predicate is.
pub const PREDICATE_TYPE: &str = "urn:gpu-attest:computation:v1";

/// A device that the statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// "GPU-xxxxxxxx-…", for people; "CPU-xxxxxxxx-…" if the CPU executed.
    pub name: String,
    /// What other statements on the device are found by.
    pub digest: SubjectDigest,
}

/// in-toto's digest set with its one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectDigest {
    /// SHA-256 of the UUID's 16 bytes: the same in every statement on the device.
    pub sha256: Digest,
}

/// The subjects of a statement on `result`: its lanes.
pub fn subjects(result: &ResultDoc) -> Vec<Subject> {
    let kind = match result.evidence.executor() {
        EvidenceExecutor::Gpu => "GPU",
        EvidenceExecutor::Cpu => "CPU",
    };
    let subject = |lane: &LaneRoots| Subject {
        name: format!("{kind}-{}", lane.uuid.hyphenated()),
        digest: SubjectDigest { sha256: Digest::of(&[&lane.uuid.0]) },
    };
    result.lanes.iter().map(subject).collect()
}

#[derive(Serialize)]
struct Written<'a> {
    _type: &'a str,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: &'a str,
    predicate: WrittenPredicate<'a>,
}

#[derive(Serialize)]
struct WrittenPredicate<'a> {
    challenge: &'a str,
    result: &'a ResultDoc,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<&'a Receipt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'a Value>,
}

/// The statement's heads; the predicate is read when they fit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<'a> {
    _type: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    #[serde(borrow)]
    predicate: &'a RawValue,
}

/// Result and verdict stay text until their own readers, with their own bounds,
/// take them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadPredicate<'a> {
    challenge: String,
    #[serde(borrow)]
    result: &'a RawValue,
    #[serde(borrow, default, deserialize_with = "present")]
    receipt: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    verdict: Option<&'a RawValue>,
}

impl Attested {
    /// The in-toto Statement as JSON, without white space.
    pub fn to_statement(&self) -> String {
        let statement = Written {
            _type: STATEMENT_TYPE,
            subject: subjects(self.result()),
            predicate_type: PREDICATE_TYPE,
            predicate: WrittenPredicate {
                challenge: self.challenge().token(),
                result: self.result(),
                receipt: self.receipt(),
                verdict: self.verdict(),
            },
        };
        serde_json::to_string(&statement).expect("a statement has string keys and finite reals")
    }

    /// Reads a statement whose signature was checked.
    ///
    /// # Errors
    /// [`Refusal`]: the first thing that doesn't hold.
    pub fn from_statement(payload: &[u8]) -> Result<Self, Refusal> {
        let statement: Read<'_> = read_object(payload)?;
        if statement._type != STATEMENT_TYPE {
            return Err(Refusal::StatementType { got: printable(&statement._type) });
        }
        if statement.predicate_type != PREDICATE_TYPE {
            return Err(Refusal::PredicateType { got: printable(&statement.predicate_type) });
        }
        let predicate: ReadPredicate<'_> = read_object(statement.predicate.get().as_bytes())?;
        let challenge = Challenge::from_token(&predicate.challenge)?;
        let result = ResultDoc::from_bytes(predicate.result.get().as_bytes(), &challenge)?;
        let receipt = predicate.receipt.map(|text| Receipt::from_json(text.get().as_bytes()));
        let verdict = predicate.verdict.map(RawValue::get);
        let attested = Self::new(challenge, result, receipt.transpose()?, verdict)?;
        match statement.subject == subjects(attested.result()) {
            true => Ok(attested),
            false => Err(Refusal::Subjects),
        }
    }
}

fn read_object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Refusal> {
    let malformed = |cause: String| Refusal::StatementMalformed { cause };
    // `serde` would take an array for the fields in their order, too.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(malformed("not a JSON object".to_owned()));
    }
    serde_json::from_slice(bytes).map_err(|error| malformed(printable(&error)))
}
