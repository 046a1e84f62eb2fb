//! The validator's machine under any sequence of events.

mod anything;
mod beside;
mod steps;

use super::peer::{Answer, hello, tiny};
use anything::{Anything, Kind, Plan, ROUNDS, Step, Work};
use attest::ledger::Acceptance;
use attest::mining::issue::issue;
use attest::policy::{RoundKind, RoundOn, RoundPlan};
use attest::protocol::challenge::Challenge;
use attest::protocol::names::{Coin, Commitment};
use attest::protocol::parts::CommitmentPart;
use attest::protocol::verdict::{Outcome, RoundVerdict, SessionVerdict, Verdict};
use attest::session::clock::Now;
use attest::session::fault::{Fault, FaultCode, OwnFault};
use attest::session::limits::{Patience, UNAWAITED_BYTES_MAX};
use attest::session::message::{FromMiner, FromValidator, MinerHello, VerdictOutcome, line_of};
use attest::session::numbered::{numbered, take_number};
use attest::session::validator::{
    Accepted, Action, Content, Ended, Event, Issued, Judged, NotIssued, NotRead, Part, Reading,
    Summary, ValidatorSession,
};
use proptest::test_runner::Config;
use proptest_state_machine::{StateMachineTest, prop_state_machine};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

const COIN: Coin = Coin::new([3; 32]).unwrap();

/// One challenge with the lines of an honest answer.
struct Fixture {
    challenge: Challenge,
    commitment: Vec<u8>,
    openings: Vec<u8>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let challenge = issue(&tiny()).expect("a challenge");
    let answer = Answer::of(&challenge, None);
    let (commitment, openings) = (answer.commitment_line(), answer.openings_line(COIN));
    Fixture { challenge, commitment, openings }
});

/// The machine, and what it has asked for.
struct Watched {
    plan: Plan,
    versions: Vec<u32>,
    session: ValidatorSession,
    now: Now,
    asked: Vec<Work>,
    /// Asked for and not done, the oldest first.
    awaits: Vec<Work>,
    /// The lines that are to be read, of each round.
    reading: BTreeMap<usize, Box<Reading>>,
    /// What is to be appraised.
    summary: Option<Box<Summary>>,
    /// Of the miner, as the challenge is sized by it.
    round_trip: Option<Duration>,
    /// How many rounds wanted a challenge.
    wanted: usize,
    /// Rounds whose challenge was put on record.
    issued: BTreeSet<usize>,
    /// Those that are being settled, or are somebody else's.
    settled: BTreeSet<usize>,
    /// Rounds whose result came.
    complete: BTreeSet<usize>,
    /// The last message that it sent.
    sent: Option<FromValidator>,
    /// What the miner has to say to what was sent.
    to_say: VecDeque<Kind>,
    /// Rounds whose coin was sent.
    coins_sent: BTreeSet<usize>,
    accepted: BTreeSet<usize>,
    ended: Option<Outcome>,
    end: Option<Box<Ended>>,
}

impl Watched {
    fn new() -> Self {
        Self::with(Plan::InTurn, vec![1, 2])
    }

    /// With a miner that speaks these versions.
    fn with(plan: Plan, versions: Vec<u32>) -> Self {
        let mut watched = Self {
            plan,
            versions,
            session: ValidatorSession::new(Patience::default(), None),
            now: Now {
                since_start: Duration::ZERO,
                unix_ms: 1000 * FIXTURE.challenge.issued_at_unix_s() as u64,
            },
            asked: Vec::new(),
            awaits: Vec::new(),
            reading: BTreeMap::new(),
            summary: None,
            round_trip: None,
            wanted: 0,
            issued: BTreeSet::new(),
            settled: BTreeSet::new(),
            complete: BTreeSet::new(),
            sent: None,
            to_say: VecDeque::new(),
            coins_sent: BTreeSet::new(),
            accepted: BTreeSet::new(),
            ended: None,
            end: None,
        };
        watched.feed(Event::Start);
        watched
    }

