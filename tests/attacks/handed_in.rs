//! Results of live sessions that are handed in to their issuer, while the session is
//! under way, after it died, and long after its end: nothing is to be had that the
//! session would not have given.

use super::devices::{floor, gpus, policy};
use super::turned::{Records, Turned};
use super::{Say, UUIDS, challenge, ended_with};
use attest::executor::cpu::CpuVerifier;
use attest::judging::{AsIssuer, BeforeIssue, HandedIn, Judged, Terms};
use attest::ledger::{Acceptance, Accepting, HISTORY_WINDOW, LedgerError, SettledAs, Settlement};
use attest::policy::Policy;
use attest::protocol::bound::OmittedShare;
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::circumstances::{CLOCK_SKEW_S, Circumstances};
use attest::protocol::digest::Digest;
use attest::protocol::names::Coin;
use attest::protocol::result::ResultDoc;
use attest::protocol::verdict::{Outcome, Verdict};
use attest::protocol::verify::verify;
use attest::reference::Run;
use std::time::Duration;

const COIN: Coin = Coin::new([9; 32]).unwrap();
const DAY_MS: u64 = 86_400_000;

#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Clock(#[from] BeforeIssue),
}

/// The result and what it answers.
struct Case {
    records: Records,
    challenge: Challenge,
    say: Say,
}

impl Case {
    /// One second for the work of one GPU that has counters of nothing.
    fn new() -> Self {
        let challenge =
            challenge(|spec| (spec.max_duration_ms, spec.gpu_count) = (Some(1000), Some(1)));
        let run = Run::of(&challenge, &UUIDS[..1]);
        let say = Say { evidence: gpus(&UUIDS[..1], &["1"]), ..Say::of(run) };
        let records = Records::new();
        records.issue(&challenge);
        Self { records, challenge, say }
    }

    fn issued_unix_ms(&self) -> u64 {
        1000 * self.challenge.issued_at_unix_s() as u64
    }

    /// A session whose commitment comes after `elapsed`; the result with its coin.
    fn session(&self, policy: Option<Policy>, elapsed: Duration) -> (Turned, ResultDoc) {
        let mut session = Turned::judging(&self.records, &self.challenge, policy);
        session.pass(elapsed);
        session.send(&self.say.commitment_line());
        let result = self.say.result(session.coin);
        (session, result)
    }

    /// Accepts the commitment of a session that names no devices.
    fn accept(&self, result: &ResultDoc, arrived_unix_ms: u64) {
        let accepting = Accepting {
            commitment: result.commitment,
            coin: COIN,
            arrived_unix_ms,
            devices: &[],
            until_unix_ms: arrived_unix_ms,
            window: HISTORY_WINDOW,
        };
        let answer = self.records.ledger.accept_session(&self.challenge.digest(), &accepting);
        assert_eq!(answer.unwrap().0, Acceptance::Accepted);
    }

    /// The record of a session as it would be without what its verdict says about time.
    fn settled(&self, arrived_unix_ms: u64) -> ResultDoc {
        let (c, result) = (self.challenge.digest(), self.say.result(Some(COIN)));
        let ledger = &self.records.ledger;
        self.accept(&result, arrived_unix_ms);
        let settlement = Settlement {
            outcome: SettledAs::Verified,
            code: None,
            verdict_json: "{}".to_owned(),
            miner: None,
            settled_unix_ms: arrived_unix_ms,
        };
        ledger.settle(&c, &settlement).unwrap();
        result
    }

    /// Hands a result in to the issuer, who knows no more than its ledger and the time.
    fn hand_in(
        &self,
        result: &ResultDoc,
        policy: Option<&Policy>,
        now_unix_ms: u64,
    ) -> Result<Judged, Fault> {
        let handed_in = HandedIn {
            challenge: &self.challenge,
            result,
            arrival_unix_s: Some((now_unix_ms / 1000) as i64),
            elapsed: None,
            receipt: None,
        };
        let terms = Terms { policy, ..Terms::default() };
        AsIssuer { ledger: &*self.records.ledger, terms, now_unix_ms }.judge(&handed_in, |with| {
            Ok(verify(&self.challenge, result, with, &CpuVerifier::new()))
        })
    }
}

/// The code; "verified", or "could-not-run".
fn code(verdict: &Verdict) -> &'static str {
    match verdict.outcome {
        Outcome::Verified => "verified",
        Outcome::Rejected => verdict.code.expect("a rejection has a code"),
        Outcome::CouldNotRun => "could-not-run",
    }
}

