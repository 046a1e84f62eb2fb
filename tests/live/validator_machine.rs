//! The validator's machine under any sequence of events.

use super::peer::{Answer, hello, issued_as, tiny};
use attest::ledger::Acceptance;
use attest::mining::issue::issue;
use attest::protocol::challenge::Challenge;
use attest::protocol::names::{Coin, Commitment};
use attest::protocol::parts::CommitmentPart;
use attest::protocol::verdict::{Outcome, RoundVerdict, SessionVerdict, Verdict};
use attest::session::clock::Now;
use attest::session::fault::{Fault, FaultCode, OwnFault};
use attest::session::limits::{Patience, UNAWAITED_BYTES_MAX};
use attest::session::message::{FromMiner, FromValidator, MinerHello, VerdictOutcome, line_of};
use attest::session::validator::{
    Accepted, Action, Content, Event, Judged, NotIssued, NotRead, Part, Reading, Summary,
    ValidatorSession,
};
use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use std::collections::BTreeSet;
use std::sync::LazyLock;
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

/// What may happen.
#[derive(Clone, Debug)]
enum Step {
    /// Whatever brings the session on.
    Onward,
    /// A line out of turn.
    Line(Kind),
    /// Bytes of no sense.
    Bytes(Vec<u8>),
    /// As many bytes as this.
    Flood(usize),
    /// Time passes, ms.
    Wait(u64),
    Closed,
    /// This side gives up.
    Interrupted,
    /// Somebody's work is done, asked for or not; `bool`: well.
    Done(Work, bool),
    /// The judging of a round, or what else is under way, panics.
    Panics(bool),
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Hello,
    Pong,
    Busy,
    Failed,
    Commitment,
    Openings,
    Half,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Issue,
    Read,
    Accept,
    /// Of the round of this number.
    Judge(usize),
    /// Of the round of this number.
    Settle(usize),
    Conclude,
}

impl Work {
    fn is_of_talk(self) -> bool {
        matches!(self, Self::Issue | Self::Read | Self::Accept)
    }
}

/// Rounds of the sessions of these tests.
const ROUNDS: usize = 3;

struct Anything;

impl ReferenceStateMachine for Anything {
    type State = ();
    type Transition = Step;

    fn init_state() -> BoxedStrategy<()> {
        Just(()).boxed()
    }

    fn transitions((): &()) -> BoxedStrategy<Step> {
        let kind = prop_oneof![
            Just(Kind::Hello),
            Just(Kind::Pong),
            Just(Kind::Busy),
            Just(Kind::Failed),
            Just(Kind::Commitment),
            Just(Kind::Openings),
            Just(Kind::Half),
        ];
        let work = prop_oneof![
            Just(Work::Issue),
            Just(Work::Read),
            Just(Work::Accept),
            (0..ROUNDS).prop_map(Work::Judge),
            (0..ROUNDS).prop_map(Work::Settle),
            Just(Work::Conclude),
        ];
        prop_oneof![
            60 => Just(Step::Onward),
            2 => kind.prop_map(Step::Line),
            1 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Step::Bytes),
            1 => (0..3 * UNAWAITED_BYTES_MAX).prop_map(Step::Flood),
            2 => (0..70_000_u64).prop_map(Step::Wait),
            1 => Just(Step::Closed),
            1 => Just(Step::Interrupted),
            4 => (work, any::<bool>()).prop_map(|(work, well)| Step::Done(work, well)),
            1 => any::<bool>().prop_map(Step::Panics),
        ]
        .boxed()
    }

    fn apply((): (), _: &Step) {}
}