    fn feed(&mut self, event: Event<'_>) {
        let actions = self.session.handle(self.now, event);
        self.heed(actions);
    }

    fn heed(&mut self, actions: Vec<Action>) {
        for action in actions {
            assert_eq!(self.ended, None, "nothing comes after the end");
            match action {
                Action::Send(line) => self.sent(line),
                Action::Issue(wanted) => {
                    self.round_trip = Some(wanted.round_trip);
                    assert_eq!(wanted.plan.is_some(), wanted.round > 0);
                    assert_eq!(wanted.session.is_some(), wanted.round > 0);
                    assert_eq!(wanted.round, self.wanted, "in order");
                    self.wanted += 1;
                    self.ask(Work::Issue);
                }
                Action::Read(reading) => {
                    let round = reading.round;
                    self.reading.insert(round, reading);
                    self.ask(Work::Read(round));
                }
                Action::Accept(accept) => self.ask(Work::Accept(accept.round)),
                Action::Judge(case) => {
                    assert!(self.complete.contains(&case.round));
                    self.ask(Work::Judge(case.round));
                    assert_eq!(self.turns_judged().len(), 1, "more than one is judged");
                }
                Action::Settle(settle) => {
                    assert_ne!(settle.verdict.outcome, Outcome::CouldNotRun);
                    let round = settle.round;
                    assert!(self.issued.contains(&round));
                    assert!(self.settled.insert(round), "round {round} is settled twice");
                    // Reading and judging are called off if the miner answers twice.
                    let is_off = |work: &Work| match *work {
                        Work::Judge(of) | Work::Read(of) | Work::Accept(of) => of == round,
                        _ => false,
                    };
                    self.awaits.retain(|work| !is_off(work));
                    self.ask(Work::Settle(round));
                }
                Action::Conclude(summary) => {
                    assert_eq!(summary.plan.len(), ROUNDS);
                    self.summary = Some(summary);
                    self.ask(Work::Conclude);
                }
                Action::End(ended) => {
                    assert!(matches!(self.sent, Some(FromValidator::Verdict(_))));
                    assert_eq!(self.settled, self.issued, "what was issued is settled");
                    let session = &ended.session;
                    let is_begun = session.rounds.len() + usize::from(ended.challenge.is_none());
                    assert_eq!(ended.earlier.len() + 1, is_begun);
                    if session.outcome == Outcome::Verified {
                        let of = |round: &RoundVerdict| round.verdict.outcome;
                        assert!(session.rounds.iter().all(|it| of(it) == Outcome::Verified));
                    }
                    self.ended = Some(session.outcome);
                    self.end = Some(ended);
                    self.awaits.clear();
                }
            }
        }
        assert_eq!(self.session.is_over(), self.ended.is_some());
        let limit = CommitmentPart::bytes_max(&FIXTURE.challenge) as usize;
        assert!(self.session.buffered_bytes() <= limit + 3 * UNAWAITED_BYTES_MAX);
    }

    fn sent(&mut self, mut line: Vec<u8>) {
        // Version 1 names none, and has one.
        let round = take_number(&mut line).unwrap_or(0);
        let message = FromValidator::read(&line).expect("its own message");
        self.to_say.extend(match message {
            FromValidator::Hello { .. } => Some(Kind::Hello),
            FromValidator::Ping { .. } => Some(Kind::Pong),
            FromValidator::Coin { .. } => {
                assert!(self.accepted.contains(&round), "a coin before its record");
                assert!(self.coins_sent.insert(round), "a second coin");
                Some(Kind::Openings(round))
            }
            FromValidator::Challenge { .. } | FromValidator::HostChallenge { .. } => {
                let is_host = matches!(message, FromValidator::HostChallenge { .. });
                assert_eq!(is_host, self.plan == Plan::Beside && round == 0);
                let (plan, turn) = (self.plan, self.plan.turn(round));
                let is_of_two = self.versions.contains(&2);
                for other in (0..ROUNDS).filter(|_| is_of_two) {
                    let is_on_record = self.issued.contains(&other);
                    assert!(plan.turn(other) != turn || is_on_record, "sent together");
                    assert!(plan.turn(other) >= turn || self.complete.contains(&other), "open");
                }
                assert!(self.turns_judged().len() <= 1, "more than one is judged");
                Some(Kind::Commitment(round))
            }
            // There is no network part here.
            _ => None,
        });
        self.sent = Some(message);
    }

