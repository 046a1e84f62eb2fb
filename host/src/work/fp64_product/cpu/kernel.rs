//! What an instruction set must offer, and the choice between them at run time.
//!
//! Guarantee: every kernel gives the same bits. The order of the additions is
//! part of the interface: each output is one chain of fused multiply-adds over
//! ascending k, in memory between calls.

use super::portable::Portable;
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};
use crate::executor::cpu::{Simd, detect_simd};
use crate::work::stream::{STEPS_MAX, Steps, Stream};

/// Rows and columns of a leaf.
pub(super) const LEAF_SIDE: usize = 8;

/// Exponent and sign bits of a double in [2,4).
pub(super) const TWO_BITS: u64 = 0x4000_0000_0000_0000;

/// Most inner indices that a kernel generates or multiplies in one go: two a counter step.
pub(super) const DEPTH_MAX: usize = 2 * STEPS_MAX;

/// Largest panel: rows or columns that [`Kernel::multiply`] takes at once.
pub(super) const PANEL_MAX: usize = 32;

/// An instruction set, at work.
///
/// Operands are packed in panels: `panel[k * width + i]` is element k of the
/// panel's vector i.
pub(super) trait Kernel: Copy + Send + Sync {
    /// Rows of A in a panel; divides 128.
    const ROWS: usize;
    /// Columns of B in a panel.
    const COLUMNS: usize;

    /// [`Stream::fill_steps`] on this instruction set.
    fn fill_steps(self, stream: &Stream, first: u32, count: usize, steps: &mut Steps);

    /// Generates the panel of `vectors` for the counter steps in
    /// `steps[..count]`: `2 * count` elements of each. The number of vectors is
    /// [`Kernel::ROWS`], [`Kernel::COLUMNS`] or [`LEAF_SIDE`], `count` a
    /// multiple of 4.
    fn fill(self, stream: &Stream, steps: &Steps, count: usize, vectors: &[u32], panel: &mut [f64]);

    /// Continues the chains of a ROWS × COLUMNS block, row-major in `c`, over
    /// `depth` inner indices.
    fn multiply(self, depth: usize, a: &[f64], b: &[f64], c: &mut [f64]);

    /// The same for the 8 × 8 outputs of a leaf.
    fn multiply_leaf(self, depth: usize, a: &[f64], b: &[f64], c: &mut [f64; 64]);
}

/// A kernel known to run on this CPU.
#[derive(Clone, Copy)]
pub(super) enum Engine {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Engine {
    /// The kernel for `simd`; `None` if this CPU lacks it.
    pub(super) fn new(simd: Simd) -> Option<Self> {
        match simd {
            Simd::Scalar => Some(Self::Portable(Portable)),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2 => Avx2::detect().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => Avx512::detect().map(Self::Avx512),
            #[cfg(not(target_arch = "x86_64"))]
            Simd::Avx2 | Simd::Avx512 => None,
        }
    }

    /// The best kernel of this CPU.
    pub(super) fn best() -> Self {
        Self::new(detect_simd()).unwrap_or(Self::Portable(Portable))
    }
}

/// Runs `$body` with `$kernel` bound to the concrete kernel of `$engine`.
macro_rules! with_kernel {
    ($engine:expr, $kernel:ident => $body:expr) => {
        match $engine {
            $crate::work::fp64_product::cpu::kernel::Engine::Portable($kernel) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::work::fp64_product::cpu::kernel::Engine::Avx2($kernel) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::work::fp64_product::cpu::kernel::Engine::Avx512($kernel) => $body,
        }
    };
}
pub(super) use with_kernel;

#[cfg(test)]
mod tests {
    use super::{Engine, Kernel, LEAF_SIDE, PANEL_MAX, Simd};
    use crate::protocol::digest::Digest;
    use crate::protocol::names::State;
    use crate::work::stream::{Operand, STEPS_MAX, Steps, Stream};
    use rand_philox::philox4x32_10;

