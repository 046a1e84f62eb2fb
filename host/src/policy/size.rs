//! Sizing a challenge: for a model of the table, so much work that an honest run
//! lasts as long as asked, and the fewest samples that a policy is content with.
//!
//! Guarantees: a challenge issued from the request is valid, keeps the policy's
//! soundness for every number of lanes that the policy allows, and its limit
//! leaves room for a run at the expected speed; a limit that a slower card of the
//! model might not keep is warned of.
//! Deliberately lacks: measurements of this machine or the miner's. The expected
//! speed is a share of the model's peak, as measured on one H200
//! (BENCHMARKS.md): every other model is assumed to reach the same share.

use super::Policy;
use crate::appraisal::models::{self, Model};
use crate::mining::issue::{ITERATIONS_DEFAULT, Request};
use crate::protocol::bound::{Grinding, draws_needed};
use crate::protocol::challenge::{OPENINGS_MAX, ROOTS_MAX, sample_rate_ppm};
use crate::protocol::work::fp64_product::Fp64Product;
use std::time::Duration;

/// What the challenge is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target<'a> {
    /// The GPU's model, as its driver names it.
    pub model: &'a str,
    /// How long a run should last, s; the policy's `time.duration_target_s`
    /// where absent.
    pub seconds: Option<f64>,
    /// The measured round trip; the policy's allowance where absent.
    pub round_trip: Option<Duration>,
}

/// Why no challenge can be sized. Text in two lines: what cannot be, what to try.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SizeError {
    /// Nothing is known of the model's speed.
    #[error(
        "no speed is known of GPU model {got:?}\nName it as `attest detect` does; docs/policy.md lists the models that are known."
    )]
    UnknownModel {
        /// What was asked for.
        got: String,
    },
    /// The policy would reject the target's model.
    #[error("the policy does not allow {got:?}\nAdd it to devices.models, or ask for {allowed}.")]
    ModelNotAllowed {
        /// What was asked for.
        got: String,
        /// The policy's models.
        allowed: String,
    },
    /// The policy would reject so many lanes.
    #[error(
        "the policy allows {low} to {high} lanes, {got} were asked for\nChange --gpu-count or devices.gpu_count_min and gpu_count_max."
    )]
    GpuCount {
        /// Fewest.
        low: u64,
        /// Most.
        high: u64,
        /// Asked for.
        got: u64,
    },
    /// The target cannot have the memory.
    #[error(
        "a {model} has about {got_gb} GB of memory, devices.memory_min_bytes asks for {expected_bytes} bytes\nAsk for less memory, or another model."
    )]
    Memory {
        /// The target.
        model: &'static str,
        /// Of the table.
        got_gb: u32,
        /// Asked for.
        expected_bytes: u64,
    },
    /// The policy would reject a challenge that anyone may answer.
    #[error(
        "the policy demands a miner's key, and none is named\nName it with --miner-id or --peer, or leave session.miner_key_required out."
    )]
    MinerKey,
    /// No time, or more than a day.
    #[error("a run cannot last {got_s} s\nAsk for more than 0 and at most 86400 seconds.")]
    Seconds {
        /// Asked for.
        got_s: f64,
    },
    /// Not one iteration fits.
    #[error(
        "{seconds} s are too short for a {model}: its shortest iteration here lasts {iteration_s:.3} s\nAsk for at least that, or for a smaller --dim."
    )]
    TooShort {
        /// Asked for.
        seconds: f64,
        /// The target.
        model: &'static str,
        /// One iteration, s.
        iteration_s: f64,
    },
    /// More iterations than a challenge can have.
    #[error(
        "{seconds} s on {lanes} lane(s) take {iterations} iterations; at most {limit} are possible\nAsk for a shorter run, fewer lanes or more --matrices."
    )]
    TooLong {
        /// Asked for.
        seconds: f64,
        /// Fewest lanes.
        lanes: u64,
        /// Needed.
        iterations: u64,
        /// Most.
        limit: u64,
    },
    /// An honest run would be too slow for the policy.
    #[error(
        "time.slack {slack} is too tight: beside the allowances an honest {model} is expected to take {needed:.2} times its floor\nUse a slack of at least {needed:.2}."
    )]
    Slack {
        /// The policy's.
        slack: f64,
        /// The target.
        model: &'static str,
        /// Least slack, rounded up.
        needed: f64,
    },
    /// More openings than a result can have.
    #[error(
        "this soundness takes {got} openings; a result has at most {OPENINGS_MAX}\nAsk for a larger omitted_share or escape_probability_max, or require a live session."
    )]
    TooManyOpenings {
        /// Over all lanes.
        got: u64,
    },
    /// The samples that were typed are too few.
    #[error(
        "the samples asked for give {got} counted draws, the policy's soundness takes {needed}\nLeave --samples and --sample-rate out, or ask for more."
    )]
    TooFewSamples {
        /// With the fewest lanes.
        got: u64,
        /// Of the policy.
        needed: u64,
    },
}

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