    fn turns_judged(&self) -> BTreeSet<usize> {
        let turn = |work: &Work| match *work {
            Work::Judge(round) => Some(self.plan.turn(round)),
            _ => None,
        };
        self.awaits.iter().filter_map(turn).collect()
    }

    fn ask(&mut self, work: Work) {
        assert!(!self.awaits.contains(&work), "one work at a time");
        self.asked.push(work);
        self.awaits.push(work);
    }

    fn line(&mut self, kind: Kind) {
        // As the validator's ping says.
        let said = |round| self.versions.contains(&2).then_some(round);
        let line = match kind {
            Kind::Hello => {
                let versions = self.versions.clone();
                line_of(&FromMiner::Hello(MinerHello { versions, ..hello(None) }))
            }
            Kind::Pong => line_of(&FromMiner::Pong {}),
            Kind::Busy => line_of(&FromMiner::Busy { text: "busy".into() }),
            Kind::Failed => line_of(&FromMiner::Failed { text: "failed".into() }),
            Kind::Commitment(round) => numbered(FIXTURE.commitment.clone(), said(round)),
            Kind::Openings(round) => numbered(FIXTURE.openings.clone(), said(round)),
            Kind::Half => FIXTURE.commitment[..20].to_vec(),
        };
        self.feed(Event::Bytes(&line));
    }

    /// Work is done, though perhaps nobody asked.
    fn done(&mut self, work: Work, well: bool) {
        let asked = self.awaits.contains(&work);
        let wanted = self.wanted.saturating_sub(1);
        if asked {
            self.awaits.retain(|awaited| *awaited != work);
            match work {
                Work::Issue if well => drop(self.issued.insert(wanted)),
                Work::Accept(round) if well => drop(self.accepted.insert(round)),
                // It is somebody else's, who settles it.
                Work::Accept(round) => drop(self.settled.insert(round)),
                _ => {}
            }
        }
        let own = OwnFault("it failed\nTry again.".into());
        let fixture = &*FIXTURE;
        match work {
            Work::Issue => {
                let challenge = Box::new(fixture.challenge.clone());
                let issued = Issued { round: wanted, challenge, plan: self.plan.rounds() };
                let issued = if well { Ok(issued) } else { Err(NotIssued::Own(own)) };
                self.feed(Event::Issued(issued));
            }
            Work::Accept(round) => {
                let acceptance = if well {
                    Acceptance::Accepted
                } else {
                    Acceptance::Spent(Commitment([1; 32]))
                };
                let accepted = Accepted { acceptance, history: Vec::new(), coin: COIN };
                self.feed(Event::Accepted(round, Ok(accepted)));
            }
            Work::Read(round) => match self.reading.remove(&round) {
                Some(reading) if asked => {
                    let read = reading.read();
                    if matches!(read.as_deref(), Ok(Content::Result(_))) {
                        self.complete.insert(round);
                    }
                    self.feed(Event::Read(round, read));
                }
                _ => {
                    let fault = Fault::new(FaultCode::NotJson, "nobody asked");
                    self.feed(Event::Read(round, Err(NotRead::Fault(fault))));
                }
            },
            Work::Judge(round) => {
                let answer =
                    CommitmentPart::read(fixture.commitment.trim_ascii(), &fixture.challenge);
                let result = answer
                    .and_then(|part| {
                        part.complete(fixture.openings.trim_ascii(), &fixture.challenge)
                    })
                    .expect("an honest result");
                let rejected = Verdict::rejected_session("leaf-mismatch", "no".into());
                let verdict = match well {
                    true => Verdict { outcome: Outcome::Verified, code: None, ..rejected },
                    false => rejected,
                };
                let judged = Judged { round, facts: None, verdict, receipt: None, result };
                self.feed(Event::Judged(Box::new(judged)));
            }
            Work::Settle(round) => {
                self.feed(Event::Settled(round, if well { Ok(()) } else { Err(own) }));
            }
            Work::Conclude => {
                let verdict = self.summary.take().map_or_else(
                    || SessionVerdict::of_rounds(Vec::new(), Vec::new()),
                    |summary| summary.verdict,
                );
                self.feed(Event::Concluded(Box::new(verdict)));
            }
        }
    }

