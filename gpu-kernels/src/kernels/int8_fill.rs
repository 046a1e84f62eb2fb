//! `int8_fill`: draws both operands of consecutive integer products.
//!
//! A unit of work is a chunk: 128 inner indices of one panel. Blocks stride over the
//! chunks. A thread draws every 256th piece of sixteen bytes, so that a warp's stores
//! are contiguous; its pieces have the same inner indices, and what depends on
//! these alone is computed once.

use crate::abi::IntegerFillParams;
use crate::device::memory::store_global_u32x4;
use crate::device::mma::multiply_wide;
use crate::device::thread::{block_id, grid_size, thread_id};
use crate::integer::{CHUNK_BYTES, CHUNK_K, PIECE_K};
use crate::kernels::INT8_FILL;
use crate::kernels::int8_parts::operand_source;
use crate::kernels::parts::div_rem;
use crate::philox::{PairPart, VectorPart, finish};
use crate::tile::TILE;

/// Pieces of a vector in a chunk.
const PIECES: u32 = CHUNK_K / PIECE_K;
/// Vectors between a thread's pieces.
const STEP: u32 = INT8_FILL.threads / PIECES;
const _: () = assert!(INT8_FILL.threads % PIECES == 0 && STEP % 8 == 0 && TILE % STEP == 0);

crate::kernel! {
    /// Entry point; parameters and launch in [`IntegerFillParams`].
    pub unsafe fn int8_fill(params: IntegerFillParams) {
        // Ids: the thread's first vector, and which of its pieces lies at its place.
        let thread = thread_id();
        let v = thread / PIECES;
        let piece = (thread % PIECES) ^ (v % 8);

        let chunks_per_panel = params.dim / CHUNK_K;
        let panels_per_product = params.panels_a + params.panels_b;
        let chunks = params.products * panels_per_product * chunks_per_panel;

        let mut unit = block_id();
        while unit < chunks {
            // SAFETY: n ≥ 128 and each operand has at least one panel.
            let (chunk, product, in_product) = unsafe {
                let (panel, chunk) = div_rem(unit, chunks_per_panel);
                let (product, in_product) = div_rem(panel, panels_per_product);
                (chunk, product, in_product)
            };
            let is_b = in_product >= params.panels_a;
            // SAFETY: `chain` or `sources` holds what the parameters say.
            let (key, operand, first_vector) = unsafe { operand_source(&params, product, is_b) };
            let panel_in_operand = if is_b { in_product - params.panels_a } else { in_product };
            let first = first_vector + panel_in_operand * TILE + v;
            let common = PairPart::of(multiply_wide, key, operand, chunk * PIECES + piece);
            let mut at = params.operands + unit as u64 * CHUNK_BYTES as u64 + thread as u64 * 16;
            let mut ahead = 0;
            while ahead < TILE {
                let vector = VectorPart::of(multiply_wide, key, operand, first + ahead);
                // SAFETY: the chunk is inside `operands`.
                unsafe { store_global_u32x4(at, finish(multiply_wide, key, common, vector)) };
                ahead += STEP;
                at += INT8_FILL.threads as u64 * 16;
            }
            unit += grid_size();
        }
    }
}
