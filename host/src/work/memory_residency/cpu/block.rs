//! A block of an arena, as the CPU keeps it.

use crate::protocol::digest::Digest;
use crate::protocol::work::memory_residency::{BLOCK_BYTES, BLOCK_WORDS};

/// Words of a block.
pub(super) const WORDS: usize = BLOCK_WORDS as usize;

/// The first u32 of all words, then the second of all, and so on: what vectors of words
/// need lies together. A page of its own, so that a block takes one entry of the TLB.
#[derive(Clone, Copy)]
#[repr(C, align(4096))]
pub(super) struct Block(pub(super) [[u32; WORDS]; 4]);

const _: () = assert!(size_of::<Block>() as u64 == BLOCK_BYTES, "an arena has no gaps");

impl Block {
    pub(super) const ZERO: Self = Self([[0; WORDS]; 4]);

    /// SHA-256 of its words in order, each u32 big-endian.
    pub(super) fn digest(&self) -> Digest {
        let word = |l: usize| (0..4).flat_map(move |part| self.0[part][l].to_be_bytes());
        Digest::of(&[&(0..WORDS).flat_map(word).collect::<Vec<u8>>()])
    }
}
