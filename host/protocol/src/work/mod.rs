//! Kinds of work: how an iteration turns a state into leaves.
//!
//! Everything else (challenge, lanes, chain, trees, samples, openings, verification) is
//! shared by all kinds and asks a [`Work`] for what it has to know: how many leaves an
//! iteration has, which of them form a complete subtree, what it costs, and how it is
//! told in a verdict.
//!
//! Guarantees: a [`Work`] keeps every bound of its kind; whatever follows from it fits
//! its type.
//! Deliberately lacks: any means of computing leaves, rates of devices, and policy.

pub mod fp64_product;
pub mod integer_product;
pub mod memory_residency;
mod square_tiles;

use crate::challenge::ChallengeError;
use crate::names::State;
use fp64_product::{Fp64Fields, Fp64Product};
use integer_product::{IntegerFields, IntegerProduct};
use memory_residency::{MemoryFields, MemoryResidency};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt;
use std::time::Duration;

/// The work of one iteration on one lane, of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// `matrix_multiplication_pow`.
    Fp64Product(Fp64Product),
    /// `memory_residency_pow`.
    MemoryResidency(MemoryResidency),
    /// `integer_multiplication_pow`.
    IntegerProduct(IntegerProduct),
}

/// The fields of a challenge that belong to its kind of work, as they are written: not
/// yet within their bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkFields {
    /// `matrix_multiplication_pow`.
    Fp64Product(Fp64Fields),
    /// `memory_residency_pow`.
    MemoryResidency(MemoryFields),
    /// `integer_multiplication_pow`.
    IntegerProduct(IntegerFields),
}

/// What is counted of a kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Binary64 operations: a fused multiply-add is two.
    Flop,
    /// Bytes read.
    Bytes,
    /// Operations on integers: a multiply-add is two.
    Operations,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flop => "FLOP",
            Self::Bytes => "B",
            Self::Operations => "OP",
        })
    }
}

impl Unit {
    /// One of it a second.
    pub fn per_second(self) -> &'static str {
        match self {
            Self::Flop => "FLOP/s",
            Self::Bytes => "B/s",
            Self::Operations => "OPS",
        }
    }
}

/// How much work something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// How many of them.
    pub amount: u64,
    /// Of what.
    pub unit: Unit,
}

/// What all leaves of a run follow from, apart from the states of its iterations.
#[derive(Clone, Copy, Debug)]
pub struct RunInputs<'a> {
    /// The work of each iteration.
    pub work: Work,
    /// s(g,0) of every lane, in lane order.
    pub seeds: &'a [State],
}

/// An iteration of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IterationPlace {
    /// Index of the lane, from 0 (g).
    pub lane: u32,
    /// i, from 1.
    pub iteration: u32,
    /// s(g,i−1).
    pub state: State,
}

impl IterationPlace {
    /// The first iteration of lane 0, for kinds of work whose leaves follow from the
    /// state alone.
    pub fn of_state(state: State) -> Self {
        Self { lane: 0, iteration: 1, state }
    }
}

impl Work {
    /// `challenge_type` on the wire.
    pub fn challenge_type(self) -> &'static str {
        match self {
            Self::Fp64Product(_) => fp64_product::CHALLENGE_TYPE,
            Self::MemoryResidency(_) => memory_residency::CHALLENGE_TYPE,
            Self::IntegerProduct(_) => integer_product::CHALLENGE_TYPE,
        }
    }

    /// L, the leaves of one iteration.
    pub fn leaves(self) -> u64 {
        match self {
            Self::Fp64Product(work) => work.leaves(),
            Self::MemoryResidency(work) => work.leaves(),
            Self::IntegerProduct(work) => work.leaves(),
        }
    }

    /// Consecutive leaves that form a tile, which is a complete subtree: a power of two.
    pub fn leaves_per_tile(self) -> u64 {
        match self {
            Self::Fp64Product(_) => u64::from(fp64_product::LEAVES_PER_TILE),
            Self::MemoryResidency(_) => u64::from(memory_residency::LEAVES_PER_TILE),
            Self::IntegerProduct(_) => u64::from(integer_product::LEAVES_PER_TILE),
        }
    }

    /// Tiles of one iteration.
    pub fn tiles(self) -> u64 {
        self.leaves() / self.leaves_per_tile()
    }

    /// Bytes that each lane has to keep in its memory, by the rules of the kind.
    pub fn resident_bytes(self) -> u64 {
        match self {
            Self::Fp64Product(_) | Self::IntegerProduct(_) => 0,
            Self::MemoryResidency(work) => work.arena_bytes(),
        }
    }

    /// What one iteration costs.
    pub fn cost(self) -> Cost {
        match self {
            Self::Fp64Product(work) => Cost { amount: 2 * work.multiply_adds(), unit: Unit::Flop },
            Self::MemoryResidency(work) => Cost { amount: work.sweep_bytes(), unit: Unit::Bytes },
            Self::IntegerProduct(work) => {
                Cost { amount: 2 * work.multiply_adds(), unit: Unit::Operations }
            }
        }
    }

    /// What was done a second at least, rounded down, if `iterations` of it took `elapsed` and
    /// the share `left_out` may be missing; `None` if no time passed.
    pub fn done_per_s(self, iterations: u32, elapsed: Duration, left_out: f64) -> Option<u64> {
        let elapsed_s = elapsed.as_secs_f64();
        let amount = self.cost().amount as f64 * f64::from(iterations);
        (elapsed_s > 0.0).then_some((amount * (1.0 - left_out) / elapsed_s) as u64)
    }

    /// What it costs a miner to open a leaf: the work of its tile.
    pub fn opening_cost(self) -> Cost {
        let Cost { amount, unit } = self.cost();
        Cost { amount: amount / self.tiles(), unit }
    }

    /// What `lanes` lanes do in `iterations` iterations, in words.
    pub fn run_in_words(self, lanes: u32, iterations: u32) -> String {
        match self {
            Self::Fp64Product(work) => work.run_in_words(lanes, iterations),
            Self::MemoryResidency(work) => work.run_in_words(lanes, iterations),
            Self::IntegerProduct(work) => work.run_in_words(lanes, iterations),
        }
    }

    /// Its parameters by the letters of docs/protocol.md, for tables.
    pub fn in_short(self) -> String {
        match self {
            Self::Fp64Product(work) => format!("n={} m={}", work.dim, work.products),
            Self::MemoryResidency(work) => {
                format!("N={} p={} K={}", work.arena_blocks, work.half_passes, work.peer_blocks)
            }
            Self::IntegerProduct(work) => format!("n={} m={}", work.dim, work.products),
        }
    }

    /// The FP64 products, if that is its kind.
    pub fn fp64_product(self) -> Option<Fp64Product> {
        match self {
            Self::Fp64Product(work) => Some(work),
            Self::MemoryResidency(_) | Self::IntegerProduct(_) => None,
        }
    }

    /// The arenas, if that is its kind.
    pub fn memory_residency(self) -> Option<MemoryResidency> {
        match self {
            Self::MemoryResidency(work) => Some(work),
            Self::Fp64Product(_) | Self::IntegerProduct(_) => None,
        }
    }

    /// The int8 products, if that is its kind.
    pub fn integer_product(self) -> Option<IntegerProduct> {
        match self {
            Self::IntegerProduct(work) => Some(work),
            Self::Fp64Product(_) | Self::MemoryResidency(_) => None,
        }
    }
}

