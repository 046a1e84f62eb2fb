//! A validator's memory, in both databases: the same tests on SQLite files and on a
//! real PostgreSQL server.

mod child;
mod contention;
mod history;
mod kill;
mod lost;
mod meetings;
mod opening;
mod places;
mod pooler;
mod proxy;
mod prune;
mod server;
mod steps;

use attest::ledger::{
    Acceptance, Accepting, Filter, HISTORY_WINDOW, Ledger, RoundOf, SettledAs, Settlement, Sighting,
};
use attest::mining::issue::{Request, issue};
use attest::protocol::challenge::Challenge;
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::names::{Coin, Commitment};
use attest::protocol::signature::EncodedKey;

/// When the tests' challenges are issued, ms since 1970.
const ISSUED_MS: u64 = 1_800_000_000_000;
/// When they expire, ms since 1970.
const EXPIRES_MS: u64 = ISSUED_MS + 3_600_000;

/// A challenge with a fresh nonce.
fn challenge() -> Challenge {
    issue(&Request {
        matrix_dim: Some(128),
        issued_at: Some("2027-01-15T08:00:00Z".to_owned()),
        valid_for_s: Some(3600),
        ..Request::default()
    })
    .expect("a valid challenge")
}

/// A later round of the session with first challenge `session`, on record.
fn issued_round(ledger: &dyn Ledger, session: Digest, number: u32) -> Digest {
    let (challenge, round) = (challenge(), Some(RoundOf { session, number }));
    let at_ms = ISSUED_MS + u64::from(number);
    ledger.issue_round(&challenge, challenge.token(), at_ms, round).expect("issued");
    challenge.digest()
}

/// A challenge on record, and its digest.
fn issued(ledger: &dyn Ledger) -> Digest {
    let challenge = challenge();
    ledger.issue(&challenge, challenge.token(), ISSUED_MS).expect("issued");
    challenge.digest()
}

/// 32 bytes that are all `byte`.
fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

fn commitment_of(byte: u8) -> Commitment {
    Commitment([byte; 32])
}

fn coin_of(byte: u8) -> Coin {
    Coin::new([byte; 32]).unwrap()
}

fn key_of(byte: u8) -> EncodedKey {
    EncodedKey([byte; 32])
}

fn verified() -> Settlement {
    Settlement {
        outcome: SettledAs::Verified,
        code: None,
        verdict_json: r#"{"outcome":"verified"}"#.to_owned(),
        miner: None,
        settled_unix_ms: ISSUED_MS + 9,
    }
}

fn rejected(code: &str) -> Settlement {
    Settlement { outcome: SettledAs::Rejected, code: Some(code.to_owned()), ..verified() }
}

/// A device of which only the UUID is known.
fn device(byte: u8) -> Sighting {
    Sighting {
        uuid: Uuid([byte; 16]),
        serial: None,
        pci: None,
        miner: None,
        host: None,
        die: None,
        die_serial: None,
    }
}

/// Every challenge on record.
fn everything(ledger: &dyn Ledger) -> Vec<attest::ledger::Entry> {
    ledger.list(&Filter { limit: Filter::LIMIT_MAX, ..Filter::default() }).expect("a list")
}

/// A live session's `commitment`, with the coin 2, that names `devices`.
fn accepting(commitment: Commitment, devices: &[Sighting]) -> Accepting<'_> {
    Accepting {
        commitment,
        coin: coin_of(2),
        arrived_unix_ms: ISSUED_MS + 5,
        devices,
        until_unix_ms: EXPIRES_MS,
        window: HISTORY_WINDOW,
    }
}

/// Accepts `commitment` for `c`, without devices.
fn accept(ledger: &dyn Ledger, c: &Digest, commitment: Commitment) -> Acceptance {
    let (answer, found) = ledger.accept_session(c, &accepting(commitment, &[])).expect("an answer");
    assert_eq!(found, []);
    answer
}
