//! How a command ends: its exit code, and its error on standard error.

use crate::args::Color;
use crate::paint::{self, Paint};
use attest::executor::abandoned;
use attest::fleet::connect::ConnectError;
use attest::protocol::json::is_shown;
use attest::streams;
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
    /// Stopped so, and the command has already said what had come of it.
    Interrupted(u8),
}

/// An error means: could not run.
pub type Result<T = Done, E = anyhow::Error> = std::result::Result<T, E>;

/// The exit code if a NATS server refuses the key: to try again is of no use. It is
/// `EX_NOPERM` of sysexits.h.
const KEY_REFUSED: u8 = 77;

/// Exit codes: 0, 1, 2, 77 or 128 + signal; errors are printed here, once.
pub fn exit_code(result: Result, color: Color) -> u8 {
    match result {
        Ok(Done::Ok) => 0,
        Ok(Done::Rejected) => 1,
        Ok(Done::CouldNotRun) => 2,
        Ok(Done::Stopped(code)) => {
            note("stopped; no result was written");
            code
        }
        Ok(Done::Interrupted(code)) => code,
        Err(error) => {
            tell(&error, color);
            match error.downcast_ref() {
                Some(ConnectError::Refused { .. }) => KEY_REFUSED,
                _ => 2,
            }
        }
    }
}

/// What a terminal would not show as itself is replaced: a path or a library's words may
/// hold anything. Line breaks stay.
fn printable(text: &str) -> String {
    let shown = |c| if c == '\n' || is_shown(c) { c } else { char::REPLACEMENT_CHARACTER };
    text.chars().map(shown).collect()
}

/// Prints an error to standard error: what happened, and what to try.
pub fn tell(error: &anyhow::Error, color: Color) {
    let text = printable(&error.to_string());
    let (what, advice) = text.split_once('\n').unwrap_or((&text, ""));
    note(&format!("{} {what}", paint::for_errors(color).bad("error:")));
    for line in advice.lines() {
        note(&format!("  help: {line}"));
    }
}

/// How the program ends that was asked for help or its version, or wrongly.
pub fn told(told: &clap::Error) -> ExitCode {
    let text = told.render();
    if told.use_stderr() {
        note(render(&text, paint::for_errors(Color::Auto)).trim_end());
        return ExitCode::from(told.exit_code() as u8);
    }
    let paint = Paint::of(Color::Auto, &io::stdout());
    ExitCode::from(exit_code(print(&render(&text, paint)).map(|()| Done::Ok), Color::Auto))
}

fn render(text: &clap::builder::StyledStr, paint: Paint) -> String {
    match paint {
        Paint::Colored => text.ansi().to_string(),
        Paint::Plain => text.to_string(),
    }
}

/// What main returns, unless a thread hangs in the driver: then the process ends here.
pub fn end(code: u8) -> ExitCode {
    if abandoned::any() { abandoned::exit(code) } else { ExitCode::from(code) }
}

/// Prints a line to standard error. If nobody takes it the run goes on:
/// `eprintln!` would panic, and the exit code says the same.
pub fn note(text: &str) {
    // One write: nobody else's line comes between.
    let _ = streams::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Prints to standard output. A reader that went away (`| head`) is not an error.
///
/// # Errors
/// Any other failure to write.
pub fn print(text: &str) -> Result<()> {
    printed(streams::stdout().write_all(text.as_bytes()))
}

/// Whether a text reached whoever reads standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Nobody went away before it was written.
    Written,
    /// Its reader had gone away.
    NoReader,
}

/// [`print`], for what must not be lost.
///
/// # Errors
/// Those of [`print`].
pub fn deliver(text: &str) -> Result<Delivery> {
    let written = streams::stdout().write_all(text.as_bytes());
    let is_gone = written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
    printed(written)?;
    Ok(if is_gone { Delivery::NoReader } else { Delivery::Written })
}

/// Checks that there is a standard output, before much is done or recorded that would
/// then be said to nobody.
///
/// # Errors
/// There was none when the program started.
pub fn check_stdout() -> Result<()> {
    printed(streams::check_stdout())
}

/// What became of writing to standard output, as [`print`] has it.
///
/// # Errors
/// Any failure but that of a reader that went away.
pub fn printed(written: io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(anyhow::anyhow!(
            "cannot write to standard output: {error}\n\
             Check where it leads, and free space there; /dev/null takes what nobody reads."
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
    print(&shown_json(&serde_json::to_string_pretty(value)?))
}

/// `json` and a newline, with what a terminal would not show as itself escaped.
pub fn shown_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len() + 1);
    for c in json.chars() {
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
    text
}
