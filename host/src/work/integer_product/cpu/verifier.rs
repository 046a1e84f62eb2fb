//! Recomputing single leaves on the host's cores.
//!
//! A leaf needs two rows and the 128 columns of its tile in full length, and generating
//! them costs more than multiplying them. So leaves of one product are taken together, each
//! row and column that several need is generated once, and k runs in chunks so small that a
//! tile's columns stay in the first cache and the rows in the second. Whole vectors are
//! never kept: memory is a KiB a leaf and two MiB a core.
//!
//! Runs in the rayon pool of the caller.

use super::kernel::{Engine, GROUP, Kernel, LEAF, STEP_ELEMENTS, STEPS_PER_CHUNK, with_kernel};
use super::leaf::{Folding, LEAF_COLUMNS, Outputs};
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::protocol::verify::LeafRequest;
use crate::protocol::work::integer_product::{IntegerProduct, LeafPlace};
use crate::work::lines::Lines;
use crate::work::shared_out;
use crate::work::stream::{Operand, Steps, Stream};

/// Most leaves of one product that a core takes at a time: their rows and outputs fit a
/// second cache.
const LEAVES_MAX: usize = 1024;

/// Pairs of rows in a group.
const PAIRS: usize = GROUP / LEAF;

/// The hashes of single leaves, in request order.
pub(super) fn leaf_hashes(
    engine: Engine,
    shape: IntegerProduct,
    requests: &[LeafRequest],
) -> Vec<Digest> {
    let places: Vec<LeafPlace> =
        requests.iter().map(|request| LeafPlace::of(shape, request.leaf)).collect();
    let compute = |state: &State, places: &[LeafPlace], scratch: &mut Scratch| with_kernel!(engine, kernel => product_leaves(kernel, shape, state, places, scratch));
    let product = |place: &LeafPlace| place.product;
    let within = |place: &LeafPlace| (place.tile_column, place.rows());
    shared_out::leaf_hashes(requests, &places, product, within, LEAVES_MAX, compute)
}

/// Memory of one core at work.
#[derive(Default)]
struct Scratch {
    rows: Lines<u32>,
    columns: Lines<u32>,
    sums: Lines<i32>,
    steps: Steps,
}

/// The pairs of rows that leaves need, each once, in groups that are generated together.
struct Pairs {
    firsts: Vec<u32>,
}

impl Pairs {
    fn of(places: &[LeafPlace]) -> Self {
        let mut firsts: Vec<u32> = places.iter().map(|place| place.rows()[0]).collect();
        firsts.sort_unstable();
        firsts.dedup();
        Self { firsts }
    }

    /// The rows of each group. What is left over of the last repeats its first pair.
    fn groups(&self) -> Vec<[u32; GROUP]> {
        let group = |pairs: &[u32]| {
            std::array::from_fn(|row| {
                pairs.get(row / LEAF).unwrap_or(&pairs[0]) + 8 * (row % LEAF) as u32
            })
        };
        self.firsts.chunks(PAIRS).map(group).collect()
    }

    /// The group of a leaf's rows, and the first of them in it.
    fn find(&self, place: LeafPlace) -> (usize, usize) {
        let at = self.firsts.partition_point(|&first| first < place.rows()[0]);
        (at / PAIRS, LEAF * (at % PAIRS))
    }
}

/// The hashes of leaves of one product, sorted by their columns.
fn product_leaves<K: Kernel>(
    kernel: K,
    shape: IntegerProduct,
    state: &State,
    places: &[LeafPlace],
    scratch: &mut Scratch,
) -> Vec<Digest> {
    let pairs = Pairs::of(places);
    let (groups, found): (_, Vec<(usize, usize)>) =
        (pairs.groups(), places.iter().map(|&place| pairs.find(place)).collect());
    let mut row_sums = vec![[0; GROUP]; groups.len()];

    let [a, b] =
        [Operand::A, Operand::B].map(|operand| Stream::new(state, places[0].product, operand));
    let Scratch { rows, columns, sums, steps } = scratch;
    let leaf_sums = LEAF * LEAF_COLUMNS;
    let sums = sums.get(places.len() * leaf_sums);
    sums.fill(0);
    let all = shape.dim as usize / STEP_ELEMENTS;
    for first in (0..all).step_by(STEPS_PER_CHUNK) {
        let count = STEPS_PER_CHUNK.min(all - first);
        let entries = count * K::STEP_WORDS;
        let rows = rows.get(groups.len() * GROUP * entries);
        kernel.fill_steps(&a, first as u32, count, steps);
        let panels = rows.chunks_exact_mut(GROUP * entries);
        for ((panel, group), sums) in panels.zip(&groups).zip(&mut row_sums) {
            kernel.fill_rows(&a, steps, count, group, panel);
            if K::BIAS != 0 {
                kernel.add_rows(count, panel, sums);
            }
        }
        kernel.fill_steps(&b, first as u32, count, steps);
        let columns = columns.get(LEAF_COLUMNS * entries);
        let mut at = 0;
        for tile in places.chunk_by(|a, b| a.tile_column == b.tile_column) {
            let panels = columns.chunks_exact_mut(K::COLUMNS * entries);
            for (panel, x) in panels.zip((tile[0].first_column()..).step_by(K::COLUMNS)) {
                kernel.fill_columns(&b, steps, count, x, panel);
            }
            let leaves = at..at + tile.len();
            let of_leaves = sums[at * leaf_sums..].chunks_exact_mut(leaf_sums);
            for (sums, &(group, row)) in of_leaves.zip(&found[leaves]) {
                let a = &rows[group * GROUP * entries..][..GROUP * entries];
                let panels = columns.chunks_exact(K::COLUMNS * entries);
                for (sums, b) in sums.chunks_exact_mut(LEAF * K::COLUMNS).zip(panels) {
                    kernel.multiply_leaf(count, a, row, b, sums);
                }
            }
            at += tile.len();
        }
    }

    let folding = Folding::of(state);
    let leaves = places.iter().zip(&found).zip(sums.chunks_exact(leaf_sums));
    leaves
        .map(|((place, &(group, row)), sums)| {
            let mut outputs: Outputs = [[0; LEAF_COLUMNS]; LEAF];
            for (panel, sums) in sums.chunks_exact(LEAF * K::COLUMNS).enumerate() {
                for (lower, sums) in sums.chunks_exact(K::COLUMNS).enumerate() {
                    let excess = K::BIAS.cast_signed().wrapping_mul(row_sums[group][row + lower]);
                    let outputs = &mut outputs[lower][panel * K::COLUMNS..];
                    for (output, sum) in outputs.iter_mut().zip(sums) {
                        *output = sum.wrapping_sub(excess);
                    }
                }
            }
            folding.leaf_hash(place.index(shape), &outputs)
        })
        .collect()
}
