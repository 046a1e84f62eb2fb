//! `attest completions`: a completion script on standard output.

use crate::args::Cli;
use crate::outcome::{Done, Result, print};
use clap::CommandFactory as _;

/// Prints the script for `shell`.
///
/// # Errors
/// Standard output can't be written.
pub fn run(shell: clap_complete::Shell) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "attest", &mut script);
    print(&String::from_utf8(script)?)?;
    Ok(Done::Ok)
}
