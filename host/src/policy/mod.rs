//! What a validator demands beyond the protocol: read from TOML, it sizes
//! challenges and judges verified results.
//!
//! ```text
//! Policy ── request(target) ─▶ Request ─▶ challenge        before the run
//!        └─ judge(facts) ────▶ Judgement ─▶ verdict        after verification
//! ```
//!
//! Guarantees: a [`Policy`] that was read satisfies every bound of its fields; a
//! judgement names everything that it holds against a result, by stable codes.
//! Deliberately lacks: clocks, records and sessions. What they know comes as
//! [`Facts`]; and any way to turn a failed verification into a passed one.

pub mod codes;
mod demand;
mod driver_version;
mod facts;
mod findings;
mod judge;
mod lane_rules;
mod read;
mod size;
mod template;

pub use crate::protocol::judgement::{Judgement, Reason, Weight};
pub use demand::Demand;
pub use facts::Facts;
pub use findings::Findings;
pub use read::{POLICY_BYTES_MAX, PolicyError};
pub use size::{SizeError, Target};

use crate::protocol::bound::OmittedShare;
use crate::protocol::digest::Digest;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A validator's demands. Every field has a default; docs/policy.md says why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// What verdicts call this policy; 1 … 100 bytes.
    pub name: String,
    /// Who must answer, and how.
    pub session: Session,
    /// How likely omitted work may escape.
    pub soundness: Soundness,
    /// Which devices may answer.
    pub devices: Devices,
    /// How long a run lasts and may last.
    pub time: Time,
    /// What the devices must report of the run.
    pub telemetry: Telemetry,
    /// How far back devices are looked up.
    pub history: History,
    /// What each finding does.
    pub findings: Findings,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            session: Session::default(),
            soundness: Soundness::default(),
            devices: Devices::default(),
            time: Time::default(),
            telemetry: Telemetry::default(),
            history: History::default(),
            findings: Findings::default(),
        }
    }
}

/// `[session]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Session {
    /// Only results whose coin the validator's own record or a receipt vouches
    /// for are accepted, and challenges are sized for that: fewer samples.
    pub live_required: bool,
    /// How long a challenge can wait before it is taken up, beside the run's own
    /// limit, s; 1 … 604,800.
    pub valid_for_s: u64,
    /// Whether the challenge must name the miner's key.
    pub miner_key_required: bool,
    /// How many meetings of one peer may end before a challenge (busy, stalled, closed
    /// early) within [`Self::dodge_window_s`] until it is refused; 0 … 1000, where 0
    /// refuses nobody. [`Policy::refuses_dodger`] compares.
    pub dodges_max: u64,
    /// Within what time they count, s; 1 … 2,592,000.
    pub dodge_window_s: u64,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            live_required: true,
            valid_for_s: 600,
            miner_key_required: false,
            dodges_max: 3,
            dodge_window_s: 3600,
        }
    }
}

/// `[soundness]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Soundness {
    /// f: the share of the work whose omission must be caught; above 0, below 1.
    pub omitted_share: f64,
    /// How likely it may escape at most; above 0, below 1.
    pub escape_probability_max: f64,
}

impl Default for Soundness {
    fn default() -> Self {
        Self { omitted_share: 0.01, escape_probability_max: 1e-9 }
    }
}

/// `[devices]`. All of it is the miner's claim; what is proven is the work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Devices {
    /// Models that every lane must have one of, as the driver names them; none
    /// means any.
    pub models: Vec<String>,
    /// Whether a GPU whose model has no row in the table may answer.
    pub unknown_models_allowed: bool,
    /// Whether a CPU may answer.
    pub cpu_allowed: bool,
    /// Whether MIG instances may answer.
    pub mig_allowed: bool,
    /// Fewest lanes; 1 … 64.
    pub gpu_count_min: u64,
    /// Most lanes; gpu_count_min … 64. Equal to the fewest: exactly so many.
    pub gpu_count_max: u64,
    /// Memory that every lane must report, bytes.
    pub memory_min_bytes: u64,
    /// Share of a lane's SMs that must have counted work, 0 … 1, where there are
    /// counters; what missing ones do is the finding `sm-counters-missing`.
    pub sm_share_min: f64,
    /// Oldest kernel driver, as "535.104"; empty means any.
    pub driver_version_min: String,
    /// Newest kernel driver: "580" takes in all that start so; empty means any.
    pub driver_version_max: String,
    /// Whether every lane must report its board's serial number, which the ledger
    /// compares with what the device said before.
    pub serial_required: bool,
    /// Whether the machine must report its id, likewise.
    pub host_required: bool,
}

impl Default for Devices {
    fn default() -> Self {
        Self {
            models: Vec::new(),
            unknown_models_allowed: false,
            cpu_allowed: false,
            mig_allowed: false,
            gpu_count_min: 1,
            gpu_count_max: 64,
            memory_min_bytes: 0,
            sm_share_min: 0.85,
            driver_version_min: String::new(),
            driver_version_max: String::new(),
            serial_required: false,
            host_required: false,
        }
    }
}

/// `[time]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Time {
    /// How long a run should last on the target, s; above 0, at most 86,400.
    pub duration_target_s: f64,
    /// Longest time as a multiple of the model's floor; 1 … 100.
    pub slack: f64,
    /// Allowed beside it for starting up, ms; at most 600,000. A miner in a live
    /// session has opened its devices and loaded its kernels before its hello.
    pub startup_allowance_ms: u64,
    /// Allowed beside it for the way there and back where no round trip was
    /// measured, ms; at most 600,000.
    pub round_trip_allowance_ms: u64,
}

impl Default for Time {
    fn default() -> Self {
        Self {
            duration_target_s: 10.0,
            slack: 1.45,
            startup_allowance_ms: 300,
            round_trip_allowance_ms: 500,
        }
    }
}

/// `[telemetry]`: the miner's own readings over the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// Least median SM clock, as a share of the model's highest; 0 … 1, where 0
    /// demands nothing.
    pub clock_share_min: f64,
    /// Least median power of a GPU, W; 0 … 10,000, where 0 demands nothing.
    pub power_median_min_w: f64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { clock_share_min: 0.0, power_median_min_w: 0.0 }
    }
}

/// `[history]`: what the ledger knows of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct History {
    /// How far back a device's earlier sightings speak against it, days; 1 … 3650.
    pub window_days: u64,
}

impl Default for History {
    fn default() -> Self {
        Self { window_days: 30 }
    }
}

impl History {
    /// The window.
    pub fn window(&self) -> Duration {
        Duration::from_secs(self.window_days.saturating_mul(24 * 3600))
    }
}

impl Policy {
    /// Whether a peer is refused that has ended `dodges` meetings before a challenge
    /// within `session.dodge_window_s`: its session ends as `too-many-dodges`.
    pub fn refuses_dodger(&self, dodges: u64) -> bool {
        self.session.dodges_max > 0 && dodges > self.session.dodges_max
    }

    /// f of the soundness; one tenth where the field is outside its bounds, which
    /// it cannot be in a policy that was read.
    pub fn omitted_share(&self) -> OmittedShare {
        OmittedShare::new(self.soundness.omitted_share).unwrap_or_default()
    }

    /// SHA-256 of the RFC 8785 form of all values: two files that demand the
    /// same have the same digest.
    pub fn digest(&self) -> Digest {
        let form = serde_json_canonicalizer::to_vec(self)
            .expect("strings, integers, finite numbers and names have a canonical form");
        Digest::of(&[&form])
    }
}
