//! Many at once: threads, connections, processes; and whoever waits too long.

use crate::child::Child;
use crate::places::{self, Place, on_both};
use crate::{
    ISSUED_MS, accept, accepting, challenge, commitment_of, device, everything, issued, verified,
};
use attest::ledger::{Acceptance, HISTORY_WINDOW, Ledger, LedgerError, Options};
use attest::protocol::digest::Digest;
use attest::protocol::names::Commitment;
use std::sync::{Arc, Barrier};
use std::time::Duration;

on_both![
    of_64_threads_with_one_nonce_one_is_accepted,
    of_64_threads_with_one_offline_result_one_is_verified,
    of_two_processes_one_is_accepted,
    a_nonce_that_many_issue_is_issued_once,
    a_new_ledger_can_be_opened_by_many_at_once,
    asynchronous_code_may_block_on_it_and_drop_it_anywhere,
];

/// 64 threads over four connections answer at the same moment.
fn race(
    place: &Place,
    answer: impl Fn(&dyn Ledger, Commitment) -> Acceptance + Sync,
) -> Commitment {
    let ledgers: Vec<Arc<dyn Ledger>> = (0..4).map(|_| place.open()).collect();
    let start = Barrier::new(64);
    let answers: Vec<(Commitment, Acceptance)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=64)
            .map(|number| {
                let (ledgers, start, answer) = (&ledgers, &start, &answer);
                scope.spawn(move || {
                    start.wait();
                    let mine = commitment_of(number);
                    (mine, answer(&*ledgers[usize::from(number) % 4], mine))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let accepted = |(_, answer): &&(Commitment, Acceptance)| *answer == Acceptance::Accepted;
    let winners: Vec<_> = answers.iter().filter(accepted).collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    let winner = winners[0].0;
    for (mine, answer) in &answers {
        assert!(*mine == winner || *answer == Acceptance::Spent(winner), "{mine}: {answer:?}");
    }
    winner
}

fn of_64_threads_with_one_nonce_one_is_accepted(place: &Place) {
    let ledger = place.open();
    let c = issued(&*ledger);
    let winner = race(place, |ledger, mine| accept(ledger, &c, mine));
    assert_eq!(ledger.record(&c).unwrap().unwrap().nonce_spent_on, Some(winner));
}

fn of_64_threads_with_one_offline_result_one_is_verified(place: &Place) {
    let ledger = place.open();
    let c = issued(&*ledger);
    let winner = race(place, |ledger, mine| {
        let devices = [device(mine.0[0])];
        ledger
            .settle_offline(&c, &mine, ISSUED_MS, &devices, HISTORY_WINDOW, &verified())
            .unwrap()
            .0
    });
    let (entry, devices) = ledger.show(&c).unwrap().unwrap();
    assert_eq!((entry.commitment, entry.outcome.as_deref()), (Some(winner), Some("verified")));
    // The losers have left nothing.
    assert_eq!(devices.len(), 1);
    assert_eq!(devices[0].device.uuid, device(winner.0[0]).uuid);
}

fn of_two_processes_one_is_accepted(place: &Place) {
    let ledger = place.open();
    let challenges: Vec<Digest> = (0..50).map(|_| issued(&*ledger)).collect();
    let mut children = [1, 2].map(|number| Child::start(place, "accept", &number.to_string()));
    for child in &mut children {
        assert_eq!(child.line().as_deref(), Some("ready"));
    }
    for c in &challenges {
        for child in &mut children {
            child.tell(&c.to_string());
        }
    }
    for c in challenges {
        let answers = children.each_mut().map(|child| child.line().expect("an answer"));
        let winner = ledger.record(&c).unwrap().unwrap().nonce_spent_on.expect("it is spent");
        assert!(winner == commitment_of(1) || winner == commitment_of(2));
        for (answer, mine) in answers.into_iter().zip([commitment_of(1), commitment_of(2)]) {
            let expected = match mine == winner {
                true => Acceptance::Accepted,
                false => Acceptance::Spent(winner),
            };
            assert_eq!(answer, format!("{expected:?}"));
        }
    }
}

fn a_nonce_that_many_issue_is_issued_once(place: &Place) {
    let ledger = place.open();
    let first = challenge();
    let issued: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=16)
            .map(|iterations| {
                let (ledger, mut spec) = (&ledger, first.spec().clone());
                spec.num_iterations += iterations;
                let challenge = attest::protocol::challenge::Challenge::issue(spec).unwrap();
                scope.spawn(move || ledger.issue(&challenge, challenge.token(), ISSUED_MS).is_ok())
            })
            .collect();
        threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
    });
    assert_eq!(issued, 1);
    assert_eq!(everything(&*ledger).len(), 1);
}

fn a_new_ledger_can_be_opened_by_many_at_once(place: &Place) {
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| issued(&*place.open()));
        }
    });
    assert_eq!(everything(&*place.open()).len(), 16);
}

fn asynchronous_code_may_block_on_it_and_drop_it_anywhere(place: &Place) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let location = place.location();
        let open = move || attest::ledger::open(&location).unwrap();
        let ledger = tokio::task::spawn_blocking(open).await.unwrap();
        let shared = ledger.clone();
        let c = tokio::task::spawn_blocking(move || issued(&*shared)).await.unwrap();
        let shared = ledger.clone();
        let record = tokio::task::spawn_blocking(move || shared.record(&c)).await.unwrap();
        assert!(record.unwrap().is_some());
        drop(ledger);
    });
}

fn impatient() -> Options {
    Options { patience: Duration::from_millis(200), ..Options::default() }
}

/// While `hold` holds the ledger a step ends with a clear error, and works again
/// afterwards.
fn assert_busy_while(ledger: &dyn Ledger, c: &Digest, release: impl FnOnce()) {
    let error = ledger.accept_session(c, &accepting(commitment_of(1), &[])).unwrap_err();
    assert!(matches!(error, LedgerError::Busy { .. }), "{error:?}");
    assert!(error.to_string().contains("was busy"), "{error}");
    release();
    assert_eq!(accept(ledger, c, commitment_of(1)), Acceptance::Accepted);
}

#[test]
fn whoever_holds_the_file_for_too_long_is_an_error() {
    let place = places::sqlite().unwrap();
    let ledger = place.open_with(impatient());
    let c = issued(&*ledger);
    let other = rusqlite::Connection::open(&place.address).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_busy_while(&*ledger, &c, || other.execute_batch("COMMIT").unwrap());
}

#[test]
fn whoever_holds_the_row_for_too_long_is_an_error() {
    let Some(place) = places::on_server() else { return };
    let ledger = place.open_with(impatient());
    let c = issued(&*ledger);
    let mut other = place.client();
    other.batch_execute("BEGIN; SELECT * FROM attest.nonces FOR UPDATE").unwrap();
    // Reading and other challenges go on.
    assert!(ledger.record(&c).unwrap().is_some());
    issued(&*ledger);
    assert_busy_while(&*ledger, &c, || other.batch_execute("COMMIT").unwrap());
}
