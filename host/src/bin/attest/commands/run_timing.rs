//! Where the time of a run went, for whoever watches.

use crate::paint::{duration, rate, table};
use attest::evidence::{LaneTiming, RunTiming};
use attest::mining::mine::Mined;
use std::time::Duration;

/// A table of the lanes, then what they share.
pub fn text(mined: &Mined) -> String {
    let RunTiming { lanes, sync_points, skew, resumed_after } = &mined.timing;
    let header = ["lane", "time", "rate", "fill", "product", "tree+step", "at sync points"];
    let rows: Vec<Vec<String>> = lanes.iter().enumerate().map(row).collect();
    let mut out = table(&header, &rows);
    if let Some(skew) = skew {
        out += &format!(
            "{sync_points} sync points: {:.2} % of the time to synchronise, {:.2} % waiting for the \
             last lane; the lanes came {} apart in the mean, {} at iteration {}\n",
            mined.timing.sync_share() * 100.0,
            mined.timing.skew_share() * 100.0,
            micro(skew.mean_ns),
            micro(skew.worst_ns),
            skew.worst_iteration,
        );
    }
    if *resumed_after > 0 {
        out += &format!("went on after iteration {resumed_after}; these times are from there on\n");
    }
    out + &format!("openings: {}", duration(mined.opened_in))
}

fn row((lane, timing): (usize, &LaneTiming)) -> Vec<String> {
    let mut cells = vec![
        lane.to_string(),
        duration(timing.elapsed),
        rate(timing.amount, timing.unit, timing.elapsed),
    ];
    let phase = |ns: u64| duration(Duration::from_nanos(ns));
    cells.extend(match &timing.device {
        Some(device) if device.sampled_iterations > 0 => {
            [device.fill_ns, device.product_ns, device.tree_and_step_ns].map(phase)
        }
        // A CPU draws and multiplies block by block: it has no such phases.
        _ => ["-"; 3].map(str::to_owned),
    });
    cells.push(duration(timing.waited));
    cells
}

fn micro(ns: u64) -> String {
    format!("{:.0} µs", ns as f64 / 1e3)
}
