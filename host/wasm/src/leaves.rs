//! Leaf hashes by scalar code, each from its iteration's state and the seeds alone.
//!
//! Guarantee: memory stays below a few MB whatever is asked: a leaf of FP64 products keeps
//! 16 vectors of at most 32768 elements, one of integers two rows and a column, one of
//! memory a block for each half-pass.

use attest_protocol::digest::Digest;
use attest_protocol::names::State;
use attest_protocol::verify::{LeafRequest, Recompute, RecomputeError};
use attest_protocol::work::fp64_product::{Fp64Product, LeafPlace};
use attest_protocol::work::integer_product::{IntegerProduct, LeafPlace as IntegerPlace};
use attest_protocol::work::memory_residency::{
    BLOCK_WORDS, DRAW_LEAF, DRAW_PARTNER, DRAW_SWEEP, FOLD_COLUMNS, MemoryResidency,
};
use attest_protocol::work::{IterationPlace, RunInputs, Work};
use rand_philox::philox4x32_10;
use sha2::{Digest as _, Sha256};

/// Four u32: a Philox counter, its output, a word of an arena.
type Word = [u32; 4];

/// Computes leaves one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scalar;

impl Recompute for Scalar {
    fn leaf_hashes(
        &self,
        run: &RunInputs<'_>,
        requests: &[LeafRequest],
    ) -> Result<Vec<Digest>, RecomputeError> {
        let hash = |LeafRequest { at, leaf }: &LeafRequest| match run.work {
            Work::Fp64Product(shape) => fp64(shape, &at.state, *leaf),
            Work::IntegerProduct(shape) => integer(shape, &at.state, *leaf),
            Work::MemoryResidency(work) => memory(work, run.seeds, at, *leaf),
        };
        Ok(requests.iter().map(hash).collect())
    }
}

/// SHA-256(0x00 ‖ message).
fn hashed(message: &[u8]) -> Digest {
    Digest(Sha256::new().chain_update([0]).chain_update(message).finalize().into())
}

/// k0, k1, w, κ: the first big-endian words of a state.
fn key_words(state: &State) -> Word {
    let word = |at: usize| u32::from_be_bytes(std::array::from_fn(|byte| state.0[4 * at + byte]));
    std::array::from_fn(word)
}

/// The top 52 bits of hi·2³² + lo as a multiple of 2⁻⁵¹ in [−1, 1).
fn unit(lo: u32, hi: u32) -> f64 {
    let top = (u64::from(hi) << 20) | u64::from(lo >> 12);
    // Both exact: 52 bits fit a double, and so does the difference.
    top as f64 * 2f64.powi(-51) - 1.0
}

fn fp64(shape: Fp64Product, state: &State, leaf: u64) -> Digest {
    let [k0, k1, w, _] = key_words(state);
    let place = LeafPlace::of(shape, leaf);
    let vector = |operand: u32, vector: u32| -> Vec<f64> {
        let pair = |pair| {
            let y = philox4x32_10([pair, vector, 2 * place.product + operand, w], [k0, k1]);
            [unit(y[0], y[1]), unit(y[2], y[3])]
        };
        (0..shape.dim / 2).flat_map(pair).collect()
    };
    let rows = place.rows().map(|row| vector(0, row));
    let columns = place.columns().map(|column| vector(1, column));
    let mut message = Vec::with_capacity(512);
    for row in &rows {
        for column in &columns {
            let chain = row.iter().zip(column).fold(0.0, |c, (a, b)| f64::mul_add(*a, *b, c));
            message.extend(chain.to_be_bytes());
        }
    }
    hashed(&message)
}

fn integer(shape: IntegerProduct, state: &State, leaf: u64) -> Digest {
    let [k0, k1, w, _] = key_words(state);
    let place = IntegerPlace::of(shape, leaf);
    let vector = |operand: u32, vector: u32| -> Vec<i8> {
        let elements = |block| {
            let y = philox4x32_10([block, vector, 2 * place.product + operand, w], [k0, k1]);
            y.into_iter().flat_map(|y| y.to_le_bytes().map(|byte| byte as i8))
        };
        (0..shape.dim / 16).flat_map(elements).collect()
    };
    let rows = place.rows().map(|row| vector(0, row));
    let of_column = |at: u32| {
        let column = vector(1, place.first_column() + at);
        let output = |row: &Vec<i8>| -> u32 {
            let products = row.iter().zip(&column).map(|(a, b)| i32::from(*a) * i32::from(*b));
            products.sum::<i32>() as u32
        };
        [output(&rows[0]), output(&rows[1])]
    };
    let outputs: Vec<[u32; 2]> = (0..128).map(of_column).collect();
    let word = |tau: usize, b: usize| {
        let [left, right] = [outputs[8 * b + 2 * tau], outputs[8 * b + 2 * tau + 1]];
        [left[0], right[0], left[1], right[1]]
    };
    let columns = (0..4).map(|tau| (0..16).map(move |b| (tau, b)));
    let columns = columns.map(|column| column.map(|(tau, b)| word(tau, b)).collect()).collect();
    hashed(&fold([k0, k1], w, leaf, columns))
}

