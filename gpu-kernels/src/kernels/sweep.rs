//! `sweep`: folds the leaves of an iteration, hashes them, and reduces each tile of
//! 256 to its root, all in one pass over the arena.
//!
//! A warp has a tile to itself: it waits for no other, so that one hashes while the
//! others read. Leaves are folded one after the other, a column a lane. Lane t hashes
//! leaves 8t … 8t+7, one of them every 32 leaves, and the subtree over them, with
//! what waits for its sibling in shared memory; the 32 subtrees become the tile's
//! root by shuffles. The blocks of the next leaf are on their way meanwhile.

use crate::abi::{ChainState, DigestWords, SweepParams, SweepSource};
use crate::arena::{
    BLOCK_BYTES, BLOCK_WORDS, DRAW_OFFSETS, DRAW_RHO, FOLD_COLUMNS, FOLD_WORDS, LEAVES_PER_TILE,
    scale,
};
use crate::device::backend::shared_base;
use crate::device::memory::{load_global_u32, load_global_u32x4};
use crate::device::mma::multiply_wide;
use crate::device::thread::{block_id, opaque, shuffle_from, shuffle_xor, thread_id};
use crate::fold::{absorb, column_start, join};
use crate::kernels::SWEEP;
use crate::kernels::parts::{SharedDigests, TileRecord, div_rem, store_digest};
use crate::philox::block;
use crate::sha256::{
    INITIAL, NODE_MESSAGE_BYTES, compress, final_block, fold_block, shift_one_byte,
};

/// Lanes of the block: one warp.
const LANES: u32 = SWEEP.threads;
/// Levels of a lane's own subtree: over eight leaves.
const LANE_LEVELS: u32 = 3;
/// Levels of a tile's.
const TILE_LEVELS: u32 = 8;

const _: () = assert!(LANES == FOLD_COLUMNS, "a column a lane");
const _: () = assert!(LEAVES_PER_TILE == 1 << TILE_LEVELS, "a tile is a complete subtree");
const _: () = assert!(
    LEAVES_PER_TILE == LANES << LANE_LEVELS,
    "the lanes' subtrees must cover the tile exactly"
);
const _: () = assert!(FOLD_WORDS == 16, "two halves of eight words");
const _: () = assert!(SWEEP.shared_bytes == LANE_LEVELS * LANES * 32);

/// Repeats a block for the literal indices 0 … 7.
macro_rules! eight_times {
    ($i:ident => $body:block) => {
        eight_times!(@ $i $body 0 1 2 3 4 5 6 7)
    };
    (@ $i:ident $body:block $($n:literal)*) => {
        $( { const $i: usize = $n; $body } )*
    };
}

/// Repeats a block for the distances at which columns are joined.
macro_rules! halvings {
    ($m:ident => $body:block) => {
        halvings!(@ $m $body 16 8 4 2 1)
    };
    (@ $m:ident $body:block $($n:literal)*) => {
        $( { const $m: u32 = $n; $body } )*
    };
}
const _: () = assert!(FOLD_COLUMNS == 2 * 16, "the first distance is half the columns");

