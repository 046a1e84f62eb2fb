//! Failures on a real device: too little memory, kernels that do not launch, a
//! context that is lost. docs/recovery.md says what should happen.

use crate::Products;
use crate::{Chain, assert_same, each_device, options, run, say, segment, turn};
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::executor::gpu::{
    ExactnessCheck, GpuDevice, GpuExecutor, GpuOptions, InjectedFailure, PtxFile, PtxSource,
    Target, Variant,
};
use attest::executor::{ExecError, Executor, SmTiles};
use attest::mining::issue::{Request, issue};
use attest::mining::mine::{MineOptions, mine};
use attest::protocol::work::IterationPlace;
use attest::protocol::work::fp64_product::Fp64Product;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

fn cpu(segment: &Products) -> Chain {
    run(&mut CpuExecutor::new(CpuOptions::default()), segment)
}

/// Everything that `executor` still gets out of `segment`, and how it ended.
fn run_until_it_ends(executor: &mut GpuExecutor, segment: &Products) -> (Chain, Option<ExecError>) {
    let mut chain = Chain { roots: Vec::new(), tile_roots: Vec::new() };
    executor.begin(&segment.shape.into()).unwrap_or_else(|error| panic!("begin: {error}"));
    let ended = executor.run(segment, &mut |output| {
        chain.roots.push(output.root);
        chain.tile_roots.push(output.tile_roots.to_vec());
        ControlFlow::Continue(())
    });
    (chain, ended.err())
}

#[test]
fn a_device_that_another_holds_almost_whole_computes_in_chunks() {
    let _turn = turn();
    each_device(|device| {
        let first = Variant::candidates(device.capability)[0];
        let mut executor = GpuExecutor::open(device.index, options(first)).unwrap();
        // One chunk of this many products that some 420 MiB are left, less its rings.
        let mut hog = GpuExecutor::open(device.index, options(first)).unwrap();
        let left = 420 << 20;
        let free = executor.free_bytes().unwrap();
        let mut large = Fp64Product { dim: 2048, products: 1 };
        large.products = ((free - left) / large.operand_bytes_per_product()) as u32;
        hog.begin(&large.into()).unwrap();
        let free = executor.free_bytes().unwrap();
        say(&format!("{}: {free} bytes left beside {} products", device.label(), large.products));

        let tight = segment(1024, 24, 3, Some(2)); // 384 MiB of operands
        let got = run(&mut executor, &tight);
        let plan = executor.plan().unwrap();
        say(&format!("chunks of {} of 24 products", plan.chunk_products));
        assert!(plan.chunk_products < 24, "{plan}");
        assert_same(&got, &cpu(&tight), "in chunks");
        let at = IterationPlace::of_state(tight.start);
        let tile = attest::executor::TileRequest { at, tile: tight.shape.tile(23, 7, 7) };
        assert_eq!(executor.leaf_hashes(&tight.shape.into(), &[tile]).unwrap()[0].len(), 256);

        // Not even one product: needed and free bytes.
        let none = executor.begin(&Fp64Product { dim: 8192, products: 1 }.into()).unwrap_err();
        let ExecError::Memory { needed_bytes, free_bytes, .. } = none else { panic!("{none}") };
        assert!(needed_bytes > free_bytes && needed_bytes > 1 << 30, "{none}");
        say(&none.to_string());
        drop(hog);
        executor.begin(&Fp64Product { dim: 8192, products: 1 }.into()).unwrap();
    });
}

