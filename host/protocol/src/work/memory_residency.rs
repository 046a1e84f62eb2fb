//! The kind `memory_residency_pow`: an arena of pseudorandom blocks that every iteration
//! reads once. docs/protocol.md, "Memory residency", says what its numbers mean.
//!
//! Guarantees: a [`MemoryResidency`] that [`MemoryResidency::new`] made is within all
//! bounds; which blocks a leaf reads follows from it and from drawn words, nothing else.
//! Deliberately lacks: random numbers, mixing, folding and hashing. The oracle, the CPU
//! and the GPU have their own.

pub mod shown;

use crate::challenge::{ChallengeError, LANES_MAX};
use crate::quantity::{about, at_least, counted};
use serde::{Deserialize, Serialize};
use std::fmt;

/// `challenge_type` on the wire.
pub const CHALLENGE_TYPE: &str = "memory_residency_pow";

/// Words of a block, four u32 each.
pub const BLOCK_WORDS: u32 = 256;
/// Bytes of a block.
pub const BLOCK_BYTES: u64 = 16 * BLOCK_WORDS as u64;
/// What the number of blocks of an arena is a multiple of.
pub const ARENA_BLOCKS_STEP: u64 = 512;
/// Most blocks of an arena: 2²⁸, 1.1 TB.
pub const ARENA_BLOCKS_MAX: u64 = 1 << 28;
/// Most half-passes: what a validator recomputes grows like Fibonacci's numbers.
pub const HALF_PASSES_MAX: u32 = 16;
/// Half-passes of the challenges that programs issue.
pub const HALF_PASSES_DEFAULT: u32 = 12;
/// Fewest half-passes with which a verdict may say anything of memory.
pub const HALF_PASSES_SHOWN_MIN: u32 = 10;
/// What the number of blocks read across lanes is a multiple of.
pub const PEER_BLOCKS_STEP: u64 = 256;
/// Leaves of a tile, a complete subtree.
pub const LEAVES_PER_TILE: u32 = 256;
/// W: columns into which a leaf's words are folded.
pub const FOLD_COLUMNS: u32 = 32;
/// Q: words of a column.
pub const FOLD_WORDS: u32 = 16;
/// Bytes of a leaf's message, whatever the fold is given.
pub const MESSAGE_BYTES: usize = 16;
/// Bytes of an arena that may stay in caches from sweep to sweep: the floor leaves them out.
pub const CACHED_BYTES: u64 = 1 << 28;

/// Third word of the counter whose Philox block draws a half-pass's partner.
pub const DRAW_PARTNER: u32 = 1;
/// Third word of the counter whose Philox block draws a sweep's offsets.
pub const DRAW_SWEEP: u32 = 2;
/// Third word of the counter whose Philox block draws a leaf's rotation.
pub const DRAW_LEAF: u32 = 3;

const _: () = assert!(
    2 * BLOCK_WORDS == FOLD_COLUMNS * FOLD_WORDS,
    "a leaf folds all words of its two blocks"
);
const _: () = assert!(
    ARENA_BLOCKS_STEP == 2 * LEAVES_PER_TILE as u64 && PEER_BLOCKS_STEP == LEAVES_PER_TILE as u64,
    "an iteration is whole tiles"
);
const _: () = assert!(ARENA_BLOCKS_MAX <= 1 << 32, "a block's number is a counter word");

/// The fields as they are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryFields {
    /// N: a multiple of 512, 512 … 2²⁸.
    pub arena_blocks: u64,
    /// p: 0 … 16.
    pub half_passes: u64,
    /// K: 0, or a multiple of 256, 256 … N.
    pub peer_blocks: u64,
}

impl MemoryFields {
    /// The fields' names, in the order of the protocol's table.
    pub const NAMES: [&str; 3] = ["arena_blocks", "half_passes", "peer_blocks"];

    pub(super) fn entries(&self) -> [(&'static str, u64); 3] {
        let [blocks, passes, peers] = Self::NAMES;
        [(blocks, self.arena_blocks), (passes, self.half_passes), (peers, self.peer_blocks)]
    }

    /// # Errors
    /// The first field outside its bounds.
    pub(super) fn check(&self, gpu_count: Option<u64>) -> Result<MemoryResidency, ChallengeError> {
        MemoryResidency::new(self.arena_blocks, self.half_passes, self.peer_blocks, gpu_count)
    }
}

/// The size of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemoryResidency {
    /// N: blocks of a lane's arena.
    pub arena_blocks: u64,
    /// p: how often half of the arena is mixed with blocks of the other half.
    pub half_passes: u32,
    /// K: leaves of an iteration that read another lane's arena as well; 0 if all leaves
    /// read their own lane's only.
    pub peer_blocks: u64,
}

