//! A miner that answers sessions: executors and key for the actions of
//! [`super::miner`], over any pair of streams.
//!
//! Guarantees: if the session ends the run ends, too, within an iteration; no
//! work begins that the measured speed of the miner's devices cannot do in time; [`Miner::respond`]
//! returns at most [`WORK_FAREWELL`] after the session's end, and says `busy` as long
//! as the devices are still at work for one that is over.
//! Deliberately lacks: making connections, and choosing devices.

use super::fault::OwnFault;
use super::limits::Patience;
use super::link::{Heard, Link, Works};
use super::message::{
    Device, DeviceKind, FromMiner, MinerHello, PINGS_CAPABILITY, VERSIONS, commitment_line,
    line_of, openings_line, software, text_for_message,
};
use super::miner::{Action, End, Event, MinerSession, SESSION_DEFAULT, Terms, Who, allowed_by};
use super::refusal::{Refusal, RefusalCode, Unable};
use crate::error_text::what_happened;
use crate::executor::cpu::{CpuExecutor, CpuOptions};
use crate::executor::lanes::{RunError, RunOptions};
use crate::executor::{ExecError, Executor, Kind, LaneFacts, abandoned};
use crate::identity::SigningIdentity;
use crate::mining::committed::Committed;
use crate::mining::executors::Chosen;
use crate::mining::mine::{Expiry, MineError, MineOptions, commit};
use crate::mining::pool::{LendError, Lending, Loan, Pool};
use crate::protocol::challenge::Challenge;
use crate::protocol::names::Coin;
use crate::protocol::signature::PublicKey;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{JoinHandle, spawn_blocking};

/// What a miner computes with.
pub trait Equipment: Send + Sync {
    /// What a hello lists.
    ///
    /// # Errors
    /// Why there is nothing to list now, in words: the validator is told `busy`.
    fn devices(&self) -> Result<Vec<Device>, String>;

    /// Executors for a challenge, one a lane; their notes go into the evidence.
    ///
    /// # Errors
    /// What the challenge asks for is not there, or cannot be done within `limit`.
    fn take(&self, challenge: &Challenge, limit: Duration) -> Result<Taken, Unable>;

    /// The machine's CPUs, as one lane, for a round of theirs, but for `cores_left`: what
    /// else it has is idle meanwhile, or has these.
    ///
    /// # Errors
    /// The challenge asks for more lanes.
    fn host(&self, challenge: &Challenge, cores_left: usize) -> Result<Taken, Unable> {
        match challenge.spec().gpu_count {
            None | Some(1) => {
                let options = CpuOptions { cores_left, ..CpuOptions::default() };
                let cpu: Box<dyn Executor> = Box::new(CpuExecutor::new(options));
                Ok(Taken { chosen: vec![cpu].into(), loan: None })
            }
            Some(count) => Err(OwnFault(format!(
                "{count} lanes were asked for on the machine's CPUs, which are one\n\
                 Ask for one."
            ))
            .into()),
        }
    }

    /// Between two sessions: makes ready what the last one used or broke.
    fn recover(&self) {}
}

/// Executors for one run, and the end of their loan if they are lent.
pub struct Taken {
    /// One a lane, in lane order.
    pub chosen: Chosen,
    /// Kept until the run is over and its executors are dropped.
    pub loan: Option<Loan>,
}

/// Opens the executors for a challenge.
pub type Open = dyn Fn(&Challenge) -> Result<Chosen, Unable> + Send + Sync;

/// Executors that are opened when a challenge is there.
pub struct OnDemand {
    /// What a hello lists.
    pub devices: Vec<Device>,
    /// What opens them.
    pub open: Box<Open>,
}

impl Equipment for OnDemand {
    fn devices(&self) -> Result<Vec<Device>, String> {
        Ok(self.devices.clone())
    }
    fn take(&self, challenge: &Challenge, _: Duration) -> Result<Taken, Unable> {
        Ok(Taken { chosen: (self.open)(challenge)?, loan: None })
    }
}

impl Equipment for Pool {
    fn devices(&self) -> Result<Vec<Device>, String> {
        let ready = self.ready().map_err(what_happened)?;
        Ok(ready.iter().map(device_of).collect())
    }

