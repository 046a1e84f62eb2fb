//! Launch parameters, and the geometry that kernels and the host must agree on.
//! Every struct is `repr(C)`, has no padding, and is passed by value as a kernel's
//! only argument. Pointers are device addresses (`u64`); 0 where a field says it may
//! be absent. Threads and shared memory of each kernel are in [`crate::kernels`].
//!
//! Digests on the device are eight `u32` words: the words of SHA-256's state
//! as numbers. The host writes them as big-endian bytes to get the digest.

/// Words of a digest on the device.
pub type DigestWords = [u32; 8];

/// Where a lane's chain stands. One per lane, in device memory, advanced by
/// `chain_step`, so that launches need no per-iteration arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ChainState {
    /// s(g, i−1), from which iteration i's operands are drawn.
    pub state: DigestWords,
    /// i, the iteration being computed (1-based).
    pub iteration: u32,
    /// Which slot of the tile-root and root rings iteration i writes.
    pub slot: u32,
    /// Zero.
    pub reserved: [u32; 2],
}

/// Which operands a product is made of, where they are not simply those of
/// the running iteration: one sampled tile, say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ProductSource {
    /// First three words of the state of the iteration it belongs to: Philox
    /// key words k0, k1 and tweak w.
    pub key: [u32; 3],
    /// j, the product's index in its iteration.
    pub product: u32,
    /// First row of A, a multiple of 128.
    pub first_row: u32,
    /// First column of B, a multiple of 128.
    pub first_column: u32,
    /// Zero.
    pub reserved: [u32; 2],
}

/// `fill`: draws the operands of consecutive products, A's panels packed as
/// [`VectorPairs`](crate::tile::Packing::VectorPairs). Any grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FillParams {
    /// Out: per product, A's panels then B's, each 128·dim doubles.
    pub operands: u64,
    /// In: the lane's [`ChainState`]; unused where `sources` is present.
    pub chain: u64,
    /// In, may be 0: one [`ProductSource`] per product.
    pub sources: u64,
    /// n, the length of every vector: a multiple of 128.
    pub dim: u32,
    /// Panels of A per product (n/128, or 1 for single tiles).
    pub panels_a: u32,
    /// Panels of B per product.
    pub panels_b: u32,
    /// Products to fill.
    pub products: u32,
    /// j of the first product (unused where `sources` is present).
    pub first_product: u32,
    /// The [`Packing`](crate::tile::Packing) of B's panels, as a number.
    pub packing_b: u32,
}

/// `gemm_*`: multiplies, hashes every output, reduces each tile's leaves to
/// its root. One parameter block for all variants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct GemmParams {
    /// In: what `fill` wrote.
    pub operands: u64,
    /// In: the lane's [`ChainState`], for its slot.
    pub chain: u64,
    /// Out: ring of tile roots, [`DigestWords`] each; slot s starts at
    /// s·`slot_tiles`; this launch writes from `first_tile` in it.
    pub tile_roots: u64,
    /// Out, may be 0: the leaf hashes of this launch, 256 [`DigestWords`] a
    /// tile, from 0. Not in the ring.
    pub leaf_hashes: u64,
    /// In and out, may be 0: one [`SmCounter`] per SM id.
    pub sm_counters: u64,
    /// Scratch of [`GEMM_SCRATCH_BYTES_PER_BLOCK`] per block, all zero before the
    /// first launch that uses it (`gemm_m16n8k16`).
    pub scratch: u64,
    /// Tiles of one ring slot: m·(n/128)².
    pub slot_tiles: u64,
    /// Index in the slot of this launch's first tile.
    pub first_tile: u64,
    /// n, a multiple of 128.
    pub dim: u32,
    /// Tile rows per product.
    pub tiles_m: u32,
    /// Tile columns per product.
    pub tiles_n: u32,
    /// Products in this launch.
    pub products: u32,
    /// Entries of `sm_counters`.
    pub sm_count: u32,
    /// 1: leave hashing out (for measuring the bare product); 0 otherwise.
    pub bare: u32,
}

/// `int8_fill`: draws the operands of consecutive integer products, packed as
/// [`crate::integer::offset`] says. Any grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct IntegerFillParams {
    /// Out: per product, A's panels then B's, each 128·dim bytes.
    pub operands: u64,
    /// In: the lane's [`ChainState`]; unused where `sources` is present.
    pub chain: u64,
    /// In, may be 0: one [`ProductSource`] per product.
    pub sources: u64,
    /// n, the length of every vector: a multiple of 128.
    pub dim: u32,
    /// Panels of A per product (n/128, or 1 for single tiles).
    pub panels_a: u32,
    /// Panels of B per product.
    pub panels_b: u32,
    /// Products to fill.
    pub products: u32,
    /// j of the first product (unused where `sources` is present).
    pub first_product: u32,
    /// Zero.
    pub reserved: u32,
}

