//! The kernels as functions over buffers: each checks that its buffers are as
//! long as the launch needs, fills in the parameter struct, and launches. The
//! second half of the wall: what stays trusted is that the kernels keep to
//! what `gpu_kernels::abi` says about them.
#![allow(unsafe_code)]

use super::driver::{DeviceMemory, Gpu, Kernel};
use super::plan::{fill_grid, gemm_grid};
use crate::executor::ExecError;
use gpu_kernels::abi::{
    ChainState, DigestWords, FillParams, GEMM_SCRATCH_BYTES_PER_BLOCK, GemmParams, MERKLE_GROUP,
    MerkleParams, PeakParams, ProductSource, SmCounter, StepParams,
};
use gpu_kernels::declaration::{GemmGrid, GemmKernel};
use gpu_kernels::tile::{LEAVES_PER_TILE, Packing, TILE};

/// Units of work that a SHA-256 node of two blocks counts as.
const NODE_WORK: u64 = 256;
const DIGEST_BYTES: u64 = size_of::<DigestWords>() as u64;
const CHAIN_BYTES: u64 = size_of::<ChainState>() as u64;

/// Operands of consecutive products of the running iteration, or of given sources.
pub(super) struct Fill<'a> {
    /// Out.
    pub operands: &'a DeviceMemory,
    /// The lane's chain.
    pub chain: &'a DeviceMemory,
    /// One source per product, instead of the chain.
    pub sources: Option<&'a DeviceMemory>,
    /// Rows and columns of a matrix (n).
    pub dim: u32,
    /// Panels of A and of B per product.
    pub panels: [u32; 2],
    /// How many products.
    pub products: u32,
    /// j of the first.
    pub first_product: u32,
    /// How B's panels are packed: as the product kernel reads them.
    pub packing_b: Packing,
}

/// Launches `fill`.
pub(super) fn fill(
    gpu: &Gpu,
    kernel: &Kernel,
    sm_count: u32,
    work: &Fill<'_>,
) -> Result<(), ExecError> {
    let Fill { operands, chain, sources, dim, panels: [panels_a, panels_b], .. } = *work;
    let panels = u64::from(work.products) * u64::from(panels_a + panels_b);
    let numbers = panels * u64::from(TILE) * u64::from(dim);
    require(operands, 8 * numbers, "operands");
    require(chain, CHAIN_BYTES, "chain");
    if let Some(sources) = sources {
        require(sources, u64::from(work.products) * size_of::<ProductSource>() as u64, "sources");
    }
    let params = FillParams {
        operands: operands.address(),
        chain: chain.address(),
        sources: sources.map_or(0, DeviceMemory::address),
        dim,
        panels_a,
        panels_b,
        products: work.products,
        first_product: work.first_product,
        packing_b: work.packing_b as u32,
    };
    let grid = fill_grid(sm_count, panels, dim);
    // SAFETY: `fill` takes FillParams; the lengths were checked above.
    unsafe { gpu.launch(kernel, grid, &params, numbers) }
}

/// Whether outputs are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hashing {
    /// As the protocol asks.
    Hashed,
    /// The bare product, for measuring.
    Bare,
}

/// Consecutive tiles of a ring slot, multiplied and hashed.
pub(super) struct Gemm<'a> {
    /// In: what `fill` wrote.
    pub operands: &'a DeviceMemory,
    /// The lane's chain, for its slot.
    pub chain: &'a DeviceMemory,
    /// Out: the ring.
    pub tile_roots: &'a DeviceMemory,
    /// Slots of the ring that the chain may name.
    pub ring_slots: u32,
    /// Tiles of one slot.
    pub slot_tiles: u64,
    /// Where in the slot this launch writes.
    pub first_tile: u64,
    /// Out: leaf hashes of this launch.
    pub leaf_hashes: Option<&'a DeviceMemory>,
    /// In and out: counters by SM id.
    pub counters: Option<&'a DeviceMemory>,
    /// Scratch of persistent kernels.
    pub scratch: &'a DeviceMemory,
    /// Rows and columns of a matrix (n).
    pub dim: u32,
    /// Tile rows and tile columns per product.
    pub tiles: [u32; 2],
    /// How many products.
    pub products: u32,
    /// Whether outputs are hashed.
    pub hashing: Hashing,
}

/// Launches a product kernel.
pub(super) fn gemm(
    gpu: &Gpu,
    kernel: &Kernel,
    shape: &GemmKernel,
    sm_count: u32,
    work: &Gemm<'_>,
) -> Result<(), ExecError> {
    let Gemm { operands, chain, tile_roots, leaf_hashes, counters, scratch, .. } = *work;
    let [tiles_m, tiles_n] = work.tiles;
    let tiles = u64::from(work.products) * u64::from(tiles_m) * u64::from(tiles_n);
    let panel_bytes = 8 * u64::from(TILE) * u64::from(work.dim);
    let multiply_adds = tiles * u64::from(TILE).pow(2) * u64::from(work.dim);
    let grid = gemm_grid(shape, sm_count, tiles);
    let panels = u64::from(work.products) * u64::from(tiles_m + tiles_n);
    require(operands, panels * panel_bytes, "operands");
    require(chain, CHAIN_BYTES, "chain");
    require(tile_roots, u64::from(work.ring_slots) * work.slot_tiles * DIGEST_BYTES, "tile roots");
    assert!(work.first_tile + tiles <= work.slot_tiles, "tiles past the end of the ring slot");
    if let Some(leaves) = leaf_hashes {
        require(leaves, tiles * u64::from(LEAVES_PER_TILE) * DIGEST_BYTES, "leaf hashes");
    }
    if let Some(counters) = counters {
        require(counters, u64::from(sm_count) * size_of::<SmCounter>() as u64, "counters");
    }
    if shape.computes.grid == GemmGrid::Persistent {
        require(scratch, u64::from(grid) * GEMM_SCRATCH_BYTES_PER_BLOCK, "scratch");
    }
    let params = GemmParams {
        operands: operands.address(),
        chain: chain.address(),
        tile_roots: tile_roots.address(),
        leaf_hashes: leaf_hashes.map_or(0, DeviceMemory::address),
        sm_counters: counters.map_or(0, DeviceMemory::address),
        scratch: scratch.address(),
        slot_tiles: work.slot_tiles,
        first_tile: work.first_tile,
        dim: work.dim,
        tiles_m,
        tiles_n,
        products: work.products,
        sm_count: if counters.is_some() { sm_count } else { 0 },
        bare: u32::from(work.hashing == Hashing::Bare),
    };
    // SAFETY: product kernels take GemmParams; the lengths were checked above.
    unsafe { gpu.launch(kernel, grid, &params, multiply_adds) }
}

