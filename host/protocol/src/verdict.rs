//! Verdicts: what a verification has shown, graded, for people and machines.
//!
//! Guarantees: "proven" is said only of what the checks and the bound carry;
//! device names and counters are "claimed", and so are durations outside a live
//! session; numbers are rounded to the weaker side; what was not checked is
//! listed; a policy can turn a verified result into a rejected one and never the
//! other way.
//! Deliberately lacks: policy of its own. [`Verdict::judged`] takes a
//! [`Judgement`]; whether a verdict earns anything is the caller's business.

use super::bound::{Bound, Grinding};
use super::digest::Digest;
use super::evidence::EvidenceExecutor;
use super::json::printable;
use super::judgement::{Judgement, Weight};
use super::names::Commitment;
use super::quantity::{at_least, duration};
use super::reported;
use super::time;
use super::verified::{CoinStanding, Verified};
use super::verify::Failure;
use super::work::Unit;
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

mod assumptions;
mod devices;
mod headline;
mod integer;
mod machine;
mod memory;
mod models;
mod network;
mod not_checked;
mod price;
mod session;
mod session_text;
mod shown;
mod text;

pub use assumptions::Assumptions;
pub use devices::{LaneDevice, Measurements, Revocation, SignedDevice};
pub use headline::{headline, short_name};
pub use integer::IntegerShown;
pub use machine::{QuotedMachine, SignedMachine};
pub use memory::MemoryShown;
pub use models::{Equivalent, ExcludedBy, ExcludedModel, ModelsShown};
pub use network::NetworkShown;
pub use price::PriceShown;
pub use session::{HOST, RoundNotReached, RoundVerdict, SESSION_SCHEMA, SessionVerdict};
pub use shown::{LiveRun, Shown};

/// Version of the JSON form of a [`Verdict`]. 2: a policy's part, rejections
/// without a step, and `work` that can be proven in a rejected result. 3: `cost` in
/// place of `multiply_adds`, `memory` and `models`.
pub const VERDICT_SCHEMA: u32 = 3;

/// The `code` of a result that verified and that a policy rejected; the policy's
/// reasons have codes of their own.
pub const REJECTED_BY_POLICY: &str = "rejected-by-policy";

/// The `code` of a live session that is over by all that its validator has on record,
/// and has no verdict there.
pub const SESSION_UNSETTLED: &str = "session-unsettled";

/// What facts are about: every `subject`.
pub const SUBJECTS: [&str; 16] = [
    "work",
    "session",
    "signature",
    "miner",
    "limit",
    "elapsed",
    "rate",
    "floor",
    "memory",
    "links",
    "models",
    "device",
    "machine",
    "lane",
    "finding",
    "history",
];

/// How a verification ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every check passed.
    Verified,
    /// A check failed, or the validator's policy rejects what passed.
    Rejected,
    /// The verifier failed: nothing is known about the result.
    CouldNotRun,
}

/// What the checks showed about the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// The bound is below 1 for the share asked about.
    Proven,
    /// It isn't, or the result did not verify.
    NotProven,
}

/// How well a fact is founded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// Follows from what was recomputed or from a signature.
    Proven,
    /// By the validator's own clock or record.
    Measured,
    /// A device signed it, with a key that its maker certified for its die.
    SignedByDevice,
    /// The processor of the miner's virtual machine signed it, with a key that its maker
    /// certified.
    SignedByMachine,
    /// The miner says so.
    Claimed,
}

/// One graded statement.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Fact {
    /// How well founded.
    pub grade: Grade,
    /// A stable name of what it is about.
    pub subject: &'static str,
    /// In words.
    pub text: String,
}

/// How much work a run was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RunCost {
    /// All lanes and iterations, in decimal: can exceed 2⁵³.
    pub amount: String,
    /// Of what.
    pub unit: Unit,
}

