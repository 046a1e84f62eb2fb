//! Metrics of a fleet for Prometheus: what one validator, or one agent, saw.
//!
//! Guarantees: every label's values are of a set that the source or the table of models
//! knows, so neither a miner nor a campaign can add series.
//! Deliberately lacks: figures by miner: `attest fleet show` and the ledger have those.

mod agent;
mod sample;

pub use agent::AgentMetrics;
pub use sample::Sampler;

use super::dial;
use super::measured::{Leg, OTHER};
use super::run::{Doing, outcome_name};
use super::task::{Record, TaskState};
use crate::protocol::verdict::Outcome;
use crate::protocol::work::Unit;
use crate::schema::verdict_codes;
use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

/// Of what verified.
const NO_CODE: &str = "none";

/// Bounds of histograms of durations, seconds.
const SECONDS: [f64; 14] =
    [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0];
/// Of the start of a group; 0.2 s is what is aimed at.
const SPREAD_SECONDS: [f64; 9] = [0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0];

/// Seconds or amounts.
type Sum = Counter<f64, AtomicU64>;
/// Seconds.
type Time = Gauge<f64, AtomicU64>;

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    outcome: &'static str,
    code: &'static str,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    outcome: &'static str,
}

/// Which leg.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLeg {
    leg: &'static str,
}

/// In which state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    state: &'static str,
}

/// By which model.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfModel {
    model: &'static str,
}

/// By which model, and for what.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfModelAndUnit {
    model: &'static str,
    unit: &'static str,
}

/// Which program.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// What a validator of a fleet counts.
pub struct FleetMetrics {
    registry: Registry,
    sessions: Family<Ended, Counter>,
    tasks: Family<OfOutcome, Counter>,
    durations: Family<OfLeg, Histogram, fn() -> Histogram>,
    spread: Histogram,
    flop: Family<OfModel, Sum>,
    operations: Family<OfModel, Sum>,
    bytes: Family<OfModel, Sum>,
    seconds: Family<OfModelAndUnit, Sum>,
    queued: Counter,
    failures: Counter,
    losses: Counter,
    nats: Gauge,
    ledger: Gauge,
    agents: Family<InState, Gauge>,
    jobs: Family<InState, Gauge>,
    in_progress: Gauge,
    campaign: Family<InState, Gauge>,
    planned: Gauge,
    begins: Time,
    ends: Time,
}

impl FleetMetrics {
    /// All at zero, for a validator that holds up to `places` sessions at once.
    pub fn new(places: u32) -> Self {
        let mut all = Self {
            registry: Registry::default(),
            sessions: Family::default(),
            tasks: Family::default(),
            durations: Family::new_with_constructor(durations),
            spread: Histogram::new(SPREAD_SECONDS),
            flop: Family::default(),
            operations: Family::default(),
            bytes: Family::default(),
            seconds: Family::default(),
            queued: Counter::default(),
            failures: Counter::default(),
            losses: Counter::default(),
            nats: Gauge::default(),
            ledger: Gauge::default(),
            agents: Family::default(),
            jobs: Family::default(),
            in_progress: Gauge::default(),
            campaign: Family::default(),
            planned: Gauge::default(),
            begins: Time::default(),
            ends: Time::default(),
        };
        all.register(places);
        // Series that exist from the start can be counted up from zero.
        for outcome in OUTCOMES {
            drop(all.tasks.get_or_create(&OfOutcome { outcome }));
        }
        for leg in Leg::ALL {
            drop(all.durations.get_or_create(&OfLeg { leg: leg.name() }));
        }
        for (work, unit) in all.works() {
            drop(work.get_or_create(&OfModel { model: OTHER }));
            drop(all.seconds.get_or_create(&OfModelAndUnit { model: OTHER, unit }));
        }
        let verified = Ended { outcome: outcome_name(Outcome::Verified), code: NO_CODE };
        drop(all.sessions.get_or_create(&verified));
        all
    }

