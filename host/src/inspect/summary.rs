//! What can be said of a result without its challenge: counted while it is read, not kept.

use crate::protocol::challenge::LANES_MAX;
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::evidence::claims::Claims;
use crate::protocol::names::{Coin, Commitment};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::{Value, json};
use std::fmt;
use std::io::Read;
use std::marker::PhantomData;

/// A result's heads and the lengths of its lists. Fields that it does not know
/// are ignored: nothing is verified here.
#[derive(Deserialize)]
pub struct Summary {
    version: u64,
    /// Of the challenge that it answers.
    pub challenge_digest: Digest,
    /// Of the result.
    pub commitment: Commitment,
    /// Of its live session, if it had one.
    pub coin: Option<Coin>,
    #[serde(deserialize_with = "lanes")]
    lanes: Vec<Lane>,
    evidence: Claims,
    openings: Count,
    #[serde(default)]
    device_reports: Count,
    machine_report: Option<IgnoredAny>,
    miner_signature: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Lane {
    uuid: Uuid,
    iteration_roots: Count,
}

/// What a result says of one lane.
#[derive(Clone, Copy, Debug)]
pub struct LaneSummary<'a> {
    /// Of its device.
    pub uuid: Uuid,
    /// How many iterations have roots.
    pub iterations: u64,
    /// The claimed model.
    pub model: &'a str,
}

/// No more lanes than a result can have: a stranger's list is not kept, however long.
fn lanes<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Vec<T>, D::Error> {
    struct Bounded<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {LANES_MAX} lanes")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut lanes = Vec::new();
            while let Some(lane) = seq.next_element()? {
                lanes.push(lane);
                if lanes.len() > LANES_MAX as usize {
                    return Err(A::Error::invalid_length(lanes.len(), &self));
                }
            }
            Ok(lanes)
        }
    }
    d.deserialize_seq(Bounded(PhantomData))
}

/// The length of a list whose entries are thrown away.
#[derive(Default)]
struct Count(u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Counting;
        impl<'de> Visitor<'de> for Counting {
            type Value = Count;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Count, A::Error> {
                let mut count = 0;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }
        }
        d.deserialize_seq(Counting)
    }
}

impl Summary {
    /// Reads exactly one result.
    ///
    /// # Errors
    /// No JSON, a field that is missing or of another type, more than one value.
    pub fn read(reader: impl Read) -> serde_json::Result<Self> {
        serde_json::from_reader(reader)
    }

    /// Its lanes, in their order.
    pub fn lanes(&self) -> impl Iterator<Item = LaneSummary<'_>> {
        self.lanes.iter().enumerate().map(|(index, lane)| LaneSummary {
            uuid: lane.uuid,
            iterations: lane.iteration_roots.0,
            model: self.evidence.lane(index).model.as_deref().unwrap_or("no model named"),
        })
    }

    /// How many openings it has.
    pub fn openings(&self) -> u64 {
        self.openings.0
    }

    /// Whether it has a signature. It is not checked.
    pub fn is_signed(&self) -> bool {
        self.miner_signature.is_some()
    }

    /// The executor that it claims.
    pub fn executor(&self) -> &str {
        self.evidence.document().executor.as_deref().unwrap_or("none named")
    }

    /// The JSON form.
    pub fn to_json(&self) -> Value {
        let lane = |lane: LaneSummary<'_>| {
            json!({
                "uuid": lane.uuid,
                "iterations": lane.iterations,
                "claimed_model": lane.model,
            })
        };
        json!({
            "kind": "result",
            "verified": false,
            "version": self.version,
            "challenge_digest": self.challenge_digest,
            "commitment": self.commitment,
            "coin": self.coin,
            "claimed_executor": self.executor(),
            "lanes": self.lanes().map(lane).collect::<Vec<Value>>(),
            "openings": self.openings(),
            "device_reports": self.device_reports.0,
            "machine_report": self.machine_report.is_some(),
            "signed": self.is_signed(),
        })
    }
}
