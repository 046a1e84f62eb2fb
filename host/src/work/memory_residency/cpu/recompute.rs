//! Leaves from nothing, for a validator that has no arena.
//!
//! A block after half-pass r is a mix of two blocks after earlier ones, so it follows by
//! recursion from first words: 233 of them for a block of the first half after twelve
//! half-passes, 377 for one of the second. Blocks that several leaves read are computed
//! once; and if so much is asked of one lane that filling its arena is cheaper, and the
//! arena is small, it is filled.
//!
//! Guarantee: memory is bounded whatever is asked: a batch of blocks, one small arena at a
//! time, and some blocks a core.

use super::block::Block;
use super::kernel::{Kernel, with_kernel};
use super::philox::{FirstWords, StateWords};
use super::sweep::Way;
use super::{EmptyArena, MemoryCpu};
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::protocol::verify::{LeafRequest, RecomputeError};
use crate::protocol::work::IterationPlace;
use crate::protocol::work::memory_residency::{BLOCK_BYTES, DRAW_PARTNER, MemoryResidency};
use crate::work::hash::short_leaf_hash;
use rayon::prelude::*;
use std::ops::ControlFlow;

/// Leaves whose blocks are in memory at a time: at most 64 MiB.
const LEAVES_PER_BATCH: usize = 8192;

/// Largest arena that is filled in the place of recomputing single blocks of it: 96 MiB.
const ARENA_BYTES_MAX: u64 = 96 << 20;

const _: () = assert!(
    2 * LEAVES_PER_BATCH as u64 * BLOCK_BYTES + ARENA_BYTES_MAX < 180_000_000,
    "less than 200 MB in all"
);

/// A block of an arena after the fill. Orders by lane.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    lane: u32,
    block: u64,
}

impl MemoryCpu {
    /// The leaf hashes of `requests`, in their order, from `seeds`: s(g,0) of every lane.
    ///
    /// # Errors
    /// If the host refuses memory.
    ///
    /// # Panics
    /// If a request names a lane that has no seed.
    pub fn recompute(
        self,
        work: MemoryResidency,
        seeds: &[State],
        requests: &[LeafRequest],
    ) -> Result<Vec<Digest>, RecomputeError> {
        let mut hashes = Vec::with_capacity(requests.len());
        for batch in requests.chunks(LEAVES_PER_BATCH) {
            hashes.append(&mut self.batch(work, seeds, batch)?);
        }
        Ok(hashes)
    }

    /// SHA-256 of block `b`, words in order, each u32 big-endian, of the arena of the lane
    /// that starts from s(g,0) = `seed`, whatever the arena's size is.
    ///
    /// # Errors
    /// If the host refuses memory.
    pub fn block_digest(
        self,
        work: MemoryResidency,
        seed: &State,
        b: u64,
    ) -> Result<Digest, RecomputeError> {
        Ok(self.blocks_of(work, seed, &[b])?[0].digest())
    }

    /// These blocks after the fill.
    pub(super) fn blocks_of(
        self,
        work: MemoryResidency,
        seed: &State,
        blocks: &[u64],
    ) -> Result<Vec<Block>, RecomputeError> {
        let places: Vec<Place> = blocks.iter().map(|&block| Place { lane: 0, block }).collect();
        let mut computed = Vec::new();
        computed.try_reserve_exact(blocks.len()).map_err(|_| no_memory(blocks.len()))?;
        computed.resize(blocks.len(), Block::ZERO);
        self.lane_blocks(work, seed, &places, &mut computed)?;
        Ok(computed)
    }

    fn batch(
        self,
        work: MemoryResidency,
        seeds: &[State],
        requests: &[LeafRequest],
    ) -> Result<Vec<Digest>, RecomputeError> {
        let lanes = seeds.len() as u32;
        let leaves: Vec<(Way, [Place; 2])> = requests
            .par_iter()
            .map(|request| {
                let IterationPlace { lane, iteration, state } = request.at;
                let way = Way::new(work, &state);
                let reads = way.reads(request.leaf);
                let second = work.second_lane(lane, iteration, lanes);
                let own = Place { lane, block: reads.own };
                (way, [own, Place { lane: second, block: reads.second }])
            })
            .collect();
        let mut places: Vec<Place> = leaves.iter().flat_map(|(_, places)| *places).collect();
        places.sort_unstable();
        places.dedup();
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(places.len()).map_err(|_| no_memory(places.len()))?;
        blocks.resize(places.len(), Block::ZERO);
        let mut rest = &mut blocks[..];
        for of_lane in places.chunk_by(|a, b| a.lane == b.lane) {
            let (out, after) = rest.split_at_mut(of_lane.len());
            self.lane_blocks(work, &seeds[of_lane[0].lane as usize], of_lane, out)?;
            rest = after;
        }
        let at = |place: &Place| &blocks[places.partition_point(|other| other < place)];
        let hash = |(request, (way, [own, second])): (&LeafRequest, &(Way, [Place; 2]))| {
            let exchange = way.exchange(request.leaf);
            short_leaf_hash(&with_kernel!(self.engine, kernel => {
                kernel.fold(&way.state, request.leaf, at(own), at(second), exchange)
            }))
        };
        Ok(requests.par_iter().zip(&leaves).map(hash).collect())
    }

