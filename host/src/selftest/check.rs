//! The one checker that every executor and every kernel variant goes through:
//! the same cases, the same comparisons, no tolerance.

use super::lanes::LaneExecutors;
use crate::executor::{ExecError, Executor, Segment, SmTiles, SoloSync, TileRequest};
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::names::{Root, State};
use crate::protocol::verify::{LeafRequest, Recompute, RecomputeError};
use crate::protocol::work::{IterationPlace, RunInputs, Work};
use crate::protocol::{chain, merkle};
use std::fmt;
use std::ops::ControlFlow;

/// What is run: some lanes, T iterations, sync points every S.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// The work of each iteration.
    pub work: Work,
    /// Number of lanes. More than one only if they read each other's memory.
    pub lanes: u32,
    /// Number of iterations.
    pub iterations: u32,
    /// Iterations between sync points.
    pub sync: u32,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { work, lanes, iterations, sync } = self;
        write!(f, "{} T={iterations} S={sync}", work.in_short())?;
        if *lanes > 1 { write!(f, " G={lanes}") } else { Ok(()) }
    }
}

/// What a case must give.
#[derive(Clone, Debug)]
pub struct Expected {
    challenge: Digest,
    /// s(g,0) of every lane.
    seeds: Vec<State>,
    /// Per lane D(g,1) … D(g,T).
    roots: Vec<Vec<Root>>,
    /// Per lane s(g,0) … s(g,T).
    states: Vec<Vec<State>>,
}

/// The first thing that differs from what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: expected {expected}, got {got}")]
pub struct Difference {
    /// Which value, with its coordinates.
    pub what: String,
    /// What the oracle says.
    pub expected: String,
    /// What was computed.
    pub got: String,
}

/// Why a check did not pass.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A value differs.
    #[error(transparent)]
    Differs(#[from] Difference),
    /// The executor could not do its work.
    #[error(transparent)]
    Executor(#[from] ExecError),
    /// The recomputing side could not do its work.
    #[error("{}", .0.0)]
    Recompute(RecomputeError),
}

fn same<T: PartialEq + fmt::Display>(
    what: impl FnOnce() -> String,
    expected: T,
    got: T,
) -> Result<(), Difference> {
    if expected == got {
        return Ok(());
    }
    Err(Difference { what: what(), expected: expected.to_string(), got: got.to_string() })
}

impl Case {
    fn challenge(&self) -> Digest {
        Digest::of(&[b"attest selftest", self.to_string().as_bytes()])
    }

    /// s(g,0) of every lane.
    pub fn seeds(&self) -> Vec<State> {
        let challenge = self.challenge();
        (0..self.lanes).map(|lane| chain::lane_seed(&challenge, lane, &Uuid([7; 16]))).collect()
    }

    /// Walks the chains with roots from `root_of`.
    ///
    /// # Errors
    /// Those of `root_of`.
    pub fn expect_from<E>(
        &self,
        mut root_of: impl FnMut(&IterationPlace) -> Result<Root, E>,
    ) -> Result<Expected, E> {
        let (challenge, seeds) = (self.challenge(), self.seeds());
        let mut states: Vec<Vec<State>> = seeds.iter().map(|&seed| vec![seed]).collect();
        let mut roots = vec![Vec::new(); seeds.len()];
        for iteration in 1..=self.iterations {
            let mut of_all = Vec::new();
            for (lane, states) in (0..).zip(&states) {
                let state = states[states.len() - 1];
                of_all.push(root_of(&IterationPlace { lane, iteration, state })?);
            }
            let sync = (iteration % self.sync == 0)
                .then(|| chain::sync_digest(&challenge, iteration, &of_all));
            for ((states, roots), root) in states.iter_mut().zip(&mut roots).zip(of_all) {
                let state = states[states.len() - 1];
                states.push(chain::step(&state, iteration, &root, sync.as_ref()));
                roots.push(root);
            }
        }
        Ok(Expected { challenge, seeds, roots, states })
    }
}

impl Expected {
    /// What its leaves follow from.
    fn run(&self, work: Work) -> RunInputs<'_> {
        RunInputs { work, seeds: &self.seeds }
    }
}

/// What an executor gave for one iteration.
struct Seen {
    root: Root,
    tile_roots: Vec<Digest>,
}

fn run(
    executor: &mut dyn Executor,
    case: &Case,
    segment: &Segment,
    seen: &mut Vec<Seen>,
) -> Result<(), CheckError> {
    let mut misnumbered = None;
    let ran = executor.run(segment, &mut |output| {
        let want = seen.len() as u32 + 1;
        if output.iteration != want {
            misnumbered = Some((want, output.iteration));
            return ControlFlow::Break(());
        }
        seen.push(Seen { root: output.root, tile_roots: output.tile_roots.to_vec() });
        ControlFlow::Continue(())
    });
    // First, as the executor was stopped for it and says so.
    if let Some((want, got)) = misnumbered {
        same(|| format!("number of an iteration of {case}"), want, got)?;
    }
    Ok(ran?)
}

