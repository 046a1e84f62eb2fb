//! Forgetting: challenges go, nonces stay.

use crate::places::{Place, on_both};
use crate::{
    EXPIRES_MS, ISSUED_MS, accept, accepting, challenge, commitment_of, device, everything, issued,
    rejected, verified,
};
use attest::ledger::{
    Acceptance, Accepting, Filter, HISTORY_WINDOW, LedgerError, NO_COMMITMENT, Pruning,
};

on_both![
    what_is_old_is_forgotten_and_its_nonce_stays_spent,
    what_was_never_answered_is_not_accepted_any_more,
    a_dry_run_changes_nothing,
];

/// Long after.
const LATER_MS: u64 = EXPIRES_MS + 90 * 86_400_000;

fn what_is_old_is_forgotten_and_its_nonce_stays_spent(place: &Place) {
    let ledger = place.open();
    let old = challenge();
    let c = old.digest();
    ledger.issue(&old, old.token(), ISSUED_MS).unwrap();
    ledger
        .settle_offline(&c, &commitment_of(1), ISSUED_MS, &[device(1)], HISTORY_WINDOW, &verified())
        .unwrap();
    let disconnected = issued(&*ledger);
    ledger.settle(&disconnected, &rejected("disconnected")).unwrap();
    // Expired as the others did, but settled only now.
    let young = issued(&*ledger);
    let mut late = rejected("late");
    late.settled_unix_ms = LATER_MS;
    ledger.settle(&young, &late).unwrap();
    // Neither settled nor free: its session is live.
    let live = issued(&*ledger);
    let devices = [device(2)];
    let named = Accepting {
        arrived_unix_ms: LATER_MS - 1,
        until_unix_ms: LATER_MS + 1,
        ..accepting(commitment_of(3), &devices)
    };
    assert_eq!(ledger.accept_session(&live, &named).unwrap().0, Acceptance::Accepted);

    let prune = || ledger.prune(LATER_MS - 1, LATER_MS, Pruning::Forget).unwrap().challenges;
    assert_eq!(prune(), 2);
    assert_eq!(prune(), 0);
    let mut left: Vec<_> = everything(&*ledger).iter().map(|entry| entry.challenge).collect();
    left.sort();
    let mut expected = [young, live];
    expected.sort();
    assert_eq!(left, expected);
    assert_eq!(ledger.show(&c).unwrap(), None);
    let named = Filter { device: Some(device(1).uuid), ..Filter::default() };
    assert_eq!(ledger.list(&named).unwrap(), []);

    for ledger in [ledger, place.open()] {
        assert_eq!(accept(&*ledger, &c, commitment_of(1)), Acceptance::Spent(commitment_of(1)));
        assert_eq!(accept(&*ledger, &c, commitment_of(2)), Acceptance::Spent(commitment_of(1)));
        let offline = ledger
            .settle_offline(&c, &commitment_of(2), ISSUED_MS, &[], HISTORY_WINDOW, &verified())
            .unwrap();
        assert_eq!(offline.0, Acceptance::Spent(commitment_of(1)));
        assert_eq!(
            accept(&*ledger, &disconnected, commitment_of(2)),
            Acceptance::Spent(NO_COMMITMENT)
        );
        let record = ledger.record(&c).unwrap().expect("it was issued here");
        assert_eq!((record.nonce_spent_on, record.session), (Some(commitment_of(1)), None));
        let again = ledger.issue(&old, old.token(), LATER_MS);
        assert!(matches!(again, Err(LedgerError::Order { .. })), "{again:?}");
        let step = ledger.settle(&c, &verified());
        assert!(matches!(step, Err(LedgerError::Order { .. })), "{step:?}");
    }
}

fn what_was_never_answered_is_not_accepted_any_more(place: &Place) {
    let ledger = place.open();
    let old = challenge();
    let c = old.digest();
    ledger.issue(&old, old.token(), ISSUED_MS).unwrap();
    assert_eq!(ledger.prune(EXPIRES_MS, LATER_MS, Pruning::Forget).unwrap().challenges, 0);
    assert_eq!(ledger.prune(EXPIRES_MS + 1, LATER_MS, Pruning::Forget).unwrap().challenges, 1);
    assert_eq!(ledger.record(&c).unwrap(), None);
    assert_eq!(accept(&*ledger, &c, commitment_of(1)), Acceptance::NotIssued);
    let offline = ledger
        .settle_offline(&c, &commitment_of(1), ISSUED_MS, &[], HISTORY_WINDOW, &verified())
        .unwrap();
    assert_eq!(offline.0, Acceptance::NotIssued);
    assert!(ledger.issue(&old, old.token(), LATER_MS).is_err());
}

fn a_dry_run_changes_nothing(place: &Place) {
    let ledger = place.open();
    issued(&*ledger);
    let before = everything(&*ledger);
    assert_eq!(ledger.prune(LATER_MS, LATER_MS, Pruning::DryRun).unwrap().challenges, 1);
    assert_eq!(everything(&*ledger), before);
}