/// `int8_*`: multiplies, folds and hashes every leaf, reduces each tile's leaves to
/// its root. One parameter block for all variants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct IntegerGemmParams {
    /// In: what `int8_fill` wrote.
    pub operands: u64,
    /// In: the lane's [`ChainState`], for its slot and, where `sources` is 0, the key
    /// of the fold.
    pub chain: u64,
    /// In, may be 0: one [`ProductSource`] per product; then every product is a
    /// single tile (`tiles_m` and `tiles_n` are 1), with key and leaf indices of its
    /// own.
    pub sources: u64,
    /// Out: ring of tile roots, [`DigestWords`] each; slot s starts at
    /// s·`slot_tiles`; this launch writes from `first_tile` in it.
    pub tile_roots: u64,
    /// Out, may be 0: the leaf hashes of this launch, 64 [`DigestWords`] a
    /// tile, from 0. Not in the ring.
    pub leaf_hashes: u64,
    /// In and out, may be 0: one [`SmCounter`] per SM id.
    pub sm_counters: u64,
    /// Scratch of as many bytes per block as the kernel declares
    /// ([`crate::declaration::IntegerProduct::scratch_bytes_per_block`]), all zero
    /// before the first launch that uses it.
    pub scratch: u64,
    /// Tiles of one ring slot: m·(n/128)².
    pub slot_tiles: u64,
    /// Index in the slot of this launch's first tile: without `sources`, its index in
    /// the iteration, too.
    pub first_tile: u64,
    /// n, a multiple of 128.
    pub dim: u32,
    /// Tile rows per product.
    pub tiles_m: u32,
    /// Tile columns per product: any number, odd ones among them.
    pub tiles_n: u32,
    /// Products in this launch.
    pub products: u32,
    /// Entries of `sm_counters`.
    pub sm_count: u32,
    /// 1: leave folds and hashing out (for measuring the bare product); 0 otherwise.
    pub bare: u32,
}

/// What one SM did, by `%smid` and `%globaltimer`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SmCounter {
    /// Tiles completed.
    pub tiles: u64,
    /// Global timer, ns, when the first of them was done; initialise to
    /// `u64::MAX`.
    pub first_ns: u64,
    /// Global timer, ns, when the last of them was done.
    pub last_ns: u64,
    /// Zero.
    pub reserved: u64,
}

/// `arena_start`: the first words of every block of an arena. Any grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ArenaStartParams {
    /// Out: the arena, 4096 bytes a block.
    pub arena: u64,
    /// N, the arena's blocks.
    pub blocks: u32,
    /// Zero.
    pub reserved: u32,
    /// First four words of s(g,0): k0, k1, w, κ.
    pub key: [u32; 4],
}

/// `half_pass`: half-pass r of an arena. Any grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct HalfPassParams {
    /// In and out: the arena.
    pub arena: u64,
    /// N, the arena's blocks: even.
    pub blocks: u32,
    /// r, 1-based: it changes half (r−1) mod 2.
    pub half_pass: u32,
    /// First four words of s(g,0); κ is not used.
    pub key: [u32; 4],
}

/// Which tile `sweep` computes, where it is not simply one of the running
/// iteration: a sampled one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SweepSource {
    /// First three words of the state of the iteration it belongs to: k0, k1, w.
    pub key: [u32; 3],
    /// The tile's index in its iteration: leaves from 256 times that on.
    pub tile: u32,
    /// The arena of the lane whose blocks are v, or, in a launch with `staged`, the
    /// copy of the 256 blocks that the tile reads; unused where K = 0.
    pub peer: u64,
    /// Zero.
    pub reserved: u64,
}

