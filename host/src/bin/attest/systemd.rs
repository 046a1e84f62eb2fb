//! Notifications to systemd, for units with `Type=notify`. Without `NOTIFY_SOCKET` nothing is
//! sent.

use attest::monitor::Health;
use sd_notify::{NotifyState, watchdog_enabled};
use std::sync::Arc;
use std::time::Duration;

/// The daemon is ready.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// What it does, in a line; line breaks in it are spaces.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(&status.replace('\n', " "))]);
}

/// It is ending.
pub fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Sends signs of life as often as systemd asked for (`WatchdogSec=`), as long as `health` is
/// alive; for ever, or at once to its end if systemd asked for none.
pub async fn watchdog(health: Arc<Health>) {
    let Some(limit) = watchdog_enabled() else { return };
    let mut tick = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
    loop {
        tick.tick().await;
        if health.is_alive() {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    // A manager that does not listen is no reason to end.
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("systemd: {error}");
    }
}
