//! The two times of an event, read together; and the calendar alone.

use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// When something happened, as its session sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Since the session's start, on one monotonic clock that also counts the time for
    /// which the machine is suspended: every duration is a difference of two of these.
    pub since_start: Duration,
    /// By the calendar, ms since 1970: for expiry and receipts.
    pub unix_ms: u64,
}

/// The clock of one session. It goes on while the machine is suspended: what a miner
/// does meanwhile takes time, too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Since the machine was started.
    started: Duration,
}

impl Clock {
    /// Starts with a session.
    pub(super) fn start() -> Self {
        Self { started: since_boot() }
    }

    /// Both times of what came at `since_boot`, no later than now.
    pub(super) fn at(&self, came: Duration) -> Now {
        let now = since_boot();
        let ago_ms = now.saturating_sub(came).as_millis() as u64;
        Now {
            since_start: came.min(now).saturating_sub(self.started),
            unix_ms: unix_ms().saturating_sub(ago_ms),
        }
    }

    /// Both times, now.
    pub(super) fn now(&self) -> Now {
        Now { since_start: since_boot().saturating_sub(self.started), unix_ms: unix_ms() }
    }
}

/// When bytes came that a stream brings later than that: set by the reader as it hands
/// them out, of what its last read gave.
#[derive(Clone, Debug, Default)]
pub struct Stamps(Arc<AtomicU64>);

/// A moment on the clock of all sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self(since_boot().as_nanos() as u64)
    }
}

impl Stamps {
    /// What is handed out next came then.
    pub fn set(&self, moment: Moment) {
        self.0.store(moment.0, Ordering::SeqCst);
    }

    /// When what was handed out last came.
    pub(super) fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::SeqCst))
    }
}

/// Since the machine was started, suspended or not.
fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    // The system's own: neither is negative.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// By the calendar of this machine, ms since 1970; 0 if it is set to before that.
pub fn unix_ms() -> u64 {
    jiff::Timestamp::now().as_millisecond().try_into().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sessions_clock_is_the_one_that_suspending_does_not_stop() {
        let uptime = std::fs::read_to_string("/proc/uptime").expect("Linux");
        let least: f64 = uptime.split(' ').next().expect("a time").parse().expect("seconds");
        // /proc/uptime counts the time suspended, too, and was read before.
        assert!(since_boot().as_secs_f64() >= least);
        let clock = Clock::start();
        assert!(clock.now().since_start <= clock.now().since_start);
    }
}
