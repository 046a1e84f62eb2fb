//! One job: its tasks claimed, its miners invited, their sessions begun together.
//!
//! Guarantees: a task is claimed by one validator; what another left behind is looked for in
//! the ledger first; an outcome is recorded once, or not at all if another has taken over.
//! Deliberately lacks: the queue.

use super::dial::{Came, Dialler};
use super::plan::Job;
use super::run::{Doing, Watch, record_of};
use super::suspects::{self, Rounds};
use super::task::{Read, Record, TaskError, TaskName, TaskState, Tasks};
use super::together::{Place, places};
use crate::protocol::verdict::Outcome;
use crate::session::clock::unix_ms;
use crate::session::drive::Start;
use futures_util::future::join_all;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the server may be away before an outcome is left to the ledger.
const RECORDING: Duration = Duration::from_secs(20);
/// Pause before it is asked again.
const PAUSE: Duration = Duration::from_millis(300);

/// How long the sessions of a group wait for each other before their challenges go out.
const TOGETHER: Duration = Duration::from_secs(10);

/// How long a group waits for a member that is busy.
const BUSY: Duration = Duration::from_secs(5);

/// Does jobs.
pub(super) struct Worker {
    pub(super) tasks: Tasks,
    pub(super) dialler: Dialler,
    pub(super) instance: String,
    pub(super) retries: u32,
    /// Names of the tasks that are under way here.
    pub(super) held: Mutex<HashSet<String>>,
    pub(super) watch: Arc<Watch>,
}

/// A task of a job.
enum Claim {
    /// It is done.
    Done,
    /// It is this validator's.
    Mine(Box<Mine>),
    /// It cannot be claimed now.
    NotNow,
}

/// A claimed task.
struct Mine {
    name: TaskName,
    record: Record,
    revision: Arc<AtomicU64>,
    _held: Held,
}

impl Mine {
    /// What its session asks before its challenge goes out. The record names the challenge
    /// before the ledger has it, and is still this validator's once the ledger has it: so
    /// whoever takes it over knows what to look for, and finds it or is seen here.
    fn start(&self, tasks: &Tasks, place: Place) -> Start {
        let (to_name, name, record) = (tasks.clone(), self.name.text(), self.record.clone());
        let (tasks, text) = (tasks.clone(), name.clone());
        let (named, revision) = (Arc::clone(&self.revision), Arc::clone(&self.revision));
        Start {
            named: Box::new(move |challenge| {
                Box::pin(async move {
                    let record = Record { challenge: Some(challenge), ..record };
                    let before = Some(named.load(Ordering::SeqCst));
                    let Ok(Some(now)) = to_name.write(&name, &record, before).await else {
                        return false;
                    };
                    named.store(now, Ordering::SeqCst);
                    true
                })
            }),
            recorded: Box::pin(async move {
                let found = tasks.read(&text).await;
                let revision = revision.load(Ordering::SeqCst);
                found.is_ok_and(|found| found.is_some_and(|found| found.revision == revision))
                    && place.ready(TOGETHER).await
            }),
        }
    }
}

/// A task's name among those under way, until it is dropped.
struct Held(Arc<Worker>, String);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

impl Worker {
    /// Holds the sessions of a job that are still to be held; whether all are done now.
    pub(super) async fn hold(self: &Arc<Self>, job: &Job) -> bool {
        let claims = job.members.iter().map(|miner| async {
            let (campaign, slot) = (job.campaign.clone(), job.slot.clone());
            let name = TaskName { campaign, slot, miner: *miner };
            self.claim(name).await.unwrap_or_else(|error| {
                (self.watch)(Doing::Failed(error.to_string()));
                Claim::NotNow
            })
        });
        let mut are_done = true;
        let mut mine = Vec::new();
        for claim in join_all(claims).await {
            match claim {
                Claim::Done => {}
                Claim::Mine(task) => mine.push(*task),
                Claim::NotNow => are_done = false,
            }
        }
        let mut losses = self.dialler.connection.losses.clone();
        losses.mark_unchanged();
        let is_group = job.members.len() > 1;
        let invited = join_all(mine.iter().map(|task| async move {
            let Some(key) = task.name.miner.decode() else {
                return (Err(Came::to_nothing("no-key")), false);
            };
            let begun = Instant::now();
            loop {
                let answer = self.dialler.invite(key).await;
                let is_busy = matches!(&answer, Err(came) if came.code.as_deref() == Some("busy"));
                if !is_busy || !is_group {
                    return (answer, false);
                }
                // With another of the fleet's sessions, or with the end of one.
                if begun.elapsed() > BUSY {
                    return (answer, self.is_held_elsewhere(&task.name).await);
                }
                sleep(PAUSE).await;
            }
        }))
        .await;
        let (answers, elsewhere): (Vec<_>, Vec<_>) = invited.into_iter().unzip();
        // All have answered, or were given up. Their challenges wait for each other.
        let places = places(answers.len());
        let held = answers.into_iter().zip(places).zip(&mine).map(|((invited, place), task)| {
            let is_late = Arc::clone(&place.is_late);
            let start = task.start(&self.tasks, place);
            async {
                match invited {
                    Ok(invited) => self.dialler.hold(invited, start, is_late).await,
                    Err(came) => came,
                }
            }
        });
        let came = join_all(held).await;
        let is_loss_ours = losses.has_changed().unwrap_or(true);
        let is_judged = |came: &Came| came.outcome != Outcome::CouldNotRun;
        let goes_on_alone = is_group && came.iter().any(is_judged) && !is_loss_ours;
        let challenged: Vec<Instant> = came.iter().filter_map(|came| came.challenged).collect();
        let (first, count) = (challenged.iter().min().copied(), challenged.len());
        let tasks = mine.into_iter().zip(elsewhere).zip(came);
        let finished = join_all(tasks.map(|((task, is_elsewhere), mut came)| async move {
            let spread = came.challenged.zip(first).map(|(at, first)| at - first);
            came.measured.spread = spread.filter(|_| count > 1);
            // Whoever went away while others of its group worked would be tried again alone: two
            // identities could take turns on one device.
            let is_alone = goes_on_alone && came.is_absence() && !is_elsewhere;
            let retries = if is_alone { 0 } else { self.retries };
            self.finish(task, came, spread, retries).await
        }))
        .await;
        are_done && finished.into_iter().all(|is_done| is_done)
    }

