//! `gemm_m16n8k16_tile`: the product on `mma.m16n8k16` without what is specific to
//! one architecture: registers stay as they were dealt, so hashing comes after
//! the product and not beside it. One block per tile; eight warps of 64×32 (a
//! ninth would cost each of them a third of its registers, so thread 0 feeds,
//! too); both panels arrive by bulk copies, six stages of sixteen inner indices
//! deep. A thread ends up with the 64 outputs of one leaf and hashes them from
//! its registers.

use crate::abi::GemmParams;
use crate::device::async_copy::{
    barrier_arrive, barrier_arrive_expect, barrier_init, barrier_wait, copy_bulk,
    fence_barrier_init,
};
use crate::device::backend::shared_base;
use crate::device::thread::{block_barrier, block_id, opaque, thread_id, warp_barrier};
use crate::kernels::GEMM_M16N8K16_TILE;
use crate::kernels::parts::{Panels, finish_tile};
use crate::kernels::sixteen::{RUN_BYTES, multiply_sixteen};
use crate::tile::{LEAVES_PER_TILE, TILE, word_in_chunk};

const STAGES: u32 = 6;
/// Inner indices in a stage.
const STAGE_K: u32 = 16;
/// One operand's part of a stage.
const OPERAND_BYTES: u32 = STAGE_K / 8 * RUN_BYTES;
const STAGE_BYTES: u32 = 2 * OPERAND_BYTES;
const THREADS: u32 = GEMM_M16N8K16_TILE.threads;

// Shared memory: stages, barriers. The digests take the stages' place.
const FULL_AT: u32 = STAGES * STAGE_BYTES;
const EMPTY_AT: u32 = FULL_AT + STAGES * 8;
const SHARED_END: u32 = EMPTY_AT + STAGES * 8;

const _: () = assert!(THREADS == LEAVES_PER_TILE, "one thread per leaf");
const _: () = assert!(TILE.is_multiple_of(STAGE_K), "stages must divide every legal n");
const _: () = assert!(TILE / STAGE_K >= STAGES, "the shortest vectors must fill the stages");
const _: () = assert!(GEMM_M16N8K16_TILE.shared_bytes >= SHARED_END, "the map must fit");
const _: () = assert!(FULL_AT >= LEAVES_PER_TILE * 32, "the digests must fit");

crate::kernel! {
    /// Entry point; parameters and launch in [`GemmParams`].
    pub unsafe fn gemm_m16n8k16_tile(params: GemmParams) {
        // Ids.
        let thread = thread_id();
        let (warp, lane) = (thread >> 5, thread & 31);
        let fragment = word_in_chunk(lane >> 2, lane & 3) * 16;

        // Shared memory.
        let shared = shared_base();
        let a_at = shared + (warp >> 2) * 4096 + fragment;
        let b_at = shared + OPERAND_BYTES + (warp & 3) * 2048 + fragment;

        // Barriers.
        // SAFETY: the map above; one thread initialises, all synchronise.
        unsafe {
            if thread == 0 {
                let mut i = 0;
                while i < STAGES {
                    barrier_init(shared + FULL_AT + i * 8, 1);
                    barrier_init(shared + EMPTY_AT + i * 8, THREADS);
                    i += 1;
                }
                fence_barrier_init();
            }
            block_barrier();
        }

        // SAFETY: one block per tile; a stage is read between its two barriers, and
        // filled again by the thread that has waited for all readers; the digests
        // take its place when all threads are done.
        unsafe {
            let mut feed = Feed::of(&params, shared);
            if thread == 0 {
                let mut stages = STAGES - 1;
                while stages > 0 {
                    feed.fill();
                    stages = opaque(stages - 1);
                }
            }

            // Main loop.
            let mut c = [0.0f64; 64];
            let (mut stage, mut parity) = (0, 0);
            let mut left = params.dim / STAGE_K;
            while left > 0 {
                barrier_wait(shared + FULL_AT + stage * 8, parity);
                let ahead = stage * STAGE_BYTES;
                multiply_sixteen::<4>(&mut c, a_at + ahead, b_at + ahead);
                barrier_arrive(shared + EMPTY_AT + stage * 8);
                // The stage of the step before, which the others have left by now.
                if thread == 0 && left >= STAGES {
                    feed.fill();
                }
                warp_barrier();
                stage += 1;
                if stage == STAGES {
                    stage = 0;
                    parity ^= 1;
                }
                left = opaque(left - 1);
            }
            block_barrier();

            // Epilogue.
            finish_tile(&params, block_id(), thread, &c, shared);
        }
    }
}

/// Where the feeding thread is: the next stage, and what goes there.
struct Feed {
    panels: Panels,
    shared: u32,
    stage: u32,
    parity: u32,
}

impl Feed {
    /// Of the block's tile.
    ///
    /// # Safety
    /// - Parameters as documented.
    #[inline(always)]
    unsafe fn of(params: &GemmParams, shared: u32) -> Self {
        // SAFETY: the caller's.
        let panels = unsafe { Panels::of_tile(params, block_id()) };
        // A barrier nobody has arrived at counts as past parity 1.
        Self { panels, shared, stage: 0, parity: 1 }
    }

    /// Fills the next stage as soon as it is free.
    ///
    /// # Safety
    /// - One thread calls it, at most once a stage of the panels.
    #[inline(always)]
    unsafe fn fill(&mut self) {
        let (full, empty) = (FULL_AT + self.stage * 8, EMPTY_AT + self.stage * 8);
        let (full, empty) = (self.shared + full, self.shared + empty);
        let to = self.shared + self.stage * STAGE_BYTES;
        // SAFETY: the caller's; a stage is free once its readers have arrived.
        unsafe {
            barrier_wait(empty, self.parity);
            barrier_arrive_expect(full, STAGE_BYTES);
            copy_bulk(to, self.panels.a, OPERAND_BYTES, full);
            copy_bulk(to + OPERAND_BYTES, self.panels.b, OPERAND_BYTES, full);
        }
        self.panels.a += OPERAND_BYTES as u64;
        self.panels.b += OPERAND_BYTES as u64;
        self.stage += 1;
        if self.stage == STAGES {
            self.stage = 0;
            self.parity ^= 1;
        }
    }
}
