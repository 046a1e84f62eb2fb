//! Evidence: what a miner says about its devices, bound into the commitment by
//! the digest of its RFC 8785 form.
//!
//! ```text
//! document    the whole document, as types       machine, telemetry   parts of it
//! described   one declaration an object, from which come what is written and what is read
//! claims      what a document claims, read leniently
//! ```
//!
//! Guarantees: an [`Evidence`] has the required fields with their types, only
//! integers below 2⁵³ in magnitude as numbers, no null, at most [`VALUES_MAX`]
//! JSON values, and a canonical form of at most [`CANONICAL_BYTES_MAX`]. [`Evidence::agrees_with`] adds that it
//! fits itself, the lanes and the challenge.
//! Deliberately lacks: any judgement of whether it is true. All of it is claimed.

pub mod claims;
pub mod described;
pub mod document;
pub mod machine;
pub mod telemetry;

use super::challenge::{Challenge, INTEGER_MAX};
use super::digest::{Digest, Uuid};
use super::json::NESTING_MAX;
use super::quantity::about;
use claims::Claims;
use serde::Serialize;
use serde_json::{Map, Number, Value};
use std::sync::{Arc, OnceLock};

/// Longest RFC 8785 form, bytes.
pub const CANONICAL_BYTES_MAX: usize = 1024 * 1024;
/// Most JSON values, the document itself, objects and arrays included. A value takes up
/// to a few hundred bytes once it is parsed, whatever its text has.
pub const VALUES_MAX: usize = 32_768;
/// The evidence schema of protocol version 1.
pub const SCHEMA: u64 = 1;
/// How `sm_monitoring` starts if a GPU has no counters.
pub const UNAVAILABLE: &str = "unavailable: ";
/// What a lane reports if its device signs reports.
pub const AVAILABLE: &str = "available";

/// "gpu" or "cpu".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceExecutor {
    /// CUDA devices.
    Gpu,
    /// The host's cores.
    Cpu,
}

/// The required fields of one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceLane {
    /// Equal to the result's.
    pub uuid: Uuid,
    /// Device name.
    pub model: String,
    /// Device memory, bytes.
    pub memory_bytes: u64,
    /// SMs; 0 with executor "cpu".
    pub sm_count: u64,
    /// Tiles per SM, or empty.
    pub sm_tiles: Vec<u64>,
    /// Why there are no counters; `None` also if the field is no string.
    pub sm_monitoring: Option<String>,
}

/// A well-formed evidence document.
///
/// It is kept as its RFC 8785 form and parsed again by whoever asks for more than the
/// required fields: small objects take fifty times their text once they are parsed, and
/// a validator holds the evidence of many sessions. A clone shares the text, and starts
/// without what the other has parsed.
#[derive(Debug)]
pub struct Evidence {
    canonical: Arc<[u8]>,
    executor: EvidenceExecutor,
    lanes: Arc<[EvidenceLane]>,
    parsed: OnceLock<Value>,
    claims: OnceLock<Box<Claims>>,
}

impl Clone for Evidence {
    fn clone(&self) -> Self {
        let (canonical, lanes) = (Arc::clone(&self.canonical), Arc::clone(&self.lanes));
        let (parsed, claims) = (OnceLock::new(), OnceLock::new());
        Self { canonical, executor: self.executor, lanes, parsed, claims }
    }
}

impl PartialEq for Evidence {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

/// Why a document is no evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// A required field is missing or of the wrong type.
    #[error("evidence field {field} must be {expected}\nUse a miner of protocol version 1.")]
    Field {
        /// Where, as `lanes[0].uuid`.
        field: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A number that is real, or too large.
    #[error(
        "evidence holds the number {got}; only integers below 2^53 in magnitude are allowed\nWrite other numbers as strings."
    )]
    Number {
        /// The number found.
        got: String,
    },
    /// A null.
    #[error("evidence holds a null\nLeave the field out.")]
    Null,
    /// Nested too deep.
    #[error("evidence is nested too deep: a result may nest {NESTING_MAX} levels\nFlatten it.")]
    TooDeep,
    /// Too many values.
    #[error("evidence holds {got} JSON values; at most {VALUES_MAX} are allowed\nReport less.")]
    TooManyValues {
        /// How many it holds.
        got: usize,
    },
    /// Too long.
    #[error(
        "evidence has {got_bytes} bytes in canonical form; at most {CANONICAL_BYTES_MAX} are allowed\nReport less."
    )]
    TooLarge {
        /// Its canonical length.
        got_bytes: usize,
    },
}

