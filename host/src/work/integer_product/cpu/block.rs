//! One block of C, a rectangle of whole tiles: generate, multiply, fold, hash.
//!
//! The block's sums stay in memory as micro-tiles while k runs in chunks; a chunk of both
//! operands is generated into packed panels, used up, and overwritten by the next. So
//! memory does not grow with n, and each operand element is generated once per block that
//! needs it.

use super::kernel::{GROUP, Kernel, LEAF, ROWS, STEP_ELEMENTS, STEPS_PER_CHUNK, consecutive};
use super::leaf::{Folding, LEAF_COLUMNS, Outputs};
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::protocol::work::integer_product::{IntegerProduct, LEAVES_PER_TILE, TILE, row_in_tile};
use crate::work::blocks::BlockPlace;
use crate::work::hash::tile_root;
use crate::work::lines::Lines;
use crate::work::stream::{Operand, Steps, Stream};

const TILE_SIDE: usize = TILE as usize;
const LEAVES: usize = LEAVES_PER_TILE as usize;

/// Memory of one block at work, reused from block to block.
#[derive(Default)]
pub(super) struct Scratch {
    a: Lines<u32>,
    b: Lines<u32>,
    sums: Lines<i32>,
    /// Per group of rows their elements' sums.
    row_sums: Vec<[i32; GROUP]>,
    steps: Steps,
}

/// A computed block.
pub(super) struct Block<'a> {
    shape: IntegerProduct,
    place: BlockPlace,
    folding: Folding,
    sums: &'a [i32],
    row_sums: &'a [[i32; GROUP]],
    /// Columns of a micro-tile.
    panel_columns: usize,
    /// What each row's outputs have of its sum too much.
    bias: i32,
}

/// Computes the block at `place` of the product that `state` seeds.
pub(super) fn compute<'a, K: Kernel>(
    kernel: K,
    shape: IntegerProduct,
    state: &State,
    place: &BlockPlace,
    scratch: &'a mut Scratch,
) -> Block<'a> {
    let (rows, columns) =
        (place.tile_rows as usize * TILE_SIDE, place.tile_columns as usize * TILE_SIDE);
    let groups = rows / GROUP;
    let Scratch { a, b, sums, row_sums, steps } = scratch;
    let sums = sums.get(rows * columns);
    sums.fill(0);
    row_sums.clear();
    row_sums.resize(groups, [0; GROUP]);

    let streams = [Operand::A, Operand::B].map(|op| Stream::new(state, place.product, op));
    let firsts = [place.tile_row, place.tile_column].map(|tile| tile * TILE);
    let all = shape.dim as usize / STEP_ELEMENTS;
    for first in (0..all).step_by(STEPS_PER_CHUNK) {
        let count = STEPS_PER_CHUNK.min(all - first);
        let entries = count * K::STEP_WORDS;
        let a = a.get(rows * entries);
        kernel.fill_steps(&streams[0], first as u32, count, steps);
        let panels = a.chunks_exact_mut(GROUP * entries);
        for ((panel, sums), x) in panels.zip(&mut *row_sums).zip((firsts[0]..).step_by(GROUP)) {
            kernel.fill_rows(&streams[0], steps, count, &consecutive(x), panel);
            if K::BIAS != 0 {
                kernel.add_rows(count, panel, sums);
            }
        }
        let b = b.get(columns * entries);
        kernel.fill_steps(&streams[1], first as u32, count, steps);
        let panels = b.chunks_exact_mut(K::COLUMNS * entries);
        for (panel, x) in panels.zip((firsts[1]..).step_by(K::COLUMNS)) {
            kernel.fill_columns(&streams[1], steps, count, x, panel);
        }
        // A panel of B stays in the first cache while A streams past it.
        let across = sums.chunks_exact_mut(rows * K::COLUMNS);
        for (sums, b) in across.zip(b.chunks_exact(K::COLUMNS * entries)) {
            let down = sums.chunks_exact_mut(GROUP * K::COLUMNS);
            for (sums, a) in down.zip(a.chunks_exact(GROUP * entries)) {
                for (sums, row) in sums.chunks_exact_mut(ROWS * K::COLUMNS).zip((0..).step_by(ROWS))
                {
                    kernel.multiply(count, a, row, b, sums);
                }
            }
        }
    }
    Block {
        shape,
        place: *place,
        folding: Folding::of(state),
        sums,
        row_sums,
        panel_columns: K::COLUMNS,
        bias: K::BIAS.cast_signed(),
    }
}

impl Block<'_> {
    /// The leaf hashes of the tile that lies (`down`, `across`) tiles from the block's
    /// corner.
    pub(super) fn leaf_hashes(&self, down: u32, across: u32) -> [Digest; LEAVES] {
        let (row, column) = (self.place.tile_row + down, self.place.tile_column + across);
        let first = self.shape.tile(self.place.product, row, column) * LEAVES as u64;
        std::array::from_fn(|leaf| {
            let row = down as usize * TILE_SIDE + row_in_tile(leaf as u32) as usize;
            let outputs: Outputs =
                std::array::from_fn(|lower| self.outputs(row + 8 * lower, across as usize));
            self.folding.leaf_hash(first + leaf as u64, &outputs)
        })
    }

    /// The root of that tile's subtree.
    pub(super) fn tile_root(&self, down: u32, across: u32) -> Digest {
        tile_root(&mut self.leaf_hashes(down, across))
    }

    /// Row `row` of the block, in the columns of its tile `across`.
    fn outputs(&self, row: usize, across: usize) -> [i32; LEAF_COLUMNS] {
        let excess = self.bias.wrapping_mul(self.row_sums[row / GROUP][row % GROUP]);
        let rows = GROUP * self.row_sums.len();
        let mut outputs = [0; LEAF_COLUMNS];
        for (panel, outputs) in outputs.chunks_exact_mut(self.panel_columns).enumerate() {
            let panel = across * (LEAF_COLUMNS / self.panel_columns) + panel;
            let sums = &self.sums[(panel * rows + row) * self.panel_columns..];
            for (output, sum) in outputs.iter_mut().zip(sums) {
                *output = sum.wrapping_sub(excess);
            }
        }
        outputs
    }
}

const _: () = assert!(LEAF == 2, "a leaf's second row is the eighth after its first");
