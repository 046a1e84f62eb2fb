//! One lane: what its device is said to be, tiles of each SM, and its readings over the run.

use super::parts::{bytes, figure, mark, said, time_ns};
use super::told::Grade;
use crate::chart::{HeatMap, Ink, Limit, Line, LineChart, Mark};
use crate::protocol::evidence::EvidenceLane;
use crate::protocol::evidence::document::ClaimedLane;
use crate::protocol::evidence::telemetry::{ClaimedSampled, ClaimedSeries};
use crate::protocol::quantity::about;
use maud::{Markup, html};

/// Most warnings about SMs, and most reasons of throttling, that are listed.
const LISTED_MAX: usize = 40;

/// Lane `g`: its required fields, and what else is claimed of it.
pub(super) fn section(g: usize, lane: &EvidenceLane, claimed: &ClaimedLane) -> Markup {
    html! {
        section.lane aria-label={ "Lane " (g) } {
            h3 { "Lane " (g) " · " (said(&lane.model)) " " (mark(Grade::Claimed)) }
            (facts(lane, claimed))
            (tiles(g, lane, claimed))
            @if let Some(seen) = &claimed.telemetry { (readings(g, claimed, seen)) }
        }
    }
}

fn facts(lane: &EvidenceLane, claimed: &ClaimedLane) -> Markup {
    let details = &claimed.details;
    let rate = |amount: Option<u64>, unit| amount.map(|amount| about(amount as f64, unit));
    let own = |text: &Option<String>| text.clone();
    let facts: Vec<(&str, Option<String>)> = vec![
        ("UUID", Some(lane.uuid.to_string())),
        ("Memory", Some(bytes(lane.memory_bytes))),
        ("SMs", (lane.sm_count > 0).then(|| lane.sm_count.to_string())),
        ("Rate, FP64", rate(claimed.achieved_flops, "FLOP/s")),
        ("Rate, int8", rate(claimed.achieved_ops_per_s, "OPS")),
        ("Rate, memory", rate(claimed.achieved_bytes_per_s, "B/s")),
        ("Operands", rate(claimed.operand_bytes_per_s, "B/s")),
        ("Elapsed", claimed.elapsed_ns().map(time_ns)),
        ("PCI id", own(&details.pci_id)),
        ("Serial number", own(&claimed.serial)),
        ("Compute capability", own(&details.compute_capability)),
        ("Driver", own(&details.driver_version)),
        ("Kernels", own(&details.kernel_variant)),
        ("SIMD", own(&details.simd)),
        ("Arena", details.arena_bytes.map(bytes)),
        ("Power limit", claimed.power_limit_mw.map(watts)),
        ("Highest SM clock", claimed.sm_clock_max_mhz.map(|mhz| format!("{mhz} MHz"))),
    ];
    html! {
        dl.facts {
            @for (name, value) in facts {
                @if let Some(value) = value { div { dt { (name) } dd.mono { (said(&value)) } } }
            }
        }
    }
}

fn watts(mw: u64) -> String {
    format!("{:.0} W", mw as f64 / 1e3)
}

fn tiles(g: usize, lane: &EvidenceLane, claimed: &ClaimedLane) -> Markup {
    if lane.sm_tiles.is_empty() {
        let why = lane.sm_monitoring.as_deref().unwrap_or("no GPU, no SMs to count by");
        return html! { p.quiet { "Tiles per SM: " (said(why)) } };
    }
    let tiles = &lane.sm_tiles;
    let worked = tiles.iter().filter(|&&count| count > 0).count();
    let (least, most) = (tiles.iter().min().unwrap_or(&0), tiles.iter().max().unwrap_or(&0));
    let total: u128 = tiles.iter().map(|&count| u128::from(count)).sum();
    let mean = total as f64 / tiles.len() as f64;
    let off = if mean > 0.0 { 100.0 * (*most as f64 - *least as f64) / mean } else { 0.0 };
    let caption = html! {
        "Tiles per SM of lane " (g) ": " (worked) " of " (lane.sm_count) " SMs worked; " (least)
        " to " (most) " tiles, " (format!("{off:.1}")) " % of the mean apart"
        @if let Some(activity) = &claimed.sm_activity {
            @if let (Some(first), Some(last)) = (activity.first_spread_ns, activity.last_spread_ns) {
                "; first tiles " (time_ns(first)) " apart, last ones " (time_ns(last))
            }
        }
        ". Rows and columns give an SM’s number."
    };
    let label = format!(
        "Tiles per SM of lane {g}: {worked} of {} SMs worked, {least} to {most} tiles",
        lane.sm_count
    );
    let warnings = claimed.sm_activity.iter().filter_map(|activity| activity.warnings.as_ref());
    html! {
        (figure(Grade::Claimed, &caption, &HeatMap { label, values: tiles.clone() }.draw()))
        @for warning in warnings.flatten().flatten().take(LISTED_MAX) { p { "! " (said(warning)) } }
    }
}

