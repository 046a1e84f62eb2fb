//! A verdict or a session's verdict, read from its JSON.
//!
//! Guarantees: bounded while it is read; what is unknown is passed over, so that reports of
//! later versions can be read; it is known to be about the results that it is shown with
//! ([`Told::fits`]).
//! Deliberately lacks: trust. A verdict is as good as where it is from.

use crate::protocol::challenge::Challenge;
use crate::protocol::digest::Digest;
use crate::protocol::json::read_value_of;
use crate::protocol::names::Commitment;
use crate::protocol::result::ResultDoc;
use crate::protocol::verdict::{Outcome, Shown};
use serde::Deserialize;
use serde_json::Value;

/// Longest verdict, bytes; a session of many lanes has a fraction of it.
pub const VERDICT_BYTES_MAX: u64 = 4 << 20;
/// Most JSON values of one.
const VALUES_MAX: usize = 200_000;

/// A verdict to show.
#[derive(Clone, Debug)]
pub struct Told {
    json: String,
    pub(super) whole: Whole,
}

/// Why a document is no verdict to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTold {
    /// No verdict of `verify --json` or `validate --json`.
    #[error(
        "this is no verdict: {cause}\nGive what `attest verify --json` or one line of what `attest validate --json` prints."
    )]
    Form {
        /// What is wrong.
        cause: String,
    },
    /// The verdict is about another result.
    #[error(
        "the verdict has no round with challenge {challenge} and commitment {commitment}\nGive the results that it is about."
    )]
    OtherResult {
        /// Digest of the result's challenge.
        challenge: Digest,
        /// The result's.
        commitment: Commitment,
    },
}

/// What is said of all rounds together, and of each.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Whole {
    #[serde(with = "OutcomeName")]
    pub(super) outcome: Outcome,
    pub(super) code: Option<String>,
    pub(super) detail: Option<String>,
    #[serde(default)]
    pub(super) rounds: Vec<OfRound>,
    #[serde(default)]
    pub(super) not_reached: Vec<NotReached>,
    pub(super) shown: Option<Shown>,
    pub(super) models: Option<Models>,
    pub(super) price: Option<Price>,
    pub(super) network: Option<Network>,
    pub(super) policy: Option<Policy>,
    /// Of a session that was held just now: who answered.
    pub(super) address: Option<String>,
}

