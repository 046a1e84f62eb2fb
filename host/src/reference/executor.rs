//! The oracle behind the executors' trait, so that whatever judges executors
//! can itself be judged on the one that is right by inspection.

use super::oracle::Oracle;
use super::tree::{hash, tree_hash};
use crate::executor::{
    ExecError, Executor, IterationOutput, Kind, LaneFacts, Segment, Sink, SmTiles, TileRequest,
};
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::evidence::document::LaneDetails;
use crate::protocol::work::fp64_product::{Fp64Product, LeafPlace};

/// Scalar, one iteration at a time.
#[derive(Clone, Debug)]
pub struct OracleExecutor {
    facts: LaneFacts,
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
        Self { facts }
    }
}

impl Executor for OracleExecutor {
    fn facts(&self) -> &LaneFacts {
        &self.facts
    }

    fn begin(&mut self, _shape: Fp64Product) -> Result<(), ExecError> {
        Ok(())
    }

    fn run(&mut self, segment: &Segment, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        let mut state = segment.start;
        for iteration in (segment.first_iteration..).take(segment.iterations as usize) {
            let leaves = Oracle.iteration_leaves(segment.shape, &state);
            let tile_roots: Vec<Digest> = leaves.chunks(256).map(tree_hash).collect();
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

    fn tile_leaf_hashes(
        &mut self,
        dim: u32,
        tiles: &[TileRequest],
    ) -> Result<Vec<Vec<Digest>>, ExecError> {
        let leaves = |tile: &TileRequest| {
            let TileRequest { state, product, tile_row, tile_column } = *tile;
            let place = |leaf| LeafPlace { product, tile_row, tile_column, leaf };
            (0..256).map(|leaf| Oracle.leaf_hash(&state, dim, place(leaf))).collect()
        };
        Ok(tiles.iter().map(leaves).collect())
    }

    fn sm_tiles(&mut self) -> Result<SmTiles, ExecError> {
        Ok(SmTiles::NotApplicable)
    }
}
