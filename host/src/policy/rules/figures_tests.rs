//! What rounds show meets a demand, and what they don't is told with the reason.

use super::super::example::{Cases, Example, lane};
use crate::policy::{Host, RoundOn, SessionFacts, Weight};
use crate::protocol::verdict::NetworkShown;
use crate::protocol::work::Work;
use crate::protocol::work::integer_product::IntegerProduct;
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

pub(in crate::policy) const MEMORY: Cases = &[
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
    ("residency-low", |case| {
        // Two lanes have twice as much.
        two_lanes(case);
        case.policy.memory.resident_bytes_sum_min = 2 * 65_344_281_968 + 1;
    }),
    ("memory-rate-low", |case| {
        two_lanes(case);
        case.policy.memory.memory_gb_s_sum_min = 2.0 * 3239.7;
    }),
    ("link-rate-low", |case| {
        links(case);
        case.policy.memory.link_gb_s_sum_min = 2.0 * 2686.0;
    }),
];

/// 100 sweeps of each of two lanes.
fn two_lanes(case: &mut Example) {
    sweeps(case);
    let second = lane(case).clone();
    case.evidence["lanes"].as_array_mut().unwrap().push(second);
    case.evidence["lanes"][1]["uuid"] = "02".repeat(16).into();
}

/// 0.99 · 2^37 · 100 · (1 − μ²/2) / 2.4 with μ = 141e9 / 2^37 are 2,685.9 GB/s.
fn links(case: &mut Example) {
    two_lanes(case);
    resize(case, |work| (work.arena_blocks, work.peer_blocks) = (1 << 25, 1 << 25));
    case.elapsed = Some(Duration::from_millis(2400));
}

pub(in crate::policy) const FP64: Cases = &[
    // 1.0995e14 operations · 0.99 / 2.1 s are 51.83 TFLOP/s.
    ("fp64-rate-low", |case| case.policy.fp64.fp64_tflops_min = 51.9),
    ("fp64-rate-low", |case| case.policy.fp64.fp64_tflops_sum_min = 51.9),
    ("fp64-rate-low", |case| {
        products(case);
        case.policy.fp64.fp64_tflops_min = 0.1;
    }),
];

/// What the devices do says nothing of the machine's CPUs.
pub(in crate::policy) const HOST: Cases = &[
    ("host-rate-low", |case| case.policy.host.fp64_tflops_min = 0.1),
    ("host-rate-low", |case| case.policy.host.int8_tops_min = 0.1),
    ("host-rate-low", |case| {
        sweeps(case);
        case.policy.host.resident_bytes_min = 1;
    }),
];

pub(in crate::policy) const NETWORK: Cases = &[
    ("network-rate-low", |case| case.policy.network.network_mbit_min = 0.1),
    ("network-rate-low", |case| {
        case.policy.network.network_mbit_min = 100.0;
        case.network = Some(goodput(12_499_999, 12_500_000));
    }),
    ("network-rate-low", |case| {
        case.policy.network.network_mbit_min = 100.0;
        case.network = Some(goodput(12_500_000, 12_499_999));
    }),
];

fn goodput(to_miner_bytes_per_s: u64, to_validator_bytes_per_s: u64) -> NetworkShown {
    NetworkShown { bytes_each_way: 1 << 26, to_miner_bytes_per_s, to_validator_bytes_per_s }
}

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
        "expected at least 65344281969 bytes held by each lane, nothing is shown: no round is of kind \"memory\""
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
    two_lanes(&mut case);
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
    two_lanes(&mut case);
    resize(&mut case, |work| work.peer_blocks = 1 << 24);
    case.policy.memory.link_gb_s_min = 1.0;
    // μ is 141e9 / 2^36: more than the root of two.
    let text = reasons(&case).remove(0).1;
    assert!(text.contains("nothing is shown: a lane of its model may have held"), "{text}");
    case = Example::honest();
    links(&mut case);
    case.policy.memory.link_gb_s_min = 2685.0;
    assert_eq!(reasons(&case), []);
    case.policy.memory.link_gb_s_min = 2686.0;
    assert_eq!(reasons(&case)[0].0, "link-rate-low");
}

