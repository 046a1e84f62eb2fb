//! What an arena that starts from a known seed must hold, and what its first sweep must
//! give: for whoever looks for wrong bits in memory. No arena is needed.

use super::MemoryCpu;
use super::block::{Block, WORDS};
use super::sweep::Way;
use crate::protocol::digest::Digest;
use crate::protocol::merkle;
use crate::protocol::names::State;
use crate::protocol::verify::{LeafRequest, RecomputeError};
use crate::protocol::work::IterationPlace;
use crate::protocol::work::memory_residency::{LEAVES_PER_TILE, MemoryResidency};
use rayon::prelude::*;
use std::ops::Range;

/// The words of a block, in order.
pub type BlockWords = Vec<[u32; 4]>;

impl Block {
    /// Its words, in order.
    pub(super) fn words(&self) -> impl Iterator<Item = [u32; 4]> {
        (0..WORDS).map(|l| std::array::from_fn(|part| self.0[part][l]))
    }
}

impl MemoryCpu {
    /// The roots of some tiles of the first sweep of a lone lane that starts from `seed`.
    ///
    /// # Errors
    /// If the host refuses memory.
    pub fn tile_roots_from(
        self,
        work: MemoryResidency,
        seed: &State,
        tiles: Range<u64>,
    ) -> Result<Vec<Digest>, RecomputeError> {
        let of_tile = u64::from(LEAVES_PER_TILE);
        let at = IterationPlace::of_state(*seed);
        let leaves = tiles.start * of_tile..tiles.end * of_tile;
        let requests: Vec<LeafRequest> = leaves.map(|leaf| LeafRequest { at, leaf }).collect();
        let hashes = self.recompute(work, &[*seed], &requests)?;
        let root = |tile: &[Digest]| merkle::root(tile).expect("a tile has leaves");
        Ok(hashes.par_chunks(LEAVES_PER_TILE as usize).map(root).collect())
    }

    /// The blocks that a tile of that sweep reads, in ascending order.
    pub fn tile_blocks(self, work: MemoryResidency, seed: &State, tile: u64) -> Vec<u64> {
        let way = Way::new(work, seed);
        let first = tile * u64::from(LEAVES_PER_TILE);
        let reads = (first..first + u64::from(LEAVES_PER_TILE)).map(|leaf| way.reads(leaf));
        let mut blocks: Vec<u64> = reads.flat_map(|reads| [reads.own, reads.second]).collect();
        blocks.sort_unstable();
        blocks
    }

    /// What these blocks hold after the fill.
    ///
    /// # Errors
    /// If the host refuses memory.
    pub fn block_words(
        self,
        work: MemoryResidency,
        seed: &State,
        blocks: &[u64],
    ) -> Result<Vec<BlockWords>, RecomputeError> {
        let computed = self.blocks_of(work, seed, blocks)?;
        Ok(computed.iter().map(|block| block.words().collect()).collect())
    }
}
