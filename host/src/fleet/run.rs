//! A validator's daemon: plans campaigns, takes jobs, holds their sessions.
//!
//! Guarantees: a job is acknowledged only when all of its tasks are done; a task that a
//! validator left behind is settled before it runs again; no more sessions than places.
//! Deliberately lacks: a leader. All validators plan the same, and tasks are done once.

use super::dial::{Came, Dialler};
use super::metrics::{FleetMetrics, Sampler};
use super::names;
use super::plan::{Job, Known, Plan, Planner, groups};
use super::presence::{Announcement, Presence};
use super::schedule::Schedule;
use super::store::{JOB_WAIT, Stores};
use super::suspects;
use super::task::{Record, TaskName, TaskState};
use super::work::Worker;
use crate::monitor::Health;
use crate::protocol::signature::EncodedKey;
use crate::protocol::verdict::Outcome;
use crate::session::clock::unix_ms;
use async_nats::HeaderMap;
use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{Consumer, pull};
use async_nats::jetstream::kv::Operation;
use futures_util::StreamExt as _;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How often it is looked what is due.
const LOOK: Duration = Duration::from_millis(50);
/// How often groups are made anew.
const GROUPS: Duration = Duration::from_secs(1);
/// How often the ledger is asked for suspects.
const SUSPECTS: Duration = Duration::from_secs(60);
/// Pause after the server has failed.
const PAUSE: Duration = Duration::from_millis(500);

/// What a daemon does, for whoever watches.
#[derive(Debug)]
pub enum Doing {
    /// A job was put into the queue.
    Queued(Job),
    /// A task's attempt is over; whether the task is.
    Ended(TaskName, Came, bool),
    /// What the campaign under way has to do was looked up.
    Planned(Plan),
    /// Something of the infrastructure failed, and is tried again.
    Failed(String),
}

/// Told of what a daemon does.
pub type Watch = dyn Fn(Doing) + Send + Sync;

/// A validator's daemon.
pub struct Daemon {
    stores: Stores,
    dialler: Dialler,
    schedule: Option<Schedule>,
    places: Arc<Semaphore>,
    most: u32,
    worker: Arc<Worker>,
    watch: Arc<Watch>,
    first_unix_ms: Mutex<HashMap<EncodedKey, u64>>,
}

