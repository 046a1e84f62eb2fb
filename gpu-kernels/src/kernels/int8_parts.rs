//! What kernels of integer products share: where operands and leaves come from, the
//! fold of a leaf, and hashing a tile's 64 leaves to its root.

use crate::abi::{IntegerFillParams, IntegerGemmParams, ProductSource};
use crate::device::memory::{
    load_global_u32, load_global_u32x4, load_shared_u32x4, store_shared_u32x4,
};
use crate::device::mma::multiply_wide;
use crate::device::thread::shuffle_xor;
use crate::fold::{absorb, column_start, join};
use crate::integer::{CHUNK_BYTES, CHUNK_K, FOLD_COLUMNS, FOLD_WORDS, LEAVES_PER_TILE};
use crate::kernels::parts::{SharedDigests, TileRecord, div_rem, store_digest};
use crate::sha256::{INITIAL, compress, fold_block};

/// Bytes of a tile's outputs in shared memory, by [`TileWords`].
pub const TILE_WORDS_BYTES: u32 = LEAVES_PER_TILE * FOLD_COLUMNS * FOLD_WORDS * 16;
/// Bytes of a tile's messages in shared memory, leaf after leaf.
pub const MESSAGES_BYTES: u32 = LEAVES_PER_TILE * 16;
/// Bytes of the digests of a tile's leaves in shared memory.
pub const DIGESTS_BYTES: u32 = LEAVES_PER_TILE * 32;

/// Key words and tweak, operand index, and the operand's first vector.
///
/// # Safety
/// - `params.sources`, or else `params.chain`, is valid for reading.
#[inline(always)]
pub unsafe fn operand_source(
    params: &IntegerFillParams,
    product: u32,
    is_b: bool,
) -> ([u32; 3], u32, u32) {
    let side = is_b as u32;
    if params.sources == 0 {
        // SAFETY: the caller's; the state's words come first in a `ChainState`.
        let state = unsafe { load_global_u32x4(params.chain) };
        ([state[0], state[1], state[2]], 2 * (params.first_product + product) + side, 0)
    } else {
        let entry = params.sources + product as u64 * size_of::<ProductSource>() as u64;
        // SAFETY: the caller's; key and product are the first four words,
        // first row and first column the next two.
        let (head, first) =
            unsafe { (load_global_u32x4(entry), load_global_u32(entry + 16 + 4 * side as u64)) };
        ([head[0], head[1], head[2]], 2 * head[3] + side, first)
    }
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
    pub fn of(params: &IntegerGemmParams, product: u32, row: u32, column: u32) -> Self {
        let panel_bytes = (params.dim / CHUNK_K) as u64 * CHUNK_BYTES as u64;
        let first = product as u64 * (params.tiles_m + params.tiles_n) as u64;
        Self {
            a: params.operands + (first + row as u64) * panel_bytes,
            b: params.operands + (first + (params.tiles_m + column) as u64) * panel_bytes,
        }
    }
}

/// What the folds of a tile's leaves start from.
#[derive(Clone, Copy)]
pub struct TileKey {
    /// k0, k1, w.
    pub key: [u32; 3],
    /// Index of the tile's first leaf in its iteration: low word, a multiple of 64,
    /// and high word.
    pub first_leaf: [u32; 2],
}

impl TileKey {
    /// Of the launch's tile `tile`: products in turn, tiles row by row.
    ///
    /// # Safety
    /// - `params` is what the host promises; `tile` is below the launch's tiles.
    #[inline(always)]
    pub unsafe fn of(params: &IntegerGemmParams, tile: u32) -> Self {
        // SAFETY: the caller's: without sources, the state's words come first in
        // `chain`; with them, there is one a tile.
        let (words, index) = unsafe {
            if params.sources == 0 {
                (load_global_u32x4(params.chain), params.first_tile + tile as u64)
            } else {
                let entry = params.sources + tile as u64 * size_of::<ProductSource>() as u64;
                let words = load_global_u32x4(entry);
                let [first_row, first_column, _, _] = load_global_u32x4(entry + 16);
                let side = params.dim / CHUNK_K;
                let in_product = (first_row / CHUNK_K) * side + first_column / CHUNK_K;
                (words, words[3] as u64 * side as u64 * side as u64 + in_product as u64)
            }
        };
        let first = index * LEAVES_PER_TILE as u64;
        Self {
            key: [words[0], words[1], words[2]],
            first_leaf: [first as u32, (first >> 32) as u32],
        }
    }

