//! What a challenge is to ask for: shared by the commands that issue one.

use super::parse;
use attest::mining::issue::Request;
use attest::mining::kind::{ArenaSize, WorkKind};
use attest::protocol::signature::PublicKey;
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

/// A kind of work, as it is typed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// FP64 products.
    #[default]
    Fp64,
    /// Memory residency.
    Memory,
    /// Integer products.
    Integer,
}

impl ValueEnum for Kind {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Fp64, Self::Memory, Self::Integer]
    }
    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Fp64 => PossibleValue::new("fp64").help("FP64 products"),
            Self::Memory => {
                PossibleValue::new("memory").help("memory that is there, its bandwidth, and links")
            }
            Self::Integer => PossibleValue::new("integer").help("int8 products"),
        })
    }
}

impl Kind {
    /// `challenge_type` on the wire.
    pub fn challenge_type(self) -> &'static str {
        match self {
            Self::Fp64 => WorkKind::Fp64Product.challenge_type(),
            Self::Memory => WorkKind::MemoryResidency.challenge_type(),
            Self::Integer => WorkKind::IntegerProduct.challenge_type(),
        }
    }
}

/// The challenge's fields. Absent options are left to file, policy or defaults.
#[derive(Clone, Debug, Default, Args)]
pub struct Ask {
    /// Kind of work: fp64 (products of matrices), integer (products of int8 matrices) or memory
    /// (arenas that are filled once, and read by every iteration) [default: fp64]
    #[arg(long, value_enum, value_name = "KIND", hide_possible_values = true)]
    pub kind: Option<Kind>,
    /// Rows and columns of each matrix: a multiple of 128, up to 32768, or 65536 of int8
    /// [default: 1024]
    #[arg(long, value_name = "N")]
    pub dim: Option<u64>,
    /// Products in one iteration, up to 4096 [default: 8]
    #[arg(long, value_name = "M")]
    pub matrices: Option<u64>,
    /// Memory: blocks of 4096 bytes of each lane's arena, a multiple of 512, up to 2^28
    /// [default: 65536, or with --policy 90 % of the model's memory]
    #[arg(long, value_name = "N", conflicts_with = "arena_bytes")]
    pub arena_blocks: Option<u64>,
    /// Memory: the same as bytes such as 64GiB, or as a share of the model's printed memory
    /// (or else of --min-memory) such as 90%; rounded down to a multiple of 2 MiB
    #[arg(long, value_name = "BYTES|SHARE%", value_parser = parse::parse_arena_size)]
    pub arena_bytes: Option<ArenaSize>,
    /// Memory: how often half of an arena is mixed into the other one, up to 16; below 10
    /// nothing is shown of memory [default: 12]
    #[arg(long, value_name = "P")]
    pub half_passes: Option<u64>,
    /// Memory: leaves of an iteration that read another lane's arena, too, a multiple of 256:
    /// measures links, and takes 2 lanes or more. 0: lanes read their own [default: 0]
    #[arg(long, value_name = "K")]
    pub peer_blocks: Option<u64>,
    /// Iterations in the chain, up to 1000000 [default: 100]
    #[arg(long, value_name = "T")]
    pub iterations: Option<u64>,
    /// Iterations between the points where all lanes exchange digests [default: 10, or
    /// T if less; memory: 1]
    #[arg(long, value_name = "S")]
    pub sync: Option<u64>,
    /// Share of iterations that is sampled, in steps of 0.000001 [default: 1]
    #[arg(long, value_name = "RATE", value_parser = parse::parse_share)]
    pub sample_rate: Option<f64>,
    /// Leaves drawn in each sampled iteration of each lane
    /// [default: enough for 1000 or more over all lanes and iterations]
    #[arg(long, value_name = "K")]
    pub samples: Option<u64>,
    /// How long the token is valid, as 90s, 10m, 1h30m [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = parse::parse_duration_s)]
    pub expires_in: Option<u64>,
    /// Require exactly G lanes (GPUs), up to 64
    #[arg(long, value_name = "G")]
    pub gpu_count: Option<u64>,
    /// The device name that every lane must report
    #[arg(long, value_name = "NAME")]
    pub gpu_model: Option<String>,
    /// Bytes of device memory that every lane must report, as 80GiB
    #[arg(long, value_name = "BYTES", value_parser = parse::parse_bytes)]
    pub min_memory: Option<u64>,
    /// Longest time from sending the challenge to holding the commitment (outside a
    /// live session: the result), as 500ms, 45s
    #[arg(long, value_name = "DURATION", value_parser = parse::parse_duration_ms)]
    pub max_duration: Option<u64>,
    /// Share of each lane's SMs that must have done work, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = parse::parse_share)]
    pub min_sm_utilization: Option<f64>,
    /// Ed25519 public key of the only miner that may answer (64 hex digits)
    #[arg(long, value_name = "KEY")]
    pub miner_id: Option<PublicKey>,
    /// Ed25519 public key of the validator (64 hex digits)
    #[arg(long, value_name = "KEY")]
    pub validator_id: Option<PublicKey>,
}

impl Ask {
    /// What was typed; nothing else.
    pub fn request(&self) -> Request {
        Request {
            challenge_type: self.kind.map(|kind| kind.challenge_type().to_owned()),
            matrix_dim: self.dim,
            num_matrices: self.matrices,
            arena_blocks: self.arena_blocks,
            arena_size: self.arena_bytes,
            half_passes: self.half_passes,
            peer_blocks: self.peer_blocks,
            num_iterations: self.iterations,
            sync_interval: self.sync,
            verification_sample_rate: self.sample_rate,
            samples_per_iteration: self.samples,
            valid_for_s: self.expires_in,
            gpu_count: self.gpu_count,
            gpu_model: self.gpu_model.clone(),
            min_memory_bytes: self.min_memory,
            max_duration_ms: self.max_duration,
            min_sm_utilization: self.min_sm_utilization,
            miner_id: self.miner_id,
            validator_id: self.validator_id,
            ..Request::default()
        }
    }
}
