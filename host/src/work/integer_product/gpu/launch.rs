//! The kernels of integer products as functions over buffers: each checks that its
//! buffers are as long as the launch needs, fills in the parameter struct, and launches.
//! What stays trusted is that the kernels keep to what `gpu_kernels::abi` says about them.
#![allow(unsafe_code)]

use crate::executor::ExecError;
use crate::executor::gpu::driver::{DeviceMemory, Gpu, Kernel, Module};
use crate::executor::gpu::launch::{Hashing, require};
use crate::protocol::work::integer_product as spec;
use cuda_driver::Failure;
use gpu_kernels::abi::{
    ChainState, DigestWords, IntegerFillParams, IntegerGemmParams, ProductSource, SmCounter,
};
use gpu_kernels::declaration::{self, IntegerGrid, IntegerKernel};
use gpu_kernels::integer::{CHUNK_BYTES, CHUNK_K, FOLD_COLUMNS, FOLD_WORDS, LEAVES_PER_TILE};
use gpu_kernels::kernels::INT8_FILL;
use gpu_kernels::tile::TILE;
use std::sync::Arc;

const _: () = assert!(
    spec::TILE == TILE
        && spec::LEAVES_PER_TILE == LEAVES_PER_TILE
        && spec::FOLD_COLUMNS == FOLD_COLUMNS
        && spec::FOLD_WORDS == FOLD_WORDS,
    "kernels and protocol must have the same constants"
);

/// Multiply-adds that count as a unit of work: the slowest device does 16 of int8 in the
/// time of one of FP64.
const MULTIPLY_ADDS_PER_UNIT: u64 = 16;
/// Most blocks of `int8_fill` per SM. Many times what an SM holds, so that those that run
/// at the same time write next to each other; few enough for a block to have several
/// chunks.
const FILL_BLOCKS_PER_SM: u64 = 64;
/// Most blocks in x.
const GRID_MAX: u64 = (1 << 31) - 1;
const DIGEST_BYTES: u64 = size_of::<DigestWords>() as u64;
const SOURCE_BYTES: u64 = size_of::<ProductSource>() as u64;

/// The kernels of integer products, loaded.
#[derive(Debug)]
pub(crate) struct IntegerKernels {
    fill: Kernel,
    product: Kernel,
    shape: IntegerKernel,
}

impl IntegerKernels {
    /// `int8_fill` and `product` of a module.
    ///
    /// # Errors
    /// The name of one that is not in it, and the driver's result.
    pub(crate) fn of(
        module: &Arc<Module>,
        product: IntegerKernel,
    ) -> Result<Self, (&'static str, Failure)> {
        let kernel = |declared: &declaration::Kernel| {
            module.kernel(declared).map_err(|failure| (declared.name, failure))
        };
        Ok(Self { fill: kernel(&INT8_FILL)?, product: kernel(&product.entry())?, shape: product })
    }

    /// How the product kernel is launched.
    pub(crate) fn shape(&self) -> &IntegerKernel {
        &self.shape
    }
}

/// Scratch for the largest grid of a product kernel: openings use it too, with other
/// numbers of tiles.
pub(crate) fn scratch_bytes(product: &IntegerKernel, sm_count: u32) -> u64 {
    match product.computes.grid {
        IntegerGrid::PerTile => 0,
        IntegerGrid::Persistent => {
            u64::from(sm_count.max(1)) * product.computes.scratch_bytes_per_block
        }
    }
}

/// Blocks of a product kernel for `tiles` tiles.
pub(crate) fn gemm_grid(product: &IntegerKernel, sm_count: u32, tiles: u64) -> u32 {
    match product.computes.grid {
        IntegerGrid::PerTile => tiles.min(GRID_MAX) as u32,
        IntegerGrid::Persistent => tiles.min(u64::from(sm_count.max(1))) as u32,
    }
}

/// Blocks of `int8_fill` for `chunks` chunks.
fn fill_grid(sm_count: u32, chunks: u64) -> u32 {
    chunks.clamp(1, u64::from(sm_count.max(1)) * FILL_BLOCKS_PER_SM) as u32
}

/// Consecutive products, and where their operands lie.
#[derive(Clone, Copy)]
pub(crate) struct Chunk<'a> {
    /// Per product, A's panels then B's.
    pub operands: &'a DeviceMemory,
    /// The lane's chain.
    pub chain: &'a DeviceMemory,
    /// One source a product, instead of the chain: then `tiles` are 1 and 1.
    pub sources: Option<&'a DeviceMemory>,
    /// Rows and columns of a matrix (n).
    pub dim: u32,
    /// Tile rows and tile columns per product: its panels of A and of B.
    pub tiles: [u32; 2],
    /// How many products.
    pub products: u32,
    /// j of the first; unused with sources.
    pub first_product: u32,
}

/// What becomes of the tiles of a launch.
pub(crate) struct Tiles<'a> {
    /// Out: the ring.
    pub roots: &'a DeviceMemory,
    /// Slots of the ring that the chain may name.
    pub ring_slots: u32,
    /// Tiles of one slot.
    pub slot_tiles: u64,
    /// Where in the slot this launch writes: without sources, the index of its first tile
    /// in the iteration.
    pub first: u64,
    /// Out: leaf hashes of this launch.
    pub leaf_hashes: Option<&'a DeviceMemory>,
    /// In and out: counters by SM id.
    pub counters: Option<&'a DeviceMemory>,
    /// Scratch of kernels that need one.
    pub scratch: &'a DeviceMemory,
    /// Whether outputs are folded and hashed.
    pub hashing: Hashing,
}

