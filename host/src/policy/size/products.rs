//! Sizing FP64 and integer products: which of a few shapes, and how many iterations.
//!
//! The expected speed is a share of the model's peak, as measured on one H200
//! (BENCHMARKS.md). FP64: every other model is assumed to reach the same share. int8: the
//! table of models has the share that each is taken to hold, by its power and instructions.

use super::{ITERATIONS_MAX, Policy, SizeError, SizedWork, Times, hundredth_up};
use crate::appraisal::floors;
use crate::appraisal::models::Model;
use crate::mining::issue::Request;
use crate::mining::kind::WorkKind;
use crate::protocol::challenge::ROOTS_MAX;
use crate::protocol::work::Work;
use crate::protocol::work::fp64_product::Fp64Product;
use crate::protocol::work::integer_product::IntegerProduct;
use std::time::Duration;

/// Shapes of FP64 products to choose from, n and m, the most efficient first: those of
/// BENCHMARKS.md.
const FP64_SHAPES: &[(u32, u32)] = &[(8192, 2), (4096, 8), (2048, 16), (1024, 64)];
/// Shapes of integer products, likewise: their operands take 1 GiB at most.
const INTEGER_SHAPES: &[(u32, u32)] = &[(16_384, 2), (16_384, 1), (8192, 2), (4096, 8)];

/// Iterations that a run should have at least, so that the chain has links and
/// the duration is met within a few per cent.
const ITERATIONS_WANTED: f64 = 16.0;

/// FP64 multiply-adds per SM and clock below which hashing costs nothing: it
/// runs on other units, which then wait for these.
const FEW_FP64: u32 = 8;

/// int8 multiply-adds per SM and clock of the chip whose own instructions this program has.
const HOPPER_INT8: u32 = 4096;

/// Products of a kind: n and m as they are asked for, not yet within their bounds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Products {
    /// FP64 products.
    Fp64,
    /// int8 products.
    Integer,
}

impl Products {
    /// Those of a kind of work, if it is products.
    pub(in crate::policy) fn of(kind: WorkKind) -> Option<Self> {
        match kind {
            WorkKind::Fp64Product => Some(Self::Fp64),
            WorkKind::IntegerProduct => Some(Self::Integer),
            WorkKind::MemoryResidency => None,
        }
    }

    fn shapes(self) -> &'static [(u32, u32)] {
        match self {
            Self::Fp64 => FP64_SHAPES,
            Self::Integer => INTEGER_SHAPES,
        }
    }

    fn work(self, (dim, products): (u32, u32)) -> Work {
        match self {
            Self::Fp64 => Fp64Product { dim, products }.into(),
            Self::Integer => IntegerProduct { dim, products }.into(),
        }
    }

    /// Bytes of the operands of this many products.
    fn operand_bytes(self, (dim, products): (u32, u32)) -> u64 {
        let element_bytes = match self {
            Self::Fp64 => 8,
            Self::Integer => 1,
        };
        2 * element_bytes * u64::from(products) * u64::from(dim).pow(2)
    }

    /// Operations a second that an honest run does.
    fn rate(self, model: &Model, dim: u32) -> f64 {
        match self {
            Self::Fp64 => fp64_efficiency(model, dim) * model.peak_flops(),
            Self::Integer => integer_efficiency(model, dim) * model.sustained_int8_ops(),
        }
    }
}

/// The share of the model's peak at its highest clock that attested FP64 work
/// reaches: 1/σ of the H200 in BENCHMARKS.md, rounded down. Below n = 1024 a
/// guess, as the hash outweighs the product there.
fn fp64_efficiency(model: &Model, dim: u32) -> f64 {
    match dim {
        8192.. => 0.81,
        1024.. if model.fp64_fma_per_sm_clock < FEW_FP64 => 0.81,
        4096.. => 0.80,
        2048.. => 0.76,
        1024.. => 0.66,
        _ => 0.10,
    }
}

/// The share of what the model sustains at n = 16384 that attested int8 work reaches, as
/// measured on the H200: by `wgmma` down to n = 2048, by `mma.sync` at 8192. The rest is a
/// guess: folding and hashing take as long for each output, whatever n is.
fn integer_efficiency(model: &Model, dim: u32) -> f64 {
    let is_hopper = model.int8_mac_per_sm_clock == HOPPER_INT8;
    match dim {
        16_384.. => 1.0,
        8192.. => {
            if is_hopper {
                1.0
            } else {
                0.84
            }
        }
        4096.. => {
            if is_hopper {
                0.96
            } else {
                0.70
            }
        }
        2048.. => {
            if is_hopper {
                0.72
            } else {
                0.50
            }
        }
        1024.. => 0.30,
        _ => 0.05,
    }
}

