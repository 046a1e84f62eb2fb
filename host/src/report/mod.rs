//! Pages to look at: what verdicts and results say, and what a ledger has on record.
//!
//! ```text
//! told      a verdict or a session's, read from its JSON
//! page      the shell of every page: policy of content, styles, the one script, data
//! verdict   the first screen, models, prices     lane, run   what a result reports
//! findings  what does not fit, and what it means   recompute  for whoever mistrusts
//! history   a miner's or a device's record
//! ```
//!
//! Guarantees: a page needs nothing but itself, and its policy of content allows nothing
//! else; no text of a miner, a file or a verdict is markup, script or a turn of the
//! reading direction in it; each figure has its grade beside it; the same inputs give the
//! same bytes.
//! Deliberately lacks: clocks, files, verification. A page says where its verdict is from.

mod findings;
pub(crate) mod history;
mod lane;
pub(crate) mod page;
pub(crate) mod parts;
mod recompute;
mod run;
mod told;
mod verdict;

pub use history::{History, Subject, history_page};
pub use told::{NotTold, Told, VERDICT_BYTES_MAX};

use crate::protocol::challenge::Challenge;
use crate::protocol::result::ResultDoc;
use maud::html;

/// What a report is made of.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// When it is made, such as "2026-01-31T12:00:00Z".
    pub made_at: &'a str,
    /// Where the verdict is from.
    pub origin: Origin<'a>,
    /// The verdict.
    pub told: &'a Told,
    /// The rounds that are on hand, in order; one if there was no session.
    pub rounds: &'a [Round<'a>],
}

/// Where a report's verdict is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// This program has verified the results.
    Verified,
    /// It was in this file, and nothing was recomputed.
    Given(&'a str),
}

/// A challenge, and the result if there is one.
#[derive(Clone, Copy, Debug)]
pub struct Round<'a> {
    /// 0 is the first.
    pub number: usize,
    /// The challenge.
    pub challenge: &'a Challenge,
    /// The result, whose form is right.
    pub result: Option<&'a ResultDoc>,
}

/// The report as one HTML page.
pub fn page(report: &Report<'_>) -> String {
    let rounds = report.rounds;
    let body = html! {
        (verdict::header(report))
        main id="main" {
            (verdict::policy(report.told))
            (verdict::not_checked(report.told))
            (verdict::models(report.told))
            @for round in rounds {
                (run::section(round, report.told, rounds.len() > 1))
            }
            (findings::section(rounds))
            (recompute::section(rounds))
            (parts::raw(report))
        }
    };
    let title = format!("attest: {}", verdict::title(report.told));
    page::whole(&title, report.made_at, &body, Some(&data(report)))
}

/// What the page's script reads: the verdict, and each round's challenge and result.
fn data(report: &Report<'_>) -> String {
    let rounds: Vec<String> = report
        .rounds
        .iter()
        .map(|round| {
            let result = round.result.map_or("null".to_owned(), ResultDoc::to_json);
            format!(
                "{{\"round\":{},\"challenge\":\"{}\",\"result\":{result}}}",
                round.number,
                round.challenge.token()
            )
        })
        .collect();
    let verdict = report.told.json();
    format!("{{\"schema\":1,\"verdict\":{verdict},\"rounds\":[{}]}}", rounds.join(","))
}
