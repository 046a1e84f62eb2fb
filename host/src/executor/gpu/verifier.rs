//! A GPU as a verifier's means of recomputing: sampled leaves, and whole
//! iterations.

use super::executor::GpuExecutor;
use super::supervisor::{Supervisor, supervised};
use crate::executor::{Assignment, ExecError, Executor, Segment, TileRequest};
use crate::protocol::digest::Digest;
use crate::protocol::names::Root;
use crate::protocol::verify::{LeafRequest, Recompute, RecomputeError, RecomputeIteration};
use crate::protocol::work::{IterationPlace, RunInputs, Work};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Recomputes on one device. One caller at a time: others wait.
#[derive(Debug)]
pub struct GpuVerifier {
    /// `None` once the device hung: it is left to the thread that used it.
    executor: Mutex<Option<GpuExecutor>>,
    supervisor: Supervisor,
    device: String,
}

/// Tiles recomputed before their unwanted leaves are dropped: 8 KiB each.
const TILES_AT_A_TIME: usize = 4096;

impl GpuVerifier {
    /// Recomputes with `executor`, which may take `patience` longer than its work
    /// does on a slow device ([`super::PATIENCE`]).
    pub fn new(mut executor: GpuExecutor, patience: Duration) -> Self {
        let (supervisor, device) = (Supervisor::new(patience), executor.device().label());
        executor.supervise(supervisor.clone());
        Self { executor: Mutex::new(Some(executor)), supervisor, device }
    }

    /// What `work` makes of the device, in time.
    fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut GpuExecutor) -> Result<T, ExecError> + Send + 'static,
    ) -> Result<T, RecomputeError> {
        let mut executor = self.executor.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut own) = executor.take() else {
            let text = format!("{} hung before\nsee dmesg for Xid lines", self.device);
            return Err(RecomputeError(text));
        };
        let work = move |_: &dyn Fn(())| {
            let done = work(&mut own);
            (own, done)
        };
        let (own, done) =
            supervised(&self.supervisor, &self.device, work, &mut drop).map_err(verifier)?;
        *executor = Some(own);
        done.map_err(verifier)
    }
}

impl Recompute for GpuVerifier {
    fn leaf_hashes(
        &self,
        run: &RunInputs<'_>,
        requests: &[LeafRequest],
    ) -> Result<Vec<Digest>, RecomputeError> {
        let (assignment, requests) = (Assignment::of(run, 0), requests.to_vec());
        self.with(move |gpu| {
            wanted_leaves(assignment.work, &requests, |tiles| gpu.leaf_hashes(&assignment, tiles))
        })
    }
}

impl RecomputeIteration for GpuVerifier {
    fn iteration_root(
        &mut self,
        run: &RunInputs<'_>,
        at: &IterationPlace,
    ) -> Result<Root, RecomputeError> {
        (&*self).iteration_root(run, at)
    }
}

/// Through a shared reference, so that one device serves as both means at once.
impl RecomputeIteration for &GpuVerifier {
    fn iteration_root(
        &mut self,
        run: &RunInputs<'_>,
        at: &IterationPlace,
    ) -> Result<Root, RecomputeError> {
        let segment = Segment {
            first_iteration: at.iteration,
            iterations: 1,
            start: at.state,
            solo_sync: None,
        };
        let assignment = Assignment::of(run, at.lane);
        let root = self.with(move |gpu| {
            let mut root = None;
            gpu.begin(&assignment)?;
            gpu.run(&segment, &mut |output| {
                root = Some(output.root);
                ControlFlow::Continue(())
            })?;
            Ok(root)
        })?;
        root.ok_or_else(|| {
            RecomputeError(
                "the GPU gave no root\nThis is a defect of the executor; please report it.".into(),
            )
        })
    }
}

fn verifier(error: ExecError) -> RecomputeError {
    RecomputeError(error.to_string())
}

/// The requested leaves, each tile computed once per stretch of
/// [`TILES_AT_A_TIME`] tiles.
fn wanted_leaves(
    work: Work,
    requests: &[LeafRequest],
    mut hashes_of: impl FnMut(&[TileRequest]) -> Result<Vec<Vec<Digest>>, ExecError>,
) -> Result<Vec<Digest>, ExecError> {
    let mut leaves = Vec::with_capacity(requests.len());
    let mut rest = requests;
    while !rest.is_empty() {
        let mut tiles = Vec::new();
        let mut places: HashMap<TileRequest, usize> = HashMap::new();
        let mut wanted = Vec::new();
        for request in rest {
            let tile = TileRequest::with_leaf(work, request.at, request.leaf);
            if tiles.len() == TILES_AT_A_TIME && !places.contains_key(&tile) {
                break;
            }
            let at = *places.entry(tile).or_insert_with(|| {
                tiles.push(tile);
                tiles.len() - 1
            });
            wanted.push((at, (request.leaf - tile.first_leaf(work)) as usize));
        }
        let hashes = hashes_of(&tiles)?;
        leaves.extend(wanted.iter().map(|&(tile, leaf)| hashes[tile][leaf]));
        rest = &rest[wanted.len()..];
    }
    Ok(leaves)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::names::State;
    use crate::protocol::work::fp64_product::Fp64Product;

    /// One tile a product.
    const WORK: Work = Work::Fp64Product(Fp64Product { dim: 128, products: 8192 });

    /// A hash that says which leaf of which tile it is.
    fn mark(tile: &TileRequest, leaf: u64) -> Digest {
        Digest::of(&[&tile.at.state.0, &tile.tile.to_be_bytes(), &leaf.to_be_bytes()])
    }

    fn request(tile: u64, leaf: u64) -> LeafRequest {
        LeafRequest { at: IterationPlace::of_state(State([1; 32])), leaf: 256 * tile + leaf }
    }

    #[test]
    fn leaves_come_in_request_order_and_tiles_are_computed_once() {
        // Repeated leaves, two leaves of one tile apart, more tiles than one batch.
        let mut requests = vec![request(7, 3), request(9, 255), request(7, 0), request(7, 3)];
        requests.extend((0..TILES_AT_A_TIME as u64 + 5).map(|tile| request(tile, 1)));
        let mut computed = Vec::new();
        let leaves = wanted_leaves(WORK, &requests, |tiles| {
            assert!(tiles.len() <= TILES_AT_A_TIME);
            computed.extend(tiles.to_vec());
            Ok(tiles.iter().map(|tile| (0..256).map(|leaf| mark(tile, leaf)).collect()).collect())
        })
        .unwrap();
        let expected: Vec<Digest> = requests
            .iter()
            .map(|&LeafRequest { at, leaf }| {
                mark(&TileRequest { at, tile: leaf / 256 }, leaf % 256)
            })
            .collect();
        assert_eq!(leaves, expected);
        assert_eq!(computed.len(), TILES_AT_A_TIME + 5);
        assert_eq!(wanted_leaves(WORK, &[], |_| unreachable!("nothing is asked for")).unwrap(), []);
    }
}
