//! The oracle of memory residency against numbers from independent programs, and against
//! rules that lack a part: each part matters.

use crate::common::memory::{MemoryRun, RUNS, digest, folds};
use attest::protocol::digest::Digest;
use attest::protocol::work::memory_residency::MemoryResidency;
use attest::reference::MemoryOracle;
use attest::reference::fold::fold;
use rand_philox::philox4x32_10;

#[test]
fn every_fold_reproduces_on_the_oracle() {
    let folds = folds();
    assert!(folds.iter().any(|case| case.index >= 1 << 32), "indices beyond 32 bits");
    for case in folds {
        let message = fold(case.key, case.tweak, case.index, &case.columns);
        assert_eq!(hex::encode(message), case.message, "index {}", case.index);
    }
}

#[test]
fn every_run_reproduces_on_the_oracle() {
    for run in RUNS.map(MemoryRun::read) {
        let oracle = MemoryOracle::new(run.work, &run.seeds);
        run.reproduces(|lane, iteration, state| oracle.iteration_leaves(lane, iteration, state));
        let file = &run.file;
        assert_eq!(oracle.arena(0).block_digest(5), digest(&file["block5"]), "{}", run.name);
        let message = oracle.leaf_message(0, 1, &run.seeds[0], 5);
        let expected = &file["lane0_iteration1_leaf5"]["message"];
        assert_eq!(*expected, hex::encode(message), "{}", run.name);
    }
}

/// A round of Philox, and folds of one column whose rule lacks a part.
mod lacking {
    use attest::work::fold::round;

    pub const KEY: [u32; 2] = [0x1234_5678, 0x9abc_def0];
    pub const TWEAK: u32 = 77;
    pub const INDEX: u64 = 9;

    fn start() -> [u32; 4] {
        [0, INDEX as u32, TWEAK, 0]
    }

    /// One round a word in the place of two.
    pub fn one_round_a_word(words: &[[u32; 4]]) -> [u32; 4] {
        words.iter().fold(round(start(), KEY), |[a, b, c, d], [v0, v1, v2, v3]| {
            round([a ^ v0, b ^ v1, c ^ v2, d ^ v3], KEY)
        })
    }

    /// No round at the start.
    pub fn no_first_round(words: &[[u32; 4]]) -> [u32; 4] {
        words.iter().fold(start(), |[a, b, c, d], [v0, v1, v2, v3]| {
            let [a, b, c, d] = round([a ^ v0, b, c ^ v1, d], KEY);
            round([a ^ v2, b, c ^ v3, d], KEY)
        })
    }
}

fn one_column(words: &[[u32; 4]]) -> [u8; 16] {
    fold(lacking::KEY, lacking::TWEAK, lacking::INDEX, &[words.to_vec()])
}

/// With one round a word a miner could keep v1 xor the next word's v0, 32 bits of 64, for
/// keys that it does not know yet; with two rounds the same words give another message.
#[test]
fn two_rounds_a_word_keep_neighbouring_words_apart() {
    let words = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]];
    let mut merged = words;
    merged[0][1] ^= 0x5555_0000;
    merged[1][0] ^= 0x5555_0000;
    assert_eq!(lacking::one_round_a_word(&words), lacking::one_round_a_word(&merged));
    assert_ne!(one_column(&words), one_column(&merged));
}

/// Without the round at the start, what v0 does to the column is known before the key is:
/// a miner could leave v0 out and change two other words.
#[test]
fn the_round_at_the_start_hides_what_the_first_word_meets() {
    let words = [[0xdead_beef, 2, 3, 4], [5, 6, 7, 8]];
    let product = 0xD251_1F53_u64 * u64::from(words[0][0]);
    let mut without = words;
    without[0][0] = 0;
    without[0][3] ^= (product >> 32) as u32;
    without[1][1] ^= product as u32;
    assert_eq!(lacking::no_first_round(&words), lacking::no_first_round(&without));
    assert_ne!(one_column(&words), one_column(&without));
}

/// Exchanges by multiples of 8 would leave eight arenas: a change of word 3 of one block
/// would reach words l with l mod 8 = 3 only, and no others, ever.
#[test]
fn exchanges_of_all_words_leave_no_classes() {
    let work = MemoryResidency { arena_blocks: 512, half_passes: 12, peer_blocks: 0 };
    let seed = Digest::of(&[b"classes"]);
    let key_word = |at: usize| u32::from_be_bytes(*seed.0[4 * at..].first_chunk().unwrap());
    let mut classes: Vec<Vec<u8>> = vec![(0..8).map(|class| 1 << class).collect(); 512];
    let mut coarse = classes.clone();
    for r in 1..=work.half_passes {
        let h = work.changed_half(r);
        for c in 0..256_u32 {
            let counter = [c, r, 1, key_word(2)];
            let [e0, e1, ..] = philox4x32_10(counter, [key_word(0), key_word(1)]);
            let here = (h * 256) as usize + c as usize;
            let there = ((1 - h) * 256 + work.partner(e0)) as usize;
            for class in 0..8 {
                let other = classes[there][class ^ (e1 % 8) as usize];
                classes[here][class] |= other;
                let other = coarse[there][class];
                coarse[here][class] |= other;
            }
        }
    }
    let all_reach_all = |classes: &[Vec<u8>]| classes[256..].iter().flatten().all(|&c| c == 255);
    assert!(all_reach_all(&classes), "each word of the half changed last depends on all classes");
    let alone = |(class, reached): (usize, &u8)| *reached == 1 << class;
    assert!(coarse.iter().all(|block| block.iter().enumerate().all(alone)));
}

/// Every draw of a leaf matters: the exchange of the second block's words, both offsets,
/// the turn of lanes.
#[test]
fn leaves_depend_on_every_draw() {
    let run = MemoryRun::read("memory-peers");
    let oracle = MemoryOracle::new(run.work, &run.seeds);
    let state = run.seeds[0];
    let key_word = |at: usize| u32::from_be_bytes(*state.0[4 * at..].first_chunk().unwrap());
    let (key, w, n) = ([key_word(0), key_word(1)], key_word(2), run.work.arena_blocks);
    let [o0, o1, ..] = philox4x32_10([0, 0, 2, w], key).map(u64::from);
    let message = |x: u64, lane: u32, o0: u64, o1: u64, rho: usize| {
        let u = &oracle.arena(0).blocks[((((o1 * n) >> 32) + x) % n) as usize];
        let v = &oracle.arena(lane).blocks[((((o0 * n) >> 32) + x) % n) as usize];
        let column = |t: usize| {
            (0..8).flat_map(|s| [u[t + 32 * s], v[(t + 32 * s) ^ rho]]).collect::<Vec<_>>()
        };
        fold(key, w, x, &(0..32).map(column).collect::<Vec<_>>())
    };
    for x in [0, 5, run.work.leaves() - 1] {
        let rho = (philox4x32_10([x as u32, 0, 3, w], key)[1] % 256) as usize;
        let right = oracle.leaf_message(0, 1, &state, x);
        assert_eq!(message(x, 1, o0, o1, rho), right);
        assert_ne!(message(x, 1, o0, o1, 0), right, "without the exchange");
        assert_ne!(message(x, 1, 0, o1, rho), right, "without the second block's offset");
        assert_ne!(message(x, 1, o0, 0, rho), right, "without the own block's offset");
        assert_ne!(message(x, 2, o0, o1, rho), right, "from another lane");
        assert_ne!(oracle.leaf_message(0, 2, &state, x), right, "the other lane in turn");
    }
}
