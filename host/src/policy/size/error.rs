//! Why a policy cannot size a challenge.

use crate::mining::kind::KindError;
use crate::protocol::challenge::{ChallengeError, OPENINGS_MAX};
use crate::protocol::quantity::{about, counted};

/// Why no challenge can be sized. Text in two lines: what cannot be, what to try.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SizeError {
    /// Nothing is known of the model's speed.
    #[error(
        "no speed is known of GPU model {got:?}: it is not in the table of models\nName it as `attest detect` does (docs/models.md lists those that are known), or give a table with it (--models FILE)."
    )]
    UnknownModel {
        /// What was asked for.
        got: String,
    },
    /// The policy would reject the target's model.
    #[error("the policy does not allow {got:?}\nAdd it to devices.models, or ask for {allowed}.")]
    ModelNotAllowed {
        /// What was asked for.
        got: String,
        /// The policy's models.
        allowed: String,
    },
    /// The policy would reject this many lanes.
    #[error(
        "the policy allows {low} to {high} lanes, {got} were asked for\nChange --gpu-count or devices.gpu_count_min and gpu_count_max."
    )]
    GpuCount {
        /// Fewest.
        low: u64,
        /// Most.
        high: u64,
        /// Asked for.
        got: u64,
    },
    /// The target cannot have the memory.
    #[error(
        "a {model} has about {got_gb} GB of memory, devices.memory_min_bytes asks for {}\nAsk for less memory, or another model.",
        about(*expected_bytes as f64, "B")
    )]
    Memory {
        /// The target.
        model: &'static str,
        /// Of the table.
        got_gb: u32,
        /// Asked for.
        expected_bytes: u64,
    },
    /// The arena does not fit in the target's memory.
    #[error(
        "a {model} has about {got_gb} GB of memory, and the arena takes {}\nAsk for a smaller arena (--arena-bytes 90%), or another model.",
        about(*expected_bytes as f64, "B")
    )]
    Arena {
        /// The target.
        model: &'static str,
        /// Of the table.
        got_gb: u32,
        /// Of the arena.
        expected_bytes: u64,
    },
    /// Lanes that read each other's arenas, and there may be one.
    #[error(
        "--peer-blocks takes at least 2 lanes, and {got} may answer\nAsk for 2 or more (--gpu-count, devices.gpu_count_min), or leave --peer-blocks out."
    )]
    Peers {
        /// The fewest that may answer.
        got: u64,
    },
    /// Too little would be shown.
    #[error(
        "FP64 products alone say little of a {model}, whose other units may be as fast\nAsk for other rounds beside them, for --kind integer or --kind memory, or set findings.fp64-alone."
    )]
    Fp64Alone {
        /// The target.
        model: &'static str,
    },
    /// CPUs only.
    #[error(
        "the policy asks for GPUs, the miner names none\nAllow CPUs (devices.cpu_allowed), or ask a miner with GPUs."
    )]
    NoGpu,
    /// Every round was left out.
    #[error(
        "none of the policy's rounds can be sized for the miner's devices\nAdd a [[round]] that fits them; the log says what each lacked."
    )]
    NoRound,
    /// The policy has fewer rounds.
    #[error(
        "the policy has no round {got}: it has {count}, counted from 0\nName one of them with --round."
    )]
    RoundNumber {
        /// Asked for.
        got: usize,
        /// Those that there are.
        count: usize,
    },
    /// The round is of another kind.
    #[error(
        "round {index} of the policy is of kind {kind:?}, and {got} was asked for\nLeave the kind out, or name another round."
    )]
    RoundKind {
        /// Its number.
        index: usize,
        /// Its kind.
        kind: &'static str,
        /// What was typed.
        got: String,
    },
    /// The policy demands that more is shown than this challenge can show.
    #[error(
        "{field} is {expected}, and an honest run of this challenge is expected to show {got}\n{advice}."
    )]
    NotShown {
        /// The policy's field, with its table.
        field: &'static str,
        /// Its value.
        expected: String,
        /// What would be shown, or why nothing would.
        got: String,
        /// What to try.
        advice: &'static str,
        /// Whether the model is why: nothing that was typed is.
        of_model: bool,
    },
    /// What was typed breaks a bound of the protocol.
    #[error(transparent)]
    Invalid(#[from] ChallengeError),
    /// No kind of work that is known, or what is of another kind.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// The policy would reject a challenge that anyone may answer.
    #[error(
        "the policy demands a miner's key, and none is named\nName it with --miner-id or --peer, or leave session.miner_key_required out."
    )]
    MinerKey,
    /// No time, or more than a day.
    #[error("a run cannot last {got_s} s\nAsk for more than 0 and at most 86400 seconds.")]
    Seconds {
        /// Asked for.
        got_s: f64,
    },
    /// Not one iteration fits.
    #[error(
        "{seconds} s are too short for a {model}: its shortest run here lasts {run_s:.3} s\nAsk for at least that, or for {smaller}."
    )]
    TooShort {
        /// Asked for.
        seconds: f64,
        /// The target.
        model: &'static str,
        /// One iteration and what comes before it, s.
        run_s: f64,
        /// What would take less.
        smaller: &'static str,
    },
    /// More iterations than a challenge can have.
    #[error(
        "{seconds} s on {} take {iterations} iterations; at most {limit} are possible\nAsk for a shorter run, fewer lanes or {larger}.",
        counted(*lanes, "lane")
    )]
    TooLong {
        /// Asked for.
        seconds: f64,
        /// Fewest lanes.
        lanes: u64,
        /// Needed.
        iterations: u64,
        /// Most.
        limit: u64,
        /// What would take fewer iterations.
        larger: &'static str,
    },
    /// An honest run would be too slow for the policy.
    #[error(
        "time.slack {slack} is too tight: beside the allowances an honest {model} is expected to take {needed:.2} times its floor\nUse a slack of at least {needed:.2}."
    )]
    Slack {
        /// The policy's.
        slack: f64,
        /// The target.
        model: &'static str,
        /// Least slack, rounded up.
        needed: f64,
    },
    /// More openings than a result can have.
    #[error(
        "this soundness takes {got} openings; a result has at most {OPENINGS_MAX}\nAsk for a larger omitted_share or escape_probability_max, or require a live session."
    )]
    TooManyOpenings {
        /// Over all lanes.
        got: u64,
    },
    /// The samples that were typed are too few.
    #[error(
        "the samples asked for give {got} counted draws, the policy's soundness takes {needed}\nLeave --samples and --sample-rate out, or ask for more."
    )]
    TooFewSamples {
        /// With the fewest lanes.
        got: u64,
        /// Of the policy.
        needed: u64,
    },
}

impl SizeError {
    /// Whether the cause is what the miner has, or who it is, and nothing that was typed or
    /// written in the policy: another miner would be asked.
    pub fn is_of_devices(&self) -> bool {
        matches!(
            self,
            Self::UnknownModel { .. }
                | Self::ModelNotAllowed { .. }
                | Self::GpuCount { .. }
                | Self::Memory { .. }
                | Self::Arena { .. }
                | Self::Peers { .. }
                | Self::NotShown { of_model: true, .. }
                | Self::MinerKey
                | Self::Fp64Alone { .. }
                | Self::NoGpu
                | Self::NoRound
        )
    }
}
