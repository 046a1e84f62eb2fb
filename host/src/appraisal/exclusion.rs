//! Which models a run excludes, by its measured time and sizes alone, and how many of each
//! would have been needed for it: no claim of the miner takes part.
//!
//! Guarantees: a model is excluded only if one device of it is slower than the share of a
//! lane's work that was shown takes, by the floors of [`super::floors`], or has less memory
//! than each lane was shown to hold.
//! Deliberately lacks: judgement. A claimed model that is excluded is the policy's to
//! reject.

use super::floors;
use super::models::{MODELS, Model};
use crate::protocol::verdict::{Equivalent, ExcludedBy, ExcludedModel, ModelsShown};
use crate::protocol::work::Work;
use std::time::Duration;

/// What a live run has shown.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Of each iteration of each lane.
    pub work: Work,
    /// T.
    pub iterations: u32,
    /// G.
    pub lanes: u32,
    /// From sending the challenge to holding the commitment, by the validator's clock.
    pub elapsed: Duration,
    /// f: up to this share of the work may have been left out.
    pub omitted_share: f64,
    /// Bytes that each lane was shown to hold.
    pub held_bytes: Option<u64>,
    /// Whether all lanes were shown to hold theirs at once.
    pub held_at_once: bool,
}

/// How much of a model's means one lane took at least; above 1 it can't have been one
/// device.
#[derive(Clone, Copy, Debug)]
struct Demand {
    by: ExcludedBy,
    a_lane: f64,
    all_lanes: f64,
}

impl Measured {
    /// What it says of every model of the table; `None` if the table knows no rate or size
    /// to hold against what was shown.
    pub fn models(&self) -> Option<ModelsShown> {
        let largest =
            |demands: &[Demand], of: fn(&Demand) -> f64| demands.iter().map(of).fold(0.0, f64::max);
        let mut rows: Vec<(&Model, Vec<Demand>)> = MODELS
            .iter()
            .map(|model| (model, self.demands(model)))
            .filter(|(_, demands)| !demands.is_empty())
            .collect();
        // The nearest to 1 first on both sides.
        rows.sort_by(|(_, a), (_, b)| {
            let [a, b] = [a, b].map(|demands| largest(demands, |demand| demand.a_lane));
            let side = |share: f64| share > 1.0;
            side(a).cmp(&side(b)).then(if side(a) { a.total_cmp(&b) } else { b.total_cmp(&a) })
        });
        let mut shown = ModelsShown::default();
        for (model, demands) in &rows {
            let by = excluding(demands);
            let name = model.name.to_owned();
            match by.is_empty() {
                true => shown.possible.push(name),
                false => shown.excluded.push(ExcludedModel { model: name, by }),
            }
            let count = largest(demands, |demand| demand.all_lanes).ceil().max(1.0) as u64;
            shown.equivalents.push(Equivalent { model: model.name.to_owned(), count });
        }
        (!rows.is_empty()).then_some(shown)
    }

    /// By what one device of `model` can't have been a lane; empty if it can.
    pub fn excludes(&self, model: &Model) -> Vec<ExcludedBy> {
        excluding(&self.demands(model))
    }

    fn demands(&self, model: &Model) -> Vec<Demand> {
        let by = match self.work {
            Work::Fp64Product(_) => ExcludedBy::Fp64,
            Work::IntegerProduct(_) => ExcludedBy::Int8,
            Work::MemoryResidency(_) => ExcludedBy::Bandwidth,
        };
        let elapsed_s = self.elapsed.as_secs_f64();
        let floor_s = floors::of_model(self.work, self.iterations, model);
        let rate = floor_s.filter(|_| elapsed_s > 0.0).map(|floor_s| {
            let a_lane = (1.0 - self.omitted_share) * floor_s / elapsed_s;
            Demand { by, a_lane, all_lanes: f64::from(self.lanes) * a_lane }
        });
        let size = self.held_bytes.map(|held| {
            let a_lane = held as f64 / model.memory_bytes_max() as f64;
            // What is not shown to be held at once, one device may have held in turn.
            let at_once = if self.held_at_once { self.lanes } else { 1 };
            Demand { by: ExcludedBy::Memory, a_lane, all_lanes: f64::from(at_once) * a_lane }
        });
        size.into_iter().chain(rate).collect()
    }
}

