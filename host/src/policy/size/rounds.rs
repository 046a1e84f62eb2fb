//! Sizing a session: each of the policy's rounds for the devices that a miner names, or the
//! one round that was typed.

use super::{Part, Policy, SizeError, SizedWork, Target, honest};
use crate::appraisal::models::{self, Model};
use crate::mining::issue::{ARENA_BLOCKS_DEFAULT, Request};
use crate::mining::kind::ArenaSize;
use crate::policy::{Demand, Round, RoundKind, RoundOn};
use crate::protocol::work::memory_residency::PEER_BLOCKS_STEP;
use std::time::Duration;

/// What a miner has, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rig<'a> {
    /// The model of its first GPU; `None` if it has none.
    pub gpu_model: Option<&'a str>,
    /// How many of its devices are GPUs.
    pub gpus: u64,
    /// How many devices it has.
    pub devices: u64,
    /// The measured round trip to it; the policy's allowance stands in for it.
    pub round_trip: Option<Duration>,
}

/// A round of a session, sized.
#[derive(Clone, Debug, PartialEq)]
pub struct RoundPlan {
    /// What it shows.
    pub kind: RoundKind,
    /// What answers it.
    pub on: RoundOn,
    /// Whether it is under way at the same time as the round after it, which is of the
    /// devices.
    pub beside: bool,
    /// For its challenge, which is issued when its turn comes.
    pub request: Request,
    /// Whether the session counts for nothing without it.
    pub required: bool,
}

impl RoundPlan {
    /// The only round of a session.
    pub fn alone(kind: RoundKind, request: Request) -> Self {
        Self { kind, on: RoundOn::Devices, beside: false, request, required: true }
    }

    fn of(round: &Round, request: Request) -> Self {
        let &Round { kind, on, beside, required, .. } = round;
        Self { kind, on, beside, request, required }
    }
}

impl Policy {
    /// The rounds of a session with a miner that has these devices: those of the policy, or
    /// the one whose work was typed. What was typed stays in every round. A miner without
    /// GPUs is asked for the sizes that were typed or that rounds fix, else for those of a
    /// challenge without a policy, with samples enough: there is no table of CPUs.
    ///
    /// # Errors
    /// [`SizeError`], of the first round that is required and cannot be sized. Others are
    /// left out, which is logged.
    pub fn rounds(&self, rig: &Rig<'_>, typed: Request) -> Result<Vec<RoundPlan>, SizeError> {
        if typed.names_work() {
            let request = self.for_rig(rig, typed, None, Part::Alone)?;
            let kind = RoundKind::of(&request)?;
            self.check_host_shows(&[])?;
            return Ok(vec![RoundPlan::alone(kind, request)]);
        }
        let mut plans = Vec::with_capacity(self.rounds.len());
        for (index, round) in self.rounds.iter().enumerate() {
            let base = typed.clone().or(round.request());
            match self.for_rig(rig, base, Some(round), Part::Round) {
                Ok(request) => plans.push(RoundPlan::of(round, request)),
                Err(error) if round.required || error == SizeError::MinerKey => return Err(error),
                Err(error) => {
                    let (kind, why) = (round.kind.name(), crate::error_text::what_happened(error));
                    tracing::info!("round {index} ({kind}) is left out: {why}");
                }
            }
        }
        if plans.is_empty() {
            return Err(SizeError::NoRound);
        }
        self.check_rounds_show(rig, &plans)?;
        Ok(plans)
    }

    /// The policy's round of this number, from 0, for a model of the table.
    ///
    /// # Errors
    /// [`SizeError`].
    pub fn round(
        &self,
        index: usize,
        target: &Target<'_>,
        typed: Request,
    ) -> Result<RoundPlan, SizeError> {
        let count = self.rounds.len();
        let round = self.rounds.get(index).ok_or(SizeError::RoundNumber { got: index, count })?;
        let own = round.kind.work().challenge_type();
        if let Some(got) = typed.challenge_type.as_ref().filter(|&got| got != own) {
            let (kind, got) = (round.kind.name(), got.chars().take(100).collect());
            return Err(SizeError::RoundKind { index, kind, got });
        }
        let base = typed.or(round.request());
        let target = Target { seconds: target.seconds.or(Some(round.seconds)), ..*target };
        let request = match round.on {
            RoundOn::Host => self.of_host(base)?,
            RoundOn::Devices => self.of_model(round, &target, base, Part::Round)?,
        };
        Ok(RoundPlan::of(round, request))
    }

    /// What a round of the fewest lanes demands of a model.
    pub(in crate::policy) fn demand(
        &self,
        round: &Round,
        model: &'static Model,
    ) -> Result<Demand, SizeError> {
        let target = Target { model: &model.name, seconds: Some(round.seconds), round_trip: None };
        self.target_model(&target)?;
        let fewest = if round.kind == RoundKind::Links { 2 } else { 1 };
        let lanes = self.devices.gpu_count_min.max(fewest);
        let base = Request { gpu_count: Some(lanes), ..round.request() };
        let base = self.links_of(round, base, Some(model), round.seconds)?;
        let sized = self.sized_work(model, &target, lanes, &base)?;
        let SizedWork { work, iterations, times, .. } = sized;
        let most = self.devices.gpu_count_max.max(lanes);
        self.check_shown(&base, honest(work, iterations, times, most, model), Part::Round)?;
        let times = times.map(|times| (times.honest_s, self.limit_s(times.floor_s, None)));
        Ok(Demand { model, work, iterations, times })
    }