#[test]
fn the_next_variant_takes_over_and_has_the_same_roots() {
    let _turn = turn();
    each_device(|device| {
        let all = Variant::candidates(device.capability);
        let [before, after, ..] = all[..] else {
            say("one variant only: nothing takes over");
            return;
        };
        let long = segment(256, 2, 40, Some(3));
        let expected = cpu(&long);
        for iteration in [1, 2, 17, 40] {
            let injected = [InjectedFailure::Launch { iteration, code: 701 }].into();
            let options = GpuOptions { injected, ..GpuOptions::default() };
            let mut gpu = GpuExecutor::open(device.index, options).unwrap();
            assert_eq!(gpu.variant(), before);
            assert_same(&run(&mut gpu, &long), &expected, &format!("replaced in {iteration}"));
            assert_eq!(gpu.variant().source, after.source);
            let notes =
                gpu.facts().details.kernel_notes.clone().expect("a GPU has notes").join("\n");
            for part in [&before.to_string(), "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"] {
                assert!(notes.contains(part), "{part} is missing in {notes}");
            }
            match gpu.sm_tiles().unwrap() {
                // Nothing was counted by the kernels before.
                SmTiles::Counted(counts) => {
                    assert_eq!((iteration, counts.iter().sum::<u64>()), (1, 8 * 40));
                }
                SmTiles::Unavailable(why) => assert!(iteration > 1 && why.contains("replaced")),
                SmTiles::NotApplicable => panic!("it is a GPU"),
            }
            say(&format!("{}: {notes}", device.label()));
        }
        // What no other kernel would mend ends the lane.
        let injected = [InjectedFailure::Launch { iteration: 9, code: 700 }].into();
        let options = GpuOptions { injected, ..GpuOptions::default() };
        let mut gpu = GpuExecutor::open(device.index, options).unwrap();
        let (chain, error) = run_until_it_ends(&mut gpu, &long);
        assert_eq!(chain.roots, expected.roots[..8]);
        let error = error.expect("it ends").to_string();
        assert!(error.contains("CUDA_ERROR_ILLEGAL_ADDRESS"), "{error}");
    });
}

