//! The stress test finds wrong bits, names their tile and device, and is not
//! held up by a lane that fails or hangs.

use crate::faults::wrapper::{Alive, Fault, Faulty};
use attest::executor::Executor;
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::mining::mine::check_memory;
use attest::protocol::work::fp64_product::Fp64Product;
use attest::selftest::Health;
use attest::selftest::stress::{Load, StressOptions, StressReport, StressSubject, stress};
use std::time::{Duration, Instant};

/// Two products an iteration, rounds of six iterations.
fn products(known: u32) -> Load {
    let mut load = Load::products(Fp64Product { dim: 256, products: 2 }.into());
    if let Load::Products(products) = &mut load {
        (products.round_iterations, products.known_iterations) = (6, known);
    }
    load
}

/// Until every lane has done some rounds, or something was found.
fn run(faults: &[Fault]) -> StressReport {
    let alive = Alive::default();
    let executors = (1..).zip(faults).map(|(uuid, &fault)| {
        let executor = Box::new(Faulty::new(uuid, fault, &alive)) as Box<dyn Executor>;
        StressSubject { name: format!("device {uuid}"), executor, arena_blocks: 0 }
    });
    let options = StressOptions {
        patience: Duration::from_secs(3),
        ..StressOptions::new(Duration::from_secs(120), vec![products(3)], 0)
    };
    let reference = || Box::new(CpuExecutor::new(CpuOptions::default())) as Box<dyn Executor>;
    let stop = options.stop.clone();
    let hangs = faults.iter().any(|fault| matches!(fault, Fault::Hangs(_)));
    let start = Instant::now();
    let report = stress(executors.collect(), &reference, &options, &mut |lanes| {
        // Rounds enough for a lane that was wrong to be right again.
        let done = lanes.iter().all(|lane| lane.iterations() > 40 || lane.failure.is_some());
        let seen = start.elapsed() > Duration::from_secs(1);
        let waits = hangs && lanes.iter().all(|lane| lane.failure.is_none());
        stop.store(done && seen && !waits, std::sync::atomic::Ordering::Relaxed);
    })
    .unwrap();
    assert!(report.elapsed < Duration::from_secs(100), "it was held up");
    report
}

#[test]
fn healthy_lanes_are_healthy() {
    for lanes in [1, 3] {
        let report = run(&vec![Fault::None; lanes]);
        assert!(report.is_healthy(), "{report:?}");
        assert_eq!(report.loads[0].known, 3, "the CPU's part");
        assert!(report.lanes.iter().all(|lane| lane.loads[0].per_s > 0.0));
    }
}

#[test]
fn a_wrong_bit_names_device_tile_and_iteration() {
    // In the lane that comes first or later, in what the CPU recomputes and
    // beyond it.
    for (faults, device) in [
        (vec![Fault::None, Fault::BitFlip(2, 5)], "device 2"),
        (vec![Fault::BitFlip(5, 5), Fault::None, Fault::None], "device 1"),
        (vec![Fault::BitFlip(2, 5)], "device 1"),
        (vec![Fault::BitFlip(6, 5)], "device 1"),
    ] {
        let report = run(&faults);
        assert!(!report.is_healthy());
        let [fault] = &report.faults[..] else { panic!("{faults:?}: {report:?}") };
        assert_eq!((fault.device.as_str(), fault.tile), (device, Some(5)), "{fault}");
        let iteration = faults.iter().find_map(|fault| match fault {
            Fault::BitFlip(iteration, _) => Some(*iteration),
            _ => None,
        });
        assert_eq!(Some(fault.iteration), iteration.map(u64::from), "{fault}");
        assert_ne!(fault.expected, fault.got);
        assert!(fault.to_string().contains(device) && fault.to_string().contains("tile 5"));
        // It was wrong once: the lane went on.
        assert!(report.lanes.iter().all(|lane| lane.failure.is_none()), "{report:?}");
    }
}

#[test]
fn lanes_that_fail_or_hang_are_named_and_the_others_go_on() {
    let report = run(&[Fault::None, Fault::Sticky(3), Fault::Hangs(2), Fault::Panics(4)]);
    assert!(!report.is_healthy() && report.faults.is_empty(), "{report:?}");
    let failure = |lane: usize| report.lanes[lane].failure.as_deref().unwrap_or_default();
    assert_eq!(failure(0), "");
    assert!(report.lanes[0].iterations() > 40);
    assert!(failure(1).contains("CUDA_ERROR_ILLEGAL_ADDRESS"), "{}", failure(1));
    assert!(failure(2).contains("hung"), "{}", failure(2));
    assert!(failure(3).contains("panicked"), "{}", failure(3));
}

