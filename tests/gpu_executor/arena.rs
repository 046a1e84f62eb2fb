//! Memory residency on GPUs, every kernel variant: the vector files against the oracle's
//! numbers, lanes on as many devices as there are, or all on one.

use super::devices::share_of;
use super::{each_device, gpus, options, say, turn};
use crate::common::memory::{MemoryRun, RUNS};
use attest::executor::gpu::bench::{Subject, Turns};
use attest::executor::gpu::{
    GpuDevice, GpuExecutor, GpuOptions, PeerAccess, Supervisor, Variant, peer_access,
};
use attest::executor::{Assignment, ExecError, Executor, Segment, SmTiles, SoloSync, TileRequest};
use attest::protocol::digest::Digest;
use attest::protocol::evidence::document::PeerBlocks;
use attest::protocol::names::{Root, State};
use attest::protocol::work::IterationPlace;
use attest::protocol::work::memory_residency::MemoryResidency;
use attest::protocol::{chain, merkle};
use attest::reference::MemoryOracle;
use attest::work::memory_residency::cpu::MemoryCpu;
use std::ops::ControlFlow;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

/// Executors, one a lane, from device `first` on in turn, begun and connected.
fn lanes(
    first: u32,
    options: &GpuOptions,
    work: MemoryResidency,
    seeds: &[State],
) -> Vec<(GpuExecutor, Assignment)> {
    let seeds: Arc<[State]> = seeds.into();
    let devices = gpus().len() as u32;
    let begun = |lane: usize| {
        let device = (first + lane as u32) % devices;
        let mut executor = GpuExecutor::open(device, options.clone()).unwrap();
        let seeds = Arc::clone(&seeds);
        let assignment = Assignment { work: work.into(), lane: lane as u32, seeds };
        executor.begin(&assignment).unwrap_or_else(|error| panic!("{error}"));
        (executor, assignment)
    };
    let mut lanes: Vec<_> = (0..seeds.len()).map(begun).collect();
    let shared: Vec<_> = lanes.iter_mut().map(|(executor, _)| executor.share()).collect();
    for (executor, _) in &mut lanes {
        executor.connect(&shared).unwrap_or_else(|error| panic!("{error}"));
    }
    lanes
}

