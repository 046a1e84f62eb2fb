//! What an instruction set must offer, and the choice between them at run time.
//!
//! Guarantee: every kernel gives the same integers. Sums are modulo 2³², and no output
//! leaves an int32.

use super::portable::Portable;
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};
use crate::executor::cpu::Simd;
use crate::protocol::work::integer_product::{ELEMENTS_PER_BLOCK, LEAF_ROWS};
use crate::work::stream::{Steps, Stream};

/// Rows of A that are generated together, in one panel.
pub(super) const GROUP: usize = 16;

/// Rows of A that [`Kernel::multiply`] takes at once; divides [`GROUP`].
pub(super) const ROWS: usize = 4;

/// Widest panel: rows or columns that are generated at once.
pub(super) const PANEL_MAX: usize = 64;

/// Elements that one Philox block draws.
pub(super) const STEP_ELEMENTS: usize = ELEMENTS_PER_BLOCK as usize;

/// Philox blocks of a vector that are generated and multiplied in one go, if n has that many:
/// a panel of columns then takes half of a first cache.
pub(super) const STEPS_PER_CHUNK: usize = 16;

/// An instruction set, at work.
///
/// Operands are packed in panels: `panel[at * width + i]` is entry `at` of the panel's
/// vector i, in the form that the kernel's multiplications take.
pub(super) trait Kernel: Copy + Send + Sync {
    /// Columns of B in a panel; divides 128.
    const COLUMNS: usize;
    /// Entries into which a vector's Philox block is packed.
    const STEP_WORDS: usize;
    /// What the kernel adds to each element of B: a row's sum times that has to be taken
    /// from each of its outputs.
    const BIAS: u32;

    /// [`Stream::fill_steps`] on this instruction set.
    fn fill_steps(self, stream: &Stream, first: u32, count: usize, steps: &mut Steps);

    /// Generates the panel of [`GROUP`] rows of A for the counter steps in `steps[..count]`.
    fn fill_rows(
        self,
        stream: &Stream,
        steps: &Steps,
        count: usize,
        rows: &[u32; GROUP],
        panel: &mut [u32],
    );

    /// Generates the panel of [`Kernel::COLUMNS`] columns of B, from `first` on.
    fn fill_columns(
        self,
        stream: &Stream,
        steps: &Steps,
        count: usize,
        first: u32,
        panel: &mut [u32],
    );

    /// Adds the elements of each row of a panel of A to its sum; not asked of kernels
    /// without a bias.
    fn add_rows(self, count: usize, a: &[u32], sums: &mut [i32; GROUP]);

    /// Adds products to the outputs of [`ROWS`] rows from `row` of the group on, row-major
    /// in `c`, over `count` counter steps.
    fn multiply(self, count: usize, a: &[u32], row: usize, b: &[u32], c: &mut [i32]);

    /// The same for the two rows of a leaf.
    fn multiply_leaf(self, count: usize, a: &[u32], row: usize, b: &[u32], c: &mut [i32]);
}

/// Rows of a leaf, as a number of rows of a group.
pub(super) const LEAF: usize = LEAF_ROWS as usize;

const _: () = assert!(
    GROUP.is_multiple_of(ROWS) && GROUP.is_multiple_of(LEAF) && GROUP <= PANEL_MAX,
    "rows are multiplied within their group"
);

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
    /// The kernel for `simd`: without VNNI, AVX-512 has none of its own and AVX2's is taken.
    /// `None` if this CPU lacks it.
    pub(super) fn new(simd: Simd) -> Option<Self> {
        match simd {
            Simd::Scalar => Some(Self::PORTABLE),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2 => Avx2::detect().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 if !simd.is_here() => None,
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => Avx512::detect().map(Self::Avx512).or_else(|| Self::new(Simd::Avx2)),
            #[cfg(not(target_arch = "x86_64"))]
            Simd::Avx2 | Simd::Avx512 => None,
        }
    }

    /// Plain Rust.
    pub(super) const PORTABLE: Self = Self::Portable(Portable);
}

/// Runs `$body` with `$kernel` bound to the concrete kernel of `$engine`.
macro_rules! with_kernel {
    ($engine:expr, $kernel:ident => $body:expr) => {
        match $engine {
            $crate::work::integer_product::cpu::kernel::Engine::Portable($kernel) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::work::integer_product::cpu::kernel::Engine::Avx2($kernel) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::work::integer_product::cpu::kernel::Engine::Avx512($kernel) => $body,
        }
    };
}
pub(super) use with_kernel;

/// x, x + 1, …
pub(super) fn consecutive<const COUNT: usize>(x: u32) -> [u32; COUNT] {
    std::array::from_fn(|i| x.wrapping_add(i as u32))
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;
