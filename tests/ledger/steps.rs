//! The steps of a challenge, in order and out of order.

use crate::places::{Place, on_both};
use crate::{
    EXPIRES_MS, ISSUED_MS, accept, accepting, challenge, coin_of, commitment_of, device, digest,
    everything, issued, issued_round, key_of, rejected, verified,
};
use attest::ledger::{
    Acceptance, Accepting, Ending, Filter, HISTORY_WINDOW, HistoryCode, LedgerError, Meeting,
    NO_COMMITMENT, Order, Peer, RoundOf, SessionEnd, SettledAs, Settlement, Standing,
};
use attest::protocol::challenge::Challenge;
use attest::protocol::circumstances::{IssuerRecord, SessionRecord};

on_both![
    a_live_session_is_recorded_step_by_step,
    a_session_is_accepted_claimed_and_given_its_coin_at_once,
    a_result_without_a_session_is_settled_in_one_step,
    what_is_on_record_survives_reopening,
    a_challenge_is_issued_once_and_so_is_its_nonce,
    a_nonce_is_spent_once,
    a_step_without_its_earlier_one_fails,
    a_coin_is_recorded_once,
    the_first_settlement_stays,
    a_rejection_without_a_commitment_ends_the_challenge,
    a_rejected_session_is_over,
    lists_are_filtered_ordered_and_paged,
    rounds_are_found_by_their_session,
    a_verified_round_of_a_rejected_session_is_not_listed_as_verified,
];

fn a_live_session_is_recorded_step_by_step(place: &Place) {
    let ledger = place.open();
    let challenge = challenge();
    let c = challenge.digest();
    assert_eq!(ledger.record(&c).unwrap(), None);
    ledger.issue(&challenge, challenge.token(), ISSUED_MS).unwrap();
    assert_eq!(ledger.record(&c).unwrap(), Some(IssuerRecord::default()));
    let accepted = ledger.accept_session(&c, &accepting(commitment_of(1), &[device(3)])).unwrap();
    assert_eq!(accepted, (Acceptance::Accepted, vec![]));
    let session = SessionRecord { commitment: commitment_of(1), coin: coin_of(2) };
    let live = IssuerRecord { nonce_spent_on: Some(commitment_of(1)), session: Some(session) };
    assert_eq!(ledger.record(&c).unwrap(), Some(live));
    ledger.settle(&c, &Settlement { miner: Some(key_of(4)), ..verified() }).unwrap();

    let (entry, devices) = ledger.show(&c).unwrap().expect("it is on record");
    assert_eq!(entry.challenge, c);
    assert_eq!(entry.nonce, challenge.spec().validator_nonce);
    assert_eq!(Challenge::from_token(&entry.token).unwrap().digest(), c);
    assert_eq!((entry.issued_unix_ms, entry.expires_unix_ms), (ISSUED_MS, EXPIRES_MS));
    assert_eq!((entry.commitment, entry.coin), (Some(commitment_of(1)), Some(coin_of(2))));
    assert_eq!(entry.arrived_unix_ms, Some(ISSUED_MS + 5));
    assert_eq!((entry.outcome.as_deref(), entry.code), (Some("verified"), None));
    assert_eq!(entry.verdict_json, Some(verified().verdict_json));
    assert_eq!((entry.miner, entry.settled_unix_ms), (Some(key_of(4)), Some(ISSUED_MS + 9)));
    assert_eq!(devices.len(), 1);
    assert_eq!((&devices[0].device, devices[0].seen_unix_ms), (&device(3), ISSUED_MS + 5));
}

