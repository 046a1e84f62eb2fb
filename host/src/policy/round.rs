//! `[[round]]`: which kinds of work a session asks for, one after the other or the host's
//! beside the devices', and how much of each.
//!
//! Guarantees: a round that was read has its seconds and, if its work is on arenas, its
//! share of the memory, be they written or its kind's defaults; two files that ask for the
//! same are equal.
//! Deliberately lacks: sizes. They follow from the model (`size`).

use crate::mining::issue::Request;
use crate::mining::kind::{ArenaSize, KindError, WorkKind};
use crate::policy::size::ITERATIONS_MAX;
use crate::protocol::challenge::ChallengeError;
use crate::protocol::work::WorkFields;
use crate::protocol::work::fp64_product::Fp64Fields;
use crate::protocol::work::integer_product::IntegerFields;
use crate::protocol::work::memory_residency::{
    ARENA_BLOCKS_MAX, HALF_PASSES_DEFAULT, MemoryFields,
};
use serde::{Deserialize, Serialize};

/// Most rounds of a session.
pub const ROUNDS_MAX: usize = 16;

/// What a round shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoundKind {
    /// The rate of FP64 products.
    Fp64,
    /// The rate of int8 products.
    Integer,
    /// Memory that is there, and its bandwidth.
    Memory,
    /// What reaches each lane from others.
    Links,
}

impl RoundKind {
    /// All of them, in the order in which a session has them by default.
    pub const ALL: [Self; 4] = [Self::Fp64, Self::Integer, Self::Memory, Self::Links];

    /// As policies and verdicts call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp64 => "fp64",
            Self::Integer => "integer",
            Self::Memory => "memory",
            Self::Links => "links",
        }
    }

    /// The kind of work that shows it.
    pub fn work(self) -> WorkKind {
        match self {
            Self::Fp64 => WorkKind::Fp64Product,
            Self::Integer => WorkKind::IntegerProduct,
            Self::Memory | Self::Links => WorkKind::MemoryResidency,
        }
    }

    /// What a request shows.
    ///
    /// # Errors
    /// Those of [`Request::kind`].
    pub fn of(request: &Request) -> Result<Self, KindError> {
        Ok(match request.kind()? {
            WorkKind::Fp64Product => Self::Fp64,
            WorkKind::IntegerProduct => Self::Integer,
            WorkKind::MemoryResidency if request.peer_blocks.unwrap_or(0) > 0 => Self::Links,
            WorkKind::MemoryResidency => Self::Memory,
        })
    }

    fn seconds(self) -> f64 {
        match self {
            Self::Fp64 => 8.0,
            Self::Integer | Self::Memory => 4.0,
            Self::Links => 2.0,
        }
    }

    fn memory_share(self) -> Option<f64> {
        matches!(self, Self::Memory | Self::Links).then_some(0.9)
    }
}

/// What answers a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoundOn {
    /// The devices that the hello names: all lanes.
    #[default]
    Devices,
    /// The machine's CPUs and their memory, as one lane.
    Host,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl RoundOn {
    fn is_devices(&self) -> bool {
        *self == Self::Devices
    }
}

/// A round of a policy's sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Round {
    /// What it shows.
    pub kind: RoundKind,
    /// What answers it.
    #[serde(skip_serializing_if = "RoundOn::is_devices")]
    pub on: RoundOn,
    /// Of a round of the host: whether it is under way at the same time as the round after
    /// it, which is of the devices.
    #[serde(skip_serializing_if = "is_false")]
    pub beside: bool,
    /// Seconds that it should last on the model that it is sized for.
    pub seconds: f64,
    /// Share of the model's memory that each lane's arena takes, above 0 and at most 1;
    /// `None` of kinds without arenas, and of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_share: Option<f64>,
    /// Whether a session counts for nothing without it. One that isn't required is left out
    /// if it cannot be sized for the miner's devices.
    pub required: bool,
    /// Fields of the challenge that are not sized: what stands here stays.
    #[serde(flatten)]
    pub fixed: Fixed,
}

/// Fields of the challenge, by their names, that a round may fix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of the challenge in docs/protocol.md")]
pub struct Fixed {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matrix_dim: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_matrices: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arena_blocks: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_passes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_blocks: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_iterations: Option<u64>,
}