#[test]
fn what_the_session_said_stands_whenever_its_result_is_handed_in() {
    let slow = floor(&challenge(|_| ())).mul_f64(5.0);
    let live_policy = || Policy { ..policy() };
    for (elapsed, of_session, of_record) in [
        (Duration::from_millis(1000), "rejected-by-policy", "nonce-spent"),
        (slow, "rejected-by-policy", "nonce-spent"),
        (Duration::from_millis(1001), "late", "nonce-spent"),
        (floor(&challenge(|_| ())), "verified", "verified"),
    ] {
        let case = Case::new();
        let (mut session, result) = case.session(Some(live_policy()), elapsed);
        session.send(&case.say.openings_line(session.coin.expect("accepted")));
        ended_with(of_session, &session.end());
        // Long after the challenge expired, where no clock runs.
        let later = case.issued_unix_ms() + DAY_MS;
        for with in [Some(&live_policy()), None] {
            let judged = case.hand_in(&result, with, later).unwrap();
            assert_eq!(code(&judged.verdict), of_record, "{elapsed:?}: {:?}", judged.verdict);
            let said = judged.notes.iter().any(|note| note.contains(of_session));
            assert_eq!(said, of_record == "nonce-spent", "{:?}", judged.notes);
        }
    }
}

#[test]
fn another_policy_judges_the_time_that_the_session_measured() {
    let case = Case::new();
    let elapsed = floor(&case.challenge).mul_f64(1.3);
    // The calendar jumps meanwhile: the record's own times are an hour apart.
    let mut session = Turned::judging(&case.records, &case.challenge, Some(policy()));
    session.pass(elapsed);
    session.now.unix_ms += 3_599_000;
    session.send(&case.say.commitment_line());
    let coin = session.coin.expect("accepted");
    session.send(&case.say.openings_line(coin));
    ended_with("verified", &session.end());
    let result = case.say.result(Some(coin));
    let later = case.issued_unix_ms() + DAY_MS;
    assert_eq!(code(&case.hand_in(&result, Some(&policy()), later).unwrap().verdict), "verified");
    let mut strict = policy();
    strict.time.slack = 1.2;
    let judged = case.hand_in(&result, Some(&strict), later).unwrap().verdict;
    let reasons: Vec<_> = judged.policy.as_ref().unwrap().rejecting().map(|r| r.code).collect();
    assert_eq!(reasons, ["too-slow"], "{judged:?}");
}

#[test]
fn a_session_without_a_verdict_has_none_until_it_is_over() {
    for gave_openings in [false, true] {
        let case = Case::new();
        let (session, mut result) = case.session(None, Duration::from_millis(10));
        if !gave_openings {
            result.coin = None;
        }
        let (entry, _) = case.records.ledger.show(&case.challenge.digest()).unwrap().unwrap();
        let until = entry.claimed_until_unix_ms.expect("it claims its device");
        assert!(until > session.now.unix_ms);
        let skew_ms = 1000 * CLOCK_SKEW_S as u64;
        for (now, expected) in [
            (session.now.unix_ms, "could-not-run"),
            (until + skew_ms, "could-not-run"),
            (until + skew_ms + 1, "session-unsettled"),
        ] {
            let judged = case.hand_in(&result, Some(&policy()), now).unwrap();
            assert_eq!(code(&judged.verdict), expected, "{:?}", judged.verdict);
            assert_eq!(judged.verdict.detail.unwrap().lines().count(), 2);
        }
        // Nothing of this is a verdict of the session, which may still come.
        let (entry, _) = case.records.ledger.show(&case.challenge.digest()).unwrap().unwrap();
        assert_eq!(entry.outcome, None);
    }
}

#[test]
fn a_session_without_devices_that_died_is_over_when_its_challenge_expires() {
    let case = Case::new();
    let result = case.say.result(None);
    let at = case.issued_unix_ms() + 10;
    case.accept(&result, at);
    let expiry = 1000 * case.challenge.expires_at_unix_s() as u64;
    for (now, expected) in [(at, "could-not-run"), (expiry + DAY_MS, "session-unsettled")] {
        assert_eq!(code(&case.hand_in(&result, None, now).unwrap().verdict), expected);
    }
    // Whoever brings another result is told at once.
    let other = Say::of(Run::of(&case.challenge, &UUIDS[1..])).result(None);
    assert_eq!(code(&case.hand_in(&other, None, at).unwrap().verdict), "session-mismatch");
}

