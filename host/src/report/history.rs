//! What a ledger has on record of a miner or a device, as a page: outcomes and rates over
//! time.

use super::page;
use super::parts::{figure, mark, said};
use super::told::{Grade, Told};
use crate::chart::{Ink, Line, LineChart, Mark};
use crate::ledger::{Entry, Seen, SettledAs};
use crate::protocol::quantity::about;
use crate::protocol::time;
use crate::protocol::verdict::Shown;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Challenges that the table lists, the newest; the charts have all.
const LISTED_MAX: usize = 500;

/// Whose history it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Everybody's.
    All,
    /// The miner's with this key.
    Miner(String),
    /// The device's with this UUID.
    Device(String),
}

/// What is on record.
#[derive(Clone, Debug)]
pub struct History<'a> {
    /// When the page is made, such as "2026-01-31T12:00:00Z".
    pub made_at: &'a str,
    /// The same, ms since 1970: what was open then and has expired.
    pub made_unix_ms: u64,
    /// Whose it is.
    pub subject: Subject,
    /// Challenges with the devices that were named for them, the oldest first.
    pub entries: &'a [(Entry, Vec<Seen>)],
    /// Whether older ones are on record.
    pub is_cut: bool,
}

/// How a challenge ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Verified,
    Rejected,
    Expired,
    Open,
}

impl End {
    pub(crate) const ALL: [Self; 4] = [Self::Verified, Self::Rejected, Self::Expired, Self::Open];

    /// A verified round of a session that was rejected counts as rejected.
    pub(crate) fn of(entry: &Entry, now_unix_ms: u64) -> Self {
        let session = entry.session.as_ref().map(|session| session.outcome);
        match (entry.outcome.as_deref(), session) {
            (Some("verified"), None | Some(SettledAs::Verified)) => Self::Verified,
            (Some(_), _) => Self::Rejected,
            (None, _) if entry.expires_unix_ms <= now_unix_ms => Self::Expired,
            (None, _) => Self::Open,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Verified => "✓ verified",
            Self::Rejected => "✕ rejected",
            Self::Expired => "○ expired without a verdict",
            Self::Open => "… open",
        }
    }

    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Verified => "mark proven",
            Self::Rejected => "mark bad",
            Self::Expired | Self::Open => "mark",
        }
    }
}

/// One challenge as the page has it.
pub(crate) struct Row<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) devices: &'a [Seen],
    pub(crate) end: End,
    pub(crate) shown: Option<Shown>,
}

/// The history as one HTML page.
pub fn history_page(history: &History<'_>) -> String {
    let rows: Vec<Row<'_>> = history
        .entries
        .iter()
        .map(|(entry, devices)| Row {
            entry,
            devices,
            end: End::of(entry, history.made_unix_ms),
            shown: entry
                .verdict_json
                .as_deref()
                .and_then(|json| Told::read(json).ok())
                .and_then(|told| told.shown()),
        })
        .collect();
    let (what, whose) = match &history.subject {
        Subject::All => ("all miners", ""),
        Subject::Miner(key) => ("miner", key.as_str()),
        Subject::Device(uuid) => ("device", uuid.as_str()),
    };
    let body = html! {
        header {
            div.kicker { span { "attest · history from a ledger" } span { "made " time { (history.made_at) } } }
            h1 { "History of " (what) }
            @if !whose.is_empty() { p.mono { (whose) } }
            @if history.is_cut { p { "Older challenges are on record than this page has." } }
            (outcomes(&rows))
        }
        main id="main" {
            (rates(&rows))
            (reasons(&rows))
            (devices(&rows))
            (table(&rows))
        }
    };
    page::whole(&format!("attest: history of {what} {whose}"), history.made_at, &body, None)
}

