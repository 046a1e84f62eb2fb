//! The one writer of evidence: an execution and the machine beside it as a
//! [`Document`]. Its fields are described in docs/evidence.md.
//!
//! Guarantees: takes typed values only; no null, no number but integers below 2⁵³,
//! texts and lists of bounded length in all that executors and machines say. A driver
//! or a library that says something odd costs one fact, not the run. Rates follow from
//! the run's own clock.

use super::inventory::Inventory;
use super::observed::Observed;
use super::sanitise::sanitise;
use super::sm::{self, SmShare};
use super::timing::{self, SyncTimes};
use crate::executor::lanes::{Execution, LaneExecution};
use crate::executor::{Kind, SmTiles};
use crate::protocol::challenge::INTEGER_MAX;
use crate::protocol::evidence::described::{Described, Digits, Numbers};
use crate::protocol::evidence::document::{Document, Finding, Findings, Lane, RunNotes};
use crate::protocol::evidence::machine::{
    CudaView, DeviceCounts, KernelView, Machine, NvmlDevice, NvmlView, PciView,
};
use crate::protocol::evidence::telemetry::{LaneTelemetry, Series};
use crate::protocol::evidence::{
    AVAILABLE, Evidence, EvidenceError, EvidenceExecutor, SCHEMA, UNAVAILABLE,
};
use crate::protocol::work::fp64_product::Fp64Product;
use crate::protocol::work::{Cost, Unit, Work};
use std::time::Duration;

/// Longest text, characters.
const TEXT_CHARS_MAX: usize = 1024;
/// Longest text of executors if evidence is to be as short as it can be.
const TEXT_CHARS_SHORT: usize = 256;

/// How much of what was seen is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    /// All of it.
    Full,
    /// No series of readings, and no times of single SMs.
    NoSeries,
    /// Neither series nor details of devices that no rule asks for, and what
    /// executors add in short texts.
    Least,
}

impl Detail {
    /// What executors and sessions add, within bounds.
    fn bounded<T: Described + Clone>(self, part: &T) -> T {
        bounded(part, if self == Self::Least { TEXT_CHARS_SHORT } else { TEXT_CHARS_MAX })
    }
}

fn bounded<T: Described + Clone>(part: &T, text_chars_max: usize) -> T {
    let mut part = part.clone();
    part.bound(text_chars_max);
    part
}

/// The evidence of a finished run, with what the machine that it ran on says about
/// itself and what of that does not fit together. If all of it is too long or has
/// too many values, the series go, then the descriptions of devices and the ends of long texts.
///
/// # Errors
/// An executor reports something that evidence may not hold, or too much.
pub fn assemble(execution: &Execution, observed: &Observed) -> Result<Evidence, EvidenceError> {
    let run = Run { lanes: &execution.lanes, work: execution.work(), elapsed: execution.elapsed };
    let mut last = Err(EvidenceError::Null);
    for detail in [Detail::Full, Detail::NoSeries, Detail::Least] {
        let mut document = run.document(observed, &execution.notes, detail);
        let listing = if detail == Detail::Full { SyncTimes::Listed } else { SyncTimes::Summed };
        timing::describe(&mut document, execution, listing);
        last = Evidence::from_value(sanitise(&document));
        let is_too_much = |error: &EvidenceError| {
            matches!(error, EvidenceError::TooLarge { .. } | EvidenceError::TooManyValues { .. })
        };
        if !last.as_ref().is_err_and(is_too_much) {
            break;
        }
    }
    last
}

/// SM warnings of a run, for whoever watches it.
pub fn sm_warnings(execution: &Execution) -> Vec<String> {
    let of_lane = |(g, lane): (usize, &LaneExecution)| {
        let share = sm_share(lane, execution.work());
        let warnings = share.map_or(Vec::new(), |share| share.warnings);
        warnings.into_iter().map(move |warning| format!("lane {g}: {warning}"))
    };
    execution.lanes.iter().enumerate().flat_map(of_lane).collect()
}

