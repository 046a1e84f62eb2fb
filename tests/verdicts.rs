//! Verdicts say what was shown and never more.

use crate::common::{cpu_evidence, evidence_of_models, spec, verify_full};
use attest::appraisal::floors;
use attest::protocol::bound::{Bound, Grinding, OmittedShare};
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::circumstances::FloorTable;
use attest::protocol::circumstances::{Circumstances, Issuer, IssuerRecord, SessionRecord};
use attest::protocol::digest::Uuid;
use attest::protocol::evidence::Evidence;
use attest::protocol::names::Coin;
use attest::protocol::receipt::Receipt;
use attest::protocol::result::ResultDoc;
use attest::protocol::signature::{PublicKey, receipt_message};
use attest::protocol::verdict::{Grade, Outcome, Verdict, Work};
use attest::protocol::verified::Extent;
use attest::protocol::verify::{Failure, RecomputeError, verify};
use attest::protocol::work::Unit;
use attest::reference::{Oracle, Run};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::json;
use std::time::Duration;

const UUIDS: [Uuid; 2] = [Uuid([1; 16]), Uuid([2; 16])];

fn run(change: impl FnOnce(&mut ChallengeSpec), coin: Option<Coin>) -> (Challenge, ResultDoc) {
    let mut spec = spec();
    change(&mut spec);
    let challenge = Challenge::issue(spec).unwrap();
    let result = Run::of(&challenge, &UUIDS).result(cpu_evidence(&UUIDS), coin, None);
    (challenge, result)
}

fn verdict(
    (challenge, result): &(Challenge, ResultDoc),
    circumstances: &Circumstances<'_>,
) -> Verdict {
    let end = verify(challenge, result, circumstances, &Oracle);
    Verdict::of(&end, OmittedShare::default())
}

fn graded(verdict: &Verdict, subject: &str) -> Option<Grade> {
    verdict.facts.iter().find(|fact| fact.subject == subject).map(|fact| fact.grade)
}

fn session(result: &ResultDoc, coin: Coin) -> Circumstances<'static> {
    let session = Some(SessionRecord { commitment: result.commitment, coin });
    let record = IssuerRecord { nonce_spent_on: Some(result.commitment), session };
    Circumstances { issuer: Issuer::Record(record), ..Default::default() }
}

#[test]
fn few_samples_without_a_coin_prove_nothing() {
    let verdict = verdict(&run(|_| {}, None), &Circumstances::default());
    assert_eq!((verdict.outcome, verdict.work), (Outcome::Verified, Work::NotProven));
    assert_eq!(graded(&verdict, "work"), Some(Grade::Claimed));
    assert!(verdict.facts.iter().all(|fact| fact.grade == Grade::Claimed));
    assert!(verdict.render_text().starts_with("VERIFIED, BUT WORK NOT PROVEN"));
    assert!(!verdict.render_text().contains("proven "), "{}", verdict.render_text());
    assert_eq!(verdict.not_checked.len(), 3);
}

#[test]
fn the_bound_counts_draws_where_every_iteration_is_sampled_and_iterations_otherwise() {
    let of = |samples, rate| {
        let change = |spec: &mut ChallengeSpec| {
            (spec.num_iterations, spec.samples_per_iteration) = (4, samples);
            spec.verification_sample_rate = rate;
        };
        verdict(&run(change, None), &Circumstances::default()).bound.unwrap()
    };
    let Bound::Sampled { draws, log10_escape, .. } = of(66, 1.0) else { panic!("samples only") };
    // 2 lanes × 4 iterations × 66 = 528 draws: 2^80 · 0.9^528 is a little below 1.
    assert_eq!(draws, 528);
    let expected = 80.0 * 2f64.log10() + 528.0 * 0.9f64.log10();
    assert!(expected < 0.0 && (log10_escape - expected).abs() < 1e-9);
    let Bound::Sampled { draws, log10_escape, .. } = of(66, 0.75) else { panic!("samples only") };
    assert_eq!((draws, log10_escape), (6, 0.0));
}