/// The verdict on one result.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Verdict {
    /// [`VERDICT_SCHEMA`].
    pub schema: u32,
    /// How the verification ended.
    pub outcome: Outcome,
    /// Whether the work is proven.
    pub work: Work,
    /// The stable name of the reason for a rejection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// The step that rejected, 1 … 7; none if a policy did, or a session ended
    /// without a result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u8>,
    /// What was expected and found, or why it could not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Digest of the challenge (c).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge_digest: Option<Digest>,
    /// What identifies the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commitment: Option<Commitment>,
    /// How likely omitted work escaped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
    /// How much work the whole run was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<RunCost>,
    /// What was shown of memory and links; absent if another kind of work was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryShown>,
    /// What was shown of int8 products; absent if another kind of work was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integer: Option<IntegerShown>,
    /// What a live session shows of each lane; absent outside of one, and if the work is not
    /// proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<Shown>,
    /// What a live session shows of device models, by the validator's table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<ModelsShown>,
    /// What the devices signed, of each lane that handed in a report.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<LaneDevice>,
    /// What the machine's processor signed, if it handed in a quote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<QuotedMachine>,
    /// The digest of the validator's table of models, if it is not the program's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_table: Option<Digest>,
    /// Distinct leaves recomputed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub openings: Option<u64>,
    /// From sending the challenge to holding the commitment (the result, if there was
    /// no session), by the validator's clock, ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_ns: Option<u64>,
    /// The round trip to the miner that the policy's limit was raised by, ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_ns: Option<u64>,
    /// Graded, the best founded first.
    pub facts: Vec<Fact>,
    /// Checks that the circumstances did not allow.
    pub not_checked: Vec<String>,
    /// What the validator's policy said, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Judgement>,
}

impl Verdict {
    /// The verdict on how a verification ended; `share` is the validator's f.
    pub fn of(end: &Result<Verified, Failure>, assumptions: impl Into<Assumptions>) -> Self {
        match end {
            Ok(verified) => Self::of_verified(verified, &assumptions.into()),
            Err(Failure::Rejected(rejection)) => Self {
                code: Some(rejection.code()),
                step: Some(rejection.step()),
                detail: Some(format!("{}\n{}", rejection.detail, rejection.reason.advice())),
                ..Self::empty(Outcome::Rejected)
            },
            Err(Failure::CouldNotRun(error)) => {
                Self { detail: Some(error.to_string()), ..Self::empty(Outcome::CouldNotRun) }
            }
        }
    }

    /// The rejection of a live session that brought no complete result, or of a
    /// miner that cannot be reached: `code` is stable, and no step found it.
    pub fn rejected_session(code: &'static str, detail: String) -> Self {
        Self { code: Some(code), detail: Some(detail), ..Self::empty(Outcome::Rejected) }
    }

    fn empty(outcome: Outcome) -> Self {
        Self {
            schema: VERDICT_SCHEMA,
            outcome,
            work: Work::NotProven,
            code: None,
            step: None,
            detail: None,
            challenge_digest: None,
            commitment: None,
            bound: None,
            cost: None,
            memory: None,
            integer: None,
            shown: None,
            models: None,
            devices: Vec::new(),
            machine: None,
            model_table: None,
            openings: None,
            elapsed_ns: None,
            round_trip_ns: None,
            facts: Vec::new(),
            not_checked: Vec::new(),
            policy: None,
        }
    }

    /// The verdict with a policy's word added: a verified result that the policy
    /// rejects is rejected, with the code [`REJECTED_BY_POLICY`]. What was shown of the
    /// work stays.
    pub fn judged(self, judgement: Judgement) -> Self {
        if self.outcome == Outcome::Verified && judgement.rejects() {
            let codes: Vec<_> = judgement.rejecting().map(|reason| reason.code).collect();
            let detail = format!("policy {:?} rejects it for {}", judgement.policy, listed(codes));
            return Self {
                outcome: Outcome::Rejected,
                code: Some(REJECTED_BY_POLICY),
                detail: Some(detail),
                policy: Some(judgement),
                ..self
            };
        }
        Self { policy: Some(judgement), ..self }
    }

