//! What the chain's iterations are, as the lanes find them, and who was wrong
//! where two finds differ.

use super::fault::{FaultLog, FaultPlace};
use crate::executor::{Assignment, ExecError, Executor, Segment, TileRequest};
use crate::protocol::digest::Digest;
use crate::protocol::names::{Root, State};
use crate::protocol::work::{IterationPlace, Work};
use crate::protocol::{chain, merkle};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Products need nothing but the states of their iterations.
pub(super) fn assignment(work: Work) -> Assignment {
    Assignment { work, lane: 0, seeds: Arc::new([]) }
}

/// What a lane found first of an iteration.
#[derive(Clone, Debug)]
pub(super) struct Found {
    lane: usize,
    round: u64,
    iteration: u32,
    /// s of the iteration before it.
    state: State,
    root: Root,
    tile_roots: Vec<Digest>,
}

impl Found {
    /// Root and tile roots of the same iteration by another executor.
    pub(super) fn again(
        &self,
        work: Work,
        executor: &mut dyn Executor,
    ) -> Result<(Root, Vec<Digest>), ExecError> {
        let segment = Segment {
            first_iteration: self.iteration,
            iterations: 1,
            start: self.state,
            solo_sync: None,
        };
        let mut got = (Root::default(), Vec::new());
        executor.begin(&assignment(work))?;
        executor.run(&segment, &mut |output| {
            got = (output.root, output.tile_roots.to_vec());
            ControlFlow::Continue(())
        })?;
        Ok(got)
    }
}

/// A lane's output of an iteration.
#[derive(Clone, Copy)]
pub(super) struct Output<'a> {
    pub(super) lane: usize,
    pub(super) round: u64,
    pub(super) iteration: u32,
    pub(super) root: Root,
    pub(super) tile_roots: &'a [Digest],
}

/// The chain so far.
pub(super) struct Answers {
    work: Work,
    seed: State,
    log: FaultLog,
    judge: Box<dyn Executor>,
    found: Vec<Found>,
    known: u32,
    compared: u64,
}

impl Answers {
    pub(super) fn new(work: Work, seed: State, log: FaultLog, judge: Box<dyn Executor>) -> Self {
        Self { work, seed, log, judge, found: Vec::new(), known: 0, compared: 0 }
    }

    pub(super) fn log(&self) -> &FaultLog {
        &self.log
    }

    /// Iterations from the first on that were checked whole.
    pub(super) fn known(&self) -> u32 {
        self.known
    }

    /// Iterations that were computed twice at least, and compared: with what another
    /// lane or an earlier round found, or whole on the CPU.
    pub(super) fn compared(&self) -> u64 {
        self.compared
    }

    /// What was found of an iteration.
    pub(super) fn found(&self, iteration: u32) -> Option<Found> {
        self.found.get(iteration as usize - 1).cloned()
    }

    /// Whether a lane's iteration is right as far as anybody knows. After a no
    /// the lane has to begin its round anew.
    pub(super) fn compare(&mut self, output: Output<'_>) -> bool {
        let Output { lane, round, iteration, root, tile_roots } = output;
        let at = iteration as usize - 1;
        if at > self.found.len() {
            // What this round is based on was found to be wrong meanwhile.
            return false;
        }
        let Some(found) = self.found.get(at) else {
            let state = self.found.last().map_or(self.seed, |last| {
                chain::step(&last.state, last.iteration, &last.root, None)
            });
            let tile_roots = tile_roots.to_vec();
            self.found.push(Found { lane, round, iteration, state, root, tile_roots });
            return true;
        };
        self.compared += 1;
        if found.root == root && found.tile_roots == tile_roots {
            return true;
        }
        if self.log.is_full() {
            return false;
        }
        let first = (found.lane, found.round);
        let state = found.state;
        let differs = found.tile_roots.iter().zip(tile_roots).position(|(a, b)| a != b);
        let (tile, had, got) = match differs {
            Some(tile) => (Some(tile as u64), found.tile_roots[tile], tile_roots[tile]),
            None => (None, found.root.node(), root.node()),
        };
        let right = match tile {
            Some(tile) => self.tile_root(&state, tile),
            None => merkle::root(tile_roots),
        };
        let Some(right) = right else { return false };
        if got != right {
            self.keep((lane, round), iteration, tile, right, got);
        }
        if had == right {
            return false;
        }
        // Whoever came first was wrong: from here on it is found anew.
        self.keep(first, iteration, tile, right, had);
        self.found.truncate(at);
        self.known = self.known.min(at as u32);
        got == right && self.compare(output)
    }

