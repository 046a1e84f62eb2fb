//! The oracle behind the executors' trait, so that whatever judges executors
//! can itself be judged on the one that is right by inspection.

use super::oracle::Oracle;
use super::tree::{hash, tree_hash};
use crate::executor::{
    Assignment, ExecError, Executor, IterationOutput, Kind, LaneFacts, Segment, Sink, SmTiles,
    TileRequest,
};
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::verify::{LeafRequest, Recompute};
use crate::protocol::work::IterationPlace;
use serde_json::Map;

/// Scalar, one iteration at a time.
#[derive(Clone, Debug)]
pub struct OracleExecutor {
    facts: LaneFacts,
    /// Of the last begin.
    assignment: Option<Assignment>,
}

impl OracleExecutor {
    /// An executor with the given UUID.
    pub fn new(uuid: Uuid) -> Self {
        let facts = LaneFacts {
            kind: Kind::Cpu,
            uuid,
            model: "reference".to_owned(),
            memory_bytes: 0,
            sm_count: 0,
            more: Map::new(),
        };
        Self { facts, assignment: None }
    }
}

impl Executor for OracleExecutor {
    fn facts(&self) -> &LaneFacts {
        &self.facts
    }

    fn begin(&mut self, assignment: &Assignment) -> Result<(), ExecError> {
        self.assignment = Some(assignment.clone());
        Ok(())
    }

    fn run(&mut self, segment: &Segment, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        let assignment = self.assignment.as_ref().expect("a run follows a begin");
        let (run, lane) = (assignment.run(), assignment.lane);
        let mut state = segment.start;
        for iteration in (segment.first_iteration..).take(segment.iterations as usize) {
            let leaves = Oracle.leaves(&run, &IterationPlace { lane, iteration, state });
            let per_tile = run.work.leaves_per_tile() as usize;
            let tile_roots: Vec<Digest> = leaves.chunks(per_tile).map(tree_hash).collect();
            let root = tree_hash(&leaves);
            if sink(IterationOutput { iteration, root, tile_roots: &tile_roots }).is_break() {
                return Err(ExecError::Stopped);
            }
            let i = iteration.to_be_bytes();
            let x = segment
                .solo_sync
                .filter(|sync| iteration % sync.interval == 0)
                .map(|sync| hash(&[b"gpu-attest/v1/sync\0", &sync.challenge.0, &i, &root.0]).0);
            let x = x.as_ref().map_or(&[][..], |x| x);
            state = hash(&[b"gpu-attest/v1/step\0", &state.0, &i, &root.0, x]);
        }
        Ok(())
    }

    fn leaf_hashes(
        &mut self,
        assignment: &Assignment,
        tiles: &[TileRequest],
    ) -> Result<Vec<Vec<Digest>>, ExecError> {
        let run = assignment.run();
        let leaves = |tile: &TileRequest| {
            let first = tile.first_leaf(run.work);
            let of_tile = first..first + run.work.leaves_per_tile();
            let requests: Vec<LeafRequest> =
                of_tile.map(|leaf| LeafRequest { at: tile.at, leaf }).collect();
            Oracle.leaf_hashes(&run, &requests).expect("the oracle computes whatever is asked")
        };
        Ok(tiles.iter().map(leaves).collect())
    }

    fn sm_tiles(&mut self) -> Result<SmTiles, ExecError> {
        Ok(SmTiles::NotApplicable)
    }
}
