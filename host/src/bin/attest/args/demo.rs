//! Arguments of `attest demo`.

use super::{Executor, Gpus, Kind};
use clap::Args;

const DEMO_EXAMPLES: &str = "\
Examples:
  attest demo
  attest demo --executor cpu
  attest demo --kind memory";

/// `attest demo`.
#[derive(Debug, Args)]
#[command(after_help = DEMO_EXAMPLES)]
pub struct Demo {
    /// Kind of work
    #[arg(long, value_enum, value_name = "KIND", default_value_t)]
    pub kind: Kind,
    /// What executes it
    #[arg(long, value_enum, default_value_t)]
    pub executor: Executor,
    #[command(flatten)]
    pub gpus: Gpus,
}
