//! Leaf hashes of single tiles, after a run or without one: every requested
//! tile is a product of one tile whose operands are drawn from the state of
//! its iteration. The same kernels as in the run.

use super::driver::{DeviceMemory, Gpu, Readback, Upload};
use super::error::OUT_OF_MEMORY;
use super::kernels::Kernels;
use super::lane::Workspace;
use super::launch::{self, Fill, Gemm, Hashing};
use super::plan::scratch_bytes;
use super::words::{self, CHAIN_WORDS, DIGEST_WORDS};
use crate::executor::{ExecError, TileRequest};
use crate::protocol::digest::Digest;
use crate::protocol::work::fp64_product::{Fp64Product, LeafPlace};
use cuda_driver::Failure;
use gpu_kernels::abi::ProductSource;
use gpu_kernels::tile::{LEAVES_PER_TILE, TILE};

/// Most tiles at a time: 8 MiB of leaf hashes.
const BATCH_TILES_MAX: u64 = 1024;
/// u32 words of one source.
const SOURCE_WORDS: usize = size_of::<ProductSource>() / 4;
/// u32 words of one tile's leaf hashes.
const TILE_HASH_WORDS: usize = LEAVES_PER_TILE as usize * DIGEST_WORDS;

/// Buffers for batches of tiles.
#[derive(Debug)]
pub(super) struct Openings {
    /// Operands and scratch of its own, if no lane lends them.
    own: Option<Workspace>,
    /// For how many tiles they were made.
    asked_tiles: u64,
    /// How many they take at a time.
    capacity_tiles: u64,
    chain: DeviceMemory,
    sources: DeviceMemory,
    tile_roots: DeviceMemory,
    leaf_hashes: DeviceMemory,
    upload: Upload,
    readback: Readback,
}

/// Bytes of one tile's packed operands: two panels.
fn operand_bytes_per_tile(dim: u32) -> u64 {
    2 * 8 * u64::from(TILE) * u64::from(dim)
}

/// How many tiles of `dim` go into `operand_bytes`.
fn tiles_in(operand_bytes: u64, dim: u32) -> u64 {
    (operand_bytes / operand_bytes_per_tile(dim)).min(BATCH_TILES_MAX)
}

impl Openings {
    /// Buffers for up to `tiles` tiles of `dim` at a time: in the operands of
    /// `lent`, or in some of its own.
    pub(super) fn new(
        gpu: &Gpu,
        kernels: &Kernels,
        sm_count: u32,
        lent: Option<&Workspace>,
        dim: u32,
        tiles: u64,
    ) -> Result<Self, ExecError> {
        let wrap = |failure: Failure| gpu.error("allocating memory for openings", failure);
        let own = match lent {
            Some(_) => None,
            None => {
                let free_bytes = gpu.free_bytes().map_err(wrap)?;
                let scratch = scratch_bytes(&kernels.product.shape, sm_count);
                let fitting = tiles_in(free_bytes.saturating_sub(scratch) / 2, dim);
                if fitting == 0 {
                    return Err(ExecError::Memory {
                        device: gpu.label().to_owned(),
                        needed_bytes: scratch + 2 * operand_bytes_per_tile(dim),
                        free_bytes,
                        advice: "free device memory (see nvidia-smi for other processes)".into(),
                    });
                }
                let bytes = tiles.clamp(1, fitting) * operand_bytes_per_tile(dim);
                Some(Workspace::new(gpu, bytes, scratch).map_err(wrap)?)
            }
        };
        // Fewer at a time if the run has left little memory.
        let mut capacity_tiles = tiles.clamp(1, BATCH_TILES_MAX);
        loop {
            match Self::with(gpu, capacity_tiles) {
                Err(failure) if failure.code == OUT_OF_MEMORY && capacity_tiles > 1 => {
                    capacity_tiles /= 2;
                }
                made => return Ok(Self { own, asked_tiles: tiles, ..made.map_err(wrap)? }),
            }
        }
    }

    fn with(gpu: &Gpu, capacity_tiles: u64) -> Result<Self, Failure> {
        let memory = |words: usize| DeviceMemory::new(gpu, capacity_tiles * 4 * words as u64);
        let chain = DeviceMemory::new(gpu, 4 * CHAIN_WORDS as u64)?;
        // Slot 0, for the kernels that look for it.
        gpu.clear(&chain)?;
        Ok(Self {
            own: None,
            asked_tiles: capacity_tiles,
            capacity_tiles,
            chain,
            sources: memory(SOURCE_WORDS)?,
            tile_roots: memory(DIGEST_WORDS)?,
            leaf_hashes: memory(TILE_HASH_WORDS)?,
            upload: Upload::new(gpu, capacity_tiles * SOURCE_WORDS as u64)?,
            readback: Readback::new(gpu, capacity_tiles * TILE_HASH_WORDS as u64)?,
        })
    }

