//! Faults that were found: which device, where, what it had and what is right.

use crate::protocol::digest::{Digest, Uuid};
use std::fmt;

/// Faults that are kept of each load. Differences after the last of them are counted,
/// not judged: a device that is always wrong would keep the CPU busy and the others
/// waiting.
pub const FAULTS_MAX: usize = 16;

/// Words of a tile that are kept, if more of them are wrong.
const WORDS_MAX: usize = 8;

/// A lane's wrong bits in one iteration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The device that was wrong.
    pub device: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// The load, as `--kinds` calls it.
    pub kind: &'static str,
    /// The round it was wrong in, from 1; of sweeps, the fill.
    pub round: u64,
    /// The iteration; of sweeps, how many there had been since the fill, this one
    /// included.
    pub iteration: u64,
    /// The first tile that is wrong, over all products; `None`: the tree above
    /// the tiles.
    pub tile: Option<u64>,
    /// The root of the tile or tree as the CPU computes it.
    pub expected: Digest,
    /// As the device had it.
    pub got: Digest,
    /// Of a sweep, what the blocks that the tile reads held when they were read back;
    /// `None`: they were not.
    pub words: Option<WrongWords>,
}

/// What was wrong in blocks that were read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WrongWords {
    /// How many words; 0: the blocks were as they must be by then.
    pub count: u64,
    /// The first of them.
    pub first: Vec<WrongWord>,
}

/// A word of an arena that is not what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongWord {
    /// Its block: 4096 bytes each, from the arena's start.
    pub block: u64,
    /// Which of the block's 256 words.
    pub word: u32,
    /// What the fill wrote there.
    pub expected: [u32; 4],
    /// What was read.
    pub got: [u32; 4],
}

impl WrongWord {
    /// How many of its bits are wrong.
    pub fn bits(&self) -> u32 {
        self.expected.iter().zip(self.got).map(|(a, b)| (a ^ b).count_ones()).sum()
    }
}

/// The four u32 of a word in hex, in order.
pub fn word_in_hex(word: [u32; 4]) -> String {
    word.map(|part| format!("{part:08x}")).join("_")
}

impl WrongWords {
    /// Keeps a word of block `block` if it is wrong.
    pub(super) fn note(&mut self, block: u64, word: u32, expected: [u32; 4], got: [u32; 4]) {
        if expected == got {
            return;
        }
        self.count += 1;
        if self.first.len() < WORDS_MAX {
            self.first.push(WrongWord { block, word, expected, got });
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, kind, round, iteration, expected, got, .. } = self;
        let is_sweep = *kind == "memory";
        let place = match is_sweep {
            true => format!("sweep {iteration} after fill {round}"),
            false => format!("iteration {iteration}"),
        };
        if let Some(WrongWords { count, first }) = &self.words
            && let Some(word) = first.first()
        {
            let WrongWord { block, word: at, expected, got } = *word;
            write!(f, "{device}: word {at} of block {block} was wrong in {place}: ")?;
            write!(f, "got {}, expected {}", word_in_hex(got), word_in_hex(expected))?;
            let bits = word.bits();
            write!(f, " ({bits} bit{})", if bits == 1 { "" } else { "s" })?;
            return match count {
                1 => Ok(()),
                _ => write!(f, "; {} more words near it", count - 1),
            };
        }
        match self.tile {
            Some(tile) => write!(f, "{device}: tile {tile} of {place}")?,
            None => write!(f, "{device}: the tree of {place}")?,
        }
        match is_sweep {
            true => write!(f, " was wrong: got {got}, expected {expected}")?,
            false => write!(f, " was wrong in round {round}: got {got}, expected {expected}")?,
        }
        match &self.words {
            Some(_) => f.write_str("; its blocks were right when they were read back"),
            None if is_sweep && self.tile.is_some() => {
                f.write_str("; its blocks were not read back")
            }
            None => Ok(()),
        }
    }
}

/// The faults of one load.
pub(super) struct FaultLog {
    kind: &'static str,
    names: Vec<(String, Uuid)>,
    faults: Vec<Fault>,
    unjudged: u64,
}

/// Where a fault was found.
#[derive(Clone, Copy)]
pub(super) struct FaultPlace {
    pub(super) lane: usize,
    pub(super) round: u64,
    pub(super) iteration: u64,
    pub(super) tile: Option<u64>,
}

impl FaultLog {
    pub(super) fn new(kind: &'static str, names: Vec<(String, Uuid)>) -> Self {
        Self { kind, names, faults: Vec::new(), unjudged: 0 }
    }

    pub(super) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Differences after the last fault that was kept.
    pub(super) fn unjudged(&self) -> u64 {
        self.unjudged
    }

    /// Whether no further fault is kept; the difference that was to be judged is counted
    /// then.
    pub(super) fn is_full(&mut self) -> bool {
        let is_full = self.faults.len() >= FAULTS_MAX;
        self.unjudged += u64::from(is_full);
        is_full
    }

    /// Keeps a fault, unless there are too many; gives its number.
    pub(super) fn keep(
        &mut self,
        place: FaultPlace,
        expected: Digest,
        got: Digest,
    ) -> Option<usize> {
        if self.faults.len() >= FAULTS_MAX {
            return None;
        }
        let FaultPlace { lane, round, iteration, tile } = place;
        let (device, uuid) = self.names[lane].clone();
        let (kind, words) = (self.kind, None);
        let fault = Fault { device, uuid, kind, round, iteration, tile, expected, got, words };
        tracing::warn!("{fault}");
        self.faults.push(fault);
        Some(self.faults.len() - 1)
    }

    /// What was read back of fault `fault`.
    pub(super) fn pin(&mut self, fault: usize, words: WrongWords) {
        let fault = &mut self.faults[fault];
        fault.words = Some(words);
        tracing::warn!("{fault}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_memory_name_block_and_word_and_how_many_bits() {
        let (device, uuid) = ("GPU 3".to_owned(), Uuid::default());
        let mut fault = Fault {
            device,
            uuid,
            kind: "memory",
            round: 2,
            iteration: 9,
            tile: Some(4),
            expected: Digest([1; 32]),
            got: Digest([2; 32]),
            words: None,
        };
        let text = fault.to_string();
        assert!(text.starts_with("GPU 3: tile 4 of sweep 9 after fill 2 was wrong"), "{text}");
        assert!(text.ends_with("its blocks were not read back"), "{text}");
        let mut words = WrongWords::default();
        words.note(70, 11, [1, 2, 3, 4], [1, 2, 3, 4]);
        fault.words = Some(words.clone());
        assert!(fault.to_string().ends_with("its blocks were right when they were read back"));
        words.note(71, 12, [1, 2, 3, 4], [1, 2, 3, 0x8000_0004]);
        fault.words = Some(words.clone());
        assert_eq!(
            fault.to_string(),
            "GPU 3: word 12 of block 71 was wrong in sweep 9 after fill 2: \
             got 00000001_00000002_00000003_80000004, \
             expected 00000001_00000002_00000003_00000004 (1 bit)"
        );
        (0..20).for_each(|word| words.note(72, word, [0; 4], [3; 4]));
        assert_eq!((words.count, words.first.len()), (21, WORDS_MAX));
        fault.words = Some(words);
        assert!(fault.to_string().ends_with("(1 bit); 20 more words near it"));
    }
}
