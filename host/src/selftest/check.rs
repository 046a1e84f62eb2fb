//! The one checker that every executor and every kernel variant goes through:
//! the same cases, the same comparisons, no tolerance.

use crate::executor::{Assignment, ExecError, Executor, Segment, SmTiles, SoloSync, TileRequest};
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::names::{Root, State};
use crate::protocol::verify::{LeafRequest, Recompute, RecomputeError};
use crate::protocol::work::{IterationPlace, RunInputs, Work};
use crate::protocol::{chain, merkle};
use std::fmt;
use std::ops::ControlFlow;

/// What is run: one lane, T iterations, sync points every S.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// The work of each iteration.
    pub work: Work,
    /// Number of iterations.
    pub iterations: u32,
    /// Iterations between sync points.
    pub sync: u32,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} T={} S={}", self.work.in_short(), self.iterations, self.sync)
    }
}

/// What a case must give.
#[derive(Clone, Debug)]
pub struct Expected {
    challenge: Digest,
    /// D(0,1) … D(0,T).
    pub roots: Vec<Root>,
    /// s(0,0) … s(0,T).
    pub states: Vec<State>,
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
    /// What its one lane is to do.
    fn assignment(&self, expected: &Expected) -> Assignment {
        Assignment { work: self.work, lane: 0, seeds: expected.states[..1].into() }
    }

    fn challenge(&self) -> Digest {
        Digest::of(&[b"attest selftest", self.to_string().as_bytes()])
    }

