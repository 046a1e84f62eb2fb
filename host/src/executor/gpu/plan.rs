//! Launch geometry and memory of one lane, chosen in one place. Pure: the
//! executor obeys it and decides nothing itself.
//!
//! An iteration of products is, per chunk of them, `fill` or `int8_fill`, then the product
//! kernel; one of memory residency is a `sweep` of an arena. Then come `merkle` levels
//! until at most 512 nodes are left; then `chain_step`.
//! Tile roots and iteration roots go to rings of [`LaunchPlan::ring_slots`]
//! slots, one slot an iteration; a whole ring (a *batch*) is copied to
//! page-locked host memory at a time.

use super::shape::ProductShape;
use crate::protocol::quantity::about;
use crate::protocol::work::Work;
use crate::protocol::work::memory_residency::{
    ARENA_BLOCKS_MAX, ARENA_BLOCKS_STEP, BLOCK_BYTES, MemoryResidency,
};
use crate::work::integer_product::gpu as integer;

use gpu_kernels::abi::{
    FILL_UNIT_K, GEMM_SCRATCH_BYTES_PER_BLOCK, GEMM_SPLIT_MAX, MERKLE_GROUP, SmCounter,
};
use gpu_kernels::declaration::{GemmGrid, GemmKernel, IntegerKernel};
use std::fmt;

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput {
    /// The work.
    pub work: Work,
    /// Device memory that may be used, bytes.
    pub free_bytes: u64,
    /// SMs of the device.
    pub sm_count: u32,
    /// The kernel of FP64 products.
    pub gemm: GemmKernel,
    /// The kernel of integer products, if there is one.
    pub integer: Option<IntegerKernel>,
    /// Most products in a chunk, for tests of chunking; `None`: as many as fit.
    pub chunk_products_max: Option<u32>,
    /// Most slots of the rings; `None`: as many as serve.
    pub ring_slots_max: Option<u32>,
}

/// Bytes of each buffer on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferBytes {
    /// Packed operands of one chunk.
    pub operands: u64,
    /// The arena.
    pub arena: u64,
    /// Ring of tile roots.
    pub tile_roots: u64,
    /// Ring of iteration roots.
    pub roots: u64,
    /// Nodes that odd `merkle` levels write.
    pub nodes_a: u64,
    /// Nodes that even `merkle` levels write.
    pub nodes_b: u64,
    /// Scratch of the product kernel.
    pub scratch: u64,
    /// SM counters.
    pub counters: u64,
}

impl BufferBytes {
    fn all(&self) -> [u64; 8] {
        [
            self.operands,
            self.arena,
            self.tile_roots,
            self.roots,
            self.nodes_a,
            self.nodes_b,
            self.scratch,
            self.counters,
        ]
    }

    /// What the driver takes from the device for them: it hands out memory in
    /// pages of 2 MiB, shared by small allocations.
    pub fn on_device(&self) -> u64 {
        let (large, small): (Vec<u64>, Vec<u64>) =
            self.all().into_iter().partition(|&bytes| bytes >= PAGE_BYTES / 2);
        let pooled: u64 = small.iter().map(|bytes| bytes.next_multiple_of(512)).sum();
        let large: u64 = large.iter().map(|bytes| bytes.next_multiple_of(PAGE_BYTES)).sum();
        large + pooled.next_multiple_of(PAGE_BYTES)
    }
}

/// One launch of `merkle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MerkleLevel {
    /// Nodes that go in.
    pub count: u64,
    /// Nodes that come out: blocks of the launch.
    pub groups: u32,
}

/// The plan of one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchPlan {
    /// The work.
    pub work: Work,
    /// Products filled and multiplied at a time; the last chunk may have fewer. 1 for
    /// work that has none.
    pub chunk_products: u32,
    /// Iterations between copies to the host.
    pub ring_slots: u32,
    /// Iterations replayed by one graph launch; divides `ring_slots`. 1: no
    /// graph, every kernel is launched by itself.
    pub graph_iterations: u32,
    /// Batches in flight: page-locked buffers of one ring each.
    pub readbacks: u32,
    /// `merkle` launches, in order.
    pub merkle: Vec<MerkleLevel>,
    /// Nodes that `chain_step` reduces.
    pub step_nodes: u32,
    /// SMs of the device.
    pub sm_count: u32,
    /// Buffers on the device.
    pub bytes: BufferBytes,
}