fn a_session_is_accepted_claimed_and_given_its_coin_at_once(place: &Place) {
    let ledger = place.open();
    let c = issued(&*ledger);
    let devices = [device(3)];
    let accepting = accepting(commitment_of(1), &devices);
    for wrong in [
        Accepting { commitment: NO_COMMITMENT, ..accepting },
        Accepting { devices: &vec![device(3); 65], ..accepting },
    ] {
        let error = ledger.accept_session(&c, &wrong).unwrap_err();
        assert!(matches!(error, LedgerError::Invalid { .. }), "{error}");
    }
    assert_eq!(ledger.record(&c).unwrap(), Some(IssuerRecord::default()));
    assert_eq!(ledger.accept_session(&c, &accepting).unwrap(), (Acceptance::Accepted, vec![]));
    let session = SessionRecord { commitment: commitment_of(1), coin: coin_of(2) };
    let live = IssuerRecord { nonce_spent_on: Some(commitment_of(1)), session: Some(session) };
    assert_eq!(ledger.record(&c).unwrap(), Some(live));
    let (entry, seen) = ledger.show(&c).unwrap().unwrap();
    assert_eq!(entry.arrived_unix_ms, Some(ISSUED_MS + 5));
    assert_eq!((&seen[0].device, seen[0].seen_unix_ms), (&device(3), ISSUED_MS + 5));

    // A second one changes nothing, nor does one of a challenge that was not issued.
    let again = Accepting { commitment: commitment_of(4), coin: coin_of(5), ..accepting };
    let spent = (Acceptance::Spent(commitment_of(1)), vec![]);
    assert_eq!(ledger.accept_session(&c, &again).unwrap(), spent);
    assert_eq!(ledger.show(&c).unwrap(), Some((entry, seen)));
    let unknown = ledger.accept_session(&digest(9), &accepting).unwrap();
    assert_eq!(unknown, (Acceptance::NotIssued, vec![]));
    let named = Filter { device: Some(device(3).uuid), ..Filter::default() };
    assert_eq!(ledger.list(&named).unwrap().len(), 1);

    // Another session is told of the claim, until the first is settled.
    let found = |commitment| {
        let other = issued(&*ledger);
        let accepting = Accepting { commitment: commitment_of(commitment), ..accepting };
        let (answer, found) = ledger.accept_session(&other, &accepting).unwrap();
        assert_eq!(answer, Acceptance::Accepted);
        ledger.settle(&other, &rejected("late")).unwrap();
        found.into_iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert_eq!(found(6), [HistoryCode::UuidInTwoSessions]);
    ledger.settle(&c, &rejected("late")).unwrap();
    assert_eq!(found(7), []);
}

fn a_result_without_a_session_is_settled_in_one_step(place: &Place) {
    let ledger = place.open();
    let c = issued(&*ledger);
    let settle = |commitment| {
        ledger
            .settle_offline(
                &c,
                &commitment,
                ISSUED_MS + 1,
                &[device(1)],
                HISTORY_WINDOW,
                &verified(),
            )
            .unwrap()
    };
    assert_eq!(settle(commitment_of(1)), (Acceptance::Accepted, vec![]));
    assert_eq!(settle(commitment_of(1)), (Acceptance::Spent(commitment_of(1)), vec![]));
    assert_eq!(settle(commitment_of(2)), (Acceptance::Spent(commitment_of(1)), vec![]));
    let (entry, devices) = ledger.show(&c).unwrap().unwrap();
    assert_eq!((entry.outcome.as_deref(), entry.coin), (Some("verified"), None));
    assert_eq!(devices.len(), 1);
    let other = digest(9);
    let unknown = ledger
        .settle_offline(&other, &commitment_of(1), ISSUED_MS, &[], HISTORY_WINDOW, &verified())
        .unwrap();
    assert_eq!(unknown, (Acceptance::NotIssued, vec![]));
    let wrong = ledger.settle_offline(
        &c,
        &commitment_of(1),
        ISSUED_MS,
        &[],
        HISTORY_WINDOW,
        &rejected("late"),
    );
    assert!(matches!(wrong, Err(LedgerError::Invalid { .. })));
}

fn what_is_on_record_survives_reopening(place: &Place) {
    let ledger = place.open();
    let c = issued(&*ledger);
    accept(&*ledger, &c, commitment_of(1));
    let before = everything(&*ledger);
    // Open twice at once, then only anew.
    assert_eq!(everything(&*place.open()), before);
    drop(ledger);
    assert_eq!(everything(&*place.open()), before);
}

fn a_challenge_is_issued_once_and_so_is_its_nonce(place: &Place) {
    let ledger = place.open();
    let challenge = challenge();
    ledger.issue(&challenge, challenge.token(), ISSUED_MS).unwrap();
    let again = ledger.issue(&challenge, challenge.token(), ISSUED_MS).unwrap_err();
    assert!(again.to_string().contains("it was issued before"), "{again}");
    let mut spec = challenge.spec().clone();
    spec.num_iterations += 1;
    let other = Challenge::issue(spec).unwrap();
    let again = ledger.issue(&other, other.token(), ISSUED_MS).unwrap_err();
    let names_the_first = again.to_string().contains(&challenge.digest().to_string());
    assert!(names_the_first && matches!(again, LedgerError::Order { .. }), "{again}");
    assert_eq!(ledger.record(&other.digest()).unwrap(), None);
    assert_eq!(everything(&*ledger).len(), 1);
}

fn a_nonce_is_spent_once(place: &Place) {
    let ledger = place.open();
    let c = issued(&*ledger);
    assert_eq!(accept(&*ledger, &c, commitment_of(1)), Acceptance::Accepted);
    assert_eq!(accept(&*ledger, &c, commitment_of(1)), Acceptance::Spent(commitment_of(1)));
    assert_eq!(accept(&*ledger, &c, commitment_of(2)), Acceptance::Spent(commitment_of(1)));
    assert_eq!(accept(&*ledger, &digest(7), commitment_of(2)), Acceptance::NotIssued);
    let zero = ledger.accept_session(&issued(&*ledger), &accepting(NO_COMMITMENT, &[]));
    assert!(matches!(zero, Err(LedgerError::Invalid { .. })), "{zero:?}");
}

#[track_caller]
fn assert_out_of_order<T: std::fmt::Debug>(answer: Result<T, LedgerError>, cause: &str) {
    let error = answer.unwrap_err();
    let is_order = matches!(error, LedgerError::Order { .. });
    assert!(is_order && error.to_string().contains(cause), "{error}");
}

fn a_step_without_its_earlier_one_fails(place: &Place) {
    let ledger = place.open();
    let unknown = digest(5);
    assert_out_of_order(ledger.settle(&unknown, &verified()), "not issued");
    let named = [device(1)];
    let accepting = accepting(commitment_of(1), &named);
    let answer = ledger.accept_session(&unknown, &accepting).unwrap();
    assert_eq!(answer, (Acceptance::NotIssued, vec![]));
    let c = issued(&*ledger);
    assert_out_of_order(ledger.settle(&c, &verified()), "no commitment");
    let unchanged = ledger.show(&c).unwrap().unwrap().0;
    assert_eq!((unchanged.commitment, unchanged.coin, unchanged.outcome), (None, None, None));
    accept(&*ledger, &c, commitment_of(1));
    ledger.settle(&c, &verified()).unwrap();
    // What is settled gets neither another coin nor devices.
    let settled = ledger.show(&c).unwrap();
    let again = Accepting { coin: coin_of(3), ..accepting };
    let answer = ledger.accept_session(&c, &again).unwrap();
    assert_eq!(answer, (Acceptance::Spent(commitment_of(1)), vec![]));
    assert_eq!(ledger.show(&c).unwrap(), settled);
}

fn a_coin_is_recorded_once(place: &Place) {
    let ledger = place.open();
    let c = issued(&*ledger);
    let accept = |coin| {
        ledger.accept_session(
            &c,
            &Accepting { coin: coin_of(coin), ..accepting(commitment_of(1), &[]) },
        )
    };
    assert_eq!(accept(2).unwrap().0, Acceptance::Accepted);
    assert_eq!(accept(2).unwrap().0, Acceptance::Spent(commitment_of(1)));
    assert_eq!(accept(3).unwrap().0, Acceptance::Spent(commitment_of(1)));
    assert_eq!(ledger.show(&c).unwrap().unwrap().0.coin, Some(coin_of(2)));
}

fn the_first_settlement_stays(place: &Place) {
    let ledger = place.open();
    let c = issued(&*ledger);
    accept(&*ledger, &c, commitment_of(1));
    ledger.settle(&c, &rejected("late")).unwrap();
    ledger.settle(&c, &rejected("late")).unwrap();
    assert_out_of_order(ledger.settle(&c, &rejected("too-fast")), "settled as rejected");
    assert_out_of_order(ledger.settle(&c, &verified()), "settled as rejected");
    let entry = ledger.show(&c).unwrap().unwrap().0;
    assert_eq!((entry.outcome.as_deref(), entry.code.as_deref()), (Some("rejected"), Some("late")));
}

fn a_rejection_without_a_commitment_ends_the_challenge(place: &Place) {
    let ledger = place.open();
    let c = issued(&*ledger);
    ledger.settle(&c, &rejected("disconnected")).unwrap();
    assert_eq!(accept(&*ledger, &c, commitment_of(1)), Acceptance::Spent(NO_COMMITMENT));
    let record = ledger.record(&c).unwrap().unwrap();
    assert_eq!(record.nonce_spent_on, Some(NO_COMMITMENT));
    assert_eq!(record.session, None);
}

/// Its result is no longer one of a session, whatever it has for a coin.
fn a_rejected_session_is_over(place: &Place) {
    let ledger = place.open();
    for (settlement, is_over) in [(rejected("late"), true), (verified(), false)] {
        let c = issued(&*ledger);
        accept(&*ledger, &c, commitment_of(1));
        ledger.settle(&c, &settlement).unwrap();
        let record = ledger.record(&c).unwrap().unwrap();
        assert_eq!(
            (record.nonce_spent_on, record.session.is_none()),
            (Some(commitment_of(1)), is_over)
        );
    }
}

fn lists_are_filtered_ordered_and_paged(place: &Place) {
    let ledger = place.open();
    let issue_at = |issued_ms| {
        let challenge = challenge();
        ledger.issue(&challenge, challenge.token(), issued_ms).unwrap();
        challenge.digest()
    };
    let [a, b, d] = [1, 2, 3].map(|step| issue_at(ISSUED_MS + step));
    let settle_b = Settlement { miner: Some(key_of(8)), ..verified() };
    ledger
        .settle_offline(&b, &commitment_of(1), ISSUED_MS, &[device(4)], HISTORY_WINDOW, &settle_b)
        .unwrap();
    ledger.settle(&d, &rejected("late")).unwrap();
    let wanted = |filter: Filter| -> Vec<_> {
        ledger.list(&filter).unwrap().into_iter().map(|entry| entry.challenge).collect()
    };
    let all = Filter::default();
    assert_eq!(wanted(all.clone()), [d, b, a]);
    assert_eq!(wanted(Filter { order: Order::OldestFirst, ..all.clone() }), [a, b, d]);
    for (standing, expected) in
        [(Standing::Unsettled, a), (Standing::Verified, b), (Standing::Rejected, d)]
    {
        assert_eq!(wanted(Filter { standing: Some(standing), ..all.clone() }), [expected]);
    }
    assert_eq!(wanted(Filter { miner: Some(key_of(8)), ..all.clone() }), [b]);
    assert_eq!(wanted(Filter { device: Some(device(4).uuid), ..all.clone() }), [b]);
    assert_eq!(wanted(Filter { device: Some(device(5).uuid), ..all.clone() }), []);
    assert_eq!(wanted(Filter { limit: 0, ..all.clone() }), []);
    for (order, expected) in [(Order::OldestFirst, [a, b, d]), (Order::NewestFirst, [d, b, a])] {
        let mut after = None;
        for expected in expected {
            let page = Filter { order, after, limit: 1, ..all.clone() };
            let page = ledger.list(&page).unwrap();
            assert_eq!(page[0].challenge, expected);
            after = Some((page[0].issued_unix_ms, page[0].challenge));
        }
        assert_eq!(wanted(Filter { order, after, ..all.clone() }), []);
    }
}

fn rounds_are_found_by_their_session(place: &Place) {
    let ledger = place.open();
    let (first, other) = (issued(&*ledger), issued(&*ledger));
    let [second, third] = [1, 2].map(|number| issued_round(&*ledger, first, number));
    let in_session = |session| Filter { session: Some(session), ..Filter::default() };
    let listed = |session| {
        let entries = ledger.list(&in_session(session)).unwrap().into_iter();
        entries.map(|entry| (entry.challenge, entry.round)).collect::<Vec<_>>()
    };
    let round = |number| Some(RoundOf { session: first, number });
    assert_eq!(listed(first), [(third, round(2)), (second, round(1)), (first, None)]);
    assert_eq!(listed(other), [(other, None)]);
    assert_eq!(ledger.show(&second).unwrap().unwrap().0.round, round(1));
    // Each has a nonce, a coin and a verdict of its own.
    accept(&*ledger, &second, commitment_of(1));
    ledger.settle(&second, &verified()).unwrap();
    ledger.settle(&third, &rejected("late")).unwrap();
    assert_eq!(ledger.record(&first).unwrap(), Some(IssuerRecord::default()));
    assert_eq!(ledger.show(&first).unwrap().unwrap().0.outcome, None);
    // The first round has no mark, and is no round of itself.
    let challenge = challenge();
    let own = challenge.digest();
    for wrong in [RoundOf { session: first, number: 0 }, RoundOf { session: own, number: 1 }] {
        let answer = ledger.issue_round(&challenge, challenge.token(), ISSUED_MS, Some(wrong));
        assert!(matches!(answer, Err(LedgerError::Invalid { .. })), "{wrong:?}");
    }
}

fn a_verified_round_of_a_rejected_session_is_not_listed_as_verified(place: &Place) {
    let ledger = place.open();
    let first = issued(&*ledger);
    let second = issued_round(&*ledger, first, 1);
    let alone = issued(&*ledger);
    for c in [&first, &second, &alone] {
        accept(&*ledger, c, commitment_of(1));
        ledger.settle(c, &verified()).unwrap();
    }
    let listed = |standing| {
        let filter = Filter { standing: Some(standing), ..Filter::default() };
        let entries = ledger.list(&filter).unwrap().into_iter();
        let mut listed: Vec<_> = entries.map(|entry| entry.challenge).collect();
        listed.sort();
        listed
    };
    let sorted = |mut all: Vec<_>| {
        all.sort();
        all
    };
    assert_eq!(listed(Standing::Verified), sorted(vec![first, second, alone]));
    let code = Some("rejected-by-policy".to_owned());
    let session = Some(SessionEnd { outcome: SettledAs::Rejected, code });
    let ending = Ending::Challenged(first);
    let met = crate::meetings::dodged(Peer::Unknown, "");
    ledger.meet(&Meeting { ending, session: session.clone(), ..met }).unwrap();
    assert_eq!(listed(Standing::Verified), [alone]);
    assert_eq!(listed(Standing::Rejected), sorted(vec![first, second]));
    for c in [&first, &second] {
        let (entry, _) = ledger.show(c).unwrap().unwrap();
        assert_eq!((entry.outcome.as_deref(), entry.session), (Some("verified"), session.clone()));
    }
    assert_eq!(ledger.show(&alone).unwrap().unwrap().0.session, None);
}
