//! Connections to PostgreSQL that end, at any moment and for any reason: a step is on
//! record once, and says so.

use crate::places;
use crate::proxy::{End, Proxy};
use crate::server::{self, Server};
use crate::{
    EXPIRES_MS, accept, accepting, coin_of, commitment_of, device, everything, issued, verified,
};
use attest::ledger::{Acceptance, Ledger, LedgerError, Location, Options, open, open_with};
use attest::protocol::digest::Digest;
use std::sync::Arc;
use std::time::Duration;

/// So patient that a busy machine makes no difference.
fn patient() -> Options {
    Options { patience: Duration::from_secs(120), ..Options::default() }
}

fn accept_session(ledger: &dyn Ledger, c: &Digest) -> Acceptance {
    ledger.accept_session(c, &accepting(commitment_of(1), &[device(3)])).expect("an answer").0
}

fn assert_accepted_once(ledger: &dyn Ledger, c: &Digest) {
    let (entry, devices) = ledger.show(c).unwrap().unwrap();
    assert_eq!((entry.commitment, entry.coin), (Some(commitment_of(1)), Some(coin_of(2))));
    assert_eq!(devices.len(), 1);
    ledger.settle(c, &verified()).unwrap();
}

#[test]
fn a_connection_that_ends_at_any_moment_of_a_step_is_made_anew() {
    let Some(server) = server::shared() else { return };
    let proxy = Proxy::new(server.folder());
    let address = proxy.address(&server.new_database());
    let ledger = open_with(&Location::parse(&address).unwrap(), patient()).unwrap();
    let fatal = ["57P01", "57P02", "57P03", "57P05", "25P03", "08P01"].map(End::Fatal);
    let ends = fatal.into_iter().chain([End::Before, End::After]);
    for end in ends {
        // The last one with its end: "READ COMMITTED" is another message's.
        for text in ["START TRANSACTION", "UPDATE nonces", "INSERT INTO claims", "COMMIT\0"] {
            let c = issued(&*ledger);
            proxy.end_at(text, end);
            assert_eq!(accept_session(&*ledger, &c), Acceptance::Accepted, "{end:?} at {text}");
            assert!(proxy.has_ended(), "{end:?} at {text}");
            assert_accepted_once(&*ledger, &c);
        }
        let before = everything(&*ledger);
        proxy.end_at("FROM challenges", end);
        assert_eq!(everything(&*ledger), before, "{end:?}");
        assert!(proxy.has_ended(), "{end:?}");
    }
}

/// Whom the server does not let in need not try for long.
#[test]
fn a_refusal_is_told_at_once() {
    let Some(server) = server::shared() else { return };
    let address = server.new_database().replace("ledger", "no_such_database");
    let error = open_with(&Location::parse(&address).unwrap(), patient()).err().expect("refused");
    assert!(error.to_string().contains("does not exist"), "{error}");
    // Also in the middle of a session.
    let place = places::on_server().unwrap();
    let ledger = place.open_with(patient());
    let c = issued(&*ledger);
    let database = place.address.rsplit('/').next().unwrap();
    let drop_it = format!("DROP DATABASE {database} WITH (FORCE)");
    server.client().batch_execute(&drop_it).expect("it is dropped");
    let error = ledger.record(&c).unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
}

/// The server's own timeout, set by whoever looks after it.
#[test]
fn a_connection_that_was_idle_for_too_long_is_made_anew() {
    let Some(place) = places::on_server() else { return };
    drop(place.open());
    let mut other = place.client();
    other.batch_execute("SET idle_session_timeout = 0").unwrap();
    let database = place.address.rsplit('/').next().unwrap();
    let set = format!("ALTER DATABASE {database} SET idle_session_timeout = '20ms'");
    other.batch_execute(&set).unwrap();
    let ledger = place.open_with(patient());
    for _ in 0..3 {
        let c = issued(&*ledger);
        let others = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() \
                      AND pid <> pg_backend_pid()";
        while !other.query(others, &[]).unwrap().is_empty() {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(accept_session(&*ledger, &c), Acceptance::Accepted);
        assert_accepted_once(&*ledger, &c);
    }
}

/// A server that crashed is an error for as long as it is away; then the same
/// ledger goes on, with everything that it had.
#[test]
fn a_server_that_comes_back_is_used_again() {
    let Some(server) = Server::own() else { return };
    let address = server.new_database();
    let location = Location::parse(&address).unwrap();
    let impatient = Options { patience: Duration::from_millis(200), ..Options::default() };
    let (ledger, soon_tired) =
        (open_with(&location, patient()).unwrap(), open_with(&location, impatient).unwrap());
    let c = issued(&*ledger);
    assert_eq!(accept(&*ledger, &c, commitment_of(1)), Acceptance::Accepted);
    server.tell("crash");
    let error = soon_tired.accept_session(&c, &accepting(commitment_of(2), &[])).unwrap_err();
    assert_eq!(error.to_string().lines().count(), 2, "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let away = open(&location).err().expect("nobody is there");
    assert!(away.to_string().starts_with("cannot open the ledger postgres://"), "{away}");
    assert!(!format!("{away} {away:?}").contains("hunter2"), "{away:?}");
    // A step that comes meanwhile waits for it.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| accept(&*ledger, &c, commitment_of(2)));
        server.tell("start");
        assert_eq!(waiting.join().unwrap(), Acceptance::Spent(commitment_of(1)));
    });
    ledger.settle(&c, &verified()).unwrap();
}

/// A server that has crashed gives numbers of transactions again: "committed" may be said of
/// another one. So what it says is not believed, be it that all of it began anew or that its
/// processes did.
#[test]
fn what_a_server_said_before_its_crash_it_is_not_asked_for_after() {
    let Some(server) = Server::own() else { return };
    let server = Arc::new(server);
    let proxy = Proxy::new(server.folder());
    let address = proxy.address(&server.new_database());
    let ledger = open_with(&Location::parse(&address).unwrap(), patient()).unwrap();
    for crash in [Server::crash_and_start, Server::lose_a_process] {
        let c = issued(&*ledger);
        let crashed = Arc::clone(&server);
        proxy.end_after("COMMIT\0", move || crash(&crashed));
        let said = ledger.accept_session(&c, &accepting(commitment_of(1), &[device(3)]));
        assert!(matches!(said, Err(LedgerError::Unknown { .. })), "{said:?}");
        assert!(proxy.has_ended());
        // It was committed, as it happens.
        assert_accepted_once(&*ledger, &c);
        // A verdict is recorded again, and is on record once.
        let c = issued(&*ledger);
        assert_eq!(accept_session(&*ledger, &c), Acceptance::Accepted);
        let crashed = Arc::clone(&server);
        proxy.end_after("COMMIT\0", move || crash(&crashed));
        ledger.settle(&c, &verified()).unwrap();
        assert!(proxy.has_ended());
        assert_eq!(ledger.show(&c).unwrap().unwrap().0.outcome.as_deref(), Some("verified"));
    }
}

/// A connection that the server ended between two steps is made anew.
#[test]
fn a_connection_that_ends_between_two_steps_is_no_error() {
    let Some(place) = places::on_server() else { return };
    let ledger = place.open();
    let c = issued(&*ledger);
    let mut other = place.client();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert_eq!(other.query(end, &[]).unwrap().len(), 1);
    assert_eq!(accept(&*ledger, &c, commitment_of(1)), Acceptance::Accepted);
    assert_eq!(ledger.show(&c).unwrap().unwrap().0.expires_unix_ms, EXPIRES_MS);
}
