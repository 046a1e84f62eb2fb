//! `attest selftest`: a table of what was checked, and whether all is well.

use super::stress;
use crate::args;
use crate::outcome::{Done, Result, print, print_json};
use crate::paint::{Columns, Paint, duration};
use crate::progress;
use anyhow::bail;
use attest::executor::gpu::{PATIENCE, PtxFile};
use attest::selftest::vectors::VectorFile;
use attest::selftest::{Health, ItemEvent, Options, Outcome, Row, SelftestPlan};
use serde_json::{Value, json};

/// Runs every check and prints each row as it is known.
///
/// # Errors
/// A vector or PTX file that can't be read or used; standard output can't be
/// written.
pub fn run(args: &args::Selftest, color: args::Color) -> Result {
    if let Some(duration) = args.stress {
        return stress::run(duration, args, color);
    }
    // A file that is missing, or no vector file, shows nothing about this machine.
    let vector_files =
        args.vectors.iter().map(|path| VectorFile::read(path)).collect::<Result<_, _>>()?;
    let options = Options {
        vector_files,
        ptx_files: PtxFile::read_all(&args.ptx)?,
        only: args.only.clone(),
        gpus: args.demand(),
        patience: args.patience.unwrap_or(PATIENCE),
    };
    let plan = SelftestPlan::new(&options);
    if plan.subjects().is_empty() {
        bail!("no subject's name contains that text\nLeave --only out to see all names.");
    }
    if args.json { as_json(&plan) } else { as_text(&plan, color) }
}

fn as_json(plan: &SelftestPlan<'_>) -> Result {
    let mut rows = Vec::new();
    let spinner = progress::spinner();
    let health = plan.run(&mut |event| match event {
        ItemEvent::Starts(subject) => progress::step(&spinner, &*subject.name),
        ItemEvent::Ends(row) => rows.push(row_json(row)),
    });
    spinner.finish_and_clear();
    print_json(&json!({ "healthy": health == Health::Healthy, "rows": rows }))?;
    Ok(done(health))
}

fn as_text(plan: &SelftestPlan<'_>, color: args::Color) -> Result {
    let paint = Paint::of(color, &std::io::stdout());
    let header = ["subject", "cases", "time", "outcome"];
    let mut columns = Columns::of(&header);
    for subject in plan.subjects() {
        columns.fit([&*subject.name, &*subject.cases, LONG_TIME]);
    }
    let mut printed = print(&columns.line(&header));
    let spinner = progress::spinner();
    let health = plan.run(&mut |event| match event {
        ItemEvent::Starts(subject) => progress::step(&spinner, &*subject.name),
        ItemEvent::Ends(row) => {
            let line = columns.line(&row_cells(row));
            let now = spinner.suspend(|| print(&line));
            if printed.is_ok() {
                printed = now;
            }
        }
    });
    spinner.finish_and_clear();
    printed?;
    let verdict = match health {
        Health::Healthy => paint.good("healthy: every bit as the oracle has it"),
        Health::Faulty => paint.bad("not healthy"),
        Health::NothingChecked => paint.bad("nothing was checked"),
        Health::NotJudged => paint.bad("no verdict: not everything could be checked"),
    };
    print(&format!("\n{verdict}\n"))?;
    Ok(done(health))
}

/// As wide as most times are.
const LONG_TIME: &str = "99.9 ms";

fn done(health: Health) -> Done {
    match health {
        Health::Healthy => Done::Ok,
        Health::Faulty => Done::Rejected,
        Health::NothingChecked | Health::NotJudged => Done::CouldNotRun,
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Same => "same bits",
        Outcome::Absent(_) => "absent",
        Outcome::Differs(_) => "DIFFERS",
        Outcome::Failed(_) => "FAILED",
        Outcome::Hung(_) => "HUNG",
        Outcome::NotRun(_) => "NOT RUN",
        Outcome::NotJudged(_) => "NOT JUDGED",
    }
}

fn detail(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Same => None,
        Outcome::Absent(why)
        | Outcome::Differs(why)
        | Outcome::Failed(why)
        | Outcome::Hung(why)
        | Outcome::NotRun(why)
        | Outcome::NotJudged(why) => Some(why),
    }
}

fn row_cells(row: &Row) -> Vec<String> {
    let outcome = match detail(&row.outcome) {
        Some(detail) => format!("{}: {detail}", word(&row.outcome)),
        None => word(&row.outcome).to_owned(),
    };
    vec![row.subject.clone(), row.cases.clone(), duration(row.elapsed), outcome]
}

fn row_json(row: &Row) -> Value {
    json!({
        "subject": row.subject,
        "cases": row.cases,
        "elapsed_ms": u64::try_from(row.elapsed.as_millis()).unwrap_or(u64::MAX),
        "outcome": word(&row.outcome),
        "detail": detail(&row.outcome),
    })
}
