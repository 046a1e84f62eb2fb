//! Foresees when a batch is done, so that the lane is awake by then.
//!
//! The driver wakes a sleeping thread 0.1 to 0.3 ms after its event. Between
//! batches nobody notices; before a meeting the device is idle for as long.

use std::time::{Duration, Instant};

/// Share of a batch's time by which one batch may differ from the last: clocks
/// of a device at its power limit move by some per cent.
const SPREAD: u32 = 32;
/// Least time on either side: threads that sleep wake late.
const SPREAD_MIN: Duration = Duration::from_micros(300);
/// Batches that take longer are slept through: waking late is nothing to them.
const WATCHED_MAX: Duration = Duration::from_secs(1);

/// How fast iterations come.
#[derive(Debug)]
pub(super) struct Pace {
    /// Of the last batch.
    per_iteration: Option<Duration>,
    /// When the device began with the oldest batch that is not done.
    began: Instant,
}

/// When to look for a batch's end instead of sleeping until it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    pub(super) from: Instant,
    pub(super) until: Instant,
}

impl Pace {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        Self { per_iteration: None, began: Instant::now() }
    }

    /// The device had nothing to do and begins with a batch.
    pub(super) fn begin(&mut self, now: Instant) {
        self.began = now;
    }

    /// A batch of `iterations` is done, and the device goes on with the next.
    pub(super) fn done(&mut self, now: Instant, iterations: u32) {
        let took = now.saturating_duration_since(self.began);
        self.per_iteration = Some(took / iterations.max(1));
        self.began = now;
    }

    /// When to look for the end of the batch of `iterations` that is under way;
    /// `None` while nothing is known, and where it is not worth it.
    pub(super) fn watch(&self, iterations: u32) -> Option<Watch> {
        let takes = self.per_iteration?.saturating_mul(iterations);
        if takes > WATCHED_MAX {
            return None;
        }
        let spread = (takes / SPREAD).max(SPREAD_MIN);
        let from = self.began + takes.saturating_sub(spread);
        Some(Watch { from, until: self.began + takes + spread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_watched_around_the_time_that_the_last_one_took() {
        let (mut pace, start) = (Pace::new(), Instant::now());
        let after = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(pace.watch(1), None);
        pace.begin(start);
        pace.done(after(64), 2);
        // 32 ms an iteration, and one of these is a 32nd.
        assert_eq!(pace.watch(1), Some(Watch { from: after(64 + 31), until: after(64 + 33) }));
        assert_eq!(pace.watch(3), Some(Watch { from: after(64 + 93), until: after(64 + 99) }));
        // After a meeting.
        pace.begin(after(100));
        assert_eq!(pace.watch(1), Some(Watch { from: after(131), until: after(133) }));
        assert_eq!(pace.watch(32), None, "longer than a second");
    }

    #[test]
    fn the_end_of_a_short_batch_is_watched_from_its_start() {
        let (mut pace, start) = (Pace::new(), Instant::now());
        pace.begin(start);
        let short = Duration::from_micros(100);
        pace.done(start + short, 1);
        let (from, until) = (start + short, start + 2 * short + SPREAD_MIN);
        assert_eq!(pace.watch(1), Some(Watch { from, until }));
    }
}