    /// The verdict on a verified result with what the validator's own records hold
    /// against its devices, each as "code: text".
    pub fn with_history(mut self, warnings: impl IntoIterator<Item = String>) -> Self {
        if self.outcome == Outcome::Verified {
            let told = |text| fact(Grade::Measured, "history", format!("WARNING: {text}"));
            self.facts.extend(warnings.into_iter().map(told));
            self.facts.sort_by_key(|fact| fact.grade);
        }
        self
    }

    fn of_verified(verified: &Verified, assumptions: &Assumptions) -> Self {
        let bound = Bound::of(verified, assumptions.omitted_share);
        let work = if bound.is_below_one() { Work::Proven } else { Work::NotProven };
        let mut facts = vec![work_fact(verified, bound)];
        facts.extend(live_fact(verified));
        facts.push(miner_fact(verified));
        facts.extend(time_facts(verified, bound));
        let (mut memory, mut integer, mut not_checked) =
            (None, None, not_checked::not_checked(verified));
        if let Some(said) = memory::said(verified, bound, assumptions) {
            facts.extend(said.facts);
            not_checked.extend(said.not_shown);
            memory = Some(said.shown);
        }
        if let Some(said) = integer::said(verified, bound) {
            facts.extend(said.facts);
            not_checked.extend(said.not_shown);
            integer = Some(said.shown);
        }
        facts.extend(claims(verified));
        let warnings = reported::warnings(verified.evidence());
        facts.extend(warnings.into_iter().map(|text| fact(Grade::Claimed, "finding", text)));
        facts.sort_by_key(|fact| fact.grade);
        Self {
            work,
            challenge_digest: Some(verified.challenge().digest()),
            commitment: Some(verified.commitment()),
            bound: Some(bound),
            cost: Some(RunCost {
                amount: verified.amount().to_string(),
                unit: verified.challenge().work().cost().unit,
            }),
            openings: Some(verified.openings()),
            elapsed_ns: verified
                .elapsed()
                .and_then(|elapsed| u64::try_from(elapsed.as_nanos()).ok()),
            facts,
            memory,
            integer,
            shown: shown::of_verified(verified, bound, assumptions),
            not_checked,
            ..Self::empty(Outcome::Verified)
        }
    }
}

fn fact(grade: Grade, subject: &'static str, text: impl Into<String>) -> Fact {
    debug_assert!(SUBJECTS.contains(&subject), "{subject} is missing in SUBJECTS");
    Fact { grade, subject, text: text.into() }
}

fn work_fact(verified: &Verified, bound: Bound) -> Fact {
    let challenge = verified.challenge();
    let run = challenge.work().run_in_words(verified.lanes(), challenge.iterations());
    let issued = &challenge.spec().issued_at;
    let since = match verified.arrival_unix_s().and_then(time::format) {
        Some(arrived) => format!("between {issued} (issue) and {arrived} (arrival)"),
        None => format!("after {issued} (issue)"),
    };
    let Bound::Sampled { omitted_share, draws, grinding, log10_escape } = bound else {
        return fact(
            Grade::Proven,
            "work",
            format!(
                "someone who saw the challenge did all of {run} {since}; every iteration was recomputed"
            ),
        );
    };
    let f = omitted_share.get();
    let tries = match grinding {
        Grinding::ExcludedByCoin => "",
        Grinding::Possible => ", even after trying 2^80 commitments",
    };
    let opened = verified.openings();
    // Twelve decimals: 100 · 0.07 in binary64 is not 7.
    let percent = (1e14 * f).round() / 1e12;
    if bound.is_below_one() {
        // Rounded up: a bound that reads smaller than it is would say too much.
        let exponent = (10.0 * log10_escape).ceil() / 10.0;
        let text = format!(
            "someone who saw the challenge did {run} {since}, less than {percent} % left out: \
             leaving out more escapes {opened} openings ({draws} counted draws) with probability \
             at most 10^{exponent:.1}{tries}"
        );
        fact(Grade::Proven, "work", text)
    } else {
        let text = format!(
            "{run}; {opened} openings ({draws} counted draws) are too few to rule out that \
             {percent} % was left out{tries}"
        );
        fact(Grade::Claimed, "work", text)
    }
}

