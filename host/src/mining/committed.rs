//! A run between its commitment and its openings.
//!
//! Guarantees: what is committed to no longer changes; the samples derive from
//! it and the coin, and it is opened once.
//! Deliberately lacks: sending anything. A live session sends the commitment,
//! waits for the coin and opens; without a session both steps follow each other.

use super::mine::MineError;
use super::{device_reports, machine_report};
use crate::evidence::{RunTiming, Tsm};
use crate::executor::LaneFacts;
use crate::executor::lanes::Execution;
use crate::protocol::challenge::Challenge;
use crate::protocol::device_report::DeviceReport;
use crate::protocol::digest::Digest;
use crate::protocol::evidence::{AVAILABLE, Evidence};
use crate::protocol::machine_report::{MachineReport, report_data};
use crate::protocol::names::{Coin, Commitment, State};
use crate::protocol::result::{LaneRoots, ResultDoc, chain_states};
use crate::protocol::sample;
use std::time::Duration;

/// A finished run with its commitment. It keeps the executors, to open samples.
pub struct Committed {
    pub(super) challenge: Challenge,
    pub(super) commitment: Commitment,
    pub(super) lanes: Vec<LaneRoots>,
    pub(super) evidence: Evidence,
    pub(super) miner_signature: Option<[u8; 64]>,
    pub(super) execution: Execution,
    pub(super) tsm: Tsm,
}

impl Committed {
    /// Digest of the challenge.
    pub fn challenge_digest(&self) -> Digest {
        self.challenge.digest()
    }

    /// What identifies the result.
    pub fn commitment(&self) -> Commitment {
        self.commitment
    }

    /// UUIDs and iteration roots, in lane order.
    pub fn lanes(&self) -> &[LaneRoots] {
        &self.lanes
    }

    /// The evidence, assembled.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// Over challenge and commitment; present if and only if the challenge has a miner_id.
    pub fn miner_signature(&self) -> Option<[u8; 64]> {
        self.miner_signature
    }

    /// What the lanes report.
    pub fn lane_facts(&self) -> impl Iterator<Item = &LaneFacts> {
        self.execution.lanes.iter().map(|lane| &lane.facts)
    }

    /// From the common start of the lanes to the last root.
    pub fn executed_in(&self) -> Duration {
        self.execution.elapsed
    }

    /// Where the time went.
    pub fn timing(&self) -> RunTiming {
        RunTiming::of(&self.execution)
    }

    /// What the lanes' devices sign for this work, if they sign.
    fn device_reports(&self) -> Vec<DeviceReport> {
        let facts: Vec<&LaneFacts> = self.lane_facts().collect();
        let signs =
            |g: usize| self.evidence.claims().lane(g).device_report.as_deref() == Some(AVAILABLE);
        if !(0..facts.len()).any(signs) {
            return Vec::new();
        }
        let states = chain_states(&self.challenge, &self.lanes);
        let last: Vec<State> = states.iter().filter_map(|lane| lane.last().copied()).collect();
        device_reports::collect(&self.challenge.digest(), &facts, &last)
    }

    /// What the processor signs of this virtual machine for this result, if it signs.
    fn machine_report(&self, devices: &[DeviceReport]) -> Option<MachineReport> {
        let standing = self.evidence.claims().machine().machine_report.as_deref();
        let asked = report_data(&self.challenge.digest(), &self.commitment, devices);
        (standing == Some(AVAILABLE)).then(|| machine_report::collect(self.tsm, asked)).flatten()
    }

    /// Opens the samples that the commitment selects together with `coin`, the
    /// validator's in a live session and absent outside one.
    ///
    /// # Errors
    /// [`MineError::Run`] if an executor fails.
    pub fn open(mut self, coin: Option<Coin>) -> Result<ResultDoc, MineError> {
        let lanes = self.lanes.len() as u32;
        let points = sample::derive(&self.challenge, lanes, &self.commitment, coin.as_ref());
        let openings = self.execution.open(&points)?;
        let device_reports = self.device_reports();
        let machine_report = self.machine_report(&device_reports);
        Ok(ResultDoc {
            challenge_digest: self.challenge.digest(),
            commitment: self.commitment,
            coin,
            lanes: self.lanes,
            evidence: self.evidence,
            openings,
            device_reports,
            machine_report,
            miner_signature: self.miner_signature,
        })
    }
}
