//! A session's verdict as text, for people.
//!
//! Guarantees: the first lines say how it ended and what its rounds showed together; what
//! rounds have in common is said once, anything else with its round.
//! Deliberately lacks: what single rounds show of models, which the first lines have of all.

use super::text::{Lines, TOO_FEW, grade, other_table, weight};
use super::{Outcome, REJECTED_BY_POLICY, RoundVerdict, SessionVerdict, Work, headline};
use std::collections::BTreeSet;

impl SessionVerdict {
    /// The verdict for people; of one round as of several.
    pub fn render_text(&self) -> String {
        let shown: Vec<String> = match (self.outcome, self.code) {
            (Outcome::Verified, _) | (_, Some(REJECTED_BY_POLICY)) => self
                .shown
                .iter()
                .flat_map(|shown| headline(shown, self.models.as_ref(), self.price.as_ref()))
                .collect(),
            _ => Vec::new(),
        };
        let is_proven = self.rounds.iter().all(|round| round.verdict.work == Work::Proven);
        let first = match (self.outcome, self.code) {
            (Outcome::Verified, _) if is_proven => "VERIFIED".to_owned(),
            (Outcome::Verified, _) => {
                format!("VERIFIED, BUT WORK NOT PROVEN: {TOO_FEW}")
            }
            (Outcome::Rejected, Some(REJECTED_BY_POLICY)) => "REJECTED BY POLICY".to_owned(),
            (Outcome::Rejected, code) => {
                let failed = self.rounds.iter().find(|round| {
                    round.verdict.outcome != Outcome::Verified && round.verdict.code == code
                });
                let round = failed.filter(|_| self.rounds.len() + self.not_reached.len() > 1);
                let round = round.map(|of| format!("round {}, {}", of.round, of.name()));
                let step = failed.and_then(|of| of.verdict.step.map(|step| format!("step {step}")));
                let place: Vec<String> = round.into_iter().chain(step).collect();
                let place = if place.is_empty() { "session".to_owned() } else { place.join(", ") };
                format!("REJECTED: {} ({place})", code.unwrap_or_default())
            }
            (Outcome::CouldNotRun, _) => "COULD NOT RUN: no verdict on the session".to_owned(),
        };
        let mut lines = Lines::start(&first, &shown);
        if let Some(detail) = &self.detail {
            lines.line("why", detail);
        }
        self.judgements(&mut lines);
        let each = |verdict: &RoundVerdict| -> Vec<(&'static str, String)> {
            let facts = verdict.verdict.facts.iter().filter(|fact| fact.subject != "models");
            let facts = facts.map(|fact| (grade(fact.grade), fact.text.clone()));
            let absent = verdict.verdict.not_checked.iter();
            facts.chain(absent.map(|text| ("not checked", text.clone()))).collect()
        };
        if let Some(table) = &self.model_table {
            lines.line("models", &other_table(table));
        }
        if let Some(network) = &self.network {
            lines.line("measured", &format!("{}, beside the rounds", network.in_words()));
        }
        for name in ["proven", "measured", "claimed", "not checked"] {
            self.of_rounds_lines(&mut lines, name, each);
        }
        for left in &self.not_reached {
            lines.line("not reached", &format!("round {} ({})", left.round, left.kind));
        }
        lines.text
    }

    fn judgements(&self, lines: &mut Lines) {
        let of_round = self.rounds.iter().find_map(|round| round.verdict.policy.as_ref());
        let Some(policy) = self.policy.as_ref().or(of_round) else {
            if self.outcome == Outcome::Verified {
                lines.line("policy", "none: time and devices were not judged");
            }
            return;
        };
        let all = self.rounds.iter().filter_map(|round| round.verdict.policy.as_ref());
        let said = match all.chain(&self.policy).all(|judgement| judgement.reasons.is_empty()) {
            true => "nothing against it",
            false => "",
        };
        lines.line("policy", format!("{} ({}) {said}", policy.policy, policy.policy_digest).trim());
        for reason in self.policy.iter().flat_map(|policy| &policy.reasons) {
            lines.line(weight(reason.weight), &format!("{}: {}", reason.code, reason.text));
        }
        let each = |round: &RoundVerdict| {
            let reasons = round.verdict.policy.iter().flat_map(|policy| &policy.reasons);
            reasons
                .map(|reason| (weight(reason.weight), format!("{}: {}", reason.code, reason.text)))
                .collect()
        };
        for name in ["rejects", "warns"] {
            self.of_rounds_lines(lines, name, each);
        }
    }

