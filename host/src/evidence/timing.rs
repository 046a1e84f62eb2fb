//! Where the time of a run went: sync points, skew, and each device's phases.
//!
//! Guarantees: bounded in size whatever the run was: up to 256 sync points are
//! listed one by one; if there are more, an evenly spaced subset and the one with the most skew.
//! Deliberately lacks: the openings' time. They follow the commitment, and this
//! is part of it.

use crate::executor::DeviceTiming;
use crate::executor::lanes::{BarrierTimes, Execution, LaneExecution, Skew};
use crate::protocol::challenge::INTEGER_MAX;
use crate::protocol::evidence::described::Numbers;
use crate::protocol::evidence::document::{DeviceTime, Document, LaneTime, SyncSummary};
use crate::protocol::work::Unit;
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
    pub sync_points: usize,
    /// How far apart they came; `None` if they never met.
    pub skew: Option<Skew>,
    /// The last iteration of earlier processes; 0 if there were none.
    pub resumed_after: u32,
}

/// One lane's time.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneTiming {
    /// From the common start to its last root.
    pub elapsed: Duration,
    /// Spent at sync points, from its arrival to its release.
    pub waited: Duration,
    /// Of that, until the last lane came: the skew.
    pub waited_for_last: Duration,
    /// What sync points cost beside the skew: the lane's time there after the
    /// last lane had come, and the time that its device was idle without the
    /// lane's waiting, while roots were read and kernels launched.
    pub synchronising: Duration,
    /// The work of its iterations.
    pub amount: f64,
    /// In what it is counted.
    pub unit: Unit,
    /// By the device's own clock, if it has one.
    pub device: Option<DeviceTiming>,
}

impl LaneTiming {
    /// 10¹² operations a second; 0 if no time has passed.
    pub fn tflops(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.amount / seconds / 1e12 } else { 0.0 }
    }
}

impl RunTiming {
    /// Of a finished run.
    pub fn of(execution: &Execution) -> Self {
        let sync_points = execution.sync_points();
        let last: Vec<u64> = (0..sync_points).map(|at| execution.arrivals(at).1).collect();
        let lane = |lane: &LaneExecution| {
            let iterations = lane.roots.len() as f64 - f64::from(execution.resumed_after);
            let idle = |after| lane.device.as_ref()?.idle_after(after);
            let sync = SyncTime::of(&lane.barriers, &last, idle);
            LaneTiming {
                elapsed: lane.elapsed.saturating_sub(execution.elapsed_before),
                waited: Duration::from_nanos(sync.waited_ns),
                waited_for_last: Duration::from_nanos(sync.for_last_ns),
                synchronising: Duration::from_nanos(sync.synchronising_ns()),
                amount: iterations * execution.work().cost().amount as f64,
                unit: execution.work().cost().unit,
                device: lane.device.clone(),
            }
        };
        Self {
            lanes: execution.lanes.iter().map(lane).collect(),
            sync_points,
            skew: execution.skew(),
            resumed_after: execution.resumed_after,
        }
    }

    /// Share of all lanes' time that was lost to waiting for the last lane, 0 … 1.
    pub fn skew_share(&self) -> f64 {
        self.share(|lane| lane.waited_for_last)
    }

    /// Share of all lanes' time that sync points cost beside that, 0 … 1.
    pub fn sync_share(&self) -> f64 {
        self.share(|lane| lane.synchronising)
    }

    fn share(&self, of: fn(&LaneTiming) -> Duration) -> f64 {
        let sum = |of: fn(&LaneTiming) -> Duration| -> f64 {
            self.lanes.iter().map(|lane| of(lane).as_secs_f64()).sum()
        };
        let elapsed = sum(|lane| lane.elapsed);
        if elapsed > 0.0 { sum(of) / elapsed } else { 0.0 }
    }
}

/// A lane's time at its sync points, ns.
#[derive(Clone, Copy, Debug, Default)]
struct SyncTime {
    /// From its arrivals to its releases.
    waited_ns: u64,
    /// From its arrivals to those of the last lane.
    for_last_ns: u64,
    /// How long its device was idle without the lane's waiting.
    idle_besides_ns: u64,
}

impl SyncTime {
    /// Of a lane that came to and left its points as `times` say, if the last
    /// lanes arrived at `last`. `idle` knows for how many ns its device was idle
    /// after an iteration: longer than the lane's wait, by what comes before its
    /// arrival and after its release.
    fn of(times: &[BarrierTimes], last: &[u64], idle: impl Fn(u32) -> Option<u64>) -> Self {
        let mut sum = Self::default();
        for (times, last) in times.iter().zip(last) {
            let wait_ns = times.released_ns.saturating_sub(times.arrived_ns);
            let idle_ns = idle(times.iteration).unwrap_or(0);
            sum.waited_ns += wait_ns;
            sum.for_last_ns += last.saturating_sub(times.arrived_ns);
            sum.idle_besides_ns += idle_ns.saturating_sub(wait_ns);
        }
        sum
    }

