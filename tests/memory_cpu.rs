//! Memory residency on each instruction set of this machine, against the vector files and
//! the oracle.

use crate::common::memory::{MemoryRun, RUNS, digest, folds};
use attest::executor::cpu::Simd;
use attest::protocol::digest::Digest;
use attest::protocol::merkle;
use attest::protocol::names::State;
use attest::protocol::verify::LeafRequest;
use attest::protocol::work::IterationPlace;
use attest::protocol::work::memory_residency::MemoryResidency;
use attest::reference::MemoryOracle;
use attest::work::fold::fold;
use attest::work::memory_residency::cpu::{Arena, ArenaError, EmptyArena, LaneSweep, MemoryCpu};
use std::ops::ControlFlow;

/// Every instruction set that this CPU has.
fn all() -> Vec<(Simd, MemoryCpu)> {
    [Simd::Scalar, Simd::Avx2, Simd::Avx512]
        .into_iter()
        .filter_map(|simd| Some((simd, MemoryCpu::with_simd(simd)?)))
        .collect()
}

fn filled(cpu: MemoryCpu, work: MemoryResidency, seed: &State) -> Arena {
    let empty = EmptyArena::allocate(work).expect("a small arena");
    cpu.fill(empty, seed, &mut || ControlFlow::Continue(())).expect("nobody stops it")
}

fn request(lane: u32, iteration: u32, state: State, leaf: u64) -> LeafRequest {
    LeafRequest { at: IterationPlace { lane, iteration, state }, leaf }
}

/// Arenas of all lanes.
struct Arenas {
    cpu: MemoryCpu,
    work: MemoryResidency,
    arenas: Vec<Arena>,
}

impl Arenas {
    fn of(cpu: MemoryCpu, work: MemoryResidency, seeds: &[State]) -> Self {
        let arenas = seeds.iter().map(|seed| filled(cpu, work, seed)).collect();
        Self { cpu, work, arenas }
    }

    fn sweep(&self, lane: u32, iteration: u32, state: &State) -> LaneSweep<'_> {
        let second = self.work.second_lane(lane, iteration, self.arenas.len() as u32);
        let (own, second) = (&self.arenas[lane as usize], &self.arenas[second as usize]);
        LaneSweep { state: *state, own, second }
    }

    fn tile_roots(&self, lane: u32, iteration: u32, state: &State) -> Vec<Digest> {
        self.cpu.tile_roots(&self.sweep(lane, iteration, state))
    }

    /// All leaves of an iteration.
    fn leaves(&self, lane: u32, iteration: u32, state: &State) -> Vec<Digest> {
        let all: Vec<u64> = (0..self.work.leaves()).collect();
        self.cpu.leaf_hashes(&self.sweep(lane, iteration, state), &all)
    }
}

#[test]
fn every_fold_reproduces_on_this_machine() {
    for case in folds() {
        let fold = match case.columns.len() {
            1 => fold::<1>,
            2 => fold::<2>,
            4 => fold::<4>,
            32 => fold::<32>,
            other => panic!("{other} columns"),
        };
        let message = fold(case.key, case.tweak, case.index, &case.columns.concat());
        assert_eq!(hex::encode(message), case.message, "index {}", case.index);
    }
}

#[test]
fn every_run_reproduces_on_every_instruction_set() {
    for (simd, cpu) in all() {
        for run in RUNS.map(MemoryRun::read) {
            let arenas = Arenas::of(cpu, run.work, &run.seeds);
            let block5 = arenas.arenas[0].block_digest(5);
            assert_eq!(block5, digest(&run.file["block5"]), "{}, {simd}", run.name);
            run.reproduces(|lane, iteration, state| {
                let leaves = arenas.leaves(lane, iteration, state);
                let tiles = arenas.tile_roots(lane, iteration, state);
                let roots: Vec<_> = leaves.chunks(256).map(merkle::root).collect();
                assert_eq!(tiles.into_iter().map(Some).collect::<Vec<_>>(), roots, "{simd}");
                leaves
            });
        }
    }
}

#[test]
fn every_opened_leaf_follows_from_nothing_on_every_instruction_set() {
    for run in RUNS.map(MemoryRun::read) {
        let oracle = MemoryOracle::new(run.work, &run.seeds);
        let requests: Vec<LeafRequest> = run
            .opened()
            .into_iter()
            .map(|(lane, iteration, state, leaf)| request(lane, iteration, state, leaf))
            .collect();
        let expected: Vec<Digest> = requests
            .iter()
            .map(|r| oracle.leaf_hash(r.at.lane, r.at.iteration, &r.at.state, r.leaf))
            .collect();
        for (simd, cpu) in all() {
            // All at once, which fills arenas, and one by one, which doesn't.
            let together = cpu.recompute(run.work, &run.seeds, &requests).unwrap();
            assert_eq!(together, expected, "{}, {simd}", run.name);
            for (request, expected) in requests.iter().zip(&expected).rev().take(8) {
                let alone = cpu.recompute(run.work, &run.seeds, &[*request]).unwrap();
                assert_eq!(alone, [*expected], "{}, {simd}: {request:?}", run.name);
            }
        }
    }
}

