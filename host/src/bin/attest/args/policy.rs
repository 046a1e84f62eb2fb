//! Arguments of `attest policy`.

use super::place;
use clap::{Args, Subcommand, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;

const POLICY_EXAMPLES: &str = "\
Examples:
  attest policy init --out policy.toml
  attest policy check policy.toml
  attest policy models --out models.toml
  attest challenge --policy policy.toml --model 'NVIDIA H200' --seconds 10
  attest challenge --policy policy.toml --model 'NVIDIA H200' --round 2
  attest verify result.json --challenge @token.txt --policy policy.toml

What each field means and why it has its default: docs/policy.md.";

/// `attest policy`.
#[derive(Debug, Args)]
#[command(after_help = POLICY_EXAMPLES)]
pub struct Policy {
    /// What to do
    #[command(subcommand)]
    pub action: PolicyAction,
}

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub enum PolicyAction {
    /// Print the default policy, every field with its meaning
    #[command(after_help = "Example:\n  attest policy init --out policy.toml")]
    Init(PolicyInit),
    /// Check a policy and show what it demands
    #[command(after_help = "Example:\n  attest policy check policy.toml --json")]
    Check(PolicyCheck),
    /// Print the built-in table of GPU models; with --models, check that one and describe it
    #[command(
        after_help = "Examples:\n  attest policy models --out models.toml\n  attest policy models --models models.toml"
    )]
    Models(PolicyModels),
}

/// `attest policy init`.
#[derive(Debug, Args)]
pub struct PolicyInit {
    /// Write to this file instead of standard output; it must not exist
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::output())]
    pub out: Option<PathBuf>,
}

/// `attest policy models`.
#[derive(Debug, Args)]
pub struct PolicyModels {
    /// Write to this file instead of standard output; it must not exist
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::output())]
    pub out: Option<PathBuf>,
    /// Print nothing but the table's digest, by which verdicts name it
    #[arg(long, conflicts_with = "out")]
    pub digest: bool,
}

/// `attest policy check`.
#[derive(Debug, Args)]
pub struct PolicyCheck {
    /// The policy, a TOML file, or - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::source())]
    pub policy: OsString,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `--policy`, `--model`, `--round` and `--seconds` of `attest challenge`.
#[derive(Debug, Args)]
pub struct Sizing {
    /// Size the challenge by this policy (TOML) for the GPU that --model names
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "model", value_parser = place::source())]
    pub policy: Option<OsString>,
    /// The GPU model to size for, as `attest detect` names it
    #[arg(long, value_name = "NAME", requires = "policy", conflicts_with = "gpu_model")]
    pub model: Option<String>,
    /// Ask for this round of the policy's sessions, counted from 0
    #[arg(long, value_name = "N", requires = "policy", conflicts_with = "kind")]
    pub round: Option<usize>,
    /// Seconds that a run should last on it [default: the policy's]
    #[arg(long, value_name = "S", requires = "policy")]
    pub seconds: Option<f64>,
}
