//! The miner's side of a session, without any input or output.
//!
//! Guarantees: every sequence of events ends in one [`Action::End`]; one
//! challenge is worked on and one coin opened, and nothing is opened before the
//! coin.
//! Deliberately lacks: clocks, streams, executors and trust: what the verdict
//! says is the validator's word.

use super::clock::Now;
use super::fault::{Fault, FaultCode, OwnFault};
use super::limits::{PINGS_ANSWERED_MAX, Patience, TOKEN_MESSAGE_BYTES_MAX};
use super::message::{
    FromMiner, FromValidator, MinerHello, VERSIONS, VerdictMessage, kind_of, line_of,
    text_for_message,
};
use super::wire::LineBuffer;
use crate::error_text::in_one_line;
use crate::protocol::challenge::Challenge;
use crate::protocol::digest::Digest;
use std::time::Duration;

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The streams are there.
    Start,
    /// Bytes came.
    Bytes(&'a [u8]),
    /// The other side will send nothing more.
    Closed,
    /// Time passed: [`MinerSession::deadline`] is reached.
    Tick,
    /// [`Action::Commit`] is done: the line of the message.
    Committed(Result<Vec<u8>, OwnFault>),
    /// [`Action::Open`] is done: the line of the message.
    Opened(Result<Vec<u8>, OwnFault>),
}

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Action {
    /// Send this line.
    Send(Vec<u8>),
    /// Execute the challenge and commit, then [`Event::Committed`].
    Commit(Box<Challenge>),
    /// Open what was committed to with this coin, then [`Event::Opened`].
    Open {
        /// The validator's.
        coin: Digest,
    },
    /// Over: stop what is under way, close the streams.
    End(End),
}

/// How a session ended for the miner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With the validator's verdict.
    Verdict(Box<VerdictMessage>),
    /// By the validator's fault.
    Fault(Fault),
    /// This side could not do its part.
    Own(OwnFault),
}

/// One session with one validator.
#[derive(Debug)]
pub struct MinerSession {
    patience: Patience,
    hello: MinerHello,
    input: LineBuffer,
    state: State,
    until: Option<Duration>,
    /// Pings that were answered.
    pings: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Hello,
    Ping,
    Challenge,
    Working,
    Coin,
    Opening,
    Verdict,
    Over,
}

impl State {
    fn awaited(self) -> &'static str {
        match self {
            Self::New | Self::Hello => "hello",
            Self::Ping => "ping",
            Self::Challenge => "challenge",
            Self::Coin => "coin",
            Self::Working | Self::Opening => "nothing",
            Self::Verdict | Self::Over => "verdict",
        }
    }
}

impl MinerSession {
    /// A session that has not begun; `hello` is what it says of itself.
    pub fn new(patience: Patience, hello: MinerHello) -> Self {
        let input = LineBuffer::default();
        Self { patience, hello, input, state: State::New, until: None, pings: 0 }
    }

    /// When a [`Event::Tick`] is due, since the start of the session.
    pub fn deadline(&self) -> Option<Duration> {
        self.until
    }

    /// Takes what happened; says what is to be done, in this order. Events that
    /// belong to no action under way change nothing.
    pub fn handle(&mut self, now: Now, event: Event<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Err(end) = self.step(now, event, &mut actions)
            && self.state != State::Over
        {
            if let End::Own(own) = &end {
                let text = text_for_message(&in_one_line(own));
                actions.push(Action::Send(line_of(&FromMiner::Failed { text })));
            }
            self.go(State::Over, None);
            self.input.clear();
            actions.push(Action::End(end));
        }
        actions
    }

    fn step(&mut self, now: Now, event: Event<'_>, out: &mut Vec<Action>) -> Result<(), End> {
        match event {
            Event::Start if self.state == State::New => {
                self.go(State::Hello, Some(now.since_start.saturating_add(self.patience.hello)));
                Ok(())
            }
            Event::Bytes(bytes) if self.state != State::Over => {
                self.check_time(now)?;
                self.input.push(bytes);
                self.read_lines(now, out)
            }
            Event::Closed if self.state != State::Over => {
                let detail = format!("awaiting {} when it closed", self.state.awaited());
                Err(End::Fault(Fault::new(FaultCode::ClosedEarly, detail)))
            }
            Event::Tick => self.check_time(now),
            Event::Committed(line) if self.state == State::Working => {
                out.push(Action::Send(line.map_err(End::Own)?));
                self.go(State::Coin, Some(now.since_start.saturating_add(self.patience.next)));
                Ok(())
            }
            Event::Opened(line) if self.state == State::Opening => {
                out.push(Action::Send(line.map_err(End::Own)?));
                self.go(
                    State::Verdict,
                    Some(now.since_start.saturating_add(self.patience.verdict)),
                );
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn go(&mut self, state: State, until: Option<Duration>) {
        self.state = state;
        self.until = until;
    }

    fn check_time(&self, now: Now) -> Result<(), End> {
        match self.until {
            Some(until) if now.since_start >= until => {
                let awaited = self.state.awaited();
                let detail = format!("no {awaited} by {:.1} s", until.as_secs_f64());
                Err(End::Fault(Fault::new(FaultCode::Stalled, detail)))
            }
            _ => Ok(()),
        }
    }

    fn read_lines(&mut self, now: Now, out: &mut Vec<Action>) -> Result<(), End> {
        loop {
            let line = self.input.take_line(TOKEN_MESSAGE_BYTES_MAX);
            let too_long = |error| End::Fault(Fault::new(FaultCode::MessageTooLong, error));
            match line.map_err(too_long)? {
                Some(line) => self.on_line(now, &line, out)?,
                None => return Ok(()),
            }
        }
    }

    fn on_line(&mut self, now: Now, line: &[u8], out: &mut Vec<Action>) -> Result<(), End> {
        let next = Some(now.since_start.saturating_add(self.patience.next));
        let kind = kind_of(line).map_err(End::Fault)?;
        match (self.state, FromValidator::read(line).map_err(End::Fault)?) {
            (_, FromValidator::Verdict(verdict)) => return Err(End::Verdict(Box::new(verdict))),
            (State::Hello, FromValidator::Hello { versions, .. }) => {
                if !VERSIONS.iter().any(|version| versions.contains(version)) {
                    // The validator can tell from the hello, too.
                    tracing::debug!(?versions, "no version in common");
                }
                out.push(Action::Send(line_of(&FromMiner::Hello(self.hello.clone()))));
                self.go(State::Ping, next);
            }
            (State::Ping | State::Challenge, FromValidator::Ping { version })
                if self.pings < PINGS_ANSWERED_MAX =>
            {
                if !VERSIONS.contains(&version) {
                    let detail = format!("the validator speaks {version}, this side {VERSIONS:?}");
                    return Err(End::Fault(Fault::new(FaultCode::VersionMismatch, detail)));
                }
                out.push(Action::Send(line_of(&FromMiner::Pong {})));
                self.pings += 1;
                self.go(State::Challenge, next);
            }
            (State::Challenge, FromValidator::Challenge { token }) => {
                let challenge = Challenge::from_token(&token)
                    .map_err(|error| End::Own(OwnFault::of(&error)))?;
                out.push(Action::Commit(Box::new(challenge)));
                self.go(State::Working, None);
            }
            (State::Coin, FromValidator::Coin { coin, .. }) => {
                out.push(Action::Open { coin });
                self.go(State::Opening, None);
            }
            (state, _) => {
                let detail = format!("expected {}, got {kind}", state.awaited());
                return Err(End::Fault(Fault::new(FaultCode::UnexpectedMessage, detail)));
            }
        }
        Ok(())
    }
}
