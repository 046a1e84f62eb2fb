//! The GPU executor, every kernel variant of every PTX target that the device
//! runs, against the CPU executor and the vectors. Without a GPU the tests say
//! that they are skipped; under ATTEST_REQUIRE_GPU=1 they fail instead.

mod arena;
mod claims;
#[path = "../common/mod.rs"]
mod common;
mod devices;
mod hung;
mod integers;
mod liars;
mod machine;
mod recovery;

use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::executor::gpu::{
    ExactnessCache, ExactnessCheck, GpuExecutor, GpuOptions, GpuVerifier, PATIENCE, Variant,
};
use attest::executor::lanes::{RunOptions, execute};
use attest::executor::{ExecError, Executor, Segment, SmTiles, SoloSync, TileRequest};
use attest::protocol::challenge::Challenge;
use attest::protocol::digest::Digest;
use attest::protocol::names::{Root, State};
use attest::protocol::verify::{LeafRequest, Recompute, RecomputeIteration};
use attest::protocol::work::fp64_product::Fp64Product;
use attest::protocol::work::{IterationPlace, RunInputs};
use attest::protocol::{chain, merkle};
use devices::{each_device, every_variant, gpus, say, turn};
use serde_json::Value;
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::str::FromStr;

fn options(variant: Variant) -> GpuOptions {
    let exactness = ExactnessCheck::Never; // everything is compared here
    GpuOptions { variant: Some(variant), exactness, ..GpuOptions::default() }
}

#[derive(Debug, PartialEq, Eq)]
struct Chain {
    roots: Vec<Root>,
    tile_roots: Vec<Vec<Digest>>,
}

/// Iterations of products of one shape.
#[derive(Clone, Copy, Debug)]
struct Products {
    shape: Fp64Product,
    segment: Segment,
}

impl std::ops::Deref for Products {
    type Target = Segment;
    fn deref(&self) -> &Segment {
        &self.segment
    }
}