    /// Work by model, with the word for what is counted.
    fn works(&self) -> [(&Family<OfModel, Sum>, &'static str); 3] {
        [(&self.flop, "flop"), (&self.operations, "operations"), (&self.bytes, "bytes")]
    }

    #[rustfmt::skip]
    fn register(&mut self, places: u32) {
        let all = &mut self.registry;
        let place_count: Gauge = Gauge::default();
        place_count.set(places.into());
        built(all);
        all.register("attest_fleet_sessions", "Sessions that ended, each attempt, by outcome and code", self.sessions.clone());
        all.register("attest_fleet_tasks", "Tasks of campaigns that are done, by the outcome that counts", self.tasks.clone());
        all.register("attest_fleet_session_duration_seconds", "How long legs of sessions took", self.durations.clone());
        all.register("attest_fleet_start_spread_seconds", "From the first challenge of a group to each other one", self.spread.clone());
        all.register("attest_fleet_attested_flop", "Binary64 operations of verified rounds, by the model that the miner named", self.flop.clone());
        all.register("attest_fleet_attested_operations", "Integer operations of verified rounds, by the model that the miner named", self.operations.clone());
        all.register("attest_fleet_attested_bytes", "Bytes of memory read in verified rounds, by the model that the miner named", self.bytes.clone());
        all.register("attest_fleet_attested_seconds", "From challenges to commitments of verified rounds, by the model that the miner named and what was counted", self.seconds.clone());
        all.register("attest_fleet_jobs_queued", "Jobs that this validator put into the queue", self.queued.clone());
        all.register("attest_fleet_infrastructure_failures", "Failures of server, ledger or queue, which were tried again", self.failures.clone());
        all.register("attest_fleet_nats_disconnections", "How often the connection to the NATS server was lost", self.losses.clone());
        all.register("attest_fleet_nats_connected", "Whether the NATS server is connected", self.nats.clone());
        all.register("attest_fleet_ledger_up", "Whether the ledger answers", self.ledger.clone());
        all.register("attest_fleet_agents", "Agents that announced themselves lately, by state", self.agents.clone());
        all.register("attest_fleet_jobs", "Jobs in the queue that all validators share, by state", self.jobs.clone());
        all.register("attest_fleet_sessions_in_progress", "Tasks whose sessions are under way here", self.in_progress.clone());
        all.register("attest_fleet_session_places", "Most sessions at once here", place_count);
        all.register("attest_fleet_campaign_tasks", "Tasks of the campaign under way, of all validators, by state", self.campaign.clone());
        all.register("attest_fleet_campaign_planned_tasks", "Tasks that the miners present have in the campaign under way; those that came late are spared some", self.planned.clone());
        all.register("attest_fleet_campaign_start_timestamp_seconds", "When the campaign under way began", self.begins.clone());
        all.register("attest_fleet_campaign_end_timestamp_seconds", "When the campaign under way ends", self.ends.clone());
    }

    /// The daemon did something.
    pub fn saw(&self, doing: &Doing) {
        match doing {
            Doing::Queued(_) => {
                self.queued.inc();
            }
            Doing::Failed(_) => {
                self.failures.inc();
            }
            Doing::Planned(plan) => {
                self.planned.set(plan.tasks as i64);
                self.begins.set(plan.begins_unix_ms as f64 / 1000.0);
                self.ends.set(plan.ends_unix_ms as f64 / 1000.0);
            }
            Doing::Ended(_, came, is_done) => {
                let outcome = outcome_name(came.outcome);
                let code = known_code(came.code.as_deref());
                self.sessions.get_or_create(&Ended { outcome, code }).inc();
                if *is_done {
                    self.tasks.get_or_create(&OfOutcome { outcome }).inc();
                }
                for (leg, took) in &came.measured.legs {
                    let of = OfLeg { leg: leg.name() };
                    self.durations.get_or_create(&of).observe(took.as_secs_f64());
                }
                if let Some(spread) = came.measured.spread {
                    self.spread.observe(spread.as_secs_f64());
                }
                for proven in &came.measured.proven {
                    let (work, unit) = self.works()[match proven.unit {
                        Unit::Flop => 0,
                        Unit::Operations => 1,
                        Unit::Bytes => 2,
                    }];
                    let model = proven.model;
                    work.get_or_create(&OfModel { model }).inc_by(proven.amount as f64);
                    let of = OfModelAndUnit { model, unit };
                    self.seconds.get_or_create(&of).inc_by(proven.elapsed.as_secs_f64());
                }
            }
        }
    }

    /// The tasks of the campaign under way.
    fn set_campaign<'a>(&self, records: impl Iterator<Item = &'a Record>) {
        let states = ["running", "waiting", "verified", "rejected", "could-not-run"];
        let mut counts = [0; 5];
        for record in records {
            let at = match (record.state, record.outcome.as_deref()) {
                (TaskState::Running, _) => 0,
                (TaskState::Waiting, _) => 1,
                (TaskState::Done, Some("verified")) => 2,
                (TaskState::Done, Some("rejected")) => 3,
                (TaskState::Done, _) => 4,
            };
            counts[at] += 1;
        }
        for (state, count) in states.into_iter().zip(counts) {
            self.campaign.get_or_create(&InState { state }).set(count);
        }
    }

    /// As Prometheus reads it.
    pub fn text(&self) -> String {
        text_of(&self.registry)
    }
}

const OUTCOMES: [&str; 3] = ["verified", "rejected", "could-not-run"];

/// Which program it is.
fn built(registry: &mut Registry) {
    let build: Family<Build, Gauge> = Family::default();
    build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
    registry.register("attest_build_info", "Version of the program; always 1", build);
}

fn durations() -> Histogram {
    Histogram::new(SECONDS)
}

fn text_of(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_text::encode(&mut text, registry).expect("a string takes all");
    text
}

/// The code if it is one of the source's.
fn known_code(code: Option<&str>) -> &'static str {
    static KNOWN: OnceLock<Vec<&'static str>> = OnceLock::new();
    let Some(code) = code else { return NO_CODE };
    let known = KNOWN.get_or_init(|| verdict_codes().into_iter().chain(dial::CODES).collect());
    known.iter().copied().find(|known| *known == code).unwrap_or(OTHER)
}

#[cfg(test)]
mod tests;
