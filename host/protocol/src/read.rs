//! Reading a result's fields from JSON of a stranger.
//!
//! Guarantees: at most as many bytes are taken from the reader as a result to
//! the challenge may have; no list holds more entries than it may, and evidence no
//! more values, at any moment; unknown and duplicate fields, nulls, and arrays in the place of
//! objects are errors.
//! Deliberately lacks: everything that needs two fields at once.

pub(super) use parts::{OpeningFields, commitment_fields_of, opening_fields_of};

use super::challenge::Challenge;
use super::device_report::{Bytes, CERTIFICATES_BYTES_MAX, DeviceReport, REPORT_BYTES_MAX};
use super::digest::{Digest, Uuid, hex_array_from};
use super::evidence::{CANONICAL_BYTES_MAX, VALUES_MAX};
use super::json::{Budget, NESTING_MAX, StrictValue, printable};
use super::machine_report::{AUXILIARY_BYTES_MAX, MachineKind, MachineReport, QUOTE_BYTES_MAX};
use super::merkle::path_len;
use super::names::{Commitment, Root};
use super::result::{FormError, LaneRoots, Opening, ReadError};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::marker::PhantomData;

/// What the challenge allows.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    bytes: u64,
    lanes: usize,
    roots: usize,
    openings: usize,
    path: usize,
}

impl Limits {
    pub(super) fn of(challenge: &Challenge) -> Self {
        let openings = u64::from(challenge.max_lanes()) * challenge.draws();
        Self {
            bytes: challenge.result_bytes_max(),
            lanes: challenge.max_lanes() as usize,
            roots: challenge.iterations() as usize,
            openings: openings as usize,
            // The first leaf's path is the longest.
            path: path_len(0, challenge.work().leaves()),
        }
    }

    fn too_large(&self) -> FormError {
        FormError::TooLarge { limit_bytes: self.bytes }
    }
}

/// The fields of a result as they were written.
pub(super) struct Fields {
    pub(super) version: u64,
    pub(super) challenge_digest: Digest,
    pub(super) commitment: Commitment,
    /// A zero one has a rejection of its own, so it is not refused here.
    pub(super) coin: Option<Digest>,
    pub(super) lanes: Vec<LaneRoots>,
    pub(super) evidence: Value,
    pub(super) openings: Vec<Opening>,
    pub(super) device_reports: Vec<DeviceReport>,
    pub(super) machine_report: Option<MachineReport>,
    pub(super) miner_signature: Option<[u8; 64]>,
}

/// Reads the fields from a stream.
pub(super) fn read_fields(reader: impl Read, limits: &Limits) -> Result<Fields, ReadError> {
    let limited = Limited { inner: reader, left_bytes: limits.bytes, is_over: false };
    let mut deserializer = serde_json::Deserializer::from_reader(BufReader::new(limited));
    let fields = ResultSeed(limits)
        .deserialize(&mut deserializer)
        .and_then(|fields| deserializer.end().map(|()| fields));
    fields.map_err(|error| {
        if !error.is_io() {
            return FormError::Malformed { cause: printable(&error) }.into();
        }
        let error = io::Error::from(error);
        match error.get_ref().is_some_and(|inner| inner.is::<OverLimit>()) {
            true => limits.too_large().into(),
            false => ReadError::Io(error),
        }
    })
}

/// Reads the fields from memory, which is faster.
pub(super) fn fields_of(bytes: &[u8], limits: &Limits) -> Result<Fields, FormError> {
    if bytes.len() as u64 > limits.bytes {
        return Err(limits.too_large());
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    ResultSeed(limits)
        .deserialize(&mut deserializer)
        .and_then(|fields| deserializer.end().map(|()| fields))
        .map_err(|error| FormError::Malformed { cause: printable(&error) })
}

/// A reader that fails, rather than ends, when there is more than the limit.
struct Limited<R> {
    inner: R,
    left_bytes: u64,
    is_over: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("more bytes than are allowed")]
struct OverLimit;

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left_bytes == 0 {
            // `serde_json` may ask again after an error; one byte too many is enough.
            self.is_over = self.is_over || self.inner.read(&mut [0])? > 0;
            return if self.is_over { Err(io::Error::other(OverLimit)) } else { Ok(0) };
        }
        let most = usize::try_from(self.left_bytes).map_or(buffer.len(), |n| n.min(buffer.len()));
        let got = self.inner.read(&mut buffer[..most])?;
        self.left_bytes -= got as u64;
        Ok(got)
    }
}

/// Reads the members of an object into locals of the fields' names, each through
/// its seed; any other, second or missing member is an error.
macro_rules! read_object {
    ($map:ident, required { $($name:ident: $seed:expr,)* } optional { $($option:ident: $option_seed:expr,)* }) => {
        $(let mut $name = None;)*
        $(let mut $option = None;)*
        while let Some(key) = $map.next_key::<String>()? {
            match key.as_str() {
                $(stringify!($name) => {
                    refuse_second(&$name, stringify!($name))?;
                    $name = Some($map.next_value_seed($seed)?);
                })*
                $(stringify!($option) => {
                    refuse_second(&$option, stringify!($option))?;
                    $option = Some($map.next_value_seed($option_seed)?);
                })*
                other => return Err(de::Error::custom(format!("unknown field {other:?}"))),
            }
        }
        $(let $name = $name.ok_or_else(|| de::Error::missing_field(stringify!($name)))?;)*
    };
}