impl Daemon {
    /// A daemon that holds up to `places` sessions at once. Without a schedule it plans
    /// nothing, and works on what others queue.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new(
        stores: Stores,
        dialler: Dialler,
        schedule: Option<Schedule>,
        places: u32,
        watch: Arc<Watch>,
    ) -> Result<Self, getrandom::Error> {
        let retries = schedule.as_ref().map_or(Schedule::default().retries, |s| s.retries);
        let worker = Worker {
            tasks: stores.tasks.clone(),
            dialler: dialler.clone(),
            instance: names::random()?,
            retries,
            held: Mutex::default(),
            watch: Arc::clone(&watch),
        };
        let most = places.max(1);
        Ok(Self {
            stores,
            dialler,
            schedule,
            places: Arc::new(Semaphore::new(most as usize)),
            most,
            worker: Arc::new(worker),
            watch,
            first_unix_ms: Mutex::default(),
        })
    }

    /// What looks up figures of this daemon, for as long as it runs.
    pub fn sampler(&self, metrics: Arc<FleetMetrics>, health: Arc<Health>) -> Sampler {
        Sampler {
            metrics,
            health,
            connection: self.dialler.connection.clone(),
            stores: self.stores.clone(),
            presence: Arc::clone(&self.dialler.presence),
            ledger: Arc::clone(&self.dialler.validator.ledger),
            schedule: self.schedule.clone(),
            worker: Arc::clone(&self.worker),
        }
    }

    /// Works until `stop` is true; then takes no more jobs, and waits for those that it has.
    pub async fn run(self: &Arc<Self>, mut stop: watch::Receiver<bool>) {
        // Nobody is offline who only was not heard of yet.
        tokio::select! {
            () = self.look_around() => {}
            () = async { drop(stop.wait_for(|stop| *stop).await) } => return,
        }
        let mut tasks = JoinSet::new();
        let own = Arc::clone(self);
        tasks.spawn(async move { own.follow().await });
        let own = Arc::clone(self);
        tasks.spawn(async move { own.plan().await });
        let mut jobs = JoinSet::new();
        tokio::select! {
            () = self.work(&mut jobs) => {}
            () = async { drop(stop.wait_for(|stop| *stop).await) } => {}
        }
        while jobs.join_next().await.is_some() {}
    }

    fn failed(&self, what: &str, error: &dyn std::fmt::Display) {
        let cause = error.to_string();
        (self.watch)(Doing::Failed(format!(
            "{what}: {}",
            cause.lines().next().unwrap_or_default()
        )));
    }

    fn presence(&self) -> std::sync::MutexGuard<'_, Presence> {
        self.dialler.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the announcements that are there.
    async fn look_around(&self) {
        loop {
            match self.stores.announced().await {
                Ok(all) => {
                    for (key, said) in all {
                        self.heard(key, Some(said));
                    }
                    return;
                }
                Err(error) => self.failed("announcements", &error),
            }
            sleep(PAUSE).await;
        }
    }

    fn heard(&self, key: EncodedKey, said: Option<Announcement>) {
        if said.is_some() {
            let mut first = self.first_unix_ms.lock().unwrap_or_else(PoisonError::into_inner);
            first.entry(key).or_insert_with(unix_ms);
        }
        self.presence().heard(key, said, Instant::now());
    }

    /// Follows the announcements.
    async fn follow(&self) {
        loop {
            match self.stores.agents.watch_with_history("*").await {
                Ok(mut entries) => {
                    // Agents say something all the time: silence is that of the server.
                    let silence = self.dialler.gone_after / 2;
                    while let Ok(Some(entry)) = timeout(silence, entries.next()).await {
                        let Ok(entry) = entry else { break };
                        let Ok(key) = serde_json::from_value::<EncodedKey>(entry.key.into()) else {
                            continue;
                        };
                        let said = match entry.operation {
                            Operation::Put => match Announcement::read(&entry.value) {
                                Some(said) => Some(said),
                                // What is none says nothing.
                                None => continue,
                            },
                            Operation::Delete | Operation::Purge => None,
                        };
                        self.heard(key, said);
                    }
                }
                Err(error) => self.failed("announcements", &error),
            }
            sleep(PAUSE).await;
        }
    }

    /// Queues what is due.
    async fn plan(&self) {
        let Some(schedule) = &self.schedule else { return std::future::pending().await };
        let secret = loop {
            match self.stores.tasks.secret().await {
                Ok(secret) => break secret,
                Err(error) => self.failed("planning", &error),
            }
            sleep(PAUSE).await;
        };
        let mut planner = Planner::new(secret, schedule.clone());
        let mut suspects: Vec<BTreeSet<EncodedKey>> = Vec::new();
        let (mut grouped, mut asked): (Option<Instant>, Option<Instant>) = (None, None);
        let mut unsent: Vec<Job> = Vec::new();
        loop {
            if asked.is_none_or(|asked| asked.elapsed() >= SUSPECTS) {
                asked = Some(Instant::now());
                let ledger = Arc::clone(&self.dialler.validator.ledger);
                match tokio::task::spawn_blocking(move || suspects::of(&*ledger)).await {
                    Ok(Ok(found)) => suspects = found,
                    Ok(Err(error)) => self.failed("the ledger", &error),
                    Err(_) => {}
                }
            }
            let looked = grouped.is_none_or(|grouped| grouped.elapsed() >= GROUPS);
            if looked {
                grouped = Some(Instant::now());
                self.presence().forget(Instant::now(), self.dialler.gone_after);
                let known = groups(&self.known(), schedule, &suspects);
                let first = self.first_unix_ms.lock().unwrap_or_else(PoisonError::into_inner);
                planner.regroup(known, &first);
            }
            unsent.extend(planner.due(unix_ms()));
            if looked {
                (self.watch)(Doing::Planned(planner.plan()));
            }
            let mut again = Vec::new();
            for job in unsent.drain(..) {
                match self.queue(&job).await {
                    Ok(()) => (self.watch)(Doing::Queued(job)),
                    Err(error) => {
                        self.failed("the queue", &error);
                        again.push(job);
                    }
                }
            }
            unsent = again;
            sleep(if unsent.is_empty() { LOOK } else { PAUSE }).await;
        }
    }

    /// The miners that are there.
    fn known(&self) -> Vec<Known> {
        let first = self.first_unix_ms.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |(key, present): (EncodedKey, &super::presence::Present)| {
            let said = &present.announcement;
            Known {
                key,
                host: said.host.clone(),
                address: said.address.clone(),
                devices: said.devices.iter().filter_map(|d| Some(d.uuid?.to_string())).collect(),
                first_unix_ms: first.get(&key).copied().unwrap_or_default(),
            }
        };
        self.presence().all().map(known).collect()
    }

    async fn queue(&self, job: &Job) -> Result<(), async_nats::Error> {
        queue(&self.stores, job).await
    }

    /// Takes jobs as there are places.
    async fn work(&self, jobs: &mut JoinSet<()>) {
        let mut queue = None;
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            while jobs.try_join_next().is_some() {}
            let message = match self.next(&mut queue).await {
                Ok(Some(message)) => message,
                Ok(None) => continue,
                Err(error) => {
                    self.failed("the queue", &error);
                    queue = None;
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let Ok(job) = serde_json::from_slice::<Job>(&message.payload) else {
                let _ = message.ack_with(AckKind::Term).await;
                continue;
            };
            let wait_ms = job.not_before_unix_ms.unwrap_or(0).saturating_sub(unix_ms());
            if wait_ms > 0 {
                let wait = Duration::from_millis(wait_ms.min(3_600_000));
                let _ = message.ack_with(AckKind::Nak(Some(wait))).await;
                continue;
            }
            // All of a group at once, or as many as there are places: nobody else takes any
            // meanwhile.
            let more = (job.members.len().max(1) as u32).min(self.most) - 1;
            let Ok(places) = Arc::clone(&self.places).acquire_many_owned(more).await else {
                return;
            };
            let worker = Arc::clone(&self.worker);
            let retry_after = self.schedule.as_ref().map_or(PAUSE * 4, |s| s.retry_after);
            jobs.spawn(async move {
                let alive = async {
                    loop {
                        sleep(JOB_WAIT / 4).await;
                        let _ = message.ack_with(AckKind::Progress).await;
                    }
                };
                let are_done = tokio::select! {
                    are_done = worker.hold(&job) => are_done,
                    () = alive => unreachable!("it has no end"),
                };
                let answer = match are_done {
                    true => AckKind::Ack,
                    false => AckKind::Nak(Some(retry_after)),
                };
                let _ = message.ack_with(answer).await;
                drop((place, places));
            });
        }
    }

    /// The next job, of `queue`, which is looked up if it is not known.
    async fn next(
        &self,
        queue: &mut Option<Consumer<pull::Config>>,
    ) -> Result<Option<async_nats::jetstream::Message>, async_nats::Error> {
        let queue = match queue {
            Some(queue) => queue,
            None => queue.insert(self.stores.jobs().await?),
        };
        let fetch = queue.fetch().max_messages(1).expires(Duration::from_secs(2));
        let mut batch = fetch.messages().await?;
        batch.next().await.transpose()
    }
}

