//! Openings after a run: only the sampled tiles are computed again, the rest of
//! each path comes from the tile roots kept.

use super::{Execution, LaneExecution, RunError};
use crate::executor::{Executor, TileRequest};
use crate::protocol::digest::Digest;
use crate::protocol::merkle::{self, Tree};
use crate::protocol::plan::{LeafPlace, Shape};
use crate::protocol::sample::SamplePoint;
use crate::protocol::transcript::Opening;
use gpu_kernels::tile::LEAVES_PER_TILE;

/// Tiles asked of an executor at once: their leaf hashes take 8 KiB each.
const TILES_PER_BATCH: usize = 1024;

impl Execution {
    /// The openings of `points`, in their order, each lane by its executor.
    ///
    /// # Errors
    /// [`RunError::NoSuchLeaf`], [`RunError::Unstable`], and [`RunError::Lane`]
    /// or [`RunError::Broken`] for an executor's fault.
    pub fn open(&mut self, points: &[SamplePoint]) -> Result<Vec<Opening>, RunError> {
        let shape = self.shape;
        let mut of_lane = vec![Vec::new(); self.lanes.len()];
        for (order, &point) in points.iter().enumerate() {
            let iterations = self.lanes.get(point.lane as usize).map_or(0, |l| l.roots.len());
            let known = (1..=iterations).contains(&(point.iteration as usize));
            if !known || point.leaf >= shape.leaves() {
                return Err(RunError::NoSuchLeaf(point));
            }
            of_lane[point.lane as usize].push((order, point));
        }
        let lanes = self.lanes.iter().zip(&mut self.executors).zip(of_lane);
        let mut opened = std::thread::scope(|scope| {
            let threads: Vec<_> = lanes
                .map(|((execution, executor), points)| {
                    scope.spawn(move || open_lane(shape, execution, executor.as_mut(), points))
                })
                .collect();
            let mut opened = Vec::new();
            for thread in threads {
                // A panic of an executor goes on in the caller.
                let lane = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                opened.extend(lane?);
            }
            Ok(opened)
        })?;
        opened.sort_unstable_by_key(|(order, _)| *order);
        Ok(opened.into_iter().map(|(_, opening)| opening).collect())
    }
}

/// A sample and its place among the openings.
type Ordered = (usize, SamplePoint);

fn open_lane(
    shape: Shape,
    execution: &LaneExecution,
    executor: &mut dyn Executor,
    mut points: Vec<Ordered>,
) -> Result<Vec<(usize, Opening)>, RunError> {
    points.sort_unstable_by_key(|(_, point)| (point.iteration, point.leaf));
    let tile_of = |point: &SamplePoint| point.leaf / u64::from(LEAVES_PER_TILE);
    let tiles: Vec<&[Ordered]> = points
        .chunk_by(|(_, a), (_, b)| (a.iteration, tile_of(a)) == (b.iteration, tile_of(b)))
        .collect();
    let mut opened = Vec::with_capacity(points.len());
    let mut tree = None;
    for batch in tiles.chunks(TILES_PER_BATCH) {
        let requests: Vec<TileRequest> = batch
            .iter()
            .map(|points| {
                let point = points[0].1;
                let place = LeafPlace::of(shape, point.leaf);
                TileRequest {
                    state: execution.states[point.iteration as usize - 1],
                    product: place.product,
                    tile_row: place.tile_row,
                    tile_column: place.tile_column,
                }
            })
            .collect();
        let first = batch[0][0].1;
        let device = || execution.facts.model.clone();
        let hashes = executor.tile_leaf_hashes(shape.dim, &requests).map_err(|error| {
            let (lane, iteration) = (first.lane, first.iteration);
            RunError::Lane { lane, device: device(), iteration, source: Box::new(error) }
        })?;
        if hashes.len() != batch.len() {
            return Err(RunError::Broken {
                lane: first.lane,
                device: device(),
                iteration: first.iteration,
                cause: format!("{} tiles came instead of {}", hashes.len(), batch.len()),
            });
        }
        for (points, leaves) in batch.iter().zip(&hashes) {
            let (iteration, tile) = (points[0].1.iteration, tile_of(&points[0].1));
            let kept = iteration_tiles(shape, execution, iteration);
            let (first, second) = (kept[tile as usize], merkle::root(leaves).unwrap_or_default());
            if first != second || leaves.len() != LEAVES_PER_TILE as usize {
                let lane = points[0].1.lane;
                let device = device();
                return Err(RunError::Unstable { lane, device, iteration, tile, first, second });
            }
            let upper = match &tree {
                Some((of, upper)) if *of == iteration => upper,
                _ => {
                    let upper = Tree::over(kept);
                    if upper.root() != Some(execution.roots[iteration as usize - 1]) {
                        let (lane, device) = (points[0].1.lane, device());
                        let cause = "its tile roots don't lead to its iteration root".to_owned();
                        return Err(RunError::Broken { lane, device, iteration, cause });
                    }
                    &tree.insert((iteration, upper)).1
                }
            };
            for &(order, point) in *points {
                let leaf = (point.leaf % u64::from(LEAVES_PER_TILE)) as usize;
                let mut path = merkle::path(leaves, leaf);
                path.extend(upper.path(tile as usize));
                let SamplePoint { lane, iteration, leaf } = point;
                opened.push((order, Opening { lane, iteration, leaf, path }));
            }
        }
    }
    Ok(opened)
}

fn iteration_tiles(shape: Shape, execution: &LaneExecution, iteration: u32) -> &[Digest] {
    let tiles = shape.tiles() as usize;
    &execution.tile_roots[(iteration as usize - 1) * tiles..][..tiles]
}