    /// The request of one round.
    fn for_rig(
        &self,
        rig: &Rig<'_>,
        base: Request,
        round: Option<&Round>,
        part: Part,
    ) -> Result<Request, SizeError> {
        if round.is_some_and(|round| round.on == RoundOn::Host) {
            return self.of_host(base);
        }
        let Some(gpu_model) = rig.gpu_model else {
            if !self.devices.cpu_allowed {
                return Err(SizeError::NoGpu);
            }
            let base = base.with_lanes(rig.devices);
            return self.with_samples(match round {
                Some(round) => self.links_of(round, without_share(base), None, 0.0)?,
                None => base,
            });
        };
        let base = base.with_lanes(rig.gpus.min(self.devices.gpu_count_max));
        let model = base.gpu_model.clone().unwrap_or_else(|| gpu_model.to_owned());
        let seconds = round.map(|round| round.seconds);
        let target = Target { model: &model, seconds, round_trip: rig.round_trip };
        match round {
            Some(round) => self.of_model(round, &target, base, part),
            None => self.sized(&target, base, part),
        }
    }

    /// The request of a round for the machine's CPUs, whose speed is not known.
    fn of_host(&self, base: Request) -> Result<Request, SizeError> {
        let one_lane = Request { gpu_count: Some(1), gpu_model: None, ..without_share(base) };
        self.with_samples(one_lane)
    }

    fn of_model(
        &self,
        round: &Round,
        target: &Target<'_>,
        base: Request,
        part: Part,
    ) -> Result<Request, SizeError> {
        let model = self.target_model(target)?;
        let seconds = target.seconds.unwrap_or(round.seconds);
        self.sized(target, self.links_of(round, base, Some(model), seconds)?, part)
    }
}

impl Policy {
    /// Refuses a session of which no round shows what the policy demands, or all show the
    /// same and too little.
    fn check_rounds_show(&self, rig: &Rig<'_>, plans: &[RoundPlan]) -> Result<(), SizeError> {
        let kinds = |on| -> Vec<RoundKind> {
            plans.iter().filter(|plan| plan.on == on).map(|plan| plan.kind).collect()
        };
        if let Some(beyond) = self.beyond_kinds(RoundOn::Devices, &kinds(RoundOn::Devices)) {
            // A round that was left out does not fit these devices.
            let of_model = self
                .rounds
                .iter()
                .any(|round| round.kind == beyond.kind && round.on == RoundOn::Devices);
            return Err(beyond.error("Add a [[round]] of that kind, or demand less", of_model));
        }
        self.check_host_shows(&kinds(RoundOn::Host))?;
        let kinds = kinds(RoundOn::Devices);
        match rig.gpu_model.and_then(models::find) {
            Some(model) => self.check_not_fp64_alone(&kinds, model),
            None => Ok(()),
        }
    }

    /// Whether rounds of these kinds, answered by the machine's CPUs, can show what is
    /// demanded of them.
    fn check_host_shows(&self, kinds: &[RoundKind]) -> Result<(), SizeError> {
        let advice = "Add a [[round]] of that kind with on = \"host\", or demand less";
        self.beyond_kinds(RoundOn::Host, kinds).map_or(Ok(()), |it| Err(it.error(advice, false)))
    }
}

/// Without a share of nobody knows what.
fn without_share(request: Request) -> Request {
    let arena_size = request.arena_size.filter(|size| matches!(size, ArenaSize::Bytes(_)));
    Request { arena_size, ..request }
}

/// Of an arena, what lanes whose speed is not known read of each other at once.
const PEER_SHARE: u64 = 64;

impl Policy {
    /// With the blocks that lanes read of each other, if the round is of links.
    fn links_of(
        &self,
        round: &Round,
        base: Request,
        model: Option<&'static Model>,
        seconds: f64,
    ) -> Result<Request, SizeError> {
        if round.kind != RoundKind::Links {
            return Ok(base);
        }
        let lanes = base.gpu_count.unwrap_or(1);
        if lanes < 2 {
            return Err(SizeError::Peers { got: lanes });
        }
        let of_size = base.arena_size.zip(model).map(|(size, m)| size.blocks(m.memory_bytes()));
        let arena_blocks = of_size.or(base.arena_blocks).unwrap_or(ARENA_BLOCKS_DEFAULT);
        let blocks = match model {
            Some(model) => self.peer_blocks(model, arena_blocks, &base, seconds),
            None => arena_blocks / PEER_SHARE,
        };
        let steps = (blocks.min(arena_blocks) / PEER_BLOCKS_STEP).max(1);
        let peer_blocks = base.peer_blocks.or(Some(steps * PEER_BLOCKS_STEP));
        Ok(Request { peer_blocks, ..base })
    }
}

#[cfg(test)]
#[path = "rounds_tests.rs"]
mod tests;
