//! Leaf hashes of sampled tiles, from the arena as it lies there.

use super::lane::ArenaLane;
use super::launch::{self, ArenaKernels, Second, Sweep, Tiles};
use super::peers::{TILE_BYTES, Way, copy_second_blocks};
use crate::executor::ExecError;
use crate::executor::gpu::driver::{DeviceMemory, Gpu, Readback, Upload};
use crate::executor::gpu::error::OUT_OF_MEMORY;
use crate::executor::gpu::words::{self, CHAIN_WORDS, DIGEST_WORDS};
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::protocol::work::memory_residency::LEAVES_PER_TILE;
use cuda_driver::Failure;
use gpu_kernels::abi::SweepSource;

/// Most tiles at a time: 8 MiB of leaf hashes.
const BATCH_TILES_MAX: usize = 1024;
/// u32 words of one source.
const SOURCE_WORDS: usize = size_of::<SweepSource>() / 4;
/// u32 words of one tile's leaf hashes.
const TILE_HASH_WORDS: usize = LEAVES_PER_TILE as usize * DIGEST_WORDS;

/// A tile whose leaf hashes are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SampledTile {
    /// The iteration, from 1 (i).
    pub iteration: u32,
    /// s(g,i−1) of the lane that has the arena.
    pub state: State,
    /// Its index among the iteration's tiles.
    pub tile: u32,
}

/// Buffers for batches of tiles.
#[derive(Debug)]
pub(crate) struct ArenaOpenings {
    /// For how many tiles they were made.
    asked_tiles: usize,
    /// How many they take at a time.
    capacity_tiles: usize,
    chain: DeviceMemory,
    sources: DeviceMemory,
    leaf_hashes: DeviceMemory,
    upload: Upload,
    readback: Readback,
}

impl ArenaOpenings {
    /// Buffers for up to `tiles` tiles at a time, fewer if the arena has left little
    /// memory.
    ///
    /// # Errors
    /// Device faults.
    pub(crate) fn new(gpu: &Gpu, tiles: usize) -> Result<Self, ExecError> {
        let mut capacity_tiles = tiles.clamp(1, BATCH_TILES_MAX);
        loop {
            match Self::with(gpu, capacity_tiles) {
                Err(failure) if failure.code == OUT_OF_MEMORY && capacity_tiles > 1 => {
                    capacity_tiles /= 2;
                }
                made => {
                    let made = made
                        .map_err(|failure| gpu.error("allocating memory for openings", failure))?;
                    return Ok(Self { asked_tiles: tiles, ..made });
                }
            }
        }
    }

    fn with(gpu: &Gpu, capacity_tiles: usize) -> Result<Self, Failure> {
        let count = |words: usize| (capacity_tiles * words) as u64;
        Ok(Self {
            asked_tiles: capacity_tiles,
            capacity_tiles,
            // Not read where there are sources.
            chain: DeviceMemory::new(gpu, 4 * CHAIN_WORDS as u64)?,
            sources: DeviceMemory::new(gpu, 4 * count(SOURCE_WORDS))?,
            leaf_hashes: DeviceMemory::new(gpu, 4 * count(TILE_HASH_WORDS))?,
            upload: Upload::new(gpu, count(SOURCE_WORDS))?,
            readback: Readback::new(gpu, count(TILE_HASH_WORDS))?,
        })
    }

    /// Whether these buffers serve for `tiles` tiles, in batches.
    pub(crate) fn serve(&self, tiles: usize) -> bool {
        self.asked_tiles >= tiles.min(BATCH_TILES_MAX)
    }

    /// The leaf hashes of each tile, in order.
    ///
    /// # Errors
    /// Device faults; another lane's arena that is gone.
    pub(crate) fn leaf_hashes(
        &mut self,
        gpu: &Gpu,
        kernels: &ArenaKernels,
        sm_count: u32,
        arena: &ArenaLane,
        tiles: &[SampledTile],
    ) -> Result<Vec<Vec<Digest>>, ExecError> {
        let held = arena.hold(gpu)?;
        let way = arena.work.reads_peers().then(|| arena.way());
        let (lane, lanes) = arena.place();
        let mut batch_tiles = self.capacity_tiles;
        let second = match way {
            None => Second::Own,
            Some(Way::Direct(table)) => Second::Arenas(table),
            Some(Way::Copied(room, room_tiles)) => {
                batch_tiles = batch_tiles.min(*room_tiles as usize);
                Second::Copied(room)
            }
        };
        let mut hashes = Vec::with_capacity(tiles.len());
        for batch in tiles.chunks(batch_tiles) {
            let mut sources = Vec::with_capacity(batch.len() * SOURCE_WORDS);
            for (at, tile) in (0..).zip(batch) {
                let (source, first_block) = arena.second_of((tile.iteration, tile.state));
                let peer = match second {
                    Second::Own => 0,
                    Second::Arenas(_) => held[source as usize].address(),
                    Second::Copied(room) => {
                        let arena = &held[source as usize];
                        copy_second_blocks(gpu, arena, first_block, (tile.tile, 1), room, at)?;
                        room.address() + at * TILE_BYTES
                    }
                };
                sources.extend(source_words(tile, peer));
            }
            self.upload
                .send(gpu, &self.sources, &sources)
                .map_err(|failure| gpu.error("sending sampled tiles", failure))?;
            let sweep = Sweep {
                work: arena.work,
                lane,
                lanes,
                arena: &arena.arena,
                second,
                chain: &self.chain,
                tiles: Tiles::Sampled { sources: &self.sources, leaf_hashes: &self.leaf_hashes },
                count: batch.len() as u32,
            };
            launch::sweep(gpu, kernels, sm_count, &sweep)?;
            let words = batch.len() * TILE_HASH_WORDS;
            let readback = &mut self.readback;
            let read = readback
                .copy(gpu, 0, &self.leaf_hashes, words as u64)
                .and_then(|()| readback.mark(gpu))
                .and_then(|()| readback.wait())
                .map_err(|failure| gpu.error("reading sampled tiles", failure))?;
            let batch_hashes = read[..words].chunks_exact(TILE_HASH_WORDS);
            hashes.extend(batch_hashes.map(|tile| words::to_digests(tile).collect::<Vec<_>>()));
        }
        Ok(hashes)
    }
}

/// A [`SweepSource`] as words.
fn source_words(tile: &SampledTile, peer: u64) -> [u32; SOURCE_WORDS] {
    let [k0, k1, tweak, ..] = words::of_state(&tile.state);
    [k0, k1, tweak, tile.tile, peer as u32, (peer >> 32) as u32, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn a_source_is_laid_out_as_its_struct() {
        assert_eq!(offset_of!(SweepSource, key), 0);
        assert_eq!(offset_of!(SweepSource, tile), 12);
        assert_eq!(offset_of!(SweepSource, peer), 16);
        let state = State(std::array::from_fn(|at| at as u8));
        let words = source_words(&SampledTile { iteration: 1, state, tile: 5 }, 7 << 32 | 9);
        assert_eq!(words, [0x0001_0203, 0x0405_0607, 0x0809_0a0b, 5, 9, 7, 0, 0]);
    }
}
