//! Arguments of `attest verify`.

use super::{parse, place};
use attest::protocol::bound::OmittedShare;
use clap::{Args, ValueEnum, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;

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
    /// Recompute the sampled leaves (this is the default)
    #[arg(long, conflicts_with = "full")]
    pub sampled: bool,
    /// Recompute the sampled leaves, then every iteration of every lane
    #[arg(long)]
    pub full: bool,
    /// What recomputes
    #[arg(long, value_enum, default_value = "cpu", value_name = "EXECUTOR")]
    pub executor: Recomputer,
    /// When the result arrived, as 2026-01-31T12:00:00Z, `now`, or `unknown`:
    /// an unknown time is not checked against the challenge's expiry, and one before its
    /// issue gives no verdict
    /// [default: now; with a valid --receipt or a session on record what that says]
    #[arg(long, value_name = "TIME", value_parser = parse::parse_arrival)]
    pub arrived_at: Option<Arrival>,
    /// The validator's receipt of a live session, a JSON file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::source())]
    pub receipt: Option<OsString>,
    /// Time from sending the challenge to holding the result, by your own
    /// clock, as 950ms, 45s [default: not checked; that of a session on record]
    #[arg(long, value_name = "DURATION", value_parser = parse::parse_duration_ms)]
    pub elapsed: Option<u64>,
    /// Share of the work whose omission the verdict's bound is about
    /// [default: 0.1; with --policy that of the policy]
    #[arg(long, value_name = "SHARE", value_parser = parse::parse_omitted_share)]
    pub omitted_share: Option<OmittedShare>,
    /// What the result must meet beyond the protocol, a TOML file (`attest policy
    /// init` prints one); a result that it rejects ends with exit code 1
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::source())]
    pub policy: Option<OsString>,
    /// Reference integrity manifests (*.swidtag) that devices' reports are compared with, a folder
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub rim: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What recomputes in a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Recomputer {
    /// The CPU
    Cpu,
    /// The first GPU
    Gpu,
}

/// When a result arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// By the clock of this machine, when it was read.
    Now,
    /// Seconds since 1970.
    UnixS(i64),
    /// Not known.
    Unknown,
}
