//! Results: what a miner hands in, and the chain and commitment that follow
//! from its roots.
//!
//! Guarantees: a [`ResultDoc`] that was read has the right form for its
//! challenge; while reading, no list grows beyond what the challenge allows
//! and no more bytes are taken than a result may have.
//! Deliberately lacks: any check of what the form doesn't show; that is
//! [`super::verify`]'s.

use super::chain;
use super::challenge::{Challenge, VERSION};
use super::device_report::{DeviceReport, are_in_order};
use super::digest::{Digest, Uuid};
use super::evidence::{Evidence, EvidenceError};
use super::machine_report::MachineReport;
use super::names::{Coin, Commitment, Root, State};
use super::read::{Fields, Limits, fields_of, read_fields};
use super::sample::SamplePoint;
use crate::error_text::what_happened;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use std::io::Read;

/// A leaf's place and its path to the iteration's root. Its content isn't sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Opening {
    /// g, from 0.
    pub lane: u32,
    /// i, from 1.
    pub iteration: u32,
    /// Index among the iteration's L leaves.
    pub leaf: u64,
    /// From the leaf's sibling upwards.
    pub path: Vec<Digest>,
}

impl Opening {
    /// Which leaf is opened.
    pub fn point(&self) -> SamplePoint {
        SamplePoint { lane: self.lane, iteration: self.iteration, leaf: self.leaf }
    }
}

/// One lane's identity and roots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaneRoots {
    /// Binds the lane's chain.
    pub uuid: Uuid,
    /// D(g,1) … D(g,T).
    pub iteration_roots: Vec<Root>,
}

/// A result.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultDoc {
    /// Digest of the challenge that it answers.
    pub challenge_digest: Digest,
    /// What identifies the result.
    pub commitment: Commitment,
    /// Live sessions only.
    pub coin: Option<Coin>,
    /// In lane order.
    pub lanes: Vec<LaneRoots>,
    /// What the miner reports.
    pub evidence: Evidence,
    /// Ascending by lane, iteration, leaf.
    pub openings: Vec<Opening>,
    /// What devices signed, one a lane at most, ascending by lane. No commitment covers them:
    /// each is bound to its lane by its nonce.
    pub device_reports: Vec<DeviceReport>,
    /// What the machine's processor signed, if it did. No commitment covers it: it is bound to
    /// this one by its REPORT_DATA.
    pub machine_report: Option<MachineReport>,
    /// Present if and only if the challenge has a miner_id.
    pub miner_signature: Option<[u8; 64]>,
}

/// What is wrong with a result's form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// More bytes than any result to this challenge has.
    #[error("the result has more than {limit_bytes} bytes, the most for this challenge")]
    TooLarge {
        /// Bytes that the challenge allows.
        limit_bytes: u64,
    },
    /// Breaks a JSON rule, a field type or a bound.
    #[error("the result is malformed: {cause}")]
    Malformed {
        /// The parser's words, with line and column.
        cause: String,
    },
    /// Another version of the protocol.
    #[error("the result has version {got}, expected {VERSION}")]
    Version {
        /// The version found.
        got: u64,
    },
    /// Evidence of the wrong form.
    #[error("{}", what_happened(.0))]
    Evidence(#[from] EvidenceError),
    /// A coin of 64 zeros.
    #[error("the coin is zero; a result outside a live session has none")]
    ZeroCoin,
    /// No lanes at all.
    #[error("the result has no lanes")]
    NoLanes,
    /// More lanes than the challenge's limits allow.
    #[error("the result has {got} lanes, at most {limit} are allowed")]
    TooManyLanes {
        /// Lanes that the challenge allows.
        limit: u32,
        /// Lanes found.
        got: usize,
    },
    /// The challenge names a miner and the result isn't signed.
    #[error("the challenge has a miner_id and the result no miner_signature")]
    SignatureMissing,
    /// The result is signed and the challenge names no miner.
    #[error("the result has a miner_signature and the challenge no miner_id")]
    SignatureUnexpected,
}

/// The coin that a result's bytes name.
pub(super) fn coin_of(bytes: Option<Digest>) -> Result<Option<Coin>, FormError> {
    bytes.map(|Digest(bytes)| Coin::new(bytes).ok_or(FormError::ZeroCoin)).transpose()
}

/// Why a result could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not a result to this challenge: a verdict, rejected in step 1.
    #[error("{0}\nCheck that the result belongs to this challenge and arrived whole.")]
    Form(#[from] FormError),
    /// Reading itself failed: no verdict.
    #[error("reading the result failed: {0}\nCheck the file or the connection, and try again.")]
    Io(std::io::Error),
}

impl ResultDoc {
    /// Reads one result to `challenge`, no further than its size limit.
    ///
    /// # Errors
    /// [`ReadError::Form`] for a result that must be rejected,
    /// [`ReadError::Io`] if the reader fails.
    pub fn read(reader: impl Read, challenge: &Challenge) -> Result<Self, ReadError> {
        let fields = read_fields(reader, &Limits::of(challenge))?;
        Ok(Self::from_fields(fields, challenge)?)
    }