    fn synchronising_ns(self) -> u64 {
        self.waited_ns.saturating_sub(self.for_last_ns) + self.idle_besides_ns
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
pub(super) fn describe(document: &mut Document, execution: &Execution, times: SyncTimes) {
    let timing = RunTiming::of(execution);
    let listed = if times == SyncTimes::Listed { listed(execution) } else { Vec::new() };
    let lanes = document.lanes.iter_mut();
    for ((told, lane), done) in lanes.zip(&timing.lanes).zip(&execution.lanes) {
        told.timing = Some(lane_time(lane));
        let idle = |after| done.device.as_ref()?.idle_after(after);
        let times = listed.iter().map(|&at| done.barriers[at]).map(|times| {
            let (arrived, released) = (whole(times.arrived_ns), whole(times.released_ns));
            let of_host = [u64::from(times.iteration), arrived, released];
            of_host.into_iter().chain(idle(times.iteration).map(whole)).collect()
        });
        told.sync_times = Numbers(times.collect());
        let pair = |times: BarrierTimes| [whole(times.arrived_ns), whole(times.released_ns)];
        (told.start_barrier, told.end_barrier) = (done.start.map(pair), done.end.map(pair));
    }
    document.sync = timing.skew.map(|skew| SyncSummary {
        points: timing.sync_points,
        points_listed: listed.len(),
        overhead_ppm: ppm(timing.sync_share()),
        skew_ppm: ppm(timing.skew_share()),
        skew_mean_ns: whole(skew.mean_ns),
        skew_worst_ns: whole(skew.worst_ns),
        skew_worst_iteration: skew.worst_iteration,
    });
    let resumed_after = Some(timing.resumed_after);
    document.resumed_after_iteration = resumed_after.filter(|&iteration| iteration > 0);
}

fn ppm(share: f64) -> u64 {
    (share * 1e6).round() as u64
}

fn lane_time(lane: &LaneTiming) -> LaneTime {
    LaneTime {
        elapsed_ns: whole(lane.elapsed.as_nanos() as u64),
        sync_wait_ns: whole(lane.waited.as_nanos() as u64),
        tflops: format!("{:.3}", lane.tflops()),
        device: lane.device.as_ref().map(|device| DeviceTime {
            sampled_iterations: device.sampled_iterations,
            fill_ns: whole(device.fill_ns),
            product_ns: whole(device.product_ns),
            tree_and_step_ns: whole(device.tree_and_step_ns),
            in_segments_ns: whole(device.in_segments_ns),
            between_segments_ns: whole(device.between_segments_ns()),
        }),
    }
}

/// Evidence takes no larger integer: 104 days in nanoseconds.
fn whole(ns: u64) -> u64 {
    ns.min(INTEGER_MAX)
}

/// Which sync points are listed, ascending.
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
        let lane = |for_last_ms| LaneTiming {
            elapsed: Duration::from_secs(2),
            waited: Duration::from_millis(for_last_ms + 1),
            waited_for_last: Duration::from_millis(for_last_ms),
            synchronising: Duration::from_millis(4),
            amount: 1e14,
            unit: Unit::Flop,
            device: None,
        };
        let timing = RunTiming {
            lanes: vec![lane(0), lane(40)],
            sync_points: 3,
            skew: None,
            resumed_after: 0,
        };
        assert!((timing.lanes[0].tflops() - 50.0).abs() < 1e-9);
        assert!((timing.skew_share() - 0.01).abs() < 1e-9);
        assert!((timing.sync_share() - 0.002).abs() < 1e-9);
    }

    /// Sync points after iterations 2 and 4 of four: this lane arrives 30 ns
    /// before the last one and 10 ns before it, and leaves 5 ns after it.
    #[test]
    fn skew_is_one_thing_and_what_a_sync_point_costs_besides_another() {
        let point = |iteration, arrived_ns, released_ns| BarrierTimes {
            iteration,
            arrived_ns,
            released_ns,
        };
        let times = [point(2, 100, 135), point(4, 200, 215)];
        let of = |idle: fn(u32) -> Option<u64>| SyncTime::of(&times, &[130, 210], idle);
        let by_host = of(|_| None);
        assert_eq!((by_host.waited_ns, by_host.for_last_ns), (50, 40));
        assert_eq!(by_host.synchronising_ns(), 10);
        // Idle for 42 ns at the first point, of which the lane waited 35. Nothing
        // follows the second, so its idle time has no end.
        let by_both = of(|after| (after == 2).then_some(42));
        assert_eq!(by_both.synchronising_ns(), 10 + 7);
    }
}
