//! Whether what a miner reports of a lane fits the model that it names.
//!
//! Guarantees: pure; a bounded number of bounded, printable lines, whatever stands
//! in the evidence; codes are stable; a field that is absent or of another type
//! breaks no rule.
//! Deliberately lacks: judgement. What a violation is worth is a policy's
//! business, and a miner that lies with care breaks no rule.

use super::models::{self, MARGIN, Model};
use crate::protocol::challenge::Challenge;
use crate::protocol::evidence::document::ClaimedLane;
use crate::protocol::evidence::{Evidence, EvidenceExecutor, EvidenceLane};
use crate::protocol::quantity::{about, bytes_exactly};
use crate::protocol::work::{Cost, Unit};

/// Power is held to its limit on average; a reading may lie above it.
const POWER_MARGIN: f64 = 1.1;
/// What a driver counts as memory or a clock as time may differ by so much from
/// what a vendor prints.
const PRINT_MARGIN: f64 = 1.05;
/// A rate that a miner states may be rounded.
const ROUNDING: f64 = 0.01;
/// What a lane's figures were compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The row of its model in [`models::all()`].
    Table,
    /// Its model is unknown: limits are computed from the SMs, the highest clock
    /// and the compute capability that it reports itself.
    Reported,
    /// Nothing: it is no GPU, or reports neither model nor clock.
    Nothing,
}

/// A rule that a lane's figures break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Stable name.
    pub code: &'static str,
    /// What was claimed, and what is possible.
    pub text: String,
}

/// Every code there is, with what it says.
pub(crate) const CODES: &[(&str, &str)] = &[
    ("sms-above-model", "a lane reports more SMs than its model has"),
    ("memory-above-model", "a lane reports more memory than its model has"),
    ("clock-above-maximum", "an SM clock during the run lies above what the model can do"),
    ("power-above-limit", "the power during the run lies above the reported limit"),
    ("rate-above-peak", "by its own time the lane computed faster than its model can"),
    ("rate-differs", "the stated rate is not the work divided by the stated time"),
    ("bandwidth-above-model", "the measured memory bandwidth is more than the model has"),
];

/// One lane's figures against what is possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanePlausibility {
    /// Index of the lane.
    pub lane: usize,
    /// What they were compared with.
    pub basis: Basis,
    /// Rules that are broken.
    pub violations: Vec<Violation>,
}

/// Whether lane `lane` says that it is a MIG instance, by field or by name.
pub fn is_mig_instance(evidence: &Evidence, lane: usize) -> bool {
    evidence.claims().lane(lane).details.mig.is_some()
        || evidence.lanes().get(lane).is_some_and(|facts| facts.model.contains(" MIG "))
}

/// Every lane of `evidence`, which answers `challenge`.
pub fn judge(challenge: &Challenge, evidence: &Evidence) -> Vec<LanePlausibility> {
    evidence
        .lanes()
        .iter()
        .enumerate()
        .map(|(lane, facts)| {
            let (basis, limits) = Limits::of(evidence, lane, facts);
            let violations = Lane { challenge, evidence, lane, facts }.violations(&limits);
            LanePlausibility { lane, basis, violations }
        })
        .collect()
}

/// The most that is possible; `None` is no limit.
#[derive(Clone, Copy, Debug, Default)]
struct Limits {
    sm_count: Option<u64>,
    memory_bytes: Option<f64>,
    clock_mhz: Option<f64>,
    flops: Option<f64>,
    int8_ops: Option<f64>,
    bandwidth_bytes_per_s: Option<f64>,
}

impl Limits {
    fn of(evidence: &Evidence, lane: usize, facts: &EvidenceLane) -> (Basis, Self) {
        if evidence.executor() == EvidenceExecutor::Cpu {
            return (Basis::Nothing, Self::default());
        }
        match models::find(&facts.model) {
            Some(model) => (Basis::Table, Self::of_model(model)),
            None => match Self::of_claims(evidence, lane, facts) {
                Some(limits) => (Basis::Reported, limits),
                None => (Basis::Nothing, Self::default()),
            },
        }
    }

    fn of_model(model: &Model) -> Self {
        Self {
            sm_count: Some(u64::from(model.sm_count)),
            // Vendors print GB where drivers count GiB.
            memory_bytes: Some(PRINT_MARGIN * f64::from(model.memory_gb) * f64::from(1 << 30)),
            clock_mhz: Some(MARGIN * f64::from(model.max_clock_mhz)),
            flops: Some(model.floor_flops()),
            int8_ops: Some(model.floor_int8_ops()),
            bandwidth_bytes_per_s: Some(PRINT_MARGIN * 1e9 * f64::from(model.bandwidth_gb_s)),
        }
    }

