//! What a live run, or the rounds of a session together, shows of its lanes: rates and sizes,
//! in the units that people buy by.
//!
//! Guarantees: every figure follows from recomputed work and the validator's clock, and is
//! rounded to the weaker side; nothing that the miner says takes part, but that links count
//! only beyond the memory that the lanes' claimed models have.
//! Deliberately lacks: which models that excludes. The table is the validator's.

use super::{Assumptions, memory};
use crate::bound::Bound;
use crate::verified::Verified;
use crate::work::Work;
use crate::work::memory_residency::shown::Shown as Memory;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is shown of each lane, in the mean of the lanes; a figure that is absent is not shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// Lanes; of rounds that differ in it, the fewest.
    pub lanes: u32,
    /// FP64 operations a second of ordered products.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fp64_flops: Option<u64>,
    /// int8 operations a second of exact products.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8_ops_per_s: Option<u64>,
    /// Bytes held while they were swept, in memory or behind links faster than was assumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_bytes: Option<u64>,
    /// All lanes held theirs at the same time.
    #[serde(default)]
    pub held_at_once: bool,
    /// Bytes a second read of the lane's arena.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_bytes_per_s: Option<u64>,
    /// Those of them that the lane's own memory brought: no cache can have held them, and no
    /// fill or link have brought them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes_per_s: Option<u64>,
    /// Bytes a second that came from other lanes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_bytes_per_s: Option<u64>,
}

/// A live run that verified.
#[derive(Clone, Copy, Debug)]
pub struct LiveRun {
    /// Of each iteration of each lane.
    pub work: Work,
    /// Iterations (T).
    pub iterations: u32,
    /// Lanes (G).
    pub lanes: u32,
    /// From sending the challenge to holding the commitment, by the validator's clock.
    pub elapsed: Duration,
    /// How likely omitted work escaped.
    pub bound: Bound,
    /// What it shows of memory, if that is its kind of work.
    pub memory: Option<Memory>,
    /// B: what may have reached a lane from outside its memory, GB/s.
    pub outside_gb_s: f64,
}

/// Outside of a live session durations are claimed, and no rate is shown.
pub(super) fn of_verified(
    verified: &Verified,
    bound: Bound,
    assumptions: &Assumptions,
) -> Option<Shown> {
    let run = LiveRun {
        work: verified.challenge().work(),
        iterations: verified.challenge().iterations(),
        lanes: verified.lanes(),
        elapsed: verified.elapsed().filter(|_| verified.coin().is_live())?,
        bound,
        memory: memory::run(verified, assumptions).map(|run| run.shown()),
        outside_gb_s: assumptions.outside_gb_s,
    };
    run.shown()
}

impl LiveRun {
    /// What the run shows; `None` if no time passed, or if the samples are too few to rule out
    /// that a share of the work was left out.
    pub fn shown(&self) -> Option<Shown> {
        let elapsed_s = self.elapsed.as_secs_f64();
        if !self.bound.is_below_one() || elapsed_s <= 0.0 {
            return None;
        }
        let left_out = self.bound.left_out();
        let rate = self.work.done_per_s(self.iterations, self.elapsed, left_out);
        let mut shown = Shown { lanes: self.lanes, ..Shown::default() };
        match self.work {
            Work::Fp64Product(_) => shown.fp64_flops = rate,
            Work::IntegerProduct(_) => shown.int8_ops_per_s = rate,
            Work::MemoryResidency(work) => {
                // Of the first sweep the fill may be a part. Too few half-passes show no bytes
                // held, and what may be recomputed need not be read either.
                let memory = self.memory;
                shown.held_bytes = memory.and_then(|memory| memory.held_bytes.ok());
                shown.held_at_once = memory.is_some_and(|memory| memory.at_once.is_ok());
                shown.read_bytes_per_s = memory.and_then(|memory| memory.read_bytes_per_s.ok());
                shown.link_bytes_per_s = memory.and_then(|memory| memory.link_bytes_per_s.ok());
                let swept = work.uncached_bytes() as f64 * (f64::from(self.iterations) - 1.0);
                let outside = 1e9 * self.outside_gb_s * elapsed_s / (1.0 - left_out);
                let own = ((swept - outside) * (1.0 - left_out) / elapsed_s) as u64;
                shown.memory_bytes_per_s = shown.read_bytes_per_s.map(|_| own);
            }
        }
        Some(shown)
    }
}