    /// Element 2p + half of vector x as docs/protocol.md has it.
    fn element(state: &State, z: u32, x: u32, p: u32, half: usize) -> f64 {
        let word = |at: usize| u32::from_be_bytes(state.0[at..at + 4].try_into().unwrap());
        let y = philox4x32_10([p, x, z, word(8)], [word(0), word(4)]);
        let mantissa = (u64::from(y[2 * half + 1]) << 32 | u64::from(y[2 * half])) >> 12;
        f64::from_bits(0x4000_0000_0000_0000 | mantissa) - 3.0
    }

    fn check_fill<K: Kernel>(kernel: K, simd: Simd) {
        let mut steps = Steps::default();
        // Zero and all-one key and tweak words; the last vector and the last
        // step of the largest matrix; the last product.
        let states = [State([0; 32]), State([0xFF; 32]), State(Digest::of(&[b"fill"]).0)];
        for (state, product, operand, first_x, first_p, count) in [
            (states[0], 0, Operand::A, 0, 0, 4),
            (states[1], 4095, Operand::B, 32768 - 8, 16384 - 64, STEPS_MAX),
            (states[2], 1, Operand::B, 127, 8, 8),
            (states[2], 2, Operand::A, u32::MAX - 31, u32::MAX - 100, 16),
        ] {
            let stream = Stream::new(&state, product, operand);
            kernel.fill_steps(&stream, first_p, count, &mut steps);
            for width in [K::ROWS, K::COLUMNS, LEAF_SIDE] {
                // Not consecutive: a leaf's vectors are not.
                let vectors: Vec<u32> =
                    (0..width as u32).map(|i| first_x.wrapping_add(i ^ 1)).collect();
                // The border after the panel must stay untouched.
                let mut panel = vec![7.0; 2 * count * width + 1];
                kernel.fill(&stream, &steps, count, &vectors, &mut panel);
                assert_eq!(panel.pop(), Some(7.0), "{simd}: wrote past the panel");
                for (at, got) in panel.iter().enumerate() {
                    let (row, x) = (at / width, vectors[at % width]);
                    let (p, z) = (first_p + row as u32 / 2, 2 * product + operand as u32);
                    let expected = element(&state, z, x, p, row % 2);
                    assert_eq!(got.to_bits(), expected.to_bits(), "{simd}: x = {x}, p = {p}");
                }
            }
        }
    }

    fn check_multiply<K: Kernel>(kernel: K, simd: Simd) {
        // Full mantissas and sums to continue; depths around an unrolled loop.
        let number = |i: usize| element(&State(Digest::of(&[b"multiply"]).0), 0, 0, i as u32, 0);
        for depth in [1, 2, 3, 16, 127, 128] {
            let fill = |start: usize| -> Vec<f64> {
                (start..start + depth * PANEL_MAX).map(number).collect()
            };
            let (a, b) = (fill(0), fill(10_000));
            let sums: Vec<f64> = fill(20_000).into_iter().cycle().take(1024).collect();
            let expected = |rows: usize, columns: usize| -> Vec<f64> {
                (0..rows * columns)
                    .map(|at| {
                        let (row, column) = (at / columns, at % columns);
                        (0..depth).fold(sums[at], |sum, k| {
                            a[k * rows + row].mul_add(b[k * columns + column], sum)
                        })
                    })
                    .collect()
            };
            let mut c = sums[..K::ROWS * K::COLUMNS].to_vec();
            kernel.multiply(depth, &a, &b, &mut c);
            assert_eq!(c, expected(K::ROWS, K::COLUMNS), "{simd}, depth {depth}");
            let mut leaf: [f64; 64] = sums[..64].try_into().unwrap();
            kernel.multiply_leaf(depth, &a, &b, &mut leaf);
            assert_eq!(leaf.to_vec(), expected(8, 8), "{simd}, leaf, depth {depth}");
        }
    }

    #[test]
    fn every_kernel_generates_and_multiplies_exactly() {
        for simd in [Simd::Scalar, Simd::Avx2, Simd::Avx512] {
            let Some(engine) = Engine::new(simd) else { continue };
            with_kernel!(engine, kernel => {
                check_fill(kernel, simd);
                check_multiply(kernel, simd);
            });
        }
    }
}
