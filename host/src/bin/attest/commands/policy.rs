//! `attest policy`: prints the default policy, checks one, and reads them for
//! the commands that take `--policy`.

use crate::args::{self, PolicyAction};
use crate::outcome::{Done, Result, print, print_json};
use anyhow::anyhow;
use attest::appraisal::models::{self, ModelTable};
use attest::error_text::what_happened;
use attest::files::{self, Source};
use attest::mining::issue::Request;
use attest::policy::codes::Action;
use attest::policy::{
    Demand, POLICY_BYTES_MAX, Policy, Round, RoundKind, RoundOn, SizeError, Target,
};
use attest::protocol::quantity::about;
use attest::protocol::work::Work;
use serde_json::json;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;

/// Prints or checks.
///
/// # Errors
/// An unreadable or invalid policy; a file that is there already.
pub fn run(args: &args::Policy) -> Result {
    match &args.action {
        PolicyAction::Init(args) => init(args)?,
        PolicyAction::Check(args) => check(args)?,
        PolicyAction::Models(args) => models(args)?,
    }
    Ok(Done::Ok)
}

/// Reads the policy that was named.
///
/// # Errors
/// An unreadable or invalid file.
pub fn read(path: &OsStr) -> Result<Policy> {
    let source = Source::of_path(path);
    let text = source.read_text(POLICY_BYTES_MAX as u64)?;
    Ok(Policy::from_toml(&text, &source.name())?)
}

/// What `attest challenge` typed, sized by the policy if one is named.
///
/// # Errors
/// An unreadable or invalid policy, or a challenge that it cannot size.
pub fn sized(sizing: &args::Sizing, typed: Request) -> Result<Request> {
    let (Some(path), Some(model)) = (&sizing.policy, &sizing.model) else { return Ok(typed) };
    if let Some(got) = &typed.gpu_model
        && !models::is_same_name(got, model)
    {
        return Err(anyhow!(
            "the file asks for gpu_model {got:?} and --model for {model:?}\n\
             Leave gpu_model out of the file, or name the same model."
        ));
    }
    let target = Target { model, seconds: sizing.seconds, round_trip: None };
    let policy = read(path)?;
    match sizing.round {
        None => Ok(policy.request(&target, typed)?),
        Some(round) => Ok(policy.round(round, &target, typed)?.request),
    }
}

fn init(args: &args::PolicyInit) -> Result<()> {
    print_or_write(&Policy::template(), args.out.as_deref())
}

/// The table of models in force: the text of the built-in one, what is in another.
fn models(args: &args::PolicyModels) -> Result<()> {
    let table = models::in_force();
    match table.foreign_digest() {
        _ if args.digest => print(&format!("{}\n", table.digest())),
        None => print_or_write(ModelTable::built_in_text(), args.out.as_deref()),
        Some(digest) if args.out.is_none() => print(&format!(
            "{} models of {} chips\ndigest {digest}\n",
            table.models().len(),
            table.chips().len()
        )),
        Some(_) => Err(anyhow!(
            "--models names a table already, and --out writes the built-in one\n\
             Leave out one of the two."
        )),
    }
}

fn print_or_write(text: &str, out: Option<&Path>) -> Result<()> {
    let Some(path) = out else { return print(text) };
    if path.exists() {
        return Err(anyhow!(
            "{} is there already\nGive another name, or remove it first.",
            files::shown_path(path)
        ));
    }
    // Which ends the text with a line break of its own.
    Ok(files::write_atomically(path, text.trim_end())?)
}

fn check(args: &args::PolicyCheck) -> Result<()> {
    let policy = read(&args.policy)?;
    if args.json {
        return print_json(&json!({
            "digest": policy.digest(),
            "draws_needed": policy.draws_needed(),
            "demands": demands_json(&policy, &alone(&policy, RoundKind::Fp64)),
            "integer_demands": demands_json(&policy, &alone(&policy, RoundKind::Integer)),
            "rounds": policy.rounds.iter().map(|round| round_json(&policy, round)).collect::<Vec<_>>(),
            "policy": policy,
        }));
    }
    print(&shown(&policy)?)
}

/// A challenge of this kind that is no round of a session.
fn alone(policy: &Policy, kind: RoundKind) -> Round {
    Round { seconds: policy.time.duration_target_s, ..Round::of(kind) }
}

/// The resolved values, and what they amount to.
fn shown(policy: &Policy) -> Result<String> {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name:<12}{value}");
    };
    line("policy", format!("{} ({})", policy.name, policy.digest()));
    let (share, escape) = (policy.soundness.omitted_share, policy.soundness.escape_probability_max);
    let session = match policy.session.live_required {
        true => "in live sessions only",
        false => "also without a coin, where 2^80 commitments may have been tried",
    };
    line(
        "soundness",
        format!(
            "leaving out {} % escapes with probability at most {escape:e}, {session}",
            // Twelve decimals: 100 · 0.07 in binary64 is not 7.
            (1e14 * share).round() / 1e12
        ),
    );
    line("samples", format!("at least {} counted draws over all lanes", policy.draws_needed()));
    for (action, name) in
        [(Action::Reject, "reject"), (Action::Warn, "warn"), (Action::Ignore, "ignore")]
    {
        let codes: Vec<_> = policy.findings.iter().filter(|(_, does)| *does == action).collect();
        line(&format!("{name}s"), format!("{} kinds of findings", codes.len()));
    }
    for (index, round) in policy.rounds.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{:<12}{}", format!("round {index}"), round_text(round));
    }
    for demand in policy.demanded_figures() {
        let _ = writeln!(out, "{:<12}{demand}", "shows");
    }
    if let Some(bytes) = policy.network_bytes(None) {
        let _ = writeln!(out, "{:<12}{bytes} bytes each way", "network");
    }
    for (index, round) in policy.rounds.iter().enumerate() {
        out.push_str(&demands_text(policy, index, round));
    }
    out.push_str("\nResolved values:\n\n");
    out.push_str(&toml::to_string(policy)?);
    Ok(out)
}

