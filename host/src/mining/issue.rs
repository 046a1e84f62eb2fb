//! Issuing a challenge: what was asked for, the defaults for the rest, a fresh
//! nonce and seed, and the clock.

use super::kind::{ArenaSize, KindError, WorkKind};
use crate::protocol::challenge::{Challenge, ChallengeError, ChallengeSpec, VERSION};
use crate::protocol::digest::Digest;
use crate::protocol::json::present;
use crate::protocol::signature::PublicKey;
use crate::protocol::time;
use crate::protocol::work::WorkFields;
use crate::protocol::work::fp64_product::Fp64Fields;
use crate::protocol::work::integer_product::IntegerFields;
use crate::protocol::work::memory_residency::{HALF_PASSES_DEFAULT, MemoryFields};
use serde::Deserialize;

/// Openings that a default challenge asks for in all: with none of the work
/// sampled twice, a miner that left out a tenth and ground 2⁸⁰ commitments
/// escapes with a probability below 10⁻²¹.
const OPENINGS_DEFAULT: u64 = 1000;
/// Blocks of a lane's arena: 256 MiB.
pub(crate) const ARENA_BLOCKS_DEFAULT: u64 = 65_536;
const VALIDITY_DEFAULT_S: u64 = 3600;
/// T if none is asked for.
pub(crate) const ITERATIONS_DEFAULT: u64 = 100;

/// What a challenge should be, as far as it matters to whoever asks: any of the
/// challenge's fields, by the names that they have on the wire.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are those of the challenge in docs/protocol.md")]
pub struct Request {
    #[serde(deserialize_with = "present")]
    pub version: Option<u64>,
    #[serde(deserialize_with = "present")]
    pub challenge_type: Option<String>,
    #[serde(deserialize_with = "present")]
    pub gpu_pow_seed: Option<Digest>,
    #[serde(deserialize_with = "present")]
    pub validator_nonce: Option<Digest>,
    #[serde(deserialize_with = "present")]
    pub matrix_dim: Option<u64>,
    #[serde(deserialize_with = "present")]
    pub num_matrices: Option<u64>,
    #[serde(deserialize_with = "present")]
    pub arena_blocks: Option<u64>,
    #[serde(deserialize_with = "present")]
    pub half_passes: Option<u64>,
    #[serde(deserialize_with = "present")]
    pub peer_blocks: Option<u64>,
    #[serde(deserialize_with = "present")]
    pub num_iterations: Option<u64>,
    #[serde(deserialize_with = "present")]
    pub sync_interval: Option<u64>,
    #[serde(deserialize_with = "present")]
    pub verification_sample_rate: Option<f64>,
    #[serde(deserialize_with = "present")]
    pub samples_per_iteration: Option<u64>,
    #[serde(deserialize_with = "present")]
    pub issued_at: Option<String>,
    #[serde(deserialize_with = "present")]
    pub expires_at: Option<String>,
    #[serde(deserialize_with = "present")]
    pub gpu_count: Option<u64>,
    #[serde(deserialize_with = "present")]
    pub gpu_model: Option<String>,
    #[serde(deserialize_with = "present")]
    pub min_memory_bytes: Option<u64>,
    #[serde(deserialize_with = "present")]
    pub max_duration_ms: Option<u64>,
    #[serde(deserialize_with = "present")]
    pub min_sm_utilization: Option<f64>,
    #[serde(deserialize_with = "present")]
    pub miner_id: Option<PublicKey>,
    #[serde(deserialize_with = "present")]
    pub validator_id: Option<PublicKey>,
    /// Seconds from issue to expiry; wins over `expires_at`. Not a field on the wire.
    #[serde(skip)]
    pub valid_for_s: Option<u64>,
    /// The arena's size; wins over `arena_blocks`. Not a field on the wire.
    #[serde(skip)]
    pub arena_size: Option<ArenaSize>,
}

macro_rules! first_of {
    ($first:ident, $second:ident: $($field:ident),+ $(,)?) => {
        Request { $($field: $first.$field.or($second.$field)),+ }
    };
}

impl Request {
    /// This request if it says something, `other` if it doesn't.
    pub fn or(self, other: Self) -> Self {
        first_of!(self, other: version, challenge_type, gpu_pow_seed, validator_nonce,
            matrix_dim, num_matrices, arena_blocks, half_passes, peer_blocks, num_iterations, sync_interval,
            verification_sample_rate, samples_per_iteration, issued_at, expires_at,
            gpu_count, gpu_model, min_memory_bytes, max_duration_ms, min_sm_utilization,
            miner_id, validator_id, valid_for_s, arena_size)
    }

