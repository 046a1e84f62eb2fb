//! How a command ends: its exit code, and its error on standard error.

use crate::args::Color;
use crate::paint;
use attest::executor::abandoned;
use attest::protocol::json::is_shown;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// How a command ended that ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Verified, healthy, or simply done: 0.
    Ok,
    /// A result was rejected or something is not healthy: 1.
    Rejected,
    /// No verdict was possible, and the command has already said why: 2.
    CouldNotRun,
    /// Stopped by a signal: 128 + its number.
    Stopped(u8),
}

/// An error means: could not run.
pub type Result<T = Done, E = anyhow::Error> = std::result::Result<T, E>;

/// Exit codes: 0, 1, 2 or 128 + signal; errors are printed here, once.
pub fn exit_code(result: Result, color: Color) -> u8 {
    match result {
        Ok(Done::Ok) => 0,
        Ok(Done::Rejected) => 1,
        Ok(Done::CouldNotRun) => 2,
        Ok(Done::Stopped(code)) => {
            note("stopped; no result was written");
            code
        }
        Err(error) => {
            let text = printable(&error.to_string());
            let (what, advice) = text.split_once('\n').unwrap_or((&text, ""));
            note(&format!("{} {what}", paint::for_errors(color).bad("error:")));
            for line in advice.lines() {
                note(&format!("  help: {line}"));
            }
            2
        }
    }
}

/// What a terminal would not show as itself is replaced: a path or a library's words may
/// hold anything. Line breaks stay.
fn printable(text: &str) -> String {
    let shown = |c| if c == '\n' || is_shown(c) { c } else { char::REPLACEMENT_CHARACTER };
    text.chars().map(shown).collect()
}

/// What main returns, unless a thread hangs in the driver: then the process ends here.
pub fn end(code: u8) -> ExitCode {
    if abandoned::any() { abandoned::exit(code) } else { ExitCode::from(code) }
}

/// Prints a line to standard error. Where nobody takes it the run goes on:
/// `eprintln!` would panic, and the exit code says the same.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints to standard output. A reader that went away (`| head`) is no error.
///
/// # Errors
/// Any other failure to write.
pub fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(anyhow::anyhow!(
            "cannot write to standard output: {error}\nCheck where it leads, or use --out."
        )),
        _ => Ok(()),
    }
}

/// Prints `value` as JSON with indentation and a newline. What a terminal would not
/// show as itself is escaped: strangers' texts are in it, and a reader may be a person.
///
/// # Errors
/// Those of [`print`].
pub fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let mut text = String::new();
    for c in serde_json::to_string_pretty(value)?.chars() {
        if c == '\n' || is_shown(c) {
            text.push(c);
        } else {
            // Anything beyond ASCII is in a string, where JSON takes UTF-16 in hex.
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text.push('\n');
    print(&text)
}
