//! What can be typed. Types only: nothing is opened, resolved or computed here.

use attest::bench::Work;
use attest::executor::gpu::Variant;
use attest::protocol::bound::OmittedShare;
use attest::protocol::digest::Digest;
use clap::builder::PossibleValue;
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;
use std::time::Duration;

const EXIT_CODES: &str = "\
Exit codes:
  0  verified, healthy or done
  1  rejected (verify) or not healthy (selftest)
  2  could not run: bad usage, unreadable input, no device
  130, 143  stopped by SIGINT, SIGTERM

Logging: RUST_LOG=attest=debug shows on standard error what is done.";

/// Proves by computation which GPUs did how much work: a validator issues a
/// challenge, a miner executes it, the validator verifies the result by
/// recomputing a random sample of it, exactly, to the last bit.
#[derive(Debug, Parser)]
#[command(name = "attest", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// When to colour: auto (on a terminal, unless NO_COLOR is set), always, never
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        hide_possible_values = true
    )]
    pub color: Color,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the CUDA devices of this machine
    Detect(Detect),
    /// Issue a challenge and print its token
    Challenge(Box<Challenge>),
    /// Execute a challenge and print the result
    Run(Run),
    /// Check a result against its challenge
    Verify(Verify),
    /// Show a token or a result in plain words
    Inspect(Inspect),
    /// Check every executor and kernel variant present against the oracle
    Selftest(Selftest),
    /// Measure the GPU's kernels beside its ceilings and cuBLAS, and verification on the CPU
    Bench(Bench),
    /// Issue, execute and verify a challenge on this machine, then tamper with the result
    Demo,
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  attest completions bash > /etc/bash_completion.d/attest")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

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

const CHALLENGE_EXAMPLES: &str = "\
Examples:
  attest challenge
  attest challenge --dim 4096 --matrices 8 --iterations 100 --out token.txt
  attest challenge --gpu-count 4 --gpu-model 'NVIDIA H200' --max-duration 45s
  attest challenge --from-file spec.json --expires-in 10m

SPEC.json is an object with any of the challenge's fields (docs/protocol.md).
Options that are typed win over the file, and the file over the defaults.";

/// `attest challenge`. Absent options are the file's, then the defaults.
#[derive(Debug, Args)]
#[command(after_help = CHALLENGE_EXAMPLES)]
pub struct Challenge {
    /// Rows and columns of each matrix: a multiple of 128, up to 32768 [default: 1024]
    #[arg(long, value_name = "N")]
    pub dim: Option<u64>,
    /// Products in one iteration, up to 4096 [default: 8]
    #[arg(long, value_name = "M")]
    pub matrices: Option<u64>,
    /// Iterations in the chain, up to 1000000 [default: 100]
    #[arg(long, value_name = "T")]
    pub iterations: Option<u64>,
    /// Iterations between the points where all lanes exchange digests [default: 10, or T if less]
    #[arg(long, value_name = "S")]
    pub sync: Option<u64>,
    /// Share of iterations that is sampled, in steps of 0.000001 [default: 1]
    #[arg(long, value_name = "RATE", value_parser = parse_share)]
    pub sample_rate: Option<f64>,
    /// Leaves drawn in each sampled iteration of each lane
    /// [default: so many that all lanes and iterations have at least 1000]
    #[arg(long, value_name = "K")]
    pub samples: Option<u64>,
    /// How long the token is valid, as 90s, 10m, 1h30m [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration_s)]
    pub expires_in: Option<u64>,
    /// Exactly so many lanes (GPUs) must take part, up to 64
    #[arg(long, value_name = "G")]
    pub gpu_count: Option<u64>,
    /// The device name that every lane must report
    #[arg(long, value_name = "NAME")]
    pub gpu_model: Option<String>,
    /// Bytes of device memory that every lane must report
    #[arg(long, value_name = "BYTES")]
    pub min_memory: Option<u64>,
    /// Longest time from sending the challenge to holding the result, as 500ms, 45s
    #[arg(long, value_name = "DURATION", value_parser = parse_duration_ms)]
    pub max_duration: Option<u64>,
    /// Share of each lane's SMs that must have done work, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub min_sm_utilization: Option<f64>,
    /// Ed25519 public key of the only miner that may answer (64 hex digits)
    #[arg(long, value_name = "KEY")]
    pub miner_id: Option<Digest>,
    /// Ed25519 public key of the validator (64 hex digits)
    #[arg(long, value_name = "KEY")]
    pub validator_id: Option<Digest>,
    /// Take fields from this JSON file (- for standard input)
    #[arg(long, value_name = "SPEC.json", value_hint = ValueHint::FilePath)]
    pub from_file: Option<String>,
    /// Write the token to this file instead of standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
}

