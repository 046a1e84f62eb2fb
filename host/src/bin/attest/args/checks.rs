//! How a result is checked: what `attest verify` and `attest report` have in common.

use super::{Makers, parse, place};
use attest::protocol::bound::OmittedShare;
use clap::{Args, ValueEnum, ValueHint};
use std::ffi::OsString;

/// How a result is checked.
#[derive(Debug, Args)]
pub struct Checks {
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
    /// What makers of devices and machines sign
    #[command(flatten)]
    pub makers: Makers,
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