/// What an honest run of one model is expected to do.
#[derive(Clone, Copy)]
pub(in crate::policy) struct Speed {
    pub(in crate::policy) model: &'static Model,
    pub(in crate::policy) kind: Products,
    /// n and m.
    pub(in crate::policy) shape: (u32, u32),
}

impl Speed {
    /// The products of an iteration.
    pub(in crate::policy) fn work(self) -> Work {
        self.kind.work(self.shape)
    }
    /// One iteration, s.
    pub(in crate::policy) fn iteration_s(self) -> f64 {
        self.work().cost().amount as f64 / self.kind.rate(self.model, self.shape.0)
    }
    /// The floor that slack multiplies, s for `iterations`.
    pub(in crate::policy) fn floor_s(self, iterations: u64) -> f64 {
        let one = floors::native_seconds(self.work(), 1, self.model);
        one.expect("products have a floor") * iterations as f64
    }
    /// What this many iterations are expected to take, and may take.
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
    /// The products of an iteration, and iterations, that take about `seconds`, as part of a
    /// request.
    pub(super) fn sized_products(
        &self,
        kind: Products,
        model: &'static Model,
        (seconds, round_trip): (f64, Option<Duration>),
        lanes: u64,
        base: &Request,
    ) -> Result<SizedWork, SizeError> {
        let (speed, iterations) = self.products(kind, model, (seconds, round_trip), lanes, base)?;
        let times = speed.times(iterations);
        let (dim, products) = speed.shape;
        let request = Request {
            matrix_dim: Some(dim.into()),
            num_matrices: Some(products.into()),
            ..Request::default()
        };
        Ok(SizedWork { request, work: speed.work(), iterations, times: Some(times) })
    }

    /// Likewise, with how fast they are.
    pub(in crate::policy) fn products(
        &self,
        kind: Products,
        model: &'static Model,
        (seconds, round_trip): (f64, Option<Duration>),
        lanes: u64,
        base: &Request,
    ) -> Result<(Speed, u64), SizeError> {
        // Out of bounds stays so: issuing says what is wrong with it.
        let asked = |field: Option<u64>, or: u32| field.map_or(or, |n| n.clamp(1, 1 << 20) as u32);
        let dim = base.matrix_dim.map(|n| n.max(128));
        let typed = |&(n, m): &(u32, u32)| (asked(dim, n), asked(base.num_matrices, m));
        let speeds: Vec<Speed> =
            kind.shapes().iter().map(|at| Speed { model, kind, shape: typed(at) }).collect();
        let slack = self.time.slack;
        let allowance_s = self.limit_s(0.0, round_trip);
        let needed = |speed: &Speed| {
            let iterations = base.num_iterations.unwrap_or(speed.iterations(seconds)).max(1);
            speed.times(iterations).slack_needed(1.0, allowance_s)
        };
        let fitting: Vec<Speed> = speeds.iter().copied().filter(|s| needed(s) <= slack).collect();
        let Some(&smallest) = fitting.last() else {
            let needed = hundredth_up(speeds.iter().map(needed).fold(f64::INFINITY, f64::min));
            return Err(SizeError::Slack { slack, model: &model.name, needed });
        };
        let wanted = |speed: &&Speed| seconds / speed.iteration_s() >= ITERATIONS_WANTED;
        let mut speed = *fitting.iter().find(wanted).unwrap_or(&smallest);
        if let Some(iterations) = base.num_iterations {
            return Ok((speed, iterations));
        }
        let limit = (ROOTS_MAX / lanes).min(ITERATIONS_MAX);
        let half_the_memory = model.memory_bytes() / 2;
        while speed.iterations(seconds) > limit && base.num_matrices.is_none() {
            let twice = (speed.shape.0, 2 * speed.shape.1);
            if twice.1 > 4096 || kind.operand_bytes(twice) > half_the_memory {
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
            return Err(SizeError::TooShort { seconds, model: &model.name, run_s, smaller });
        }
        Ok((speed, iterations))
    }
}

#[cfg(test)]
#[path = "integer_tests.rs"]
mod tests;