fn run(executor: &mut dyn Executor, segment: &Products) -> Chain {
    executor.begin(&segment.shape.into()).unwrap_or_else(|error| panic!("begin: {error}"));
    let mut chain = Chain { roots: Vec::new(), tile_roots: Vec::new() };
    let mut next = segment.first_iteration;
    executor
        .run(segment, &mut |output| {
            assert_eq!(output.iteration, next, "iterations come in order");
            next += 1;
            chain.roots.push(output.root);
            chain.tile_roots.push(output.tile_roots.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap_or_else(|error| panic!("run: {error}"));
    assert_eq!(chain.roots.len(), segment.iterations as usize);
    chain
}

/// Panics with count, first coordinate and both values.
fn assert_same(got: &Chain, expected: &Chain, what: &str) {
    for (at, (g, e)) in got.tile_roots.iter().zip(&expected.tile_roots).enumerate() {
        let different = g.iter().zip(e).filter(|(g, e)| g != e).count();
        if let Some(tile) = g.iter().zip(e).position(|(g, e)| g != e) {
            panic!(
                "{what}: iteration {}: {different} of {} tile roots differ, first tile {tile}: \
                 got {}, expected {}",
                at + 1,
                e.len(),
                g[tile],
                e[tile]
            );
        }
    }
    let root = got.roots.iter().zip(&expected.roots).position(|(g, e)| g != e);
    if let Some(at) = root {
        let (got, expected) = (got.roots[at], expected.roots[at]);
        panic!("{what}: D({}) differs: got {got}, expected {expected}", at + 1);
    }
    assert_eq!(got, expected, "{what}");
}

fn segment(dim: u32, products: u32, iterations: u32, solo: Option<u32>) -> Products {
    let start = Digest::of(&[b"segment", &dim.to_be_bytes(), &products.to_be_bytes()]);
    let start = State(start.0);
    let solo_sync = solo.map(|interval| SoloSync { challenge: Digest::of(&[b"c"]), interval });
    let shape = Fp64Product { dim, products };
    Products { shape, segment: Segment { first_iteration: 1, iterations, start, solo_sync } }
}

#[test]
fn every_variant_agrees_with_the_cpu() {
    let _turn = turn();
    let segments = [
        segment(128, 1, 1, None),       // one tile: no tree above it
        segment(128, 3, 7, Some(1)),    // a sync point after every iteration
        segment(256, 2, 5, Some(2)),    // plain and sync steps alternate
        segment(384, 1, 4, Some(3)),    // nine tiles: odd levels of the tree
        segment(640, 1, 2, None),       // a tile count below the number of SMs
        segment(1024, 2, 2, Some(5)),   // a sync point that is never reached
        segment(128, 512, 2, None),     // 512 tiles: chain_step alone
        segment(128, 513, 2, Some(1)),  // 513: one merkle launch, its last group has one node
        segment(256, 300, 2, None),     // 1200 tiles: three groups, the last not full
        segment(128, 2, 300, Some(13)), // rings wrap, graphs are replayed
    ];
    let expected: Vec<Chain> = if gpus().is_empty() {
        Vec::new()
    } else {
        let mut cpu = CpuExecutor::new(CpuOptions::default());
        segments.iter().map(|segment| run(&mut cpu, segment)).collect()
    };
    every_variant(|device, variant| {
        let mut gpu = GpuExecutor::open(device.index, options(variant)).unwrap();
        for (segment, expected) in segments.iter().zip(&expected) {
            let got = run(&mut gpu, segment);
            let what = format!("{variant} {segment:?}\n{}", gpu.plan().unwrap());
            assert_same(&got, expected, &what);
            let tiles = segment.shape.tiles() * u64::from(segment.iterations);
            match gpu.sm_tiles().unwrap() {
                SmTiles::Counted(counts) => {
                    assert_eq!(counts.len(), device.sm_count as usize, "{what}");
                    assert_eq!(counts.iter().sum::<u64>(), tiles, "{what}");
                }
                other => panic!("{what}: SM counters are {other:?}"),
            }
        }
    });
}

#[test]
fn chunks_and_rings_do_not_change_results() {
    let _turn = turn();
    // Chunk boundaries inside an iteration, a last chunk that is shorter, rings
    // of one slot, and rings that do not divide the number of iterations.
    let segment = segment(256, 5, 11, Some(4));
    every_variant(|device, variant| {
        let mut expected = None;
        for (chunk, slots) in
            [(None, None), (Some(1), Some(1)), (Some(2), Some(3)), (Some(4), Some(2))]
        {
            let options =
                GpuOptions { chunk_products_max: chunk, ring_slots_max: slots, ..options(variant) };
            let mut gpu = GpuExecutor::open(device.index, options).unwrap();
            let got = run(&mut gpu, &segment);
            let expected = expected
                .get_or_insert_with(|| run(&mut CpuExecutor::new(CpuOptions::default()), &segment));
            assert_same(&got, expected, &format!("{variant}\n{}", gpu.plan().unwrap()));
        }
    });
}

#[test]
fn segments_go_on_where_the_last_one_ended() {
    let _turn = turn();
    // A segment starts in slot 0 whatever the last one left; counters add up.
    let whole = segment(256, 1, 10, None);
    every_variant(|device, variant| {
        let mut gpu = GpuExecutor::open(device.index, options(variant)).unwrap();
        let expected = run(&mut gpu, &whole);
        gpu.begin(&whole.shape.into()).unwrap();
        let (mut state, mut first) = (whole.start, 1);
        for iterations in [3, 1, 6] {
            let part = Segment { first_iteration: first, iterations, start: state, ..*whole };
            gpu.run(&part, &mut |output| {
                let at = output.iteration as usize - 1;
                assert_eq!(output.root, expected.roots[at], "{variant} iteration {}", at + 1);
                state = chain::step(&state, output.iteration, &output.root, None);
                ControlFlow::Continue(())
            })
            .unwrap();
            first += iterations;
        }
        let SmTiles::Counted(counts) = gpu.sm_tiles().unwrap() else { panic!("no counters") };
        assert_eq!(counts.iter().sum::<u64>(), 4 * 10);
    });
}

#[test]
fn openings_agree_with_the_run_and_the_cpu() {
    let _turn = turn();
    every_variant(|device, variant| {
        for (dim, products, lane) in [(128, 2, "lane"), (384, 2, "lane"), (512, 1, "none")] {
            let segment = segment(dim, products, 1, None);
            let mut gpu = GpuExecutor::open(device.index, options(variant)).unwrap();
            let side = segment.shape.tiles_per_side();
            let all: Vec<TileRequest> = (0..segment.shape.tiles())
                .map(|tile| TileRequest { at: IterationPlace::of_state(segment.start), tile })
                .rev() // another order than the run's
                .collect();
            let mut cpu = CpuExecutor::new(CpuOptions::default());
            let what = format!("{variant} n = {dim}, {side} tiles a side, buffers of {lane}");
            // With a lane's buffers, and with some of their own.
            let chain = (lane == "lane").then(|| run(&mut gpu, &segment));
            let hashes = gpu.leaf_hashes(&segment.shape.into(), &all).unwrap();
            assert_eq!(hashes, cpu.leaf_hashes(&segment.shape.into(), &all).unwrap(), "{what}");
            for (hashes, tile_root) in
                hashes.iter().rev().zip(chain.iter().flat_map(|c| &c.tile_roots[0]))
            {
                assert_eq!(merkle::root(hashes), Some(*tile_root), "{what}");
            }
            assert_eq!(
                gpu.leaf_hashes(&segment.shape.into(), &[]).unwrap(),
                Vec::<Vec<Digest>>::new()
            );
            // More than one batch.
            let many: Vec<TileRequest> = all.iter().cycle().take(1500).copied().collect();
            let again = gpu.leaf_hashes(&segment.shape.into(), &many).unwrap();
            let expected = hashes.iter().cycle().take(1500);
            assert!(again.iter().eq(expected), "{what}: 1500 tiles in batches");
        }
    });
}

#[test]
fn every_variant_reproduces_the_vectors() {
    let _turn = turn();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors");
    every_variant(|device, variant| {
        let mut gpu = GpuExecutor::open(device.index, options(variant)).unwrap();
        let mut vectors = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let vector: Value = serde_json::from_str(&text).unwrap();
            let Some(token) = vector["challenge"].as_str() else { continue };
            if Challenge::from_token(token).unwrap().work().fp64_product().is_none() {
                continue;
            }
            vectors += 1;
            check_vector(&mut gpu, token, &vector, &path.display().to_string());
        }
        assert!(vectors >= 6, "only {vectors} vectors in {folder}");
    });
}

fn digests<T: FromStr<Err: Debug>>(value: &Value) -> Vec<T> {
    value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().parse().unwrap()).collect()
}

/// Every lane's roots and states, sync points taken by this test.
fn check_vector(gpu: &mut GpuExecutor, token: &str, vector: &Value, name: &str) {
    let challenge = Challenge::from_token(token).unwrap();
    let shape = challenge.work().fp64_product().unwrap();
    let lanes = vector["result"]["lanes"].as_array().unwrap();
    let mut states: Vec<State> = digests(&vector["lane_seeds"]);
    let seeds = states.clone();
    gpu.begin(&shape.into()).unwrap();
    for iteration in 1..=challenge.iterations() {
        let mut roots = Vec::new();
        for (lane, &start) in states.iter().enumerate() {
            let part =
                Segment { first_iteration: iteration, iterations: 1, start, solo_sync: None };
            gpu.run(&part, &mut |output| {
                roots.push(output.root);
                ControlFlow::Continue(())
            })
            .unwrap();
            let expected: Root = digests(&lanes[lane]["iteration_roots"])[iteration as usize - 1];
            assert_eq!(roots[lane], expected, "{name}: D({lane}, {iteration})");
        }
        let sync = iteration
            .is_multiple_of(challenge.sync_interval())
            .then(|| chain::sync_digest(&challenge.digest(), iteration, &roots));
        for (lane, state) in states.iter_mut().enumerate() {
            *state = chain::step(state, iteration, &roots[lane], sync.as_ref());
            let expected: State = digests(&vector["states"][lane])[iteration as usize - 1];
            assert_eq!(*state, expected, "{name}: s({lane}, {iteration})");
        }
    }
    let tile = TileRequest { at: IterationPlace::of_state(seeds[0]), tile: 0 };
    let hashes = gpu.leaf_hashes(&shape.into(), &[tile]).unwrap();
    let expected = vector["lane0_iteration1_leaf5"]["hash"].as_str().unwrap();
    assert_eq!(hashes[0][5].to_string(), expected, "{name}: leaf 5");
}

#[test]
fn the_exactness_check_passes_and_is_reported() {
    let _turn = turn();
    each_device(|device| {
        let folder = tempfile::tempdir().unwrap();
        let memory = ExactnessCache::in_folder(folder.path());
        for expected in ["passed:", "passed before"] {
            let exactness = ExactnessCheck::Remembered(memory.clone());
            let options = GpuOptions { exactness, ..GpuOptions::default() };
            let gpu = GpuExecutor::open(device.index, options).unwrap();
            let details = &gpu.facts().details;
            say(&format!("{}: {details:?}", device.label()));
            let text = details.exactness_check.as_deref().unwrap();
            assert!(text.starts_with(expected) || text.starts_with("not needed"), "{text}");
            let first = Variant::candidates(device.capability)[0];
            assert_eq!(gpu.variant(), first, "fell back: {:?}", details.kernel_notes);
        }
    });
}

#[test]
fn a_break_stops_the_run_and_the_executor_goes_on() {
    let _turn = turn();
    each_device(|device| {
        let mut gpu = GpuExecutor::open(device.index, GpuOptions::default()).unwrap();
        let long = segment(256, 1, 100_000, None);
        gpu.begin(&long.shape.into()).unwrap();
        let mut seen = 0;
        let stopped = gpu.run(&long, &mut |_| {
            seen += 1;
            if seen == 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(stopped, Err(ExecError::Stopped)), "{stopped:?}");
        assert_eq!(seen, 10);
        let short = segment(256, 1, 3, None);
        let expected = run(&mut CpuExecutor::new(CpuOptions::default()), &short);
        assert_same(&run(&mut gpu, &short), &expected, "after a stop");
    });
}

#[test]
fn an_executor_moves_between_threads() {
    let _turn = turn();
    each_device(|device| {
        let gpu = GpuExecutor::open(device.index, GpuOptions::default()).unwrap();
        let segment = segment(128, 1, 2, None);
        let expected = run(&mut CpuExecutor::new(CpuOptions::default()), &segment);
        let moved = std::thread::spawn(move || {
            let mut gpu = gpu;
            let chain = run(&mut gpu, &segment);
            (gpu, chain)
        });
        let (mut gpu, chain) = moved.join().unwrap();
        assert_same(&chain, &expected, "on another thread");
        assert_same(&run(&mut gpu, &segment), &expected, "back again");
    });
}

#[test]
fn device_memory_follows_the_plan() {
    let _turn = turn();
    each_device(|device| {
        let mut gpu = GpuExecutor::open(device.index, GpuOptions::default()).unwrap();
        let before = gpu.free_bytes().unwrap();
        gpu.begin(&Fp64Product { dim: 4096, products: 8 }.into()).unwrap();
        let taken = before - gpu.free_bytes().unwrap();
        let planned = gpu.plan().unwrap().bytes.on_device();
        let off = (taken as f64 - planned as f64).abs() / planned as f64;
        say(&format!("{}: planned {planned} bytes, taken {taken}", device.label()));
        assert!(off <= 0.02, "planned {planned} bytes, taken {taken}");
    });
}

#[test]
fn what_is_not_there_is_told_with_advice() {
    let _turn = turn();
    each_device(|device| {
        let open = |index, variant| {
            let options = GpuOptions { variant, ..GpuOptions::default() };
            GpuExecutor::open(index, options).map(|_| ()).unwrap_err().to_string()
        };
        let text = open(device.index + 1000, None);
        assert!(text.contains("CUDA_VISIBLE_DEVICES") && text.lines().count() == 2, "{text}");
        let mut gpu = GpuExecutor::open(device.index, GpuOptions::default()).unwrap();
        let plan =
            attest::executor::gpu::plan::LaunchPlan::new(&attest::executor::gpu::plan::PlanInput {
                work: Fp64Product { dim: 32768, products: 1 }.into(),
                free_bytes: gpu.free_bytes().unwrap(),
                sm_count: device.sm_count,
                gemm: gpu.variant().gemm,
                integer: gpu.variant().integer_product(),
                chunk_products_max: None,
                ring_slots_max: None,
            });
        let begun = gpu.begin(&Fp64Product { dim: 32768, products: 1 }.into());
        assert_eq!(begun.is_ok(), plan.is_ok(), "the plan decides: {begun:?}, {plan:?}");
    });
    if gpus().is_empty() {
        let text = GpuExecutor::open(0, GpuOptions::default()).map(|_| ()).unwrap_err().to_string();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("no GPU is used") && text.contains("CPU executor"), "{text}");
    }
}

#[test]
fn a_gpu_verifies_leaves_and_iterations_as_the_cpu_does() {
    let _turn = turn();
    each_device(|device| {
        let gpu = GpuExecutor::open(device.index, GpuOptions::default()).unwrap();
        let mut cpu = CpuExecutor::new(CpuOptions::default());
        let segment = segment(256, 2, 3, None);
        let expected = run(&mut cpu, &segment);
        let verifier = GpuVerifier::new(gpu, PATIENCE);
        let inputs = RunInputs { work: segment.shape.into(), seeds: &[] };
        let (mut state, mut requests, mut hashes) = (segment.start, Vec::new(), Vec::new());
        for (at, root) in expected.roots.iter().enumerate() {
            let iteration = at as u32 + 1;
            let at = IterationPlace { lane: 0, iteration, state };
            let got = (&verifier).iteration_root(&inputs, &at).unwrap();
            assert_eq!(got, *root, "iteration {iteration}");
            for leaf in [0, 255, 256, 1023, 2047, 1023] {
                let tile = TileRequest { at, tile: leaf / 256 };
                let leaves = cpu.leaf_hashes(&segment.shape.into(), &[tile]).unwrap();
                hashes.push(leaves[0][(leaf % 256) as usize]);
                requests.push(LeafRequest { at, leaf });
            }
            state = chain::step(&state, iteration, root, None);
        }
        assert_eq!(verifier.leaf_hashes(&inputs, &requests).unwrap(), hashes);
    });
}

#[test]
fn a_challenge_runs_alike_on_gpu_and_cpu_and_its_evidence_fits() {
    let _turn = turn();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors");
    each_device(|device| {
        for name in ["one-product", "odd-tree-384", "rate-0.250001"] {
            let text = std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap();
            let vector: Value = serde_json::from_str(&text).unwrap();
            let challenge = Challenge::from_token(vector["challenge"].as_str().unwrap()).unwrap();
            let on = |executor: Box<dyn Executor>| {
                execute(&challenge, vec![executor], &RunOptions::default(), &|_| {}).unwrap()
            };
            let gpu = on(Box::new(GpuExecutor::open(device.index, GpuOptions::default()).unwrap()));
            let cpu = on(Box::new(CpuExecutor::new(CpuOptions {
                uuid: Some(device.uuid),
                ..CpuOptions::default()
            })));
            assert_eq!(gpu.lanes[0].roots, cpu.lanes[0].roots, "{name}");
            assert_eq!(gpu.lanes[0].states, cpu.lanes[0].states, "{name}");
            let evidence = attest::evidence::assemble(&gpu, &machine::observed()).unwrap();
            let what = String::from_utf8_lossy(evidence.canonical());
            evidence
                .agrees_with(&challenge, &[device.uuid])
                .unwrap_or_else(|e| panic!("{e}: {what}"));
            assert_eq!(evidence.lanes()[0].sm_tiles.len(), device.sm_count as usize, "{what}");
        }
    });
}
