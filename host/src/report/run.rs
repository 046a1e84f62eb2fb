//! One round: what was asked, its lanes, how they met, where their time went, and how near
//! they came to what their devices can do.

use super::parts::{figure, mark, said, time_ns};
use super::told::{Grade, Told};
use super::{Round, lane};
use crate::appraisal::models;
use crate::chart::{Ink, Line, LineChart, Mark, Roof, Roofline, RooflinePoint, Span, SpanChart};
use crate::protocol::evidence::claims::Claims;
use crate::protocol::evidence::document::ClaimedLane;
use crate::protocol::result::ResultDoc;
use crate::protocol::work::Work;
use maud::{Markup, html};

/// Lanes of which charts have a series.
const SERIES_MAX: usize = 8;

/// The round; `is_one_of_several` gives it a heading with its number.
pub(super) fn section(round: &Round<'_>, told: &Told, is_one_of_several: bool) -> Markup {
    let (number, challenge) = (round.number, round.challenge);
    let id = format!("round-{number}-title");
    let kind = told.round(number).map_or(String::new(), |of| {
        let on = of.on.as_ref().map_or(String::new(), |on| format!(", {on}"));
        format!("{}{on}", of.kind)
    });
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) {
                @if is_one_of_several { "Round " (number) @if !kind.is_empty() { " · " (kind) } } @else { "The run" }
            }
            (asked(round))
            @match round.result {
                None => p { "There is no result on hand for this round." },
                Some(result) => {
                    (roofline(round, result, told))
                    (phases(result))
                    (barriers(result))
                    h3 { "Lanes of challenge " code { (short(&challenge.digest().to_string())) } }
                    @for (g, of) in result.evidence.lanes().iter().enumerate() {
                        (lane::section(g, of, result.evidence.claims().lane(g)))
                    }
                }
            }
        }
    }
}

fn short(digest: &str) -> String {
    digest.chars().take(16).chain("…".chars()).collect()
}

fn asked(round: &Round<'_>) -> Markup {
    let (challenge, spec) = (round.challenge, round.challenge.spec());
    let lanes = round.result.map(|result| result.lanes.len() as u32);
    html! {
        dl.facts {
            div { dt { "Asked for" } dd.mono { (challenge.work().challenge_type()) ", " (challenge.work().in_short()) } }
            div { dt { "Iterations" } dd.mono { (challenge.iterations()) ", a barrier every " (challenge.sync_interval()) } }
            @if let Some(lanes) = lanes {
                div { dt { "Work of the run" } dd { (challenge.work().run_in_words(lanes, challenge.iterations())) } }
            }
            div { dt { "Issued" } dd.mono { (spec.issued_at) } }
            div { dt { "Challenge" } dd.mono { (challenge.digest()) } }
            @if let Some(result) = round.result {
                div { dt { "Commitment" } dd.mono { (result.commitment) } }
            }
        }
    }
}

fn claimed(result: &ResultDoc) -> impl Iterator<Item = (usize, &ClaimedLane)> {
    let claims: &Claims = result.evidence.claims();
    (0..result.evidence.lanes().len()).map(|g| (g, claims.lane(g)))
}

/// Where the lanes' time went.
fn phases(result: &ResultDoc) -> Markup {
    let span =
        |name, length: Option<u64>, ink| Span { name, length: length.unwrap_or(0) as f64, ink };
    let timings = || claimed(result).filter_map(|(g, lane)| Some((g, lane.timing.as_ref()?)));
    let devices = || timings().filter_map(|(g, timing)| Some((g, timing.device.as_ref()?)));
    let iteration = devices().take(SERIES_MAX).map(|(g, device)| {
        let spans = vec![
            span("operands", device.fill_ns, Ink::Blue),
            span("products, hashes", device.product_ns, Ink::Main),
            span("tree, step", device.tree_and_step_ns, Ink::Amber),
        ];
        (format!("lane {g}"), spans)
    });
    let whole = timings().take(SERIES_MAX).map(|(g, timing)| {
        let waited = timing.sync_wait_ns.unwrap_or(0);
        let worked = timing.elapsed_ns.unwrap_or(0).saturating_sub(waited);
        let spans = vec![
            span("at work", Some(worked), Ink::Main),
            span("at barriers", Some(waited), Ink::Grey),
        ];
        (format!("lane {g}"), spans)
    });
    let rows: Vec<_> = iteration.collect();
    let whole = SpanChart {
        label: "Share of the time that each lane was at work, and at barriers".to_owned(),
        rows: whole.collect(),
    };
    let sampled: u64 = devices().filter_map(|(_, device)| device.sampled_iterations).sum();
    html! {
        @if !whole.rows.is_empty() {
            h3 { "Where the time went" }
            (figure(Grade::Claimed, &html! { "Each lane from the common start to its last root" }, &whole.draw()))
            @if !rows.is_empty() {
                @let label = "Share of an iteration that each phase takes".to_owned();
                (figure(
                    Grade::Claimed,
                    &html! { "Phases of an iteration by the device’s own clock, the mean of " (sampled) " sampled ones" },
                    &SpanChart { label, rows }.draw(),
                ))
            }
            div.scroll tabindex="0" role="group" aria-label="Times, scrollable" { table {
                caption { "Times of each lane" }
                thead { tr {
                    th scope="col" { "Lane" } th.n scope="col" { "Elapsed" } th.n scope="col" { "At barriers" }
                    th.n scope="col" { "Operands" } th.n scope="col" { "Products, hashes" } th.n scope="col" { "Tree, step" }
                    th.n scope="col" { "Device idle at barriers" }
                } }
                tbody {
                    @for (g, timing) in timings() {
                        @let device = timing.device.as_ref();
                        @let cell = |ns: Option<u64>| ns.map_or("–".to_owned(), time_ns);
                        tr {
                            th scope="row" { (g) }
                            td.n { (cell(timing.elapsed_ns)) } td.n { (cell(timing.sync_wait_ns)) }
                            td.n { (cell(device.and_then(|of| of.fill_ns))) }
                            td.n { (cell(device.and_then(|of| of.product_ns))) }
                            td.n { (cell(device.and_then(|of| of.tree_and_step_ns))) }
                            td.n { (cell(device.and_then(|of| of.between_segments_ns))) }
                        }
                    }
                }
            } }
        }
    }
}