impl From<Fp64Product> for Work {
    fn from(work: Fp64Product) -> Self {
        Self::Fp64Product(work)
    }
}

impl From<MemoryResidency> for Work {
    fn from(work: MemoryResidency) -> Self {
        Self::MemoryResidency(work)
    }
}

impl From<IntegerProduct> for Work {
    fn from(work: IntegerProduct) -> Self {
        Self::IntegerProduct(work)
    }
}

/// As in a table: what one iteration is.
impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fp64Product(work) => work.fmt(f),
            Self::MemoryResidency(work) => work.fmt(f),
            Self::IntegerProduct(work) => work.fmt(f),
        }
    }
}

impl WorkFields {
    /// Every `challenge_type` that is known.
    pub const TYPES: [&str; 3] = [
        fp64_product::CHALLENGE_TYPE,
        memory_residency::CHALLENGE_TYPE,
        integer_product::CHALLENGE_TYPE,
    ];

    /// The names of the fields that a kind has of its own; `None` for an unknown type.
    pub fn names(challenge_type: &str) -> Option<&'static [&'static str]> {
        match challenge_type {
            fp64_product::CHALLENGE_TYPE => Some(&Fp64Fields::NAMES),
            memory_residency::CHALLENGE_TYPE => Some(&MemoryFields::NAMES),
            integer_product::CHALLENGE_TYPE => Some(&IntegerFields::NAMES),
            _ => None,
        }
    }

    /// Reads the fields of a known type.
    ///
    /// # Errors
    /// One that is missing or of the wrong form; an unknown type.
    pub(crate) fn read(
        challenge_type: &str,
        fields: Map<String, Value>,
    ) -> Result<Self, serde_json::Error> {
        let fields = Value::Object(fields);
        match challenge_type {
            fp64_product::CHALLENGE_TYPE => serde_json::from_value(fields).map(Self::Fp64Product),
            memory_residency::CHALLENGE_TYPE => {
                serde_json::from_value(fields).map(Self::MemoryResidency)
            }
            integer_product::CHALLENGE_TYPE => {
                serde_json::from_value(fields).map(Self::IntegerProduct)
            }
            other => Err(serde::de::Error::custom(format!("unknown challenge type {other:?}"))),
        }
    }

    /// `challenge_type` on the wire.
    pub fn challenge_type(&self) -> &'static str {
        match self {
            Self::Fp64Product(_) => fp64_product::CHALLENGE_TYPE,
            Self::MemoryResidency(_) => memory_residency::CHALLENGE_TYPE,
            Self::IntegerProduct(_) => integer_product::CHALLENGE_TYPE,
        }
    }

    /// Name and value of each field, in the order of the protocol's table.
    pub fn entries(&self) -> Vec<(&'static str, u64)> {
        match self {
            Self::Fp64Product(fields) => fields.entries().to_vec(),
            Self::MemoryResidency(fields) => fields.entries().to_vec(),
            Self::IntegerProduct(fields) => fields.entries().to_vec(),
        }
    }

    /// The work that they describe.
    ///
    /// # Errors
    /// The first field outside its bounds.
    pub fn check(&self, gpu_count: Option<u64>) -> Result<Work, ChallengeError> {
        match self {
            Self::Fp64Product(fields) => fields.check().map(Work::Fp64Product),
            Self::MemoryResidency(fields) => fields.check(gpu_count).map(Work::MemoryResidency),
            Self::IntegerProduct(fields) => fields.check().map(Work::IntegerProduct),
        }
    }
}
