//! Arguments of `attest selftest`.

use clap::{Args, ValueHint};
use std::path::PathBuf;

/// `attest selftest`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  attest selftest
  attest selftest --vectors tests/vectors/*.json
  attest selftest --only sm_90a
  attest selftest --ptx gpu-kernels/ptx-rust-cuda/sm_90a.ptx

With --vectors the files are checked as well, each field of each; with --ptx every
product kernel of each file, with the file's other kernels, on every GPU.")]
pub struct Selftest {
    /// Also check these vector files
    #[arg(long, value_name = "FILE", num_args = 1.., value_hint = ValueHint::FilePath)]
    pub vectors: Vec<PathBuf>,
    /// Also check the kernels of these PTX files, whatever compiled them
    #[arg(long, value_name = "FILE", num_args = 1.., value_hint = ValueHint::FilePath)]
    pub ptx: Vec<PathBuf>,
    /// Check only subjects whose name contains this text
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
