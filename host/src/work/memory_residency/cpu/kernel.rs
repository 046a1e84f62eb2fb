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
#[cfg(target_arch = "x86_64")]
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

/// Even and odd half of each. Written out, like all that is done with registers here: a
/// closure is not compiled for the instruction set of its caller, and arrays that are
/// indexed by a variable end in memory.
#[inline(always)]
fn halves<I: Isa>(isa: I, v: [I::V; 4]) -> [[I::V; 4]; 2] {
    [v, [isa.high(v[0]), isa.high(v[1]), isa.high(v[2]), isa.high(v[3])]]
}

/// The reverse of [`halves`].
#[inline(always)]
fn joined<I: Isa>(isa: I, [even, odd]: [[I::V; 4]; 2]) -> [I::V; 4] {
    [
        isa.join(even[0], odd[0]),
        isa.join(even[1], odd[1]),
        isa.join(even[2], odd[2]),
        isa.join(even[3], odd[3]),
    ]
}

/// The words of a register's places.
#[inline(always)]
fn words<I: Isa>(isa: I, block: &Block, at: usize) -> [I::V; 4] {
    let [first, second, third, fourth] = &block.0;
    [isa.load(first, at), isa.load(second, at), isa.load(third, at), isa.load(fourth, at)]
}

/// The same words of a block whose words are exchanged: word l is word l ⊕ `exchange`.
struct Exchanged<'a, I: Isa> {
    block: &'a Block,
    skip: usize,
    order: I::V,
}

impl<'a, I: Isa> Exchanged<'a, I> {
    #[inline(always)]
    fn new(isa: I, block: &'a Block, exchange: u8) -> Self {
        let (skip, by) = (usize::from(exchange) / I::LANES, usize::from(exchange) % I::LANES);
        Self { block, skip, order: isa.exchange_by(by) }
    }

    #[inline(always)]
    fn words(&self, isa: I, at: usize) -> [I::V; 4] {
        let [v0, v1, v2, v3] = words(isa, self.block, at ^ self.skip);
        [
            isa.exchange(v0, self.order),
            isa.exchange(v1, self.order),
            isa.exchange(v2, self.order),
            isa.exchange(v3, self.order),
        ]
    }
}

/// Counters after round three, as halves, of a table's entries and a block's constant.
#[inline(always)]
fn third_rounds<I: Isa>(
    isa: I,
    [even, odd]: [[I::V; 4]; 2],
    high: I::V,
    low: I::V,
    m: [I::V; 2],
) -> [[I::V; 4]; 2] {
    [third_round(isa, even, high, low, m), third_round(isa, odd, high, low, m)]
}

#[inline(always)]
fn third_round<I: Isa>(isa: I, t: [I::V; 4], high: I::V, low: I::V, m: [I::V; 2]) -> [I::V; 4] {
    let product = isa.product(m[1], isa.xor(high, t[0]));
    [isa.xor(isa.high(product), t[1]), product, isa.xor(low, t[2]), t[3]]
}

#[inline(always)]
pub(super) fn first_words<I: Isa>(isa: I, stream: &FirstWords, b: u32, out: &mut Block) {
    let m = multipliers(isa);
    let (high, low) = stream.block_constant(b);
    let (high, low) = (isa.splat(high), isa.splat(low));
    for at in (0..WORDS / I::LANES).step_by(2) {
        let mut a = third_rounds(isa, halves(isa, words(isa, &stream.table, at)), high, low, m);
        let mut b = third_rounds(isa, halves(isa, words(isa, &stream.table, at + 1)), high, low, m);
        for key in &stream.keys[FIRST_FULL_ROUND..] {
            let key = [isa.splat(key[0]), isa.splat(key[1])];
            a = rounds(isa, a, m, key);
            b = rounds(isa, b, m, key);
        }
        for (at, words) in [(at, joined(isa, a)), (at + 1, joined(isa, b))] {
            for (v, out) in words.into_iter().zip(&mut out.0) {
                isa.store(out, at, v);
            }
        }
    }
}

#[inline(always)]
pub(super) fn mix<I: Isa>(isa: I, x: &mut Block, y: &Block, exchange: u8) {
    let m = multipliers(isa);
    let steps = [isa.splat(KEY_STEPS[0]), isa.splat(KEY_STEPS[1])];
    let other = Exchanged::new(isa, y, exchange);
    for at in (0..WORDS / I::LANES).step_by(2) {
        let (mut a, mut a_key) = mixing(isa, words(isa, x, at), other.words(isa, at));
        let (mut b, mut b_key) = mixing(isa, words(isa, x, at + 1), other.words(isa, at + 1));
        for turn in 0..ROUNDS {
            if turn > 0 {
                a_key = next_keys(isa, a_key, steps);
                b_key = next_keys(isa, b_key, steps);
            }
            a = [round(isa, a[0], m, a_key[0]), round(isa, a[1], m, a_key[1])];
            b = [round(isa, b[0], m, b_key[0]), round(isa, b[1], m, b_key[1])];
        }
        for (at, z) in [(at, joined(isa, a)), (at + 1, joined(isa, b))] {
            for (z, x) in z.into_iter().zip(&mut x.0) {
                isa.store(x, at, isa.add(z, isa.load(x, at)));
            }
        }
    }
}