/// The machine, and what it has asked for.
struct Watched {
    versions: Vec<u32>,
    session: ValidatorSession,
    now: Now,
    asked: Vec<Work>,
    /// Asked for and not done, the oldest first.
    awaits: Vec<Work>,
    /// The line that is to be read.
    reading: Option<Box<Reading>>,
    /// What is to be appraised.
    summary: Option<Box<Summary>>,
    /// Of the miner, as the challenge is sized by it.
    round_trip: Option<Duration>,
    /// The round of the challenge that is wanted, or out.
    round: usize,
    /// Rounds whose challenge was put on record.
    issued: BTreeSet<usize>,
    /// Those that are being settled, or are somebody else's.
    settled: BTreeSet<usize>,
    /// Rounds whose result came.
    complete: BTreeSet<usize>,
    /// The last message that it sent.
    sent: Option<FromValidator>,
    coins_sent: usize,
    accepted: usize,
    ended: Option<Outcome>,
}

impl Watched {
    fn new() -> Self {
        Self::speaking(vec![1, 2])
    }

    /// With a miner that speaks these versions.
    fn speaking(versions: Vec<u32>) -> Self {
        let mut watched = Self {
            versions,
            session: ValidatorSession::new(Patience::default(), None),
            now: Now {
                since_start: Duration::ZERO,
                unix_ms: 1000 * FIXTURE.challenge.issued_at_unix_s() as u64,
            },
            asked: Vec::new(),
            awaits: Vec::new(),
            reading: None,
            summary: None,
            round_trip: None,
            round: 0,
            issued: BTreeSet::new(),
            settled: BTreeSet::new(),
            complete: BTreeSet::new(),
            sent: None,
            coins_sent: 0,
            accepted: 0,
            ended: None,
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
                Action::Send(line) => {
                    let message = FromValidator::read(&line).expect("its own message");
                    if matches!(message, FromValidator::Coin { .. }) {
                        self.coins_sent += 1;
                        assert!(self.accepted >= self.coins_sent, "a coin before its record");
                    }
                    if matches!(message, FromValidator::Challenge { .. }) {
                        assert_eq!(self.complete.len(), self.round, "the round before is open");
                        assert!(self.issued.contains(&self.round));
                        assert!(self.rounds_judged() <= 1, "more than one is judged");
                    }
                    self.sent = Some(message);
                }
                Action::Issue(wanted) => {
                    self.round_trip = Some(wanted.round_trip);
                    assert_eq!(wanted.plan.is_some(), wanted.round > 0);
                    assert_eq!(wanted.session.is_some(), wanted.round > 0);
                    assert!(wanted.round == 0 || wanted.round == self.round + 1, "in order");
                    self.round = wanted.round;
                    self.ask(Work::Issue);
                }
                Action::Read(reading) => {
                    self.reading = Some(reading);
                    self.ask(Work::Read);
                }
                Action::Accept(_) => self.ask(Work::Accept),
                Action::Judge(case) => {
                    assert!(self.complete.contains(&case.round));
                    self.ask(Work::Judge(case.round));
                    assert_eq!(self.rounds_judged(), 1, "more than one is judged");
                }
                Action::Settle(settle) => {
                    assert_ne!(settle.verdict.outcome, Outcome::CouldNotRun);
                    let round = settle.round;
                    assert!(self.issued.contains(&round));
                    assert!(self.settled.insert(round), "round {round} is settled twice");
                    // Reading and judging are called off if the miner answers twice.
                    let off = |work: &Work| match work {
                        Work::Judge(of) => *of == round,
                        work => work.is_of_talk() && self.round == round,
                    };
                    self.awaits.retain(|work| !off(work));
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
                    self.awaits.clear();
                }
            }
        }
        assert_eq!(self.session.is_over(), self.ended.is_some());
        let limit = CommitmentPart::bytes_max(&FIXTURE.challenge) as usize;
        assert!(self.session.buffered_bytes() <= limit + 3 * UNAWAITED_BYTES_MAX);
    }

    fn rounds_judged(&self) -> usize {
        self.awaits.iter().filter(|work| matches!(work, Work::Judge(_))).count()
    }

    fn ask(&mut self, work: Work) {
        let is_talking = self.awaits.iter().any(|work| work.is_of_talk());
        assert!(!work.is_of_talk() || !is_talking, "one work at a time");
        self.asked.push(work);
        self.awaits.push(work);
    }

    fn line(&mut self, kind: Kind) {
        let line = match kind {
            Kind::Hello => {
                let versions = self.versions.clone();
                line_of(&FromMiner::Hello(MinerHello { versions, ..hello(None) }))
            }
            Kind::Pong => line_of(&FromMiner::Pong {}),
            Kind::Busy => line_of(&FromMiner::Busy { text: "busy".into() }),
            Kind::Failed => line_of(&FromMiner::Failed { text: "failed".into() }),
            Kind::Commitment => FIXTURE.commitment.clone(),
            Kind::Openings => FIXTURE.openings.clone(),
            Kind::Half => FIXTURE.commitment[..20].to_vec(),
        };
        self.feed(Event::Bytes(&line));
    }

    /// Work is done, though perhaps nobody asked.
    fn done(&mut self, work: Work, well: bool) {
        let asked = self.awaits.contains(&work);
        if asked {
            self.awaits.retain(|awaited| *awaited != work);
            if work == Work::Issue && well {
                self.issued.insert(self.round);
            }
            self.accepted += usize::from(work == Work::Accept && well);
            // It is somebody else's, who settles it.
            if work == Work::Accept && !well {
                self.settled.insert(self.round);
            }
        }
        let own = OwnFault("it failed\nTry again.".into());
        let fixture = &*FIXTURE;
        match work {
            Work::Issue => {
                let issued = issued_as(&fixture.challenge, self.round, ROUNDS);
                let issued = if well { Ok(issued) } else { Err(NotIssued::Own(own)) };
                self.feed(Event::Issued(issued));
            }
            Work::Accept => {
                let acceptance = if well {
                    Acceptance::Accepted
                } else {
                    Acceptance::Spent(Commitment([1; 32]))
                };
                let accepted = Accepted { acceptance, history: Vec::new(), coin: COIN };
                self.feed(Event::Accepted(Ok(accepted)));
            }
            Work::Read => match self.reading.take() {
                Some(reading) if asked => {
                    let read = reading.read();
                    if matches!(read.as_deref(), Ok(Content::Result(_))) {
                        self.complete.insert(self.round);
                    }
                    self.feed(Event::Read(read));
                }
                _ => {
                    let fault = Fault::new(FaultCode::NotJson, "nobody asked");
                    self.feed(Event::Read(Err(NotRead::Fault(fault))));
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
            _ => Part::Talk,
        };
        let own = OwnFault("it panicked\nReport it.".into());
        let actions = self.session.abandon(part, own);
        self.heed(actions);
    }

    fn onward(&mut self) {
        if let Some(&work) = self.awaits.first() {
            return self.done(work, true);
        }
        self.answer();
    }

    /// The miner answers what was sent last, if it was not answered yet.
    fn answer(&mut self) {
        let kind = match self.sent {
            Some(FromValidator::Hello { .. }) => Kind::Hello,
            Some(FromValidator::Ping { .. }) => Kind::Pong,
            Some(FromValidator::Challenge { .. } | FromValidator::HostChallenge { .. }) => {
                Kind::Commitment
            }
            Some(FromValidator::Coin { .. }) => Kind::Openings,
            Some(FromValidator::Verdict(_)) | None => return,
        };
        self.line(kind);
    }
}

struct Machine;

impl StateMachineTest for Machine {
    type SystemUnderTest = Watched;
    type Reference = Anything;

    fn init_test((): &()) -> Watched {
        Watched::new()
    }

    fn apply(mut watched: Watched, (): &(), step: Step) -> Watched {
        match step {
            Step::Onward => watched.onward(),
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
    fn teardown(mut watched: Watched, (): ()) {
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

mod steps;
