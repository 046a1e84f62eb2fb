//! The evidence document of an execution. Its fields are described in
//! docs/evidence.md.
//!
//! Numbers are integers below 2⁵³ only: 64-bit counts and anything with a
//! fraction go in as strings. Rates follow from the run's own clock.

use super::inventory::{CudaView, Inventory};
use super::kernel::KernelView;
use super::legal::legal;
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
use crate::protocol::plan::Shape;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How much of what was seen is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    /// All of it.
    Full,
    /// No series of readings.
    NoSeries,
    /// Neither series nor what is said of devices that no rule asks for.
    Least,
}

/// The evidence of a finished run, with what the machine it ran on says of
/// itself and what of that does not fit together. Where all of it is too long,
/// the series go, then the descriptions of devices.
///
/// # Errors
/// An executor reports something that evidence may not hold, or too much.
pub fn assemble(execution: &Execution, observed: &Observed) -> Result<Evidence, EvidenceError> {
    let run = Run { lanes: &execution.lanes, shape: execution.shape(), elapsed: execution.elapsed };
    let mut last = Err(EvidenceError::Null);
    for detail in [Detail::Full, Detail::NoSeries, Detail::Least] {
        let mut value = run.document(observed, detail);
        let listing = if detail == Detail::Full { SyncTimes::Listed } else { SyncTimes::Summed };
        timing::describe(&mut value, execution, listing);
        if let Some(fields) = value.as_object_mut() {
            for (name, note) in &execution.notes {
                // They add to the document and replace nothing.
                fields.entry(name).or_insert_with(|| note.clone());
            }
        }
        last = Evidence::from_value(value);
        if !matches!(last, Err(EvidenceError::TooLarge { .. })) {
            break;
        }
    }
    last
}

/// SM warnings of a run, for whoever watches it.
pub fn sm_warnings(execution: &Execution) -> Vec<String> {
    let of_lane = |(g, lane): (usize, &LaneExecution)| {
        let share = sm_share(lane, execution.shape());
        let warnings = share.map_or(Vec::new(), |share| share.warnings);
        warnings.into_iter().map(move |warning| format!("lane {g}: {warning}"))
    };
    execution.lanes.iter().enumerate().flat_map(of_lane).collect()
}

fn sm_share(lane: &LaneExecution, shape: Shape) -> Option<SmShare> {
    match &lane.sm_tiles {
        SmTiles::Counted(tiles) => SmShare::of(tiles, lane.sm_activity, shape.tiles()),
        SmTiles::Unavailable(_) | SmTiles::NotApplicable => None,
    }
}

