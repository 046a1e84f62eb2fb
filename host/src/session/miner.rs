//! The miner's side of a session, without any input or output.
//!
//! Guarantees: every sequence of events ends in one [`Action::End`], and every wait
//! has a deadline, whatever the validator does; one challenge at a time is worked on, with
//! one coin opened, and nothing is opened before the coin; no work goes on after the
//! challenge's time limit and a margin, by the miner's own monotonic clock.
//! Deliberately lacks: clocks, streams, executors and trust: what the verdict
//! says is the validator's word. The calendar: whether a challenge has expired is
//! the validator's to say.

mod exchange;

use super::clock::Now;
use super::fault::{Fault, FaultCode, OwnFault};
use super::limits::{PINGS_ANSWERED_MAX, Patience, TOKEN_MESSAGE_BYTES_MAX, lateness_heard};
use super::message::{
    FromMiner, FromValidator, MinerHello, ROUNDS_VERSION, VERSIONS, VerdictMessage, VerdictOutcome,
    kind_of, line_of, text_for_message,
};
use super::refusal::{Refusal, RefusalCode, Unable};
use super::wire::LineBuffer;
use crate::error_text::in_one_line;
use crate::policy::RoundOn;
use crate::protocol::challenge::Challenge;
use crate::protocol::names::Coin;
use crate::protocol::signature::{EncodedKey, PublicKey};
use std::time::Duration;

/// Longest session unless another length is asked for.
pub const SESSION_DEFAULT: Duration = Duration::from_secs(2 * 3600);

/// On what terms a miner holds a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long it waits.
    pub patience: Patience,
    /// How long the session may last in all.
    pub session_max: Duration,
    /// The validator's key, if the transport has authenticated one: then the
    /// challenge has to name it.
    pub validator: Option<PublicKey>,
}

impl Default for Terms {
    fn default() -> Self {
        Self { patience: Patience::default(), session_max: SESSION_DEFAULT, validator: None }
    }
}

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
    Committed(Result<Vec<u8>, Unable>),
    /// [`Action::Open`] is done: the line of the message.
    Opened(Result<Vec<u8>, OwnFault>),
}

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Action {
    /// Send this line.
    Send(Vec<u8>),
    /// Execute the challenge and commit, then [`Event::Committed`].
    Commit {
        /// What to execute.
        challenge: Box<Challenge>,
        /// On the devices of the hello, or on the machine's CPUs.
        on: RoundOn,
        /// How long it may take: by the challenge, and by what is left of the session.
        limit: Duration,
    },
    /// Open what was committed to with this coin, then [`Event::Opened`].
    Open {
        /// The validator's coin.
        coin: Coin,
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
    /// This side refused, at once or when the time was over.
    Refused(Refusal),
    /// This side could not do its part.
    Own(OwnFault),
}

/// One session with one validator.
#[derive(Debug)]
pub struct MinerSession {
    terms: Terms,
    hello: MinerHello,
    input: LineBuffer,
    state: State,
    /// When what is awaited, or the work, has to be there.
    until: Option<Duration>,
    /// How long the challenge, or the coin, allows for the work under way.
    allowed: Duration,
    /// Pings that were answered.
    pings: u32,
    /// Of the session's messages, as the last ping says.
    version: u32,
    /// The network part, once there is one.
    exchange: Option<exchange::Exchange>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Hello,
    Ping,
    Network,
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
            Self::Network => "the rest of the network part",
            Self::Challenge => "challenge",
            Self::Coin => "coin",
            Self::Working | Self::Opening => "nothing",
            Self::Verdict | Self::Over => "verdict",
        }
    }

    /// What to try after this fault of the validator's.
    fn advice(self, code: FaultCode) -> &'static str {
        match (code, self) {
            (FaultCode::ClosedEarly | FaultCode::Stalled, Self::New | Self::Hello) => {
                "No validator spoke here. It starts this command itself: `attest validate -- ssh \
                 HOST attest respond`; to wait for validators, give --listen."
            }
            (FaultCode::ClosedEarly, Self::Ping | Self::Network | Self::Challenge) => {
                "The validator ended the session before a challenge: its own standard error has \
                 the reason (the policy, these devices, the key)."
            }
            (FaultCode::ClosedEarly, _) => {
                "The validator was stopped or the connection broke: see its log. This challenge \
                 cannot be answered again; ask for another."
            }
            (FaultCode::Stalled, _) => {
                "Check the connection, and that the validator still runs: its log says what it is \
                 at."
            }
            (FaultCode::NotJson, _) => {
                "Let nothing but `attest validate` write to this command's standard input: no \
                 terminal (ssh without -t), no login script."
            }
            (FaultCode::MessageTooLong | FaultCode::MalformedMessage, _) => {
                "Check what is at the other end: it is not a validator of this protocol version."
            }
            (code, _) => code.advice(),
        }
    }
}