    fn of_claims(evidence: &Evidence, lane: usize, facts: &EvidenceLane) -> Option<Self> {
        let claims = &evidence.claims().lane(lane).details;
        let clock_mhz = u32::try_from(claims.clock_khz? / 1000).ok()?;
        let sm_count = u32::try_from(facts.sm_count).ok()?;
        let capability = claims.compute_capability.as_deref().unwrap_or_default();
        Some(Self {
            clock_mhz: Some(MARGIN * f64::from(clock_mhz)),
            flops: Some(models::computed_floor_flops(sm_count, clock_mhz, capability)),
            int8_ops: Some(models::computed_floor_int8_ops(sm_count, clock_mhz, capability)),
            ..Self::default()
        })
    }
}

/// A lane and what it belongs to.
struct Lane<'a> {
    challenge: &'a Challenge,
    evidence: &'a Evidence,
    lane: usize,
    facts: &'a EvidenceLane,
}

impl Lane<'_> {
    fn violations(&self, limits: &Limits) -> Vec<Violation> {
        let mut violations = Vec::new();
        let mut add = |code: &'static str, claim: String| {
            debug_assert!(CODES.iter().any(|(known, _)| *known == code));
            violations.push(Violation { code, text: format!("lane {}: {claim}", self.lane) });
        };
        let (sms, memory_bytes) = (self.facts.sm_count, self.facts.memory_bytes);
        if let Some(most) = limits.sm_count.filter(|&most| sms > most) {
            add("sms-above-model", format!("{sms} SMs are claimed, the model has {most}"));
        }
        if let Some(most) = limits.memory_bytes.filter(|&most| memory_bytes as f64 > most) {
            add(
                "memory-above-model",
                format!(
                    "{} of memory are claimed, the model has at most {}",
                    bytes_exactly(memory_bytes),
                    bytes_exactly(most as u64)
                ),
            );
        }
        let claims = self.claims();
        let clock = claims.sm_clock_mhz().and_then(|clock| clock.max);
        if let (Some(claimed), Some(most)) = (clock, limits.clock_mhz)
            && claimed as f64 > most
        {
            add(
                "clock-above-maximum",
                format!("an SM clock of {claimed} MHz is claimed, at most {most:.0} is possible"),
            );
        }
        let power = claims.power_mw().and_then(|power| power.median);
        if let (Some(claimed), Some(limit_mw)) = (power, claims.power_limit_mw)
            && claimed as f64 > POWER_MARGIN * limit_mw as f64
        {
            add(
                "power-above-limit",
                format!("a median of {claimed} mW is claimed with a limit of {limit_mw} mW"),
            );
        }
        self.rate_violations(limits, &mut add);
        let rate = self.evidence.claims().memory_bytes_per_s(self.lane);
        if let (Some(rate), Some(most)) = (rate, limits.bandwidth_bytes_per_s)
            && rate as f64 > most
        {
            add(
                "bandwidth-above-model",
                format!(
                    "{} of memory bandwidth are claimed, the model has {}",
                    about(rate as f64, "B/s"),
                    about(most, "B/s")
                ),
            );
        }
        violations
    }

    /// Work over the time that the lane states, against the peak and against the
    /// rate that it states.
    fn rate_violations(&self, limits: &Limits, add: &mut impl FnMut(&'static str, String)) {
        let Some(elapsed_ns) = self.claims().elapsed_ns() else { return };
        let seconds = elapsed_ns as f64 / 1e9;
        let (work, iterations) = (self.challenge.work(), self.challenge.iterations());
        let Cost { amount, unit } = work.cost();
        let rate = amount as f64 * f64::from(iterations) / seconds;
        let (least, most, stated) = match unit {
            Unit::Flop => (rate, limits.flops, self.claims().achieved_flops),
            Unit::Operations => (rate, limits.int8_ops, self.claims().achieved_ops_per_s),
            // What caches may hold, and the first sweep, need no memory to be read.
            Unit::Bytes => {
                let own = work.memory_residency().filter(|work| !work.reads_peers());
                let bytes = own.map_or(0, |work| work.uncached_bytes()) as f64;
                let least = bytes * f64::from(iterations - 1) / seconds;
                (least, limits.bandwidth_bytes_per_s, self.claims().achieved_bytes_per_s)
            }
        };
        let shown = |rate: f64| about(rate, unit.per_second());
        if let Some(most) = most.filter(|&most| least > most) {
            add(
                "rate-above-peak",
                format!("{} by its own time, at most {} is possible", shown(least), shown(most)),
            );
        }
        if let Some(stated) = stated.map(|stated| stated as f64)
            && (stated / rate - 1.0).abs() > ROUNDING
        {
            add(
                "rate-differs",
                format!("{} are claimed, its work and time give {}", shown(stated), shown(rate)),
            );
        }
    }

    fn claims(&self) -> &ClaimedLane {
        self.evidence.claims().lane(self.lane)
    }
}

#[cfg(test)]
#[path = "plausible_tests.rs"]
mod tests;
