//! Any executor as a validator's means of recomputing.
//!
//! The CPU has a faster way to single leaves of its own; this one computes
//! whole tiles, as a GPU does best, and whole iterations.

use crate::executor::{Executor, Segment, TileRequest};
use crate::protocol::digest::Digest;
use crate::protocol::plan::Shape;
use crate::protocol::verify::{LeafRequest, Recompute, RecomputeError, RecomputeIteration};
use std::collections::HashMap;
use std::fmt::Display;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

/// An executor that recomputes.
pub struct ByExecutor {
    executor: Mutex<Box<dyn Executor>>,
    begun_for: Option<Shape>,
}

impl ByExecutor {
    /// Takes the executor; nothing is computed yet.
    pub fn new(executor: Box<dyn Executor>) -> Self {
        Self { executor: Mutex::new(executor), begun_for: None }
    }
}

fn fault(error: impl Display) -> RecomputeError {
    RecomputeError(error.to_string())
}

/// The tiles that `requests` lie in, each once in order of first use, and for
/// every request the index of its tile.
fn tiles_of(requests: &[LeafRequest]) -> (Vec<TileRequest>, Vec<usize>) {
    let mut index_of = HashMap::new();
    let mut tiles = Vec::new();
    let indices = requests
        .iter()
        .map(|&LeafRequest { state, place }| {
            let tile = TileRequest {
                state,
                product: place.product,
                tile_row: place.tile_row,
                tile_column: place.tile_column,
            };
            *index_of.entry(tile).or_insert_with(|| {
                tiles.push(tile);
                tiles.len() - 1
            })
        })
        .collect();
    (tiles, indices)
}

impl Recompute for ByExecutor {
    fn leaf_hashes(
        &self,
        dim: u32,
        requests: &[LeafRequest],
    ) -> Result<Vec<Digest>, RecomputeError> {
        let (tiles, indices) = tiles_of(requests);
        let mut executor = self.executor.lock().unwrap_or_else(PoisonError::into_inner);
        let leaves = executor.tile_leaf_hashes(dim, &tiles).map_err(fault)?;
        let leaf = |(request, tile): (&LeafRequest, usize)| {
            leaves.get(tile)?.get(request.place.leaf as usize).copied()
        };
        let hashes: Option<Vec<Digest>> = requests.iter().zip(indices).map(leaf).collect();
        hashes.ok_or_else(|| fault("the executor gave fewer leaves than a tile has"))
    }
}

impl RecomputeIteration for ByExecutor {
    fn iteration_root(
        &mut self,
        shape: Shape,
        iteration: u32,
        state: &Digest,
    ) -> Result<Digest, RecomputeError> {
        let executor = self.executor.get_mut().unwrap_or_else(PoisonError::into_inner);
        if self.begun_for != Some(shape) {
            executor.begin(shape).map_err(fault)?;
            self.begun_for = Some(shape);
        }
        let segment = Segment {
            shape,
            first_iteration: iteration,
            iterations: 1,
            start: *state,
            solo_sync: None,
        };
        let mut root = None;
        let mut sink = |output: crate::executor::IterationOutput<'_>| {
            root = Some(output.root);
            ControlFlow::Continue(())
        };
        executor.run(&segment, &mut sink).map_err(fault)?;
        root.ok_or_else(|| fault("the executor gave no root"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::plan::LeafPlace;

    #[test]
    fn a_tile_is_asked_for_once() {
        let at = |state: u8, leaf: u32| LeafRequest {
            state: Digest([state; 32]),
            place: LeafPlace { product: 0, tile_row: 1, tile_column: 0, leaf },
        };
        let (tiles, indices) = tiles_of(&[at(1, 5), at(2, 5), at(1, 6)]);
        assert_eq!((tiles.len(), indices), (2, vec![0, 1, 0]));
    }
}
