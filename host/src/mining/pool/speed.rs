//! How fast an executor is, and whether a challenge can be done in time.

use super::LendError;
use crate::executor::abandoned::{self, NoAnswer};
use crate::executor::{
    Assignment, ExecError, Executor, IterationOutput, Kind, Segment, TileRequest,
};
use crate::protocol::challenge::Challenge;
use crate::protocol::names::State;
use crate::protocol::work::fp64_product::Fp64Product;
use crate::protocol::work::{Cost, IterationPlace, Unit};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Work that takes up to this many times as long as is allowed, at the measured speed,
/// is tried nevertheless: speed depends on the shape, and a device that was measured
/// warm or busy may do better.
pub const TOLERANCE: f64 = 3.0;

/// Shorter times say little of a speed.
const MEASURED_AT_LEAST: Duration = Duration::from_millis(1);
/// Most iterations in a row while measuring.
const ITERATIONS_MAX: u32 = 1 << 14;

/// Large enough for a device to be near its speed, small enough to take no time.
fn trial_shape(kind: Kind) -> Fp64Product {
    match kind {
        Kind::Gpu => Fp64Product { dim: 2048, products: 4 },
        Kind::Cpu => Fp64Product { dim: 256, products: 1 },
    }
}

/// How long is measured at a time, and in all. The best of several counts: a machine
/// is busy now and then, and a device's clock takes its time to rise.
fn trial_times(kind: Kind) -> (Duration, Duration) {
    match kind {
        Kind::Gpu => (Duration::from_millis(40), Duration::from_millis(300)),
        Kind::Cpu => (MEASURED_AT_LEAST, Duration::from_millis(60)),
    }
}

/// Counts iterations of one cost and the time that they take.
pub(super) struct Stopwatch {
    cost: Cost,
    begun: Instant,
    iterations: u64,
    last: Duration,
}

impl Stopwatch {
    pub(super) fn start(cost: Cost) -> Self {
        Self { cost, begun: Instant::now(), iterations: 0, last: Duration::ZERO }
    }

    /// One more is done.
    pub(super) fn iteration(&mut self) {
        self.iterations += 1;
        self.last = self.begun.elapsed();
    }

    /// Of the unit, a second; `None` if it was too short a time.
    pub(super) fn rate(&self) -> Option<f64> {
        let amount = self.iterations as f64 * self.cost.amount as f64;
        (self.last >= MEASURED_AT_LEAST).then(|| amount / self.last.as_secs_f64())
    }
}

/// `executor` after it has computed a little, with its speed in FP64 operations a
/// second; it has given up the memory for that.
///
/// # Errors
/// It fails, panics or does not return within `limit`.
pub(super) fn warmed(
    mut executor: Box<dyn Executor>,
    limit: Duration,
) -> Result<(Box<dyn Executor>, f64), ExecError> {
    let model = executor.facts().model.clone();
    let failed = |cause: String| ExecError::Device {
        what: "warming up".to_owned(),
        device: model.clone(),
        cause,
        advice: "see dmesg and nvidia-smi -q, try attest selftest, or choose other devices with \
                 --devices"
            .to_owned(),
    };
    let warm = abandoned::within(limit, move || {
        let measured = catch_unwind(AssertUnwindSafe(|| measure(&mut *executor)));
        measured.map(|rate| rate.map(|rate| (executor, rate)))
    });
    match warm {
        Ok(Ok(warm)) => warm,
        Ok(Err(_)) => Err(failed("its executor panicked".to_owned())),
        Err(NoAnswer::NoThread(error)) => {
            Err(ExecError::NoThread { device: model, cause: error.to_string() })
        }
        Err(NoAnswer::Hangs) => Err(failed(format!("no answer within {} s", limit.as_secs()))),
    }
}

/// Computes iterations for a while and measures them; and opens a tile, so that those
/// kernels are loaded, too.
fn measure(executor: &mut dyn Executor) -> Result<f64, ExecError> {
    let kind = executor.facts().kind;
    let (shape, (each, all)) = (trial_shape(kind), trial_times(kind));
    let assignment = Assignment::from(shape);
    executor.begin(&assignment)?;
    let (mut first_iteration, mut iterations) = (1, 1);
    let (mut start, mut rate) = (State::default(), 0.0_f64);
    let mut measured = Duration::ZERO;
    while measured < all && first_iteration < ITERATIONS_MAX {
        let segment = Segment { first_iteration, iterations, start, solo_sync: None };
        let mut stopwatch = Stopwatch::start(assignment.work.cost());
        executor.run(&segment, &mut |output: IterationOutput<'_>| {
            stopwatch.iteration();
            // Any state will do that no two segments share.
            start = State(output.root.0);
            ControlFlow::Continue(())
        })?;
        // The first is slower: it loads what it needs.
        if first_iteration > 1 {
            rate = rate.max(stopwatch.rate().unwrap_or(0.0));
            measured += stopwatch.last;
        }
        first_iteration += iterations;
        if stopwatch.last < each {
            iterations *= 2;
        }
    }
    let tile = TileRequest { at: IterationPlace::of_state(start), tile: 0 };
    executor.leaf_hashes(&assignment, &[tile])?;
    executor.rest();
    Ok(rate)
}

/// Whether a lane of `rate` FP64 operations a second can do `challenge` within `limit`,
/// or nearly. Of other work it knows nothing, and then refuses nothing.
///
/// # Errors
/// [`LendError::TooSlow`].
pub(super) fn check_time(
    challenge: &Challenge,
    rate: f64,
    limit: Duration,
) -> Result<(), LendError> {
    let Cost { amount, unit } = challenge.work().cost();
    let all = f64::from(challenge.iterations()) * amount as f64;
    let (needed_s, allowed_s) = (all / rate, limit.as_secs_f64());
    // Without a rate there is nothing to say; a NaN is no reason either.
    if unit == Unit::Flop && rate > 0.0 && needed_s > TOLERANCE * allowed_s {
        let tflops = rate / 1e12;
        let [needed, allowed] = [needed_s, allowed_s].map(in_words);
        return Err(LendError::TooSlow { needed, tflops, allowed });
    }
    Ok(())
}

/// A time of any length, readable.
fn in_words(seconds: f64) -> String {
    match seconds {
        ..1.0 => format!("{:.1} ms", seconds * 1e3),
        ..600.0 => format!("{seconds:.1} s"),
        ..172_800.0 => format!("{:.1} h", seconds / 3600.0),
        _ => format!("{:.0} days", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_readable() {
        for (seconds, text) in
            [(0.001, "1.0 ms"), (2.25, "2.2 s"), (9000.0, "2.5 h"), (3e9, "34722 days")]
        {
            assert_eq!(in_words(seconds), text);
        }
    }
}
