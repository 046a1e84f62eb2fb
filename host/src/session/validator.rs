//! The validator's side of a session, without any input or output.
//!
//! Guarantees: every sequence of events ends in one [`Action::End`]; rounds are held in
//! order, each once, and no challenge is sent before the openings of the round before it
//! are there; at most one round is judged beside the one that is under way; nothing is
//! accepted twice; a coin leaves only after [`Event::Accepted`] said that nonce and
//! coin are on record; a challenge that is on record is settled, however the session
//! ends: as rejected, too, if this side gives it up, as nobody is to answer it
//! then. Nothing but small messages is read here.
//! Deliberately lacks: clocks, streams, ledger, randomness and verification, and
//! parsing of what may be large. The caller does what the actions say and tells how
//! it went.

mod calendar;
mod io;
mod network;
mod reading;
mod rounds;
mod talk;

pub(in crate::session) use io::verdict_of;
pub use io::{
    Accept, Accepted, Action, Case, Ended, Event, Issued, Judged, Legs, NotIssued, Part,
    RoundEnded, Settle, Summary, Wanted,
};
pub use network::NetworkAsk;
pub use reading::{Content, NotRead, Reading};

use super::clock::Now;
use super::fault::{Fault, FaultCode, OwnFault};
use super::limits::{Patience, UNAWAITED_BYTES_MAX, lateness_heard};
use super::message::{FromValidator, MinerHello, ROUNDS_VERSION, VERSIONS, line_of, software};
use super::wire::LineBuffer;
use crate::ledger::{Acceptance, HistoryFinding};
use crate::policy::{RoundOn, RoundPlan};
use crate::protocol::bound::OmittedShare;
use crate::protocol::challenge::Challenge;
use crate::protocol::circumstances::SessionRecord;
use crate::protocol::digest::Digest;
use crate::protocol::names::{Coin, Commitment};
use crate::protocol::parts::CommitmentPart;
use crate::protocol::rejection::{Reason, Rejection};
use crate::protocol::signature::PublicKey;
use crate::protocol::verdict::{NetworkShown, Verdict};
use crate::protocol::verify::{Failure, RecomputeError};
use network::Exchange;
use std::sync::Arc;
use std::time::Duration;

/// One session with one miner.
#[derive(Debug)]
pub struct ValidatorSession {
    patience: Patience,
    miner_id: Option<PublicKey>,
    input: LineBuffer,
    state: State,
    /// What ends the session, and came while the ledger was at work, which is waited
    /// for.
    held_back: Option<Cause>,
    hello: Option<MinerHello>,
    /// Of the session's messages.
    version: u32,
    /// Whether the miner will send nothing more.
    is_closed: bool,
    /// Digest of the first challenge.
    first: Option<Digest>,
    /// The session's rounds, once they are planned.
    plan: Option<Arc<[RoundPlan]>>,
    /// The one that is under way, or would be next.
    round: Round,
    /// The one before it, as long as it is judged.
    judging: Option<Judging>,
    /// Those whose verdict is being recorded.
    settling: Vec<RoundEnded>,
    /// Those that are over, in the order in which they were settled.
    over: Vec<RoundEnded>,
    /// Why the session ended outside a round.
    failure: Option<Box<Verdict>>,
    /// The network part, until it begins.
    network_ask: Option<NetworkAsk>,
    /// What it showed.
    network: Option<NetworkShown>,
}

/// A round that is under way.
#[derive(Debug, Default)]
struct Round {
    /// From 0.
    number: usize,
    legs: Legs,
    challenge: Option<Box<Challenge>>,
    /// Whether the ledger has the challenge, and nobody else's answer to it.
    is_on_record: bool,
    /// The commitment that the nonce is spent on.
    accepted: Option<Commitment>,
}

/// A round that is judged.
#[derive(Debug)]
struct Judging {
    round: Round,
    since: Duration,
}

/// What is awaited, and until when (since the start of the session).
#[derive(Debug)]
enum State {
    New,
    Hello {
        until: Duration,
    },
    /// This many pongs are awaited, the next one for a ping that was sent then.
    Pong {
        left: u32,
        sent: Duration,
        until: Duration,
    },
    /// Bytes go to the miner, and then back.
    Network(Box<Exchange>),
    Issuing,
    Commitment {
        sent: Now,
        until: Duration,
    },
    /// A commitment is being read.
    Reading {
        sent: Now,
        arrived: Now,
    },
    Accepting(Box<Held>),
    Openings {
        held: Box<Held>,
        coin: Coin,
        sent: Duration,
        until: Duration,
    },
    /// Openings are being read.
    Completing(Box<Complete>),
    /// The result is complete, and the round before it still being judged.
    Waiting(Box<Case>, Duration),
    /// Nothing more of the miner is awaited; rounds are judged or settled.
    Closing,
    /// The rounds are appraised together.
    Concluding,
    /// From one of these to another, within one event.
    Turning,
    Over,
}

