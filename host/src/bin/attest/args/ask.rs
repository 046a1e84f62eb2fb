//! What a challenge is to ask for: shared by the commands that issue one.

use super::parse;
use attest::mining::issue::Request;
use attest::protocol::signature::PublicKey;
use clap::Args;

/// The challenge's fields. Absent options are left to file, policy or defaults.
#[derive(Clone, Debug, Default, Args)]
pub struct Ask {
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
    /// Bytes of device memory that every lane must report
    #[arg(long, value_name = "BYTES")]
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
            matrix_dim: self.dim,
            num_matrices: self.matrices,
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