/// A round as it stands in a file. Flattening would let unknown fields pass.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kind: RoundKind,
    #[serde(default)]
    on: RoundOn,
    #[serde(default)]
    beside: bool,
    seconds: Option<f64>,
    memory_share: Option<f64>,
    required: Option<bool>,
    matrix_dim: Option<u64>,
    num_matrices: Option<u64>,
    arena_blocks: Option<u64>,
    half_passes: Option<u64>,
    peer_blocks: Option<u64>,
    num_iterations: Option<u64>,
}

impl From<Written> for Round {
    fn from(written: Written) -> Self {
        let kind = written.kind;
        Self {
            kind,
            on: written.on,
            beside: written.beside,
            seconds: written.seconds.unwrap_or(kind.seconds()),
            memory_share: written
                .memory_share
                .or(kind.memory_share().filter(|_| written.on.is_devices())),
            required: written.required.unwrap_or(true),
            fixed: Fixed {
                matrix_dim: written.matrix_dim,
                num_matrices: written.num_matrices,
                arena_blocks: written.arena_blocks,
                half_passes: written.half_passes,
                peer_blocks: written.peer_blocks,
                num_iterations: written.num_iterations,
            },
        }
    }
}

impl Round {
    /// A required round of this kind with its kind's defaults.
    pub fn of(kind: RoundKind) -> Self {
        Self {
            kind,
            on: RoundOn::Devices,
            beside: false,
            seconds: kind.seconds(),
            memory_share: kind.memory_share(),
            required: true,
            fixed: Fixed::default(),
        }
    }

    /// Those of the default policy. Links are asked for if there are two lanes to have one.
    pub(super) fn defaults() -> Vec<Self> {
        let is_required = |kind: RoundKind| kind != RoundKind::Links;
        let of = |kind| Self { required: is_required(kind), ..Self::of(kind) };
        RoundKind::ALL.into_iter().map(of).collect()
    }

    /// What it fixes of the challenge. A number of blocks wins over the share of a memory.
    pub(super) fn request(&self) -> Request {
        let fixed = &self.fixed;
        let share = self.memory_share.filter(|_| fixed.arena_blocks.is_none());
        Request {
            challenge_type: Some(self.kind.work().challenge_type().to_owned()),
            matrix_dim: fixed.matrix_dim,
            num_matrices: fixed.num_matrices,
            arena_blocks: fixed.arena_blocks,
            arena_size: share.map(|share| ArenaSize::SharePpm((1e6 * share).round() as u32)),
            half_passes: fixed.half_passes,
            peer_blocks: fixed.peer_blocks,
            num_iterations: fixed.num_iterations,
            ..Request::default()
        }
    }

