//! A policy's word on a verified result: its demands first, then the lanes, what
//! cannot be true of them, and what the miner and the ledger report.
//!
//! Guarantees: every demand that is broken and every finding that is not ignored
//! is named, findings once per code with their number; the work is bounded by
//! the evidence's size.
//! Deliberately lacks: belief. What a lane claims can speak against it and never
//! for it.

use super::codes::{Action, Observation, Requirement};
use super::driver_version::DriverVersion;
use super::lane_rules::LaneRules;
use super::{Facts, Judgement, Policy, Reason, Weight};
use crate::appraisal::models;
use crate::appraisal::plausible;
use crate::protocol::evidence::document::ClaimedFindings;
use crate::protocol::evidence::{EvidenceExecutor, EvidenceLane};
use crate::protocol::json::printable;
use std::collections::BTreeMap;
use std::time::Duration;

impl Policy {
    /// Everything that this policy holds against a result that verified.
    pub fn judge(&self, facts: &Facts<'_>) -> Judgement {
        let mut judge = Judge { policy: self, facts, reasons: Vec::new() };
        judge.session();
        judge.soundness();
        judge.devices();
        judge.time();
        for g in 0..facts.evidence.lanes().len() {
            LaneRules::of(&mut judge, g).apply();
        }
        for lane in plausible::judge(facts.challenge, facts.evidence) {
            for violation in lane.violations {
                judge.finding(violation.code, &violation.text);
            }
        }
        judge.reported_findings();
        for finding in facts.history {
            judge.finding(finding.code.name(), &finding.text);
        }
        Judgement::new(&self.name, self.digest(), judge.reasons)
    }

    /// The longest time that a run of `native_floor_s` may take: slack × floor,
    /// the start-up and the way there and back.
    pub(super) fn limit_s(&self, native_floor_s: f64, round_trip: Option<Duration>) -> f64 {
        let startup_s = 1e-3 * self.time.startup_allowance_ms as f64;
        self.time.slack * native_floor_s + startup_s + self.round_trip_s(round_trip)
    }

    /// The way there and back, as measured or else as allowed.
    pub(super) fn round_trip_s(&self, measured: Option<Duration>) -> f64 {
        match measured {
            Some(measured) => measured.as_secs_f64(),
            None => 1e-3 * self.time.round_trip_allowance_ms as f64,
        }
    }
}

/// A judgement in the making.
pub(super) struct Judge<'a> {
    pub(super) policy: &'a Policy,
    pub(super) facts: &'a Facts<'a>,
    reasons: Vec<Reason>,
}