    /// Compares what was found with a whole recomputation.
    pub(super) fn check(&mut self, found: &Found, root: Root, tile_roots: &[Digest]) -> bool {
        let at = found.iteration as usize - 1;
        if self.found.get(at).is_none_or(|now| now.root != found.root) {
            return false;
        }
        self.compared += 1;
        let differs = found.tile_roots.iter().zip(tile_roots).position(|(a, b)| a != b);
        if differs.is_none() && root == found.root {
            self.known = self.known.max(found.iteration);
            return true;
        }
        let (expected, got) = match differs {
            Some(tile) => (tile_roots[tile], found.tile_roots[tile]),
            None => (root.node(), found.root.node()),
        };
        let tile = differs.map(|tile| tile as u64);
        self.keep((found.lane, found.round), found.iteration, tile, expected, got);
        self.found.truncate(at);
        false
    }

    fn keep(
        &mut self,
        (lane, round): (usize, u64),
        iteration: u32,
        tile: Option<u64>,
        expected: Digest,
        got: Digest,
    ) {
        let iteration = u64::from(iteration);
        self.log.keep(FaultPlace { lane, round, iteration, tile }, expected, got);
    }

    /// The root of a tile by the CPU; `None` if that fails.
    fn tile_root(&mut self, state: &State, tile: u64) -> Option<Digest> {
        let request = TileRequest { at: IterationPlace::of_state(*state), tile };
        let leaves = self.judge.leaf_hashes(&assignment(self.work), &[request]).ok()?;
        merkle::root(leaves.first()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::digest::Uuid;
    use crate::protocol::work::fp64_product::Fp64Product;
    use crate::reference::OracleExecutor;
    use crate::selftest::stress::fault::FAULTS_MAX;

    #[test]
    fn differences_beyond_the_faults_that_are_kept_are_counted_and_not_judged() {
        let work = Work::from(Fp64Product { dim: 128, products: 1 });
        let (seed, uuid) = (State([3; 32]), Uuid([1; 16]));
        let names = ["right", "wrong"].map(|name| (name.to_owned(), uuid)).to_vec();
        let oracle = || Box::new(OracleExecutor::new(uuid)) as Box<dyn Executor>;
        let none = Digest::default();
        let lost = Found {
            lane: 0,
            round: 1,
            iteration: 1,
            state: seed,
            root: Root::default(),
            tile_roots: vec![],
        };
        let (root, tile_roots) = lost.again(work, oracle().as_mut()).unwrap();
        let mut answers = Answers::new(work, seed, FaultLog::new("fp64", names), oracle());
        let right = Output { lane: 0, round: 1, iteration: 1, root, tile_roots: &tile_roots };
        let wrong = Output { lane: 1, root: Root::default(), tile_roots: &[none], ..right };
        assert!(answers.compare(right));
        for _ in 0..FAULTS_MAX + 3 {
            assert!(!answers.compare(wrong));
        }
        assert_eq!((answers.log().faults().len(), answers.log().unjudged()), (FAULTS_MAX, 3));
        assert!(answers.log().faults().iter().all(|fault| fault.device == "wrong"));
        assert!(answers.compare(right), "what is right stays so");
    }
}
