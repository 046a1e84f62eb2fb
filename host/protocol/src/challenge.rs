//! Challenges: what a validator asks for, and the base64 token that carries it.
//!
//! Guarantees: a [`Challenge`] satisfies every bound of docs/protocol.md, and
//! its digest is that of exactly the bytes that the token decodes to.
//! Deliberately lacks: a clock and randomness. Whoever issues a challenge
//! brings times, seed and nonce; whether it has expired is for the verifier.

use super::device_report::LANE_BYTES;
use super::digest::Digest;
use super::json::{printable, read_value};
use super::machine_report::REPORT_BYTES;
use super::signature::{EncodedKey, PublicKey};
use super::time;
use super::work::{Work, WorkFields};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

mod spec;

pub use spec::ChallengeSpec;

/// The protocol's version.
pub const VERSION: u64 = 1;
/// Longest token, bytes of base64.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Most lanes of a run.
pub const LANES_MAX: u32 = 64;
/// Most iteration roots of a result: G·T.
pub const ROOTS_MAX: u64 = 1 << 23;
/// Most openings of a result: G·q·samples_per_iteration.
pub const OPENINGS_MAX: u64 = 65_536;
/// Largest integer that every JSON reader keeps exactly: 2⁵³ − 1.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Why a challenge is invalid.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ChallengeError {
    /// The token is too long.
    #[error(
        "the token has {got_bytes} bytes; at most {TOKEN_BYTES_MAX} are allowed\nCheck that it is a challenge and not a result."
    )]
    TokenTooLong {
        /// Bytes of the token.
        got_bytes: usize,
    },
    /// Not canonical base64.
    #[error(
        "the token is not canonical padded base64: {cause}\nCheck that it was copied whole, without line breaks."
    )]
    NotBase64 {
        /// The decoder's words.
        cause: String,
    },
    /// Not a JSON object with the right fields.
    #[error(
        "the token does not hold a challenge: {cause}\nAsk whoever issued it for a challenge of protocol version {VERSION}."
    )]
    Malformed {
        /// The parser's words, with line and column if known.
        cause: String,
    },
    /// Another version of the protocol.
    #[error(
        "the challenge has version {got}; this program speaks version {VERSION}\nUse a program of that version, or ask for a challenge of version {VERSION}."
    )]
    Version {
        /// The version found.
        got: u64,
    },
    /// Another type of challenge.
    #[error(
        "the challenge is of type {got:?}; known are {}\nAsk for a challenge of a known type.",
        WorkFields::TYPES.join(", ")
    )]
    Type {
        /// The type found.
        got: String,
    },
    /// A field outside its bounds.
    #[error("{field} must be {expected} and is {got}\nAsk for a challenge within the bounds.")]
    OutOfBounds {
        /// Which field.
        field: &'static str,
        /// What is allowed.
        expected: String,
        /// What was found.
        got: String,
    },
    /// An invalid time.
    #[error(
        "{field} must be a time like 2026-01-31T23:59:59Z and is {got:?}\nWrite it in UTC, to the second."
    )]
    Time {
        /// Which field.
        field: &'static str,
        /// What was found.
        got: String,
    },
    /// A key that does not decode.
    #[error(
        "{field} {got} is not an Ed25519 public key\nCheck that it is the public key, in lower-case hex."
    )]
    Key {
        /// Which field.
        field: &'static str,
        /// What was found.
        got: EncodedKey,
    },
    /// More roots or openings than a result may have.
    #[error(
        "{what} would be {got}; at most {limit} are allowed\nAsk for fewer iterations, lanes or samples."
    )]
    TooMuch {
        /// The product that is too large.
        what: &'static str,
        /// Its limit.
        limit: u64,
        /// Its value.
        got: u64,
    },
}

impl ChallengeError {
    /// A stable kebab-case name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TokenTooLong { .. } => "token-too-long",
            Self::NotBase64 { .. } => "token-not-base64",
            Self::Malformed { .. } => "challenge-malformed",
            Self::Version { .. } => "challenge-version",
            Self::Type { .. } => "challenge-type",
            Self::OutOfBounds { .. } => "challenge-out-of-bounds",
            Self::Time { .. } => "challenge-time",
            Self::Key { .. } => "challenge-key",
            Self::TooMuch { .. } => "challenge-too-much",
        }
    }
}

/// A valid challenge.
#[derive(Clone, Debug)]
pub struct Challenge {
    spec: ChallengeSpec,
    work: Work,
    token: String,
    digest: Digest,
    sample_rate_ppm: u32,
    issued_at_unix_s: i64,
    expires_at_unix_s: i64,
    miner_id: Option<PublicKey>,
    validator_id: Option<PublicKey>,
}