/// `sweep`: folds leaves, hashes them, and reduces each tile of 256 to its root.
/// One block per tile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SweepParams {
    /// In: the lane's arena, at a multiple of 4096.
    pub arena: u64,
    /// In, 0 where K = 0: with `staged` 0, the addresses of all lanes' arenas, lane 0
    /// first; otherwise a copy of the blocks v that this launch's leaves read, in
    /// their order. Multiples of 4096.
    pub peers: u64,
    /// In: the lane's [`ChainState`].
    pub chain: u64,
    /// In, may be 0: one [`SweepSource`] per tile.
    pub sources: u64,
    /// Out, may be 0: ring of tile roots, [`DigestWords`] each; slot s starts at
    /// s·`slot_tiles`; this launch writes from `first_tile` in it.
    pub tile_roots: u64,
    /// Out, may be 0: the leaf hashes of this launch, 256 [`DigestWords`] a
    /// tile, from 0. Not in the ring.
    pub leaf_hashes: u64,
    /// In and out, may be 0: one [`SmCounter`] per SM id.
    pub sm_counters: u64,
    /// Tiles of one ring slot: L/256.
    pub slot_tiles: u64,
    /// This launch's first tile in the iteration; unused where `sources` is present.
    pub first_tile: u32,
    /// N, the blocks of every arena.
    pub blocks: u32,
    /// K, or 0: both blocks of a leaf are the lane's own.
    pub peer_blocks: u32,
    /// G, at least 2 where K is not 0.
    pub lanes: u32,
    /// g, below G.
    pub lane: u32,
    /// 1: `peers` and every source's `peer` are copies of blocks v; 0: arenas.
    pub staged: u32,
    /// Entries of `sm_counters`.
    pub sm_count: u32,
    /// Zero.
    pub reserved: u32,
}

/// `peak_read`, `peak_copy`: how fast memory is by itself. Any grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PeakMemoryParams {
    /// In: `bytes` to be read.
    pub from: u64,
    /// Out: as many, for `peak_copy`; 16 bytes that nothing is written to but for
    /// one content in 2³², for `peak_read`.
    pub to: u64,
    /// A multiple of [`PEAK_MEMORY_WORDS`]·16 bytes for each thread of a block.
    pub bytes: u64,
}

/// `merkle`: reduces consecutive groups of [`MERKLE_GROUP`] nodes to one node
/// each. Grid: ⌈count/512⌉.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MerkleParams {
    /// In: nodes; where `slot_nodes` is not 0, the ring's start.
    pub nodes: u64,
    /// Out: one node per group.
    pub out: u64,
    /// In: the lane's [`ChainState`], for its slot.
    pub chain: u64,
    /// Nodes per ring slot, or 0 where `nodes` is no ring.
    pub slot_nodes: u64,
    /// Nodes to reduce.
    pub count: u64,
}

/// `chain_step`: reduces the last ≤ 512 nodes to D(g,i), stores it, and
/// advances the chain. One block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct StepParams {
    /// In: nodes; where `slot_nodes` is not 0, the ring's start.
    pub nodes: u64,
    /// In and out: the lane's [`ChainState`].
    pub chain: u64,
    /// Out: ring of roots D(g,i), one [`DigestWords`] a slot.
    pub roots: u64,
    /// Nodes per ring slot, or 0 where `nodes` is no ring.
    pub slot_nodes: u64,
    /// c as words, for sync digests.
    pub challenge: DigestWords,
    /// Nodes to reduce, 1 … 512.
    pub count: u32,
    /// S where this lane is the only one and steps over its own sync points;
    /// 0: every step is a plain one.
    pub solo_sync_interval: u32,
    /// Slots of the rings.
    pub ring_slots: u32,
    /// Zero.
    pub reserved: u32,
}

/// `peak_*`: how fast one unit runs by itself, from registers. Every thread does
/// `rounds` rounds; [`Ceiling`](crate::declaration::Ceiling) says of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PeakParams {
    /// Out: never written by finite arithmetic; keeps the work from being left out.
    pub out: u64,
    /// Rounds per thread.
    pub rounds: u32,
    /// Zero.
    pub reserved: u32,
}

/// Loads and stores of 16 bytes that a thread of `peak_read` and `peak_copy` has in flight.
pub const PEAK_MEMORY_WORDS: u64 = 8;

/// Inner indices of one panel that a block of `fill` draws at a time: 32 KiB.
pub const FILL_UNIT_K: u32 = 32;
/// Nodes that one block of `merkle` reduces to one.
pub const MERKLE_GROUP: u32 = 512;
/// Scratch of one block of `gemm_m16n8k16`: two finished tiles, then what the
/// parts of a split tile need to come together, [`GEMM_PART_BYTES`].
pub const GEMM_SCRATCH_BYTES_PER_BLOCK: u64 = 2 * 128 * 128 * 8 + GEMM_PART_BYTES;
/// Of a block's part: its root, and the number of finished parts of the tile
/// (kept with its first part, zero before and after a launch). As long as a cache
/// line, so that tiles start on one.
pub const GEMM_PART_BYTES: u64 = 128;
/// Most parts that `gemm_m16n8k16` cuts a tile into.
pub const GEMM_SPLIT_MAX: u32 = 4;