    fn take(&self, challenge: &Challenge, limit: Duration) -> Result<Taken, Unable> {
        let lending = self.lend(challenge, limit).map_err(|error| match error {
            LendError::TooSlow { .. } => {
                // What is left of the session may be less than the challenge allows.
                let code = match limit < allowed_by(challenge) {
                    true => RefusalCode::SessionOver,
                    false => RefusalCode::TooSlow,
                };
                Refusal::new(code, what_happened(error)).into()
            }
            error => Unable::Own(OwnFault::of(&error)),
        });
        lending.map(|Lending { chosen, loan }| Taken { chosen, loan: Some(loan) })
    }

    fn recover(&self) {
        Self::recover(self);
    }
}

/// A lane as a hello lists it.
pub fn device_of(facts: &LaneFacts) -> Device {
    let (kind, uuid) = match facts.kind {
        Kind::Gpu => (DeviceKind::Gpu, Some(facts.uuid)),
        Kind::Cpu => (DeviceKind::Cpu, None),
    };
    Device { kind, model: facts.model.clone(), uuid, memory_bytes: facts.memory_bytes }
}

/// Told of the iterations that each lane has done.
pub type Progress = dyn Fn(&Challenge, &[u32]) + Send + Sync;

/// How a miner answers.
pub struct Miner {
    /// The executors, or the means to open them.
    pub equipment: Arc<dyn Equipment>,
    /// The key that signs commitments.
    pub identity: Option<Arc<SigningIdentity>>,
    /// How long it waits.
    pub patience: Patience,
    /// How long a session may last; [`SESSION_DEFAULT`] unless told otherwise.
    pub session_max: Duration,
    /// Set it and every run ends.
    pub stop: Arc<AtomicBool>,
    /// Told of each lane's iterations.
    pub progress: Arc<Progress>,
}

/// A run that is committed to. What it computes with is dropped before its loan ends.
struct Run {
    committed: Box<Committed>,
    loan: Option<Loan>,
}

/// What a round is answered with.
enum Means {
    /// The devices, within this time.
    Devices(Duration),
    /// The machine's CPUs.
    Host { cores_left: usize },
}

/// What work under way comes to.
enum Done {
    Committed(Result<Run, Unable>),
    Opened(Result<Vec<u8>, OwnFault>),
}

/// How often the flag of the whole program is looked at.
const STOP_LOOK: Duration = Duration::from_millis(50);
/// How long work under way is waited for when its session is over. An iteration on a
/// CPU may take longer.
pub const WORK_FAREWELL: Duration = Duration::from_secs(10);

impl Miner {
    /// A miner without a key, on default terms.
    pub fn new(equipment: Arc<dyn Equipment>) -> Self {
        Self {
            equipment,
            identity: None,
            patience: Patience::default(),
            session_max: SESSION_DEFAULT,
            stop: Arc::new(AtomicBool::new(false)),
            progress: Arc::new(|_, _| ()),
        }
    }

    /// How it introduces itself.
    fn hello(&self, devices: Vec<Device>) -> MinerHello {
        MinerHello {
            versions: VERSIONS.to_vec(),
            software: software(),
            miner_id: self.identity.as_ref().map(|identity| identity.public().encoded()),
            capabilities: vec![PINGS_CAPABILITY.to_owned()],
            devices,
        }
    }

    /// Holds one session over these streams, to its end, with a validator that
    /// nobody has authenticated.
    pub async fn respond(
        &self,
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin,
    ) -> End {
        self.respond_to(None, reader, writer).await
    }

