//! Arguments of `attest selftest`.

use super::ask::Kind;
use super::{Executor, Gpus, parse, place};
use attest::mining::devices::GpuDemand;
use attest::mining::kind::ArenaSize;
use clap::{Args, ValueHint};
use std::path::PathBuf;
use std::time::Duration;

/// `attest selftest`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  attest selftest
  attest selftest --vectors tests/vectors/*.json
  attest selftest --only sm_90a
  attest selftest --only memory
  attest selftest --only int8
  attest selftest --ptx gpu-kernels/ptx-rust-cuda --only gemm_m16n8k16
  attest selftest --stress 60 --json
  attest selftest --stress 60 --kinds fp64,integer,memory
  attest selftest --gpu-count 8

Rows whose names end with \"memory\" are of memory residency, those with \"integer\" or \"int8\"
of integer products, the others of FP64 products.
With --vectors the files are checked as well, each field of each, on the CPU, on the
oracle if they are small, and on every GPU; with --ptx every product kernel of each file,
with the file's other kernels, on every GPU. In the table
a file is called by its name without .ptx, with a folder before it if need be.

A kernel that takes longer than --patience and its work at 10^10 multiply-adds a second
is named as hung. Its GPU is stuck until attest ends: other GPUs are checked, its other
rows are not run.

With --stress every GPU (the CPU if there is none) computes the same chain again
and again for that many minutes instead. Each iteration's root and tiles are compared
across the GPUs, with earlier rounds, and from the first iteration on with the CPU.
With --kinds other work takes turns with it: integer products, and sweeps over all memory
that is free on each GPU (256 MiB on a CPU), filled anew at each turn. A word that is wrong
is named by its block, with what it had and what it must have.

A GPU that is there and cannot be used, or is missing, is not healthy: what CUDA lists
is compared with NVML, the kernel driver and the PCI bus. In a container without GPUs
on a machine that has some, --executor cpu checks the CPU alone.
If nothing could be checked the exit code is 2.")]
pub struct Selftest {
    /// Also check these vector files
    #[arg(long, value_name = "FILE", num_args = 1.., value_hint = ValueHint::FilePath, value_parser = place::file())]
    pub vectors: Vec<PathBuf>,
    /// Also check the kernels of these PTX files, or folders of them
    #[arg(long, value_name = "FILE|FOLDER", num_args = 1.., value_hint = ValueHint::FilePath, value_parser = place::file())]
    pub ptx: Vec<PathBuf>,
    /// Check only subjects whose name contains this text
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
    /// What to check: auto: the CPU and every GPU that is there; cpu; gpu: as auto, and
    /// there must be a GPU
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    pub executor: Executor,
    /// What is demanded of the GPUs
    #[command(flatten)]
    pub gpus: Gpus,
    /// How long a GPU may take beyond its work before it counts as hung [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = parse::parse_wait,
          conflicts_with = "stress")]
    pub patience: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Compute the same chain on all GPUs for MINUTES, and compare every bit
    #[arg(long, value_name = "MINUTES", value_parser = minutes,
          conflicts_with_all = ["vectors", "ptx", "only"])]
    pub stress: Option<Duration>,
    /// With --stress: what to compute in turns: fp64, integer, memory
    #[arg(
        long,
        value_name = "KIND,…",
        requires = "stress",
        value_delimiter = ',',
        value_enum,
        default_value = "fp64",
        hide_possible_values = true
    )]
    pub kinds: Vec<Kind>,
    /// With --kinds memory: how much of a GPU's memory, or of the host's, is swept
    /// [default: all that is free, on a CPU 256 MiB]
    #[arg(long, value_name = "BYTES|SHARE%", requires = "stress",
          value_parser = parse::parse_arena_size)]
    pub arena_bytes: Option<ArenaSize>,
    /// With --stress: rows and columns [default: 4096, integers 8192; on a CPU 512]
    #[arg(long, value_name = "N", requires = "stress", value_parser = dim)]
    pub dim: Option<u32>,
    /// With --stress: products in one iteration [default: 8, on a CPU 1]
    #[arg(long, value_name = "M", requires = "stress",
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub matrices: Option<u32>,
}

impl Selftest {
    /// Which GPUs are to be checked.
    pub fn demand(&self) -> GpuDemand {
        self.gpus.demand(self.executor)
    }
}

/// Longest stress test, minutes: a month.
const MINUTES_MAX: f64 = 43_200.0;

fn minutes(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(minutes) if minutes > 0.0 && minutes <= MINUTES_MAX => {
            Ok(Duration::from_secs_f64(minutes * 60.0))
        }
        _ => Err(format!("a number of minutes above 0, at most {MINUTES_MAX}")),
    }
}

fn dim(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(dim @ 128..=32768) if dim.is_multiple_of(128) => Ok(dim),
        _ => Err("a multiple of 128, from 128 to 32768".to_owned()),
    }
}
