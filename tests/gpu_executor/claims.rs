//! False claims in live sessions: one card as two is late, and a card is no model that has
//! more memory, or memory that is faster.

use super::liars::{Claiming, hold, open, rejecting};
use super::{gpus, say, turn};
use attest::appraisal::models::{self, Model};
use attest::executor::Executor as _;
use attest::executor::gpu::{GpuDevice, GpuExecutor};
use attest::mining::issue::Request;
use attest::mining::kind::ArenaSize;
use attest::policy::Policy;
use attest::protocol::verdict::Outcome;
use attest::session::validator::Ended;

/// Each device whose model is in the table, opened.
fn known() -> impl Iterator<Item = (GpuDevice, GpuExecutor, &'static Model)> {
    gpus().into_iter().filter_map(|device| {
        let executor = open(&device);
        let model = models::find(&executor.facts().model);
        if model.is_none() {
            say(&format!("SKIPPED, {} is not in the table of models", device.label()));
        }
        model.map(|model| (device, executor, model))
    })
}

/// The session of these cards as a line on the terminal.
fn told(what: &str, ended: &Ended) {
    let session = &ended.session;
    let rounds = session.rounds.iter().map(|round| {
        let verdict = &round.verdict;
        let reasons = verdict.policy.iter().flat_map(|judgement| judgement.rejecting());
        let reasons: Vec<_> = reasons.map(|reason| reason.code).collect();
        format!("{} {:?} {:?} {reasons:?}", round.kind, verdict.outcome, verdict.code)
    });
    let rounds: Vec<_> = rounds.collect();
    let detail = &session.detail;
    let took = ended.legs.commitment;
    say(&format!(
        "{what}: {:?} {:?} {detail:?}, {rounds:?}, {took:?}",
        session.outcome, session.code
    ));
}

#[test]
fn two_lanes_on_one_card_are_late() {
    let _turn = turn();
    for (device, executor, model) in known().take(1) {
        drop(executor);
        let lanes = (0..2).map(|lane| Claiming::another(open(&device), model, lane)).collect();
        let request = Request {
            challenge_type: Some("matrix_multiplication_pow".to_owned()),
            // What comes late is to be judged, not given up.
            max_duration_ms: Some(60_000),
            ..Request::default()
        };
        let ended = hold(Policy::default(), request, lanes);
        told(&format!("one {} as two", model.name), &ended);
        assert_eq!(ended.session.outcome, Outcome::Rejected, "{:?}", ended.session);
        let codes = rejecting(&ended);
        assert!(codes.contains(&"too-slow"), "{codes:?}");
    }
}

/// The table's model with the least memory of those that have more than `own`, and 1.4
/// times its bandwidth.
fn roomier(own: &Model) -> Option<&'static Model> {
    let larger = models::all().iter().filter(|it| 10 * it.memory_gb > 11 * own.memory_gb);
    let faster = larger.filter(|it| 10 * it.bandwidth_gb_s > 14 * own.bandwidth_gb_s);
    faster.min_by_key(|it| it.memory_gb)
}

#[test]
fn a_card_has_neither_the_memory_nor_the_bandwidth_of_a_larger_model() {
    let _turn = turn();
    for (device, executor, own) in known().take(1) {
        let Some(larger) = roomier(own) else {
            say(&format!("SKIPPED, no model has more memory than {}", device.label()));
            continue;
        };
        let card = Claiming::another(executor, larger, 0);
        // 90 % of the memory that it says it has.
        let round = Policy::from_toml("[[round]]\nkind = \"memory\"\n", "memory.toml");
        let whole = hold(round.expect("a policy"), Request::default(), vec![card.clone()]);
        told(&format!("{} as {}, its memory", own.name, larger.name), &whole);
        assert_ne!(whole.session.outcome, Outcome::Verified, "{:?}", whole.session);

        // As much as it has, and the rate that the other's memory is read at: less than
        // what would be called a demand that an honest card does not meet.
        let mut policy = Policy::default();
        policy.memory.memory_gb_s_min = 0.77 * f64::from(larger.bandwidth_gb_s);
        let request = Request {
            challenge_type: Some("memory_residency_pow".to_owned()),
            arena_size: Some(ArenaSize::Bytes(850_000_000 * u64::from(own.memory_gb))),
            max_duration_ms: Some(60_000),
            ..Request::default()
        };
        let slow = hold(policy, request, vec![card]);
        told(&format!("{} as {}, its bandwidth", own.name, larger.name), &slow);
        assert_eq!(slow.session.outcome, Outcome::Rejected, "{:?}", slow.session);
        let codes = rejecting(&slow);
        assert!(codes.contains(&"memory-rate-low"), "{codes:?}");
    }
}
