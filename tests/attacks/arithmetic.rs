//! Arithmetic that is nearly right, and bits that only look like numbers. More
//! ways to be nearly right, through real executors, are in
//! tests/dishonest_executors.rs.

use super::{Say, UUIDS, alone, challenge};
use attest::executor::cpu::CpuVerifier;
use attest::protocol::challenge::Challenge;
use attest::protocol::digest::Digest;
use attest::protocol::merkle::leaf_hash;
use attest::protocol::names::State;
use attest::protocol::verify::{LeafRequest, Recompute};
use attest::protocol::work::fp64_product::{Fp64Product, LeafPlace};
use attest::protocol::work::{IterationPlace, RunInputs};
use attest::reference::oracle::Operand;
use attest::reference::{Oracle, Run};

/// One iteration, one product of n = 128.
fn small() -> Challenge {
    challenge(|spec| spec.num_iterations = 1)
}

/// The verdict on a miner with its own way to each output, of a row of A and a
/// column of B.
fn verdict_on(dot: impl Fn(&[f64], &[f64]) -> f64) -> &'static str {
    let challenge = small();
    let shape = challenge.work().fp64_product().unwrap();
    let run = Run::with(&challenge, &UUIDS[..1], |_, _, state| {
        let vectors = |operand| -> Vec<Vec<f64>> {
            let element = |x, k| Oracle.element(state, 0, operand, x, k);
            (0..shape.dim).map(|x| (0..shape.dim).map(|k| element(x, k)).collect()).collect()
        };
        let (a, b) = (vectors(Operand::A), vectors(Operand::B));
        let leaf = |leaf| {
            let place = LeafPlace::of(shape, leaf);
            let rows = place.rows();
            let outputs = rows.iter().flat_map(|&row| {
                let (a, b) = (&a, &b);
                let dot = &dot;
                place
                    .columns()
                    .into_iter()
                    .map(move |column| dot(&a[row as usize], &b[column as usize]))
            });
            let bytes: Vec<u8> = outputs.flat_map(|x| x.to_bits().to_be_bytes()).collect();
            leaf_hash(&bytes)
        };
        (0..shape.leaves()).map(leaf).collect()
    });
    alone(&challenge, &Say::of(run).result(None))
}

fn ordered(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| a.mul_add(*b, sum))
}

#[test]
fn the_ordered_chain() {
    assert_eq!(verdict_on(ordered), "verified");
}

/// What float32 units can do for binary64: each operand as a sum of floats.
fn split(x: f64, parts: usize) -> Vec<f32> {
    let mut rest = x;
    (0..parts)
        .map(|_| {
            let part = rest as f32;
            rest -= f64::from(part);
            part
        })
        .collect()
}

/// All products of parts, added up by `add`.
fn of_splits(parts: usize, mut add: impl FnMut(f64, f32, f32) -> f64, a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| {
        let (a, b) = (split(*a, parts), split(*b, parts));
        a.iter()
            .flat_map(|a| b.iter().map(move |b| (*a, *b)))
            .fold(sum, |sum, (a, b)| add(sum, a, b))
    })
}

#[test]
fn split_float32() {
    // Two floats hold 48 of 53 bits; three hold all, so every product of parts is
    // exact in binary64, and what differs is where it is rounded.
    let exact_products = |sum: f64, a: f32, b: f32| sum + f64::from(a) * f64::from(b);
    for parts in [1, 2, 3] {
        assert_eq!(verdict_on(|a, b| of_splits(parts, exact_products, a, b)), "leaf-mismatch");
    }
    // Sums in float32, too.
    let in_float32 = |sum: f64, a: f32, b: f32| f64::from(a.mul_add(b, sum as f32));
    assert_eq!(verdict_on(|a, b| of_splits(2, in_float32, a, b)), "leaf-mismatch");
}

/// The exact sum of two numbers, as rounded sum and error.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

