//! What a miner says, and what follows from it.

use super::calendar::Arrival;
use super::reading::{Awaited, Content, NotRead, Reading};
use super::{Accept, Action, Cause, Complete, Held, State, ValidatorSession};
use crate::protocol::circumstances::SessionRecord;
use crate::protocol::parts::CommitmentPart;
use crate::protocol::rejection::{Reason, Rejection};
use crate::session::clock::Now;
use crate::session::fault::{Fault, FaultCode, OwnFault};
use crate::session::limits::{PINGS, SMALL_BYTES_MAX, UNAWAITED_BYTES_MAX};
use crate::session::message::{FromMiner, FromValidator, MinerHello, VERSIONS, kind_of, line_of};
use std::time::Duration;

impl ValidatorSession {
    pub(super) fn close(&mut self) -> Result<(), Cause> {
        self.is_closed = true;
        let detail = match &self.state {
            State::Hello { .. } => "before its hello",
            State::Pong { .. } | State::Network(_) | State::Issuing => "before the challenge",
            State::Commitment { .. } => "before a commitment",
            State::Reading { .. } | State::Accepting(_) => "before the coin",
            State::Openings { .. } => "before a complete result",
            // It need not wait for its verdict. If another challenge is to come, that is
            // found then.
            State::New
            | State::Completing(_)
            | State::Waiting(..)
            | State::Closing
            | State::Concluding
            | State::Turning
            | State::Over => return Ok(()),
        };
        let fault = Fault::new(FaultCode::ClosedEarly, format!("the miner closed {detail}"));
        self.raise(fault.into())
    }

    /// What ends the session counts at once, but while the ledger is at work, or is
    /// about to be: then it waits, so that what the ledger did is settled.
    pub(super) fn raise(&mut self, cause: Cause) -> Result<(), Cause> {
        let waits =
            matches!(self.state, State::Issuing | State::Reading { .. } | State::Accepting(_));
        if waits {
            self.held_back.get_or_insert(cause);
            return Ok(());
        }
        Err(cause)
    }

    pub(super) fn hear(&mut self, bytes: &[u8]) -> Result<(), Cause> {
        match self.state {
            State::Concluding | State::Over | State::New => return Ok(()),
            State::Closing if self.judging.is_none() || self.has_failed() => return Ok(()),
            State::Completing(_) | State::Waiting(..) | State::Closing if !bytes.is_empty() => {
                let detail = "more came after the complete result";
                return Err(Fault::new(FaultCode::AnsweredTwice, detail).into());
            }
            _ => {}
        }
        if self.held_back.is_none() {
            self.input.push(bytes);
        }
        let is_awaited = self.deadline().is_some();
        if !is_awaited && self.input.len() > UNAWAITED_BYTES_MAX {
            self.input.clear();
            let detail = format!("more than {UNAWAITED_BYTES_MAX} bytes came unasked");
            return self.raise(Fault::new(FaultCode::Flooded, detail).into());
        }
        Ok(())
    }

    /// The longest line in this state; `None` while nothing is awaited.
    pub(super) fn line_limit(&self) -> Option<u64> {
        match &self.state {
            State::Hello { .. } | State::Pong { .. } | State::Network(_) => Some(SMALL_BYTES_MAX),
            State::Commitment { .. } => Some(CommitmentPart::bytes_max(self.challenge())),
            State::Openings { held, .. } => Some(held.part.openings_bytes_max(self.challenge())),
            _ => None,
        }
    }

    pub(super) fn read_lines(&mut self, now: Now, out: &mut Vec<Action>) -> Result<(), Cause> {
        while let Some(limit_bytes) = self.line_limit() {
            let too_long = |error| Fault::new(FaultCode::MessageTooLong, error);
            let Some(line) = self.input.take_line(limit_bytes).map_err(too_long)? else { break };
            self.on_line(now, line, out)?;
        }
        if matches!(self.state, State::Completing(_)) && !self.input.is_empty() {
            let detail = "more came after the complete result";
            return Err(Fault::new(FaultCode::AnsweredTwice, detail).into());
        }
        Ok(())
    }