impl MinerSession {
    /// A session that has not begun; `hello` is how it introduces itself.
    pub fn new(terms: Terms, hello: MinerHello) -> Self {
        let input = LineBuffer::default();
        let (state, allowed) = (State::New, Duration::ZERO);
        Self {
            terms,
            hello,
            input,
            state,
            until: None,
            allowed,
            pings: 0,
            version: 0,
            exchange: None,
        }
    }

    /// When a [`Event::Tick`] is due, since the start of the session.
    pub fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::New | State::Over => None,
            _ => Some(self.until.map_or(self.terms.session_max, |u| u.min(self.terms.session_max))),
        }
    }

    /// Whether a coin is being opened.
    pub fn is_opening(&self) -> bool {
        self.state == State::Opening
    }

    /// Takes what happened; says what is to be done, in this order. Events that
    /// belong to no action under way change nothing.
    pub fn handle(&mut self, now: Now, event: Event<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Err(end) = self.step(now, event, &mut actions)
            && self.state != State::Over
        {
            let told = match &end {
                End::Own(own) => Some(in_one_line(own)),
                End::Refused(refusal) => Some(in_one_line(refusal)),
                End::Verdict(_) | End::Fault(_) => None,
            };
            if let Some(text) = told {
                let text = text_for_message(&text);
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
                self.go(
                    State::Hello,
                    Some(now.since_start.saturating_add(self.terms.patience.hello)),
                );
                Ok(())
            }
            Event::Bytes(bytes) if self.state != State::Over => {
                self.check_time(now)?;
                self.input.push(bytes);
                self.read_lines(now, out)
            }
            Event::Closed if self.state != State::Over => {
                let detail = match self.state {
                    State::Working => "it closed while this side was at work".to_owned(),
                    State::Opening => "it closed while samples were being opened".to_owned(),
                    state => format!("awaiting {} when it closed", state.awaited()),
                };
                Err(self.fault(FaultCode::ClosedEarly, detail))
            }
            Event::Tick => self.check_time(now),
            Event::Committed(line) if self.state == State::Working => {
                out.push(Action::Send(line.map_err(|unable| match unable {
                    Unable::Refused(refusal) => End::Refused(refusal),
                    Unable::Own(own) => End::Own(own),
                })?));
                let next = now.since_start.saturating_add(self.terms.patience.next);
                self.go(State::Coin, Some(next));
                Ok(())
            }
            Event::Opened(line) if self.state == State::Opening => {
                out.push(Action::Send(line.map_err(End::Own)?));
                let verdict = now.since_start.saturating_add(self.terms.patience.verdict);
                self.go(State::Verdict, Some(verdict));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn go(&mut self, state: State, until: Option<Duration>) {
        self.state = state;
        self.until = until;
    }

    fn fault(&self, code: FaultCode, detail: impl std::fmt::Display) -> End {
        End::Fault(Fault::new(code, detail).advised(self.state.advice(code)))
    }

    /// A fault in what came, with advice for where the session is.
    fn advised(&self, fault: Fault) -> End {
        let advice = self.state.advice(fault.code);
        End::Fault(fault.advised(advice))
    }

    fn check_time(&self, now: Now) -> Result<(), End> {
        let refused = |code, detail: String| Err(End::Refused(Refusal::new(code, detail)));
        if self.state == State::Over {
            return Ok(());
        }
        let since_start = now.since_start;
        match (self.state, self.until) {
            (State::Working, Some(until)) if since_start >= until => {
                let allowed = self.allowed;
                refused(
                    RefusalCode::TimeOver,
                    format!("the challenge allows {allowed:?}, and the work is not done after it"),
                )
            }
            (State::Opening, Some(until)) if since_start >= until => {
                let allowed = self.allowed;
                refused(
                    RefusalCode::TimeOver,
                    format!("the coin allows {allowed:?}, and the samples are not open after it"),
                )
            }
            (state, Some(until)) if since_start >= until => {
                let detail = format!("no {} by {:.1} s", state.awaited(), until.as_secs_f64());
                Err(self.fault(FaultCode::Stalled, detail))
            }
            _ if since_start >= self.terms.session_max => refused(
                RefusalCode::SessionOver,
                format!("it has lasted {:?}, the longest that is held", self.terms.session_max),
            ),
            _ => Ok(()),
        }
    }

    fn read_lines(&mut self, now: Now, out: &mut Vec<Action>) -> Result<(), End> {
        loop {
            let line = self.input.take_line(TOKEN_MESSAGE_BYTES_MAX);
            match line.map_err(|error| self.fault(FaultCode::MessageTooLong, error))? {
                Some(line) => self.on_line(now, &line, out)?,
                None => return Ok(()),
            }
        }
    }

    fn on_line(&mut self, now: Now, line: &[u8], out: &mut Vec<Action>) -> Result<(), End> {
        let next = now.since_start.saturating_add(self.terms.patience.next);
        let kind = kind_of(line).map_err(|fault| self.advised(fault))?;
        let message = FromValidator::read(line).map_err(|fault| match FromMiner::read(line) {
            Ok(_) => End::Fault(
                Fault::new(FaultCode::Echoed, format!("a miner's {kind} came to a miner")).advised(
                    "What this side says comes back: a terminal is between (use ssh -T), or two \
                     miners are joined.",
                ),
            ),
            Err(_) => self.advised(fault),
        })?;
        match (self.state, message) {
            // Whatever else went wrong, nothing can be verified before it is open.
            (State::Verdict, FromValidator::Verdict(verdict)) => {
                return Err(End::Verdict(Box::new(verdict)));
            }
            (_, FromValidator::Verdict(verdict)) if verdict.outcome != VerdictOutcome::Verified => {
                return Err(End::Verdict(Box::new(verdict)));
            }
            (State::Hello, FromValidator::Hello { versions, .. }) => {
                if !VERSIONS.iter().any(|version| versions.contains(version)) {
                    // The validator can tell from the hello, too.
                    tracing::debug!(?versions, "no version in common");
                }
                out.push(Action::Send(line_of(&FromMiner::Hello(self.hello.clone()))));
                self.go(State::Ping, Some(next));
            }
            (State::Ping | State::Challenge, FromValidator::Ping { version }) => {
                self.on_ping(version)?;
                out.push(Action::Send(line_of(&FromMiner::Pong {})));
                // Further pings do not put the challenge off.
                let until = self.until.filter(|_| self.pings > 1).unwrap_or(next);
                self.go(State::Challenge, Some(until));
            }
            (State::Challenge | State::Verdict, FromValidator::Challenge { token })
                if self.state == State::Challenge || self.version >= ROUNDS_VERSION =>
            {
                self.on_challenge(now, &token, RoundOn::Devices, out)?;
            }
            (State::Challenge | State::Verdict, FromValidator::HostChallenge { token })
                if self.version >= ROUNDS_VERSION =>
            {
                self.on_challenge(now, &token, RoundOn::Host, out)?;
            }
            (State::Coin, FromValidator::Coin { coin, openings_within_ms }) => {
                self.allowed = Duration::from_millis(openings_within_ms);
                out.push(Action::Open { coin });
                self.work(State::Opening, now);
            }
            (State::Challenge, FromValidator::Network { bytes })
                if self.version >= ROUNDS_VERSION && self.exchange.is_none() =>
            {
                self.begin_exchange(now, bytes)?;
            }
            (State::Network, message) => self.on_exchange(now, message, kind, out)?,
            (state, _) => {
                let detail = format!("expected {}, got {kind}", state.awaited());
                return Err(self.fault(FaultCode::UnexpectedMessage, detail));
            }
        }
        Ok(())
    }

    fn on_challenge(
        &mut self,
        now: Now,
        token: &str,
        on: RoundOn,
        out: &mut Vec<Action>,
    ) -> Result<(), End> {
        let challenge = self.accepted(token)?;
        self.allowed = allowed_by(&challenge);
        let left = self.terms.session_max.saturating_sub(now.since_start);
        let limit = self.allowed.min(left);
        out.push(Action::Commit { challenge: Box::new(challenge), on, limit });
        self.work(State::Working, now);
        Ok(())
    }

    fn on_ping(&mut self, version: u32) -> Result<(), End> {
        if !VERSIONS.contains(&version) {
            let detail = format!("the validator speaks {version}, this side {VERSIONS:?}");
            return Err(self.fault(FaultCode::VersionMismatch, detail));
        }
        self.version = version;
        self.pings += 1;
        if self.pings > PINGS_ANSWERED_MAX {
            let detail = format!("more than {PINGS_ANSWERED_MAX} pings, and no challenge");
            return Err(self.fault(FaultCode::UnexpectedMessage, detail));
        }
        Ok(())
    }

    /// The challenge of `token`, if it is this validator's to ask and this miner's to
    /// answer.
    fn accepted(&self, token: &str) -> Result<Challenge, End> {
        let challenge =
            Challenge::from_token(token).map_err(|error| End::Own(OwnFault::of(&error)))?;
        let refused = |code, detail| Err(End::Refused(Refusal::new(code, detail)));
        let named =
            |key: Option<EncodedKey>| key.map_or("nobody".to_owned(), |key| key.to_string());
        let spec = challenge.spec();
        if let Some(peer) = self.terms.validator.map(|key| key.encoded())
            && spec.validator_id != Some(peer)
        {
            let (got, code) = (named(spec.validator_id), RefusalCode::OtherValidator);
            let detail = format!("the challenge names {got} as its validator, and this is {peer}");
            return refused(code, detail);
        }
        if spec.miner_id.is_some() && spec.miner_id != self.hello.miner_id {
            let got = named(spec.miner_id);
            let own = self.hello.miner_id.map_or("this miner has no key".to_owned(), |own| {
                format!("this is the key of {own}")
            });
            let detail = format!("the challenge may be answered by {got} only, and {own}");
            return refused(RefusalCode::OtherMiner, detail);
        }
        Ok(challenge)
    }

    /// Work begins that may take [`MinerSession::allowed`] and a margin.
    fn work(&mut self, state: State, now: Now) {
        let until = self.allowed.saturating_add(margin(self.allowed));
        self.go(state, Some(now.since_start.saturating_add(until)));
    }
}

/// How long work goes on after `limit`: half as long as a validator listens for what is
/// late, so that it still hears why there is nothing.
pub fn margin(limit: Duration) -> Duration {
    lateness_heard(limit) / 2
}

/// How long a challenge allows from its arrival: its time limit, and its validity,
/// whatever the calendar says here.
pub(super) fn allowed_by(challenge: &Challenge) -> Duration {
    let valid_s = challenge.expires_at_unix_s().saturating_sub(challenge.issued_at_unix_s());
    let valid = Duration::from_secs(valid_s.try_into().unwrap_or(0));
    Duration::from_millis(challenge.limit_ms()).min(valid)
}
