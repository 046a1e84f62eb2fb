//! All devices, and one.

use super::Place;
use super::parts::{
    challenges, charts, device_link, miner_link, optional, page_of, pages, tiles, time,
};
use crate::dashboard::filter::Filter;
use crate::dashboard::snapshot::{Item, Snapshot};
use crate::ledger::{Seen, Sighting};
use crate::protocol::digest::Uuid;
use crate::report::history::{End, Row, reasons};
use maud::{Markup, html};
use std::collections::HashMap;

/// Different names of one device that are listed.
const NAMES_MAX: usize = 20;

/// What is on record of one device, in numbers; as it was named last.
struct Sum<'a> {
    last: &'a Seen,
    claim: Option<String>,
    ends: [usize; 4],
}

pub(in crate::dashboard) fn devices(
    snapshot: &Snapshot,
    filter: &Filter,
    place: &Place,
) -> Option<Markup> {
    let items = filter.of(snapshot);
    let mut sums: HashMap<Uuid, Sum<'_>> = HashMap::new();
    for item in &items {
        for seen in &item.record.devices {
            let uuid = seen.device.uuid;
            if filter.device.is_some_and(|only| only != uuid) {
                continue;
            }
            let sum = sums.entry(uuid).or_insert(Sum { last: seen, claim: None, ends: [0; 4] });
            sum.ends[item.end as usize] += 1;
            sum.claim = sum.claim.take().or_else(|| item.record.claim_of(uuid));
        }
    }
    let mut sums: Vec<Sum<'_>> = sums.into_values().collect();
    sums.sort_by_key(|sum| (std::cmp::Reverse(sum.last.seen_unix_ms), sum.last.device.uuid.0));
    Some(html! {
        (tiles(&items, filter, place))
        section aria-labelledby="devices-title" {
            h2 id="devices-title" { "Devices" }
            @if sums.is_empty() { p { "No device was named for a challenge that fits." } } @else {
                div.scroll tabindex="0" role="region" aria-label="Devices, scrollable" { table {
                    caption { (sums.len()) " devices as miners named them last: their word" }
                    thead { tr {
                        th scope="col" { "UUID" } th scope="col" { "Claim" } th scope="col" { "Miner" }
                        th scope="col" { "Serial number" } th scope="col" { "Host" } th scope="col" { "Last named" }
                        @for end in [End::Verified, End::Rejected] { th.n scope="col" { (end.name()) } }
                    } }
                    tbody { @for sum in &sums[page_of(filter, sums.len())] { (row(sum)) } }
                } }
                (pages(filter, place, sums.len()))
            }
        }
    })
}

fn row(sum: &Sum<'_>) -> Markup {
    let Sighting { uuid, serial, miner, host, .. } = &sum.last.device;
    html! {
        tr {
            th scope="row" { (device_link(*uuid)) }
            td { (optional(sum.claim.as_deref())) }
            td { @match miner { Some(key) => (miner_link(*key)), None => "–" } }
            td.mono { (optional(serial.as_deref())) }
            td.mono { (optional(host.as_deref())) }
            td.mono.time { (time(sum.last.seen_unix_ms)) }
            @for end in [End::Verified, End::Rejected] { td.n { (sum.ends[end as usize]) } }
        }
    }
}

pub(in crate::dashboard) fn device(
    snapshot: &Snapshot,
    filter: &Filter,
    place: &Place,
) -> Option<Markup> {
    let Place::Device(uuid) = *place else { return None };
    if !snapshot.items.iter().any(|item| item.record.names(uuid)) {
        return None;
    }
    let items = Filter { device: Some(uuid), ..filter.clone() }.of(snapshot);
    let rows: Vec<Row<'_>> = items.iter().map(|item| item.row()).collect();
    Some(html! {
        (tiles(&items, filter, place))
        (names(&items, uuid))
        (charts(&items))
        (reasons(&rows))
        (challenges(&items, filter, place))
    })
}

/// How it was named: what changed is seen.
fn names(items: &[&Item], uuid: Uuid) -> Markup {
    let mut names: Vec<(&Sighting, Option<String>, u64)> = Vec::new();
    for item in items {
        let named = item.record.devices.iter().find(|seen| seen.device.uuid == uuid);
        let Some(Seen { device, seen_unix_ms }) = named else { continue };
        if names.len() < NAMES_MAX && !names.iter().any(|(other, ..)| *other == device) {
            names.push((device, item.record.claim_of(uuid), *seen_unix_ms));
        }
    }
    html! {
        @if !names.is_empty() {
            section aria-labelledby="names-title" {
                h2 id="names-title" { "As it was named" }
                div.scroll tabindex="0" role="region" aria-label="Names, scrollable" { table {
                    caption { "Each way in which miners named it, the latest first: their word" }
                    thead { tr {
                        th scope="col" { "Last named so" } th scope="col" { "Miner" } th scope="col" { "Serial number" }
                        th scope="col" { "PCI id" } th scope="col" { "Host" } th scope="col" { "Claim" }
                    } }
                    tbody { @for (device, claim, seen_unix_ms) in names {
                        tr {
                            th.mono.time scope="row" { (time(seen_unix_ms)) }
                            td { @match device.miner { Some(key) => (miner_link(key)), None => "–" } }
                            td.mono { (optional(device.serial.as_deref())) }
                            td.mono { (optional(device.pci.as_deref())) }
                            td.mono { (optional(device.host.as_deref())) }
                            td { (optional(claim.as_deref())) }
                        }
                    } }
                } }
            }
        }
    }
}