#[test]
fn arrival_and_issue_on_record_bound_the_time() {
    let with_allowance = |ms: u64| {
        let mut policy = policy();
        (policy.time.round_trip_allowance_ms, policy.time.startup_allowance_ms) = (0, ms);
        policy
    };
    for (after_ms, allowance_ms, expected) in
        [(1000, 1000, "verified"), (1000, 900, "rejected-by-policy"), (1001, 1000, "late")]
    {
        let case = Case::new();
        let result = case.settled(case.issued_unix_ms() + after_ms);
        let later = case.issued_unix_ms() + DAY_MS;
        let policy = with_allowance(allowance_ms);
        let judged = case.hand_in(&result, Some(&policy), later).unwrap().verdict;
        assert_eq!(code(&judged), expected, "{judged:?}");
    }
}

#[test]
fn an_arrival_before_the_issue_proves_nothing() {
    let skew_ms = 1000 * CLOCK_SKEW_S as u64;
    // By the record of a session.
    for (early_ms, stands) in [(skew_ms, true), (skew_ms + 1000, false)] {
        let case = Case::new();
        let result = case.settled(case.issued_unix_ms() - early_ms);
        let judged = case.hand_in(&result, None, case.issued_unix_ms() + DAY_MS);
        assert_eq!(judged.is_ok(), stands || matches!(judged, Err(Fault::Ledger(_))), "{judged:?}");
        assert_eq!(matches!(judged, Err(Fault::Clock(_))), !stands, "{judged:?}");
    }
    // By the clock of whoever verifies, as the issuer or not; by the challenge's own date or
    // by the record's.
    let case = Case::new();
    let result = case.say.result(None);
    let judged = case.hand_in(&result, None, case.issued_unix_ms() - skew_ms - 1000);
    assert!(matches!(judged, Err(Fault::Clock(_))), "{judged:?}");
    let error = judged.unwrap_err().to_string();
    assert_eq!(error.lines().count(), 2, "{error}");
    let stranger = HandedIn {
        challenge: &case.challenge,
        result: &result,
        arrival_unix_s: Some(case.challenge.issued_at_unix_s() - CLOCK_SKEW_S - 1),
        elapsed: None,
        receipt: None,
    };
    let verified = |with: &Circumstances<'_>| -> Result<_, Fault> {
        Ok(verify(&case.challenge, &result, with, &CpuVerifier::new()))
    };
    let judged = Terms::default().of_stranger(&stranger, verified);
    assert!(matches!(judged, Err(Fault::Clock(_))), "{judged:?}");
    let redated = ChallengeSpec {
        issued_at: "2025-01-01T00:00:00Z".to_owned(),
        validator_nonce: Digest([3; 32]),
        ..case.challenge.spec().clone()
    };
    let redated = Challenge::issue(redated).unwrap();
    let at = case.issued_unix_ms();
    case.records.ledger.issue(&redated, redated.token(), at).unwrap();
    let say = Say::honestly(&redated);
    let case = Case { challenge: redated, say, ..case };
    let judged = case.hand_in(&case.say.result(None), None, at - skew_ms - 1000);
    assert!(matches!(judged, Err(Fault::Clock(_))), "{judged:?}");
}

#[test]
fn an_arrival_before_the_issue_is_no_interval_in_a_verdict() {
    let case = Case::new();
    let result = case.say.result(None);
    let circumstances = Circumstances {
        arrival_unix_s: Some(case.challenge.issued_at_unix_s() - CLOCK_SKEW_S - 1),
        ..Circumstances::default()
    };
    let end = verify(&case.challenge, &result, &circumstances, &CpuVerifier::new());
    let text = Verdict::of(&end, OmittedShare::default()).render_text();
    assert!(text.contains("after 2026-01-01T00:00:00Z (issue)"), "{text}");
    assert!(!text.contains("(arrival)"), "{text}");
    assert!(text.contains("not checked  arrival before the challenge expired"), "{text}");
}

#[test]
fn without_a_policy_the_first_line_says_what_was_not_judged() {
    let case = Case::new();
    let result = case.say.result(None);
    let at = case.issued_unix_ms() + 10;
    let judged = case.hand_in(&result, None, at).unwrap().verdict;
    let first = judged.render_text().lines().next().unwrap().to_owned();
    assert!(first.starts_with("VERIFIED"), "{first}");
    assert!(first.contains("no policy: time and devices were not judged"), "{first}");
    let said = |verdict: &Verdict| {
        verdict.not_checked.iter().any(|what| what.contains("no policy was applied"))
    };
    assert!(said(&judged));
    let case = Case::new();
    let mut lenient = policy();
    lenient.session.live_required = false;
    let judged = case.hand_in(&result, Some(&lenient), at).unwrap().verdict;
    assert!(judged.policy.is_some() && !said(&judged), "{judged:?}");
    assert!(!judged.render_text().contains("no policy"), "{judged:?}");
}
