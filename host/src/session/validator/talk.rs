//! What a miner says, and what follows from it.

use super::calendar::Arrival;
use super::reading::{Awaited, Content, NotRead, Reading};
use super::{Accept, Action, Cause, Complete, Held, Raised, State, Step, Talk, ValidatorSession};
use crate::protocol::circumstances::SessionRecord;
use crate::protocol::parts::CommitmentPart;
use crate::protocol::rejection::{Reason, Rejection};
use crate::session::clock::Now;
use crate::session::fault::{Fault, FaultCode, OwnFault};
use crate::session::limits::{PINGS, Patience, SMALL_BYTES_MAX, UNAWAITED_BYTES_MAX};
use crate::session::message::{
    FromMiner, FromValidator, MinerHello, ROUNDS_VERSION, VERSIONS, kind_in_head, kind_of, line_of,
};
use crate::session::numbered::take_number;
use crate::session::wire::TooLong;
use std::time::Duration;

impl ValidatorSession {
    pub(super) fn close(&mut self) -> Result<(), Raised> {
        self.is_closed = true;
        let detail = match &self.state {
            State::Hello { .. } => "before its hello",
            State::Pong { .. } | State::Network(_) => "before the challenge",
            State::Rounds => {
                // Of the round that has come least far.
                let left = |talk: &Talk| match &talk.step {
                    Step::Issuing | Step::Issued => Some((0, "before the challenge")),
                    Step::Commitment { .. } => Some((1, "before a commitment")),
                    Step::Reading { .. } | Step::Accepting(_) => Some((2, "before the coin")),
                    Step::Openings { .. } => Some((3, "before a complete result")),
                    // It need not wait for its verdict. If another challenge is to come, that
                    // is found then.
                    Step::Completing(_) | Step::Waiting(..) | Step::Turning => None,
                };
                match self.talks.iter().filter_map(left).min() {
                    Some((_, detail)) => detail,
                    None => return Ok(()),
                }
            }
            State::New | State::Closing | State::Concluding | State::Over => return Ok(()),
        };
        Err(Fault::new(FaultCode::ClosedEarly, format!("the miner closed {detail}")).into())
    }

    pub(super) fn hear(&mut self, bytes: &[u8]) -> Result<(), Raised> {
        match self.state {
            State::Concluding | State::Over | State::New => return Ok(()),
            State::Closing if self.judging.is_empty() || self.has_failed() => return Ok(()),
            State::Closing | State::Rounds if self.is_complete() && !bytes.is_empty() => {
                return Err(more_than_complete().into());
            }
            _ if self.held_back.is_some() => return Ok(()),
            _ => {}
        }
        self.input.push(bytes);
        if self.line_limit().is_none() && self.input.len() > UNAWAITED_BYTES_MAX {
            self.input.clear();
            let detail = format!("more than {UNAWAITED_BYTES_MAX} bytes came unasked");
            return Err(Fault::new(FaultCode::Flooded, detail).into());
        }
        Ok(())
    }

    /// Whether the miner has said all that it may in all rounds that were begun.
    fn is_complete(&self) -> bool {
        self.talks.iter().all(|talk| talk.step.is_complete())
    }

    /// The longest line in this state; `None` while nothing is awaited.
    pub(super) fn line_limit(&self) -> Option<u64> {
        match &self.state {
            State::Hello { .. } | State::Pong { .. } | State::Network(_) => Some(SMALL_BYTES_MAX),
            State::Rounds if self.held_back.is_none() => {
                self.talks.iter().filter_map(Talk::line_limit).max()
            }
            _ => None,
        }
    }

    pub(super) fn read_lines(&mut self, now: Now, out: &mut Vec<Action>) -> Result<(), Raised> {
        while let Some(limit_bytes) = self.line_limit() {
            let too_long = |error| Fault::new(FaultCode::MessageTooLong, error);
            let Some(line) = self.input.take_line(limit_bytes).map_err(too_long)? else { break };
            self.on_line(now, line, out)?;
        }
        if matches!(self.state, State::Rounds) && self.is_complete() && !self.input.is_empty() {
            return Err(more_than_complete().into());
        }
        Ok(())
    }

