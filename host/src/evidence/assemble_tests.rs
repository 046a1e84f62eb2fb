//! Evidence of runs and machines of all kinds.

use super::*;
use crate::evidence::examples::{absent, cuda, device, finished, full, managed, nvml};
use crate::evidence::finding::{Code, Finding};
use crate::executor::lanes::BarrierTimes;
use crate::executor::{DeviceTiming, IdleTime, LaneFacts};
use crate::ledger::Sighting;
use crate::protocol::digest::Uuid;
use crate::protocol::evidence::VALUES_MAX;
use crate::protocol::evidence::document::{ClaimedFindings, LaneDetails};
use crate::protocol::evidence::machine::{
    FileState, KernelSource, MappedLibrary, NvLink, NvmlDevice, ProcessView,
};
use crate::protocol::names::Root;
use crate::protocol::work::fp64_product::Fp64Product;
use serde_json::{Value, json};

/// A machine of which nothing is known.
fn unknown() -> Observed {
    Observed { inventory: absent(), telemetry: Vec::new(), machine_report: None }
}

const SHAPE: Fp64Product = Fp64Product { dim: 1024, products: 2 };

fn document(lanes: &[LaneExecution], observed: &Observed, detail: Detail) -> Value {
    let run = Run { lanes, work: SHAPE.into(), elapsed: Duration::from_nanos(7) };
    sanitise(&run.document(observed, &RunNotes::default(), detail))
}

fn evidence_of(lanes: &[LaneExecution], observed: &Observed) -> Evidence {
    Evidence::from_value(document(lanes, observed, Detail::Full)).unwrap()
}

fn done(kind: Kind, sm_tiles: SmTiles) -> LaneExecution {
    let kernel_variant = Some("sm_90a/gemm_m16n8k16".to_owned());
    let details = LaneDetails { kernel_variant, ..LaneDetails::default() };
    let facts = LaneFacts {
        kind,
        uuid: Uuid([5; 16]),
        model: "NVIDIA H200".to_owned(),
        memory_bytes: u64::MAX,
        sm_count: if kind == Kind::Gpu { 2 } else { 0 },
        details,
    };
    LaneExecution {
        facts,
        roots: Vec::new(),
        tile_roots: Vec::new(),
        states: Vec::new(),
        sm_tiles,
        sm_activity: None,
        elapsed: Duration::from_millis(1500),
        start: None,
        barriers: Vec::new(),
        end: None,
        device: None,
    }
}

