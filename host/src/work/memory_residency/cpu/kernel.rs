//! What is done with whole blocks, written once for all instruction sets, and the choice
//! between them at run time.

use super::block::{Block, WORDS};
use super::isa::Isa;
use super::philox::{FIRST_FULL_ROUND, FirstWords, KEY_STEPS, ROUNDS, StateWords};
use super::portable::Portable;
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};
use crate::executor::cpu::Simd;
use crate::protocol::work::memory_residency::{FOLD_COLUMNS, FOLD_WORDS, MESSAGE_BYTES};
use crate::work::fold::{M0, M1};

/// Columns of a fold.
const COLUMNS: usize = FOLD_COLUMNS as usize;

/// Registers of columns that are folded side by side: as many rounds in flight as hide the
/// time that a multiplication takes.
const ABREAST: usize = 2;

/// Registers that hold one part of all columns, with the fewest lanes.
const REGISTERS_MAX: usize = COLUMNS / 8;

/// Work on blocks, compiled for one instruction set.
pub(super) trait Kernel: Isa {
    /// Block `b` before the first half-pass.
    fn first_words(self, stream: &FirstWords, b: u32, out: &mut Block);
    /// Words x become mix(x, y), where y is word l ⊕ `exchange` for word l.
    fn mix(self, x: &mut Block, y: &Block, exchange: u8);
    /// The message of leaf `x`, whose second block's words are exchanged by `exchange`.
    fn fold(
        self,
        state: &StateWords,
        x: u64,
        own: &Block,
        second: &Block,
        exchange: u8,
    ) -> [u8; MESSAGE_BYTES];
}

