//! The fields of a challenge, read and written.
//!
//! Guarantees: what is written is read again; version and type are looked at before the
//! fields that depend on them.
//! Deliberately lacks: bounds. [`super::Challenge`] has them.

use super::{ChallengeError, VERSION};
use crate::digest::Digest;
use crate::json::{present, printable};
use crate::signature::EncodedKey;
use crate::work::WorkFields;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

/// The fields of a challenge as they are written. Holding one proves nothing;
/// [`super::Challenge`] does.
#[derive(Clone, Debug, PartialEq)]
pub struct ChallengeSpec {
    /// 1.
    pub version: u64,
    /// `challenge_type` and the fields that belong to it.
    pub work: WorkFields,
    /// Seed; acts only through the challenge's digest.
    pub gpu_pow_seed: Digest,
    /// 32 bytes from the operating system's random generator.
    pub validator_nonce: Digest,
    /// T: 1 … 1,000,000.
    pub num_iterations: u64,
    /// S: 1 … T.
    pub sync_interval: u64,
    /// r: the share of iterations that are sampled, in millionths.
    pub verification_sample_rate: f64,
    /// Leaves drawn per sampled iteration, 1 … 65,536.
    pub samples_per_iteration: u64,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub issued_at: String,
    /// `YYYY-MM-DDThh:mm:ssZ`, later than `issued_at`.
    pub expires_at: String,
    /// Exactly this many lanes, 1 … 64.
    pub gpu_count: Option<u64>,
    /// The model that every lane must report, at most 256 bytes.
    pub gpu_model: Option<String>,
    /// Memory that every lane must report, bytes.
    pub min_memory_bytes: Option<u64>,
    /// Time limit, ms.
    pub max_duration_ms: Option<u64>,
    /// Share of its SMs that every lane must have used, 0 … 1.
    pub min_sm_utilization: Option<f64>,
    /// Ed25519 public key of the only miner that may answer.
    pub miner_id: Option<EncodedKey>,
    /// Ed25519 public key of the validator that signs receipts.
    pub validator_id: Option<EncodedKey>,
}

/// The fields that every kind of work has, as they are read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommonFields {
    version: u64,
    challenge_type: String,
    gpu_pow_seed: Digest,
    validator_nonce: Digest,
    num_iterations: u64,
    sync_interval: u64,
    verification_sample_rate: f64,
    samples_per_iteration: u64,
    issued_at: String,
    expires_at: String,
    #[serde(default, deserialize_with = "present")]
    gpu_count: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    gpu_model: Option<String>,
    #[serde(default, deserialize_with = "present")]
    min_memory_bytes: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    max_duration_ms: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    min_sm_utilization: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    miner_id: Option<EncodedKey>,
    #[serde(default, deserialize_with = "present")]
    validator_id: Option<EncodedKey>,
}

impl ChallengeSpec {
    /// Takes an object's members. Version and type are looked at first: what another
    /// version or an unknown type has for fields is not for this program to say.
    pub(super) fn read(mut members: Map<String, Value>) -> Result<Self, ChallengeError> {
        let malformed =
            |error: serde_json::Error| ChallengeError::Malformed { cause: printable(&error) };
        if let Some(got) = members.get("version").and_then(Value::as_u64)
            && got != VERSION
        {
            return Err(ChallengeError::Version { got });
        }
        let named = members.get("challenge_type").and_then(Value::as_str).map(str::to_owned);
        let names = match &named {
            Some(name) => WorkFields::names(name)
                .ok_or_else(|| ChallengeError::Type { got: printable(name) })?,
            // What is missing or of another type is found below.
            None => &[],
        };
        let own = names.iter().filter_map(|&name| members.remove_entry(name)).collect();
        let common: CommonFields =
            serde_json::from_value(Value::Object(members)).map_err(malformed)?;
        let work = WorkFields::read(&common.challenge_type, own).map_err(malformed)?;
        Ok(Self {
            version: common.version,
            work,
            gpu_pow_seed: common.gpu_pow_seed,
            validator_nonce: common.validator_nonce,
            num_iterations: common.num_iterations,
            sync_interval: common.sync_interval,
            verification_sample_rate: common.verification_sample_rate,
            samples_per_iteration: common.samples_per_iteration,
            issued_at: common.issued_at,
            expires_at: common.expires_at,
            gpu_count: common.gpu_count,
            gpu_model: common.gpu_model,
            min_memory_bytes: common.min_memory_bytes,
            max_duration_ms: common.max_duration_ms,
            min_sm_utilization: common.min_sm_utilization,
            miner_id: common.miner_id,
            validator_id: common.validator_id,
        })
    }
}

/// In the order of the protocol's table, the kind's own fields after the nonce.
impl Serialize for ChallengeSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", &self.version)?;
        map.serialize_entry("challenge_type", self.work.challenge_type())?;
        map.serialize_entry("gpu_pow_seed", &self.gpu_pow_seed)?;
        map.serialize_entry("validator_nonce", &self.validator_nonce)?;
        for (name, value) in self.work.entries() {
            map.serialize_entry(name, &value)?;
        }
        map.serialize_entry("num_iterations", &self.num_iterations)?;
        map.serialize_entry("sync_interval", &self.sync_interval)?;
        map.serialize_entry("verification_sample_rate", &self.verification_sample_rate)?;
        map.serialize_entry("samples_per_iteration", &self.samples_per_iteration)?;
        map.serialize_entry("issued_at", &self.issued_at)?;
        map.serialize_entry("expires_at", &self.expires_at)?;
        macro_rules! optional {
            ($($name:ident),+) => {
                $(if let Some(value) = &self.$name {
                    map.serialize_entry(stringify!($name), value)?;
                })+
            };
        }
        optional!(
            gpu_count,
            gpu_model,
            min_memory_bytes,
            max_duration_ms,
            min_sm_utilization,
            miner_id,
            validator_id
        );
        map.end()
    }
}
