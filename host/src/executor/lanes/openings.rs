//! Openings after a run: only the sampled tiles are computed again, the rest of
//! each path comes from the tile roots kept.

use super::lane::panicked;
use super::watch::slow_rate;
use super::{Execution, LaneExecution, Patience, RunError};
use crate::executor::{Assignment, ExecError, Executor, Kind, TileRequest, abandoned};
use crate::protocol::digest::Digest;
use crate::protocol::merkle::Tree;
use crate::protocol::result::Opening;
use crate::protocol::sample::SamplePoint;
use crate::protocol::work::{Cost, IterationPlace, Work};
use rayon::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Tiles asked of an executor at once: their leaf hashes take 8 KiB each.
const TILES_PER_BATCH: usize = 1024;
/// Bytes that the trees over iterations' tiles may take together, if each is below that.
const TREE_BYTES_MAX: u64 = 1 << 28;

impl Execution {
    /// The openings of `points`, in their order, each lane by its executor.
    ///
    /// # Errors
    /// [`RunError::NoSuchLeaf`], [`RunError::Unstable`], and [`RunError::Lane`],
    /// [`RunError::Broken`] or [`RunError::Hung`] for an executor's fault. After
    /// a fault the executors may be gone; a hung one is left to its thread.
    pub fn open(&mut self, points: &[SamplePoint]) -> Result<Vec<Opening>, RunError> {
        let (work, seeds) = (self.work, Arc::clone(&self.seeds));
        let of_lane = self.points_of_lanes(points)?;
        let limit = self.opening_limit(of_lane.iter().map(Vec::len).max().unwrap_or(0));
        let (sender, reports) = mpsc::channel();
        let lanes = Arc::new(std::mem::take(&mut self.lanes));
        let mut executors: Vec<Option<Box<dyn Executor>>> = Vec::new();
        let mut waiting: Vec<Option<u32>> = Vec::new();
        let all = std::mem::take(&mut self.executors).into_iter().zip(of_lane).enumerate();
        for (lane, (mut executor, points)) in all {
            waiting.push(points.iter().map(|(_, point)| point.iteration).min());
            executors.push(None);
            if points.is_empty() {
                executors[lane] = Some(executor);
                continue;
            }
            let (sender, shared) = (sender.clone(), Arc::clone(&lanes));
            let assignment = Assignment { work, lane: lane as u32, seeds: Arc::clone(&seeds) };
            // Not scoped: nothing may wait for a thread that hangs in a driver.
            let thread = std::thread::Builder::new().name(format!("opening {lane}"));
            let thread = thread.spawn(move || {
                let open = || open_lane(&assignment, &shared[lane], executor.as_mut(), points);
                let opened =
                    catch_unwind(AssertUnwindSafe(open)).map_err(|panic| panicked(&*panic));
                drop(shared);
                let _ = sender.send((lane, executor, opened));
            });
            if let Err(error) = thread {
                let device = lanes[lane].facts.model.clone();
                let (own, cause) = (device.clone(), error.to_string());
                let source = Box::new(ExecError::NoThread { device: own, cause });
                let iteration = waiting[lane].unwrap_or(0);
                return Err(RunError::Lane { lane: lane as u32, device, iteration, source });
            }
        }
        drop(sender);
        let deadline = Instant::now() + limit;
        let (mut opened, mut failure) = (Vec::new(), None);
        while executors.iter().any(Option::is_none) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok((lane, executor, result)) = reports.recv_timeout(left) else { break };
            executors[lane] = Some(executor);
            match result {
                Ok(Ok(openings)) => opened.extend(openings),
                Ok(Err(error)) => drop(failure.get_or_insert(error)),
                Err(cause) => {
                    let (device, iteration) =
                        (lanes[lane].facts.model.clone(), waiting[lane].unwrap_or(0));
                    let lane = lane as u32;
                    failure.get_or_insert(RunError::Broken { lane, device, iteration, cause });
                }
            }
        }
        if let Some(lane) = executors.iter().position(Option::is_none) {
            abandoned::note();
            return Err(failure.unwrap_or(RunError::Hung {
                lane: lane as u32,
                device: lanes[lane].facts.model.clone(),
                iteration: waiting[lane].unwrap_or(0),
                silent_ms: limit.as_millis() as u64,
            }));
        }
        // Every thread has let go of its share before it reported.
        self.lanes = Arc::try_unwrap(lanes).unwrap_or_else(|shared| shared.as_ref().clone());
        self.executors = executors.into_iter().flatten().collect();
        if let Some(error) = failure {
            return Err(error);
        }
        opened.sort_unstable_by_key(|(order, _): &Ordered<Opening>| *order);
        Ok(opened.into_iter().map(|(_, opening)| opening).collect())
    }

    /// The points of each lane.
    fn points_of_lanes(
        &self,
        points: &[SamplePoint],
    ) -> Result<Vec<Vec<Ordered<SamplePoint>>>, RunError> {
        let mut of_lane = vec![Vec::new(); self.lanes.len()];
        for (order, &point) in points.iter().enumerate() {
            let iterations = self.lanes.get(point.lane as usize).map_or(0, |l| l.roots.len());
            let known = (1..=iterations).contains(&(point.iteration as usize));
            if !known || point.leaf >= self.work.leaves() {
                return Err(RunError::NoSuchLeaf(point));
            }
            of_lane[point.lane as usize].push((order, point));
        }
        Ok(of_lane)
    }

    /// How long a lane may take over a number of tiles: the executors give no sign
    /// of life on the way.
    fn opening_limit(&self, tiles: usize) -> Duration {
        match self.patience {
            Patience::Fixed(limit) => limit,
            // Ten minutes more than the slowest machine takes.
            Patience::Observed => {
                let Cost { amount, unit } = self.work.opening_cost();
                let all = amount.saturating_mul(tiles as u64);
                Duration::from_secs(600 + all / slow_rate(Kind::Cpu, unit))
            }
        }
    }
}

