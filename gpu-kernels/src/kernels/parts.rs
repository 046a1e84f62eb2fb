//! What several kernels share: hashing a leaf that is in registers, reducing
//! digests that are in shared memory, and storing digests.

use crate::abi::{ChainState, DigestWords, GemmParams, IntegerGemmParams, SmCounter, SweepParams};
use crate::device::memory::{
    load_global_u32, load_shared_u32, load_shared_u32x2, reduce_add_u64, reduce_max_u64,
    reduce_min_u64, store_global_u32x4, store_shared_u32,
};
use crate::device::thread::{block_barrier, global_timer_ns, sm_id};
use crate::sha256::{
    INITIAL, LEAF_MESSAGE_BYTES, NODE_MESSAGE_BYTES, compress, final_block, shift_one_byte,
    words_of,
};
use crate::tile::LEAVES_PER_TILE;

/// Hashes a leaf whose 64 outputs are in registers, in message order.
///
/// One copy of the compression serves all nine blocks: the eight doubles of a
/// block are chosen by a branch that is uniform over the grid.
#[inline(always)]
#[rustfmt::skip]
pub fn hash_leaf(c: &[f64; 64]) -> DigestWords {
    macro_rules! eight {
        ($i:literal) => {
            [c[$i], c[$i + 1], c[$i + 2], c[$i + 3], c[$i + 4], c[$i + 5], c[$i + 6], c[$i + 7]]
        };
    }
    let (mut state, mut before) = (INITIAL, 0u32);
    let mut block = 0;
    while block < 9 {
        let message = if block < 8 {
            let w = words_of(match block {
                0 => eight!(0),
                1 => eight!(8),
                2 => eight!(16),
                3 => eight!(24),
                4 => eight!(32),
                5 => eight!(40),
                6 => eight!(48),
                _ => eight!(56),
            });
            let message = shift_one_byte(before, w);
            before = w[15];
            message
        } else {
            final_block(before, LEAF_MESSAGE_BYTES)
        };
        state = compress(state, message);
        block += 1;
    }
    state
}

/// A list of digests in shared memory, word by word: word w of digest i lies
/// at base + (w·capacity + i)·4, so that neighbours' words are neighbours.
#[derive(Clone, Copy)]
pub struct SharedDigests {
    /// Start in the shared window, 8-byte aligned.
    pub base: u32,
    /// How many digests fit: even.
    pub capacity: u32,
}

impl SharedDigests {
    #[inline(always)]
    fn address(self, word: u32, index: u32) -> u32 {
        self.base + (word * self.capacity + index) * 4
    }

    /// Stores digest `index`.
    ///
    /// # Safety
    /// - `index` < capacity, and the shared memory is this list's.
    #[inline(always)]
    pub unsafe fn store(self, index: u32, d: DigestWords) {
        // SAFETY: the caller's.
        unsafe {
            store_shared_u32(self.address(0, index), d[0]);
            store_shared_u32(self.address(1, index), d[1]);
            store_shared_u32(self.address(2, index), d[2]);
            store_shared_u32(self.address(3, index), d[3]);
            store_shared_u32(self.address(4, index), d[4]);
            store_shared_u32(self.address(5, index), d[5]);
            store_shared_u32(self.address(6, index), d[6]);
            store_shared_u32(self.address(7, index), d[7]);
        }
    }

    /// Loads digest `index`.
    ///
    /// # Safety
    /// - As for [`SharedDigests::store`].
    #[inline(always)]
    pub unsafe fn load(self, index: u32) -> DigestWords {
        // SAFETY: the caller's.
        unsafe {
            [
                load_shared_u32(self.address(0, index)),
                load_shared_u32(self.address(1, index)),
                load_shared_u32(self.address(2, index)),
                load_shared_u32(self.address(3, index)),
                load_shared_u32(self.address(4, index)),
                load_shared_u32(self.address(5, index)),
                load_shared_u32(self.address(6, index)),
                load_shared_u32(self.address(7, index)),
            ]
        }
    }

    /// The node over digests 2i and 2i+1.
    ///
    /// # Safety
    /// - As for [`SharedDigests::store`], for index 2i+1.
    #[inline(always)]
    pub unsafe fn node(self, i: u32) -> DigestWords {
        // SAFETY: the caller's.
        let (mut message, last) = unsafe { self.node_block(i) };
        let (mut state, mut block) = (INITIAL, 0);
        while block < 2 {
            state = compress(state, message);
            message = final_block(last, NODE_MESSAGE_BYTES);
            block += 1;
        }
        state
    }