/// The work does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoesNotFit {
    /// For the arena, or one product at a time, and rings of one slot, margin included.
    pub needed_bytes: u64,
    /// What there was.
    pub free_bytes: u64,
}

/// Device memory comes in pages of this size.
const PAGE_BYTES: u64 = 2 << 20;
/// Left free for the driver: kernels' local memory, page tables, JIT.
const MARGIN_BYTES: u64 = 64 << 20;
/// Bytes of a digest.
const DIGEST_BYTES: u64 = 32;
/// Work that a batch should hold, so that the host wakes rarely.
const BATCH_NS: u64 = 8_000_000;
/// A fast device's FP64 rate (FLOP per ns), to guess an iteration's time. Only
/// the number of slots depends on it.
const FLOP_PER_NS: u64 = 50_000;
/// A fast device's memory, bytes per ns, likewise.
const BYTES_PER_NS: u64 = 4_000;
/// A fast device's int8 rate, operations per ns, likewise.
const OPERATIONS_PER_NS: u64 = 1_000_000;
/// An iteration takes at least this long.
const ITERATION_NS_MIN: u64 = 20_000;
/// Most slots: a stop takes effect after the batches in flight.
const RING_SLOTS_MAX: u64 = 128;
/// Most memory for the ring of tile roots, unless one slot needs more.
const RING_BYTES_MAX: u64 = 128 << 20;
/// Most kernels in a graph: a larger one takes longer to build than it saves.
const GRAPH_KERNELS_MAX: u64 = 128;
/// Most blocks of `fill` per SM. Many times what an SM holds, so that those that run
/// at the same time write next to each other, which device memory takes fastest;
/// few enough for a block to have several units, over which it spreads its start.
const FILL_BLOCKS_PER_SM: u64 = 64;
/// Most blocks in x.
const GRID_MAX: u64 = (1 << 31) - 1;

impl LaunchPlan {
    /// Chooses chunk, rings and grids for `input`.
    ///
    /// # Errors
    /// [`DoesNotFit`] if not even one product at a time fits, or the arena doesn't.
    pub fn new(input: &PlanInput) -> Result<Self, DoesNotFit> {
        let budget = input.free_bytes.saturating_sub(MARGIN_BYTES);
        let with = |chunk: u32, slots: u32| Self::sized(input, chunk, slots);

        let least = with(1, 1).bytes.on_device();
        if least > budget {
            let needed_bytes = least + MARGIN_BYTES;
            return Err(DoesNotFit { needed_bytes, free_bytes: input.free_bytes });
        }
        let mut slots =
            ring_slots(input.work, budget).min(input.ring_slots_max.unwrap_or(u32::MAX));
        slots = slots.max(1);
        if with(1, slots).bytes.on_device() > budget {
            slots = 1;
        }
        let Some(shape) = ProductShape::of(input.work) else { return Ok(with(1, slots)) };
        let product_bytes = shape.operand_bytes_per_product();
        let fixed = with(1, slots).bytes.on_device() - product_bytes.next_multiple_of(PAGE_BYTES);
        let fitting = (budget - fixed.min(budget)) / product_bytes;
        let most = fitting
            .min(GRID_MAX / shape.tiles_per_product())
            .min(u64::from(input.chunk_products_max.unwrap_or(u32::MAX)))
            .clamp(1, u64::from(shape.products)) as u32;
        // Chunks as even as they can be: a small last one would leave SMs idle.
        let mut chunk = shape.products.div_ceil(shape.products.div_ceil(most));
        // Rounding to pages may have tipped it over.
        while chunk > 1 && with(chunk, slots).bytes.on_device() > budget {
            chunk -= 1;
        }
        Ok(with(chunk, slots))
    }

