//! Integer products on the CPU: whole iterations, opened tiles, sampled verification.
//!
//! `cargo bench -p attest --bench integer` runs everything, `… -- leaves` a part.
//! Throughput is in operations (two a multiply-add) for iterations and tiles, in leaves for
//! verification. An iteration is the whole loop: operands, product, every leaf folded and
//! hashed, the tree.

use attest::executor::cpu::{CpuExecutor, CpuOptions, CpuVerifier, Simd};
use attest::executor::{Assignment, Executor, TileRequest};
use attest::protocol::digest::Digest;
use attest::protocol::names::State;
use attest::protocol::verify::{LeafRequest, Recompute, RecomputeIteration};
use attest::protocol::work::integer_product::IntegerProduct;
use attest::protocol::work::{IterationPlace, RunInputs};
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

/// Instruction sets beside each other; those that this CPU lacks are left out.
const SIMD: [Simd; 2] = [Simd::Avx2, Simd::Avx512];

/// A value that differs from word to word and run to run of the counter.
fn digest(i: u64) -> Digest {
    Digest::of(&[b"bench", &i.to_be_bytes()])
}

fn product(dim: u32) -> IntegerProduct {
    IntegerProduct { dim, products: 1 }
}

/// What the leaves of products follow from, besides their states.
fn run(shape: IntegerProduct) -> RunInputs<'static> {
    RunInputs { work: shape.into(), seeds: &[] }
}

/// A pool with this number of threads.
fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

#[divan::bench(args = SIMD, consts = [1024, 4096, 8192], sample_count = 5)]
fn full_verification_one_core<const N: u32>(bencher: Bencher<'_, '_>, simd: Simd) {
    let Some(mut verifier) = CpuVerifier::with_simd(simd) else { return };
    let shape = product(N);
    let (run, at) = (run(shape), IterationPlace::of_state(State(digest(1).0)));
    let pool = pool(1);
    bencher
        .counter(ItemsCount::new(2 * shape.multiply_adds()))
        .bench_local(|| pool.install(|| verifier.iteration_root(&run, &at).unwrap()));
}

#[divan::bench(args = SIMD, consts = [1024, 16_384], sample_count = 10)]
fn opened_tiles_one_core<const N: u32>(bencher: Bencher<'_, '_>, simd: Simd) {
    let Some(mut executor) = CpuExecutor::with_simd(simd, CpuOptions::default()) else { return };
    let shape = product(N);
    let tile = |i| TileRequest {
        at: IterationPlace::of_state(State(digest(i).0)),
        tile: shape.tile(0, 1, 2),
    };
    let tiles: Vec<TileRequest> = (0..4).map(tile).collect();
    let (assignment, operations) =
        (Assignment::of(&run(shape), 0), 4 * 2 * 128 * 128 * u64::from(N));
    let pool = pool(1);
    bencher
        .counter(ItemsCount::new(operations))
        .bench_local(|| pool.install(|| executor.leaf_hashes(&assignment, &tiles).unwrap()));
}

/// 1000 leaves at random places of as many iterations as given.
fn leaves(bencher: Bencher<'_, '_>, simd: Simd, threads: usize, dim: u32, iterations: u64) {
    let Some(verifier) = CpuVerifier::with_simd(simd) else { return };
    let shape = product(dim);
    let requests: Vec<LeafRequest> = (0..1000)
        .map(|i| {
            let word = u64::from_be_bytes(digest(i).0[..8].try_into().unwrap());
            let at = IterationPlace::of_state(State(digest(i % iterations).0));
            LeafRequest { at, leaf: word % shape.leaves() }
        })
        .collect();
    let run = run(shape);
    let pool = pool(threads);
    bencher
        .counter(ItemsCount::new(requests.len()))
        .bench_local(|| pool.install(|| verifier.leaf_hashes(&run, &requests).unwrap()));
}

#[divan::bench(args = SIMD, consts = [1024, 8192, 16_384, 65_536], sample_count = 5)]
fn leaves_of_one_iteration_two_cores<const N: u32>(bencher: Bencher<'_, '_>, simd: Simd) {
    leaves(bencher, simd, 2, N, 1);
}

#[divan::bench(args = SIMD, consts = [1024, 16_384], sample_count = 5)]
fn leaves_of_100_iterations_two_cores<const N: u32>(bencher: Bencher<'_, '_>, simd: Simd) {
    leaves(bencher, simd, 2, N, 100);
}