fn refuse_second<T, E: de::Error>(slot: &Option<T>, name: &'static str) -> Result<(), E> {
    match slot {
        Some(_) => Err(E::duplicate_field(name)),
        None => Ok(()),
    }
}

/// A seed and visitor that takes an object and nothing else. (`serde`'s own
/// derived structs take an array of their fields, too.)
macro_rules! object_seed {
    ($seed:ty, $value:ty, $expecting:literal, |$self:ident, $map:ident| $body:block) => {
        impl<'de> DeserializeSeed<'de> for $seed {
            type Value = $value;
            fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<$value, D::Error> {
                d.deserialize_map(self)
            }
        }
        impl<'de> Visitor<'de> for $seed {
            type Value = $value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($expecting)
            }
            fn visit_map<A: MapAccess<'de>>($self, mut $map: A) -> Result<$value, A::Error> $body
        }
    };
}

mod parts;

#[derive(Clone, Copy)]
struct ResultSeed<'a>(&'a Limits);

object_seed!(ResultSeed<'_>, Fields, "a result: a JSON object", |self, map| {
    let Limits { lanes: most_lanes, openings: most_openings, .. } = *self.0;
    let budget = Budget::new(CANONICAL_BYTES_MAX, VALUES_MAX);
    read_object!(map,
        required {
            version: plain::<u64>(),
            challenge_digest: plain::<Digest>(),
            commitment: plain::<Commitment>(),
            lanes: List { seed: LaneSeed(self.0), limit: most_lanes, what: "lanes" },
            evidence: StrictValue::new(NESTING_MAX - 1, &budget),
            openings: List { seed: OpeningSeed(self.0), limit: most_openings, what: "openings" },
        }
        optional {
            coin: plain::<Digest>(),
            device_reports: List { seed: ReportSeed, limit: most_lanes, what: "device reports" },
            machine_report: MachineSeed,
            miner_signature: plain::<Signature>(),
        }
    );
    let miner_signature = miner_signature.map(|Signature(bytes)| bytes);
    Ok(Fields {
        version,
        challenge_digest,
        commitment,
        coin,
        lanes,
        evidence,
        openings,
        device_reports: device_reports.unwrap_or_default(),
        machine_report,
        miner_signature,
    })
});

#[derive(Clone, Copy)]
struct LaneSeed<'a>(&'a Limits);

object_seed!(LaneSeed<'_>, LaneRoots, "a lane: a JSON object", |self, map| {
    read_object!(map,
        required {
            uuid: plain::<Uuid>(),
            iteration_roots: List { seed: plain::<Root>(), limit: self.0.roots, what: "roots" },
        }
        optional {}
    );
    Ok(LaneRoots { uuid, iteration_roots })
});

#[derive(Clone, Copy)]
struct OpeningSeed<'a>(&'a Limits);

object_seed!(OpeningSeed<'_>, Opening, "an opening: a JSON object", |self, map| {
    read_object!(map,
        required {
            lane: plain::<u32>(),
            iteration: plain::<u32>(),
            leaf: plain::<u64>(),
            path: List { seed: plain::<Digest>(), limit: self.0.path, what: "digests" },
        }
        optional {}
    );
    Ok(Opening { lane, iteration, leaf, path })
});

#[derive(Clone, Copy)]
struct ReportSeed;

object_seed!(ReportSeed, DeviceReport, "a device report: a JSON object", |self, map| {
    let Self = self;
    read_object!(map,
        required {
            lane: plain::<u32>(),
            report: plain::<Bytes<REPORT_BYTES_MAX>>(),
            certificates: plain::<Bytes<CERTIFICATES_BYTES_MAX>>(),
        }
        optional {}
    );
    Ok(DeviceReport { lane, report, certificates })
});

#[derive(Clone, Copy)]
struct MachineSeed;

object_seed!(MachineSeed, MachineReport, "a machine report: a JSON object", |self, map| {
    let Self = self;
    read_object!(map,
        required {
            kind: plain::<MachineKind>(),
            quote: plain::<Bytes<QUOTE_BYTES_MAX>>(),
            auxiliary: plain::<Bytes<AUXILIARY_BYTES_MAX>>(),
        }
        optional {}
    );
    Ok(MachineReport { kind, quote, auxiliary })
});

/// Deserialises a list of at most `limit` entries, each through `seed`.
struct List<S> {
    seed: S,
    limit: usize,
    what: &'static str,
}

impl<'de, S: DeserializeSeed<'de> + Copy> DeserializeSeed<'de> for List<S> {
    type Value = Vec<S::Value>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'de, S: DeserializeSeed<'de> + Copy> Visitor<'de> for List<S> {
    type Value = Vec<S::Value>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {} {}", self.limit, self.what)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = seq.next_element_seed(self.seed)? {
            if entries.len() == self.limit {
                return Err(de::Error::invalid_length(self.limit + 1, &self));
            }
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// A seed that is just the type's own `Deserialize`.
struct Plain<T>(PhantomData<T>);

impl<T> Clone for Plain<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Plain<T> {}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Plain<T> {
    type Value = T;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<T, D::Error> {
        T::deserialize(d)
    }
}

fn plain<T>() -> Plain<T> {
    Plain(PhantomData)
}

struct Signature([u8; 64]);

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        hex_array_from(d).map(Self)
    }
}