/// What a leaf reads: a block of the lane's own arena and a second one, of the same arena
/// if K = 0 and of another lane's otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reads {
    /// u, of the lane's own arena.
    pub own: u64,
    /// v, of the arena of [`MemoryResidency::second_lane`].
    pub second: u64,
}

/// An iteration's way through the arenas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    first_own: u64,
    /// The block that the second blocks count from, and how many from there on take part.
    second_base: u64,
    second_count: u64,
    second_offset: u64,
    arena_blocks: u64,
}

/// As in a table: what one iteration is.
impl fmt::Display for MemoryResidency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arena = about(self.arena_bytes() as f64, "B");
        match self.peer_blocks {
            0 => write!(
                f,
                "a sweep of an arena of {arena}, filled in {} half-passes",
                self.half_passes
            ),
            _ => write!(
                f,
                "a sweep of {}, half of it another lane's, of arenas of {arena}, filled in \
                 {} half-passes",
                about(self.sweep_bytes() as f64, "B"),
                self.half_passes
            ),
        }
    }
}

impl MemoryResidency {
    pub(super) fn run_in_words(self, lanes: u32, iterations: u32) -> String {
        let total = u128::from(self.sweep_bytes()) * u128::from(iterations) * u128::from(lanes);
        format!(
            "{} of {} of {}, {} in all",
            counted(iterations.into(), "sweep"),
            counted(lanes.into(), "arena"),
            about(self.arena_bytes() as f64, "B"),
            at_least(total as f64, "B")
        )
    }

    /// The work of these fields, if they are within their bounds.
    ///
    /// # Errors
    /// [`ChallengeError::OutOfBounds`], with the first field that isn't.
    pub fn new(
        arena_blocks: u64,
        half_passes: u64,
        peer_blocks: u64,
        gpu_count: Option<u64>,
    ) -> Result<Self, ChallengeError> {
        let multiple = |field, got: u64, step: u64, high: u64| {
            if got.is_multiple_of(step) && (step..=high).contains(&got) {
                return Ok(());
            }
            let expected = format!("a multiple of {step} from {step} to {high}");
            Err(ChallengeError::OutOfBounds { field, expected, got: got.to_string() })
        };
        multiple("arena_blocks", arena_blocks, ARENA_BLOCKS_STEP, ARENA_BLOCKS_MAX)?;
        if half_passes > u64::from(HALF_PASSES_MAX) {
            return Err(ChallengeError::OutOfBounds {
                field: "half_passes",
                expected: format!("0 to {HALF_PASSES_MAX}"),
                got: half_passes.to_string(),
            });
        }
        if peer_blocks > 0 {
            multiple("peer_blocks", peer_blocks, PEER_BLOCKS_STEP, arena_blocks)?;
            if gpu_count.is_none_or(|count| count < 2) {
                return Err(ChallengeError::OutOfBounds {
                    field: "gpu_count",
                    expected: format!("2 to {LANES_MAX}, as peer_blocks is not 0"),
                    got: gpu_count.map_or("absent".to_owned(), |count| count.to_string()),
                });
            }
        }
        Ok(Self { arena_blocks, half_passes: half_passes as u32, peer_blocks })
    }

    /// L, the leaves of one iteration.
    pub fn leaves(self) -> u64 {
        if self.reads_peers() { self.peer_blocks } else { self.half_blocks() }
    }
    /// Tiles of one iteration.
    pub fn tiles(self) -> u64 {
        self.leaves() / u64::from(LEAVES_PER_TILE)
    }
    /// Whether leaves read another lane's arena.
    pub fn reads_peers(self) -> bool {
        self.peer_blocks > 0
    }
    /// Blocks of half an arena.
    pub fn half_blocks(self) -> u64 {
        self.arena_blocks / 2
    }
    /// Bytes of a lane's arena.
    pub fn arena_bytes(self) -> u64 {
        BLOCK_BYTES * self.arena_blocks
    }
    /// Bytes that one sweep of one lane reads.
    pub fn sweep_bytes(self) -> u64 {
        2 * BLOCK_BYTES * self.leaves()
    }
    /// Those of them that come from another lane's arena.
    pub fn link_bytes(self) -> u64 {
        if self.reads_peers() { BLOCK_BYTES * self.leaves() } else { 0 }
    }
    /// Bytes that a half-pass moves: two blocks read and one written for each of a half.
    pub fn half_pass_bytes(self) -> u64 {
        3 * BLOCK_BYTES * self.half_blocks()
    }
    /// Bytes that filling an arena moves: its first words, and all half-passes.
    pub fn fill_bytes(self) -> u64 {
        self.arena_bytes() + u64::from(self.half_passes) * self.half_pass_bytes()
    }
    /// Bytes of an arena that sweeps can't read from caches.
    pub fn uncached_bytes(self) -> u64 {
        self.arena_bytes().saturating_sub(CACHED_BYTES)
    }

