//! Arguments of `attest challenge`.

use super::{Ask, Sizing, place};
use clap::{Args, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;

const CHALLENGE_EXAMPLES: &str = "\
Examples:
  attest challenge
  attest challenge --dim 4096 --matrices 8 --iterations 100 --out token.txt
  attest challenge --gpu-count 4 --gpu-model 'NVIDIA H200' --max-duration 45s
  attest challenge --policy policy.toml --model 'NVIDIA H200' --seconds 10
  attest challenge --policy policy.toml --model 'NVIDIA H200' --round 2 --gpu-count 1
  attest challenge --kind memory --arena-blocks 65536 --iterations 100
  attest challenge --kind memory --arena-bytes 90% --gpu-model 'NVIDIA H200' --max-duration 12s
  attest challenge --kind memory --policy policy.toml --model 'NVIDIA H200' --seconds 10
  attest challenge --kind memory --gpu-count 2 --arena-blocks 1048576 --peer-blocks 1048576
  attest challenge --from-file spec.json --expires-in 10m
  attest challenge --ledger default

With --ledger (or ATTEST_LEDGER) the challenge is on record before it is printed.

--dim and --matrices are for the kind fp64, --arena-blocks, --arena-bytes, --half-passes
and --peer-blocks for the kind memory.

SPEC.json is an object with any of the challenge's fields (docs/protocol.md).
Options that are typed win over the file, the file over what --policy sizes,
and that over the defaults.";

/// `attest challenge`. Absent options are the file's, then the defaults.
#[derive(Debug, Args)]
#[command(after_help = CHALLENGE_EXAMPLES)]
pub struct Challenge {
    /// What it asks for
    #[command(flatten)]
    pub ask: Ask,
    /// By a policy
    #[command(flatten)]
    pub sizing: Sizing,
    /// Take fields from this JSON file (- for standard input)
    #[arg(long, value_name = "SPEC.json", value_hint = ValueHint::FilePath, value_parser = place::source())]
    pub from_file: Option<OsString>,
    /// Write the token to this file instead of standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::output())]
    pub out: Option<PathBuf>,
}
