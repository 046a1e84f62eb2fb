//! Arguments of `attest bench`.

use super::{Executor, Gpus, parse, place};
use attest::bench::Work;
use attest::executor::gpu::Variant;
use clap::{Args, ValueHint};
use std::path::PathBuf;
use std::time::Duration;

const BENCH_EXAMPLES: &str = "\
Examples:
  attest bench
  attest bench --shape 4096x8 --variant sm_90a/gemm_m16n8k16
  attest bench --shape 1024x1x1000 --json
  attest bench --shape 90%
  attest bench --shape int8:8192x1 --variant sm_80/int8_m16n8k32
  attest bench --ptx gpu-kernels/ptx-rust-cuda/sm_90a.ptx --plot speed.svg

A shape NxM is M products of N x N matrices an iteration, run for as long as a turn
lasts: the attested loop, cuBLAS and the bare product by turns. NxMxT is T iterations
from first to last, in seconds. P% is memory residency with an arena of P percent of the
GPU's memory, beside plain reads and copies. int8:NxM is M products of N x N matrices of
integers, beside cuBLASLt's. Without a GPU only the CPU is measured:
verification, and an arena in host memory. Nothing else should use the GPU meanwhile.";

/// `attest bench`.
#[derive(Debug, Args)]
#[command(after_help = BENCH_EXAMPLES)]
pub struct Bench {
    /// Which GPU
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub device: u32,
    /// What to measure: auto: the GPU, if there is one, and verification on the CPU; cpu;
    /// gpu: as auto, and there must be a GPU
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    pub executor: Executor,
    /// What is demanded of the GPUs
    #[command(flatten)]
    pub gpus: Gpus,
    /// Shapes [default: 8192x2 4096x8 2048x16 1024x64 1024x1x1000 90% int8:16384x1
    /// int8:8192x1]
    #[arg(long = "shape", value_name = "NxM[xT]|P%|int8:NxM", num_args = 1..)]
    pub shapes: Vec<Work>,
    /// Least length of a turn, seconds [default: 1.5; with --quick 0.2]
    #[arg(long, value_name = "SECONDS", value_parser = parse::parse_turn)]
    pub turn: Option<Duration>,
    /// Turns of each side, of which the median counts [default: 3; with --quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub turns: Option<u32>,
    /// Embedded kernels, as sm_90a/gemm_m16n8k16 [default: the fastest of each target]
    #[arg(long = "variant", value_name = "TARGET/KERNEL", num_args = 1..)]
    pub variants: Vec<Variant>,
    /// Also measure the kernels of these PTX files, or folders of them
    #[arg(long, value_name = "FILE|FOLDER", num_args = 1.., value_hint = ValueHint::FilePath, value_parser = place::file())]
    pub ptx: Vec<PathBuf>,
    /// The cuBLAS library to compare with [default: where the dynamic loader finds one]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::file())]
    pub cublas: Option<PathBuf>,
    /// The cuBLASLt library to compare integer products with [default: likewise]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::file())]
    pub cublas_lt: Option<PathBuf>,
    /// Measure briefly: enough to see that all works, not to compare speeds
    #[arg(long)]
    pub quick: bool,
    /// How long a GPU may take beyond its work before it counts as hung [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = parse::parse_wait)]
    pub patience: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Also write the figures as bars to this SVG file
    #[arg(long, value_name = "FILE.svg", value_hint = ValueHint::FilePath, value_parser = place::output())]
    pub plot: Option<PathBuf>,
}