    /// Column `tau` of leaf `leaf` of the tile, before its first word.
    #[inline(always)]
    pub fn column(&self, tau: u32, leaf: u32) -> [u32; 4] {
        // The low word is a multiple of 64: there is no carry.
        let index = [self.first_leaf[0] | leaf, self.first_leaf[1]];
        column_start(multiply_wide, tau, index, self.key)
    }

    /// `column` once `word` is in it: C[r][c], C[r][c+1], C[r+8][c], C[r+8][c+1], as the
    /// lane of a quad holds them after `mma.m16n8` or `wgmma`.
    #[inline(always)]
    pub fn absorb(&self, column: [u32; 4], word: [u32; 4]) -> [u32; 4] {
        absorb(multiply_wide, column, word, self.key)
    }

    /// A leaf's message from the four columns that a quad's lanes hold. All four lanes
    /// get it.
    ///
    /// # Safety
    /// - All lanes of the warp call it; lane 4·γ + τ has column τ of a leaf.
    #[inline(always)]
    pub unsafe fn join_quad(&self, column: [u32; 4]) -> [u32; 4] {
        // SAFETY: the caller's.
        unsafe {
            let column = self.join_at::<2>(column);
            self.join_at::<1>(column)
        }
    }

    /// Both lanes at distance `M` have the sum, so in the end all have column 0.
    ///
    /// # Safety
    /// - As for [`TileKey::join_quad`].
    #[inline(always)]
    unsafe fn join_at<const M: u32>(&self, column: [u32; 4]) -> [u32; 4] {
        // SAFETY: the caller's.
        let other = unsafe {
            [
                shuffle_xor(column[0], M),
                shuffle_xor(column[1], M),
                shuffle_xor(column[2], M),
                shuffle_xor(column[3], M),
            ]
        };
        join(multiply_wide, column, other, self.key)
    }
}

/// A tile's outputs in shared memory, for kernels whose warps don't hold whole rows:
/// word b of column τ of leaf l lies at ((b·64 + l)·4 + τ)·16, so that a warp's stores of
/// fragments and its loads of a word are contiguous.
#[derive(Clone, Copy)]
pub struct TileWords {
    /// Start in the shared window, 16-byte aligned.
    pub base: u32,
}

impl TileWords {
    #[inline(always)]
    fn address(self, b: u32, leaf: u32, tau: u32) -> u32 {
        self.base + ((b * LEAVES_PER_TILE + leaf) * FOLD_COLUMNS + tau) * 16
    }

    /// Stores a word.
    ///
    /// # Safety
    /// - The shared memory is this tile's; b < 16, leaf < 64, τ < 4.
    #[inline(always)]
    pub unsafe fn store(self, b: u32, leaf: u32, tau: u32, word: [u32; 4]) {
        // SAFETY: the caller's.
        unsafe { store_shared_u32x4(self.address(b, leaf, tau), word) }
    }

    /// The message of leaf `leaf`, which all lanes of its quad get.
    ///
    /// # Safety
    /// - As for [`TileWords::store`], after a barrier that follows the last store; all
    ///   lanes of the warp call it, lane 4·γ + τ with `tau` = τ.
    #[inline(always)]
    pub unsafe fn message(self, of: &TileKey, leaf: u32, tau: u32) -> [u32; 4] {
        let mut column = of.column(tau, leaf);
        let mut b = 0;
        while b < FOLD_WORDS {
            // SAFETY: the caller's.
            column = of.absorb(column, unsafe { load_shared_u32x4(self.address(b, leaf, tau)) });
            b += 1;
        }
        // SAFETY: the caller's.
        unsafe { of.join_quad(column) }
    }

