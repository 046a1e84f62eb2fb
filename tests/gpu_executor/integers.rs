//! Integer products on GPUs, every kernel that multiplies integers, against the CPU
//! executor.

use super::devices::every_one_of;
use super::{each_device, gpus, options, say, turn};
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::executor::gpu::bench::{Subject, Turns};
use attest::executor::gpu::{
    GpuDevice, GpuExecutor, GpuOptions, InjectedFailure, Supervisor, Variant,
};
use attest::executor::{Assignment, Executor, Segment, SmTiles, SoloSync, TileRequest};
use attest::protocol::digest::Digest;
use attest::protocol::merkle;
use attest::protocol::names::{Root, State};
use attest::protocol::work::IterationPlace;
use attest::protocol::work::integer_product::IntegerProduct;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Every model that is here with every kernel of integer products that it runs.
fn every_variant(test: impl Fn(&GpuDevice, Variant) + Sync) {
    every_one_of(Variant::integers_for, test);
}

fn assignment(dim: u32, products: u32) -> Assignment {
    let work = IntegerProduct { dim, products }.into();
    Assignment { work, lane: 0, seeds: Arc::new([]) }
}

fn start(dim: u32, products: u32) -> State {
    State(Digest::of(&[b"integers", &dim.to_be_bytes(), &products.to_be_bytes()]).0)
}

/// Roots and tile roots of `iterations` iterations, those of sync points every `sync`.
fn run(
    executor: &mut dyn Executor,
    of: &Assignment,
    start: State,
    iterations: u32,
    sync: u32,
) -> Vec<(Root, Vec<Digest>)> {
    executor.begin(of).unwrap_or_else(|error| panic!("begin: {error}"));
    let solo_sync = Some(SoloSync { challenge: Digest::of(&[b"c"]), interval: sync });
    let segment = Segment { first_iteration: 1, iterations, start, solo_sync };
    let mut outputs = Vec::new();
    let ran = executor.run(&segment, &mut |output| {
        outputs.push((output.root, output.tile_roots.to_vec()));
        ControlFlow::Continue(())
    });
    ran.unwrap_or_else(|error| panic!("run: {error}"));
    outputs
}

fn cpu() -> CpuExecutor {
    CpuExecutor::new(CpuOptions::default())
}

/// (n, m), iterations, interval of sync points: odd numbers of tiles in a row; fewer
/// tiles than SMs, and several times as many; several chunks of inner indices; rings that
/// wrap, and graphs that are replayed.
const RUNS: [((u32, u32), u32, u32); 7] = [
    ((128, 1), 1, 1),
    ((128, 3), 300, 13),
    ((256, 5), 11, 4),
    ((384, 2), 4, 3),
    ((640, 1), 2, 1),
    ((1152, 3), 2, 5),
    ((128, 513), 2, 1),
];

#[test]
fn every_kernel_agrees_with_the_cpu() {
    let _turn = turn();
    let expected: Vec<_> = if gpus().is_empty() {
        Vec::new()
    } else {
        let of = |((dim, products), iterations, sync): ((u32, u32), u32, u32)| {
            let start = start(dim, products);
            run(&mut cpu(), &assignment(dim, products), start, iterations, sync)
        };
        RUNS.map(of).into()
    };
    every_variant(|device, variant| {
        let mut gpu = GpuExecutor::open(device.index, options(variant)).unwrap();
        for (((dim, products), iterations, sync), expected) in RUNS.into_iter().zip(&expected) {
            let (of, start) = (assignment(dim, products), start(dim, products));
            let got = run(&mut gpu, &of, start, iterations, sync);
            let what = format!("{variant} {}\n{}", of.work, gpu.plan().unwrap());
            let differs = got.iter().zip(expected).position(|(got, expected)| got != expected);
            assert_eq!(differs, None, "{what}: that iteration, counted from 0");
            let named = gpu.facts().details.kernel_variant.clone();
            assert_eq!(named, Some(variant.to_string()), "the evidence names what ran");
            let SmTiles::Counted(counts) = gpu.sm_tiles().unwrap() else {
                panic!("{what}: tiles are counted")
            };
            let tiles = of.work.tiles() * u64::from(iterations);
            assert_eq!(counts.iter().sum::<u64>(), tiles, "{what}");
        }
    });
}

#[test]
fn chunks_of_integers_and_rings_do_not_change_results() {
    let _turn = turn();
    let (of, start) = (assignment(384, 5), start(384, 5));
    let expected = OnceLock::new();
    every_variant(|device, variant| {
        let expected = expected.get_or_init(|| run(&mut cpu(), &of, start, 7, 4));
        for (chunk, slots) in [(Some(1), Some(1)), (Some(2), Some(3)), (Some(4), Some(2))] {
            let options =
                GpuOptions { chunk_products_max: chunk, ring_slots_max: slots, ..options(variant) };
            let mut gpu = GpuExecutor::open(device.index, options).unwrap();
            let got = run(&mut gpu, &of, start, 7, 4);
            assert_eq!(got, *expected, "{variant}\n{}", gpu.plan().unwrap());
        }
    });
}

