//! Leaf hashes of single tiles, after a run or without one: every requested
//! tile is a product of one tile whose operands are drawn from the state of
//! its iteration. The same kernels as in the run.

use super::driver::{DeviceMemory, Gpu, Readback, Upload};
use super::error::OUT_OF_MEMORY;
use super::kernels::Kernels;
use super::lane::Workspace;
use super::launch::{self, Fill, Gemm, Hashing};
use super::plan::scratch_bytes;
use super::shape::ProductShape;
use super::words::{self, CHAIN_WORDS, DIGEST_WORDS};
use crate::executor::{ExecError, TileRequest};
use crate::protocol::digest::Digest;
use crate::protocol::work::Work;
use crate::work::integer_product::gpu as integer;
use cuda_driver::Failure;
use gpu_kernels::abi::ProductSource;

/// Most tiles at a time: 8 MiB of leaf hashes.
const BATCH_TILES_MAX: u64 = 1024;
/// u32 words of one source.
const SOURCE_WORDS: usize = size_of::<ProductSource>() / 4;

/// Buffers for batches of tiles.
#[derive(Debug)]
pub(super) struct Openings {
    /// Operands and scratch of its own, if no lane lends them.
    own: Option<Workspace>,
    /// For how many tiles they were made.
    asked_tiles: u64,
    /// How many they take at a time.
    capacity_tiles: u64,
    /// Of which this many leaves each.
    leaves_per_tile: u32,
    chain: DeviceMemory,
    sources: DeviceMemory,
    tile_roots: DeviceMemory,
    leaf_hashes: DeviceMemory,
    upload: Upload,
    readback: Readback,
}

/// How many tiles of `shape` go into `operand_bytes`.
fn tiles_in(operand_bytes: u64, shape: ProductShape) -> u64 {
    (operand_bytes / shape.operand_bytes_per_tile()).min(BATCH_TILES_MAX)
}

/// u32 words of one tile's leaf hashes.
fn hash_words(leaves_per_tile: u32) -> usize {
    leaves_per_tile as usize * DIGEST_WORDS
}

/// The sizes of products.
///
/// # Panics
/// If `work` is none: a bug of the caller.
fn shape_of(work: Work) -> ProductShape {
    ProductShape::of(work).unwrap_or_else(|| panic!("{work} is no product"))
}

impl Openings {
    /// Buffers for up to `tiles` tiles of `work` at a time: in the operands of
    /// `lent`, or in some of its own.
    pub(super) fn new(
        gpu: &Gpu,
        kernels: &Kernels,
        sm_count: u32,
        lent: Option<&Workspace>,
        work: Work,
        tiles: u64,
    ) -> Result<Self, ExecError> {
        let shape = shape_of(work);
        let wrap = |failure: Failure| gpu.error("allocating memory for openings", failure);
        let own = match lent {
            Some(_) => None,
            None => {
                let free_bytes = gpu.free_bytes().map_err(wrap)?;
                let scratch = match work.integer_product() {
                    Some(_) => integer::scratch_bytes(kernels.integer(gpu)?.shape(), sm_count),
                    None => scratch_bytes(&kernels.product.shape, sm_count),
                };
                let fitting = tiles_in(free_bytes.saturating_sub(scratch) / 2, shape);
                if fitting == 0 {
                    return Err(ExecError::Memory {
                        device: gpu.label().to_owned(),
                        needed_bytes: scratch + 2 * shape.operand_bytes_per_tile(),
                        free_bytes,
                        advice: "free device memory (see nvidia-smi for other processes)".into(),
                    });
                }
                let bytes = tiles.clamp(1, fitting) * shape.operand_bytes_per_tile();
                Some(Workspace::new(gpu, bytes, scratch).map_err(wrap)?)
            }
        };
        // Fewer at a time if the run has left little memory.
        let mut capacity_tiles = tiles.clamp(1, BATCH_TILES_MAX);
        loop {
            match Self::with(gpu, capacity_tiles, shape.leaves_per_tile) {
                Err(failure) if failure.code == OUT_OF_MEMORY && capacity_tiles > 1 => {
                    capacity_tiles /= 2;
                }
                made => return Ok(Self { own, asked_tiles: tiles, ..made.map_err(wrap)? }),
            }
        }
    }

    fn with(gpu: &Gpu, capacity_tiles: u64, leaves_per_tile: u32) -> Result<Self, Failure> {
        let hash_words = hash_words(leaves_per_tile);
        let memory = |words: usize| DeviceMemory::new(gpu, capacity_tiles * 4 * words as u64);
        let chain = DeviceMemory::new(gpu, 4 * CHAIN_WORDS as u64)?;
        // Slot 0, for the kernels that look for it.
        gpu.clear(&chain)?;
        Ok(Self {
            own: None,
            asked_tiles: capacity_tiles,
            capacity_tiles,
            leaves_per_tile,
            chain,
            sources: memory(SOURCE_WORDS)?,
            tile_roots: memory(DIGEST_WORDS)?,
            leaf_hashes: memory(hash_words)?,
            upload: Upload::new(gpu, capacity_tiles * SOURCE_WORDS as u64)?,
            readback: Readback::new(gpu, capacity_tiles * hash_words as u64)?,
        })
    }

