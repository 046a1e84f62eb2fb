//! Figures that are looked up now and then: connections, agents, queue, campaign.
//!
//! Guarantees: what is looked up takes a twentieth of the time at most, however large the
//! fleet is.

use super::{FleetMetrics, InState};
use crate::fleet::connect::Connection;
use crate::fleet::plan::Planner;
use crate::fleet::presence::{AgentState, Presence};
use crate::fleet::schedule::Schedule;
use crate::fleet::store::Stores;
use crate::fleet::work::Worker;
use crate::ledger::{Filter, Ledger};
use crate::monitor::Health;
use crate::session::clock::unix_ms;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// How often to look at what is here.
const OFTEN: Duration = Duration::from_secs(1);
/// How often to ask server and ledger.
const ASK: Duration = Duration::from_secs(2);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Looks up figures.
pub struct Sampler {
    /// Where they go.
    pub(in crate::fleet) metrics: Arc<FleetMetrics>,
    /// Where it is said what is there: the parts `nats` and `ledger`.
    pub(in crate::fleet) health: Arc<Health>,
    /// To the server.
    pub(in crate::fleet) connection: Connection,
    /// Queue and tasks.
    pub(in crate::fleet) stores: Stores,
    /// Agents that are there.
    pub(in crate::fleet) presence: Arc<Mutex<Presence>>,
    /// Is asked whether it answers.
    pub(in crate::fleet) ledger: Arc<dyn Ledger>,
    /// Which campaign is under way.
    pub(in crate::fleet) schedule: Option<Schedule>,
    /// Has the tasks that are under way here.
    pub(in crate::fleet) worker: Arc<Worker>,
}

impl Sampler {
    /// Looks for ever.
    pub async fn run(self) {
        tokio::join!(self.here(), self.server(), self.ask_ledger());
    }

    async fn here(&self) {
        loop {
            self.health.beat();
            let is_connected = self.connection.is_connected();
            self.health.set("nats", is_connected);
            self.metrics.nats.set(is_connected.into());
            let losses = *self.connection.losses.borrow();
            self.metrics.losses.inc_by(losses.saturating_sub(self.metrics.losses.get()));
            let held = self.worker.held.lock().unwrap_or_else(PoisonError::into_inner).len();
            self.metrics.in_progress.set(held as i64);
            self.agents();
            sleep(OFTEN).await;
        }
    }

    async fn server(&self) {
        loop {
            let begun = Instant::now();
            if self.connection.is_connected() {
                let _ = timeout(ANSWER, self.queue()).await;
                let _ = timeout(ANSWER, self.campaign()).await;
            }
            sleep(ASK.max(begun.elapsed() * 20)).await;
        }
    }

    async fn ask_ledger(&self) {
        loop {
            let ledger = Arc::clone(&self.ledger);
            let filter = Filter { limit: 1, ..Filter::default() };
            let mut asked = tokio::task::spawn_blocking(move || ledger.list(&filter).is_ok());
            let mut answered = timeout(ANSWER, &mut asked).await;
            if answered.is_err() {
                self.ledger_answers(false);
                // It is not asked again before it answers or fails.
                answered = Ok(asked.await);
            }
            self.ledger_answers(matches!(answered, Ok(Ok(true))));
            sleep(ASK).await;
        }
    }

    fn ledger_answers(&self, answers: bool) {
        self.health.set("ledger", answers);
        self.metrics.ledger.set(answers.into());
    }

    fn agents(&self) {
        let (mut online, mut busy) = (0, 0);
        for (_, present) in self.presence.lock().unwrap_or_else(PoisonError::into_inner).all() {
            match present.announcement.state {
                AgentState::Busy => busy += 1,
                _ => online += 1,
            }
        }
        for (state, count) in [("online", online), ("busy", busy)] {
            self.metrics.agents.get_or_create(&InState { state }).set(count);
        }
    }

    async fn queue(&self) {
        let Ok(mut queue) = self.stores.jobs().await else { return };
        let Ok(info) = queue.info().await else { return };
        let counts = [("waiting", info.num_pending as i64), ("taken", info.num_ack_pending as i64)];
        for (state, count) in counts {
            self.metrics.jobs.get_or_create(&InState { state }).set(count);
        }
    }

    async fn campaign(&self) {
        let Some(schedule) = &self.schedule else { return };
        let (_, campaign, _) = Planner::campaign(schedule, unix_ms());
        let filter = format!("{campaign}.*.*");
        if let Ok(tasks) = self.stores.tasks.all(&filter).await {
            self.metrics.set_campaign(tasks.iter().map(|(_, record)| record));
        }
    }
}
