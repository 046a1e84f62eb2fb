//! Where the time of a run went: sync points, skew, and each device's phases.
//!
//! Guarantees: bounded in size whatever the run was: up to 256 sync points are
//! listed one by one, of more an even choice and the one with the most skew.
//! Deliberately lacks: the openings' time. They follow the commitment, and this
//! is part of it.

use crate::executor::DeviceTiming;
use crate::executor::lanes::{Execution, LaneExecution, Skew};
use crate::protocol::challenge::INTEGER_MAX;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Most sync points listed for a lane.
const POINTS_MAX: usize = 256;
/// Most sync points listed for all lanes together: evidence has at most 1 MiB.
const POINTS_OF_ALL_MAX: usize = 2048;

/// Where the time went, in this process.
#[derive(Clone, Debug, PartialEq)]
pub struct RunTiming {
    /// In lane order.
    pub lanes: Vec<LaneTiming>,
    /// Sync points at which the lanes met.
    pub meetings: usize,
    /// How far apart they came; `None` where they never met.
    pub skew: Option<Skew>,
    /// The last iteration of earlier processes; 0 where there were none.
    pub resumed_after: u32,
}

/// One lane's time.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneTiming {
    /// From the common start to its last root.
    pub elapsed: Duration,
    /// Spent at sync points, from its arrival to its release.
    pub waited: Duration,
    /// Of that, after the last lane had come: what meeting costs by itself.
    pub met: Duration,
    /// Floating-point operations, two for a multiply-add.
    pub operations: f64,
    /// By the device's own clock, where it has one.
    pub device: Option<DeviceTiming>,
}

impl LaneTiming {
    /// 10¹² operations a second; 0 where no time has passed.
    pub fn tflops(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.operations / seconds / 1e12 } else { 0.0 }
    }
}

impl RunTiming {
    /// Of a finished run.
    pub fn of(execution: &Execution) -> Self {
        let meetings = execution.meetings();
        let last: Vec<u64> = (0..meetings).map(|at| execution.arrivals(at).1).collect();
        let lane = |lane: &LaneExecution| {
            let waits = lane.barriers.iter();
            let waited = waits.map(|times| times.released_ns.saturating_sub(times.arrived_ns));
            let meets = lane.barriers.iter().zip(&last);
            let met = meets.map(|(times, last)| times.released_ns.saturating_sub(*last));
            let iterations = lane.roots.len() as f64 - f64::from(execution.resumed_after);
            LaneTiming {
                elapsed: lane.elapsed.saturating_sub(execution.elapsed_before),
                waited: Duration::from_nanos(waited.sum()),
                met: Duration::from_nanos(met.sum()),
                operations: 2.0 * iterations * execution.shape().multiply_adds() as f64,
                device: lane.device,
            }
        };
        Self {
            lanes: execution.lanes.iter().map(lane).collect(),
            meetings,
            skew: execution.skew(),
            resumed_after: execution.resumed_after,
        }
    }

    /// Share of all lanes' time that was spent at sync points, 0 … 1.
    pub fn sync_share(&self) -> f64 {
        self.share(|lane| lane.waited)
    }

    /// Share of all lanes' time that was spent there after the last lane had come.
    pub fn meeting_share(&self) -> f64 {
        self.share(|lane| lane.met)
    }

    fn share(&self, of: fn(&LaneTiming) -> Duration) -> f64 {
        let sum = |of: fn(&LaneTiming) -> Duration| -> f64 {
            self.lanes.iter().map(|lane| of(lane).as_secs_f64()).sum()
        };
        let elapsed = sum(|lane| lane.elapsed);
        if elapsed > 0.0 { sum(of) / elapsed } else { 0.0 }
    }
}

/// Whether sync points are listed one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyncTimes {
    /// As many as fit.
    Listed,
    /// None: the evidence would be too long.
    Summed,
}