/// 300 products of 16384³ in 2.1 s.
fn products(case: &mut Example) {
    case.work = Some(Work::from(IntegerProduct { dim: 16_384, products: 3 }));
    // Rates are of another unit than the honest FP64 product's.
    lane(case).as_object_mut().unwrap().remove("achieved_flops");
}

pub(in crate::policy) const INTEGER: Cases = &[
    ("integer-rate-low", |case| case.policy.integer.int8_tops_min = 0.1),
    ("integer-rate-low", |case| case.policy.integer.int8_tops_sum_min = 0.1),
    ("integer-rate-low", |case| {
        products(case);
        case.policy.integer.int8_tops_sum_min = 1244.1;
    }),
    ("integer-rate-low", |case| {
        // 2 · 2^42 · 300 · 0.99 / 2.1 are 1244.0 TOPS.
        products(case);
        case.policy.integer.int8_tops_min = 1244.1;
    }),
    ("too-slow", |case| {
        // The floor is 2.64e15 / (1.25 · 0.65 · 2141e12) = 1.517 s.
        products(case);
        case.elapsed = Some(Duration::from_millis(2600));
    }),
];

#[test]
fn what_is_shown_meets_the_demand_and_texts_name_it() {
    let mut case = Example::honest();
    products(&mut case);
    case.policy.integer.int8_tops_min = 1244.0;
    assert_eq!(reasons(&case), []);
    case.policy.integer.int8_tops_min = 1245.0;
    assert_eq!(
        reasons(&case)[0].1,
        "expected at least 1245 TOPS of int8 products by each lane, at least 1244.0 are shown in the mean"
    );
    case.work = None;
    let text = reasons(&case).remove(0).1;
    assert!(text.ends_with("nothing is shown: no round is of kind \"integer\""), "{text}");
}

#[test]
fn outside_a_live_session_nothing_is_shown() {
    let mut case = Example::honest();
    products(&mut case);
    case.policy.integer.int8_tops_min = 0.1;
    (case.live, case.policy.session.live_required) = (false, false);
    case.policy.soundness.escape_probability_max = 0.999;
    case.draws = 9000;
    let reasons = reasons(&case);
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].1.ends_with("no live session measured the time"), "{reasons:?}");
}

#[test]
fn sums_are_over_all_lanes() {
    let mut case = Example::honest();
    two_lanes(&mut case);
    case.policy.memory.resident_bytes_sum_min = 2 * 65_344_281_968;
    case.policy.memory.memory_gb_s_sum_min = 2.0 * 3239.6;
    assert_eq!(reasons(&case), []);
    // One after the other: one device may have held both.
    case.policy.memory.refill_gb_s = 39_300.0;
    assert_eq!(
        reasons(&case)[0].1,
        "expected at least 130688563936 bytes held by all lanes together, at least 65344281968 are shown"
    );
    case.policy.memory.resident_bytes_sum_min = 65_344_281_968;
    assert_eq!(reasons(&case), []);
    let mut linked = Example::honest();
    links(&mut linked);
    linked.policy.memory.link_gb_s_sum_min = 2.0 * 2685.0;
    assert_eq!(reasons(&linked), []);
    let mut alone = Example::honest();
    alone.policy.fp64.fp64_tflops_min = 51.8;
    alone.policy.fp64.fp64_tflops_sum_min = 51.8;
    assert_eq!(reasons(&alone), []);
    alone.policy.fp64.fp64_tflops_min = 51.9;
    assert_eq!(
        reasons(&alone)[0].1,
        "expected at least 51.9 TFLOP/s of FP64 products by each lane, at least 51.8 are shown in the mean"
    );
}