crate::kernel! {
    /// Entry point; parameters and launch in [`SweepParams`].
    pub unsafe fn sweep(params: SweepParams) {
        // Ids: the lane's column; the tile and where its blocks lie.
        let lane = thread_id();
        // SAFETY: parameters as documented; one warp per tile.
        unsafe {
            let tile = Tile::of(&params, block_id());
            let key = tile.key;
            let first_leaf = tile.index * LEAVES_PER_TILE;
            let rho = packed_rho(first_leaf + (lane << LANE_LEVELS), key);
            // Shared-memory map: a digest a lane for each level of its subtree.
            let waiting =
                SharedDigests { base: shared_base(), capacity: LANE_LEVELS * LANES };

            // Main loop: eight rounds of 32 leaves.
            let mut at = tile.blocks_of(first_leaf, rho_of(rho, 0, 0), lane);
            let mut words = at.load_first();
            let mut digest = INITIAL;
            let mut round = 0;
            while round < 1 << LANE_LEVELS {
                let mut message = [0; 4];
                let mut turn = 0;
                while turn < LANES {
                    let leaf = first_leaf + (turn << LANE_LEVELS) + round;
                    // An arena has at most 2²⁸ leaves: the index has one word.
                    let mut column = column_start(multiply_wide, lane, [leaf, 0], key);
                    eight_times!(I => {
                        column = absorb(multiply_wide, column, words[I], key);
                        words[I] = at.load_word(8 + I as u32);
                    });
                    // The tile's last leaf is followed by itself.
                    let is_last = turn == LANES - 1;
                    let next_turn = (turn + 1) & (LANES - 1);
                    let next_round = if is_last && round < 7 { round + 1 } else { round };
                    let next = first_leaf + (next_turn << LANE_LEVELS) + next_round;
                    at = tile.blocks_of(next, rho_of(rho, next_turn, next_round), lane);
                    eight_times!(I => {
                        column = absorb(multiply_wide, column, words[I], key);
                        words[I] = at.load_word(I as u32);
                    });
                    // Both lanes of a pair have the sum, so in the end all have
                    // column 0.
                    halvings!(M => {
                        let other = [
                            shuffle_xor(column[0], M),
                            shuffle_xor(column[1], M),
                            shuffle_xor(column[2], M),
                            shuffle_xor(column[3], M),
                        ];
                        column = join(multiply_wide, column, other, key);
                    });
                    let is_mine = turn == lane;
                    message[0] = if is_mine { column[0] } else { message[0] };
                    message[1] = if is_mine { column[1] } else { message[1] };
                    message[2] = if is_mine { column[2] } else { message[2] };
                    message[3] = if is_mine { column[3] } else { message[3] };
                    turn += 1;
                }

                // Hashing: the leaf, then every node that it completes. One copy of the
                // compression serves all.
                let mut input = fold_block(message);
                let mut last = 0;
                let mut level = 0;
                let mut is_halfway = opaque(0);
                digest = INITIAL;
                loop {
                    digest = compress(digest, input);
                    if is_halfway != 0 {
                        input = final_block(last, NODE_MESSAGE_BYTES);
                        is_halfway = opaque(0);
                        continue;
                    }
                    if level == 0 && params.leaf_hashes != 0 {
                        let leaf = (lane << LANE_LEVELS) + round;
                        let place = block_id() as u64 * LEAVES_PER_TILE as u64 + leaf as u64;
                        store_digest(params.leaf_hashes + place * 32, digest);
                    }
                    let (left, right);
                    if level < LANE_LEVELS {
                        if (round >> level) & 1 == 0 {
                            waiting.store(level * LANES + lane, digest);
                            break;
                        }
                        (left, right) = (waiting.load(level * LANES + lane), digest);
                    } else if level < TILE_LEVELS {
                        (left, right) = siblings(digest, lane, 1 << (level - LANE_LEVELS));
                    } else {
                        break;
                    }
                    input = node_block(left, right);
                    last = right[7];
                    digest = INITIAL;
                    is_halfway = opaque(1);
                    level += 1;
                }
                round += 1;
            }

            // Epilogue.
            if lane == 0 {
                tile.record.add(tile.place, digest);
            }
        }
    }
}

/// A tile: its key, its place, and where its leaves' blocks lie.
#[derive(Clone, Copy)]
struct Tile {
    /// k0, k1, w.
    key: [u32; 3],
    /// In its iteration.
    index: u32,
    /// In the launch's part of the ring.
    place: u32,
    /// Blocks u.
    own: Blocks,
    /// Blocks v.
    other: Blocks,
    record: TileRecord,
}

/// Consecutive blocks, the last followed by the first.
#[derive(Clone, Copy)]
struct Blocks {
    /// Address of the first.
    base: u64,
    /// Which of them leaf 0 reads.
    offset: u32,
    /// How many: every leaf's index plus `offset` is below twice that.
    count: u32,
}

/// Where a lane's words of a leaf lie.
#[derive(Clone, Copy)]
struct LeafWords {
    /// Word `lane` of u.
    u: u64,
    /// Word `lane` ⊕ ρ of v.
    v: u64,
}

impl Tile {
    /// The launch's `place`-th tile.
    ///
    /// # Safety
    /// - `params` is what the host promises, and `place` below the launch's tiles.
    #[inline(always)]
    unsafe fn of(params: &SweepParams, place: u32) -> Self {
        // SAFETY: one source a tile, or the lane's chain; G is at least 2 where K is
        // not 0, and `peers` has G addresses unless it is a copy.
        unsafe {
            let is_sampled = params.sources != 0;
            let (key, index, mut peer);
            if is_sampled {
                let source = params.sources + place as u64 * size_of::<SweepSource>() as u64;
                let [k0, k1, w, tile] = load_global_u32x4(source);
                let [low, high, _, _] = load_global_u32x4(source + 16);
                (key, index, peer) = ([k0, k1, w], tile, (high as u64) << 32 | low as u64);
            } else {
                let [k0, k1, w, _] = load_global_u32x4(params.chain);
                (key, index, peer) = ([k0, k1, w], params.first_tile + place, params.peers);
                if params.peer_blocks != 0 && params.staged == 0 {
                    peer = load_address(params.peers + 8 * source_lane(params) as u64);
                }
            }
            let [o0, o1, _, _] =
                block(multiply_wide, [0, 0, DRAW_OFFSETS, key[2]], [key[0], key[1]]);
            let (own, other) = if params.peer_blocks == 0 {
                let half = params.blocks / 2;
                let second = params.arena + half as u64 * BLOCK_BYTES as u64;
                let offset = scale(multiply_wide, o0, half);
                (
                    Blocks { base: params.arena, offset: 0, count: half },
                    Blocks { base: second, offset, count: half },
                )
            } else {
                let count = params.blocks;
                let first_copied = if is_sampled { index } else { params.first_tile };
                let offset = if params.staged == 0 {
                    scale(multiply_wide, o0, count)
                } else {
                    0u32.wrapping_sub(first_copied * LEAVES_PER_TILE)
                };
                let own_offset = scale(multiply_wide, o1, count);
                (
                    Blocks { base: params.arena, offset: own_offset, count },
                    Blocks { base: peer, offset, count },
                )
            };
            Self { key, index, place, own, other, record: TileRecord::of_sweep(params) }
        }
    }