/// A commitment that came.
#[derive(Debug)]
struct Held {
    part: CommitmentPart,
    arrived: Now,
    history: Vec<HistoryFinding>,
}

/// What is known of openings that came.
#[derive(Debug)]
struct Complete {
    session: SessionRecord,
    arrived: Now,
    history: Vec<HistoryFinding>,
    since: Duration,
}

/// Why there is no verdict on a complete result.
#[derive(Debug)]
enum Cause {
    /// The miner's session.
    Fault(Fault),
    /// The miner's commitment or openings.
    Rejection(Rejection),
    /// A fault of this side.
    Own(OwnFault),
}

impl From<Fault> for Cause {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
impl From<Rejection> for Cause {
    fn from(rejection: Rejection) -> Self {
        Self::Rejection(rejection)
    }
}
impl From<NotRead> for Cause {
    fn from(not_read: NotRead) -> Self {
        match not_read {
            NotRead::Fault(fault) => Self::Fault(fault),
            NotRead::Rejection(rejection) => Self::Rejection(rejection),
        }
    }
}
impl From<OwnFault> for Cause {
    fn from(fault: OwnFault) -> Self {
        Self::Own(fault)
    }
}

impl ValidatorSession {
    /// A session that has not begun. `miner_id` is the key that the transport has
    /// authenticated or the user demands: the challenge will name it. Without one
    /// it names the key that the miner's hello has, if any.
    pub fn new(patience: Patience, miner_id: Option<PublicKey>) -> Self {
        Self {
            patience,
            miner_id,
            input: LineBuffer::default(),
            state: State::New,
            held_back: None,
            hello: None,
            version: VERSIONS[0],
            is_closed: false,
            first: None,
            plan: None,
            round: Round::default(),
            judging: None,
            settling: Vec::new(),
            over: Vec::new(),
            failure: None,
            network_ask: None,
            network: None,
        }
    }

    /// Asks for a network part, before the session has begun. A miner of version 1 has none.
    pub fn ask_network(&mut self, ask: NetworkAsk) {
        self.network_ask = Some(ask);
    }

    /// When a [`Event::Tick`] is due, since the start of the session; `None` while
    /// nothing of the other side is awaited.
    pub fn deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Hello { until }
            | State::Pong { until, .. }
            | State::Commitment { until, .. }
            | State::Openings { until, .. } => Some(*until),
            State::Network(exchange) => Some(exchange.until),
            _ => None,
        }
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Bytes that are kept of the other side's messages right now.
    pub fn buffered_bytes(&self) -> usize {
        self.input.len()
    }

    /// Takes what happened; says what is to be done, in this order. Events that
    /// belong to no action under way change nothing.
    pub fn handle(&mut self, now: Now, event: Event<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Err(cause) = self.step(now, event, &mut actions) {
            self.fail(cause, &mut actions);
        }
        actions
    }

    /// Ends the session because the work on this part of it failed, and no event will say
    /// so.
    pub fn abandon(&mut self, part: Part, own: OwnFault) -> Vec<Action> {
        let mut actions = Vec::new();
        let ended = match part {
            Part::Talk if matches!(self.state, State::Concluding) => {
                self.failure = Some(Box::new(could_not_run(own)));
                let verdict = self.session_verdict();
                self.end(verdict, &mut actions);
                Ok(())
            }
            // It was begun for a round that is over.
            Part::Talk if matches!(self.state, State::Closing) => Ok(()),
            Part::Talk => Err(own.into()),
            Part::Judging(round) => self.not_judged(round, own, &mut actions),
            Part::Settling(round) => self.on_settled(round, Err(own), &mut actions),
        };
        if let Err(cause) = ended {
            self.fail(cause, &mut actions);
        }
        actions
    }

    /// The most bytes that this session may still want to hold at once: a line of what
    /// is awaited.
    pub fn wanted_bytes(&self) -> u64 {
        self.line_limit().unwrap_or(UNAWAITED_BYTES_MAX as u64)
    }

    fn step(&mut self, now: Now, event: Event<'_>, out: &mut Vec<Action>) -> Result<(), Cause> {
        match event {
            Event::Start => self.start(now, out),
            Event::Bytes(bytes) => {
                self.check_time(now)?;
                self.hear(bytes)?;
                self.read_lines(now, out)
            }
            Event::Closed => self.close(),
            Event::Tick => self.check_time(now),
            Event::Interrupted(own) => self.interrupt(own, out),
            Event::Issued(issued) => self.issued(now, issued, out),
            Event::Read(read) => self.on_read(read, out),
            Event::Accepted(accepted) => self.on_accepted(now, accepted, out),
            Event::Judged(judged) => self.on_judged(now, *judged, out),
            Event::Settled(round, settled) => self.on_settled(round, settled, out),
            Event::Concluded(verdict) => {
                if matches!(self.state, State::Concluding) {
                    self.end(*verdict, out);
                }
                Ok(())
            }
        }
    }

