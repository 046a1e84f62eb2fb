//! A miner's agent: announces itself, and answers the invitations of validators.
//!
//! Guarantees: one session at a time; others are told that it is busy; an agent that is told
//! to end finishes its session and takes no other.
//! Deliberately lacks: any way in: it connects outwards only.

use super::connect::Connection;
use super::frame;
use super::link::{self, Streams};
use super::names;
use super::presence::{AgentState, Announcement, BEAT};
use crate::protocol::signature::EncodedKey;
use crate::session::message::{Device, software};
use crate::session::miner::End;
use crate::session::respond::Miner;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// Longest invitation that is read, bytes.
const INVITATION_BYTES_MAX: usize = 4096;

/// How long a validator may give no sign of life: another one asks after 30 s.
const SILENCE: Duration = Duration::from_secs(20);

/// What a validator asks of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The session's name.
    pub session: String,
    /// The agent that is meant.
    pub instance: String,
}

/// A miner's agent.
pub struct Agent {
    connection: Connection,
    miner: Arc<Miner>,
    key: EncodedKey,
    instance: String,
    /// As they were listed last.
    devices: Mutex<Vec<Device>>,
    /// How often it announces itself.
    pub beat: Duration,
    /// The host's name as evidence has it, for validators that group by it.
    pub host: Option<String>,
    /// Whether to say at which address the server sees this agent.
    pub tells_address: bool,
}

/// Why there is no agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The miner has no key.
    #[error("an agent needs a key\nGive --key.")]
    NoKey,
    /// No random bytes.
    #[error("no random bytes: {0}\nCheck that the system's random generator works.")]
    Random(getrandom::Error),
    /// The connection is closed.
    #[error("the connection is closed: {0}\nStart the agent again.")]
    Closed(String),
}

/// What an agent does, for whoever watches.
#[derive(Debug)]
pub enum Doing {
    /// It listens for invitations.
    Listening,
    /// A session began.
    Began(String),
    /// A session ended.
    Ended(String, End),
}

/// A session under way.
struct Held {
    session: String,
    task: Task,
}

/// A session's task; it ends with this.
struct Task(JoinHandle<End>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Says that a session is over when it is dropped, also by a panic.
struct Over(Arc<Notify>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Agent {
    /// An agent of this miner.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn new(connection: Connection, miner: Arc<Miner>) -> Result<Self, AgentError> {
        let key = miner.identity.as_ref().ok_or(AgentError::NoKey)?.public().encoded();
        let instance = names::random().map_err(AgentError::Random)?;
        let (beat, host) = (BEAT, None);
        let devices = Mutex::default();
        Ok(Self { connection, miner, key, instance, devices, beat, host, tells_address: true })
    }

    /// Announces itself and answers, until `stop` is true and the session under way is over.
    ///
    /// # Errors
    /// [`AgentError::Closed`].
    pub async fn run(
        &self,
        mut stop: watch::Receiver<bool>,
        watch: &(dyn Fn(Doing) + Send + Sync),
    ) -> Result<(), AgentError> {
        let client = &self.connection.client;
        let closed = |error: &dyn std::fmt::Display| AgentError::Closed(error.to_string());
        let asked = client.subscribe(names::ask(self.key)).await;
        let mut asked = asked.map_err(|error| closed(&error))?;
        let mut beat = interval(self.beat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut held: Option<Held> = None;
        let mut is_ending = false;
        let over = Arc::new(Notify::new());
        watch(Doing::Listening);
        while !is_ending || held.is_some() {
            tokio::select! {
                _ = beat.tick() => self.announce(held.as_ref(), is_ending).await,
                message = asked.next() => {
                    let message = message.ok_or_else(|| closed(&"no more invitations"))?;
                    if let Some(session) = self.answer(&message.payload, held.as_ref(), is_ending).await {
                        watch(Doing::Began(session.clone()));
                        held = Some(self.hold(session, Arc::clone(&over)).await?);
                        self.announce(held.as_ref(), is_ending).await;
                    }
                }
                () = over.notified() => {
                    if let Some(Held { session, mut task }) = held.take()
                        && let Ok(end) = (&mut task.0).await
                    {
                        watch(Doing::Ended(session, end));
                    }
                    self.announce(None, is_ending).await;
                }
                () = async { drop(stop.wait_for(|stop| *stop).await) }, if !is_ending => {
                    is_ending = true;
                    self.announce(held.as_ref(), is_ending).await;
                }
            }
        }
        self.remove().await;
        let _ = client.flush().await;
        Ok(())
    }

    /// Tells the validator whether its invitation is taken; the session's name if a new one is.
    async fn answer(&self, bytes: &[u8], held: Option<&Held>, is_ending: bool) -> Option<String> {
        let is_bounded = bytes.len() <= INVITATION_BYTES_MAX;
        let invitation: Invitation = serde_json::from_slice(bytes).ok().filter(|_| is_bounded)?;
        let Invitation { session, instance } = invitation;
        if instance != self.instance || !names::is_token(&session) {
            return None;
        }
        let reply = match held {
            // The validator has not heard the first answer.
            Some(held) if held.session == session => frame::accept(),
            None if !is_ending => return Some(session),
            _ => frame::busy(),
        };
        let to = names::from(self.key, &session);
        let _ = self.connection.client.publish(to, reply.into()).await;
        None
    }

    async fn hold(&self, session: String, over: Arc<Notify>) -> Result<Held, AgentError> {
        let client = self.connection.client.clone();
        let frames = client.subscribe(names::to(self.key, &session)).await;
        let frames = frames.map_err(|error| AgentError::Closed(error.to_string()))?;
        let to = names::from(self.key, &session);
        // Goes after the subscription, on the same connection.
        let _ = client.publish(to.clone(), frame::accept().into()).await;
        let (miner, over) = (Arc::clone(&self.miner), Over(over));
        let task = tokio::spawn(async move {
            let _over = over;
            let Streams { reader, writer, .. } = link::open(client, to, frames, SILENCE);
            let end = miner.respond(reader, writer).await;
            let equipment = Arc::clone(&miner.equipment);
            let _ = tokio::task::spawn_blocking(move || equipment.recover()).await;
            end
        });
        Ok(Held { session, task: Task(task) })
    }

    async fn announce(&self, held: Option<&Held>, is_ending: bool) {
        let is_busy = held.is_some() || is_ending;
        // What is lent now is not listed by the equipment.
        let devices = {
            let mut listed = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
            if let Ok(devices) = self.miner.equipment.devices() {
                *listed = devices;
            }
            listed.clone()
        };
        let announcement = Announcement {
            version: 1,
            instance: self.instance.clone(),
            state: if is_busy { AgentState::Busy } else { AgentState::Online },
            session: held.map(|held| held.session.clone()),
            software: software(),
            host: self.host.clone(),
            address: self.tells_address.then(|| self.connection.client.server_info().client_ip),
            devices,
        };
        let bytes = serde_json::to_vec(&announcement).expect("an announcement has string keys");
        let to = names::announcement(self.key);
        let _ = self.connection.client.publish(to, bytes.into()).await;
    }

    /// Takes the announcement back.
    async fn remove(&self) {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("KV-Operation", "DEL");
        let to = names::announcement(self.key);
        let gone = self.connection.client.publish_with_headers(to, headers, "".into());
        let _ = gone.await;
    }
}
