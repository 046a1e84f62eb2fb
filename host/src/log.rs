//! What operators read of the work at `RUST_LOG=info`: one line for each thing that matters,
//! with its figures as fields, in spans that name challenge and lane.
//!
//! Guarantees: fields keep their names (docs/guide.md lists them); text has units; nothing
//! secret is in either.
//! Deliberately lacks: where lines go and in which form, which is the program's to say.

use crate::evidence::{Inventory, LaneTiming, RunTiming, SmShare};
use crate::executor::lanes::{Execution, LaneExecution, lane_span};
use crate::executor::{LaneFacts, SmTiles};
use crate::protocol::challenge::Challenge;
use crate::protocol::evidence::machine::Figure;
use crate::protocol::quantity::{about, counted};
use crate::protocol::verified::{Extent, Verified};
use crate::protocol::verify::Failure;
use crate::protocol::work::Cost;
use std::time::Duration;
use tracing::{Span, info, info_span};

/// Fields that repeat what the text of their line has: programs want them, people don't.
pub const IN_THE_TEXT: [&str; 15] = [
    "kind",
    "lanes",
    "iterations",
    "sms",
    "sms_active",
    "rate",
    "unit",
    "elapsed_ms",
    "bandwidth_bytes_per_s",
    "sync_points",
    "sync_percent",
    "skew_percent",
    "leaves",
    "code",
    "step",
];

/// Digits of a challenge's digest that name it in lines.
const DIGITS: usize = 16;

/// Everything that is done for this challenge.
pub fn challenge_span(challenge: &Challenge) -> Span {
    let digest = challenge.digest().to_string();
    info_span!("challenge", id = &digest[..DIGITS], kind = challenge.work().challenge_type())
}

/// A challenge is executed from now on, on these lanes.
pub(crate) fn taken(challenge: &Challenge, lanes: &[LaneFacts]) {
    let Cost { amount, unit } = challenge.work().cost();
    let iterations = challenge.iterations();
    let amount = amount as f64 * f64::from(iterations);
    info!(
        lanes = lanes.len(),
        iterations,
        "challenge taken: {iterations} iterations of {}, {} a lane, on {}",
        challenge.work(),
        about(amount, &unit.to_string()),
        counted(lanes.len() as u64, "lane"),
    );
}

/// It was executed: a line or two for each lane, and what synchronising took.
pub(crate) fn ran(execution: &Execution, machine: &Inventory) {
    let timing = RunTiming::of(execution);
    for (number, (lane, time)) in execution.lanes.iter().zip(&timing.lanes).enumerate() {
        lane_span(number, &lane.facts).in_scope(|| {
            monitored(lane, execution.work().tiles());
            throughput(lane, time, machine);
        });
    }
    if timing.sync_points > 0 {
        let [sync, skew] = [timing.sync_share(), timing.skew_share()].map(|share| 100.0 * share);
        info!(
            sync_points = timing.sync_points,
            sync_percent = rounded(sync),
            skew_percent = rounded(skew),
            "sync overhead: {sync:.2} % of the time for {}, {skew:.2} % waiting for the last lane",
            counted(timing.sync_points as u64, "sync point"),
        );
    }
}

/// Of a lane whose SMs were not monitored a warning says why, at its end.
fn monitored(lane: &LaneExecution, tiles_per_iteration: u64) {
    let iterations = lane.roots.len();
    match &lane.sm_tiles {
        SmTiles::Counted(tiles) => {
            let share = SmShare::of(tiles, None, tiles_per_iteration);
            let (active, count) = share.map_or((0, 0), |share| (share.active, share.count));
            info!(
                iterations,
                sms = count,
                sms_active = active,
                "{iterations} iterations with SM monitoring: {active} of {count} SMs at work"
            );
        }
        SmTiles::NotApplicable => {
            info!(iterations, "{iterations} iterations without SM monitoring: not a GPU");
        }
        SmTiles::Unavailable(_) => {}
    }
}

fn throughput(lane: &LaneExecution, time: &LaneTiming, machine: &Inventory) {
    let seconds = time.elapsed.as_secs_f64();
    let per_s = if seconds > 0.0 { time.amount / seconds } else { 0.0 };
    let unit = time.unit.per_second();
    let bytes_per_s = bandwidth(lane, machine);
    let beside =
        bytes_per_s.map_or(String::new(), |it| format!(", memory bandwidth {}", about(it, "B/s")));
    info!(
        rate = per_s,
        unit,
        elapsed_ms = 1e3 * seconds,
        bandwidth_bytes_per_s = bytes_per_s,
        "throughput {} for {seconds:.3} s{beside}",
        about(per_s, unit),
    );
}

/// What was measured of the lane's device, bytes a second; `None` if nothing was.
fn bandwidth(lane: &LaneExecution, machine: &Inventory) -> Option<f64> {
    let uuid = lane.facts.uuid.hyphenated();
    let device = machine.devices().iter().find(|device| device.uuid.ends_with(&uuid))?;
    let measured = &machine.bandwidth.as_ref()?.devices;
    let of = measured.iter().find(|of| of.index == device.index)?;
    match &of.memory {
        Figure::Measured(rate) => Some(rate.bytes_per_s as f64),
        Figure::Unknown { .. } => None,
    }
}

/// A verification ended, after `elapsed`; `extent` is what was recomputed beyond the samples.
pub fn verified(
    challenge: &Challenge,
    end: &Result<Verified, Failure>,
    extent: Option<Extent>,
    elapsed: Duration,
) {
    let elapsed_ms = 1e3 * elapsed.as_secs_f64();
    challenge_span(challenge).in_scope(|| match end {
        Ok(verified) => {
            let how = match extent {
                None => "by sampling",
                Some(Extent::SampledIterations) => "by recomputing the sampled iterations",
                Some(Extent::EveryIteration) => "by recomputing everything",
            };
            let leaves = verified.openings();
            info!(
                leaves,
                elapsed_ms, "verified {how}: {leaves} leaves checked in {elapsed_ms:.1} ms"
            );
        }
        Err(Failure::Rejected(rejection)) => info!(
            code = rejection.code(),
            step = rejection.step(),
            elapsed_ms,
            "rejected: {} (step {}), after {elapsed_ms:.1} ms",
            rejection.code(),
            rejection.step(),
        ),
        Err(Failure::CouldNotRun(_)) => info!(elapsed_ms, "the verification could not run"),
    });
}

/// Two decimals.
fn rounded(percent: f64) -> f64 {
    (100.0 * percent).round() / 100.0
}
