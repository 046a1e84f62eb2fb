//! What an agent counts.

use super::{Ended, NO_CODE, Sum, built, durations, known_code, text_of};
use crate::fleet::agent::Doing;
use crate::fleet::run::outcome_name;
use crate::protocol::verdict::Outcome;
use crate::session::message::VerdictOutcome;
use crate::session::miner::End;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What an agent counts.
pub struct AgentMetrics {
    registry: Registry,
    sessions: Family<Ended, Counter>,
    busy: Sum,
    duration: Histogram,
    in_progress: Gauge,
    connected: Gauge,
    losses: Counter,
    devices: Gauge,
    begun: Mutex<Option<Instant>>,
}

impl AgentMetrics {
    /// All at zero.
    #[rustfmt::skip]
    pub fn new() -> Self {
        let mut all = Self {
            registry: Registry::default(),
            sessions: Family::default(),
            busy: Sum::default(),
            duration: durations(),
            in_progress: Gauge::default(),
            connected: Gauge::default(),
            losses: Counter::default(),
            devices: Gauge::default(),
            begun: Mutex::default(),
        };
        let registry = &mut all.registry;
        built(registry);
        registry.register("attest_agent_sessions", "Sessions that ended, by what the validator said of them", all.sessions.clone());
        registry.register("attest_agent_busy_seconds", "Time in sessions that ended", all.busy.clone());
        registry.register("attest_agent_session_duration_seconds", "How long sessions took", all.duration.clone());
        registry.register("attest_agent_session_in_progress", "Whether a session is held now", all.in_progress.clone());
        registry.register("attest_agent_nats_connected", "Whether the NATS server is connected", all.connected.clone());
        registry.register("attest_agent_nats_disconnections", "How often the connection to the NATS server was lost", all.losses.clone());
        registry.register("attest_agent_devices", "Devices that answer", all.devices.clone());
        let verified = Ended { outcome: outcome_name(Outcome::Verified), code: NO_CODE };
        drop(all.sessions.get_or_create(&verified));
        all
    }

    /// How many devices answer.
    pub fn set_devices(&self, count: usize) {
        self.devices.set(count as i64);
    }

    /// Whether the server is connected, and how often it was lost.
    pub fn set_connection(&self, is_connected: bool, losses: u64) {
        self.connected.set(is_connected.into());
        self.losses.inc_by(losses.saturating_sub(self.losses.get()));
    }

    /// The agent did something.
    pub fn saw(&self, doing: &Doing) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        match doing {
            Doing::Listening => {}
            Doing::Began(_) => {
                *begun = Some(Instant::now());
                self.in_progress.set(1);
            }
            Doing::Ended(_, end) => {
                self.in_progress.set(0);
                if let Some(begun) = begun.take() {
                    self.busy.inc_by(begun.elapsed().as_secs_f64());
                    self.duration.observe(begun.elapsed().as_secs_f64());
                }
                self.sessions.get_or_create(&ended(end)).inc();
            }
        }
    }

    /// As Prometheus reads it.
    pub fn text(&self) -> String {
        text_of(&self.registry)
    }
}

impl Default for AgentMetrics {
    fn default() -> Self {
        Self::new()
    }
}

fn ended(end: &End) -> Ended {
    let (outcome, code) = match end {
        End::Verdict(verdict) => {
            let outcome = match verdict.outcome {
                VerdictOutcome::Verified => Outcome::Verified,
                VerdictOutcome::Rejected => Outcome::Rejected,
                VerdictOutcome::CouldNotRun => Outcome::CouldNotRun,
            };
            (outcome, known_code(verdict.code.as_deref()))
        }
        End::Fault(_) => (Outcome::CouldNotRun, "fault"),
        End::Refused(_) => (Outcome::CouldNotRun, "refused"),
        End::Own(_) => (Outcome::CouldNotRun, "own-fault"),
    };
    Ended { outcome: outcome_name(outcome), code }
}
