//! What the rules of memory residency are for: with one part exchanged each falls to a
//! trick that the real rule does not.
//!
//! The rules stand here once more, in parts; with the real parts they are the oracle's.

use super::memory::{right, run_over, said, seeds, sweeps};
use super::{UUIDS, alone};
use attest::protocol::digest::Digest;
use attest::protocol::merkle::leaf_hash;
use attest::protocol::names::State;
use attest::protocol::work::memory_residency::MemoryResidency;
use attest::reference::Run;
use attest::reference::fold::{Word, fold};
use attest::reference::memory::Arena;
use rand_philox::philox4x32_10;

/// A state as good as any.
fn drawn(parts: &[&[u8]]) -> State {
    State(Digest::of(parts).0)
}

/// The first four big-endian words of a state.
fn key_words(state: &State) -> Word {
    let word = |at: usize| u32::from_be_bytes(state.0[at..at + 4].try_into().unwrap());
    [word(0), word(4), word(8), word(12)]
}

/// The word of the partner's block that word `l` is mixed with, by the drawn e1.
type Partner = fn(l: usize, e1: usize) -> usize;

/// The rule's.
const XOR: Partner = |l, e1| l ^ (e1 % 256);
/// Shifts by multiples of eight in its place.
const SHIFTS: Partner = |l, e1| (l + 8 * e1) % 256;

/// An arena whose miner computes no words but those of `classes`, modulo eight: others are
/// zero to it.
fn filled(work: MemoryResidency, seed: &State, partner: Partner, classes: &[usize]) -> Arena {
    let [k0, k1, w, kappa] = key_words(seed);
    let mine = |l: &usize| classes.contains(&(l % 8));
    let start = |b: u64| {
        let mut block = vec![[0; 4]; 256];
        for l in (0..256).filter(mine) {
            block[l] = philox4x32_10([l as u32, b as u32, kappa, w], [k0, k1]);
        }
        block
    };
    let mut blocks: Vec<Vec<Word>> = (0..work.arena_blocks).map(start).collect();
    let half = work.half_blocks();
    for r in 1..=work.half_passes {
        let h = work.changed_half(r);
        for c in 0..half {
            let [e0, e1, ..] = philox4x32_10([c as u32, r, 1, w], [k0, k1]);
            let here = (h * half + c) as usize;
            let there = ((1 - h) * half + work.partner(e0)) as usize;
            let mut mixed = blocks[here].clone();
            for l in (0..256).filter(mine) {
                mixed[l] = mix(mixed[l], blocks[there][partner(l, e1 as usize)]);
            }
            blocks[here] = mixed;
        }
    }
    Arena { blocks }
}

fn mix(x: Word, y: Word) -> Word {
    let counter = [x[0].wrapping_add(y[2]), x[1].wrapping_add(y[3]), x[2], x[3]];
    let z = philox4x32_10(counter, [y[0], y[1]]);
    std::array::from_fn(|i| z[i].wrapping_add(x[i]))
}

const ALL: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

/// Of the words of class 0 in the second half, those that a miner gets right that has no
/// others.
fn right_with_one_class(partner: Partner) -> usize {
    let work = MemoryResidency { arena_blocks: 512, half_passes: 12, peer_blocks: 0 };
    let seed = drawn(&[b"a lane"]);
    let whole = filled(work, &seed, partner, &ALL);
    let alone = filled(work, &seed, partner, &[0]);
    let words = (256..512).flat_map(|b| (0..256).step_by(8).map(move |l| (b, l)));
    words.filter(|&(b, l): &(usize, usize)| whole.blocks[b][l] == alone.blocks[b][l]).count()
}

