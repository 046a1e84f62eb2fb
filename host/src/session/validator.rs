//! The validator's side of a session, without any input or output.
//!
//! Guarantees: every sequence of events ends in one [`Action::End`]; rounds are held in
//! order, each once, in turns: a turn is one round, or the host's and that of the devices
//! beside it, whose challenges are sent together; no challenge is sent before all openings of
//! the turn before it are there; rounds of at most two turns are judged or under way; nothing
//! is accepted twice; a coin leaves only after [`Event::Accepted`] said that nonce and
//! coin are on record; a challenge that is on record is settled, however the session
//! ends: as rejected, too, if this side gives it up, as nobody is to answer it
//! then. Nothing but small messages is read here.
//! Deliberately lacks: clocks, streams, ledger, randomness and verification, and
//! parsing of what may be large. The caller does what the actions say and tells how
//! it went.

mod calendar;
mod io;
mod issuing;
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
use super::limits::{Patience, UNAWAITED_BYTES_MAX};
use super::message::{FromValidator, MinerHello, ROUNDS_VERSION, VERSIONS, line_of, software};
use super::wire::LineBuffer;
use crate::ledger::HistoryFinding;
use crate::policy::RoundPlan;
use crate::protocol::bound::OmittedShare;
use crate::protocol::challenge::Challenge;
use crate::protocol::circumstances::SessionRecord;
use crate::protocol::digest::Digest;
use crate::protocol::names::{Coin, Commitment};
use crate::protocol::parts::CommitmentPart;
use crate::protocol::rejection::Rejection;
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
    held_back: Option<Raised>,
    hello: Option<MinerHello>,
    /// Of the session's messages.
    version: u32,
    /// Whether the miner will send nothing more.
    is_closed: bool,
    /// What came before the first challenge.
    legs: Legs,
    /// Digest of the first challenge.
    first: Option<Digest>,
    /// The session's rounds, once they are planned.
    plan: Option<Arc<[RoundPlan]>>,
    /// The number of the round that would begin next.
    next: usize,
    /// The rounds that are under way: one, or the host's and that of the devices beside it.
    talks: Vec<Talk>,
    /// Those that are judged: of one turn, the one before that under way or, complete
    /// already, that itself.
    judging: Vec<Judging>,
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

/// A round.
#[derive(Debug)]
struct Round {
    /// From 0.
    number: usize,
    /// The number of the first round that began with it: another one's if it was beside.
    turn: usize,
    legs: Legs,
    challenge: Option<Box<Challenge>>,
    /// Whether the ledger has the challenge, and nobody else's answer to it.
    is_on_record: bool,
    /// The commitment that the nonce is spent on.
    accepted: Option<Commitment>,
}

impl Round {
    fn challenge(&self) -> &Challenge {
        self.challenge.as_ref().expect("set before any step that needs it")
    }
}

/// A round that is judged.
#[derive(Debug)]
struct Judging {
    round: Round,
    since: Duration,
}

/// A round that is under way.
#[derive(Debug)]
struct Talk {
    round: Round,
    step: Step,
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
    /// Rounds are under way.
    Rounds,
    /// Nothing more of the miner is awaited; rounds are judged or settled.
    Closing,
    /// The rounds are appraised together.
    Concluding,
    Over,
}

/// How far a round is that is under way, and until when something is awaited for it.
#[derive(Debug)]
enum Step {
    /// The challenge is being recorded.
    Issuing,
    /// It is on record, and sent when that of the round beside it is.
    Issued,
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
    /// The result is complete, and the turn before it still being judged.
    Waiting(Box<Case>, Duration),
    /// From one of these to another, within one event; or nothing more comes of it.
    Turning,
}