    /// Where `lane`'s words of leaf `leaf` lie, given its ρ.
    #[inline(always)]
    fn blocks_of(&self, leaf: u32, rho: u32, lane: u32) -> LeafWords {
        LeafWords {
            u: self.own.address(leaf) + lane as u64 * 16,
            v: self.other.address(leaf) + ((lane ^ rho) * 16) as u64,
        }
    }
}

impl Blocks {
    /// Where the block of leaf `leaf` starts.
    #[inline(always)]
    fn address(self, leaf: u32) -> u64 {
        let index = self.offset.wrapping_add(leaf);
        let index = if index >= self.count { index - self.count } else { index };
        self.base + index as u64 * BLOCK_BYTES as u64
    }
}

impl LeafWords {
    /// The lane's `index`-th word of the leaf, of 16: u's and v's in turn.
    ///
    /// # Safety
    /// - These are words of blocks of arenas, which start at multiples of their size.
    #[inline(always)]
    unsafe fn load_word(self, index: u32) -> [u32; 4] {
        let row_bytes = (index / 2 * (LANES * 16)) as u64;
        // Inside a block, an exclusive-or of the index is one of the address.
        let address = if index % 2 == 0 { self.u + row_bytes } else { self.v ^ row_bytes };
        // SAFETY: the caller's.
        unsafe { load_global_u32x4(address) }
    }

    /// The lane's first eight words of the leaf.
    ///
    /// # Safety
    /// - As for [`LeafWords::load_word`].
    #[inline(always)]
    unsafe fn load_first(self) -> [[u32; 4]; 8] {
        let mut words = [[0; 4]; 8];
        // SAFETY: the caller's.
        eight_times!(I => { words[I] = unsafe { self.load_word(I as u32) }; });
        words
    }
}

/// ρ of eight consecutive leaves, a byte each.
#[inline(always)]
fn packed_rho(first_leaf: u32, key: [u32; 3]) -> [u32; 2] {
    let mut packed = [0; 2];
    let mut i = 0;
    while i < 8 {
        let counter = [first_leaf + i, 0, DRAW_RHO, key[2]];
        let rho = block(multiply_wide, counter, [key[0], key[1]])[1] & (BLOCK_WORDS - 1);
        let shifted = rho << (8 * (i & 3));
        packed =
            if i < 4 { [packed[0] | shifted, packed[1]] } else { [packed[0], packed[1] | shifted] };
        i += 1;
    }
    packed
}

/// ρ of the leaf of `round` that lane `turn` hashes.
///
/// # Safety
/// - All lanes call it with the same `turn` and `round`.
#[inline(always)]
unsafe fn rho_of(packed: [u32; 2], turn: u32, round: u32) -> u32 {
    let four = if round < 4 { packed[0] } else { packed[1] };
    // SAFETY: the caller's.
    unsafe { shuffle_from(four >> (8 * (round & 3)), turn) & (BLOCK_WORDS - 1) }
}

/// Which lane's arena the running iteration reads for v.
///
/// # Safety
/// - G is at least 2 and `chain` valid.
#[inline(always)]
unsafe fn source_lane(params: &SweepParams) -> u32 {
    // SAFETY: the caller's: neither divisor is zero.
    unsafe {
        let iteration =
            load_global_u32(params.chain + core::mem::offset_of!(ChainState, iteration) as u64);
        let step = div_rem(iteration - 1, params.lanes - 1).1;
        div_rem(params.lane + 1 + step, params.lanes).1
    }
}

/// An address in memory.
///
/// # Safety
/// - `at` is 8-byte aligned device memory that the launch may read.
#[inline(always)]
unsafe fn load_address(at: u64) -> u64 {
    // SAFETY: the caller's.
    unsafe { (load_global_u32(at + 4) as u64) << 32 | load_global_u32(at) as u64 }
}

/// A lane's digest and that of its neighbour at distance `m`, in the order of the
/// lanes.
///
/// # Safety
/// - All lanes call it with the same `m`.
#[inline(always)]
unsafe fn siblings(digest: DigestWords, lane: u32, m: u32) -> (DigestWords, DigestWords) {
    let (mut left, mut right) = (digest, digest);
    let is_right = lane & m != 0;
    eight_times!(I => {
        // SAFETY: the caller's.
        let other = unsafe { shuffle_xor(digest[I], m) };
        left[I] = if is_right { other } else { digest[I] };
        right[I] = if is_right { digest[I] } else { other };
    });
    (left, right)
}

/// First block of the message of the node over two digests.
#[inline(always)]
#[rustfmt::skip]
fn node_block(l: DigestWords, r: DigestWords) -> [u32; 16] {
    shift_one_byte(0x01, [
        l[0], l[1], l[2], l[3], l[4], l[5], l[6], l[7], r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7],
    ])
}
