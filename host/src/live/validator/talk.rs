//! What a miner says, and what follows from it.

use super::{Action, Case, Cause, Commitment, Held, State, ValidatorSession, Wanted};
use crate::ledger::NO_COMMITMENT;
use crate::live::clock::Now;
use crate::live::fault::{Fault, FaultCode};
use crate::live::limits::{SMALL_BYTES_MAX, UNAWAITED_BYTES_MAX};
use crate::live::message::{FromMiner, FromValidator, MinerHello, VERSIONS, kind_of, line_of};
use crate::protocol::circumstances::SessionRecord;
use crate::protocol::parts::CommitmentPart;
use crate::protocol::rejection::{Reason, Rejection};
use crate::protocol::signature::{decode_key, is_valid, miner_message};

impl ValidatorSession {
    pub(super) fn close(&mut self) -> Result<(), Cause> {
        let detail = match &self.state {
            State::Hello { .. } => "before its hello",
            State::Pong { .. } | State::Issuing => "before the challenge",
            State::Commitment { .. } => "before a commitment",
            State::Accepting(_) | State::DrawingCoin(_) => "before the coin",
            State::Openings { .. } => "before a complete result",
            // It need not wait for its verdict.
            State::New | State::Judging { .. } | State::Settling(_) | State::Over => return Ok(()),
        };
        let fault = Fault::new(FaultCode::ClosedEarly, format!("the miner closed {detail}"));
        self.raise(fault)
    }

    /// A fault counts at once, but while the ledger is at work: then it waits, so
    /// that what the ledger did is settled.
    fn raise(&mut self, fault: Fault) -> Result<(), Cause> {
        if matches!(self.state, State::Accepting(_) | State::DrawingCoin(_)) {
            self.held_back.get_or_insert(fault);
            return Ok(());
        }
        Err(fault.into())
    }

