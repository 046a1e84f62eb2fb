//! The kernels of memory residency as functions over buffers: each checks that its
//! buffers are as long as the launch needs, fills in the parameter struct, and launches.
//! What stays trusted is that the kernels keep to what `gpu_kernels::abi` says about them.
#![allow(unsafe_code)]

use super::arena::SharedArena;
use crate::executor::ExecError;
use crate::executor::gpu::driver::{DeviceMemory, Gpu, Kernel, Module};
use crate::executor::gpu::launch::require;
use crate::executor::gpu::words;
use crate::protocol::names::State;
use crate::protocol::work::memory_residency::{self as spec, MemoryResidency};
use cuda_driver::Failure;
use gpu_kernels::abi::{
    ArenaStartParams, ChainState, DigestWords, HalfPassParams, PEAK_MEMORY_WORDS, PeakMemoryParams,
    SmCounter, SweepParams, SweepSource,
};
use gpu_kernels::arena;
use gpu_kernels::declaration;
use gpu_kernels::kernels::{ARENA_START, HALF_PASS, SWEEP};
use std::sync::Arc;

const _: () = assert!(
    spec::BLOCK_WORDS == arena::BLOCK_WORDS
        && spec::BLOCK_BYTES == arena::BLOCK_BYTES as u64
        && spec::FOLD_COLUMNS == arena::FOLD_COLUMNS
        && spec::FOLD_WORDS == arena::FOLD_WORDS
        && spec::LEAVES_PER_TILE == arena::LEAVES_PER_TILE
        && spec::DRAW_PARTNER == arena::DRAW_HALF_PASS
        && spec::DRAW_SWEEP == arena::DRAW_OFFSETS
        && spec::DRAW_LEAF == arena::DRAW_RHO,
    "kernels and protocol must have the same constants"
);

/// Bytes of a word: what a thread loads or stores at a time.
const WORD_BYTES: u64 = 16;
/// Units of work that a leaf counts as beyond its words: its hash, and a node.
const LEAF_WORK: u64 = 384;
/// Blocks of `arena_start` and `half_pass` per SM. Speed does not depend on it from 4 to
/// 64 (H200, 2026-11-26).
const FILL_BLOCKS_PER_SM: u32 = 32;
const DIGEST_BYTES: u64 = size_of::<DigestWords>() as u64;

/// The kernels of memory residency, loaded.
#[derive(Debug)]
pub(crate) struct ArenaKernels {
    arena_start: Kernel,
    half_pass: Kernel,
    sweep: Kernel,
}

impl ArenaKernels {
    /// Those of a module.
    ///
    /// # Errors
    /// The name of one that is not in it, and the driver's result.
    pub(crate) fn of(module: &Arc<Module>) -> Result<Self, (&'static str, Failure)> {
        let kernel = |declared: &declaration::Kernel| {
            module.kernel(declared).map_err(|failure| (declared.name, failure))
        };
        Ok(Self {
            arena_start: kernel(&ARENA_START)?,
            half_pass: kernel(&HALF_PASS)?,
            sweep: kernel(&SWEEP)?,
        })
    }
}

/// First four words of s(g,0): k0, k1, w, κ.
fn key(seed: &State) -> [u32; 4] {
    let [k0, k1, tweak, kappa, ..] = words::of_state(seed);
    [k0, k1, tweak, kappa]
}

/// Blocks of a kernel in which a warp takes a block of the arena at a time.
fn fill_grid(sm_count: u32, blocks: u32) -> u32 {
    let per_grid_block = ARENA_START.threads / 32;
    blocks.div_ceil(per_grid_block).min(sm_count.max(1) * FILL_BLOCKS_PER_SM)
}

