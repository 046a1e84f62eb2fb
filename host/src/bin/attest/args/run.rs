//! Arguments of `attest run`.

use super::{Gpus, place};
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;

/// What executes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Executor {
    /// The GPUs, or the CPU if there is none.
    #[default]
    Auto,
    /// GPUs only.
    Gpu,
    /// The CPU.
    Cpu,
}

impl ValueEnum for Executor {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Auto, Self::Gpu, Self::Cpu]
    }
    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Auto => PossibleValue::new("auto").help("GPUs, or the CPU if there is none"),
            Self::Gpu => PossibleValue::new("gpu").help("GPUs only"),
            Self::Cpu => PossibleValue::new("cpu").help("the CPU"),
        })
    }
}

const RUN_EXAMPLES: &str = "\
Examples:
  attest run --challenge @token.txt --out result.json
  attest challenge --dim 512 | attest run --challenge - --executor cpu > result.json
  attest run --challenge eyJ2ZXJ... --devices 0,2
  attest run --challenge @token.txt --out result.json --checkpoint run.ckpt
  attest run --challenge @token.txt --key miner.pem
  GPU_COUNT=8 attest run --challenge @token.txt --out result.json

The result goes to standard output (or --out), all else to standard error.
No result is written if the run fails or is stopped. With --checkpoint the same
command resumes from the file then, also after a kill -9 or a power cut, and removes
it once the result is written; the challenge's clock does not stop meanwhile. A challenge
of the kind memory takes no --checkpoint: its arena cannot be kept in a file.";

/// `attest run`.
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct Run {
    /// The challenge: a token, @FILE, or - for standard input
    #[arg(long, value_name = "TOKEN|@FILE|-", value_parser = place::token())]
    pub challenge: OsString,
    /// What executes it
    #[arg(long, value_enum, default_value_t)]
    pub executor: Executor,
    /// CUDA device indices, one lane each, in this order [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub devices: Option<Vec<u32>>,
    /// The miner's key file: signs the result if the challenge names its miner
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::file())]
    pub key: Option<PathBuf>,
    #[command(flatten)]
    pub gpus: Gpus,
    /// Measure memory and link bandwidths first and report them: the validator's
    /// clock runs meanwhile
    #[arg(long)]
    pub measure: bool,
    /// Write the result to this file instead of standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::output())]
    pub out: Option<PathBuf>,
    /// Save checkpoints here, and resume from them if the file exists
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::output())]
    pub checkpoint: Option<PathBuf>,
    /// Least time between two sync points kept; 0: every one
    #[arg(long, value_name = "SECONDS", default_value_t = 5, requires = "checkpoint")]
    pub checkpoint_every: u32,
    /// Say where the time went, even if stderr is not a terminal
    #[arg(long, short)]
    pub verbose: bool,
}