    fn start(&mut self, now: Now, out: &mut Vec<Action>) -> Result<(), Cause> {
        if matches!(self.state, State::New) {
            let hello = FromValidator::Hello { versions: VERSIONS.to_vec(), software: software() };
            out.push(Action::Send(line_of(&hello)));
            self.state =
                State::Hello { until: now.since_start.saturating_add(self.patience.hello) };
        }
        Ok(())
    }

    fn check_time(&self, now: Now) -> Result<(), Cause> {
        let Some(until) = self.deadline().filter(|until| now.since_start >= *until) else {
            return Ok(());
        };
        let awaited = match self.state {
            State::Hello { .. } => "hello",
            State::Pong { .. } => "pong",
            State::Network(_) => "end of the network part",
            State::Commitment { .. } => "commitment",
            _ => "complete result",
        };
        let detail = format!("no {awaited} by {:.1} s into the session", until.as_secs_f64());
        Err(Fault::new(FaultCode::Stalled, detail).into())
    }

    fn challenge(&self) -> &Challenge {
        self.round.challenge.as_ref().expect("set before any state that needs it")
    }

    fn issued(
        &mut self,
        now: Now,
        issued: Result<Issued, NotIssued>,
        out: &mut Vec<Action>,
    ) -> Result<(), Cause> {
        if !matches!(self.state, State::Issuing) {
            return Ok(());
        }
        let issued = issued.map_err(|error| match error {
            NotIssued::Own(own) => Cause::Own(own),
            NotIssued::Unfit(text) => Fault::new(FaultCode::UnfitDevices, text).into(),
            NotIssued::Dodger(text) => Fault::new(FaultCode::TooManyDodges, text).into(),
        });
        let Issued { challenge, plan, .. } = match issued {
            Ok(issued) => issued,
            Err(cause) => return self.take_held_back().and(Err(cause)),
        };
        self.plan.get_or_insert(plan);
        self.first.get_or_insert(challenge.digest());
        let token = challenge.token().to_owned();
        let limit = Duration::from_millis(challenge.limit_ms());
        self.round.challenge = Some(challenge);
        self.round.is_on_record = true;
        self.take_held_back()?;
        if !self.input.is_empty() {
            return Err(Fault::new(FaultCode::Flooded, "bytes came before the challenge").into());
        }
        out.push(Action::Send(line_of(&match self.on(self.round.number) {
            RoundOn::Devices => FromValidator::Challenge { token },
            RoundOn::Host if self.version >= ROUNDS_VERSION => {
                FromValidator::HostChallenge { token }
            }
            RoundOn::Host => {
                let detail = "the round is of the machine's CPUs, which version 1 cannot ask for";
                return Err(Fault::new(FaultCode::VersionMismatch, detail).into());
            }
        })));
        let until = now.since_start.saturating_add(limit).saturating_add(lateness_heard(limit));
        self.state = State::Commitment { sent: now, until };
        Ok(())
    }

    fn on_accepted(
        &mut self,
        now: Now,
        accepted: Result<Accepted, OwnFault>,
        out: &mut Vec<Action>,
    ) -> Result<(), Cause> {
        if !matches!(self.state, State::Accepting(_)) {
            return Ok(());
        }
        let State::Accepting(mut held) = self.take_state() else { return Ok(()) };
        let accepted = accepted?;
        match accepted.acceptance {
            Acceptance::Accepted => {}
            Acceptance::Spent(on) => {
                self.round.is_on_record = false;
                let detail = format!("spent on commitment {on}");
                return Err(Rejection::new(Reason::NonceSpent, detail).into());
            }
            Acceptance::NotIssued => {
                self.round.is_on_record = false;
                let detail = format!("no record of challenge {}", self.challenge().digest());
                return Err(Rejection::new(Reason::NotIssued, detail).into());
            }
        }
        self.round.accepted = Some(held.part.commitment());
        self.take_held_back()?;
        held.history = accepted.history;
        let (coin, sent) = (accepted.coin, now.since_start);
        self.round.legs.coin = Some(sent.saturating_sub(held.arrived.since_start));
        let within = self.patience.openings_of(self.challenge(), held.part.lanes().len());
        let openings_within_ms = within.as_millis() as u64;
        out.push(Action::Send(line_of(&FromValidator::Coin { coin, openings_within_ms })));
        self.state = State::Openings { held, coin, sent, until: sent.saturating_add(within) };
        self.read_lines(now, out)
    }

    fn take_state(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Turning)
    }

    fn take_held_back(&mut self) -> Result<(), Cause> {
        self.held_back.take().map_or(Ok(()), Err)
    }
}

fn could_not_run(own: OwnFault) -> Verdict {
    Verdict::of(&Err(Failure::CouldNotRun(RecomputeError(own.0))), OmittedShare::default())
}