/// Launches half-pass `half_pass` of an arena.
pub(super) fn half_pass(
    gpu: &Gpu,
    kernels: &ArenaKernels,
    sm_count: u32,
    arena: &SharedArena,
    half_pass: u32,
    seed: &State,
) -> Result<(), ExecError> {
    let blocks = arena.blocks();
    let words = u64::from(blocks) * u64::from(spec::BLOCK_WORDS);
    require(arena.memory(), words * WORD_BYTES, "arena");
    let pass = HalfPassParams { arena: arena.address(), blocks, half_pass, key: key(seed) };
    let grid = fill_grid(sm_count, blocks / 2);
    // SAFETY: `half_pass` takes HalfPassParams; the length was checked above.
    unsafe { gpu.launch(&kernels.half_pass, grid, &pass, words) }
}

/// Launches everything that fills an arena: `arena_start`, then every `half_pass`.
pub(super) fn fill(
    gpu: &Gpu,
    kernels: &ArenaKernels,
    sm_count: u32,
    arena: &SharedArena,
    half_passes: u32,
    seed: &State,
) -> Result<(), ExecError> {
    let (blocks, key) = (arena.blocks(), key(seed));
    let words = u64::from(blocks) * u64::from(spec::BLOCK_WORDS);
    require(arena.memory(), words * WORD_BYTES, "arena");
    let start = ArenaStartParams { arena: arena.address(), blocks, reserved: 0, key };
    let grid = fill_grid(sm_count, blocks);
    // SAFETY: `arena_start` takes ArenaStartParams; the length was checked above.
    unsafe { gpu.launch(&kernels.arena_start, grid, &start, words) }?;
    (1..=half_passes).try_for_each(|r| half_pass(gpu, kernels, sm_count, arena, r, seed))
}

/// Where the second blocks of a sweep's leaves lie.
#[derive(Clone, Copy)]
pub(super) enum Second<'a> {
    /// In the lane's own arena.
    Own,
    /// In other lanes' arenas, by a table of all lanes' addresses: each an arena of as
    /// many blocks that lives through the launch and that this device can address.
    Arenas(&'a DeviceMemory),
    /// In a copy of those that this launch's tiles read, in their order.
    Copied(&'a DeviceMemory),
}

/// Which tiles a sweep computes, and what becomes of their roots.
pub(super) enum Tiles<'a> {
    /// Consecutive ones of the running iteration, into the ring.
    Running {
        /// The first.
        first: u32,
        /// Ring of tile roots.
        roots: &'a DeviceMemory,
        /// Slots that the chain may name.
        ring_slots: u32,
        /// Counters by SM id.
        counters: Option<&'a DeviceMemory>,
    },
    /// One for each source, all their leaf hashes.
    Sampled {
        /// A [`SweepSource`] a tile; its `peer` as [`Second`] says.
        sources: &'a DeviceMemory,
        /// Out: 256 digests a tile.
        leaf_hashes: &'a DeviceMemory,
    },
}

/// A launch of `sweep`.
pub(super) struct Sweep<'a> {
    pub work: MemoryResidency,
    /// g and G.
    pub lane: u32,
    pub lanes: u32,
    pub arena: &'a SharedArena,
    pub second: Second<'a>,
    /// The lane's chain.
    pub chain: &'a DeviceMemory,
    pub tiles: Tiles<'a>,
    /// How many tiles.
    pub count: u32,
}

