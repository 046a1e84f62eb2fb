//! The codes of a policy's reasons: what each is about and what it does unless
//! a policy says otherwise.
//!
//! Guarantees: codes are stable, kebab-case and distinct; every one is listed in
//! docs/policy.md (tested).
//! Deliberately lacks: when they fire; that is [`super::Policy::judge`].

use crate::appraisal::plausible;
use crate::evidence::Code as FindingCode;
use crate::ledger::HistoryCode;
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

macro_rules! codes {
    ($(#[$meta:meta])* $name:ident: $($variant:ident $code:literal $action:ident $what:literal;)*) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = concat!("`", $code, "`: ", $what)] $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The stable kebab-case name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }
            /// When it is given.
            pub fn what(self) -> &'static str {
                match self { $(Self::$variant => $what,)* }
            }
            /// What it does unless the policy's `[findings]` say otherwise.
            pub fn default_action(self) -> Action {
                match self { $(Self::$variant => Action::$action,)* }
            }
        }
    };
}

codes! {
    /// A demand of the policy's own fields that a result does not meet. Always
    /// rejects: a demand that should not is left out of the policy.
    Requirement:
    ModelNotAllowed "model-not-allowed" Reject "a lane's model is not one of `devices.models`";
    ModelUnknown "model-unknown" Reject "a GPU's model is not in the table, and `devices.unknown_models_allowed` is false";
    CpuExecutor "cpu-executor" Reject "a CPU did the work, and `devices.cpu_allowed` is false";
    MigInstance "mig-instance" Reject "a lane is a MIG instance, and `devices.mig_allowed` is false";
    GpuCount "gpu-count" Reject "the number of lanes is outside `devices.gpu_count_min` … `gpu_count_max`";
    MemoryTooSmall "memory-too-small" Reject "a lane reports less memory than `devices.memory_min_bytes`";
    DriverVersion "driver-version" Reject "the driver's version is not reported or outside `devices.driver_version_min` … `driver_version_max`";
    SmShareLow "sm-share-low" Reject "a smaller share of a lane's SMs counted work than `devices.sm_share_min`";
    TooSlow "too-slow" Reject "it took longer than `time.slack` times the model's floor and the allowances";
    SoundnessTooWeak "soundness-too-weak" Reject "omitted work escapes more likely than `soundness.escape_probability_max`";
    SessionRequired "session-required" Reject "there was no live session that counts, and `session.live_required` is true";
    ClockLow "clock-low" Reject "the median SM clock is below `telemetry.clock_share_min` of the model's highest, or not reported";
    PowerLow "power-low" Reject "the median power is below `telemetry.power_median_min_w`, or not reported";
    SerialMissing "serial-missing" Reject "a lane reports no serial number, and `devices.serial_required` is true";
    HostMissing "host-missing" Reject "the machine reports no id, and `devices.host_required` is true";
    MinerKeyMissing "miner-key-missing" Reject "the challenge names no miner's key, and `session.miner_key_required` is true";
}

codes! {
    /// What the validator finds in a result beside its demands; a policy's
    /// `[findings]` say what each does.
    Observation:
    NotBoundToMiner "not-bound-to-miner" Warn "the challenge names no miner's key: anyone may have answered";
    ElapsedUnknown "elapsed-unknown" Warn "no clock of the validator ran: the time cannot be judged";
    FloorUnknown "floor-unknown" Warn "a lane's model has no floor: its time cannot be judged";
    SmCountersMissing "sm-counters-missing" Warn "a GPU's lane has no SM counters";
    TelemetryMissing "telemetry-missing" Warn "a GPU's lane reports no clocks and power over the run";
    Throttled "throttled" Warn "a lane reports that heat or hardware slowed it down";
    EccUncorrectedChanged "ecc-uncorrected-changed" Reject "uncorrected ECC errors were counted during the run";
    RemappedRowsChanged "remapped-rows-changed" Reject "memory rows were remapped during the run";
    DurationContradicted "duration-contradicted" Reject "the evidence reports a longer run than the validator's clock saw";
    FindingsMalformed "findings-malformed" Reject "the evidence's findings are no list of codes and texts";
    FindingUnknown "finding-unknown" Warn "the evidence has a finding of a code that this program does not know";
}

/// Whether a code is one of a device's history.
pub fn is_history(name: &str) -> bool {
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
    let own = Observation::ALL.iter().map(|&code| (code.name(), code.default_action()));
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
/// claims that cannot be true of a model, the validator's other observations.
pub fn configurable() -> &'static [Configurable] {
    &CONFIGURABLE
}

/// Their names.
pub fn configurable_names() -> &'static [&'static str] {
    &CONFIGURABLE_NAMES
}

/// Every code that a reason may have.
pub fn names() -> Vec<&'static str> {
    let requirements = Requirement::ALL.iter().map(|code| code.name());
    requirements.chain(configurable_names().iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_kebab_case() {
        let mut names = names();
        assert!(names.iter().all(|n| n.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
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