/// How evidence contradicts itself, the lanes or the challenge.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Disagreement {
    /// Its own fields contradict each other.
    #[error("lane {lane}: {what}")]
    Itself {
        /// Index of the lane, from 0 (g).
        lane: usize,
        /// The contradiction.
        what: String,
    },
    /// It describes another number of lanes than the result has.
    #[error("evidence describes {got} lanes, the result has {expected}")]
    LaneCount {
        /// Lanes of the result.
        expected: usize,
        /// Lanes of the evidence.
        got: usize,
    },
    /// A lane's UUID differs from the result's.
    #[error("lane {lane}: uuid is {got} in the evidence and {expected} in the result")]
    LaneUuid {
        /// Index of the lane, from 0 (g).
        lane: usize,
        /// In the result.
        expected: Uuid,
        /// In the evidence.
        got: Uuid,
    },
    /// The SM counters don't add up to the run's tiles.
    #[error("lane {lane}: sm_tiles sum to {got}, the run has {expected} tiles")]
    TileSum {
        /// Index of the lane, from 0 (g).
        lane: usize,
        /// Tiles of an iteration times T.
        expected: u64,
        /// Their sum.
        got: u128,
    },
    /// Another model than the challenge asks for.
    #[error("lane {lane}: model is {got:?}, the challenge asks for {expected:?}")]
    Model {
        /// Index of the lane, from 0 (g).
        lane: usize,
        /// gpu_model.
        expected: String,
        /// Reported.
        got: String,
    },
    /// Less memory than the challenge asks for.
    #[error(
        "lane {lane}: memory_bytes is {got_bytes}{unknown}, the challenge asks for {expected_bytes}",
        unknown = if *got_bytes == 0 { " (not known)" } else { "" }
    )]
    Memory {
        /// Index of the lane, from 0 (g).
        lane: usize,
        /// min_memory_bytes, or what the work keeps in memory if that is more.
        expected_bytes: u64,
        /// Reported.
        got_bytes: u64,
    },
    /// Fewer SMs took part than the challenge asks for.
    #[error("lane {lane}: {got} of its SMs worked, the challenge asks for {expected}")]
    SmUtilization {
        /// Index of the lane, from 0 (g).
        lane: usize,
        /// min_sm_utilization.
        expected: f64,
        /// Entries above 0 ÷ sm_count; 0 without counters.
        got: f64,
    },
}

impl Evidence {
    /// Takes a document whose form is right. Its place in a result costs one
    /// level of nesting.
    ///
    /// # Errors
    /// The first rule of form that it breaks.
    pub fn from_value(value: Value) -> Result<Self, EvidenceError> {
        check_values(&value, NESTING_MAX - 1)?;
        let got = count(&value);
        if got > VALUES_MAX {
            return Err(EvidenceError::TooManyValues { got });
        }
        let object = value.as_object().ok_or_else(|| wrong("evidence", "an object"))?;
        if object.get("schema").and_then(Value::as_u64) != Some(SCHEMA) {
            return Err(wrong("schema", "1"));
        }
        let executor = match object.get("executor").and_then(Value::as_str) {
            Some("gpu") => EvidenceExecutor::Gpu,
            Some("cpu") => EvidenceExecutor::Cpu,
            _ => return Err(wrong("executor", "\"gpu\" or \"cpu\"")),
        };
        let lanes = object
            .get("lanes")
            .and_then(Value::as_array)
            .ok_or_else(|| wrong("lanes", "an array"))?
            .iter()
            .enumerate()
            .map(|(index, lane)| read_lane(index, lane))
            .collect::<Result<Arc<[_]>, _>>()?;
        let canonical = serde_json_canonicalizer::to_vec(&value)
            .expect("a value without real numbers has a canonical form");
        if canonical.len() > CANONICAL_BYTES_MAX {
            return Err(EvidenceError::TooLarge { got_bytes: canonical.len() });
        }
        let (parsed, claims) = (OnceLock::new(), OnceLock::new());
        Ok(Self { canonical: canonical.into(), executor, lanes, parsed, claims })
    }

