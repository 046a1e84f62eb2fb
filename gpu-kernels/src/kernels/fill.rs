//! `fill`: draws both operands of consecutive products.
//!
//! A unit of work is 32 inner indices of one panel; blocks stride over the
//! units. A warp has eight of the inner indices and half of the vectors, and goes
//! through these sixteen by sixteen, so that what depends on the inner indices
//! alone is computed once. Each lane draws two pairs of elements whose first halves
//! are neighbours in the packing, and so are their second halves: two 16-byte
//! stores.

use crate::abi::{FILL_UNIT_K, FillParams, ProductSource};
use crate::device::memory::{load_global_u32, load_global_u32x4, store_global_f64x2};
use crate::device::mma::multiply_wide;
use crate::device::thread::{block_id, grid_size, thread_id};
use crate::kernels::FILL;
use crate::kernels::parts::div_rem;
use crate::philox::{PairPart, VectorPart, element_pair};
use crate::tile::{Packing, TILE, word_in_chunk};

/// Inner indices of a warp: a run of the packing.
const RUN_K: u32 = 8;
/// Vectors of a warp.
const WARP_VECTORS: u32 = TILE / 2;
const _: () = assert!(FILL.threads == FILL_UNIT_K / RUN_K * (TILE / WARP_VECTORS) * 32);
const _: () = assert!(TILE % FILL_UNIT_K == 0, "units must divide every legal n");

crate::kernel! {
    /// Entry point; parameters and launch in [`FillParams`].
    pub unsafe fn fill(params: FillParams) {
        let thread = thread_id();
        let (gamma, select, warp) = (thread & 7, (thread >> 3) & 3, thread >> 5);
        let (run, x) = (warp & (FILL_UNIT_K / RUN_K - 1), warp / (FILL_UNIT_K / RUN_K) * WARP_VECTORS);
        // The lane's first vector and its first inner index in the run, by
        // packing, and where that element goes.
        let (xv, kv) = (x + gamma, 2 * select);
        let (xi, ki) = (x + gamma + 8 * (select >> 1), 2 * (select & 1));
        let to_v = Packing::VectorPairs.offset(xv, run * RUN_K + kv) as u64 * 8;
        let to_i = Packing::IndexPairs.offset(xi, run * RUN_K + ki) as u64 * 8;

        let units_per_panel = params.dim / FILL_UNIT_K;
        let panels_per_product = params.panels_a + params.panels_b;
        let units = params.products * panels_per_product * units_per_panel;

        let mut unit = block_id();
        while unit < units {
            // SAFETY: n ≥ 128 and each operand has at least one panel.
            let (panel, unit_in_panel, product, in_product) = unsafe {
                let (panel, unit_in_panel) = div_rem(unit, units_per_panel);
                let (product, in_product) = div_rem(panel, panels_per_product);
                (panel, unit_in_panel, product, in_product)
            };
            let k0 = unit_in_panel * FILL_UNIT_K;
            let is_b = in_product >= params.panels_a;

            // SAFETY: `chain` or `sources` holds what `FillParams` says.
            let (key, operand, first_vector) = unsafe { source(&params, product, is_b) };
            let panel_in_operand = if is_b { in_product - params.panels_a } else { in_product };
            let vector = first_vector + panel_in_operand * TILE;
            let at = params.operands
                + (panel as u64 * params.dim as u64 + k0 as u64) * TILE as u64 * 8;
            let pair = (k0 + run * RUN_K) / 2;
            let first = Vectors { key, operand, x: vector };
            // SAFETY: the unit's panel is inside `operands`.
            unsafe {
                if is_b && params.packing_b == Packing::IndexPairs as u32 {
                    first.from(xi).draw_index_pairs(pair + ki / 2, at + to_i);
                } else {
                    first.from(xv).draw_vector_pairs(pair + kv / 2, at + to_v);
                }
            }
            unit += grid_size();
        }
    }
}

