//! A result in two halves, as a live session carries it: what is committed to,
//! and, after the coin, what is opened. Together they are the result.
//!
//! Guarantees: each half is read within the bounds that the challenge sets for
//! it, and both together are no larger than a result; what the first half says is
//! not said again in the second, so it cannot change.
//! Deliberately lacks: messages around them, and any check of what the form does
//! not show.

use super::challenge::Challenge;
use super::device_report::{DeviceReport, LANE_BYTES};
use super::evidence::Evidence;
use super::machine_report::{MachineReport, REPORT_BYTES};
use super::names::{Coin, Commitment};
use super::read::{OpeningFields, commitment_fields_of, opening_fields_of};
use super::result::{FormError, LaneRoots, Opening, ResultDoc, coin_of};
use serde::Serialize;

/// Bytes for the heads of a result and its evidence.
const HEADS_BYTES: u64 = 2 * 1024 * 1024;
/// Bytes for the heads of the second half.
const OPENING_HEADS_BYTES: u64 = 4096;

/// The first half: a result without coin and openings.
#[derive(Clone, Debug, PartialEq)]
pub struct CommitmentPart {
    result: ResultDoc,
}

impl CommitmentPart {
    /// The most bytes that the first half may have.
    pub fn bytes_max(challenge: &Challenge) -> u64 {
        let roots = u64::from(challenge.max_lanes()) * u64::from(challenge.iterations());
        HEADS_BYTES + 80 * roots
    }

    /// Reads the first half of a result to `challenge`.
    ///
    /// # Errors
    /// A rule of form that it breaks.
    pub fn read(bytes: &[u8], challenge: &Challenge) -> Result<Self, FormError> {
        let limit_bytes = Self::bytes_max(challenge);
        if bytes.len() as u64 > limit_bytes {
            return Err(FormError::TooLarge { limit_bytes });
        }
        let fields = commitment_fields_of(bytes, challenge)?;
        let result = ResultDoc {
            challenge_digest: challenge.digest(),
            commitment: fields.commitment,
            coin: None,
            lanes: fields.lanes,
            evidence: Evidence::from_value(fields.evidence)?,
            openings: Vec::new(),
            device_reports: Vec::new(),
            machine_report: None,
            miner_signature: fields.miner_signature,
        };
        result.check_form(challenge)?;
        Ok(Self { result })
    }

    /// What identifies the result.
    pub fn commitment(&self) -> Commitment {
        self.result.commitment
    }
    /// UUIDs and roots, in lane order.
    pub fn lanes(&self) -> &[LaneRoots] {
        &self.result.lanes
    }
    /// The miner's evidence.
    pub fn evidence(&self) -> &Evidence {
        &self.result.evidence
    }
    /// The miner's, if the challenge names one.
    pub fn miner_signature(&self) -> Option<[u8; 64]> {
        self.result.miner_signature
    }

    /// The most bytes that the second half may have, now that the number of lanes
    /// is known.
    pub fn openings_bytes_max(&self, challenge: &Challenge) -> u64 {
        let of_lane = LANE_BYTES + 3072 * challenge.draws();
        OPENING_HEADS_BYTES + REPORT_BYTES + of_lane * self.result.lanes.len() as u64
    }

    /// The whole result: this half with the second, read from `bytes`.
    ///
    /// Commitment and coin are as the second half names them, so that a result
    /// which was swapped after the coin is seen as such.
    ///
    /// # Errors
    /// A rule of form that the second half breaks.
    pub fn complete(self, bytes: &[u8], challenge: &Challenge) -> Result<ResultDoc, FormError> {
        let limit_bytes = self.openings_bytes_max(challenge);
        if bytes.len() as u64 > limit_bytes {
            return Err(FormError::TooLarge { limit_bytes });
        }
        let fields = opening_fields_of(bytes, challenge)?;
        let coin = coin_of(fields.coin)?;
        let OpeningFields { commitment, openings, device_reports, machine_report, .. } = fields;
        let result =
            ResultDoc { commitment, coin, openings, device_reports, machine_report, ..self.result };
        result.check_form(challenge)?;
        Ok(result)
    }
}

/// The first half as it is written; `message` opens it.
#[derive(Serialize)]
pub struct CommitmentOut<'a> {
    /// The message's name.
    pub message: &'a str,
    /// What identifies the result.
    pub commitment: Commitment,
    /// UUIDs and roots, in lane order.
    pub lanes: &'a [LaneRoots],
    /// The miner's evidence.
    pub evidence: &'a serde_json::Value,
    /// 128 hex digits, if the challenge names a miner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub miner_signature: Option<String>,
}

/// The second half as it is written.
#[derive(Serialize)]
pub struct OpeningsOut<'a> {
    /// The message's name.
    pub message: &'a str,
    /// That of the first half.
    pub commitment: Commitment,
    /// The coin that the validator sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coin: Option<Coin>,
    /// Ascending by lane, iteration, leaf.
    pub openings: &'a [Opening],
    /// One a lane at most, ascending by lane.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub device_reports: &'a [DeviceReport],
    /// What the machine's processor signed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_report: Option<&'a MachineReport>,
}