/// A barrier as a lane lists it: its number, arrival and release, ns since the common start.
type Barrier = (u64, u64, u64);

fn barriers_of(lane: &ClaimedLane) -> Vec<Barrier> {
    let listed = lane.sync_times.iter().flatten().flatten();
    let point = |entry: &Vec<Option<u64>>| match entry.as_slice() {
        [Some(iteration), Some(arrival), Some(release), ..] if arrival <= release => {
            Some((*iteration, *arrival, *release))
        }
        _ => None,
    };
    listed.filter_map(point).collect()
}

/// How late each lane came to each barrier.
fn barriers(result: &ResultDoc) -> Markup {
    let lanes: Vec<(usize, Vec<Barrier>)> = claimed(result)
        .map(|(g, lane)| (g, barriers_of(lane)))
        .filter(|(_, of)| !of.is_empty())
        .collect();
    let mut first = std::collections::BTreeMap::new();
    for (iteration, arrival, _) in lanes.iter().flat_map(|(_, of)| of) {
        let at = first.entry(*iteration).or_insert(*arrival);
        *at = (*at).min(*arrival);
    }
    let late = |of: &Barrier| of.1 - first.get(&of.0).copied().unwrap_or(of.1);
    let line = |(nth, (g, of)): (usize, &(usize, Vec<Barrier>))| Line {
        name: format!("lane {g}"),
        ink: Ink::of_series(nth),
        mark: Mark::of_series(nth),
        points: of.iter().map(|of| (of.1 as f64 / 1e9, late(of) as f64 / 1e3)).collect(),
    };
    let lines: Vec<Line> = lanes.iter().take(SERIES_MAX).enumerate().map(line).collect();
    let chart = LineChart {
        title: "Arrival after the first lane’s, µs".to_owned(),
        label: format!("{} lanes at up to {} barriers", lanes.len(), first.len()),
        x_title: "seconds since the common start".to_owned(),
        x_text: lane::seconds,
        lines,
        limits: Vec::new(),
        from_zero: true,
        x_least: 0.0,
    };
    html! {
        @if !lanes.is_empty() {
            h3 { "Barriers" }
            (overhead(result))
            @if lanes.len() > 1 {
                (figure(Grade::Claimed, &html! { "Barrier arrivals: each lane’s, after the first lane’s at the same barrier" }, &chart.draw()))
            }
            div.scroll tabindex="0" role="group" aria-label="Barriers, scrollable" { table {
                caption { "Barriers that the lanes list" }
                thead { tr {
                    th scope="col" { "Lane" } th.n scope="col" { "Listed" } th.n scope="col" { "Late, mean" }
                    th.n scope="col" { "Late, most" } th.n scope="col" { "Waited, mean" }
                } }
                tbody {
                    @for (g, of) in &lanes {
                        @let mean = |sum: u128| time_ns((sum / of.len() as u128) as u64);
                        tr {
                            th scope="row" { (g) } td.n { (of.len()) }
                            td.n { (mean(of.iter().map(|one| u128::from(late(one))).sum())) }
                            td.n { (time_ns(of.iter().map(late).max().unwrap_or(0))) }
                            td.n { (mean(of.iter().map(|one| u128::from(one.2 - one.1)).sum())) }
                        }
                    }
                }
            } }
        }
    }
}