/// What a round is, in words.
fn round_text(round: &Round) -> String {
    let mut text = format!("{}, {} s", round.kind.name(), round.seconds);
    if let Some(share) = round.memory_share {
        // As above.
        let _ = write!(text, ", arenas of {} % of the memory", (1e14 * share).round() / 1e12);
    }
    if round.on == RoundOn::Host {
        text.push_str(", by the machine's CPUs");
    }
    if round.beside {
        text.push_str(", beside the next round");
    }
    text.push_str(if round.required { ", required" } else { ", if it fits the devices" });
    text
}

/// What a round demands of each model that the policy allows, as a table.
fn demands_text(policy: &Policy, index: usize, round: &Round) -> String {
    let demands = policy.demands(round);
    if demands.is_empty() {
        return String::new();
    }
    let width = demands.iter().map(|(model, _)| model.name.len()).max().unwrap_or(0).max(5);
    let mut out = format!(
        "\nWhat round {index} ({}, {} s) demands of each GPU, and the share of an honest card's\n\
         time that this is:\n\n{:<width$}  {:<WORK$}  {:>9}  {:>9}  {:>14}  {:>5}\n",
        round.kind.name(),
        round.seconds,
        "model",
        match round.kind {
            RoundKind::Fp64 | RoundKind::Integer => "n x m, T",
            RoundKind::Memory => "arena, T",
            RoundKind::Links => "arena, across, T",
        },
        "honest",
        "allowed",
        "demanded",
        "share",
    );
    for (model, demand) in demands {
        // Writing to a String cannot fail.
        let _ = match demand {
            Ok(demand) => writeln!(
                out,
                "{:<width$}  {:<WORK$}  {}",
                model.name,
                work_text(&demand),
                demand.times.map_or("no limit".to_owned(), |(honest_s, allowed_s)| {
                    let unit = demand.work.cost().unit.per_second();
                    format!(
                        "{honest_s:>7.2} s  {allowed_s:>7.2} s  {:>14}  {:>3.0} %",
                        about(demand.rate().unwrap_or(0.0), unit),
                        100.0 * demand.share().unwrap_or(0.0),
                    )
                }),
            ),
            Err(error) => writeln!(out, "{:<width$}  {}", model.name, what_happened(error)),
        };
    }
    out
}

/// Characters of a demand's work.
const WORK: usize = 24;

/// What the run of a demand is.
fn work_text(demand: &Demand) -> String {
    let iterations = demand.iterations;
    let gb = |bytes: u64| format!("{:.1} GB", 1e-9 * bytes as f64);
    match demand.work {
        Work::Fp64Product(work) => format!("{} x {}, {iterations}", work.dim, work.products),
        Work::IntegerProduct(work) => format!("{} x {}, {iterations}", work.dim, work.products),
        Work::MemoryResidency(work) if work.reads_peers() => {
            format!("{}, {}, {iterations}", gb(work.arena_bytes()), gb(work.link_bytes()))
        }
        Work::MemoryResidency(work) => format!("{}, {iterations}", gb(work.arena_bytes())),
    }
}

/// A round for machines, with what it demands of each model.
fn round_json(policy: &Policy, round: &Round) -> serde_json::Value {
    let mut json = json!(round);
    json["models"] = demands_json(policy, round).into();
    json
}

/// What a round demands of each model, for machines.
fn demands_json(policy: &Policy, round: &Round) -> Vec<serde_json::Value> {
    let of = |(model, demand): (&models::Model, Result<Demand, SizeError>)| match demand {
        Ok(demand) => demand_json(model, &demand),
        Err(error) => json!({"model": model.name, "why": what_happened(error)}),
    };
    policy.demands(round).into_iter().map(of).collect()
}

fn demand_json(model: &models::Model, demand: &Demand) -> serde_json::Value {
    let mut json = json!({"model": model.name, "num_iterations": demand.iterations});
    let rate = match demand.work {
        Work::Fp64Product(work) => {
            (json["matrix_dim"], json["num_matrices"]) = (work.dim.into(), work.products.into());
            "demanded_flops"
        }
        Work::IntegerProduct(work) => {
            (json["matrix_dim"], json["num_matrices"]) = (work.dim.into(), work.products.into());
            "demanded_ops_per_s"
        }
        Work::MemoryResidency(work) => {
            json["arena_blocks"] = work.arena_blocks.into();
            json["peer_blocks"] = work.peer_blocks.into();
            "demanded_bytes_per_s"
        }
    };
    if let Some((honest_s, allowed_s)) = demand.times {
        (json["honest_s"], json["allowed_s"]) = (honest_s.into(), allowed_s.into());
        (json[rate], json["share"]) = (json!(demand.rate()), json!(demand.share()));
    }
    json
}
