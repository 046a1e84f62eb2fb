//! What the metrics count, and what they leave out.

use super::*;
use crate::fleet::dial::Came;
use crate::fleet::measured::{Measured, Proven};
use crate::fleet::task::TaskName;
use crate::protocol::signature::EncodedKey;
use std::time::Duration;

fn ended(code: Option<&str>, number: u32) -> Doing {
    let (campaign, slot) = (format!("p{number}"), number.to_string());
    let mut miner = [0; 32];
    miner[..4].copy_from_slice(&number.to_be_bytes());
    let name = TaskName { campaign, slot, miner: EncodedKey(miner) };
    let outcome = if code.is_some() { Outcome::Rejected } else { Outcome::Verified };
    let code = code.map(str::to_owned);
    Doing::Ended(name, Came { outcome, code, ..Came::to_nothing("lost") }, true)
}

#[test]
fn a_hostile_miner_creates_no_series() {
    let metrics = FleetMetrics::new(4);
    metrics.saw(&ended(Some("leaf-mismatch"), 0));
    metrics.saw(&ended(Some("x"), 0));
    metrics.saw(&ended(None, 0));
    let before = metrics.text();
    for number in 0..200 {
        metrics.saw(&ended(Some(&format!("code-{number}\"}} 1\nattest_forged 1\n")), number));
        metrics.saw(&ended(None, number));
    }
    let after = metrics.text();
    assert_eq!(before.lines().count(), after.lines().count());
    assert!(!after.contains("forged") && !after.contains("code-1"), "{after}");
    let other = "attest_fleet_sessions_total{outcome=\"rejected\",code=\"other\"} 201";
    assert!(after.contains(other), "{after}");
    let known = "attest_fleet_sessions_total{outcome=\"rejected\",code=\"leaf-mismatch\"} 1";
    assert!(after.contains(known), "{after}");
}

#[test]
fn figures_of_a_session_are_counted() {
    let metrics = FleetMetrics::new(4);
    let (model, second) = ("H100", Duration::from_secs(1));
    let proven = |unit, amount| Proven { model, amount, unit, elapsed: second * 2 };
    let measured = Measured {
        legs: vec![(Leg::Work, second * 2), (Leg::Verification, second / 2)],
        proven: vec![proven(Unit::Flop, 4_000), proven(Unit::Bytes, 100)],
        spread: Some(second / 10),
    };
    let Doing::Ended(name, came, _) = ended(None, 1) else { unreachable!() };
    metrics.saw(&Doing::Ended(name, Came { measured, ..came }, false));
    let text = metrics.text();
    for line in [
        "attest_fleet_session_duration_seconds_sum{leg=\"work\"} 2.0",
        "attest_fleet_session_duration_seconds_bucket{leg=\"verification\",le=\"0.3\"} 0",
        "attest_fleet_session_duration_seconds_bucket{leg=\"verification\",le=\"1\"} 1",
        "attest_fleet_attested_flop_total{model=\"H100\"} 4000.0",
        "attest_fleet_attested_bytes_total{model=\"H100\"} 100.0",
        "attest_fleet_attested_seconds_total{model=\"H100\",unit=\"flop\"} 2.0",
        "attest_fleet_start_spread_seconds_bucket{le=\"0.1\"} 1",
        // It is tried again: its task is not done.
        "attest_fleet_tasks_total{outcome=\"verified\"} 0",
        "attest_fleet_sessions_total{outcome=\"verified\",code=\"none\"} 1",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line} is not in\n{text}");
    }
}

#[test]
fn codes_of_the_source_keep_their_names() {
    for code in verdict_codes().into_iter().chain(dial::CODES) {
        assert_eq!(known_code(Some(code)), code);
    }
    assert_eq!((known_code(None), known_code(Some("none of them"))), (NO_CODE, OTHER));
}