/// Launches `sweep`.
pub(super) fn sweep(
    gpu: &Gpu,
    kernels: &ArenaKernels,
    sm_count: u32,
    launch: &Sweep<'_>,
) -> Result<(), ExecError> {
    let Sweep { work, lane, lanes, arena, second, chain, ref tiles, count } = *launch;
    let leaves = u64::from(count) * u64::from(spec::LEAVES_PER_TILE);
    require(arena.memory(), work.arena_bytes(), "arena");
    require(chain, size_of::<ChainState>() as u64, "chain");
    // The kernel finds a word inside a block by an exclusive-or of addresses.
    let aligned = |address: u64| {
        assert!(
            address.is_multiple_of(spec::BLOCK_BYTES),
            "blocks start at multiples of their size"
        );
        address
    };
    assert!(work.reads_peers() != matches!(second, Second::Own), "K says whose blocks are second");
    assert!(lane < lanes && (lanes >= 2 || !work.reads_peers()), "lane {lane} of {lanes}");
    let (peers, staged) = match second {
        Second::Own => (0, 0),
        Second::Arenas(table) => {
            require(table, 8 * u64::from(lanes), "table of arenas");
            (table.address(), 0)
        }
        Second::Copied(copy) => {
            require(copy, leaves * spec::BLOCK_BYTES, "copied blocks");
            (aligned(copy.address()), 1)
        }
    };
    let mut params = SweepParams {
        arena: aligned(arena.address()),
        peers,
        chain: chain.address(),
        slot_tiles: work.tiles(),
        blocks: arena.blocks(),
        peer_blocks: work.peer_blocks as u32,
        lanes,
        lane,
        staged,
        ..SweepParams::default()
    };
    match *tiles {
        Tiles::Running { first, roots, ring_slots, counters } => {
            let ring_bytes = u64::from(ring_slots) * work.tiles() * DIGEST_BYTES;
            require(roots, ring_bytes, "tile roots");
            let end = u64::from(first) + u64::from(count);
            assert!(end <= work.tiles(), "tiles past the end of the iteration");
            (params.first_tile, params.tile_roots) = (first, roots.address());
            if let Some(counters) = counters {
                require(counters, u64::from(sm_count) * size_of::<SmCounter>() as u64, "counters");
                (params.sm_counters, params.sm_count) = (counters.address(), sm_count);
            }
        }
        Tiles::Sampled { sources, leaf_hashes } => {
            require(sources, u64::from(count) * size_of::<SweepSource>() as u64, "sources");
            require(leaf_hashes, leaves * DIGEST_BYTES, "leaf hashes");
            (params.sources, params.leaf_hashes) = (sources.address(), leaf_hashes.address());
        }
    }
    let words = leaves * 2 * u64::from(spec::BLOCK_WORDS);
    let units = words + LEAF_WORK * leaves;
    // SAFETY: `sweep` takes SweepParams; the lengths were checked above, and of what a
    // table or a source says `Second` has what its maker made sure of.
    unsafe { gpu.launch(&kernels.sweep, count, &params, units) }
}

/// What a ceiling of memory does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PeakMemory {
    /// Reads all of it.
    Read,
    /// Copies one half of it to the other.
    Copy,
}

/// Launches a ceiling of memory, `peak_read` or `peak_copy`, and gives the bytes that it
/// moves: read and written, together.
pub(super) fn peak_memory(
    gpu: &Gpu,
    kernel: &Kernel,
    sm_count: u32,
    memory: &DeviceMemory,
    what: PeakMemory,
    out: &DeviceMemory,
) -> Result<u64, ExecError> {
    require(out, WORD_BYTES, "out");
    let unit = PEAK_MEMORY_WORDS * WORD_BYTES * u64::from(kernel.threads());
    let whole = |bytes: u64| bytes / unit * unit;
    let (params, moved) = match what {
        PeakMemory::Read => {
            let bytes = whole(memory.bytes());
            (PeakMemoryParams { from: memory.address(), to: out.address(), bytes }, bytes)
        }
        PeakMemory::Copy => {
            let bytes = whole(memory.bytes() / 2);
            let (from, to) = (memory.address(), memory.address() + bytes);
            (PeakMemoryParams { from, to, bytes }, 2 * bytes)
        }
    };
    let grid = sm_count.max(1) * FILL_BLOCKS_PER_SM;
    // SAFETY: both take PeakMemoryParams; they stay inside `memory`, of which `bytes` is
    // all or half.
    unsafe { gpu.launch(kernel, grid, &params, moved / WORD_BYTES) }?;
    Ok(moved)
}
