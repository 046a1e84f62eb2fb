//! Rules about rates and sizes, as far as rounds show them and nobody claims them.

use super::SessionCase;
use crate::policy::figures::{Run, lacking};

/// Of an Mbit/s in bytes a second.
const MBIT: f64 = 1e6 / 8.0;

fn of(case: &SessionCase<'_>, code: &str) -> Vec<String> {
    let runs: Vec<&Run> = case.session.of_devices().map(|(_, round)| &round.run).collect();
    lacking(code, &runs, case.policy)
}

/// `fp64-rate-low`.
pub(in crate::policy) fn fp64_rate_low(case: &SessionCase<'_>) -> Vec<String> {
    of(case, "fp64-rate-low")
}

/// `residency-low`.
pub(in crate::policy) fn residency_low(case: &SessionCase<'_>) -> Vec<String> {
    of(case, "residency-low")
}

/// `memory-rate-low`.
pub(in crate::policy) fn memory_rate_low(case: &SessionCase<'_>) -> Vec<String> {
    of(case, "memory-rate-low")
}

/// `link-rate-low`.
pub(in crate::policy) fn link_rate_low(case: &SessionCase<'_>) -> Vec<String> {
    of(case, "link-rate-low")
}

/// `integer-rate-low`.
pub(in crate::policy) fn integer_rate_low(case: &SessionCase<'_>) -> Vec<String> {
    of(case, "integer-rate-low")
}

/// `host-rate-low`: of the rounds that the machine's CPUs answered.
pub(in crate::policy) fn host_rate_low(case: &SessionCase<'_>) -> Vec<String> {
    let runs: Vec<&Run> = case.session.of_host().map(|round| &round.run).collect();
    lacking("host-rate-low", &runs, case.policy)
}

/// `network-rate-low`: the slower direction decides.
pub(in crate::policy) fn network_rate_low(case: &SessionCase<'_>) -> Option<String> {
    let least = case.policy.network.network_mbit_min;
    if least <= 0.0 {
        return None;
    }
    let expected = format!("expected at least {least} Mbit/s in both directions");
    let Some(shown) = case.session.network else {
        return Some(format!("{expected}, nothing is shown: the session had no network part"));
    };
    let [to_miner, to_validator] =
        [shown.to_miner_bytes_per_s, shown.to_validator_bytes_per_s].map(|got| got as f64 / MBIT);
    (to_miner.min(to_validator) < least).then(|| {
        format!("{expected}, got {to_miner:.1} to the miner and {to_validator:.1} from it")
    })
}

#[cfg(test)]
#[path = "figures_tests.rs"]
pub(in crate::policy) mod cases;