fn sm_share(lane: &LaneExecution, work: Work) -> Option<SmShare> {
    match &lane.sm_tiles {
        SmTiles::Counted(tiles) => SmShare::of(tiles, lane.sm_activity.clone(), work.tiles()),
        SmTiles::Unavailable(_) | SmTiles::NotApplicable => None,
    }
}

/// What was run.
struct Run<'a> {
    lanes: &'a [LaneExecution],
    work: Work,
    elapsed: Duration,
}

impl Run<'_> {
    fn document(&self, observed: &Observed, notes: &RunNotes, detail: Detail) -> Document {
        let any_gpu = self.lanes.iter().any(|lane| lane.facts.kind == Kind::Gpu);
        let lane = |(g, done): (usize, &LaneExecution)| {
            let telemetry = observed.telemetry.get(g).and_then(Option::as_ref);
            self.lane(done, any_gpu, &observed.inventory, telemetry, detail)
        };
        let findings = observed.inventory.findings.iter();
        let finding = |it: &super::Finding| Finding { code: it.code.name(), text: it.text.clone() };
        Document {
            notes: detail.bounded(notes),
            schema: SCHEMA,
            executor: if any_gpu { EvidenceExecutor::Gpu } else { EvidenceExecutor::Cpu },
            program: concat!("attest ", env!("CARGO_PKG_VERSION")),
            elapsed_ns: nanoseconds(self.elapsed),
            lanes: self.lanes.iter().enumerate().map(lane).collect(),
            machine: machine(observed, detail),
            findings: Findings(findings.map(finding).collect()),
            sync: None,
            resumed_after_iteration: None,
        }
    }

    fn lane(
        &self,
        lane: &LaneExecution,
        any_gpu: bool,
        machine: &Inventory,
        telemetry: Option<&LaneTelemetry>,
        detail: Detail,
    ) -> Lane {
        let facts = &lane.facts;
        let (sm_tiles, sm_monitoring) = match &lane.sm_tiles {
            SmTiles::Counted(counts) => (counts.as_slice(), None),
            SmTiles::Unavailable(reason) => (&[][..], Some(format!("{UNAVAILABLE}{reason}"))),
            // Beside a GPU's, the lane of a CPU has to say why it counts nothing.
            SmTiles::NotApplicable if any_gpu => {
                (&[][..], Some(format!("{UNAVAILABLE}this lane is a CPU")))
            }
            SmTiles::NotApplicable => (&[][..], None),
        };
        let spans = if detail == Detail::Full { sm::Spans::Told } else { sm::Spans::LeftOut };
        // What NVML says about the device that its readings are compared with.
        let pci_id = facts.details.pci_id.as_deref();
        let device = pci_id.and_then(|pci_id| machine.nvml.device_at(pci_id));
        let rates = self.rates(lane);
        Lane {
            details: detail.bounded(&facts.details),
            uuid: facts.uuid,
            model: facts.model.clone(),
            memory_bytes: facts.memory_bytes.min(INTEGER_MAX),
            sm_count: facts.sm_count,
            sm_tiles: Numbers(sm_tiles.iter().copied().map(Digits).collect()),
            sm_monitoring,
            sm_activity: sm_share(lane, self.work).map(|share| share.told(spans)),
            elapsed_ns: nanoseconds(lane.elapsed),
            achieved_flops: rates.flops,
            achieved_bytes_per_s: rates.bytes,
            achieved_ops_per_s: rates.operations,
            operand_bytes_per_s: rates.operand_bytes,
            timing: None,
            start_barrier: None,
            end_barrier: None,
            sync_times: Numbers(Vec::new()),
            telemetry: telemetry.map(|seen| told(seen, detail)),
            power_limit_mw: device.and_then(|device| device.power_limit_mw),
            sm_clock_max_mhz: device.and_then(|device| device.sm_clock_max_mhz),
            serial: device.and_then(|device| bounded(&device.serial, TEXT_CHARS_MAX)),
            device_report: device
                .and_then(|device| bounded(&device_report(device), TEXT_CHARS_SHORT)),
            confidential_dev_tools: device.and_then(|device| device.confidential_dev_tools),
        }
    }

    /// What follows from the lane's iterations and its own time.
    fn rates(&self, lane: &LaneExecution) -> Rates {
        let seconds = lane.elapsed.as_secs_f64();
        if seconds <= 0.0 {
            return Rates::default();
        }
        let iterations = lane.roots.len() as f64;
        let rate = |amount: f64| Some(Digits((amount / seconds).round_ties_even() as u64));
        let Cost { amount, unit } = self.work.cost();
        let achieved = rate(amount as f64 * iterations);
        let (flops, bytes, operations) = match unit {
            Unit::Flop => (achieved, None, None),
            Unit::Bytes => (None, achieved, None),
            Unit::Operations => (None, None, achieved),
        };
        // Two operands of n² binary64 values a product, written once and
        // read at least once.
        let operands = |shape: Fp64Product| {
            let dim = f64::from(shape.dim);
            2.0 * 8.0 * dim * dim * f64::from(shape.products) * iterations
        };
        let has_memory = lane.facts.kind == Kind::Gpu;
        let shape = self.work.fp64_product().filter(|_| has_memory);
        let operand_bytes = shape.and_then(|shape| rate(2.0 * operands(shape)));
        Rates { flops, bytes, operations, operand_bytes }
    }
}

