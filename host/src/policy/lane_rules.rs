//! What a policy asks of each lane: the device it claims to be, and how that was
//! during the run.
//!
//! Guarantees: every demand of `[devices]` and `[telemetry]` is looked at on every
//! lane, whatever the lanes before it claim.
//! Deliberately lacks: what cannot be true of a model; that is
//! [`crate::appraisal::plausible`].

use super::codes::{Observation, Requirement};
use super::judge::Judge;
use crate::appraisal::models::{self, Model};
use crate::appraisal::plausible;
use crate::protocol::evidence::document::ClaimedLane;
use crate::protocol::evidence::telemetry::ClaimedHealth;
use crate::protocol::evidence::{EvidenceExecutor, EvidenceLane};

/// A miner's clock may run this much faster than the validator's.
const CLOCK_DRIFT: f64 = 1.01;
/// NVML's reasons for lower clocks that are no limit of the card's own: heat,
/// and a power supply or a board that asks for it.
const THROTTLE_BAD: [&str; 4] =
    ["HW_SLOWDOWN", "HW_THERMAL_SLOWDOWN", "HW_POWER_BRAKE_SLOWDOWN", "SW_THERMAL_SLOWDOWN"];

/// The rules for one lane.
pub(super) struct LaneRules<'j, 'f> {
    judge: &'j mut Judge<'f>,
    g: usize,
    lane: &'f EvidenceLane,
    model: Option<&'static Model>,
    is_gpu: bool,
}

impl<'j, 'f> LaneRules<'j, 'f> {
    /// Those of lane `g`.
    pub(super) fn of(judge: &'j mut Judge<'f>, g: usize) -> Self {
        let evidence = judge.facts.evidence;
        let lane = &evidence.lanes()[g];
        // Beside GPUs a CPU may be a lane, too: one without SMs is taken for that.
        let is_gpu = evidence.executor() == EvidenceExecutor::Gpu && lane.sm_count > 0;
        Self { judge, g, lane, model: models::find(&lane.model), is_gpu }
    }

    /// Applies them all.
    pub(super) fn apply(&mut self) {
        self.identity();
        self.counters();
        self.time();
        if self.is_gpu {
            self.telemetry();
            self.health();
        }
    }

    fn reject(&mut self, code: Requirement, text: &str) {
        self.judge.reject(code, format!("lane {}: {text}", self.g));
    }

    fn observe(&mut self, code: Observation, text: &str) {
        self.judge.observe(code, format!("lane {}: {text}", self.g));
    }