/// The codes that a session of these rounds gets under the policy of the last.
fn session_codes(rounds: &[&Example]) -> Vec<&'static str> {
    let facts: Vec<_> = rounds.iter().map(|round| round.round()).collect();
    let session = SessionFacts { rounds: &facts, ..SessionFacts::default() };
    let judgement = rounds.last().unwrap().policy.judge_session(&session);
    judgement.reasons.into_iter().map(|reason| reason.code).collect()
}

#[test]
fn a_session_meets_a_demand_by_whichever_round_shows_it() {
    let [fp64, mut integer, mut memory] = [(); 3].map(|()| Example::honest());
    products(&mut integer);
    sweeps(&mut memory);
    memory.policy.fp64.fp64_tflops_min = 51.8;
    memory.policy.integer.int8_tops_min = 1244.0;
    memory.policy.memory.resident_bytes_min = 65_344_281_968;
    memory.policy.memory.memory_gb_s_min = 3239.0;
    assert_eq!(session_codes(&[&fp64, &integer, &memory]), [""; 0]);
    // A round by itself is not held to what others show ...
    let by_itself = memory.with_facts(|facts| memory.policy.judge_round(facts));
    assert_eq!(by_itself.reasons, []);
    // ... and what none shows, the session is.
    assert_eq!(session_codes(&[&integer, &memory]), ["fp64-rate-low"]);
    assert_eq!(session_codes(&[&fp64, &memory]), ["integer-rate-low"]);
    memory.elapsed = Some(Duration::from_secs(4));
    assert_eq!(session_codes(&[&fp64, &integer, &memory]), ["residency-low", "memory-rate-low"]);
    // The best of several rounds of a kind counts.
    let mut fast = Example::honest();
    sweeps(&mut fast);
    fast.policy = memory.policy.clone();
    assert_eq!(session_codes(&[&fp64, &integer, &memory, &fast]), [""; 0]);
    assert_eq!(session_codes(&[&fp64, &integer, &fast, &memory]), [""; 0]);
}

#[test]
fn a_hosts_round_meets_the_demands_on_the_host_and_no_others() {
    let host = |with: fn(&mut Example)| {
        let mut case = Example::honest();
        with(&mut case);
        case.on = RoundOn::Host;
        case
    };
    let [fp64, integer, mut memory] = [host(|_| ()), host(products), host(sweeps)];
    memory.policy.host.fp64_tflops_min = 51.8;
    memory.policy.host.int8_tops_min = 1244.0;
    memory.policy.host.resident_bytes_min = 65_344_281_968;
    assert_eq!(session_codes(&[&fp64, &integer, &memory]), [""; 0]);
    memory.policy.host.resident_bytes_min += 1;
    assert_eq!(session_codes(&[&fp64, &integer, &memory]), ["host-rate-low"]);
    memory.policy.host = Host::default();
    memory.policy.fp64.fp64_tflops_min = 0.1;
    assert_eq!(session_codes(&[&fp64, &integer, &memory]), ["fp64-rate-low"]);
}

#[test]
fn the_slower_direction_of_the_network_counts() {
    let mut case = Example::honest();
    case.policy.network.network_mbit_min = 100.0;
    case.network = Some(goodput(12_500_000, 90_000_000));
    assert_eq!(reasons(&case), []);
    case.network = Some(goodput(12_500_000, 12_000_000));
    assert_eq!(
        reasons(&case)[0].1,
        "expected at least 100 Mbit/s in both directions, got 100.0 to the miner and 96.0 from it"
    );
    let mut policy = crate::policy::Policy::default();
    assert_eq!((policy.network_bytes(None), policy.network_bytes(Some(5))), (None, Some(5)));
    policy.network.network_mbit_min = 1.0;
    assert_eq!((policy.network_bytes(None), policy.network_bytes(Some(0))), (Some(1 << 26), None));
    policy.network.bytes_each_way = 7;
    assert_eq!(policy.network_bytes(None), Some(7));
}
