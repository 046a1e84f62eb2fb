//! A rule: what a policy can hold against a verified result.
//!
//! Guarantees: one row of the table (`table.rs`) and one function are the whole
//! rule: codes, `[findings]`, the template, the schema and the judgement derive
//! from them.
//! Deliberately lacks: rules of other modules (the machine's findings, a device's
//! history, claims that cannot be true of a model). Those have tables of their own.

use super::codes::Action;
use super::rules::{Case, LaneCase, SessionCase};

/// A rule, as the table has it.
pub struct Rule {
    /// The stable kebab-case code of its reasons.
    pub code: &'static str,
    /// When it is given; docs/policy.md has the same words.
    pub what: &'static str,
    /// What it does.
    pub standing: Standing,
    /// How it judges a session.
    pub(super) session: fn(&SessionCase<'_>) -> Vec<String>,
    /// How it judges a result as a whole.
    pub(super) result: fn(&Case<'_>) -> Vec<String>,
    /// How it judges each lane.
    pub(super) lane: fn(&LaneCase<'_>) -> Vec<String>,
}

/// Whether a policy's `[findings]` have a say in what a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A demand of the policy's own fields. It always rejects: a demand that should
    /// not is left out of the policy.
    Demand,
    /// What the validator finds in a result beside its demands: this, unless
    /// `[findings]` say otherwise.
    Finding(Action),
}

/// Declares `RULES`, in the order in which they judge.
///
/// `"code" demand|reject|warn "when", session FUNCTION, result FUNCTION, lane FUNCTION;` with
/// any of the functions, or none for a rule that the reading of reported findings applies. A
/// function takes a [`SessionCase`], a [`Case`] or a [`LaneCase`] and returns one text for each
/// reason.
macro_rules! rules {
    ($($code:literal $standing:ident $what:literal
       $(, session $session:path)? $(, result $result:path)? $(, lane $lane:path)?;)*) => {
        /// All rules of this module, in the order in which they judge: first each that
        /// looks at the whole session or result, then lane by lane.
        pub static RULES: &[Rule] = &[$(Rule {
            code: $code,
            what: $what,
            standing: rules!(@ $standing),
            session: |_case| rules!(@ texts _case $($session)?),
            result: |_case| rules!(@ texts _case $($result)?),
            lane: |_lane| rules!(@ texts _lane $($lane)?),
        },)*];
    };
    (@ demand) => { Standing::Demand };
    (@ reject) => { Standing::Finding(Action::Reject) };
    (@ texts $case:ident) => { Vec::new() };
    (@ texts $case:ident $judges:path) => { Vec::from_iter($judges($case)) };
    (@ warn) => { Standing::Finding(Action::Warn) };
}
pub(super) use rules;
