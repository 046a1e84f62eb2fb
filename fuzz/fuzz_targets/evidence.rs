//! Evidence: its canonical form is its own, and everybody who reads in it copes.
#![no_main]

use attest::appraisal::plausible;
use attest::ledger::Sighting;
use attest::protocol::evidence::Evidence;
use attest::protocol::json::read_value;
use attest_fuzz::{Fixture, UUIDS};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::new);

fuzz_target!(|data: &[u8]| {
    let Ok(value) = read_value(data) else { return };
    let Ok(evidence) = Evidence::from_value(value) else { return };
    let canonical = read_value(evidence.canonical()).expect("the canonical form is JSON");
    let again = Evidence::from_value(canonical).expect("of the same form");
    assert_eq!(again.canonical(), evidence.canonical());
    assert_eq!(again.lanes(), evidence.lanes());
    if evidence.agrees_with(&FIXTURE.challenge, &UUIDS).is_ok() {
        assert!(evidence.lanes().iter().all(|lane| lane.sm_utilization() <= 1.0));
    }
    let _ = plausible::judge(&FIXTURE.challenge, &evidence);
    for lane in 0..evidence.lanes().len() {
        let _ = plausible::is_mig_instance(&evidence, lane);
    }
    assert_eq!(Sighting::of(&evidence, None).len(), evidence.lanes().len());
});
