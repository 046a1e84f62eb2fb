//! Products over the cores: cuts an iteration into blocks, rectangles of whole tiles,
//! spreads them with rayon, and puts the tiles' roots in order.
//!
//! Runs in the rayon pool of the caller. Deliberately lacks what a tile is made of: kinds
//! of work compute their blocks themselves.

use crate::protocol::digest::Digest;
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Tiles along a block's side if there are enough blocks for every core:
/// 512 rows and columns keep the packed operands of a chunk in the second
/// cache, and generation near a twentieth of the work.
const BLOCK_TILES_MAX: u32 = 4;

/// Blocks per core below which blocks are made smaller.
const BLOCKS_PER_CORE: u64 = 2;

/// Where a block lies: whole tiles of one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockPlace {
    /// j.
    pub(super) product: u32,
    /// First tile row and column.
    pub(super) tile_row: u32,
    pub(super) tile_column: u32,
    /// Tiles down and across.
    pub(super) tile_rows: u32,
    pub(super) tile_columns: u32,
}

/// The roots of all tiles of `products` products of `side` × `side` tiles, in tile order,
/// from those of each block, row by row.
pub(super) fn tile_roots(
    side: u32,
    products: u32,
    block_roots: impl Fn(&BlockPlace) -> Vec<Digest> + Sync,
) -> Vec<Digest> {
    let blocks = cut(side, products, rayon::current_num_threads());
    let tiles_per_product = u64::from(side).pow(2);
    let mut roots = vec![Digest::default(); (u64::from(products) * tiles_per_product) as usize];
    let per_block: Vec<Vec<Digest>> = blocks.par_iter().map(&block_roots).collect();
    for (place, block_roots) in blocks.iter().zip(per_block) {
        let first = u64::from(place.product) * tiles_per_product;
        let lines = block_roots.chunks_exact(place.tile_columns as usize);
        for (line, tile_row) in lines.zip(place.tile_row..) {
            let at = first + u64::from(tile_row * side + place.tile_column);
            roots[at as usize..][..line.len()].copy_from_slice(line);
        }
    }
    roots
}

/// Cuts an iteration into blocks, largest first if a side does not divide.
fn cut(side: u32, products: u32, threads: usize) -> Vec<BlockPlace> {
    let blocks = |parts: u32| u64::from(parts).pow(2) * u64::from(products);
    let wanted = BLOCKS_PER_CORE * threads as u64;
    let few = side.div_ceil(BLOCK_TILES_MAX);
    // One core needs no smaller blocks.
    let parts = if threads == 1 {
        few
    } else {
        (few..=side).find(|&parts| blocks(parts) >= wanted).unwrap_or(side)
    };
    // Part i of `parts` covers tiles i·side/parts … (i+1)·side/parts.
    let edge = |part: u32| part * side / parts;
    let mut places = Vec::new();
    for product in 0..products {
        for row in 0..parts {
            for column in 0..parts {
                places.push(BlockPlace {
                    product,
                    tile_row: edge(row),
                    tile_column: edge(column),
                    tile_rows: edge(row + 1) - edge(row),
                    tile_columns: edge(column + 1) - edge(column),
                });
            }
        }
    }
    places
}

/// Scratch memory of the threads that are at work.
pub(super) struct Lent<S> {
    free: Mutex<Vec<S>>,
}

impl<S> Default for Lent<S> {
    fn default() -> Self {
        Self { free: Mutex::default() }
    }
}

impl<S: Default> Lent<S> {
    /// Lends scratch memory; a thread that panics merely keeps its own.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut S) -> R) -> R {
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = free().pop().unwrap_or_default();
        let result = work(&mut scratch);
        free().push(scratch);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn blocks_cover_each_tile_once() {
        for side in [1, 2, 3, 4, 5, 7, 8, 9, 16, 17] {
            for (products, threads) in [(1, 1), (1, 2), (3, 2), (1, 16), (2, 64)] {
                let mut seen = vec![0u32; (side * side * products) as usize];
                for place in cut(side, products, threads) {
                    for row in place.tile_row..place.tile_row + place.tile_rows {
                        for column in place.tile_column..place.tile_column + place.tile_columns {
                            seen[((place.product * side + row) * side + column) as usize] += 1;
                        }
                    }
                }
                assert!(seen.iter().all(|&n| n == 1), "side {side}, threads {threads}: {seen:?}");
            }
        }
    }
}