/// How `gemm_m16n8k16` deals `tiles` tiles to `blocks` blocks: whole tiles in
/// turn, and the remainder, which would leave most blocks idle, in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileSchedule {
    /// Tiles 0 … whole−1 go to blocks whole, tile t to block t mod blocks.
    pub whole: u32,
    /// Parts that each of the other tiles is cut into: 1 (there are none), 2
    /// (64 rows each) or 4 (64 rows by 64 columns).
    pub split: u32,
    /// Parts in all: part p, of tile whole + p div split, goes to block p.
    pub parts: u32,
}

impl TileSchedule {
    /// The schedule for a launch; `blocks` is not zero.
    #[inline(always)]
    pub const fn of(tiles: u32, blocks: u32) -> Self {
        // A remainder without the check for zero, which would leave a call in
        // device code.
        let rest = match tiles.checked_rem(blocks) {
            Some(rest) => rest,
            None => 0,
        };
        let split = if rest == 0 || 2 * rest > blocks {
            1
        } else if 4 * rest > blocks {
            2
        } else {
            4
        };
        if split == 1 {
            Self { whole: tiles, split, parts: 0 }
        } else {
            Self { whole: tiles - rest, split, parts: rest * split }
        }
    }
}

const _: () = {
    assert!(size_of::<ChainState>() == 48, "ChainState has padding");
    assert!(size_of::<ProductSource>() == 32, "ProductSource has padding");
    assert!(size_of::<FillParams>() == 48, "FillParams has padding");
    assert!(size_of::<GemmParams>() == 88, "GemmParams has padding");
    assert!(size_of::<IntegerFillParams>() == 48, "IntegerFillParams has padding");
    assert!(size_of::<IntegerGemmParams>() == 96, "IntegerGemmParams has padding");
    assert!(size_of::<SmCounter>() == 32, "SmCounter has padding");
    assert!(size_of::<MerkleParams>() == 40, "MerkleParams has padding");
    assert!(size_of::<StepParams>() == 80, "StepParams has padding");
    assert!(size_of::<PeakParams>() == 16, "PeakParams has padding");
    assert!(size_of::<ArenaStartParams>() == 32, "ArenaStartParams has padding");
    assert!(size_of::<HalfPassParams>() == 32, "HalfPassParams has padding");
    assert!(size_of::<SweepSource>() == 32, "SweepSource has padding");
    assert!(size_of::<SweepParams>() == 96, "SweepParams has padding");
    assert!(size_of::<PeakMemoryParams>() == 24, "PeakMemoryParams has padding");
};

/// Tile rows that `gemm_m16n8k16` takes together: it goes through them column
/// by column, so that the tiles multiplied at the same time, one per SM, form
/// about a square and share as many panels as they can.
pub const RASTER_ROWS: u32 = 12;

/// Row and column of the `turn`-th tile of a product of `tiles_m` × `tiles_n`
/// tiles, in the order in which `gemm_m16n8k16` takes them;
/// `turn` is below their product.
#[inline(always)]
pub const fn raster(turn: u32, tiles_m: u32, tiles_n: u32) -> (u32, u32) {
    let band = match turn.checked_div(RASTER_ROWS * tiles_n) {
        Some(band) => band,
        None => 0,
    };
    let first = band * RASTER_ROWS;
    let left = tiles_m - first;
    let rows = if left < RASTER_ROWS { left } else { RASTER_ROWS };
    let in_band = turn - first * tiles_n;
    match (in_band.checked_div(rows), in_band.checked_rem(rows)) {
        (Some(column), Some(row)) => (first + row, column),
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raster_visits_every_tile_once() {
        for (m, n) in [(1, 1), (1, 9), (3, 3), (8, 8), (12, 12), (13, 13), (32, 32), (25, 64)] {
            let mut seen = vec![false; (m * n) as usize];
            for turn in 0..m * n {
                let (row, column) = raster(turn, m, n);
                assert!(!std::mem::replace(&mut seen[(row * n + column) as usize], true));
            }
            assert!(seen.iter().all(|&s| s), "{m} by {n}");
        }
    }

    #[test]
    fn every_tile_is_dealt_once() {
        for blocks in [1, 2, 3, 16, 78, 132, 1024] {
            for tiles in (1..=3 * blocks).chain([4096, 8192]) {
                let s = TileSchedule::of(tiles, blocks);
                assert!(s.parts <= blocks, "a block has at most one part: {s:?}");
                assert_eq!(s.whole + s.parts / s.split, tiles, "{s:?}");
                assert_eq!(s.parts % s.split, 0, "{s:?}");
            }
        }
        // One product of n = 1024 on 132 SMs: 64 tiles in two parts each.
        assert_eq!(TileSchedule::of(64, 132), TileSchedule { whole: 0, split: 2, parts: 128 });
        assert_eq!(TileSchedule::of(4096, 132), TileSchedule { whole: 4092, split: 4, parts: 16 });
    }
}
