//! Every instruction set against scalar code: boundaries of blocks, exchanges and indices.

use super::super::block::Block;
use super::super::philox::{FirstWords, StateWords};
use super::{Engine, Kernel, WORDS};
use crate::executor::cpu::Simd;
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::work::fold::fold;
use rand_philox::philox4x32_10;

const SIMD: [Simd; 3] = [Simd::Scalar, Simd::Avx2, Simd::Avx512];

/// Exchanges within a register, of registers, of both, and of all words.
const EXCHANGES: [u8; 8] = [0, 1, 7, 8, 16, 0x5a, 0xf0, 255];

fn block(number: u32) -> Block {
    let word = |part: u32, l: u32| {
        let digest = Digest::of(&[&number.to_be_bytes(), &part.to_be_bytes(), &l.to_be_bytes()]);
        u32::from_be_bytes(*digest.0.first_chunk().unwrap())
    };
    Block(std::array::from_fn(|part| std::array::from_fn(|l| word(part as u32, l as u32))))
}

fn word(block: &Block, l: usize) -> [u32; 4] {
    std::array::from_fn(|part| block.0[part][l])
}

fn state() -> StateWords {
    StateWords::of(&State(Digest::of(&[b"state"]).0))
}

fn on_every_engine(check: impl Fn(Engine, Simd)) {
    for simd in SIMD {
        if let Some(engine) = Engine::new(simd) {
            check(engine, simd);
        }
    }
}

#[test]
fn first_words_are_philox_of_word_and_block() {
    let state = state();
    let stream = FirstWords::new(&state);
    on_every_engine(|engine, simd| {
        for b in [0, 1, (1 << 28) - 1] {
            let mut out = Block::ZERO;
            with_kernel!(engine, kernel => kernel.first_words(&stream, b, &mut out));
            for l in 0..WORDS {
                let counter = [l as u32, b, state.kappa, state.tweak];
                assert_eq!(word(&out, l), philox4x32_10(counter, state.key), "{simd} {b} {l}");
            }
        }
    });
}

#[test]
fn mixing_takes_each_word_with_the_exchanged_one() {
    let (x, y) = (block(1), block(2));
    on_every_engine(|engine, simd| {
        for exchange in EXCHANGES {
            let mut mixed = x;
            with_kernel!(engine, kernel => kernel.mix(&mut mixed, &y, exchange));
            for l in 0..WORDS {
                let (x, y) = (word(&x, l), word(&y, l ^ usize::from(exchange)));
                let counter = [x[0].wrapping_add(y[2]), x[1].wrapping_add(y[3]), x[2], x[3]];
                let z = philox4x32_10(counter, [y[0], y[1]]);
                let expected: [u32; 4] = std::array::from_fn(|i| z[i].wrapping_add(x[i]));
                assert_eq!(word(&mixed, l), expected, "{simd} {exchange} {l}");
            }
        }
    });
}

#[test]
fn folding_takes_both_blocks_column_by_column() {
    let (u, v, state) = (block(3), block(4), state());
    on_every_engine(|engine, simd| {
        // The last leaf that an iteration can have, and one beyond 32 bits.
        for x in [0, 5, (1 << 28) - 1, (1 << 35) + 9] {
            for exchange in EXCHANGES {
                let rho = usize::from(exchange);
                let column = |t: usize| {
                    (0..8).flat_map(move |s| [word(&u, t + 32 * s), word(&v, (t + 32 * s) ^ rho)])
                };
                let words: Vec<[u32; 4]> = (0..32).flat_map(column).collect();
                let expected = fold::<32>(state.key, state.tweak, x, &words);
                let message =
                    with_kernel!(engine, kernel => kernel.fold(&state, x, &u, &v, exchange));
                assert_eq!(message, expected, "{simd} {x} {exchange}");
            }
        }
    });
}
