//! A validator's session under a clock that the test turns, on a real ledger: for
//! tricks with time, and for two sessions that meet at one challenge.
//!
//! The session machine, and the validator that does what it asks for, are the real
//! ones; only the loop between them has its place taken, as that one reads the
//! system's clocks, and the coin, which is the challenge's own here.

use crate::live::peer::{hello, issued};
use attest::ledger::{self, Ledger, Location};
use attest::mining::issue::Request;
use attest::policy::Policy;
use attest::protocol::challenge::Challenge;
use attest::protocol::circumstances::Issuer;
use attest::protocol::names::Coin;
use attest::session::clock::Now;
use attest::session::drive::Validator;
use attest::session::message::{FromMiner, FromValidator, line_of};
use attest::session::validator::{Action, Ended, Event, ValidatorSession};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// A ledger in a folder of its own.
#[derive(Clone)]
pub struct Records {
    pub ledger: Arc<dyn Ledger>,
    _folder: Arc<tempfile::TempDir>,
}

impl Records {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let location = Location::File(folder.path().join("ledger.sqlite"));
        Self { ledger: ledger::open(&location).expect("a ledger"), _folder: Arc::new(folder) }
    }

    /// Puts a challenge on record.
    pub fn issue(&self, challenge: &Challenge) {
        let at = 1000 * challenge.issued_at_unix_s() as u64;
        self.ledger.issue(challenge, challenge.token(), at).expect("issued once");
    }

    /// As the issuer verifies what comes outside a session.
    pub fn issuer(&self, challenge: &Challenge) -> Issuer {
        let record = self.ledger.record(&challenge.digest()).expect("a readable ledger");
        record.map_or(Issuer::Unknown, Issuer::Record)
    }
}

/// A session whose challenge is out.
pub struct Turned {
    session: ValidatorSession,
    validator: Validator,
    records: Records,
    challenge: Challenge,
    pub now: Now,
    pub coin: Option<Coin>,
    ended: Option<Box<Ended>>,
}

impl Turned {
    /// The session for `challenge`, at the second of its issue.
    pub fn new(records: &Records, challenge: &Challenge) -> Self {
        Self::judging(records, challenge, None)
    }

    pub fn judging(records: &Records, challenge: &Challenge, policy: Option<Policy>) -> Self {
        let unix_ms = 1000 * challenge.issued_at_unix_s() as u64;
        let miner_id = challenge.miner_id();
        let mut validator = Validator::new(Arc::clone(&records.ledger), Request::default());
        validator.policy = policy;
        let mut turned = Self {
            session: ValidatorSession::new(validator.patience, miner_id),
            validator,
            records: records.clone(),
            challenge: challenge.clone(),
            now: Now { since_start: Duration::ZERO, unix_ms },
            coin: None,
            ended: None,
        };
        turned.feed(Event::Start);
        turned.send(&line_of(&FromMiner::Hello(hello(miner_id))));
        turned.send(&line_of(&FromMiner::Pong {}));
        turned
    }

    /// Lets time pass on both clocks.
    pub fn pass(&mut self, time: Duration) {
        self.now.since_start += time;
        self.now.unix_ms += time.as_millis() as u64;
    }

    /// Time passes until the deadline of what is awaited, and `more`.
    pub fn reach_deadline(&mut self, more: Duration) {
        let until = self.session.deadline().expect("something is awaited");
        self.pass(until + more - self.now.since_start);
    }

    /// The miner's bytes arrive.
    pub fn send(&mut self, bytes: &[u8]) {
        self.feed(Event::Bytes(bytes));
    }

    /// The validator looks at its clock.
    pub fn tick(&mut self) {
        self.feed(Event::Tick);
    }

    /// The validator's.
    pub fn records(&self) -> Records {
        self.records.clone()
    }

    /// How it ended.
    #[track_caller]
    pub fn end(self) -> Ended {
        *self.ended.expect("an end")
    }

    fn feed(&mut self, event: Event<'_>) {
        let mut actions = VecDeque::from(self.session.handle(self.now, event));
        while let Some(action) = actions.pop_front() {
            if let Some(event) = self.done(action) {
                actions.extend(self.session.handle(self.now, event));
            }
        }
    }

    fn done(&mut self, action: Action) -> Option<Event<'static>> {
        match action {
            Action::Send(line) => {
                if let Ok(FromValidator::Coin { coin, .. }) = FromValidator::read(&line) {
                    self.coin = Some(coin);
                }
                None
            }
            // On record already: two sessions may meet at one challenge.
            Action::Issue(_) => Some(Event::Issued(Ok(issued(&self.challenge)))),
            Action::Read(reading) => Some(Event::Read(reading.round, reading.read())),
            Action::Accept(commitment) => {
                let coin = super::drawn(&[b"a coin", &commitment.challenge.0]);
                Some(Event::Accepted(0, self.validator.accept_with(&commitment, coin)))
            }
            Action::Judge(case) => Some(Event::Judged(Box::new(self.validator.judge(*case)))),
            Action::Settle(settle) => {
                Some(Event::Settled(settle.round, self.validator.settle(&settle)))
            }
            Action::Conclude(summary) => {
                Some(Event::Concluded(Box::new(self.validator.conclude(*summary))))
            }
            Action::End(ended) => {
                self.ended = Some(ended);
                None
            }
        }
    }
}
