//! What the chain's iterations are, as the lanes find them, and who was wrong
//! where two finds differ.

use crate::executor::{ExecError, Executor, Segment, TileRequest};
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::names::{Root, State};
use crate::protocol::work::IterationPlace;
use crate::protocol::work::fp64_product::Fp64Product;
use crate::protocol::{chain, merkle};
use std::fmt;
use std::ops::ControlFlow;

/// Faults that are kept. Differences after the last of them are counted, not judged:
/// a device that is always wrong would keep the CPU busy and the others waiting.
pub const FAULTS_MAX: usize = 16;

/// A lane's wrong bits in one iteration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The device that was wrong.
    pub device: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// The round it was wrong in, from 1.
    pub round: u64,
    /// The iteration.
    pub iteration: u32,
    /// The first tile that is wrong, over all products; `None`: the tree above
    /// the tiles.
    pub tile: Option<u64>,
    /// The root of the tile or tree as the CPU computes it.
    pub expected: Digest,
    /// As the device had it.
    pub got: Digest,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, round, iteration, expected, got, .. } = self;
        match self.tile {
            Some(tile) => write!(f, "{device}: tile {tile} of iteration {iteration}")?,
            None => write!(f, "{device}: the tree of iteration {iteration}")?,
        }
        write!(f, " was wrong in round {round}: got {got}, expected {expected}")
    }
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
        shape: Fp64Product,
        executor: &mut dyn Executor,
    ) -> Result<(Root, Vec<Digest>), ExecError> {
        let segment = Segment {
            first_iteration: self.iteration,
            iterations: 1,
            start: self.state,
            solo_sync: None,
        };
        let mut got = (Root::default(), Vec::new());
        executor.begin(&shape.into())?;
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
    shape: Fp64Product,
    seed: State,
    names: Vec<(String, Uuid)>,
    judge: Box<dyn Executor>,
    found: Vec<Found>,
    faults: Vec<Fault>,
    unjudged: u64,
    known: u32,
    compared: u64,
}

impl Answers {
    pub(super) fn new(
        shape: Fp64Product,
        seed: State,
        names: Vec<(String, Uuid)>,
        judge: Box<dyn Executor>,
    ) -> Self {
        let (found, faults) = (Vec::new(), Vec::new());
        let (unjudged, known, compared) = (0, 0, 0);
        Self { shape, seed, names, judge, found, faults, unjudged, known, compared }
    }

    pub(super) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Differences after the last fault that was kept.
    pub(super) fn unjudged(&self) -> u64 {
        self.unjudged
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
        if self.faults.len() >= FAULTS_MAX {
            self.unjudged += 1;
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
        if self.faults.len() < FAULTS_MAX {
            let (device, uuid) = self.names[lane].clone();
            let fault = Fault { device, uuid, round, iteration, tile, expected, got };
            tracing::warn!("{fault}");
            self.faults.push(fault);
        }
    }

    /// The root of a tile by the CPU; `None` if that fails.
    fn tile_root(&mut self, state: &State, tile: u64) -> Option<Digest> {
        let request = TileRequest { at: IterationPlace::of_state(*state), tile };
        let leaves = self.judge.leaf_hashes(&self.shape.into(), &[request]).ok()?;
        merkle::root(leaves.first()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::OracleExecutor;

    #[test]
    fn differences_beyond_the_faults_that_are_kept_are_counted_and_not_judged() {
        let shape = Fp64Product { dim: 128, products: 1 };
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
        let (root, tile_roots) = lost.again(shape, oracle().as_mut()).unwrap();
        let mut answers = Answers::new(shape, seed, names, oracle());
        let right = Output { lane: 0, round: 1, iteration: 1, root, tile_roots: &tile_roots };
        let wrong = Output { lane: 1, root: Root::default(), tile_roots: &[none], ..right };
        assert!(answers.compare(right));
        for _ in 0..FAULTS_MAX + 3 {
            assert!(!answers.compare(wrong));
        }
        assert_eq!((answers.faults().len(), answers.unjudged()), (FAULTS_MAX, 3));
        assert!(answers.faults().iter().all(|fault| fault.device == "wrong"));
        assert!(answers.compare(right), "what is right stays so");
    }
}