impl Challenge {
    /// Reads a token; one line break at its end is ignored.
    ///
    /// # Errors
    /// Anything that makes it invalid, in the order: length, base64, JSON, version,
    /// type, fields and their types, bounds, times, keys, products of bounds.
    pub fn from_token(token: &str) -> Result<Self, ChallengeError> {
        let token = token.strip_suffix('\n').map_or(token, |t| t.strip_suffix('\r').unwrap_or(t));
        if token.len() > TOKEN_BYTES_MAX {
            return Err(ChallengeError::TokenTooLong { got_bytes: token.len() });
        }
        let bytes = STANDARD
            .decode(token)
            .map_err(|error| ChallengeError::NotBase64 { cause: error.to_string() })?;
        let malformed =
            |error: serde_json::Error| ChallengeError::Malformed { cause: printable(&error) };
        let value = read_value(&bytes).map_err(malformed)?;
        let Value::Object(members) = value else {
            return Err(ChallengeError::Malformed { cause: "not a JSON object".to_owned() });
        };
        let spec = ChallengeSpec::read(members)?;
        Self::check(spec, token.to_owned(), Digest::of(&[&bytes]))
    }

    /// Makes a token of `spec`, without white space in its JSON.
    ///
    /// # Errors
    /// Whatever makes the challenge invalid.
    pub fn issue(spec: ChallengeSpec) -> Result<Self, ChallengeError> {
        let json = serde_json::to_vec(&spec)
            .map_err(|error| ChallengeError::Malformed { cause: printable(&error) })?;
        Self::from_token(&STANDARD.encode(json))
    }

    fn check(spec: ChallengeSpec, token: String, digest: Digest) -> Result<Self, ChallengeError> {
        if spec.version != VERSION {
            return Err(ChallengeError::Version { got: spec.version });
        }
        let work = spec.work.check(spec.gpu_count)?;
        check_bounds(&spec)?;
        let sample_rate_ppm = sample_rate_ppm(spec.verification_sample_rate).ok_or_else(|| {
            ChallengeError::OutOfBounds {
                field: "verification_sample_rate",
                expected: "a whole number of millionths, 0.000001 to 1".to_owned(),
                got: spec.verification_sample_rate.to_string(),
            }
        })?;
        let issued_at_unix_s = check_time("issued_at", &spec.issued_at)?;
        let expires_at_unix_s = check_time("expires_at", &spec.expires_at)?;
        if issued_at_unix_s >= expires_at_unix_s {
            return Err(ChallengeError::OutOfBounds {
                field: "expires_at",
                expected: format!("later than issued_at ({})", spec.issued_at),
                got: spec.expires_at,
            });
        }
        let miner_id = check_key("miner_id", spec.miner_id)?;
        let validator_id = check_key("validator_id", spec.validator_id)?;
        let challenge = Self {
            spec,
            work,
            token,
            digest,
            sample_rate_ppm,
            issued_at_unix_s,
            expires_at_unix_s,
            miner_id,
            validator_id,
        };
        let lanes = challenge.spec.gpu_count.unwrap_or(1);
        for (what, limit, per_lane) in challenge.per_lane_limits() {
            if lanes * per_lane > limit {
                return Err(ChallengeError::TooMuch { what, limit, got: lanes * per_lane });
            }
        }
        Ok(challenge)
    }

