//! FP64 products on the host's cores, bit-exact, as fast as fused multiply-adds in a
//! fixed order allow.
//!
//! Guarantees: the same bits on every instruction set, core count and block size; memory
//! a few MiB per core whatever n is. Unsafe code is confined to the kernels of the two
//! x86 instruction sets.
//! Deliberately lacks: library products, which reorder the sums.
//!
//! ```text
//! kernel ─ portable, avx2, avx512   packed panels: generate, multiply
//! block ─ hash                      a rectangle of tiles: sums, leaf hashes
//! iteration                         blocks over the cores, tile roots in order
//! verifier                          sampled leaves over the cores
//! ```

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod block;
mod hash;
mod iteration;
mod kernel;
mod portable;
mod verifier;

use crate::executor::cpu::{CpuWork, Simd};
use crate::executor::{ExecError, TileRequest};
use crate::protocol::digest::Digest;
use crate::protocol::verify::LeafRequest;
use crate::protocol::work::IterationPlace;
use crate::protocol::work::fp64_product::Fp64Product;
use iteration::Compute;
use kernel::Engine;

/// Products of one shape on the host's cores.
pub(crate) struct Fp64OnCpu {
    shape: Fp64Product,
    compute: Compute,
}

impl Fp64OnCpu {
    /// On `simd`, or the best instruction set that is here if it is not.
    pub(crate) fn new(shape: Fp64Product, simd: Simd) -> Self {
        let engine = Engine::new(simd).unwrap_or_else(Engine::best);
        Self { shape, compute: Compute::new(engine) }
    }

    /// Single leaves, in request order, without their tiles.
    pub(crate) fn single_leaves(&self, requests: &[LeafRequest]) -> Vec<Digest> {
        verifier::leaf_hashes(self.compute.engine(), self.shape, requests)
    }
}

impl CpuWork for Fp64OnCpu {
    fn tile_roots(&mut self, at: &IterationPlace) -> Result<Vec<Digest>, ExecError> {
        Ok(self.compute.tile_roots(self.shape, &at.state))
    }

    fn leaf_hashes(&mut self, tiles: &[TileRequest]) -> Result<Vec<Vec<Digest>>, ExecError> {
        Ok(self.compute.leaf_hashes(self.shape, tiles))
    }
}
