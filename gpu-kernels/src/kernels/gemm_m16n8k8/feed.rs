//! The feeding lane: copies the slabs of the block's tiles into the stages, as
//! far ahead of the products as there are free stages.

use super::{EMPTY_AT, FULL_AT, SLAB_BYTES, STAGE_BYTES, STAGES, Share};
use crate::abi::GemmParams;
use crate::device::async_copy::{barrier_arrive_expect, barrier_wait, copy_bulk};
use crate::device::thread::{block_id, grid_size};
use crate::kernels::parts::Panels;
use crate::tile::SLAB_K;

/// Half of a slab's run of eight inner indices: 64 vectors.
const HALF_RUN_BYTES: u32 = 4096;

/// Copies the block's share.
///
/// # Safety
/// - One thread of the block calls it; parameters as documented.
#[inline(always)]
pub unsafe fn run(params: &GemmParams, share: Share, shared: u32) {
    let (whole, split, part) = (share.whole(), share.split(), share.part());
    let slabs = params.dim / SLAB_K;
    // A barrier nobody has arrived at counts as past parity 1.
    let (mut stage, mut parity) = (0, 1);
    let mut turn = 0;
    while turn < whole + share.has_part() as u32 {
        let is_part = turn == whole;
        let tile = if is_part { share.part_tile() } else { block_id() + turn * grid_size() };
        // SAFETY: the tile is one of the launch's; a stage is free once its
        // readers have arrived.
        unsafe {
            let mut panels = Panels::of(params, tile);
            let mut slab = 0;
            while slab < slabs {
                let (full, to) = (shared + FULL_AT + stage * 8, shared + stage * STAGE_BYTES);
                barrier_wait(shared + EMPTY_AT + stage * 8, parity);
                if is_part {
                    copy_part(panels, to, full, split, part);
                } else {
                    barrier_arrive_expect(full, STAGE_BYTES);
                    copy_bulk(to, panels.a, SLAB_BYTES, full);
                    copy_bulk(to + SLAB_BYTES, panels.b, SLAB_BYTES, full);
                }
                panels.a += SLAB_BYTES as u64;
                panels.b += SLAB_BYTES as u64;
                stage += 1;
                if stage == STAGES {
                    stage = 0;
                    parity ^= 1;
                }
                slab += 1;
            }
        }
        turn += 1;
    }
}

/// Copies what a part needs of a slab, to the places that it has in the whole
/// slab: 64 rows, and all columns (of two parts) or 64 (of four).
///
/// # Safety
/// - As for [`copy_bulk`].
#[inline(always)]
unsafe fn copy_part(panels: Panels, to: u32, full: u32, split: u32, part: u32) {
    let (a, b) = (panels.a, panels.b);
    // SAFETY: the caller's.
    unsafe {
        if split == 2 {
            barrier_arrive_expect(full, 2 * HALF_RUN_BYTES + SLAB_BYTES);
            copy_half_runs(to, a, part * HALF_RUN_BYTES, full);
            copy_bulk(to + SLAB_BYTES, b, SLAB_BYTES, full);
        } else {
            barrier_arrive_expect(full, 4 * HALF_RUN_BYTES);
            copy_half_runs(to, a, (part >> 1) * HALF_RUN_BYTES, full);
            copy_half_runs(to + SLAB_BYTES, b, (part & 1) * HALF_RUN_BYTES, full);
        }
    }
}

/// Copies 64 vectors of a slab: half of each of its two runs of eight inner
/// indices, from `at` bytes into the run on.
///
/// # Safety
/// - As for [`copy_bulk`].
#[inline(always)]
unsafe fn copy_half_runs(to: u32, from: u64, at: u32, full: u32) {
    let (to, from) = (to + at, from + at as u64);
    // SAFETY: the caller's.
    unsafe {
        copy_bulk(to, from, HALF_RUN_BYTES, full);
        copy_bulk(to + 2 * HALF_RUN_BYTES, from + 2 * HALF_RUN_BYTES as u64, HALF_RUN_BYTES, full);
    }
}
