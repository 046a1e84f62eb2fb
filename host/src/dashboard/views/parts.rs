//! What several views are made of.

use super::Place;
use crate::dashboard::filter::{Filter, PAGE_MAX, name_of};
use crate::dashboard::snapshot::Item;
use crate::ledger::{Ending, Met, Peer};
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::signature::EncodedKey;
use crate::report::history::{End, Row, at, figures, reason};
use crate::report::parts::said;
use maud::{Markup, html};
use std::ops::Range;

/// Rows of one page of a table.
pub(super) const ROWS_MAX: usize = 50;
/// Challenges of which a chart has points, the newest.
const POINTS_MAX: usize = 1000;

pub(super) fn time(unix_ms: u64) -> Markup {
    html! { time { (at(unix_ms)) } }
}

/// The start of a name that is too long for a table.
fn short(name: &str) -> Markup {
    html! { (&name[..12]) "…" }
}

pub(super) fn miner_link(key: EncodedKey) -> Markup {
    let name = key.to_string();
    html! { a.mono href=(Place::Miner(key).path()) title=(name) { (short(&name)) } }
}

pub(super) fn device_link(uuid: Uuid) -> Markup {
    let name = uuid.to_string();
    html! { a.mono href=(Place::Device(uuid).path()) title=(name) { (short(&name)) } }
}

pub(super) fn challenge_link(c: Digest) -> Markup {
    let name = c.to_string();
    html! { a.mono href=(Place::Challenge(c).path()) title=(name) { (short(&name)) } }
}

pub(super) fn optional(text: Option<&str>) -> Markup {
    text.map_or_else(|| html! { "–" }, said)
}

/// How many challenges ended how; each number leads to those.
pub(super) fn tiles(items: &[&Item], filter: &Filter, place: &Place) -> Markup {
    let count = |end: End| items.iter().filter(|item| item.end == end).count();
    html! {
        div.tiles role="group" aria-label="Challenges by outcome" {
            div.tile { b { (items.len()) } span { "challenges" } }
            @for end in End::ALL {
                @let only = Filter { outcome: Some(end), page: 0, ..filter.clone() };
                a.tile href={ (place.path()) (only.query()) } data-outcome=(name_of(end)) {
                    b { (count(end)) }
                    span class=(end.class()) { (end.name()) }
                }
            }
        }
    }
}

/// The rows of a filter's page among `count`.
pub(super) fn page_of(filter: &Filter, count: usize) -> Range<usize> {
    let from = (filter.page as usize * ROWS_MAX).min(count);
    from..(from + ROWS_MAX).min(count)
}

/// The ways to other pages of a table with `count` rows.
pub(super) fn pages(filter: &Filter, place: &Place, count: usize) -> Markup {
    let last = count.saturating_sub(1) / ROWS_MAX;
    let (page, last) = (filter.page as usize, last.min(PAGE_MAX as usize - 1));
    let to = |page: usize| place.path() + &filter.at_page(page as u32).query();
    html! {
        @if last > 0 || page > 0 {
            nav.pages aria-label="Pages" {
                @if page > 0 { a rel="prev" href=(to((page - 1).min(last))) { "← newer" } }
                span { "page " (page + 1) " of " (last + 1) }
                @if page < last { a rel="next" href=(to(page + 1)) { "older →" } }
            }
        }
    }
}

/// Challenges, one page of them.
pub(super) fn challenges(items: &[&Item], filter: &Filter, place: &Place) -> Markup {
    html! {
        section aria-labelledby="challenges-title" {
            h2 id="challenges-title" { "Challenges" }
            (table(&items[page_of(filter, items.len())], "The newest first"))
            (pages(filter, place, items.len()))
        }
    }
}

/// Challenges as a table.
pub(super) fn table(items: &[&Item], caption: &str) -> Markup {
    html! {
        @if items.is_empty() {
            p { "No challenge that fits is on record." }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Challenges, scrollable" { table {
                caption { (caption) }
                thead { tr {
                    th scope="col" { "Issued" } th scope="col" { "Challenge" } th scope="col" { "Outcome" }
                    th scope="col" { "Reason" } th scope="col" { "Miner" } th scope="col" { "Devices" }
                    th scope="col" { "Shown of each lane, at least" }
                } }
                tbody { @for item in items { (row(item)) } }
            } }
        }
    }
}

fn row(item: &Item) -> Markup {
    let record = &item.record;
    let entry = &record.entry;
    html! {
        tr {
            td.mono.time { (time(entry.issued_unix_ms)) }
            th scope="row" { (challenge_link(entry.challenge)) }
            td { span class=(item.end.class()) { (item.end.name()) } }
            td {
                @if let (End::Rejected, Some(code)) = (item.end, reason(entry)) { code { (said(code)) } }
            }
            td { @match record.miner() { Some(key) => (miner_link(key)), None => "–" } }
            td {
                @for seen in record.devices.iter().take(2) { (device_link(seen.device.uuid)) " " }
                @if record.devices.len() > 2 { "and " (record.devices.len() - 2) " more" }
            }
            td { (record.shown.as_ref().map(figures).unwrap_or_default()) }
        }
    }
}

/// Rates over time, as reports draw them.
pub(super) fn charts(items: &[&Item]) -> Markup {
    let rows: Vec<Row<'_>> = items.iter().take(POINTS_MAX).rev().map(|item| item.row()).collect();
    html! {
        (crate::report::history::rates(&rows))
        @if items.len() > POINTS_MAX { p.quiet { "The charts have the newest " (POINTS_MAX) " challenges." } }
    }
}

/// Meetings as a table.
pub(super) fn meetings<'a>(met: impl Iterator<Item = &'a Met>, title: &str) -> Markup {
    let met: Vec<&Met> = met.collect();
    html! {
        @if !met.is_empty() {
            section aria-labelledby="meetings-title" {
                h2 id="meetings-title" { (title) }
                div.scroll tabindex="0" role="region" aria-label="Meetings, scrollable" { table {
                    caption { "The newest first" }
                    thead { tr {
                        th scope="col" { "Met" } th scope="col" { "Key" } th scope="col" { "Address" }
                        th scope="col" { "What came of it" }
                    } }
                    tbody { @for met in met { (meeting(met)) } }
                } }
            }
        }
    }
}

fn meeting(met: &Met) -> Markup {
    let meeting = &met.meeting;
    html! {
        tr {
            td.mono.time { (time(meeting.met_unix_ms)) }
            td { @match meeting.peer {
                Peer::Proven(key) => { (miner_link(key)) " proven" },
                Peer::Claimed(key) => { (miner_link(key)) " claimed" },
                Peer::Unknown => "–",
            } }
            td.mono { (optional(meeting.address.as_deref())) }
            td { @match &meeting.ending {
                Ending::Challenged(c) => { "challenged: " (challenge_link(*c)) },
                Ending::Before(code) => code { (said(code)) },
            } }
        }
    }
}