#[test]
fn counters_are_strings() {
    let lanes = [done(Kind::Gpu, SmTiles::Counted(vec![u64::MAX, 0]))];
    let evidence = evidence_of(&lanes, &unknown());
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
        kernel: KernelView::Loaded(KernelSource {
            version: Some("580.82.07".into()),
            devices: Vec::new(),
        }),
        process: ProcessView { libraries: vec![library], ..ProcessView::default() },
        findings: vec![Finding::new(Code::DeviceUnlisted, "two devices"); 64],
        ..absent()
    };
    let found = Observed { inventory, telemetry: Vec::new(), machine_report: None };
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
    lane.roots = vec![Root::default(); 3];
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
    lane.facts.details.pci_id = Some(real.pci_id.clone());
    let managed = NvmlDevice {
        power_limit_mw: Some(700_000),
        memory_used_bytes: Some(u64::MAX),
        ..managed(&real)
    };
    let inventory = Inventory { nvml: nvml(vec![managed]), cuda: cuda(vec![real]), ..absent() };
    let unknown = LaneTelemetry::Unknown { unknown: "no library".to_owned() };
    let observed = Observed { inventory, telemetry: vec![Some(unknown)], machine_report: None };
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
    let managed = |real| NvmlDevice {
        nvlinks: (0..18)
            .map(|link| NvLink {
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
    let observed = Observed { inventory, telemetry: Vec::new(), machine_report: None };
    let length = |detail| document(&lanes, &observed, detail).to_string().len();
    let full = length(Detail::Full);
    assert!(full < crate::protocol::evidence::CANONICAL_BYTES_MAX, "{full}");
    assert!(length(Detail::Least) < full * 2 / 3);
}

#[test]
fn however_much_a_compiler_says_evidence_is_not_too_long() {
    let (mut lane, observed) = full();
    // What the driver's compiler has room for, of each of eight variants.
    lane.facts.details.kernel_notes = Some(vec!["\"".repeat(8192); 8]);
    let one = assemble(&finished(lane.clone()), &observed).unwrap();
    let note = |evidence: &Evidence| {
        let note = &evidence.value()["lanes"][0]["kernel_notes"][7];
        note.as_str().expect("a text").len()
    };
    assert_eq!(note(&one), 1024);
    let mut execution = finished(lane);
    execution.lanes = vec![execution.lanes[0].clone(); 64];
    execution.notes.executor_chosen = Some("x".repeat(1 << 20));
    let all = assemble(&execution, &observed).unwrap();
    assert_eq!((all.lanes().len(), note(&all)), (64, 256));
}

#[test]
fn a_source_that_says_nothing_is_unknown_with_the_reason() {
    let nvml = NvmlView::Unavailable { reason: "no answer".to_owned() };
    let told = sanitise(&machine(
        &Observed { inventory: Inventory { nvml, ..absent() }, ..unknown() },
        Detail::Least,
    ));
    assert_eq!(told["unknown"], json!({"nvml": "no answer"}));
    assert!(sanitise(&machine(&unknown(), Detail::Full)).get("unknown").is_none());
}

/// Every name of a field in `value`, at any depth.
fn names(value: &Value, found: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.keys().cloned());
            members.values().for_each(|value| names(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| names(value, found)),
        _ => {}
    }
}

#[test]
fn every_field_is_documented() {
    let docs = include_str!("../../../docs/evidence.md");
    let (lane, observed) = full();
    let evidence = assemble(&finished(lane), &observed).unwrap();
    let mut found = std::collections::BTreeSet::new();
    names(evidence.value(), &mut found);
    assert!(found.len() > 160, "{} fields are too few to be all", found.len());
    for name in [
        "sync_times",
        "start_barrier",
        "end_barrier",
        "spans_ns",
        "overhead_ppm",
        "skew_ppm",
        "between_segments_ns",
        "resumed_after_iteration",
    ] {
        assert!(found.contains(name), "the example lacks {name}");
    }
    for name in found {
        assert!(docs.contains(&format!("`{name}`")), "{name} is missing in docs/evidence.md");
    }
}

#[test]
fn the_ledger_finds_in_evidence_what_a_devices_history_is_made_of() {
    let (lane, observed) = full();
    let (uuid, key) = (lane.facts.uuid, crate::protocol::signature::EncodedKey([3; 32]));
    let evidence = assemble(&finished(lane), &observed).unwrap();
    let seen = Sighting::of(&evidence, Some(key));
    let (serial, pci) = (Some("1650123".to_owned()), Some("0000:01:00.0".to_owned()));
    let host = observed.inventory.machine_id.clone();
    assert!(host.is_some());
    let (miner, die, die_serial) = (Some(key), None, None);
    let first = Sighting { uuid, serial, pci, miner, host: host.clone(), die, die_serial };
    assert_eq!(seen[0], first);
    // A CPU has no board; it is on the same host.
    assert_eq!((&seen[1].serial, &seen[1].pci, &seen[1].host), (&None, &None, &host));
}

#[test]
fn the_host_is_named_however_little_else_is_told() {
    let (lane, observed) = full();
    let machine = &document(&[lane], &observed, Detail::Least)["machine"];
    assert_eq!(machine["machine_id"], json!(observed.inventory.machine_id));
    assert!(machine.get("cuda").is_none());
    let plain = document(&[], &unknown(), Detail::Full);
    assert!(plain["machine"].get("machine_id").is_none());
}

#[test]
fn evidence_of_as_many_large_gpus_as_there_can_be_has_room() {
    let (lane, observed) = full();
    let mut telemetry = observed.telemetry[0].clone();
    if let Some(LaneTelemetry::Sampled(seen)) = &mut telemetry {
        seen.series.power_mw = vec![1; 256];
        seen.series.at_ms = vec![1; 256];
    }
    let mut observed = Observed { telemetry: vec![telemetry; 64], ..observed };
    let devices: Vec<_> = (0..64).map(device).collect();
    observed.inventory.nvml = nvml(devices.iter().map(managed).collect());
    observed.inventory.cuda = cuda(devices);
    // More SMs than any card has.
    let mut execution = finished(lane);
    execution.lanes[0].sm_tiles = SmTiles::Counted(vec![1; 256]);
    execution.lanes = vec![execution.lanes[0].clone(); 64];
    let most = document(&execution.lanes, &observed, Detail::Full);
    assert!(count(&most) > VALUES_MAX, "in full there is too much of it");
    let evidence = assemble(&execution, &observed).unwrap();
    assert_eq!(evidence.lanes()[63].sm_tiles.len(), 256);
    assert!(count(evidence.value()) < VALUES_MAX * 9 / 10, "{}", count(evidence.value()));
    // What the readings come to is still there.
    assert!(evidence.value()["lanes"][63]["telemetry"]["samples"].is_number());
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(values) => values.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

/// A run of which every fact is known and no time is measured: a GPU and a CPU.
fn fixed() -> (Execution, Observed) {
    let (mut gpu, observed) = full();
    (gpu.facts.details.arena_bytes, gpu.facts.details.peer_blocks) = (None, None);
    gpu.facts.details.kernel_notes = Some(Vec::new());
    let mut run = finished(gpu);
    run.lanes[1] = done(Kind::Cpu, SmTiles::NotApplicable);
    let (simd, threads) = (Some("avx2".to_owned()), Some(8));
    run.lanes[1].facts.details = LaneDetails { simd, threads, ..LaneDetails::default() };
    let at =
        |iteration, arrived_ns, released_ns| BarrierTimes { iteration, arrived_ns, released_ns };
    for (g, lane) in run.lanes.iter_mut().enumerate() {
        let g = g as u64;
        lane.roots = vec![Root::default(); 2];
        lane.elapsed = Duration::from_nanos(3_000_001 + g);
        lane.start = Some(at(0, 1 + g, 3));
        lane.barriers = vec![at(1, 100 + g, 135), at(2, 1_000_200, 1_000_215 + g)];
    }
    run.lanes[0].end = Some(at(2, 300, 301));
    run.lanes[0].device = Some(DeviceTiming {
        sampled_iterations: 1,
        fill_ns: 2,
        product_ns: 3,
        tree_and_step_ns: 4,
        in_segments_ns: 5,
        idle: vec![IdleTime { after_iteration: 1, ns: 40_000 }],
    });
    run.elapsed = Duration::from_nanos(3_000_002);
    (run, observed)
}

/// The file was written by a version of this program that had no types for it.
#[test]
fn the_same_facts_have_the_same_bytes() {
    let (run, observed) = fixed();
    let mut value = assemble(&run, &observed).unwrap().value().clone();
    value["program"] = json!("attest");
    let expected: Value = serde_json::from_str(include_str!("example.json")).unwrap();
    assert_eq!(value, expected, "{value:#}");
}

/// Every field that the writer writes is one that the reader knows, and has its value.
#[test]
fn what_is_written_is_read() {
    let (run, observed) = fixed();
    let evidence = assemble(&run, &observed).unwrap();
    let claims = evidence.claims();
    let (gpu, cpu, machine) = (claims.lane(0), claims.lane(1), claims.machine());
    assert_eq!(gpu.elapsed_ns(), Some(3_000_001));
    assert_eq!(gpu.sm_tiles, Some(vec![Some(128), Some(0)]));
    assert_eq!((gpu.serial(), gpu.power_limit_mw), (Some("1650123"), Some(700_000)));
    assert_eq!(gpu.details.driver_cuda_version, Some(1));
    assert!(gpu.details.mig.is_some() && gpu.sm_activity.is_some() && gpu.timing.is_some());
    assert_eq!(gpu.sync_times.as_ref().map(Vec::len), Some(2));
    assert_eq!(gpu.telemetry.as_ref().and_then(|seen| seen.samples), Some(1));
    assert_eq!(gpu.telemetry.as_ref().unwrap().before.as_ref().unwrap().ecc_corrected, Some(3));
    assert_eq!((cpu.details.simd.as_deref(), cpu.details.threads), (Some("avx2"), Some(8)));
    assert_eq!(machine.kernel_driver_version.as_deref(), Some("580.82.07"));
    assert_eq!(claims.host(), observed.inventory.machine_id.as_deref());
    let nvml = machine.nvml.as_ref().unwrap().devices.as_ref().unwrap();
    assert_eq!(nvml[0].as_ref().unwrap().serial.as_deref(), Some("1650123"));
    assert!(matches!(claims.findings(), Some(ClaimedFindings::List(all)) if all.len() == 1));
    let document = claims.document();
    assert_eq!(document.notes.executor_chosen.as_deref(), Some("asked for"));
    assert_eq!(document.resumed_after_iteration, Some(1));
    assert_eq!(document.sync.as_ref().unwrap().points, Some(2));
}
