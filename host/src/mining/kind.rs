//! Which kind of work a request asks for, and how large an arena.
//!
//! Guarantees: a request has one kind, and no field of another one.
//! Deliberately lacks: the bounds of fields, which are the protocol's.

use super::issue::Request;
use crate::appraisal::models;
use crate::protocol::challenge::ChallengeError;
use crate::protocol::work::memory_residency::{self, ARENA_BLOCKS_STEP, BLOCK_BYTES};
use crate::protocol::work::{fp64_product, integer_product};
use std::fmt;

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkKind {
    /// `matrix_multiplication_pow`.
    Fp64Product,
    /// `memory_residency_pow`.
    MemoryResidency,
    /// `integer_multiplication_pow`.
    IntegerProduct,
}

impl WorkKind {
    /// All of them.
    const ALL: [Self; 3] = [Self::Fp64Product, Self::MemoryResidency, Self::IntegerProduct];

    /// `challenge_type` on the wire.
    pub fn challenge_type(self) -> &'static str {
        match self {
            Self::Fp64Product => fp64_product::CHALLENGE_TYPE,
            Self::MemoryResidency => memory_residency::CHALLENGE_TYPE,
            Self::IntegerProduct => integer_product::CHALLENGE_TYPE,
        }
    }

    /// As `--kind` calls it.
    fn option(self) -> &'static str {
        match self {
            Self::Fp64Product => "fp64",
            Self::MemoryResidency => "memory",
            Self::IntegerProduct => "integer",
        }
    }

    /// The fields that only some kinds have and this one has, with their options, and
    /// whether `request` has them.
    fn fields(self, request: &Request) -> Vec<(&'static str, bool)> {
        match self {
            Self::Fp64Product | Self::IntegerProduct => vec![
                ("matrix_dim (--dim)", request.matrix_dim.is_some()),
                ("num_matrices (--matrices)", request.num_matrices.is_some()),
            ],
            Self::MemoryResidency => vec![
                ("arena_blocks (--arena-blocks)", request.arena_blocks.is_some()),
                ("the arena's size (--arena-bytes)", request.arena_size.is_some()),
                ("half_passes (--half-passes)", request.half_passes.is_some()),
                ("peer_blocks (--peer-blocks)", request.peer_blocks.is_some()),
            ],
        }
    }
}

/// Why a request has no kind of work, or too little of it. Text in two lines: what
/// cannot be, what to try.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum KindError {
    /// No known kind.
    #[error(transparent)]
    Unknown(#[from] ChallengeError),
    /// A field of another kind.
    #[error(
        "{field} is not for a challenge of {challenge_type}\nLeave it out, or ask for the kind that has it (--kind {has_it})."
    )]
    ForeignField {
        /// The field, with its option.
        field: &'static str,
        /// The kind that was asked for.
        challenge_type: &'static str,
        /// The kind that has the field, as `--kind` calls it.
        has_it: &'static str,
    },
    /// A share of nobody knows what.
    #[error(
        "an arena of {share} of the memory was asked for, and not of how much memory\nName a model that docs/policy.md lists (--gpu-model, or --model with --policy) or \
         --min-memory, or give bytes."
    )]
    ShareOfUnknown {
        /// The share.
        share: ArenaSize,
    },
}

/// How large an arena is asked for, in other terms than blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArenaSize {
    /// Bytes.
    Bytes(u64),
    /// Parts in a million of a device's memory.
    SharePpm(u32),
}

impl ArenaSize {
    /// The blocks of such an arena, rounded down to what the protocol's are a multiple of:
    /// 0 if it is too small. A share is of `memory_bytes`.
    pub fn blocks(self, memory_bytes: u64) -> u64 {
        let bytes = match self {
            Self::Bytes(bytes) => bytes.into(),
            Self::SharePpm(ppm) => u128::from(memory_bytes) * u128::from(ppm) / 1_000_000,
        };
        let step_bytes = u128::from(ARENA_BLOCKS_STEP * BLOCK_BYTES);
        ARENA_BLOCKS_STEP * u64::try_from(bytes / step_bytes).unwrap_or(u64::MAX / BLOCK_BYTES)
    }
}

impl fmt::Display for ArenaSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{bytes} bytes"),
            Self::SharePpm(ppm) => write!(f, "{} %", f64::from(*ppm) / 1e4),
        }
    }
}

impl Request {
    /// The kind of work that is asked for: FP64 products by default.
    ///
    /// # Errors
    /// [`KindError::Unknown`] and [`KindError::ForeignField`].
    pub fn kind(&self) -> Result<WorkKind, KindError> {
        let kind = match self.challenge_type.as_deref() {
            None => WorkKind::Fp64Product,
            Some(got) => WorkKind::ALL
                .into_iter()
                .find(|kind| kind.challenge_type() == got)
                .ok_or_else(|| ChallengeError::Type { got: got.to_owned() })?,
        };
        let own = kind.fields(self);
        for other in WorkKind::ALL {
            let foreign = |field: &(&str, bool)| field.1 && !own.contains(field);
            if let Some((field, _)) = other.fields(self).into_iter().find(foreign) {
                let (challenge_type, has_it) = (kind.challenge_type(), other.option());
                return Err(KindError::ForeignField { field, challenge_type, has_it });
            }
        }
        Ok(kind)
    }

