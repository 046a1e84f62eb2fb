//! Sessions of several rounds between a validator and a miner in one process.

use super::identity;
use super::in_process::session;
use super::pipe::Place;
use super::recording::Recording;
use crate::common::cpu_miner;
use attest::ledger::{
    self, Entry, Filter, Ledger as _, Location, NO_COMMITMENT, Order, SettledAs, Settlement,
};
use attest::mining::issue::Request;
use attest::policy::Policy;
use attest::protocol::verdict::Outcome;
use attest::session::drive::Validator;
use attest::session::message::VerdictOutcome;
use attest::session::miner::End;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::Arc;

/// One small round of each kind that a CPU answers alone, and what a CPU does not show
/// not demanded.
pub const SMALL: &str = r#"
name = "small rounds"
[devices]
cpu_allowed = true
[soundness]
omitted_share = 0.2
escape_probability_max = 1e-3
[[round]]
kind = "fp64"
matrix_dim = 128
num_matrices = 1
num_iterations = 2
[[round]]
kind = "integer"
matrix_dim = 128
num_matrices = 1
num_iterations = 2
[[round]]
kind = "memory"
arena_blocks = 512
half_passes = 2
num_iterations = 2
"#;

/// A validator whose sessions have the rounds of [`SMALL`].
pub fn validator(ledger: &Arc<Recording>) -> Validator {
    validator_by(SMALL, ledger)
}

