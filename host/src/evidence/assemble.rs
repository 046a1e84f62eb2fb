//! The evidence document of an execution. Its fields are described in
//! docs/evidence.md.
//!
//! Numbers are integers below 2⁵³ only: 64-bit counts and anything with a
//! fraction go in as strings. Rates follow from the run's own clock.

use super::inventory::{CudaView, Inventory};
use super::kernel::KernelView;
use super::legal::{brief, legal};
use super::nvml::NvmlView;
use super::observed::Observed;
use super::pci::PciView;
use super::sm::SmShare;
use super::timing::{self, SyncTimes};
use crate::executor::gpu::telemetry::{LaneTelemetry, Series};
use crate::executor::lanes::{Execution, LaneExecution};
use crate::executor::{Kind, SmTiles};
use crate::protocol::challenge::INTEGER_MAX;
use crate::protocol::evidence::{Evidence, EvidenceError, SCHEMA, UNAVAILABLE};
use crate::protocol::work::{Cost, Unit, Work};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How much of what was seen is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    /// All of it.
    Full,
    /// No series of readings, and no times of single SMs.
    NoSeries,
    /// Neither series nor what is said of devices that no rule asks for, and what
    /// executors add in short texts.
    Least,
}

impl Detail {
    /// What executors and sessions add, within bounds.
    fn bounded(self, value: &Value) -> Value {
        let value = value.clone();
        if self == Self::Least { brief(value) } else { legal(value) }
    }
}