impl Judge<'_> {
    /// A demand is broken.
    pub(super) fn reject(&mut self, code: Requirement, text: impl AsRef<str>) {
        self.reasons.push(Reason::new(code.name(), Weight::Reject, text));
    }

    /// Something was seen; the policy's findings say what it does.
    pub(super) fn observe(&mut self, code: Observation, text: impl AsRef<str>) {
        self.finding(code.name(), text);
    }

    fn finding(&mut self, code: &'static str, text: impl AsRef<str>) {
        let weight = match self.policy.findings.action(code) {
            Some(Action::Ignore) => return,
            Some(Action::Warn) => Weight::Warn,
            // Every code has an action; one without would be a reason to stop.
            Some(Action::Reject) | None => Weight::Reject,
        };
        self.reasons.push(Reason::new(code, weight, text));
    }

    fn session(&mut self) {
        if self.policy.session.live_required && !self.facts.live {
            let text = "expected a live session on record or in a receipt, got none";
            self.reject(Requirement::SessionRequired, text);
        }
        let text = "the challenge names no miner's key: whoever saw it may have answered";
        match self.facts.challenge.miner_id() {
            Some(_) => {}
            None if self.policy.session.miner_key_required => {
                self.reject(Requirement::MinerKeyMissing, text);
            }
            None => self.observe(Observation::NotBoundToMiner, text),
        }
    }

    fn soundness(&mut self) {
        let soundness = &self.policy.soundness;
        let share = self.policy.omitted_share();
        let (most, got) =
            (soundness.escape_probability_max.log10(), self.facts.bound.at(share).log10_escape());
        // A NaN is no bound.
        if got.is_nan() || got > most {
            let text = format!(
                "leaving out {} % may escape with probability 10^{most:.1}, it escapes with up to 10^{got:.1}",
                100.0 * share.get()
            );
            self.reject(Requirement::SoundnessTooWeak, text);
        }
    }

    fn devices(&mut self) {
        let (devices, evidence) = (&self.policy.devices, self.facts.evidence);
        let (low, high) = (devices.gpu_count_min, devices.gpu_count_max);
        let lanes = evidence.lanes().len() as u64;
        if !(low..=high).contains(&lanes) {
            let text = format!("expected {low} to {high} lanes, got {lanes}");
            self.reject(Requirement::GpuCount, text);
        }
        if evidence.executor() == EvidenceExecutor::Cpu && !devices.cpu_allowed {
            self.reject(Requirement::CpuExecutor, "expected GPUs, a CPU did the work");
        }
        if devices.host_required && evidence.claims().host().is_none() {
            let text = "expected the machine's id (machine_id), got none";
            self.reject(Requirement::HostMissing, text);
        }
        self.driver_version();
    }

    fn driver_version(&mut self) {
        let devices = &self.policy.devices;
        let bounds = (&devices.driver_version_min, &devices.driver_version_max);
        if (bounds.0.is_empty() && bounds.1.is_empty())
            || self.facts.evidence.executor() == EvidenceExecutor::Cpu
        {
            return;
        }
        let text = self.facts.evidence.claims().machine().kernel_driver_version.as_deref();
        let version = text.and_then(|text| text.parse::<DriverVersion>().ok());
        let bound = |text: &String| text.parse::<DriverVersion>().ok();
        let fits = version.as_ref().is_some_and(|version| {
            bound(bounds.0).is_none_or(|least| version.is_at_least(&least))
                && bound(bounds.1).is_none_or(|most| version.is_at_most(&most))
        });
        if !fits {
            let range = match (bounds.0.as_str(), bounds.1.as_str()) {
                (least, "") => format!("at least {least}"),
                ("", most) => format!("at most {most}"),
                (least, most) => format!("{least} to {most}"),
            };
            let got = text.map_or_else(|| "none".to_owned(), |text| printable(&text));
            let text = format!("expected kernel driver {range}, got {got}");
            self.reject(Requirement::DriverVersion, text);
        }
    }

    fn time(&mut self) {
        let evidence = self.facts.evidence;
        let unknown = |lane: &EvidenceLane| models::find(&lane.model).is_none();
        if evidence.executor() == EvidenceExecutor::Gpu
            && let Some(g) = evidence.lanes().iter().position(unknown)
        {
            let text = format!("lane {g}: no floor is known for {:?}", evidence.lanes()[g].model);
            self.observe(Observation::FloorUnknown, text);
        }
        let Some(elapsed) = self.facts.elapsed else {
            let text = "no clock of the validator ran, so slack x floor was not checked";
            return self.observe(Observation::ElapsedUnknown, text);
        };
        let floor = |model: &models::Model| self.operations_per_lane() / model.native_floor_flops();
        let floors = evidence.lanes().iter().filter_map(|l| models::find(&l.model)).map(floor);
        let Some(floor_s) = floors.reduce(f64::max) else { return };
        let (limit_s, elapsed_s) =
            (self.policy.limit_s(floor_s, self.facts.round_trip), elapsed.as_secs_f64());
        if elapsed_s > limit_s {
            let text = format!(
                "expected at most {limit_s:.3} s ({} x the floor of {floor_s:.3} s and allowances), got {elapsed_s:.3} s",
                self.policy.time.slack
            );
            self.reject(Requirement::TooSlow, text);
        }
    }

    /// 2·m·n³·T.
    fn operations_per_lane(&self) -> f64 {
        let challenge = self.facts.challenge;
        challenge.work().cost().amount as f64 * f64::from(challenge.iterations())
    }

    /// Findings of the miner's own machine: one reason a code, however many.
    fn reported_findings(&mut self) {
        let findings = match self.facts.evidence.claims().findings() {
            None => return,
            Some(ClaimedFindings::NoList) => {
                return self.observe(Observation::FindingsMalformed, "the findings are no list");
            }
            Some(ClaimedFindings::List(findings)) => findings,
        };
        let mut seen: BTreeMap<&'static str, (&str, u64)> = BTreeMap::new();
        for finding in findings {
            let (code, text) = match (finding.code.as_deref(), finding.text.as_deref()) {
                (Some(code), Some(text)) => match known_code(code) {
                    Some(known) => (known, text),
                    None => (Observation::FindingUnknown.name(), code),
                },
                _ => (Observation::FindingsMalformed.name(), "a finding without code and text"),
            };
            seen.entry(code).or_insert((text, 0)).1 += 1;
        }
        for (code, (text, count)) in seen {
            let more = match count {
                1 => String::new(),
                _ => format!(" (and {} more)", count - 1),
            };
            let said = printable(&text);
            self.finding(code, format!("the miner's machine reports: {said}{more}"));
        }
    }
}

/// A code that a miner's machine can report. Those of the validator's own
/// observations are not its to give.
fn known_code(code: &str) -> Option<&'static str> {
    crate::evidence::Code::ALL.iter().map(|known| known.name()).find(|&known| known == code)
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