    /// What G lanes may have G times of: name, limit, amount per lane.
    fn per_lane_limits(&self) -> [(&'static str, u64, u64); 2] {
        [
            ("iteration roots (lanes x iterations)", ROOTS_MAX, u64::from(self.iterations())),
            ("openings (lanes x sampled iterations x samples)", OPENINGS_MAX, self.draws()),
        ]
    }

    /// The fields as they were written.
    pub fn spec(&self) -> &ChallengeSpec {
        &self.spec
    }
    /// The base64 text.
    pub fn token(&self) -> &str {
        &self.token
    }
    /// c: the digest of the bytes that the token decodes to.
    pub fn digest(&self) -> Digest {
        self.digest
    }
    /// The work of each iteration.
    pub fn work(&self) -> Work {
        self.work
    }
    /// Iterations (T).
    pub fn iterations(&self) -> u32 {
        self.spec.num_iterations as u32
    }
    /// Iterations between sync points (S).
    pub fn sync_interval(&self) -> u32 {
        self.spec.sync_interval as u32
    }
    /// R, in millionths.
    pub fn sample_rate_ppm(&self) -> u32 {
        self.sample_rate_ppm
    }
    /// q = max(1, ⌈R·T / 10⁶⌉), the iterations that are sampled per lane.
    pub fn sampled_iterations(&self) -> u32 {
        let product = u64::from(self.sample_rate_ppm) * u64::from(self.iterations());
        (product.div_ceil(1_000_000) as u32).max(1)
    }
    /// Leaves drawn per sampled iteration, duplicates included.
    pub fn samples_per_iteration(&self) -> u32 {
        self.spec.samples_per_iteration as u32
    }
    /// Leaves drawn per lane, duplicates included: q·samples_per_iteration.
    pub fn draws(&self) -> u64 {
        u64::from(self.sampled_iterations()) * u64::from(self.samples_per_iteration())
    }
    /// When it was issued, seconds since 1970.
    pub fn issued_at_unix_s(&self) -> i64 {
        self.issued_at_unix_s
    }
    /// When it expires, seconds since 1970: an arrival at this second is too late.
    pub fn expires_at_unix_s(&self) -> i64 {
        self.expires_at_unix_s
    }
    /// The time limit in ms: max_duration_ms, else expires_at − issued_at.
    pub fn limit_ms(&self) -> u64 {
        let whole_s = self.expires_at_unix_s - self.issued_at_unix_s;
        self.spec.max_duration_ms.unwrap_or(whole_s as u64 * 1000)
    }
    /// The most lanes that a result may have: gpu_count if present, else
    /// the largest number that the limits on roots and openings allow.
    pub fn max_lanes(&self) -> u32 {
        if let Some(count) = self.spec.gpu_count {
            return count as u32;
        }
        let fit = self.per_lane_limits().into_iter().map(|(_, limit, each)| limit / each);
        fit.fold(u64::from(LANES_MAX), u64::min) as u32
    }
    /// The most bytes that a result may have.
    pub fn result_bytes_max(&self) -> u64 {
        let lanes = u64::from(self.max_lanes());
        let of_lane = LANE_BYTES + 80 * u64::from(self.iterations()) + 3072 * self.draws();
        2 * 1024 * 1024 + REPORT_BYTES + lanes * of_lane
    }
    /// The only miner that may answer, if the challenge names one.
    pub fn miner_id(&self) -> Option<PublicKey> {
        self.miner_id
    }
    /// The validator whose receipts count, if the challenge names one.
    pub fn validator_id(&self) -> Option<PublicKey> {
        self.validator_id
    }
}

/// R, the integer nearest 10⁶·`rate`, if it is 1 … 10⁶ and the binary64
/// nearest R/10⁶ is `rate` again. Rounded and never truncated: for 11,549 of
/// the legal rates 10⁶·r in binary64 lies just below the integer.
pub fn sample_rate_ppm(rate: f64) -> Option<u32> {
    let ppm = (1e6 * rate).round();
    ((1.0..=1e6).contains(&ppm) && ppm / 1e6 == rate).then_some(ppm as u32)
}

/// `got`, if it lies between `low` and `high`, both included.
pub(crate) fn within(
    field: &'static str,
    got: u64,
    low: u64,
    high: u64,
) -> Result<u64, ChallengeError> {
    if (low..=high).contains(&got) {
        return Ok(got);
    }
    let expected = format!("{low} to {high}");
    Err(ChallengeError::OutOfBounds { field, expected, got: got.to_string() })
}

/// `got`, if it is a multiple of `of`.
pub(crate) fn multiple(field: &'static str, got: u64, of: u64) -> Result<u64, ChallengeError> {
    if got.is_multiple_of(of) {
        return Ok(got);
    }
    let expected = format!("a multiple of {of}");
    Err(ChallengeError::OutOfBounds { field, expected, got: got.to_string() })
}

fn check_bounds(spec: &ChallengeSpec) -> Result<(), ChallengeError> {
    within("num_iterations", spec.num_iterations, 1, 1_000_000)?;
    within("sync_interval", spec.sync_interval, 1, spec.num_iterations)?;
    within("samples_per_iteration", spec.samples_per_iteration, 1, 65_536)?;
    if let Some(count) = spec.gpu_count {
        within("gpu_count", count, 1, u64::from(LANES_MAX))?;
    }
    if let Some(model) = &spec.gpu_model
        && model.len() > 256
    {
        return Err(ChallengeError::OutOfBounds {
            field: "gpu_model",
            expected: "at most 256 bytes long".to_owned(),
            got: format!("{} bytes long", model.len()),
        });
    }
    if let Some(bytes) = spec.min_memory_bytes {
        within("min_memory_bytes", bytes, 0, INTEGER_MAX)?;
    }
    if let Some(ms) = spec.max_duration_ms {
        within("max_duration_ms", ms, 1, INTEGER_MAX)?;
    }
    // The sign is looked at because −0 compares equal to 0 and has a minus sign.
    match spec.min_sm_utilization {
        Some(share) if share.is_sign_negative() || !(0.0..=1.0).contains(&share) => {
            Err(ChallengeError::OutOfBounds {
                field: "min_sm_utilization",
                expected: "0 to 1".to_owned(),
                got: share.to_string(),
            })
        }
        _ => Ok(()),
    }
}

fn check_time(field: &'static str, text: &str) -> Result<i64, ChallengeError> {
    time::parse(text).ok_or_else(|| ChallengeError::Time { field, got: text.to_owned() })
}

fn check_key(
    field: &'static str,
    key: Option<EncodedKey>,
) -> Result<Option<PublicKey>, ChallengeError> {
    let decode = |got: EncodedKey| got.decode().ok_or(ChallengeError::Key { field, got });
    key.map(decode).transpose()
}