fn states(label: &str, count: u32) -> Vec<State> {
    let state = |i: u32| State(Digest::of(&[label.as_bytes(), &i.to_be_bytes()]).0);
    (0..count).map(state).collect()
}

/// First and last leaf, and both sides of a tile's edge.
fn edges(work: MemoryResidency) -> Vec<u64> {
    let last = work.leaves() - 1;
    let mut edges = vec![0, 1, 255, 256.min(last), last / 2, last];
    edges.dedup();
    edges
}

#[test]
fn boundaries_agree_with_the_oracle() {
    let cases = [
        // N, p, K, G: the smallest arena with no, one, two and most half-passes; a number
        // of half-blocks that is no power of two; windows of one tile and of all blocks.
        (512, 0, 0, 1),
        (512, 1, 0, 1),
        (512, 2, 0, 2),
        (512, 16, 0, 1),
        (1536, 3, 0, 1),
        (512, 1, 256, 2),
        (512, 2, 512, 2),
        (1536, 2, 256, 3),
        (1536, 3, 1536, 3),
        (512, 1, 256, 64),
    ];
    for (arena_blocks, half_passes, peer_blocks, lanes) in cases {
        let work = MemoryResidency { arena_blocks, half_passes, peer_blocks };
        let seeds = states("seed", lanes);
        let oracle = MemoryOracle::new(work, &seeds);
        let chosen = [(0, 1), (lanes - 1, 1), (lanes - 1, 2), (0, lanes), (lanes / 2, 1_000_000)];
        let mut requests = Vec::new();
        for ((lane, iteration), state) in chosen.into_iter().zip(states("state", 5)) {
            requests
                .extend(edges(work).into_iter().map(|leaf| request(lane, iteration, state, leaf)));
        }
        let hash =
            |r: &LeafRequest| oracle.leaf_hash(r.at.lane, r.at.iteration, &r.at.state, r.leaf);
        let expected: Vec<Digest> = requests.iter().map(hash).collect();
        for (simd, cpu) in all() {
            let got = cpu.recompute(work, &seeds, &requests).unwrap();
            assert_eq!(got, expected, "{work:?}, {simd}");
            if lanes > 3 {
                continue; // no need of 64 arenas once more
            }
            let arenas = Arenas::of(cpu, work, &seeds);
            let each = edges(work).len();
            for (of_one, expected) in requests.chunks(each).zip(expected.chunks(each)) {
                let IterationPlace { lane, iteration, state } = of_one[0].at;
                let leaves: Vec<u64> = of_one.iter().map(|request| request.leaf).collect();
                let sweep = arenas.sweep(lane, iteration, &state);
                assert_eq!(cpu.leaf_hashes(&sweep, &leaves), expected, "{work:?}, {simd}");
            }
        }
    }
}

#[test]
fn memory_that_was_filled_before_leaves_no_trace() {
    let work = MemoryResidency { arena_blocks: 512, half_passes: 3, peer_blocks: 0 };
    let [first, second] = [State([1; 32]), State([2; 32])];
    let cpu = MemoryCpu::new();
    let empty = filled(cpu, work, &first).into_empty();
    let again = cpu.fill(empty, &second, &mut || ControlFlow::Continue(())).unwrap();
    let fresh = filled(cpu, work, &second);
    for b in 0..512 {
        assert_eq!(again.block_digest(b), fresh.block_digest(b), "block {b}");
    }
}

#[test]
fn a_fill_stops_between_passes() {
    let work = MemoryResidency { arena_blocks: 512, half_passes: 12, peer_blocks: 0 };
    let mut asked = 0;
    let stopped =
        MemoryCpu::new().fill(EmptyArena::allocate(work).unwrap(), &State([1; 32]), &mut || {
            asked += 1;
            if asked == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    assert!(matches!(stopped, Err(ArenaError::Stopped)));
    assert_eq!(asked, 3);
}

/// The largest arena of the protocol, 1.1 TB: refused before a page of it is touched.
#[test]
fn an_arena_that_does_not_fit_names_what_it_needs_and_what_is_free() {
    let work = MemoryResidency { arena_blocks: 1 << 28, half_passes: 0, peer_blocks: 0 };
    match EmptyArena::allocate(work) {
        Err(error @ ArenaError::TooLarge { needed_bytes, free_bytes, .. }) => {
            assert_eq!(needed_bytes, 1 << 40);
            assert!(free_bytes < needed_bytes);
            let text = error.to_string();
            assert!(text.contains("1.100 TB") && text.contains("are free"), "{text}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => println!("this host has more than 1.1 TB free"),
    }
}
