//! The first screen: how it ended, what is shown, measured and claimed; then the policy's
//! reasons, what was not checked, and what is known of models and prices.

use super::parts::{mark, said, time_ns};
use super::told::{Bound, Fact, Grade, Models, Policy, Price, Told};
use super::{Origin, Report};
use crate::chart::{Bar, BarChart, COUNT, Group, Ink};
use crate::protocol::quantity::at_least;
use crate::protocol::verdict::{Outcome, REJECTED_BY_POLICY, Shown, short_name};
use maud::{Markup, PreEscaped, html};

/// Claimed facts that the first screen has; more are folded away.
const CLAIMS_SHOWN: usize = 5;
/// Models that the bars compare.
const BARS_MAX: usize = 12;

/// In a word.
pub(super) fn title(told: &Told) -> String {
    match (told.whole.outcome, &told.whole.code) {
        (Outcome::Verified, _) if !is_proven(told) => "verified, work not proven".to_owned(),
        (Outcome::Verified, _) => "verified".to_owned(),
        (Outcome::Rejected, Some(code)) => format!("rejected ({code})"),
        (Outcome::Rejected, None) => "rejected".to_owned(),
        (Outcome::CouldNotRun, _) => "no verdict".to_owned(),
    }
}

fn is_by_policy(told: &Told) -> bool {
    told.whole.code.as_deref() == Some(REJECTED_BY_POLICY)
}

fn is_proven(told: &Told) -> bool {
    told.whole.rounds.iter().all(|of| of.verdict.work == "proven")
}

/// The head of the page, with the first screen.
pub(super) fn header(report: &Report<'_>) -> Markup {
    let told = report.told;
    let (class, sign, heading) = match told.whole.outcome {
        Outcome::Verified if is_proven(told) => ("good", "✓", "Verified"),
        Outcome::Verified => ("open", "?", "Verified, but work not proven"),
        Outcome::Rejected if is_by_policy(told) => ("bad", "✕", "Rejected by policy"),
        Outcome::Rejected => ("bad", "✕", "Rejected"),
        Outcome::CouldNotRun => ("open", "?", "No verdict"),
    };
    html! {
        header {
            div.kicker {
                span { "attest · report on " (subject(report)) }
                span { "made " time { (report.made_at) } }
            }
            div class={ "outcome " (class) } {
                span.sign aria-hidden="true" { (sign) }
                div {
                    h1 {
                        (heading)
                        @if let Some(code) = told.whole.code.as_ref().filter(|_| !is_by_policy(told)) {
                            ": " code { (code) }
                        }
                    }
                    p { (in_words(told)) }
                    p.origin { (origin(report.origin)) }
                }
            }
            (tiles(told))
            (grades(told))
        }
    }
}

fn subject(report: &Report<'_>) -> String {
    let rounds = report.told.whole.rounds.len();
    let what = match rounds {
        0 => "a session".to_owned(),
        1 => "one result".to_owned(),
        _ => format!("{rounds} rounds"),
    };
    match &report.told.whole.address {
        Some(address) => format!("{what} of {address}"),
        None => what,
    }
}

fn origin(origin: Origin<'_>) -> Markup {
    html! {
        @match origin {
            Origin::Verified => "This program recomputed the sampled openings when it made this page.",
            Origin::Given(file) => {
                "The verdict was taken from " (said(file))
                "; nothing was recomputed when this page was made."
            }
        }
    }
}

fn in_words(told: &Told) -> String {
    let is_judged = told.whole.policy.is_some()
        || told.whole.rounds.iter().all(|of| of.verdict.policy.is_some());
    match told.whole.outcome {
        Outcome::Verified => {
            let work = match is_proven(told) {
                true => "Every check passed, and the work is proven.",
                false => "Every check passed, yet they are too few to show anything.",
            };
            let judged = match is_judged {
                true => " The validator’s policy has nothing against it.",
                false => " No policy was applied: time and devices were not judged.",
            };
            format!("{work}{judged}")
        }
        Outcome::Rejected if is_by_policy(told) => {
            let work = if is_proven(told) { "proven" } else { "not proven" };
            let detail = told.whole.detail.as_deref().unwrap_or_default();
            format!("Every check passed, the work is {work}; {detail}.")
        }
        Outcome::Rejected | Outcome::CouldNotRun => {
            let failed =
                told.whole.rounds.iter().find(|of| of.verdict.outcome != Outcome::Verified);
            let step = failed.and_then(|of| of.verdict.step);
            let step = step.map_or(String::new(), |step| format!("Step {step}: "));
            format!("{step}{}", told.whole.detail.as_deref().unwrap_or_default())
        }
    }
}

