//! What all daemons have: an endpoint for metrics and health, and signs of life for systemd.

use crate::outcome::{Done, note};
use crate::signals::Stop;
use crate::systemd;
use attest::monitor::{Endpoint, Health, MonitorError};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// Serves `metrics` at `address`, if there is one, and sends signs of life, for as long as the
/// runtime lasts.
///
/// # Errors
/// Nobody can listen there.
pub async fn watch_over<F>(
    address: Option<&str>,
    metrics: F,
    health: &Arc<Health>,
) -> Result<(), MonitorError>
where
    F: Fn() -> String + Send + Sync + 'static,
{
    if let Some(address) = address {
        let endpoint = Endpoint::bind(address).await?;
        note(&format!("metrics on http://{}/metrics", endpoint.address()));
        tokio::spawn(endpoint.serve(metrics, Arc::clone(health)));
    }
    tokio::spawn(systemd::watchdog(Arc::clone(health)));
    Ok(())
}

/// Tells `ending` once a signal has come, with a line that says `what`; has no end.
pub async fn drain(stop: &Stop, what: &str, ending: &watch::Sender<bool>) {
    crate::commands::stopped(stop).await;
    note(&format!("ending: {what}"));
    systemd::stopping(what);
    ending.send_replace(true);
    std::future::pending::<()>().await;
}

/// How a daemon that has drained, or was stopped by a second signal, ends.
pub fn done(stop: &Stop, urgent: &AtomicBool) -> Done {
    match stop.exit_code().filter(|_| urgent.load(Ordering::SeqCst)) {
        Some(code) => Done::Interrupted(code),
        None => Done::Ok,
    }
}

/// What comes of `doing`; `None` if a signal comes before that.
pub async fn unless_stopped<T>(stop: &Stop, doing: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = doing => Some(done),
        () = crate::commands::stopped(stop) => None,
    }
}