/// A validator with key 1 whose sessions have the rounds of this policy.
pub fn validator_by(policy: &str, ledger: &Arc<Recording>) -> Validator {
    let mut validator = Validator::new(ledger.clone(), Request::default());
    validator.policy = Some(Policy::from_toml(policy, "policy.toml").expect("a policy"));
    validator.patience.pong = validator.patience.hello;
    validator.identity = Some(Arc::new(identity(1)));
    validator
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rounds_of_an_honest_miner_are_verified() {
    let ledger = Recording::new();
    let validator = Arc::new(validator(&ledger));
    let (ended, end) = session(&validator, &cpu_miner(Some(identity(2)))).await;
    let verdict = &ended.session;
    assert_eq!(verdict.outcome, Outcome::Verified, "{verdict:?}");
    let kinds: Vec<_> = verdict.rounds.iter().map(|round| (round.round, round.kind)).collect();
    assert_eq!(kinds, [(0, "fp64"), (1, "integer"), (2, "memory")]);
    assert!(verdict.not_reached.is_empty());
    assert!(verdict.policy.is_some(), "the session is judged as a whole, too");

    // Each has its own challenge, nonce, coin, receipt and row; the session groups them.
    let filter = Filter { order: Order::OldestFirst, ..Filter::default() };
    let rows = ledger.list(&filter).expect("a list");
    let session_of = |row: &Entry| row.round.map(|round| (round.session, round.number));
    let first = ended.earlier[0].challenge.digest();
    let mut places: Vec<_> = rows.iter().map(session_of).collect();
    places.sort_by_key(|place| place.map(|(_, number)| number));
    assert_eq!(places, [None, Some((first, 1)), Some((first, 2))]);
    assert!(rows.iter().all(|row| row.outcome.as_deref() == Some("verified")));
    let coins: std::collections::BTreeSet<_> =
        rows.iter().map(|row| row.coin.map(|it| *it.as_bytes())).collect();
    assert_eq!(coins.len(), 3);
    let End::Verdict(told) = end else { panic!("{end:?}") };
    assert_eq!((told.outcome, told.earlier.len()), (VerdictOutcome::Verified, 2));
    for (told, round) in told.earlier.iter().zip(&ended.earlier) {
        assert_eq!(told.challenge, round.challenge.digest());
        let receipt = told.receipt.as_ref().expect("a receipt a round");
        let result = round.result.as_ref().expect("a result");
        receipt
            .check(&round.challenge, &result.commitment, result.coin.as_ref())
            .expect("it holds");
    }
    assert_eq!(told.receipt, ended.receipt);
}

/// The ledger of `attest validate` with this policy that was killed after it had said this
/// many lines.
fn killed_after(policy: &str, lines: usize) -> Vec<Entry> {
    let place = Place::new();
    std::fs::write(place.path("policy.toml"), policy).expect("written");
    let mut command = place.attest();
    command.arg("validate").arg("--policy").arg(place.path("policy.toml"));
    command.args(["--", env!("CARGO_BIN_EXE_attest"), "respond", "--executor", "cpu"]);
    let mut child =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let said = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    // What the miner says beside its messages depends on the machine.
    let mut own = said.filter(|line| !line.starts_with("stderr"));
    let seen: Vec<String> = own.by_ref().take(lines).collect();
    assert_eq!(seen.len(), lines, "{seen:?}");
    child.kill().expect("killed");
    child.wait().expect("it is gone");
    let file = place.path("attest/ledger.sqlite");
    let ledger = ledger::open(&Location::File(file)).expect("a ledger that was left behind");
    let filter = Filter { order: Order::OldestFirst, ..Filter::default() };
    let mut rows = ledger.list(&filter).expect("a list");
    rows.sort_by_key(|row| row.round.map_or(0, |round| round.number));
    for row in &rows {
        // What was open can still be settled, and only once; what is spent stays so.
        let rejected = Settlement {
            outcome: SettledAs::Rejected,
            code: Some("abandoned".to_owned()),
            verdict_json: "{}".to_owned(),
            miner: None,
            settled_unix_ms: row.issued_unix_ms,
        };
        let settled = ledger.settle(&row.challenge, &rejected);
        assert_eq!(settled.is_ok(), row.outcome.is_none(), "{row:?}");
        let record = ledger.record(&row.challenge).expect("a record").expect("it was issued");
        let spent_on = row.commitment.unwrap_or(NO_COMMITMENT);
        assert_eq!(record.nonce_spent_on, Some(spent_on));
    }
    rows
}

/// kill -9 between any two steps of any round: rounds that were settled stay so, at most the
/// one under way and the one before it have no verdict, and nothing is accepted twice.
#[test]
fn a_validator_that_is_killed_loses_nothing() {
    let mut most_settled = 0;
    // The miner, then challenge, commitment, coin, result and judgement of three rounds.
    for lines in 1..=16 {
        let rows = killed_after(SMALL, lines);
        let settled = rows.iter().take_while(|row| row.outcome.is_some()).count();
        assert!(rows[settled..].iter().all(|row| row.outcome.is_none()), "after {lines} lines");
        assert!(rows.len() - settled <= 2, "after {lines} lines: {rows:?}");
        for (number, row) in rows.iter().enumerate() {
            assert_eq!(row.round.map_or(0, |round| round.number as usize), number);
            assert!(row.outcome.as_deref().is_none_or(|outcome| outcome == "verified"));
            // A nonce is spent and its coin on record in one step.
            assert_eq!(row.commitment.is_some(), row.coin.is_some(), "after {lines} lines");
            // A round begins when the one before it is complete.
            assert!(number + 1 == rows.len() || row.coin.is_some(), "after {lines} lines");
        }
        most_settled = settled.max(most_settled);
    }
    assert!(most_settled >= 2, "{most_settled}");
}

/// The same with a host's round beside that of the devices, and another round after them.
#[test]
fn a_validator_that_is_killed_beside_loses_nothing() {
    let host = "[[round]]\nkind = \"fp64\"\non = \"host\"\nbeside = true\n\
                matrix_dim = 128\nnum_matrices = 1\nnum_iterations = 2\n[[round]]";
    let policy = SMALL.replacen("[[round]]", host, 1).replace(LAST, "");
    let mut settled_most = 0;
    for lines in 1..=16 {
        let rows = killed_after(&policy, lines);
        let open: Vec<usize> = (0..rows.len()).filter(|&at| rows[at].outcome.is_none()).collect();
        // Those of the last turn, and of the one before it.
        assert!(rows.len() <= 3 && open.len() <= 3, "after {lines} lines: {rows:?}");
        for (number, row) in rows.iter().enumerate() {
            assert_eq!(row.round.map_or(0, |round| round.number as usize), number);
            assert!(row.outcome.as_deref().is_none_or(|outcome| outcome == "verified"));
            assert_eq!(row.commitment.is_some(), row.coin.is_some(), "after {lines} lines");
        }
        // The round after both begins when both are complete.
        let is_begun = rows.len() == 3;
        assert!(!is_begun || rows[..2].iter().all(|row| row.coin.is_some()), "{rows:?}");
        settled_most = settled_most.max(rows.len() - open.len());
    }
    assert!(settled_most >= 2, "{settled_most}");
}

/// The last round of [`SMALL`].
const LAST: &str = "[[round]]
kind = \"memory\"
arena_blocks = 512
half_passes = 2
num_iterations = 2
";
