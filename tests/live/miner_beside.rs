//! The miner's machine with a round of the CPUs beside one of the devices.

use super::peer::{hello, tiny};
use attest::mining::issue::{Request, issue};
use attest::protocol::names::Coin;
use attest::session::clock::Now;
use attest::session::fault::{FaultCode, OwnFault};
use attest::session::message::{FromValidator, line_of};
use attest::session::miner::{Action, End, Event, MinerSession, Terms, Who, margin};
use attest::session::numbered::numbered;
use attest::session::refusal::RefusalCode;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

/// A session that is told one thing after the other.
struct Told {
    session: MinerSession,
    now: Now,
    /// Rounds that are worked on, and those whose coin is opened.
    commits: Vec<(usize, Who)>,
    opens: Vec<usize>,
    end: Option<End>,
}

impl Told {
    /// As far as the first challenge of version 2.
    fn new() -> Self {
        let session = MinerSession::new(Terms::default(), hello(None));
        let now = Now::default();
        let mut told = Self { session, now, commits: Vec::new(), opens: Vec::new(), end: None };
        told.event(Event::Start);
        told.say(None, &FromValidator::Hello { versions: vec![2], software: "a test".into() });
        told.say(None, &FromValidator::Ping { version: 2 });
        told
    }

    /// With both challenges.
    fn challenged() -> Self {
        let mut told = Self::new();
        told.say(Some(0), &host(true, &tiny()));
        told.say(Some(1), &devices());
        told
    }

    fn event(&mut self, event: Event<'_>) {
        for action in self.session.handle(self.now, event) {
            assert_eq!(self.end, None, "nothing comes after the end");
            match action {
                Action::Commit { round, on, .. } => self.commits.push((round, on)),
                Action::Open { round, .. } => self.opens.push(round),
                Action::End(end) => self.end = Some(end),
                Action::Send(_) => {}
            }
        }
    }

    fn say(&mut self, round: Option<usize>, message: &FromValidator) {
        self.event(Event::Bytes(&numbered(line_of(message), round)));
    }

    fn committed(&mut self, round: usize) {
        self.event(Event::Committed(round, Ok(b"{\"message\":\"commitment\",\"a\":1}\n".to_vec())));
    }

    fn opened(&mut self, round: usize) {
        self.event(Event::Opened(round, Ok(b"{\"message\":\"openings\",\"a\":1}\n".to_vec())));
    }

    #[track_caller]
    fn ended_by(&self, expected: FaultCode) {
        match &self.end {
            Some(End::Fault(fault)) => assert_eq!(fault.code, expected, "{fault}"),
            other => panic!("{other:?}"),
        }
    }
}

fn token(request: &Request) -> String {
    issue(request).unwrap().token().to_owned()
}

fn host(beside: bool, request: &Request) -> FromValidator {
    FromValidator::HostChallenge { beside, token: token(request) }
}

fn devices() -> FromValidator {
    FromValidator::Challenge { token: token(&tiny()) }
}

fn coin() -> FromValidator {
    FromValidator::Coin { coin: Coin::new([3; 32]).unwrap(), openings_within_ms: 1000 }
}

#[test]
fn both_are_worked_on_and_opened_each_by_its_own_coin() {
    let mut told = Told::challenged();
    assert_eq!(told.commits, [(0, Who::Host { beside: true }), (1, Who::Devices)]);
    told.committed(1);
    told.say(Some(1), &coin());
    told.committed(0);
    told.opened(1);
    told.say(Some(0), &coin());
    assert_eq!(told.opens, [1, 0]);
    told.opened(0);
    told.say(Some(2), &devices());
    assert_eq!((told.commits.len(), &told.end), (3, &None));
}

