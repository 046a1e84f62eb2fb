//! All miners, and one.

use super::Place;
use super::parts::{
    ROWS_MAX, challenges, charts, device_link, meetings, miner_link, optional, page_of, pages,
    tiles, time,
};
use crate::dashboard::filter::Filter;
use crate::dashboard::snapshot::{Item, Snapshot};
use crate::ledger::Peer;
use crate::protocol::digest::Uuid;
use crate::protocol::signature::EncodedKey;
use crate::report::history::{End, Row, reasons};
use maud::{Markup, html};
use std::collections::{HashMap, HashSet};

/// Meetings that are listed of one miner.
const MEETINGS_MAX: usize = 25;

/// What is on record of one miner, in numbers.
#[derive(Default)]
struct Sum {
    ends: [usize; 4],
    devices: HashSet<Uuid>,
    last_unix_ms: u64,
}

pub(in crate::dashboard) fn miners(
    snapshot: &Snapshot,
    filter: &Filter,
    place: &Place,
) -> Option<Markup> {
    let items = filter.of(snapshot);
    let mut sums: HashMap<Option<EncodedKey>, Sum> = HashMap::new();
    for item in &items {
        let entry = &item.record.entry;
        let sum = sums.entry(item.record.miner()).or_default();
        sum.ends[item.end as usize] += 1;
        sum.devices.extend(item.record.devices.iter().map(|seen| seen.device.uuid));
        sum.last_unix_ms = sum.last_unix_ms.max(entry.issued_unix_ms);
    }
    let mut sums: Vec<(Option<EncodedKey>, Sum)> = sums.into_iter().collect();
    sums.sort_by_key(|(key, sum)| (std::cmp::Reverse(sum.last_unix_ms), *key));
    Some(html! {
        (tiles(&items, filter, place))
        section aria-labelledby="miners-title" {
            h2 id="miners-title" { "Miners" }
            @if sums.is_empty() { p { "No challenge that fits is on record." } } @else {
                div.scroll tabindex="0" role="region" aria-label="Miners, scrollable" { table {
                    caption { (sums.iter().filter(|(key, _)| key.is_some()).count()) " keys; the one that was challenged last comes first" }
                    thead { tr {
                        th scope="col" { "Key" } th scope="col" { "Last challenged" }
                        @for end in End::ALL { th.n scope="col" { (end.name()) } }
                        th.n scope="col" { "Devices" }
                    } }
                    tbody { @for (key, sum) in &sums[page_of(filter, sums.len())] {
                        tr {
                            th scope="row" { @match key { Some(key) => (miner_link(*key)), None => "bound to none" } }
                            td.mono.time { (time(sum.last_unix_ms)) }
                            @for count in sum.ends { td.n { (count) } }
                            td.n { (sum.devices.len()) }
                        }
                    } }
                } }
                (pages(filter, place, sums.len()))
            }
        }
    })
}

pub(in crate::dashboard) fn miner(
    snapshot: &Snapshot,
    filter: &Filter,
    place: &Place,
) -> Option<Markup> {
    let Place::Miner(key) = *place else { return None };
    let met = || {
        snapshot.meetings.iter().filter(move |met| match met.meeting.peer {
            Peer::Proven(peer) | Peer::Claimed(peer) => peer == key,
            Peer::Unknown => false,
        })
    };
    let is_on_record = snapshot.items.iter().any(|item| item.record.miner() == Some(key))
        || met().next().is_some();
    if !is_on_record {
        return None;
    }
    let items = Filter { miner: Some(key), ..filter.clone() }.of(snapshot);
    let rows: Vec<Row<'_>> = items.iter().map(|item| item.row()).collect();
    Some(html! {
        (tiles(&items, filter, place))
        (charts(&items))
        (reasons(&rows))
        (named(&items))
        (challenges(&items, filter, place))
        (meetings(met().take(MEETINGS_MAX), "Meetings"))
    })
}

/// Devices that were named, as they were named last.
fn named(items: &[&Item]) -> Markup {
    let mut seen: HashSet<Uuid> = HashSet::new();
    // Items come the newest first.
    let mut devices = Vec::new();
    for item in items {
        for named in &item.record.devices {
            if seen.insert(named.device.uuid) && devices.len() < ROWS_MAX {
                devices.push((named, item.record.claim_of(named.device.uuid)));
            }
        }
    }
    html! {
        @if !devices.is_empty() {
            section aria-labelledby="devices-title" {
                h2 id="devices-title" { "Devices that it named" }
                div.scroll tabindex="0" role="region" aria-label="Devices, scrollable" { table {
                    caption { (seen.len()) " devices, as it named them last: its word" }
                    thead { tr {
                        th scope="col" { "UUID" } th scope="col" { "Claim" } th scope="col" { "Serial number" }
                        th scope="col" { "Host" } th scope="col" { "Last named" }
                    } }
                    tbody { @for (named, claim) in devices {
                        tr {
                            th scope="row" { (device_link(named.device.uuid)) }
                            td { (optional(claim.as_deref())) }
                            td.mono { (optional(named.device.serial.as_deref())) }
                            td.mono { (optional(named.device.host.as_deref())) }
                            td.mono.time { (time(named.seen_unix_ms)) }
                        }
                    } }
                } }
            }
        }
    }
}