    /// The half, 0 or 1, that half-pass r ≥ 1 changes.
    pub fn changed_half(self, half_pass: u32) -> u64 {
        u64::from(half_pass - 1) % 2
    }
    /// The half in which `block` lies.
    pub fn half_of(self, block: u64) -> u64 {
        block / self.half_blocks()
    }
    /// The last half-pass up to `half_pass` that changed blocks of `half`; 0 if none has.
    pub fn last_change(self, half: u64, half_pass: u32) -> u32 {
        let skipped = u32::from(half_pass > 0 && self.changed_half(half_pass) != half);
        half_pass - skipped
    }
    /// j: the partner in the other half, counted from its start, that the drawn word
    /// `e0` chooses in a half-pass.
    pub fn partner(self, e0: u32) -> u64 {
        scaled(e0, self.half_blocks())
    }

    /// The lane that holds the second blocks of lane `lane` in `iteration` ≥ 1.
    ///
    /// # Panics
    /// If lanes read each other's arenas and there are fewer than two.
    pub fn second_lane(self, lane: u32, iteration: u32, lanes: u32) -> u32 {
        if !self.reads_peers() {
            return lane;
        }
        assert!(lanes >= 2, "lanes that read each other's arenas are at least two");
        // Lanes are at most 64 and iterations at most 10⁶: nothing overflows.
        (lane + 1 + (iteration - 1) % (lanes - 1)) % lanes
    }

    /// The sweep of an iteration whose state draws (o0, o1, ·, ·).
    pub fn sweep(self, [o0, o1]: [u32; 2]) -> Sweep {
        let (all, half) = (self.arena_blocks, self.half_blocks());
        let (first_own, second_base, second_count) =
            if self.reads_peers() { (scaled(o1, all), 0, all) } else { (0, half, half) };
        Sweep {
            first_own,
            second_base,
            second_count,
            second_offset: scaled(o0, second_count),
            arena_blocks: all,
        }
    }
}

impl Sweep {
    /// The two blocks of leaf x.
    pub fn reads(self, leaf: u64) -> Reads {
        Reads {
            own: (self.first_own + leaf) % self.arena_blocks,
            second: self.second_base + (self.second_offset + leaf) % self.second_count,
        }
    }
}

