//! Recomputing sampled leaves, or whole iterations, on the host's cores, whatever the
//! kind of work is.
//!
//! Runs in the rayon pool of the caller.

use super::{Simd, begin, detect_simd, iteration_root};
use crate::executor::Assignment;
use crate::protocol::digest::Digest;
use crate::protocol::names::Root;
use crate::protocol::verify::{LeafRequest, Recompute, RecomputeError, RecomputeIteration};
use crate::protocol::work::{IterationPlace, RunInputs, Work};
use crate::work::fp64_product::cpu::Fp64OnCpu;
use crate::work::integer_product::cpu::IntegerOnCpu;
use crate::work::memory_residency::cpu::MemoryCpu;

/// A verifier on the host's cores.
#[derive(Clone, Copy, Debug)]
pub struct CpuVerifier {
    simd: Simd,
}

impl Default for CpuVerifier {
    fn default() -> Self {
        Self::new()
    }
}

impl CpuVerifier {
    /// A verifier on the best instruction set of this CPU.
    pub fn new() -> Self {
        Self { simd: detect_simd() }
    }

    /// A verifier on `simd`; `None` if this CPU lacks it.
    pub fn with_simd(simd: Simd) -> Option<Self> {
        simd.is_here().then_some(Self { simd })
    }
}

impl Recompute for CpuVerifier {
    fn leaf_hashes(
        &self,
        run: &RunInputs<'_>,
        requests: &[LeafRequest],
    ) -> Result<Vec<Digest>, RecomputeError> {
        Ok(match run.work {
            Work::Fp64Product(shape) => Fp64OnCpu::new(shape, self.simd).single_leaves(requests),
            Work::MemoryResidency(work) => {
                MemoryCpu::on(self.simd).recompute(work, run.seeds, requests)?
            }
            Work::IntegerProduct(shape) => {
                IntegerOnCpu::new(shape, self.simd).single_leaves(requests)
            }
        })
    }
}

impl RecomputeIteration for CpuVerifier {
    fn iteration_root(
        &mut self,
        run: &RunInputs<'_>,
        at: &IterationPlace,
    ) -> Result<Root, RecomputeError> {
        let assignment = Assignment::of(run, at.lane);
        let mut work =
            begin(&assignment, self.simd).map_err(|error| RecomputeError(error.to_string()))?;
        let roots = work.tile_roots(at).map_err(|error| RecomputeError(error.to_string()))?;
        Ok(iteration_root(&roots))
    }
}
