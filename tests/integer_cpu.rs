//! Integer products on each instruction set of this machine and on the oracle, against a
//! definition written here from docs/protocol.md.

use attest::executor::cpu::{CpuExecutor, CpuOptions, CpuVerifier, Simd};
use attest::executor::{Assignment, Executor, Segment, TileRequest};
use attest::protocol::digest::Digest;
use attest::protocol::merkle;
use attest::protocol::names::State;
use attest::protocol::verify::{LeafRequest, Recompute, RecomputeIteration};
use attest::protocol::work::integer_product::{IntegerProduct, LeafPlace};
use attest::protocol::work::{IterationPlace, RunInputs};
use attest::reference::tree::tree_hash;
use attest::reference::{IntegerOracle, Oracle};
use attest::work::fold::fold;
use std::ops::ControlFlow;

/// Every instruction set that this CPU has.
fn executors() -> Vec<(Simd, CpuExecutor)> {
    let open = |simd| Some((simd, CpuExecutor::with_simd(simd, CpuOptions::default())?));
    Simd::ALL.into_iter().filter_map(open).collect()
}

fn verifiers() -> Vec<(Simd, CpuVerifier)> {
    Simd::ALL.into_iter().filter_map(|simd| Some((simd, CpuVerifier::with_simd(simd)?))).collect()
}

fn state(label: &str, number: u32) -> State {
    State(Digest::of(&[label.as_bytes(), &number.to_be_bytes()]).0)
}

fn run(shape: IntegerProduct) -> RunInputs<'static> {
    RunInputs { work: shape.into(), seeds: &[] }
}

fn assignment(shape: IntegerProduct) -> Assignment {
    Assignment::of(&run(shape), 0)
}

/// The first iteration's tile roots.
fn tile_roots(executor: &mut CpuExecutor, shape: IntegerProduct, start: State) -> Vec<Digest> {
    let mut roots = Vec::new();
    let segment = Segment { first_iteration: 1, iterations: 1, start, solo_sync: None };
    executor.begin(&assignment(shape)).unwrap();
    executor
        .run(&segment, &mut |output| {
            roots = output.tile_roots.to_vec();
            ControlFlow::Continue(())
        })
        .unwrap();
    roots
}

fn word(state: &State, at: usize) -> u32 {
    u32::from_be_bytes(state.0[4 * at..4 * at + 4].try_into().unwrap())
}

/// Element k of vector r: "Operands of integers".
fn element(state: &State, product: u32, operand: u32, r: u32, k: u32) -> i8 {
    let counter = [k / 16, r, 2 * product + operand, word(state, 2)];
    let y = rand_philox::philox4x32_10(counter, [word(state, 0), word(state, 1)]);
    (y[(k % 16 / 4) as usize] >> (8 * (k % 4))) as i8
}

fn vector(state: &State, dim: u32, product: u32, operand: u32, r: u32) -> Vec<i8> {
    (0..dim).map(|k| element(state, product, operand, r, k)).collect()
}

/// A leaf's message from sums over i64: "Product of integers" and the leaves' section.
fn leaf_message(state: &State, shape: IntegerProduct, place: LeafPlace) -> [u8; 16] {
    let row = place.tile_row * 128 + 16 * (place.leaf / 8) + place.leaf % 8;
    let rows = [row, row + 8].map(|row| vector(state, shape.dim, place.product, 0, row));
    let columns: Vec<Vec<i8>> = (0..128)
        .map(|c| vector(state, shape.dim, place.product, 1, place.tile_column * 128 + c))
        .collect();
    let output = |row: usize, column: usize| -> u32 {
        let terms = rows[row].iter().zip(&columns[column]);
        let sum: i64 = terms.map(|(&a, &b)| i64::from(a) * i64::from(b)).sum();
        i32::try_from(sum).expect("at most 2^30").cast_unsigned()
    };
    let mut words = Vec::new();
    for tau in 0..4 {
        for b in 0..16 {
            let c = 8 * b + 2 * tau;
            words.push([output(0, c), output(0, c + 1), output(1, c), output(1, c + 1)]);
        }
    }
    let side = u64::from(shape.dim / 128);
    let tile = u64::from(place.tile_row) * side + u64::from(place.tile_column);
    let x = (u64::from(place.product) * side * side + tile) * 64 + u64::from(place.leaf);
    fold::<4>([word(state, 0), word(state, 1)], word(state, 2), x, &words)
}

#[test]
fn leaves_of_every_small_dimension_equal_the_definition() {
    for side in 1..=8 {
        let (shape, state) =
            (IntegerProduct { dim: 128 * side, products: 2 }, state("leaves", side));
        let last = side - 1;
        let tiles = [(0, 0, 0), (1, last, 0), (1, last / 2, last)];
        // First, last, and one whose two parts, 3 and 5, don't look alike.
        let leaves = [0, 63, 8 * 3 + 5];
        let mut expected = Vec::new();
        for &(product, tile_row, tile_column) in &tiles {
            for leaf in leaves {
                let place = LeafPlace { product, tile_row, tile_column, leaf };
                let message = leaf_message(&state, shape, place);
                let by_oracle = IntegerOracle::new(shape).leaf_message(&state, place.index(shape));
                assert_eq!(by_oracle, message, "oracle, {place:?}");
                expected.push(Digest::of(&[&[0], &message]));
            }
        }
        let at = IterationPlace::of_state(state);
        let tiles =
            tiles.map(|(j, row, column)| TileRequest { at, tile: shape.tile(j, row, column) });
        for (simd, mut executor) in executors() {
            let hashes = executor.leaf_hashes(&assignment(shape), &tiles).unwrap();
            let got: Vec<Digest> =
                hashes.iter().flat_map(|tile| leaves.map(|leaf| tile[leaf as usize])).collect();
            assert_eq!(got, expected, "{simd}, n = {}", shape.dim);
        }
    }
}