/// `attest selftest ARGS` without a GPU: exit code, standard output and error.
fn selftest(args: &[&str]) -> (Option<i32>, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_attest"))
        .arg("selftest")
        .args(args)
        .env("CUDA_VISIBLE_DEVICES", "")
        .output()
        .expect("attest starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn on_the_command_line_it_ends_in_time_with_a_verdict() {
    let (code, stdout, stderr) = selftest(&["--stress", "0.03", "--dim", "128", "--json"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let report: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    let load = &report["lanes"][0]["loads"][0];
    assert_eq!((&report["healthy"], &load["matrix_dim"]), (&true.into(), &128.into()));
    assert!(load["iterations"].as_u64() > Some(0), "{report}");
    assert_eq!(report["faults"], serde_json::json!([]));
    assert!(stderr.contains("no GPU is used"), "{stderr}");
    let (code, stdout, _) = selftest(&["--stress", "0.01", "--dim", "128"]);
    assert_eq!(code, Some(0));
    assert!(stdout.contains("same bits") && stdout.contains("healthy"), "{stdout}");
}

#[test]
fn kinds_take_turns_on_the_command_line() {
    let kinds = "fp64,integer,memory,memory";
    let sizes = ["--dim", "128", "--matrices", "1", "--arena-bytes", "2097152", "--json"];
    let args = [&["--stress", "0.1", "--kinds", kinds][..], &sizes].concat();
    let (code, stdout, stderr) = selftest(&args);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let report: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    let loads = report["lanes"][0]["loads"].as_array().expect("an array");
    let kinds: Vec<_> = loads.iter().map(|load| load["kind"].as_str()).collect();
    assert_eq!(kinds, [Some("fp64"), Some("integer"), Some("memory")], "{report}");
    assert!(loads.iter().all(|load| load["iterations"].as_u64() > Some(0)), "{report}");
    assert_eq!(loads[2]["arena_bytes"], 2_097_152);
    assert!(report["loads"][2]["known_arenas"].as_u64() > Some(0), "{report}");
}

/// One lane's first iterations are compared with nothing but the CPU's.
#[test]
fn without_a_comparison_there_is_no_verdict() {
    let cpu = || Box::new(CpuExecutor::new(CpuOptions::default())) as Box<dyn Executor>;
    let options = StressOptions::new(Duration::from_nanos(1), vec![products(0)], 0);
    let subject = StressSubject { name: "a CPU".to_owned(), executor: cpu(), arena_blocks: 0 };
    let report = stress(vec![subject], &cpu, &options, &mut |_| ()).unwrap();
    assert_eq!(
        (report.loads[0].compared, report.health()),
        (0, Health::NothingChecked),
        "{report:?}"
    );
    assert!(!report.is_healthy());
    let (code, stdout, stderr) = selftest(&["--stress", "0.000000001", "--dim", "1024"]);
    assert_eq!((code, &*stdout), (Some(2), ""), "{stderr}");
    assert!(stderr.contains("too short"), "{stderr}");
}

#[test]
fn what_cannot_be_kept_is_refused_before_the_work() {
    // 32 bytes for each of 2^28 tiles, six times.
    let shape = Fp64Product { dim: 32_768, products: 4096 };
    let load = Load::products(shape.into());
    assert_eq!(load.digest_sets(1), 6);
    let enough = check_memory(shape.into(), load.digest_sets(1)).is_ok();
    if enough {
        eprintln!("skipped: this machine has more memory than that");
        return;
    }
    let largest = ["--stress", "0.01", "--dim", "32768", "--matrices", "4096"];
    let (code, stdout, stderr) = selftest(&largest);
    assert_eq!((code, &*stdout), (Some(2), ""), "{stderr}");
    assert!(stderr.contains("GB are available"), "{stderr}");
}

#[test]
fn what_cannot_be_asked_together_is_refused() {
    for args in [
        &["--stress", "0"][..],
        &["--stress", "-1"],
        &["--stress", "nan"],
        &["--stress", "1e9"],
        &["--stress", "1", "--only", "cpu"],
        &["--stress", "1", "--dim", "100"],
        &["--stress", "1", "--matrices", "0"],
        &["--dim", "256"],
        &["--kinds", "memory"],
        &["--stress", "1", "--kinds", "links"],
        &["--stress", "1", "--kinds", "memory", "--arena-bytes", "1000"],
    ] {
        assert_eq!(selftest(args).0, Some(2), "{args:?}");
    }
}