/// Runs `case` on `executors` and compares every root, tile root, counted tile and a few
/// tiles' leaves. A lone lane runs in one segment and once more cut at its sync points;
/// several are cut at them.
///
/// # Errors
/// The first difference, or an executor's fault.
pub fn executors(
    executors: &mut LaneExecutors<'_>,
    case: &Case,
    expected: &Expected,
    oracle: &dyn Recompute,
) -> Result<(), CheckError> {
    let rule = SoloSync { challenge: expected.challenge, interval: case.sync };
    if case.lanes == 1 {
        let seen = pass(executors, case, expected, case.iterations, Some(rule))?;
        tiles_and_leaves(executors, case, expected, &seen, oracle)?;
    }
    if case.lanes > 1 || case.sync < case.iterations {
        let seen = pass(executors, case, expected, case.sync, None)?;
        if case.lanes > 1 {
            tiles_and_leaves(executors, case, expected, &seen, oracle)?;
        }
    }
    Ok(())
}

/// Runs all iterations in segments of `length`, and compares their roots. Gives what each
/// lane gave.
fn pass(
    executors: &mut LaneExecutors<'_>,
    case: &Case,
    expected: &Expected,
    length: u32,
    solo_sync: Option<SoloSync>,
) -> Result<Vec<Vec<Seen>>, CheckError> {
    executors.begin(&expected.run(case.work))?;
    let mut seen: Vec<Vec<Seen>> = (0..case.lanes).map(|_| Vec::new()).collect();
    for first_iteration in (1..=case.iterations).step_by(length as usize) {
        let iterations = length.min(case.iterations + 1 - first_iteration);
        for (lane, seen) in (0..).zip(&mut seen) {
            let start = expected.states[lane as usize][first_iteration as usize - 1];
            let segment = Segment { first_iteration, iterations, start, solo_sync };
            let (executor, _) = executors.lane(lane)?;
            run(executor, case, &segment, seen)?;
        }
    }
    for (lane, seen) in (0..).zip(&seen) {
        roots(case, lane, &expected.roots[lane as usize], seen)?;
    }
    Ok(seen)
}

/// " of lane 1", if there are several.
fn of_lane(case: &Case, lane: u32) -> String {
    if case.lanes > 1 { format!(" of lane {lane}") } else { String::new() }
}

fn roots(case: &Case, lane: u32, expected: &[Root], seen: &[Seen]) -> Result<(), Difference> {
    let lane = of_lane(case, lane);
    same(|| format!("number of iterations{lane}"), expected.len(), seen.len())?;
    for ((iteration, want), got) in (1..).zip(expected).zip(seen) {
        same(|| format!("root of iteration {iteration}{lane}"), *want, got.root)?;
        let tiles = case.work.tiles();
        let counted = got.tile_roots.len() as u64;
        same(|| format!("tile roots of iteration {iteration}{lane}"), tiles, counted)?;
        let folded = Root::of_tree(merkle::root(&got.tile_roots).unwrap_or_default());
        same(|| format!("root over tile roots of iteration {iteration}{lane}"), *want, folded)?;
    }
    Ok(())
}

/// Adds up the tiles that each lane counted; opens the first, a middle and the last tile
/// of its last iteration.
fn tiles_and_leaves(
    executors: &mut LaneExecutors<'_>,
    case: &Case,
    expected: &Expected,
    seen: &[Vec<Seen>],
    oracle: &dyn Recompute,
) -> Result<(), CheckError> {
    let (last, per_tile) = (case.iterations as usize, case.work.leaves_per_tile());
    let indices = [0, case.work.tiles() / 2, case.work.tiles() - 1];
    let at = |lane: u32| {
        let state = expected.states[lane as usize][last - 1];
        IterationPlace { lane, iteration: case.iterations, state }
    };
    let request = |lane: u32, tile: u64| LeafRequest {
        at: at(lane),
        leaf: tile * per_tile + tile % per_tile,
    };
    let requests: Vec<LeafRequest> =
        (0..case.lanes).flat_map(|lane| indices.map(|tile| request(lane, tile))).collect();
    let run = expected.run(case.work);
    let wanted = oracle.leaf_hashes(&run, &requests).map_err(CheckError::Recompute)?;
    for (lane, wanted) in (0..case.lanes).zip(wanted.chunks(indices.len())) {
        let (executor, assignment) = executors.lane(lane)?;
        let name = of_lane(case, lane);
        if let SmTiles::Counted(tiles) = executor.sm_tiles()? {
            let sum: u128 = tiles.iter().map(|&count| u128::from(count)).sum();
            let all = u128::from(case.work.tiles()) * u128::from(case.iterations);
            same(|| format!("tiles counted over the SMs{name}"), all, sum)?;
        }
        let tiles = indices.map(|tile| TileRequest { at: at(lane), tile });
        let got = executor.leaf_hashes(&assignment, &tiles)?;
        same(|| format!("number of opened tiles{name}"), tiles.len(), got.len())?;
        let roots = &seen[lane as usize][last - 1].tile_roots;
        for ((tile, want), leaves) in indices.iter().zip(wanted).zip(&got) {
            let leaf = tile % per_tile;
            same(|| format!("leaves of tile {tile}{name}"), per_tile, leaves.len() as u64)?;
            same(|| format!("leaf {leaf} of tile {tile}{name}"), *want, leaves[leaf as usize])?;
            let (folded, kept) = (merkle::root(leaves), roots[*tile as usize]);
            same(|| format!("root of opened tile {tile}{name}"), kept, folded.unwrap_or_default())?;
        }
    }
    Ok(())
}

