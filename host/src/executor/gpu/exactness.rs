//! The check before a device's first use: its tensor cores against its FMA
//! pipe, on every output of one product of random operands. The protocol asks
//! for 2²⁰ outputs at n ≥ 2048; this compares 2²⁴, if there is memory for them.

use super::driver::{DeviceMemory, Gpu, Kernel, Readback};
use super::kernels::{Kernels, Product};
use super::lane::Workspace;
use super::launch::{self, Fill, Gemm, Hashing};
use super::plan::scratch_bytes;
use super::words::{self, CHAIN_WORDS, DIGEST_WORDS};
use crate::executor::ExecError;
use crate::executor::gpu::driver::Upload;
use crate::protocol::names::State;
use crate::protocol::work::fp64_product::Fp64Product;
use cuda_driver::Failure;
use gpu_kernels::tile::{LEAVES_PER_TILE, TILE};

/// What is compared: one product. Large enough for every path of the kernels:
/// some take turns with their buffers from n = 4096 on.
const SHAPE: Fp64Product = Fp64Product { dim: 4096, products: 1 };
/// The same on a device of which most memory is in use.
const SMALL_SHAPE: Fp64Product = Fp64Product { dim: 2048, products: 1 };

const _: () = assert!(SMALL_SHAPE.dim >= 2048, "the protocol asks for n ≥ 2048");
const _: () = assert!(SHAPE.dim.is_multiple_of(TILE) && SMALL_SHAPE.dim.is_multiple_of(TILE));

/// The shape for a device with so much free memory: a quarter of it at most, or
/// the small one.
fn shape(free_bytes: u64) -> Fp64Product {
    let fits = SHAPE.operand_bytes_per_product() <= free_bytes / 4;
    if fits { SHAPE } else { SMALL_SHAPE }
}

/// How a comparison came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Leaves compared; 64 outputs each.
    pub leaves: u64,
    /// Leaves that differ.
    pub different: u64,
    /// The first that differs.
    pub first_different: Option<u64>,
}

impl Comparison {
    /// Whether every bit agrees.
    pub(super) fn exact(&self) -> bool {
        self.different == 0
    }

    fn of(left: &[u32], right: &[u32]) -> Self {
        let pairs = left.chunks_exact(DIGEST_WORDS).zip(right.chunks_exact(DIGEST_WORDS));
        let mut different = (0_u64..).zip(pairs).filter(|(_, (l, r))| l != r).map(|(leaf, _)| leaf);
        let first_different = different.next();
        Self {
            leaves: (left.len() / DIGEST_WORDS) as u64,
            different: different.count() as u64 + u64::from(first_different.is_some()),
            first_different,
        }
    }
}

/// Compares the product kernel of `kernels` with `reference`, both over the
/// operands that belong to `state`.
pub(super) fn compare(
    gpu: &Gpu,
    kernels: &Kernels,
    reference: &Product,
    sm_count: u32,
    state: &State,
) -> Result<Comparison, ExecError> {
    let wrap = |failure: Failure| gpu.error("checking the tensor cores", failure);
    let shape = shape(gpu.free_bytes().map_err(wrap)?);
    let mut bench = Bench::new(gpu, &kernels.product, sm_count, state, shape).map_err(wrap)?;
    let running = bench.hashes(gpu, &kernels.fill, &kernels.product, sm_count)?;
    let expected = bench.hashes(gpu, &kernels.fill, reference, sm_count)?;
    Ok(Comparison::of(&running, &expected))
}

struct Bench {
    shape: Fp64Product,
    space: Workspace,
    chain: DeviceMemory,
    tile_roots: DeviceMemory,
    leaf_hashes: DeviceMemory,
    readback: Readback,
}

impl Bench {
    fn new(
        gpu: &Gpu,
        product: &Product,
        sm_count: u32,
        state: &State,
        shape: Fp64Product,
    ) -> Result<Self, Failure> {
        let tiles = shape.tiles();
        let tile_bytes = 4 * DIGEST_WORDS as u64;
        let leaf_bytes = tiles * u64::from(LEAVES_PER_TILE) * tile_bytes;
        let chain = DeviceMemory::new(gpu, 4 * CHAIN_WORDS as u64)?;
        Upload::new(gpu, CHAIN_WORDS as u64)?.send(gpu, &chain, &words::of_chain(state, 1))?;
        Ok(Self {
            shape,
            space: Workspace::new(
                gpu,
                shape.operand_bytes_per_product(),
                scratch_bytes(&product.shape, sm_count),
            )?,
            chain,
            tile_roots: DeviceMemory::new(gpu, tiles * tile_bytes)?,
            leaf_hashes: DeviceMemory::new(gpu, leaf_bytes)?,
            readback: Readback::new(gpu, leaf_bytes / 4)?,
        })
    }

    /// Fills the operands as `product` reads them, and runs it.
    fn hashes(
        &mut self,
        gpu: &Gpu,
        fill: &Kernel,
        product: &Product,
        sm_count: u32,
    ) -> Result<Vec<u32>, ExecError> {
        let wrap =
            |failure: Failure| gpu.error(&format!("checking {}", product.kernel.name()), failure);
        // A kernel that writes nothing must not pass on what the other left.
        gpu.clear(&self.leaf_hashes).map_err(wrap)?;
        let shape = self.shape;
        let side = shape.tiles_per_side();
        let operands = Fill {
            operands: &self.space.operands,
            chain: &self.chain,
            sources: None,
            dim: shape.dim,
            panels: [side, side],
            products: 1,
            first_product: 0,
            packing_b: product.shape.computes.packing_b,
        };
        launch::fill(gpu, fill, sm_count, &operands)?;
        let work = Gemm {
            operands: &self.space.operands,
            chain: &self.chain,
            tile_roots: &self.tile_roots,
            ring_slots: 1,
            slot_tiles: shape.tiles(),
            first_tile: 0,
            leaf_hashes: Some(&self.leaf_hashes),
            counters: None,
            scratch: &self.space.scratch,
            dim: shape.dim,
            tiles: [side, side],
            products: 1,
            hashing: Hashing::Hashed,
        };
        launch::gemm(gpu, &product.kernel, &product.shape, sm_count, &work)?;
        let words = self.leaf_hashes.bytes() / 4;
        let readback = &mut self.readback;
        let read = readback
            .copy(gpu, 0, &self.leaf_hashes, words)
            .and_then(|()| readback.mark(gpu))
            .and_then(|()| readback.wait());
        Ok(read.map_err(wrap)?.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_counted_and_the_first_is_named() {
        let left = [1_u32; 4 * DIGEST_WORDS];
        let mut right = left;
        assert!(Comparison::of(&left, &right).exact());
        right[DIGEST_WORDS] ^= 1; // first word of leaf 1
        right[4 * DIGEST_WORDS - 1] ^= 1; // last word of leaf 3
        let found = Comparison::of(&left, &right);
        let expected = Comparison { leaves: 4, different: 2, first_different: Some(1) };
        assert_eq!(found, expected);
    }

    #[test]
    fn enough_outputs_are_compared() {
        assert_eq!(shape(140 << 30), SHAPE);
        assert_eq!(shape(512 << 20), SMALL_SHAPE, "half of it would be operands");
        assert!(SMALL_SHAPE.leaves() * 64 >= 1 << 20);
    }
}
