//! What several parts of a page are made of.

use super::Report;
use super::told::Grade;
use crate::chart::Svg;
use crate::protocol::quantity::about;
use maud::{Markup, PreEscaped, html};
use std::time::Duration;

impl Grade {
    /// For style sheets.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Measured => "measured",
            Self::SignedByDevice | Self::SignedByMachine => "signed",
            Self::Claimed => "claimed",
        }
    }

    /// For people, with a sign: colour is never all that tells grades apart.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Proven => "■ Shown",
            Self::Measured => "◧ Measured",
            Self::SignedByDevice => "◈ Signed by the device",
            Self::SignedByMachine => "◈ Signed by the machine",
            Self::Claimed => "□ Claimed",
        }
    }

    /// Whether few sessions have anything of it.
    pub(super) fn is_rare(self) -> bool {
        matches!(self, Self::SignedByDevice | Self::SignedByMachine)
    }

    /// On what it is founded.
    pub(super) fn ground(self) -> &'static str {
        match self {
            Self::Proven => "recomputed, or signed",
            Self::Measured => "by the validator’s own clock or record",
            Self::SignedByDevice => "in a report that the hardware signed",
            Self::SignedByMachine => "in a quote that the processor signed",
            Self::Claimed => "the miner’s word; nothing shows it",
        }
    }
}

/// A grade in a few letters.
pub(super) fn mark(grade: Grade) -> Markup {
    html! { span class={ "mark " (grade.class()) } { (grade.name()) } }
}

/// What somebody else wrote, kept from its surroundings.
pub(crate) fn said(text: &str) -> Markup {
    html! { bdi { (text) } }
}

/// A drawing with words above it.
pub(super) fn figure(grade: Grade, caption: &Markup, svg: &Svg) -> Markup {
    html! {
        figure {
            figcaption { (mark(grade)) " " (caption) }
            // On a phone it is wider than the screen, so that its words can be read.
            div.scroll tabindex="0" role="group" aria-label="Chart, scrollable" { (PreEscaped(svg.as_str())) }
        }
    }
}

/// A time in the unit that fits it.
pub(super) fn time_ns(ns: u64) -> String {
    match ns {
        0..=999 => format!("{ns} ns"),
        1_000..=999_999 => format!("{:.1} µs", ns as f64 / 1e3),
        1_000_000..=999_999_999 => format!("{:.1} ms", ns as f64 / 1e6),
        _ => match Duration::from_nanos(ns).as_secs_f64() {
            s if s < 120.0 => format!("{s:.2} s"),
            s => format!("{} min {:.0} s", s as u64 / 60, s % 60.0),
        },
    }
}

/// Bytes, as drivers count them.
pub(super) fn bytes(count: u64) -> String {
    match count {
        0 => "not known".to_owned(),
        1..=1_048_575 => about(count as f64, "B"),
        1_048_576..=1_073_741_823 => format!("{:.1} MiB", count as f64 / f64::from(1 << 20)),
        _ => format!("{:.1} GiB", count as f64 / (1_u64 << 30) as f64),
    }
}

/// All that the page is made of, to copy.
pub(super) fn raw(report: &Report<'_>) -> Markup {
    html! {
        section aria-labelledby="raw-title" {
            h2 id="raw-title" { "Raw data" }
            p.quiet { "As this page holds it: for other programs, and for " code { "attest verify" } "." }
            (raw_of("verdict", "Verdict (JSON)"))
            @for (at, round) in report.rounds.iter().enumerate() {
                @let of = if report.rounds.len() > 1 { format!(" of round {}", round.number) } else { String::new() };
                (raw_of(&format!("challenge {at}"), &format!("Challenge{of} (token)")))
                @if round.result.is_some() {
                    (raw_of(&format!("evidence {at}"), &format!("Evidence{of} (JSON, the miner’s word)")))
                    (raw_of(&format!("result {at}"), &format!("Result{of} (JSON)")))
                }
            }
        }
    }
}

fn raw_of(name: &str, title: &str) -> Markup {
    html! {
        details data-raw=(name) {
            summary { (title) }
            button type="button" hidden { "Copy" }
            output {}
            pre tabindex="0" aria-label=(title) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_fits() {
        let texts = [999, 1_500, 2_500_000, 45_100_000_000, 600_500_000_000].map(time_ns);
        assert_eq!(texts, ["999 ns", "1.5 µs", "2.5 ms", "45.10 s", "10 min 0 s"]);
        assert_eq!(bytes(150_000_000_000), "139.7 GiB");
        assert_eq!(bytes(2 << 20), "2.0 MiB");
        assert_eq!(bytes((1 << 30) - 1), "1024.0 MiB");
        assert_eq!((bytes(0), bytes(1000)), ("not known".to_owned(), "1.000 kB".to_owned()));
    }
}