/// Compares leaves of `case` spread over its iterations, recomputed by
/// `recompute` and by the oracle.
///
/// # Errors
/// The first difference, or a fault of either side.
pub fn recomputation(
    recompute: &dyn Recompute,
    case: &Case,
    expected: &Expected,
    oracle: &dyn Recompute,
) -> Result<(), CheckError> {
    let leaves = case.work.leaves();
    let requests: Vec<LeafRequest> = (0..16 * u64::from(case.iterations))
        .map(|draw| {
            let (lane, iteration) = (draw as u32 % case.lanes, (draw / 16) as u32 + 1);
            let state = expected.states[lane as usize][iteration as usize - 1];
            // The golden ratio's fraction spreads the places evenly.
            let leaf = draw.wrapping_mul(0x9e37_79b9_7f4a_7c15) % leaves;
            LeafRequest { at: IterationPlace { lane, iteration, state }, leaf }
        })
        .collect();
    let run = expected.run(case.work);
    let want = oracle.leaf_hashes(&run, &requests).map_err(CheckError::Recompute)?;
    let got = recompute.leaf_hashes(&run, &requests).map_err(CheckError::Recompute)?;
    same(|| "number of leaves".into(), want.len(), got.len())?;
    for ((request, want), got) in requests.iter().zip(want).zip(got) {
        let IterationPlace { lane, iteration, .. } = request.at;
        let what =
            || format!("leaf {} of iteration {iteration}{}", request.leaf, of_lane(case, lane));
        same(what, want, got)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::{Assignment, IterationOutput, LaneFacts, Sink};
    use crate::protocol::work::fp64_product::Fp64Product;
    use crate::reference::{Oracle, OracleExecutor};

    /// Numbers its iterations from 0.
    struct FromZero(OracleExecutor);

    impl Executor for FromZero {
        fn facts(&self) -> &LaneFacts {
            self.0.facts()
        }

        fn begin(&mut self, assignment: &Assignment) -> Result<(), ExecError> {
            self.0.begin(assignment)
        }

        fn run(&mut self, segment: &Segment, sink: &mut Sink<'_>) -> Result<(), ExecError> {
            self.0.run(segment, &mut |output| {
                sink(IterationOutput { iteration: output.iteration - 1, ..output })
            })
        }

        fn leaf_hashes(
            &mut self,
            assignment: &Assignment,
            tiles: &[TileRequest],
        ) -> Result<Vec<Vec<Digest>>, ExecError> {
            self.0.leaf_hashes(assignment, tiles)
        }

        fn sm_tiles(&mut self) -> Result<SmTiles, ExecError> {
            self.0.sm_tiles()
        }
    }

    #[test]
    fn a_wrong_iteration_number_is_the_difference_that_is_told() {
        let work = Fp64Product { dim: 128, products: 1 }.into();
        let case = Case { work, lanes: 1, iterations: 1, sync: 1 };
        let expected = case.expect_from(|_| Ok::<_, ExecError>(Root::default())).unwrap();
        let from_zero = || Ok(Box::new(FromZero(OracleExecutor::new(Uuid([7; 16])))) as _);
        let mut from_zero = LaneExecutors::new(from_zero);
        let found = executors(&mut from_zero, &case, &expected, &Oracle).unwrap_err();
        let text = found.to_string();
        assert!(text.starts_with("number of an iteration of n=128 m=1"), "{text}");
        assert!(text.ends_with("expected 1, got 0"), "{text}");
    }
}