    /// Whether these buffers serve for `tiles` tiles of `dim`, in batches.
    pub(super) fn serve(&self, lent: Option<&Workspace>, dim: u32, tiles: u64) -> bool {
        let enough = self.asked_tiles >= tiles.min(BATCH_TILES_MAX);
        let operands = lent.or(self.own.as_ref());
        enough && operands.is_some_and(|space| tiles_in(space.operands.bytes(), dim) > 0)
    }

    /// The leaf hashes of each tile, in order.
    pub(super) fn leaf_hashes(
        &mut self,
        gpu: &Gpu,
        kernels: &Kernels,
        sm_count: u32,
        lent: Option<&Workspace>,
        shape: Fp64Product,
        tiles: &[TileRequest],
    ) -> Result<Vec<Vec<Digest>>, ExecError> {
        let dim = shape.dim;
        let space = lent.or(self.own.as_ref()).expect("`serve` said so");
        let batch_tiles = self.capacity_tiles.min(tiles_in(space.operands.bytes(), dim));
        let mut hashes = Vec::with_capacity(tiles.len());
        for batch in tiles.chunks(batch_tiles as usize) {
            let products = batch.len() as u32;
            let sources: Vec<u32> =
                batch.iter().flat_map(|tile| source_words(shape, tile)).collect();
            self.upload
                .send(gpu, &self.sources, &sources)
                .map_err(|failure| gpu.error("sending sampled tiles", failure))?;
            let fill = Fill {
                operands: &space.operands,
                chain: &self.chain,
                sources: Some(&self.sources),
                dim,
                panels: [1, 1],
                products,
                first_product: 0,
                packing_b: kernels.product.shape.computes.packing_b,
            };
            launch::fill(gpu, &kernels.fill, sm_count, &fill)?;
            let gemm = Gemm {
                operands: &space.operands,
                chain: &self.chain,
                tile_roots: &self.tile_roots,
                ring_slots: 1,
                slot_tiles: u64::from(products),
                first_tile: 0,
                leaf_hashes: Some(&self.leaf_hashes),
                counters: None,
                scratch: &space.scratch,
                dim,
                tiles: [1, 1],
                products,
                hashing: Hashing::Hashed,
            };
            let product = &kernels.product;
            launch::gemm(gpu, &product.kernel, &product.shape, sm_count, &gemm)?;
            let words = batch.len() * TILE_HASH_WORDS;
            let readback = &mut self.readback;
            let read = readback
                .copy(gpu, 0, &self.leaf_hashes, words as u64)
                .and_then(|()| readback.mark(gpu))
                .and_then(|()| readback.wait())
                .map_err(|failure| gpu.error("recomputing sampled tiles", failure))?;
            let batch_hashes = read[..words].chunks_exact(TILE_HASH_WORDS);
            hashes.extend(batch_hashes.map(|tile| words::to_digests(tile).collect::<Vec<_>>()));
        }
        Ok(hashes)
    }
}

/// A [`ProductSource`] as words.
fn source_words(shape: Fp64Product, tile: &TileRequest) -> [u32; SOURCE_WORDS] {
    let first = LeafPlace::of(shape, tile.first_leaf(shape.into()));
    let [k0, k1, tweak, ..] = words::of_state(&tile.at.state);
    [k0, k1, tweak, first.product, first.tile_row * TILE, first.tile_column * TILE, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::names::State;
    use crate::protocol::work::IterationPlace;
    use std::mem::offset_of;

    #[test]
    fn a_source_is_laid_out_as_its_struct() {
        assert_eq!(offset_of!(ProductSource, key), 0);
        assert_eq!(offset_of!(ProductSource, product), 12);
        assert_eq!(offset_of!(ProductSource, first_row), 16);
        assert_eq!(offset_of!(ProductSource, first_column), 20);
        let state = State(std::array::from_fn(|at| at as u8));
        let shape = Fp64Product { dim: 512, products: 6 };
        let at = IterationPlace::of_state(state);
        let words = source_words(shape, &TileRequest { at, tile: shape.tile(5, 2, 3) });
        assert_eq!(words, [0x0001_0203, 0x0405_0607, 0x0809_0a0b, 5, 256, 384, 0, 0]);
    }

    #[test]
    fn one_product_of_operands_always_holds_a_tile() {
        // Openings borrow the run's operands whatever the shape was.
        for dim in [128, 1024, 32768] {
            assert!(tiles_in(16 * u64::from(dim).pow(2), dim) >= 1, "{dim}");
        }
        assert_eq!(tiles_in(operand_bytes_per_tile(4096) - 1, 4096), 0);
    }
}
