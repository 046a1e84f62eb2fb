//! `attest selftest`: a table of what was checked, and whether all is well.

use super::stress;
use crate::args;
use crate::outcome::{Done, Result, print, print_json};
use crate::paint::{Paint, duration, table};
use crate::{input, progress};
use anyhow::bail;
use attest::selftest::vectors::VectorFile;
use attest::selftest::{self, Health, Options, Outcome, Row};
use serde_json::{Value, json};

/// Runs every check and prints the table.
///
/// # Errors
/// A vector or PTX file that can't be read or used; standard output can't be
/// written.
pub fn run(args: &args::Selftest, color: args::Color) -> Result {
    if let Some(duration) = args.stress {
        return stress::run(duration, args, color);
    }
    // A file that isn't there, or is none, says nothing of this machine's health.
    let vector_files =
        args.vectors.iter().map(|path| VectorFile::read(path)).collect::<Result<_, _>>()?;
    let mut rows = Vec::new();
    let options = Options {
        vector_files,
        ptx_files: input::ptx_files(&args.ptx)?,
        only: args.only.clone(),
        gpus: args.demand(),
    };
    let spinner = progress::spinner();
    let health = selftest::run(&options, &mut |row| {
        spinner.set_message(format!("{}: {}", row.subject, word(&row.outcome)));
        rows.push(row.clone());
    });
    spinner.finish_and_clear();
    if rows.is_empty() {
        bail!("no subject's name contains that text\nLeave --only out to see all names.");
    }
    let healthy = health == Health::Healthy;
    if args.json {
        print_json(&json!({
            "healthy": healthy,
            "rows": rows.iter().map(row_json).collect::<Vec<_>>(),
        }))?;
    } else {
        let paint = Paint::of(color, &std::io::stdout());
        let cells: Vec<Vec<String>> = rows.iter().map(row_cells).collect();
        let verdict = match health {
            Health::Healthy => paint.good("healthy: every bit as the oracle has it"),
            Health::Faulty => paint.bad("not healthy"),
            Health::NothingChecked => paint.bad("nothing was checked"),
        };
        let header = ["subject", "cases", "time", "outcome"];
        print(&format!("{}\n{verdict}\n", table(&header, &cells)))?;
    }
    Ok(match health {
        Health::Healthy => Done::Ok,
        Health::Faulty => Done::Rejected,
        Health::NothingChecked => Done::CouldNotRun,
    })
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Same => "same bits",
        Outcome::Absent(_) => "absent",
        Outcome::Differs(_) => "DIFFERS",
        Outcome::Failed(_) => "FAILED",
    }
}

fn detail(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Same => None,
        Outcome::Absent(why) | Outcome::Differs(why) | Outcome::Failed(why) => Some(why),
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
