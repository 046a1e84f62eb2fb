//! Sizing a challenge: for a model of the table, so much work that an honest run
//! lasts as long as asked, and the fewest samples that a policy is content with.
//!
//! Guarantees: a challenge issued from the request is valid, keeps the policy's
//! soundness for every number of lanes that the policy allows, and its limit
//! leaves room for a run at the expected speed; a limit that a slower card of the
//! model might not keep is warned of.
//! Deliberately lacks: measurements of this machine or the miner's, and how much work
//! takes how long: each kind of work has a module that knows.

mod error;
mod memory_residency;
mod products;
mod rounds;

use super::figures::{Beyond, Run};
use super::rules::rounds::is_fp64_poor;
use super::{Policy, RoundKind, RoundOn};
use crate::appraisal::models::{self, Model};
use crate::mining::issue::{ITERATIONS_DEFAULT, Request};
use crate::protocol::bound::{Grinding, draws_needed};
use crate::protocol::challenge::{OPENINGS_MAX, sample_rate_ppm};
use crate::protocol::work::Work;
use std::time::Duration;

pub use error::SizeError;
pub(super) use products::Products;
#[cfg(test)]
use products::Speed;
pub use rounds::{Rig, RoundPlan};

/// What the challenge is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target<'a> {
    /// The GPU's model, as its driver names it.
    pub model: &'a str,
    /// How long a run should last, s; the policy's `time.duration_target_s`
    /// if absent.
    pub seconds: Option<f64>,
    /// The measured round trip; the policy's allowance if absent.
    pub round_trip: Option<Duration>,
}

/// Most iterations of a challenge.
pub(super) const ITERATIONS_MAX: u64 = 1_000_000;

/// How much longer than another a card of the same model may take: two H200s differ
/// by up to 3 % (BENCHMARKS.md).
const CARD_SPREAD: f64 = 1.03;

/// What a challenge is of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// All of it: it must be able to show all that the policy demands.
    Alone,
    /// A round: other rounds show what other kinds of work do.
    Round,
}

/// What a kind's module makes of the target.
struct SizedWork {
    /// The kind's own fields.
    request: Request,
    /// Of each iteration.
    work: Work,
    /// Iterations (T).
    iterations: u64,
    /// How long it takes, if that can be said.
    times: Option<Times>,
}

/// How long a run takes.
#[derive(Clone, Copy)]
struct Times {
    /// What an honest run is expected to take, s.
    honest_s: f64,
    /// The floor that slack multiplies, s.
    floor_s: f64,
}

impl Times {
    /// The slack with which a run just keeps its limit, if it takes `spread` times what is
    /// expected and has `allowance_s` beside it.
    fn slack_needed(self, spread: f64, allowance_s: f64) -> f64 {
        (spread * self.honest_s - allowance_s) / self.floor_s
    }
}

/// What an honest run is expected to be.
fn honest(work: Work, iterations: u64, times: Option<Times>, lanes: u64, model: &Model) -> Run {
    let elapsed = times.and_then(|times| Duration::try_from_secs_f64(times.honest_s).ok());
    Run {
        work,
        iterations: u32::try_from(iterations).unwrap_or(u32::MAX).max(1),
        sync_interval: 1,
        lanes: lanes as u32,
        live_elapsed: elapsed,
        lane_memory_bytes_max: Some(model.memory_bytes()),
    }
}

impl Beyond {
    fn error(self, advice: &'static str, of_model: bool) -> SizeError {
        let Self { figure: field, expected, got, .. } = self;
        SizeError::NotShown { field, expected, got, advice, of_model }
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
        self.sized(target, base, Part::Alone)
    }

    /// As [`Self::request`], for a challenge that is this part of a session.
    fn sized(&self, target: &Target<'_>, base: Request, part: Part) -> Result<Request, SizeError> {
        let model = self.target_model(target)?;
        self.check_miner_key(&base)?;
        let (lanes_min, gpu_count) = self.lanes(&base)?;
        let round_trip = target.round_trip;
        if part == Part::Alone {
            self.check_alone(RoundKind::of(&base)?, model)?;
        }
        let SizedWork { request, work, iterations, times } =
            self.sized_work(model, target, lanes_min, &base)?;
        let lanes = gpu_count.unwrap_or(self.devices.gpu_count_max);
        self.check_shown(&base, honest(work, iterations, times, lanes, model), part)?;
        if let Some(times) = times.filter(|_| base.max_duration_ms.is_none()) {
            self.warn_if_tight(model, times, round_trip);
        }
        let (sample_rate, samples) = self.samples(lanes_min, iterations, &base)?;
        let limit_s = times.map(|times| self.limit_s(times.floor_s, round_trip));
        let counters_required = self.findings.rejects("sm-counters-missing");
        let devices = &self.devices;
        let demands_sms = counters_required && !devices.cpu_allowed && devices.sm_share_min > 0.0;
        let sized = Request {
            num_iterations: Some(iterations),
            verification_sample_rate: Some(sample_rate),
            samples_per_iteration: Some(samples),
            gpu_count,
            gpu_model: Some(model.name.to_owned()),
            min_memory_bytes: (devices.memory_min_bytes > 0).then_some(devices.memory_min_bytes),
            max_duration_ms: limit_s.map(|limit_s| ((1e3 * limit_s).ceil() as u64).max(1)),
            min_sm_utilization: demands_sms.then_some(devices.sm_share_min),
            valid_for_s: Some(self.session.valid_for_s + limit_s.unwrap_or(0.0).ceil() as u64),
            ..request
        };
        // The size is blocks now.
        Ok(Request { arena_size: None, ..base }.or(sized))
    }