/// 256 words of an arena.
type Block = Vec<Word>;

fn memory(work: MemoryResidency, seeds: &[State], at: &IterationPlace, leaf: u64) -> Digest {
    let [k0, k1, w, _] = key_words(&at.state);
    let draw = |c: u32, of: u32| {
        let y = philox4x32_10([c, 0, of, w], [k0, k1]);
        [y[0], y[1]]
    };
    let reads = work.sweep(draw(0, DRAW_SWEEP)).reads(leaf);
    let other = work.second_lane(at.lane, at.iteration, seeds.len() as u32);
    let filled = |lane: u32, block: u64| {
        let last = work.last_change(work.half_of(block), work.half_passes);
        arena_block(work, &key_words(&seeds[lane as usize]), block, last)
    };
    let (own, second) = (filled(at.lane, reads.own), filled(other, reads.second));
    let exchange = (draw(leaf as u32, DRAW_LEAF)[1] % BLOCK_WORDS) as usize;
    let strided = |t: usize| (t..BLOCK_WORDS as usize).step_by(FOLD_COLUMNS as usize);
    let columns = (0..FOLD_COLUMNS as usize)
        .map(|t| strided(t).flat_map(|l| [own[l], second[l ^ exchange]]).collect())
        .collect();
    hashed(&fold([k0, k1], w, leaf, columns))
}

/// Block `b` after half-pass `r`, the last one that changed it, or 0: by recursion, as deep
/// as there are half-passes (at most 16).
fn arena_block(work: MemoryResidency, seed: &Word, b: u64, r: u32) -> Block {
    let [k0, k1, w, kappa] = *seed;
    if r == 0 {
        let word = |l| philox4x32_10([l, b as u32, kappa, w], [k0, k1]);
        return (0..BLOCK_WORDS).map(word).collect();
    }
    let (h, half) = (work.changed_half(r), work.half_blocks());
    let e = philox4x32_10([(b - h * half) as u32, r, DRAW_PARTNER, w], [k0, k1]);
    let j = (1 - h) * half + work.partner(e[0]);
    let here = arena_block(work, seed, b, work.last_change(h, r - 1));
    let there = arena_block(work, seed, j, work.last_change(1 - h, r - 1));
    let exchange = (e[1] % BLOCK_WORDS) as usize;
    here.iter().enumerate().map(|(l, x)| mix(*x, there[l ^ exchange])).collect()
}

fn mix(x: Word, y: Word) -> Word {
    let counter = [x[0].wrapping_add(y[2]), x[1].wrapping_add(y[3]), x[2], x[3]];
    let z = philox4x32_10(counter, [y[0], y[1]]);
    std::array::from_fn(|part| z[part].wrapping_add(x[part]))
}

/// One round of Philox4x32.
fn round([c0, c1, c2, c3]: Word, [k0, k1]: [u32; 2]) -> Word {
    let left = 0xCD9E_8D57_u64 * u64::from(c2);
    let right = 0xD251_1F53_u64 * u64::from(c0);
    let high = |product: u64| (product >> 32) as u32;
    [high(left) ^ c1 ^ k0, left as u32, high(right) ^ c3 ^ k1, right as u32]
}

/// The message that a leaf's words fold to, column by column and then the columns in halves.
fn fold(key: [u32; 2], w: u32, leaf: u64, columns: Vec<Vec<Word>>) -> [u8; 16] {
    let absorb = |(t, words): (u32, Vec<Word>)| {
        let start = round([t, leaf as u32, w, (leaf >> 32) as u32], key);
        words.iter().fold(start, |c, v| {
            let c = round([c[0] ^ v[0], c[1], c[2] ^ v[1], c[3]], key);
            round([c[0] ^ v[2], c[1], c[2] ^ v[3], c[3]], key)
        })
    };
    let mut folded: Vec<Word> = (0..).zip(columns).map(absorb).collect();
    while folded.len() > 1 {
        let upper = folded.split_off(folded.len() / 2);
        for (column, other) in folded.iter_mut().zip(upper) {
            let sum = std::array::from_fn(|part| column[part].wrapping_add(other[part]));
            *column = round(round(sum, key), key);
        }
    }
    let bytes = folded[0].map(u32::to_be_bytes);
    std::array::from_fn(|at| bytes[at / 4][at % 4])
}

#[cfg(test)]
mod tests {
    use super::unit;

    #[test]
    fn unit_covers_minus_one_to_one_in_steps_of_two_to_the_minus_51() {
        assert_eq!(unit(0xfff, 0), -1.0);
        assert_eq!(unit(0x1000, 0), -1.0 + 2f64.powi(-51));
        assert_eq!(unit(0, 0x8000_0000), 0.0);
        assert_eq!(unit(u32::MAX, u32::MAX), 1.0 - 2f64.powi(-51));
    }
}