#[test]
fn an_arena_falls_into_eight_without_the_xor() {
    let challenge = sweeps([12, 0], 1, |_| ());
    let (work, seed) = (challenge.work().memory_residency().unwrap(), seeds(&challenge, &UUIDS)[0]);
    let real = filled(work, &seed, XOR, &ALL);
    assert_eq!(real.blocks, right(&challenge, &UUIDS[..1])[0].blocks, "the oracle's");
    // An eighth of the memory is enough for an eighth of the words; by the rule, for none.
    assert_eq!(right_with_one_class(SHIFTS), 256 * 32);
    assert_eq!(right_with_one_class(XOR), 0);
    let verdict = |arena| {
        let run = run_over(&challenge, &UUIDS[..1], vec![vec![arena]]);
        alone(&challenge, &said(run).result(None))
    };
    assert_eq!(verdict(real), "verified");
    assert_eq!(verdict(filled(work, &seed, XOR, &[0])), "leaf-mismatch");
}

/// What is exchanged of a fold.
#[derive(Clone, Copy)]
struct Fold {
    /// Whether a column takes a round before its first word.
    starts_with_a_round: bool,
    /// One: the whole word enters at once. Two: by halves.
    rounds_a_word: usize,
}

const REAL: Fold = Fold { starts_with_a_round: true, rounds_a_word: 2 };
const ONE_ROUND_A_WORD: Fold = Fold { rounds_a_word: 1, ..REAL };
const NO_FIRST_ROUND: Fold = Fold { starts_with_a_round: false, ..REAL };

/// The multipliers of Philox4x32.
const M: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];

/// Upper and lower half of a product of `m`.
fn product(m: u64, by: u32) -> [u32; 2] {
    let product = m * u64::from(by);
    [(product >> 32) as u32, product as u32]
}

fn round([a, b, c, d]: Word, [k0, k1]: [u32; 2]) -> Word {
    let ([high0, low0], [high1, low1]) = (product(M[0], a), product(M[1], c));
    [high1 ^ b ^ k0, low1, high0 ^ d ^ k1, low0]
}

/// What a leaf's fold starts from, apart from its words.
#[derive(Clone, Copy)]
struct Place {
    key: [u32; 2],
    tweak: u32,
    index: u64,
}

impl Place {
    /// One that nobody knew before.
    fn drawn(number: u64) -> Self {
        let [k0, k1, tweak, index] = key_words(&drawn(&[b"place", &number.to_be_bytes()]));
        Self { key: [k0, k1], tweak, index: u64::from(index) << (number % 32) }
    }
}

impl Fold {
    /// Column `t` after its words.
    fn column(self, place: Place, t: usize, words: &[Word]) -> Word {
        let Place { key, tweak, index } = place;
        let mut column = [t as u32, index as u32, tweak, (index >> 32) as u32];
        if self.starts_with_a_round {
            column = round(column, key);
        }
        for &[v0, v1, v2, v3] in words {
            if self.rounds_a_word == 1 {
                let word = [v0, v1, v2, v3];
                column = round(std::array::from_fn(|i| column[i] ^ word[i]), key);
                continue;
            }
            column[0] ^= v0;
            column[2] ^= v1;
            column = round(column, key);
            column[0] ^= v2;
            column[2] ^= v3;
            column = round(column, key);
        }
        column
    }

    fn message(self, place: Place, columns: &[Vec<Word>]) -> [u8; 16] {
        let each = columns.iter().enumerate();
        merged(place.key, each.map(|(t, words)| self.column(place, t, words)).collect())
    }
}

/// The message that columns come to after all words.
fn merged(key: [u32; 2], mut columns: Vec<Word>) -> [u8; 16] {
    while columns.len() > 1 {
        let upper = columns.split_off(columns.len() / 2);
        for (column, other) in columns.iter_mut().zip(upper) {
            let sum = std::array::from_fn(|i| column[i].wrapping_add(other[i]));
            *column = round(round(sum, key), key);
        }
    }
    columns[0].map(u32::to_be_bytes).concat().try_into().unwrap()
}

/// This many columns of a block's words, one after the other.
fn columns(count: usize) -> Vec<Vec<Word>> {
    let word = |t: usize, q: usize| philox4x32_10([t as u32, q as u32, 0, 0], [7, 8]);
    (0..count).map(|t| (0..8).map(|q| word(t, q)).collect()).collect()
}

