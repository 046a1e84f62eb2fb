//! SM counters as they come back from the device, and whether they can be
//! believed. Pure.

use crate::executor::{SmActivity, SmTiles};
use gpu_kernels::abi::SmCounter;

/// u32 words of one [`SmCounter`].
const COUNTER_WORDS: usize = size_of::<SmCounter>() / 4;

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
    if counters.is_empty() {
        return SmTiles::Unavailable("the device reports no SMs".to_owned());
    }
    SmTiles::counted(counters.iter().map(|counter| counter.tiles).collect(), tiles)
}

/// When the SMs that computed did so; `None` if none did or a time is
/// missing or runs backwards.
pub(super) fn activity(counters: &[SmCounter]) -> Option<SmActivity> {
    let active = || counters.iter().filter(|counter| counter.tiles > 0);
    if !active().all(|counter| counter.first_ns <= counter.last_ns && counter.first_ns > 0) {
        return None;
    }
    let start = active().map(|counter| counter.first_ns).min()?;
    let span = |counter: &SmCounter| {
        (counter.tiles > 0).then(|| (counter.first_ns - start, counter.last_ns - start))
    };
    Some(SmActivity { spans: counters.iter().map(span).collect() })
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
    fn activity_is_that_of_the_sms_that_computed() {
        let at = |tiles, first_ns, last_ns| SmCounter { tiles, first_ns, last_ns, reserved: 0 };
        let idle = at(0, u64::MAX, 0);
        let counters = [at(3, 100, 900), idle, at(2, 140, 850), at(1, 120, 120)];
        let spans = vec![Some((0, 800)), None, Some((40, 750)), Some((20, 20))];
        let found = activity(&counters).unwrap();
        assert_eq!((found.first_spread_ns(), found.last_spread_ns()), (40, 780));
        assert_eq!(found, SmActivity { spans });
        assert_eq!(activity(&[at(1, 5, 5)]).unwrap().last_spread_ns(), 0);
        // A timer that was never read, or that runs backwards, says nothing.
        for broken in [at(1, u64::MAX, 0), at(1, 9, 8), at(1, 0, 0)] {
            assert_eq!(activity(&[at(1, 5, 6), broken]), None, "{broken:?}");
        }
        assert_eq!(activity(&[idle]), None);
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