/// Puts a job into the queue; the same job twice is one.
///
/// # Errors
/// The server does not take it.
pub async fn queue(stores: &Stores, job: &Job) -> Result<(), async_nats::Error> {
    let id = format!("{}.{}.{}", job.campaign, job.slot, job.members[0]);
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", id.as_str());
    let bytes = serde_json::to_vec(job)?.into();
    let sent = stores.context.publish_with_headers(names::jobs(&job.campaign), headers, bytes);
    sent.await?.await?;
    Ok(())
}

/// The record that an attempt leaves.
pub(super) fn record_of(
    running: &Record,
    came: &Came,
    retries: u32,
    spread: Option<Duration>,
) -> Record {
    let is_to_be_tried = came.outcome == Outcome::CouldNotRun && running.attempt <= retries;
    Record {
        state: if is_to_be_tried { TaskState::Waiting } else { TaskState::Done },
        outcome: Some(outcome_name(came.outcome).to_owned()),
        code: came.code.clone(),
        challenge: came.challenge,
        spread_ms: spread.map(|spread| spread.as_millis() as u64),
        ..running.clone()
    }
}

/// As it is recorded.
pub fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Verified => "verified",
        Outcome::Rejected => "rejected",
        Outcome::CouldNotRun => "could-not-run",
    }
}