    fn on_line(&mut self, now: Now, line: Vec<u8>, out: &mut Vec<Action>) -> Result<(), Raised> {
        if matches!(self.state, State::Rounds) {
            return self.on_line_of_round(now, line, out);
        }
        match kind_of(&line)? {
            kind @ ("commitment" | "openings") => Err(self.unexpected(kind).into()),
            kind => self.on_small(now, FromMiner::read(&line)?, kind, out),
        }
    }

    /// A line while rounds are under way, of which one at least awaits some.
    fn on_line_of_round(
        &mut self,
        now: Now,
        mut line: Vec<u8>,
        out: &mut Vec<Action>,
    ) -> Result<(), Raised> {
        let is_of_round = matches!(kind_in_head(&line), Some("commitment" | "openings"));
        let number = match is_of_round && self.version >= ROUNDS_VERSION {
            true => Some(take_number(&mut line)?),
            false => None,
        };
        let begun = self.next;
        // What names no round is for that which awaits something.
        let is_meant = |talk: &&mut Talk| match number {
            Some(number) => talk.round.number == number,
            None => talk.line_limit().is_some(),
        };
        let Some(talk) = self.talks.iter_mut().find(is_meant) else {
            let number = number.unwrap_or_default();
            let (code, detail) = match number < begun {
                true => (FaultCode::AnsweredTwice, format!("round {number} is complete")),
                false => (FaultCode::UnexpectedMessage, format!("round {number} has not begun")),
            };
            return Err(Fault::new(code, detail).into());
        };
        let number = talk.round.number;
        if let Some(limit_bytes) = talk.line_limit()
            && line.len() as u64 > limit_bytes
        {
            let error = TooLong { limit_bytes };
            return Err(Raised::of(number, Fault::new(FaultCode::MessageTooLong, error)));
        }
        match &talk.step {
            Step::Commitment { .. } => talk.on_commitment(now, line, out),
            Step::Openings { .. } => talk.on_openings(now, line, out),
            step => {
                let kind = kind_in_head(&line).unwrap_or_default();
                let (code, detail) = match step.is_complete() || kind == "commitment" {
                    true => (FaultCode::AnsweredTwice, format!("a second {kind} came")),
                    false => (FaultCode::UnexpectedMessage, format!("{kind} before the coin")),
                };
                Err(Raised::of(number, Fault::new(code, detail)))
            }
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
    ) -> Result<(), Raised> {
        match (&self.state, message) {
            (State::Hello { .. }, FromMiner::Hello(hello)) => self.on_hello(now, hello, out),
            (State::Hello { .. }, FromMiner::Busy { text }) => {
                Err(Fault::new(FaultCode::Busy, format!("the miner says: {text}")).into())
            }
            (&State::Pong { left, sent, until }, FromMiner::Pong {}) => {
                let round_trip = now.since_start.saturating_sub(sent);
                let least = self.legs.round_trip.map_or(round_trip, |least| least.min(round_trip));
                self.legs.round_trip = Some(least);
                if left > 1 {
                    out.push(Action::Send(line_of(&FromValidator::Ping { version: self.version })));
                    self.state = State::Pong { left: left - 1, sent: now.since_start, until };
                    return Ok(());
                }
                self.after_pongs(now, out)
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
    ) -> Result<(), Raised> {
        self.legs.hello = Some(now.since_start);
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

    pub(super) fn on_read(
        &mut self,
        number: usize,
        read: Result<Box<Content>, NotRead>,
        out: &mut Vec<Action>,
    ) -> Result<(), Raised> {
        let patience = self.patience;
        let is_read = |step: &Step| matches!(step, Step::Reading { .. } | Step::Completing(_));
        let Some(talk) = self.talk(number).filter(|talk| is_read(&talk.step)) else {
            return Ok(());
        };
        let step = talk.step.take();
        match (step, read.map(|content| *content)) {
            (Step::Reading { sent, arrived }, Ok(Content::Commitment(part))) => talk
                .accept(part, sent, arrived, patience, out)
                .map_err(|cause| Raised::of(number, cause)),
            (Step::Completing(complete), Ok(Content::Result(result))) => {
                self.judge(number, *complete, result, out)
            }
            (_, Err(not_read)) => {
                // What the miner said comes before what happened since.
                self.held_back = None;
                Err(Raised::of(number, not_read))
            }
            (step, Ok(_)) => {
                // Read for another step than this one.
                talk.step = step;
                Ok(())
            }
        }
    }
}

impl Talk {
    /// The longest line that is awaited; `None` while none is.
    fn line_limit(&self) -> Option<u64> {
        let challenge = || self.round.challenge();
        match &self.step {
            Step::Commitment { .. } => Some(CommitmentPart::bytes_max(challenge())),
            Step::Openings { held, .. } => Some(held.part.openings_bytes_max(challenge())),
            _ => None,
        }
    }

    /// A line came where a commitment is awaited: that is when it came, whatever it is
    /// and however long it takes to read.
    fn on_commitment(
        &mut self,
        now: Now,
        line: Vec<u8>,
        out: &mut Vec<Action>,
    ) -> Result<(), Raised> {
        let Step::Commitment { sent, .. } = self.step else { return Ok(()) };
        let round = self.round.number;
        if now.since_start < sent.since_start {
            let fault = Fault::new(FaultCode::Flooded, "bytes came before the challenge");
            return Err(Raised::of(round, fault));
        }
        self.round.legs.commitment = Some(now.since_start - sent.since_start);
        let (challenge, awaited) = (self.round.challenge().clone(), Awaited::Commitment);
        out.push(Action::Read(Box::new(Reading { round, line, challenge, awaited })));
        self.step = Step::Reading { sent, arrived: now };
        Ok(())
    }

    fn accept(
        &mut self,
        part: CommitmentPart,
        sent: Now,
        arrived: Now,
        patience: Patience,
        out: &mut Vec<Action>,
    ) -> Result<(), Cause> {
        let challenge = self.round.challenge();
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
        let over = patience.openings_of(challenge, part.lanes().len()) + patience.verdict;
        out.push(Action::Accept(Box::new(Accept {
            round: self.round.number,
            challenge: challenge.digest(),
            commitment: part.commitment(),
            miner_id: challenge.spec().miner_id,
            evidence: part.evidence().clone(),
            arrived_unix_ms: arrived.unix_ms,
            over_unix_ms: arrived.unix_ms.saturating_add(over.as_millis() as u64),
        })));
        self.step = Step::Accepting(Box::new(Held { part, arrived, history: Vec::new() }));
        Ok(())
    }

    fn on_openings(
        &mut self,
        now: Now,
        line: Vec<u8>,
        out: &mut Vec<Action>,
    ) -> Result<(), Raised> {
        let Step::Openings { held, coin, sent, .. } = self.step.take() else { return Ok(()) };
        let (since, round) = (now.since_start, self.round.number);
        self.round.legs.openings = Some(since.saturating_sub(sent));
        let Held { part, arrived, history } = *held;
        let session = SessionRecord { commitment: part.commitment(), coin };
        let challenge = self.round.challenge().clone();
        let awaited = Awaited::Openings(Box::new(part));
        out.push(Action::Read(Box::new(Reading { round, line, challenge, awaited })));
        self.step = Step::Completing(Box::new(Complete { session, arrived, history, since }));
        Ok(())
    }
}

fn more_than_complete() -> Fault {
    Fault::new(FaultCode::AnsweredTwice, "more came after the complete result")
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
