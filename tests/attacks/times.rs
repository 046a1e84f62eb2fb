//! Challenges that have expired, are dated in the future, or are re-dated by the
//! miner; clocks that jump during a session.

use super::turned::{Records, Turned};
use super::{Say, challenge, ended_with, within};
use attest::ledger::Filter;
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::circumstances::Circumstances;
use attest::protocol::verdict::Outcome;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// One hour from issue to expiry, ten seconds for the work.
fn limited() -> Challenge {
    challenge(|spec| (spec.max_duration_ms, spec.samples_per_iteration) = (Some(10_000), 20))
}

/// A session whose commitment comes after `change`.
fn session(change: impl FnOnce(&mut Turned)) -> Turned {
    session_of(limited(), change)
}

fn session_of(challenge: Challenge, change: impl FnOnce(&mut Turned)) -> Turned {
    let records = Records::new();
    records.issue(&challenge);
    let say = Say::honestly(&challenge);
    let mut session = Turned::new(&records, &challenge);
    change(&mut session);
    session.send(&say.commitment_line());
    if let Some(coin) = session.coin {
        session.send(&say.openings_line(coin));
    }
    session
}

#[test]
fn expired() {
    let challenge = limited();
    let result = Say::honestly(&challenge).result(None);
    let at = |arrival_unix_s| Circumstances {
        arrival_unix_s: Some(arrival_unix_s),
        ..Circumstances::default()
    };
    let expiry = challenge.expires_at_unix_s();
    assert_eq!(within(&challenge, &result, &at(expiry - 1)), "verified");
    assert_eq!(within(&challenge, &result, &at(expiry)), "expired");
    assert_eq!(within(&challenge, &result, &at(i64::MAX)), "expired");
    // In a session the commitment's arrival counts: here it may take 30 s, and the
    // challenge expires after five.
    let brief = || {
        super::challenge(|spec| {
            (spec.max_duration_ms, spec.samples_per_iteration) = (Some(30_000), 20);
            spec.expires_at = "2026-01-01T00:00:05Z".to_owned();
        })
    };
    let after = |ms| session_of(brief(), |turned| turned.pass(Duration::from_millis(ms))).end();
    ended_with("verified", &after(4_999));
    ended_with("expired", &after(5_000));
    // Setting the calendar back, to a time after the issue, keeps nothing open.
    let back = session_of(brief(), |turned| {
        turned.pass(Duration::from_millis(5_000));
        turned.now.unix_ms -= 4_000;
    });
    ended_with("expired", &back.end());
}

#[test]
fn redated_by_the_miner() {
    // Every date is in c: a token with more time is another challenge, which nobody
    // issued.
    let records = Records::new();
    let challenge = limited();
    records.issue(&challenge);
    let redate = |issued_at: &str, expires_at: &str| {
        let dates = (issued_at.to_owned(), expires_at.to_owned());
        let spec = challenge.spec().clone();
        Challenge::issue(ChallengeSpec { issued_at: dates.0, expires_at: dates.1, ..spec }).unwrap()
    };
    for redated in [
        redate("2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z"),
        redate("2025-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
        redate("2098-01-01T00:00:00Z", "2099-01-01T00:00:00Z"),
    ] {
        let result = Say::honestly(&redated).result(None);
        let by_issuer = |challenge: &Challenge| {
            let issuer = records.issuer(challenge);
            within(challenge, &result, &Circumstances { issuer, ..Circumstances::default() })
        };
        assert_eq!(by_issuer(&redated), "not-issued");
        assert_eq!(by_issuer(&challenge), "challenge-mismatch");
    }
}

#[test]
fn a_calendar_that_jumps_changes_no_duration() {
    // Within the limit by the monotonic clock, whatever the calendar does between issue
    // and expiry.
    let hour_ms = HOUR.as_millis() as u64;
    let unhurried = session(|turned| turned.now.unix_ms += hour_ms - 1);
    ended_with("verified", &unhurried.end());
    let skewed = session(|turned| turned.now.unix_ms -= 2_000);
    ended_with("verified", &skewed.end());
    // Set to before the issue or beyond expiry it shows neither interval nor expiry: that
    // is no fault of the miner's. The challenge is over all the same.
    let back = session(|turned| {
        turned.pass(Duration::from_millis(10_000));
        turned.now.unix_ms -= hour_ms;
    });
    let forward = session(|turned| turned.now.unix_ms += hour_ms);
    for (session, whither) in [(back, "set back"), (forward, "set forward")] {
        let ledger = session.ledger();
        let verdict = session.end().verdict;
        assert_eq!(verdict.outcome, Outcome::CouldNotRun, "{verdict:?}");
        assert!(verdict.detail.unwrap().contains(whither));
        let entry = ledger.list(&Filter::default()).unwrap().pop().expect("a challenge");
        assert_eq!(entry.outcome.as_deref(), Some("rejected"));
        assert_eq!(entry.code.as_deref(), Some("abandoned"));
    }
    // Beyond the limit it is late, whatever the calendar says.
    let late = session(|turned| {
        turned.pass(Duration::from_millis(10_001));
        turned.now.unix_ms -= hour_ms;
    });
    ended_with("late", &late.end());
}

#[test]
fn a_validator_whose_clock_is_behind_is_not_fooled() {
    // Dated in the future by the clock of who verifies: the issuer's record and the
    // measured time are what counts, and both hold.
    let (records, challenge) = (Records::new(), limited());
    records.issue(&challenge);
    let honest = Say::honestly(&challenge).result(None);
    let behind = |elapsed| Circumstances {
        issuer: records.issuer(&challenge),
        arrival_unix_s: Some(challenge.issued_at_unix_s() - 86_400),
        elapsed: Some(elapsed),
        ..Circumstances::default()
    };
    assert_eq!(within(&challenge, &honest, &behind(Duration::from_secs(10))), "verified");
    let late = behind(Duration::from_millis(10_001));
    assert_eq!(within(&challenge, &honest, &late), "late");
}