#[test]
fn enough_samples_prove_the_work_and_only_the_work() {
    let verdict = verdict(
        &run(|spec| spec.samples_per_iteration = 200, None),
        &Circumstances {
            arrival_unix_s: Some(1_767_225_700), // 2026-01-01T00:01:40Z
            ..Default::default()
        },
    );
    assert_eq!((verdict.outcome, verdict.work), (Outcome::Verified, Work::Proven));
    assert_eq!(graded(&verdict, "work"), Some(Grade::Proven));
    assert_eq!(graded(&verdict, "lane"), Some(Grade::Claimed));
    assert_eq!(graded(&verdict, "elapsed"), None);
    let cost = verdict.cost.as_ref().unwrap();
    // 2 lanes · 2 iterations · 2 · 128³.
    assert_eq!((&*cost.amount, cost.unit), ("16777216", Unit::Flop));
    let text = verdict.render_text();
    assert!(text.contains("less than 10 % left out") && text.contains("2^80"), "{text}");
    assert!(text.contains("2026-01-01T00:00:00Z (issue) and 2026-01-01T00:01:40Z"), "{text}");
}

#[test]
fn a_recorded_session_takes_the_grinding_out_of_the_bound() {
    let coin = Coin::new([7; 32]).unwrap();
    let run = run(|_| {}, Some(coin));
    let live = verdict(&run, &session(&run.1, coin));
    assert_eq!(live.work, Work::Proven);
    assert_eq!(graded(&live, "session"), Some(Grade::Measured));
    let Some(Bound::Sampled { grinding, draws, log10_escape, .. }) = live.bound else {
        panic!("samples only")
    };
    assert_eq!((grinding, draws), (Grinding::ExcludedByCoin, 8));
    assert!((log10_escape - 8.0 * 0.9f64.log10()).abs() < 1e-12);
    // The same result shown to somebody else: the coin counts for nothing.
    let told = verdict(&run, &Circumstances::default());
    assert_eq!(told.work, Work::NotProven);
    assert_eq!(graded(&told, "session"), Some(Grade::Claimed));
}

#[test]
fn a_receipt_shows_the_session_to_others() {
    let (key, coin) = (SigningKey::from_bytes(&[4; 32]), Coin::new([7; 32]).unwrap());
    let validator = PublicKey::from(&key).encoded();
    let run = run(|spec| spec.validator_id = Some(validator), Some(coin));
    let arrived_unix_ms = 1_767_225_700_123;
    let (c, commitment) = (run.0.digest(), run.1.commitment);
    let message = receipt_message(&c, &commitment, &coin, arrived_unix_ms);
    let mut receipt = Receipt { arrived_unix_ms, coin, signature: key.sign(&message).to_bytes() };
    let shown = |receipt: &Receipt| {
        verdict(&run, &Circumstances { receipt: Some(receipt), ..Default::default() })
    };
    let good = shown(&receipt);
    assert_eq!((good.work, graded(&good, "session")), (Work::Proven, Some(Grade::Proven)));
    assert!(good.render_text().contains("2026-01-01T00:01:40Z (arrival)"));
    receipt.signature[5] ^= 1;
    let bad = shown(&receipt);
    assert_eq!((bad.work, graded(&bad, "session")), (Work::NotProven, Some(Grade::Claimed)));
}

#[test]
fn recomputing_every_iteration_leaves_no_room() {
    let (challenge, result) = run(|_| {}, None);
    let circumstances = Circumstances::default();
    for extent in [Extent::EveryIteration, Extent::SampledIterations] {
        let end = verify_full(&challenge, &result, &circumstances, extent);
        let verdict = Verdict::of(&end, OmittedShare::default());
        assert_eq!(verdict.bound, Some(Bound::Everything));
        assert!(verdict.render_text().contains("did all of"));
    }
    let (challenge, result) = run(|spec| spec.verification_sample_rate = 0.5, None);
    let extent = Extent::SampledIterations;
    let end = verify_full(&challenge, &result, &circumstances, extent);
    let verdict = Verdict::of(&end, OmittedShare::default());
    assert_ne!(verdict.bound, Some(Bound::Everything));
    assert_eq!(verdict.work, Work::NotProven);
}

