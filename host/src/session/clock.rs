//! The two times of an event, read together; and the calendar alone.

use rustix::time::{ClockId, clock_gettime};
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

    /// Both times, now.
    pub(super) fn now(&self) -> Now {
        Now { since_start: since_boot().saturating_sub(self.started), unix_ms: unix_ms() }
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
