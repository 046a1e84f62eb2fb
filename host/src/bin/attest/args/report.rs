//! Arguments of `attest report`.

use super::{Checks, place};
use clap::{Args, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;

const REPORT_EXAMPLES: &str = "\
Examples:
  attest report result.json --challenge @token.txt --out report.html
  attest report result.json --challenge @token.txt --policy policy.toml --out report.html
  attest validate --json --result-out result.json -- ssh miner attest respond > session.json
  attest report result.json result-1.json --verdict session.json --out report.html
  attest report --verdict session.json --out report.html

Without --verdict the results are verified here, as `attest verify` does it, and the exit
code is the same. With --verdict nothing is recomputed: the page says whose word it is, and
the verdict must be about these results. A session's verdict has the challenges of its
rounds; otherwise each result needs its own --challenge, in any order.

The page is one file that loads nothing: it can be opened from a disk, mailed, and printed
to PDF. docs/report.md says what is on it.";

/// `attest report`.
#[derive(Debug, Args)]
#[command(after_help = REPORT_EXAMPLES)]
pub struct Report {
    /// The results, one a round: files, or - for standard input
    #[arg(value_name = "RESULT", value_hint = ValueHint::FilePath, value_parser = place::source(), required_unless_present = "verdict", num_args = 0..=ROUNDS_MAX)]
    pub results: Vec<OsString>,
    /// A result's challenge: a token, @FILE, or - for standard input; repeat for more
    #[arg(long = "challenge", value_name = "TOKEN|@FILE|-", value_parser = place::token(), required_unless_present = "verdict")]
    pub challenges: Vec<OsString>,
    /// The verdict on them: what `attest verify --json` or one line of what `attest
    /// validate --json` printed
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::source(), conflicts_with_all = ["sampled", "full", "arrived_at", "receipt", "elapsed", "omitted_share", "policy"])]
    pub verdict: Option<OsString>,
    /// Write the page to this file
    #[arg(long, value_name = "FILE.html", value_hint = ValueHint::FilePath, value_parser = place::output())]
    pub out: PathBuf,
    /// How the results are checked
    #[command(flatten)]
    pub checks: Checks,
}

/// Most results of one report.
pub const ROUNDS_MAX: usize = 16;
