//! Runs a challenge's lanes one after another and keeps what openings need: roots, tile
//! roots, states.

use super::lanes::LaneExecutors;
use crate::executor::{ExecError, Segment, SoloSync, TileRequest};
use crate::protocol::chain::{lane_seed, step, sync_digest};
use crate::protocol::challenge::Challenge;
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::merkle;
use crate::protocol::names::{Root, State};
use crate::protocol::result::Opening;
use crate::protocol::sample::SamplePoint;
use crate::protocol::verify::{LeafRequest, Recompute, RecomputeError};
use crate::protocol::work::{IterationPlace, RunInputs};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Lane, iteration, tile.
pub(super) type TileKey = (u32, u32, u64);

/// A finished run.
pub(super) struct Replay {
    /// Per lane s(g,0) … s(g,T).
    pub(super) states: Vec<Vec<State>>,
    /// Per lane D(g,1) … D(g,T).
    pub(super) roots: Vec<Vec<Root>>,
    tile_roots: Vec<Vec<Vec<Digest>>>,
    tile_leaves: HashMap<TileKey, Vec<Digest>>,
    leaves: HashMap<LeafRequest, Digest>,
}

/// Runs every lane of `challenge` on `executors`, one segment at a time. A
/// single lane takes its sync points by itself; several are led from here.
pub(super) fn replay(
    challenge: &Challenge,
    uuids: &[Uuid],
    executors: &mut LaneExecutors<'_>,
) -> Result<Replay, ExecError> {
    let c = challenge.digest();
    let all = challenge.iterations();
    let mut states: Vec<Vec<State>> =
        (0..).zip(uuids).map(|(g, uuid)| vec![lane_seed(&c, g, uuid)]).collect();
    let mut roots = vec![Vec::new(); uuids.len()];
    let mut tile_roots = vec![Vec::new(); uuids.len()];
    let solo_sync =
        (uuids.len() == 1).then(|| SoloSync { challenge: c, interval: challenge.sync_interval() });
    let length = if solo_sync.is_some() { all } else { challenge.sync_interval() };
    let seeds: Vec<State> = states.iter().map(|states| states[0]).collect();
    executors.begin(&RunInputs { work: challenge.work(), seeds: &seeds })?;
    let mut first_iteration = 1;
    while first_iteration <= all {
        let iterations = length.min(all - first_iteration + 1);
        for (g, states) in states.iter().enumerate() {
            let start = *states.last().expect("every lane has a seed");
            let (executor, _) = executors.lane(g as u32)?;
            let segment = Segment { first_iteration, iterations, start, solo_sync };
            executor.run(&segment, &mut |output| {
                roots[g].push(output.root);
                tile_roots[g].push(output.tile_roots.to_vec());
                ControlFlow::Continue(())
            })?;
        }
        for i in first_iteration..first_iteration + iterations {
            let at = i as usize - 1;
            let of_all: Vec<Root> = roots.iter().map(|roots| roots[at]).collect();
            let sync = (i % challenge.sync_interval() == 0).then(|| sync_digest(&c, i, &of_all));
            for (states, root) in states.iter_mut().zip(&of_all) {
                states.push(step(&states[at], i, root, sync.as_ref()));
            }
        }
        first_iteration += iterations;
    }
    Ok(Replay { states, roots, tile_roots, tile_leaves: HashMap::new(), leaves: HashMap::new() })
}

impl Replay {
    /// The leaf hashes of a tile, computed by `executors` once.
    pub(super) fn tile_leaves(
        &mut self,
        challenge: &Challenge,
        key: TileKey,
        executors: &mut LaneExecutors<'_>,
    ) -> Result<&[Digest], ExecError> {
        let (lane, iteration, tile) = key;
        if !self.tile_leaves.contains_key(&key) {
            let work = challenge.work();
            let state = self.states[lane as usize][iteration as usize - 1];
            let at = IterationPlace { lane, iteration, state };
            let request = TileRequest { at, tile };
            let (executor, assignment) = executors.lane(lane)?;
            let mut answer = executor.leaf_hashes(&assignment, &[request])?;
            let leaves = answer.pop().expect("one answer per request");
            for (leaf, hash) in (request.first_leaf(work)..).zip(&leaves) {
                self.leaves.insert(LeafRequest { at, leaf }, *hash);
            }
            self.tile_leaves.insert(key, leaves);
        }
        Ok(&self.tile_leaves[&key])
    }

    /// Opens `points`.
    pub(super) fn open(
        &mut self,
        challenge: &Challenge,
        points: &[SamplePoint],
        executors: &mut LaneExecutors<'_>,
    ) -> Result<Vec<Opening>, ExecError> {
        let mut openings = Vec::with_capacity(points.len());
        for &SamplePoint { lane, iteration, leaf } in points {
            let per_tile = challenge.work().leaves_per_tile();
            let tile = leaf / per_tile;
            self.tile_leaves(challenge, (lane, iteration, tile), executors)?;
            let leaves = &self.tile_leaves[&(lane, iteration, tile)];
            let tile_roots = &self.tile_roots[lane as usize][iteration as usize - 1];
            // A tile is a complete subtree: its path is followed by its root's.
            let in_tile = merkle::path(leaves, (leaf % per_tile) as usize);
            let path = [in_tile, merkle::path(tile_roots, tile as usize)].concat();
            openings.push(Opening { lane, iteration, leaf, path });
        }
        Ok(openings)
    }
}

/// Answers from the tiles that the executor has recomputed.
impl Recompute for Replay {
    fn leaf_hashes(
        &self,
        _run: &RunInputs<'_>,
        requests: &[LeafRequest],
    ) -> Result<Vec<Digest>, RecomputeError> {
        let known = |request: &LeafRequest| {
            self.leaves.get(request).copied().ok_or_else(|| {
                RecomputeError(
                    "a leaf outside the opened tiles was asked for\nThis is a bug; report it."
                        .to_owned(),
                )
            })
        };
        requests.iter().map(known).collect()
    }
}
