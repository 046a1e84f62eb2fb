//! The machine beside a run: its inventory, what its devices did meanwhile, and
//! what of that does not fit.
//!
//! Guarantees: looking begins at once and holds up nothing but what was asked
//! for; whatever can't be seen is a value with a reason.

use super::finding::{Code, Finding};
use super::inventory::{Inventory, inventory_for};
use crate::executor::LaneFacts;
use crate::executor::gpu::bandwidth::{Bandwidth, measure};
use crate::executor::gpu::telemetry::{Health, LaneTelemetry, PERIOD, RunTelemetry};
use crate::executor::{Kind, gpu};
use std::thread::JoinHandle;
use std::time::Duration;

/// Whether bandwidths are measured before a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MeasureBandwidth {
    /// No: a validator's clock is running.
    #[default]
    No,
    /// Yes, before the first iteration.
    First,
}

/// What is found out of the machine beside a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineOptions {
    /// Whether bandwidths are measured.
    pub bandwidth: MeasureBandwidth,
    /// About how often devices are read.
    pub sample_every: Duration,
}

impl Default for MachineOptions {
    fn default() -> Self {
        Self { bandwidth: MeasureBandwidth::No, sample_every: PERIOD }
    }
}

/// Looking under way.
pub struct Observing {
    telemetry: RunTelemetry,
    inventory: JoinHandle<Inventory>,
    bandwidth: Option<Bandwidth>,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The machine; its findings are those of the run, too.
    pub inventory: Inventory,
    /// For each lane what its device did; `None` where it is no GPU.
    pub telemetry: Vec<Option<LaneTelemetry>>,
}

impl Observing {
    /// Measures what was asked for, then starts looking at the machine of these
    /// lanes.
    pub fn start(lanes: &[LaneFacts], options: &MachineOptions) -> Self {
        let bandwidth =
            (options.bandwidth == MeasureBandwidth::First).then(|| bandwidth_of(lanes)).flatten();
        let telemetry = RunTelemetry::start(lanes, options.sample_every);
        let lanes = lanes.to_vec();
        let inventory = std::thread::spawn(move || inventory_for(&lanes));
        Self { telemetry, inventory, bandwidth }
    }

    /// Ends looking.
    pub fn finish(self) -> Observed {
        let telemetry = self.telemetry.finish();
        let mut inventory = self.inventory.join().expect("looking at the machine does not panic");
        inventory.bandwidth = self.bandwidth;
        inventory.findings.extend(during_run(&telemetry));
        Observed { inventory, telemetry }
    }
}

/// The bandwidths of the devices that these lanes run on.
fn bandwidth_of(lanes: &[LaneFacts]) -> Option<Bandwidth> {
    let gpus: Vec<_> = lanes.iter().filter(|lane| lane.kind == Kind::Gpu).collect();
    if gpus.is_empty() {
        return None;
    }
    let mut devices = gpu::devices().ok()?;
    devices.retain(|device| gpus.iter().any(|lane| lane.uuid == device.uuid));
    Some(measure(&devices))
}

/// Error counts that changed between the first reading and the last.
fn during_run(lanes: &[Option<LaneTelemetry>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (lane, telemetry) in lanes.iter().enumerate() {
        let Some(LaneTelemetry::Sampled(seen)) = telemetry else { continue };
        let Health { ecc_corrected, ecc_uncorrected, .. } = seen.before;
        let [before, after] = [&seen.before, &seen.after];
        let mut changed = |code, what: &str, before: Option<u64>, after: Option<u64>| {
            if let (Some(before), Some(after)) = (before, after)
                && before != after
            {
                let text = format!("lane {lane}: {what} went from {before} to {after}");
                findings.push(Finding::new(code, text));
            }
        };
        let ecc = Code::EccErrorsDuringRun;
        changed(ecc, "memory errors corrected", ecc_corrected, after.ecc_corrected);
        changed(ecc, "memory errors not corrected", ecc_uncorrected, after.ecc_uncorrected);
        let number = |flag: Option<bool>| flag.map(u64::from);
        for (what, before, after) in [
            (
                "rows remapped after corrected errors",
                before.rows_remapped_corrected,
                after.rows_remapped_corrected,
            ),
            (
                "rows remapped after errors not corrected",
                before.rows_remapped_uncorrected,
                after.rows_remapped_uncorrected,
            ),
            (
                "the flag of a pending remapping",
                number(before.remap_pending),
                number(after.remap_pending),
            ),
            (
                "the flag of a failed remapping",
                number(before.remap_failed),
                number(after.remap_failed),
            ),
        ] {
            changed(Code::RowsRemappedDuringRun, what, before, after);
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::examples::{self, healthy};

    fn sampled(before: Health, after: Health) -> Option<LaneTelemetry> {
        Some(LaneTelemetry::Sampled(Box::new(examples::sampled(before, after))))
    }

    #[test]
    fn counts_that_change_are_found_with_both_values() {
        assert_eq!(during_run(&[None, sampled(healthy(), healthy())]), []);
        let worse = Health { ecc_uncorrected: Some(2), ..healthy() };
        let found = during_run(&[None, sampled(healthy(), worse)]);
        let text = "lane 1: memory errors not corrected went from 0 to 2";
        assert_eq!(found, [Finding::new(Code::EccErrorsDuringRun, text)]);
        // Fewer than before: someone cleared the counters.
        let cleared = Health { ecc_corrected: Some(0), ..healthy() };
        assert_eq!(during_run(&[sampled(healthy(), cleared)]).len(), 1);
        let remapped =
            Health { rows_remapped_corrected: Some(1), remap_pending: Some(true), ..healthy() };
        let codes: Vec<_> =
            during_run(&[sampled(healthy(), remapped)]).iter().map(|found| found.code).collect();
        assert_eq!(codes, [Code::RowsRemappedDuringRun; 2]);
    }

    #[test]
    fn what_is_unknown_on_one_side_has_not_changed() {
        assert_eq!(during_run(&[sampled(healthy(), Health::default())]), []);
        assert_eq!(during_run(&[sampled(Health::default(), healthy())]), []);
        let unknown = Some(LaneTelemetry::Unknown { unknown: "no library".to_owned() });
        assert_eq!(during_run(&[unknown]), []);
    }
}