#[test]
fn a_clock_shows_a_rate_and_a_floor_that_does_not_prove_the_model() {
    let coin = Coin::new([7; 32]).unwrap();
    let run = run(|_| {}, Some(coin));
    let table: FloorTable = |work, iterations, model| {
        let flop = work.cost().amount as f64 * f64::from(iterations);
        (model == "reference").then_some(flop / 1e9)
    };
    let verdict = verdict(
        &run,
        &Circumstances {
            elapsed: Some(Duration::from_millis(100)),
            floors: Some(table),
            ..session(&run.1, coin)
        },
    );
    for subject in ["limit", "elapsed", "rate", "floor"] {
        assert_eq!(graded(&verdict, subject), Some(Grade::Measured), "{subject}");
    }
    assert_eq!(graded(&verdict, "lane"), Some(Grade::Claimed));
    // 0.9 of 2 · 8388608 operations in 0.1 s are 150.99 MFLOP/s: rounded down.
    assert!(verdict.render_text().contains("150.9 MFLOP/s"), "{}", verdict.render_text());
}

#[test]
fn outside_a_session_a_clock_shows_the_limit_and_all_else_is_claimed() {
    let table: FloorTable = |work, iterations, model| {
        let flop = work.cost().amount as f64 * f64::from(iterations);
        (model == "reference").then_some(flop / 1e9)
    };
    let verdict = verdict(
        &run(|spec| spec.samples_per_iteration = 200, None),
        &Circumstances {
            elapsed: Some(Duration::from_millis(100)),
            floors: Some(table),
            ..Default::default()
        },
    );
    assert_eq!(verdict.work, Work::Proven);
    assert_eq!(graded(&verdict, "limit"), Some(Grade::Measured));
    for subject in ["elapsed", "rate", "floor"] {
        assert_eq!(graded(&verdict, subject), Some(Grade::Claimed), "{subject}");
    }
}

#[test]
fn the_bound_is_rounded_to_the_weaker_side() {
    let of = |samples| {
        let run = run(|spec| spec.samples_per_iteration = samples, None);
        verdict(&run, &Circumstances::default()).render_text()
    };
    // 2^80 · 0.9^800 is 10^-12.523, and 2^80 · 0.9^796 is 10^-12.340.
    assert!(of(200).contains("at most 10^-12.5,"), "{}", of(200));
    assert!(of(199).contains("at most 10^-12.3,"), "{}", of(199));
    // 2^80 · 0.9^788 is 10^-11.974: to the nearest tenth it would be 10^-12.0.
    assert!(of(197).contains("at most 10^-11.9,"), "{}", of(197));
}

#[test]
fn a_model_without_a_floor_is_said_to_have_none() {
    let challenge = Challenge::issue(spec()).unwrap();
    let of = |names: [&str; 2]| {
        let evidence = evidence_of_models(&UUIDS, &names);
        let result = Run::of(&challenge, &UUIDS).result(evidence, None, None);
        let circumstances = Circumstances {
            elapsed: Some(Duration::from_secs(1)),
            floors: Some(floors::seconds),
            ..Default::default()
        };
        verdict(&(challenge.clone(), result), &circumstances)
    };
    let says = |verdict: &Verdict, what: &str| verdict.not_checked.iter().any(|n| n == what);
    let neither = of(["NVIDIA H300", "a CPU"]);
    assert_eq!(graded(&neither, "floor"), None);
    assert!(says(&neither, "a time floor: none is known for the claimed models"));
    let one = of(["NVIDIA H200", "NVIDIA H300"]);
    // Outside a session the time that the floor was compared with is claimed.
    assert_eq!(graded(&one, "floor"), Some(Grade::Claimed));
    assert!(says(&one, "a time floor of lane 1: none is known for the claimed model"));
    let both = of(["NVIDIA H200", "NVIDIA L4"]);
    assert!(!both.not_checked.iter().any(|what| what.contains("floor")), "{both:?}");
}