    /// What its kind's module makes of the target.
    fn sized_work(
        &self,
        model: &'static Model,
        target: &Target<'_>,
        lanes: u64,
        base: &Request,
    ) -> Result<SizedWork, SizeError> {
        let seconds = target.seconds.unwrap_or(self.time.duration_target_s);
        if !(seconds > 0.0 && seconds <= 86_400.0) {
            return Err(SizeError::Seconds { got_s: seconds });
        }
        match Products::of(base.kind()?) {
            Some(products) => {
                let time = (seconds, target.round_trip);
                self.sized_products(products, model, time, lanes, base)
            }
            None => self.arenas(model, target, seconds, lanes, base),
        }
    }

    /// Refuses a challenge that can't show all that the policy demands, as its kind of work
    /// doesn't, and nothing else is asked for.
    fn check_alone(&self, kind: RoundKind, model: &'static Model) -> Result<(), SizeError> {
        let Some(beyond) = self.beyond_kinds(RoundOn::Devices, &[kind]) else {
            return self.check_not_fp64_alone(&[kind], model);
        };
        let advice = match beyond.kind {
            RoundKind::Fp64 => "Ask for --kind fp64, or demand less",
            RoundKind::Integer => "Ask for --kind integer, or demand less",
            RoundKind::Memory => "Ask for --kind memory, or demand less",
            RoundKind::Links => "Ask for --kind memory and --peer-blocks, or demand less",
        };
        Err(beyond.error(advice, false))
    }

    /// Refuses a session whose rounds the policy would reject for showing FP64 products only.
    fn check_not_fp64_alone(
        &self,
        kinds: &[RoundKind],
        model: &'static Model,
    ) -> Result<(), SizeError> {
        let is_alone = kinds.iter().all(|&kind| kind == RoundKind::Fp64);
        let refused = is_alone && is_fp64_poor(model) && self.findings.rejects("fp64-alone");
        if refused { Err(SizeError::Fp64Alone { model: &model.name }) } else { Ok(()) }
    }

    /// Refuses a challenge whose honest result this policy would reject, as it shows too
    /// little.
    fn check_shown(&self, base: &Request, honest: Run, part: Part) -> Result<(), SizeError> {
        let Some(beyond) = self.beyond(&honest) else { return Ok(()) };
        let is_typed = base.matrix_dim.is_some()
            || base.num_matrices.is_some()
            || base.arena_blocks.is_some()
            || (base.arena_size.is_some() && part == Part::Alone)
            || base.half_passes.is_some();
        let advice = match beyond.kind {
            RoundKind::Fp64 | RoundKind::Integer => "Ask for a larger --dim, or demand less",
            _ => "Change --arena-bytes, --half-passes or --peer-blocks, or demand less",
        };
        Err(beyond.error(advice, !is_typed))
    }

    /// Warns of a limit that a slower card might not keep, with all of the start-up used.
    fn warn_if_tight(&self, model: &Model, times: Times, round_trip: Option<Duration>) {
        let needed = hundredth_up(times.slack_needed(CARD_SPREAD, self.round_trip_s(round_trip)));
        if needed > self.time.slack {
            let (slack, slower) = (self.time.slack, 100.0 * (CARD_SPREAD - 1.0));
            tracing::warn!(
                "time.slack {slack} leaves little room: an honest {} that is {slower:.0} % slower than \
                 expected, and slow to start, would be rejected; with {needed:.2} it would not",
                model.name
            );
        }
    }

    /// `base` with samples enough for this policy, if none were typed: for devices
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
        if !allowed.is_empty()
            && !allowed.iter().any(|name| models::is_same_name(name, &model.name))
        {
            return Err(SizeError::ModelNotAllowed { got: got(), allowed: allowed.join(", ") });
        }
        let expected_bytes = self.devices.memory_min_bytes;
        if expected_bytes > u64::from(model.memory_gb) << 30 {
            let got_gb = model.memory_gb;
            return Err(SizeError::Memory { model: &model.name, got_gb, expected_bytes });
        }
        Ok(model)
    }

    /// The fewest lanes that may answer, and their number if it is exact.
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
mod tests;
