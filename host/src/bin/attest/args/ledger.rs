//! Arguments of `attest ledger`.

use super::{parse, place};
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::signature::EncodedKey;
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;
use std::time::Duration;

const LEDGER_EXAMPLES: &str = "\
Examples:
  attest challenge --ledger default > token.txt
  attest verify result.json --challenge @token.txt --ledger default
  attest ledger list --state rejected
  attest ledger --ledger postgres://validator@db/attest export --out backup.ndjson

The default ledger is attest/ledger.sqlite in $XDG_STATE_HOME, or in ~/.local/state.
What it guarantees is in docs/ledger.md.";

const LIST_EXAMPLES: &str = "\
Examples:
  attest ledger list
  attest ledger list --device GPU-6a1f0f0e-1f5c-4d1b-9a64-0c4dcbd8a1d1 --json
  attest ledger list --meetings";

const SHOW_EXAMPLES: &str = "\
Example:
  attest ledger show 5f1c…e2 --json";

const EXPORT_EXAMPLES: &str = "\
Examples:
  attest ledger export | jq -r 'select(.outcome == \"rejected\") | .code' | sort | uniq -c
  attest ledger export --out ledger.ndjson";

const REPORT_EXAMPLES: &str = "\
Examples:
  attest ledger report --miner 8f3c…a1 --out miner.html
  attest ledger report --device GPU-6a1f0f0e-1f5c-4d1b-9a64-0c4dcbd8a1d1 --out device.html

The page is one file that loads nothing: outcomes, rates over time, why results were
rejected, devices that were named, and the challenges. It has the newest 5000.";

const PRUNE_EXAMPLES: &str = "\
Examples:
  attest ledger prune --older-than 90d --dry-run
  attest ledger prune --older-than 90d

The nonces of pruned challenges stay spent. The devices that were named for them
are forgotten with them.";

/// `attest ledger`.
#[derive(Debug, Args)]
#[command(after_help = LEDGER_EXAMPLES)]
pub struct Ledger {
    /// What to do with it
    #[command(subcommand)]
    pub action: Action,
}

/// What to do with a ledger.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List challenges or meetings, the newest first
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// List meetings with miners instead, also those that came to no challenge
        #[arg(long, conflicts_with_all = ["state", "device", "session"])]
        meetings: bool,
        /// Only those of this state
        #[arg(long, value_enum, value_name = "STATE")]
        state: Option<State>,
        /// Only those bound to this miner's public key, or meetings with it (64 hex digits)
        #[arg(long, value_name = "KEY")]
        miner: Option<EncodedKey>,
        /// Only those for which this device was named (GPU-xxxxxxxx-… or 32 hex digits)
        #[arg(long, value_name = "UUID", value_parser = parse::parse_uuid)]
        device: Option<Uuid>,
        /// Only the rounds of the session with this first challenge (64 hex digits)
        #[arg(long, value_name = "C")]
        session: Option<Digest>,
        /// At most COUNT of them, up to 1000
        #[arg(long, value_name = "COUNT", default_value = "20", value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one challenge with the devices that were named for it
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// The challenge's digest (64 hex digits)
        #[arg(value_name = "C")]
        challenge: Digest,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print every challenge with its devices and verdict, one JSON object a line
    #[command(after_help = EXPORT_EXAMPLES)]
    Export {
        /// Write to this file instead of standard output
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::output())]
        out: Option<PathBuf>,
    },
    /// Make a page to look at of a miner's or a device's history
    #[command(after_help = REPORT_EXAMPLES)]
    Report {
        /// Only challenges bound to this miner's public key (64 hex digits)
        #[arg(long, value_name = "KEY", conflicts_with = "device")]
        miner: Option<EncodedKey>,
        /// Only challenges for which this device was named (GPU-xxxxxxxx-… or 32 hex digits)
        #[arg(long, value_name = "UUID", value_parser = parse::parse_uuid)]
        device: Option<Uuid>,
        /// Write the page to this file
        #[arg(long, value_name = "FILE.html", value_hint = ValueHint::FilePath, value_parser = place::output())]
        out: PathBuf,
    },
    /// Forget challenges that were settled or expired, and meetings, long ago
    #[command(after_help = PRUNE_EXAMPLES)]
    Prune {
        /// How long ago at least, as 12h, 90d
        #[arg(long, value_name = "AGE", value_parser = parse::parse_age)]
        older_than: Duration,
        /// Only say how many
        #[arg(long)]
        dry_run: bool,
    },
}

/// How far a challenge has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// Without a verdict
    Unsettled,
    /// Verified
    Verified,
    /// Rejected
    Rejected,
}