/// What executes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Executor {
    /// The GPUs, or the CPU where there is none.
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
            Self::Auto => PossibleValue::new("auto").help("GPUs, or the CPU where there is none"),
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

The result goes to standard output (or --out), all else to standard error.
Nothing is written where the run fails or is stopped.";

/// `attest run`.
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct Run {
    /// The challenge: a token, @FILE, or - for standard input
    #[arg(long, value_name = "TOKEN|@FILE|-")]
    pub challenge: String,
    /// What executes it
    #[arg(long, value_enum, default_value_t)]
    pub executor: Executor,
    /// CUDA device indices, one lane each, in this order [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub devices: Option<Vec<u32>>,
    /// Write the result to this file instead of standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  attest verify result.json --challenge @token.txt
  attest verify --full result.json --challenge @token.txt
  ssh miner attest run --challenge $TOKEN | attest verify - --challenge $TOKEN --json

The verdict says what was proven, what was only claimed, and how likely a miner
that left out a tenth of the work (or --omitted-share) would have been to escape.
A result that passes every check is verified (exit code 0) even where its samples
are too few to prove the work; the verdict says so in its first line.";

/// `attest verify`.
#[derive(Debug, Args)]
#[command(after_help = VERIFY_EXAMPLES)]
pub struct Verify {
    /// The result: a file, or - for standard input
    #[arg(value_name = "RESULT", value_hint = ValueHint::FilePath)]
    pub result: String,
    /// The challenge: a token, @FILE, or - for standard input
    #[arg(long, value_name = "TOKEN|@FILE|-")]
    pub challenge: String,
    /// Recompute the sampled leaves (this is the default)
    #[arg(long, conflicts_with = "full")]
    pub sampled: bool,
    /// Recompute the sampled leaves, then every iteration of every lane
    #[arg(long)]
    pub full: bool,
    /// What recomputes
    #[arg(long, value_enum, default_value = "cpu", value_name = "EXECUTOR")]
    pub executor: Recomputer,
    /// When the result arrived, as 2026-01-31T12:00:00Z, `now`, or `unknown`:
    /// an unknown time is not checked against the challenge's expiry
    /// [default: now; with a valid --receipt what that says]
    #[arg(long, value_name = "TIME", value_parser = parse_arrival)]
    pub arrived_at: Option<Arrival>,
    /// The validator's receipt of a live session, a JSON file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub receipt: Option<String>,
    /// Time from sending the challenge to holding the result, by your own
    /// clock, as 950ms, 45s [default: not checked]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration_ms)]
    pub elapsed: Option<u64>,
    /// Share of the work whose omission the verdict's bound is about
    #[arg(long, value_name = "SHARE", default_value = "0.1", value_parser = parse_omitted_share)]
    pub omitted_share: OmittedShare,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What recomputes in a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Recomputer {
    /// The CPU
    Cpu,
    /// The first GPU
    Gpu,
}

/// When a result arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// By the clock of this machine, when it was read.
    Now,
    /// Seconds since 1970.
    UnixS(i64),
    /// Nobody knows.
    Unknown,
}

/// `attest inspect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  attest inspect @token.txt
  attest inspect result.json
  attest challenge | attest inspect -

Nothing is verified here: use `attest verify` for that.")]
pub struct Inspect {
    /// A token, @FILE, a file, or - for standard input
    #[arg(value_name = "TOKEN|RESULT", value_hint = ValueHint::FilePath)]
    pub subject: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

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

const BENCH_EXAMPLES: &str = "\
Examples:
  attest bench
  attest bench --shape 4096x8 --variant sm_90a/gemm_m16n8k8
  attest bench --shape 1024x1x1000 --json
  attest bench --ptx gpu-kernels/ptx-rust-cuda/sm_90a.ptx --plot speed.svg

A shape NxM is M products of N x N matrices an iteration, run for as long as a turn
lasts: the attested loop, cuBLAS and the bare product by turns. NxMxT is T iterations
from first to last, in seconds. Without a GPU only verification on the CPU is
measured. Nothing else should use the GPU meanwhile.";

/// `attest bench`.
#[derive(Debug, Args)]
#[command(after_help = BENCH_EXAMPLES)]
pub struct Bench {
    /// Which GPU
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub device: u32,
    /// Shapes [default: 8192x2 4096x8 2048x16 1024x64 1024x1x1000]
    #[arg(long = "shape", value_name = "NxM[xT]", num_args = 1..)]
    pub shapes: Vec<Work>,
    /// Least length of a turn, seconds [default: 1.5; with --quick 0.2]
    #[arg(long, value_name = "SECONDS", value_parser = parse_turn)]
    pub turn: Option<Duration>,
    /// Turns of each side, of which the median counts [default: 3; with --quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub turns: Option<u32>,
    /// Embedded kernels, as sm_90a/gemm_m16n8k8 [default: the fastest of each target]
    #[arg(long = "variant", value_name = "TARGET/KERNEL", num_args = 1..)]
    pub variants: Vec<Variant>,
    /// Also measure the kernels of these PTX files, whatever compiled them
    #[arg(long, value_name = "FILE", num_args = 1.., value_hint = ValueHint::FilePath)]
    pub ptx: Vec<PathBuf>,
    /// The cuBLAS library to compare with [default: where the dynamic loader finds one]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub cublas: Option<PathBuf>,
    /// Measure briefly: enough to see that all works, not to compare speeds
    #[arg(long)]
    pub quick: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Also write the figures as bars to this SVG file
    #[arg(long, value_name = "FILE.svg", value_hint = ValueHint::FilePath)]
    pub plot: Option<PathBuf>,
}

fn parse_turn(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().or_else(|_| parse_duration(text).map(|d| d.as_secs_f64()));
    match seconds {
        Ok(seconds) if (0.01..=60.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected seconds from 0.01 to 60, such as 1.5 or 1500ms".to_owned()),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let hint = "expected a positive duration such as 500ms, 90s, 10m or 1h30m";
    let span: jiff::SignedDuration = text.parse().map_err(|_| hint.to_owned())?;
    match Duration::try_from(span) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(hint.to_owned()),
    }
}

fn parse_duration_s(text: &str) -> Result<u64, String> {
    let duration = parse_duration(text)?;
    if duration.subsec_nanos() != 0 {
        return Err("expected whole seconds, such as 90s, 10m or 1h30m".to_owned());
    }
    Ok(duration.as_secs())
}

fn parse_duration_ms(text: &str) -> Result<u64, String> {
    let duration = parse_duration(text)?;
    if duration.subsec_nanos() % 1_000_000 != 0 {
        return Err("expected whole milliseconds, such as 500ms, 45s or 10m".to_owned());
    }
    u64::try_from(duration.as_millis()).map_err(|_| "too long".to_owned())
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share.is_finite() => Ok(share),
        _ => Err("expected a decimal number from 0 to 1".to_owned()),
    }
}

fn parse_omitted_share(text: &str) -> Result<OmittedShare, String> {
    let error = || "expected a decimal number above 0 and below 1".to_owned();
    OmittedShare::new(text.parse().map_err(|_| error())?).map_err(|_| error())
}

fn parse_arrival(text: &str) -> Result<Arrival, String> {
    match text {
        "now" => Ok(Arrival::Now),
        "unknown" => Ok(Arrival::Unknown),
        _ => text
            .parse::<jiff::Timestamp>()
            .map(|time| Arrival::UnixS(time.as_second()))
            .map_err(|_| "expected now, unknown, or a time such as 2026-01-31T12:00:00Z".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_declaration_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_units_and_are_positive() {
        assert_eq!(parse_duration_s("1h30m"), Ok(5400));
        assert_eq!(parse_duration_ms("500ms"), Ok(500));
        for bad in ["", "5", "0s", "-1s", "1.5ms", "1y", "ms"] {
            assert!(parse_duration_ms(bad).is_err(), "{bad:?}");
        }
        assert!(parse_duration_s("500ms").is_err());
    }

    #[test]
    fn a_turn_is_some_seconds() {
        assert_eq!(parse_turn("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_turn("200ms"), Ok(Duration::from_millis(200)));
        for bad in ["", "0", "-1", "61", "nan", "inf", "2m", "1ms"] {
            assert!(parse_turn(bad).is_err(), "{bad:?}");
        }
    }
}
