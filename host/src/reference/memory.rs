//! Arena and leaves of memory residency, as docs/protocol.md writes them.
//!
//! Of the work it takes the three fields N, p and K, and works out everything else itself.

use super::fold::{Word, fold, message};
use super::tree::{hash, leaf_hash};
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::protocol::work::memory_residency::MemoryResidency;
use rand_philox::philox4x32_10;
use rayon::prelude::*;

/// The four big-endian words at the start of a state: k0, k1, w, κ.
fn key_words(state: &State) -> Word {
    let word = |at: usize| u32::from_be_bytes(state.0[at..at + 4].try_into().expect("four bytes"));
    [word(0), word(4), word(8), word(12)]
}

/// mix(x, y).
fn mix(x: Word, y: Word) -> Word {
    let counter = [x[0].wrapping_add(y[2]), x[1].wrapping_add(y[3]), x[2], x[3]];
    let z = philox4x32_10(counter, [y[0], y[1]]);
    std::array::from_fn(|i| z[i].wrapping_add(x[i]))
}

/// A lane's arena after the fill.
#[derive(Clone, Debug)]
pub struct Arena {
    /// Per block its 256 words.
    pub blocks: Vec<Vec<Word>>,
}

impl Arena {
    /// The arena of the lane that starts from s(g,0) = `seed`.
    pub fn filled(work: MemoryResidency, seed: &State) -> Self {
        let [k0, k1, w, kappa] = key_words(seed);
        let start = |b: u32| (0..256).map(|l| philox4x32_10([l, b, kappa, w], [k0, k1])).collect();
        let mut blocks: Vec<Vec<Word>> =
            (0..work.arena_blocks as u32).into_par_iter().map(start).collect();
        let half = work.arena_blocks / 2;
        for r in 1..=work.half_passes {
            let h = u64::from((r - 1) % 2);
            for c in 0..half {
                let [e0, e1, ..] = philox4x32_10([c as u32, r, 1, w], [k0, k1]);
                let j = (u64::from(e0) * half) >> 32;
                let (here, there) = ((h * half + c) as usize, ((1 - h) * half + j) as usize);
                let mixed = |l: usize| {
                    let other = l ^ (e1 % 256) as usize;
                    mix(blocks[here][l], blocks[there][other])
                };
                blocks[here] = (0..256).map(mixed).collect();
            }
        }
        Self { blocks }
    }

    /// SHA-256 of block `b`, words in order, each u32 big-endian.
    ///
    /// # Panics
    /// If there is no such block.
    pub fn block_digest(&self, b: u64) -> Digest {
        hash(&[&self.blocks[b as usize].iter().flat_map(|word| message(*word)).collect::<Vec<_>>()])
    }
}

/// The arenas of all lanes, and the leaves of their iterations.
#[derive(Clone, Debug)]
pub struct MemoryOracle {
    work: MemoryResidency,
    arenas: Vec<Arena>,
}

impl MemoryOracle {
    /// Fills an arena for each of s(0,0) … s(G−1,0).
    pub fn new(work: MemoryResidency, seeds: &[State]) -> Self {
        Self::over(work, seeds.iter().map(|seed| Arena::filled(work, seed)).collect())
    }

    /// Over arenas that are there already, right or not: one for each lane.
    pub fn over(work: MemoryResidency, arenas: Vec<Arena>) -> Self {
        Self { work, arenas }
    }

    /// The arena of lane `lane`.
    ///
    /// # Panics
    /// If there is no such lane.
    pub fn arena(&self, lane: u32) -> &Arena {
        &self.arenas[lane as usize]
    }

    /// The message of leaf x of iteration i ≥ 1 of lane g, with s(g,i−1) = `state`.
    ///
    /// # Panics
    /// If there is no such lane, or K > 0 and fewer than two lanes.
    pub fn leaf_message(&self, lane: u32, iteration: u32, state: &State, leaf: u64) -> [u8; 16] {
        let (n, k) = (self.work.arena_blocks, self.work.peer_blocks);
        let lanes = self.arenas.len() as u32;
        let [k0, k1, w, _] = key_words(state);
        let [o0, o1, ..] = philox4x32_10([0, 0, 2, w], [k0, k1]).map(u64::from);
        let (u, v) = if k == 0 {
            let own = self.arena(lane);
            (own.at(leaf), own.at(n / 2 + (leaf + ((o0 * (n / 2)) >> 32)) % (n / 2)))
        } else {
            let other = (lane + 1 + (iteration - 1) % (lanes - 1)) % lanes;
            let u = (((o1 * n) >> 32) + leaf) % n;
            let v = (((o0 * n) >> 32) + leaf) % n;
            (self.arena(lane).at(u), self.arena(other).at(v))
        };
        let [_, z1, ..] = philox4x32_10([leaf as u32, 0, 3, w], [k0, k1]);
        let rho = (z1 % 256) as usize;
        let column = |t: usize| {
            (0..8).flat_map(|s| [u[t + 32 * s], v[(t + 32 * s) ^ rho]]).collect::<Vec<Word>>()
        };
        fold([k0, k1], w, leaf, &(0..32).map(column).collect::<Vec<_>>())
    }

    /// The hash of a leaf.
    ///
    /// # Panics
    /// As [`MemoryOracle::leaf_message`].
    pub fn leaf_hash(&self, lane: u32, iteration: u32, state: &State, leaf: u64) -> Digest {
        leaf_hash(&self.leaf_message(lane, iteration, state, leaf))
    }

    /// All leaf hashes of iteration i of lane g, in order.
    ///
    /// # Panics
    /// As [`MemoryOracle::leaf_message`].
    pub fn iteration_leaves(&self, lane: u32, iteration: u32, state: &State) -> Vec<Digest> {
        let leaves = match self.work.peer_blocks {
            0 => self.work.arena_blocks / 2,
            k => k,
        };
        let hash = |leaf| self.leaf_hash(lane, iteration, state, leaf);
        (0..leaves).into_par_iter().map(hash).collect()
    }
}

impl Arena {
    fn at(&self, block: u64) -> &[Word] {
        &self.blocks[block as usize]
    }
}
