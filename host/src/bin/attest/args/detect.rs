//! Arguments of `attest detect`.

use super::Gpus;
use clap::Args;

const DETECT_EXAMPLES: &str = "\
Examples:
  attest detect
  attest detect --json --measure > machine.json
  attest detect --gpu-count 8 || echo 'a GPU is missing'

Without a CUDA device it says so in one line; that is an error only if GPUs are
expected. docs/evidence.md describes the JSON.";

/// `attest detect`.
#[derive(Debug, Args)]
#[command(after_help = DETECT_EXAMPLES)]
pub struct Detect {
    #[command(flatten)]
    pub gpus: Gpus,
    /// Measure bandwidths: device memory, pinned host memory, each pair of GPUs
    #[arg(long)]
    pub measure: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