fn outcomes(rows: &[Row<'_>]) -> Markup {
    html! {
        div.tiles {
            div.tile { b { (rows.len()) } span { "challenges" } }
            @for end in End::ALL {
                div.tile {
                    b { (rows.iter().filter(|row| row.end == end).count()) }
                    span class=(end.class()) { (end.name()) }
                }
            }
        }
        @if rows.is_empty() { p { "Nothing is on record." } }
    }
}

/// Rates that were shown, over time.
pub(crate) fn rates(rows: &[Row<'_>]) -> Markup {
    type Rate = (&'static str, &'static str, fn(&Shown) -> Option<u64>);
    const RATES: [Rate; 5] = [
        ("FP64", "FLOP/s", |shown| shown.fp64_flops),
        ("int8", "OPS", |shown| shown.int8_ops_per_s),
        ("Memory held", "B", |shown| shown.held_bytes),
        ("Memory read", "B/s", |shown| shown.read_bytes_per_s),
        ("From other lanes", "B/s", |shown| shown.link_bytes_per_s),
    ];
    let chart = |(what, unit, of): &Rate| {
        let shown = |row: &Row<'_>| row.shown.as_ref().and_then(of);
        let most = rows.iter().filter_map(shown).max()?;
        let (scale, prefix) = scale(most as f64);
        let points = |end: End| {
            let point = |row: &Row<'_>| {
                Some((row.entry.issued_unix_ms as f64 / 1e3, shown(row)? as f64 / scale))
            };
            rows.iter().filter(|row| row.end == end).filter_map(point).collect::<Vec<_>>()
        };
        let line = |name: &str, ink, mark, end| Line {
            name: name.to_owned(),
            ink,
            mark,
            points: points(end),
        };
        let lines = vec![
            line("verified", Ink::Main, Mark::Disc, End::Verified),
            line("rejected", Ink::Limit, Mark::Cross, End::Rejected),
        ];
        let count: usize = lines.iter().map(|line| line.points.len()).sum();
        let title = format!("{what}, {prefix}{unit} each lane");
        let chart = LineChart {
            title: title.clone(),
            label: format!("{count} challenges"),
            x_title: "issued, UTC".to_owned(),
            x_text: date,
            lines,
            limits: Vec::new(),
            from_zero: true,
            x_least: 3600.0,
        };
        (count > 0).then_some((title, chart))
    };
    let charts: Vec<(String, LineChart)> = RATES.iter().filter_map(chart).collect();
    html! {
        section aria-labelledby="rates-title" {
            h2 id="rates-title" { "Rates over time" }
            @if charts.is_empty() { p { "No live session has shown a rate: outside of one durations are claimed." } }
            @for (title, chart) in &charts {
                (figure(Grade::Measured, &html! { (title) ", at least" }, &chart.draw()))
            }
        }
    }
}

/// The unit in which the most of some figures is from 1 to 1000.
fn scale(most: f64) -> (f64, &'static str) {
    let scales = [(1e12, "T"), (1e9, "G"), (1e6, "M")];
    scales.into_iter().find(|(scale, _)| most >= *scale).unwrap_or((1e3, "k"))
}

fn date(unix_s: f64) -> String {
    // "2026-01-31T12:00:00Z" without year and seconds.
    let text = time::format(unix_s as i64).unwrap_or_default();
    text.get(5..16).unwrap_or_default().replace('T', " ")
}

pub(crate) fn reasons(rows: &[Row<'_>]) -> Markup {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.end == End::Rejected) {
        *counts.entry(reason(row.entry).unwrap_or("without a code")).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    html! {
        @if !counts.is_empty() {
            section aria-labelledby="reasons-title" {
                h2 id="reasons-title" { "Why results were rejected" }
                div.scroll tabindex="0" role="group" aria-label="Codes, scrollable" { table {
                    caption { "Codes of rejections" }
                    thead { tr { th scope="col" { "Code" } th.n scope="col" { "Challenges" } } }
                    tbody { @for (code, count) in &counts { tr { th scope="row" { code { (said(code)) } } td.n { (count) } } } }
                } }
            }
        }
    }
}

/// Why it counts as rejected: for its own result, or for its session.
pub(crate) fn reason(entry: &Entry) -> Option<&str> {
    let of_session = || entry.session.as_ref().and_then(|session| session.code.as_deref());
    entry.code.as_deref().or_else(of_session)
}

fn devices(rows: &[Row<'_>]) -> Markup {
    // What was named last of a device stands for it.
    let mut devices: BTreeMap<String, (&Seen, usize)> = BTreeMap::new();
    for seen in rows.iter().flat_map(|row| row.devices) {
        let of = devices.entry(seen.device.uuid.to_string()).or_insert((seen, 0));
        *of = (if of.0.seen_unix_ms <= seen.seen_unix_ms { seen } else { of.0 }, of.1 + 1);
    }
    let cell = |text: &Option<String>| said(text.as_deref().unwrap_or("–"));
    html! {
        @if !devices.is_empty() {
            section aria-labelledby="devices-title" {
                h2 id="devices-title" { "Devices that were named" }
                p { (mark(Grade::Claimed)) " As the miners named them, the last time." }
                div.scroll tabindex="0" role="group" aria-label="Devices, scrollable" { table {
                    caption { (devices.len()) " devices" }
                    thead { tr {
                        th scope="col" { "UUID" } th scope="col" { "Serial number" } th scope="col" { "PCI id" }
                        th scope="col" { "Host" } th scope="col" { "Last named" } th.n scope="col" { "Challenges" }
                    } }
                    tbody {
                        @for (uuid, (seen, count)) in devices.iter().take(LISTED_MAX) {
                            tr {
                                th.mono scope="row" { (uuid) } td.mono { (cell(&seen.device.serial)) }
                                td.mono { (cell(&seen.device.pci)) } td.mono { (cell(&seen.device.host)) }
                                td.mono { (at(seen.seen_unix_ms)) } td.n { (count) }
                            }
                        }
                    }
                } }
            }
        }
    }
}

pub(crate) fn at(unix_ms: u64) -> String {
    i64::try_from(unix_ms / 1000).ok().and_then(time::format).unwrap_or_default()
}

/// Rates that were shown, in one line.
pub(crate) fn figures(shown: &Shown) -> String {
    let texts = super::verdict::figures(shown);
    texts.iter().map(|(amount, what)| format!("{amount} {what}")).collect::<Vec<_>>().join(", ")
}

fn table(rows: &[Row<'_>]) -> Markup {
    html! {
        @if !rows.is_empty() {
            section aria-labelledby="challenges-title" {
                h2 id="challenges-title" { "Challenges" }
                div.scroll tabindex="0" role="group" aria-label="Challenges, scrollable" { table {
                    caption { "The newest first" @if rows.len() > LISTED_MAX { ", " (LISTED_MAX) " of " (about(rows.len() as f64, "")) } }
                    thead { tr {
                        th scope="col" { "Issued" } th scope="col" { "Challenge" } th scope="col" { "Outcome" }
                        th scope="col" { "Reason" } th scope="col" { "Shown of each lane, at least" }
                    } }
                    tbody {
                        @for row in rows.iter().rev().take(LISTED_MAX) {
                            tr {
                                td.mono { (at(row.entry.issued_unix_ms)) }
                                th.mono scope="row" { (row.entry.challenge.to_string().chars().take(16).collect::<String>()) "…" }
                                td { span class=(row.end.class()) { (row.end.name()) } }
                                td { (said(reason(row.entry).unwrap_or_default())) }
                                td { (row.shown.as_ref().map(figures).unwrap_or_default()) }
                            }
                        }
                    }
                } }
            }
        }
    }
}
