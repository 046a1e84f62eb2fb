//! A fleet on a real nats-server: agents, validators, and what kills them.

mod child;
#[path = "../common/mod.rs"]
mod common;
mod cut;
mod faults;
mod hostile;
mod monitoring;
mod outages;
mod permissions;
#[path = "../ledger/server.rs"]
#[allow(dead_code, reason = "the ledger's tests use all of it")]
mod postgres;
mod programs;
mod proxy;
mod server;
mod sessions;
mod simulation;

use attest::fleet::agent::Agent;
use attest::fleet::connect::{Connection, Server, connect};
use attest::fleet::dial::Dialler;
use attest::fleet::plan::Job;
use attest::fleet::run::{Daemon, Doing, Watch, queue};
use attest::fleet::schedule::Schedule;
use attest::fleet::store::Stores;
use attest::fleet::task::{Record, TaskName, TaskState};
use attest::identity::SigningIdentity;
use attest::ledger::{Ledger, Location};
use attest::mining::issue::Request;
use attest::protocol::signature::PublicKey;
use attest::session::drive::Validator;
use attest::session::miner::End;
use attest::session::respond::Miner;
use ed25519_dalek::SigningKey;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the tests' agents announce themselves.
const BEAT: Duration = Duration::from_millis(500);
/// When they are gone.
const GONE_AFTER: Duration = Duration::from_secs(10);

/// A key of its own for each number.
fn identity(number: u16) -> SigningIdentity {
    let mut seed = [7; 32];
    seed[..2].copy_from_slice(&number.to_be_bytes());
    SigningKey::from_bytes(&seed).into()
}

fn key(number: u16) -> PublicKey {
    identity(number).public()
}

/// The least work with samples.
fn tiny() -> Request {
    Request {
        matrix_dim: Some(128),
        num_matrices: Some(1),
        num_iterations: Some(1),
        samples_per_iteration: Some(2),
        gpu_count: Some(1),
        ..Request::default()
    }
}

fn server_of(url: &str, ca: Option<&Path>) -> Server {
    Server { url: url.to_owned(), ca: ca.map(Path::to_owned) }
}

async fn reach(server: &Server, identity: Option<SigningIdentity>) -> Connection {
    let identity = identity.map(Arc::new);
    connect(server, identity.as_ref(), "test", true).await.expect("a connection")
}

/// An agent in this process, until it is dropped or told to end.
struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    /// Its sessions' ends.
    ends: mpsc::UnboundedReceiver<End>,
}

impl Running {
    async fn start(server: &Server, number: u16) -> Self {
        Self::start_as(server, number, common::cpu_miner(Some(identity(number)))).await
    }

    async fn start_as(server: &Server, number: u16, miner: Miner) -> Self {
        Self::start_with(server, number, miner, BEAT).await
    }

    async fn start_with(server: &Server, number: u16, miner: Miner, beat: Duration) -> Self {
        let connection = reach(server, Some(identity(number))).await;
        let mut agent = Agent::new(connection, Arc::new(miner)).expect("a key");
        agent.beat = beat;
        let (stop, stopped) = watch::channel(false);
        let (put, ends) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let tell = move |doing| {
                if let attest::fleet::agent::Doing::Ended(_, end) = doing {
                    let _ = put.send(end);
                }
            };
            let _ = agent.run(stopped, &tell).await;
        });
        Self { stop, task, ends }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A validator's daemon in this process.
struct Validating {
    stores: Stores,
    _stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    ended: Arc<Mutex<Vec<(TaskName, String, bool)>>>,
    validator: Arc<Validator>,
}

impl Validating {
    async fn start(server: &Server, ledger: &Arc<dyn Ledger>, schedule: Schedule) -> Self {
        Self::start_asking(server, ledger, schedule, tiny()).await
    }

    async fn start_asking(
        server: &Server,
        ledger: &Arc<dyn Ledger>,
        schedule: Schedule,
        request: Request,
    ) -> Self {
        let watch = Arc::new(|_| ());
        Self::start_as(server, ledger, schedule, request, 64, GONE_AFTER, watch).await
    }

    async fn start_as(
        server: &Server,
        ledger: &Arc<dyn Ledger>,
        schedule: Schedule,
        request: Request,
        places: u32,
        gone_after: Duration,
        watch: Arc<Watch>,
    ) -> Self {
        let connection = reach(server, Some(identity(0))).await;
        let stores = Stores::open_or_make(&connection.client, gone_after).await.expect("streams");
        let mut validator = Validator::new(Arc::clone(ledger), request);
        validator.patience.pong = validator.patience.hello;
        let validator = Arc::new(validator);
        let dialler = Dialler {
            connection,
            validator: Arc::clone(&validator),
            presence: Arc::default(),
            gone_after,
        };
        let ended = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&ended);
        let tell = move |doing| {
            if let Doing::Ended(name, came, is_done) = &doing {
                let code = came.code.clone().unwrap_or_else(|| "verified".to_owned());
                told.lock().unwrap().push((name.clone(), code, *is_done));
            }
            watch(doing);
        };
        let daemon = Daemon::new(stores.clone(), dialler, Some(schedule), places, Arc::new(tell));
        let daemon = Arc::new(daemon.expect("random bytes"));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move { daemon.run(stopped).await });
        Self { stores, _stop: stop, task, ended, validator }
    }

    /// Puts a job into the queue.
    async fn challenge(&self, campaign: &str, numbers: &[u16]) -> Vec<TaskName> {
        let members: Vec<_> = numbers.iter().map(|number| key(*number).encoded()).collect();
        let (campaign, slot) = (campaign.to_owned(), "0".to_owned());
        let job = Job { campaign, slot, members, not_before_unix_ms: None };
        queue(&self.stores, &job).await.expect("the queue takes it");
        let name = |miner| TaskName { campaign: job.campaign.clone(), slot: "0".into(), miner };
        job.members.iter().map(|miner| name(*miner)).collect()
    }

    /// Waits for a task to be done.
    async fn done(&self, name: &TaskName) -> Record {
        done(&self.stores, name).await
    }

    /// Waits until the agent of `number` is known to be there.
    async fn meets(&self, number: u16) {
        let key = key(number).encoded();
        let there = async {
            while !self.stores.announced().await.is_ok_and(|all| all.contains_key(&key)) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, there).await.expect("the agent announces itself");
    }
}

impl Drop for Validating {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn done(stores: &Stores, name: &TaskName) -> Record {
    let done = async {
        loop {
            if let Ok(Some(read)) = stores.tasks.read(&name.text()).await
                && read.record.state == TaskState::Done
            {
                return read.record;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, done).await.expect("the task is done")
}

/// A schedule that plans nothing while a test runs.
fn quiet() -> Schedule {
    Schedule {
        // The one time of so long a campaign is not now.
        period_ms: 1 << 60,
        sessions: 1.0,
        retry_after: Duration::from_secs(1),
        ..Schedule::default()
    }
}

/// A new ledger in a folder that lives as long as it is held.
fn ledger() -> (tempfile::TempDir, Arc<dyn Ledger>) {
    let folder = tempfile::tempdir().expect("a folder");
    let location = Location::File(folder.path().join("ledger.sqlite"));
    (folder, attest::ledger::open(&location).expect("a ledger"))
}
