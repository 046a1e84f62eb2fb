//! Foresees when a batch is done, so that the lane is awake by then.
//!
//! The driver wakes a sleeping thread 0.1 to 0.3 ms after its event. Between
//! batches nobody notices; before a sync point the device is idle for as long.
//!
//! Guarantees: only what was seen to the end is learnt from, so one stall, or a
//! first batch that loads kernels, delays at most one batch.

use std::time::{Duration, Instant};

/// Share of a batch's time by which one batch may differ from the last: clocks
/// of a device at its power limit move by some per cent.
const SPREAD: u32 = 32;
/// Least time on either side: threads that sleep wake late.
const SPREAD_MIN: Duration = Duration::from_micros(300);
/// Batches that take longer are slept through: waking late is nothing to them.
const WATCHED_MAX: Duration = Duration::from_secs(1);

/// How long batches take.
#[derive(Debug)]
pub(super) struct SpinWait {
    /// The last two batches, if their ends were seen; the last one second.
    seen: [Option<Took>; 2],
    /// When the device began with the oldest batch that is not done.
    began: Instant,
}

/// How long a batch of iterations took.
#[derive(Clone, Copy, Debug)]
struct Took {
    iterations: u32,
    time: Duration,
}

/// When to look for a batch's end instead of sleeping until it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    pub(super) from: Instant,
    pub(super) until: Instant,
}

impl SpinWait {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        Self { seen: [None; 2], began: Instant::now() }
    }

    /// The device had nothing to do and begins with a batch.
    pub(super) fn begin(&mut self, now: Instant) {
        self.began = now;
    }

    /// A batch of `iterations` ended just now, and the device goes on with the
    /// next.
    pub(super) fn ended(&mut self, now: Instant, iterations: u32) {
        let time = now.saturating_duration_since(self.began);
        self.seen = [self.seen[1], Some(Took { iterations, time })];
        self.began = now;
    }

    /// A batch had ended before anybody looked: nobody knows when.
    pub(super) fn missed(&mut self, now: Instant) {
        *self = Self { began: now, ..Self::new() };
    }

    /// When to look for the end of the batch of `iterations` that is under way:
    /// about as long after its start as the shorter of the last two took.
    /// `None` unless both were as long as this one, and if it is not worth it.
    pub(super) fn watch(&self, iterations: u32) -> Option<Watch> {
        let [before, last] = [self.seen[0]?, self.seen[1]?];
        let takes = before.time.min(last.time);
        if (before.iterations, last.iterations) != (iterations, iterations) || takes > WATCHED_MAX {
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

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_batch_is_watched_around_the_time_that_the_last_two_took() {
        let (mut spin_wait, start) = (SpinWait::new(), Instant::now());
        let after = |ms: u32| start + ms * MS;
        spin_wait.begin(start);
        spin_wait.ended(after(33), 2);
        assert_eq!(spin_wait.watch(2), None, "one batch foretells nothing");
        spin_wait.ended(after(33 + 32), 2);
        // A 32nd of 32 ms on either side.
        assert_eq!(spin_wait.watch(2), Some(Watch { from: after(65 + 31), until: after(65 + 33) }));
        assert_eq!(spin_wait.watch(1), None, "others say nothing of it");
        // After a sync point.
        spin_wait.begin(after(100));
        assert_eq!(spin_wait.watch(2), Some(Watch { from: after(131), until: after(133) }));
    }

    #[test]
    fn short_batches_are_watched_from_their_start_and_long_ones_are_not() {
        let (mut spin_wait, start) = (SpinWait::new(), Instant::now());
        let short = MS / 10;
        spin_wait.begin(start);
        spin_wait.ended(start + short, 1);
        spin_wait.ended(start + 2 * short, 1);
        let from = start + 2 * short;
        assert_eq!(spin_wait.watch(1), Some(Watch { from, until: from + short + SPREAD_MIN }));
        for end in [2002, 4004] {
            spin_wait.ended(start + end * MS, 1);
        }
        assert_eq!(spin_wait.watch(1), None);
    }

    /// A lane that meets others after each batch: how late it is in all, where
    /// the n-th batch takes `takes(n)`.
    fn lateness(batches: u32, takes: impl Fn(u32) -> Duration) -> Duration {
        let (mut spin_wait, mut now, mut late) = (SpinWait::new(), Instant::now(), Duration::ZERO);
        for n in 0..batches {
            spin_wait.begin(now);
            let end = now + takes(n);
            match spin_wait.watch(1) {
                Some(watch) if watch.from > end => {
                    late += watch.from - end;
                    now = watch.from;
                    spin_wait.missed(now);
                }
                _ => {
                    now = end;
                    spin_wait.ended(now, 1);
                }
            }
        }
        late
    }

    #[test]
    fn one_batch_that_took_long_delays_none_after_it() {
        let stalls = |at: u32| move |n: u32| if n == at { 200 * MS } else { 20 * MS };
        assert_eq!(lateness(100, stalls(0)), Duration::ZERO, "kernels are loaded");
        assert_eq!(lateness(100, stalls(50)), Duration::ZERO);
        // From then on twice as fast: one batch is missed, the next are seen.
        let faster = |n: u32| if n < 50 { 20 * MS } else { 10 * MS };
        assert!(lateness(100, faster) < 10 * MS);
    }
}