#[test]
fn tiles_of_integers_open_as_the_run_had_them() {
    let _turn = turn();
    every_variant(|device, variant| {
        for (dim, products, lent) in [(128, 2, true), (384, 2, true), (512, 1, false)] {
            let (of, start) = (assignment(dim, products), start(dim, products));
            let mut gpu = GpuExecutor::open(device.index, options(variant)).unwrap();
            let what = format!("{variant} {}, buffers of a lane: {lent}", of.work);
            // With a lane's buffers, and with some of their own.
            let ran = lent.then(|| run(&mut gpu, &of, start, 1, 1));
            let at = IterationPlace::of_state(start);
            // Another order than the run's.
            let all: Vec<TileRequest> =
                (0..of.work.tiles()).rev().map(|tile| TileRequest { at, tile }).collect();
            let hashes = gpu.leaf_hashes(&of, &all).unwrap();
            assert_eq!(hashes, cpu().leaf_hashes(&of, &all).unwrap(), "{what}");
            let tile_roots = ran.iter().flat_map(|outputs| &outputs[0].1);
            for (hashes, tile_root) in hashes.iter().rev().zip(tile_roots) {
                assert_eq!(merkle::root(hashes), Some(*tile_root), "{what}");
            }
        }
    });
}

#[test]
fn tiles_whose_leaves_are_beyond_four_billion_open_as_the_cpu_has_them() {
    let _turn = turn();
    let of = assignment(32768, 4096);
    let (at, last) = (IterationPlace::of_state(start(32768, 4096)), of.work.tiles() - 1);
    assert!(last * 64 > 1 << 33);
    let tiles = [1 << 26, last, (1 << 26) - 1].map(|tile| TileRequest { at, tile });
    let expected = OnceLock::new();
    every_variant(|device, variant| {
        let expected = expected.get_or_init(|| cpu().leaf_hashes(&of, &tiles).unwrap());
        let mut gpu = GpuExecutor::open(device.index, options(variant)).unwrap();
        assert_eq!(gpu.leaf_hashes(&of, &tiles).unwrap(), *expected, "{variant}");
    });
}

#[test]
fn openings_of_one_kind_of_product_serve_no_other() {
    use attest::protocol::work::fp64_product::Fp64Product;
    let _turn = turn();
    each_device(|device| {
        let mut gpu = GpuExecutor::open(device.index, GpuOptions::default()).unwrap();
        let at = IterationPlace::of_state(start(256, 1));
        let tiles = [3, 0].map(|tile| TileRequest { at, tile });
        let fp64 = Assignment::from(Fp64Product { dim: 256, products: 1 });
        for of in [assignment(256, 1), fp64.clone(), assignment(256, 1), fp64] {
            let hashes = gpu.leaf_hashes(&of, &tiles).unwrap();
            assert_eq!(hashes, cpu().leaf_hashes(&of, &tiles).unwrap(), "{}", of.work);
        }
    });
}

#[test]
fn integers_are_measured_beside_cublaslt_or_alone() {
    let _turn = turn();
    each_device(|device| {
        let turns = Turns { count: 1, length: Duration::from_millis(5) };
        let mut subject = Subject::open(device.index, None, Supervisor::default()).unwrap();
        let shape = IntegerProduct { dim: 1024, products: 2 };
        let report = subject.integers(shape, turns, None).unwrap();
        say(&format!("{report:?}"));
        let fastest = Variant::integers_for(device.capability)[0];
        assert_eq!(report.variant, fastest.to_string());
        assert!(report.attested.median_tops > 0.0 && report.bare.median_tops > 0.0);
        assert_eq!(report.cublas_lt.is_ok(), report.attested_to_cublas_lt.is_some());
    });
}

#[test]
fn the_next_kernel_of_integers_takes_over_and_has_the_same_roots() {
    let _turn = turn();
    each_device(|device| {
        let all = Variant::candidates(device.capability);
        let [before, after, ..] = all[..] else {
            say("one variant only: nothing takes over");
            return;
        };
        let (of, start) = (assignment(256, 2), start(256, 2));
        let expected = run(&mut cpu(), &of, start, 20, 3);
        for iteration in [1, 9] {
            let injected = [InjectedFailure::Launch { iteration, code: 701 }].into();
            let options = GpuOptions { injected, ..GpuOptions::default() };
            let mut gpu = GpuExecutor::open(device.index, options).unwrap();
            assert_eq!(gpu.variant(), before);
            let got = run(&mut gpu, &of, start, 20, 3);
            assert!(got == expected, "replaced in iteration {iteration}");
            assert_eq!(gpu.variant().source, after.source);
            let kernel = after.integer_product();
            let named = Variant { integer: kernel, ..after }.to_string();
            assert_eq!(gpu.facts().details.kernel_variant, Some(named));
        }
    });
}
