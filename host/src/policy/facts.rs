//! What a policy judges: a verified result and what only the validator knows.
//!
//! Guarantees: [`Facts::of`] takes nothing but what verification established.
//! Deliberately lacks: results that did not verify. They need no policy.

use super::figures::Run;
use super::{Policy, Prices, RoundKind, RoundOn, RoundPlan};
use crate::appraisal::price::{self, PriceList};
use crate::ledger::HistoryFinding;
use crate::protocol::bound::{Bound, OmittedShare};
use crate::protocol::challenge::Challenge;
use crate::protocol::digest::Uuid;
use crate::protocol::evidence::Evidence;
use crate::protocol::verdict::{
    LaneDevice, LiveRun, NetworkShown, PriceShown, QuotedMachine, Shown,
};
use crate::protocol::verified::Verified;
use std::time::Duration;

/// What is known of a verified result.
///
/// ```
/// # use attest::policy::{Facts, Policy};
/// # use attest::protocol::verified::Verified;
/// # use std::time::Duration;
/// # fn live(policy: &Policy, verified: &Verified, round_trip: Duration) {
/// let facts = Facts { round_trip: Some(round_trip), ..Facts::of(verified) };
/// let judgement = policy.judge(&facts);
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The challenge that was answered.
    pub challenge: &'a Challenge,
    /// What the miner says; claimed.
    pub evidence: &'a Evidence,
    /// How likely omitted work escaped, for any share.
    pub bound: Bound,
    /// Whether the samples depend on a coin that the validator's own record or a
    /// receipt vouches for.
    pub live: bool,
    /// From sending the challenge to holding the commitment (the result, if
    /// there was no session), by the validator's clock.
    pub elapsed: Option<Duration>,
    /// The measured round trip to the miner; the policy's allowance stands in
    /// for it if there is none.
    pub round_trip: Option<Duration>,
    /// What does not fit the devices' history, from the ledger.
    pub history: &'a [HistoryFinding],
    /// Whom the challenge was for.
    pub on: RoundOn,
    /// The devices' reports, checked.
    pub devices: &'a [LaneDevice],
    /// What the machine's processor signed, checked, if it handed in a quote.
    pub machine: Option<&'a QuotedMachine>,
}

impl<'a> Facts<'a> {
    /// The facts of a verification, without round trip and history.
    pub fn of(verified: &'a Verified) -> Self {
        Self {
            challenge: verified.challenge(),
            evidence: verified.evidence(),
            bound: Bound::of(verified, OmittedShare::default()),
            live: verified.coin().is_live(),
            elapsed: verified.elapsed(),
            round_trip: None,
            history: &[],
            on: RoundOn::Devices,
            devices: &[],
            machine: None,
        }
    }
}

/// What is kept of a round that verified, until its session is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct RoundFacts {
    pub(super) run: Run,
    /// How likely omitted work escaped, for any share.
    bound: Bound,
    /// Who answered it.
    pub(super) on: RoundOn,
    /// UUID and model of each lane, sorted.
    pub(super) devices: Vec<(Uuid, String)>,
}

impl RoundFacts {
    /// Of a verified round.
    pub fn of(facts: &Facts<'_>) -> Self {
        let lanes = facts.evidence.lanes().iter();
        let mut devices: Vec<_> = lanes.map(|lane| (lane.uuid, lane.model.clone())).collect();
        devices.sort_unstable();
        Self { run: Run::of(facts), bound: facts.bound, on: facts.on, devices }
    }

    /// What it can show.
    pub fn kind(&self) -> RoundKind {
        self.run.kind()
    }

    /// What it shows of each lane, by the policy's assumptions; `None` outside a live session,
    /// or if the samples are too few.
    pub(super) fn shown(&self, policy: &Policy) -> Option<Shown> {
        let run = LiveRun {
            work: self.run.work,
            iterations: self.run.iterations,
            lanes: self.run.lanes,
            elapsed: self.run.live_elapsed?,
            bound: self.bound.at(policy.omitted_share()),
            memory: self.run.shown(policy).ok(),
            outside_gb_s: policy.memory.outside_gb_s,
        };
        run.shown()
    }
}

impl<'a> SessionFacts<'a> {
    /// The rounds of the devices, with their numbers; a host's round says nothing of them.
    pub(super) fn of_devices(&self) -> impl Iterator<Item = (usize, &'a RoundFacts)> {
        let rounds = self.rounds.iter().enumerate();
        rounds.filter(|(_, round)| round.on == RoundOn::Devices)
    }

    /// The rounds of the machine's CPUs.
    pub(super) fn of_host(&self) -> impl Iterator<Item = &'a RoundFacts> {
        self.rounds.iter().filter(|round| round.on == RoundOn::Host)
    }

    /// What they show together.
    fn shown(&self, policy: &Policy) -> Option<Shown> {
        Shown::of_rounds(self.of_devices().filter_map(|(_, round)| round.shown(policy)))
    }

    /// The model that each lane claims.
    pub(super) fn claimed(&self) -> impl Iterator<Item = &'a str> {
        let first = self.of_devices().next();
        first.into_iter().flat_map(|(_, round)| &round.devices).map(|(_, model)| model.as_str())
    }
}

impl Policy {
    /// What the claimed devices cost by this policy's prices, and the cheapest that could have
    /// done what the session showed; `None` if a claimed model has no price, or nothing was
    /// shown.
    pub fn price(&self, session: &SessionFacts<'_>) -> Option<PriceShown> {
        let claimed: Vec<&str> = session.claimed().collect();
        price::of(&session.shown(self)?, &claimed, &self.price_list())
    }

    pub(super) fn price_list(&self) -> PriceList<'_> {
        let Prices { currency, per_hour, .. } = &self.prices;
        PriceList { currency, per_hour }
    }
}

/// A session whose rounds verified.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionFacts<'a> {
    /// The verified rounds, in order.
    pub rounds: &'a [RoundFacts],
    /// What was planned: the round of a number answers the plan of the same number, and
    /// plans beyond the rounds were not answered.
    pub planned: &'a [RoundPlan],
    /// What the network part showed; `None` if there was none.
    pub network: Option<NetworkShown>,
}