#[test]
fn more_precise_than_asked_for() {
    // A compensated sum is nearer to the true value, and not the same bits.
    let compensated = |a: &[f64], b: &[f64]| {
        let (sum, error) = a.iter().zip(b).fold((0.0, 0.0), |(sum, error), (a, b)| {
            let product = a * b;
            let of_product = a.mul_add(*b, -product);
            let (sum, of_sum) = two_sum(sum, product);
            (sum, error + of_sum + of_product)
        });
        sum + error
    };
    assert_eq!(verdict_on(compensated), "leaf-mismatch");
}

#[test]
fn other_orders() {
    let interleaved = |lanes: usize| {
        move |a: &[f64], b: &[f64]| {
            let part = |lane: usize| {
                let of_lane = (lane..a.len()).step_by(lanes);
                of_lane.fold(0.0, |sum: f64, k| a[k].mul_add(b[k], sum))
            };
            (0..lanes).map(part).sum::<f64>()
        }
    };
    for lanes in [2, 4, 8] {
        assert_eq!(verdict_on(interleaved(lanes)), "leaf-mismatch");
    }
    // Two neighbours at a time, as the shortest tree of additions there is.
    let by_pairs = |a: &[f64], b: &[f64]| {
        let pairs = a.chunks(2).zip(b.chunks(2));
        pairs.fold(0.0, |sum, (a, b)| sum + a[1].mul_add(b[1], a[0] * b[0]))
    };
    assert_eq!(verdict_on(by_pairs), "leaf-mismatch");
}

#[test]
fn bits_that_are_no_outputs() {
    let replaced = |by: fn(f64) -> f64| verdict_on(move |a, b| by(ordered(a, b)));
    assert_eq!(replaced(|_| f64::NAN), "leaf-mismatch");
    assert_eq!(replaced(|_| f64::from_bits(0x7ff0_0000_0000_0001)), "leaf-mismatch");
    assert_eq!(replaced(|_| f64::INFINITY), "leaf-mismatch");
    assert_eq!(replaced(|x| f64::NEG_INFINITY * x), "leaf-mismatch");
    assert_eq!(replaced(|_| -0.0), "leaf-mismatch");
    assert_eq!(replaced(|x| -x), "leaf-mismatch");
    assert_eq!(replaced(|_| f64::from_bits(1)), "leaf-mismatch");
    assert_eq!(replaced(f64::next_up), "leaf-mismatch");
    assert_eq!(replaced(|x| x * f64::MIN_POSITIVE), "leaf-mismatch");
}

/// States that a miner would choose if it could: its roots are its own, so every
/// state but the first is at least its to search.
#[test]
fn no_state_leads_out_of_the_normal_numbers() {
    let shape = Fp64Product { dim: 128, products: 1 };
    let words = [[0, 0, 0], [u32::MAX; 3], [0, 0, u32::MAX], [0x8000_0000; 3], [1, 0, 0]];
    let mut states: Vec<State> = words
        .iter()
        .map(|words| {
            let mut state = [0; 32];
            for (at, word) in words.iter().enumerate() {
                state[4 * at..4 * at + 4].copy_from_slice(&word.to_be_bytes());
            }
            State(state)
        })
        .collect();
    states.extend((0..20_u8).map(|i| State(Digest::of(&[b"any", &[i]]).0)));
    let run = RunInputs { work: shape.into(), seeds: &[] };
    for state in states {
        let requests: Vec<LeafRequest> = [0, 77, 255]
            .map(|leaf| LeafRequest { at: IterationPlace::of_state(state), leaf })
            .to_vec();
        for request in &requests {
            let message =
                Oracle.leaf_message(&state, shape.dim, LeafPlace::of(shape, request.leaf));
            for bytes in message.chunks(8) {
                let output = f64::from_be_bytes(bytes.try_into().unwrap());
                assert!(output.is_normal() || output.to_bits() == 0, "{output} of {state}");
            }
        }
        // The validator's fast kernels agree with the oracle to the bit.
        let by_oracle = Oracle.leaf_hashes(&run, &requests).unwrap();
        assert_eq!(CpuVerifier::new().leaf_hashes(&run, &requests).unwrap(), by_oracle);
    }
}
