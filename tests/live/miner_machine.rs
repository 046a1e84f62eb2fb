//! The miner's machine under any sequence of events.

use super::identity;
use super::peer::{hello, tiny};
use attest::mining::issue::{Request, issue};
use attest::protocol::digest::Digest;
use attest::protocol::names::Coin;
use attest::protocol::signature::PublicKey;
use attest::session::clock::Now;
use attest::session::fault::{Fault, FaultCode, OwnFault};
use attest::session::limits::{PINGS_ANSWERED_MAX, Patience, lateness_heard};
use attest::session::message::{FromMiner, FromValidator, VerdictMessage, VerdictOutcome, line_of};
use attest::session::miner::{Action, End, Event, MinerSession, Terms, margin};
use attest::session::numbered::numbered;
use attest::session::refusal::{Refusal, RefusalCode};
use proptest::prelude::*;
use std::time::Duration;

fn lines() -> Vec<Vec<u8>> {
    let token = issue(&tiny()).unwrap().token().to_owned();
    let verdict = VerdictMessage {
        outcome: VerdictOutcome::Rejected,
        code: None,
        detail: None,
        receipt: None,
        earlier: Vec::new(),
    };
    vec![
        line_of(&FromValidator::Hello { versions: vec![1], software: "a test".into() }),
        line_of(&FromValidator::Ping { version: 1 }),
        line_of(&FromValidator::Challenge { token }),
        line_of(&FromValidator::Coin { coin: Coin::new([3; 32]).unwrap(), openings_within_ms: 1 }),
        line_of(&FromValidator::Verdict(verdict)),
        line_of(&FromValidator::Ping { version: 3 }),
        line_of(&FromValidator::Network { bytes: 3 }),
        line_of(&FromValidator::Piece { data: "AAAA".to_owned() }),
        line_of(&FromValidator::SendBack { key: Digest([6; 32]) }),
        line_of(&FromValidator::Received { bytes: 3 }),
        b"Last login".to_vec(),
        b"\n".to_vec(),
        vec![b' '; 200_000],
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Line(usize),
    Committed(bool),
    Opened(bool),
    Closed,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..9_usize).prop_map(Step::Line),
        2 => any::<bool>().prop_map(Step::Committed),
        2 => any::<bool>().prop_map(Step::Opened),
        1 => Just(Step::Closed),
        1 => (0..4_000_000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_ends_once_and_opens_nothing_before_the_coin(
        right in 0..5_usize, steps in proptest::collection::vec(step(), 0..12)
    ) {
        let lines = lines();
        let mut session = MinerSession::new(Terms::default(), hello(None));
        let mut now = Now::default();
        let (mut commits, mut opens, mut ends) = (0, 0, 0);
        let mut look = |actions: Vec<Action>| {
            for action in actions {
                assert_eq!(ends, 0, "nothing comes after the end");
                match action {
                    Action::Commit { .. } => commits += 1,
                    Action::Open { .. } => opens += 1,
                    Action::End(_) => ends += 1,
                    Action::Send(_) => {}
                }
            }
            assert!(commits <= 1 && opens <= commits);
            ends
        };
        look(session.handle(now, Event::Start));
        // As far as wanted the right way, then anything.
        for (index, line) in lines.iter().take(right).enumerate() {
            if index == 3 {
                look(session.handle(now, Event::Committed(0, Ok(b"{}\n".to_vec()))));
            }
            look(session.handle(now, Event::Bytes(line)));
        }
        let own = || OwnFault("no\nno".into());
        for step in steps {
            let event = match step {
                Step::Line(index) => Event::Bytes(&lines[index]),
                Step::Committed(well) => {
                    Event::Committed(0, if well { Ok(b"{}\n".to_vec()) } else { Err(own().into()) })
                }
                Step::Opened(well) => {
                    Event::Opened(0, if well { Ok(b"{}\n".to_vec()) } else { Err(own()) })
                }
                Step::Closed => Event::Closed,
                Step::Wait(ms) => {
                    now.since_start += Duration::from_millis(ms);
                    Event::Tick
                }
            };
            look(session.handle(now, event));
        }
        // The other side is gone: that ends it, wherever it stands.
        prop_assert_eq!(look(session.handle(now, Event::Closed)), 1);
    }
}

/// A session that is told one thing after the other.
struct Told {
    session: MinerSession,
    now: Now,
    end: Option<End>,
    /// What it sent.
    sent: Vec<u8>,
    limit: Option<Duration>,
}

impl Told {
    fn on(terms: Terms, miner_id: Option<PublicKey>) -> Self {
        let session = MinerSession::new(terms, hello(miner_id));
        let (now, sent) = (Now::default(), Vec::new());
        let mut told = Self { session, now, end: None, sent, limit: None };
        told.event(Event::Start);
        told
    }

    fn event(&mut self, event: Event<'_>) {
        for action in self.session.handle(self.now, event) {
            match action {
                Action::Send(line) => self.sent.extend(line),
                Action::End(end) => self.end = Some(end),
                Action::Commit { limit, .. } => self.limit = Some(limit),
                Action::Open { .. } => {}
            }
        }
    }

    fn say(&mut self, message: &FromValidator) {
        self.event(Event::Bytes(&line_of(message)));
    }

    /// As far as the challenge that is asked for.
    fn challenged(&mut self, request: &Request) {
        self.say(&FromValidator::Hello { versions: vec![1], software: "a test".into() });
        self.say(&FromValidator::Ping { version: 1 });
        let token = issue(request).unwrap().token().to_owned();
        self.say(&FromValidator::Challenge { token });
    }

    fn wait(&mut self, time: Duration) {
        self.now.since_start += time;
        self.event(Event::Tick);
    }

    #[track_caller]
    fn refusal(&self) -> &Refusal {
        match &self.end {
            Some(End::Refused(refusal)) => {
                let last = self.sent.split(|&byte| byte == b'\n').rev().nth(1).unwrap();
                let Ok(FromMiner::Failed { text }) = FromMiner::read(last) else { panic!() };
                assert!(text.starts_with(refusal.code.code()), "the validator is told: {text}");
                refusal
            }
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn fault(&self) -> &Fault {
        match &self.end {
            Some(End::Fault(fault)) => fault,
            other => panic!("{other:?}"),
        }
    }
}

/// How it ends after these lines.
fn end_of(lines: &[&[u8]]) -> End {
    let mut told = Told::on(Terms::default(), None);
    for line in lines {
        told.event(Event::Bytes(line));
    }
    told.event(Event::Closed);
    told.end.expect("closed")
}

#[test]
fn several_pings_are_answered_and_not_any_number() {
    let lines = lines();
    let after = |pings: usize| {
        let mut all: Vec<&[u8]> = vec![&lines[0]];
        all.extend(vec![&lines[1][..]; pings]);
        end_of(&all)
    };
    let code = |end| match end {
        End::Fault(Fault { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(after(16)), FaultCode::ClosedEarly);
    assert_eq!(code(after(17)), FaultCode::UnexpectedMessage);
}

#[test]
fn a_validator_that_misbehaves_is_named() {
    let lines = lines();
    let code = |lines: &[&[u8]]| match end_of(lines) {
        End::Fault(fault) => fault.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(&[]), FaultCode::ClosedEarly);
    assert_eq!(code(&[&lines[1]]), FaultCode::UnexpectedMessage);
    assert_eq!(code(&[&lines[0], &lines[5]]), FaultCode::VersionMismatch);
    assert_eq!(code(&[b"Last login\n"]), FaultCode::NotJson);
    assert_eq!(code(&[lines.last().unwrap()]), FaultCode::MessageTooLong);
    // Two hellos, two challenges, and a coin before the commitment.
    assert_eq!(code(&[&lines[0], &lines[0]]), FaultCode::UnexpectedMessage);
    assert_eq!(code(&[&lines[0], &lines[1], &lines[2], &lines[2]]), FaultCode::UnexpectedMessage);
    assert_eq!(code(&[&lines[0], &lines[1], &lines[2], &lines[3]]), FaultCode::UnexpectedMessage);
    let bad_token = br#"{"message":"challenge","token":"e30="}"#;
    let bad_token = [&bad_token[..], b"\n"].concat();
    assert!(matches!(end_of(&[&lines[0], &lines[1], &bad_token]), End::Own(_)));
    let huge = format!(r#"{{"message":"challenge","token":"{}"}}"#, "e".repeat(100_000));
    assert_eq!(code(&[&lines[0], &lines[1], huge.as_bytes()]), FaultCode::MessageTooLong);
}

/// Rejected it may be at any time; verified only what is open.
#[test]
fn nothing_is_verified_before_it_is_open() {
    let verdict = |outcome| {
        let earlier = Vec::new();
        let verdict = VerdictMessage { outcome, code: None, detail: None, receipt: None, earlier };
        line_of(&FromValidator::Verdict(verdict))
    };
    let (hello, ping) = (&lines()[0], &lines()[1]);
    for before in [&[][..], &[&hello[..]], &[&hello[..], &ping[..]]] {
        let ends = |outcome| end_of(&[before, &[&verdict(outcome)[..]]].concat());
        assert!(matches!(ends(VerdictOutcome::Rejected), End::Verdict(_)));
        let End::Fault(fault) = ends(VerdictOutcome::Verified) else { panic!() };
        assert_eq!(fault.code, FaultCode::UnexpectedMessage);
    }
}

#[test]
fn work_ends_at_the_challenges_limit_and_a_margin() {
    let limit = Duration::from_millis(1);
    let asked = Request {
        max_duration_ms: Some(1),
        matrix_dim: Some(32_768),
        num_matrices: Some(16),
        num_iterations: Some(1_000_000),
        verification_sample_rate: Some(1e-6),
        valid_for_s: Some(2),
        ..tiny()
    };
    let mut told = Told::on(Terms::default(), None);
    told.now.since_start = Duration::from_secs(7);
    told.challenged(&asked);
    assert_eq!(told.limit, Some(limit));
    told.wait(limit + margin(limit) - Duration::from_nanos(1));
    assert_eq!(told.end, None);
    assert_eq!(told.session.deadline(), Some(told.now.since_start + Duration::from_nanos(1)));
    told.wait(Duration::from_nanos(1));
    assert_eq!(told.refusal().code, RefusalCode::TimeOver);
    // The validator still listens.
    assert!(margin(limit) < lateness_heard(limit));
    // Where no limit was asked for it is the validity.
    let mut told = Told::on(Terms::default(), None);
    told.challenged(&Request { valid_for_s: Some(80), ..tiny() });
    told.wait(Duration::from_secs(84));
    assert_eq!(told.end, None);
    told.wait(Duration::from_secs(1));
    assert_eq!(told.refusal().code, RefusalCode::TimeOver);
    // A limit beyond the validity is none.
    let mut told = Told::on(Terms::default(), None);
    let beyond = Request { valid_for_s: Some(80), max_duration_ms: Some(1 << 40), ..tiny() };
    told.challenged(&beyond);
    assert_eq!(told.limit, Some(Duration::from_secs(80)));
}

#[test]
fn a_challenge_that_is_over_by_the_miners_calendar_is_the_validators_to_judge() {
    let mut told = Told::on(Terms::default(), None);
    told.now.unix_ms = 4_102_444_800_000;
    told.challenged(&tiny());
    assert!(told.limit.is_some() && told.end.is_none(), "{:?}", told.end);
}

#[test]
fn a_challenge_of_another_validator_or_to_another_miner_is_refused() {
    let [peer, other, own] = [1, 2, 3].map(|seed| identity(seed).public());
    let terms = Terms { validator: Some(peer), ..Terms::default() };
    let of = |validator_id, miner_id| Request { validator_id, miner_id, ..tiny() };
    for (asked, refused) in [
        (of(Some(peer), Some(own)), None),
        (of(Some(peer), None), None),
        (of(Some(other), Some(own)), Some(RefusalCode::OtherValidator)),
        (of(None, Some(own)), Some(RefusalCode::OtherValidator)),
        (of(Some(peer), Some(other)), Some(RefusalCode::OtherMiner)),
    ] {
        let mut told = Told::on(terms, Some(own));
        told.challenged(&asked);
        match refused {
            None => assert!(told.limit.is_some(), "{:?}", told.end),
            Some(code) => assert_eq!((told.refusal().code, told.limit), (code, None)),
        }
    }
    // Nobody has authenticated this one, so anybody may be named.
    let mut told = Told::on(Terms::default(), None);
    told.challenged(&of(Some(other), None));
    assert!(told.limit.is_some());
    let mut told = Told::on(Terms::default(), None);
    told.challenged(&of(None, Some(own)));
    assert!(told.refusal().detail.ends_with("this miner has no key"), "{:?}", told.end);
}

#[test]
fn pings_are_answered_so_often_and_do_not_put_the_challenge_off() {
    let mut told = Told::on(Terms::default(), None);
    told.say(&FromValidator::Hello { versions: vec![1], software: "a test".into() });
    told.sent.clear();
    told.say(&FromValidator::Ping { version: 1 });
    let until = told.session.deadline();
    for _ in 1..PINGS_ANSWERED_MAX {
        told.now.since_start += Duration::from_secs(1);
        told.say(&FromValidator::Ping { version: 1 });
    }
    assert_eq!(told.sent, line_of(&FromMiner::Pong {}).repeat(PINGS_ANSWERED_MAX as usize));
    assert_eq!(told.session.deadline(), until);
    told.say(&FromValidator::Ping { version: 1 });
    assert_eq!(told.fault().code, FaultCode::UnexpectedMessage);
}

/// Every state, with a validator that goes silent there, or sends a byte now and then.
#[test]
fn every_wait_has_an_end() {
    let lines = lines();
    let reach = |steps: usize| {
        let mut told = Told::on(Terms::default(), None);
        for step in 0..steps {
            match step {
                0..=2 => told.event(Event::Bytes(&lines[step])),
                3 => told.event(Event::Committed(0, Ok(b"{}\n".to_vec()))),
                4 => told.event(Event::Bytes(&lines[3])),
                _ => told.event(Event::Opened(0, Ok(b"{}\n".to_vec()))),
            }
        }
        told
    };
    for steps in 0..=6 {
        let mut silent = reach(steps);
        let until = silent.session.deadline().expect("a deadline");
        silent.now.since_start = until;
        silent.event(Event::Tick);
        match steps {
            3 | 5 => assert_eq!(silent.refusal().code, RefusalCode::TimeOver),
            _ => assert_eq!(silent.fault().code, FaultCode::Stalled),
        }
        let mut trickling = reach(steps);
        while trickling.now.since_start < until {
            trickling.now.since_start += until / 50;
            trickling.event(Event::Bytes(b" "));
        }
        assert!(trickling.end.is_some(), "{steps}");
        // All of it together has an end, too.
        let session_max = Duration::from_millis(500);
        let mut short = Told::on(Terms { session_max, ..Terms::default() }, None);
        short.challenged(&tiny());
        assert_eq!((short.limit, short.session.deadline()), (Some(session_max), short.limit));
        short.wait(session_max);
        assert_eq!(short.refusal().code, RefusalCode::SessionOver);
    }
    let patience = Patience { hello: Duration::MAX, ..Patience::default() };
    let endless = Told::on(Terms { patience, ..Terms::default() }, None);
    assert_eq!(endless.session.deadline(), Some(Terms::default().session_max));
}

#[test]
fn what_went_wrong_says_what_to_try() {
    let lines = lines();
    let text = |lines: &[&[u8]]| match end_of(lines) {
        End::Fault(fault) => fault.to_string(),
        other => panic!("{other:?}"),
    };
    // Nobody is there; the validator goes before the challenge, and after it.
    assert!(text(&[]).contains("attest validate -- ssh HOST attest respond"));
    assert!(text(&[&lines[0], &lines[1]]).contains("its own standard error has the reason"));
    let after = text(&[&lines[0], &lines[1], &lines[2]]);
    assert!(after.contains("while this side was at work") && after.contains("ask for another"));
    assert!(text(&[b"Last login\n"]).contains("no terminal (ssh without -t)"));
    // What this side says comes back.
    let own = line_of(&FromMiner::Hello(hello(None)));
    let echo = text(&[&lines[0], &own]);
    assert!(echo.starts_with("echoed: a miner's hello") && echo.contains("ssh -T"), "{echo}");
    for lines in [&[][..], &[&lines[0][..], &own[..]]] {
        assert_eq!(text(lines).lines().count(), 2);
    }
}

/// From version 2 on another challenge may follow the openings, and only then.
#[test]
fn another_challenge_is_taken_from_version_2_on() {
    for version in [1, 2] {
        let now = Now { since_start: Duration::ZERO, unix_ms: 0 };
        let mut session = MinerSession::new(Terms::default(), hello(None));
        session.handle(now, Event::Start);
        let lines = lines();
        session.handle(now, Event::Bytes(&lines[0]));
        session.handle(now, Event::Bytes(&line_of(&FromValidator::Ping { version })));
        for round in 0..3 {
            let said = (version > 1).then_some(round);
            let challenge = numbered(lines[2].clone(), said);
            let actions = session.handle(now, Event::Bytes(&challenge));
            let [action] = &actions[..] else { panic!("{actions:?}") };
            if version == 1 && round > 0 {
                let Action::End(End::Fault(fault)) = action else { panic!("{action:?}") };
                assert_eq!(fault.code, FaultCode::UnexpectedMessage);
                break;
            }
            assert!(matches!(action, Action::Commit { .. }), "{action:?}");
            let line = b"{\"message\":\"commitment\",\"a\":1}\n".to_vec();
            let actions = session.handle(now, Event::Committed(round, Ok(line.clone())));
            let [Action::Send(sent)] = &actions[..] else { panic!("{actions:?}") };
            assert_eq!(*sent, numbered(line, said), "it says which round it is of");
            session.handle(now, Event::Bytes(&numbered(lines[3].clone(), said)));
            session.handle(now, Event::Opened(round, Ok(b"openings\n".to_vec())));
        }
    }
}