/// Nodes of a tree: a ring's slot that the chain names, or a plain array.
#[derive(Clone, Copy)]
pub(super) enum Nodes<'a> {
    /// A ring of slots of this many nodes.
    Ring {
        /// The ring.
        memory: &'a DeviceMemory,
        /// Slots that the chain may name.
        slots: u32,
        /// Nodes of one slot.
        slot_nodes: u64,
    },
    /// Nodes from the start of a buffer.
    Array(&'a DeviceMemory),
}

impl Nodes<'_> {
    /// Address and nodes per slot, once `count` nodes are known to be there.
    fn checked(self, count: u64) -> (u64, u64) {
        match self {
            Self::Ring { memory, slots, slot_nodes } => {
                require(memory, u64::from(slots) * slot_nodes * DIGEST_BYTES, "ring");
                assert!(count <= slot_nodes, "nodes past the end of the ring slot");
                (memory.address(), slot_nodes)
            }
            Self::Array(memory) => {
                require(memory, count * DIGEST_BYTES, "nodes");
                (memory.address(), 0)
            }
        }
    }
}

/// Launches `merkle`: `count` nodes to one per group of 512.
pub(super) fn merkle(
    gpu: &Gpu,
    kernel: &Kernel,
    chain: &DeviceMemory,
    nodes: Nodes<'_>,
    count: u64,
    out: &DeviceMemory,
) -> Result<(), ExecError> {
    let groups = count.div_ceil(u64::from(MERKLE_GROUP));
    require(chain, CHAIN_BYTES, "chain");
    require(out, groups * DIGEST_BYTES, "nodes out");
    let (address, slot_nodes) = nodes.checked(count);
    let params = MerkleParams {
        nodes: address,
        out: out.address(),
        chain: chain.address(),
        slot_nodes,
        count,
    };
    // SAFETY: `merkle` takes MerkleParams; the lengths were checked above.
    unsafe { gpu.launch(kernel, groups as u32, &params, NODE_WORK * count) }
}

/// How `chain_step` steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StepRule {
    /// c as words; unused if `solo_interval` is 0.
    pub challenge: DigestWords,
    /// S of a single lane, 0: plain steps.
    pub solo_interval: u32,
}

/// The end of an iteration: the last nodes to its root, and the chain's step.
pub(super) struct Step<'a> {
    /// The lane's chain.
    pub chain: &'a DeviceMemory,
    /// In.
    pub nodes: Nodes<'a>,
    /// How many nodes, at most 512.
    pub count: u32,
    /// Out: ring of iteration roots.
    pub roots: &'a DeviceMemory,
    /// Slots of the rings.
    pub ring_slots: u32,
    /// How to step.
    pub rule: StepRule,
}

/// Launches `chain_step`.
pub(super) fn step(gpu: &Gpu, kernel: &Kernel, work: &Step<'_>) -> Result<(), ExecError> {
    let Step { chain, nodes, count, roots, ring_slots, rule } = *work;
    assert!((1..=MERKLE_GROUP).contains(&count), "chain_step reduces 1 to 512 nodes");
    require(chain, CHAIN_BYTES, "chain");
    require(roots, u64::from(ring_slots) * DIGEST_BYTES, "roots");
    let (address, slot_nodes) = nodes.checked(u64::from(count));
    let params = StepParams {
        nodes: address,
        chain: chain.address(),
        roots: roots.address(),
        slot_nodes,
        challenge: rule.challenge,
        count,
        solo_sync_interval: rule.solo_interval,
        ring_slots,
        reserved: 0,
    };
    // SAFETY: `chain_step` takes StepParams; the lengths were checked above.
    unsafe { gpu.launch(kernel, 1, &params, NODE_WORK * u64::from(count)) }
}

/// Launches a ceiling kernel: `grid` blocks, each thread `rounds` rounds, which are
/// `work` units in all.
pub(super) fn peak(
    gpu: &Gpu,
    kernel: &Kernel,
    grid: u32,
    rounds: u32,
    work: u64,
    out: &DeviceMemory,
) -> Result<(), ExecError> {
    require(out, 4, "out");
    let params = PeakParams { out: out.address(), rounds, reserved: 0 };
    // SAFETY: ceiling kernels take PeakParams; the length was checked above.
    unsafe { gpu.launch(kernel, grid, &params, work) }
}

/// # Panics
/// If `memory` is shorter than `bytes`: a bug of the plan, caught before the
/// device is let loose on it.
pub(crate) fn require(memory: &DeviceMemory, bytes: u64, what: &str) {
    assert!(memory.bytes() >= bytes, "{what}: {bytes} bytes needed, {} there", memory.bytes());
}
