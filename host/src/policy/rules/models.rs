//! The rule about a claimed model that the run excludes.

use super::LaneCase;
use crate::appraisal::exclusion;
use crate::policy::RoundFacts;

/// `model-refuted`.
pub(in crate::policy) fn refuted(lane: &LaneCase<'_>) -> Option<String> {
    let shown = RoundFacts::of(lane.case.facts).shown(lane.case.policy)?;
    let by = exclusion::excludes(&shown, lane.model?);
    let by: Vec<_> = by.into_iter().map(|by| by.name()).collect();
    (!by.is_empty()).then(|| {
        format!(
            "one {} can't have been this lane, by what it showed: {}",
            lane.lane.model,
            by.join(", ")
        )
    })
}

#[cfg(test)]
pub(in crate::policy) mod cases {
    use super::super::example::{Cases, Example, lane};
    use crate::protocol::work::Work;
    use crate::protocol::work::memory_residency::MemoryResidency;
    use serde_json::json;
    use std::time::Duration;

    /// 100 sweeps of 275 GB in 8 s: at the rate of an H200, which has 141.
    fn more_than_it_has(case: &mut Example) {
        let (half_passes, peer_blocks) = (12, 0);
        let arena_blocks = 1 << 26;
        case.work = Some(MemoryResidency { arena_blocks, half_passes, peer_blocks }.into());
        case.elapsed = Some(Duration::from_secs(8));
        lane(case).as_object_mut().unwrap().remove("achieved_flops");
        lane(case)["elapsed_ns"] = json!("7900000000");
    }

    pub(in crate::policy) const CASES: Cases = &[("model-refuted", more_than_it_has)];

    #[test]
    fn a_model_is_refuted_only_by_what_is_shown() {
        let mut case = Example::honest();
        more_than_it_has(&mut case);
        let reasons = case.judge().reasons;
        assert_eq!(
            reasons[0].text,
            "lane 0: one NVIDIA H200 can't have been this lane, by what it showed: memory"
        );
        let mut work = case.work.and_then(Work::memory_residency).unwrap();
        work.half_passes = 9;
        case.work = Some(work.into());
        assert!(case.judge().reasons.is_empty(), "too few half-passes show nothing");
    }
}
