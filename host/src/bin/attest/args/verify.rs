//! Arguments of `attest verify`.

use super::{Checks, place};
use clap::{Args, ValueHint};
use std::ffi::OsString;

const VERIFY_EXAMPLES: &str = "\
Examples:
  attest verify result.json --challenge @token.txt
  attest verify --full result.json --challenge @token.txt
  attest verify result.json --challenge @token.txt --policy policy.toml
  ssh miner attest run --challenge $TOKEN | attest verify - --challenge $TOKEN --json
  attest verify result.json --challenge @token.txt --ledger default

With --ledger (or ATTEST_LEDGER) the verifier is the issuer: only a challenge that is
on record there counts, once. A live session on record has its own times, and its own
verdict; until it has one, or its time is over, it gets none here. --ledger none
verifies somebody else's.

Without --policy the time and the devices are not judged, and the first line says so.

The verdict says what was proven, what was only claimed, and how likely a miner
that left out a tenth of the work (or --omitted-share) would have been to escape.
A result that passes every check is verified (exit code 0) even if its samples
are too few to prove the work; the verdict says so in its first line.";

/// `attest verify`.
#[derive(Debug, Args)]
#[command(after_help = VERIFY_EXAMPLES)]
pub struct Verify {
    /// The result: a file, or - for standard input
    #[arg(value_name = "RESULT", value_hint = ValueHint::FilePath, value_parser = place::source())]
    pub result: OsString,
    /// The challenge: a token, @FILE, or - for standard input
    #[arg(long, value_name = "TOKEN|@FILE|-", value_parser = place::token())]
    pub challenge: OsString,
    /// How it is checked
    #[command(flatten)]
    pub checks: Checks,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
