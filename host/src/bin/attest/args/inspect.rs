//! Arguments of `attest inspect`.

use super::place;
use clap::{Args, ValueHint};
use std::ffi::OsString;

/// `attest inspect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  attest inspect @token.txt
  attest inspect result.json
  attest challenge | attest inspect -

Nothing is verified here: use `attest verify` for that.")]
pub struct Inspect {
    /// A token, @FILE, a file, or - for standard input
    #[arg(value_name = "TOKEN|RESULT", value_hint = ValueHint::FilePath, value_parser = place::token())]
    pub subject: OsString,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
