//! Iterations over resident arenas: tile roots, and single leaves of what was opened.

use super::MemoryCpu;
use super::arena::Arena;
use super::block::Block;
use super::kernel::{Kernel, with_kernel};
use super::philox::StateWords;
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::protocol::work::memory_residency::{
    DRAW_LEAF, DRAW_SWEEP, FOLD_COLUMNS, FOLD_WORDS, LEAVES_PER_TILE, MESSAGE_BYTES,
    MemoryResidency, Reads, Sweep,
};
use crate::work::hash::{short_leaf_hash, tile_root};
use rayon::prelude::*;

/// Words of a leaf.
const LEAF_WORDS: usize = (FOLD_COLUMNS * FOLD_WORDS) as usize;

/// An iteration of one lane and the arenas that it reads.
#[derive(Clone, Copy)]
pub struct LaneSweep<'a> {
    /// s(g,i−1).
    pub state: State,
    /// The lane's own arena.
    pub own: &'a Arena,
    /// The arena of [`MemoryResidency::second_lane`]: `own` again if K = 0.
    pub second: &'a Arena,
}

/// What an iteration's state says about its leaves.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub(super) state: StateWords,
    sweep: Sweep,
}

impl Way {
    pub(super) fn new(work: MemoryResidency, state: &State) -> Self {
        let state = StateWords::of(state);
        Self { state, sweep: work.sweep(state.draw(0, 0, DRAW_SWEEP)) }
    }

    /// The blocks of leaf `x`.
    pub(super) fn reads(&self, x: u64) -> Reads {
        self.sweep.reads(x)
    }

    /// ρ of leaf `x`: it exchanges the words of the second block.
    pub(super) fn exchange(&self, x: u64) -> u8 {
        // Leaves are fewer than 2³².
        let [_, z1] = self.state.draw(x as u32, 0, DRAW_LEAF);
        (z1 % 256) as u8
    }
}

impl MemoryCpu {
    /// The roots of the tiles' subtrees in one iteration, in tile order.
    pub fn tile_roots(self, sweep: &LaneSweep<'_>) -> Vec<Digest> {
        let (work, leaves) = (sweep.own.work(), u64::from(LEAVES_PER_TILE));
        let way = Way::new(work, &sweep.state);
        let tile = |tile: u64| {
            let first = tile * leaves;
            let mut hashes = [Digest::default(); LEAVES_PER_TILE as usize];
            with_kernel!(self.engine, kernel => {
                for (x, hash) in (first..).zip(&mut hashes) {
                    *hash = leaf(kernel, sweep, &way, x);
                }
            });
            tile_root(&mut hashes)
        };
        (0..work.tiles()).into_par_iter().map(tile).collect()
    }

    /// The hashes of the leaves with these indices, in their order.
    pub fn leaf_hashes(self, sweep: &LaneSweep<'_>, leaves: &[u64]) -> Vec<Digest> {
        let way = Way::new(sweep.own.work(), &sweep.state);
        let hash = |&x: &u64| with_kernel!(self.engine, kernel => leaf(kernel, sweep, &way, x));
        leaves.par_iter().map(hash).collect()
    }

    /// The message that 32 columns of 16 words fold to, one column after another, as leaf
    /// `index` of an iteration with these key words and tweak.
    pub fn fold(
        self,
        key: [u32; 2],
        tweak: u32,
        index: u64,
        words: &[[u32; 4]; LEAF_WORDS],
    ) -> [u8; MESSAGE_BYTES] {
        let mut blocks = vec![Block::ZERO; 2];
        for (t, column) in words.chunks_exact(FOLD_WORDS as usize).enumerate() {
            for (q, word) in column.iter().enumerate() {
                let at = t + FOLD_COLUMNS as usize * (q / 2);
                for (part, value) in blocks[q % 2].0.iter_mut().zip(word) {
                    part[at] = *value;
                }
            }
        }
        let state = StateWords { key, tweak, kappa: 0 };
        with_kernel!(self.engine, kernel => kernel.fold(&state, index, &blocks[0], &blocks[1], 0))
    }
}

fn leaf<K: Kernel>(kernel: K, sweep: &LaneSweep<'_>, way: &Way, x: u64) -> Digest {
    let Reads { own, second } = way.reads(x);
    let (own, second) = (sweep.own.block(own), sweep.second.block(second));
    short_leaf_hash(&kernel.fold(&way.state, x, own, second, way.exchange(x)))
}