    /// Asks for as many lanes as there are devices, if no number was asked for: that bounds the
    /// answer's size.
    pub fn with_lanes(self, devices: u64) -> Self {
        let gpu_count = self.gpu_count.or(Some(devices.max(1)));
        Self { gpu_count, ..self }
    }

    /// Whether it says what work it wants, or is for one challenge only: its kind, a size,
    /// a seed or a nonce.
    pub fn names_work(&self) -> bool {
        self.challenge_type.is_some()
            || self.gpu_pow_seed.is_some()
            || self.validator_nonce.is_some()
            || self.arena_size.is_some()
            || [
                self.matrix_dim,
                self.num_matrices,
                self.arena_blocks,
                self.half_passes,
                self.peer_blocks,
                self.num_iterations,
            ]
            .iter()
            .any(Option::is_some)
    }
}

/// Why no challenge was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// What was asked for breaks a bound of the protocol.
    #[error(transparent)]
    Invalid(#[from] ChallengeError),
    /// No kind of work that is known, or what is of another kind.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// The operating system gave no random bytes.
    #[error(
        "the operating system gave no random bytes: {0}\nWithout them there is no nonce: check the system's random generator."
    )]
    Random(getrandom::Error),
    /// The time of issue or expiry has no form on the wire.
    #[error("the expiry lies outside the calendar\nAsk for a shorter validity.")]
    Time,
}

/// Issues a challenge now: the requested fields, a fresh seed and nonce from
/// the operating system unless given, defaults for the rest.
///
/// # Errors
/// [`IssueError`].
pub fn issue(request: &Request) -> Result<Challenge, IssueError> {
    let fresh = || {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(IssueError::Random)?;
        Ok::<_, IssueError>(Digest(bytes))
    };
    let seed = request.gpu_pow_seed.map_or_else(fresh, Ok)?;
    let nonce = request.validator_nonce.map_or_else(fresh, Ok)?;
    Ok(Challenge::issue(complete(request, seed, nonce, jiff::Timestamp::now())?)?)
}

/// The whole specification, from a request and what is read from outside.
fn complete(
    request: &Request,
    gpu_pow_seed: Digest,
    validator_nonce: Digest,
    now: jiff::Timestamp,
) -> Result<ChallengeSpec, IssueError> {
    let kind = request.kind()?;
    let iterations = request.num_iterations.unwrap_or(ITERATIONS_DEFAULT);
    let rate = request.verification_sample_rate.unwrap_or(1.0);
    let sampled = ((rate * iterations as f64).ceil() as u64).max(1);
    let lanes = request.gpu_count.unwrap_or(1).max(1);
    let issued_at = match &request.issued_at {
        Some(text) => text.clone(),
        None => wire_time(now.as_second())?,
    };
    let expires_at = match (request.valid_for_s, &request.expires_at) {
        (None, Some(text)) => text.clone(),
        (valid_for_s, _) => {
            // An issue time that does not parse is refused by `Challenge::issue`.
            let from = time::parse(&issued_at).unwrap_or(now.as_second());
            let valid_for_s = i64::try_from(valid_for_s.unwrap_or(VALIDITY_DEFAULT_S));
            let until = valid_for_s.ok().and_then(|s| from.checked_add(s));
            wire_time(until.ok_or(IssueError::Time)?)?
        }
    };
    Ok(ChallengeSpec {
        version: request.version.unwrap_or(VERSION),
        work: work(request, kind)?,
        gpu_pow_seed,
        validator_nonce,
        num_iterations: iterations,
        sync_interval: request.sync_interval.unwrap_or(sync_interval(kind, iterations)),
        verification_sample_rate: rate,
        samples_per_iteration: request
            .samples_per_iteration
            .unwrap_or_else(|| OPENINGS_DEFAULT.div_ceil(sampled.saturating_mul(lanes))),
        issued_at,
        expires_at,
        gpu_count: request.gpu_count,
        gpu_model: request.gpu_model.clone(),
        min_memory_bytes: request.min_memory_bytes,
        max_duration_ms: request.max_duration_ms,
        min_sm_utilization: request.min_sm_utilization,
        miner_id: request.miner_id.map(|key| key.encoded()),
        validator_id: request.validator_id.map(|key| key.encoded()),
    })
}

/// The fields of the kind that was asked for.
fn work(request: &Request, kind: WorkKind) -> Result<WorkFields, KindError> {
    Ok(match kind {
        WorkKind::Fp64Product => WorkFields::Fp64Product(Fp64Fields {
            matrix_dim: request.matrix_dim.unwrap_or(1024),
            num_matrices: request.num_matrices.unwrap_or(8),
        }),
        WorkKind::IntegerProduct => WorkFields::IntegerProduct(IntegerFields {
            matrix_dim: request.matrix_dim.unwrap_or(1024),
            num_matrices: request.num_matrices.unwrap_or(8),
        }),
        WorkKind::MemoryResidency => WorkFields::MemoryResidency(MemoryFields {
            arena_blocks: request.asked_arena_blocks()?.unwrap_or(ARENA_BLOCKS_DEFAULT),
            half_passes: request.half_passes.unwrap_or(HALF_PASSES_DEFAULT.into()),
            peer_blocks: request.peer_blocks.unwrap_or(0),
        }),
    })
}