    /// Whether another task of this miner is under way: a miner that says that it is busy
    /// may be so with that.
    async fn is_held_elsewhere(&self, name: &TaskName) -> bool {
        let all = self.tasks.all(&format!("*.*.{}", name.miner)).await.unwrap_or_default();
        all.iter().any(|(other, record)| other != name && record.state == TaskState::Running)
    }

    /// Makes a task this validator's.
    async fn claim(self: &Arc<Self>, name: TaskName) -> Result<Claim, TaskError> {
        let text = name.text();
        {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            if !held.insert(text.clone()) {
                // The job came again while it is under way.
                return Ok(Claim::NotNow);
            }
        }
        let held = Held(Arc::clone(self), text.clone());
        let found = self.tasks.read(&text).await?;
        let mut attempt = 1;
        let mut before = found.as_ref().map(|found| found.revision);
        if let Some(Read { record, revision }) = &found {
            match record.state {
                TaskState::Done => return Ok(Claim::Done),
                TaskState::Waiting => attempt = record.attempt + 1,
                TaskState::Running => {
                    // Whoever had it has let its job go, or a server that was killed gives it
                    // out again. It is taken first and looked for then: what the other one puts
                    // on record later it does not send, as it looks here after that.
                    attempt = record.attempt;
                    let taken = Record { validator: self.instance.clone(), ..record.clone() };
                    let Some(revision) = self.tasks.write(&text, &taken, Some(*revision)).await?
                    else {
                        return Ok(Claim::NotNow);
                    };
                    before = Some(revision);
                    let Ok(came) = self.left_behind(&name, record).await else {
                        return Ok(Claim::NotNow);
                    };
                    if let Some(came) = came {
                        let record = record_of(&taken, &came, 0, None);
                        let written = self.tasks.write(&text, &record, before).await?;
                        if written.is_some() {
                            (self.watch)(Doing::Ended(name, came, true));
                        }
                        return Ok(if written.is_some() { Claim::Done } else { Claim::NotNow });
                    }
                }
            }
        }
        let record = Record {
            state: TaskState::Running,
            validator: self.instance.clone(),
            attempt,
            since_unix_ms: unix_ms(),
            outcome: None,
            code: None,
            challenge: None,
            spread_ms: None,
        };
        Ok(match self.tasks.write(&text, &record, before).await? {
            Some(revision) => {
                let revision = Arc::new(AtomicU64::new(revision));
                Claim::Mine(Box::new(Mine { name, record, revision, _held: held }))
            }
            None => Claim::NotNow,
        })
    }

    /// What the ledger has of an attempt that another validator began. An attempt without a
    /// challenge has put none on record.
    async fn left_behind(&self, name: &TaskName, attempt: &Record) -> Result<Option<Came>, ()> {
        let Some(session) = attempt.challenge else { return Ok(None) };
        let validator = &self.dialler.validator;
        let (ledger, miner) = (Arc::clone(&validator.ledger), name.miner);
        let since_unix_ms = attempt.since_unix_ms;
        let rounds = if validator.policy.is_none() { Rounds::One } else { Rounds::Several };
        let found = tokio::task::spawn_blocking(move || {
            suspects::left_behind(&*ledger, miner, since_unix_ms, session, rounds)
        });
        match found.await {
            Ok(Ok(came)) => Ok(came),
            Ok(Err(error)) => {
                (self.watch)(Doing::Failed(error.to_string()));
                Err(())
            }
            Err(_) => Err(()),
        }
    }

    /// Records what came of a task; whether it is done.
    async fn finish(&self, task: Mine, came: Came, spread: Option<Duration>, retries: u32) -> bool {
        let record = record_of(&task.record, &came, retries, spread);
        let is_done = record.state == TaskState::Done;
        let (text, begun) = (task.name.text(), Instant::now());
        loop {
            let before = Some(task.revision.load(Ordering::SeqCst));
            match self.tasks.write(&text, &record, before).await {
                Ok(Some(_)) => break,
                Ok(None) => {
                    // Written by an attempt of which the answer was lost, or taken over.
                    let found = self.tasks.read(&text).await;
                    if matches!(&found, Ok(Some(found)) if found.record == record) {
                        break;
                    }
                    return false;
                }
                Err(error) if begun.elapsed() > RECORDING => {
                    (self.watch)(Doing::Failed(error.to_string()));
                    return false;
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
        (self.watch)(Doing::Ended(task.name, came, is_done));
        is_done
    }
}
