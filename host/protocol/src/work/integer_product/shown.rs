//! What a verified run of this kind shows of a rate: docs/protocol.md, "What a verdict may
//! say" of integer products.
//!
//! Guarantees: pure arithmetic on what the validator knows; rounded to the weaker side.
//! Deliberately lacks: whether the run verified and how likely omitted work escaped; the
//! rate holds for the omitted share f only if the bound for that f is good enough. And which
//! lane did which part: leaving all of f out in one lane is no worse for a miner.

use super::IntegerProduct;
use crate::work::Work;
use std::time::Duration;

/// What the rate follows from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// n and m.
    pub work: IntegerProduct,
    /// T, at least 1.
    pub iterations: u32,
    /// E: from the challenge to the commitment of a live session, by the validator's
    /// clock. None outside of one: nothing is shown then.
    pub live_elapsed: Option<Duration>,
    /// f; 0 if every iteration was recomputed.
    pub omitted_share: f64,
}

/// Why no rate is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotShown {
    /// No clock of the validator's ran between challenge and commitment.
    #[error("no live session measured the time")]
    NotLive,
}

impl Run {
    /// int8 operations a second of each lane at least, in the mean of the lanes:
    /// 2·n³·m·T·(1−f) ÷ E.
    ///
    /// # Errors
    /// [`NotShown`].
    pub fn ops_per_s(&self) -> Result<u64, NotShown> {
        let work = Work::from(self.work);
        let done = |elapsed| work.done_per_s(self.iterations, elapsed, self.omitted_share);
        self.live_elapsed.and_then(done).ok_or(NotShown::NotLive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_rates() {
        // 2 · 16384³ · 1000 in ten seconds.
        let run = Run {
            work: IntegerProduct { dim: 16_384, products: 1 },
            iterations: 1000,
            live_elapsed: Some(Duration::from_secs(10)),
            omitted_share: 0.0,
        };
        assert_eq!(run.ops_per_s(), Ok(879_609_302_220_800));
        let sampled = Run { omitted_share: 0.5, ..run };
        assert_eq!(sampled.ops_per_s(), Ok(439_804_651_110_400));
        for live_elapsed in [None, Some(Duration::ZERO)] {
            assert_eq!(Run { live_elapsed, ..run }.ops_per_s(), Err(NotShown::NotLive));
        }
        // Rounded down.
        let odd = Run { live_elapsed: Some(Duration::from_secs(7)), ..run };
        assert_eq!(odd.ops_per_s(), Ok(1_256_584_717_458_285));
    }
}
