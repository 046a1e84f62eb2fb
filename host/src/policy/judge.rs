//! A policy's word on a verified result: its rules, for the whole and lane by lane,
//! then what cannot be true of the lanes, and what the miner and the ledger report.
//!
//! Guarantees: every demand that is broken and every finding that is not ignored
//! is named, findings once per code with their number; the work is bounded by
//! the evidence's size.
//! Deliberately lacks: belief. What a lane claims can speak against it and never
//! for it.

use super::codes::Action;
use super::rule::{Rule, Standing};
use super::rules::Case;
use super::{Facts, Judgement, Policy, RULES, Reason, Weight};
use crate::appraisal::plausible;
use crate::protocol::evidence::document::ClaimedFindings;
use crate::protocol::json::printable;
use std::collections::BTreeMap;
use std::time::Duration;

impl Policy {
    /// Everything that this policy holds against a result that verified.
    pub fn judge(&self, facts: &Facts<'_>) -> Judgement {
        let mut judge = Judge { policy: self, facts, reasons: Vec::new() };
        let case = Case { policy: self, facts };
        for rule in RULES {
            for text in (rule.result)(&case) {
                judge.give(rule, text);
            }
        }
        for lane in case.lanes() {
            for rule in RULES {
                for text in (rule.lane)(&lane) {
                    judge.give(rule, format!("lane {}: {text}", lane.g));
                }
            }
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
struct Judge<'a> {
    policy: &'a Policy,
    facts: &'a Facts<'a>,
    reasons: Vec<Reason>,
}

impl Judge<'_> {
    /// A rule is broken.
    fn give(&mut self, rule: &Rule, text: String) {
        match rule.standing {
            Standing::Demand => {
                self.reasons.push(Reason::new(rule.code, Weight::Reject, text));
            }
            Standing::Finding(_) => self.finding(rule.code, text),
        }
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

    /// Findings of the miner's own machine: one reason a code, however many.
    fn reported_findings(&mut self) {
        let findings = match self.facts.evidence.claims().findings() {
            None => return,
            Some(ClaimedFindings::NoList) => {
                return self.finding(MALFORMED, "the findings are no list");
            }
            Some(ClaimedFindings::List(findings)) => findings,
        };
        let mut seen: BTreeMap<&'static str, (&str, u64)> = BTreeMap::new();
        for finding in findings {
            let (code, text) = match (finding.code.as_deref(), finding.text.as_deref()) {
                (Some(code), Some(text)) => match known_code(code) {
                    Some(known) => (known, text),
                    None => (UNKNOWN, code),
                },
                _ => (MALFORMED, "a finding without code and text"),
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

/// The rule of findings that are no list of codes and texts.
const MALFORMED: &str = "findings-malformed";
/// The rule of findings of unknown codes.
const UNKNOWN: &str = "finding-unknown";

/// A code that a miner's machine can report. Those of the policy's own
/// rules are not its to give.
fn known_code(code: &str) -> Option<&'static str> {
    crate::evidence::Code::ALL.iter().map(|known| known.name()).find(|&known| known == code)
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
