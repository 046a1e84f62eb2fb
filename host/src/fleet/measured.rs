//! What a session took: its legs by this side's clock, and the work that it proved.
//!
//! Guarantees: labels that follow from what a miner says are of the validator's table of
//! models, or [`OTHER`].
//! Deliberately lacks: any part in judgement.

use crate::appraisal::models;
use crate::protocol::verdict::Work;
use crate::protocol::work::Unit;
use crate::session::drive::Stage;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Models that are not in the table, and codes that nobody knows.
pub const OTHER: &str = "other";

/// A part of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leg {
    /// From the invitation until all of the group have answered.
    Invitation,
    /// From a challenge to its commitment.
    Work,
    /// From a coin to the complete result.
    Opening,
    /// From the complete result to its verdict.
    Verification,
    /// From the invitation to the end.
    Session,
}

impl Leg {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Invitation, Self::Work, Self::Opening, Self::Verification, Self::Session];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::Work => "work",
            Self::Opening => "opening",
            Self::Verification => "verification",
            Self::Session => "session",
        }
    }
}

/// Work that was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The model that the miner named, if the table has it; [`OTHER`] otherwise, and for
    /// several.
    pub model: &'static str,
    /// How much.
    pub amount: u128,
    /// Of what.
    pub unit: Unit,
    /// From challenge to commitment.
    pub elapsed: Duration,
}

/// What was measured of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// How long its legs took, those of each round.
    pub legs: Vec<(Leg, Duration)>,
    /// What its rounds proved.
    pub proven: Vec<Proven>,
    /// If its group has others: from their first challenge to this session's.
    pub spread: Option<Duration>,
}

/// Measures one session.
pub(super) struct Stopwatch {
    invited: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    measured: Measured,
    model: Option<&'static str>,
    /// When the leg of this round began that is under way.
    begun: HashMap<usize, Instant>,
}

impl Stopwatch {
    /// The invitation went out at `invited`, and all have answered now.
    pub(super) fn start(invited: Instant) -> Self {
        let watch = Self { invited, state: Mutex::default() };
        watch.lock().measured.legs.push((Leg::Invitation, invited.elapsed()));
        watch
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session has come so far.
    pub(super) fn saw(&self, stage: &Stage<'_>) {
        let mut state = self.lock();
        let now = Instant::now();
        match stage {
            Stage::Met(hello, _) => {
                state.model = Some(model_of(hello.devices.iter().map(|device| &*device.model)));
            }
            Stage::Challenged(round, _) | Stage::CoinSent(round) => {
                state.begun.insert(*round, now);
            }
            Stage::Committed(round, _) => state.ends(*round, Leg::Work, now),
            Stage::Complete(round, _) => {
                state.ends(*round, Leg::Opening, now);
                state.begun.insert(*round, now);
            }
            Stage::Judged(round, verdict) => {
                state.ends(*round, Leg::Verification, now);
                if verdict.work == Work::Proven
                    && let (Some(cost), Some(elapsed_ns)) = (&verdict.cost, verdict.elapsed_ns)
                    && let Ok(amount) = cost.amount.parse()
                {
                    let model = state.model.unwrap_or(OTHER);
                    let elapsed = Duration::from_nanos(elapsed_ns);
                    let proven = Proven { model, amount, unit: cost.unit, elapsed };
                    state.measured.proven.push(proven);
                }
            }
        }
    }

    /// The session is over.
    pub(super) fn end(&self) -> Measured {
        let mut measured = std::mem::take(&mut self.lock().measured);
        measured.legs.push((Leg::Session, self.invited.elapsed()));
        measured
    }
}

impl State {
    fn ends(&mut self, round: usize, leg: Leg, now: Instant) {
        if let Some(begun) = self.begun.remove(&round) {
            self.measured.legs.push((leg, now - begun));
        }
    }
}

/// The one model of these names, if the table has it.
fn model_of<'a>(mut names: impl Iterator<Item = &'a str>) -> &'static str {
    let Some(first) = names.next().and_then(models::find) else { return OTHER };
    match names.all(|name| models::is_same_name(name, &first.name)) {
        true => &first.name,
        false => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_one_of_the_table_or_other() {
        let known = &*models::all()[0].name;
        let other = &*models::all()[1].name;
        let bare = known.strip_prefix("NVIDIA ").unwrap_or(known);
        assert_eq!(model_of([known, bare].into_iter()), known);
        assert_eq!(model_of([known, other].into_iter()), OTHER);
        assert_eq!(model_of(["H999\"} 1\nforged 2"].into_iter()), OTHER);
        assert_eq!(model_of([].into_iter()), OTHER);
    }
}