    /// The RFC 8785 form.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }
    /// e, the digest of the RFC 8785 form.
    pub fn digest(&self) -> Digest {
        Digest::of(&[&self.canonical])
    }
    /// The document, parsed by the first call.
    pub fn value(&self) -> &Value {
        self.parsed.get_or_init(|| self.parse())
    }
    /// What it claims beyond the required fields, read by the first call.
    pub fn claims(&self) -> &Claims {
        let read = || match self.parsed.get() {
            Some(value) => Claims::of(value),
            None => Claims::of(&self.parse()),
        };
        self.claims.get_or_init(|| Box::new(read()))
    }
    fn parse(&self) -> Value {
        serde_json::from_slice(&self.canonical).expect("its own canonical form")
    }
    /// Gives up what [`Evidence::value`] and [`Evidence::claims`] have read.
    pub fn forget_parsed(&mut self) {
        self.parsed.take();
        self.claims.take();
    }
    /// The required fields of the lanes, in lane order.
    pub fn lanes(&self) -> &[EvidenceLane] {
        &self.lanes
    }
    /// What computed.
    pub fn executor(&self) -> EvidenceExecutor {
        self.executor
    }

    /// Whether it agrees with itself, with the result's lanes and with the
    /// challenge.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn agrees_with(&self, challenge: &Challenge, uuids: &[Uuid]) -> Result<(), Disagreement> {
        if self.lanes.len() != uuids.len() {
            let (expected, got) = (uuids.len(), self.lanes.len());
            return Err(Disagreement::LaneCount { expected, got });
        }
        let tiles = challenge.work().tiles() * u64::from(challenge.iterations());
        for (lane, (facts, uuid)) in self.lanes.iter().zip(uuids).enumerate() {
            self.agrees_with_itself(lane, facts)?;
            if facts.uuid != *uuid {
                return Err(Disagreement::LaneUuid { lane, expected: *uuid, got: facts.uuid });
            }
            let sum: u128 = facts.sm_tiles.iter().map(|&tiles| u128::from(tiles)).sum();
            if !facts.sm_tiles.is_empty() && sum != u128::from(tiles) {
                return Err(Disagreement::TileSum { lane, expected: tiles, got: sum });
            }
            facts.meets(lane, challenge)?;
        }
        Ok(())
    }

    fn agrees_with_itself(&self, lane: usize, facts: &EvidenceLane) -> Result<(), Disagreement> {
        let contradiction = |what: String| Err(Disagreement::Itself { lane, what });
        let (entries, count) = (facts.sm_tiles.len(), facts.sm_count);
        match self.executor {
            EvidenceExecutor::Cpu if entries != 0 || count != 0 => contradiction(format!(
                "executor is \"cpu\", yet sm_count is {count} and sm_tiles has {entries} entries"
            )),
            EvidenceExecutor::Gpu if entries == 0 && !facts.says_unavailable() => contradiction(
                format!("sm_tiles is empty and sm_monitoring doesn't start {UNAVAILABLE:?}"),
            ),
            EvidenceExecutor::Gpu if entries != 0 && entries as u64 != count => {
                contradiction(format!("sm_tiles has {entries} entries, sm_count is {count}"))
            }
            _ => Ok(()),
        }
    }
}

impl EvidenceLane {
    fn says_unavailable(&self) -> bool {
        self.sm_monitoring.as_ref().is_some_and(|why| why.starts_with(UNAVAILABLE))
    }