    fn sized(input: &PlanInput, chunk_products: u32, ring_slots: u32) -> Self {
        let work = input.work;
        let tiles = work.tiles();
        let (merkle, step_nodes) = merkle_levels(tiles);
        let (arena, scratch) = match work {
            Work::Fp64Product(_) => (0, scratch_bytes(&input.gemm, input.sm_count)),
            Work::IntegerProduct(_) => {
                let bytes = |of: &IntegerKernel| integer::scratch_bytes(of, input.sm_count);
                (0, input.integer.as_ref().map_or(0, bytes))
            }
            Work::MemoryResidency(work) => (work.arena_bytes(), 0),
        };
        let (kernels, operands) = match ProductShape::of(work) {
            Some(shape) => (
                2 * u64::from(shape.products.div_ceil(chunk_products)),
                u64::from(chunk_products) * shape.operand_bytes_per_product(),
            ),
            None => (1, 0),
        };
        let launches = kernels + merkle.len() as u64;
        let graph = (GRAPH_KERNELS_MAX / (launches + 1)).clamp(1, u64::from(ring_slots)) as u32;
        let ring_slots = ring_slots / graph * graph;
        let slots = u64::from(ring_slots);
        let level_bytes = |level: usize| {
            merkle.get(level).map_or(0, |level| u64::from(level.groups) * DIGEST_BYTES)
        };
        let bytes = BufferBytes {
            operands,
            arena,
            tile_roots: slots * tiles * DIGEST_BYTES,
            roots: slots * DIGEST_BYTES,
            nodes_a: level_bytes(0),
            nodes_b: level_bytes(1),
            scratch,
            counters: u64::from(input.sm_count) * size_of::<SmCounter>() as u64,
        };
        let readbacks = if bytes.tile_roots > RING_BYTES_MAX { 1 } else { 2 };
        Self {
            work,
            chunk_products,
            ring_slots,
            graph_iterations: graph,
            readbacks,
            merkle,
            step_nodes,
            sm_count: input.sm_count,
            bytes,
        }
    }

    /// n and m.
    ///
    /// # Panics
    /// If the plan is of another kind of work: a bug of the caller.
    pub(super) fn shape(&self) -> ProductShape {
        ProductShape::of(self.work).unwrap_or_else(|| panic!("{} has no shape", self.work))
    }

    /// Parts into which the work of an iteration is cut.
    pub(super) fn chunk_count(&self) -> u32 {
        let chunks = |shape: ProductShape| shape.products.div_ceil(self.chunk_products);
        ProductShape::of(self.work).map_or(1, chunks)
    }

    /// First product and number of products of every chunk, in order.
    ///
    /// # Panics
    /// If the plan is of another kind of work: a bug of the caller.
    pub fn chunks(&self) -> impl Iterator<Item = (u32, u32)> + use<> {
        let (all, size) = (self.shape().products, self.chunk_products);
        (0..self.chunk_count()).map(move |chunk| (chunk * size, size.min(all - chunk * size)))
    }

    /// Kernels launched per iteration.
    fn kernels_per_iteration(&self) -> u32 {
        let kernels = ProductShape::of(self.work).map_or(1, |_| 2 * self.chunk_count());
        kernels + self.merkle.len() as u32 + 1
    }

    /// Page-locked host memory, bytes.
    pub fn host_bytes(&self) -> u64 {
        u64::from(self.readbacks) * (self.bytes.tile_roots + self.bytes.roots)
    }
}

/// N of the largest arena for which there is a plan with what `input` has, whatever its
/// work is; 0: there is none.
pub fn largest_arena(input: &PlanInput) -> u64 {
    let fits = |arena_blocks: u64| {
        let work = MemoryResidency { arena_blocks, half_passes: 0, peer_blocks: 0 };
        LaunchPlan::new(&PlanInput { work: work.into(), ..*input })
    };
    let steps = |blocks: u64| blocks / ARENA_BLOCKS_STEP * ARENA_BLOCKS_STEP;
    let mut blocks = steps(input.free_bytes / BLOCK_BYTES).min(ARENA_BLOCKS_MAX);
    while blocks > 0
        && let Err(DoesNotFit { needed_bytes, free_bytes }) = fits(blocks)
    {
        let over = (needed_bytes - free_bytes).div_ceil(BLOCK_BYTES);
        blocks = steps(blocks.saturating_sub(over));
    }
    blocks
}