fn live_fact(verified: &Verified) -> Option<Fact> {
    match verified.coin() {
        CoinStanding::Recorded => {
            let text = "the samples were drawn after the commitment was held (own record)";
            Some(fact(Grade::Measured, "session", text))
        }
        CoinStanding::Receipt { .. } => {
            // It proves who says so. Whether that is a validator's key, only who
            // reads the verdict can know.
            let key = verified.challenge().validator_id()?;
            let text = format!(
                "validator_id signed that the samples were drawn after it held the commitment: \
                 the word of the holder of key {key}"
            );
            Some(fact(Grade::Proven, "session", text))
        }
        CoinStanding::Unattested { cause } => {
            let cause = cause.lines().next().unwrap_or_default();
            let text = format!(
                "the samples come from a coin, yet nothing shows when it was drawn: {cause}"
            );
            Some(fact(Grade::Claimed, "session", text))
        }
        CoinStanding::NoSession => None,
    }
}

fn miner_fact(verified: &Verified) -> Fact {
    let Some(miner) = verified.challenge().spec().miner_id else {
        let text = "who did it: not bound to a miner, as the challenge names no key";
        return fact(Grade::Claimed, "miner", text);
    };
    let text = format!(
        "the holder of key {miner} signed this commitment (whose device did the work isn't shown)"
    );
    fact(Grade::Proven, "signature", text)
}

fn time_facts(verified: &Verified, bound: Bound) -> Vec<Fact> {
    let Some(elapsed_s) = verified.elapsed().map(|elapsed| elapsed.as_secs_f64()) else {
        return Vec::new();
    };
    // Outside a live session a clock shows that the limit was kept, and no more:
    // every other duration counts as claimed.
    let (grade, until) = match verified.coin().is_live() {
        true => (Grade::Measured, "commitment"),
        false => (Grade::Claimed, "result"),
    };
    let limit = duration(Duration::from_millis(verified.challenge().limit_ms()));
    let mut facts = vec![
        fact(Grade::Measured, "limit", format!("the {until} came within the limit of {limit}")),
        fact(grade, "elapsed", format!("{elapsed_s:.3} s from challenge to {until}")),
    ];
    // Figures of memory and of int8 products have conditions of their own.
    let has_rate = verified.challenge().work().fp64_product().is_some();
    if has_rate && bound.is_below_one() && elapsed_s > 0.0 {
        let rate = (1.0 - bound.left_out()) * verified.amount() as f64 / elapsed_s;
        let rate = at_least(rate, verified.challenge().work().cost().unit.per_second());
        let text = format!("at least {rate} of this work, all lanes together");
        facts.push(fact(grade, "rate", text));
    }
    if let Some(floor_s) = verified.floor_s() {
        let text = format!(
            "the claimed model is not refuted: it needs at least {floor_s:.3} s (a faster one could have waited)"
        );
        facts.push(fact(grade, "floor", text));
    }
    facts
}

/// "a, b and 2 more", each once.
fn listed(mut names: Vec<&str>) -> String {
    const SHOWN: usize = 4;
    names.dedup();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    match more {
        0 => names.join(", "),
        _ => format!("{} and {more} more", names.join(", ")),
    }
}

fn claims(verified: &Verified) -> Vec<Fact> {
    let executor = match verified.executor() {
        EvidenceExecutor::Gpu => "gpu",
        EvidenceExecutor::Cpu => "cpu",
    };
    let lane = |(g, lane): (usize, &super::evidence::EvidenceLane)| {
        let counters = match lane.sm_tiles.len() {
            0 => "no SM counters".to_owned(),
            sms => format!("{:.1} % of {sms} SMs counted work", 100.0 * lane.sm_utilization()),
        };
        let text = format!(
            "lane {g}: executor {executor}, model {}, uuid {}, {}, {counters}",
            printable(&format_args!("{:?}", lane.model)),
            lane.uuid,
            lane.memory_text()
        );
        fact(Grade::Claimed, "lane", text)
    };
    verified.evidence().lanes().iter().enumerate().map(lane).collect()
}
