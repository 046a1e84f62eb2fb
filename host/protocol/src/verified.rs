//! What a verification has established: the only values from which a positive
//! verdict can be made.
//!
//! Guarantees: only [`super::verify`] makes a [`Verified`].
//! Deliberately lacks: any conclusion; that is [`super::verdict`]'s.

use super::challenge::Challenge;
use super::circumstances::{Circumstances, Issuer, is_before_issue};
use super::device_report::DeviceReport;
use super::digest::Uuid;
use super::evidence::{Evidence, EvidenceExecutor};
use super::machine_report::{MachineReport, report_data};
use super::names::Commitment;
use super::result::ResultDoc;
use std::time::Duration;

/// Which iterations were recomputed whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Those that have openings.
    SampledIterations,
    /// All, on every lane.
    EveryIteration,
}

/// Whether the samples depend on a coin that came after the commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoinStanding {
    /// The result has no coin.
    NoSession,
    /// The issuer's own record has it.
    Recorded,
    /// A valid receipt has it.
    Receipt {
        /// When the commitment arrived, ms since 1970.
        arrived_unix_ms: u64,
    },
    /// The result has one that nothing vouches for.
    Unattested {
        /// Why it doesn't count.
        cause: String,
    },
}

impl CoinStanding {
    /// Whether the miner could not know the samples when it committed.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Recorded | Self::Receipt { .. })
    }
}

/// A result that passed every check its circumstances allowed.
#[derive(Clone, Debug)]
pub struct Verified {
    challenge: Challenge,
    commitment: Commitment,
    evidence: Evidence,
    uuids: Vec<Uuid>,
    openings: u64,
    coin: CoinStanding,
    extent: Option<Extent>,
    from_issuer: bool,
    arrival_unix_s: Option<i64>,
    elapsed: Option<Duration>,
    floors_s: Vec<Option<f64>>,
    device_reports: Vec<DeviceReport>,
    machine_report: Option<MachineReport>,
    report_nonces: Vec<[u8; 32]>,
}

/// What the steps found out, beside that they passed.
pub(super) struct Shown {
    /// What step 2 found of the coin.
    pub(super) coin: CoinStanding,
    /// Step 7: which iterations were recomputed whole.
    pub(super) extent: Option<Extent>,
    /// Step 5: the time floor of each lane's claimed model, s.
    pub(super) floors_s: Vec<Option<f64>>,
    /// What each lane's device must have been asked with.
    pub(super) report_nonces: Vec<[u8; 32]>,
}

impl Verified {
    /// Called after every check has passed.
    pub(super) fn new(
        challenge: &Challenge,
        result: &ResultDoc,
        circumstances: &Circumstances<'_>,
        Shown { coin, extent, floors_s, report_nonces }: Shown,
    ) -> Self {
        let receipt_s = match coin {
            CoinStanding::Receipt { arrived_unix_ms } => Some((arrived_unix_ms / 1000) as i64),
            _ => None,
        };
        Self {
            challenge: challenge.clone(),
            commitment: result.commitment,
            evidence: result.evidence.clone(),
            uuids: result.uuids(),
            openings: result.openings.len() as u64,
            coin,
            extent,
            from_issuer: matches!(circumstances.issuer, Issuer::Record(_)),
            // A clock that has it arrive before its issue shows no interval.
            arrival_unix_s: circumstances
                .arrival_unix_s
                .or(receipt_s)
                .filter(|&arrival| !is_before_issue(challenge, arrival)),
            elapsed: circumstances.elapsed,
            floors_s,
            device_reports: result.device_reports.clone(),
            machine_report: result.machine_report.clone(),
            report_nonces,
        }
    }

    /// The challenge that was answered.
    pub fn challenge(&self) -> &Challenge {
        &self.challenge
    }
    /// What identifies the result.
    pub fn commitment(&self) -> Commitment {
        self.commitment
    }
    /// Number of lanes.
    pub fn lanes(&self) -> u32 {
        self.uuids.len() as u32
    }
    /// The lanes' UUIDs: claimed.
    pub fn uuids(&self) -> &[Uuid] {
        &self.uuids
    }
    /// The evidence: claimed.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }
    /// "gpu" or "cpu": claimed.
    pub fn executor(&self) -> EvidenceExecutor {
        self.evidence.executor()
    }
    /// Distinct leaves recomputed.
    pub fn openings(&self) -> u64 {
        self.openings
    }
    /// Whether the samples depend on a coin.
    pub fn coin(&self) -> &CoinStanding {
        &self.coin
    }
    /// Which iterations were recomputed whole, if any.
    pub fn extent(&self) -> Option<Extent> {
        self.extent
    }
    /// Whether the issuer's record was looked at: issue, nonce and session.
    pub fn is_from_issuer(&self) -> bool {
        self.from_issuer
    }
    /// When the commitment or result arrived, if known and not before the issue of
    /// its challenge, seconds since 1970.
    pub fn arrival_unix_s(&self) -> Option<i64> {
        self.arrival_unix_s
    }
    /// On the validator's clock, if measured.
    pub fn elapsed(&self) -> Option<Duration> {
        self.elapsed
    }
    /// The largest time floor, s, if a claimed model has one: it was kept.
    pub fn floor_s(&self) -> Option<f64> {
        self.floors_s.iter().copied().flatten().reduce(f64::max)
    }
    /// The time floor of each lane's claimed model, s; all were kept.
    pub fn floors_s(&self) -> &[Option<f64>] {
        &self.floors_s
    }
    /// What devices signed, as it came: nothing of it is checked by verification.
    pub fn device_reports(&self) -> &[DeviceReport] {
        &self.device_reports
    }
    /// What each lane's device must have been asked with, in lane order.
    pub fn report_nonces(&self) -> &[[u8; 32]] {
        &self.report_nonces
    }
    /// What the machine's processor signed, as it came: nothing of it is checked by verification.
    pub fn machine_report(&self) -> Option<&MachineReport> {
        self.machine_report.as_ref()
    }
    /// What the machine's processor must have been asked with.
    pub fn machine_report_data(&self) -> [u8; 64] {
        report_data(&self.challenge.digest(), &self.commitment, &self.device_reports)
    }
    /// What the whole run cost, in units of its kind of work: all lanes and iterations.
    pub fn amount(&self) -> u128 {
        let per_lane = u128::from(self.challenge.work().cost().amount)
            * u128::from(self.challenge.iterations());
        per_lane * u128::from(self.lanes())
    }
}