    /// The messages of two leaves, side by side.
    ///
    /// # Safety
    /// - As for [`TileWords::message`].
    #[inline(always)]
    pub unsafe fn two_messages(
        self,
        of: &TileKey,
        first: u32,
        second: u32,
        tau: u32,
    ) -> ([u32; 4], [u32; 4]) {
        let mut columns = (of.column(tau, first), of.column(tau, second));
        let mut b = 0;
        while b < FOLD_WORDS {
            // SAFETY: the caller's.
            let words = unsafe {
                (
                    load_shared_u32x4(self.address(b, first, tau)),
                    load_shared_u32x4(self.address(b, second, tau)),
                )
            };
            columns = (of.absorb(columns.0, words.0), of.absorb(columns.1, words.1));
            b += 1;
        }
        // SAFETY: the caller's.
        unsafe { (of.join_quad(columns.0), of.join_quad(columns.1)) }
    }
}

/// Hashes a tile's 64 messages, reduces them, and records the tile. `messages` has them,
/// leaf after leaf; `digests` has room for 64.
///
/// # Safety
/// - 64 threads that `barrier` waits for, whole warps, call it with ids `thread` of
///   0 … 63, after a barrier that follows the last store of a message.
/// - `params` is what the host promises, `tile` below the launch's tiles; the digests
///   are used for nothing else.
#[inline(always)]
pub unsafe fn hash_tile(
    params: &IntegerGemmParams,
    tile: u32,
    messages: u32,
    digests: SharedDigests,
    thread: u32,
    barrier: impl Fn(),
) {
    // SAFETY: the caller's; leaf hashes have room for 64 digests a tile.
    unsafe {
        let message = load_shared_u32x4(messages + thread * 16);
        let leaf = compress(INITIAL, fold_block(message));
        if params.leaf_hashes != 0 {
            let index = tile as u64 * LEAVES_PER_TILE as u64 + thread as u64;
            store_digest(params.leaf_hashes + index * 32, leaf);
        }
        digests.store(thread, leaf);
        barrier();
        digests.reduce(LEAVES_PER_TILE, thread, barrier);
        if thread == 0 {
            TileRecord::of_integer_products(params).add(tile, digests.load(0));
        }
    }
}

/// For a launch without hashing: `all`, the exclusive-or of a thread's outputs, decides
/// a store that doesn't happen, so that none of them may be left out.
///
/// # Safety
/// - `params` is what the host promises.
#[inline(always)]
pub unsafe fn keep(params: &IntegerGemmParams, tile: u32, all: u32) {
    if all == 0x8000_0001 && tile == u32::MAX {
        // SAFETY: the ring is there.
        unsafe { store_digest(params.tile_roots, [0; 8]) };
    }
}

/// Product, row and column of the launch's block of tiles `turn`, in an order in which
/// neighbours share panels, and the tile's index in the launch.
///
/// # Safety
/// - `params` has at least one tile row and column; `turn` is below the launch's tiles.
#[inline(always)]
pub unsafe fn tile_of(params: &IntegerGemmParams, turn: u32) -> (Panels, u32) {
    let &IntegerGemmParams { tiles_m, tiles_n, .. } = params;
    // SAFETY: the caller's: the divisor is not zero.
    let (product, in_product) = unsafe { div_rem(turn, tiles_m * tiles_n) };
    let (row, column) = crate::abi::raster(in_product, tiles_m, tiles_n);
    let tile = (product * tiles_m + row) * tiles_n + column;
    (Panels::of(params, product, row, column), tile)
}
