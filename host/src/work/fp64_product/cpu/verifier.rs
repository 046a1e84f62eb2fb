//! Recomputing single leaves on the host's cores.
//!
//! A leaf needs eight rows and eight columns of full length, and generating
//! them costs far more than multiplying them. So leaves of one product are
//! taken together, each row and column that several need is generated once,
//! and k runs in chunks so small that the columns of all of them stay in the
//! second cache. Whole vectors are never kept: memory is a few hundred bytes a
//! leaf and a few hundred KiB a core.
//!
//! Runs in the rayon pool of the caller.

use super::hash::leaf_hash;
use super::kernel::{DEPTH_MAX, Engine, Kernel, LEAF_SIDE, with_kernel};
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::protocol::verify::LeafRequest;
use crate::protocol::work::fp64_product::{Fp64Product, LeafPlace};
use crate::work::lines::Lines;
use crate::work::shared_out;
use crate::work::stream::{Operand, Steps, Stream};

/// Doubles of columns that a core keeps at a time: about a common second cache.
const COLUMN_DOUBLES: usize = 1024 * 1024 / size_of::<f64>();

/// Least inner indices of a chunk: below it the cost of starting a chunk shows.
const DEPTH_MIN: usize = 16;

/// The hashes of single leaves, in request order.
pub(super) fn leaf_hashes(
    engine: Engine,
    shape: Fp64Product,
    requests: &[LeafRequest],
) -> Vec<Digest> {
    let places: Vec<LeafPlace> =
        requests.iter().map(|request| LeafPlace::of(shape, request.leaf)).collect();
    let compute = |state: &State, places: &[LeafPlace], scratch: &mut Scratch| with_kernel!(engine, kernel => product_leaves(kernel, shape.dim, state, places, scratch));
    let product = |place: &LeafPlace| place.product;
    let within = |&place: &LeafPlace| corner(place);
    shared_out::leaf_hashes(requests, &places, product, within, usize::MAX, compute)
}

/// First row and first column: they name the leaf's eight rows and columns.
fn corner(place: LeafPlace) -> (u32, u32) {
    (place.rows()[0], place.columns()[0])
}

/// Memory of one core at work.
#[derive(Default)]
struct Scratch {
    rows: Lines<f64>,
    columns: Lines<f64>,
    steps: Steps,
}

/// The hashes of leaves of one product, sorted by their rows.
fn product_leaves<K: Kernel>(
    kernel: K,
    dim: u32,
    state: &State,
    places: &[LeafPlace],
    scratch: &mut Scratch,
) -> Vec<Digest> {
    // Each distinct group of columns once, and which of them each leaf needs.
    let mut columns: Vec<[u32; LEAF_SIDE]> = places.iter().map(|place| place.columns()).collect();
    columns.sort_unstable();
    columns.dedup();
    let column_of: Vec<usize> = places
        .iter()
        .map(|place| columns.partition_point(|group| group[0] < place.columns()[0]))
        .collect();

    let [a, b] =
        [Operand::A, Operand::B].map(|operand| Stream::new(state, places[0].product, operand));
    let mut sums = vec![[0.0; LEAF_SIDE * LEAF_SIDE]; places.len()];
    let dim = dim as usize;
    let depth = chunk_depth(columns.len());
    let Scratch { rows: row_memory, columns: column_memory, steps } = scratch;
    let group_doubles = depth * LEAF_SIDE;
    for first_k in (0..dim).step_by(depth) {
        let (first_p, count) = ((first_k / 2) as u32, depth / 2);
        kernel.fill_steps(&b, first_p, count, steps);
        let packed = column_memory.get(columns.len() * group_doubles);
        for (group, packed) in columns.iter().zip(packed.chunks_exact_mut(group_doubles)) {
            kernel.fill(&b, steps, count, group, packed);
        }
        kernel.fill_steps(&a, first_p, count, steps);
        let row = row_memory.get(group_doubles);
        let mut filled = None;
        for ((place, &column), sums) in places.iter().zip(&column_of).zip(&mut sums) {
            let group = place.rows();
            if filled != Some(group[0]) {
                kernel.fill(&a, steps, count, &group, row);
                filled = Some(group[0]);
            }
            kernel.multiply_leaf(depth, row, &packed[column * group_doubles..], sums);
        }
    }
    sums.iter().map(leaf_hash).collect()
}

/// Inner indices of a chunk for a number of groups of columns: a power of two, so
/// it divides n.
fn chunk_depth(groups: usize) -> usize {
    let fits = COLUMN_DOUBLES / (groups * LEAF_SIDE);
    (DEPTH_MIN..=DEPTH_MAX).rev().find(|d| d.is_power_of_two() && *d <= fits).unwrap_or(DEPTH_MIN)
}
