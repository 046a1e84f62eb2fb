//! Where a run goes on: what earlier processes computed, its chain recomputed.
//!
//! Guarantees: the states of a [`Resumed`] follow from its roots as
//! docs/protocol.md says; what does not is refused.

use super::checkpointer::Kept;
use crate::executor::SmTiles;
use crate::protocol::chain;
use crate::protocol::challenge::Challenge;
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::names::{Root, State};
use std::time::Duration;

/// A run up to a sync point; nothing of it if it starts anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed {
    pub(super) through: u32,
    pub(super) elapsed: Duration,
    pub(super) lanes: Vec<ResumedLane>,
}

/// One lane's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResumedLane {
    pub(super) roots: Vec<Root>,
    pub(super) tile_roots: Vec<Digest>,
    /// s(g,0) … s(g,through).
    pub(super) states: Vec<State>,
    /// `None` if nothing was computed yet.
    pub(super) sm_tiles: Option<SmTiles>,
}

/// What was kept does not belong to the run. One line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It does not go on where the last part ended, or ends at no sync point.
    #[error("iterations {first} to {last} come after iteration {through}")]
    Iterations {
        /// Its first iteration.
        first: u32,
        /// Its last.
        last: u32,
        /// How far the run was.
        through: u32,
    },
    /// Another number of lanes, roots or tile roots.
    #[error("{got} {what} instead of {expected}")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// How many there should be.
        expected: u64,
    },
    /// The roots do not lead to the state.
    #[error("the roots of lane {lane} do not lead to its state after iteration {iteration}")]
    State {
        /// Index of the lane, from 0 (g).
        lane: usize,
        /// Its last iteration.
        iteration: u32,
    },
}

impl Resumed {
    /// The start of a run on lanes of these UUIDs.
    pub fn nothing(challenge: &Challenge, uuids: &[Uuid]) -> Self {
        let lane = |(g, uuid): (u32, &Uuid)| ResumedLane {
            roots: Vec::new(),
            tile_roots: Vec::new(),
            states: vec![chain::lane_seed(&challenge.digest(), g, uuid)],
            sm_tiles: None,
        };
        let lanes = (0..).zip(uuids).map(lane).collect();
        Self { through: 0, elapsed: Duration::ZERO, lanes }
    }

    /// The last iteration in it; 0 if there is none.
    pub fn through(&self) -> u32 {
        self.through
    }

    /// Goes on with what was kept next.
    ///
    /// # Errors
    /// [`Unfit`]; this run is as it was then.
    pub fn extend(&mut self, challenge: &Challenge, kept: Kept) -> Result<(), Unfit> {
        let Kept { first, last, elapsed, lanes } = kept;
        let through = self.through;
        let follows = first == through + 1 && (first..=challenge.iterations()).contains(&last);
        if !follows || !last.is_multiple_of(challenge.sync_interval()) {
            return Err(Unfit::Iterations { first, last, through });
        }
        let count = |what, got: usize, expected: u64| {
            if got as u64 == expected { Ok(()) } else { Err(Unfit::Count { what, got, expected }) }
        };
        count("lanes", lanes.len(), self.lanes.len() as u64)?;
        let iterations = u64::from(last - first + 1);
        for lane in &lanes {
            count("roots", lane.roots.len(), iterations)?;
            let tiles = iterations * challenge.work().tiles();
            count("tile roots", lane.tile_roots.len(), tiles)?;
        }
        let mut steps: Vec<Vec<State>> = vec![Vec::new(); lanes.len()];
        let mut states: Vec<State> =
            self.lanes.iter().map(|lane| *lane.states.last().expect("there is a seed")).collect();
        let c = challenge.digest();
        for (at, i) in (first..=last).enumerate() {
            let roots: Vec<Root> = lanes.iter().map(|lane| lane.roots[at]).collect();
            let sync = i.is_multiple_of(challenge.sync_interval());
            let sync = sync.then(|| chain::sync_digest(&c, i, &roots));
            for ((state, root), steps) in states.iter_mut().zip(&roots).zip(&mut steps) {
                *state = chain::step(state, i, root, sync.as_ref());
                steps.push(*state);
            }
        }
        if let Some(lane) = lanes.iter().zip(&states).position(|(lane, got)| lane.state != *got) {
            return Err(Unfit::State { lane, iteration: last });
        }
        for ((so_far, kept), steps) in self.lanes.iter_mut().zip(lanes).zip(steps) {
            so_far.roots.extend(kept.roots);
            so_far.tile_roots.extend(kept.tile_roots);
            so_far.states.extend(steps);
            so_far.sm_tiles = Some(kept.sm_tiles);
        }
        (self.through, self.elapsed) = (last, elapsed);
        Ok(())
    }
}
