//! The validator's machine under any sequence of events.

use super::peer::{Answer, hello, tiny};
use attest::ledger::Acceptance;
use attest::mining::issue::issue;
use attest::protocol::challenge::Challenge;
use attest::protocol::names::{Coin, Commitment};
use attest::protocol::parts::CommitmentPart;
use attest::protocol::verdict::{Outcome, Verdict};
use attest::session::clock::Now;
use attest::session::fault::{Fault, FaultCode, OwnFault};
use attest::session::limits::{Patience, UNAWAITED_BYTES_MAX};
use attest::session::message::{FromMiner, FromValidator, MinerHello, line_of};
use attest::session::validator::{
    Accepted, Action, Event, Judged, NotIssued, NotRead, Reading, ValidatorSession,
};
use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
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
    Judge,
    Settle,
}

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
            Just(Work::Judge),
            Just(Work::Settle),
        ];
        prop_oneof![
            24 => Just(Step::Onward),
            2 => kind.prop_map(Step::Line),
            1 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Step::Bytes),
            1 => (0..3 * UNAWAITED_BYTES_MAX).prop_map(Step::Flood),
            2 => (0..70_000_u64).prop_map(Step::Wait),
            1 => Just(Step::Closed),
            1 => Just(Step::Interrupted),
            3 => (work, any::<bool>()).prop_map(|(work, well)| Step::Done(work, well)),
        ]
        .boxed()
    }

    fn apply((): (), _: &Step) {}
}

/// The machine, and what it has asked for.
struct Watched {
    session: ValidatorSession,
    now: Now,
    asked: Vec<Work>,
    awaits: Option<Work>,
    /// The line that is to be read.
    reading: Option<Box<Reading>>,
    /// Of the miner, as the challenge is sized by it.
    round_trip: Option<Duration>,
    /// A challenge was put on record.
    issued: bool,
    /// It was settled, or is somebody else's.
    settled: bool,
    /// The last message that it sent.
    sent: Option<FromValidator>,
    coins_sent: usize,
    accepted: bool,
    ended: Option<Outcome>,
}

impl Watched {
    fn new() -> Self {
        let mut watched = Self {
            session: ValidatorSession::new(Patience::default(), None),
            now: Now {
                since_start: Duration::ZERO,
                unix_ms: 1000 * FIXTURE.challenge.issued_at_unix_s() as u64,
            },
            asked: Vec::new(),
            awaits: None,
            reading: None,
            round_trip: None,
            issued: false,
            settled: false,
            sent: None,
            coins_sent: 0,
            accepted: false,
            ended: None,
        };
        watched.feed(Event::Start);
        watched
    }

    fn feed(&mut self, event: Event<'_>) {
        for action in self.session.handle(self.now, event) {
            assert_eq!(self.ended, None, "nothing comes after the end");
            match action {
                Action::Send(line) => {
                    let message = FromValidator::read(&line).expect("its own message");
                    if matches!(message, FromValidator::Coin { .. }) {
                        assert!(self.accepted, "a coin before its record");
                        self.coins_sent += 1;
                    }
                    self.sent = Some(message);
                }
                Action::Issue(wanted) => {
                    self.round_trip = Some(wanted.round_trip);
                    self.ask(Work::Issue);
                }
                Action::Read(reading) => {
                    self.reading = Some(reading);
                    // Of the commitment and of the openings.
                    self.asked.retain(|work| *work != Work::Read || self.coins_sent == 0);
                    self.ask(Work::Read);
                }
                Action::Accept(_) => self.ask(Work::Accept),
                Action::Judge(_) => {
                    assert_eq!(self.coins_sent, 1);
                    self.ask(Work::Judge);
                }
                Action::Settle(settle) => {
                    assert_ne!(settle.verdict.outcome, Outcome::CouldNotRun);
                    assert!(self.issued && !self.settled);
                    // Reading and judging are called off where the miner answers twice.
                    self.awaits = None;
                    self.ask(Work::Settle);
                    self.settled = true;
                }
                Action::End(ended) => {
                    assert!(matches!(self.sent, Some(FromValidator::Verdict(_))));
                    assert_eq!(self.settled, self.issued, "what was issued is settled");
                    self.ended = Some(ended.verdict.outcome);
                    self.awaits = None;
                }
            }
        }
        assert_eq!(self.session.is_over(), self.ended.is_some());
        let limit = CommitmentPart::bytes_max(&FIXTURE.challenge) as usize;
        assert!(self.session.buffered_bytes() <= limit + 3 * UNAWAITED_BYTES_MAX);
    }

