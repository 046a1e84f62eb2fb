//! The soundness bound: how likely a miner that left out work escaped.
//!
//! Guarantees: never smaller than what docs/protocol.md, "What a verdict may
//! say", allows. In logarithms, as the numbers leave binary64 quickly.
//! Deliberately lacks: anything about time, devices or who did the work.

use super::verified::{Extent, Verified};
use schemars::JsonSchema;
use serde::Serialize;

/// How many commitments a miner may have tried before it settled on one,
/// if no coin stopped it: 2⁸⁰.
pub const GRINDING_LOG2: f64 = 80.0;

/// f: the smallest share of all leaves whose omission the validator wants to
/// rule out. Above 0 and below 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct OmittedShare(f64);

/// A share that is not above 0 and below 1.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "the omitted share must be above 0 and below 1, got {0}\nUse 0.1 to rule out that a tenth of the work is missing."
)]
pub struct ShareError(pub f64);

impl OmittedShare {
    /// Takes a share above 0 and below 1.
    ///
    /// # Errors
    /// Any other number.
    pub fn new(share: f64) -> Result<Self, ShareError> {
        if share > 0.0 && share < 1.0 { Ok(Self(share)) } else { Err(ShareError(share)) }
    }
    /// The share, above 0 and at most 1.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// One tenth.
impl Default for OmittedShare {
    fn default() -> Self {
        Self(0.1)
    }
}

/// How likely a miner escaped that left out a share f of all leaves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Bound {
    /// Every iteration was recomputed whole: nothing can be missing.
    Everything,
    /// Samples were checked.
    Sampled {
        /// The share f that the bound is for.
        omitted_share: OmittedShare,
        /// Independent draws that count: q·G, or T·G·samples_per_iteration
        /// if every iteration is sampled.
        draws: u64,
        /// Whether the miner could try commitments, 2⁸⁰ of them.
        grinding: Grinding,
        /// log₁₀ of the probability, at most 0.
        log10_escape: f64,
    },
}

/// Whether the miner could choose among commitments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Grinding {
    /// A coin came after the commitment.
    ExcludedByCoin,
    /// Up to 2⁸⁰ commitments may have been tried.
    Possible,
}

impl Bound {
    /// The bound of a verified result for the share `f`.
    pub fn of(verified: &Verified, f: OmittedShare) -> Self {
        let challenge = verified.challenge();
        let every_iteration_is_sampled = challenge.sampled_iterations() == challenge.iterations();
        let whole = match verified.extent() {
            Some(Extent::EveryIteration) => true,
            Some(Extent::SampledIterations) => every_iteration_is_sampled,
            None => false,
        };
        if whole {
            return Self::Everything;
        }
        let lanes = u64::from(verified.lanes());
        let draws = match every_iteration_is_sampled {
            true => lanes * challenge.draws(),
            false => lanes * u64::from(challenge.sampled_iterations()),
        };
        let grinding = match verified.coin().is_live() {
            true => Grinding::ExcludedByCoin,
            false => Grinding::Possible,
        };
        let log10_escape = log10_escape(f, draws, grinding);
        Self::Sampled { omitted_share: f, draws, grinding, log10_escape }
    }

    /// The bound of the same result for another share.
    pub fn at(self, f: OmittedShare) -> Self {
        match self {
            Self::Everything => self,
            Self::Sampled { draws, grinding, .. } => Self::Sampled {
                omitted_share: f,
                draws,
                grinding,
                log10_escape: log10_escape(f, draws, grinding),
            },
        }
    }

    /// log₁₀ of the probability that the share is missing unseen; −∞ if
    /// nothing can be.
    pub fn log10_escape(self) -> f64 {
        match self {
            Self::Everything => f64::NEG_INFINITY,
            Self::Sampled { log10_escape, .. } => log10_escape,
        }
    }

    /// f: the share of the work that may be missing; 0 if all of it was recomputed.
    pub fn left_out(self) -> f64 {
        match self {
            Self::Everything => 0.0,
            Self::Sampled { omitted_share, .. } => omitted_share.get(),
        }
    }

    /// Whether the probability is below 1, so that something is shown.
    pub fn is_below_one(self) -> bool {
        match self {
            Self::Everything => true,
            Self::Sampled { log10_escape, .. } => log10_escape < 0.0,
        }
    }
}

/// log₁₀ of (1−f)^draws, or of min(1, 2⁸⁰·(1−f)^draws) if commitments may
/// have been tried.
pub fn log10_escape(f: OmittedShare, draws: u64, grinding: Grinding) -> f64 {
    let tries_log10 = match grinding {
        Grinding::ExcludedByCoin => 0.0,
        Grinding::Possible => GRINDING_LOG2 * std::f64::consts::LOG10_2,
    };
    let one_try_log10 = draws as f64 * (-f.get()).ln_1p() * std::f64::consts::LOG10_E;
    (tries_log10 + one_try_log10).min(0.0)
}

/// The fewest draws whose [`log10_escape`] is at most `log10_escape_max`, which
/// is negative.
pub fn draws_needed(f: OmittedShare, log10_escape_max: f64, grinding: Grinding) -> u64 {
    let enough = |draws| log10_escape(f, draws, grinding) <= log10_escape_max;
    // Doubled, then halved: the escape falls with every draw.
    let mut high = 1_u64;
    while !enough(high) && high < 1 << 62 {
        high *= 2;
    }
    let mut low = high / 2;
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if enough(middle) { high = middle } else { low = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::{Grinding, OmittedShare, draws_needed, log10_escape};

    #[test]
    fn known_values() {
        let tenth = OmittedShare::default();
        let half = OmittedShare::new(0.5).unwrap();
        assert_eq!(log10_escape(tenth, 0, Grinding::ExcludedByCoin), 0.0);
        assert!((log10_escape(tenth, 1, Grinding::ExcludedByCoin) - 0.9f64.log10()).abs() < 1e-15);
        // 2^80 · 2^-81 = 1/2, and 2^80 · 2^-80 = 1 shows nothing.
        assert!((log10_escape(half, 81, Grinding::Possible) - 0.5f64.log10()).abs() < 1e-12);
        assert!(log10_escape(half, 80, Grinding::Possible).abs() < 1e-12);
        assert_eq!(log10_escape(half, 79, Grinding::Possible), 0.0);
        // The fewest draws at f = 1/10 that show anything without a coin.
        assert_eq!(log10_escape(tenth, 526, Grinding::Possible), 0.0);
        assert!(log10_escape(tenth, 527, Grinding::Possible) < 0.0);
    }

    #[test]
    fn the_fewest_draws_are_the_fewest() {
        let hundredth = OmittedShare::new(0.01).unwrap();
        // ln(10⁻⁹) ÷ ln(0.99) = 2061.99; with 2⁸⁰ tries 7579.4.
        assert_eq!(draws_needed(hundredth, -9.0, Grinding::ExcludedByCoin), 2062);
        assert_eq!(draws_needed(hundredth, -9.0, Grinding::Possible), 7580);
        for grinding in [Grinding::ExcludedByCoin, Grinding::Possible] {
            for (share, log10_escape_max) in [(0.5, -0.001), (0.1, -3.0), (1e-6, -9.0)] {
                let f = OmittedShare::new(share).unwrap();
                let draws = draws_needed(f, log10_escape_max, grinding);
                assert!(log10_escape(f, draws, grinding) <= log10_escape_max);
                assert!(log10_escape(f, draws - 1, grinding) > log10_escape_max);
            }
        }
    }

    #[test]
    fn shares_that_are_none() {
        for share in [0.0, 1.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(OmittedShare::new(share).is_err());
        }
    }
}
