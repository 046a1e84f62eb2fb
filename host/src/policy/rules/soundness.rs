//! The rule about how likely omitted work escaped.

use super::Case;

/// `soundness-too-weak`.
pub(in crate::policy) fn too_weak(case: &Case<'_>) -> Option<String> {
    let share = case.policy.omitted_share();
    let most = case.policy.soundness.escape_probability_max.log10();
    let got = case.facts.bound.at(share).log10_escape();
    // A NaN is no bound.
    (got.is_nan() || got > most).then(|| {
        format!(
            "leaving out {} % may escape with probability 10^{most:.1}, it escapes with up to 10^{got:.1}",
            100.0 * share.get()
        )
    })
}

#[cfg(test)]
pub(in crate::policy) mod cases {
    use super::super::example::Cases;

    pub(in crate::policy) const CASES: Cases = &[("soundness-too-weak", |case| case.draws = 2061)];
}
