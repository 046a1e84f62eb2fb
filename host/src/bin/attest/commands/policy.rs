//! `attest policy`: prints the default policy, checks one, and reads them for
//! the commands that take `--policy`.

use crate::args::{self, PolicyAction};
use crate::outcome::{Done, Result, print, print_json};
use anyhow::anyhow;
use attest::appraisal::models;
use attest::error_text::what_happened;
use attest::files::{self, Source};
use attest::mining::issue::Request;
use attest::mining::kind::WorkKind;
use attest::policy::codes::Action;
use attest::policy::{Demand, POLICY_BYTES_MAX, Policy, SizeError, Target};
use attest::protocol::quantity::about;
use serde_json::json;
use std::ffi::OsStr;
use std::fmt::Write as _;

/// Prints or checks.
///
/// # Errors
/// An unreadable or invalid policy; a file that is there already.
pub fn run(args: &args::Policy) -> Result {
    match &args.action {
        PolicyAction::Init(args) => init(args)?,
        PolicyAction::Check(args) => check(args)?,
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
    Ok(read(path)?.request(&target, typed)?)
}

fn init(args: &args::PolicyInit) -> Result<()> {
    let Some(path) = &args.out else { return print(&Policy::template()) };
    if path.exists() {
        return Err(anyhow!(
            "{} is there already\nGive another name, or remove it first.",
            files::shown_path(path)
        ));
    }
    // Which ends the text with a line break of its own.
    Ok(files::write_atomically(path, Policy::template().trim_end())?)
}

fn check(args: &args::PolicyCheck) -> Result<()> {
    let policy = read(&args.policy)?;
    if args.json {
        return print_json(&json!({
            "digest": policy.digest(),
            "draws_needed": policy.draws_needed(),
            "demands": demands_json(&policy, WorkKind::Fp64Product),
            "integer_demands": demands_json(&policy, WorkKind::IntegerProduct),
            "policy": policy,
        }));
    }
    print(&shown(&policy)?)
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
    out.push_str(&demands_text(policy, WorkKind::Fp64Product, "FP64 products"));
    out.push_str(&demands_text(policy, WorkKind::IntegerProduct, "integer products"));
    out.push_str("\nResolved values:\n\n");
    out.push_str(&toml::to_string(policy)?);
    Ok(out)
}

/// What the policy demands of each model that it allows, as a table.
fn demands_text(policy: &Policy, kind: WorkKind, what: &str) -> String {
    let demands = policy.demands(kind);
    let width = demands.iter().map(|(model, _)| model.name.len()).max().unwrap_or(0).max(5);
    let mut out = format!(
        "\nWhat it demands of each GPU that is asked for {what}, in a run of {} s, and the share of\n\
         an honest card's time that this is:\n\n{:<width$}  {:<15}  {:>9}  {:>9}  {:>14}  {:>5}\n",
        policy.time.duration_target_s,
        "model",
        "n x m, T",
        "honest",
        "allowed",
        "demanded",
        "share",
    );
    for (model, demand) in demands {
        // Writing to a String cannot fail.
        let _ = match demand {
            Ok(demand) => {
                let [dim, products] = shape(&demand);
                writeln!(
                    out,
                    "{:<width$}  {:<15}  {:>7.2} s  {:>7.2} s  {:>14}  {:>3.0} %",
                    model.name,
                    format!("{dim} x {products}, {}", demand.iterations),
                    demand.honest_s,
                    demand.allowed_s,
                    about(demand.rate(), demand.work.cost().unit.per_second()),
                    100.0 * demand.share(),
                )
            }
            Err(error) => writeln!(out, "{:<width$}  {}", model.name, what_happened(error)),
        };
    }
    out
}

/// n and m.
fn shape(demand: &Demand) -> [u32; 2] {
    let fp64 = demand.work.fp64_product().map(|work| [work.dim, work.products]);
    let integer = demand.work.integer_product().map(|work| [work.dim, work.products]);
    fp64.or(integer).expect("demands are of products")
}

/// The same for machines.
fn demands_json(policy: &Policy, kind: WorkKind) -> Vec<serde_json::Value> {
    let rate = match kind {
        WorkKind::IntegerProduct => "demanded_ops_per_s",
        _ => "demanded_flops",
    };
    let of = |(model, demand): (&models::Model, Result<Demand, SizeError>)| match demand {
        Ok(demand) => {
            let [dim, products] = shape(&demand);
            json!({
                "model": model.name,
                "matrix_dim": dim,
                "num_matrices": products,
                "num_iterations": demand.iterations,
                "honest_s": demand.honest_s,
                "allowed_s": demand.allowed_s,
                rate: demand.rate(),
                "share": demand.share(),
            })
        }
        Err(error) => json!({"model": model.name, "why": what_happened(error)}),
    };
    policy.demands(kind).into_iter().map(of).collect()
}
