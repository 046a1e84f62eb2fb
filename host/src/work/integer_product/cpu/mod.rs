//! Integer products on the host's cores, exact on every instruction set.
//!
//! Guarantees: the same bits on every instruction set, core count and block size; memory a
//! few MiB per core whatever n is. Unsafe code is confined to the kernels of the two x86
//! instruction sets.
//! Deliberately lacks: a thread pool of its own (it runs in the caller's rayon pool),
//! chains, and roots above the tiles.
//!
//! ```text
//! kernel ─ portable, avx2, avx512   packed panels: generate, multiply
//! leaf                              outputs folded and hashed
//! block                             a rectangle of tiles: sums, leaf hashes
//! iteration                         blocks over the cores, tile roots in order
//! verifier                          sampled leaves over the cores
//! ```

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod block;
mod iteration;
mod kernel;
mod leaf;
mod portable;
mod verifier;

use crate::executor::cpu::{CpuWork, Simd};
use crate::executor::{ExecError, TileRequest};
use crate::protocol::digest::Digest;
use crate::protocol::verify::LeafRequest;
use crate::protocol::work::IterationPlace;
use crate::protocol::work::integer_product::IntegerProduct;
use iteration::Compute;
use kernel::Engine;

/// Products of one shape on the host's cores.
pub(crate) struct IntegerOnCpu {
    shape: IntegerProduct,
    compute: Compute,
}

impl IntegerOnCpu {
    /// On `simd`, or portable code if it is not here.
    pub(crate) fn new(shape: IntegerProduct, simd: Simd) -> Self {
        let engine = Engine::new(simd).unwrap_or(Engine::PORTABLE);
        Self { shape, compute: Compute::new(engine) }
    }

    /// Single leaves, in request order, without their tiles.
    pub(crate) fn single_leaves(&self, requests: &[LeafRequest]) -> Vec<Digest> {
        verifier::leaf_hashes(self.compute.engine(), self.shape, requests)
    }
}

impl CpuWork for IntegerOnCpu {
    fn tile_roots(&mut self, at: &IterationPlace) -> Result<Vec<Digest>, ExecError> {
        Ok(self.compute.tile_roots(self.shape, &at.state))
    }

    fn leaf_hashes(&mut self, tiles: &[TileRequest]) -> Result<Vec<Vec<Digest>>, ExecError> {
        Ok(self.compute.leaf_hashes(self.shape, tiles))
    }
}