/// Vectors of one operand, from `x` on.
#[derive(Clone, Copy)]
struct Vectors {
    key: [u32; 3],
    operand: u32,
    x: u32,
}

impl Vectors {
    /// From the `first`-th of these vectors on.
    #[inline(always)]
    fn from(self, first: u32) -> Self {
        Self { x: self.x + first, ..self }
    }

    /// What inner indices 2·`pair` and 2·`pair`+1 have in common.
    #[inline(always)]
    fn pair(self, pair: u32) -> PairPart {
        PairPart::of(multiply_wide, self.key, self.operand, pair)
    }

    /// What vector x + `ahead` has of its own.
    #[inline(always)]
    fn vector(self, ahead: u32) -> VectorPart {
        VectorPart::of(multiply_wide, self.key, self.operand, self.x + ahead)
    }

    /// Draws a lane's share of a unit packed as [`Packing::VectorPairs`]: one pair
    /// of elements of vectors x and x+8 of each sixteen.
    ///
    /// # Safety
    /// - `at` is the place of the first even element; the unit is writable.
    #[inline(always)]
    unsafe fn draw_vector_pairs(self, pair: u32, at: u64) {
        let odd = odd_distance(self.x & 7, 2 * pair & 3);
        let common = self.pair(pair);
        let (mut ahead, mut at) = (0, at);
        while ahead < WARP_VECTORS {
            let (upper, lower) = (self.vector(ahead), self.vector(ahead + 8));
            let (even0, odd0) = element_pair(multiply_wide, self.key, common, upper);
            let (even1, odd1) = element_pair(multiply_wide, self.key, common, lower);
            // SAFETY: the caller's.
            unsafe {
                store_global_f64x2(at, even0, even1);
                store_global_f64x2(at.wrapping_add_signed(odd), odd0, odd1);
            }
            ahead += 16;
            at += SIXTEEN_VECTORS_BYTES;
        }
    }

    /// Draws a lane's share of a unit packed as [`Packing::IndexPairs`]: pairs p
    /// and p+2 of one vector of each sixteen.
    ///
    /// # Safety
    /// - As for [`Vectors::draw_vector_pairs`].
    #[inline(always)]
    unsafe fn draw_index_pairs(self, pair: u32, at: u64) {
        let odd = odd_distance(self.x & 7, 2 * pair & 3);
        let (front, back) = (self.pair(pair), self.pair(pair + 2));
        let (mut ahead, mut at) = (0, at);
        while ahead < WARP_VECTORS {
            let vector = self.vector(ahead);
            let (even0, odd0) = element_pair(multiply_wide, self.key, front, vector);
            let (even1, odd1) = element_pair(multiply_wide, self.key, back, vector);
            // SAFETY: the caller's.
            unsafe {
                store_global_f64x2(at, even0, even1);
                store_global_f64x2(at.wrapping_add_signed(odd), odd0, odd1);
            }
            ahead += 16;
            at += SIXTEEN_VECTORS_BYTES;
        }
    }
}

/// From a word of the packing to that of the vector sixteen on.
const SIXTEEN_VECTORS_BYTES: u64 = 16 * RUN_K as u64 * 8;
const _: () = assert!(Packing::VectorPairs.offset(16, 0) as u64 * 8 == SIXTEEN_VECTORS_BYTES);
const _: () = assert!(Packing::IndexPairs.offset(16, 0) as u64 * 8 == SIXTEEN_VECTORS_BYTES);

/// Bytes from the word of vector `gamma` and even inner index `tau` of a chunk
/// to that of the next inner index.
#[inline(always)]
fn odd_distance(gamma: u32, tau: u32) -> i64 {
    (word_in_chunk(gamma, tau + 1) as i64 - word_in_chunk(gamma, tau) as i64) * 16
}

/// Key words and tweak, operand index, and the operand's first vector.
///
/// # Safety
/// - `params.sources`, or else `params.chain`, is valid for reading.
#[inline(always)]
unsafe fn source(params: &FillParams, product: u32, is_b: bool) -> ([u32; 3], u32, u32) {
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
