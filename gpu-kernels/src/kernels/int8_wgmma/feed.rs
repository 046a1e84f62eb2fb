//! The feeding lane: copies the panels of the block's pairs into the stages, as far
//! ahead of the products as there are free stages.

use super::{EMPTY_AT, FULL_AT, Position, STAGE_BYTES, Work};
use crate::abi::IntegerGemmParams;
use crate::device::async_copy::{barrier_arrive_expect, barrier_wait, copy_bulk};
use crate::device::thread::opaque;
use crate::integer::{CHUNK_BYTES, CHUNK_K};
use crate::kernels::int8_parts::Panels;

/// Copies the block's share.
///
/// # Safety
/// - One thread of the block calls it; parameters as documented.
#[inline(always)]
pub unsafe fn run(params: &IntegerGemmParams, shared: u32) {
    // SAFETY: the panels are the launch's; a stage is free once its readers have arrived.
    unsafe {
        let work = Work::of(params);
        let mut position = Position::START;
        let mut turn = 0;
        while turn < work.turns {
            let pair = work.pair(params, turn);
            let Panels { mut a, mut b } = Panels::of(params, pair.product, pair.row, pair.column);
            // The right tile's columns; the left one's again if it has none.
            let right = pair.column + pair.has(params, 1) as u32;
            let mut c = Panels::of(params, pair.product, pair.row, right).b;
            let mut left = params.dim / CHUNK_K;
            while left > 0 {
                let full = shared + FULL_AT + position.stage * 8;
                let to = shared + position.stage * STAGE_BYTES;
                // A barrier nobody has arrived at counts as past parity 1.
                barrier_wait(shared + EMPTY_AT + position.stage * 8, position.parity ^ 1);
                barrier_arrive_expect(full, STAGE_BYTES);
                copy_bulk(to, a, CHUNK_BYTES, full);
                copy_bulk(to + CHUNK_BYTES, b, CHUNK_BYTES, full);
                copy_bulk(to + 2 * CHUNK_BYTES, c, CHUNK_BYTES, full);
                a += CHUNK_BYTES as u64;
                b += CHUNK_BYTES as u64;
                c += CHUNK_BYTES as u64;
                position = position.next();
                left = opaque(left - 1);
            }
            turn += 1;
        }
    }
}
