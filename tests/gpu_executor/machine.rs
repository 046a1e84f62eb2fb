//! What is said about the machine and its speed: the inventory, bandwidths, what
//! devices did during a run, and the bench.

use super::{each_device, gpus, say, turn};
use attest::appraisal::models;
use attest::appraisal::plausible::{Basis, judge};
use attest::evidence::{Code, MachineOptions, MeasureBandwidth, Observed, Observing};
use attest::executor::gpu::bandwidth::measure;
use attest::executor::gpu::bench::{Subject, Turns};
use attest::executor::gpu::{ExactnessCheck, GpuExecutor, GpuOptions, Supervisor};
use attest::executor::{Executor, LaneFacts};
use attest::mining::executors::{Choice, choose};
use attest::mining::issue::{Request, issue};
use attest::mining::mine::{MineOptions, mine};
use attest::protocol::evidence::machine::{CudaSource, CudaView, Figure, NvmlView, Rate, Way};
use attest::protocol::evidence::telemetry::LaneTelemetry;
use attest::protocol::work::fp64_product::Fp64Product;
use std::time::Duration;

/// This machine without a run.
pub fn observed() -> Observed {
    Observed {
        inventory: attest::evidence::inventory(),
        telemetry: Vec::new(),
        machine_report: None,
    }
}

#[test]
fn the_inventory_lists_the_devices() {
    let _turn = turn();
    let found = attest::evidence::inventory();
    let devices = gpus();
    assert_eq!(found.devices().len(), devices.len());
    if devices.is_empty() {
        return;
    }
    say(&format!("{found}"));
    say(&serde_json::to_string(&found).unwrap());
    // The sources must agree on the devices. That something is mounted over
    // the driver's files, or that others compute here, is for the findings to say.
    let of_surroundings = [Code::DriverFilesMountedOver, Code::DeviceShared, Code::DevicesHidden];
    let disagreements: Vec<_> =
        found.findings.iter().filter(|found| !of_surroundings.contains(&found.code)).collect();
    assert!(disagreements.is_empty(), "{disagreements:?}");
    let CudaView::Loaded(CudaSource { peer_access, .. }) = &found.cuda else {
        panic!("it lists devices")
    };
    assert_eq!(peer_access.len(), devices.len());
    for (at, row) in peer_access.iter().enumerate() {
        assert_eq!((row.len(), row.as_bytes()[at]), (devices.len(), b'-'), "{peer_access:?}");
    }
    if let NvmlView::Loaded(_) = &found.nvml {
        for device in found.devices() {
            let managed = found.nvml.device_at(&device.pci_id).expect("NVML knows it, too");
            let facts = [managed.sm_clock_mhz, managed.power_mw, managed.temperature_c];
            assert!(facts.iter().all(Option::is_some), "{:?}", managed.unknown);
            assert_eq!(managed.mig, Some(device.mig.is_some()), "{:?}", managed.unknown);
        }
    }
}

#[track_caller]
fn measured(figure: &Figure) -> Rate {
    match figure {
        Figure::Measured(rate) => *rate,
        Figure::Unknown { unknown } => panic!("not measured: {unknown}"),
    }
}

#[test]
fn bandwidths_are_below_what_the_vendor_prints() {
    let _turn = turn();
    let devices = gpus();
    let found = measure(&devices);
    say(&serde_json::to_string(&found).unwrap());
    for (device, seen) in devices.iter().zip(&found.devices) {
        let memory = measured(&seen.memory).bytes_per_s;
        let (to_device, to_host) = (measured(&seen.to_device), measured(&seen.to_host));
        assert!(memory > to_device.bytes_per_s && to_host.bytes_per_s > 0, "{seen:?}");
        if let Some(model) = models::find(&device.name) {
            let most = u64::from(model.bandwidth_gb_s) * 1_000_000_000;
            assert!((most / 4..most).contains(&memory), "{memory} of {most}");
        }
    }
    assert_eq!(found.peers.len(), devices.len() * devices.len().saturating_sub(1));
    let able = attest::executor::gpu::peer_access(&devices);
    for pair in &found.peers {
        assert!(measured(&pair.copy).bytes_per_s > 0);
        let [from, to] = [pair.from, pair.to].map(|index| index as usize);
        let both = able[from].as_bytes()[to] == b'1' && able[to].as_bytes()[from] == b'1';
        assert_eq!(pair.way == Way::Direct, both, "{able:?} {pair:?}");
    }
    // Access between devices is given back: measuring again works the same way.
    assert_eq!(measure(&devices).peers.len(), found.peers.len());
}

