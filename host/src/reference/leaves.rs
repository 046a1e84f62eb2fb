//! Leaves of any kind of work, by the oracle of its kind.

use super::integer::IntegerOracle;
use super::memory::MemoryOracle;
use super::oracle::Oracle;
use super::tree::tree_hash;
use crate::protocol::digest::Digest;
use crate::protocol::names::Root;
use crate::protocol::verify::{LeafRequest, Recompute, RecomputeError, RecomputeIteration};
use crate::protocol::work::fp64_product::{Fp64Product, LeafPlace};
use crate::protocol::work::{IterationPlace, RunInputs, Work};
use rayon::prelude::*;

/// What all leaves of a run follow from, as its kind's oracle keeps it.
#[derive(Clone, Debug)]
pub enum Leaves {
    /// Products: nothing but their shape.
    Fp64Product(Fp64Product),
    /// Memory: the arenas of all lanes.
    MemoryResidency(MemoryOracle),
    /// Integer products: nothing but their shape.
    IntegerProduct(IntegerOracle),
}

impl Leaves {
    /// Those of a run.
    pub fn of(run: &RunInputs<'_>) -> Self {
        match run.work {
            Work::Fp64Product(shape) => Self::Fp64Product(shape),
            Work::MemoryResidency(work) => {
                Self::MemoryResidency(MemoryOracle::new(work, run.seeds))
            }
            Work::IntegerProduct(work) => Self::IntegerProduct(IntegerOracle::new(work)),
        }
    }

    /// All leaf hashes of an iteration, in order.
    pub fn iteration(&self, at: &IterationPlace) -> Vec<Digest> {
        match self {
            Self::Fp64Product(shape) => Oracle.iteration_leaves(*shape, &at.state),
            Self::MemoryResidency(arenas) => {
                arenas.iteration_leaves(at.lane, at.iteration, &at.state)
            }
            Self::IntegerProduct(products) => products.iteration_leaves(&at.state),
        }
    }

    /// One leaf's hash.
    pub fn leaf(&self, at: &IterationPlace, leaf: u64) -> Digest {
        match self {
            Self::Fp64Product(shape) => {
                Oracle.leaf_hash(&at.state, shape.dim, LeafPlace::of(*shape, leaf))
            }
            Self::MemoryResidency(arenas) => {
                arenas.leaf_hash(at.lane, at.iteration, &at.state, leaf)
            }
            Self::IntegerProduct(products) => products.leaf_hash(&at.state, leaf),
        }
    }
}

impl Recompute for Oracle {
    fn leaf_hashes(
        &self,
        run: &RunInputs<'_>,
        requests: &[LeafRequest],
    ) -> Result<Vec<Digest>, RecomputeError> {
        let leaves = Leaves::of(run);
        let hash = |request: &LeafRequest| leaves.leaf(&request.at, request.leaf);
        Ok(requests.par_iter().map(hash).collect())
    }
}

impl RecomputeIteration for Oracle {
    fn iteration_root(
        &mut self,
        run: &RunInputs<'_>,
        at: &IterationPlace,
    ) -> Result<Root, RecomputeError> {
        Ok(Root::of_tree(tree_hash(&Leaves::of(run).iteration(at))))
    }
}
