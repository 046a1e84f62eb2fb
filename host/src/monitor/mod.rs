//! Metrics, health and readiness of a daemon, over HTTP.
//!
//! Guarantees: a request changes nothing and costs nothing but the answer; connections are
//! bounded in number and in time; what is answered has no text that a peer wrote.
//! Deliberately lacks: TLS and passwords: listen on a loopback address or a network of your
//! own.

mod http;

pub use http::{Endpoint, MonitorError};

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the daemon's own loop may be without a beat before it counts as stuck.
const STUCK: Duration = Duration::from_secs(60);

/// Whether a daemon works, and whether what it needs is there.
#[derive(Debug)]
pub struct Health {
    beat: Mutex<Instant>,
    parts: Mutex<BTreeMap<&'static str, bool>>,
}

impl Health {
    /// One that needs `parts`, none of which is there yet.
    pub fn needing(parts: &[&'static str]) -> Self {
        let parts = parts.iter().map(|part| (*part, false)).collect();
        Self { beat: Mutex::new(Instant::now()), parts: Mutex::new(parts) }
    }

    /// The daemon's loop has come round.
    pub fn beat(&self) {
        *self.beat.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether its loop came round lately.
    pub fn is_alive(&self) -> bool {
        self.beat.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < STUCK
    }

    /// Whether this part is there.
    pub fn set(&self, part: &'static str, is_there: bool) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).insert(part, is_there);
    }

    /// Whether all parts are there.
    pub fn is_ready(&self) -> bool {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).values().all(|is| *is)
    }

    /// A line for each part.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (part, is_there) in &*self.parts.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = writeln!(text, "{part}: {}", if *is_there { "ok" } else { "not ready" });
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_all_that_it_needs_is_there() {
        let health = Health::needing(&["ledger", "nats"]);
        assert!(!health.is_ready() && health.is_alive());
        health.set("nats", true);
        assert!(!health.is_ready());
        assert_eq!(health.text(), "ledger: not ready\nnats: ok\n");
        health.set("ledger", true);
        assert!(health.is_ready());
        health.set("nats", false);
        assert!(!health.is_ready());
    }

    #[test]
    fn a_loop_that_is_stuck_is_not_alive() {
        let health = Health::needing(&[]);
        let Some(long_ago) = Instant::now().checked_sub(STUCK) else { return };
        *health.beat.lock().unwrap() = long_ago;
        assert!(!health.is_alive());
        health.beat();
        assert!(health.is_alive());
    }
}
