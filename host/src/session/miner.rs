//! The miner's side of a session, without any input or output.
//!
//! Guarantees: every sequence of events ends in one [`Action::End`], and every wait
//! has a deadline, whatever the validator does; one challenge at a time is worked on by the
//! devices and one by the CPUs, with one coin opened of each, and nothing is opened before
//! the coin; no work goes on after the challenge's time limit and a margin, by the miner's own
//! monotonic clock.
//! Deliberately lacks: clocks, streams, executors and trust: what the verdict
//! says is the validator's word. The calendar: whether a challenge has expired is
//! the validator's to say.

mod exchange;
mod rounds;

use super::clock::Now;
use super::fault::{Fault, FaultCode, OwnFault};
use super::limits::{PINGS_ANSWERED_MAX, Patience, TOKEN_MESSAGE_BYTES_MAX, lateness_heard};
use super::message::{
    FromMiner, FromValidator, MinerHello, ROUNDS_VERSION, VERSIONS, VerdictMessage, VerdictOutcome,
    kind_of, line_of, text_for_message,
};
use super::numbered::take_number;
use super::refusal::{Refusal, RefusalCode, Unable};
use super::wire::LineBuffer;
use crate::error_text::in_one_line;
use crate::protocol::challenge::Challenge;
use crate::protocol::names::Coin;
use crate::protocol::signature::PublicKey;
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
    /// [`Action::Commit`] is done, for the round of this number: the line of the message,
    /// which does not say the number.
    Committed(usize, Result<Vec<u8>, Unable>),
    /// [`Action::Open`] is done, for the round of this number: the line of the message,
    /// which does not say the number.
    Opened(usize, Result<Vec<u8>, OwnFault>),
}

