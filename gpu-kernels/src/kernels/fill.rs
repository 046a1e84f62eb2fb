//! `fill`: draws both operands of consecutive products.
//!
//! A unit of work is 32 inner indices of one panel; blocks stride over the
//! units. Warp `b` of a block writes vectors 16b … 16b+15. Each lane draws two
//! pairs of elements whose first halves are neighbours in the packing, and so
//! are their second halves: two 16-byte stores.

use crate::abi::{FILL_THREADS, FillParams, ProductSource};
use crate::device::memory::{load_global_u32, load_global_u32x4, store_global_f64x2};
use crate::device::thread::{block_id, grid_size, thread_id};
use crate::kernels::parts::div_rem;
use crate::philox::element_pair;
use crate::tile::{SLAB_DOUBLES, SLAB_K, TILE, packed_column_offset, packed_row_offset};

/// Inner indices in a unit of work.
const UNIT_K: u32 = 32;
const _: () = assert!(FILL_THREADS == 8 * 32, "one warp per sixteen vectors of a panel");
const _: () = assert!(TILE % UNIT_K == 0, "units must divide every legal n");

crate::kernel! {
    /// Entry point; parameters and launch in [`FillParams`].
    pub unsafe fn fill(params: FillParams) {
        let thread = thread_id();
        let (gamma, select, block) = (thread & 7, (thread >> 3) & 3, thread >> 5);
        let rows = Lane::of_rows(block * 16 + gamma, select);
        let columns = Lane::of_columns(block * 16 + gamma, select);

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
            let lane = if is_b { columns } else { rows };

            let mut at = params.operands
                + (panel as u64 * params.dim as u64 * TILE as u64
                    + (k0 / SLAB_K) as u64 * SLAB_DOUBLES as u64)
                    * 8;
            let mut pair = k0 / 2;
            let end = pair + UNIT_K / 2;
            while pair < end {
                let (even, odd) = element_pair(key, pair + lane.pair[0], vector + lane.x[0], operand);
                let (even1, odd1) = element_pair(key, pair + lane.pair[1], vector + lane.x[1], operand);
                // SAFETY: the offsets are those of vectors below 128 and inner
                // indices below 8 of this unit's panel, which `operands` holds.
                unsafe {
                    store_global_f64x2(at + lane.even_at as u64, even, even1);
                    store_global_f64x2(at + lane.odd_at as u64, odd, odd1);
                }
                pair += 4;
                at += 8 * TILE as u64 * 8;
            }
            unit += grid_size();
        }
    }
}

/// What a thread draws in each run of eight inner indices: two pairs, and
/// where their even and odd elements go, in bytes.
#[derive(Clone, Copy)]
struct Lane {
    pair: [u32; 2],
    x: [u32; 2],
    even_at: u32,
    odd_at: u32,
}

impl Lane {
    /// In A, rows x and x+8 are neighbours.
    #[inline(always)]
    fn of_rows(x: u32, select: u32) -> Self {
        Self {
            pair: [select, select],
            x: [x, x + 8],
            even_at: packed_row_offset(x, 2 * select) * 8,
            odd_at: packed_row_offset(x, 2 * select + 1) * 8,
        }
    }

    /// In B, inner indices k and k+4 are neighbours: pairs p and p+2.
    #[inline(always)]
    fn of_columns(x: u32, select: u32) -> Self {
        let (pair, x) = (select & 1, x + 8 * (select >> 1));
        Self {
            pair: [pair, pair + 2],
            x: [x, x],
            even_at: packed_column_offset(x, 2 * pair) * 8,
            odd_at: packed_column_offset(x, 2 * pair + 1) * 8,
        }
    }
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