/// Adds what is known of the time to an evidence document.
pub(super) fn describe(document: &mut Value, execution: &Execution, times: SyncTimes) {
    let timing = RunTiming::of(execution);
    let listed = if times == SyncTimes::Listed { listed(execution) } else { Vec::new() };
    let lanes = document["lanes"].as_array_mut().into_iter().flatten();
    for ((value, lane), done) in lanes.zip(&timing.lanes).zip(&execution.lanes) {
        let Some(fields) = value.as_object_mut() else { continue };
        fields.insert("timing".to_owned(), lane_value(lane));
        if !listed.is_empty() {
            let times = listed.iter().map(|&at| done.barriers[at]).map(|times| {
                json!([times.iteration, whole(times.arrived_ns), whole(times.released_ns)])
            });
            fields.insert("sync_times".to_owned(), times.collect());
        }
    }
    let Some(fields) = document.as_object_mut() else { return };
    if let Some(skew) = timing.skew {
        let sync = json!({
            "points": timing.meetings,
            "points_listed": listed.len(),
            "overhead_ppm": ppm(timing.sync_share()),
            "meeting_ppm": ppm(timing.meeting_share()),
            "skew_mean_ns": whole(skew.mean_ns),
            "skew_worst_ns": whole(skew.worst_ns),
            "skew_worst_iteration": skew.worst_iteration,
        });
        fields.insert("sync".to_owned(), sync);
    }
    if timing.resumed_after > 0 {
        fields.insert("resumed_after_iteration".to_owned(), json!(timing.resumed_after));
    }
}

fn ppm(share: f64) -> u64 {
    (share * 1e6).round() as u64
}

fn lane_value(lane: &LaneTiming) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("elapsed_ns", json!(whole(lane.elapsed.as_nanos() as u64)));
    put("sync_wait_ns", json!(whole(lane.waited.as_nanos() as u64)));
    put("tflops", json!(format!("{:.3}", lane.tflops())));
    if let Some(device) = lane.device {
        put(
            "device",
            json!({
                "sampled_iterations": device.sampled_iterations,
                "fill_ns": whole(device.fill_ns),
                "product_ns": whole(device.product_ns),
                "tree_and_step_ns": whole(device.tree_and_step_ns),
                "in_segments_ns": whole(device.in_segments_ns),
                "between_segments_ns": whole(device.between_segments_ns),
            }),
        );
    }
    Value::Object(fields)
}

/// Evidence takes no larger integer: 104 days in nanoseconds.
fn whole(ns: u64) -> u64 {
    ns.min(INTEGER_MAX)
}

/// Which meetings are listed, ascending.
fn listed(execution: &Execution) -> Vec<usize> {
    let Some(first) = execution.lanes.first() else { return Vec::new() };
    let most = (POINTS_OF_ALL_MAX / execution.lanes.len()).clamp(1, POINTS_MAX);
    let worst = execution.skew().map(|skew| skew.worst_iteration);
    let worst = first.barriers.iter().position(|times| Some(times.iteration) == worst);
    choose(first.barriers.len(), most, worst.unwrap_or(0))
}

/// At most `most` of `count` indices, evenly spread, and `worst` among them.
fn choose(count: usize, most: usize, worst: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    let even = most - 1;
    let mut chosen: Vec<usize> = (0..even).map(|at| at * count / even).collect();
    chosen.push(worst);
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_points_are_all_listed_and_many_are_thinned_out() {
        assert_eq!(choose(5, 256, 2), [0, 1, 2, 3, 4]);
        let many = choose(100_000, 256, 77_777);
        assert!(many.len() <= 256 && many.len() >= 255, "{}", many.len());
        assert!(many.contains(&77_777) && many.is_sorted() && many[0] == 0);
        assert!(many.windows(2).all(|pair| pair[1] - pair[0] <= 100_000 / 254));
        assert_eq!(choose(10, 1, 7), [7]);
    }

    #[test]
    fn rates_and_shares_are_of_this_process() {
        let lane = |waited_ms| LaneTiming {
            elapsed: Duration::from_secs(2),
            waited: Duration::from_millis(waited_ms),
            met: Duration::from_millis(waited_ms / 10),
            operations: 1e14,
            device: None,
        };
        let timing =
            RunTiming { lanes: vec![lane(0), lane(40)], meetings: 3, skew: None, resumed_after: 0 };
        assert!((timing.lanes[0].tflops() - 50.0).abs() < 1e-9);
        assert!((timing.sync_share() - 0.01).abs() < 1e-9);
        assert!((timing.meeting_share() - 0.001).abs() < 1e-9);
    }
}