    /// Walks the chain with roots from `root_of`.
    ///
    /// # Errors
    /// Those of `root_of`.
    pub fn expect_from<E>(
        &self,
        mut root_of: impl FnMut(&RunInputs<'_>, &IterationPlace) -> Result<Root, E>,
    ) -> Result<Expected, E> {
        let challenge = self.challenge();
        let seeds = [chain::lane_seed(&challenge, 0, &Uuid([7; 16]))];
        let run = RunInputs { work: self.work, seeds: &seeds };
        let mut states = seeds.to_vec();
        let mut roots = Vec::new();
        for iteration in 1..=self.iterations {
            let state = states[states.len() - 1];
            let root = root_of(&run, &IterationPlace { lane: 0, iteration, state })?;
            let sync = (iteration % self.sync == 0)
                .then(|| chain::sync_digest(&challenge, iteration, &[root]));
            states.push(chain::step(&state, iteration, &root, sync.as_ref()));
            roots.push(root);
        }
        Ok(Expected { challenge, roots, states })
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

/// Begins as the lanes of a run do, for a lane that is alone.
fn begin(executor: &mut dyn Executor, assignment: &Assignment) -> Result<(), ExecError> {
    executor.begin(assignment)?;
    let shared = executor.share();
    executor.connect(&[shared])
}

/// Runs `case` on `executor` in one segment and again cut at its first sync
/// point, and compares every root, tile root, counted tile and a few tiles'
/// leaves.
///
/// # Errors
/// The first difference, or the executor's fault.
pub fn executor(
    executor: &mut dyn Executor,
    case: &Case,
    expected: &Expected,
    oracle: &dyn Recompute,
) -> Result<(), CheckError> {
    let assignment = case.assignment(expected);
    let whole = Segment {
        first_iteration: 1,
        iterations: case.iterations,
        start: expected.states[0],
        solo_sync: Some(SoloSync { challenge: expected.challenge, interval: case.sync }),
    };
    begin(executor, &assignment)?;
    let mut seen = Vec::new();
    run(executor, case, &whole, &mut seen)?;
    roots(case, expected, &seen)?;
    if let SmTiles::Counted(tiles) = executor.sm_tiles()? {
        let sum: u128 = tiles.iter().map(|&count| u128::from(count)).sum();
        let all = u128::from(case.work.tiles()) * u128::from(case.iterations);
        same(|| "tiles counted over the SMs".into(), all, sum)?;
    }
    leaves(executor, case, expected, &seen, oracle)?;

    if case.sync < case.iterations {
        begin(executor, &assignment)?;
        let mut seen = Vec::new();
        for first in (1..=case.iterations).step_by(case.sync as usize) {
            let segment = Segment {
                first_iteration: first,
                iterations: case.sync.min(case.iterations + 1 - first),
                start: expected.states[first as usize - 1],
                solo_sync: None,
            };
            run(executor, case, &segment, &mut seen)?;
        }
        roots(case, expected, &seen)?;
    }
    Ok(())
}

fn roots(case: &Case, expected: &Expected, seen: &[Seen]) -> Result<(), Difference> {
    same(|| "number of iterations".into(), expected.roots.len(), seen.len())?;
    for ((iteration, want), got) in (1..).zip(&expected.roots).zip(seen) {
        same(|| format!("root of iteration {iteration}"), *want, got.root)?;
        let tiles = case.work.tiles();
        let counted = got.tile_roots.len() as u64;
        same(|| format!("tile roots of iteration {iteration}"), tiles, counted)?;
        let folded = Root::of_tree(merkle::root(&got.tile_roots).unwrap_or_default());
        same(|| format!("root over tile roots of iteration {iteration}"), *want, folded)?;
    }
    Ok(())
}

/// Opens the first, a middle and the last tile of the last iteration.
fn leaves(
    executor: &mut dyn Executor,
    case: &Case,
    expected: &Expected,
    seen: &[Seen],
    oracle: &dyn Recompute,
) -> Result<(), CheckError> {
    let last = case.iterations as usize;
    let state = expected.states[last - 1];
    let at = IterationPlace { lane: 0, iteration: case.iterations, state };
    let assignment = case.assignment(expected);
    let per_tile = case.work.leaves_per_tile();
    let indices = [0, case.work.tiles() / 2, case.work.tiles() - 1];
    let requests = indices.map(|tile| LeafRequest { at, leaf: tile * per_tile + tile % per_tile });
    let tiles = indices.map(|tile| TileRequest { at, tile });
    let wanted = oracle.leaf_hashes(&assignment.run(), &requests).map_err(CheckError::Recompute)?;
    let got = executor.leaf_hashes(&assignment, &tiles)?;
    same(|| "number of opened tiles".into(), tiles.len(), got.len())?;
    for ((tile, want), leaves) in indices.iter().zip(wanted).zip(&got) {
        let leaf = tile % per_tile;
        same(|| format!("leaves of tile {tile}"), per_tile, leaves.len() as u64)?;
        same(|| format!("leaf {leaf} of tile {tile}"), want, leaves[leaf as usize])?;
        let (folded, kept) = (merkle::root(leaves), seen[last - 1].tile_roots[*tile as usize]);
        same(|| format!("root of opened tile {tile}"), kept, folded.unwrap_or_default())?;
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
            let iteration = (draw / 16) as u32 + 1;
            let state = expected.states[iteration as usize - 1];
            // The golden ratio's fraction spreads the places evenly.
            let leaf = draw.wrapping_mul(0x9e37_79b9_7f4a_7c15) % leaves;
            LeafRequest { at: IterationPlace { lane: 0, iteration, state }, leaf }
        })
        .collect();
    let assignment = case.assignment(expected);
    let run = assignment.run();
    let want = oracle.leaf_hashes(&run, &requests).map_err(CheckError::Recompute)?;
    let got = recompute.leaf_hashes(&run, &requests).map_err(CheckError::Recompute)?;
    same(|| "number of leaves".into(), want.len(), got.len())?;
    for ((request, want), got) in requests.iter().zip(want).zip(got) {
        same(|| format!("leaf {} of iteration {}", request.leaf, request.at.iteration), want, got)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::{IterationOutput, LaneFacts, Sink};
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
        let case = Case { work, iterations: 1, sync: 1 };
        let expected = case.expect_from(|_, _| Ok::<_, ExecError>(Root::default())).unwrap();
        let mut from_zero = FromZero(OracleExecutor::new(Uuid([7; 16])));
        let found = executor(&mut from_zero, &case, &expected, &Oracle).unwrap_err();
        let text = found.to_string();
        assert!(text.starts_with("number of an iteration of n=128 m=1"), "{text}");
        assert!(text.ends_with("expected 1, got 0"), "{text}");
    }
}
