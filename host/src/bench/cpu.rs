//! What verification costs on this machine's cores.
//!
//! Leaves are drawn as a verifier meets them: at random places, all in one
//! iteration or each in another. A full verification recomputes a product and
//! hashes all of it.

use super::Effort;
use super::cpu_integer::{self, IntegerOnHost};
use super::cpu_memory::{self, MemoryOnHost};
use crate::executor::Executor as _;
use crate::executor::cpu::{CpuExecutor, CpuOptions, CpuVerifier, detect_simd};
use crate::executor::gpu::bench::median;
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::names::State;
use crate::protocol::verify::{LeafRequest, Recompute, RecomputeIteration};
use crate::protocol::work::fp64_product::Fp64Product;
use crate::protocol::work::{IterationPlace, RunInputs, Work};
use serde::Serialize;
use std::time::Instant;

/// n of the leaves that are timed.
const DIMS: [u32; 3] = [1024, 4096, 8192];
/// Leaves recomputed at a time.
const LEAVES: u32 = 1000;
/// A product slower than this shows all that a larger one would.
const SLOW_S: f64 = 0.25;

/// Verification on the CPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CpuReport {
    /// Name of the CPU.
    pub model: String,
    /// Threads that compute.
    pub threads: usize,
    /// Instruction set that is used.
    pub simd: String,
    /// Sampled verification.
    pub leaves: Vec<LeafTimes>,
    /// Full verification.
    pub full: Full,
    /// Integer products.
    pub integer: IntegerOnHost,
    /// Memory residency.
    pub memory: MemoryOnHost,
}

/// Time to recompute a number of leaves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LeafTimes {
    /// Dimension of the matrices.
    pub dim: u32,
    /// Number of leaves.
    pub leaves: u32,
    /// All in one iteration.
    pub of_one_iteration_ms: f64,
    /// Each in an iteration of its own.
    pub of_as_many_iterations_ms: f64,
}

/// Speed of a full verification.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Full {
    /// n of the product.
    pub dim: u32,
    /// 10⁹ FLOP a second, two a multiply-add; everything hashed.
    pub gflops: f64,
    /// The same per thread.
    pub gflops_per_thread: f64,
}

/// Measures all of it: medians of five, or once if it must be quick.
pub(super) fn measure(effort: Effort, on_step: &mut dyn FnMut(&str)) -> CpuReport {
    let runs = match effort {
        Effort::Full => 5,
        Effort::Quick => 1,
    };
    let mut verifier = CpuVerifier::new();
    let mut leaves = Vec::new();
    for dim in DIMS {
        on_step(&format!("CPU: {LEAVES} leaves, n = {dim}"));
        leaves.push(leaf_times(&verifier, dim, Fp64Product { dim, products: 1 }.into(), runs));
    }
    on_step("CPU: full verification");
    let full = full(&mut verifier, runs);
    let integer = cpu_integer::measure(&mut verifier, runs, on_step);
    on_step("CPU: memory residency");
    let memory = cpu_memory::measure(effort, runs);
    // A fixed UUID: nothing is executed in its name.
    let executor =
        CpuExecutor::new(CpuOptions { uuid: Some(Uuid::default()), ..CpuOptions::default() });
    let model = executor.facts().model.clone();
    let (threads, simd) = (rayon::current_num_threads(), detect_simd().to_string());
    CpuReport { model, threads, simd, leaves, full, integer, memory }
}

/// How long random leaves of `work`, products of this dimension, take.
pub(super) fn leaf_times(verifier: &CpuVerifier, dim: u32, work: Work, runs: u32) -> LeafTimes {
    let ms = |iterations: u32| {
        let requests = requests(work, iterations);
        let run = RunInputs { work, seeds: &[] };
        let recompute = || verifier.leaf_hashes(&run, &requests).map(|hashes| hashes.len());
        1e3 * median_s(runs, || assert_eq!(recompute().ok(), Some(requests.len())))
    };
    LeafTimes {
        dim,
        leaves: LEAVES,
        of_one_iteration_ms: ms(1),
        of_as_many_iterations_ms: ms(LEAVES),
    }
}

/// Dimension and seconds of a product that is recomputed whole: of the second dimension, if
/// the first is quick.
pub(super) fn full_s(
    verifier: &mut CpuVerifier,
    [first, second]: [u32; 2],
    work: impl Fn(u32) -> Work,
    runs: u32,
) -> (u32, f64) {
    let mut seconds = |dim: u32| {
        let run = RunInputs { work: work(dim), seeds: &[] };
        let at = IterationPlace::of_state(State(digest(0).0));
        median_s(runs, || assert!(verifier.iteration_root(&run, &at).is_ok()))
    };
    let elapsed_s = seconds(first);
    if elapsed_s < SLOW_S { (second, seconds(second)) } else { (first, elapsed_s) }
}

fn full(verifier: &mut CpuVerifier, runs: u32) -> Full {
    let work = |dim: u32| Fp64Product { dim, products: 1 }.into();
    let (dim, elapsed_s) = full_s(verifier, [1024, 2048], work, runs);
    let flop = 2.0 * Fp64Product { dim, products: 1 }.multiply_adds() as f64;
    let gflops = flop / elapsed_s / 1e9;
    Full { dim, gflops, gflops_per_thread: gflops / rayon::current_num_threads() as f64 }
}

/// A value that differs from number to number.
pub(super) fn digest(number: u32) -> Digest {
    Digest::of(&[b"bench", &number.to_be_bytes()])
}

/// Leaves at random places of `iterations` iterations, in turn.
fn requests(work: Work, iterations: u32) -> Vec<LeafRequest> {
    let request = |number: u32| {
        let word = digest(number).0.first_chunk().map_or(0, |word| u64::from_be_bytes(*word));
        let at = IterationPlace::of_state(State(digest(number % iterations).0));
        LeafRequest { at, leaf: word % work.leaves() }
    };
    (0..LEAVES).map(request).collect()
}

/// Median of `runs` runs after one to warm up, seconds.
pub(super) fn median_s(runs: u32, mut work: impl FnMut()) -> f64 {
    work();
    let mut time = || {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    median((0..runs.max(1)).map(|_| time()).collect()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn leaves_lie_in_as_many_iterations_as_asked_and_differ() {
        for (iterations, states) in [(1, 1), (LEAVES, LEAVES as usize)] {
            let requests = requests(Fp64Product { dim: 1024, products: 1 }.into(), iterations);
            assert_eq!(requests.len(), LEAVES as usize);
            let distinct: HashSet<_> = requests.iter().map(|request| request.at.state).collect();
            assert_eq!(distinct.len(), states);
            let places: HashSet<_> = requests.iter().map(|request| request.leaf).collect();
            assert!(places.len() > 900, "only {} places", places.len());
        }
    }

    #[test]
    fn the_median_leaves_the_first_run_out() {
        let mut runs = 0;
        assert!(median_s(3, || runs += 1) >= 0.0);
        assert_eq!(runs, 4);
    }
}
