//! The codes of a policy's reasons, its own rules' and those of other modules, and
//! what each does unless a policy says otherwise.
//!
//! Guarantees: codes are stable, kebab-case and distinct; every one is listed in
//! docs/policy.md (tested).
//! Deliberately lacks: when they fire; that is [`super::Policy::judge`].

use crate::appraisal::plausible;
use crate::evidence::Code as FindingCode;
use crate::ledger::HistoryCode;
use crate::policy::{RULES, Standing};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// What a finding does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The result is rejected.
    Reject,
    /// The verdict tells of it.
    Warn,
    /// Nothing.
    Ignore,
}

/// Whether a code is one of a device's history.
pub(super) fn is_history(name: &str) -> bool {
    HistoryCode::ALL.iter().any(|code| code.name() == name)
}

/// A machine rented again may have a new name: the device moved, or the host's
/// name did.
fn history_action(code: HistoryCode) -> Action {
    match code {
        HistoryCode::UuidChangedHost => Action::Warn,
        _ => Action::Reject,
    }
}

/// Sources that disagree about the devices reject. What lies around the process
/// warns: honest sandboxes mount files over the driver's, honest people profile.
fn finding_action(code: FindingCode) -> Action {
    match code {
        FindingCode::DevicesHidden
        | FindingCode::DeviceLost
        | FindingCode::DeviceShared
        | FindingCode::PreloadVariable
        | FindingCode::PreloadFile
        | FindingCode::DriverFilesMountedOver
        | FindingCode::LibraryMountedOver
        | FindingCode::LibraryNotMapped
        | FindingCode::LibraryDeleted => Action::Warn,
        _ => Action::Reject,
    }
}

/// A code that `[findings]` may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configurable {
    /// The stable kebab-case name.
    pub name: &'static str,
    /// What it does unless the policy says otherwise.
    pub default: Action,
}

static CONFIGURABLE: LazyLock<Vec<Configurable>> = LazyLock::new(|| {
    let machine = FindingCode::ALL.iter().map(|&code| (code.name(), finding_action(code)));
    let history = HistoryCode::ALL.map(|code| (code.name(), history_action(code)));
    let own = RULES.iter().filter_map(|rule| match rule.standing {
        Standing::Finding(action) => Some((rule.code, action)),
        Standing::Demand => None,
    });
    let claims = plausible::CODES.iter().map(|&(name, _)| (name, Action::Reject));
    machine
        .chain(history)
        .chain(claims)
        .chain(own)
        .map(|(name, default)| Configurable { name, default })
        .collect()
});

static CONFIGURABLE_NAMES: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| CONFIGURABLE.iter().map(|code| code.name).collect());

/// The codes that `[findings]` may name: the machine's findings, the history's,
/// claims that cannot be true of a model, the policy's own rules that are no demands.
pub fn configurable() -> &'static [Configurable] {
    &CONFIGURABLE
}

/// Their names.
pub(super) fn configurable_names() -> &'static [&'static str] {
    &CONFIGURABLE_NAMES
}

/// Every code that a reason may have.
pub fn names() -> Vec<&'static str> {
    let demands = RULES.iter().filter(|rule| rule.standing == Standing::Demand);
    demands.map(|rule| rule.code).chain(configurable_names().iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_kebab_case() {
        let mut names = names();
        let is_kebab = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        assert!(names.iter().all(|name| name.bytes().all(is_kebab)));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn disagreement_rejects_and_the_surroundings_warn() {
        let of = |name| configurable().iter().find(|code| code.name == name).unwrap().default;
        assert_eq!(of("device-count"), Action::Reject);
        assert_eq!(of("driver-files-mounted-over"), Action::Warn);
        assert_eq!(of("ecc-uncorrected-changed"), Action::Reject);
        assert_eq!(of("uuid-under-two-identities"), Action::Reject);
    }
}