/// What a challenge is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The devices of the hello.
    Devices,
    /// The machine's CPUs.
    Host {
        /// While the devices work on the challenge that follows.
        beside: bool,
    },
}

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Action {
    /// Send this line.
    Send(Vec<u8>),
    /// Execute the challenge and commit, then [`Event::Committed`].
    Commit {
        /// The number of the round, from 0.
        round: usize,
        /// What to execute.
        challenge: Box<Challenge>,
        /// What it is for.
        on: Who,
        /// How long it may take: by the challenge, and by what is left of the session.
        limit: Duration,
    },
    /// Open what was committed to with this coin, then [`Event::Opened`].
    Open {
        /// The number of the round.
        round: usize,
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
    /// When what is awaited has to be there.
    until: Option<Duration>,
    /// Rounds under way: one, or the CPUs' and that of the devices beside it.
    tasks: Vec<Task>,
    /// The number of the round that comes next.
    next: usize,
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
    /// Rounds are under way.
    Rounds,
    Verdict,
    Over,
}

/// A round under way.
#[derive(Debug)]
struct Task {
    /// The number of the round.
    round: usize,
    on: Who,
    step: Step,
    /// How long the challenge, or the coin, allows for the work.
    allowed: Duration,
    /// When it has to be done, or what is awaited to be there.
    until: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Working,
    Coin,
    Opening,
}

impl State {
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
        Self {
            terms,
            hello,
            input,
            state: State::New,
            until: None,
            tasks: Vec::new(),
            next: 0,
            pings: 0,
            version: 0,
            exchange: None,
        }
    }

    /// When a [`Event::Tick`] is due, since the start of the session.
    pub fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::New | State::Over => None,
            _ => {
                let of_tasks = self.tasks.iter().map(|task| task.until);
                of_tasks.chain(self.until).chain([self.terms.session_max]).min()
            }
        }
    }

    /// Whether the coin of the round of this number is being opened.
    pub fn is_opening(&self, round: usize) -> bool {
        self.tasks.iter().any(|task| task.round == round && task.step == Step::Opening)
    }

    fn awaited(&self) -> &'static str {
        match self.state {
            State::New | State::Hello => "hello",
            State::Ping => "ping",
            State::Network => "the rest of the network part",
            State::Challenge => "challenge",
            State::Rounds if self.tasks.iter().any(|task| task.step == Step::Coin) => "coin",
            State::Rounds => "nothing",
            State::Verdict | State::Over => "verdict",
        }
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
            self.tasks.clear();
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
                let is_at = |step| self.tasks.iter().any(|task| task.step == step);
                let detail = match () {
                    () if is_at(Step::Working) => {
                        "it closed while this side was at work".to_owned()
                    }
                    () if is_at(Step::Opening) => {
                        "it closed while samples were being opened".to_owned()
                    }
                    () => format!("awaiting {} when it closed", self.awaited()),
                };
                Err(self.fault(FaultCode::ClosedEarly, detail))
            }
            Event::Tick => self.check_time(now),
            Event::Committed(round, line) => self.on_committed(now, round, line, out),
            Event::Opened(round, line) => self.on_opened(now, round, line, out),
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
        if self.state == State::Over {
            return Ok(());
        }
        let since_start = now.since_start;
        self.check_tasks(since_start)?;
        match self.until {
            Some(until) if since_start >= until => {
                let detail = format!("no {} by {:.1} s", self.awaited(), until.as_secs_f64());
                Err(self.fault(FaultCode::Stalled, detail))
            }
            _ if since_start >= self.terms.session_max => Err(End::Refused(Refusal::new(
                RefusalCode::SessionOver,
                format!("it has lasted {:?}, the longest that is held", self.terms.session_max),
            ))),
            _ => Ok(()),
        }
    }

    fn read_lines(&mut self, now: Now, out: &mut Vec<Action>) -> Result<(), End> {
        loop {
            let line = self.input.take_line(TOKEN_MESSAGE_BYTES_MAX);
            match line.map_err(|error| self.fault(FaultCode::MessageTooLong, error))? {
                Some(line) => self.on_line(now, line, out)?,
                None => return Ok(()),
            }
        }
    }

    fn on_line(&mut self, now: Now, mut line: Vec<u8>, out: &mut Vec<Action>) -> Result<(), End> {
        let next = now.since_start.saturating_add(self.terms.patience.next);
        let kind = kind_of(&line).map_err(|fault| self.advised(fault))?.to_owned();
        let is_of_round = matches!(&*kind, "challenge" | "host-challenge" | "coin");
        let number = match is_of_round && self.version >= ROUNDS_VERSION {
            true => Some(take_number(&mut line).map_err(|fault| self.advised(fault))?),
            false => None,
        };
        let message = FromValidator::read(&line).map_err(|fault| match FromMiner::read(&line) {
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
            (
                State::Challenge | State::Rounds | State::Verdict,
                FromValidator::Challenge { token },
            ) if self.is_next(number, Who::Devices) => {
                self.on_challenge(now, &token, Who::Devices, out)?;
            }
            (State::Challenge | State::Verdict, FromValidator::HostChallenge { beside, token })
                if number == Some(self.next) =>
            {
                self.on_challenge(now, &token, Who::Host { beside }, out)?;
            }
            (State::Rounds, FromValidator::Coin { coin, openings_within_ms })
                if self.awaits_coin(number).is_some() =>
            {
                let round = self.awaits_coin(number).unwrap_or_default();
                self.on_coin(now, round, coin, openings_within_ms, out);
            }
            (State::Challenge, FromValidator::Network { bytes })
                if self.version >= ROUNDS_VERSION && self.exchange.is_none() =>
            {
                self.begin_exchange(now, bytes)?;
            }
            (State::Network, message) => self.on_exchange(now, message, &kind, out)?,
            _ => {
                let of = number.map_or(String::new(), |number| format!(" of round {number}"));
                let detail = format!("expected {}, got {kind}{of}", self.awaited());
                return Err(self.fault(FaultCode::UnexpectedMessage, detail));
            }
        }
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
