//! One challenge, with its verdict as it was recorded.

use super::parts::{challenge_link, device_link, miner_link, optional, time};
use crate::dashboard::snapshot::Snapshot;
use crate::ledger::{Entry, Seen};
use crate::report::Told;
use crate::report::history::{End, figures, reason};
use crate::report::parts::said;
use maud::{Markup, html};

/// Longest verdict that is shown whole, characters.
const VERDICT_CHARS_MAX: usize = 200_000;

pub(in crate::dashboard) fn challenge(
    snapshot: &Snapshot,
    entry: &Entry,
    devices: &[Seen],
) -> Markup {
    let end = End::of(entry, snapshot.read_unix_ms);
    let told = entry.verdict_json.as_deref().and_then(|json| Told::read(json).ok());
    let fact = |name: &str, value: Option<Markup>| {
        html! { @if let Some(value) = value { div { dt { (name) } dd { (value) } } } }
    };
    html! {
        p { span class=(end.class()) { (end.name()) } @if let Some(code) = reason(entry) { " " code { (said(code)) } } }
        @if let Some(detail) = told.as_ref().and_then(Told::detail) { p.detail { (said(detail)) } }
        dl.facts {
            (fact("Issued", Some(time(entry.issued_unix_ms))))
            (fact("Expires", Some(time(entry.expires_unix_ms))))
            (fact("Commitment arrived", entry.arrived_unix_ms.map(time)))
            (fact("Settled", entry.settled_unix_ms.map(time)))
            (fact("Miner", entry.miner.map(miner_link)))
            (fact("Address", snapshot.address(entry).map(said)))
            (fact("Round", entry.round.map(|of| html! { (of.number) " of " (challenge_link(of.session)) })))
            (fact("Shown of each lane, at least", told.as_ref().and_then(Told::shown).map(|shown| html! { (figures(&shown)) })))
        }
        @if !devices.is_empty() {
            section aria-labelledby="devices-title" {
                h2 id="devices-title" { "Devices" }
                div.scroll tabindex="0" role="region" aria-label="Devices, scrollable" { table {
                    caption { "As the miner named them: its word" }
                    thead { tr {
                        th scope="col" { "UUID" } th scope="col" { "Serial number" } th scope="col" { "PCI id" } th scope="col" { "Host" }
                    } }
                    tbody { @for Seen { device, .. } in devices {
                        tr {
                            th scope="row" { (device_link(device.uuid)) }
                            td.mono { (optional(device.serial.as_deref())) }
                            td.mono { (optional(device.pci.as_deref())) }
                            td.mono { (optional(device.host.as_deref())) }
                        }
                    } }
                } }
            }
        }
        @if let Some(json) = &entry.verdict_json {
            section aria-labelledby="verdict-title" {
                h2 id="verdict-title" { "Verdict" }
                details { summary { "As it was recorded (JSON)" }
                    pre tabindex="0" aria-label="Verdict" { (verdict(json)) }
                }
            }
        }
    }
}

/// The verdict with indentation, if it is short enough.
fn verdict(json: &str) -> String {
    let value = serde_json::from_str::<serde_json::Value>(json).ok();
    let text = value.and_then(|value| serde_json::to_string_pretty(&value).ok());
    let text = text.unwrap_or_else(|| json.to_owned());
    match text.char_indices().nth(VERDICT_CHARS_MAX) {
        Some((end, _)) => format!("{}\n… `attest ledger show` has the rest", &text[..end]),
        None => text,
    }
}