/// The figures that people ask for first. A figure that is not shown has no tile.
fn tiles(told: &Told) -> Markup {
    let mut tiles: Vec<(String, String, Grade)> = Vec::new();
    let mut add = |figure: String, what: String, grade| tiles.push((figure, what, grade));
    if let Some(shown) = told.shown() {
        for (figure, what) in figures(&shown) {
            add(figure, format!("{what}, each lane at least"), Grade::Measured);
        }
        add(shown.lanes.to_string(), "lanes".to_owned(), Grade::Proven);
    }
    let rounds = || told.whole.rounds.iter().map(|of| &of.verdict);
    let opened: u64 = rounds().filter_map(|verdict| verdict.openings).sum();
    if opened > 0 {
        add(opened.to_string(), "openings recomputed".to_owned(), Grade::Proven);
    }
    if let Some((figure, what)) = escape(rounds().filter_map(|verdict| verdict.bound.as_ref())) {
        add(figure, what, Grade::Proven);
    }
    let elapsed: u64 = rounds().filter_map(|verdict| verdict.elapsed_ns).sum();
    if elapsed > 0 {
        add(time_ns(elapsed), "from challenge to answer".to_owned(), Grade::Measured);
    }
    html! {
        @if !tiles.is_empty() {
            div.tiles {
                @for (figure, what, grade) in &tiles {
                    div.tile { b { (figure) } span { (what) } " " (mark(*grade)) }
                }
            }
        }
    }
}