fn excluding(demands: &[Demand]) -> Vec<ExcludedBy> {
    demands.iter().filter(|demand| demand.a_lane > 1.0).map(|demand| demand.by).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appraisal::models;
    use crate::protocol::work::fp64_product::Fp64Product;
    use crate::protocol::work::memory_residency::MemoryResidency;

    const H200: &str = "NVIDIA H200";
    const H100: &str = "NVIDIA H100 80GB HBM3";
    const RTX_4090: &str = "NVIDIA GeForce RTX 4090";

    fn fp64(lanes: u32, elapsed_s: f64) -> Measured {
        Measured {
            work: Fp64Product { dim: 8192, products: 2 }.into(),
            iterations: 240,
            lanes,
            elapsed: Duration::from_secs_f64(elapsed_s),
            omitted_share: 0.01,
            held_bytes: None,
            held_at_once: false,
        }
    }

    /// The sweeps of 126.9 GB that BENCHMARKS.md has of an H200.
    fn memory(lanes: u32, held_at_once: bool) -> Measured {
        let (arena_blocks, half_passes, peer_blocks) = (30_981_120, 12, 0);
        Measured {
            work: MemoryResidency { arena_blocks, half_passes, peer_blocks }.into(),
            iterations: 312,
            held_bytes: Some(121_711_668_705),
            held_at_once,
            ..fp64(lanes, 9.55)
        }
    }

    fn by(shown: &ModelsShown, model: &str) -> Vec<ExcludedBy> {
        let found = shown.excluded.iter().find(|row| row.model == model);
        found.map_or(Vec::new(), |row| row.by.clone())
    }

    fn count(shown: &ModelsShown, model: &str) -> u64 {
        shown.equivalents.iter().find(|row| row.model == model).unwrap().count
    }

    #[test]
    fn sweeps_of_most_of_an_h200_are_no_h100s() {
        let shown = memory(1, true).models().unwrap();
        assert_eq!(shown.possible[0], H200, "what had least to spare comes first");
        assert_eq!(by(&shown, H100), [ExcludedBy::Memory, ExcludedBy::Bandwidth]);
        assert_eq!((count(&shown, H200), count(&shown, H100)), (1, 2));
        // 121.7 GB over 24 · 2^30 is 4.7, 4104 GB/s over 1008 and 10 % is 3.7.
        assert_eq!(count(&shown, RTX_4090), 5);
        assert_eq!(shown.equivalents.len(), shown.possible.len() + shown.excluded.len());
        assert_eq!(shown.equivalents.len(), MODELS.len());
    }

    #[test]
    fn memory_that_lanes_may_have_held_in_turn_counts_once() {
        let (at_once, in_turn) = (memory(8, true), memory(8, false));
        let [at_once, in_turn] = [at_once, in_turn].map(|run| run.models().unwrap());
        // By size 4.7 · 8, by bandwidth 3.7 · 8 whether at once or not.
        assert_eq!(count(&at_once, RTX_4090), 38);
        assert_eq!(count(&in_turn, RTX_4090), 30);
        assert_eq!(at_once.possible, in_turn.possible, "a lane is a lane");
    }

    #[test]
    fn a_model_is_excluded_just_when_its_floor_is_longer_than_the_run() {
        let h200 = models::find(H200).unwrap();
        let floor_s = 0.99 * floors::of_model(fp64(1, 1.0).work, 240, h200).unwrap();
        assert!(fp64(1, floor_s * 1.000_001).excludes(h200).is_empty());
        assert_eq!(fp64(1, floor_s * 0.999_999).excludes(h200), [ExcludedBy::Fp64]);
        assert!(fp64(1, 0.0).models().is_none(), "no clock ran");
        let two = fp64(2, floor_s * 1.000_001).models().unwrap();
        assert_eq!(count(&two, H200), 2);
    }
}