    /// The lines of this name of all rounds; one that all have, once.
    fn of_rounds_lines(
        &self,
        lines: &mut Lines,
        name: &str,
        each: impl Fn(&RoundVerdict) -> Vec<(&'static str, String)>,
    ) {
        let all: Vec<Vec<(&'static str, String)>> = self.rounds.iter().map(each).collect();
        let mut told: BTreeSet<&str> = BTreeSet::new();
        for (round, said) in self.rounds.iter().zip(&all) {
            for entry in said.iter().filter(|(of, _)| *of == name) {
                let text = entry.1.as_str();
                match all.iter().all(|other| other.contains(entry)) {
                    true if told.insert(text) => lines.line(name, text),
                    true => {}
                    false => {
                        let round = format!("round {} ({})", round.round, round.name());
                        lines.line(name, &format!("{round}: {text}"));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Fact, Grade, HOST, RoundNotReached, Shown, Verdict};
    use super::*;
    use crate::digest::Digest;
    use crate::judgement::{Judgement, Reason, Weight};

    fn round(round: usize, kind: &'static str, shown: Shown, work: &str) -> RoundVerdict {
        let fact = |grade, text: &str| Fact { grade, subject: "work", text: text.to_owned() };
        let verdict = Verdict {
            facts: vec![
                fact(Grade::Proven, work),
                Fact { subject: "models", ..fact(Grade::Measured, "one device a lane") },
                fact(Grade::Claimed, "lane 0: an H200"),
            ],
            shown: Some(shown),
            work: Work::Proven,
            not_checked: vec!["the weather".to_owned()],
            ..Verdict::empty(Outcome::Verified)
        };
        let reasons = vec![Reason::new("not-bound-to-miner", Weight::Warn, "no key")];
        let verdict = verdict.judged(Judgement::new("p", Digest([1; 32]), reasons));
        RoundVerdict { round, kind, on: None, beside: None, verdict }
    }

    fn rounds() -> Vec<RoundVerdict> {
        let lane = Shown { lanes: 1, ..Shown::default() };
        vec![
            round(0, "fp64", Shown { fp64_flops: Some(53_100_000_000_000), ..lane }, "products"),
            round(1, "memory", Shown { held_bytes: Some(1 << 37), ..lane }, "sweeps"),
        ]
    }

    /// A buyer is told of the GPUs what they showed, and of the CPUs what they did.
    #[test]
    fn what_the_host_shows_is_not_the_devices() {
        let lane = Shown { lanes: 1, ..Shown::default() };
        let host = Shown { fp64_flops: Some(900_000_000_000), ..lane };
        let host = RoundVerdict { on: Some(HOST), ..round(2, "fp64", host, "on CPUs") };
        let verdict = SessionVerdict::of_rounds([rounds(), vec![host]].concat(), Vec::new());
        let alone = SessionVerdict::of_rounds(rounds(), Vec::new());
        assert_eq!(verdict.shown, alone.shown);
        assert!(verdict.render_text().contains("round 2 (fp64, host): on CPUs"));
    }

    #[test]
    fn common_lines_are_said_once_and_others_with_their_round() {
        let verdict = SessionVerdict::of_rounds(rounds(), Vec::new());
        let judged = |reasons| {
            let judgement = Judgement::new("p", Digest([1; 32]), reasons);
            verdict.clone().judged(judgement).render_text()
        };
        let digest = Digest([1; 32]);
        let rest = format!(
            "  policy       p ({digest})
  warns        not-bound-to-miner: no key
  proven       round 0 (fp64): products
  proven       round 1 (memory): sweeps
  claimed      lane 0: an H200
  not checked  the weather
"
        );
        let shown = "lane 0: 53.1 TFLOP/s FP64, at least 128 GiB\n";
        assert_eq!(judged(Vec::new()), format!("VERIFIED  {shown}{rest}"));
        let cheap = Reason::new("fake-discount", Weight::Reject, "cheap");
        let text = judged(vec![cheap]);
        assert!(text.starts_with(&format!("REJECTED BY POLICY  {shown}  why ")), "{text}");
        assert!(text.contains("\n  rejects      fake-discount: cheap\n"), "{text}");
    }

    #[test]
    fn one_round_is_said_as_several_are() {
        let lane = Shown { lanes: 1, fp64_flops: Some(53_100_000_000_000), ..Shown::default() };
        let of = |change: &dyn Fn(&mut Verdict)| {
            let mut only = round(0, "fp64", lane, "products");
            change(&mut only.verdict);
            SessionVerdict::of_rounds(vec![only], Vec::new()).render_text()
        };
        let judged = of(&|_| ());
        assert!(judged.starts_with("VERIFIED  lane 0: 53.1 TFLOP/s FP64\n"), "{judged}");
        assert!(judged.contains("  proven       products\n"), "{judged}");
        let unjudged = of(&|verdict| verdict.policy = None);
        assert!(unjudged.contains("  policy       none: time and devices were"), "{unjudged}");
        let too_few = of(&|verdict| (verdict.work, verdict.shown) = (Work::NotProven, None));
        assert!(too_few.starts_with("VERIFIED, BUT WORK NOT PROVEN: every"), "{too_few}");
        let rejected = of(&|verdict| {
            let (code, step) = (Some("leaf-mismatch"), Some(7));
            *verdict = Verdict { code, step, ..Verdict::empty(Outcome::Rejected) };
        });
        assert!(rejected.starts_with("REJECTED: leaf-mismatch (step 7)\n"), "{rejected}");
    }

    #[test]
    fn a_failed_round_is_named_and_nothing_is_said_to_be_shown() {
        let mut rounds = rounds();
        rounds[1].verdict = Verdict {
            code: Some("leaf-mismatch"),
            step: Some(7),
            ..Verdict::empty(Outcome::Rejected)
        };
        let not_reached = vec![RoundNotReached { round: 2, kind: "links" }];
        let text = SessionVerdict::of_rounds(rounds, not_reached).render_text();
        assert!(text.starts_with("REJECTED: leaf-mismatch (round 1, memory, step 7)\n"), "{text}");
        assert!(text.contains("  proven       round 0 (fp64): products\n"), "{text}");
        assert!(text.ends_with("  not reached  round 2 (links)\n"), "{text}");
    }
}