    /// Whether these buffers serve for `tiles` tiles of `shape`, in batches.
    pub(super) fn serve(&self, lent: Option<&Workspace>, shape: ProductShape, tiles: u64) -> bool {
        let enough = self.asked_tiles >= tiles.min(BATCH_TILES_MAX)
            && self.leaves_per_tile == shape.leaves_per_tile;
        let operands = lent.or(self.own.as_ref());
        enough && operands.is_some_and(|space| tiles_in(space.operands.bytes(), shape) > 0)
    }

    /// The leaf hashes of each tile, in order.
    pub(super) fn leaf_hashes(
        &mut self,
        gpu: &Gpu,
        kernels: &Kernels,
        sm_count: u32,
        lent: Option<&Workspace>,
        work: Work,
        tiles: &[TileRequest],
    ) -> Result<Vec<Vec<Digest>>, ExecError> {
        let shape = shape_of(work);
        let hash_words = hash_words(shape.leaves_per_tile);
        let space = lent.or(self.own.as_ref()).expect("`serve` said so");
        let batch_tiles = self.capacity_tiles.min(tiles_in(space.operands.bytes(), shape));
        let mut hashes = Vec::with_capacity(tiles.len());
        for batch in tiles.chunks(batch_tiles as usize) {
            let sources: Vec<u32> =
                batch.iter().flat_map(|tile| source_words(shape, tile)).collect();
            self.upload
                .send(gpu, &self.sources, &sources)
                .map_err(|failure| gpu.error("sending sampled tiles", failure))?;
            let products = batch.len() as u32;
            match work.integer_product() {
                Some(_) => {
                    self.multiply_integers(gpu, kernels, sm_count, space, shape, products)?
                }
                None => self.multiply(gpu, kernels, sm_count, space, shape, products)?,
            }
            let words = batch.len() * hash_words;
            let readback = &mut self.readback;
            let read = readback
                .copy(gpu, 0, &self.leaf_hashes, words as u64)
                .and_then(|()| readback.mark(gpu))
                .and_then(|()| readback.wait())
                .map_err(|failure| gpu.error("recomputing sampled tiles", failure))?;
            let batch_hashes = read[..words].chunks_exact(hash_words);
            hashes.extend(batch_hashes.map(|tile| words::to_digests(tile).collect::<Vec<_>>()));
        }
        Ok(hashes)
    }

    /// Enqueues the leaf hashes of a batch of FP64 tiles.
    fn multiply(
        &self,
        gpu: &Gpu,
        kernels: &Kernels,
        sm_count: u32,
        space: &Workspace,
        ProductShape { dim, .. }: ProductShape,
        products: u32,
    ) -> Result<(), ExecError> {
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
        launch::gemm(gpu, &product.kernel, &product.shape, sm_count, &gemm)
    }

    /// Enqueues the leaf hashes of a batch of tiles of integers.
    fn multiply_integers(
        &self,
        gpu: &Gpu,
        kernels: &Kernels,
        sm_count: u32,
        space: &Workspace,
        ProductShape { dim, .. }: ProductShape,
        products: u32,
    ) -> Result<(), ExecError> {
        let kernels = kernels.integer(gpu)?;
        let chunk = integer::Chunk {
            operands: &space.operands,
            chain: &self.chain,
            sources: Some(&self.sources),
            dim,
            tiles: [1, 1],
            products,
            first_product: 0,
        };
        integer::fill(gpu, kernels, sm_count, &chunk)?;
        let tiles = integer::Tiles {
            roots: &self.tile_roots,
            ring_slots: 1,
            slot_tiles: u64::from(products),
            first: 0,
            leaf_hashes: Some(&self.leaf_hashes),
            counters: None,
            scratch: &space.scratch,
            hashing: Hashing::Hashed,
        };
        integer::gemm(gpu, kernels, sm_count, &chunk, &tiles)
    }
}

/// A [`ProductSource`] as words.
fn source_words(shape: ProductShape, tile: &TileRequest) -> [u32; SOURCE_WORDS] {
    let [product, first_row, first_column] = shape.place(tile.tile);
    let [k0, k1, tweak, ..] = words::of_state(&tile.at.state);
    [k0, k1, tweak, product, first_row, first_column, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::names::State;
    use crate::protocol::work::IterationPlace;
    use crate::protocol::work::fp64_product::Fp64Product;
    use crate::protocol::work::integer_product::IntegerProduct;
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
        let request = TileRequest { at, tile: shape.tile(5, 2, 3) };
        let words = source_words(shape_of(shape.into()), &request);
        assert_eq!(words, [0x0001_0203, 0x0405_0607, 0x0809_0a0b, 5, 256, 384, 0, 0]);
    }

    #[test]
    fn one_product_of_operands_always_holds_a_tile() {
        // Openings borrow the run's operands whatever the shape was.
        for dim in [128, 1024, 32768] {
            for work in [
                Work::from(Fp64Product { dim, products: 1 }),
                Work::from(IntegerProduct { dim, products: 1 }),
            ] {
                let shape = shape_of(work);
                assert!(tiles_in(shape.operand_bytes_per_product(), shape) >= 1, "{work}");
                assert_eq!(tiles_in(shape.operand_bytes_per_tile() - 1, shape), 0);
            }
        }
    }
}
