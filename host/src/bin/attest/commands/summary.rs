//! What `attest inspect` shows of a result: counted while it is read, not kept.

use crate::paint::grouped;
use attest::protocol::challenge::LANES_MAX;
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::evidence::claims::Claims;
use attest::protocol::names::{Coin, Commitment};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::{Value, json};
use std::fmt::{self, Write as _};
use std::io::Read;
use std::marker::PhantomData;

/// A result's heads and the lengths of its lists. Fields that it does not know
/// are ignored: nothing is verified here.
#[derive(Deserialize)]
pub struct Summary {
    version: u64,
    challenge_digest: Digest,
    commitment: Commitment,
    coin: Option<Coin>,
    #[serde(deserialize_with = "lanes")]
    lanes: Vec<Lane>,
    evidence: Claims,
    openings: Count,
    #[serde(default)]
    device_reports: Count,
    miner_signature: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Lane {
    uuid: Uuid,
    iteration_roots: Count,
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

    fn model(&self, lane: usize) -> &str {
        self.evidence.lane(lane).model.as_deref().unwrap_or("no model named")
    }

    fn executor(&self) -> &str {
        self.evidence.document().executor.as_deref().unwrap_or("none named")
    }

    /// For `--json`.
    pub fn to_json(&self) -> Value {
        let lane = |(index, lane): (usize, &Lane)| {
            json!({
                "uuid": lane.uuid,
                "iterations": lane.iteration_roots.0,
                "claimed_model": self.model(index),
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
            "lanes": self.lanes.iter().enumerate().map(lane).collect::<Vec<Value>>(),
            "openings": self.openings.0,
            "device_reports": self.device_reports.0,
            "signed": self.miner_signature.is_some(),
        })
    }

    /// For people. What a stranger wrote is escaped: this goes to a terminal.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let mut line = |name: &str, value: &dyn fmt::Display| {
            let _ = writeln!(out, "{name:<14}{value}");
        };
        line("result", &format_args!("{} (not verified)", self.commitment));
        line("challenge", &self.challenge_digest);
        line("session", &self.coin.map_or("none: no coin", |_| "live: it has a coin"));
        line("executor", &format_args!("{} (claimed)", self.executor().escape_debug()));
        for (index, lane) in self.lanes.iter().enumerate() {
            let model = self.model(index).escape_debug();
            let iterations = grouped(lane.iteration_roots.0);
            let text = format!("{} {model}, {iterations} iterations", lane.uuid);
            line(&format!("lane {index}"), &text);
        }
        line("openings", &grouped(self.openings.0));
        let signed = self.miner_signature.as_ref().map_or("no", |_| "by the miner, not checked");
        line("signed", &signed);
        out
    }
}