    fn claims(&self) -> &'f ClaimedLane {
        self.judge.facts.evidence.claims().lane(self.g)
    }

    /// The median SM clock over the run, MHz.
    fn clock_mhz(&self) -> Option<u64> {
        self.claims().sm_clock_mhz()?.median
    }

    /// The median power over the run, W.
    fn power_w(&self) -> Option<f64> {
        Some(1e-3 * self.claims().power_mw()?.median? as f64)
    }

    fn identity(&mut self) {
        let (devices, lane) = (&self.judge.policy.devices, self.lane);
        let allowed = |name: &String| models::is_same_name(name, &lane.model);
        if !devices.models.is_empty() && !devices.models.iter().any(allowed) {
            let expected = devices.models.join(", ");
            let text = format!("expected one of {expected}, got {:?}", lane.model);
            self.reject(Requirement::ModelNotAllowed, &text);
        }
        let among_gpus = self.judge.facts.evidence.executor() == EvidenceExecutor::Gpu;
        if among_gpus && !self.is_gpu && !devices.cpu_allowed {
            self.reject(Requirement::CpuExecutor, "expected a GPU, got a lane without SMs");
        }
        let is_mig = plausible::is_mig_instance(self.judge.facts.evidence, self.g);
        if is_mig && !devices.mig_allowed {
            let text = format!("expected a whole GPU, got the MIG instance {:?}", lane.model);
            self.reject(Requirement::MigInstance, &text);
        }
        // An instance's name is in no table; that it may answer is said above.
        if self.is_gpu && self.model.is_none() && !is_mig && !devices.unknown_models_allowed {
            let text = format!("expected a model of the table, got {:?}", lane.model);
            self.reject(Requirement::ModelUnknown, &text);
        }
        let serial_missing = devices.serial_required && self.claims().serial().is_none();
        if serial_missing {
            self.reject(Requirement::SerialMissing, "expected the board's serial number, got none");
        }
        let expected = self.judge.policy.devices.memory_min_bytes;
        if lane.memory_bytes < expected {
            let got = lane.memory_text();
            let text = format!("expected at least {expected} bytes of memory, got {got}");
            self.reject(Requirement::MemoryTooSmall, &text);
        }
    }

    fn counters(&mut self) {
        if !self.is_gpu {
            return;
        }
        if self.lane.sm_tiles.is_empty() {
            let why = self.lane.sm_monitoring.as_deref().unwrap_or("no reason given");
            let text = format!("expected counters of {} SMs, got {why:?}", self.lane.sm_count);
            return self.observe(Observation::SmCountersMissing, &text);
        }
        let (expected, got) = (self.judge.policy.devices.sm_share_min, self.lane.sm_utilization());
        if got < expected {
            let (expected, got) = (100.0 * expected, 100.0 * got);
            let text = format!("expected work on {expected:.1} % of the SMs, got {got:.1} %");
            self.reject(Requirement::SmShareLow, &text);
        }
    }

    fn time(&mut self) {
        let Some(claimed_ns) = self.claims().elapsed_ns() else { return };
        let claimed_s = 1e-9 * claimed_ns as f64;
        if let Some(elapsed) = self.judge.facts.elapsed {
            let elapsed_s = elapsed.as_secs_f64();
            if claimed_s > CLOCK_DRIFT * elapsed_s {
                let text = format!("reports a run of {claimed_s:.3} s, {elapsed_s:.3} s passed");
                self.observe(Observation::DurationContradicted, &text);
            }
        }
    }

    /// What the policy demands of the samples over the run.
    fn telemetry(&mut self) {
        if self.clock_mhz().is_none() && self.power_w().is_none() {
            self.observe(Observation::TelemetryMissing, "expected clocks and power, got none");
        }
        let said = |got: Option<f64>| got.map_or("none".to_owned(), |got| format!("{got:.0}"));
        let share = self.judge.policy.telemetry.clock_share_min;
        if let Some(model) = self.model.filter(|_| share > 0.0) {
            let least = share * f64::from(model.max_clock_mhz);
            let got = self.clock_mhz().map(|mhz| mhz as f64);
            if got.is_none_or(|got| got < least) {
                let got = said(got);
                let text = format!("expected a median of at least {least:.0} MHz, got {got}");
                self.reject(Requirement::ClockLow, &text);
            }
        }
        let least = self.judge.policy.telemetry.power_median_min_w;
        let got = self.power_w();
        if least > 0.0 && got.is_none_or(|got| got < least) {
            let got = said(got);
            let text = format!("expected a median of at least {least:.0} W, got {got}");
            self.reject(Requirement::PowerLow, &text);
        }
    }

    /// What changed during the run that should not.
    fn health(&mut self) {
        use Observation::{EccUncorrectedChanged as Ecc, RemappedRowsChanged as Rows};
        type Count = fn(&ClaimedHealth) -> Option<u64>;
        let rules: [(Count, _, _); 3] = [
            (|health| health.ecc_uncorrected, Ecc, "uncorrected memory errors"),
            (|health| health.rows_remapped_corrected, Rows, "rows remapped after corrected errors"),
            (
                |health| health.rows_remapped_uncorrected,
                Rows,
                "rows remapped after uncorrected errors",
            ),
        ];
        for (count, code, what) in rules {
            let seen = self.claims().telemetry.as_ref();
            let before = seen.and_then(|seen| count(seen.before.as_ref()?));
            let after = seen.and_then(|seen| count(seen.after.as_ref()?));
            if let (Some(before), Some(after)) = (before, after)
                && before != after
            {
                let text = format!("{what}: expected {before} as before the run, got {after}");
                self.observe(code, &text);
            }
        }
        let bad = |reason: &&str| THROTTLE_BAD.contains(reason);
        if let Some(reason) = self.claims().throttle_reasons().find(bad) {
            let text = format!("expected no slowdown by heat or hardware, got {reason}");
            self.observe(Observation::Throttled, &text);
        }
    }
}