    /// Work under way ends without an event.
    fn panics(&mut self, of_judging: bool) {
        let is_meant = |work: &&Work| matches!(work, Work::Judge(_)) == of_judging;
        let Some(&work) = self.awaits.iter().find(is_meant) else { return };
        self.awaits.retain(|awaited| *awaited != work);
        let part = match work {
            Work::Judge(round) => Part::Judging(round),
            Work::Settle(round) => Part::Settling(round),
            Work::Issue => Part::Talk(self.wanted - 1),
            Work::Read(round) | Work::Accept(round) => Part::Talk(round),
            Work::Conclude => Part::Session,
        };
        let own = OwnFault("it panicked\nReport it.".into());
        let actions = self.session.abandon(part, own);
        self.heed(actions);
    }

    /// Work that is awaited is done, the one that is chosen, or the miner speaks.
    fn onward(&mut self, choice: u8) {
        let count = self.awaits.len() + usize::from(!self.to_say.is_empty());
        match self.awaits.get(usize::from(choice) % count.max(1)).copied() {
            Some(work) => self.done(work, true),
            None => self.answer(),
        }
    }

    /// The miner answers the oldest of what was sent and not answered yet.
    fn answer(&mut self) {
        if let Some(kind) = self.to_say.pop_front() {
            self.line(kind);
        }
    }
}

struct Machine;

impl StateMachineTest for Machine {
    type SystemUnderTest = Watched;
    type Reference = Anything;

    fn init_test(plan: &Plan) -> Watched {
        Watched::with(*plan, vec![1, 2])
    }

    fn apply(mut watched: Watched, _: &Plan, step: Step) -> Watched {
        match step {
            Step::Onward(choice) => watched.onward(choice),
            Step::Line(kind) => watched.line(kind),
            Step::Bytes(bytes) => watched.feed(Event::Bytes(&bytes)),
            Step::Flood(length) => watched.feed(Event::Bytes(&vec![b' '; length])),
            Step::Wait(ms) => {
                watched.now.since_start += Duration::from_millis(ms);
                watched.now.unix_ms += ms;
                watched.feed(Event::Tick);
            }
            Step::Closed => watched.feed(Event::Closed),
            Step::Interrupted => {
                let own = OwnFault("it was interrupted\nTry again.".into());
                watched.feed(Event::Interrupted(own));
            }
            Step::Done(work, well) => watched.done(work, well),
            Step::Panics(of_judging) => watched.panics(of_judging),
        }
        watched
    }

    /// Wherever it stands: with nobody there any more it ends.
    fn teardown(mut watched: Watched, _: Plan) {
        for _ in 0..12 * ROUNDS {
            if watched.ended.is_some() {
                return;
            }
            match (watched.awaits.first().copied(), watched.session.deadline()) {
                (Some(work), _) => watched.done(work, true),
                (None, Some(deadline)) => {
                    watched.now.since_start = deadline;
                    watched.feed(Event::Tick);
                }
                (None, None) => panic!("it waits for nothing and has not ended"),
            }
        }
        panic!("it does not end");
    }
}

prop_state_machine! {
    #![proptest_config(Config { cases: 600, failure_persistence: None, ..Config::default() })]

    #[test]
    fn every_sequence_ends_and_keeps_the_order(sequential 1..90 => Machine);
}
