//! The verdict on a whole session: one for all of its rounds.
//!
//! Guarantees: a session is verified only if every round that was begun is; a round's own
//! verdict stands beside it, unchanged; what was planned and not held is listed.
//! Deliberately lacks: what a policy demands of a session, which comes as a
//! [`Judgement`].

use super::{
    ModelsShown, NetworkShown, Outcome, PriceShown, REJECTED_BY_POLICY, Shown, Verdict, listed,
};
use crate::digest::Digest;
use crate::judgement::Judgement;
use schemars::JsonSchema;
use serde::Serialize;

/// Version of the JSON form of a [`SessionVerdict`]. 2: rounds; version 1 had one
/// verdict, as `verdict`.
pub const SESSION_SCHEMA: u32 = 2;

/// What [`RoundVerdict::on`] calls the machine's CPUs and their memory.
pub const HOST: &str = "host";

/// The verdict on one round.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RoundVerdict {
    /// 0 is the first.
    pub round: usize,
    /// Which kind of round: `fp64`, `integer`, `memory` or `links`.
    pub kind: &'static str,
    /// `host` if the machine's CPUs were asked; absent: the devices were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<&'static str>,
    /// Of a round of the host that was under way at the same time as one of the devices: the
    /// number of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<usize>,
    /// On its result.
    pub verdict: Verdict,
}

impl RoundVerdict {
    /// "fp64", "memory, host", "memory, host beside round 1".
    pub fn name(&self) -> String {
        let name = self.on.map_or(self.kind.to_owned(), |on| format!("{}, {on}", self.kind));
        self.beside.map_or(name.clone(), |round| format!("{name} beside round {round}"))
    }
}

/// A round that was planned and has no verdict, as the session ended before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RoundNotReached {
    /// 0 is the first.
    pub round: usize,
    /// Which kind of round.
    pub kind: &'static str,
}

/// The verdict on a session.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SessionVerdict {
    /// [`SESSION_SCHEMA`].
    pub schema: u32,
    /// How the session ended: as its first round that was not verified (one that was given
    /// up for another does not count), or as the policy judges all rounds together.
    pub outcome: Outcome,
    /// The stable name of the reason for a rejection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What was expected and found, or why it could not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Of each round that has one, in order.
    pub rounds: Vec<RoundVerdict>,
    /// Planned, and not held.
    pub not_reached: Vec<RoundNotReached>,
    /// What the rounds together show of each lane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<Shown>,
    /// What they show of device models, by the validator's table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<ModelsShown>,
    /// The digest of the validator's table of models, if it is not the program's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_table: Option<Digest>,
    /// What the claimed devices cost, and the cheapest that could have done what was shown,
    /// by the policy's prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceShown>,
    /// What the network part showed, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkShown>,
    /// The policy's judgement on the rounds together. For a session of one round it is in
    /// the round's verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Judgement>,
}

impl SessionVerdict {
    /// Of these rounds, before a policy has judged them together: what was planned and not
    /// held is the policy's to judge.
    pub fn of_rounds(rounds: Vec<RoundVerdict>, not_reached: Vec<RoundNotReached>) -> Self {
        let failed = rounds.iter().find(|round| round.verdict.outcome != Outcome::Verified);
        let (outcome, code, detail) = match failed {
            Some(RoundVerdict { verdict, .. }) => {
                (verdict.outcome, verdict.code, verdict.detail.clone())
            }
            None => (Outcome::Verified, None, None),
        };
        let of_devices = rounds.iter().filter(|round| round.on.is_none());
        let shown = Shown::of_rounds(of_devices.filter_map(|round| round.verdict.shown));
        let model_table = rounds.iter().find_map(|round| round.verdict.model_table);
        Self {
            schema: SESSION_SCHEMA,
            outcome,
            code,
            detail,
            rounds,
            not_reached,
            shown,
            models: None,
            model_table,
            price: None,
            network: None,
            policy: None,
        }
    }

    /// With what follows from [`Self::shown`] by the validator's table and prices.
    pub fn appraised(self, models: Option<ModelsShown>, price: Option<PriceShown>) -> Self {
        Self { models, price, ..self }
    }

    /// Of a session that ended for a reason outside its rounds: `verdict` has it.
    pub fn ended_by(
        verdict: &Verdict,
        rounds: Vec<RoundVerdict>,
        not_reached: Vec<RoundNotReached>,
    ) -> Self {
        let Verdict { outcome, code, detail, .. } = verdict.clone();
        Self { outcome, code, detail, ..Self::of_rounds(rounds, not_reached) }
    }

    /// With what a policy says about the rounds together: a verified session that it
    /// rejects is rejected, with the code [`REJECTED_BY_POLICY`].
    pub fn judged(self, judgement: Judgement) -> Self {
        if self.outcome == Outcome::Verified && judgement.rejects() {
            let codes: Vec<_> = judgement.rejecting().map(|reason| reason.code).collect();
            let detail =
                format!("policy {:?} rejects the session for {}", judgement.policy, listed(codes));
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
}
