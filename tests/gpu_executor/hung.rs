//! Kernels that never end, on a real device: who waits for them goes on in time, names
//! them, and the process ends. Each in a process of its own, which the device is free of
//! once it has ended.

use crate::recovery::changed;
use crate::{each_device, options, say, turn};
use attest::executor::abandoned;
use attest::executor::gpu::{
    GpuDevice, GpuExecutor, GpuVerifier, PtxFile, PtxSource, Target, Variant,
};
use attest::executor::lanes::{Patience, RunError, RunOptions, execute};
use attest::mining::issue::{Request, issue};
use attest::protocol::verify::{LeafRequest, Recompute};
use attest::protocol::work::fp64_product::Fp64Product;
use attest::protocol::work::{IterationPlace, RunInputs};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The first thing that a kernel does, and the last.
const FOR_EVER: &str = "$L_for_ever:\n\tbra.uni $L_for_ever;";

/// What `child` printed, and its exit code, which comes.
fn ended(mut child: Child, what: &str) -> (Option<i32>, String) {
    let reader: Option<JoinHandle<String>> = child.stdout.take().map(|mut stdout| {
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stdout.read_to_string(&mut text);
            text
        })
    });
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if start.elapsed() > Duration::from_secs(180) {
            child.kill().expect("a child");
            panic!("{what}: the process does not end");
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let text = reader.map_or_else(String::new, |reader| reader.join().expect("no panic"));
    (status.code(), text)
}

/// `attest` with these arguments, to which this device is GPU 0 and the only one: another
/// may hang meanwhile.
fn attest(device: &GpuDevice, args: &[&str]) -> (Option<i32>, String) {
    let kind = if device.parent_uuid.is_some() { "MIG" } else { "GPU" };
    let mut command = Command::new(env!("CARGO_BIN_EXE_attest"));
    command.env("CUDA_VISIBLE_DEVICES", format!("{kind}-{}", device.uuid.hyphenated()));
    let child = command.args(args).stdout(Stdio::piped()).spawn().expect("attest starts");
    let (code, text) = ended(child, args[0]);
    say(text.trim());
    (code, text)
}

/// A file with the kernels of `source`, of which `entry` never ends.
fn spinning(source: impl Into<PtxSource>, entry: &str) -> (tempfile::TempDir, String) {
    let (folder, path) = changed(source, entry, FOR_EVER, "loop.ptx");
    (folder, path.display().to_string())
}

#[test]
fn selftest_names_a_kernel_that_never_ends_and_prints_its_table() {
    let _turn = turn();
    each_device(|device| {
        let first = Variant::all_for(device.capability)[0];
        let source = first.source;
        for entry in [first.gemm.name, "fill", "chain_step"] {
            let (_folder, path) = spinning(source, entry);
            let only = format!("GPU 0 ({}) loop/", device.name);
            let args = ["selftest", "--patience", "5s", "--only", &only, "--ptx", &path];
            let (code, text) = attest(device, &args);
            assert_eq!(code, Some(1), "{text}");
            let rows: Vec<&str> = text.lines().filter(|line| line.contains(&only)).collect();
            // A row for each product of both kinds, and one for memory.
            let products = source.gemms().len() + source.integer_products().len();
            assert_eq!(rows.len(), products + 1, "{text}");
            let named = format!("{entry} of loop/{}", first.gemm.name);
            assert!(rows[0].contains("HUNG") && rows[0].contains(&named), "{text}");
            assert!(rows[0].contains("(launch ") && rows[0].contains("no end after"), "{text}");
            let why = format!("NOT RUN: the device hangs in {only}{}", first.gemm.name);
            assert!(rows[1..].iter().all(|row| row.contains(&why)), "{text}");
            assert!(text.ends_with("\nnot healthy\n"), "{text}");
        }
    });
}

