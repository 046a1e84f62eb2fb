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

/// Of a round whose judging waits for nothing.
fn works_of(round: usize) -> [Work; 4] {
    [Work::Issue, Work::Read, Work::Accept, Work::Read].map(|work| {
        assert!(round < ROUNDS);
        work
    })
}

#[test]
fn the_sequences_reach_the_end() {
    let mut watched = Watched::new();
    for _ in 0..40 {
        watched.onward();
    }
    let talk: Vec<Work> = watched.asked.iter().copied().filter(|work| work.is_of_talk()).collect();
    assert_eq!(talk, (0..ROUNDS).flat_map(works_of).collect::<Vec<_>>());
    assert_eq!(watched.asked.last(), Some(&Work::Conclude));
    assert_eq!(watched.ended, Some(Outcome::Verified));
    assert_eq!(watched.issued.len(), ROUNDS);
    // Whoever speaks version 1 only has one round.
    let mut watched = Watched::speaking(vec![1]);
    for _ in 0..40 {
        watched.onward();
    }
    assert!(watched.asked.starts_with(&works_of(0)));
    assert_eq!((watched.ended, watched.issued.len()), (Some(Outcome::Verified), 1));
}

impl Watched {
    /// Goes on with the talk alone, until it waits for this.
    fn talk_until(&mut self, is_there: impl Fn(&Self) -> bool) {
        for _ in 0..40 {
            if is_there(self) {
                return;
            }
            match self.awaits.iter().copied().find(|work| work.is_of_talk()) {
                Some(work) => self.done(work, true),
                None => self.answer(),
            }
        }
        panic!("it does not come so far: {:?}", self.awaits);
    }
}

#[test]
fn a_round_is_judged_while_the_next_one_is_under_way_and_no_second_one() {
    let mut watched = Watched::new();
    // Nobody judges round 0: round 1 comes to its end, and waits.
    watched.talk_until(|watched| watched.complete.contains(&1));
    assert_eq!(watched.awaits, [Work::Judge(0)]);
    assert_eq!(watched.session.deadline(), None);
    assert_eq!(watched.coins_sent, 2);
    watched.done(Work::Judge(0), true);
    assert!(watched.awaits.contains(&Work::Judge(1)));
    assert!(watched.awaits.contains(&Work::Issue), "round 2 begins");
}

#[test]
fn after_a_rejected_round_the_one_under_way_is_given_up() {
    for at in ["issuing", "commitment", "accepting", "openings", "waiting"] {
        let mut watched = Watched::new();
        watched.talk_until(|watched| match at {
            "issuing" => watched.round == 1 && watched.awaits.contains(&Work::Issue),
            "commitment" => watched.issued.contains(&1),
            "accepting" => watched.round == 1 && watched.awaits.contains(&Work::Accept),
            "openings" => watched.coins_sent == 2,
            _ => watched.complete.contains(&1),
        });
        watched.done(Work::Judge(0), false);
        let coins_sent = watched.coins_sent;
        for _ in 0..10 {
            if let Some(&work) = watched.awaits.first() {
                watched.done(work, true);
            }
        }
        assert_eq!(watched.ended, Some(Outcome::Rejected), "{at}");
        assert_eq!(watched.settled, BTreeSet::from([0, 1]), "{at}");
        assert_eq!(watched.coins_sent, coins_sent, "{at}: no coin for a round that is given up");
        let Some(FromValidator::Verdict(told)) = &watched.sent else { panic!("{at}") };
        assert_eq!(told.code.as_deref(), Some("leaf-mismatch"), "{at}: why the session ended");
    }
}

#[test]
fn a_miner_that_leaves_in_a_later_round_has_its_earlier_ones_judged() {
    let mut watched = Watched::new();
    watched.talk_until(|watched| watched.issued.contains(&1));
    watched.feed(Event::Closed);
    assert_eq!(watched.ended, None);
    assert!(watched.awaits.contains(&Work::Judge(0)));
    for _ in 0..4 {
        watched.onward();
    }
    assert_eq!(watched.ended, Some(Outcome::Rejected));
    let Some(FromValidator::Verdict(told)) = &watched.sent else { panic!("no verdict") };
    assert_eq!(told.code.as_deref(), Some("closed-early"));
    assert_eq!(told.earlier.len(), 1);
    assert_eq!(told.earlier[0].outcome, VerdictOutcome::Verified);
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
    let mut watched = Watched::speaking(vec![1]);
    let mut seen = Vec::new();
    for _ in 0..12 {
        if let Some(&work) = watched.awaits.first() {
            seen.push(work);
            assert_eq!(watched.session.deadline(), None, "{work:?}");
            // A queue before the ledger or the verifier, however long it is.
            watched.now.since_start += Duration::from_secs(86_400);
            watched.feed(Event::Tick);
            assert_eq!(watched.awaits, [work]);
        }
        watched.onward();
    }
    assert_eq!(seen[..4], works_of(0));
    assert_eq!(seen[4..], [Work::Judge(0), Work::Settle(0), Work::Conclude]);
    assert_eq!(watched.ended, Some(Outcome::Verified));
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
    assert_eq!(watched.awaits, [Work::Settle(0)], "it is over");
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
        assert_eq!(watched.awaits, [Work::Issue]);
        watched.feed(event);
        assert_eq!(watched.ended, None, "the ledger is waited for");
        watched.done(Work::Issue, true);
        assert_eq!(watched.awaits, [Work::Settle(0)]);
        assert!(matches!(watched.sent, Some(FromValidator::Ping { .. })), "it is not sent");
        watched.done(Work::Settle(0), true);
        assert!(watched.ended.is_some());
    }
}