fn overhead(result: &ResultDoc) -> Markup {
    let percent = |ppm: u64| format!("{:.3} %", ppm as f64 / 1e4);
    html! {
        @if let Some(sync) = &result.evidence.claims().document().sync {
            dl.facts {
                @if let Some(points) = sync.points { div { dt { "Barriers" } dd.mono { (points) } } }
                @if let Some(ppm) = sync.overhead_ppm { div { dt { "Overhead beside the skew" } dd.mono { (percent(ppm)) } } }
                @if let Some(ppm) = sync.skew_ppm { div { dt { "Lost to the last lane" } dd.mono { (percent(ppm)) } } }
                @if let Some(ns) = sync.skew_worst_ns {
                    div { dt { "Worst skew" } dd.mono { (time_ns(ns)) @if let Some(at) = sync.skew_worst_iteration { ", after iteration " (at) } } }
                }
            }
        }
    }
}

/// The round's rates under the ceilings of the claimed models.
fn roofline(round: &Round<'_>, result: &ResultDoc, told: &Told) -> Markup {
    let is_int8 = match round.challenge.work() {
        Work::Fp64Product(_) => false,
        Work::IntegerProduct(_) => true,
        // Counted in bytes: its verdict has rates of memory.
        Work::MemoryResidency(_) => return html! {},
    };
    let shown = told.round(round.number).and_then(|of| of.verdict.shown);
    let shown = shown.and_then(|of| if is_int8 { of.int8_ops_per_s } else { of.fp64_flops });
    let points = || {
        claimed(result).take(SERIES_MAX).filter_map(|(g, lane)| {
            let rate = if is_int8 { lane.achieved_ops_per_s } else { lane.achieved_flops }? as f64;
            Some((g, rate, rate / lane.operand_bytes_per_s.filter(|&rate| rate > 0)? as f64))
        })
    };
    let Some((_, _, intensity)) = points().next() else { return html! {} };
    let mut all: Vec<RooflinePoint> = points()
        .map(|(g, ops_per_s, intensity)| RooflinePoint {
            name: format!("lane {g}, claimed"),
            intensity,
            ops_per_s,
            mark: Mark::Ring,
            ink: Ink::of_series(g),
        })
        .collect();
    all.extend(shown.map(|rate| RooflinePoint {
        name: "each lane at least, by the validator’s clock".to_owned(),
        intensity,
        ops_per_s: rate as f64,
        mark: Mark::Disc,
        ink: Ink::Text,
    }));
    let mut names: Vec<&str> =
        result.evidence.lanes().iter().map(|lane| lane.model.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let known = names.iter().filter_map(|name| models::find(name)).take(2);
    let roofs: Vec<Roof> = known
        .enumerate()
        .map(|(nth, model)| Roof {
            name: crate::protocol::verdict::short_name(&model.name),
            ops_per_s: 1e12 * if is_int8 { model.printed_int8_tops } else { model.printed_tflops },
            bytes_per_s: 1e9 * f64::from(model.bandwidth_gb_s),
            ink: if nth == 0 { Ink::Limit } else { Ink::Grey },
        })
        .collect();
    let unit = if is_int8 { "OP" } else { "FLOP" };
    let label = format!("Roofline: {} points under {} ceilings", all.len(), roofs.len());
    let is_unknown = roofs.is_empty();
    let chart = Roofline { label, unit, roofs, points: all.clone() };
    html! {
        h3 { "Roofline" }
        (figure(
            Grade::Claimed,
            &html! {
                "Rates over operations a byte of operands. "
                @if is_unknown { "The claimed model is not in the table, so there is no ceiling to show." }
                @else { "The ceilings are what the vendor prints of the claimed model; a kernel that keeps operands in registers and caches lies right of the ridge." }
            },
            &chart.draw(),
        ))
        div.scroll tabindex="0" role="group" aria-label="Points, scrollable" { table {
            caption { "The points" }
            thead { tr { th scope="col" { "Sign" } th scope="col" { "What" } th scope="col" { "Grade" } th.n scope="col" { "Rate" } th.n scope="col" { (unit) " a byte" } } }
            tbody {
                @for point in &all {
                    tr {
                        td { @if point.mark == Mark::Disc { "●" } @else { "○" } }
                        th scope="row" { (said(&point.name)) }
                        td { (mark(if point.mark == Mark::Disc { Grade::Measured } else { Grade::Claimed })) }
                        td.n { (crate::protocol::quantity::about(point.ops_per_s, &format!("{unit}/s"))) }
                        td.n { (format!("{:.1}", point.intensity)) }
                    }
                }
            }
        } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::evidence::described::Described as _;
    use crate::protocol::evidence::document::{ClaimedDocument, Document};
    use serde_json::json;

    #[test]
    fn barriers_that_make_no_sense_are_passed_over() {
        let document = json!({ "lanes": [{ "sync_times": [
            [1, 100, 135, 7], [2, 300, 200], [3, 1], "4", [5, "x", 6], [6, 400, 400],
        ] }] });
        let ClaimedDocument { lanes, .. } = Document::claimed(&document).unwrap();
        let lane = lanes.unwrap().remove(0).unwrap();
        assert_eq!(barriers_of(&lane), [(1, 100, 135), (6, 400, 400)]);
    }
}
