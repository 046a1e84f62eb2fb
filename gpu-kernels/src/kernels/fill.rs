//! `fill`: draws both operands of consecutive products.
//!
//! A unit of work is 32 inner indices of one panel; blocks stride over the
//! units. Warp `b` of a block writes vectors 16b … 16b+15: each lane draws two
//! pairs, for vectors x and x+8, and stores two 16-byte neighbours.

use crate::abi::{FILL_THREADS, FillParams, ProductSource};
use crate::device::memory::{load_global_u32, load_global_u32x4, store_global_f64x2};
use crate::device::thread::{block_id, grid_size, thread_id};
use crate::kernels::parts::div_rem;
use crate::philox::element_pair;
use crate::tile::{SLAB_DOUBLES, SLAB_K, TILE, packed_offset};

/// Inner indices in a unit of work.
const UNIT_K: u32 = 32;
const _: () = assert!(FILL_THREADS == 8 * 32, "one warp per sixteen vectors of a panel");
const _: () = assert!(TILE % UNIT_K == 0, "units must divide every legal n");

crate::kernel! {
    /// Entry point; parameters and launch in [`FillParams`].
    pub unsafe fn fill(params: FillParams) {
        let thread = thread_id();
        let (gamma, pair, block16) = (thread & 7, (thread >> 3) & 3, thread >> 5);
        let x = block16 * 16 + gamma;

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
            let vector = first_vector + panel_in_operand * TILE + x;

            let base = params.operands
                + (panel as u64 * params.dim as u64 * TILE as u64
                    + (k0 / SLAB_K) as u64 * SLAB_DOUBLES as u64)
                    * 8;
            let mut k = 0;
            while k < UNIT_K {
                let p = (k0 + k) / 2 + pair;
                let (even, odd) = element_pair(key, p, vector, operand);
                let (even8, odd8) = element_pair(key, p, vector + 8, operand);
                let at = base + k as u64 * TILE as u64 * 8;
                // SAFETY: the offsets are those of vectors x, x+8 < 128 and
                // inner indices < 8 of this unit's panel, which `operands` holds.
                unsafe {
                    store_global_f64x2(at + packed_offset(x, 2 * pair) as u64 * 8, even, even8);
                    store_global_f64x2(at + packed_offset(x, 2 * pair + 1) as u64 * 8, odd, odd8);
                }
                k += 8;
            }
            unit += grid_size();
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