    /// The first field outside its bounds, what it is and what is allowed; `next` is the
    /// round after it.
    pub(super) fn breach(&self, next: Option<&Self>) -> Option<(&'static str, String, String)> {
        let Fixed { matrix_dim, num_matrices, arena_blocks, half_passes, .. } = self.fixed;
        let Fixed { peer_blocks, num_iterations, .. } = self.fixed;
        if !(self.seconds > 0.0 && self.seconds <= 86_400.0) {
            let allowed = "a number above 0, at most 86400";
            return Some(("seconds", self.seconds.to_string(), allowed.to_owned()));
        }
        if self.on == RoundOn::Host && self.kind == RoundKind::Links {
            let allowed = "\"devices\": a host is one lane, and links are between lanes";
            return Some(("on", "\"host\"".to_owned(), allowed.to_owned()));
        }
        if self.beside && self.on == RoundOn::Devices {
            let allowed = "false: true is for rounds with on = \"host\"";
            return Some(("beside", "true".to_owned(), allowed.to_owned()));
        }
        // One that may be left out would leave this one alone.
        if self.beside && !next.is_some_and(|next| next.on == RoundOn::Devices && next.required) {
            let allowed = "false, or a required [[round]] of the devices right after it";
            return Some(("beside", "true".to_owned(), allowed.to_owned()));
        }
        let of_arenas = self.kind.memory_share().is_some();
        let other_kind = |field, kinds: &str| {
            let got = format!("in a round of kind {:?}", self.kind.name());
            Some((field, got, format!("it in rounds of kind {kinds} only")))
        };
        match self.memory_share {
            Some(_) if !of_arenas => return other_kind("memory_share", "memory and links"),
            Some(_) if self.on == RoundOn::Host => {
                let got = "in a round of the host, whose memory is not known".to_owned();
                return Some(("memory_share", got, "arena_blocks in its place".to_owned()));
            }
            Some(share) if !(share > 0.0 && share <= 1.0) => {
                let allowed = "a number above 0, at most 1";
                return Some(("memory_share", share.to_string(), allowed.to_owned()));
            }
            _ => {}
        }
        for (field, value, of_this, kinds) in [
            ("matrix_dim", matrix_dim, !of_arenas, "fp64 and integer"),
            ("num_matrices", num_matrices, !of_arenas, "fp64 and integer"),
            ("arena_blocks", arena_blocks, of_arenas, "memory and links"),
            ("half_passes", half_passes, of_arenas, "memory and links"),
            ("peer_blocks", peer_blocks, self.kind == RoundKind::Links, "links"),
        ] {
            if value.is_some() && !of_this {
                return other_kind(field, kinds);
            }
        }
        if let Some(got) = num_iterations.filter(|n| !(1..=ITERATIONS_MAX).contains(n)) {
            let allowed = format!("a whole number from 1 to {ITERATIONS_MAX}");
            return Some(("num_iterations", got.to_string(), allowed));
        }
        if self.kind == RoundKind::Links && peer_blocks == Some(0) {
            let allowed = "a multiple of 256 from 256 on".to_owned();
            return Some(("peer_blocks", "0".to_owned(), allowed));
        }
        match self.fields().check(Some(2)) {
            Ok(_) => None,
            Err(ChallengeError::OutOfBounds { field, expected, got }) => {
                Some((field, got, expected))
            }
            Err(error) => Some(("kind", format!("of too much: {error}"), "less work".to_owned())),
        }
    }