/// How much longer than another a card of the same model may take: two H200s differ
/// by up to 3 % (BENCHMARKS.md).
const CARD_SPREAD: f64 = 1.03;

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
pub(super) struct Speed {
    pub(super) model: &'static Model,
    pub(super) shape: Fp64Product,
}

impl Speed {
    /// One iteration, s.
    pub(super) fn iteration_s(self) -> f64 {
        let flops = efficiency(self.model, self.shape.dim) * self.model.peak_flops();
        2.0 * self.shape.multiply_adds() as f64 / flops
    }
    /// The floor that slack multiplies, s for `iterations`.
    pub(super) fn floor_s(self, iterations: u64) -> f64 {
        2.0 * self.shape.multiply_adds() as f64 * iterations as f64
            / self.model.native_floor_flops()
    }
    /// Iterations that last about `seconds`.
    fn iterations(self, seconds: f64) -> u64 {
        (seconds / self.iteration_s()).round() as u64
    }
    /// The slack with which a run of so many iterations just keeps its limit, if it
    /// takes `spread` times what is expected and has `allowance_s` beside it.
    fn slack_needed(self, iterations: u64, spread: f64, allowance_s: f64) -> f64 {
        let run_s = spread * self.iteration_s() * iterations as f64;
        (run_s - allowance_s) / self.floor_s(iterations)
    }
}

fn hundredth_up(x: f64) -> f64 {
    (100.0 * x).ceil() / 100.0
}

impl Policy {
    /// A request for a challenge that this policy is content with; what `base`
    /// says already stays.
    ///
    /// # Errors
    /// [`SizeError`]. A limit that is kept with little to spare is logged as a
    /// warning.
    pub fn request(&self, target: &Target<'_>, base: Request) -> Result<Request, SizeError> {
        let model = self.target_model(target)?;
        self.check_miner_key(&base)?;
        let (lanes_min, gpu_count) = self.lanes(&base)?;
        let seconds = target.seconds.unwrap_or(self.time.duration_target_s);
        if !(seconds > 0.0 && seconds <= 86_400.0) {
            return Err(SizeError::Seconds { got_s: seconds });
        }
        let (shape, iterations) = self.work(model, seconds, target.round_trip, lanes_min, &base)?;
        let speed = Speed { model, shape };
        // With all of the start-up used up.
        let spare_s = self.round_trip_s(target.round_trip);
        let needed = hundredth_up(speed.slack_needed(iterations, CARD_SPREAD, spare_s));
        if needed > self.time.slack && base.max_duration_ms.is_none() {
            let (slack, slower) = (self.time.slack, 100.0 * (CARD_SPREAD - 1.0));
            tracing::warn!(
                "time.slack {slack} leaves little room: an honest {} that is {slower:.0} % slower than \
                 expected, and slow to start, would be rejected; with {needed:.2} it would not",
                model.name
            );
        }
        let (sample_rate, samples) = self.samples(lanes_min, iterations, &base)?;
        let limit_s = self.limit_s(speed.floor_s(iterations), target.round_trip);
        let counters_required = self.findings.rejects("sm-counters-missing");
        let devices = &self.devices;
        let demands_sms = counters_required && !devices.cpu_allowed && devices.sm_share_min > 0.0;
        let sized = Request {
            matrix_dim: Some(shape.dim.into()),
            num_matrices: Some(shape.products.into()),
            num_iterations: Some(iterations),
            verification_sample_rate: Some(sample_rate),
            samples_per_iteration: Some(samples),
            gpu_count,
            gpu_model: Some(model.name.to_owned()),
            min_memory_bytes: (devices.memory_min_bytes > 0).then_some(devices.memory_min_bytes),
            max_duration_ms: Some(((1e3 * limit_s).ceil() as u64).max(1)),
            min_sm_utilization: demands_sms.then_some(devices.sm_share_min),
            valid_for_s: Some(self.session.valid_for_s + limit_s.ceil() as u64),
            ..Request::default()
        };
        Ok(base.or(sized))
    }