#[test]
fn a_run_says_what_its_devices_did() {
    let _turn = turn();
    if gpus().is_empty() {
        return;
    }
    let challenge = issue(&Request {
        matrix_dim: Some(2048),
        num_matrices: Some(8),
        num_iterations: Some(1000),
        samples_per_iteration: Some(1),
        ..Request::default()
    });
    let challenge = challenge.unwrap();
    let executors = choose(&Choice::Gpus(Vec::new()), &challenge).unwrap().executors;
    let lanes = executors.len();
    let options = MineOptions {
        machine: MachineOptions {
            bandwidth: MeasureBandwidth::First,
            sample_every: Duration::from_millis(50),
            ..MachineOptions::default()
        },
        ..MineOptions::default()
    };
    let mined = mine(&challenge, executors, &options, &|_| ()).unwrap();
    let evidence = mined.result.evidence;
    let value = evidence.value();
    say(&value.to_string());
    crate::common::assert_documented(value);
    say(&format!("evidence of {} bytes", evidence.canonical().len()));
    assert_eq!(value["machine"]["bandwidth"]["devices"].as_array().unwrap().len(), lanes);
    for lane in value["lanes"].as_array().unwrap() {
        let seen = &lane["telemetry"];
        assert!(seen["samples"].as_u64().unwrap() >= 3, "{seen}");
        for figure in ["sm_clock_mhz", "power_mw", "temperature_c"] {
            let at = |which: &str| seen[figure][which].as_u64().unwrap();
            assert!(at("min") <= at("median") && at("median") <= at("max"), "{figure}: {seen}");
        }
        assert!(seen["before"]["ecc_uncorrected"].is_u64() && seen["after"].is_object());
        let sm = &lane["sm_activity"];
        assert_eq!(sm["active"], lane["sm_count"], "{sm}");
        assert!(sm["first_spread_ns"].is_string() && sm["last_spread_ns"].is_string(), "{sm}");
        assert!(lane["achieved_flops"].as_str().unwrap().parse::<f64>().unwrap() > 1e12);
    }
    for lane in judge(&challenge, &evidence) {
        say(&format!("{lane:?}"));
        assert_eq!(lane.violations, [], "an honest lane is plausible");
        let known = models::find(&evidence.lanes()[lane.lane].model).is_some();
        assert_eq!(lane.basis == Basis::Table, known);
    }
}

#[test]
fn sampling_takes_a_hundredth_of_a_core_at_most() {
    let _turn = turn();
    each_device(|device| {
        let options = GpuOptions { exactness: ExactnessCheck::Never, ..GpuOptions::default() };
        let executor = GpuExecutor::open(device.index, options).unwrap();
        let lanes: [LaneFacts; 1] = [executor.facts().clone()];
        // As often as it can: what bounds it is its own cost.
        let machine = MachineOptions { sample_every: Duration::ZERO, ..MachineOptions::default() };
        let observing = Observing::start(&lanes, &machine);
        std::thread::sleep(Duration::from_secs(2));
        let observed = observing.finish();
        let Some(LaneTelemetry::Sampled(seen)) = &observed.telemetry[0] else {
            panic!("not sampled: {:?}", observed.telemetry[0])
        };
        say(&format!("{} samples took {:?} ms of CPU time", seen.samples, seen.cpu_ms));
        assert!(seen.samples > 1);
    });
}

#[test]
fn a_bench_measures_every_side() {
    let _turn = turn();
    each_device(|device| {
        let turns = Turns { count: 3, length: Duration::from_millis(40) };
        for products in [1, 6] {
            let report = Subject::open(device.index, None, Supervisor::default())
                .and_then(|mut subject| {
                    subject.sustained(Fp64Product { dim: 256, products }, turns, None)
                })
                .unwrap_or_else(|error| panic!("{error}"));
            say(&report.to_string());
            let phases = report.phases;
            let times = [phases.fill_ms, phases.product_ms, phases.bare_product_ms];
            assert!(times.iter().all(|&ms| ms > 0.0 && ms.is_finite()), "{phases:?}");
            assert_eq!(report.attested.turns_tflops.len(), 3);
            assert_eq!(report.bare.turns_tflops.len(), 3);
            match &report.cublas {
                Ok(cublas) => assert_eq!(cublas.turns_tflops.len(), 3),
                Err(reason) => assert!(reason.contains("cuBLAS"), "{reason}"),
            }
            serde_json::to_string(&report).unwrap();
        }
    });
}
