//! What goes on, what came of it, and the rates that were shown.

use super::Place;
use super::parts::{
    challenge_link, challenges, charts, meetings, miner_link, page_of, pages, table, tiles, time,
};
use crate::dashboard::filter::Filter;
use crate::dashboard::snapshot::{Item, Snapshot};
use crate::ledger::Ending;
use crate::report::history::{End, Row, reasons};
use crate::report::parts::said;
use maud::{Markup, html};

/// Sessions under way that are listed.
const UNDER_WAY_MAX: usize = 50;
/// Meetings that are listed.
const MEETINGS_MAX: usize = 10;

pub(in crate::dashboard) fn overview(
    snapshot: &Snapshot,
    filter: &Filter,
    place: &Place,
) -> Option<Markup> {
    let items = filter.of(snapshot);
    let mut settled: Vec<&Item> =
        items.iter().copied().filter(|item| item.record.entry.settled_unix_ms.is_some()).collect();
    settled.sort_by_key(|item| std::cmp::Reverse(item.record.entry.settled_unix_ms));
    let rows: Vec<Row<'_>> = items.iter().map(|item| item.row()).collect();
    let unchallenged = snapshot.meetings.iter();
    let unchallenged = unchallenged.filter(|met| matches!(met.meeting.ending, Ending::Before(_)));
    Some(html! {
        (tiles(&items, filter, place))
        (under_way(snapshot, &items))
        section aria-labelledby="verdicts-title" {
            h2 id="verdicts-title" { "Latest verdicts" }
            (table(&settled[page_of(filter, settled.len())], "By the time of the verdict, the newest first"))
            (pages(filter, place, settled.len()))
        }
        (reasons(&rows))
        @if !filter.is_narrow() {
            (meetings(unchallenged.take(MEETINGS_MAX), "Meetings that came to no challenge"))
        }
    })
}

fn under_way(snapshot: &Snapshot, items: &[&Item]) -> Markup {
    let open: Vec<&&Item> = items.iter().filter(|item| item.end == End::Open).collect();
    html! {
        section aria-labelledby="open-title" {
            h2 id="open-title" { "Under way" }
            @if open.is_empty() {
                p { "No session is under way, and no challenge is open." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="Under way, scrollable" { table {
                    caption { "Challenges without a verdict, the newest first" }
                    thead { tr {
                        th scope="col" { "Issued" } th scope="col" { "Challenge" } th scope="col" { "State" }
                        th scope="col" { "Miner" } th scope="col" { "Address" } th scope="col" { "Expires" }
                    } }
                    tbody { @for item in open.iter().take(UNDER_WAY_MAX) {
                        @let entry = &item.record.entry;
                        tr {
                            td.mono.time { (time(entry.issued_unix_ms)) }
                            th scope="row" {
                                (challenge_link(entry.challenge))
                                @if let Some(of) = entry.round { " round " (of.number) }
                            }
                            td { @if entry.arrived_unix_ms.is_some() { "answered, being verified" } @else { "sent, not answered yet" } }
                            td { @match item.record.miner() { Some(key) => (miner_link(key)), None => "–" } }
                            td.mono { @match snapshot.address(entry) { Some(address) => (said(address)), None => "–" } }
                            td.mono.time { (time(entry.expires_unix_ms)) }
                        }
                    } }
                } }
                @if open.len() > UNDER_WAY_MAX { p.quiet { (open.len() - UNDER_WAY_MAX) " more are under way." } }
            }
        }
    }
}

pub(in crate::dashboard) fn rates(
    snapshot: &Snapshot,
    filter: &Filter,
    place: &Place,
) -> Option<Markup> {
    let items = filter.of(snapshot);
    Some(html! {
        (tiles(&items, filter, place))
        (charts(&items))
        (challenges(&items, filter, place))
    })
}
