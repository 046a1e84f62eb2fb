//! The feeding lane: copies the panels of the block's tiles into the stages, as
//! far ahead of the products as there are free stages.

use super::{EMPTY_AT, FULL_AT, OPERAND_BYTES, STAGE_BYTES, STAGE_K, STAGES, Share, Tile};
use crate::abi::GemmParams;
use crate::device::async_copy::{barrier_arrive_expect, barrier_wait, copy_bulk};
use crate::device::thread::{block_id, grid_size, opaque};
use crate::kernels::parts::Panels;
use crate::kernels::sixteen::RUN_BYTES;

/// Half of a run: 64 vectors.
const HALF_RUN_BYTES: u32 = RUN_BYTES / 2;
const _: () = assert!(OPERAND_BYTES == 4 * RUN_BYTES, "copy_half_runs copies four");

/// Copies the block's share.
///
/// # Safety
/// - One thread of the block calls it; parameters as documented.
#[inline(always)]
pub unsafe fn run(params: &GemmParams, share: Share, shared: u32) {
    let (whole, split, part) = (share.whole(), share.split(), share.part());
    let fills = params.dim / STAGE_K;
    // A barrier nobody has arrived at counts as past parity 1.
    let (mut stage, mut parity) = (0, 1);
    let mut turn = 0;
    while turn < whole + share.has_part() as u32 {
        let is_part = turn == whole;
        let number = if is_part { share.part_tile() } else { block_id() + turn * grid_size() };
        // SAFETY: the tile is one of the launch's; a stage is free once its
        // readers have arrived.
        unsafe {
            let Tile { product, row, column } = Tile::of(params, number);
            let mut panels = Panels::of(params, product, row, column);
            let mut filled = 0;
            while filled < fills {
                let (full, to) = (shared + FULL_AT + stage * 8, shared + stage * STAGE_BYTES);
                barrier_wait(shared + EMPTY_AT + stage * 8, parity);
                if is_part {
                    copy_part(panels, to, full, split, part);
                } else {
                    barrier_arrive_expect(full, STAGE_BYTES);
                    copy_bulk(to, panels.a, OPERAND_BYTES, full);
                    copy_bulk(to + OPERAND_BYTES, panels.b, OPERAND_BYTES, full);
                }
                panels.a += OPERAND_BYTES as u64;
                panels.b += OPERAND_BYTES as u64;
                stage += 1;
                if stage == STAGES {
                    stage = 0;
                    parity ^= 1;
                }
                filled = opaque(filled + 1);
            }
        }
        turn += 1;
    }
}

/// Copies what a part needs of a stage, to the places that it has in the whole
/// stage: 64 rows, and all columns (of two parts) or 64 (of four).
///
/// # Safety
/// - As for [`copy_bulk`].
#[inline(always)]
unsafe fn copy_part(panels: Panels, to: u32, full: u32, split: u32, part: u32) {
    let (a, b) = (panels.a, panels.b);
    // SAFETY: the caller's.
    unsafe {
        if split == 2 {
            barrier_arrive_expect(full, OPERAND_BYTES / 2 + OPERAND_BYTES);
            copy_half_runs(to, a, part * HALF_RUN_BYTES, full);
            copy_bulk(to + OPERAND_BYTES, b, OPERAND_BYTES, full);
        } else {
            barrier_arrive_expect(full, OPERAND_BYTES);
            copy_half_runs(to, a, (part >> 1) * HALF_RUN_BYTES, full);
            copy_half_runs(to + OPERAND_BYTES, b, (part & 1) * HALF_RUN_BYTES, full);
        }
    }
}

/// Copies 64 vectors of one operand: half of each run, from `at` bytes into the
/// run on.
///
/// # Safety
/// - As for [`copy_bulk`].
#[inline(always)]
unsafe fn copy_half_runs(to: u32, from: u64, at: u32, full: u32) {
    // Written out, so that every compiler makes as many copies of it.
    // SAFETY: the caller's.
    unsafe {
        copy_half_run(to, from, at, full);
        copy_half_run(to, from, at + RUN_BYTES, full);
        copy_half_run(to, from, at + 2 * RUN_BYTES, full);
        copy_half_run(to, from, at + 3 * RUN_BYTES, full);
    }
}

/// # Safety
/// - As for [`copy_bulk`].
#[inline(always)]
unsafe fn copy_half_run(to: u32, from: u64, at: u32, full: u32) {
    // SAFETY: the caller's.
    unsafe { copy_bulk(to + at, from + at as u64, HALF_RUN_BYTES, full) };
}
