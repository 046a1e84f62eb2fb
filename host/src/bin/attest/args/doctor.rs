//! Arguments of `attest doctor`.

use super::Gpus;
use clap::Args;

const DOCTOR_EXAMPLES: &str = "\
Examples:
  attest doctor
  attest doctor --gpu-count 8 --json > doctor.json
  attest doctor --ledger postgres://attest@db/attest || echo 'something is wrong'

Exit codes: 0 nothing is wrong, 1 something is, 2 could not run. Whether the devices compute
right is what `attest selftest` checks; `cargo xtask doctor` looks for what developers of
kernels need.";

/// `attest doctor`.
#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXAMPLES)]
pub struct Doctor {
    #[command(flatten)]
    pub gpus: Gpus,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