    /// The blocks that are asked for, if any are. A share is of the printed memory of
    /// `gpu_model`, or else of `min_memory_bytes`.
    ///
    /// # Errors
    /// [`KindError::ShareOfUnknown`].
    pub(crate) fn asked_arena_blocks(&self) -> Result<Option<u64>, KindError> {
        let printed = self.gpu_model.as_deref().and_then(models::find);
        let memory_bytes = printed.map(|model| model.memory_bytes()).or(self.min_memory_bytes);
        match (self.arena_size, memory_bytes) {
            (None, _) => Ok(self.arena_blocks),
            (Some(share @ ArenaSize::SharePpm(_)), None) => {
                Err(KindError::ShareOfUnknown { share })
            }
            (Some(size), memory_bytes) => Ok(Some(size.blocks(memory_bytes.unwrap_or(0)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_down_to_whole_steps() {
        let step_bytes = 512 * 4096;
        for (size, blocks) in [
            (ArenaSize::Bytes(step_bytes - 1), 0),
            (ArenaSize::Bytes(step_bytes), 512),
            (ArenaSize::Bytes(2 * step_bytes - 1), 512),
            (ArenaSize::Bytes(1 << 40), 1 << 28),
            // 126.9e9 bytes are 60,510.6 steps.
            (ArenaSize::SharePpm(900_000), 60_510 * 512),
            (ArenaSize::SharePpm(1), 0),
            (ArenaSize::SharePpm(1_000_000), 67_234 * 512),
        ] {
            assert_eq!(size.blocks(141_000_000_000), blocks, "{size}");
        }
        // Out of bounds stays so, whatever overflows.
        assert!(ArenaSize::Bytes(u64::MAX).blocks(0) > 1 << 28);
        assert_eq!(ArenaSize::SharePpm(12_500).to_string(), "1.25 %");
    }

    #[test]
    fn a_share_is_of_the_model_or_else_of_the_least_memory() {
        let share = Some(ArenaSize::SharePpm(500_000));
        let base = Request { arena_size: share, ..Request::default() };
        let blocks = |gpu_model: Option<&str>, min_memory_bytes| {
            let gpu_model = gpu_model.map(str::to_owned);
            Request { gpu_model, min_memory_bytes, ..base.clone() }.asked_arena_blocks()
        };
        assert_eq!(blocks(Some("H200"), Some(1 << 30)), Ok(Some(33_617 * 512)));
        assert_eq!(blocks(Some("Abacus"), Some(1 << 30)), Ok(Some(131_072)));
        assert_eq!(blocks(None, Some(1 << 30)), Ok(Some(131_072)));
        for unknown in [blocks(None, None), blocks(Some("Abacus"), None)] {
            let text = unknown.unwrap_err().to_string();
            assert!(text.starts_with("an arena of 50 % of the memory"), "{text}");
            assert_eq!(text.lines().count(), 2, "{text}");
        }
        assert_eq!(Request::default().asked_arena_blocks(), Ok(None));
    }

    #[test]
    fn fields_of_another_kind_are_refused() {
        let memory = Some(memory_residency::CHALLENGE_TYPE.to_owned());
        let of_memory = |request| Request { challenge_type: memory.clone(), ..request };
        let [dim, matrices, blocks, size, passes, peers] = [(); 6].map(|()| Request::default());
        let products = [
            Request { matrix_dim: Some(128), ..dim },
            Request { num_matrices: Some(1), ..matrices },
        ];
        let arenas = [
            Request { arena_blocks: Some(512), ..blocks },
            Request { arena_size: Some(ArenaSize::Bytes(1)), ..size },
            Request { half_passes: Some(12), ..passes },
            Request { peer_blocks: Some(0), ..peers },
        ];
        for request in products {
            assert_eq!(request.kind(), Ok(WorkKind::Fp64Product));
            let text = of_memory(request).kind().unwrap_err().to_string();
            assert!(text.contains("is not for a challenge of memory_residency_pow\n"), "{text}");
            assert!(text.ends_with("(--kind fp64)."), "{text}");
        }
        for request in arenas {
            let text = request.kind().unwrap_err().to_string();
            assert!(text.ends_with("(--kind memory)."), "{text}");
            assert_eq!(of_memory(request).kind(), Ok(WorkKind::MemoryResidency));
        }
        let other = Request { challenge_type: Some("other".to_owned()), ..Request::default() };
        assert!(matches!(other.kind(), Err(KindError::Unknown(ChallengeError::Type { .. }))));
    }
}