    fn on_line(&mut self, now: Now, line: Vec<u8>, out: &mut Vec<Action>) -> Result<(), Cause> {
        match &self.state {
            State::Commitment { .. } => self.on_commitment(now, line, out),
            State::Openings { .. } => self.on_openings(now, line, out),
            _ => match kind_of(&line)? {
                kind @ ("commitment" | "openings") => Err(self.unexpected(kind).into()),
                kind => self.on_small(now, FromMiner::read(&line)?, kind, out),
            },
        }
    }

    pub(super) fn unexpected(&self, kind: &str) -> Fault {
        let awaited = match self.state {
            State::Hello { .. } => "hello",
            State::Network(_) => "the network part",
            _ => "pong",
        };
        Fault::new(FaultCode::UnexpectedMessage, format!("expected {awaited}, got {kind}"))
    }

    fn on_small(
        &mut self,
        now: Now,
        message: FromMiner,
        kind: &str,
        out: &mut Vec<Action>,
    ) -> Result<(), Cause> {
        match (&self.state, message) {
            (State::Hello { .. }, FromMiner::Hello(hello)) => self.on_hello(now, hello, out),
            (State::Hello { .. }, FromMiner::Busy { text }) => {
                Err(Fault::new(FaultCode::Busy, format!("the miner says: {text}")).into())
            }
            (&State::Pong { left, sent, until }, FromMiner::Pong {}) => {
                let round_trip = now.since_start.saturating_sub(sent);
                let least =
                    self.round.legs.round_trip.map_or(round_trip, |least| least.min(round_trip));
                self.round.legs.round_trip = Some(least);
                if left > 1 {
                    out.push(Action::Send(line_of(&FromValidator::Ping { version: self.version })));
                    self.state = State::Pong { left: left - 1, sent: now.since_start, until };
                    return Ok(());
                }
                self.after_pongs(now, out);
                Ok(())
            }
            (_, FromMiner::Failed { text }) => {
                Err(Fault::new(FaultCode::MinerFailed, format!("the miner says: {text}")).into())
            }
            (State::Network(_), message) => self.on_exchange(now, message, kind, out),
            _ => Err(self.unexpected(kind).into()),
        }
    }

    fn on_hello(
        &mut self,
        now: Now,
        hello: MinerHello,
        out: &mut Vec<Action>,
    ) -> Result<(), Cause> {
        self.round.legs.hello = Some(now.since_start);
        let shared = VERSIONS.iter().filter(|version| hello.versions.contains(version)).max();
        let Some(&version) = shared else {
            let detail = format!("the miner speaks {:?}, this side {VERSIONS:?}", hello.versions);
            return Err(Fault::new(FaultCode::VersionMismatch, detail).into());
        };
        if hello.miner_id.is_some_and(|key| key.decode().is_none()) {
            let detail = "miner_id is not an Ed25519 public key";
            return Err(Fault::new(FaultCode::MalformedMessage, detail).into());
        }
        if let (Some(expected), Some(got)) = (self.miner_id, hello.miner_id)
            && expected.encoded() != got
        {
            let detail = format!("expected a miner with key {expected}, it has {got}");
            return Err(Fault::new(FaultCode::WrongPeer, detail).into());
        }
        let left = if hello.answers_pings() { PINGS } else { 1 };
        (self.hello, self.version) = (Some(hello), version);
        out.push(Action::Send(line_of(&FromValidator::Ping { version })));
        let sent = now.since_start;
        self.state = State::Pong { left, sent, until: sent.saturating_add(self.patience.pong) };
        Ok(())
    }

