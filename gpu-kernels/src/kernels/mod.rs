//! The table of kernels: every entry point, with what compiling, launching, choosing
//! and measuring it takes. `cargo xtask ptx` and the host derive all else from it, so
//! that a new kernel is a file in this folder, its module and its entry here.
//!
//! Guarantees: an entry point that is not listed in [`KERNELS`] does not get into the
//! PTX, because it would be compiled for blocks that it is never started with; nor
//! does a file that lacks one of its target's kernels. What is declared is what
//! device code asserts of its own layout.
//!
//! Modules of device code are there on targets that have what they need
//! (`attest_has`), and not on the host.

#[cfg(target_arch = "nvptx64")]
pub mod arena;
#[cfg(target_arch = "nvptx64")]
pub mod chain_step;
#[cfg(target_arch = "nvptx64")]
pub mod fill;
#[cfg(target_arch = "nvptx64")]
pub mod gemm_fma;
#[cfg(attest_has = "register_handover")]
pub mod gemm_m16n8k16;
#[cfg(all(attest_has = "bulk_copies", not(attest_has = "register_handover")))]
pub mod gemm_m16n8k16_tile;
#[cfg(attest_has = "tensor_cores")]
pub mod gemm_m8n8k4;
#[cfg(target_arch = "nvptx64")]
pub mod int8_dp4a;
#[cfg(target_arch = "nvptx64")]
pub mod int8_fill;
#[cfg(attest_has = "tensor_cores")]
pub mod int8_m16n8k32;
#[cfg(target_arch = "nvptx64")]
pub mod int8_parts;
#[cfg(attest_has = "wgmma")]
pub mod int8_wgmma;
#[cfg(target_arch = "nvptx64")]
pub mod merkle;
#[cfg(target_arch = "nvptx64")]
pub mod parts;
#[cfg(target_arch = "nvptx64")]
pub mod peak;
#[cfg(target_arch = "nvptx64")]
pub mod peak_memory;
#[cfg(attest_has = "bulk_copies")]
pub mod sixteen;
#[cfg(target_arch = "nvptx64")]
pub mod sweep;

use crate::abi::MERKLE_GROUP;
use crate::declaration::{
    Amount, Ceiling, Computes, GemmGrid, GemmKernel, Heat, IntegerGrid, IntegerKernel,
    IntegerProduct, Kernel, PeakKernel, Product, SyncCounts, Unit,
};
use crate::target::{Means, Targets};
use crate::tile::Packing;

/// Every entry point. Of the product kernels, and of those of integer products, the
/// fastest comes first: in this order a device's variants are listed, and the first that
/// its target has runs.
pub const KERNELS: &[Kernel] = &[
    FILL,
    MERKLE,
    CHAIN_STEP,
    ARENA_START,
    HALF_PASS,
    SWEEP,
    INT8_FILL,
    GEMM_M16N8K16.entry(),
    GEMM_M16N8K16_TILE.entry(),
    GEMM_M8N8K4.entry(),
    GEMM_FMA.entry(),
    INT8_WGMMA.entry(),
    INT8_M16N8K32.entry(),
    INT8_DP4A.entry(),
    PEAK_FMA.entry(),
    PEAK_M8N8K4.entry(),
    PEAK_M16N8K16.entry(),
    PEAK_SHA256.entry(),
    PEAK_DP4A.entry(),
    PEAK_M16N8K32.entry(),
    PEAK_WGMMA.entry(),
    PEAK_READ,
    PEAK_COPY,
];

/// Operands of consecutive products from Philox4x32-10. Any grid.
pub const FILL: Kernel = Kernel {
    name: "fill",
    threads: 256,
    shared_bytes: 0,
    blocks_per_sm_min: None,
    heat: Heat::Hot,
    targets: Targets::All,
    sync: SyncCounts::NONE,
    computes: Computes::Operands,
};

/// Groups of [`MERKLE_GROUP`] nodes to one each, a block a group.
pub const MERKLE: Kernel = Kernel {
    name: "merkle",
    threads: 256,
    shared_bytes: MERKLE_GROUP * 32,
    blocks_per_sm_min: None,
    heat: Heat::Plain,
    targets: Targets::All,
    // After loading, and two a level.
    sync: SyncCounts::barriers(3),
    computes: Computes::Tree,
};

/// The last nodes, at most [`MERKLE_GROUP`], to D(g,i); s(g,i). One block.
pub const CHAIN_STEP: Kernel = Kernel {
    name: "chain_step",
    threads: 256,
    shared_bytes: MERKLE_GROUP * 32,
    blocks_per_sm_min: None,
    heat: Heat::Plain,
    targets: Targets::All,
    // merkle's, and one before the root's place is used again.
    sync: SyncCounts::barriers(4),
    computes: Computes::Step,
};

/// The first words of an arena. Any grid.
pub const ARENA_START: Kernel = Kernel {
    name: "arena_start",
    threads: 256,
    shared_bytes: 0,
    blocks_per_sm_min: None,
    heat: Heat::Hot,
    targets: Targets::All,
    sync: SyncCounts::NONE,
    computes: Computes::Arena,
};

