//! Which models a session excludes, by what its rounds showed and nothing else, and how many
//! of each would have been needed for it: no claim of the miner takes part.
//!
//! Guarantees: a model is excluded only if one device of it is slower than a lane was shown
//! to be, by the rates of [`super::floors`], or has less memory than each lane was shown to
//! hold.
//! Deliberately lacks: judgement. A claimed model that is excluded is the policy's to
//! reject.

use super::models::{self as table, Model};
use crate::protocol::verdict::{Equivalent, ExcludedBy, ExcludedModel, ModelsShown, Shown};

/// How many devices of a model do as much of one kind, at least.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Need {
    pub(super) by: ExcludedBy,
    /// As one lane; above 1 it can't have been one device.
    pub(super) a_lane: f64,
    /// As all lanes together: rates add up, and so does what was held at once.
    pub(super) all_lanes: f64,
}

/// How many devices of `model` each kind takes; empty if nothing was shown of any.
pub(super) fn needs(shown: &Shown, model: &Model) -> Vec<Need> {
    let of = |by, figure: Option<u64>, most: f64, lanes: u32| {
        let a_lane = figure? as f64 / most;
        Some(Need { by, a_lane, all_lanes: f64::from(lanes) * a_lane })
    };
    // What is not shown to be held at once, one device may have held in turn.
    let at_once = if shown.held_at_once { shown.lanes } else { 1 };
    [
        of(ExcludedBy::Fp64, shown.fp64_flops, model.floor_flops(), shown.lanes),
        of(ExcludedBy::Int8, shown.int8_ops_per_s, model.floor_int8_ops(), shown.lanes),
        of(ExcludedBy::Memory, shown.held_bytes, model.memory_bytes_max() as f64, at_once),
        of(ExcludedBy::Bandwidth, shown.memory_bytes_per_s, model.floor_bytes_per_s(), shown.lanes),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// By what one device of `model` can't have been a lane; empty if it can.
pub fn excludes(shown: &Shown, model: &Model) -> Vec<ExcludedBy> {
    excluding(&needs(shown, model))
}

/// What was shown of every model of the table; `None` if nothing was that the table has a rate
/// or a size to hold against.
pub fn models(shown: &Shown) -> Option<ModelsShown> {
    let mut rows: Vec<(&Model, Vec<Need>)> =
        table::all().iter().map(|model| (model, needs(shown, model))).collect();
    rows.retain(|(_, needs)| !needs.is_empty());
    // The nearest to 1 first on both sides.
    rows.sort_by(|(_, a), (_, b)| {
        let [a, b] = [a, b].map(|needs| largest(needs, |need| need.a_lane));
        let side = |share: f64| share > 1.0;
        side(a).cmp(&side(b)).then(if side(a) { a.total_cmp(&b) } else { b.total_cmp(&a) })
    });
    let mut found = ModelsShown::default();
    for (model, needs) in &rows {
        let by = excluding(needs);
        let name = model.name.to_owned();
        match by.is_empty() {
            true => found.possible.push(name),
            false => found.excluded.push(ExcludedModel { model: name, by }),
        }
        let count = whole(largest(needs, |need| need.all_lanes));
        found.equivalents.push(Equivalent { model: model.name.to_owned(), count });
    }
    (!rows.is_empty()).then_some(found)
}

/// Whole devices, at least one.
pub(super) fn whole(devices: f64) -> u64 {
    devices.ceil().max(1.0) as u64
}

pub(super) fn largest(needs: &[Need], of: fn(&Need) -> f64) -> f64 {
    needs.iter().map(of).fold(0.0, f64::max)
}

fn excluding(needs: &[Need]) -> Vec<ExcludedBy> {
    needs.iter().filter(|need| need.a_lane > 1.0).map(|need| need.by).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appraisal::models as table;

    const H200: &str = "NVIDIA H200";
    const H100: &str = "NVIDIA H100 80GB HBM3";
    const RTX_4090: &str = "NVIDIA GeForce RTX 4090";

    /// The rounds of FP64 products and int8 products on an H200.
    fn products(lanes: u32) -> [Shown; 2] {
        let none = Shown { lanes, ..Shown::default() };
        [
            Shown { fp64_flops: Some(53_100_000_000_000), ..none },
            Shown { int8_ops_per_s: Some(861_000_000_000_000), ..none },
        ]
    }

    /// The sweeps of 126.9 GB that BENCHMARKS.md has of an H200.
    fn memory(lanes: u32, held_at_once: bool) -> Shown {
        Shown {
            lanes,
            held_bytes: Some(121_711_668_705),
            held_at_once,
            read_bytes_per_s: Some(4_104_000_000_000),
            memory_bytes_per_s: Some(3_950_000_000_000),
            ..Shown::default()
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
        let found = models(&memory(1, true)).unwrap();
        assert_eq!(found.possible[0], H200, "what had least to spare comes first");
        assert_eq!(by(&found, H100), [ExcludedBy::Memory, ExcludedBy::Bandwidth]);
        assert_eq!((count(&found, H200), count(&found, H100)), (1, 2));
        // 121.7 GB over 24 · 2^30 is 4.7, 3950 GB/s over 1008 and 10 % is 3.6.
        assert_eq!(count(&found, RTX_4090), 5);
        assert_eq!(found.equivalents.len(), found.possible.len() + found.excluded.len());
        assert_eq!(found.equivalents.len(), table::all().len());
    }

    #[test]
    fn rounds_exclude_together_what_none_does_alone() {
        let rounds = [products(1)[0], products(1)[1], memory(1, true)];
        let possible = |shown: &Shown| models(shown).unwrap().possible;
        let all = models(&Shown::of_rounds(rounds).unwrap()).unwrap();
        for name in &all.possible {
            assert!(rounds.iter().all(|round| possible(round).contains(name)), "{name}");
        }
        for ExcludedModel { model, .. } in &all.excluded {
            assert!(rounds.iter().any(|round| !possible(round).contains(model)), "{model}");
            let most = rounds.iter().map(|round| count(&models(round).unwrap(), model)).max();
            assert_eq!(Some(count(&all, model)), most, "{model}");
        }
        assert_eq!(all.possible, [H200, "NVIDIA H200 NVL", "NVIDIA GH200 144G HBM3e"]);
        assert_eq!(by(&all, "NVIDIA B200"), [ExcludedBy::Fp64]);
    }

    #[test]
    fn memory_that_lanes_may_have_held_in_turn_counts_once() {
        let (at_once, in_turn) = (memory(8, true), memory(8, false));
        let [at_once, in_turn] = [at_once, in_turn].map(|shown| models(&shown).unwrap());
        // By size 4.7 · 8, by bandwidth 3.6 · 8 whether at once or not.
        assert_eq!(count(&at_once, RTX_4090), 38);
        assert_eq!(count(&in_turn, RTX_4090), 29);
        assert_eq!(at_once.possible, in_turn.possible, "a lane is a lane");
    }

    #[test]
    fn a_model_is_excluded_just_when_a_lane_was_faster_than_it_can_be() {
        let h200 = table::find(H200).unwrap();
        let at = |lanes, flops: f64| Shown { fp64_flops: Some(flops as u64), ..products(lanes)[0] };
        let most = h200.floor_flops();
        assert!(excludes(&at(1, most), h200).is_empty());
        assert_eq!(excludes(&at(1, most + 2.0), h200), [ExcludedBy::Fp64]);
        assert_eq!(models(&Shown { lanes: 1, ..Shown::default() }), None, "nothing is shown");
        assert_eq!(count(&models(&at(2, most)).unwrap(), H200), 2);
    }
}
