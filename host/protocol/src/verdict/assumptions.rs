//! What a verdict rests on besides the verification.

use crate::bound::OmittedShare;
use crate::work::memory_residency::shown::{OUTSIDE_GB_S_DEFAULT, REFILL_GB_S_DEFAULT};

/// What a validator takes for granted where a verification cannot tell.
#[derive(Clone, Copy, Debug)]
pub struct Assumptions {
    /// f: the share of the work whose omission is to be ruled out.
    pub omitted_share: OmittedShare,
    /// B: what may reach a lane from outside its memory, GB/s, both directions of the
    /// host's link summed.
    pub outside_gb_s: f64,
    /// How fast an arena could be filled anew at most, GB/s; above 0.
    pub refill_gb_s: f64,
    /// The memory that a model of this name has by its printed size, bytes; none if the
    /// model is unknown.
    pub model_memory_bytes: fn(model: &str) -> Option<u64>,
}

/// The protocol's defaults, with no model known.
impl From<OmittedShare> for Assumptions {
    fn from(omitted_share: OmittedShare) -> Self {
        Self {
            omitted_share,
            outside_gb_s: OUTSIDE_GB_S_DEFAULT,
            refill_gb_s: REFILL_GB_S_DEFAULT,
            model_memory_bytes: |_| None,
        }
    }
}