fn readings(g: usize, claimed: &ClaimedLane, seen: &ClaimedSampled) -> Markup {
    let limit = |label: &str, value: Option<u64>, scale: f64| {
        let value = value.map(|value| value as f64 * scale);
        value.map(|value| Limit { label: label.to_owned(), value }).into_iter().collect::<Vec<_>>()
    };
    let empty = ClaimedSeries::default();
    let series = seen.series.as_ref().unwrap_or(&empty);
    let over =
        |figures: &Option<Vec<Option<u64>>>, scale: f64| points(&series.at_ms, figures, scale);
    let charts = [
        ("Power, W", over(&series.power_mw, 1e-3), limit("limit", claimed.power_limit_mw, 1e-3)),
        (
            "SM clock, MHz",
            over(&series.sm_clock_mhz, 1.0),
            limit("highest", claimed.sm_clock_max_mhz, 1.0),
        ),
        ("Temperature, °C", over(&series.temperature_c, 1.0), Vec::new()),
    ];
    let reasons: Vec<&str> = claimed.throttle_reasons().take(LISTED_MAX).collect();
    html! {
        h4 { "Over the run" }
        @for (title, points, limits) in charts {
            @if points.len() > 1 {
                @let chart = line_chart(title, points, limits);
                (figure(Grade::Claimed, &html! { "Lane " (g) ", " (title) ", as NVML reported it" }, &chart.draw()))
            }
        }
        (spreads(seen))
        p {
            "Throttling: "
            @if seen.throttle_reasons.is_none() { "not reported." }
            @else if reasons.is_empty() { "clocks were never held down, by these readings." }
            @else {
                "clocks were held down at some time by "
                @for (at, reason) in reasons.iter().enumerate() {
                    @if at > 0 { ", " }
                    code { (said(reason)) }
                }
                "."
            }
        }
    }
}

fn line_chart(title: &str, points: Vec<(f64, f64)>, limits: Vec<Limit>) -> LineChart {
    let most = points.iter().map(|(_, y)| *y).fold(f64::NEG_INFINITY, f64::max);
    let least = points.iter().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
    let lines = vec![Line { name: String::new(), ink: Ink::Main, mark: Mark::Joined, points }];
    LineChart {
        title: title.to_owned(),
        label: format!("From {least:.0} to {most:.0}"),
        x_title: "seconds since the lanes’ start".to_owned(),
        x_text: seconds,
        lines,
        limits,
        from_zero: false,
        x_least: 0.0,
    }
}

/// A place on an axis of seconds.
pub(super) fn seconds(s: f64) -> String {
    let text = format!("{s:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Readings with their times, s; none if a reading or a time is missing.
fn points(
    at_ms: &Option<Vec<Option<u64>>>,
    figures: &Option<Vec<Option<u64>>>,
    scale: f64,
) -> Vec<(f64, f64)> {
    let (Some(at_ms), Some(figures)) = (at_ms, figures) else { return Vec::new() };
    let pair = |(at, figure): (&Option<u64>, &Option<u64>)| {
        Some(((*at)? as f64 / 1e3, (*figure)? as f64 * scale))
    };
    at_ms.iter().zip(figures).filter_map(pair).collect()
}

fn spreads(seen: &ClaimedSampled) -> Markup {
    let rows = [
        ("SM clock, MHz", &seen.sm_clock_mhz, 1.0),
        ("Memory clock, MHz", &seen.memory_clock_mhz, 1.0),
        ("Power, W", &seen.power_mw, 1e-3),
        ("Temperature, °C", &seen.temperature_c, 1.0),
        ("Time with a kernel, %", &seen.utilization_percent, 1.0),
        ("Time with memory at work, %", &seen.memory_utilization_percent, 1.0),
    ];
    let cell = |figure: Option<u64>, scale: f64| {
        figure.map_or("–".to_owned(), |figure| format!("{:.0}", figure as f64 * scale))
    };
    html! {
        div.scroll tabindex="0" role="group" aria-label="Readings, scrollable" { table {
            caption {
                "Readings of the device" @if let Some(samples) = seen.samples { ", " (samples) " of each" }
                @if let Some(energy) = seen.energy_mj { "; energy " (about(energy as f64 / 1e3, "J")) }
            }
            thead { tr {
                th scope="col" { "Figure" } th.n scope="col" { "Least" } th.n scope="col" { "Median" }
                th.n scope="col" { "Most" } th.n scope="col" { "Last" }
            } }
            tbody {
                @for (name, spread, scale) in rows {
                    @if let Some(spread) = spread {
                        tr {
                            th scope="row" { (name) }
                            td.n { (cell(spread.min, scale)) } td.n { (cell(spread.median, scale)) }
                            td.n { (cell(spread.max, scale)) } td.n { (cell(spread.last, scale)) }
                        }
                    }
                }
            }
        } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_without_a_time_are_left_out() {
        let at = Some(vec![Some(0), None, Some(2000), Some(3000)]);
        let power = Some(vec![Some(500_000), Some(600_000), Some(700_000)]);
        assert_eq!(points(&at, &power, 1e-3), [(0.0, 500.0), (2.0, 700.0)]);
        assert_eq!(points(&None, &power, 1.0), []);
        assert_eq!((seconds(0.5), seconds(10.0)), ("0.5".to_owned(), "10".to_owned()));
    }
}
