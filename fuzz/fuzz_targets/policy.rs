//! Policies: what is read is written and read again, and sizes challenges.
#![no_main]

use attest::mining::issue::{Request, issue};
use attest::policy::{Fixed, Policy, Rig, Target};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let policy = match Policy::from_toml(text, "policy.toml") {
        Ok(policy) => policy,
        Err(error) => {
            assert_eq!(error.to_string().lines().count(), 2, "{error}");
            return;
        }
    };
    let written = toml::to_string(&policy).expect("a policy is TOML");
    let again = Policy::from_toml(&written, "again").expect("what is written is read");
    assert_eq!((&again, again.digest()), (&policy, policy.digest()));
    let (model, round_trip) = ("NVIDIA H200", Some(Duration::from_millis(20)));
    let target = Target { model, seconds: None, round_trip };
    if let Ok(request) = policy.request(&target, Request::default()) {
        issue(&request).expect("what a policy asks for is within the protocol's bounds");
    }
    let rig = Rig { gpu_model: Some(model), gpus: 2, devices: 2, round_trip };
    let is_sized = policy.rounds.iter().all(|round| round.fixed == Fixed::default());
    if let Ok(plans) = policy.rounds(&rig, Request::default())
        && is_sized
    {
        for plan in plans {
            issue(&plan.request).expect("so is what a round asks for");
        }
    }
});