#[test]
fn no_other_challenge_is_taken_meanwhile() {
    let unexpected = FaultCode::UnexpectedMessage;
    for (round, challenge) in
        [(2, devices()), (2, host(true, &tiny())), (1, devices()), (0, host(true, &tiny()))]
    {
        let mut told = Told::challenged();
        told.say(Some(round), &challenge);
        told.ended_by(unexpected);
        assert_eq!(told.commits.len(), 2);
    }
    // Not beside, or in the other order.
    let mut told = Told::new();
    told.say(Some(0), &host(false, &tiny()));
    told.say(Some(1), &devices());
    told.ended_by(unexpected);
    let mut told = Told::new();
    told.say(Some(0), &devices());
    told.say(Some(1), &host(true, &tiny()));
    told.ended_by(unexpected);
    // Another than the first, and one that says no number.
    let mut told = Told::new();
    told.say(Some(1), &devices());
    told.ended_by(unexpected);
    let mut told = Told::new();
    told.say(None, &devices());
    told.ended_by(FaultCode::MalformedMessage);
}

#[test]
fn a_coin_is_for_the_commitment_of_its_round_and_once() {
    // Before the commitment of that round.
    let mut told = Told::challenged();
    told.committed(0);
    told.say(Some(1), &coin());
    told.ended_by(FaultCode::UnexpectedMessage);
    // Of none.
    let mut told = Told::challenged();
    told.committed(0);
    told.say(None, &coin());
    told.ended_by(FaultCode::MalformedMessage);
    // Twice.
    let mut told = Told::challenged();
    told.committed(0);
    told.say(Some(0), &coin());
    told.say(Some(0), &coin());
    told.ended_by(FaultCode::UnexpectedMessage);
    assert_eq!(told.opens, [0]);
}

#[test]
fn each_round_has_its_own_limit() {
    let limit = Duration::from_millis(1500);
    let short = Request { max_duration_ms: Some(1500), ..tiny() };
    let mut told = Told::new();
    told.say(Some(0), &host(true, &short));
    told.say(Some(1), &devices());
    assert_eq!(told.session.deadline(), Some(limit + margin(limit)));
    // The devices are done, and wait for their coin; the CPUs are not.
    told.committed(1);
    told.now.since_start = limit + margin(limit);
    told.event(Event::Tick);
    let Some(End::Refused(refusal)) = &told.end else { panic!("{:?}", told.end) };
    assert_eq!(refusal.code, RefusalCode::TimeOver);
    // The CPUs are done, and never get their coin.
    let mut told = Told::new();
    told.say(Some(0), &host(true, &short));
    told.say(Some(1), &devices());
    told.committed(0);
    let next = Terms::default().patience.next;
    assert_eq!(told.session.deadline(), Some(next));
    told.now.since_start = next;
    told.event(Event::Tick);
    told.ended_by(FaultCode::Stalled);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_each_round_is_worked_on_once(
        steps in proptest::collection::vec((0..7_usize, 0..4_usize), 0..24)
    ) {
        let mut told = Told::new();
        for (step, round) in steps {
            match step {
                0 => told.say(Some(told.commits.len()), &devices()),
                1 => told.say(Some(told.commits.len()), &host(round % 2 == 0, &tiny())),
                2 => told.say(Some(round), &coin()),
                3 => told.committed(round),
                4 => told.opened(round),
                5 => told.say(Some(round), &devices()),
                _ if round > 0 => told.committed(round - 1),
                _ => told.event(Event::Committed(0, Err(OwnFault("no\nno".into()).into()))),
            }
            let numbers: Vec<usize> = told.commits.iter().map(|(round, _)| *round).collect();
            prop_assert_eq!(&numbers, &(0..numbers.len()).collect::<Vec<_>>());
            let opened: BTreeSet<_> = told.opens.iter().collect();
            prop_assert_eq!(opened.len(), told.opens.len());
            prop_assert!(told.opens.iter().all(|round| numbers.contains(round)));
            prop_assert_eq!(told.session.deadline().is_none(), told.end.is_some());
            if told.end.is_some() {
                return Ok(());
            }
        }
        told.event(Event::Closed);
        prop_assert!(told.end.is_some());
    }
}
