//! A verdict as text, for people.
//!
//! Guarantees: the first line says what was shown and, if no policy was applied, what
//! was not judged; every fact and reason has its grade or weight before it.
//! Deliberately lacks: colours and wrapping.

use super::{Grade, Outcome, REJECTED_BY_POLICY, Verdict, Weight, Work};
use std::fmt::Write;

/// What the first line of a verified result says if no policy was applied.
const NOT_JUDGED: &str = "no policy: time and devices were not judged";

impl Verdict {
    /// The verdict for people, a few lines.
    pub fn render_text(&self) -> String {
        let not_judged = match self.policy {
            None => format!(" ({NOT_JUDGED})"),
            Some(_) => String::new(),
        };
        let mut text = match (self.outcome, self.work) {
            (Outcome::Verified, Work::Proven) => {
                format!("VERIFIED: the work is proven{not_judged}\n")
            }
            (Outcome::Verified, Work::NotProven) => format!(
                "VERIFIED, BUT WORK NOT PROVEN: every check passed, yet they are too few to show anything{not_judged}\n"
            ),
            (Outcome::Rejected, work) if self.code == Some(REJECTED_BY_POLICY) => {
                let work = match work {
                    Work::Proven => "every check passed, the work is proven",
                    Work::NotProven => "every check passed, the work is not proven",
                };
                format!("REJECTED BY POLICY: {work}\n")
            }
            (Outcome::Rejected, _) => {
                let place = match self.step {
                    Some(step) => format!("step {step}"),
                    None => "session".to_owned(),
                };
                format!("REJECTED: {} ({place})\n", self.code.unwrap_or_default())
            }
            (Outcome::CouldNotRun, _) => "COULD NOT RUN: no verdict on the result\n".to_owned(),
        };
        let mut line = |name: &str, value: &str| {
            for (at, part) in value.lines().enumerate() {
                let name = if at == 0 { name } else { "" };
                // Writing to a String cannot fail.
                let _ = writeln!(text, "  {name:<12} {part}");
            }
        };
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
                let weight = match reason.weight {
                    Weight::Reject => "rejects",
                    Weight::Warn => "warns",
                };
                line(weight, &format!("{}: {}", reason.code, reason.text));
            }
        }
        for fact in &self.facts {
            let grade = match fact.grade {
                Grade::Proven => "proven",
                Grade::Measured => "measured",
                Grade::Claimed => "claimed",
            };
            line(grade, &fact.text);
        }
        for what in &self.not_checked {
            line("not checked", what);
        }
        text
    }
}