    /// First block of the message of the node over digests 2i and 2i+1, and
    /// the word whose last byte spills into the second.
    ///
    /// # Safety
    /// - As for [`SharedDigests::store`], for index 2i+1.
    #[inline(always)]
    #[rustfmt::skip]
    unsafe fn node_block(self, i: u32) -> ([u32; 16], u32) {
        // SAFETY: the caller's.
        unsafe {
            let (l0, r0) = load_shared_u32x2(self.address(0, 2 * i));
            let (l1, r1) = load_shared_u32x2(self.address(1, 2 * i));
            let (l2, r2) = load_shared_u32x2(self.address(2, 2 * i));
            let (l3, r3) = load_shared_u32x2(self.address(3, 2 * i));
            let (l4, r4) = load_shared_u32x2(self.address(4, 2 * i));
            let (l5, r5) = load_shared_u32x2(self.address(5, 2 * i));
            let (l6, r6) = load_shared_u32x2(self.address(6, 2 * i));
            let (l7, r7) = load_shared_u32x2(self.address(7, 2 * i));
            let w = [l0, l1, l2, l3, l4, l5, l6, l7, r0, r1, r2, r3, r4, r5, r6, r7];
            (shift_one_byte(0x01, w), r7)
        }
    }

    /// Reduces the first `count` ≥ 1 digests to one, which every caller then
    /// finds at index 0: RFC 9162's tree, an odd node promoted.
    ///
    /// # Safety
    /// - All threads that `barrier` waits for call it, with ids `thread` of
    ///   0 … `threads`−1, after a barrier that follows the last store.
    /// - `count` ≤ capacity ≤ 2·`threads`.
    #[inline(always)]
    pub unsafe fn reduce(self, count: u32, thread: u32, barrier: impl Fn()) {
        let mut count = count;
        while count > 1 {
            let nodes = count / 2;
            let odd = count % 2;
            let mut digest = [0; 8];
            if thread < nodes {
                // SAFETY: 2·thread+1 < count.
                digest = unsafe { self.node(thread) };
            } else if odd == 1 && thread == nodes {
                // SAFETY: count − 1 < count.
                digest = unsafe { self.load(count - 1) };
            }
            barrier();
            if thread < nodes + odd {
                // SAFETY: nodes + odd ≤ count; all loads of this level are done.
                unsafe { self.store(thread, digest) };
            }
            barrier();
            count = nodes + odd;
        }
    }
}

/// Stores a digest in global memory.
///
/// # Safety
/// - `address` is 16-byte aligned and valid for 32 bytes.
#[inline(always)]
pub unsafe fn store_digest(address: u64, d: DigestWords) {
    // SAFETY: the caller's.
    unsafe {
        store_global_u32x4(address, [d[0], d[1], d[2], d[3]]);
        store_global_u32x4(address + 16, [d[4], d[5], d[6], d[7]]);
    }
}

/// The ring slot of the iteration being computed.
///
/// # Safety
/// - `chain` is a valid [`ChainState`].
#[inline(always)]
pub unsafe fn ring_slot(chain: u64) -> u32 {
    // SAFETY: the caller's.
    unsafe { load_global_u32(chain + core::mem::offset_of!(ChainState, slot) as u64) }
}

/// Where finished tiles are recorded: their roots, and the SMs that computed them.
#[derive(Clone, Copy)]
pub struct TileRecord {
    chain: u64,
    tile_roots: u64,
    /// Index in the ring of the launch's first tile in slot 0.
    first_tile: u64,
    slot_tiles: u64,
    sm_counters: u64,
    sm_count: u32,
}

impl TileRecord {
    /// Of a product kernel's launch.
    #[inline(always)]
    pub fn of_products(params: &GemmParams) -> Self {
        let &GemmParams {
            chain, tile_roots, first_tile, slot_tiles, sm_counters, sm_count, ..
        } = params;
        Self { chain, tile_roots, first_tile, slot_tiles, sm_counters, sm_count }
    }

    /// Of a launch of integer products.
    #[inline(always)]
    pub fn of_integer_products(params: &IntegerGemmParams) -> Self {
        let &IntegerGemmParams {
            chain,
            tile_roots,
            first_tile,
            slot_tiles,
            sm_counters,
            sm_count,
            ..
        } = params;
        Self { chain, tile_roots, first_tile, slot_tiles, sm_counters, sm_count }
    }

    /// Of a sweep's launch.
    #[inline(always)]
    pub fn of_sweep(params: &SweepParams) -> Self {
        let &SweepParams { chain, tile_roots, first_tile, slot_tiles, .. } = params;
        let &SweepParams { sm_counters, sm_count, .. } = params;
        let first_tile = first_tile as u64;
        Self { chain, tile_roots, first_tile, slot_tiles, sm_counters, sm_count }
    }

