//! Rules about who answered, and how.

use super::Case;

/// `session-required`.
pub(in crate::policy) fn live_required(case: &Case<'_>) -> Option<String> {
    let missing = case.policy.session.live_required && !case.facts.live;
    missing.then(|| "expected a live session on record or in a receipt, got none".to_owned())
}

/// `miner-key-missing`.
pub(in crate::policy) fn miner_key_missing(case: &Case<'_>) -> Option<String> {
    case.policy.session.miner_key_required.then(|| unbound(case)).flatten()
}

/// `not-bound-to-miner`, if the policy doesn't demand a key.
pub(in crate::policy) fn not_bound_to_miner(case: &Case<'_>) -> Option<String> {
    (!case.policy.session.miner_key_required).then(|| unbound(case)).flatten()
}

fn unbound(case: &Case<'_>) -> Option<String> {
    let text = "the challenge names no miner's key: whoever saw it may have answered";
    case.facts.challenge.miner_id().is_none().then(|| text.to_owned())
}

#[cfg(test)]
pub(in crate::policy) mod cases {
    use super::super::example::Cases;

    pub(in crate::policy) const CASES: Cases = &[
        ("miner-key-missing", |case| {
            (case.policy.session.miner_key_required, case.miner) = (true, false);
        }),
        ("session-required", |case| case.live = false),
        ("not-bound-to-miner", |case| case.miner = false),
    ];
}
