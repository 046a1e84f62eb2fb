//! The pages: what stands around each view, and the ways from one to another.
//!
//! Guarantees: what somebody else wrote is text, kept from its surroundings; tables have a
//! bounded number of rows.

mod challenge;
mod devices;
mod miners;
mod overview;
mod parts;

pub(super) use challenge::challenge;
pub(super) use devices::{device, devices};
pub(super) use miners::{miner, miners};
pub(super) use overview::{overview, rates};

use super::filter::{Filter, SPANS, TEXT_MAX, name_of};
use super::watch::View;
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::signature::EncodedKey;
use crate::report::history::End;
use crate::report::page::{Frame, digest, style};
use maud::{Markup, html};
use parts::time;
use std::sync::LazyLock;

static STYLE: LazyLock<String> = LazyLock::new(|| style(include_str!("assets/dashboard.css")));
const SCRIPT: &str = include_str!("assets/dashboard.js");

/// What a page may load and run: itself.
pub(super) fn policy() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; \
             connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
            digest(&STYLE),
            digest(SCRIPT)
        )
    });
    &POLICY
}

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Miners,
    Miner(EncodedKey),
    Devices,
    Device(Uuid),
    Rates,
    Challenge(Digest),
}

impl Place {
    const VIEWS: [Self; 4] = [Self::Overview, Self::Miners, Self::Devices, Self::Rates];

    pub(super) fn path(&self) -> String {
        match self {
            Self::Overview => "/".to_owned(),
            Self::Miners => "/miners".to_owned(),
            Self::Miner(key) => format!("/miner/{key}"),
            Self::Devices => "/devices".to_owned(),
            Self::Device(uuid) => format!("/device/{uuid}"),
            Self::Rates => "/rates".to_owned(),
            Self::Challenge(c) => format!("/challenge/{c}"),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Miners => "Miners",
            Self::Miner(_) => "Miner",
            Self::Devices => "Devices",
            Self::Device(_) => "Device",
            Self::Rates => "Rates",
            Self::Challenge(_) => "Challenge",
        }
    }

    /// What of many it is about.
    fn whose(&self) -> Option<String> {
        match self {
            Self::Miner(key) => Some(key.to_string()),
            Self::Device(uuid) => Some(uuid.to_string()),
            Self::Challenge(c) => Some(c.to_string()),
            _ => None,
        }
    }

    /// Where it belongs among the views.
    fn is_under(&self, view: &Self) -> bool {
        match self {
            Self::Miner(_) => *view == Self::Miners,
            Self::Device(_) => *view == Self::Devices,
            Self::Challenge(_) => *view == Self::Overview,
            _ => self == view,
        }
    }
}

/// A view with all that stands around it.
pub(super) fn whole(
    ledger: &str,
    known: &View,
    filter: &Filter,
    place: &Place,
    view: &Markup,
) -> String {
    let snapshot = &known.snapshot;
    let body = html! {
        (top(Some(place), filter))
        main id="main" {
            h1 { (place.name()) }
            @if let Some(whose) = place.whose() { p.mono.whose { (whose) } }
            @if !matches!(place, Place::Challenge(_)) { (form(filter, place)) }
            div id="content" data-revision=(snapshot.revision) data-lost=(known.lost.is_some()) {
                @if let Some((since, why)) = &known.lost { (lost(*since, why)) }
                p.quiet.asof {
                    "As of " (time(snapshot.read_unix_ms)) ", UTC."
                    @if snapshot.is_cut {
                        " The newest " (snapshot.items.len()) " challenges on record: "
                        code { "attest ledger export" } " has the older ones."
                    }
                }
                (view)
            }
        }
    };
    let title = match place.whose() {
        Some(whose) => format!("{} {}… · attest", place.name(), &whose[..12]),
        None => format!("{} · attest", place.name()),
    };
    framed(&title, ledger, &body)
}

fn framed(title: &str, ledger: &str, body: &Markup) -> String {
    let foot = html! {
        "attest " (env!("CARGO_PKG_VERSION")) " · ledger " code { (ledger) } " · read-only"
    };
    let frame = Frame { title, style: &STYLE, script: SCRIPT, policy: None, foot: &foot };
    frame.around(body, None)
}

/// The ledger does not answer.
fn lost(since_unix_ms: u64, why: &str) -> Markup {
    html! {
        div.lost role="alert" {
            p { strong { "✕ The ledger is lost since " (time(since_unix_ms)) "." } " What stands below was read before. It is read again as soon as it answers." }
            p.mono { (why) }
        }
    }
}

/// The ways to the views; filters go along.
fn top(place: Option<&Place>, filter: &Filter) -> Markup {
    let query = filter.at_page(0).query();
    html! {
        header {
            div.kicker {
                span { "attest · dashboard" }
                span id="state" { "Reload for what is new" }
            }
            nav aria-label="Views" {
                ul {
                    @for view in Place::VIEWS {
                        @let here = place.is_some_and(|place| place.is_under(&view));
                        li { a href={ (view.path()) (query) } aria-current=[here.then_some("page")] { (view.name()) } }
                    }
                }
            }
            p.unseen role="status" id="said" {}
        }
    }
}

fn form(filter: &Filter, place: &Place) -> Markup {
    let text = |name: &str, label: &str, value: Option<String>, size: u32| {
        html! {
            label { span { (label) }
                input type="search" name=(name) value=[value] maxlength=(TEXT_MAX) size=(size) autocomplete="off" spellcheck="false";
            }
        }
    };
    html! {
        form.filters role="search" aria-label="Filters" method="get" action=(place.path()) {
            label { span { "Outcome" }
                select name="outcome" {
                    option value="" { "any" }
                    @for end in End::ALL {
                        option value=(name_of(end)) selected[filter.outcome == Some(end)] { (name_of(end)) }
                    }
                }
            }
            label { span { "Issued" }
                select name="span" {
                    option value="" { "any time" }
                    @for span in SPANS {
                        option value=(span.name) selected[filter.span == Some(span)] { (span.words) }
                    }
                }
            }
            @if !matches!(place, Place::Miner(_)) {
                (text("miner", "Miner’s key", filter.miner.map(|key| key.to_string()), 14))
            }
            @if !matches!(place, Place::Device(_)) {
                (text("device", "Device’s UUID", filter.device.map(|uuid| uuid.to_string()), 14))
            }
            (text("model", "Claimed model", filter.model.clone(), 12))
            (text("text", "Any text", filter.text.clone(), 12))
            button type="submit" { "Filter" }
            @if filter.is_narrow() { a href=(place.path()) { "Clear" } }
        }
    }
}

/// The address asks for something that cannot be.
pub(super) fn refusal(ledger: &str, what: &str, advice: &str) -> String {
    let body = html! {
        (top(None, &Filter::default()))
        main id="main" {
            h1 { "Not answered" }
            p { (what) "." }
            p { (advice) }
        }
    };
    framed("Not answered · attest", ledger, &body)
}

/// Nothing stands there.
pub(super) fn not_found(ledger: &str) -> String {
    let advice = "It may have been pruned, or is older than what this dashboard has.";
    refusal(ledger, "there is nothing on record under this address", advice)
}