#[test]
fn a_kernel_that_the_driver_does_not_launch_gives_way() {
    let _turn = turn();
    each_device(|device| {
        // Compiled for blocks of 32 threads, launched with 256: no launch, and
        // the context stays whole.
        let text = Target::Portable.ptx();
        let narrow = text.replace(".maxntid 256", ".reqntid 32").replace(".minnctapersm", "//");
        if narrow == text {
            say("the PTX says nothing of its blocks: nothing to change");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("narrow.ptx");
        std::fs::write(&path, narrow).unwrap();
        let file = match PtxFile::read(&path) {
            Ok(file) => file,
            Err(error) => panic!("{error}"),
        };
        let broken = Variant::all_of(file).next().unwrap();
        let mut candidates = vec![broken];
        candidates.extend(Variant::candidates(device.capability));
        let options =
            GpuOptions { candidates, exactness: ExactnessCheck::Never, ..GpuOptions::default() };
        let mut gpu = GpuExecutor::open(device.index, options).unwrap();
        let short = segment(256, 2, 5, None);
        assert_same(&run(&mut gpu, &short), &cpu(&short), "after a launch that failed");
        assert_ne!(gpu.variant(), broken);
        say(&format!("{}: {:?}", device.label(), gpu.facts().details.kernel_notes));
    });
}

/// An executor whose tensor cores are checked now, with these failures to come.
fn with_injected<const N: usize>(
    device: &GpuDevice,
    failures: [InjectedFailure; N],
) -> Result<GpuExecutor, ExecError> {
    let (injected, exactness) = (failures.into(), ExactnessCheck::Always);
    let options = GpuOptions { injected, exactness, ..GpuOptions::default() };
    GpuExecutor::open(device.index, options)
}

/// The notes, which name each of `gone` with the driver's word for its failure.
#[track_caller]
fn assert_noted(gpu: &GpuExecutor, gone: &[(Variant, &str)]) {
    let notes = gpu.facts().details.kernel_notes.clone().expect("a GPU has notes");
    say(&format!("{notes:?}"));
    assert_eq!(notes.len(), gone.len(), "{notes:?}");
    for (note, (variant, name)) in notes.iter().zip(gone) {
        assert!(note.contains(&variant.to_string()) && note.contains(name), "{note}");
    }
}

const NO_BINARY: &str = "CUDA_ERROR_NO_BINARY_FOR_GPU";
const NO_RESOURCES: &str = "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES";

#[test]
fn a_variant_that_does_not_launch_in_the_check_at_opening_gives_way() {
    let _turn = turn();
    each_device(|device| {
        let all = Variant::candidates(device.capability);
        let short = segment(256, 2, 5, Some(3));
        let expected = cpu(&short);
        // The portable kernel is not checked: it is the FMA pipe's.
        for checked in 1..all.len().min(3) {
            let mut gpu = match checked {
                1 => with_injected(device, [InjectedFailure::Check { code: 209 }]),
                _ => with_injected(
                    device,
                    [InjectedFailure::Check { code: 209 }, InjectedFailure::Check { code: 701 }],
                ),
            }
            .unwrap_or_else(|error| panic!("{checked} fail: {error}"));
            assert_eq!(gpu.variant(), all[checked]);
            assert_noted(&gpu, &[(all[0], NO_BINARY), (all[1], NO_RESOURCES)][..checked]);
            assert_same(&run(&mut gpu, &short), &expected, &format!("without the first {checked}"));
        }
        if all.len() > 1 {
            let lost = with_injected(device, [InjectedFailure::Check { code: 700 }]);
            let error = lost.map(|_| ()).expect_err("the context is lost").to_string();
            assert!(error.contains("CUDA_ERROR_ILLEGAL_ADDRESS"), "{error}");
        }
    });
}

#[test]
fn where_the_second_variant_fails_too_the_third_takes_over() {
    let _turn = turn();
    each_device(|device| {
        let all = Variant::candidates(device.capability);
        let [first, second, third, ..] = all[..] else {
            say("fewer than three variants: there is no third");
            return;
        };
        let long = segment(256, 2, 20, Some(3));
        let expected = cpu(&long);
        let launch = InjectedFailure::Launch { iteration: 9, code: 701 };
        for then in
            [InjectedFailure::Check { code: 209 }, InjectedFailure::Comparison { code: 209 }]
        {
            let mut gpu = with_injected(device, [launch, then]).unwrap();
            assert_same(&run(&mut gpu, &long), &expected, &format!("after {then:?}"));
            assert_eq!(gpu.variant(), third, "{then:?}");
            assert_noted(&gpu, &[(first, NO_RESOURCES), (second, NO_BINARY)]);
        }
        // A lost context ends the lane, whatever is left.
        let lost = InjectedFailure::Comparison { code: 719 };
        let (chain, error) =
            run_until_it_ends(&mut with_injected(device, [launch, lost]).unwrap(), &long);
        assert_eq!(chain.roots, expected.roots[..8]);
        let error = error.expect("it ends").to_string();
        assert!(error.contains("CUDA_ERROR_LAUNCH_FAILED"), "{error}");
    });
}

#[test]
fn a_variant_with_another_root_does_not_take_over() {
    let _turn = turn();
    each_device(|device| {
        let all = Variant::candidates(device.capability);
        let [before, after, ..] = all[..] else {
            say("one variant only: nothing takes over");
            return;
        };
        let long = segment(256, 2, 20, Some(3));
        let launch = InjectedFailure::Launch { iteration: 9, code: 701 };
        let mut gpu = with_injected(device, [launch, InjectedFailure::OtherRoot]).unwrap();
        let (chain, error) = run_until_it_ends(&mut gpu, &long);
        assert_eq!(chain.roots, cpu(&long).roots[..8], "nothing after the failure");
        let error = error.expect("it ends").to_string();
        let expected = format!("comparing {after} with {before}");
        assert!(error.contains(&expected) && error.contains("iteration 1: root"), "{error}");
        say(&error);
    });
}

/// What is logged on this thread meanwhile.
fn logged(work: impl FnOnce()) -> String {
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = LogWriter(Arc::clone(&log));
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = log.lock().expect("nobody panicked").clone();
    String::from_utf8(bytes).expect("UTF-8")
}

#[derive(Clone)]
struct LogWriter(Arc<Mutex<Vec<u8>>>);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panicked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn counters_that_do_not_add_up_are_given_up_and_the_run_goes_on() {
    let _turn = turn();
    each_device(|device| {
        let long = segment(256, 2, 20, Some(3));
        let expected = cpu(&long);
        let mut gpu = with_injected(device, [InjectedFailure::Miscount]).unwrap();
        let log = logged(|| assert_same(&run(&mut gpu, &long), &expected, "without counters"));
        assert!(log.contains("SM monitoring unavailable: "), "{log}");
        let SmTiles::Unavailable(why) = gpu.sm_tiles().unwrap() else { panic!("counted") };
        say(&format!("{}: {why}", device.label()));
        // It was wrong once; the next run counts again.
        assert_same(&run(&mut gpu, &long), &expected, "with counters");
        assert!(matches!(gpu.sm_tiles().unwrap(), SmTiles::Counted(_)));

        let request = Request {
            matrix_dim: Some(256),
            num_matrices: Some(2),
            num_iterations: Some(6),
            sync_interval: Some(2),
            gpu_count: Some(1),
            ..Request::default()
        };
        let challenge = issue(&request).unwrap();
        let gpu = with_injected(device, [InjectedFailure::Miscount]).unwrap();
        let mined = mine(&challenge, vec![Box::new(gpu)], &MineOptions::default(), &|_| ());
        let mined = mined.unwrap_or_else(|error| panic!("it goes on: {error}"));
        let lane = &mined.result.evidence.lanes()[0];
        let why = lane.sm_monitoring.as_deref().expect("a reason");
        assert!(why.starts_with("unavailable: ") && lane.sm_tiles.is_empty(), "{why}");
    });
}

/// The kernels of `source`, with `first` before what `entry` does, in a file.
pub fn changed(
    source: impl Into<PtxSource>,
    entry: &str,
    first: &str,
    name: &str,
) -> (tempfile::TempDir, PathBuf) {
    let text = source.into().ptx();
    let mut changed = String::new();
    let mut in_entry = false;
    for line in text.lines() {
        changed += line;
        changed.push('\n');
        in_entry |= line.contains(&format!(".entry {entry}("));
        if in_entry && line.trim() == "{" {
            changed += &format!("{first}\n");
            in_entry = false;
        }
    }
    assert_ne!(changed.lines().count(), text.lines().count(), "no entry was found");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, changed).unwrap();
    (folder, path)
}