#[test]
fn every_tile_of_an_iteration_is_the_oracles() {
    // 640 is cut into blocks of unequal sizes, 128 and 256 into blocks of one tile.
    for (dim, products) in [(128, 1), (256, 3), (640, 1)] {
        let (shape, start) = (IntegerProduct { dim, products }, state("tiles", dim));
        let leaves = IntegerOracle::new(shape).iteration_leaves(&start);
        assert_eq!(leaves.len() as u64, shape.leaves());
        let expected: Vec<_> = leaves.chunks(64).map(merkle::root).collect();
        for (simd, mut executor) in executors() {
            let roots: Vec<_> =
                tile_roots(&mut executor, shape, start).into_iter().map(Some).collect();
            assert!(roots == expected, "{simd}, n = {dim}");
        }
        let at = IterationPlace::of_state(start);
        for (simd, mut verifier) in verifiers() {
            let root = verifier.iteration_root(&run(shape), &at).unwrap();
            assert_eq!(root.to_string(), tree_hash(&leaves).to_string(), "{simd}, n = {dim}");
        }
    }
}

/// Leaves as verifiers meet them: of several iterations and products, unsorted, some twice,
/// and more of one product than are taken together.
#[test]
fn single_leaves_equal_those_of_whole_tiles() {
    let shape = IntegerProduct { dim: 384, products: 3 };
    let at = |number: u64| IterationPlace::of_state(state("single", (number % 2) as u32));
    let draw = |number: u32| u64::from(word(&state("draw", number), 0));
    let drawn = (0..90).map(|number| (draw(number), draw(1000 + number) % shape.leaves()));
    let often = (0..1500).map(|number| (0, number * 7 % (9 * 64)));
    let requests: Vec<LeafRequest> =
        drawn.chain(often).map(|(number, leaf)| LeafRequest { at: at(number), leaf }).collect();
    let hashes = [0, 1].map(|number| IntegerOracle::new(shape).iteration_leaves(&at(number).state));
    let expected: Vec<Digest> = requests
        .iter()
        .map(|request| hashes[usize::from(request.at != at(0))][request.leaf as usize])
        .collect();
    for (simd, verifier) in verifiers() {
        for (which, requests, expected) in [
            ("all", &requests[..], &expected[..]),
            ("seventeen", &requests[3..20], &expected[3..20]),
            ("one", &requests[7..8], &expected[7..8]),
            ("none", &[], &[]),
        ] {
            let got = verifier.leaf_hashes(&run(shape), requests).unwrap();
            assert!(got == expected, "{simd}, {which}");
        }
    }
}

#[test]
fn leaves_with_indices_above_32_bits_are_the_oracles() {
    let shape = IntegerProduct { dim: 65_536, products: 4096 };
    let state = state("far", 0);
    let leaves = [(1 << 32) - 1, 1 << 32, (1 << 32) + (5 << 24) + 12_345_678, (1 << 36) - 1];
    let requests = leaves.map(|leaf| LeafRequest { at: IterationPlace::of_state(state), leaf });
    let expected = Oracle.leaf_hashes(&run(shape), &requests).unwrap();
    for (simd, verifier) in verifiers() {
        let got = verifier.leaf_hashes(&run(shape), &requests).unwrap();
        assert_eq!(got, expected, "{simd}");
    }
    // The definition above, once, at the far end.
    let message = leaf_message(&state, shape, LeafPlace::of(shape, leaves[3]));
    assert_eq!(expected[3], Digest::of(&[&[0], &message]));
}

/// The sum of all outputs of a product follows from sums of columns of A and rows of B: from
/// the operands' bytes alone, without any product of them term by term.
#[test]
fn outputs_add_up_to_what_the_operands_sums_say() {
    let shape = IntegerProduct { dim: 128, products: 5 };
    let (state, product) = (state("sums", 0), 4);
    let sums = |operand: u32| -> Vec<i64> {
        let mut sums = vec![0; 128];
        for c in 0..8 {
            for r in 0..128 {
                let counter = [c, r, 2 * product + operand, word(&state, 2)];
                let y = rand_philox::philox4x32_10(counter, [word(&state, 0), word(&state, 1)]);
                for (at, byte) in y.into_iter().flat_map(u32::to_le_bytes).enumerate() {
                    sums[16 * c as usize + at] += i64::from(byte.cast_signed());
                }
            }
        }
        sums
    };
    let by_sums: i64 = sums(0).into_iter().zip(sums(1)).map(|(a, b)| a * b).sum();
    let oracle = IntegerOracle::new(shape);
    let outputs = (0..128).flat_map(|row| (0..128).map(move |column| (row, column)));
    let by_outputs: i64 =
        outputs.map(|(row, column)| i64::from(oracle.output(&state, product, row, column))).sum();
    assert_eq!(by_outputs, by_sums);
}