    /// `base` with samples enough for this policy, where none were typed: for devices
    /// of which no speed is known, so that the work is what was typed.
    ///
    /// # Errors
    /// [`SizeError::TooManyOpenings`], [`SizeError::MinerKey`].
    pub(crate) fn with_samples(&self, base: Request) -> Result<Request, SizeError> {
        self.check_miner_key(&base)?;
        if base.verification_sample_rate.is_some() || base.samples_per_iteration.is_some() {
            return Ok(base);
        }
        let iterations = base.num_iterations.unwrap_or(ITERATIONS_DEFAULT);
        let (rate, samples) = self.samples(base.gpu_count.unwrap_or(1), iterations, &base)?;
        let sized = Request {
            verification_sample_rate: Some(rate),
            samples_per_iteration: Some(samples),
            ..Request::default()
        };
        Ok(base.or(sized))
    }

    fn check_miner_key(&self, base: &Request) -> Result<(), SizeError> {
        match base.miner_id {
            None if self.session.miner_key_required => Err(SizeError::MinerKey),
            _ => Ok(()),
        }
    }

    /// The counted draws that this policy's soundness takes, over all lanes.
    pub fn draws_needed(&self) -> u64 {
        let grinding = match self.session.live_required {
            true => Grinding::ExcludedByCoin,
            false => Grinding::Possible,
        };
        draws_needed(self.omitted_share(), self.soundness.escape_probability_max.log10(), grinding)
    }

    pub(super) fn target_model(&self, target: &Target<'_>) -> Result<&'static Model, SizeError> {
        let got = || target.model.chars().take(100).collect();
        let Some(model) = models::find(target.model) else {
            return Err(SizeError::UnknownModel { got: got() });
        };
        let allowed = &self.devices.models;
        if !allowed.is_empty() && !allowed.iter().any(|name| models::is_same_name(name, model.name))
        {
            return Err(SizeError::ModelNotAllowed { got: got(), allowed: allowed.join(", ") });
        }
        let expected_bytes = self.devices.memory_min_bytes;
        if expected_bytes > u64::from(model.memory_gb) << 30 {
            let got_gb = model.memory_gb;
            return Err(SizeError::Memory { model: model.name, got_gb, expected_bytes });
        }
        Ok(model)
    }

    /// The fewest lanes that may answer, and their number where it is exact.
    fn lanes(&self, base: &Request) -> Result<(u64, Option<u64>), SizeError> {
        let (low, high) = (self.devices.gpu_count_min, self.devices.gpu_count_max);
        match base.gpu_count {
            Some(got) if !(low..=high).contains(&got) => {
                Err(SizeError::GpuCount { low, high, got })
            }
            Some(exact) => Ok((exact, Some(exact))),
            None => Ok((low, (low == high).then_some(low))),
        }
    }

    /// Fp64Product and iterations.
    pub(super) fn work(
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
            speed.slack_needed(iterations, 1.0, allowance_s)
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
        let limit = (ROOTS_MAX / lanes).min(1_000_000);
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
            return Err(SizeError::TooLong { seconds, lanes, iterations, limit });
        }
        if iterations == 0 {
            let iteration_s = speed.iteration_s();
            return Err(SizeError::TooShort { seconds, model: model.name, iteration_s });
        }
        Ok((speed.shape, iterations))
    }

    /// Sample rate and samples per iteration, for the fewest lanes: the fewest
    /// openings with enough counted draws.
    fn samples(
        &self,
        lanes: u64,
        iterations: u64,
        base: &Request,
    ) -> Result<(f64, u64), SizeError> {
        let needed = self.draws_needed();
        let iterations = iterations.clamp(1, 1_000_000);
        let (rate, samples) = match (base.verification_sample_rate, base.samples_per_iteration) {
            (Some(rate), samples) if rate < 1.0 => (rate, samples.unwrap_or(1)),
            (None, None) if lanes * iterations > needed => {
                // Iterations count then, not their leaves: one leaf of each of
                // as few as are needed.
                let sampled = needed.div_ceil(lanes);
                let ppm = ((sampled - 1) * 1_000_000) / iterations + 1;
                (ppm as f64 / 1e6, 1)
            }
            (_, samples) => (1.0, samples.unwrap_or(needed.div_ceil(lanes * iterations))),
        };
        let ppm = sample_rate_ppm(rate).map_or(1_000_000, u64::from);
        let sampled = (ppm * iterations).div_ceil(1_000_000).max(1);
        let openings = lanes.saturating_mul(sampled).saturating_mul(samples);
        let got = match sampled == iterations {
            true => openings,
            false => lanes * sampled,
        };
        if got < needed {
            return Err(SizeError::TooFewSamples { got, needed });
        }
        if openings > OPENINGS_MAX {
            return Err(SizeError::TooManyOpenings { got: openings });
        }
        Ok((rate, samples))
    }
}

#[cfg(test)]
#[path = "size_tests.rs"]
mod tests;
