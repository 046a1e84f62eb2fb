//! The two times of an event, read together; and the calendar alone.

use std::time::{Duration, Instant};

/// When something happened, as its session sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Since the session's start, on one monotonic clock: every duration is a
    /// difference of two of these.
    pub since_start: Duration,
    /// By the calendar, ms since 1970: for expiry and receipts.
    pub unix_ms: u64,
}

/// The clock of one session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    started: Instant,
}

impl Clock {
    /// Starts with a session.
    pub(super) fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Both times, now.
    pub(super) fn now(&self) -> Now {
        Now { since_start: self.started.elapsed(), unix_ms: unix_ms() }
    }

    /// A time of this session as the system's monotonic clock has it; `None` where
    /// that clock does not reach so far.
    pub(super) fn instant(&self, since_start: Duration) -> Option<Instant> {
        self.started.checked_add(since_start)
    }
}

/// By the calendar of this machine, ms since 1970; 0 where it is set to before that.
pub fn unix_ms() -> u64 {
    jiff::Timestamp::now().as_millisecond().try_into().unwrap_or(0)
}
