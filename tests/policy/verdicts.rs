//! What a policy does to a verdict: it can reject what verified, and never the
//! other way.

use crate::common::{cpu_evidence, spec};
use attest::policy::codes::Action;
use attest::policy::{Facts, Policy, Weight};
use attest::protocol::bound::OmittedShare;
use attest::protocol::challenge::Challenge;
use attest::protocol::circumstances::Circumstances;
use attest::protocol::digest::Uuid;
use attest::protocol::verdict::{Grade, Outcome, REJECTED_BY_POLICY, Verdict, Work};
use attest::protocol::verified::Verified;
use attest::protocol::verify::{Failure, verify};
use attest::reference::{Oracle, Run};

const UUIDS: [Uuid; 2] = [Uuid([1; 16]), Uuid([2; 16])];

fn verified(samples: u64) -> Result<Verified, Failure> {
    let mut spec = spec();
    spec.samples_per_iteration = samples;
    let challenge = Challenge::issue(spec).unwrap();
    let result = Run::of(&challenge, &UUIDS).result(cpu_evidence(&UUIDS), None, None);
    verify(&challenge, &result, &Circumstances::default(), &Oracle)
}

fn judged(policy: &Policy, end: &Result<Verified, Failure>) -> Verdict {
    let judgement = policy.judge(&Facts::of(end.as_ref().unwrap()));
    Verdict::of(end, OmittedShare::default()).judged(judgement)
}

/// Content with a CPU outside a session, and one in ten.
fn lenient() -> Policy {
    let text = "name = \"lenient\"\n[session]\nlive_required = false\n[devices]\ncpu_allowed = true\n\
                [soundness]\nomitted_share = 0.1\nescape_probability_max = 1e-6\n";
    Policy::from_toml(text, "lenient.toml").unwrap()
}

#[test]
fn a_policy_rejects_what_verified_and_says_why() {
    let end = verified(200);
    let verdict = judged(&Policy::default(), &end);
    assert_eq!((verdict.outcome, verdict.work), (Outcome::Rejected, Work::Proven));
    assert_eq!((verdict.code, verdict.step), (Some(REJECTED_BY_POLICY), None));
    let policy = verdict.policy.as_ref().unwrap();
    assert_eq!((&*policy.policy, policy.policy_digest), ("default", Policy::default().digest()));
    let codes: Vec<_> = policy.rejecting().map(|reason| reason.code).collect();
    assert_eq!(codes, ["session-required", "soundness-too-weak", "cpu-executor"]);
    // What was shown of the work stays.
    assert!(verdict.commitment.is_some() && verdict.bound.is_some());
    let text = verdict.render_text();
    let headline = "REJECTED BY POLICY: every check passed, the work is proven\n";
    assert!(text.starts_with(headline), "{text}");
    assert!(text.contains("\n  rejects      cpu-executor: expected GPUs"), "{text}");
    assert!(text.contains("\n  warns        not-bound-to-miner: "), "{text}");
}

#[test]
fn warnings_are_told_and_change_nothing() {
    let end = verified(200);
    let verdict = judged(&lenient(), &end);
    assert_eq!((verdict.outcome, verdict.code), (Outcome::Verified, None));
    let reasons = &verdict.policy.as_ref().unwrap().reasons;
    assert!(!reasons.is_empty() && reasons.iter().all(|reason| reason.weight == Weight::Warn));
    assert!(verdict.render_text().starts_with("VERIFIED: "));
    let mut silent = lenient();
    for reason in reasons {
        assert!(silent.findings.set(reason.code, Action::Ignore));
    }
    let verdict = judged(&silent, &end);
    assert!(verdict.policy.as_ref().unwrap().reasons.is_empty());
    assert!(verdict.render_text().contains("nothing against it"));
}

#[test]
fn the_soundness_is_that_of_the_policy_and_not_of_the_verdicts_share() {
    // 2^80 · 0.9^800 is 10^-12.5; 2^80 · 0.99^800 is above 1.
    let mut policy = lenient();
    assert_eq!(judged(&policy, &verified(200)).outcome, Outcome::Verified);
    policy.soundness.omitted_share = 0.01;
    let verdict = judged(&policy, &verified(200));
    assert_eq!(verdict.policy.unwrap().reasons[0].code, "soundness-too-weak");
}

#[test]
fn what_did_not_verify_stays_rejected_whatever_a_policy_says() {
    let end = verified(200);
    let judgement = lenient().judge(&Facts::of(end.as_ref().unwrap()));
    let challenge = Challenge::issue(spec()).unwrap();
    let mut result = Run::of(&challenge, &UUIDS).result(cpu_evidence(&UUIDS), None, None);
    result.commitment.0[0] ^= 1;
    let failed = verify(&challenge, &result, &Circumstances::default(), &Oracle);
    let verdict = Verdict::of(&failed, OmittedShare::default()).judged(judgement);
    assert_eq!((verdict.outcome, verdict.code), (Outcome::Rejected, Some("commitment-mismatch")));
}

#[test]
fn who_is_not_bound_is_said_so() {
    let verdict = Verdict::of(&verified(2), OmittedShare::default());
    let miner = verdict.facts.iter().find(|fact| fact.subject == "miner").unwrap();
    assert_eq!(miner.grade, Grade::Claimed);
    assert!(miner.text.contains("not bound to a miner"));
}
