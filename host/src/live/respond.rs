//! A miner that answers sessions: executors and key for the actions of
//! [`super::miner`], over any pair of streams.
//!
//! Guarantees: where the session ends the run ends, too, within an iteration, and
//! its devices are free when [`Miner::respond`] returns.
//! Deliberately lacks: making connections, and choosing devices.

use super::fault::OwnFault;
use super::limits::Patience;
use super::link::{Heard, Link};
use super::message::{
    Device, MinerHello, PINGS_CAPABILITY, VERSIONS, commitment_line, openings_line, software,
};
use super::miner::{Action, End, Event, MinerSession};
use crate::executor::lanes::RunOptions;
use crate::identity::SigningIdentity;
use crate::protocol::challenge::Challenge;
use crate::protocol::digest::Digest;
use crate::session::committed::Committed;
use crate::session::executors::Chosen;
use crate::session::mine::{MineOptions, commit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{JoinHandle, spawn_blocking};

/// Opens the executors for a challenge, one a lane; its notes go into the evidence.
pub type Executors = dyn Fn(&Challenge) -> Result<Chosen, OwnFault> + Send + Sync;

/// Told of the iterations that each lane has done.
pub type Progress = dyn Fn(&Challenge, &[u32]) + Send + Sync;

/// How a miner answers.
pub struct Miner {
    /// What computes.
    pub executors: Arc<Executors>,
    /// Who signs.
    pub identity: Option<Arc<SigningIdentity>>,
    /// What the hello lists.
    pub devices: Vec<Device>,
    /// How long it waits.
    pub patience: Patience,
    /// Set it and every run ends.
    pub stop: Arc<AtomicBool>,
    /// Told of each lane's iterations.
    pub progress: Arc<Progress>,
}

/// What work under way comes to.
enum Done {
    Committed(Result<Box<Committed>, OwnFault>),
    Opened(Result<Vec<u8>, OwnFault>),
}

/// How often the flag of the whole program is looked at.
const STOP_LOOK: Duration = Duration::from_millis(50);

impl Miner {
    /// What it says of itself.
    pub fn hello(&self) -> MinerHello {
        MinerHello {
            versions: VERSIONS.to_vec(),
            software: software(),
            miner_id: self.identity.as_ref().map(|identity| identity.public()),
            capabilities: vec![PINGS_CAPABILITY.to_owned()],
            devices: self.devices.clone(),
        }
    }

    /// Holds one session over these streams, to its end.
    pub async fn respond(
        &self,
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin,
    ) -> End {
        let mut session = MinerSession::new(self.patience, self.hello());
        let mut link = Link::new(reader, writer);
        let mut work: Option<JoinHandle<Done>> = None;
        let mut committed = None;
        let stop = Arc::new(AtomicBool::new(false));
        let passing_on = tokio::spawn(pass_on(Arc::clone(&self.stop), Arc::clone(&stop)));
        let mut actions = session.handle(link.now(), Event::Start);
        let end = 'session: loop {
            for action in actions {
                match action {
                    Action::Send(line) => link.send(&line),
                    Action::Commit(challenge) => {
                        work = Some(self.commit(*challenge, Arc::clone(&stop)));
                    }
                    Action::Open { coin } => work = committed.take().map(|c| open(c, coin)),
                    Action::End(end) => break 'session end,
                }
            }
            let (now, heard) = link.next(session.deadline(), &mut work).await;
            actions = match heard {
                Heard::Bytes(bytes) => session.handle(now, Event::Bytes(&bytes)),
                Heard::Closed => session.handle(now, Event::Closed),
                Heard::Deadline => session.handle(now, Event::Tick),
                Heard::Done(done) => {
                    let event = match done {
                        Ok(Done::Committed(Ok(done))) => {
                            let line = commitment_line(&done);
                            committed = Some(done);
                            Event::Committed(Ok(line))
                        }
                        Ok(Done::Committed(Err(error))) => Event::Committed(Err(error)),
                        Ok(Done::Opened(opened)) => Event::Opened(opened),
                        Err(panic) if committed.is_none() => {
                            Event::Committed(Err(panicked(&panic)))
                        }
                        Err(panic) => Event::Opened(Err(panicked(&panic))),
                    };
                    session.handle(now, event)
                }
            };
        };
        stop.store(true, Ordering::SeqCst);
        passing_on.abort();
        link.finish().await;
        if let Some(work) = work {
            // The devices are in use until it ends; it heeds the flag.
            let _ = work.await;
        }
        end
    }

    fn commit(&self, challenge: Challenge, stop: Arc<AtomicBool>) -> JoinHandle<Done> {
        let (executors, identity) = (Arc::clone(&self.executors), self.identity.clone());
        let progress = Arc::clone(&self.progress);
        spawn_blocking(move || {
            let committed =
                executors(&challenge).and_then(|Chosen { executors, notes, .. }| {
                    let run = RunOptions { stop, ..RunOptions::default() };
                    let identity = identity.as_deref();
                    let options = MineOptions { run, identity, notes, ..MineOptions::default() };
                    commit(&challenge, executors, &options, &|done| progress(&challenge, done))
                        .map_err(|error| OwnFault::of(&error))
                });
            Done::Committed(committed.map(Box::new))
        })
    }
}

fn open(committed: Box<Committed>, coin: Digest) -> JoinHandle<Done> {
    spawn_blocking(move || {
        let result = committed.open(Some(coin)).map_err(|error| OwnFault::of(&error));
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
