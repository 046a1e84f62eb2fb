//! Memory residency on the CPU: filling, sweeping, and a validator's leaves from nothing.
//!
//! `cargo bench -p attest --bench memory` runs everything, `… -- from_nothing` a part.
//! Throughput is in blocks of random words, bytes, or leaves.

use attest::executor::cpu::Simd;
use attest::protocol::digest::Digest;
use attest::protocol::names::State;
use attest::protocol::verify::LeafRequest;
use attest::protocol::work::IterationPlace;
use attest::protocol::work::memory_residency::MemoryResidency;
use attest::work::memory_residency::cpu::{Arena, EmptyArena, LaneSweep, MemoryCpu};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use std::ops::ControlFlow;

fn main() {
    divan::main();
}

/// Instruction sets beside each other; those that this CPU lacks are left out.
const SIMD: [Simd; 2] = [Simd::Avx2, Simd::Avx512];

/// A value that differs from word to word and run to run of the counter.
fn digest(i: u64) -> State {
    State(Digest::of(&[b"bench", &i.to_be_bytes()]).0)
}

/// A pool of this many threads; 0 for one a core.
fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn filled(cpu: MemoryCpu, work: MemoryResidency) -> Arena {
    fill(cpu, EmptyArena::allocate(work).unwrap())
}

fn fill(cpu: MemoryCpu, empty: EmptyArena) -> Arena {
    cpu.fill(empty, &digest(0), &mut || ControlFlow::Continue(())).unwrap()
}

/// 1 GiB.
const ARENA_BLOCKS: u64 = 1 << 18;

/// Twelve half-passes over memory that is there already; in blocks of random words.
#[divan::bench(args = SIMD, consts = [1, 0], sample_count = 3)]
fn fill_again<const THREADS: usize>(bencher: Bencher<'_, '_>, simd: Simd) {
    let Some(cpu) = MemoryCpu::with_simd(simd) else { return };
    let work = MemoryResidency { arena_blocks: ARENA_BLOCKS, half_passes: 12, peer_blocks: 0 };
    let pool = pool(THREADS);
    let mut arena = Some(pool.install(|| filled(cpu, work)));
    bencher.counter(ItemsCount::new(256 * 7 * ARENA_BLOCKS)).bench_local(|| {
        let empty = arena.take().unwrap().into_empty();
        arena = Some(pool.install(|| fill(cpu, empty)));
    });
}

/// One sweep: read, fold, hash, tree; in bytes read.
#[divan::bench(args = SIMD, consts = [1, 0], sample_count = 10)]
fn sweep<const THREADS: usize>(bencher: Bencher<'_, '_>, simd: Simd) {
    let Some(cpu) = MemoryCpu::with_simd(simd) else { return };
    let work = MemoryResidency { arena_blocks: ARENA_BLOCKS, half_passes: 0, peer_blocks: 0 };
    let pool = pool(THREADS);
    let arena = pool.install(|| filled(cpu, work));
    let sweep = LaneSweep { state: digest(1), own: &arena, second: &arena };
    bencher
        .counter(BytesCount::new(work.sweep_bytes()))
        .bench_local(|| pool.install(|| cpu.tile_roots(&sweep)));
}

/// The leaves that a bound of 10⁻⁹ at one percent takes, of an arena of 137 GB.
#[divan::bench(args = SIMD, consts = [1, 2, 0], sample_count = 5)]
fn from_nothing<const THREADS: usize>(bencher: Bencher<'_, '_>, simd: Simd) {
    let Some(cpu) = MemoryCpu::with_simd(simd) else { return };
    let work = MemoryResidency { arena_blocks: 1 << 25, half_passes: 12, peer_blocks: 0 };
    let request = |i: u64| {
        let word = u64::from_be_bytes(*digest(i).0.first_chunk().unwrap());
        LeafRequest { at: IterationPlace::of_state(digest(i)), leaf: word % work.leaves() }
    };
    let requests: Vec<LeafRequest> = (0..2063).map(request).collect();
    let pool = pool(THREADS);
    bencher
        .counter(ItemsCount::new(requests.len()))
        .bench_local(|| pool.install(|| cpu.recompute(work, &[digest(0)], &requests).unwrap()));
}
