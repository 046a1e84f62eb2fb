//! `attest doctor`: what of this machine attest can use, what is wrong, how to mend it.

use crate::args::{self, Color, LedgerPlace};
use crate::ledger;
use crate::outcome::{Done, Result, print, print_json};
use crate::paint::{Paint, wrapped};
use attest::doctor::{self, Check, Report, State};
use std::fmt::Write as _;
use std::path::Path;

/// Columns before what was found: name, state.
const INDENT: usize = 22;

/// Looks at this machine.
///
/// # Errors
/// A ledger that is named and is no place; standard output can't be written.
pub fn run(args: &args::Doctor, ledger: Option<&LedgerPlace>, color: Color) -> Result {
    let root = Path::new("/");
    let mut checks = doctor::gpus(&args.gpus.rules(), root);
    checks.extend(doctor::system(root));
    checks.push(match ledger::place(ledger)? {
        Some(location) => doctor::ledger_at(&location),
        None => doctor::no_ledger(),
    });
    let report = Report::of(checks);
    match args.json {
        true => print_json(&report)?,
        false => print(&shown(&report, Paint::of(color, &std::io::stdout())))?,
    }
    Ok(if report.healthy { Done::Ok } else { Done::Rejected })
}

fn shown(report: &Report, paint: Paint) -> String {
    let mut text = String::new();
    for Check { name, state, found, advice } in &report.checks {
        let word = match state {
            State::Ok => format!("{:<7}", "ok"),
            State::Note => format!("{:<7}", "note"),
            State::Wrong => paint.bad(&format!("{:<7}", "WRONG")),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<14} {word}{found}");
        if let Some(advice) = advice {
            let _ = writeln!(text, "{:INDENT$}{advice}", "");
        }
    }
    let (wrong, notes) = (report.count(State::Wrong), report.count(State::Note));
    let last = match wrong {
        0 => paint.good("nothing is wrong"),
        1 => paint.bad("1 thing is wrong"),
        _ => paint.bad(&format!("{wrong} things are wrong")),
    };
    let _ = writeln!(text, "{last}; {notes} worth knowing; {} checks", report.checks.len());
    wrapped(&text, INDENT)
}
