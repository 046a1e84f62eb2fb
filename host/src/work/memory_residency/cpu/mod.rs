//! Memory residency on the host's cores: arenas in host memory, sweeps over them, and
//! leaves from nothing for a validator.
//!
//! Guarantees: the same bits on every instruction set and core count. An arena has all of
//! its memory or there is none. Recomputing leaves takes less than 200 MB, however many
//! they are and however large the arena is. Unsafe code is confined to the two x86
//! instruction sets.
//! Deliberately lacks: a thread pool of its own (it runs in the caller's rayon pool),
//! chains, and roots above the tiles.
//!
//! ```text
//! isa ─ portable, avx2, avx512   a register of words and what can be done with it
//! block ─ kernel                 first words, mixing, folding of whole blocks
//! philox                         drawn words, rounds that blocks share
//! arena, sweep ─ lane            what a miner does
//! recompute ─ known              what a validator does; what memory must hold
//! ```

mod arena;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod block;
mod isa;
mod kernel;
mod known;
mod lane;
mod philox;
mod portable;
mod recompute;
mod sweep;

pub use arena::{Arena, ArenaError, EmptyArena};
pub use known::BlockWords;
pub(crate) use lane::MemoryOnCpu;
pub use sweep::LaneSweep;

use crate::executor::cpu::{Simd, detect_simd};
use kernel::Engine;

/// Computes memory residency on an instruction set that this CPU has.
#[derive(Clone, Copy)]
pub struct MemoryCpu {
    engine: Engine,
}

impl std::fmt::Debug for MemoryCpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryCpu").finish_non_exhaustive()
    }
}

impl Default for MemoryCpu {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryCpu {
    /// On the best instruction set of this CPU.
    pub fn new() -> Self {
        Self::on(detect_simd())
    }

    /// On `simd`; `None` if this CPU lacks it.
    pub fn with_simd(simd: Simd) -> Option<Self> {
        Engine::new(simd).map(|engine| Self { engine })
    }

    /// On `simd`, or portable code if it is not here.
    pub(crate) fn on(simd: Simd) -> Self {
        Self::with_simd(simd).unwrap_or(Self { engine: Engine::PORTABLE })
    }
}