#[test]
fn bench_names_a_kernel_that_never_ends_and_keeps_what_it_measured() {
    let _turn = turn();
    each_device(|device| {
        // gemm_fma of a portable file is not compared with itself: it hangs in the work.
        let (_folder, path) = spinning(Target::Portable, "chain_step");
        let args = [
            "bench",
            "--quick",
            "--shape",
            "256x2",
            "--variant",
            "portable/gemm_fma",
            "--patience",
            "5s",
            "--ptx",
            &path,
        ];
        let (code, text) = attest(device, &args);
        assert_eq!(code, Some(2), "{text}");
        let row = text.lines().find(|line| line.starts_with("256x2") && line.contains("portable"));
        assert!(row.is_some(), "what was measured before:\n{text}");
        assert!(text.contains("not measured: loop/gemm_fma: 256x2"), "{text}");
        assert!(text.contains("chain_step of loop/gemm_fma (launch "), "{text}");
        assert!(text.contains("Verification on the CPU"), "{text}");
    });
}

/// How the child of the next test ends.
const ENDED: u8 = 43;
/// The device that it uses.
const DEVICE: &str = "ATTEST_TEST_HANGS_ON";

#[test]
fn a_kernel_that_never_ends_keeps_neither_the_run_nor_the_process() {
    let _turn = turn();
    each_device(|device| {
        for test in ["hung::a_process_with_a_hung_lane", "hung::a_process_with_a_hung_verifier"] {
            let child = Command::new(std::env::current_exe().expect("this program"))
                .args(["--exact", test, "--nocapture"])
                .env(DEVICE, device.index.to_string())
                .spawn()
                .expect("it starts");
            let (code, _) = ended(child, test);
            assert_eq!(code, Some(ENDED.into()), "{test} on {}", device.label());
        }
    });
}

/// Nothing, unless the test above starts it in a process of its own.
#[test]
fn a_process_with_a_hung_lane() {
    let Ok(device) = std::env::var(DEVICE) else { return };
    let (_folder, path) = changed(Target::Portable, "chain_step", FOR_EVER, "loop.ptx");
    let file = PtxFile::read(&path).unwrap_or_else(|error| panic!("{error}"));
    let broken = Variant::all_of(file).next().unwrap();
    let gpu = GpuExecutor::open(device.parse().unwrap(), options(broken)).unwrap();
    let request = Request {
        matrix_dim: Some(128),
        num_matrices: Some(1),
        num_iterations: Some(4),
        sync_interval: Some(2),
        gpu_count: Some(1),
        ..Request::default()
    };
    let patience = Patience::Fixed(Duration::from_secs(10));
    let run = RunOptions { patience, ..RunOptions::default() };
    let ended = execute(&issue(&request).unwrap(), vec![Box::new(gpu)], &run, &|_| {});
    let error = ended.map(|_| ()).expect_err("nothing comes");
    say(&error.to_string());
    assert!(matches!(error, RunError::Hung { lane: 0, iteration: 1, .. }), "{error}");
    assert!(abandoned::any());
    abandoned::exit(ENDED)
}

/// Nothing, unless the test above starts it in a process of its own: a verifier.
#[test]
fn a_process_with_a_hung_verifier() {
    let Ok(device) = std::env::var(DEVICE) else { return };
    let (_folder, path) = changed(Target::Portable, "gemm_fma", FOR_EVER, "loop.ptx");
    let file = PtxFile::read(&path).unwrap_or_else(|error| panic!("{error}"));
    let broken = Variant::all_of(file).next().unwrap();
    let gpu = GpuExecutor::open(device.parse().unwrap(), options(broken)).unwrap();
    let verifier = GpuVerifier::new(gpu, Duration::from_secs(5));
    let run = RunInputs { work: Fp64Product { dim: 128, products: 1 }.into(), seeds: &[] };
    let request = LeafRequest { at: IterationPlace::of_state(Default::default()), leaf: 7 };
    let error = verifier.leaf_hashes(&run, &[request]).expect_err("nothing comes").0;
    say(&error);
    assert!(error.contains("gemm_fma of loop/gemm_fma (launch 2 of recomputing tiles)"), "{error}");
    let again = verifier.leaf_hashes(&run, &[request]).expect_err("it is given up").0;
    assert!(again.contains("hung before"), "{again}");
    assert!(abandoned::any());
    abandoned::exit(ENDED)
}
