//! Integer products on this machine's cores: sampled leaves and whole products, as a
//! validator computes them.

use super::cpu::{LeafTimes, full_s, leaf_times};
use crate::executor::cpu::CpuVerifier;
use crate::protocol::work::integer_product::IntegerProduct;
use serde::Serialize;

/// n of the leaves that are timed.
const DIMS: [u32; 3] = [1024, 8192, 16_384];
/// n of the products that are recomputed whole: the second if the first is quick.
const FULL_DIMS: [u32; 2] = [1024, 4096];

/// Verification of integer products on the CPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IntegerOnHost {
    /// Sampled verification.
    pub leaves: Vec<LeafTimes>,
    /// n of the product that was recomputed whole.
    pub full_dim: u32,
    /// 10⁹ operations a second, two a multiply-add; everything folded and hashed.
    pub full_gops: f64,
    /// The same per thread.
    pub full_gops_per_thread: f64,
}

/// Measures all of it: medians of `runs`. Tells `on_step` what comes.
pub(super) fn measure(
    verifier: &mut CpuVerifier,
    runs: u32,
    on_step: &mut dyn FnMut(&str),
) -> IntegerOnHost {
    let work = |dim: u32| IntegerProduct { dim, products: 1 }.into();
    let leaves = DIMS.map(|dim| {
        on_step(&format!("CPU: int8 leaves, n = {dim}"));
        leaf_times(verifier, dim, work(dim), runs)
    });
    on_step("CPU: full verification of an int8 product");
    let (full_dim, elapsed_s) = full_s(verifier, FULL_DIMS, work, runs);
    let operations = 2.0 * IntegerProduct { dim: full_dim, products: 1 }.multiply_adds() as f64;
    let full_gops = operations / elapsed_s / 1e9;
    IntegerOnHost {
        leaves: leaves.to_vec(),
        full_dim,
        full_gops,
        full_gops_per_thread: full_gops / rayon::current_num_threads() as f64,
    }
}
