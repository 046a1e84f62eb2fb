//! `fill`: draws both operands of consecutive products.
//!
//! A unit of work is 32 inner indices of one panel; blocks stride over the
//! units. Warp `b` of a block writes vectors 16b … 16b+15. Each lane draws two
//! pairs of elements whose first halves are neighbours in the packing, and so
//! are their second halves: two 16-byte stores.

use crate::abi::{FILL_THREADS, FillParams, ProductSource};
use crate::device::memory::{load_global_u32, load_global_u32x4, store_global_f64x2};
use crate::device::mma::multiply_wide;
use crate::device::thread::{block_id, grid_size, thread_id};
use crate::kernels::parts::div_rem;
use crate::philox::element_pair;
use crate::tile::{TILE, packed_column_offset, packed_row_offset, word_in_chunk};

/// Inner indices in a unit of work.
const UNIT_K: u32 = 32;
const _: () = assert!(FILL_THREADS == 8 * 32, "one warp per sixteen vectors of a panel");
const _: () = assert!(TILE % UNIT_K == 0, "units must divide every legal n");

crate::kernel! {
    /// Entry point; parameters and launch in [`FillParams`].
    pub unsafe fn fill(params: FillParams) {
        let thread = thread_id();
        let (gamma, select, block) = (thread & 7, (thread >> 3) & 3, thread >> 5);
        let x = block * 16 + gamma;
        // Where the first of the lane's even elements goes.
        let rows = packed_row_offset(x, 2 * select) as u64 * 8;
        let columns = packed_column_offset(x + 8 * (select >> 1), 2 * (select & 1)) as u64 * 8;

        let units_per_panel = params.dim / UNIT_K;
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
            let k0 = unit_in_panel * UNIT_K;
            let is_b = in_product >= params.panels_a;

            // SAFETY: `chain` or `sources` holds what `FillParams` says.
            let (key, operand, first_vector) = unsafe { source(&params, product, is_b) };
            let panel_in_operand = if is_b { in_product - params.panels_a } else { in_product };
            let vector = first_vector + panel_in_operand * TILE;
            let at = params.operands
                + (panel as u64 * params.dim as u64 + k0 as u64) * TILE as u64 * 8;
            // Two copies of the loop: what a lane's two pairs share, and so
            // need be computed only once, differs between the operands.
            // SAFETY: the unit's panel is inside `operands`.
            unsafe {
                if is_b {
                    let x = x + 8 * (select >> 1);
                    draw::<true>(key, operand, [vector + x; 2], k0 / 2 + (select & 1), at + columns);
                } else {
                    let x = vector + x;
                    draw::<false>(key, operand, [x, x + 8], k0 / 2 + select, at + rows);
                }
            }
            unit += grid_size();
        }
    }
}

/// Draws a lane's share of a unit, run of eight inner indices by run: two pairs
/// of elements, neighbours in the packing. In A (`IS_B` false) the neighbours
/// are rows x and x+8 at one pair p, in B pairs p and p+2 of one column.
///
/// # Safety
/// - `at` is the place of the first even element; the unit is writable.
#[inline(always)]
unsafe fn draw<const IS_B: bool>(key: [u32; 3], operand: u32, x: [u32; 2], pair: u32, at: u64) {
    let (mut pair, mut at) = (pair, at);
    let odd = odd_distance(x[0] & 7, 2 * pair & 3);
    let end = pair + UNIT_K / 2;
    while pair < end {
        let second = if IS_B { pair + 2 } else { pair };
        let (even0, odd0) = element_pair(multiply_wide, key, pair, x[0], operand);
        let (even1, odd1) = element_pair(multiply_wide, key, second, x[1], operand);
        // SAFETY: the caller's.
        unsafe {
            store_global_f64x2(at, even0, even1);
            store_global_f64x2(at.wrapping_add_signed(odd), odd0, odd1);
        }
        pair += 4;
        at += 8 * TILE as u64 * 8;
    }
}

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