/// The evidence of a finished run, with what the machine it ran on says of
/// itself and what of that does not fit together. Where all of it is too long or has
/// too many values, the series go, then the descriptions of devices and the ends of long texts.
///
/// # Errors
/// An executor reports something that evidence may not hold, or too much.
pub fn assemble(execution: &Execution, observed: &Observed) -> Result<Evidence, EvidenceError> {
    let run = Run { lanes: &execution.lanes, work: execution.work(), elapsed: execution.elapsed };
    let mut last = Err(EvidenceError::Null);
    for detail in [Detail::Full, Detail::NoSeries, Detail::Least] {
        let mut value = run.document(observed, detail);
        let listing = if detail == Detail::Full { SyncTimes::Listed } else { SyncTimes::Summed };
        timing::describe(&mut value, execution, listing);
        if let Some(fields) = value.as_object_mut() {
            for (name, note) in &execution.notes {
                // They add to the document and replace nothing.
                fields.entry(name).or_insert_with(|| detail.bounded(note));
            }
        }
        last = Evidence::from_value(value);
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
    fn document(&self, observed: &Observed, detail: Detail) -> Value {
        let any_gpu = self.lanes.iter().any(|lane| lane.facts.kind == Kind::Gpu);
        let lane = |(g, done): (usize, &LaneExecution)| {
            let telemetry = observed.telemetry.get(g).and_then(Option::as_ref);
            self.lane(done, any_gpu, &observed.inventory, telemetry, detail)
        };
        json!({
            "schema": SCHEMA,
            "executor": if any_gpu { "gpu" } else { "cpu" },
            "lanes": self.lanes.iter().enumerate().map(lane).collect::<Vec<_>>(),
            "program": concat!("attest ", env!("CARGO_PKG_VERSION")),
            "elapsed_ns": self.elapsed.as_nanos().to_string(),
            "machine": machine(&observed.inventory, detail),
            "findings": observed.inventory.findings,
        })
    }

    fn lane(
        &self,
        lane: &LaneExecution,
        any_gpu: bool,
        machine: &Inventory,
        telemetry: Option<&LaneTelemetry>,
        detail: Detail,
    ) -> Value {
        let facts = &lane.facts;
        // What the executor adds goes first: it cannot replace a required field.
        let known = facts.more.iter().filter(|(_, value)| !value.is_null());
        let mut fields: Map<String, Value> =
            known.map(|(name, value)| (name.clone(), detail.bounded(value))).collect();
        let (sm_tiles, sm_monitoring) = match &lane.sm_tiles {
            SmTiles::Counted(counts) => (counts.as_slice(), None),
            SmTiles::Unavailable(reason) => (&[][..], Some(format!("{UNAVAILABLE}{reason}"))),
            // Beside a GPU's, the lane of a CPU has to say why it counts nothing.
            SmTiles::NotApplicable if any_gpu => {
                (&[][..], Some(format!("{UNAVAILABLE}this lane is a CPU")))
            }
            SmTiles::NotApplicable => (&[][..], None),
        };
        let sm_tiles: Vec<String> = sm_tiles.iter().map(u64::to_string).collect();
        let required = [
            ("uuid", json!(facts.uuid)),
            ("model", json!(facts.model)),
            ("memory_bytes", json!(facts.memory_bytes.min(INTEGER_MAX))),
            ("sm_count", json!(facts.sm_count)),
            ("sm_tiles", json!(sm_tiles)),
            ("elapsed_ns", json!(lane.elapsed.as_nanos().to_string())),
        ];
        let monitoring = sm_monitoring.map(|reason| ("sm_monitoring", json!(reason)));
        let share = sm_share(lane, self.work).map(|share| {
            let mut value = share.to_value();
            if let Some(spans) = share.spans().filter(|_| detail == Detail::Full) {
                value["spans_ns"] = spans;
            }
            ("sm_activity", value)
        });
        let telemetry = telemetry.map(|seen| ("telemetry", legal(telemetry_value(seen, detail))));
        let optional = [monitoring, share, telemetry];
        let further = self.rates(lane).into_iter().chain(limits(lane, machine));
        let all = required.into_iter().chain(optional.into_iter().flatten()).chain(further);
        fields.extend(all.map(|(name, value)| (name.to_owned(), value)));
        Value::Object(fields)
    }

    /// What follows from the lane's iterations and its own time.
    fn rates(&self, lane: &LaneExecution) -> Vec<(&'static str, Value)> {
        let seconds = lane.elapsed.as_secs_f64();
        if seconds <= 0.0 {
            return Vec::new();
        }
        let iterations = lane.roots.len() as f64;
        let rate = |amount: f64| json!(format!("{:.0}", amount / seconds));
        let Cost { amount, unit } = self.work.cost();
        let name = match unit {
            Unit::Flop => "achieved_flops",
            Unit::Bytes => "achieved_bytes_per_s",
        };
        let mut rates = vec![(name, rate(amount as f64 * iterations))];
        if let (Kind::Gpu, Some(shape)) = (lane.facts.kind, self.work.fp64_product()) {
            // Two operands of n² binary64 values a product, written once and
            // read at least once.
            let dim = f64::from(shape.dim);
            let operands = 2.0 * 8.0 * dim * dim * f64::from(shape.products) * iterations;
            rates.push(("operand_bytes_per_s", rate(2.0 * operands)));
        }
        rates
    }
}

/// What NVML says of the lane's device that its readings are compared with.
fn limits(lane: &LaneExecution, machine: &Inventory) -> Vec<(&'static str, Value)> {
    let pci_id = lane.facts.more.get("pci_id").and_then(Value::as_str);
    let Some(device) = pci_id.and_then(|pci_id| machine.nvml.device_at(pci_id)) else {
        return Vec::new();
    };
    let limits = [
        ("power_limit_mw", device.power_limit_mw.map(|limit| json!(limit))),
        ("sm_clock_max_mhz", device.sm_clock_max_mhz.map(|limit| json!(limit))),
        ("serial", device.serial.as_ref().map(|serial| legal(json!(serial)))),
    ];
    limits.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn telemetry_value(seen: &LaneTelemetry, detail: Detail) -> Value {
    match seen {
        LaneTelemetry::Sampled(seen) if detail != Detail::Full => {
            let mut seen = seen.clone();
            seen.series = Series::default();
            value(&seen)
        }
        seen => value(seen),
    }
}

/// What the sources say of the machine; a source that says nothing is absent, and
/// why stands in `unknown`.
fn machine(found: &Inventory, detail: Detail) -> Value {
    let mut counts = Map::new();
    let mut machine = Map::new();
    let mut view = |name: &str, view: Value| {
        if detail != Detail::Least {
            machine.insert(name.to_owned(), legal(view));
        }
    };
    if let CudaView::Loaded { .. } = &found.cuda {
        counts.insert("cuda".to_owned(), json!(found.cuda.count()));
        view("cuda", value(&found.cuda));
    }
    if let NvmlView::Loaded { device_count, .. } = &found.nvml {
        counts.insert("nvml".to_owned(), json!(device_count));
        view("nvml", value(&found.nvml));
    }
    if let PciView::Loaded { devices } = &found.pci {
        counts.insert("pci".to_owned(), json!(devices.len()));
        view("pci", value(&found.pci));
    }
    if let Some(bandwidth) = &found.bandwidth {
        view("bandwidth", value(bandwidth));
    }
    if let KernelView::Loaded { version, devices } = &found.kernel {
        counts.insert("kernel".to_owned(), json!(devices.len()));
        view("kernel", value(&found.kernel));
        machine.extend(version.iter().map(|v| ("kernel_driver_version".to_owned(), json!(v))));
    }
    let silent = found.silent();
    if !silent.is_empty() {
        let silent = silent.into_iter().map(|(name, why)| (name.to_owned(), json!(why)));
        machine.insert("unknown".to_owned(), legal(Value::Object(silent.collect())));
    }
    machine.insert("device_counts".to_owned(), Value::Object(counts));
    machine.insert("process".to_owned(), legal(value(&found.process)));
    machine.extend(found.machine_id.iter().map(|id| ("machine_id".to_owned(), json!(id))));
    Value::Object(machine)
}

/// Plain data as JSON: numbers, texts, lists.
fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).expect("maps have texts for keys, and nothing here can fail")
}

#[cfg(test)]
#[path = "assemble_tests.rs"]
mod tests;
