//! SM counters as they come back from the device, and whether they can be
//! believed. Pure.

use crate::executor::SmTiles;
use gpu_kernels::abi::SmCounter;

/// u32 words of one [`SmCounter`].
pub(super) const COUNTER_WORDS: usize = size_of::<SmCounter>() / 4;

/// A cleared counter as words.
pub(super) fn cleared() -> [u32; COUNTER_WORDS] {
    [0, 0, u32::MAX, u32::MAX, 0, 0, 0, 0]
}

/// Counters from the words of device memory (little-endian, as every GPU is).
pub(super) fn from_words(words: &[u32]) -> Vec<SmCounter> {
    let u64_at = |words: &[u32], at: usize| u64::from(words[at]) | u64::from(words[at + 1]) << 32;
    let (counters, _) = words.as_chunks::<COUNTER_WORDS>();
    counters
        .iter()
        .map(|words| SmCounter {
            tiles: u64_at(words, 0),
            first_ns: u64_at(words, 2),
            last_ns: u64_at(words, 4),
            reserved: u64_at(words, 6),
        })
        .collect()
}

/// The tile counts, if they add up to `tiles`, the tiles that were computed.
pub(super) fn checked(counters: &[SmCounter], tiles: u64) -> SmTiles {
    let sum: u128 = counters.iter().map(|counter| u128::from(counter.tiles)).sum();
    if counters.is_empty() {
        return SmTiles::Unavailable("the device reports no SMs".to_owned());
    }
    if sum != u128::from(tiles) {
        let sms = counters.len();
        return SmTiles::Unavailable(format!(
            "the counters of {sms} SMs add up to {sum} tiles of {tiles}"
        ));
    }
    SmTiles::Counted(counters.iter().map(|counter| counter.tiles).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(tiles: u64) -> SmCounter {
        SmCounter { tiles, ..SmCounter::default() }
    }

    #[test]
    fn words_are_read_as_the_device_writes_them() {
        let words = [1, 2, 3, 4, 5, 6, 0, 0, 7, 0, u32::MAX, u32::MAX, 0, 0, 0, 0];
        let counters = from_words(&words);
        assert_eq!(counters[0].tiles, 1 + (2 << 32));
        assert_eq!((counters[0].first_ns, counters[0].last_ns), (3 + (4 << 32), 5 + (6 << 32)));
        assert_eq!((counters[1].tiles, counters[1].first_ns), (7, u64::MAX));
        assert_eq!(from_words(&cleared())[0].first_ns, u64::MAX);
    }

    #[test]
    fn counters_that_do_not_add_up_are_not_evidence() {
        assert_eq!(checked(&[counter(3), counter(4)], 7), SmTiles::Counted(vec![3, 4]));
        for (counters, tiles) in [
            (vec![counter(3), counter(4)], 8), // an SM id out of range was dropped
            (vec![counter(0), counter(0)], 8), // counting does not work at all
            (vec![counter(u64::MAX), counter(9)], 8), // a 64-bit sum would wrap to 8
            (vec![], 0),
        ] {
            assert!(
                matches!(checked(&counters, tiles), SmTiles::Unavailable(_)),
                "{counters:?} for {tiles}"
            );
        }
    }
}