    fn ask(&mut self, work: Work) {
        assert_eq!(self.awaits, None, "one work at a time");
        assert!(!self.asked.contains(&work), "{work:?} twice");
        self.asked.push(work);
        self.awaits = Some(work);
    }

    fn line(&mut self, kind: Kind) {
        let line = match kind {
            Kind::Hello => line_of(&FromMiner::Hello(hello(None))),
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
        let asked = self.awaits == Some(work);
        if asked {
            self.awaits = None;
            self.issued |= work == Work::Issue && well;
            self.accepted |= work == Work::Accept && well;
            // It is somebody else's, who settles it.
            self.settled |= work == Work::Accept && !well;
        }
        let own = OwnFault("it failed\nTry again.".into());
        let fixture = &*FIXTURE;
        match work {
            Work::Issue => {
                let challenge = Box::new(fixture.challenge.clone());
                let issued = if well { Ok(challenge) } else { Err(NotIssued::Own(own)) };
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
                Some(reading) if asked => self.feed(Event::Read(reading.read())),
                _ => {
                    let fault = Fault::new(FaultCode::NotJson, "nobody asked");
                    self.feed(Event::Read(Err(NotRead::Fault(fault))));
                }
            },
            Work::Judge => {
                let answer =
                    CommitmentPart::read(fixture.commitment.trim_ascii(), &fixture.challenge);
                let result = answer
                    .and_then(|part| {
                        part.complete(fixture.openings.trim_ascii(), &fixture.challenge)
                    })
                    .expect("an honest result");
                let verdict = Verdict::rejected_session("leaf-mismatch", "no".into());
                self.feed(Event::Judged(Box::new(Judged { verdict, receipt: None, result })));
            }
            Work::Settle => self.feed(Event::Settled(if well { Ok(()) } else { Err(own) })),
        }
    }

    fn onward(&mut self) {
        if let Some(work) = self.awaits {
            return self.done(work, true);
        }
        let kind = match self.sent {
            Some(FromValidator::Hello { .. }) => Kind::Hello,
            Some(FromValidator::Ping { .. }) => Kind::Pong,
            Some(FromValidator::Challenge { .. }) => Kind::Commitment,
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
        }
        watched
    }

    /// Wherever it stands: with nobody there any more it ends.
    fn teardown(mut watched: Watched, (): ()) {
        for _ in 0..12 {
            if watched.ended.is_some() {
                return;
            }
            match (watched.awaits, watched.session.deadline()) {
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
    fn every_sequence_ends_and_keeps_the_order(sequential 1..40 => Machine);
}

#[test]
fn the_sequences_reach_the_end() {
    let mut watched = Watched::new();
    for _ in 0..10 {
        watched.onward();
    }
    assert_eq!(watched.asked, [Work::Issue, Work::Accept, Work::Read, Work::Judge, Work::Settle]);
    assert_eq!(watched.ended, Some(Outcome::Rejected), "the judge of this test rejects");
}

/// The session on its way, with this capability in the miner's hello.
fn greeted(capability: &str) -> Watched {
    let mut watched = Watched::new();
    let capabilities = vec![capability.to_owned()];
    let hello = MinerHello { capabilities, ..hello(None) };
    watched.feed(Event::Bytes(&line_of(&FromMiner::Hello(hello))));
    watched
}

impl Watched {
    fn pass(&mut self, time: Duration) {
        self.now.since_start += time;
        self.now.unix_ms += time.as_millis() as u64;
    }
}

#[test]
fn the_least_of_five_round_trips_counts() {
    let mut watched = greeted("pings");
    for (index, ms) in [40, 30, 7, 900, 20].into_iter().enumerate() {
        assert!(matches!(watched.sent, Some(FromValidator::Ping { version: 1 })), "{index}");
        assert!(watched.asked.is_empty(), "no challenge before the fifth pong");
        watched.sent = None;
        watched.pass(Duration::from_millis(ms));
        watched.line(Kind::Pong);
    }
    assert_eq!(watched.asked, [Work::Issue]);
    assert_eq!(watched.round_trip, Some(Duration::from_millis(7)));
    // One that does not say that it answers more gets one ping, as ever.
    let mut watched = greeted("other");
    watched.pass(Duration::from_millis(40));
    watched.line(Kind::Pong);
    assert_eq!(watched.asked, [Work::Issue]);
    assert_eq!(watched.round_trip, Some(Duration::from_millis(40)));
}

#[test]
fn five_slow_pongs_have_no_more_time_than_one() {
    let mut watched = greeted("pings");
    let deadline = watched.session.deadline().expect("a pong is awaited");
    for _ in 0..4 {
        watched.pass(Duration::from_millis(1200));
        watched.line(Kind::Pong);
        assert_eq!(watched.session.deadline(), Some(deadline));
    }
    watched.pass(Duration::from_millis(200));
    watched.line(Kind::Pong);
    assert_eq!(watched.ended, Some(Outcome::Rejected), "5 s are over");
}

#[test]
fn no_session_runs_out_of_time_while_its_own_work_is_under_way() {
    let mut watched = Watched::new();
    let mut seen = Vec::new();
    for _ in 0..10 {
        if let Some(work) = watched.awaits {
            seen.push(work);
            assert_eq!(watched.session.deadline(), None, "{work:?}");
            // A queue before the ledger or the verifier, however long it is.
            watched.now.since_start += Duration::from_secs(86_400);
            watched.feed(Event::Tick);
            assert_eq!(watched.awaits, Some(work));
        }
        watched.onward();
    }
    let all = [Work::Issue, Work::Read, Work::Accept, Work::Read, Work::Judge, Work::Settle];
    assert_eq!(seen, all);
    assert_eq!(watched.ended, Some(Outcome::Rejected), "the judge of this test rejects");
}

#[test]
fn what_was_read_before_the_challenge_was_sent_is_no_answer_to_it() {
    let mut watched = Watched::new();
    for _ in 0..2 {
        watched.onward();
    }
    // Stamped while the challenge was being recorded, handled after it was sent.
    let early = watched.now;
    watched.pass(Duration::from_millis(50));
    watched.done(Work::Issue, true);
    assert!(matches!(watched.sent, Some(FromValidator::Challenge { .. })));
    let late = std::mem::replace(&mut watched.now, early);
    watched.line(Kind::Commitment);
    watched.now = late;
    assert_eq!(watched.awaits, Some(Work::Settle), "it is over");
    assert!(!watched.asked.contains(&Work::Read));
}

#[test]
fn an_end_while_the_challenge_is_being_recorded_is_settled() {
    let flood = vec![b'\n'; 2 * UNAWAITED_BYTES_MAX];
    let own = || OwnFault("it was interrupted\nTry again.".into());
    for event in [Event::Bytes(&flood), Event::Closed, Event::Interrupted(own())] {
        let mut watched = Watched::new();
        for _ in 0..2 {
            watched.onward();
        }
        assert_eq!(watched.awaits, Some(Work::Issue));
        watched.feed(event);
        assert_eq!(watched.ended, None, "the ledger is waited for");
        watched.done(Work::Issue, true);
        assert_eq!(watched.awaits, Some(Work::Settle));
        assert!(matches!(watched.sent, Some(FromValidator::Ping { .. })), "it is not sent");
        watched.done(Work::Settle, true);
        assert!(watched.ended.is_some());
    }
}
