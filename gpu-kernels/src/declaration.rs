//! What is declared of a kernel: the form of the entries of [`crate::kernels`].

use crate::target::Targets;
use crate::tile::Packing;

/// One entry point: how it is compiled and launched, and what it computes. `C` is
/// [`Computes`] in the table of all kernels, and [`Product`] or [`Ceiling`] if only
/// such a kernel will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel<C = Computes> {
    /// Its name in PTX.
    pub name: &'static str,
    /// Threads of a block: what it is launched with, and `.maxntid`.
    pub threads: u32,
    /// Dynamic shared memory of a block, bytes.
    pub shared_bytes: u32,
    /// Blocks that must fit on an SM at once, `.minnctapersm`: what bounds its
    /// registers. Without it only `threads` does.
    pub blocks_per_sm_min: Option<u32>,
    /// Whether it decides the speed of a run.
    pub heat: Heat,
    /// Targets that have it.
    pub targets: Targets,
    /// How often its threads meet.
    pub sync: SyncCounts,
    /// What it is for.
    pub computes: C,
}

/// A product kernel.
pub type GemmKernel = Kernel<Product>;
/// A kernel of integer products.
pub type IntegerKernel = Kernel<IntegerProduct>;
/// A ceiling kernel.
pub type PeakKernel = Kernel<Ceiling>;

/// What a kernel computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Computes {
    /// Operands of FP64 products, by [`crate::abi::FillParams`].
    Operands,
    /// FP64 products, their leaves and tile roots, by [`crate::abi::GemmParams`].
    Product(Product),
    /// Groups of nodes to one, by [`crate::abi::MerkleParams`].
    Tree,
    /// The last nodes to the root of an iteration, and the chain's next state, by
    /// [`crate::abi::StepParams`].
    Step,
    /// The words of an arena, by [`crate::abi::ArenaStartParams`] and
    /// [`crate::abi::HalfPassParams`].
    Arena,
    /// Operands of integer products, by [`crate::abi::IntegerFillParams`].
    IntegerOperands,
    /// Integer products, their leaves and tile roots, by
    /// [`crate::abi::IntegerGemmParams`].
    IntegerProduct(IntegerProduct),
    /// Leaves and tile roots of an arena, by [`crate::abi::SweepParams`].
    Sweep,
    /// Nothing of use: how fast one unit is by itself, by
    /// [`crate::abi::PeakParams`].
    Ceiling(Ceiling),
    /// Nothing of use: how fast device memory is, by
    /// [`crate::abi::PeakMemoryParams`].
    MemoryCeiling,
}

/// How a product kernel multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// How blocks map to tiles.
    pub grid: GemmGrid,
    /// Which unit multiplies.
    pub unit: Unit,
    /// How it reads B's panels.
    pub packing_b: Packing,
}

/// How a kernel of integer products multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntegerProduct {
    /// How blocks map to tiles.
    pub grid: IntegerGrid,
    /// Which unit multiplies.
    pub unit: Unit,
    /// Scratch of a block in device memory, bytes, a multiple of 16; 0: it needs none.
    pub scratch_bytes_per_block: u64,
}

/// How blocks map to tiles of 128×128.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerGrid {
    /// One block per tile.
    PerTile,
    /// One block per SM, at most one per tile; blocks deal the tiles among
    /// themselves.
    Persistent,
}

/// Which unit a ceiling kernel keeps busy, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// The unit.
    pub unit: Unit,
    /// What one warp does in one round.
    pub warp_round: Amount,
}

/// An amount of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Fused multiply-adds in FP64.
    MultiplyAdds(u64),
    /// Multiply-adds of int8 into int32.
    IntegerMultiplyAdds(u64),
    /// Blocks of SHA-256, 64 bytes each.
    Sha256Blocks(u64),
}

/// How blocks map to tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GemmGrid {
    /// One block per tile.
    PerTile,
    /// One block per SM, at most [`crate::abi::GEMM_SPLIT_MAX`] per tile;
    /// [`crate::abi::TileSchedule`] deals the tiles.
    Persistent,
}

/// A unit of a GPU, by the instruction that keeps it busy. FP64 tensor cores are
/// compared with the FMA pipe before a device's first run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The FP64 FMA pipe.
    FmaPipe,
    /// FP64 tensor cores, by `mma.m8n8k4`.
    M8n8k4,
    /// FP64 tensor cores, by `mma.m16n8k16`.
    M16n8k16,
    /// The integer pipes, by SHA-256.
    Sha256,
    /// The integer pipes, by `dp4a`.
    Dp4a,
    /// Integer tensor cores, by `mma.m16n8k32`.
    M16n8k32,
    /// Integer tensor cores, by `wgmma`.
    Wgmma,
}

/// Whether a kernel decides the speed of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heat {
    /// It does: local memory or spills in it fail the build.
    Hot,
    /// It doesn't: they are only recorded.
    Plain,
}

/// How many instructions of each kind that threads meet at, or that must run
/// exactly as often as is written, an entry point has. A compiler that makes two
/// of one where threads part ways has made a kernel that hangs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncCounts {
    /// `bar.sync` and `barrier.sync`, with a count or without.
    pub block_barriers: u32,
    /// `bar.warp.sync`.
    pub warp_barriers: u32,
    /// `shfl.sync`.
    pub shuffles: u32,
    /// `mbarrier.try_wait` and `mbarrier.test_wait`.
    pub waits: u32,
    /// `setmaxnreg`.
    pub hand_overs: u32,
    /// `cp.async.bulk`.
    pub bulk_copies: u32,
}

impl SyncCounts {
    /// Threads that never meet.
    pub const NONE: Self = Self::barriers(0);

    /// Barriers of the block alone.
    pub const fn barriers(block_barriers: u32) -> Self {
        Self { block_barriers, ..Self::shuffles(0) }
    }

    /// Exchanges between the lanes of a warp alone.
    pub const fn shuffles(shuffles: u32) -> Self {
        Self {
            block_barriers: 0,
            warp_barriers: 0,
            shuffles,
            waits: 0,
            hand_overs: 0,
            bulk_copies: 0,
        }
    }
}

impl<C: Copy> Kernel<C> {
    /// The same kernel, with `computes` in place of what it computes.
    pub(crate) const fn computing<D: Copy>(self, computes: D) -> Kernel<D> {
        let Self { name, threads, shared_bytes, blocks_per_sm_min, heat, targets, sync, .. } = self;
        Kernel { name, threads, shared_bytes, blocks_per_sm_min, heat, targets, sync, computes }
    }
}

impl GemmKernel {
    /// As an entry of the table.
    pub const fn entry(self) -> Kernel {
        self.computing(Computes::Product(self.computes))
    }
}

impl IntegerKernel {
    /// As an entry of the table.
    pub const fn entry(self) -> Kernel {
        self.computing(Computes::IntegerProduct(self.computes))
    }
}

impl PeakKernel {
    /// As an entry of the table.
    pub const fn entry(self) -> Kernel {
        self.computing(Computes::Ceiling(self.computes))
    }
}
