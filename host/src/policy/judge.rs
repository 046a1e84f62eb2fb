//! A policy's word on a verified result, alone or as a round of a session, and on the session:
//! its rules, for the whole and lane by lane, then what cannot be true of the lanes, and what
//! the miner and the ledger report.
//!
//! Guarantees: every demand that is broken and every finding that is not ignored
//! is named, findings once per code with their number; the work is bounded by
//! the evidence's size.
//! Deliberately lacks: belief. What a lane claims can speak against it and never
//! for it.

use super::codes::Action;
use super::rule::{Rule, Standing};
use super::rules::{Case, SessionCase};
use super::{Facts, Judgement, Policy, RULES, Reason, RoundFacts, SessionFacts, Weight};
use crate::appraisal::plausible;
use crate::protocol::evidence::document::ClaimedFindings;
use crate::protocol::json::printable;
use std::collections::BTreeMap;
use std::time::Duration;

impl Policy {
    /// Everything that this policy holds against a result that verified and is all that is
    /// known: what it does not show, nothing does.
    pub fn judge(&self, facts: &Facts<'_>) -> Judgement {
        let round = [RoundFacts::of(facts)];
        let session = SessionFacts { rounds: &round, ..SessionFacts::default() };
        self.judged(Some(facts), Some(&session))
    }

    /// What this policy holds against a round of a session, by itself; the session is
    /// judged at its end.
    pub fn judge_round(&self, facts: &Facts<'_>) -> Judgement {
        self.judged(Some(facts), None)
    }

    /// What this policy holds against a session as a whole, beside its rounds: a demand is
    /// met if one of them shows it.
    pub fn judge_session(&self, session: &SessionFacts<'_>) -> Judgement {
        self.judged(None, Some(session))
    }

    pub(super) fn judged(
        &self,
        facts: Option<&Facts<'_>>,
        session: Option<&SessionFacts<'_>>,
    ) -> Judgement {
        let mut judge = Judge { policy: self, reasons: Vec::new() };
        let case = facts.map(|facts| Case { policy: self, facts });
        let session = session.map(|session| SessionCase { policy: self, session });
        for rule in RULES {
            let of_result = case.iter().flat_map(|case| (rule.result)(case));
            let of_session = session.iter().flat_map(|case| (rule.session)(case));
            for text in of_result.chain(of_session) {
                judge.give(rule, text);
            }
        }
        for lane in case.iter().flat_map(|case| case.lanes()) {
            for rule in RULES {
                for text in (rule.lane)(&lane) {
                    judge.give(rule, format!("lane {}: {text}", lane.g));
                }
            }
        }
        if let Some(facts) = facts {
            judge.claims(facts);
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

    /// What cannot be true of the lanes, and what the miner and the ledger report.
    fn claims(&mut self, facts: &Facts<'_>) {
        for lane in plausible::judge(facts.challenge, facts.evidence) {
            for violation in lane.violations {
                self.finding(violation.code, &violation.text);
            }
        }
        self.reported_findings(facts);
        for finding in facts.history {
            self.finding(finding.code.name(), &finding.text);
        }
    }

    /// Findings of the miner's own machine: one reason a code, however many.
    fn reported_findings(&mut self, facts: &Facts<'_>) {
        let findings = match facts.evidence.claims().findings() {
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