/// Whether a device signs reports, as NVML says.
fn device_report(device: &NvmlDevice) -> Option<String> {
    match device.device_report {
        Some(true) => Some(AVAILABLE.to_owned()),
        Some(false) => Some(format!("{UNAVAILABLE}it has no certificates")),
        None => Some(format!("{UNAVAILABLE}{}", device.unknown.get("device_report")?)),
    }
}

/// A lane's rates, a second.
#[derive(Default)]
struct Rates {
    flops: Option<Digits>,
    bytes: Option<Digits>,
    operations: Option<Digits>,
    operand_bytes: Option<Digits>,
}

fn nanoseconds(time: Duration) -> Digits {
    Digits(time.as_nanos() as u64)
}

fn told(seen: &LaneTelemetry, detail: Detail) -> LaneTelemetry {
    let mut seen = seen.clone();
    if let LaneTelemetry::Sampled(sampled) = &mut seen
        && detail != Detail::Full
    {
        sampled.series = Series::default();
    }
    seen.bound(TEXT_CHARS_MAX);
    seen
}

/// The machine by each source; a source that says nothing is absent, and
/// why stands in `unknown`.
fn machine(observed: &Observed, detail: Detail) -> Machine {
    let found = &observed.inventory;
    let mut machine = Machine {
        machine_id: found.machine_id.clone(),
        machine_report: observed.machine_report.clone(),
        unknown: found.silent().into_iter().map(|(name, why)| (name, why.to_owned())).collect(),
        process: found.process.clone(),
        ..Machine::default()
    };
    let mut counts = DeviceCounts::default();
    if let NvmlView::Loaded(source) = &found.nvml {
        counts.nvml = Some(source.device_count);
    }
    if let KernelView::Loaded(source) = &found.kernel {
        counts.kernel = Some(source.devices.len());
        machine.kernel_driver_version.clone_from(&source.version);
    }
    let has = |loaded: bool, count: usize| loaded.then_some(count);
    let (cuda, pci) = (&found.cuda, &found.pci);
    counts.cuda = has(matches!(cuda, CudaView::Loaded(_)), cuda.count());
    counts.pci = has(matches!(pci, PciView::Loaded(_)), pci.devices().len());
    if detail != Detail::Least {
        machine.cuda = counts.cuda.map(|_| cuda.clone());
        machine.nvml = counts.nvml.map(|_| found.nvml.clone());
        machine.kernel = counts.kernel.map(|_| found.kernel.clone());
        machine.pci = counts.pci.map(|_| pci.clone());
        machine.bandwidth.clone_from(&found.bandwidth);
    }
    machine.device_counts = counts;
    machine.bound(TEXT_CHARS_MAX);
    machine
}

#[cfg(test)]
#[path = "assemble_tests.rs"]
mod tests;
