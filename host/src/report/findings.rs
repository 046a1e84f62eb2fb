//! What does not fit together in what miners report, and what each kind means.

use super::Round;
use super::parts::{mark, said};
use super::told::Grade;
use crate::evidence::Code;
use crate::protocol::evidence::document::{ClaimedFinding, ClaimedFindings};
use maud::{Markup, html};

/// Most findings that are listed; the raw data has the others.
const LISTED_MAX: usize = 200;

/// The findings of all rounds.
pub(super) fn section(rounds: &[Round<'_>]) -> Markup {
    let results = || rounds.iter().filter_map(|round| Some((round.number, round.result?)));
    let of = |(round, result)| {
        let result: &crate::protocol::result::ResultDoc = result;
        let findings = match result.evidence.claims().findings() {
            Some(ClaimedFindings::List(findings)) => findings.iter().collect(),
            Some(ClaimedFindings::NoList) | None => Vec::new(),
        };
        findings.into_iter().map(move |finding: &ClaimedFinding| (round, finding))
    };
    let all: Vec<(usize, &ClaimedFinding)> = results().flat_map(of).collect();
    let says_nothing = results().any(|(_, result)| {
        !matches!(result.evidence.claims().findings(), Some(ClaimedFindings::List(_)))
    });
    html! {
        @if results().next().is_some() {
            section aria-labelledby="findings-title" {
                h2 id="findings-title" { "Findings" }
                p { (mark(Grade::Claimed)) " Contradictions in what the miner’s machine reports about itself: its own word. An honest machine may have some; a lying one reports none." }
                @if says_nothing { p { "A result has no list of findings." } }
                @if all.is_empty() { p { "None reported." } } @else {
                    div.scroll tabindex="0" role="group" aria-label="Findings, scrollable" { table {
                        caption { (all.len()) " reported" @if all.len() > LISTED_MAX { ", the first " (LISTED_MAX) " here" } }
                        thead { tr {
                            @if rounds.len() > 1 { th scope="col" { "Round" } }
                            th scope="col" { "Code" } th scope="col" { "What it means" } th scope="col" { "What the machine reports" }
                        } }
                        tbody {
                            @for (round, finding) in all.iter().take(LISTED_MAX) {
                                @let code = finding.code.as_deref().unwrap_or("without a code");
                                tr {
                                    @if rounds.len() > 1 { td { (round) } }
                                    th scope="row" { code { (said(code)) } }
                                    td { (meaning(code)) }
                                    td { (said(finding.text.as_deref().unwrap_or_default())) }
                                }
                            }
                        }
                    } }
                }
            }
        }
    }
}

fn meaning(code: &str) -> &'static str {
    let known = Code::ALL.iter().find(|known| known.name() == code);
    known.map_or("Not known to this version.", |known| known.meaning())
}