/// In a process of its own: the context is lost to whoever shares it.
#[test]
fn a_trap_on_the_device_is_reported_and_ends_the_process_cleanly() {
    let _turn = turn();
    each_device(|device| {
        let (_folder, path) = changed(Target::Portable, "chain_step", "\ttrap;", "trap.ptx");
        let output = Command::new(env!("CARGO_BIN_EXE_attest"))
            .args(["selftest", "--only", "trap/", "--ptx"])
            .arg(&path)
            .output()
            .expect("attest starts");
        let text = String::from_utf8_lossy(&output.stdout);
        say(&format!("{}: {}", device.label(), text.trim()));
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("FAILED") && text.contains("CUDA_ERROR_"), "{text}");
    });
}

#[test]
fn phases_are_timed_by_the_device() {
    let _turn = turn();
    each_device(|device| {
        let mut gpu = GpuExecutor::open(device.index, GpuOptions::default()).unwrap();
        run(&mut gpu, &segment(1024, 4, 60, None));
        let timing = gpu.timing().expect("a GPU has a clock");
        say(&format!("{}: {timing:?}", device.label()));
        assert!(timing.sampled_iterations >= 1);
        let iteration = timing.fill_ns + timing.product_ns + timing.tree_and_step_ns;
        assert!(timing.fill_ns > 0 && timing.product_ns > timing.fill_ns);
        assert!(timing.tree_and_step_ns > 0 && timing.in_segments_ns > iteration);
    });
}
