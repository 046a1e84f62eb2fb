//! The oracle behind the executors' trait, so that whatever judges executors
//! can itself be judged on the one that is right by inspection.

use super::leaves::Leaves;
use super::tree::{hash, tree_hash};
use crate::executor::{
    Assignment, ExecError, Executor, IterationOutput, Kind, LaneFacts, Segment, Sink, SmTiles,
    TileRequest,
};
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::evidence::document::LaneDetails;
use crate::protocol::names::{Root, State};
use crate::protocol::work::IterationPlace;

/// Scalar, one iteration at a time.
#[derive(Clone, Debug)]
pub struct OracleExecutor {
    facts: LaneFacts,
    /// Of the last begin.
    begun: Option<(Assignment, Leaves)>,
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
            details: LaneDetails::default(),
        };
        Self { facts, begun: None }
    }
}

impl Executor for OracleExecutor {
    fn facts(&self) -> &LaneFacts {
        &self.facts
    }

    fn begin(&mut self, assignment: &Assignment) -> Result<(), ExecError> {
        let leaves = match self.begun.take() {
            // Of another lane of the same run.
            Some((begun, leaves))
                if begun.work == assignment.work && begun.seeds == assignment.seeds =>
            {
                leaves
            }
            _ => Leaves::of(&assignment.run()),
        };
        self.begun = Some((assignment.clone(), leaves));
        Ok(())
    }

    fn run(&mut self, segment: &Segment, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        let (assignment, leaves_of) = self.begun.as_ref().expect("a run follows a begin");
        let (work, lane) = (assignment.work, assignment.lane);
        let mut state = segment.start;
        for iteration in (segment.first_iteration..).take(segment.iterations as usize) {
            let leaves = leaves_of.iteration(&IterationPlace { lane, iteration, state });
            let per_tile = work.leaves_per_tile() as usize;
            let tile_roots: Vec<Digest> = leaves.chunks(per_tile).map(tree_hash).collect();
            let root = Root(tree_hash(&leaves).0);
            if sink(IterationOutput { iteration, root, tile_roots: &tile_roots }).is_break() {
                return Err(ExecError::Stopped);
            }
            let i = iteration.to_be_bytes();
            let x = segment
                .solo_sync
                .filter(|sync| iteration % sync.interval == 0)
                .map(|sync| hash(&[b"gpu-attest/v1/sync\0", &sync.challenge.0, &i, &root.0]).0);
            let x = x.as_ref().map_or(&[][..], |x| x);
            state = State(hash(&[b"gpu-attest/v1/step\0", &state.0, &i, &root.0, x]).0);
        }
        Ok(())
    }

    fn leaf_hashes(
        &mut self,
        assignment: &Assignment,
        tiles: &[TileRequest],
    ) -> Result<Vec<Vec<Digest>>, ExecError> {
        if self.begun.as_ref().is_none_or(|(begun, _)| begun != assignment) {
            self.begin(assignment)?;
        }
        let (_, leaves_of) = self.begun.as_ref().expect("begun above");
        let work = assignment.work;
        let leaves = |tile: &TileRequest| {
            let first = tile.first_leaf(work);
            (first..first + work.leaves_per_tile())
                .map(|leaf| leaves_of.leaf(&tile.at, leaf))
                .collect()
        };
        Ok(tiles.iter().map(leaves).collect())
    }

    fn sm_tiles(&mut self) -> Result<SmTiles, ExecError> {
        Ok(SmTiles::NotApplicable)
    }
}
