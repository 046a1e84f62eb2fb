//! A verdict as text, for people.
//!
//! Guarantees: the first line says what was shown and, if no policy was applied, what
//! was not judged; every fact and reason has its grade or weight before it.
//! Deliberately lacks: colours and wrapping.

use super::{Grade, Outcome, REJECTED_BY_POLICY, Verdict, Weight, Work};
use crate::digest::Digest;
use std::fmt::Write;

/// What the first line of a verified result says if no policy was applied.
const NOT_JUDGED: &str = "no policy: time and devices were not judged";

/// How the first line calls work that is not proven.
pub(super) const TOO_FEW: &str = "every check passed, yet they are too few to show anything";

impl Verdict {
    /// The verdict for people, a few lines.
    pub fn render_text(&self) -> String {
        let not_judged = match self.policy {
            None => format!(" ({NOT_JUDGED})"),
            Some(_) => String::new(),
        };
        let first = match (self.outcome, self.work) {
            (Outcome::Verified, Work::Proven) => {
                format!("VERIFIED: the work is proven{not_judged}")
            }
            (Outcome::Verified, Work::NotProven) => {
                format!("VERIFIED, BUT WORK NOT PROVEN: {TOO_FEW}{not_judged}")
            }
            (Outcome::Rejected, work) if self.code == Some(REJECTED_BY_POLICY) => {
                let work = match work {
                    Work::Proven => "every check passed, the work is proven",
                    Work::NotProven => "every check passed, the work is not proven",
                };
                format!("REJECTED BY POLICY: {work}")
            }
            (Outcome::Rejected, _) => {
                let place = match self.step {
                    Some(step) => format!("step {step}"),
                    None => "session".to_owned(),
                };
                format!("REJECTED: {} ({place})", self.code.unwrap_or_default())
            }
            (Outcome::CouldNotRun, _) => "COULD NOT RUN: no verdict on the result".to_owned(),
        };
        let mut lines = Lines::start(&first, &[]);
        let mut line = |name: &str, value: &str| lines.line(name, value);
        if let Some(detail) = &self.detail {
            line("why", detail);
        }
        if let Some(commitment) = &self.commitment {
            line("result", &commitment.to_string());
        }
        if let Some(policy) = &self.policy {
            let said = match policy.reasons.len() {
                0 => "nothing against it".to_owned(),
                _ => String::new(),
            };
            line("policy", format!("{} ({}) {said}", policy.policy, policy.policy_digest).trim());
            for reason in &policy.reasons {
                line(weight(reason.weight), &format!("{}: {}", reason.code, reason.text));
            }
        }
        if let Some(table) = &self.model_table {
            line("models", &other_table(table));
        }
        for fact in &self.facts {
            line(grade(fact.grade), &fact.text);
        }
        for what in &self.not_checked {
            line("not checked", what);
        }
        lines.text
    }
}

/// That a verdict is by another table of models than the program's own.
pub(super) fn other_table(digest: &Digest) -> String {
    format!("judged by another table than attest's own: {digest}")
}

/// Text in the making.
pub(super) struct Lines {
    pub(super) text: String,
}

impl Lines {
    /// The first line, with what is said beside it; more of that stands below its start.
    pub(super) fn start(first: &str, beside: &[String]) -> Self {
        let indent = " ".repeat(first.chars().count() + 2);
        let beside = beside.join(&format!("\n{indent}"));
        let gap = if beside.is_empty() { "" } else { "  " };
        Self { text: format!("{first}{gap}{beside}\n") }
    }

    pub(super) fn line(&mut self, name: &str, value: &str) {
        for (at, part) in value.lines().enumerate() {
            let name = if at == 0 { name } else { "" };
            // Writing to a String cannot fail.
            let _ = writeln!(self.text, "  {name:<12} {part}");
        }
    }
}

pub(super) fn weight(weight: Weight) -> &'static str {
    match weight {
        Weight::Reject => "rejects",
        Weight::Warn => "warns",
    }
}

pub(super) fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Proven => "proven",
        Grade::Measured => "measured",
        Grade::SignedByDevice | Grade::SignedByMachine => "signed",
        Grade::Claimed => "claimed",
    }
}