/// S if none is asked for. Lanes with arenas meet after every sweep: only then it is
/// shown that all of them hold theirs at once.
fn sync_interval(kind: WorkKind, iterations: u64) -> u64 {
    match kind {
        WorkKind::Fp64Product | WorkKind::IntegerProduct => iterations.clamp(1, 10),
        WorkKind::MemoryResidency => 1,
    }
}

/// YYYY-MM-DDThh:mm:ssZ.
fn wire_time(unix_s: i64) -> Result<String, IssueError> {
    time::format(unix_s).ok_or(IssueError::Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(request: &Request) -> ChallengeSpec {
        let now = jiff::Timestamp::from_second(1_700_000_000).unwrap();
        complete(request, Digest([1; 32]), Digest([2; 32]), now).unwrap()
    }

    #[test]
    fn what_is_typed_wins_over_the_file_and_the_file_over_the_defaults() {
        let typed = Request { matrix_dim: Some(256), valid_for_s: Some(5), ..Request::default() };
        let file: Request = serde_json::from_str(
            r#"{"matrix_dim": 512, "num_matrices": 3, "expires_at": "2030-01-01T00:00:00Z"}"#,
        )
        .unwrap();
        let spec = completed(&typed.or(file));
        let work = WorkFields::Fp64Product(Fp64Fields { matrix_dim: 256, num_matrices: 3 });
        assert_eq!((spec.work, spec.num_iterations), (work, 100));
        assert_eq!(spec.issued_at, "2023-11-14T22:13:20Z");
        assert_eq!(spec.expires_at, "2023-11-14T22:13:25Z");
    }

    #[test]
    fn defaults_ask_for_at_least_a_thousand_openings() {
        for (iterations, lanes, rate) in [(100, 1, 1.0), (7, 3, 1.0), (1000, 64, 0.1), (1, 1, 1.0)]
        {
            let spec = completed(&Request {
                num_iterations: Some(iterations),
                gpu_count: Some(lanes),
                verification_sample_rate: Some(rate),
                ..Request::default()
            });
            let sampled = (rate * iterations as f64).ceil() as u64;
            assert!(spec.samples_per_iteration * sampled * lanes >= OPENINGS_DEFAULT);
            assert!(spec.sync_interval <= iterations);
        }
    }

    #[test]
    fn arenas_meet_after_every_sweep_and_are_filled_by_twelve_half_passes() {
        let memory = WorkKind::MemoryResidency.challenge_type();
        let request = Request { challenge_type: Some(memory.to_owned()), ..Request::default() };
        let spec = completed(&request);
        let expected = MemoryFields { arena_blocks: 65_536, half_passes: 12, peer_blocks: 0 };
        assert_eq!(spec.work, WorkFields::MemoryResidency(expected));
        assert_eq!((spec.sync_interval, spec.num_iterations), (1, 100));
        // A size wins over blocks: only it can have been typed beside a file.
        let arena_size = Some(ArenaSize::Bytes((3 << 20) - 1));
        let sized = completed(&Request { arena_size, arena_blocks: Some(1024), ..request.clone() });
        let expected = MemoryFields { arena_blocks: 512, half_passes: 12, peer_blocks: 0 };
        assert_eq!(sized.work, WorkFields::MemoryResidency(expected));
        let typed = Request { sync_interval: Some(7), ..request };
        assert_eq!(completed(&typed).sync_interval, 7);
    }

    #[test]
    fn two_challenges_differ_in_seed_and_nonce() {
        let [a, b] = [0, 1].map(|_| issue(&Request::default()).unwrap());
        assert_ne!(a.spec().gpu_pow_seed, b.spec().gpu_pow_seed);
        assert_ne!(a.spec().validator_nonce, b.spec().validator_nonce);
    }

    #[test]
    fn null_is_no_way_to_leave_a_field_out() {
        assert!(serde_json::from_str::<Request>(r#"{"matrix_dim": null}"#).is_err());
        assert_eq!(serde_json::from_str::<Request>("{}").unwrap(), Request::default());
    }

    #[test]
    fn far_expiry_is_an_error_not_a_panic() {
        let request = Request { valid_for_s: Some(u64::MAX), ..Request::default() };
        assert!(matches!(issue(&request), Err(IssueError::Time)));
    }
}