/// ⌊word·count / 2³²⌋: a number below `count`, which is below 2³².
fn scaled(word: u32, count: u64) -> u64 {
    (u64::from(word) * count) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(arena_blocks: u64, half_passes: u32, peer_blocks: u64) -> MemoryResidency {
        MemoryResidency { arena_blocks, half_passes, peer_blocks }
    }

    #[test]
    fn bounds_are_those_of_the_table_and_one_beyond_each_is_refused() {
        let accepted = [
            (512, 0, 0, None),
            (1 << 28, 16, 0, Some(1)),
            (512, 16, 256, Some(2)),
            (512, 16, 512, Some(64)),
            (1 << 28, 12, 1 << 28, Some(3)),
        ];
        for (n, p, k, g) in accepted {
            let spec = MemoryResidency::new(n, p, k, g).unwrap();
            assert_eq!(spec, work(n, p as u32, k));
        }
        let refused = [
            ((0, 0, 0, None), "arena_blocks"),
            ((256, 0, 0, None), "arena_blocks"),
            ((768, 0, 0, None), "arena_blocks"),
            (((1 << 28) + 512, 0, 0, None), "arena_blocks"),
            ((u64::MAX - 511, 0, 0, None), "arena_blocks"),
            ((512, 17, 0, None), "half_passes"),
            ((512, 1 << 32, 0, None), "half_passes"),
            ((512, 0, 128, Some(2)), "peer_blocks"),
            ((512, 0, 384, Some(2)), "peer_blocks"),
            ((512, 0, 768, Some(2)), "peer_blocks"),
            ((512, 0, 256, None), "gpu_count"),
            ((512, 0, 256, Some(1)), "gpu_count"),
        ];
        for ((n, p, k, g), expected) in refused {
            match MemoryResidency::new(n, p, k, g) {
                Err(ChallengeError::OutOfBounds { field, .. }) => assert_eq!(field, expected),
                other => panic!("{n} {p} {k} {g:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn counts_follow_from_the_fields() {
        let own = work(1536, 12, 0);
        assert_eq!((own.leaves(), own.tiles(), own.arena_bytes()), (768, 3, 6 << 20));
        assert_eq!((own.sweep_bytes(), own.link_bytes()), (6 << 20, 0));
        assert_eq!(own.fill_bytes(), (6 + 12 * 9) << 20);
        let peers = work(1536, 12, 1024);
        assert_eq!((peers.leaves(), peers.tiles()), (1024, 4));
        assert_eq!((peers.sweep_bytes(), peers.link_bytes()), (8 << 20, 4 << 20));
        let largest = work(ARENA_BLOCKS_MAX, HALF_PASSES_MAX, 0);
        assert_eq!(largest.arena_bytes(), 1 << 40);
        assert_eq!(largest.uncached_bytes(), (1 << 40) - (1 << 28));
        assert_eq!(work(512, 0, 0).uncached_bytes(), 0);
    }

    /// Leaves of a sweep of the lane's own arena read every block once.
    #[test]
    fn a_sweep_of_the_own_arena_reads_each_block_once() {
        let spec = work(1536, 0, 0);
        for o0 in [0, 1, 0x7fff_ffff, u32::MAX] {
            let sweep = spec.sweep([o0, 77]);
            let mut read = vec![0; 1536];
            for leaf in 0..spec.leaves() {
                let Reads { own, second } = sweep.reads(leaf);
                assert_eq!(own, leaf, "the first half in order, whatever o1 is");
                read[own as usize] += 1;
                read[second as usize] += 1;
            }
            assert!(read.iter().all(|&count| count == 1), "{o0}");
        }
        assert_eq!(spec.sweep([u32::MAX, 0]).reads(0).second, 1535);
    }

    #[test]
    fn a_sweep_across_lanes_goes_round_both_arenas() {
        let spec = work(1536, 0, 1536);
        let last = spec.sweep([u32::MAX, 1 << 31]);
        assert_eq!(last.reads(0), Reads { own: 768, second: 1535 });
        assert_eq!(last.reads(1), Reads { own: 769, second: 0 });
        assert_eq!(last.reads(768), Reads { own: 0, second: 767 });
        // Products need 64 bits: 2²⁸ blocks and the largest word.
        let largest = work(ARENA_BLOCKS_MAX, 0, ARENA_BLOCKS_MAX).sweep([u32::MAX; 2]);
        assert_eq!(largest.reads(0), Reads { own: (1 << 28) - 1, second: (1 << 28) - 1 });
    }

    #[test]
    fn second_lanes_are_all_others_in_turn() {
        let spec = work(512, 0, 256);
        for lanes in [2, 3, 64] {
            for lane in [0, lanes - 1] {
                let mut met: Vec<u32> =
                    (1..lanes).map(|i| spec.second_lane(lane, i, lanes)).collect();
                assert_eq!(met[0], (lane + 1) % lanes);
                assert_eq!(spec.second_lane(lane, lanes, lanes), met[0], "then from the start");
                met.sort_unstable();
                let others: Vec<u32> = (0..lanes).filter(|&other| other != lane).collect();
                assert_eq!(met, others, "{lanes} lanes");
            }
        }
        assert_eq!(work(512, 0, 0).second_lane(3, 9, 4), 3);
        assert_eq!(spec.second_lane(63, 1_000_000, 64), 999_999 % 63);
    }

    #[test]
    fn halves_change_in_turn() {
        let spec = work(512, 12, 0);
        assert_eq!([1, 2, 3, 12].map(|r| spec.changed_half(r)), [0, 1, 0, 1]);
        assert_eq!([0, 255, 256, 511].map(|block| spec.half_of(block)), [0, 0, 1, 1]);
        let last = |half: u64| [0, 1, 2, 3, 12].map(|r| spec.last_change(half, r));
        assert_eq!((last(0), last(1)), ([0, 1, 1, 3, 11], [0, 0, 2, 2, 12]));
        assert_eq!([0, 1 << 31, u32::MAX].map(|e0| spec.partner(e0)), [0, 128, 255]);
    }
}