/// A thing and its place among the openings.
type Ordered<T> = (usize, T);

/// The points that lie in a tile, at least one, and the tile's leaf hashes.
type SampledTile<'a> = (&'a [Ordered<SamplePoint>], &'a [Digest]);

fn open_lane(
    assignment: &Assignment,
    execution: &LaneExecution,
    executor: &mut dyn Executor,
    mut points: Vec<Ordered<SamplePoint>>,
) -> Result<Vec<Ordered<Opening>>, RunError> {
    points.sort_unstable_by_key(|(_, point)| (point.iteration, point.leaf));
    let device = || execution.facts.model.clone();
    let work = assignment.work;
    let leaves_per_tile = work.leaves_per_tile();
    let tile_of = |point: &SamplePoint| point.leaf / leaves_per_tile;
    let tiles: Vec<&[Ordered<SamplePoint>]> = points
        .chunk_by(|(_, a), (_, b)| (a.iteration, tile_of(a)) == (b.iteration, tile_of(b)))
        .collect();
    let mut opened = Vec::with_capacity(points.len());
    for batch in tiles.chunks(TILES_PER_BATCH) {
        let requests: Vec<TileRequest> = batch
            .iter()
            .map(|points| {
                let SamplePoint { lane, iteration, leaf } = points[0].1;
                let state = execution.states[iteration as usize - 1];
                TileRequest::with_leaf(work, IterationPlace { lane, iteration, state }, leaf)
            })
            .collect();
        let SamplePoint { lane, iteration, .. } = batch[0][0].1;
        let hashes = executor.leaf_hashes(assignment, &requests).map_err(|error| {
            RunError::Lane { lane, device: device(), iteration, source: Box::new(error) }
        })?;
        if hashes.len() != batch.len() {
            let cause = format!("{} tiles came instead of {}", hashes.len(), batch.len());
            return Err(RunError::Broken { lane, device: device(), iteration, cause });
        }
        let sampled: Vec<SampledTile<'_>> =
            batch.iter().zip(&hashes).map(|(points, leaves)| (*points, &leaves[..])).collect();
        let iterations: Vec<&[SampledTile<'_>]> =
            sampled.chunk_by(|(a, _), (b, _)| a[0].1.iteration == b[0].1.iteration).collect();
        for some in iterations.chunks(trees_at_once(work)) {
            let open = |tiles: &&[SampledTile<'_>]| open_iteration(work, execution, tiles);
            let found: Vec<_> = some.par_iter().map(open).collect();
            for found in found {
                opened.extend(found?);
            }
        }
    }
    Ok(opened)
}

/// How many iterations' trees are in memory at a time.
fn trees_at_once(work: Work) -> usize {
    // The nodes over the tiles are about as many again.
    let tree_bytes = 2 * size_of::<Digest>() as u64 * work.tiles();
    (TREE_BYTES_MAX / tree_bytes).max(1) as usize
}

/// The openings of one tile or several of the same iteration.
fn open_iteration(
    work: Work,
    execution: &LaneExecution,
    tiles: &[SampledTile<'_>],
) -> Result<Vec<Ordered<Opening>>, RunError> {
    let device = || execution.facts.model.clone();
    let leaves_per_tile = work.leaves_per_tile();
    let SamplePoint { lane, iteration, .. } = tiles[0].0[0].1;
    let kept = iteration_tiles(work, execution, iteration);
    let above = Tree::over(kept);
    let leads_to_root = above.root() == Some(execution.roots[iteration as usize - 1].node());
    let mut opened = Vec::new();
    for (points, leaves) in tiles {
        let tile = points[0].1.leaf / leaves_per_tile;
        let within = Tree::over(leaves);
        let (first, second) = (kept[tile as usize], within.root().unwrap_or_default());
        if first != second || leaves.len() as u64 != leaves_per_tile {
            let device = device();
            return Err(RunError::Unstable { lane, device, iteration, tile, first, second });
        }
        if !leads_to_root {
            let cause = "its tile roots don't lead to its iteration root".to_owned();
            return Err(RunError::Broken { lane, device: device(), iteration, cause });
        }
        for &(order, SamplePoint { leaf, .. }) in *points {
            let mut path = within.path((leaf % leaves_per_tile) as usize);
            path.extend(above.path(tile as usize));
            opened.push((order, Opening { lane, iteration, leaf, path }));
        }
    }
    Ok(opened)
}

fn iteration_tiles(work: Work, execution: &LaneExecution, iteration: u32) -> &[Digest] {
    let tiles = work.tiles() as usize;
    &execution.tile_roots[(iteration as usize - 1) * tiles..][..tiles]
}
