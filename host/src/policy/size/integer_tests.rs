//! Sizes of integer products fit the model, the seconds and what the policy wants shown.

use super::*;
use crate::appraisal::models;
use crate::mining::issue::issue;
use crate::policy::Target;
use crate::protocol::challenge::Challenge;

fn base() -> Request {
    let challenge_type = Some(WorkKind::IntegerProduct.challenge_type().to_owned());
    Request { challenge_type, ..Request::default() }
}

fn target(model: &str, seconds: f64) -> Target<'_> {
    Target { model, seconds: Some(seconds), round_trip: None }
}

fn sized(policy: &Policy, model: &str, seconds: f64, base: Request) -> Challenge {
    issue(&policy.request(&target(model, seconds), base).unwrap()).unwrap()
}

#[test]
fn an_h200_gets_large_products_for_ten_seconds() {
    let challenge = sized(&Policy::default(), "NVIDIA H200", 10.0, base());
    let work = IntegerProduct { dim: 16_384, products: 2 };
    assert_eq!(challenge.work(), work.into());
    // 2 · 2 · 16384³ operations at 0.65 of 2141 TOPS are 12.64 ms.
    assert_eq!(challenge.iterations(), 791);
    assert_eq!((challenge.samples_per_iteration(), challenge.sampled_iterations()), (3, 791));
    // 1.45 · 791 · 17.592e12 / (1.25 · 1391.8e12) s, 0.3 s to start, half a second for the way.
    assert_eq!(challenge.limit_ms(), 12_399);
    // As measured, on a card that is 3 % slower.
    let operations = challenge.work().cost().amount as f64 * 791.0;
    let run_s = operations / (0.97 * 1420e12);
    assert!(challenge.limit_ms() as f64 > 1e3 * (run_s + 0.3 + 0.5));
    // One card that does the work of two does not.
    assert!((challenge.limit_ms() as f64) < 2e3 * run_s);
}

#[test]
fn every_model_is_sized_close_to_the_seconds_and_holds_the_operands() {
    for model in models::all() {
        for seconds in [1.0, 10.0, 60.0, 3600.0] {
            let policy = Policy::default();
            let challenge = sized(&policy, &model.name, seconds, base());
            let work = challenge.work().integer_product().unwrap();
            let shape = (work.dim, work.products);
            let speed = Speed { model, kind: Products::Integer, shape };
            let expected_s = speed.iteration_s() * f64::from(challenge.iterations());
            assert!((0.66..1.34).contains(&(expected_s / seconds)), "{}: {expected_s}", model.name);
            assert!(challenge.limit_ms() as f64 > 1030.0 * expected_s, "{}", model.name);
            assert!(challenge.draws() >= policy.draws_needed());
            assert!(Products::Integer.operand_bytes(shape) <= model.memory_bytes() / 2);
            // What is too little work for a floor would tell no card from another.
            assert!(work.dim >= if seconds < 10.0 { 4096 } else { 16_384 }, "{}", model.name);
        }
    }
}

#[test]
fn what_was_typed_stays() {
    let typed = Request { matrix_dim: Some(8192), num_matrices: Some(3), ..base() };
    let challenge = sized(&Policy::default(), "H200", 10.0, typed);
    assert_eq!(challenge.work(), IntegerProduct { dim: 8192, products: 3 }.into());
    // 3.298e12 operations at 1391.8 TOPS are 2.370 ms.
    assert_eq!(challenge.iterations(), 4219);
    // Where folding outweighs the product, slack is no measure.
    let small = Request { matrix_dim: Some(1024), ..base() };
    let refused = Policy::default().request(&target("NVIDIA H200", 10.0), small).unwrap_err();
    assert!(matches!(refused, SizeError::Slack { .. }), "{refused}");
}

#[test]
fn what_the_policy_wants_shown_can_be_shown() {
    let policy = |tops| {
        let mut policy = Policy::default();
        policy.integer.int8_tops_min = tops;
        policy
    };
    let ask = |tops, model, base| policy(tops).request(&target(model, 10.0), base);
    // 0.99 · 1391.8 are 1377.9.
    assert!(ask(1377.0, "NVIDIA H200", base()).is_ok());
    let refused = ask(1379.0, "NVIDIA H200", base()).unwrap_err();
    assert!(matches!(refused, SizeError::NotShown { of_model: true, .. }), "{refused}");
    let text = refused.to_string();
    assert!(text.starts_with("integer.int8_tops_min is 1379 TOPS, and an honest run"), "{text}");
    assert!(text.contains("1377 TOPS"), "{text}");
    assert!(ask(300.0, "Tesla T4", base()).is_err());
    for foreign in [Request::default(), {
        let challenge_type = Some(WorkKind::MemoryResidency.challenge_type().to_owned());
        Request { challenge_type, ..Request::default() }
    }] {
        let text = ask(1.0, "NVIDIA H200", foreign).unwrap_err().to_string();
        assert!(text.contains("nothing: it has no work of kind \"integer\""), "{text}");
        assert!(text.ends_with("Ask for --kind integer, or demand less."), "{text}");
    }
    // And what memory would have to show, integer products don't.
    let mut memory = Policy::default();
    memory.memory.resident_bytes_min = 1;
    let refused = memory.request(&target("NVIDIA H200", 10.0), base()).unwrap_err();
    assert!(refused.to_string().starts_with("memory.resident_bytes_min is 1 bytes"), "{refused}");
}
