//! The machine beside a run: its inventory, what its devices did meanwhile, and
//! what of that does not fit.
//!
//! Guarantees: looking begins at once and holds up nothing but what was asked
//! for; a source that hangs or breaks down costs a finished run a bounded wait and
//! what it would have said; whatever can't be seen is a value with a reason.

use super::finding::{Code, Finding};
use super::inventory::{Inventory, Sources};
use super::machine_report::Tsm;
use super::process;
use crate::executor::LaneFacts;
use crate::executor::gpu::bandwidth::measure;
use crate::executor::gpu::telemetry::{PERIOD, RunTelemetry};
use crate::executor::{Kind, gpu};
use crate::protocol::evidence::machine::Bandwidth;
use crate::protocol::evidence::telemetry::{Health, LaneTelemetry};
use crate::protocol::evidence::{AVAILABLE, UNAVAILABLE};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

/// Longest wait, after a run, for sources that have not answered: a call may hang
/// in the driver.
const END_PATIENCE: Duration = Duration::from_secs(5);

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
#[derive(Clone, Copy, Debug)]
pub struct MachineOptions {
    /// Whether bandwidths are measured.
    pub bandwidth: MeasureBandwidth,
    /// About how often devices are read.
    pub sample_every: Duration,
    /// Where quotes of the machine are asked for.
    pub tsm: Tsm,
}

impl Default for MachineOptions {
    fn default() -> Self {
        Self { bandwidth: MeasureBandwidth::No, sample_every: PERIOD, tsm: Tsm::default() }
    }
}

/// Looking under way.
pub struct Observing {
    telemetry: RunTelemetry,
    lanes: Vec<LaneFacts>,
    sources: Arc<Sources>,
    inventory: Receiver<Inventory>,
    machine_report: Receiver<String>,
    bandwidth: Option<Bandwidth>,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The machine; its findings are those of the run, too.
    pub inventory: Inventory,
    /// For each lane what its device did; `None` if it is no GPU.
    pub telemetry: Vec<Option<LaneTelemetry>>,
    /// Whether its processor signs quotes of it, as evidence has it.
    pub machine_report: Option<String>,
}

impl Observing {
    /// Measures what was asked for, then starts looking at the machine of these
    /// lanes.
    pub fn start(lanes: &[LaneFacts], options: &MachineOptions) -> Self {
        let bandwidth =
            (options.bandwidth == MeasureBandwidth::First).then(|| bandwidth_of(lanes)).flatten();
        let telemetry = RunTelemetry::start(lanes, options.sample_every);
        let tsm = options.tsm;
        Self::of(lanes, telemetry, bandwidth, tsm, Sources::ask_for)
    }

    /// Starts a thread that asks the sources with `ask`.
    fn of(
        lanes: &[LaneFacts],
        telemetry: RunTelemetry,
        bandwidth: Option<Bandwidth>,
        tsm: Tsm,
        ask: impl FnOnce(&Sources, &[LaneFacts]) + Send + 'static,
    ) -> Self {
        let (lanes, sources) = (lanes.to_vec(), Arc::new(Sources::default()));
        let inventory = {
            let (lanes, sources) = (lanes.clone(), Arc::clone(&sources));
            answer("machine", move || {
                ask(&sources, &lanes);
                sources.compared(&lanes, "not asked")
            })
        };
        let machine_report = answer("machine", move || match tsm.kind() {
            Ok(_) => AVAILABLE.to_owned(),
            Err(reason) => format!("{UNAVAILABLE}{reason}"),
        });
        Self { telemetry, lanes, sources, inventory, machine_report, bandwidth }
    }

    /// Ends looking.
    pub fn finish(self) -> Observed {
        self.finish_within(END_PATIENCE)
    }

    fn finish_within(self, patience: Duration) -> Observed {
        let telemetry = self.telemetry.finish();
        let mut inventory = match self.inventory.recv_timeout(patience) {
            Ok(inventory) => inventory,
            Err(RecvTimeoutError::Timeout) => {
                let silence = "no answer by the end of the run and some seconds after";
                tracing::warn!("a source of facts about this machine hangs: {silence}");
                let mut inventory = self.sources.compared(&self.lanes, silence);
                // The process is looked at after NVML, which may be what hangs.
                inventory.process =
                    answer("machine", process::view).recv_timeout(patience).unwrap_or_default();
                inventory
            }
            // Comparing may be what broke down: it is not tried again.
            Err(RecvTimeoutError::Disconnected) => {
                let silence = "looking at this machine broke down";
                tracing::warn!("{silence}: the evidence has what was seen before");
                self.sources.told(silence)
            }
        };
        inventory.bandwidth = self.bandwidth;
        inventory.findings.extend(during_run(&telemetry));
        let machine_report = match self.machine_report.recv_timeout(patience) {
            Ok(standing) => standing,
            Err(_) => format!("{UNAVAILABLE}the kernel did not answer"),
        };
        Observed { inventory, telemetry, machine_report: Some(machine_report) }
    }
}