    /// [`Miner::respond`] to the validator whose key the transport has authenticated:
    /// its challenge has to name that key.
    pub async fn respond_to(
        &self,
        validator: Option<PublicKey>,
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin,
    ) -> End {
        let Self { patience, session_max, .. } = *self;
        let devices = match self.equipment.devices() {
            Ok(devices) => devices,
            Err(text) => {
                let mut link = Link::new(reader, writer);
                link.send(&line_of(&FromMiner::Busy { text: text_for_message(&text) }));
                link.finish().await;
                return End::Own(OwnFault(format!("{text}\nTry again later.")));
            }
        };
        let terms = Terms { patience, session_max, validator };
        // A lane's thread has a core for itself.
        let cores_of_lanes = devices.len();
        let mut session = MinerSession::new(terms, self.hello(devices));
        let mut link = Link::new(reader, writer);
        // Of the rounds of these numbers.
        let mut work: Works<Done, usize> = Works::none();
        let mut committed: BTreeMap<usize, Run> = BTreeMap::new();
        let stop = Arc::new(AtomicBool::new(false));
        let passing_on = tokio::spawn(pass_on(Arc::clone(&self.stop), Arc::clone(&stop)));
        let mut actions = session.handle(link.now(), Event::Start);
        let end = 'session: loop {
            for action in actions {
                match action {
                    Action::Send(line) => link.send(&line),
                    Action::Commit { round, challenge, on, limit } => {
                        let on = match on {
                            Who::Devices => Means::Devices(limit),
                            Who::Host { beside: false } => Means::Host { cores_left: 0 },
                            Who::Host { beside: true } => {
                                Means::Host { cores_left: cores_of_lanes }
                            }
                        };
                        work.begin(round, self.commit(*challenge, on, Arc::clone(&stop)));
                    }
                    Action::Open { round, coin } => {
                        let run = committed.remove(&round);
                        let run = run.expect("a coin is opened for a commitment");
                        work.begin(round, open(run, coin));
                    }
                    Action::End(end) => break 'session end,
                }
            }
            let (now, heard) = link.next(session.deadline(), &mut work).await;
            actions = match heard {
                Heard::Bytes(bytes) => session.handle(now, Event::Bytes(&bytes)),
                Heard::Closed => session.handle(now, Event::Closed),
                Heard::Deadline => session.handle(now, Event::Tick),
                Heard::Done(round, done) => {
                    let event = match done {
                        Ok(Done::Committed(Ok(done))) => {
                            let line = commitment_line(&done.committed);
                            committed.insert(round, done);
                            Event::Committed(round, Ok(line))
                        }
                        Ok(Done::Committed(Err(error))) => Event::Committed(round, Err(error)),
                        Ok(Done::Opened(opened)) => Event::Opened(round, opened),
                        Err(panic) if session.is_opening(round) => {
                            Event::Opened(round, Err(panicked(&panic)))
                        }
                        Err(panic) => Event::Committed(round, Err(panicked(&panic).into())),
                    };
                    session.handle(now, event)
                }
            };
        };
        stop.store(true, Ordering::SeqCst);
        passing_on.abort();
        link.finish().await;
        for work in work.into_handles() {
            if tokio::time::timeout(WORK_FAREWELL, work).await.is_err() {
                // It heeds the flag when its iteration is done. Until then the devices are
                // not ready, and the process has to end without waiting for them.
                abandoned::note();
            }
        }
        end
    }

    fn commit(
        &self,
        challenge: Challenge,
        means: Means,
        stop: Arc<AtomicBool>,
    ) -> JoinHandle<Done> {
        let (equipment, identity) = (Arc::clone(&self.equipment), self.identity.clone());
        let progress = Arc::clone(&self.progress);
        spawn_blocking(move || {
            let taken = match means {
                Means::Devices(limit) => equipment.take(&challenge, limit),
                Means::Host { cores_left } => equipment.host(&challenge, cores_left),
            };
            let done = taken.and_then(|Taken { chosen, loan }| {
                let options = MineOptions {
                    run: RunOptions { stop, ..RunOptions::default() },
                    identity: identity.as_deref(),
                    notes: chosen.notes,
                    expiry: Expiry::ValidatorsClock,
                    ..MineOptions::default()
                };
                let progress = |done: &[u32]| progress(&challenge, done);
                let committed = commit(&challenge, chosen.executors, &options, &progress);
                let committed = Box::new(committed.map_err(unable)?);
                Ok(Run { committed, loan })
            });
            Done::Committed(done)
        })
    }
}

/// What does not fit is refused; anything else is this side's failure.
fn unable(error: MineError) -> Unable {
    let is_too_large = match &error {
        MineError::Memory { .. } => true,
        MineError::Run(RunError::Lane { source, .. }) => {
            matches!(**source, ExecError::Memory { .. })
        }
        _ => false,
    };
    match is_too_large {
        true => Refusal::new(RefusalCode::TooLarge, what_happened(error)).into(),
        false => OwnFault::of(&error).into(),
    }
}

fn open(run: Run, coin: Coin) -> JoinHandle<Done> {
    spawn_blocking(move || {
        let Run { committed, loan } = run;
        let result = committed.open(Some(coin)).map_err(|error| OwnFault::of(&error));
        drop(loan);
        Done::Opened(result.map(|result| openings_line(&result)))
    })
}

fn panicked(panic: &tokio::task::JoinError) -> OwnFault {
    OwnFault(format!("the run failed: {panic}\nReport it."))
}

async fn pass_on(from: Arc<AtomicBool>, to: Arc<AtomicBool>) {
    while !from.load(Ordering::SeqCst) {
        tokio::time::sleep(STOP_LOOK).await;
    }
    to.store(true, Ordering::SeqCst);
}