impl Step {
    fn until(&self) -> Option<Duration> {
        match self {
            Self::Commitment { until, .. } | Self::Openings { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// Whether the ledger is at work for it, or is about to be.
    fn is_at_ledger(&self) -> bool {
        matches!(self, Self::Issuing | Self::Reading { .. } | Self::Accepting(_))
    }

    /// Whether the miner has said all that it may.
    fn is_complete(&self) -> bool {
        matches!(self, Self::Completing(_) | Self::Waiting(..))
    }

    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Turning)
    }
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

/// A cause, and the number of the round that it is of; `None`: of all that are under way.
#[derive(Debug)]
struct Raised {
    cause: Cause,
    round: Option<usize>,
}

impl Raised {
    fn of(round: usize, cause: impl Into<Cause>) -> Self {
        Self { cause: cause.into(), round: Some(round) }
    }
}

impl<C: Into<Cause>> From<C> for Raised {
    fn from(cause: C) -> Self {
        Self { cause: cause.into(), round: None }
    }
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
            legs: Legs::default(),
            first: None,
            plan: None,
            next: 0,
            talks: Vec::new(),
            judging: Vec::new(),
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
            State::Hello { until } | State::Pong { until, .. } => Some(*until),
            State::Network(exchange) => Some(exchange.until),
            // What ends the session is there, and nothing counts any more.
            State::Rounds if self.held_back.is_some() => None,
            State::Rounds => self.talks.iter().filter_map(|talk| talk.step.until()).min(),
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
        if let Err(raised) = self.step(now, event, &mut actions) {
            self.raise(raised, &mut actions);
        }
        actions
    }

    /// Ends the session because the work on this part of it failed, and no event will say
    /// so.
    pub fn abandon(&mut self, part: Part, own: OwnFault) -> Vec<Action> {
        let mut actions = Vec::new();
        let ended = match part {
            Part::Session if matches!(self.state, State::Concluding) => {
                self.failure = Some(Box::new(could_not_run(own)));
                let verdict = self.session_verdict();
                self.end(verdict, &mut actions);
                Ok(())
            }
            Part::Session => Err(own.into()),
            Part::Talk(round) => match self.talk(round) {
                Some(talk) => {
                    talk.step = Step::Turning;
                    Err(Raised::of(round, own))
                }
                // It was begun for a round that is over.
                None => Ok(()),
            },
            Part::Judging(round) => self.not_judged(round, own, &mut actions),
            Part::Settling(round) => self.on_settled(round, Err(own), &mut actions),
        };
        if let Err(raised) = ended {
            self.raise(raised, &mut actions);
        }
        actions
    }

    /// The most bytes that this session may still want to hold at once: a line of what
    /// is awaited.
    pub fn wanted_bytes(&self) -> u64 {
        self.line_limit().unwrap_or(UNAWAITED_BYTES_MAX as u64)
    }

    fn step(&mut self, now: Now, event: Event<'_>, out: &mut Vec<Action>) -> Result<(), Raised> {
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
            Event::Issued(issued) => self.on_issued(now, issued, out),
            Event::Read(round, read) => self.on_read(round, read, out),
            Event::Accepted(round, accepted) => self.on_accepted(now, round, accepted, out),
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

    /// What ends the session counts at once, but while the ledger is at work, or is
    /// about to be: then it waits, so that what the ledger did is settled.
    fn raise(&mut self, raised: Raised, out: &mut Vec<Action>) {
        self.held_back.get_or_insert(raised);
        if self.talks.iter().any(|talk| talk.step.is_at_ledger()) {
            return;
        }
        if let Some(raised) = self.held_back.take() {
            self.fail(raised, out);
        }
    }

    /// What was held back, once nothing of the ledger is waited for.
    fn held_back(&mut self) -> Result<(), Raised> {
        self.held_back.take().map_or(Ok(()), Err)
    }

    fn start(&mut self, now: Now, out: &mut Vec<Action>) -> Result<(), Raised> {
        if matches!(self.state, State::New) {
            let hello = FromValidator::Hello { versions: VERSIONS.to_vec(), software: software() };
            out.push(Action::Send(line_of(&hello)));
            self.state =
                State::Hello { until: now.since_start.saturating_add(self.patience.hello) };
        }
        Ok(())
    }

    fn check_time(&self, now: Now) -> Result<(), Raised> {
        let Some(until) = self.deadline().filter(|until| now.since_start >= *until) else {
            return Ok(());
        };
        let late = self.talks.iter().find(|talk| talk.step.until() == Some(until));
        let awaited = match (&self.state, late.map(|talk| &talk.step)) {
            (State::Hello { .. }, _) => "hello",
            (State::Pong { .. }, _) => "pong",
            (State::Network(_), _) => "end of the network part",
            (_, Some(Step::Commitment { .. })) => "commitment",
            _ => "complete result",
        };
        let detail = format!("no {awaited} by {:.1} s into the session", until.as_secs_f64());
        let cause = Fault::new(FaultCode::Stalled, detail).into();
        Err(Raised { cause, round: late.map(|talk| talk.round.number) })
    }

    /// The round of this number, if it is under way.
    fn talk(&mut self, round: usize) -> Option<&mut Talk> {
        self.talks.iter_mut().find(|talk| talk.round.number == round)
    }

    /// The number of a round as its messages say it; version 1 says none.
    fn said(&self, round: usize) -> Option<usize> {
        (self.version >= ROUNDS_VERSION).then_some(round)
    }
}

fn could_not_run(own: OwnFault) -> Verdict {
    Verdict::of(&Err(Failure::CouldNotRun(RecomputeError(own.0))), OmittedShare::default())
}