/// [`Outcome`] as JSON has it.
#[derive(Deserialize)]
#[serde(remote = "Outcome", rename_all = "kebab-case")]
enum OutcomeName {
    Verified,
    Rejected,
    CouldNotRun,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct OfRound {
    #[serde(default)]
    pub(super) round: usize,
    #[serde(default)]
    pub(super) kind: String,
    pub(super) on: Option<String>,
    /// The token, in the verdict of a session that was held just now.
    pub(super) challenge: Option<String>,
    pub(super) verdict: One,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct NotReached {
    pub(super) round: usize,
    pub(super) kind: String,
}

/// Of one result.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct One {
    #[serde(with = "OutcomeName")]
    pub(super) outcome: Outcome,
    #[serde(default)]
    pub(super) work: String,
    pub(super) step: Option<u8>,
    pub(super) challenge_digest: Option<Digest>,
    pub(super) commitment: Option<Digest>,
    pub(super) bound: Option<Bound>,
    pub(super) shown: Option<Shown>,
    pub(super) models: Option<Models>,
    pub(super) openings: Option<u64>,
    pub(super) elapsed_ns: Option<u64>,
    #[serde(default)]
    pub(super) facts: Vec<Fact>,
    #[serde(default)]
    pub(super) not_checked: Vec<String>,
    pub(super) policy: Option<Policy>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Bound {
    pub(super) kind: String,
    pub(super) omitted_share: Option<f64>,
    pub(super) log10_escape: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Fact {
    pub(super) grade: Grade,
    #[serde(default)]
    pub(super) subject: String,
    pub(super) text: String,
}

/// How well founded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Grade {
    Proven,
    Measured,
    SignedByDevice,
    SignedByMachine,
    /// And every grade that is not known here: no more than somebody's word.
    #[serde(other)]
    Claimed,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Models {
    #[serde(default)]
    pub(super) excluded: Vec<Excluded>,
    #[serde(default)]
    pub(super) possible: Vec<String>,
    #[serde(default)]
    pub(super) equivalents: Vec<Equivalent>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Excluded {
    pub(super) model: String,
    #[serde(default)]
    pub(super) by: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Equivalent {
    pub(super) model: String,
    pub(super) count: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Price {
    pub(super) currency: String,
    pub(super) claimed_per_hour: f64,
    pub(super) cheapest_per_hour: f64,
    #[serde(default)]
    pub(super) cheapest: Vec<Equivalent>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Network {
    #[serde(flatten)]
    pub(super) figures: serde_json::Map<String, Value>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Policy {
    pub(super) policy: String,
    #[serde(default)]
    pub(super) reasons: Vec<Reason>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Reason {
    pub(super) code: String,
    pub(super) text: String,
    #[serde(default)]
    pub(super) weight: String,
}

impl Told {
    /// Reads one verdict, of a result or of a session.
    ///
    /// # Errors
    /// [`NotTold::Form`].
    pub fn read(json: &str) -> Result<Self, NotTold> {
        let form = |cause: &dyn std::fmt::Display| NotTold::Form {
            cause: crate::protocol::json::printable(&cause),
        };
        if json.len() as u64 > VERDICT_BYTES_MAX {
            return Err(form(&format!("it has more than {VERDICT_BYTES_MAX} bytes")));
        }
        let value = read_value_of(json.as_bytes(), VALUES_MAX).map_err(|error| form(&error))?;
        let whole = Self::whole(&value).map_err(|error| form(&error))?;
        Ok(Self { json: value.to_string(), whole })
    }

    /// Verdicts on results that belong to no session: all together are as good as the
    /// worst.
    ///
    /// # Errors
    /// [`NotTold::Form`].
    pub fn of_all(verdicts: &[(&str, Value)]) -> Result<Self, NotTold> {
        if let [(_, one)] = verdicts {
            return Self::read(&one.to_string());
        }
        let worst = ["could-not-run", "rejected"]
            .into_iter()
            .find_map(|bad| verdicts.iter().find(|(_, verdict)| verdict["outcome"] == bad));
        let mut whole = serde_json::json!({
            "outcome": worst.map_or("verified".into(), |(_, verdict)| verdict["outcome"].clone()),
            "rounds": verdicts.iter().enumerate().map(|(round, (kind, verdict))| {
                serde_json::json!({ "round": round, "kind": kind, "verdict": verdict })
            }).collect::<Vec<_>>(),
        });
        for field in ["code", "detail"] {
            if let Some(said) = worst.and_then(|(_, verdict)| verdict.get(field)) {
                whole[field] = said.clone();
            }
        }
        Self::read(&whole.to_string())
    }

    /// One result's verdict becomes the only round of a session.
    fn whole(value: &Value) -> Result<Whole, serde_json::Error> {
        let mut whole = Whole::deserialize(value)?;
        if value.get("rounds").is_none() {
            let verdict = One::deserialize(value)?;
            let (round, kind, on, challenge) = (0, String::new(), None, None);
            whole.rounds.push(OfRound { round, kind, on, challenge, verdict });
            // It stands in the round.
            whole.policy = None;
        }
        for OfRound { verdict, .. } in &mut whole.rounds {
            verdict.facts.sort_by_key(|fact| fact.grade);
        }
        Ok(whole)
    }

    /// How it ended.
    pub fn outcome(&self) -> Outcome {
        self.whole.outcome
    }

    /// The verdict as JSON, without white space.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The tokens of the rounds that have theirs in the verdict, with the rounds' numbers.
    pub fn tokens(&self) -> impl Iterator<Item = (usize, &str)> {
        self.whole.rounds.iter().filter_map(|of| Some((of.round, of.challenge.as_deref()?)))
    }

    /// Whether this verdict is about `result`: the number of its round.
    ///
    /// # Errors
    /// [`NotTold::OtherResult`].
    pub fn fits(&self, challenge: &Challenge, result: &ResultDoc) -> Result<usize, NotTold> {
        let (challenge, commitment) = (challenge.digest(), result.commitment);
        let mut rounds = self.whole.rounds.iter();
        let is_it = |verdict: &One, token: Option<&str>| match verdict.challenge_digest {
            Some(digest) => digest == challenge && verdict.commitment == Some(Digest(commitment.0)),
            // A rejection names neither; then the token must be the same.
            None => token
                .and_then(|token| Challenge::from_token(token).ok())
                .is_none_or(|challenged| challenged.digest() == challenge),
        };
        rounds
            .find(|of| is_it(&of.verdict, of.challenge.as_deref()))
            .map(|of| of.round)
            .ok_or(NotTold::OtherResult { challenge, commitment })
    }

    /// What is said of round `number`.
    pub(super) fn round(&self, number: usize) -> Option<&OfRound> {
        self.whole.rounds.iter().find(|of| of.round == number)
    }

    /// What it shows of models: of the session, or of its only round.
    pub(super) fn models(&self) -> Option<&Models> {
        let mut rounds = self.whole.rounds.iter();
        self.whole.models.as_ref().or_else(|| rounds.find_map(|of| of.verdict.models.as_ref()))
    }

    /// What the miner claims of its lanes, a text for each.
    pub(crate) fn claims_of_lanes(&self) -> impl Iterator<Item = &str> {
        let facts = self.whole.rounds.iter().flat_map(|of| &of.verdict.facts);
        let of_lane = |fact: &&Fact| fact.grade == Grade::Claimed && fact.subject == "lane";
        facts.filter(of_lane).map(|fact| fact.text.as_str())
    }

    /// Why it is rejected, for people.
    pub(crate) fn detail(&self) -> Option<&str> {
        self.whole.detail.as_deref()
    }

    /// What it shows of each lane: of the session, or of its only round.
    pub(crate) fn shown(&self) -> Option<Shown> {
        self.whole.shown.or_else(|| self.whole.rounds.iter().find_map(|of| of.verdict.shown))
    }
}

impl Grade {
    /// The best founded first.
    pub(super) const ALL: [Self; 5] =
        [Self::Proven, Self::Measured, Self::SignedByDevice, Self::SignedByMachine, Self::Claimed];
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_verdict_of_one_result_is_a_session_of_one_round() {
        let verdict = json!({
            "schema": 3, "outcome": "rejected", "work": "proven", "code": "rejected-by-policy",
            "facts": [
                { "grade": "claimed", "subject": "lane", "text": "a" },
                { "grade": "vouched-for", "subject": "lane", "text": "b" },
                { "grade": "proven", "subject": "work", "text": "c" },
            ],
            "not_checked": [], "later": { "field": 1 },
            "policy": { "policy": "p", "policy_digest": "0", "reasons": [
                { "code": "too-slow", "text": "t", "weight": "reject" }] },
        });
        let told = Told::read(&verdict.to_string()).unwrap();
        let [round] = &told.whole.rounds[..] else { panic!("one round") };
        assert_eq!(
            (told.whole.outcome, round.verdict.outcome),
            (Outcome::Rejected, Outcome::Rejected)
        );
        let grades: Vec<_> = round.verdict.facts.iter().map(|fact| fact.grade).collect();
        assert_eq!(
            grades,
            [Grade::Proven, Grade::Claimed, Grade::Claimed],
            "an unknown one is claimed"
        );
        assert!(told.whole.policy.is_none() && round.verdict.policy.is_some());
    }

    #[test]
    fn what_is_no_verdict_is_refused() {
        for text in ["", "1", "{}", "{\"outcome\":\"fine\"}", "{\"outcome\":\"verified\"}{}", "[]"]
        {
            assert!(matches!(Told::read(text), Err(NotTold::Form { .. })), "{text}");
        }
        let long = format!("{{\"outcome\":\"{}\"}}", "x".repeat(VERDICT_BYTES_MAX as usize));
        let deep = "[".repeat(100_000);
        let many = format!("{{\"outcome\":\"verified\",\"x\":[{}0]}}", "0,".repeat(VALUES_MAX));
        for text in [long, deep, many] {
            assert!(matches!(Told::read(&text), Err(NotTold::Form { .. })));
        }
    }

    #[test]
    fn several_results_are_as_good_as_the_worst() {
        let of = |outcome: &str| json!({ "outcome": outcome, "code": format!("of-{outcome}") });
        let outcome = |outcomes: &[&str]| {
            let all: Vec<_> = outcomes.iter().map(|outcome| ("fp64", of(outcome))).collect();
            let told = Told::of_all(&all).unwrap();
            assert_eq!(told.whole.rounds.len(), outcomes.len());
            (told.whole.outcome, told.whole.code)
        };
        assert_eq!(outcome(&["verified", "verified"]), (Outcome::Verified, None));
        assert_eq!(
            outcome(&["verified", "rejected", "verified"]),
            (Outcome::Rejected, Some("of-rejected".to_owned()))
        );
        assert_eq!(outcome(&["rejected", "could-not-run"]).0, Outcome::CouldNotRun);
    }
}