/// Where a thread of its own, with this name, will put the answer; closed without one if it
/// breaks down or can't be started. Whoever no longer waits leaves it behind.
pub(crate) fn answer<T: Send + 'static>(
    name: &str,
    ask: impl FnOnce() -> T + Send + 'static,
) -> Receiver<T> {
    let (sender, receiver) = mpsc::channel();
    let asking = move || {
        // The receiver is gone if nobody waited.
        let _ = sender.send(ask());
    };
    if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn(asking) {
        tracing::warn!("no thread to ask on ({name}): {error}");
    }
    receiver
}

/// The bandwidths of the devices that these lanes run on.
fn bandwidth_of(lanes: &[LaneFacts]) -> Option<Bandwidth> {
    let gpus: Vec<_> = lanes.iter().filter(|lane| lane.kind == Kind::Gpu).collect();
    if gpus.is_empty() {
        return None;
    }
    let mut devices = gpu::list().ok()?.devices;
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
    use crate::protocol::digest::Uuid;
    use crate::protocol::evidence::document::LaneDetails;
    use crate::protocol::evidence::machine::NvmlView;

    /// A run on one GPU whose machine is looked at by `ask`, and that ends after `until`.
    fn seen(
        patience: Duration,
        ask: impl FnOnce(&Sources, &[LaneFacts]) + Send + 'static,
        until: impl FnOnce(),
    ) -> Observed {
        let lanes = [LaneFacts {
            kind: Kind::Gpu,
            uuid: Uuid([1; 16]),
            model: "NVIDIA H200".to_owned(),
            memory_bytes: 0,
            sm_count: 0,
            details: LaneDetails::default(),
        }];
        let telemetry = RunTelemetry::start(&[], PERIOD);
        let observing = Observing::of(&lanes, telemetry, None, Tsm::default(), ask);
        until();
        observing.finish_within(patience)
    }

    /// For a source that never answers.
    const SHORT: Duration = Duration::from_millis(500);
    /// For one that does, also on a machine that is busy with other things.
    const LONG: Duration = Duration::from_secs(120);

    fn nvml_reason(seen: &Observed) -> &str {
        match &seen.inventory.nvml {
            NvmlView::Unavailable { reason } => reason,
            NvmlView::Loaded(_) => panic!("it did not answer"),
        }
    }

    #[test]
    fn a_source_that_hangs_costs_what_it_would_have_said() {
        let (held, hangs) = mpsc::channel::<()>();
        let (says, said) = mpsc::channel::<()>();
        let ask = move |sources: &Sources, _: &[LaneFacts]| {
            let _ = sources.cuda.set(examples::cuda(vec![examples::device(1)]));
            let _ = says.send(());
            let _ = hangs.recv();
        };
        let found = seen(SHORT, ask, || said.recv().expect("it says so before it hangs"));
        assert!(nvml_reason(&found).starts_with("no answer"), "{found:?}");
        assert_eq!(found.inventory.devices(), [examples::device(1)], "it had answered");
        assert!(!found.inventory.process.all_mounts.is_empty(), "this process can be looked at");
        assert_eq!(found.inventory.findings, []);
        drop(held);
    }

    #[test]
    fn looking_that_breaks_down_loses_no_result() {
        let ask = |sources: &Sources, _: &[LaneFacts]| {
            let _ = sources.cuda.set(examples::cuda(vec![examples::device(1)]));
            panic!("a library that claims too much");
        };
        let found = seen(LONG, ask, || ());
        assert!(nvml_reason(&found).contains("broke down"), "{found:?}");
        assert_eq!(found.inventory.devices(), [examples::device(1)]);
        // A driver that was not heard denies no lane its device.
        let (held, hangs) = mpsc::channel::<()>();
        let ask = move |_: &Sources, _: &[LaneFacts]| {
            let _ = hangs.recv();
        };
        let found = seen(SHORT, ask, || ());
        assert_eq!(found.inventory.findings, []);
        drop(held);
    }

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
