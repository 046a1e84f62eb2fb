//! Rules about memory and links, as far as the run shows them and nobody claims them.

use super::Case;
use crate::appraisal::models;
use crate::protocol::work::Work;
use crate::protocol::work::memory_residency::shown::{NotShown, Run, Shown};

/// Bytes of a GB.
const GB: f64 = 1e9;

/// `residency-low`.
pub(in crate::policy) fn residency_low(case: &Case<'_>) -> Option<String> {
    let least = case.policy.memory.resident_bytes_min;
    if least == 0 {
        return None;
    }
    let what = format!("at least {least} bytes held by each lane");
    let shown = match shown(case) {
        Ok(shown) => shown,
        Err(why) => return Some(format!("expected {what}, nothing is shown: {why}")),
    };
    match (shown.held_bytes, shown.at_once) {
        (Err(why), _) => Some(format!("expected {what}, nothing is shown: {why}")),
        (Ok(got), _) if got < least => Some(format!("expected {what}, at least {got} are shown")),
        (Ok(_), Err(why)) if case.facts.evidence.lanes().len() > 1 => {
            Some(format!("expected {what} at once, it may have been one after the other: {why}"))
        }
        (Ok(_), _) => None,
    }
}

/// `memory-rate-low`.
pub(in crate::policy) fn memory_rate_low(case: &Case<'_>) -> Option<String> {
    let what = "read by each lane from its own arena";
    rate_below(case, case.policy.memory.memory_gb_s_min, what, |shown| shown.read_bytes_per_s)
}

/// `link-rate-low`.
pub(in crate::policy) fn link_rate_low(case: &Case<'_>) -> Option<String> {
    let what = "reaching each lane from others";
    rate_below(case, case.policy.memory.link_gb_s_min, what, |shown| shown.link_bytes_per_s)
}

fn rate_below(
    case: &Case<'_>,
    least_gb_s: f64,
    what: &str,
    rate: fn(Shown) -> Result<u64, NotShown>,
) -> Option<String> {
    if least_gb_s <= 0.0 {
        return None;
    }
    let expected = format!("expected at least {least_gb_s} GB/s {what}");
    match shown(case).map(|shown| rate(shown).map_err(|why| why.to_string())) {
        Err(why) | Ok(Err(why)) => Some(format!("{expected}, nothing is shown: {why}")),
        // Rounded down, as the bound is.
        Ok(Ok(got)) if (got as f64) < GB * least_gb_s => {
            Some(format!("{expected}, at least {:.1} are shown", (got / 100_000_000) as f64 / 10.0))
        }
        Ok(Ok(_)) => None,
    }
}

/// What the run shows, by this policy's assumptions; or why its work shows nothing.
pub(super) fn shown(case: &Case<'_>) -> Result<Shown, String> {
    let (facts, policy) = (case.facts, case.policy);
    let Work::MemoryResidency(work) = facts.challenge.work() else {
        return Err("the challenge asks for another kind of work".to_owned());
    };
    let lanes = facts.evidence.lanes();
    let memory_bytes = lanes.iter().map(|lane| models::memory_bytes(&lane.model));
    let run = Run {
        work,
        iterations: facts.challenge.iterations(),
        sync_interval: facts.challenge.sync_interval(),
        lanes: lanes.len() as u32,
        live_elapsed: facts.elapsed.filter(|_| facts.live),
        omitted_share: policy.omitted_share(),
        outside_gb_s: policy.memory.outside_gb_s,
        refill_gb_s: policy.memory.refill_gb_s,
        lane_memory_bytes_max: memory_bytes
            .collect::<Option<Vec<_>>>()
            .and_then(|all| all.into_iter().max()),
    };
    Ok(run.shown())
}

#[cfg(test)]
pub(in crate::policy) mod cases {
    use super::super::example::{Cases, Example, lane};
    use crate::policy::Weight;
    use crate::protocol::work::Work;
    use crate::protocol::work::memory_residency::MemoryResidency;
    use std::time::Duration;

    fn arena(case: &mut Example, work: MemoryResidency) {
        case.work = Some(work.into());
    }

    /// Changes the arena's size.
    fn resize(case: &mut Example, change: impl FnOnce(&mut MemoryResidency)) {
        let mut work = case.work.and_then(Work::memory_residency).unwrap();
        change(&mut work);
        arena(case, work);
    }

    /// 100 sweeps of 68.7 GB in 2.1 s.
    fn sweeps(case: &mut Example) {
        let (half_passes, peer_blocks) = (12, 0);
        arena(case, MemoryResidency { arena_blocks: 1 << 24, half_passes, peer_blocks });
        // Rates are of another unit than the honest product's.
        lane(case).as_object_mut().unwrap().remove("achieved_flops");
    }

