//! kill -9, between every two steps and in the middle of them.

use crate::child::{Child, STEPS};
use crate::places::{Place, on_both};
use crate::{
    ISSUED_MS, accept, accepting, challenge, coin_of, commitment_of, device, everything, verified,
};
use attest::ledger::{Acceptance, Accepting, HistoryCode, Ledger};
use attest::protocol::digest::Digest;

on_both![
    killed_between_two_steps_it_has_all_steps_before,
    killed_at_any_moment_it_has_what_it_said,
];

fn killed_between_two_steps_it_has_all_steps_before(place: &Place) {
    for steps in 0..=STEPS {
        let mut child = Child::start(place, "steps", &steps.to_string());
        let c: Digest = child.line().expect("it got that far").parse().unwrap();
        child.kill();
        let ledger = place.open();
        check_and_finish(&*ledger, &c, steps);
    }
}

/// Checks that exactly `steps` steps are on record, that the nonce is not accepted
/// again, and that the session can go on.
fn check_and_finish(ledger: &dyn Ledger, c: &Digest, steps: usize) {
    if steps == 0 {
        assert_eq!(ledger.record(c).unwrap(), None);
        assert_eq!(accept(ledger, c, commitment_of(9)), Acceptance::NotIssued);
        return;
    }
    let (entry, devices) = ledger.show(c).unwrap().expect("it is on record");
    assert_eq!(entry.commitment, (steps >= 2).then_some(commitment_of(1)), "after {steps} steps");
    assert_eq!(entry.coin, (steps >= 2).then_some(coin_of(2)), "after {steps} steps");
    assert_eq!(devices.len(), usize::from(steps >= 2), "after {steps} steps");
    assert_eq!(entry.outcome.is_some(), steps >= 3, "after {steps} steps");
    if steps >= 2 {
        assert_eq!(accept(ledger, c, commitment_of(9)), Acceptance::Spent(commitment_of(1)));
    } else {
        assert_eq!(accept(ledger, c, commitment_of(1)), Acceptance::Accepted);
    }
    // A claim of a killed session holds until its time is over or it is settled. The
    // other one is issued after its commitment came.
    let challenge = challenge();
    let (other, at) = (challenge.digest(), ISSUED_MS + 6);
    ledger.issue(&challenge, challenge.token(), at).unwrap();
    let devices = [device(1)];
    let named = Accepting {
        arrived_unix_ms: at,
        until_unix_ms: at + 1,
        ..accepting(commitment_of(1), &devices)
    };
    let found = ledger.accept_session(&other, &named).unwrap().1;
    let codes: Vec<HistoryCode> = found.into_iter().map(|finding| finding.code).collect();
    let expected: &[HistoryCode] = if steps == 2 { &[HistoryCode::UuidInTwoSessions] } else { &[] };
    assert_eq!(codes, expected, "after {steps} steps");
    ledger.settle(&other, &crate::rejected("late")).unwrap();
    ledger.settle(c, &verified()).unwrap();
}

fn killed_at_any_moment_it_has_what_it_said(place: &Place) {
    for lines in [0, 1, 2, 3, 5, 8, 13, 21] {
        let mut child = Child::start(place, "sessions", "");
        let mut said: Vec<String> = (0..lines).map(|_| child.line().expect("a step")).collect();
        child.kill();
        said.extend(std::iter::from_fn(|| child.line()));
        let ledger = place.open();
        for line in &said {
            let (step, c) = line.split_once(' ').expect("step and challenge");
            check_said(&*ledger, step, &c.parse().unwrap());
        }
        // What it did not come to say is there as a whole or not at all.
        for entry in everything(&*ledger) {
            let spent = ledger.record(&entry.challenge).unwrap().unwrap().nonce_spent_on;
            assert_eq!(spent.is_some(), entry.arrived_unix_ms.is_some());
            assert_eq!(spent.is_some(), entry.coin.is_some());
            let devices = ledger.show(&entry.challenge).unwrap().unwrap().1;
            assert_eq!(devices.len(), usize::from(spent.is_some()));
            assert_eq!(entry.outcome.is_some(), entry.verdict_json.is_some());
        }
    }
}

fn check_said(ledger: &dyn Ledger, step: &str, c: &Digest) {
    let (entry, devices) = ledger.show(c).unwrap().expect("what was issued is on record");
    match step {
        "issued" => {}
        "accepted" => {
            assert_eq!(accept(ledger, c, commitment_of(9)), Acceptance::Spent(commitment_of(1)));
            assert_eq!((entry.coin, devices.len()), (Some(coin_of(2)), 1));
        }
        "settled" => assert_eq!(entry.outcome.as_deref(), Some("verified")),
        other => panic!("no step {other:?}"),
    }
}
