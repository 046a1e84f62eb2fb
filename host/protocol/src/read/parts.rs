//! The two halves in which a live session carries a result.

use super::{Limits, List, MachineSeed, OpeningSeed, ReportSeed, Signature, plain, refuse_second};
use crate::challenge::Challenge;
use crate::device_report::DeviceReport;
use crate::digest::Digest;
use crate::evidence::{CANONICAL_BYTES_MAX, VALUES_MAX};
use crate::json::{Budget, NESTING_MAX, StrictValue, printable};
use crate::machine_report::MachineReport;
use crate::names::Commitment;
use crate::read::LaneSeed;
use crate::result::{FormError, LaneRoots, Opening};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;

/// What comes first.
pub(crate) struct CommitmentFields {
    pub(crate) commitment: Commitment,
    pub(crate) lanes: Vec<LaneRoots>,
    pub(crate) evidence: Value,
    pub(crate) miner_signature: Option<[u8; 64]>,
}

/// What comes after the coin.
pub(crate) struct OpeningFields {
    pub(crate) commitment: Commitment,
    pub(crate) coin: Option<Digest>,
    pub(crate) openings: Vec<Opening>,
    pub(crate) device_reports: Vec<DeviceReport>,
    pub(crate) machine_report: Option<MachineReport>,
}

/// Reads the first half.
pub(crate) fn commitment_fields_of(
    bytes: &[u8],
    challenge: &Challenge,
) -> Result<CommitmentFields, FormError> {
    read(bytes, CommitmentSeed(&Limits::of(challenge)))
}

/// Reads the second half.
pub(crate) fn opening_fields_of(
    bytes: &[u8],
    challenge: &Challenge,
) -> Result<OpeningFields, FormError> {
    read(bytes, OpeningsSeed(&Limits::of(challenge)))
}

fn read<'a, S: DeserializeSeed<'a>>(bytes: &'a [u8], seed: S) -> Result<S::Value, FormError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    seed.deserialize(&mut deserializer)
        .and_then(|fields| deserializer.end().map(|()| fields))
        .map_err(|error| FormError::Malformed { cause: printable(&error) })
}

#[derive(Clone, Copy)]
struct CommitmentSeed<'a>(&'a Limits);

object_seed!(CommitmentSeed<'_>, CommitmentFields, "a commitment: a JSON object", |self, map| {
    let budget = Budget::new(CANONICAL_BYTES_MAX, VALUES_MAX);
    read_object!(map,
        required {
            message: plain::<IgnoredAny>(),
            commitment: plain::<Commitment>(),
            lanes: List { seed: LaneSeed(self.0), limit: self.0.lanes, what: "lanes" },
            evidence: StrictValue::new(NESTING_MAX - 1, &budget),
        }
        optional {
            miner_signature: plain::<Signature>(),
        }
    );
    let IgnoredAny = message;
    let miner_signature = miner_signature.map(|Signature(bytes)| bytes);
    Ok(CommitmentFields { commitment, lanes, evidence, miner_signature })
});

#[derive(Clone, Copy)]
struct OpeningsSeed<'a>(&'a Limits);

object_seed!(OpeningsSeed<'_>, OpeningFields, "openings: a JSON object", |self, map| {
    let (limit, lanes) = (self.0.openings, self.0.lanes);
    read_object!(map,
        required {
            message: plain::<IgnoredAny>(),
            commitment: plain::<Commitment>(),
            openings: List { seed: OpeningSeed(self.0), limit, what: "openings" },
        }
        optional {
            coin: plain::<Digest>(),
            device_reports: List { seed: ReportSeed, limit: lanes, what: "device reports" },
            machine_report: MachineSeed,
        }
    );
    let IgnoredAny = message;
    let device_reports = device_reports.unwrap_or_default();
    Ok(OpeningFields { commitment, coin, openings, device_reports, machine_report })
});