    pub(in crate::policy) const CASES: Cases = &[
        ("residency-low", |case| case.policy.memory.resident_bytes_min = 1),
        ("memory-rate-low", |case| case.policy.memory.memory_gb_s_min = 0.1),
        ("link-rate-low", |case| case.policy.memory.link_gb_s_min = 0.1),
        ("residency-low", |case| {
            // 2^36 · 0.99 − 128e9 · 0.021 are 65,344,281,968.64.
            sweeps(case);
            case.policy.memory.resident_bytes_min = 65_344_281_969;
        }),
        ("memory-rate-low", |case| {
            // 2^36 · 0.99 · 100 / 2.1 are 3,239.6 GB/s.
            sweeps(case);
            case.policy.memory.memory_gb_s_min = 3240.0;
        }),
        ("link-rate-low", |case| {
            sweeps(case);
            case.policy.memory.link_gb_s_min = 0.1;
        }),
        ("residency-low", |case| {
            sweeps(case);
            case.policy.memory.outside_gb_s = 3300.0;
            case.policy.memory.resident_bytes_min = 1;
        }),
    ];

    fn reasons(case: &Example) -> Vec<(&'static str, String)> {
        let rejecting = |(code, weight, text)| match weight {
            Weight::Reject => (code, text),
            Weight::Warn => panic!("{code} warns: {text}"),
        };
        let reasons = case.judge().reasons.into_iter();
        reasons.map(|reason| rejecting((reason.code, reason.weight, reason.text))).collect()
    }

    #[test]
    fn what_is_shown_meets_the_demand() {
        let mut case = Example::honest();
        sweeps(&mut case);
        case.policy.memory.resident_bytes_min = 65_344_281_968;
        case.policy.memory.memory_gb_s_min = 3239.0;
        assert_eq!(reasons(&case), []);
    }

    #[test]
    fn texts_name_what_is_shown_or_why_nothing_is() {
        let mut case = Example::honest();
        case.policy.memory.resident_bytes_min = 65_344_281_969;
        let text = |case: &Example| reasons(case).remove(0).1;
        assert_eq!(
            text(&case),
            "expected at least 65344281969 bytes held by each lane, nothing is shown: the challenge asks for another kind of work"
        );
        sweeps(&mut case);
        assert!(text(&case).ends_with("each lane, at least 65344281968 are shown"));
        resize(&mut case, |work| work.half_passes = 9);
        assert!(text(&case).contains("nothing is shown: half_passes is below 10"));
        sweeps(&mut case);
        case.policy.memory.resident_bytes_min = 0;
        case.policy.memory.memory_gb_s_min = 3240.0;
        assert_eq!(
            text(&case),
            "expected at least 3240 GB/s read by each lane from its own arena, at least 3239.6 are shown"
        );
    }

    #[test]
    fn two_lanes_must_be_shown_to_hold_theirs_at_once() {
        let mut case = Example::honest();
        sweeps(&mut case);
        let second = lane(&mut case).clone();
        case.evidence["lanes"].as_array_mut().unwrap().push(second);
        case.evidence["lanes"][1]["uuid"] = "02".repeat(16).into();
        case.policy.memory.resident_bytes_min = 1;
        assert_eq!(reasons(&case), []);
        // 12 · 2^36 bytes within 21 ms are 39.3 TB/s.
        case.policy.memory.refill_gb_s = 39_300.0;
        let reasons = reasons(&case);
        assert_eq!(reasons.len(), 1);
        assert_eq!(reasons[0].0, "residency-low");
        assert!(reasons[0].1.contains("one after the other: an iteration took so long"));
    }

    #[test]
    fn links_count_as_far_as_memory_cannot_hold_what_they_brought() {
        let mut case = Example::honest();
        sweeps(&mut case);
        resize(&mut case, |work| work.peer_blocks = 1 << 24);
        let second = lane(&mut case).clone();
        case.evidence["lanes"].as_array_mut().unwrap().push(second);
        case.evidence["lanes"][1]["uuid"] = "02".repeat(16).into();
        case.policy.memory.link_gb_s_min = 1.0;
        // μ is 141e9 / 2^36: more than the root of two.
        let text = reasons(&case).remove(0).1;
        assert!(text.contains("nothing is shown: a lane of its model may have held"), "{text}");
        // 0.99 · 2^37 · 100 · (1 − μ²/2) / 2.4 with μ = 141e9 / 2^37 are 2,685.9 GB/s.
        resize(&mut case, |work| (work.arena_blocks, work.peer_blocks) = (1 << 25, 1 << 25));
        case.elapsed = Some(Duration::from_millis(2400));
        case.policy.memory.link_gb_s_min = 2685.0;
        assert_eq!(reasons(&case), []);
        case.policy.memory.link_gb_s_min = 2686.0;
        assert_eq!(reasons(&case)[0].0, "link-rate-low");
    }
}