    /// The memory in words: 0 is what a machine reports that does not know it.
    pub fn memory_text(&self) -> String {
        match self.memory_bytes {
            0 => "memory not known".to_owned(),
            bytes => format!("{} of memory", about(bytes as f64, "B")),
        }
    }

    /// Entries of sm_tiles above 0 ÷ sm_count; 0 without counters.
    pub fn sm_utilization(&self) -> f64 {
        match self.sm_tiles.len() {
            0 => 0.0,
            _ => {
                let used = self.sm_tiles.iter().filter(|&&tiles| tiles > 0).count();
                used as f64 / self.sm_count as f64
            }
        }
    }

    fn meets(&self, lane: usize, challenge: &Challenge) -> Result<(), Disagreement> {
        let spec = challenge.spec();
        if let Some(expected) = spec.gpu_model.as_ref().filter(|model| **model != self.model) {
            let (expected, got) = (expected.clone(), self.model.clone());
            return Err(Disagreement::Model { lane, expected, got });
        }
        let asked_bytes = spec.min_memory_bytes.unwrap_or(0);
        let expected_bytes = asked_bytes.max(challenge.work().resident_bytes());
        let got_bytes = self.memory_bytes;
        if got_bytes < expected_bytes {
            return Err(Disagreement::Memory { lane, expected_bytes, got_bytes });
        }
        let (expected, got) = (spec.min_sm_utilization.unwrap_or(0.0), self.sm_utilization());
        if got < expected {
            return Err(Disagreement::SmUtilization { lane, expected, got });
        }
        Ok(())
    }
}

fn wrong(field: impl Into<String>, expected: &'static str) -> EvidenceError {
    EvidenceError::Field { field: field.into(), expected }
}

/// No null, no number but integers below 2⁵³ in magnitude, not too deep.
fn check_values(value: &Value, levels_left: usize) -> Result<(), EvidenceError> {
    let below = || levels_left.checked_sub(1).ok_or(EvidenceError::TooDeep);
    match value {
        Value::Null => Err(EvidenceError::Null),
        Value::Number(number) if !is_exact_integer(number) => {
            Err(EvidenceError::Number { got: number.to_string() })
        }
        Value::Array(values) => {
            let below = below()?;
            values.iter().try_for_each(|value| check_values(value, below))
        }
        Value::Object(members) => {
            let below = below()?;
            members.values().try_for_each(|value| check_values(value, below))
        }
        _ => Ok(()),
    }
}

/// JSON values, `value` itself and all that it holds.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(values) => values.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

fn is_exact_integer(number: &Number) -> bool {
    let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    magnitude.is_some_and(|magnitude| magnitude <= INTEGER_MAX)
}

fn read_lane(index: usize, lane: &Value) -> Result<EvidenceLane, EvidenceError> {
    let at = |name: &str| format!("lanes[{index}].{name}");
    let lane = lane.as_object().ok_or_else(|| wrong(format!("lanes[{index}]"), "an object"))?;
    let text = |name: &str| lane.get(name).and_then(Value::as_str);
    let integer = |name: &str| {
        lane.get(name).and_then(Value::as_u64).ok_or_else(|| wrong(at(name), "an integer >= 0"))
    };
    Ok(EvidenceLane {
        uuid: text("uuid")
            .and_then(|uuid| uuid.parse().ok())
            .ok_or_else(|| wrong(at("uuid"), "32 lower-case hex digits"))?,
        model: text("model").ok_or_else(|| wrong(at("model"), "a string"))?.to_owned(),
        memory_bytes: integer("memory_bytes")?,
        sm_count: integer("sm_count")?,
        sm_tiles: read_sm_tiles(lane)
            .ok_or_else(|| wrong(at("sm_tiles"), "an array of decimal strings below 2^64"))?,
        sm_monitoring: text("sm_monitoring").map(str::to_owned),
    })
}

fn read_sm_tiles(lane: &Map<String, Value>) -> Option<Vec<u64>> {
    let canonical = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        (digits && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok())?
    };
    lane.get("sm_tiles")?.as_array()?.iter().map(|entry| canonical(entry.as_str()?)).collect()
}