/// The functions of [`Kernel`], with the generic ones compiled for a target feature.
macro_rules! compiled_for {
    ($feature:literal) => {
        fn first_words(
            self,
            stream: &super::philox::FirstWords,
            b: u32,
            out: &mut super::block::Block,
        ) {
            #[target_feature(enable = $feature)]
            fn compiled<I: Isa>(
                isa: I,
                stream: &super::philox::FirstWords,
                b: u32,
                out: &mut super::block::Block,
            ) {
                super::kernel::first_words(isa, stream, b, out);
            }
            // SAFETY: `self` exists, so `detect` found the feature.
            unsafe { compiled(self, stream, b, out) }
        }
        fn mix(self, x: &mut super::block::Block, y: &super::block::Block, exchange: u8) {
            #[target_feature(enable = $feature)]
            fn compiled<I: Isa>(
                isa: I,
                x: &mut super::block::Block,
                y: &super::block::Block,
                exchange: u8,
            ) {
                super::kernel::mix(isa, x, y, exchange);
            }
            // SAFETY: `self` exists, so `detect` found the feature.
            unsafe { compiled(self, x, y, exchange) }
        }
        fn fold(
            self,
            state: &super::philox::StateWords,
            x: u64,
            own: &super::block::Block,
            second: &super::block::Block,
            exchange: u8,
        ) -> [u8; 16] {
            #[target_feature(enable = $feature)]
            fn compiled<I: Isa>(
                isa: I,
                state: &super::philox::StateWords,
                x: u64,
                own: &super::block::Block,
                second: &super::block::Block,
                exchange: u8,
            ) -> [u8; 16] {
                super::kernel::fold(isa, state, x, own, second, exchange)
            }
            // SAFETY: `self` exists, so `detect` found the feature.
            unsafe { compiled(self, state, x, own, second, exchange) }
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(super) use compiled_for;

impl Kernel for Portable {
    fn first_words(self, stream: &FirstWords, b: u32, out: &mut Block) {
        first_words(self, stream, b, out);
    }
    fn mix(self, x: &mut Block, y: &Block, exchange: u8) {
        mix(self, x, y, exchange);
    }
    fn fold(self, state: &StateWords, x: u64, own: &Block, second: &Block, by: u8) -> [u8; 16] {
        fold(self, state, x, own, second, by)
    }
}

/// Both multipliers.
#[inline(always)]
fn multipliers<I: Isa>(isa: I) -> [I::V; 2] {
    [isa.splat(M0), isa.splat(M1)]
}

/// One round of Philox on a half.
#[inline(always)]
fn round<I: Isa>(isa: I, c: [I::V; 4], [m0, m1]: [I::V; 2], [k0, k1]: [I::V; 2]) -> [I::V; 4] {
    let (left, right) = (isa.product(m1, c[2]), isa.product(m0, c[0]));
    [isa.xor3(isa.high(left), c[1], k0), left, isa.xor3(isa.high(right), c[3], k1), right]
}

/// Even and odd half of each.
#[inline(always)]
fn halves<I: Isa, const N: usize>(isa: I, v: [I::V; N]) -> [[I::V; N]; 2] {
    [v, v.map(|v| isa.high(v))]
}

/// The reverse of [`halves`].
#[inline(always)]
fn joined<I: Isa>(isa: I, [even, odd]: [[I::V; 4]; 2]) -> [I::V; 4] {
    std::array::from_fn(|part| isa.join(even[part], odd[part]))
}

#[inline(always)]
pub(super) fn first_words<I: Isa>(isa: I, stream: &FirstWords, b: u32, out: &mut Block) {
    let m = multipliers(isa);
    let (high, low) = stream.block_constant(b);
    let (high, low) = (isa.splat(high), isa.splat(low));
    for at in 0..WORDS / I::LANES {
        let table = std::array::from_fn(|part| isa.load(&stream.table.0[part], at));
        let mut words = halves(isa, table).map(|t: [I::V; 4]| {
            let product = isa.product(m[1], isa.xor(high, t[0]));
            [isa.xor(isa.high(product), t[1]), product, isa.xor(low, t[2]), t[3]]
        });
        for key in &stream.keys[FIRST_FULL_ROUND..] {
            let key = key.map(|word| isa.splat(word));
            words = words.map(|half| round(isa, half, m, key));
        }
        for (part, v) in joined(isa, words).into_iter().enumerate() {
            isa.store(&mut out.0[part], at, v);
        }
    }
}

#[inline(always)]
pub(super) fn mix<I: Isa>(isa: I, x: &mut Block, y: &Block, exchange: u8) {
    let m = multipliers(isa);
    let steps = KEY_STEPS.map(|step| isa.splat(step));
    let skip = usize::from(exchange) / I::LANES;
    let order = isa.exchange_by(usize::from(exchange) % I::LANES);
    for at in 0..WORDS / I::LANES {
        let own: [I::V; 4] = std::array::from_fn(|part| isa.load(&x.0[part], at));
        let other: [I::V; 4] =
            std::array::from_fn(|part| isa.exchange(isa.load(&y.0[part], at ^ skip), order));
        let counter = [isa.add(own[0], other[2]), isa.add(own[1], other[3]), own[2], own[3]];
        let mut words = halves(isa, counter);
        let mut keys = halves(isa, [other[0], other[1]]);
        for turn in 0..ROUNDS {
            for (words, key) in words.iter_mut().zip(&mut keys) {
                if turn > 0 {
                    *key = [isa.add(key[0], steps[0]), isa.add(key[1], steps[1])];
                }
                *words = round(isa, *words, m, *key);
            }
        }
        for (part, v) in joined(isa, words).into_iter().enumerate() {
            isa.store(&mut x.0[part], at, isa.add(v, own[part]));
        }
    }
}

/// 0, 1, … 255.
static NUMBERS: [u32; WORDS] = {
    let mut numbers = [0; WORDS];
    let mut at = 0;
    while at < WORDS {
        numbers[at] = at as u32;
        at += 1;
    }
    numbers
};

#[inline(always)]
pub(super) fn fold<I: Isa>(
    isa: I,
    state: &StateWords,
    x: u64,
    own: &Block,
    second: &Block,
    exchange: u8,
) -> [u8; MESSAGE_BYTES] {
    let registers = COLUMNS / I::LANES;
    let m = multipliers(isa);
    let key = state.key.map(|word| isa.splat(word));
    let skip = usize::from(exchange) / I::LANES;
    let order = isa.exchange_by(usize::from(exchange) % I::LANES);
    let start = [x as u32, state.tweak, (x >> 32) as u32].map(|word| isa.splat(word));
    let mut columns = [[start[0]; 4]; REGISTERS_MAX];
    for first in (0..registers).step_by(ABREAST) {
        let mut abreast: [[[I::V; 4]; 2]; ABREAST] = std::array::from_fn(|i| {
            let numbers = isa.load(&NUMBERS, first + i);
            halves(isa, [numbers, start[0], start[1], start[2]])
                .map(|half| round(isa, half, m, key))
        });
        for word in 0..FOLD_WORDS as usize / 2 {
            for source in [Source::Own, Source::Second] {
                for (i, column) in abreast.iter_mut().enumerate() {
                    let at = word * registers + first + i;
                    let words: [I::V; 4] = std::array::from_fn(|part| match source {
                        Source::Own => isa.load(&own.0[part], at),
                        Source::Second => isa.exchange(isa.load(&second.0[part], at ^ skip), order),
                    });
                    for (half, v) in column.iter_mut().zip(halves(isa, words)) {
                        let [a, b, c, d] = *half;
                        let once = round(isa, [isa.xor(a, v[0]), b, isa.xor(c, v[1]), d], m, key);
                        let [a, b, c, d] = once;
                        *half = round(isa, [isa.xor(a, v[2]), b, isa.xor(c, v[3]), d], m, key);
                    }
                }
            }
        }
        for (i, column) in abreast.into_iter().enumerate() {
            columns[first + i] = joined(isa, column);
        }
    }
    let mut left = COLUMNS;
    while left > 1 {
        left /= 2;
        if left >= I::LANES {
            let upper = left / I::LANES;
            for i in 0..upper {
                columns[i] = added(isa, columns[i], columns[i + upper], m, key);
            }
        } else {
            // Places from `left` on repeat what the first ones hold.
            let order = isa.exchange_by(left);
            let other = columns[0].map(|v| isa.exchange(v, order));
            columns[0] = added(isa, columns[0], other, m, key);
        }
    }
    let mut message = [0; MESSAGE_BYTES];
    for (bytes, v) in message.as_chunks_mut::<4>().0.iter_mut().zip(columns[0]) {
        *bytes = isa.first(v).to_be_bytes();
    }
    message
}

/// The two blocks of a leaf.
#[derive(Clone, Copy)]
enum Source {
    Own,
    Second,
}

/// Columns added to columns, then two rounds.
#[inline(always)]
fn added<I: Isa>(isa: I, a: [I::V; 4], b: [I::V; 4], m: [I::V; 2], key: [I::V; 2]) -> [I::V; 4] {
    let sum = std::array::from_fn(|part| isa.add(a[part], b[part]));
    let twice = |half| round(isa, round(isa, half, m, key), m, key);
    joined(isa, halves(isa, sum).map(twice))
}

/// A kernel that runs on this CPU.
#[derive(Clone, Copy)]
pub(super) enum Engine {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Engine {
    pub(super) const PORTABLE: Self = Self::Portable(Portable);

    /// The kernel for `simd`; `None` if this CPU lacks it.
    pub(super) fn new(simd: Simd) -> Option<Self> {
        match simd {
            Simd::Scalar => Some(Self::PORTABLE),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2 => Avx2::detect().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => Avx512::detect().map(Self::Avx512),
            #[cfg(not(target_arch = "x86_64"))]
            Simd::Avx2 | Simd::Avx512 => None,
        }
    }
}

/// Runs `$work` with `$kernel` bound to the kernel of `$engine`.
macro_rules! with_kernel {
    ($engine:expr, $kernel:ident => $work:expr) => {
        match $engine {
            $crate::work::memory_residency::cpu::kernel::Engine::Portable($kernel) => $work,
            #[cfg(target_arch = "x86_64")]
            $crate::work::memory_residency::cpu::kernel::Engine::Avx2($kernel) => $work,
            #[cfg(target_arch = "x86_64")]
            $crate::work::memory_residency::cpu::kernel::Engine::Avx512($kernel) => $work,
        }
    };
}
pub(super) use with_kernel;

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;