    /// Computes the blocks at `places` of one lane.
    fn lane_blocks(
        self,
        work: MemoryResidency,
        seed: &State,
        places: &[Place],
        out: &mut [Block],
    ) -> Result<(), RecomputeError> {
        if work.arena_bytes() <= ARENA_BYTES_MAX && fill_cost(work) < blocks_cost(work, places) {
            let empty =
                EmptyArena::allocate(work).map_err(|error| RecomputeError(error.to_string()))?;
            let arena = self
                .fill(empty, seed, &mut || ControlFlow::Continue(()))
                .map_err(|error| RecomputeError(error.to_string()))?;
            out.par_iter_mut()
                .zip(places)
                .for_each(|(out, place)| *out = *arena.block(place.block));
            return Ok(());
        }
        let words = StateWords::of(seed);
        let stream = FirstWords::new(&words);
        let spare = || vec![Block::ZERO; work.half_passes as usize];
        with_kernel!(self.engine, kernel => {
            let lane = Lane { kernel, work, seed: words, stream: &stream };
            out.par_iter_mut().zip(places).for_each_init(spare, |spare, (out, place)| {
                let last = work.last_change(work.half_of(place.block), work.half_passes);
                lane.block(place.block, last, out, spare);
            });
        });
        Ok(())
    }
}

/// Blocks of random words that a fill takes.
fn fill_cost(work: MemoryResidency) -> u64 {
    work.arena_blocks + u64::from(work.half_passes) * work.half_blocks()
}

/// The same for single blocks by recursion.
fn blocks_cost(work: MemoryResidency, places: &[Place]) -> u64 {
    let cost = |half: u64| block_cost(work.last_change(half, work.half_passes));
    let costs = [cost(0), cost(1)];
    places.iter().map(|place| costs[work.half_of(place.block) as usize]).sum()
}

/// Blocks of random words that a block takes whose last change was half-pass `r`: as many
/// mixes, less one, as first blocks.
fn block_cost(r: u32) -> u64 {
    let (mut before, mut firsts) = (1, 1);
    for _ in 0..r {
        (before, firsts) = (firsts, before + firsts);
    }
    2 * firsts - 1
}

/// What the recursion over one lane's blocks shares.
struct Lane<'a, K> {
    kernel: K,
    work: MemoryResidency,
    seed: StateWords,
    stream: &'a FirstWords,
}

impl<K: Kernel> Lane<'_, K> {
    /// Block `b` after half-pass `r`, the last one that changed it, or 0. `spare` has `r`
    /// blocks.
    fn block(&self, b: u64, r: u32, out: &mut Block, spare: &mut [Block]) {
        if r == 0 {
            return self.kernel.first_words(self.stream, b as u32, out);
        }
        let half = self.work.half_blocks();
        let h = self.work.changed_half(r);
        let [e0, e1] = self.seed.draw((b - h * half) as u32, r, DRAW_PARTNER);
        self.block(b, self.work.last_change(h, r - 1), out, spare);
        let (partner, spare) = spare.split_first_mut().expect("a block a half-pass");
        let j = (1 - h) * half + self.work.partner(e0);
        self.block(j, self.work.last_change(1 - h, r - 1), partner, spare);
        self.kernel.mix(out, partner, (e1 % 256) as u8);
    }
}

fn no_memory(blocks: usize) -> RecomputeError {
    let bytes = blocks as u64 * BLOCK_BYTES;
    RecomputeError(format!(
        "the host refused {bytes} bytes for the blocks of opened leaves\nFree memory, or verify fewer results at a time."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_costs_of_blocks_are_fibonaccis() {
        let firsts = [0, 1, 2, 11, 12].map(|r| block_cost(r).div_ceil(2));
        assert_eq!(firsts, [1, 2, 3, 233, 377]);
    }
}