    /// Records the launch's tile `tile`.
    ///
    /// # Safety
    /// - The launch's parameters are what the host promises; `tile` is below its
    ///   tiles; one thread per tile calls it.
    #[inline(always)]
    pub unsafe fn add(self, tile: u32, root: DigestWords) {
        // SAFETY: the ring has `slot_tiles` roots a slot and the launch's tiles
        // lie inside one slot; counters are only written below `sm_count`.
        unsafe {
            if self.tile_roots != 0 {
                let slot = ring_slot(self.chain) as u64;
                let index = slot * self.slot_tiles + self.first_tile + tile as u64;
                store_digest(self.tile_roots + index * 32, root);
            }
            let sm = sm_id();
            if self.sm_counters != 0 && sm < self.sm_count {
                let counter = self.sm_counters + sm as u64 * size_of::<SmCounter>() as u64;
                let now = global_timer_ns();
                reduce_add_u64(counter + core::mem::offset_of!(SmCounter, tiles) as u64, 1);
                reduce_min_u64(counter + core::mem::offset_of!(SmCounter, first_ns) as u64, now);
                reduce_max_u64(counter + core::mem::offset_of!(SmCounter, last_ns) as u64, now);
            }
        }
    }
}

/// Quotient and remainder, without the check that would leave a panic behind.
///
/// # Safety
/// - `b` is not zero.
#[inline(always)]
pub unsafe fn div_rem(a: u32, b: u32) -> (u32, u32) {
    // SAFETY: the caller's.
    let b = unsafe { core::num::NonZero::new_unchecked(b) };
    (a / b, a % b)
}

/// Where a tile's operand panels start.
#[derive(Clone, Copy)]
pub struct Panels {
    /// A's panel, device address.
    pub a: u64,
    /// B's panel.
    pub b: u64,
}

impl Panels {
    /// Of tile (`row`, `column`) of product `product` of the launch.
    #[inline(always)]
    pub fn of(params: &GemmParams, product: u32, row: u32, column: u32) -> Self {
        let panel_bytes = params.dim as u64 * crate::tile::TILE as u64 * 8;
        let first = product as u64 * (params.tiles_m + params.tiles_n) as u64;
        Self {
            a: params.operands + (first + row as u64) * panel_bytes,
            b: params.operands + (first + (params.tiles_m + column) as u64) * panel_bytes,
        }
    }

    /// Of the tile with index `tile` in the launch: products in turn, tiles row
    /// by row.
    ///
    /// # Safety
    /// - `params` has at least one tile row and column.
    #[inline(always)]
    pub unsafe fn of_tile(params: &GemmParams, tile: u32) -> Self {
        // SAFETY: the caller's: neither divisor is zero.
        let (product, (row, column)) = unsafe {
            let (product, in_product) = div_rem(tile, params.tiles_m * params.tiles_n);
            (product, div_rem(in_product, params.tiles_n))
        };
        Self::of(params, product, row, column)
    }
}

/// End of a plain product kernel: hashes the leaf in `c`, reduces the tile's
/// 256 leaves, records the tile. `shared` is free and has 8 KiB.
///
/// # Safety
/// - All 256 threads of the block call it, after a barrier that follows the
///   last use of shared memory; `thread` is the leaf's number.
#[inline(always)]
pub unsafe fn finish_tile(params: &GemmParams, tile: u32, thread: u32, c: &[f64; 64], shared: u32) {
    let digests = SharedDigests { base: shared, capacity: LEAVES_PER_TILE };
    // SAFETY: the caller's; leaf hashes have room for 256 digests a tile.
    unsafe {
        if params.bare != 0 {
            // The exclusive-or of all outputs decides a store that no finite
            // outputs reach, so that none of them may be left out.
            let mut all = 0;
            macro_rules! mix {
                ($($i:literal)*) => { $( all ^= c[$i].to_bits(); )* };
            }
            mix!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
            mix!(32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
            if all == u64::MAX && tile == u32::MAX {
                store_digest(params.tile_roots, [0; 8]);
            }
            return;
        }
        let leaf = hash_leaf(c);
        if params.leaf_hashes != 0 {
            let index = tile as u64 * LEAVES_PER_TILE as u64 + thread as u64;
            store_digest(params.leaf_hashes + index * 32, leaf);
        }
        digests.store(thread, leaf);
        block_barrier();
        digests.reduce(LEAVES_PER_TILE, thread, || block_barrier());
        if thread == 0 {
            TileRecord::of_products(params).add(tile, digests.load(0));
        }
    }
}
