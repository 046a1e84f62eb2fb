//! Sizing FP64 products: which of a few shapes, and how many iterations.
//!
//! The expected speed is a share of the model's peak, as measured on one H200
//! (BENCHMARKS.md): every other model is assumed to reach the same share.

use super::{ITERATIONS_MAX, Policy, SizeError, Times, hundredth_up};
use crate::appraisal::models::Model;
use crate::mining::issue::Request;
use crate::protocol::challenge::ROOTS_MAX;
use crate::protocol::work::fp64_product::Fp64Product;
use std::time::Duration;

/// Shapes to choose from, the most efficient first: those of BENCHMARKS.md.
const SHAPES: [Fp64Product; 4] = [
    Fp64Product { dim: 8192, products: 2 },
    Fp64Product { dim: 4096, products: 8 },
    Fp64Product { dim: 2048, products: 16 },
    Fp64Product { dim: 1024, products: 64 },
];

/// Iterations that a run should have at least, so that the chain has links and
/// the duration is met within a few per cent.
const ITERATIONS_WANTED: f64 = 16.0;

/// FP64 multiply-adds per SM and clock below which hashing costs nothing: it
/// runs on other units, which then wait for these.
const FEW_FP64: u32 = 8;

/// The share of the model's peak at its highest clock that attested work
/// reaches: 1/σ of the H200 in BENCHMARKS.md, rounded down. Below n = 1024 a
/// guess, as the hash outweighs the product there.
fn efficiency(model: &Model, dim: u32) -> f64 {
    match dim {
        8192.. => 0.81,
        1024.. if model.fp64_fma_per_sm_clock < FEW_FP64 => 0.81,
        4096.. => 0.80,
        2048.. => 0.76,
        1024.. => 0.66,
        _ => 0.10,
    }
}

/// What an honest run of one model is expected to do.
#[derive(Clone, Copy)]
pub(in crate::policy) struct Speed {
    pub(in crate::policy) model: &'static Model,
    pub(in crate::policy) shape: Fp64Product,
}

impl Speed {
    /// One iteration, s.
    pub(in crate::policy) fn iteration_s(self) -> f64 {
        let flops = efficiency(self.model, self.shape.dim) * self.model.peak_flops();
        2.0 * self.shape.multiply_adds() as f64 / flops
    }
    /// The floor that slack multiplies, s for `iterations`.
    pub(in crate::policy) fn floor_s(self, iterations: u64) -> f64 {
        2.0 * self.shape.multiply_adds() as f64 * iterations as f64
            / self.model.native_floor_flops()
    }
    /// What so many iterations are expected to take, and may take.
    pub(super) fn times(self, iterations: u64) -> Times {
        let honest_s = self.iteration_s() * iterations as f64;
        Times { honest_s, floor_s: self.floor_s(iterations) }
    }
    /// Iterations that last about `seconds`.
    fn iterations(self, seconds: f64) -> u64 {
        (seconds / self.iteration_s()).round() as u64
    }
}

impl Policy {
    /// The products of an iteration, and iterations, that take about `seconds`.
    pub(in crate::policy) fn products(
        &self,
        model: &'static Model,
        seconds: f64,
        round_trip: Option<Duration>,
        lanes: u64,
        base: &Request,
    ) -> Result<(Fp64Product, u64), SizeError> {
        let typed = |shape: Fp64Product| Fp64Product {
            // Out of bounds stays so: issuing says what is wrong with it.
            dim: base.matrix_dim.map_or(shape.dim, |n| n.clamp(128, 1 << 20) as u32),
            products: base.num_matrices.map_or(shape.products, |m| m.clamp(1, 1 << 20) as u32),
        };
        let speeds = SHAPES.map(|shape| Speed { model, shape: typed(shape) });
        let slack = self.time.slack;
        let allowance_s = self.limit_s(0.0, round_trip);
        let needed = |speed: &Speed| {
            let iterations = base.num_iterations.unwrap_or(speed.iterations(seconds)).max(1);
            speed.times(iterations).slack_needed(1.0, allowance_s)
        };
        let fitting: Vec<Speed> = speeds.into_iter().filter(|s| needed(s) <= slack).collect();
        let Some(&smallest) = fitting.last() else {
            let needed = hundredth_up(speeds.iter().map(needed).fold(f64::INFINITY, f64::min));
            return Err(SizeError::Slack { slack, model: model.name, needed });
        };
        let wanted = |speed: &&Speed| seconds / speed.iteration_s() >= ITERATIONS_WANTED;
        let mut speed = *fitting.iter().find(wanted).unwrap_or(&smallest);
        if let Some(iterations) = base.num_iterations {
            return Ok((speed.shape, iterations));
        }
        let limit = (ROOTS_MAX / lanes).min(ITERATIONS_MAX);
        let half_the_memory = u64::from(model.memory_gb) * 500_000_000;
        while speed.iterations(seconds) > limit && base.num_matrices.is_none() {
            let twice = Fp64Product { products: 2 * speed.shape.products, ..speed.shape };
            let operands = u64::from(twice.products) * twice.operand_bytes_per_product();
            if twice.products > 4096 || operands > half_the_memory {
                break;
            }
            speed.shape = twice;
        }
        let iterations = speed.iterations(seconds);
        if iterations > limit {
            let larger = "more --matrices";
            return Err(SizeError::TooLong { seconds, lanes, iterations, limit, larger });
        }
        if iterations == 0 {
            let (run_s, smaller) = (speed.iteration_s(), "a smaller --dim");
            return Err(SizeError::TooShort { seconds, model: model.name, run_s, smaller });
        }
        Ok((speed.shape, iterations))
    }
}