/// All leaf hashes of an iteration, after it was run; its tile roots and root must be
/// those over them.
fn leaves(
    (executor, assignment): &mut (GpuExecutor, Assignment),
    iteration: u32,
    state: State,
) -> Vec<Digest> {
    let segment =
        Segment { first_iteration: iteration, iterations: 1, start: state, solo_sync: None };
    let mut seen = None;
    let ran = executor.run(&segment, &mut |output| {
        seen = Some((output.root, output.tile_roots.to_vec()));
        ControlFlow::Continue(())
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
    let (root, tile_roots) = seen.expect("one iteration");
    let at = IterationPlace { lane: assignment.lane, iteration, state };
    // In another order than they were swept.
    let tiles = (0..assignment.work.tiles()).rev().map(|tile| TileRequest { at, tile });
    let read = executor.leaf_hashes(assignment, &tiles.collect::<Vec<_>>());
    let mut read = read.unwrap_or_else(|error| panic!("{error}"));
    read.reverse();
    for (tile, (leaves, root)) in read.iter().zip(&tile_roots).enumerate() {
        assert_eq!(merkle::root(leaves).unwrap(), *root, "iteration {iteration}, tile {tile}");
    }
    let all = read.concat();
    assert_eq!(merkle::root(&all).unwrap(), root.node(), "iteration {iteration}");
    all
}

/// What a stress test compares when a sweep is wrong, of a small arena and of the largest.
#[test]
fn blocks_are_read_back_as_they_lie_and_the_largest_arena_fits() {
    let _turn = turn();
    let seed = State([9; 32]);
    each_device(|device| {
        let mut executor = GpuExecutor::open(device.index, GpuOptions::default()).unwrap();
        let largest = executor.arena_blocks_max().unwrap_or_else(|error| panic!("{error}"));
        for (arena_blocks, half_passes) in [(1024, 0), (512, 12), (largest, 0)] {
            let work = MemoryResidency { arena_blocks, half_passes, peer_blocks: 0 };
            let seeds = Arc::new([seed]);
            let assignment = Assignment { work: work.into(), lane: 0, seeds };
            executor.begin(&assignment).unwrap_or_else(|error| panic!("{error}"));
            for first in [0, 255, arena_blocks / 2 - 1, arena_blocks - 2] {
                let read = executor.read_blocks(first, 2).unwrap_or_else(|error| panic!("{error}"));
                let expected = MemoryCpu::new().block_words(work, &seed, &[first, first + 1]);
                assert_eq!(read, expected.unwrap().concat(), "{device:?}: blocks {first} on");
            }
        }
        say(&format!("{}: the largest arena has {largest} blocks", device.label()));
    });
}

#[test]
fn the_vectors_of_memory_reproduce_on_every_variant() {
    let _turn = turn();
    let runs = RUNS.map(MemoryRun::read);
    let able = peer_access(&gpus()).iter().all(|row| !row.contains('0'));
    let reproduce = |device: &GpuDevice, variant: Variant| {
        for (run, peer_access) in runs
            .iter()
            .flat_map(|run| [PeerAccess::IfPossible, PeerAccess::Never].map(|way| (run, way)))
        {
            let own = !run.work.reads_peers();
            if own && peer_access == PeerAccess::Never {
                continue;
            }
            let options = GpuOptions { peer_access, ..options(variant) };
            let mut lanes = lanes(device.index, &options, run.work, &run.seeds);
            run.reproduces(|lane, iteration, state| {
                leaves(&mut lanes[lane as usize], iteration, *state)
            });
            let iterations = run.states(0).len() as u64 - 1;
            for (executor, assignment) in &mut lanes {
                let SmTiles::Counted(counts) = executor.sm_tiles().unwrap() else {
                    panic!("tiles are counted")
                };
                assert_eq!(counts.iter().sum::<u64>(), iterations * assignment.work.tiles());
                let reads = executor.facts().details.peer_blocks;
                let expected = match peer_access {
                    _ if own => None,
                    PeerAccess::IfPossible if able => Some(PeerBlocks::PeerAccess),
                    _ => Some(PeerBlocks::StagedCopies),
                };
                assert_eq!(reads, expected, "{}", run.name);
            }
        }
    };
    // In turn: lanes of one run take and give back peer access that another's would use.
    let devices = gpus();
    for device in &devices {
        for variant in share_of(device, &devices, Variant::all_for) {
            say(&format!("{} {variant}", device.label()));
            reproduce(device, variant);
        }
    }
}

/// The smallest arena that reads itself.
const SMALLEST: MemoryResidency =
    MemoryResidency { arena_blocks: 512, half_passes: 3, peer_blocks: 0 };

/// Roots of `count` iterations of a lone lane with S = 1 by the oracle.
fn roots_by_the_oracle(seed: State, solo: SoloSync, count: u32) -> Vec<Root> {
    let oracle = MemoryOracle::new(SMALLEST, &[seed]);
    let mut state = seed;
    let step = |iteration: u32| {
        let leaves = oracle.iteration_leaves(0, iteration, &state);
        let root = Root::of_tree(merkle::root(&leaves).unwrap());
        state = chain::step(&state, iteration, &root, solo.digest(iteration, &root).as_ref());
        root
    };
    (1..=count).map(step).collect()
}

#[test]
fn graphs_of_sweeps_and_a_second_challenge_on_the_same_arena() {
    let _turn = turn();
    each_device(|device| {
        let mut executor = GpuExecutor::open(device.index, GpuOptions::default()).unwrap();
        // The second finds an arena filled from the first one's seed.
        for name in ["first", "second"] {
            let seed = State(Digest::of(&[name.as_bytes()]).0);
            let solo = SoloSync { challenge: Digest::of(&[b"c"]), interval: 1 };
            let seeds = Arc::new([seed]);
            executor.begin(&Assignment { work: SMALLEST.into(), lane: 0, seeds }).unwrap();
            let plan = executor.plan().unwrap();
            assert!(plan.graph_iterations > 1, "{plan}");
            let iterations = 2 * plan.ring_slots + 3;
            let segment =
                Segment { first_iteration: 1, iterations, start: seed, solo_sync: Some(solo) };
            let mut roots = Vec::new();
            executor
                .run(&segment, &mut |output| {
                    roots.push(output.root);
                    ControlFlow::Continue(())
                })
                .unwrap();
            assert_eq!(roots, roots_by_the_oracle(seed, solo, iterations), "{name}");
        }
    });
}

#[test]
fn an_arena_that_does_not_fit_is_refused_with_numbers() {
    let _turn = turn();
    each_device(|device| {
        let mut executor = GpuExecutor::open(device.index, GpuOptions::default()).unwrap();
        let work = MemoryResidency { arena_blocks: 1 << 28, ..SMALLEST };
        let assignment =
            Assignment { work: work.into(), lane: 0, seeds: Arc::new([State::default()]) };
        match executor.begin(&assignment) {
            Err(ExecError::Memory { needed_bytes, free_bytes, .. }) => {
                assert!(needed_bytes > 1 << 40 && free_bytes < device.memory_bytes);
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn an_arena_that_another_lane_gave_up_is_not_read() {
    let _turn = turn();
    for device in gpus() {
        let work = MemoryResidency { peer_blocks: 512, ..SMALLEST };
        let seeds = [State([1; 32]), State([2; 32])];
        let mut lanes = lanes(device.index, &GpuOptions::default(), work, &seeds);
        let segment =
            Segment { first_iteration: 1, iterations: 1, start: seeds[0], solo_sync: None };
        lanes.truncate(1);
        let ran = lanes[0].0.run(&segment, &mut |_| ControlFlow::Continue(()));
        let text = ran.unwrap_err().to_string();
        assert!(text.starts_with("reading the arena of lane 1 failed"), "{text}");
    }
}

#[test]
fn a_bench_of_memory_measures_every_side() {
    let _turn = turn();
    each_device(|device| {
        let length = Duration::from_millis(40);
        let mut subject = Subject::open(device.index, None, Supervisor::default()).unwrap();
        for share in [0.01, 0.9] {
            let report = subject.memory(share, Turns { count: 3, length }).unwrap();
            say(&report.to_string());
            let sides =
                [&report.read, &report.attested, &report.sweep, &report.copy, &report.half_pass];
            assert!(sides.iter().all(|side| side.median_tb_s > 0.0 && side.turns_tb_s.len() == 3));
            assert!(report.fill_ms > 0.0 && report.arena_bytes > 0);
        }
    });
}

/// 10⁹ bytes a second of each of the first `running` lanes, which sweep at once.
fn rates(
    lanes: &mut [(GpuExecutor, Assignment)],
    running: usize,
    bytes: u64,
    iterations: u32,
) -> Vec<f64> {
    let start = Barrier::new(running);
    let run = |(executor, assignment): &mut (GpuExecutor, Assignment)| {
        let state = assignment.seeds[assignment.lane as usize];
        let segment = |first_iteration, iterations| Segment {
            first_iteration,
            iterations,
            start: state,
            solo_sync: None,
        };
        executor.run(&segment(1, 1), &mut |_| ControlFlow::Continue(())).unwrap();
        start.wait();
        let begun = Instant::now();
        executor.run(&segment(2, iterations), &mut |_| ControlFlow::Continue(())).unwrap();
        let rate = (bytes * u64::from(iterations)) as f64 / begun.elapsed().as_secs_f64() / 1e9;
        start.wait();
        rate
    };
    let run = &run;
    std::thread::scope(|scope| {
        let lanes = lanes.iter_mut().take(running);
        let threads: Vec<_> = lanes.map(|lane| scope.spawn(move || run(lane))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn lanes_on_several_devices_sweep_at_once() {
    let _turn = turn();
    let devices = gpus();
    if devices.len() < 2 {
        return;
    }
    let share = devices.iter().map(|device| device.memory_bytes).min().unwrap() / 2;
    let arena_blocks = share / 4096 / 512 * 512;
    let work = MemoryResidency { arena_blocks, half_passes: 1, peer_blocks: 0 };
    let seeds: Vec<State> = (0..devices.len()).map(|lane| State([lane as u8; 32])).collect();
    let options = GpuOptions::default();
    let bytes = work.sweep_bytes();
    let lone = rates(&mut lanes(0, &options, work, &seeds[..1]), 1, bytes, 40);
    let all = rates(&mut lanes(0, &options, work, &seeds), seeds.len(), bytes, 40);
    say(&format!("own sweeps, GB/s: one lane {lone:.0?}, all at once {all:.0?}"));
    let work = MemoryResidency { peer_blocks: arena_blocks / 512 * 256, ..work };
    for peer_access in [PeerAccess::IfPossible, PeerAccess::Never] {
        let options = GpuOptions { peer_access, ..options.clone() };
        let mut lanes = lanes(0, &options, work, &seeds);
        let reads = lanes[0].0.facts().details.peer_blocks;
        // Through the host it takes ten times as long.
        let turns = if peer_access == PeerAccess::Never { 1 } else { 6 };
        let lone = rates(&mut lanes, 1, work.link_bytes(), turns);
        let all = rates(&mut lanes, seeds.len(), work.link_bytes(), turns);
        say(&format!(
            "from other lanes ({reads:?}), GB/s: one lane {lone:.0?}, all at once {all:.0?}"
        ));
        assert!(lone.iter().chain(&all).all(|rate| *rate > 0.0));
    }
}