/// What is shown of each lane, as amounts and names.
pub(super) fn figures(shown: &Shown) -> Vec<(String, &'static str)> {
    let rate = |amount: Option<u64>, unit, what| Some((at_least(amount? as f64, unit), what));
    [
        rate(shown.fp64_flops, "FLOP/s", "FP64"),
        rate(shown.int8_ops_per_s, "OPS", "int8"),
        rate(shown.held_bytes, "B", "memory held"),
        rate(shown.read_bytes_per_s, "B/s", "memory read"),
        rate(shown.link_bytes_per_s, "B/s", "from other lanes"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The likeliest escape of all rounds.
fn escape<'a>(bounds: impl Iterator<Item = &'a Bound>) -> Option<(String, String)> {
    let worst = bounds.max_by(|a, b| {
        let log10 = |bound: &Bound| bound.log10_escape.unwrap_or(f64::NEG_INFINITY);
        log10(a).total_cmp(&log10(b))
    })?;
    if worst.kind == "everything" {
        return Some(("all".to_owned(), "iterations recomputed".to_owned()));
    }
    let (share, log10) = (worst.omitted_share?, worst.log10_escape?);
    // Rounded up: a bound that reads smaller than it is would say too much.
    let exponent = (10.0 * log10).ceil() / 10.0;
    let figure = if exponent < 0.0 { format!("10^{exponent:.1}") } else { "1".to_owned() };
    Some((figure, format!("at most: chance to leave out {} % unseen", rounded(100.0 * share))))
}

fn rounded(percent: f64) -> f64 {
    (1e9 * percent).round() / 1e9
}

/// All facts, by grade.
fn grades(told: &Told) -> Markup {
    html! {
        div.grades {
            @for (grade, facts) in Grade::ALL
                .into_iter()
                .map(|grade| (grade, facts(told, grade)))
                // Few sessions have what a device or a machine has signed.
                .filter(|(grade, facts)| !grade.is_rare() || !facts.is_empty())
            {
                section class={ "grade " (grade.class()) } aria-label=(grade.name()) {
                    h2 { (grade.name()) }
                    p.quiet { (grade.ground()) }
                    @let most = if grade == Grade::Claimed { CLAIMS_SHOWN } else { usize::MAX };
                    @let (first, more) = facts.split_at(most.min(facts.len()));
                    (list(first))
                    @if facts.is_empty() { p.quiet { "Nothing." } }
                    @if !more.is_empty() {
                        details {
                            summary { (more.len()) " more" }
                            (list(more))
                        }
                    }
                }
            }
        }
    }
}

fn list(facts: &[(String, &Fact)]) -> Markup {
    html! {
        ul {
            @for (round, fact) in facts {
                li { span.subject { (round) (fact.subject) } (said(&fact.text)) }
            }
        }
    }
}

/// Those of a grade, with the names of their rounds if there are several.
fn facts(told: &Told, grade: Grade) -> Vec<(String, &Fact)> {
    let rounds = &told.whole.rounds;
    let name = |at: usize| match rounds.len() {
        1 => String::new(),
        _ => format!("round {} {} · ", rounds[at].round, rounds[at].kind),
    };
    let of = |(at, of)| {
        let of: &super::told::OfRound = of;
        let facts = of.verdict.facts.iter().filter(|fact| fact.grade == grade);
        facts.map(|fact| (name(at), fact)).collect::<Vec<_>>()
    };
    rounds.iter().enumerate().flat_map(of).collect()
}

/// What the policy holds against it.
pub(super) fn policy(told: &Told) -> Markup {
    let of_rounds = told.whole.rounds.iter().filter_map(|of| of.verdict.policy.as_ref());
    let policies: Vec<&Policy> = of_rounds.chain(&told.whole.policy).collect();
    let reasons = || policies.iter().flat_map(|policy| &policy.reasons);
    let name = policies.last().map_or("", |policy| &policy.policy);
    html! {
        @if reasons().next().is_some() {
            section aria-labelledby="policy-title" {
                h2 id="policy-title" { "What the policy holds against it" }
                div.scroll tabindex="0" role="group" aria-label="Reasons, scrollable" { table {
                    caption { "Reasons of policy " (said(name)) }
                    thead { tr { th scope="col" { "Weight" } th scope="col" { "Code" } th scope="col" { "Reason" } } }
                    tbody {
                        @for reason in reasons() {
                            tr {
                                td {
                                    @match reason.weight.as_str() {
                                        "reject" => span.mark.bad { "✕ rejects" },
                                        _ => span.mark.claimed { "! warns" },
                                    }
                                }
                                td { code { (reason.code) } }
                                td { (said(&reason.text)) }
                            }
                        }
                    }
                } }
            }
        }
    }
}

/// What the circumstances did not allow.
pub(super) fn not_checked(told: &Told) -> Markup {
    let rounds = || told.whole.rounds.iter();
    let several = rounds().count() > 1;
    html! {
        @if rounds().any(|of| !of.verdict.not_checked.is_empty()) || !told.whole.not_reached.is_empty() {
            section aria-labelledby="not-checked-title" {
                h2 id="not-checked-title" { "Not checked" }
                ul {
                    @for of in rounds() {
                        @for text in &of.verdict.not_checked {
                            li {
                                @if several { span.subject { "round " (of.round) " " (of.kind) } }
                                (said(text))
                            }
                        }
                    }
                    @for of in &told.whole.not_reached {
                        li { "Round " (of.round) " (" (of.kind) ") was planned and not held." }
                    }
                }
            }
        }
    }
}

/// What is shown of models and prices.
pub(super) fn models(told: &Told) -> Markup {
    html! {
        @if let Some(models) = told.models() {
            section aria-labelledby="models-title" {
                h2 id="models-title" { "Which devices this can have been" }
                p { (mark(Grade::Measured)) " By the validator’s clock and its table of models; what the miner says takes no part." }
                (table(models))
                (equivalents(models))
            }
        }
        @if let Some(price) = &told.whole.price { (priced(price)) }
        @if let Some(network) = &told.whole.network {
            section aria-labelledby="network-title" {
                h2 id="network-title" { "Network" }
                dl.facts {
                    @for (name, figure) in &network.figures {
                        div { dt { (name.replace('_', " ")) } dd.mono { (figure) } }
                    }
                }
            }
        }
    }
}

fn table(models: &Models) -> Markup {
    let count = |model: &str| {
        let of = models.equivalents.iter().find(|of| of.model == model);
        of.map_or(String::new(), |of| of.count.to_string())
    };
    html! {
        div.scroll tabindex="0" role="group" aria-label="Models, scrollable" { table {
            caption { "Models of the table, the nearest first, and how many of each would have done for all lanes at least" }
            thead { tr {
                th scope="col" { "Model" } th scope="col" { "One device a lane" }
                th scope="col" { "Excluded by" } th.n scope="col" { "Would take at least" }
            } }
            tbody {
                @for model in &models.possible {
                    tr {
                        th scope="row" { (said(model)) } td { span.mark.proven { "● possible" } }
                        td {} td.n { (count(model)) }
                    }
                }
                @for excluded in &models.excluded {
                    tr {
                        th scope="row" { (said(&excluded.model)) } td.quiet { "– excluded" }
                        td { (excluded.by.join(", ")) } td.n { (count(&excluded.model)) }
                    }
                }
            }
        } }
    }
}

fn equivalents(models: &Models) -> Markup {
    let bar = |of: &super::told::Equivalent| Bar {
        label: short_name(&of.model),
        value: of.count as f64,
        note: String::new(),
        ink: if models.possible.contains(&of.model) { Ink::Main } else { Ink::Grey },
    };
    let bars: Vec<Bar> = models.equivalents.iter().take(BARS_MAX).map(bar).collect();
    let title = "Devices that would have done the same, at least".to_owned();
    let group = Group { label: String::new(), bars };
    let chart = BarChart { title, unit: COUNT, groups: vec![group], limits: Vec::new() };
    html! {
        @if models.equivalents.len() > 1 {
            figure { (PreEscaped(chart.draw().as_str())) }
        }
    }
}

fn priced(price: &Price) -> Markup {
    let cheapest: Vec<String> =
        price.cheapest.iter().map(|of| format!("{} {}", of.count, short_name(&of.model))).collect();
    html! {
        section aria-labelledby="price-title" {
            h2 id="price-title" { "What a liar would have had to spend" }
            p {
                "For " b.mono { (format!("{:.2} ", price.cheapest_per_hour)) (price.currency) }
                " an hour " (cheapest.join(" and ")) " would do; the claimed devices cost "
                b.mono { (format!("{:.2}", price.claimed_per_hour)) } "."
            }
        }
    }
}