    /// What it fixes of its kind's fields, and values within their bounds for the rest.
    fn fields(&self) -> WorkFields {
        let Fixed { matrix_dim, num_matrices, arena_blocks, half_passes, peer_blocks, .. } =
            self.fixed;
        let (matrix_dim, num_matrices) = (matrix_dim.unwrap_or(1024), num_matrices.unwrap_or(1));
        match self.kind.work() {
            WorkKind::Fp64Product => {
                WorkFields::Fp64Product(Fp64Fields { matrix_dim, num_matrices })
            }
            WorkKind::IntegerProduct => {
                WorkFields::IntegerProduct(IntegerFields { matrix_dim, num_matrices })
            }
            WorkKind::MemoryResidency => WorkFields::MemoryResidency(MemoryFields {
                arena_blocks: arena_blocks.unwrap_or(ARENA_BLOCKS_MAX),
                half_passes: half_passes.unwrap_or(HALF_PASSES_DEFAULT.into()),
                peer_blocks: peer_blocks.unwrap_or(0),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    fn read(text: &str) -> Result<Policy, String> {
        Policy::from_toml(text, "p.toml").map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_out_is_its_kinds_default() {
        let written =
            "[[round]]\nkind = \"memory\"\nseconds = 4\nmemory_share = 0.9\nrequired = true\n";
        let [short, long] =
            ["[[round]]\nkind = \"memory\"\n", written].map(|text| read(text).unwrap());
        assert_eq!(short.rounds, [Round::of(RoundKind::Memory)]);
        assert_eq!(short.digest(), long.digest());
        assert_ne!(short.digest(), Policy::default().digest());
        let resolved = toml::to_string(&short).unwrap();
        assert_eq!(read(&resolved).unwrap(), short);
    }

    #[test]
    fn a_round_of_the_host_is_beside_the_next_one() {
        let text = "[[round]]\nkind = \"memory\"\non = \"host\"\nbeside = true\n\
                    [[round]]\nkind = \"memory\"\n";
        let policy = read(text).unwrap();
        let beside: Vec<bool> = policy.rounds.iter().map(|round| round.beside).collect();
        assert_eq!(beside, [true, false]);
        // It is a demand of its own, and one that is not made leaves the digest as it was.
        let after = read(&text.replace("beside = true\n", "")).unwrap();
        let said = read(&text.replace("beside = true", "beside = false")).unwrap();
        assert_ne!(policy.digest(), after.digest());
        assert_eq!(said.digest(), after.digest());
        assert_eq!(read(&toml::to_string(&policy).unwrap()).unwrap(), policy);
    }

    #[test]
    fn errors_name_the_round_and_its_field() {
        let of = |line: &str| read(&format!("[[round]]\nkind = \"fp64\"\n[[round]]\n{line}\n"));
        for (line, starts, ends) in [
            (
                "kind = \"disk\"",
                "p.toml:4:8: unknown variant `disk`",
                "`fp64`, `integer`, `memory`, `links`.",
            ),
            ("kind = \"fp64\"\nsecond = 1", "p.toml:", "`num_iterations`."),
            ("seconds = 1", "p.toml:3:1: missing field `kind`", ""),
            (
                "kind = \"fp64\"\nseconds = 0",
                "p.toml:5:11: seconds of round 1 is 0",
                "above 0, at most 86400.",
            ),
            ("kind = \"fp64\"\nseconds = nan", "p.toml:5:11: seconds", "at most 86400."),
            (
                "kind = \"memory\"\nmemory_share = 1.1",
                "p.toml:5:16: memory_share of round 1 is 1.1",
                "at most 1.",
            ),
            (
                "kind = \"integer\"\nmemory_share = 0.5",
                "p.toml:5:16: memory_share of round 1 is in a round of kind \"integer\"",
                "kind memory and links only.",
            ),
            (
                "kind = \"memory\"\non = \"host\"\nmemory_share = 0.5",
                "p.toml:6:16: memory_share of round 1 is in a round of the host",
                "\nAllowed is arena_blocks in its place.",
            ),
            (
                "kind = \"links\"\non = \"host\"",
                "p.toml:5:6: on of round 1 is \"host\"",
                "links are between lanes.",
            ),
            (
                "kind = \"memory\"\nbeside = true",
                "p.toml:5:10: beside of round 1 is true",
                "\nAllowed is false: true is for rounds with on = \"host\".",
            ),
            (
                "kind = \"memory\"\non = \"host\"\nbeside = true",
                "p.toml:6:10: beside of round 1 is true",
                "or a required [[round]] of the devices right after it.",
            ),
            (
                "kind = \"memory\"\non = \"host\"\nbeside = true\n[[round]]\nkind = \"fp64\"\n\
                 required = false",
                "p.toml:6:10: beside of round 1 is true",
                "of the devices right after it.",
            ),
            (
                "kind = \"memory\"\non = \"host\"\nbeside = true\n[[round]]\nkind = \"fp64\"\n\
                 on = \"host\"",
                "p.toml:6:10: beside of round 1 is true",
                "of the devices right after it.",
            ),
            (
                "kind = \"memory\"\npeer_blocks = 256",
                "p.toml:5:15: peer_blocks",
                "kind links only.",
            ),
            (
                "kind = \"memory\"\nmatrix_dim = 256",
                "p.toml:5:14: matrix_dim",
                "fp64 and integer only.",
            ),
            ("kind = \"fp64\"\nmatrix_dim = 100", "p.toml:5:14: matrix_dim of round 1 is 100", ""),
            (
                "kind = \"memory\"\narena_blocks = 513",
                "p.toml:5:16: arena_blocks of round 1 is 513",
                "\nAllowed is a multiple of 512 from 512 to 268435456.",
            ),
            (
                "kind = \"links\"\narena_blocks = 512\npeer_blocks = 1024",
                "p.toml:6:15: peer_blocks of round 1 is 1024",
                "from 256 to 512.",
            ),
            (
                "kind = \"links\"\npeer_blocks = 0",
                "p.toml:5:15: peer_blocks of round 1 is 0",
                "from 256 on.",
            ),
            (
                "kind = \"links\"\nnum_iterations = 0",
                "p.toml:5:18: num_iterations",
                "from 1 to 1000000.",
            ),
        ] {
            let error = of(line).unwrap_err();
            assert!(error.starts_with(starts) && error.ends_with(ends), "{line}: {error}");
            assert_eq!(error.lines().count(), 2, "{error}");
        }
        let many = "[[round]]\nkind = \"fp64\"\n".repeat(ROUNDS_MAX);
        assert!(read(&many).is_ok());
        for (text, count) in [
            (format!("{many}[[round]]\nkind = \"fp64\"\n"), "17 rounds"),
            ("round = []".to_owned(), "0 rounds"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(count) && error.ends_with("Allowed are 1 to 16."), "{error}");
        }
    }
}