impl fmt::Display for LaunchPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { work, bytes, .. } = self;
        writeln!(f, "work            {work}")?;
        if ProductShape::of(*work).is_some() {
            let (chunks, products) = (self.chunk_count(), self.chunk_products);
            writeln!(f, "chunks          {chunks} of up to {products} products")?;
        }
        writeln!(f, "rings           {} slots of {} tiles", self.ring_slots, work.tiles())?;
        writeln!(
            f,
            "launches        {} kernels an iteration, {} iterations a graph",
            self.kernels_per_iteration(),
            self.graph_iterations
        )?;
        for level in &self.merkle {
            writeln!(f, "merkle          {} nodes to {}", level.count, level.groups)?;
        }
        writeln!(f, "chain step      {} nodes to 1", self.step_nodes)?;
        let size = |bytes| about(bytes as f64, "B");
        match work {
            Work::Fp64Product(_) | Work::IntegerProduct(_) => {
                writeln!(f, "operands        {}", size(bytes.operands))?;
            }
            Work::MemoryResidency(_) => {
                writeln!(f, "arena           {}", size(bytes.arena))?;
            }
        }
        writeln!(f, "tile roots      {}", size(bytes.tile_roots))?;
        let other = bytes.roots + bytes.nodes_a + bytes.nodes_b + bytes.scratch + bytes.counters;
        writeln!(f, "other buffers   {}", size(other))?;
        writeln!(f, "on the device   {}", size(bytes.on_device()))?;
        write!(f, "page-locked     {}", size(self.host_bytes()))
    }
}

/// Slots worth having: enough iterations to fill [`BATCH_NS`].
fn ring_slots(work: Work, budget: u64) -> u32 {
    let iteration_ns = ITERATION_NS_MIN
        + match work {
            Work::Fp64Product(shape) => 2 * shape.multiply_adds() / FLOP_PER_NS,
            Work::MemoryResidency(work) => work.sweep_bytes() / BYTES_PER_NS,
            Work::IntegerProduct(work) => 2 * work.multiply_adds() / OPERATIONS_PER_NS,
        };
    let slot_bytes = work.tiles() * DIGEST_BYTES;
    let by_memory = RING_BYTES_MAX.min(budget / 8) / slot_bytes;
    (BATCH_NS / iteration_ns).min(by_memory).clamp(1, RING_SLOTS_MAX) as u32
}

/// The `merkle` launches that leave at most [`MERKLE_GROUP`] nodes, and how
/// many they leave.
pub fn merkle_levels(nodes: u64) -> (Vec<MerkleLevel>, u32) {
    let mut levels = Vec::new();
    let mut count = nodes;
    while count > u64::from(MERKLE_GROUP) {
        let groups = count.div_ceil(u64::from(MERKLE_GROUP));
        levels.push(MerkleLevel { count, groups: groups as u32 });
        count = groups;
    }
    (levels, count as u32)
}

/// Scratch for the largest grid of the product kernel: openings use it too,
/// with other numbers of tiles.
pub fn scratch_bytes(gemm: &GemmKernel, sm_count: u32) -> u64 {
    match gemm.computes.grid {
        GemmGrid::PerTile => 0,
        GemmGrid::Persistent => u64::from(sm_count.max(1)) * GEMM_SCRATCH_BYTES_PER_BLOCK,
    }
}

/// Blocks of the product kernel for `tiles` tiles.
pub fn gemm_grid(gemm: &GemmKernel, sm_count: u32, tiles: u64) -> u32 {
    match gemm.computes.grid {
        GemmGrid::PerTile => tiles.min(GRID_MAX) as u32,
        GemmGrid::Persistent => {
            (tiles * u64::from(GEMM_SPLIT_MAX)).min(u64::from(sm_count.max(1))) as u32
        }
    }
}

/// Blocks of `fill` for `panels` panels of `dim` inner indices.
pub fn fill_grid(sm_count: u32, panels: u64, dim: u32) -> u32 {
    let units = panels * u64::from(dim.div_ceil(FILL_UNIT_K));
    units.clamp(1, u64::from(sm_count.max(1)) * FILL_BLOCKS_PER_SM) as u32
}

#[cfg(test)]
mod tests;
