//! The miner's machine under any sequence of events.

use super::peer::{hello, tiny};
use attest::live::clock::Now;
use attest::live::fault::{Fault, FaultCode, OwnFault};
use attest::live::limits::Patience;
use attest::live::message::{FromValidator, VerdictMessage, VerdictOutcome, line_of};
use attest::live::miner::{Action, End, Event, MinerSession};
use attest::protocol::digest::Digest;
use attest::session::issue::issue;
use proptest::prelude::*;
use std::time::Duration;

fn lines() -> Vec<Vec<u8>> {
    let token = issue(&tiny()).unwrap().token().to_owned();
    let verdict = VerdictMessage {
        outcome: VerdictOutcome::Rejected,
        code: None,
        detail: None,
        receipt: None,
    };
    vec![
        line_of(&FromValidator::Hello { versions: vec![1], software: "a test".into() }),
        line_of(&FromValidator::Ping { version: 1 }),
        line_of(&FromValidator::Challenge { token }),
        line_of(&FromValidator::Coin { coin: Digest([3; 32]), openings_within_ms: 1 }),
        line_of(&FromValidator::Verdict(verdict)),
        line_of(&FromValidator::Ping { version: 2 }),
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
        let mut session = MinerSession::new(Patience::default(), hello(None));
        let mut now = Now::default();
        let (mut commits, mut opens, mut ends) = (0, 0, 0);
        let mut look = |actions: Vec<Action>| {
            for action in actions {
                assert_eq!(ends, 0, "nothing comes after the end");
                match action {
                    Action::Commit(_) => commits += 1,
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
                look(session.handle(now, Event::Committed(Ok(b"{}\n".to_vec()))));
            }
            look(session.handle(now, Event::Bytes(line)));
        }
        let own = || OwnFault("no\nno".into());
        for step in steps {
            let event = match step {
                Step::Line(index) => Event::Bytes(&lines[index]),
                Step::Committed(well) => {
                    Event::Committed(if well { Ok(b"{}\n".to_vec()) } else { Err(own()) })
                }
                Step::Opened(well) => {
                    Event::Opened(if well { Ok(b"{}\n".to_vec()) } else { Err(own()) })
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

/// How it ends after these lines.
fn end_of(lines: &[&[u8]]) -> End {
    let mut session = MinerSession::new(Patience::default(), hello(None));
    let mut actions = session.handle(Now::default(), Event::Start);
    for line in lines {
        actions.extend(session.handle(Now::default(), Event::Bytes(line)));
    }
    actions.extend(session.handle(Now::default(), Event::Closed));
    match actions.pop() {
        Some(Action::End(end)) => end,
        other => panic!("{other:?}"),
    }
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
    assert_eq!(code(&[&lines[8]]), FaultCode::MessageTooLong);
    // Two challenges, and a coin before the commitment.
    assert_eq!(code(&[&lines[0], &lines[1], &lines[2], &lines[2]]), FaultCode::UnexpectedMessage);
    assert_eq!(code(&[&lines[0], &lines[1], &lines[2], &lines[3]]), FaultCode::UnexpectedMessage);
    let bad_token = br#"{"message":"challenge","token":"e30="}"#;
    let bad_token = [&bad_token[..], b"\n"].concat();
    assert!(matches!(end_of(&[&lines[0], &lines[1], &bad_token]), End::Own(_)));
}