/// What is kept of a column by whoever knows that v1 and v3 of a word meet v0 and v2 of
/// the next: their xor, and nothing of one of the two.
fn met(mut words: Vec<Word>) -> Vec<Word> {
    for q in 1..words.len() {
        for (from, to) in [(1, 0), (3, 2)] {
            let carried = std::mem::take(&mut words[q - 1][from]);
            words[q][to] ^= carried;
        }
    }
    words
}

/// What is kept of column `t` by whoever knows its first products: no v0.
fn without_first(t: usize, mut words: Vec<Word>) -> Vec<Word> {
    let [high, low] = product(M[0], t as u32 ^ words[0][0]);
    let [high_of_zero, low_of_zero] = product(M[0], t as u32);
    words[0][0] = 0;
    words[0][3] ^= high ^ high_of_zero;
    words[1][1] ^= low ^ low_of_zero;
    words
}

/// Of the u32 of these columns, the share that is zero.
fn left_out(columns: &[Vec<Word>]) -> f64 {
    let all: Vec<u32> = columns.iter().flatten().flatten().copied().collect();
    all.iter().filter(|&&v| v == 0).count() as f64 / all.len() as f64
}

/// In how many of a hundred places, not known when words were left out, the message is
/// the same.
fn same(fold: Fold, words: &[Vec<Word>], kept: &[Vec<Word>]) -> usize {
    let places = (0..100).map(Place::drawn);
    places.filter(|&at| fold.message(at, words) == fold.message(at, kept)).count()
}

#[test]
fn the_fold_in_parts_is_the_oracles() {
    let words = columns(32);
    for at in (0..100).map(Place::drawn) {
        let expected = fold(at.key, at.tweak, at.index, &words);
        assert_eq!(REAL.message(at, &words), expected);
    }
}

#[test]
fn words_that_meet_can_be_left_out_with_one_round_a_word() {
    let words = columns(32);
    let kept: Vec<Vec<Word>> = words.iter().cloned().map(met).collect();
    assert_eq!(left_out(&kept), 14.0 / 32.0, "44 % of the memory");
    assert_eq!(same(ONE_ROUND_A_WORD, &words, &kept), 100);
    assert_eq!(same(REAL, &words, &kept), 0);
}

#[test]
fn first_words_can_be_left_out_without_the_first_round() {
    let words = columns(32);
    let each = words.iter().cloned().enumerate();
    let kept: Vec<Vec<Word>> = each.map(|(t, words)| without_first(t, words)).collect();
    assert_eq!(left_out(&kept), 1.0 / 32.0, "3 % of the memory");
    assert_eq!(same(NO_FIRST_ROUND, &words, &kept), 100);
    assert_eq!(same(REAL, &words, &kept), 0);
}

/// Any two u32 of a column, changed by the same bits: by the rule no pair keeps the
/// message, whatever follows.
#[test]
fn no_two_values_of_a_column_enter_as_their_xor() {
    let words = columns(1);
    let pairs_of = |fold: Fold| {
        let pairs = (0..32).flat_map(|a: usize| (a + 1..32).map(move |b| (a, b)));
        let keep = |&(a, b): &(usize, usize)| {
            [1, 1 << 31, 0x9e37_79b9].iter().all(|bits| {
                let mut changed = words.clone();
                for at in [a, b] {
                    changed[0][at / 4][at % 4] ^= bits;
                }
                let at = Place::drawn(1);
                fold.message(at, &changed) == fold.message(at, &words)
            })
        };
        pairs.filter(keep).collect::<Vec<_>>()
    };
    let meeting: Vec<_> =
        (0..7).flat_map(|q| [(4 * q + 1, 4 * q + 4), (4 * q + 3, 4 * q + 6)]).collect();
    assert_eq!(pairs_of(ONE_ROUND_A_WORD), meeting);
    assert_eq!(pairs_of(REAL), []);
    assert_eq!(pairs_of(NO_FIRST_ROUND), []);
}

