//! Sizes fit the model, the seconds and the soundness; impossible asks are told.

use super::*;
use crate::appraisal::models;
use crate::mining::issue::issue;
use crate::protocol::challenge::Challenge;
use crate::protocol::work::fp64_product::Fp64Product;

fn target(model: &str, seconds: f64) -> Target<'_> {
    Target { model, seconds: Some(seconds), round_trip: None }
}

/// The issued challenge; requests are only good if it exists.
fn sized(policy: &Policy, target: &Target<'_>, base: Request) -> Challenge {
    issue(&policy.request(target, base).unwrap()).unwrap()
}

/// Counted draws of a result with the fewest lanes.
fn draws(challenge: &Challenge, lanes: u64) -> u64 {
    match challenge.sampled_iterations() == challenge.iterations() {
        true => lanes * challenge.draws(),
        false => lanes * u64::from(challenge.sampled_iterations()),
    }
}

#[test]
fn an_h200_gets_ten_seconds_and_two_thousand_openings() {
    let challenge = sized(&Policy::default(), &target("NVIDIA H200", 10.0), Request::default());
    assert_eq!(challenge.work().fp64_product().unwrap(), Fp64Product { dim: 8192, products: 2 });
    // 2·2·8192³ operations at 0.81 of 66.9 TFLOP/s are 40.6 ms.
    assert_eq!(challenge.iterations(), 246);
    assert_eq!(challenge.spec().gpu_model.as_deref(), Some("NVIDIA H200"));
    // 246 iterations of 9 samples are 2214, of 8 they would be 1968 of 2062.
    assert_eq!((challenge.samples_per_iteration(), challenge.sampled_iterations()), (9, 246));
    // 1.45 · 246 · 2.199e12 / 73.6e12 s, 0.3 s to start, half a second for the way.
    assert_eq!(challenge.limit_ms(), 11_458);
    // 600 s to be taken up, and the limit's seconds, rounded up.
    let expires_in = challenge.expires_at_unix_s() - challenge.issued_at_unix_s();
    assert_eq!(expires_in, 612);
}

#[test]
fn every_model_is_sized_close_to_the_seconds_whatever_they_are() {
    for model in models::all() {
        for seconds in [1.0, 10.0, 60.0, 3600.0] {
            let mut policy = Policy::default();
            policy.findings.set("fp64-alone", crate::policy::codes::Action::Ignore);
            let target = target(&model.name, seconds);
            let challenge = sized(&policy, &target, Request::default());
            let Fp64Product { dim, products } = challenge.work().fp64_product().unwrap();
            let speed = Speed { model, kind: Products::Fp64, shape: (dim, products) };
            let expected_s = speed.iteration_s() * f64::from(challenge.iterations());
            // Whole iterations: 1 in place of 1.5, or of 0.75.
            assert!((0.66..1.34).contains(&(expected_s / seconds)), "{}: {expected_s}", model.name);
            // A card 3 % slower than expected keeps the limit, in a run of any length.
            assert!(challenge.limit_ms() as f64 > 1030.0 * expected_s, "{}", model.name);
            assert!(draws(&challenge, 1) >= policy.draws_needed());
        }
    }
}

#[test]
fn no_smaller_number_of_openings_would_do() {
    for (live, seconds, lanes) in [(true, 10.0, 1), (false, 10.0, 1), (true, 600.0, 4)] {
        let mut policy = Policy::default();
        policy.session.live_required = live;
        (policy.devices.gpu_count_min, policy.devices.gpu_count_max) = (lanes, lanes);
        let challenge = sized(&policy, &target("NVIDIA H200", seconds), Request::default());
        assert_eq!(challenge.spec().gpu_count, Some(lanes));
        let needed = policy.draws_needed();
        assert_eq!(needed, if live { 2062 } else { 7580 });
        assert!(draws(&challenge, lanes) >= needed);
        let iterations = u64::from(challenge.iterations());
        if challenge.sampled_iterations() == challenge.iterations() {
            let fewer = u64::from(challenge.samples_per_iteration()) - 1;
            assert!(lanes * iterations * fewer < needed);
        } else {
            assert_eq!(challenge.samples_per_iteration(), 1);
            assert!(lanes * (u64::from(challenge.sampled_iterations()) - 1) < needed);
        }
    }
}

#[test]
fn what_was_typed_stays() {
    let base = Request {
        matrix_dim: Some(2048),
        num_iterations: Some(50),
        samples_per_iteration: Some(100),
        max_duration_ms: Some(1),
        valid_for_s: Some(5),
        gpu_count: Some(2),
        ..Request::default()
    };
    let mut policy = Policy::default();
    policy.time.slack = 1.5;
    let challenge = sized(&policy, &target("H200", 10.0), base);
    assert_eq!((challenge.work().fp64_product().unwrap().dim, challenge.iterations()), (2048, 50));
    assert_eq!((challenge.samples_per_iteration(), challenge.limit_ms()), (100, 1));
    assert_eq!(challenge.spec().gpu_count, Some(2));
}