impl Shown {
    /// What the rounds of one session show together: of each figure the most. That all of it
    /// was held at once is said about the largest arena.
    pub fn of_rounds(rounds: impl IntoIterator<Item = Self>) -> Option<Self> {
        rounds.into_iter().reduce(|a, b| {
            let held = [a, b].into_iter().max_by_key(|one| (one.held_bytes, one.held_at_once));
            Self {
                lanes: a.lanes.min(b.lanes),
                fp64_flops: a.fp64_flops.max(b.fp64_flops),
                int8_ops_per_s: a.int8_ops_per_s.max(b.int8_ops_per_s),
                held_bytes: held.and_then(|one| one.held_bytes),
                held_at_once: held.is_some_and(|one| one.held_at_once),
                read_bytes_per_s: a.read_bytes_per_s.max(b.read_bytes_per_s),
                memory_bytes_per_s: a.memory_bytes_per_s.max(b.memory_bytes_per_s),
                link_bytes_per_s: a.link_bytes_per_s.max(b.link_bytes_per_s),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bound::{Grinding, OmittedShare};
    use crate::work::fp64_product::Fp64Product;
    use crate::work::integer_product::IntegerProduct;
    use crate::work::memory_residency::MemoryResidency;
    use crate::work::memory_residency::shown::{OUTSIDE_GB_S_DEFAULT, REFILL_GB_S_DEFAULT, Run};

    fn half(log10_escape: f64) -> Bound {
        let omitted_share = OmittedShare::new(0.5).unwrap();
        let grinding = Grinding::ExcludedByCoin;
        Bound::Sampled { omitted_share, draws: 100, grinding, log10_escape }
    }

    fn run(work: Work) -> LiveRun {
        let elapsed = Duration::from_secs(2);
        LiveRun {
            work,
            iterations: 3,
            lanes: 2,
            elapsed,
            bound: half(-30.0),
            memory: None,
            outside_gb_s: OUTSIDE_GB_S_DEFAULT,
        }
    }

    fn memory(peer_blocks: u64) -> LiveRun {
        let work = MemoryResidency { arena_blocks: 1 << 25, half_passes: 12, peer_blocks };
        let memory = Run {
            work,
            iterations: 300,
            sync_interval: 1,
            lanes: 2,
            live_elapsed: Some(Duration::from_secs(10)),
            omitted_share: OmittedShare::new(0.5).unwrap(),
            outside_gb_s: OUTSIDE_GB_S_DEFAULT,
            refill_gb_s: REFILL_GB_S_DEFAULT,
            lane_memory_bytes_max: Some(141_000_000_000),
        };
        let memory = Some(memory.shown());
        let elapsed = Duration::from_secs(10);
        LiveRun { memory, iterations: 300, elapsed, ..run(work.into()) }
    }

    fn work_of(run: &LiveRun) -> MemoryResidency {
        run.work.memory_residency().unwrap()
    }

    #[test]
    fn each_kind_shows_its_own() {
        // 2 · 128³ · 3 · 0.5 / 2.
        let figure = 2 * 128_u64.pow(3) * 3 / 4;
        let lanes = Shown { lanes: 2, ..Shown::default() };
        let fp64 = run(Fp64Product { dim: 128, products: 1 }.into());
        assert_eq!(fp64.shown(), Some(Shown { fp64_flops: Some(figure), ..lanes }));
        let int8 = run(IntegerProduct { dim: 128, products: 1 }.into());
        assert_eq!(int8.shown(), Some(Shown { int8_ops_per_s: Some(figure), ..lanes }));
        let shown = memory(0).shown().unwrap();
        // 2^37 · 0.5 − 128e9 / 30, and 2^37 · 0.5 · 300 / 10.
        assert_eq!(shown.held_bytes, Some(64_452_810_069));
        assert_eq!(shown.read_bytes_per_s, Some(2_061_584_302_080));
        // 299 sweeps, without what caches may hold and what links may have brought.
        let cached = 2_u64.pow(37) - work_of(&memory(0)).uncached_bytes();
        let expected = (2_u64.pow(37) - cached) as f64 * 299.0 / 20.0 - 128e9;
        assert_eq!(shown.memory_bytes_per_s, Some(expected as u64));
        assert_eq!((shown.held_at_once, shown.link_bytes_per_s), (true, None));
        let links = memory(1 << 25).shown().unwrap();
        assert_eq!((links.held_bytes, links.memory_bytes_per_s), (None, None));
        assert!(links.link_bytes_per_s.is_some());
    }

    #[test]
    fn too_few_samples_or_no_time_show_nothing() {
        let shown = |bound, elapsed| {
            LiveRun { bound, elapsed, ..run(Fp64Product { dim: 128, products: 1 }.into()) }.shown()
        };
        assert_eq!(shown(half(0.0), Duration::from_secs(2)), None);
        assert_eq!(shown(half(-1.0), Duration::ZERO), None);
        let all = shown(Bound::Everything, Duration::from_secs(2)).unwrap().fp64_flops;
        assert_eq!(all, Some(2 * 128_u64.pow(3) * 3 / 2));
    }

    #[test]
    fn of_rounds_the_most_counts_and_the_fewest_lanes() {
        let lanes = |lanes| Shown { lanes, ..Shown::default() };
        let rounds = [
            Shown { fp64_flops: Some(3), held_bytes: Some(9), held_at_once: false, ..lanes(2) },
            Shown { fp64_flops: Some(5), held_bytes: Some(7), held_at_once: true, ..lanes(3) },
            Shown { int8_ops_per_s: Some(4), ..lanes(2) },
        ];
        let expected =
            Shown { fp64_flops: Some(5), held_bytes: Some(9), int8_ops_per_s: Some(4), ..lanes(2) };
        assert_eq!(Shown::of_rounds(rounds), Some(expected));
        assert_eq!(Shown::of_rounds([]), None);
    }
}
