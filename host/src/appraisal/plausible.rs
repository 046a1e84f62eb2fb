//! Whether what a miner reports of a lane fits the model that it names.
//!
//! Guarantees: pure; a bounded number of bounded, printable lines, whatever stands
//! in the evidence; codes are stable; a field that is absent or of another type
//! breaks no rule.
//! Deliberately lacks: judgement. What a violation is worth is a policy's
//! business, and a miner that lies with care breaks no rule.

use super::models::{self, MARGIN, Model};
use crate::protocol::challenge::Challenge;
use crate::protocol::evidence::{Evidence, EvidenceExecutor, EvidenceLane};
use crate::protocol::json::printable;
use serde_json::Value;

/// Power is held to its limit on average; a reading may lie above it.
const POWER_MARGIN: f64 = 1.1;
/// What a driver counts as memory or a clock as time may differ by so much from
/// what a vendor prints.
const PRINT_MARGIN: f64 = 1.05;
/// A rate that a miner states may be rounded.
const ROUNDING: f64 = 0.01;
/// Most names of throttle reasons that are taken.
const REASONS_MAX: usize = 16;
/// Longest of them, characters.
const REASON_CHARS_MAX: usize = 64;

/// What a lane's figures were compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The row of its model in [`models::MODELS`].
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

/// Least, median and greatest of a figure during the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The least.
    pub min: u64,
    /// The median.
    pub median: u64,
    /// The greatest.
    pub max: u64,
}

/// What a miner says that a lane's device did during the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportedTelemetry {
    /// Number of readings.
    pub samples: u64,
    /// SM clock, MHz.
    pub sm_clock_mhz: Option<Reported>,
    /// Power, mW.
    pub power_mw: Option<Reported>,
    /// Temperature, °C.
    pub temperature_c: Option<Reported>,
    /// Why clocks were held down at some time, NVML's names.
    pub throttle_reasons: Vec<String>,
}

/// What lane `lane` says that its device did; `None` if nothing was sampled.
pub fn telemetry(evidence: &Evidence, lane: usize) -> Option<ReportedTelemetry> {
    let seen = field(evidence, lane, "telemetry")?;
    let figure = |name: &str| {
        let at = |which: &str| seen.get(name)?.get(which)?.as_u64();
        Some(Reported { min: at("min")?, median: at("median")?, max: at("max")? })
    };
    let reasons = seen.get("throttle_reasons").and_then(Value::as_array);
    let reason = |reason: &Value| {
        let text: String = reason.as_str()?.chars().take(REASON_CHARS_MAX).collect();
        Some(printable(&text))
    };
    Some(ReportedTelemetry {
        samples: seen.get("samples")?.as_u64()?,
        sm_clock_mhz: figure("sm_clock_mhz"),
        power_mw: figure("power_mw"),
        temperature_c: figure("temperature_c"),
        throttle_reasons: reasons
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .take(REASONS_MAX)
            .filter_map(reason)
            .collect(),
    })
}

/// Whether lane `lane` says that it is a MIG instance, by field or by name.
pub fn is_mig_instance(evidence: &Evidence, lane: usize) -> bool {
    field(evidence, lane, "mig").is_some()
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
            bandwidth_bytes_per_s: Some(PRINT_MARGIN * 1e9 * f64::from(model.bandwidth_gb_s)),
        }
    }

    fn of_claims(evidence: &Evidence, lane: usize, facts: &EvidenceLane) -> Option<Self> {
        let clock_khz = field(evidence, lane, "clock_khz")?.as_u64()?;
        let clock_mhz = u32::try_from(clock_khz / 1000).ok()?;
        let sm_count = u32::try_from(facts.sm_count).ok()?;
        let capability = field(evidence, lane, "compute_capability").and_then(Value::as_str);
        let capability = capability.unwrap_or_default();
        Some(Self {
            clock_mhz: Some(MARGIN * f64::from(clock_mhz)),
            flops: Some(models::computed_floor_flops(sm_count, clock_mhz, capability)),
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
                format!("{memory_bytes} bytes of memory are claimed, the model has {most:.0}"),
            );
        }
        let seen = telemetry(self.evidence, self.lane).unwrap_or_default();
        if let (Some(clock), Some(most)) = (seen.sm_clock_mhz, limits.clock_mhz)
            && clock.max as f64 > most
        {
            let claimed = clock.max;
            add(
                "clock-above-maximum",
                format!("an SM clock of {claimed} MHz is claimed, at most {most:.0} is possible"),
            );
        }
        let limit_mw = self.field("power_limit_mw").and_then(Value::as_u64);
        if let (Some(power), Some(limit_mw)) = (seen.power_mw, limit_mw)
            && power.median as f64 > POWER_MARGIN * limit_mw as f64
        {
            let claimed = power.median;
            add(
                "power-above-limit",
                format!("a median of {claimed} mW is claimed with a limit of {limit_mw} mW"),
            );
        }
        self.rate_violations(limits, &mut add);
        if let (Some(rate), Some(most)) = (self.bandwidth(), limits.bandwidth_bytes_per_s)
            && rate as f64 > most
        {
            add(
                "bandwidth-above-model",
                format!("{rate} bytes/s of memory bandwidth are claimed, the model has {most:.3e}"),
            );
        }
        violations
    }

    /// Work over the time that the lane states, against the peak and against the
    /// rate that it states.
    fn rate_violations(&self, limits: &Limits, add: &mut impl FnMut(&'static str, String)) {
        let number = |name: &str| -> Option<f64> {
            let number: f64 = self.field(name)?.as_str()?.parse().ok()?;
            number.is_finite().then_some(number)
        };
        let Some(elapsed_ns) = number("elapsed_ns").filter(|&elapsed_ns| elapsed_ns > 0.0) else {
            return;
        };
        let iterations = f64::from(self.challenge.iterations());
        let flop = self.challenge.work().cost().amount as f64 * iterations;
        let flops = flop / (elapsed_ns / 1e9);
        if let Some(most) = limits.flops.filter(|&most| flops > most) {
            add(
                "rate-above-peak",
                format!("{flops:.3e} FLOP/s by its own time, at most {most:.3e} is possible"),
            );
        }
        if let Some(stated) = number("achieved_flops")
            && (stated / flops - 1.0).abs() > ROUNDING
        {
            add(
                "rate-differs",
                format!("{stated:.3e} FLOP/s are claimed, its work and time give {flops:.3e}"),
            );
        }
    }

    /// The measured bandwidth of this lane's device memory, bytes/s.
    fn bandwidth(&self) -> Option<u64> {
        let machine = self.evidence.value().get("machine")?;
        let pci_id = self.field("pci_id")?;
        let known = machine.get("cuda")?.get("devices")?.as_array()?;
        let index = known.iter().find(|device| device.get("pci_id") == Some(pci_id))?;
        let index = index.get("index")?;
        let measured = machine.get("bandwidth")?.get("devices")?.as_array()?;
        let device = measured.iter().find(|device| device.get("index") == Some(index))?;
        device.get("memory")?.get("bytes_per_s")?.as_u64()
    }

    fn field(&self, name: &str) -> Option<&Value> {
        field(self.evidence, self.lane, name)
    }
}

fn field<'a>(evidence: &'a Evidence, lane: usize, name: &str) -> Option<&'a Value> {
    evidence.value().get("lanes")?.get(lane)?.get(name)
}

#[cfg(test)]
#[path = "plausible_tests.rs"]
mod tests;