/// One half-pass of an arena. Any grid.
pub const HALF_PASS: Kernel = Kernel { name: "half_pass", ..ARENA_START };

/// Folds, leaf hashes and tile roots of an arena: a block of one warp a tile.
pub const SWEEP: Kernel = Kernel {
    name: "sweep",
    threads: 32,
    // A digest a thread for each of the three lowest levels of its subtree.
    shared_bytes: 3 * 32 * 32,
    blocks_per_sm_min: Some(16),
    heat: Heat::Hot,
    targets: Targets::All,
    // ρ before the main loop and in it; four words at five distances; a digest of
    // eight to the sibling.
    sync: SyncCounts::shuffles(30),
    computes: Computes::Sweep,
};

/// Product, leaves and tile roots by `mma.m16n8k16` and bulk copies, hashing
/// overlapped: registers change hands between warpgroups.
pub const GEMM_M16N8K16: GemmKernel = Kernel {
    name: "gemm_m16n8k16",
    threads: 512,
    shared_bytes: 3 * 2 * 32768 + 512 * 32 + 256,
    blocks_per_sm_min: Some(1),
    heat: Heat::Hot,
    targets: Targets::With(Means::RegisterHandover),
    sync: SyncCounts {
        // At the start; of the hashing warps, before nodes, two a level, and
        // when a part is done.
        block_barriers: 5,
        // Multiplying: 8 for whole tiles, 4 for halves, 2 for quarters, less
        // the last of parts; hashing: 3 of the progress's.
        warp_barriers: 17,
        shuffles: 0,
        // Stages and slots, for tiles, halves and quarters; the hashing warps'
        // and the feeder's.
        waits: 8,
        // One a role.
        hand_overs: 3,
        // Whole tiles 2; halves 4 and 1; quarters 4 and 4.
        bulk_copies: 15,
    },
    computes: Product {
        grid: GemmGrid::Persistent,
        unit: Unit::M16n8k16,
        packing_b: Packing::IndexPairs,
    },
};

/// The same without the hand-over of registers that only targets of one architecture
/// have: hashing comes after the product.
pub const GEMM_M16N8K16_TILE: GemmKernel = Kernel {
    name: "gemm_m16n8k16_tile",
    threads: 256,
    shared_bytes: 6 * 2 * 16384 + 128,
    blocks_per_sm_min: Some(1),
    heat: Heat::Hot,
    targets: Targets::WithBut(Means::BulkCopies, Means::RegisterHandover),
    sync: SyncCounts {
        // At the start and after the product; three of the tile's end.
        block_barriers: 5,
        // After each block of sixteen rows, and after feeding.
        warp_barriers: 5,
        shuffles: 0,
        // For a full stage; for an empty one, at the start and in the main loop.
        waits: 3,
        hand_overs: 0,
        // A's panel and B's, at the start and in the main loop.
        bulk_copies: 4,
    },
    computes: Product {
        grid: GemmGrid::PerTile,
        unit: Unit::M16n8k16,
        packing_b: Packing::IndexPairs,
    },
};

/// Product, leaves and tile roots by `mma.m8n8k4`.
pub const GEMM_M8N8K4: GemmKernel = Kernel {
    name: "gemm_m8n8k4",
    threads: 256,
    shared_bytes: 3 * 2 * 16384,
    blocks_per_sm_min: Some(1),
    heat: Heat::Hot,
    targets: Targets::With(Means::TensorCores),
    // In the main loop and after it; three of the tile's end.
    sync: SyncCounts::barriers(5),
    computes: Product {
        grid: GemmGrid::PerTile,
        unit: Unit::M8n8k4,
        packing_b: Packing::IndexPairs,
    },
};

/// Product, leaves and tile roots on the FMA pipe: what kernels on tensor cores are
/// compared with.
pub const GEMM_FMA: GemmKernel = Kernel {
    name: "gemm_fma",
    threads: 256,
    shared_bytes: 3 * 2 * 8192,
    blocks_per_sm_min: Some(1),
    heat: Heat::Hot,
    targets: Targets::All,
    // Before the main loop and in it; three of the tile's end.
    sync: SyncCounts::barriers(5),
    computes: Product {
        grid: GemmGrid::PerTile,
        unit: Unit::FmaPipe,
        packing_b: Packing::VectorPairs,
    },
};

/// Operands of consecutive integer products. Any grid.
pub const INT8_FILL: Kernel =
    Kernel { name: "int8_fill", computes: Computes::IntegerOperands, ..FILL };

/// Integer products, their leaves and tile roots, by `wgmma` and bulk copies, hashing
/// overlapped.
pub const INT8_WGMMA: IntegerKernel = Kernel {
    name: "int8_wgmma",
    threads: 384,
    shared_bytes: 4 * 3 * 16384 + 2 * 2 * 1024 + 3 * 128 * 32 + 128,
    blocks_per_sm_min: Some(1),
    heat: Heat::Hot,
    targets: Targets::With(Means::Wgmma),
    sync: SyncCounts {
        // At the start; two of nodes.
        block_barriers: 3,
        // Four words at two distances, of two leaves.
        shuffles: 16,
        // For a full stage and a free slot; an empty stage; messages and a free slot;
        // leaves.
        waits: 6,
        // One a role.
        hand_overs: 2,
        // A panel of A, two of B.
        bulk_copies: 3,
        ..SyncCounts::NONE
    },
    computes: IntegerProduct {
        grid: IntegerGrid::Persistent,
        unit: Unit::Wgmma,
        scratch_bytes_per_block: 0,
    },
};

