//! Recomputing sampled leaves, or whole iterations, on the host's cores, whatever the
//! kind of work is.
//!
//! Runs in the rayon pool of the caller.

use super::{CpuWork, Simd, begin, detect_simd, iteration_root};
use crate::executor::{Assignment, ExecError};
use crate::protocol::digest::Digest;
use crate::protocol::names::Root;
use crate::protocol::verify::{LeafRequest, Recompute, RecomputeError, RecomputeIteration};
use crate::protocol::work::{IterationPlace, RunInputs, Work};
use crate::work::fp64_product::cpu::Fp64OnCpu;
use crate::work::integer_product::cpu::IntegerOnCpu;
use crate::work::memory_residency::cpu::MemoryCpu;
use std::fmt;

/// A verifier on the host's cores.
pub struct CpuVerifier {
    simd: Simd,
    /// What the last whole iteration was computed with: the next one of its lane needs no
    /// arena of its own.
    begun: Option<(Assignment, Box<dyn CpuWork>)>,
}

impl fmt::Debug for CpuVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CpuVerifier").field("simd", &self.simd).finish_non_exhaustive()
    }
}

impl Default for CpuVerifier {
    fn default() -> Self {
        Self::new()
    }
}

impl CpuVerifier {
    /// A verifier on the best instruction set of this CPU.
    pub fn new() -> Self {
        Self { simd: detect_simd(), begun: None }
    }

    /// A verifier on `simd`; `None` if this CPU lacks it.
    pub fn with_simd(simd: Simd) -> Option<Self> {
        simd.is_here().then_some(Self { simd, begun: None })
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
        let failed = |error: ExecError| RecomputeError(error.to_string());
        if self.begun.as_ref().is_none_or(|(begun, _)| *begun != assignment) {
            // What the last one took is given back before the next one takes its own.
            self.begun = None;
            self.begun = Some((assignment.clone(), begin(&assignment, self.simd).map_err(failed)?));
        }
        let (_, work) = self.begun.as_mut().expect("begun above");
        Ok(iteration_root(&work.tile_roots(at).map_err(failed)?))
    }
}