/// What was run.
struct Run<'a> {
    lanes: &'a [LaneExecution],
    shape: Shape,
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
        let mut fields: Map<String, Value> = facts.more.clone();
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
        let share = sm_share(lane, self.shape).map(|share| ("sm_activity", share.to_value()));
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
        let flops = 2.0 * self.shape.multiply_adds() as f64 * iterations;
        let mut rates = vec![("achieved_flops", rate(flops))];
        if lane.facts.kind == Kind::Gpu {
            // Two operands of n² binary64 values a product, written once and
            // read at least once.
            let dim = f64::from(self.shape.dim);
            let operands = 2.0 * 8.0 * dim * dim * f64::from(self.shape.products) * iterations;
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

/// What the sources say of the machine; a source that says nothing is absent.
fn machine(found: &Inventory, detail: Detail) -> Value {
    let mut counts = Map::new();
    let mut machine = Map::new();
    let mut view = |name: &str, view: Value| {
        if detail != Detail::Least {
            machine.insert(name.to_owned(), legal(view));
        }
    };
    if let CudaView::Loaded { devices, .. } = &found.cuda {
        counts.insert("cuda".to_owned(), json!(devices.len()));
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
    machine.insert("device_counts".to_owned(), Value::Object(counts));
    machine.insert("process".to_owned(), legal(value(&found.process)));
    Value::Object(machine)
}

/// Plain data as JSON: numbers, texts, lists.
fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).expect("maps have texts for keys, and nothing here can fail")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::examples::{absent, cuda, device, managed, nvml};
    use crate::evidence::finding::{Code, Finding};
    use crate::evidence::process::{FileState, MappedLibrary, ProcessView};
    use crate::executor::LaneFacts;
    use crate::protocol::digest::Uuid;

    /// A machine of which nothing is known.
    fn unknown() -> Observed {
        Observed { inventory: absent(), telemetry: Vec::new() }
    }

    const SHAPE: Shape = Shape { dim: 1024, products: 2 };

    fn document(lanes: &[LaneExecution], observed: &Observed, detail: Detail) -> Value {
        let run = Run { lanes, shape: SHAPE, elapsed: Duration::from_nanos(7) };
        run.document(observed, detail)
    }

    fn evidence_of(lanes: &[LaneExecution], observed: &Observed) -> Evidence {
        Evidence::from_value(document(lanes, observed, Detail::Full)).unwrap()
    }

    fn done(kind: Kind, sm_tiles: SmTiles) -> LaneExecution {
        let mut more = Map::new();
        more.insert("kernel_variant".to_owned(), json!("sm_90a/gemm_m16n8k8"));
        more.insert("sm_tiles".to_owned(), json!("not yours to say"));
        let facts = LaneFacts {
            kind,
            uuid: Uuid([5; 16]),
            model: "NVIDIA H200".to_owned(),
            memory_bytes: u64::MAX,
            sm_count: if kind == Kind::Gpu { 2 } else { 0 },
            more,
        };
        LaneExecution {
            facts,
            roots: Vec::new(),
            tile_roots: Vec::new(),
            states: Vec::new(),
            sm_tiles,
            sm_activity: None,
            elapsed: Duration::from_millis(1500),
            barriers: Vec::new(),
            device: None,
        }
    }

    #[test]
    fn counters_are_strings_and_further_fields_replace_nothing() {
        let lanes = [done(Kind::Gpu, SmTiles::Counted(vec![u64::MAX, 0]))];
        let evidence = evidence_of(&lanes, &unknown());
        let lane = &evidence.lanes()[0];
        assert_eq!((lane.uuid, lane.sm_count), (Uuid([5; 16]), 2));
        assert_eq!(lane.sm_tiles, [u64::MAX, 0]);
        assert_eq!(lane.sm_monitoring, None);
        assert_eq!(lane.memory_bytes, INTEGER_MAX, "2^53 and more would be no evidence");
        let value = evidence.value();
        assert_eq!(value["lanes"][0]["kernel_variant"], "sm_90a/gemm_m16n8k8");
        assert_eq!(value["lanes"][0]["elapsed_ns"], "1500000000");
        assert_eq!((&value["schema"], &value["executor"]), (&json!(1), &json!("gpu")));
    }

    #[test]
    fn missing_counters_are_said_to_be_missing() {
        let reason = "the counters of 2 SMs add up to 0 tiles of 4".to_owned();
        let lanes = [done(Kind::Gpu, SmTiles::Unavailable(reason.clone()))];
        let evidence = evidence_of(&lanes, &unknown());
        let lane = &evidence.lanes()[0];
        assert!(lane.sm_tiles.is_empty());
        assert_eq!(lane.sm_monitoring.as_deref(), Some(&*format!("unavailable: {reason}")));
    }

    #[test]
    fn a_cpu_has_no_counters_to_miss() {
        let lanes = [done(Kind::Cpu, SmTiles::NotApplicable)];
        let evidence = evidence_of(&lanes, &unknown());
        assert_eq!(evidence.value()["executor"], "cpu");
        assert!(evidence.value()["lanes"][0].get("sm_monitoring").is_none());
        let mixed = [done(Kind::Gpu, SmTiles::Counted(vec![1, 2])), lanes[0].clone()];
        let evidence = evidence_of(&mixed, &unknown());
        assert!(evidence.lanes()[1].sm_monitoring.as_ref().unwrap().starts_with(UNAVAILABLE));
    }

    #[test]
    fn the_machine_and_its_findings_are_evidence() {
        let devices = [device(1), device(2)];
        let library = MappedLibrary {
            path: "/usr/lib/libcuda.so.1".to_owned(),
            file: FileState::Present,
            sha256: Some("00".repeat(32)),
        };
        let inventory = Inventory {
            nvml: nvml(devices.iter().map(managed).collect()),
            cuda: cuda(devices.to_vec()),
            kernel: KernelView::Loaded { version: Some("580.82.07".into()), devices: Vec::new() },
            process: ProcessView { libraries: vec![library], ..ProcessView::default() },
            findings: vec![Finding::new(Code::DeviceUnlisted, "two devices"); 64],
            ..absent()
        };
        let found = Observed { inventory, telemetry: Vec::new() };
        let lanes = [done(Kind::Gpu, SmTiles::Counted(vec![1, 2]))];
        // Evidence takes no null and no number but integers below 2^53.
        let evidence = evidence_of(&lanes, &found);
        let machine = &evidence.value()["machine"];
        assert_eq!(machine["device_counts"], json!({"cuda": 2, "nvml": 2, "kernel": 0}));
        assert_eq!(machine["kernel_driver_version"], "580.82.07");
        assert_eq!(machine["process"]["libraries"][0]["file"], "present");
        assert_eq!(evidence.value()["findings"][63]["code"], "device-unlisted");
        // What is not known is absent, not zero.
        let plain = document(&lanes, &unknown(), Detail::Full);
        assert_eq!(plain["machine"]["device_counts"], json!({}));
        assert_eq!(plain["findings"], json!([]));
    }

    #[test]
    fn rates_follow_from_the_lanes_own_time() {
        let mut lane = done(Kind::Gpu, SmTiles::Counted(vec![64, 64]));
        lane.roots = vec![crate::protocol::digest::Digest::default(); 3];
        let value = document(&[lane.clone()], &unknown(), Detail::Full);
        // 3 iterations of 2 products in 1.5 s; operands are written and read.
        let flops = 2_u64 * 1024 * 1024 * 1024 * 2 * 2;
        assert_eq!(value["lanes"][0]["achieved_flops"], flops.to_string());
        let bytes = 2_u64 * 2 * 2 * 8 * 1024 * 1024 * 2;
        assert_eq!(value["lanes"][0]["operand_bytes_per_s"], bytes.to_string());
        assert_eq!(value["lanes"][0]["sm_activity"]["active"], 2);
        let cpu = LaneExecution { elapsed: Duration::ZERO, ..done(Kind::Cpu, lane.sm_tiles) };
        let value = document(&[cpu], &unknown(), Detail::Full);
        for absent in ["achieved_flops", "operand_bytes_per_s", "telemetry"] {
            assert!(value["lanes"][0].get(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn what_a_device_did_is_evidence_of_its_lane() {
        let mut lane = done(Kind::Gpu, SmTiles::Counted(vec![1, 2]));
        let real = device(1);
        lane.facts.more.insert("pci_id".to_owned(), json!(real.pci_id));
        let managed = crate::evidence::NvmlDevice {
            power_limit_mw: Some(700_000),
            memory_used_bytes: Some(u64::MAX),
            ..managed(&real)
        };
        let inventory = Inventory { nvml: nvml(vec![managed]), cuda: cuda(vec![real]), ..absent() };
        let unknown = LaneTelemetry::Unknown { unknown: "no library".to_owned() };
        let observed = Observed { inventory, telemetry: vec![Some(unknown)] };
        let evidence = evidence_of(&[lane], &observed);
        let (lane, machine) = (&evidence.value()["lanes"][0], &evidence.value()["machine"]);
        assert_eq!(lane["telemetry"]["unknown"], "no library");
        assert_eq!(lane["power_limit_mw"], 700_000);
        let used = &machine["nvml"]["devices"][0]["memory_used_bytes"];
        assert_eq!(used, "18446744073709551615", "a library may say anything");
        assert_eq!(machine["cuda"]["peer_access"], json!(["-"]));
    }

    #[test]
    fn evidence_of_64_devices_fits_and_its_details_can_go() {
        let devices: Vec<_> = (0..64).map(device).collect();
        let lanes: Vec<_> =
            (0..64).map(|_| done(Kind::Gpu, SmTiles::Counted(vec![1 << 40; 132]))).collect();
        let managed = |real| crate::evidence::NvmlDevice {
            nvlinks: (0..18)
                .map(|link| crate::evidence::NvLink {
                    link,
                    active: true,
                    version: Some("4.0".to_owned()),
                    remote_pci_id: Some("00000000:05:00.0".to_owned()),
                })
                .collect(),
            ..managed(real)
        };
        let inventory = Inventory {
            nvml: nvml(devices.iter().map(managed).collect()),
            cuda: cuda(devices),
            ..absent()
        };
        let observed = Observed { inventory, telemetry: Vec::new() };
        let length = |detail| document(&lanes, &observed, detail).to_string().len();
        let full = length(Detail::Full);
        assert!(full < crate::protocol::evidence::CANONICAL_BYTES_MAX, "{full}");
        assert!(length(Detail::Least) < full * 2 / 3);
    }
}
