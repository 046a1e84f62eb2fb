//! The CPU side: whole iterations, opened tiles, sampled verification.
//!
//! `cargo bench -p attest --bench cpu` runs everything, `… -- leaves` a part.
//! Throughput is in floating-point operations (two a multiply-add) for
//! iterations and tiles, in leaves for verification. An iteration is the whole
//! loop: operands, product, every leaf hashed, the tree.

use attest::executor::cpu::{CpuExecutor, CpuOptions, CpuVerifier, Simd};
use attest::executor::{Executor, Segment, TileRequest};
use attest::protocol::digest::Digest;
use attest::protocol::names::State;
use attest::protocol::verify::{LeafRequest, Recompute, RecomputeIteration};
use attest::protocol::work::fp64_product::Fp64Product;
use attest::protocol::work::{IterationPlace, RunInputs};
use divan::Bencher;
use divan::counter::ItemsCount;
use std::ops::ControlFlow;

fn main() {
    divan::main();
}

/// Instruction sets beside each other; those that this CPU lacks are left out.
const SIMD: [Simd; 2] = [Simd::Avx2, Simd::Avx512];

/// A value that differs from word to word and run to run of the counter.
fn digest(i: u64) -> Digest {
    Digest::of(&[b"bench", &i.to_be_bytes()])
}

/// What the leaves of products follow from, besides their states.
fn run(shape: Fp64Product) -> RunInputs<'static> {
    RunInputs { work: shape.into(), seeds: &[] }
}

/// A pool of this many threads; 0 for one a core.
fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn iteration(bencher: Bencher<'_, '_>, simd: Simd, threads: usize, shape: Fp64Product) {
    let Some(mut executor) = CpuExecutor::with_simd(simd, CpuOptions::default()) else { return };
    let segment =
        Segment { first_iteration: 1, iterations: 1, start: State(digest(0).0), solo_sync: None };
    executor.begin(&shape.into()).unwrap();
    let pool = pool(threads);
    bencher.counter(ItemsCount::new(2 * shape.multiply_adds())).bench_local(|| {
        pool.install(|| executor.run(&segment, &mut |_| ControlFlow::Continue(())).unwrap());
    });
}

#[divan::bench(args = SIMD, consts = [128, 1024, 2048], sample_count = 10)]
fn iteration_one_core<const N: u32>(bencher: Bencher<'_, '_>, simd: Simd) {
    iteration(bencher, simd, 1, Fp64Product { dim: N, products: 1 });
}

#[divan::bench(args = SIMD, consts = [1024, 4096], sample_count = 5)]
fn iteration_all_cores<const N: u32>(bencher: Bencher<'_, '_>, simd: Simd) {
    iteration(bencher, simd, 0, Fp64Product { dim: N, products: 1 });
}

#[divan::bench(args = SIMD, sample_count = 5)]
fn full_verification_one_core(bencher: Bencher<'_, '_>, simd: Simd) {
    let Some(mut verifier) = CpuVerifier::with_simd(simd) else { return };
    let shape = Fp64Product { dim: 2048, products: 1 };
    let (run, at) = (run(shape), IterationPlace::of_state(State(digest(1).0)));
    let pool = pool(1);
    bencher
        .counter(ItemsCount::new(2 * shape.multiply_adds()))
        .bench_local(|| pool.install(|| verifier.iteration_root(&run, &at).unwrap()));
}

#[divan::bench(args = SIMD, consts = [1024, 4096], sample_count = 10)]
fn opened_tiles_one_core<const N: u32>(bencher: Bencher<'_, '_>, simd: Simd) {
    let Some(mut executor) = CpuExecutor::with_simd(simd, CpuOptions::default()) else { return };
    let shape = Fp64Product { dim: N, products: 1 };
    let tiles: Vec<TileRequest> = (0..4)
        .map(|i| TileRequest {
            at: IterationPlace::of_state(State(digest(i).0)),
            tile: shape.tile(0, 1, 2),
        })
        .collect();
    let operations = 4 * 2 * 128 * 128 * u64::from(N);
    let pool = pool(1);
    bencher
        .counter(ItemsCount::new(operations))
        .bench_local(|| pool.install(|| executor.leaf_hashes(&shape.into(), &tiles).unwrap()));
}

/// 1000 leaves at random places of as many iterations as given.
fn leaves(bencher: Bencher<'_, '_>, simd: Simd, threads: usize, dim: u32, iterations: u64) {
    let Some(verifier) = CpuVerifier::with_simd(simd) else { return };
    let shape = Fp64Product { dim, products: 1 };
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

#[divan::bench(args = SIMD, consts = [1024, 4096, 8192], sample_count = 10)]
fn leaves_of_one_iteration<const N: u32>(bencher: Bencher<'_, '_>, simd: Simd) {
    leaves(bencher, simd, 0, N, 1);
}

#[divan::bench(args = SIMD, consts = [1024, 4096, 8192], sample_count = 10)]
fn leaves_of_1000_iterations<const N: u32>(bencher: Bencher<'_, '_>, simd: Simd) {
    leaves(bencher, simd, 0, N, 1000);
}

#[divan::bench(args = [Simd::Scalar, Simd::Avx2, Simd::Avx512], sample_count = 3)]
fn leaves_of_one_iteration_one_core(bencher: Bencher<'_, '_>, simd: Simd) {
    leaves(bencher, simd, 1, 1024, 1);
}