/// What mixing starts from: two counters of four words, two keys of two.
type Mixing<V> = ([[V; 4]; 2], [[V; 2]; 2]);

/// Counters and keys of mix(x, y), as halves.
#[inline(always)]
fn mixing<I: Isa>(isa: I, x: [I::V; 4], y: [I::V; 4]) -> Mixing<I::V> {
    let counter = [isa.add(x[0], y[2]), isa.add(x[1], y[3]), x[2], x[3]];
    (halves(isa, counter), [[y[0], y[1]], [isa.high(y[0]), isa.high(y[1])]])
}

/// The next round's keys, as halves.
#[inline(always)]
fn next_keys<I: Isa>(isa: I, [even, odd]: [[I::V; 2]; 2], steps: [I::V; 2]) -> [[I::V; 2]; 2] {
    [
        [isa.add(even[0], steps[0]), isa.add(even[1], steps[1])],
        [isa.add(odd[0], steps[0]), isa.add(odd[1], steps[1])],
    ]
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

/// Takes a register of words into a register of columns, given as halves.
#[inline(always)]
fn absorbed<I: Isa>(
    isa: I,
    [even, odd]: [[I::V; 4]; 2],
    v: [I::V; 4],
    m: [I::V; 2],
    key: [I::V; 2],
) -> [[I::V; 4]; 2] {
    let [of_even, of_odd] = halves(isa, v);
    [absorbed_half(isa, even, of_even, m, key), absorbed_half(isa, odd, of_odd, m, key)]
}

#[inline(always)]
fn absorbed_half<I: Isa>(
    isa: I,
    c: [I::V; 4],
    v: [I::V; 4],
    m: [I::V; 2],
    key: [I::V; 2],
) -> [I::V; 4] {
    let c = round(isa, [isa.xor(c[0], v[0]), c[1], isa.xor(c[2], v[1]), c[3]], m, key);
    round(isa, [isa.xor(c[0], v[2]), c[1], isa.xor(c[2], v[3]), c[3]], m, key)
}

/// One round of a whole register, given and taken as halves.
#[inline(always)]
fn rounds<I: Isa>(
    isa: I,
    [even, odd]: [[I::V; 4]; 2],
    m: [I::V; 2],
    key: [I::V; 2],
) -> [[I::V; 4]; 2] {
    [round(isa, even, m, key), round(isa, odd, m, key)]
}

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
    let key = [isa.splat(state.key[0]), isa.splat(state.key[1])];
    let second = Exchanged::new(isa, second, exchange);
    let (low, high) = (isa.splat(x as u32), isa.splat((x >> 32) as u32));
    let tweak = isa.splat(state.tweak);
    let mut columns = [[low; 4]; REGISTERS_MAX];
    // Two registers side by side: as many rounds in flight as hide the time that a
    // multiplication takes.
    for first in (0..registers).step_by(2) {
        let number = [isa.load(&NUMBERS, first), isa.load(&NUMBERS, first + 1)];
        let mut left = rounds(isa, halves(isa, [number[0], low, tweak, high]), m, key);
        let mut right = rounds(isa, halves(isa, [number[1], low, tweak, high]), m, key);
        for row in 0..FOLD_WORDS as usize / 2 {
            let at = row * registers + first;
            left = absorbed(isa, left, words(isa, own, at), m, key);
            right = absorbed(isa, right, words(isa, own, at + 1), m, key);
            left = absorbed(isa, left, second.words(isa, at), m, key);
            right = absorbed(isa, right, second.words(isa, at + 1), m, key);
        }
        columns[first] = joined(isa, left);
        columns[first + 1] = joined(isa, right);
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
            let [a, b, c, d] = columns[0];
            let other = [
                isa.exchange(a, order),
                isa.exchange(b, order),
                isa.exchange(c, order),
                isa.exchange(d, order),
            ];
            columns[0] = added(isa, columns[0], other, m, key);
        }
    }
    let mut message = [0; MESSAGE_BYTES];
    for (bytes, v) in message.as_chunks_mut::<4>().0.iter_mut().zip(columns[0]) {
        *bytes = isa.first(v).to_be_bytes();
    }
    message
}

/// Columns added to columns, then two rounds.
#[inline(always)]
fn added<I: Isa>(isa: I, a: [I::V; 4], b: [I::V; 4], m: [I::V; 2], key: [I::V; 2]) -> [I::V; 4] {
    let sum = [isa.add(a[0], b[0]), isa.add(a[1], b[1]), isa.add(a[2], b[2]), isa.add(a[3], b[3])];
    let once = rounds(isa, halves(isa, sum), m, key);
    joined(isa, rounds(isa, once, m, key))
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