    pub(super) fn hear(&mut self, bytes: &[u8]) -> Result<(), Cause> {
        match self.state {
            State::Settling(_) | State::Over | State::New => return Ok(()),
            State::Judging { .. } if !bytes.is_empty() => {
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
            return self.raise(Fault::new(FaultCode::Flooded, detail));
        }
        Ok(())
    }

    /// The longest line in this state; `None` while nothing is awaited.
    fn line_limit(&self) -> Option<u64> {
        match &self.state {
            State::Hello { .. } | State::Pong { .. } => Some(SMALL_BYTES_MAX),
            State::Commitment { .. } => Some(CommitmentPart::bytes_max(self.challenge())),
            State::Openings { held, .. } => Some(held.part.openings_bytes_max(self.challenge())),
            _ => None,
        }
    }

    pub(super) fn read_lines(&mut self, now: Now, out: &mut Vec<Action>) -> Result<(), Cause> {
        while let Some(limit_bytes) = self.line_limit() {
            let too_long = |error| Fault::new(FaultCode::MessageTooLong, error);
            let Some(line) = self.input.take_line(limit_bytes).map_err(too_long)? else { break };
            self.on_line(now, &line, out)?;
        }
        if matches!(self.state, State::Judging { .. }) && !self.input.is_empty() {
            let detail = "more came after the complete result";
            return Err(Fault::new(FaultCode::AnsweredTwice, detail).into());
        }
        Ok(())
    }

    fn on_line(&mut self, now: Now, line: &[u8], out: &mut Vec<Action>) -> Result<(), Cause> {
        let kind = kind_of(line)?;
        match (&self.state, kind) {
            (State::Commitment { .. }, "commitment") => self.on_commitment(now, line, out),
            (State::Openings { .. }, "openings") => self.on_openings(now, line, out),
            (State::Openings { .. }, "commitment") => {
                let detail = "a second commitment came";
                Err(Fault::new(FaultCode::AnsweredTwice, detail).into())
            }
            (_, "commitment" | "openings") => Err(self.unexpected(kind).into()),
            _ => self.on_small(now, FromMiner::read(line)?, kind, out),
        }
    }

    fn unexpected(&self, kind: &str) -> Fault {
        let awaited = match self.state {
            State::Hello { .. } => "hello",
            State::Pong { .. } => "pong",
            State::Commitment { .. } => "commitment",
            _ => "openings",
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
            (State::Pong { sent, .. }, FromMiner::Pong {}) => {
                let round_trip = now.since_start - *sent;
                self.legs.round_trip = Some(round_trip);
                let hello = self.hello.clone().expect("a pong follows a hello");
                let miner_id = self.miner_id.or(hello.miner_id);
                out.push(Action::Issue(Box::new(Wanted { hello, miner_id, round_trip })));
                self.state = State::Issuing;
                Ok(())
            }
            (_, FromMiner::Failed { text }) => {
                Err(Fault::new(FaultCode::MinerFailed, format!("the miner says: {text}")).into())
            }
            _ => Err(self.unexpected(kind).into()),
        }
    }

    fn on_hello(
        &mut self,
        now: Now,
        hello: MinerHello,
        out: &mut Vec<Action>,
    ) -> Result<(), Cause> {
        self.legs.hello = Some(now.since_start);
        let shared = VERSIONS.iter().filter(|version| hello.versions.contains(version)).max();
        let Some(&version) = shared else {
            let detail = format!("the miner speaks {:?}, this side {VERSIONS:?}", hello.versions);
            return Err(Fault::new(FaultCode::VersionMismatch, detail).into());
        };
        if hello.miner_id.is_some_and(|key| decode_key(&key.0).is_none()) {
            let detail = "miner_id is not an Ed25519 public key";
            return Err(Fault::new(FaultCode::MalformedMessage, detail).into());
        }
        if let (Some(expected), Some(got)) = (self.miner_id, hello.miner_id)
            && expected != got
        {
            let detail = format!("expected a miner with key {expected}, it has {got}");
            return Err(Fault::new(FaultCode::WrongPeer, detail).into());
        }
        self.hello = Some(hello);
        out.push(Action::Send(line_of(&FromValidator::Ping { version })));
        let sent = now.since_start;
        self.state = State::Pong { sent, until: sent.saturating_add(self.patience.pong) };
        Ok(())
    }

    fn on_commitment(&mut self, now: Now, line: &[u8], out: &mut Vec<Action>) -> Result<(), Cause> {
        let State::Commitment { sent, .. } = self.state else { return Ok(()) };
        self.legs.commitment = Some(now.since_start - sent);
        let challenge = self.challenge();
        let part = CommitmentPart::read(line, challenge).map_err(Rejection::from)?;
        let expires_unix_ms = challenge.expires_at_unix_s().saturating_mul(1000);
        if i128::from(now.unix_ms) >= i128::from(expires_unix_ms) {
            let detail = format!("the commitment came after {}", challenge.spec().expires_at);
            return Err(Rejection::new(Reason::Expired, detail).into());
        }
        let (c, commitment) = (challenge.digest(), part.commitment());
        if let (Some(key), Some(signature)) = (challenge.miner_id(), part.miner_signature())
            && !is_valid(&key, &miner_message(&c, &commitment), &signature)
        {
            let detail = format!("miner_signature does not verify for {commitment}");
            return Err(Rejection::new(Reason::SignatureInvalid, detail).into());
        }
        if commitment == NO_COMMITMENT {
            let detail = "a commitment of zeros is none";
            return Err(Rejection::new(Reason::CommitmentMismatch, detail).into());
        }
        let over = self.patience.openings_of(challenge, part.lanes().len()) + self.patience.verdict;
        out.push(Action::Accept(Box::new(Commitment {
            challenge: c,
            commitment,
            miner_id: challenge.spec().miner_id,
            evidence: part.evidence().clone(),
            arrived_unix_ms: now.unix_ms,
            over_unix_ms: now.unix_ms.saturating_add(over.as_millis() as u64),
        })));
        self.state = State::Accepting(Box::new(Held { part, arrived: now, history: Vec::new() }));
        Ok(())
    }

    fn on_openings(&mut self, now: Now, line: &[u8], out: &mut Vec<Action>) -> Result<(), Cause> {
        let since = now.since_start;
        let state = std::mem::replace(&mut self.state, State::Judging { since });
        let State::Openings { held, coin, sent, .. } = state else { return Ok(()) };
        self.legs.openings = Some(since - sent);
        let Held { part, arrived, history } = *held;
        let session = SessionRecord { commitment: part.commitment(), coin };
        let challenge = self.challenge().clone();
        let result = part.complete(line, &challenge).map_err(Rejection::from)?;
        out.push(Action::Judge(Box::new(Case {
            challenge,
            result,
            session,
            elapsed: self.legs.commitment.unwrap_or_default(),
            arrived_unix_ms: arrived.unix_ms,
            round_trip: self.legs.round_trip.unwrap_or_default(),
            history,
        })));
        Ok(())
    }
}
