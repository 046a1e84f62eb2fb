//! A lane's arena in host memory: all of it or none.

use super::MemoryCpu;
use super::block::Block;
use super::kernel::{Kernel, with_kernel};
use super::philox::{FirstWords, StateWords};
use crate::executor::host_memory::{BoundBy, HostMemory};
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::protocol::quantity::about;
use crate::protocol::work::memory_residency::{DRAW_PARTNER, MemoryResidency};
use rayon::prelude::*;
use std::ops::ControlFlow;

/// Blocks that a core takes at a time.
const BLOCKS_PER_JOB: usize = 64;

/// Why there is no arena. Text in two lines: what happened, what to try.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArenaError {
    /// The host's memory, or what the process may have of it, is too small.
    #[error(
        "the arena needs {} of host memory; {} are free {bound_by}\nAsk for a smaller arena, or free memory.",
        about(*needed_bytes as f64, "B"),
        about(*free_bytes as f64, "B")
    )]
    TooLarge {
        /// Bytes of the arena.
        needed_bytes: u64,
        /// Bytes that can be taken now.
        free_bytes: u64,
        /// What sets the limit.
        bound_by: BoundBy,
    },
    /// The system refused the address space.
    #[error(
        "the arena needs {} of host memory; the system refused them\nRaise the limit of address space (ulimit -v) or allow overcommitment (vm.overcommit_memory).",
        about(*needed_bytes as f64, "B")
    )]
    Refused {
        /// Bytes of the arena.
        needed_bytes: u64,
    },
    /// The fill was told to stop.
    #[error("the fill of the arena was stopped\nRun it again.")]
    Stopped,
}

/// Address space for an arena: no page of it has been touched, or what an earlier fill left.
pub struct EmptyArena {
    work: MemoryResidency,
    blocks: Vec<Block>,
}

/// A filled arena.
pub struct Arena {
    work: MemoryResidency,
    blocks: Vec<Block>,
}

impl EmptyArena {
    /// Room for the arena of `work`.
    ///
    /// # Errors
    /// [`ArenaError::TooLarge`] if the host, or a cgroup of this process, has less free
    /// memory; [`ArenaError::Refused`]. An unreadable limit limits nothing.
    pub fn allocate(work: MemoryResidency) -> Result<Self, ArenaError> {
        Self::within(work, HostMemory::read())
    }

    fn within(work: MemoryResidency, memory: Option<HostMemory>) -> Result<Self, ArenaError> {
        let needed_bytes = work.arena_bytes();
        if let Some(HostMemory { available_bytes, bound_by, .. }) = memory
            && available_bytes < needed_bytes
        {
            return Err(ArenaError::TooLarge {
                needed_bytes,
                free_bytes: available_bytes,
                bound_by,
            });
        }
        let refused = |_| ArenaError::Refused { needed_bytes };
        let count = usize::try_from(work.arena_blocks).map_err(|_| refused(()))?;
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(count).map_err(|_| refused(()))?;
        Ok(Self { work, blocks })
    }
}

impl Arena {
    /// The work whose arena it is.
    pub fn work(&self) -> MemoryResidency {
        self.work
    }

    /// SHA-256 of block `b`, words in order, each u32 big-endian.
    ///
    /// # Panics
    /// If there is no such block.
    pub fn block_digest(&self, b: u64) -> Digest {
        self.block(b).digest()
    }

    /// The words of `count` blocks from block `first` on, as they lie there.
    ///
    /// # Panics
    /// If there are no such blocks.
    pub fn words(&self, first: u64, count: u64) -> Vec<[u32; 4]> {
        (first..first + count).flat_map(|b| self.block(b).words()).collect()
    }

    /// Flips bit `bit` (0 to 127, the first u32's lowest first) of word `word` of block
    /// `b`, as a fault of the memory would.
    ///
    /// # Panics
    /// If there is no such bit.
    pub fn flip(&mut self, b: u64, word: u32, bit: u32) {
        self.blocks[b as usize].0[bit as usize / 32][word as usize] ^= 1 << (bit % 32);
    }

    /// The memory, for another fill.
    pub fn into_empty(self) -> EmptyArena {
        EmptyArena { work: self.work, blocks: self.blocks }
    }

    #[inline]
    pub(super) fn block(&self, b: u64) -> &Block {
        &self.blocks[b as usize]
    }
}

impl MemoryCpu {
    /// Fills an arena for the lane that starts from s(g,0) = `seed`. Between passes over
    /// the memory `between` is asked whether to go on.
    ///
    /// # Errors
    /// [`ArenaError::Stopped`] if it says no; the memory is given back.
    pub fn fill(
        self,
        empty: EmptyArena,
        seed: &State,
        between: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Arena, ArenaError> {
        let EmptyArena { work, blocks } = empty;
        let mut arena = Arena { work, blocks };
        let words = StateWords::of(seed);
        with_kernel!(self.engine, kernel => arena.start(kernel, &FirstWords::new(&words)));
        for half_pass in 1..=work.half_passes {
            if between().is_break() {
                return Err(ArenaError::Stopped);
            }
            with_kernel!(self.engine, kernel => arena.half_pass(kernel, &words, half_pass));
        }
        Ok(arena)
    }
}

impl Arena {
    /// Writes the first words of every block.
    fn start<K: Kernel>(&mut self, kernel: K, stream: &FirstWords) {
        self.blocks.clear();
        let count = self.work.arena_blocks as usize;
        let numbers = (0..count as u32).into_par_iter();
        numbers
            .with_min_len(BLOCKS_PER_JOB)
            .map(|b| {
                let mut block = Block::ZERO;
                kernel.first_words(stream, b, &mut block);
                block
            })
            .collect_into_vec(&mut self.blocks);
    }

    /// Mixes every block of one half with a block of the other.
    fn half_pass<K: Kernel>(&mut self, kernel: K, seed: &StateWords, half_pass: u32) {
        let work = self.work;
        let (low, high) = self.blocks.split_at_mut(work.half_blocks() as usize);
        let (changed, other) = match work.changed_half(half_pass) {
            0 => (low, &*high),
            _ => (high, &*low),
        };
        let each = changed.par_iter_mut().enumerate().with_min_len(BLOCKS_PER_JOB);
        each.for_each(|(c, x)| {
            let [e0, e1] = seed.draw(c as u32, half_pass, DRAW_PARTNER);
            kernel.mix(x, &other[work.partner(e0) as usize], (e1 % 256) as u8);
        });
    }
}