#[test]
fn findings_that_the_miner_reports_are_claimed_with_a_warning() {
    let challenge = Challenge::issue(spec()).unwrap();
    let mut document = cpu_evidence(&UUIDS).value().clone();
    let text = "NVML lists 8 devices, the CUDA driver 1";
    document["findings"] = json!([{"code": "device-count", "text": text}]);
    let evidence = Evidence::from_value(document).unwrap();
    let result = Run::of(&challenge, &UUIDS).result(evidence, None, None);
    let verdict = verdict(&(challenge, result), &Circumstances::default());
    assert_eq!(verdict.outcome, Outcome::Verified);
    assert_eq!(graded(&verdict, "finding"), Some(Grade::Claimed));
    let expected = format!("WARNING: the miner's machine reports device-count: {text}");
    assert!(verdict.render_text().contains(&expected), "{}", verdict.render_text());
}

#[test]
fn what_the_validators_records_hold_against_a_device_is_told() {
    let (challenge, result) = run(|_| {}, None);
    let told = |verdict: Verdict| verdict.with_history(["uuid-changed-host: moved".to_owned()]);
    let verified = told(verdict(&(challenge.clone(), result), &Circumstances::default()));
    assert_eq!(graded(&verified, "history"), Some(Grade::Measured));
    assert!(verified.render_text().contains("WARNING: uuid-changed-host: moved"));
    assert!(verified.facts.is_sorted_by_key(|fact| fact.grade));
    // Nothing is said about a result that did not verify.
    let (_, other) = run(|spec| spec.work = crate::common::products(128, 2), None);
    let rejected = told(verdict(&(challenge, other), &Circumstances::default()));
    assert_eq!((rejected.outcome, graded(&rejected, "history")), (Outcome::Rejected, None));
}

#[test]
fn rejections_and_faults_are_told_apart() {
    let (challenge, mut result) = run(|_| {}, None);
    result.commitment.0[0] ^= 1;
    let rejected = verdict(&(challenge, result), &Circumstances::default());
    assert_eq!((rejected.outcome, rejected.work), (Outcome::Rejected, Work::NotProven));
    assert_eq!((rejected.code, rejected.step), (Some("commitment-mismatch"), Some(3)));
    assert!(rejected.render_text().starts_with("REJECTED: commitment-mismatch (step 3)\n"));
    let fault = Err(Failure::CouldNotRun(RecomputeError("no memory\nClose something.".into())));
    let fault = Verdict::of(&fault, OmittedShare::default());
    assert_eq!((fault.outcome, fault.code), (Outcome::CouldNotRun, None));
    assert!(fault.render_text().starts_with("COULD NOT RUN"));
}

#[test]
fn the_json_form_is_stable() {
    let verdict = verdict(&run(|_| {}, None), &Circumstances::default());
    let json = serde_json::to_value(&verdict).unwrap();
    assert_eq!(json["schema"], 3);
    assert_eq!(json["outcome"], "verified");
    assert_eq!(json["work"], "not-proven");
    assert_eq!(json["bound"]["kind"], "sampled");
    assert_eq!(json["bound"]["omitted_share"], 0.1);
    assert_eq!(json["bound"]["grinding"], "possible");
    assert_eq!(json["bound"]["log10_escape"], 0.0);
    assert_eq!(json["facts"][0]["grade"], "claimed");
    assert!(json.get("code").is_none());
    let all = Verdict { bound: Some(Bound::Everything), ..verdict };
    assert_eq!(serde_json::to_value(&all).unwrap()["bound"]["kind"], "everything");
}
