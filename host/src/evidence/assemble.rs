//! The evidence document of an execution.
//!
//! Numbers are integers below 2⁵³ only: 64-bit counts and anything with a
//! fraction go in as strings.

use super::inventory::{CudaView, Inventory};
use super::kernel::KernelView;
use super::nvml::NvmlView;
use crate::executor::lanes::{Execution, LaneExecution};
use crate::executor::{Kind, SmTiles};
use crate::protocol::challenge::INTEGER_MAX;
use crate::protocol::evidence::{Evidence, EvidenceError, SCHEMA, UNAVAILABLE};
use serde_json::{Map, Value, json};

/// The evidence of a finished run, with what the machine it ran on says of
/// itself and what of that does not fit together.
///
/// # Errors
/// An executor reports something that evidence may not hold, or too much.
pub fn assemble(execution: &Execution, machine: &Inventory) -> Result<Evidence, EvidenceError> {
    Evidence::from_value(document(&execution.lanes, execution.elapsed.as_nanos(), machine))
}

fn document(lanes: &[LaneExecution], elapsed_ns: u128, found: &Inventory) -> Value {
    let any_gpu = lanes.iter().any(|lane| lane.facts.kind == Kind::Gpu);
    json!({
        "schema": SCHEMA,
        "executor": if any_gpu { "gpu" } else { "cpu" },
        "lanes": lanes.iter().map(|done| lane(done, any_gpu)).collect::<Vec<_>>(),
        "program": concat!("attest ", env!("CARGO_PKG_VERSION")),
        "elapsed_ns": elapsed_ns.to_string(),
        "machine": machine(found),
        "findings": found.findings,
    })
}

/// What the sources say of the machine; a source that says nothing is absent.
fn machine(found: &Inventory) -> Value {
    let mut counts = Map::new();
    let mut machine = Map::new();
    if let CudaView::Loaded { devices, .. } = &found.cuda {
        counts.insert("cuda".to_owned(), json!(devices.len()));
    }
    if let NvmlView::Loaded { device_count, .. } = &found.nvml {
        counts.insert("nvml".to_owned(), json!(device_count));
    }
    if let KernelView::Loaded { version, devices } = &found.kernel {
        counts.insert("kernel".to_owned(), json!(devices.len()));
        machine.extend(version.iter().map(|v| ("kernel_driver_version".to_owned(), json!(v))));
    }
    machine.insert("device_counts".to_owned(), Value::Object(counts));
    machine.insert("process".to_owned(), json!(found.process));
    Value::Object(machine)
}

fn lane(lane: &LaneExecution, any_gpu: bool) -> Value {
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
    fields.extend(required.map(|(name, value)| (name.to_owned(), value)));
    if let Some(reason) = sm_monitoring {
        fields.insert("sm_monitoring".to_owned(), json!(reason));
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::examples::{cuda, device, managed, nvml};
    use crate::evidence::finding::{Code, Finding};
    use crate::evidence::process::{FileState, MappedLibrary, ProcessView};
    use crate::executor::LaneFacts;
    use crate::protocol::digest::Uuid;
    use std::time::Duration;

    /// A machine of which nothing is known.
    fn unknown() -> Inventory {
        Inventory {
            schema: 1,
            cuda: CudaView::NoGpu { reason: String::new() },
            nvml: NvmlView::Unavailable { reason: String::new() },
            kernel: KernelView::Unavailable { reason: String::new() },
            process: ProcessView::default(),
            findings: Vec::new(),
        }
    }

    fn done(kind: Kind, sm_tiles: SmTiles) -> LaneExecution {
        let mut more = Map::new();
        more.insert("kernel_variant".to_owned(), json!("sm_90a/gemm_m16n8k16"));
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
            elapsed: Duration::from_millis(1500),
            barriers: Vec::new(),
        }
    }

    #[test]
    fn counters_are_strings_and_further_fields_replace_nothing() {
        let lanes = [done(Kind::Gpu, SmTiles::Counted(vec![u64::MAX, 0]))];
        let evidence = Evidence::from_value(document(&lanes, 7, &unknown())).unwrap();
        let lane = &evidence.lanes()[0];
        assert_eq!((lane.uuid, lane.sm_count), (Uuid([5; 16]), 2));
        assert_eq!(lane.sm_tiles, [u64::MAX, 0]);
        assert_eq!(lane.sm_monitoring, None);
        assert_eq!(lane.memory_bytes, INTEGER_MAX, "2^53 and more would be no evidence");
        let value = evidence.value();
        assert_eq!(value["lanes"][0]["kernel_variant"], "sm_90a/gemm_m16n8k16");
        assert_eq!(value["lanes"][0]["elapsed_ns"], "1500000000");
        assert_eq!((&value["schema"], &value["executor"]), (&json!(1), &json!("gpu")));
    }

    #[test]
    fn missing_counters_are_said_to_be_missing() {
        let reason = "the counters of 2 SMs add up to 0 tiles of 4".to_owned();
        let lanes = [done(Kind::Gpu, SmTiles::Unavailable(reason.clone()))];
        let evidence = Evidence::from_value(document(&lanes, 7, &unknown())).unwrap();
        let lane = &evidence.lanes()[0];
        assert!(lane.sm_tiles.is_empty());
        assert_eq!(lane.sm_monitoring.as_deref(), Some(&*format!("unavailable: {reason}")));
    }

    #[test]
    fn a_cpu_has_no_counters_to_miss() {
        let lanes = [done(Kind::Cpu, SmTiles::NotApplicable)];
        let evidence = Evidence::from_value(document(&lanes, 7, &unknown())).unwrap();
        assert_eq!(evidence.value()["executor"], "cpu");
        assert!(evidence.value()["lanes"][0].get("sm_monitoring").is_none());
        let mixed = [done(Kind::Gpu, SmTiles::Counted(vec![1, 2])), lanes[0].clone()];
        let evidence = Evidence::from_value(document(&mixed, 7, &unknown())).unwrap();
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
        let found = Inventory {
            nvml: nvml(devices.iter().map(managed).collect()),
            cuda: cuda(devices.to_vec()),
            kernel: KernelView::Loaded { version: Some("580.82.07".into()), devices: Vec::new() },
            process: ProcessView { libraries: vec![library], ..ProcessView::default() },
            findings: vec![Finding::new(Code::DeviceUnlisted, "two devices"); 64],
            ..unknown()
        };
        let lanes = [done(Kind::Gpu, SmTiles::Counted(vec![1, 2]))];
        // Evidence takes no null and no number but integers below 2^53.
        let evidence = Evidence::from_value(document(&lanes, 7, &found)).unwrap();
        let machine = &evidence.value()["machine"];
        assert_eq!(machine["device_counts"], json!({"cuda": 2, "nvml": 2, "kernel": 0}));
        assert_eq!(machine["kernel_driver_version"], "580.82.07");
        assert_eq!(machine["process"]["libraries"][0]["file"], "present");
        assert_eq!(evidence.value()["findings"][63]["code"], "device-unlisted");
        // What is not known is absent, not zero.
        let plain = document(&lanes, 7, &unknown());
        assert_eq!(plain["machine"]["device_counts"], json!({}));
        assert_eq!(plain["findings"], json!([]));
    }
}