    /// A line came where a commitment is awaited: that is when it came, whatever it is
    /// and however long it takes to read.
    fn on_commitment(
        &mut self,
        now: Now,
        line: Vec<u8>,
        out: &mut Vec<Action>,
    ) -> Result<(), Cause> {
        let State::Commitment { sent, .. } = self.state else { return Ok(()) };
        if now.since_start < sent.since_start {
            return Err(Fault::new(FaultCode::Flooded, "bytes came before the challenge").into());
        }
        self.round.legs.commitment = Some(now.since_start - sent.since_start);
        let (challenge, awaited) = (self.challenge().clone(), Awaited::Commitment);
        out.push(Action::Read(Box::new(Reading { line, challenge, awaited })));
        self.state = State::Reading { sent, arrived: now };
        Ok(())
    }

    pub(super) fn on_read(
        &mut self,
        read: Result<Box<Content>, NotRead>,
        out: &mut Vec<Action>,
    ) -> Result<(), Cause> {
        if !matches!(self.state, State::Reading { .. } | State::Completing(_)) {
            return Ok(());
        }
        match (self.take_state(), *read?) {
            (State::Reading { sent, arrived }, Content::Commitment(part)) => {
                self.accept(part, sent, arrived, out)
            }
            (State::Completing(complete), Content::Result(result)) => {
                self.judge(*complete, result, out)
            }
            (state, _) => {
                // Read for another state than this one.
                self.state = state;
                Ok(())
            }
        }
    }

    fn accept(
        &mut self,
        part: CommitmentPart,
        sent: Now,
        arrived: Now,
        out: &mut Vec<Action>,
    ) -> Result<(), Cause> {
        let challenge = self.challenge();
        let expires_unix_ms = challenge.expires_at_unix_s().saturating_mul(1000);
        match Arrival::of(sent, arrived, expires_unix_ms) {
            Arrival::InTime => {}
            Arrival::Expired => {
                let detail = format!("the commitment came after {}", challenge.spec().expires_at);
                return Err(Rejection::new(Reason::Expired, detail).into());
            }
            Arrival::Unknown(moved_ms) => {
                let elapsed = arrived.since_start.saturating_sub(sent.since_start);
                let limit = Duration::from_millis(challenge.limit_ms());
                return Err(match elapsed > limit {
                    // That needs no calendar.
                    true => {
                        let detail = format!("took {elapsed:?}, the limit is {limit:?}");
                        Rejection::new(Reason::Late, detail).into()
                    }
                    false => calendar_was_set(moved_ms).into(),
                });
            }
        }
        let over = self.patience.openings_of(challenge, part.lanes().len()) + self.patience.verdict;
        out.push(Action::Accept(Box::new(Accept {
            challenge: challenge.digest(),
            commitment: part.commitment(),
            miner_id: challenge.spec().miner_id,
            evidence: part.evidence().clone(),
            arrived_unix_ms: arrived.unix_ms,
            over_unix_ms: arrived.unix_ms.saturating_add(over.as_millis() as u64),
        })));
        self.state = State::Accepting(Box::new(Held { part, arrived, history: Vec::new() }));
        Ok(())
    }

    fn on_openings(&mut self, now: Now, line: Vec<u8>, out: &mut Vec<Action>) -> Result<(), Cause> {
        let State::Openings { held, coin, sent, .. } = self.take_state() else { return Ok(()) };
        let since = now.since_start;
        self.round.legs.openings = Some(since.saturating_sub(sent));
        let Held { part, arrived, history } = *held;
        let session = SessionRecord { commitment: part.commitment(), coin };
        let (challenge, awaited) = (self.challenge().clone(), Awaited::Openings(Box::new(part)));
        out.push(Action::Read(Box::new(Reading { line, challenge, awaited })));
        self.state = State::Completing(Box::new(Complete { session, arrived, history, since }));
        Ok(())
    }
}

fn calendar_was_set(moved_ms: i64) -> OwnFault {
    let (seconds, whither) = (
        moved_ms.unsigned_abs() as f64 / 1000.0,
        match moved_ms < 0 {
            true => "back",
            false => "forward",
        },
    );
    OwnFault(format!(
        "the calendar of this machine was set {whither} by {seconds:.1} s while the challenge \
         was out: whether the commitment came before it expired is not known\nLet a time service \
         keep this machine's clock, and ask again."
    ))
}