/// Integer products, their leaves and tile roots, by `mma.m16n8k32`.
pub const INT8_M16N8K32: IntegerKernel = Kernel {
    name: "int8_m16n8k32",
    threads: 128,
    shared_bytes: 3 * 2 * 16384,
    blocks_per_sm_min: Some(2),
    heat: Heat::Hot,
    targets: Targets::With(Means::TensorCores),
    sync: SyncCounts {
        // In the main loop; before and after the outputs, and after the messages; of the
        // two hashing warps, before nodes and two a level.
        block_barriers: 7,
        // Four words at two distances, of two leaves.
        shuffles: 16,
        ..SyncCounts::NONE
    },
    computes: IntegerProduct {
        grid: IntegerGrid::PerTile,
        unit: Unit::M16n8k32,
        scratch_bytes_per_block: 0,
    },
};

/// Integer products, their leaves and tile roots, by `dp4a`: what kernels on tensor
/// cores are compared with.
pub const INT8_DP4A: IntegerKernel = Kernel {
    name: "int8_dp4a",
    threads: 256,
    shared_bytes: 2 * 2 * 16384,
    blocks_per_sm_min: Some(2),
    heat: Heat::Hot,
    targets: Targets::All,
    sync: SyncCounts {
        // Before the main loop and in it; after the outputs, before and after the
        // messages; of the two hashing warps, before nodes and two a level.
        block_barriers: 8,
        // Four words at two distances.
        shuffles: 8,
        ..SyncCounts::NONE
    },
    computes: IntegerProduct {
        grid: IntegerGrid::PerTile,
        unit: Unit::Dp4a,
        scratch_bytes_per_block: 0,
    },
};

/// `fma.rn.f64`, 16 chains a thread.
pub const PEAK_FMA: PeakKernel =
    peak("peak_fma", Targets::All, Unit::FmaPipe, Amount::MultiplyAdds(16 * 32));
/// `mma.m8n8k4`, 16 chains a warp.
pub const PEAK_M8N8K4: PeakKernel = peak(
    "peak_m8n8k4",
    Targets::With(Means::TensorCores),
    Unit::M8n8k4,
    Amount::MultiplyAdds(16 * 256),
);
/// `mma.m16n8k16`, 16 chains a warp.
pub const PEAK_M16N8K16: PeakKernel = peak(
    "peak_m16n8k16",
    Targets::With(Means::BulkCopies),
    Unit::M16n8k16,
    Amount::MultiplyAdds(16 * 2048),
);
/// SHA-256, one block a thread.
pub const PEAK_SHA256: PeakKernel =
    peak("peak_sha256", Targets::All, Unit::Sha256, Amount::Sha256Blocks(32));

/// `dp4a`, 16 chains a thread.
pub const PEAK_DP4A: PeakKernel =
    peak("peak_dp4a", Targets::All, Unit::Dp4a, Amount::IntegerMultiplyAdds(16 * 32 * 4));
/// `mma.m16n8k32`, 16 chains a warp.
pub const PEAK_M16N8K32: PeakKernel = peak(
    "peak_m16n8k32",
    Targets::With(Means::TensorCores),
    Unit::M16n8k32,
    Amount::IntegerMultiplyAdds(16 * 4096),
);

/// `wgmma` m64n256k32 from shared memory, two warpgroups.
pub const PEAK_WGMMA: PeakKernel = Kernel {
    shared_bytes: 3 * 16384,
    // After operands are drawn.
    sync: SyncCounts::barriers(1),
    ..peak(
        "peak_wgmma",
        Targets::With(Means::Wgmma),
        Unit::Wgmma,
        Amount::IntegerMultiplyAdds(16 * 256 * 128),
    )
};

/// Plain reads of device memory. Any grid.
pub const PEAK_READ: Kernel = Kernel {
    name: "peak_read",
    threads: 256,
    shared_bytes: 0,
    blocks_per_sm_min: None,
    heat: Heat::Hot,
    targets: Targets::All,
    sync: SyncCounts::NONE,
    computes: Computes::MemoryCeiling,
};

/// Plain copies in device memory. Any grid.
pub const PEAK_COPY: Kernel = Kernel { name: "peak_copy", ..PEAK_READ };

/// A ceiling: one unit from registers, nobody meets.
const fn peak(name: &'static str, targets: Targets, unit: Unit, warp_round: Amount) -> PeakKernel {
    Kernel {
        name,
        threads: 256,
        shared_bytes: 0,
        blocks_per_sm_min: Some(1),
        heat: Heat::Hot,
        targets,
        sync: SyncCounts::NONE,
        computes: Ceiling { unit, warp_round },
    }
}