impl Chunk<'_> {
    /// Checks what both kernels read; gives the panels.
    fn checked(&self) -> u64 {
        let [rows, columns] = self.tiles;
        assert!(self.dim > 0 && self.dim.is_multiple_of(CHUNK_K), "whole chunks");
        assert!(rows > 0 && columns > 0, "a product has tiles");
        let panels = u64::from(self.products) * u64::from(rows + columns);
        require(self.operands, panels * u64::from(TILE) * u64::from(self.dim), "operands");
        require(self.chain, size_of::<ChainState>() as u64, "chain");
        if let Some(sources) = self.sources {
            assert_eq!(self.tiles, [1, 1], "a source is a single tile");
            require(sources, u64::from(self.products) * SOURCE_BYTES, "sources");
        }
        panels
    }

    fn sources(&self) -> u64 {
        self.sources.map_or(0, DeviceMemory::address)
    }
}

/// Launches `int8_fill`.
pub(crate) fn fill(
    gpu: &Gpu,
    kernels: &IntegerKernels,
    sm_count: u32,
    chunk: &Chunk<'_>,
) -> Result<(), ExecError> {
    let chunks = chunk.checked() * u64::from(chunk.dim / CHUNK_K);
    assert!(u32::try_from(chunks).is_ok(), "the kernel counts chunks by u32");
    let [panels_a, panels_b] = chunk.tiles;
    let params = IntegerFillParams {
        operands: chunk.operands.address(),
        chain: chunk.chain.address(),
        sources: chunk.sources(),
        dim: chunk.dim,
        panels_a,
        panels_b,
        products: chunk.products,
        first_product: chunk.first_product,
        reserved: 0,
    };
    // A piece of sixteen bytes is a unit.
    let work = chunks * u64::from(CHUNK_BYTES) / 16;
    // SAFETY: `int8_fill` takes IntegerFillParams; the lengths were checked above.
    unsafe { gpu.launch(&kernels.fill, fill_grid(sm_count, chunks), &params, work) }
}

/// Launches the product kernel.
pub(crate) fn gemm(
    gpu: &Gpu,
    kernels: &IntegerKernels,
    sm_count: u32,
    chunk: &Chunk<'_>,
    of: &Tiles<'_>,
) -> Result<(), ExecError> {
    chunk.checked();
    let Tiles { roots, leaf_hashes, counters, scratch, .. } = *of;
    let [tiles_m, tiles_n] = chunk.tiles;
    let tiles = u64::from(chunk.products) * u64::from(tiles_m) * u64::from(tiles_n);
    assert!(tiles <= GRID_MAX, "the kernel counts tiles by u32");
    let grid = gemm_grid(&kernels.shape, sm_count, tiles);
    require(roots, u64::from(of.ring_slots) * of.slot_tiles * DIGEST_BYTES, "tile roots");
    assert!(of.first + tiles <= of.slot_tiles, "tiles past the end of the ring slot");
    if let Some(leaves) = leaf_hashes {
        require(leaves, tiles * u64::from(LEAVES_PER_TILE) * DIGEST_BYTES, "leaf hashes");
    }
    if let Some(counters) = counters {
        require(counters, u64::from(sm_count) * size_of::<SmCounter>() as u64, "counters");
    }
    let scratch_bytes = u64::from(grid) * kernels.shape.computes.scratch_bytes_per_block;
    require(scratch, scratch_bytes, "scratch");
    let params = IntegerGemmParams {
        operands: chunk.operands.address(),
        chain: chunk.chain.address(),
        sources: chunk.sources(),
        tile_roots: roots.address(),
        leaf_hashes: leaf_hashes.map_or(0, DeviceMemory::address),
        sm_counters: counters.map_or(0, DeviceMemory::address),
        scratch: scratch.address(),
        slot_tiles: of.slot_tiles,
        first_tile: of.first,
        dim: chunk.dim,
        tiles_m,
        tiles_n,
        products: chunk.products,
        sm_count: if counters.is_some() { sm_count } else { 0 },
        bare: u32::from(of.hashing == Hashing::Bare),
    };
    let work = tiles * u64::from(TILE).pow(2) * u64::from(chunk.dim) / MULTIPLY_ADDS_PER_UNIT;
    // SAFETY: kernels of integer products take IntegerGemmParams; the lengths were
    // checked above.
    unsafe { gpu.launch(&kernels.product, grid, &params, work) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpu_kernels::kernels::INT8_DP4A;

    #[test]
    fn a_persistent_kernel_has_a_block_an_sm_and_scratch_for_each() {
        assert_eq!((gemm_grid(&INT8_DP4A, 132, 9), scratch_bytes(&INT8_DP4A, 132)), (9, 0));
        assert_eq!(gemm_grid(&INT8_DP4A, 132, 1 << 40), GRID_MAX as u32);
        let mut persistent = INT8_DP4A;
        persistent.computes.grid = IntegerGrid::Persistent;
        persistent.computes.scratch_bytes_per_block = 64;
        assert_eq!(gemm_grid(&persistent, 132, 9), 9);
        assert_eq!(gemm_grid(&persistent, 132, 1 << 20), 132);
        assert_eq!(scratch_bytes(&persistent, 132), 132 * 64);
    }

    #[test]
    fn operands_are_filled_by_a_block_a_chunk_until_there_are_many() {
        assert_eq!(fill_grid(132, 2), 2);
        assert_eq!(fill_grid(132, 1 << 20), 132 * 64);
    }
}