    /// The same for a result that is in memory already.
    ///
    /// # Errors
    /// A result that must be rejected.
    pub fn from_bytes(bytes: &[u8], challenge: &Challenge) -> Result<Self, FormError> {
        Self::from_fields(fields_of(bytes, &Limits::of(challenge))?, challenge)
    }

    fn from_fields(fields: Fields, challenge: &Challenge) -> Result<Self, FormError> {
        if fields.version != VERSION {
            return Err(FormError::Version { got: fields.version });
        }
        let result = Self {
            challenge_digest: fields.challenge_digest,
            commitment: fields.commitment,
            evidence: Evidence::from_value(fields.evidence)?,
            coin: coin_of(fields.coin)?,
            lanes: fields.lanes,
            openings: fields.openings,
            device_reports: fields.device_reports,
            machine_report: fields.machine_report,
            miner_signature: fields.miner_signature,
        };
        result.check_form(challenge)?;
        Ok(result)
    }

    /// The rules of form that a `ResultDoc` could still break.
    ///
    /// # Errors
    /// The first rule broken.
    pub fn check_form(&self, challenge: &Challenge) -> Result<(), FormError> {
        let limit = challenge.max_lanes();
        match self.lanes.len() {
            0 => return Err(FormError::NoLanes),
            got if got > limit as usize => return Err(FormError::TooManyLanes { limit, got }),
            _ => {}
        }
        if !are_in_order(&self.device_reports, self.lanes.len()) {
            let cause = "device_reports are not one a lane, ascending".to_owned();
            return Err(FormError::Malformed { cause });
        }
        match (challenge.miner_id(), self.miner_signature) {
            (Some(_), None) => Err(FormError::SignatureMissing),
            (None, Some(_)) => Err(FormError::SignatureUnexpected),
            _ => Ok(()),
        }
    }

    /// The lanes' UUIDs, in lane order.
    pub fn uuids(&self) -> Vec<Uuid> {
        self.lanes.iter().map(|lane| lane.uuid).collect()
    }

    /// The result as JSON, without white space.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a result has string keys and no reals")
    }
}

impl Serialize for ResultDoc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("ResultDoc", 10)?;
        fields.serialize_field("version", &VERSION)?;
        fields.serialize_field("challenge_digest", &self.challenge_digest)?;
        fields.serialize_field("commitment", &self.commitment)?;
        if let Some(coin) = &self.coin {
            fields.serialize_field("coin", coin)?;
        }
        fields.serialize_field("lanes", &self.lanes)?;
        fields.serialize_field("evidence", self.evidence.value())?;
        fields.serialize_field("openings", &self.openings)?;
        if !self.device_reports.is_empty() {
            fields.serialize_field("device_reports", &self.device_reports)?;
        }
        if let Some(report) = &self.machine_report {
            fields.serialize_field("machine_report", report)?;
        }
        if let Some(signature) = &self.miner_signature {
            fields.serialize_field("miner_signature", &hex::encode(signature))?;
        }
        fields.end()
    }
}

/// s(g,0) … s(g,T) of every lane, from the roots, sync digests included.
///
/// # Panics
/// If a lane has not exactly T roots.
pub fn chain_states(challenge: &Challenge, lanes: &[LaneRoots]) -> Vec<Vec<State>> {
    let c = challenge.digest();
    let mut states: Vec<Vec<State>> = (0..)
        .zip(lanes)
        .map(|(g, lane)| {
            let mut states = Vec::with_capacity(lane.iteration_roots.len() + 1);
            states.push(chain::lane_seed(&c, g, &lane.uuid));
            states
        })
        .collect();
    for i in 1..=challenge.iterations() {
        let at = i as usize - 1;
        let roots: Vec<Root> = lanes.iter().map(|lane| lane.iteration_roots[at]).collect();
        let sync = (i % challenge.sync_interval() == 0).then(|| chain::sync_digest(&c, i, &roots));
        for (states, root) in states.iter_mut().zip(&roots) {
            states.push(chain::step(&states[at], i, root, sync.as_ref()));
        }
    }
    states
}

/// The commitment to these lanes and this evidence.
///
/// # Panics
/// If a lane has not exactly T roots.
pub fn commit(challenge: &Challenge, lanes: &[LaneRoots], evidence: &Evidence) -> Commitment {
    commit_states(challenge, &chain_states(challenge, lanes), evidence)
}

/// The commitment from [`chain_states`], for callers that have them.
///
/// # Panics
/// If a lane has no states.
pub fn commit_states(
    challenge: &Challenge,
    states: &[Vec<State>],
    evidence: &Evidence,
) -> Commitment {
    let finals: Vec<State> =
        states.iter().map(|lane| *lane.last().expect("a lane has a seed")).collect();
    chain::commitment(&challenge.digest(), &finals, &evidence.digest())
}