#[test]
fn an_honest_h200_keeps_its_limit_with_all_of_the_start_up_used() {
    // BENCHMARKS.md: 54.5 TFLOP/s at n = 8192, 3 % less on the slowest card; a warm
    // start takes 0.3 s, and a slow way 0.5 s.
    let policy = Policy::default();
    for seconds in [2.0, 10.0, 3600.0] {
        let challenge = sized(&policy, &target("NVIDIA H200", seconds), Request::default());
        let operations = 2.0 * challenge.work().fp64_product().unwrap().multiply_adds() as f64;
        let run_s = operations * f64::from(challenge.iterations()) / (0.97 * 54.5e12);
        assert!(challenge.limit_ms() as f64 > 1e3 * (run_s + 0.3 + 0.5), "{seconds} s");
        // One card that does the work of two does not.
        assert!((challenge.limit_ms() as f64) < 2e3 * run_s, "{seconds} s");
    }
}

#[test]
fn counters_are_demanded_where_missing_ones_reject() {
    let mut policy = Policy::default();
    let request = |policy: &Policy| {
        policy.request(&target("NVIDIA H200", 1.0), Request::default()).unwrap().min_sm_utilization
    };
    assert_eq!(request(&policy), None);
    policy.findings.set("sm-counters-missing", crate::policy::codes::Action::Reject);
    assert_eq!(request(&policy), Some(0.85));
}

#[test]
fn a_day_takes_larger_iterations() {
    let policy = Policy::default();
    let challenge = sized(&policy, &target("NVIDIA H200", 86_400.0), Request::default());
    assert!(challenge.work().fp64_product().unwrap().products > 2);
    assert!(challenge.iterations() <= 1_000_000);
}

#[test]
fn impossible_asks_are_told() {
    let request = |change: &dyn Fn(&mut Policy, &mut Request), model, seconds| {
        let (mut policy, mut base) = (Policy::default(), Request::default());
        change(&mut policy, &mut base);
        policy.request(&target(model, seconds), base).unwrap_err()
    };
    let h200 = "NVIDIA H200";
    let none = |_: &mut Policy, _: &mut Request| ();
    assert!(matches!(request(&none, "NVIDIA H300", 1.0), SizeError::UnknownModel { .. }));
    for seconds in [0.0, -1.0, f64::NAN, 86_401.0] {
        assert!(matches!(request(&none, h200, seconds), SizeError::Seconds { .. }));
    }
    assert!(matches!(request(&none, h200, 0.001), SizeError::TooShort { .. }));
    let models = |policy: &mut Policy, _: &mut Request| {
        policy.devices.models = vec!["NVIDIA B200".into()];
    };
    assert!(matches!(request(&models, h200, 1.0), SizeError::ModelNotAllowed { .. }));
    let count = |policy: &mut Policy, base: &mut Request| {
        (policy.devices.gpu_count_max, base.gpu_count) = (2, Some(3));
    };
    assert!(matches!(request(&count, h200, 1.0), SizeError::GpuCount { .. }));
    let memory = |policy: &mut Policy, _: &mut Request| {
        policy.devices.memory_min_bytes = 200 << 30;
    };
    assert!(matches!(request(&memory, h200, 1.0), SizeError::Memory { .. }));
    let slack = |policy: &mut Policy, _: &mut Request| policy.time.slack = 1.0;
    assert!(matches!(request(&slack, h200, 100.0), SizeError::Slack { .. }));
    // The allowances are spare time, but not for ever.
    let tight = |policy: &mut Policy, _: &mut Request| policy.time.slack = 1.35;
    assert!(matches!(request(&tight, h200, 3600.0), SizeError::Slack { needed: 1.36, .. }));
    let keyed = |policy: &mut Policy, _: &mut Request| policy.session.miner_key_required = true;
    assert!(matches!(request(&keyed, h200, 10.0), SizeError::MinerKey));
    let long = |policy: &mut Policy, base: &mut Request| {
        (policy.time.slack, base.matrix_dim, base.num_matrices) = (20.0, Some(256), Some(1));
    };
    assert!(matches!(request(&long, h200, 3600.0), SizeError::TooLong { .. }));
    let strict = |policy: &mut Policy, _: &mut Request| policy.soundness.omitted_share = 1e-4;
    assert!(matches!(request(&strict, h200, 10.0), SizeError::TooManyOpenings { .. }));
    let few = |_: &mut Policy, base: &mut Request| base.samples_per_iteration = Some(1);
    assert!(matches!(request(&few, h200, 10.0), SizeError::TooFewSamples { got: 246, .. }));
    let thin = |_: &mut Policy, base: &mut Request| base.verification_sample_rate = Some(0.1);
    assert!(matches!(request(&thin, h200, 10.0), SizeError::TooFewSamples { got: 25, .. }));
    for error in [request(&none, h200, 0.001), request(&slack, h200, 100.0)] {
        assert_eq!(error.to_string().lines().count(), 2, "{error}");
    }
}