/// Words of u and v in columns of their own: their holders fold them where they lie, and
/// 256 bytes cross in the place of 4096.
#[test]
fn a_peer_that_folds_its_block_itself() {
    let [u, v] = [0, 1].map(|block: u32| {
        let word = |l: u32| philox4x32_10([l, block, 0, 0], [7, 8]);
        (0..256).map(word).collect::<Vec<Word>>()
    });
    // Sixteen columns a block, or 32 of both in turn.
    let apart: Vec<Vec<Word>> = [&u, &v]
        .into_iter()
        .flat_map(|block| (0..16).map(|t| (0..16).map(|q| block[t + 16 * q]).collect()))
        .collect();
    let in_turn: Vec<Vec<Word>> =
        (0..32).map(|t| (0..8).flat_map(|q| [u[t + 32 * q], v[t + 32 * q]]).collect()).collect();
    let crossed = |at: Place, columns: &[Vec<Word>]| -> Vec<Word> {
        // What the holder of v makes of its words alone.
        let each = columns.iter().enumerate();
        each.map(|(t, words)| REAL.column(at, t, words)).collect()
    };
    for at in (0..100).map(Place::drawn) {
        let mut columns = crossed(at, &apart[..16]);
        let theirs: Vec<Word> = (16..32).map(|t| REAL.column(at, t, &apart[t])).collect();
        columns.extend(theirs);
        assert_eq!(merged(at.key, columns), REAL.message(at, &apart));
        // By the rule no column is one block's: what both make of their words apart, and
        // however it is put together, is another message.
        let of = |first: usize| -> Vec<Vec<Word>> {
            let each = in_turn.iter();
            each.map(|words| words.iter().skip(first).step_by(2).copied().collect()).collect()
        };
        let (ours, theirs) = (crossed(at, &of(0)), crossed(at, &of(1)));
        let sums = |add: fn(u32, u32) -> u32| -> Vec<Word> {
            let pairs = ours.iter().zip(&theirs);
            pairs.map(|(a, b)| std::array::from_fn(|i| add(a[i], b[i]))).collect()
        };
        let real = REAL.message(at, &in_turn);
        assert_ne!(merged(at.key, sums(u32::wrapping_add)), real);
        assert_ne!(merged(at.key, sums(|a, b| a ^ b)), real);
    }
}

/// The verdict on a miner that keeps of each column what `keep` makes of it.
fn verdict_on(keep: impl Fn(usize, Vec<Word>) -> Vec<Word>) -> &'static str {
    let challenge = sweeps([12, 0], 1, |_| ());
    let work = challenge.work().memory_residency().unwrap();
    let arena = &right(&challenge, &UUIDS[..1])[0];
    let run = Run::with(&challenge, &UUIDS[..1], |_, _, state| {
        let [k0, k1, w, _] = key_words(state);
        let [o0, o1, ..] = philox4x32_10([0, 0, 2, w], [k0, k1]);
        let leaf = |x: u64| {
            let reads = work.sweep([o0, o1]).reads(x);
            let [u, v] = [reads.own, reads.second].map(|block| &arena.blocks[block as usize]);
            let [_, z1, ..] = philox4x32_10([x as u32, 0, 3, w], [k0, k1]);
            let rho = (z1 % 256) as usize;
            let column = |t: usize| {
                let words = (0..8).flat_map(|q| [u[t + 32 * q], v[(t + 32 * q) ^ rho]]);
                keep(t, words.collect())
            };
            let place = Place { key: [k0, k1], tweak: w, index: x };
            leaf_hash(&REAL.message(place, &(0..32).map(column).collect::<Vec<_>>()))
        };
        (0..work.leaves()).map(leaf).collect()
    });
    alone(&challenge, &said(run).result(None))
}

#[test]
fn words_left_out_of_a_real_fold() {
    assert_eq!(verdict_on(|_, words| words), "verified");
    assert_eq!(verdict_on(|_, words| met(words)), "leaf-mismatch");
    assert_eq!(verdict_on(without_first), "leaf-mismatch");
}
