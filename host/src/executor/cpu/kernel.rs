//! What an instruction set must offer, and the choice between them at run time.
//!
//! Guarantee: every kernel gives the same bits. The order of the additions is
//! part of the interface: each output is one chain of fused multiply-adds over
//! ascending k, in memory between calls.

use super::portable::Portable;
use super::stream::{Steps, Stream};
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};
use std::fmt;

/// Rows and columns of a leaf.
pub(super) const LEAF_SIDE: usize = 8;

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

/// The instruction sets that the CPU executor knows, best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Simd {
    /// Whatever the target has: `f64::mul_add`.
    Scalar,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 F.
    Avx512,
}

impl fmt::Display for Simd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2+fma",
            Self::Avx512 => "avx512f",
        })
    }
}

/// The best instruction set of this CPU.
pub fn detect_simd() -> Simd {
    [Simd::Avx512, Simd::Avx2]
        .into_iter()
        .find(|&simd| Engine::new(simd).is_some())
        .unwrap_or(Simd::Scalar)
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
    /// The kernel for `simd`; `None` where this CPU lacks it.
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

    /// Which instruction set it is.
    pub(super) fn simd(self) -> Simd {
        match self {
            Self::Portable(_) => Simd::Scalar,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Simd::Avx2,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => Simd::Avx512,
        }
    }
}

/// Runs `$body` with `$kernel` bound to the concrete kernel of `$engine`.
macro_rules! with_kernel {
    ($engine:expr, $kernel:ident => $body:expr) => {
        match $engine {
            $crate::executor::cpu::kernel::Engine::Portable($kernel) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::executor::cpu::kernel::Engine::Avx2($kernel) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::executor::cpu::kernel::Engine::Avx512($kernel) => $body,
        }
    };
}
pub(super) use with_kernel;
