//! Arguments of `attest detect`.

use clap::Args;

/// `attest detect`.
#[derive(Debug, Args)]
#[command(
    after_help = "A machine without a CUDA device is said to be one in one line; that is not an error."
)]
pub struct Detect {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
