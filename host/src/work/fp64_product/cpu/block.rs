//! One block of C, a rectangle of whole tiles: generate, multiply, hash.
//!
//! The block's sums stay in memory as micro-tiles while k runs in chunks; a
//! chunk of both operands is generated into packed panels, used up, and
//! overwritten by the next. So memory does not grow with n, and each operand
//! element is generated once per block that needs it.
//!
//! Guarantee: each output is one chain over ascending k. Spilling a sum to
//! memory and loading it again is exact.

use super::hash::LeafMessage;
use super::kernel::{DEPTH_MAX, Kernel, PANEL_MAX};
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::protocol::work::fp64_product::{LEAVES_PER_TILE, TILE};
use crate::work::blocks::BlockPlace;
use crate::work::hash::tile_root;
use crate::work::lines::Lines;
use crate::work::stream::{Operand, Steps, Stream};

const TILE_SIDE: usize = TILE as usize;
const LEAVES: usize = LEAVES_PER_TILE as usize;

/// Memory of one block at work, reused from block to block.
#[derive(Default)]
pub(super) struct Scratch {
    a: Lines<f64>,
    b: Lines<f64>,
    sums: Lines<f64>,
    steps: Steps,
}

/// A computed block.
pub(super) struct Block<'a> {
    sums: &'a [f64],
    /// Micro-tiles down the block.
    panels_down: usize,
    /// Rows and columns of a micro-tile.
    panel_rows: usize,
    panel_columns: usize,
}

/// Computes the block at `place` of the product that `state` seeds, n = `dim`.
pub(super) fn compute<'a, K: Kernel>(
    kernel: K,
    dim: u32,
    state: &State,
    place: &BlockPlace,
    scratch: &'a mut Scratch,
) -> Block<'a> {
    let rows = place.tile_rows as usize * TILE_SIDE;
    let columns = place.tile_columns as usize * TILE_SIDE;
    // Columns are padded to whole micro-tiles with vectors past the block; the
    // streams are defined there and nobody reads those sums.
    let (panels_down, panels_across) = (rows / K::ROWS, columns.div_ceil(K::COLUMNS));
    let micro = K::ROWS * K::COLUMNS;
    let Scratch { a, b, sums, steps } = scratch;
    let sums = sums.get(panels_down * panels_across * micro);
    sums.fill(0.0);

    let streams = [Operand::A, Operand::B].map(|op| Stream::new(state, place.product, op));
    let firsts = [place.tile_row, place.tile_column].map(|tile| tile * TILE);
    let dim = dim as usize;
    for first_k in (0..dim).step_by(DEPTH_MAX) {
        let depth = DEPTH_MAX.min(dim - first_k);
        let (first_p, count) = ((first_k / 2) as u32, depth / 2);
        let a = a.get(panels_down * depth * K::ROWS);
        kernel.fill_steps(&streams[0], first_p, count, steps);
        for (panel, x) in a.chunks_exact_mut(depth * K::ROWS).zip((firsts[0]..).step_by(K::ROWS)) {
            kernel.fill(&streams[0], steps, count, &consecutive(x)[..K::ROWS], panel);
        }
        let b = b.get(panels_across * depth * K::COLUMNS);
        kernel.fill_steps(&streams[1], first_p, count, steps);
        let xs = (firsts[1]..).step_by(K::COLUMNS);
        for (panel, x) in b.chunks_exact_mut(depth * K::COLUMNS).zip(xs) {
            kernel.fill(&streams[1], steps, count, &consecutive(x)[..K::COLUMNS], panel);
        }
        // A panel of B stays in the first cache while A streams past it.
        let across = sums.chunks_exact_mut(panels_down * micro);
        for (sums, b) in across.zip(b.chunks_exact(depth * K::COLUMNS)) {
            let down = sums.chunks_exact_mut(micro).zip(a.chunks_exact(depth * K::ROWS));
            for (sums, a) in down {
                kernel.multiply(depth, a, b, sums);
            }
        }
    }
    Block { sums, panels_down, panel_rows: K::ROWS, panel_columns: K::COLUMNS }
}

/// x, x + 1, …
fn consecutive(x: u32) -> [u32; PANEL_MAX] {
    std::array::from_fn(|i| x + i as u32)
}

impl Block<'_> {
    /// The leaf hashes of the tile that lies (`down`, `across`) tiles from the
    /// block's corner.
    pub(super) fn leaf_hashes(&self, down: u32, across: u32) -> [Digest; LEAVES] {
        let micro = self.panel_rows * self.panel_columns;
        let rows: [usize; TILE_SIDE] = std::array::from_fn(|row| {
            let row = down as usize * TILE_SIDE + row;
            row / self.panel_rows * micro + row % self.panel_rows * self.panel_columns
        });
        // Panels have even widths, so a leaf's pairs of columns are neighbours.
        let pairs: [usize; TILE_SIDE / 2] = std::array::from_fn(|pair| {
            let column = across as usize * TILE_SIDE + 2 * pair;
            column / self.panel_columns * self.panels_down * micro + column % self.panel_columns
        });
        let mut message = LeafMessage::new();
        std::array::from_fn(|leaf| {
            let row = (leaf >> 7) * 64 + ((leaf >> 2) & 7);
            let pair = ((leaf >> 5) & 3) * 16 + (leaf & 3);
            for at in 0..32 {
                let place = rows[row + 8 * (at / 4)] + pairs[pair + 4 * (at % 4)];
                message.set_pair(at, [self.sums[place], self.sums[place + 1]]);
            }
            message.hash()
        })
    }

    /// The root of that tile's subtree.
    pub(super) fn tile_root(&self, down: u32, across: u32) -> Digest {
        tile_root(&mut self.leaf_hashes(down, across))
    }
}
