//! A session's rounds fit the devices, and what was typed is the one round.

use super::*;
use crate::appraisal::models;
use crate::mining::issue::issue;
use crate::protocol::bound::OmittedShare;
use crate::protocol::challenge::Challenge;
use crate::protocol::work::memory_residency::shown::Run;

const H200: Option<&str> = Some("NVIDIA H200");

fn rig(gpu_model: Option<&str>, devices: u64) -> Rig<'_> {
    let gpus = if gpu_model.is_some() { devices } else { 0 };
    Rig { gpu_model, gpus, devices, round_trip: None }
}

fn plans(policy: &Policy, rig: Rig<'_>) -> Vec<(RoundPlan, Challenge)> {
    let plans = policy.rounds(&rig, Request::default()).unwrap();
    plans.into_iter().map(|plan| (plan.clone(), issue(&plan.request).unwrap())).collect()
}

fn kinds(plans: &[(RoundPlan, Challenge)]) -> Vec<RoundKind> {
    plans.iter().map(|(plan, _)| plan.kind).collect()
}

fn policy(text: &str) -> Policy {
    Policy::from_toml(text, "p.toml").unwrap()
}

#[test]
fn an_h200_gets_three_rounds_and_two_of_them_a_fourth() {
    let one = plans(&Policy::default(), rig(H200, 1));
    assert_eq!(kinds(&one), [RoundKind::Fp64, RoundKind::Integer, RoundKind::Memory]);
    assert!(one.iter().all(|(plan, _)| plan.required));
    // 8 s of 40.6 ms, 4 s of 12.64 ms, 4 s less 0.589 of 30.14 ms.
    let iterations: Vec<u32> = one.iter().map(|(_, challenge)| challenge.iterations()).collect();
    assert_eq!(iterations, [197, 316, 113]);
    let nonces: Vec<_> = one.iter().map(|(_, c)| c.spec().validator_nonce).collect();
    assert!(nonces[0] != nonces[1] && nonces[1] != nonces[2]);
    let two = plans(&Policy::default(), rig(H200, 2));
    assert_eq!(kinds(&two), RoundKind::ALL);
    let (links, challenge) = &two[3];
    assert!(!links.required);
    let work = challenge.work().memory_residency().unwrap();
    // 2.3 s of 0.75 · 152 ms each are 20.1 sweeps; 1.41 s of them at 16 GB/s are 1.12 GB.
    assert_eq!((work.arena_blocks, work.peer_blocks), (60_510 * 512, 1067 * 256));
    assert_eq!(challenge.spec().gpu_count, Some(2));
    // 2 s less 0.589 of 1.12 GB at 337.5 GB/s and 0.1 ms.
    assert_eq!((challenge.iterations(), challenge.spec().sync_interval), (413, 1));
    for (_, challenge) in one.iter().chain(&two) {
        let lanes = challenge.spec().gpu_count.unwrap();
        assert!(lanes * challenge.draws() >= Policy::default().draws_needed());
    }
}

#[test]
fn every_model_gets_its_default_rounds_in_time() {
    for model in models::all() {
        for devices in [1, 2, 8] {
            let plans = plans(&Policy::default(), rig(Some(&model.name), devices));
            assert_eq!(plans.len(), if devices > 1 { 4 } else { 3 }, "{}", model.name);
            for (plan, challenge) in plans {
                // Whole sweeps through a host's memory may be few.
                assert!(challenge.iterations() >= 9, "{}: {:?}", model.name, plan.kind);
            }
        }
    }
}

#[test]
fn links_by_way_of_the_host_are_still_shown() {
    for model in models::all() {
        let (_, challenge) = plans(&Policy::default(), rig(Some(&model.name), 2)).remove(3);
        let work = challenge.work().memory_residency().unwrap();
        let across_s = work.link_bytes() as f64 / 16e9 + 1e-4;
        let elapsed_s = 0.3 + (2.0_f64).max(across_s * f64::from(challenge.iterations()) + 0.6);
        let run = Run {
            work,
            iterations: challenge.iterations(),
            sync_interval: challenge.sync_interval(),
            lanes: 2,
            live_elapsed: Some(Duration::from_secs_f64(elapsed_s)),
            omitted_share: OmittedShare::default(),
            outside_gb_s: 128.0,
            refill_gb_s: 10_000.0,
            lane_memory_bytes_max: Some(model.memory_bytes()),
        };
        let shown = run.shown().link_bytes_per_s;
        assert!(shown.is_ok_and(|shown| shown > 500_000_000), "{}: {shown:?}", model.name);
    }
}

#[test]
fn typed_work_is_the_one_round_and_other_options_are_every_rounds() {
    let all = Policy::default();
    let typed = Request { matrix_dim: Some(2048), ..Request::default() };
    let plan = all.rounds(&rig(H200, 1), typed).unwrap();
    assert_eq!(plan.len(), 1);
    assert_eq!((plan[0].kind, plan[0].request.matrix_dim), (RoundKind::Fp64, Some(2048)));
    let memory = Some(RoundKind::Memory.work().challenge_type().to_owned());
    let typed = Request { challenge_type: memory, ..Request::default() };
    let plan = all.rounds(&rig(H200, 1), typed.clone()).unwrap();
    assert_eq!((plan.len(), plan[0].kind), (1, RoundKind::Memory));
    // As before there were rounds: the policy's seconds of a challenge.
    let target = Target { model: "NVIDIA H200", seconds: None, round_trip: None };
    let alone = all.request(&target, Request { gpu_count: Some(1), ..typed }).unwrap();
    assert_eq!(plan[0].request, alone);
    let samples = Request { samples_per_iteration: Some(100), ..Request::default() };
    let plan = all.rounds(&rig(H200, 1), samples).unwrap();
    assert_eq!(plan.len(), 3);
    assert!(plan.iter().all(|plan| plan.request.samples_per_iteration == Some(100)));
}

#[test]
fn what_a_round_fixes_stays() {
    let text = "devices.cpu_allowed = true\n\
        [[round]]\nkind = \"fp64\"\nmatrix_dim = 128\nnum_matrices = 1\nnum_iterations = 5\n\
        [[round]]\nkind = \"memory\"\narena_blocks = 512\nnum_iterations = 7\nhalf_passes = 10\n\
        [[round]]\nkind = \"links\"\narena_blocks = 1024\npeer_blocks = 512\nnum_iterations = 3\n\
        [[round]]\nkind = \"links\"\nrequired = false\narena_blocks = 512\nnum_iterations = 3\n";
    let policy = policy(text);
    let plans = plans(&policy, rig(None, 2));
    let sizes: Vec<_> = plans.iter().map(|(_, c)| (c.iterations(), c.work().tiles())).collect();
    assert_eq!(sizes, [(5, 1), (7, 1), (3, 2), (3, 1)]);
    assert!(plans.iter().all(|(_, c)| 2 * c.draws() >= policy.draws_needed()));
    let alone = policy.rounds(&rig(None, 1), Request::default()).unwrap_err();
    assert_eq!(alone, SizeError::Peers { got: 1 });
    assert!(alone.is_of_devices());
    // A GPU's are sized but for what is fixed.
    let gpu = policy.rounds(&rig(H200, 2), Request::default()).unwrap();
    assert_eq!(gpu[1].request.arena_blocks, Some(512));
}

#[test]
fn a_cpu_gets_the_sizes_of_a_challenge_without_a_policy() {
    let refused = Policy::default().rounds(&rig(None, 1), Request::default()).unwrap_err();
    assert_eq!(refused, SizeError::NoGpu);
    let plans = plans(&policy("devices.cpu_allowed = true"), rig(None, 1));
    assert_eq!(kinds(&plans), [RoundKind::Fp64, RoundKind::Integer, RoundKind::Memory]);
    assert!(plans.iter().all(|(_, challenge)| challenge.iterations() == 100));
}

#[test]
fn what_no_round_can_show_is_told_before_any_is_issued() {
    let fp64 = "[[round]]\nkind = \"fp64\"\n";
    let ask = |text: String, model| policy(&text).rounds(&rig(model, 2), Request::default());
    let of_model = |result: Result<Vec<RoundPlan>, SizeError>| match result {
        Err(SizeError::NotShown { of_model, .. }) => of_model,
        other => panic!("{other:?}"),
    };
    for demand in
        ["memory.resident_bytes_min = 1", "integer.int8_tops_min = 1", "memory.link_gb_s_min = 1"]
    {
        assert!(!of_model(ask(format!("{demand}\n{fp64}"), H200)), "{demand}");
        assert!(ask(demand.to_owned(), H200).is_ok(), "{demand}");
    }
    let large = "memory.resident_bytes_min = 120000000000";
    assert!(ask(large.to_owned(), H200).is_ok());
    assert!(of_model(ask(large.to_owned(), Some("NVIDIA H100 80GB HBM3"))));
    // No second lane, no link: another miner has one.
    let one = policy("memory.link_gb_s_min = 1").rounds(&rig(H200, 1), Request::default());
    assert!(of_model(one));
}

#[test]
fn sums_may_take_as_many_lanes_as_may_answer() {
    let ask = |demand: &str, lanes| {
        policy(demand).rounds(&rig(H200, lanes), Request::default()).map(|plans| plans.len())
    };
    // An honest H200 shows 0.99 · 54.2 TFLOP/s.
    for (demand, lanes, fits) in [
        ("fp64.fp64_tflops_min = 53", 1, true),
        ("fp64.fp64_tflops_min = 54", 8, false),
        ("fp64.fp64_tflops_sum_min = 106", 2, true),
        ("fp64.fp64_tflops_sum_min = 108", 2, false),
        ("fp64.fp64_tflops_sum_min = 108", 3, true),
        ("memory.resident_bytes_sum_min = 240000000000", 2, true),
        ("memory.resident_bytes_sum_min = 240000000000", 1, false),
        ("memory.memory_gb_s_sum_min = 6000", 2, true),
        ("integer.int8_tops_sum_min = 2700", 2, true),
        ("integer.int8_tops_sum_min = 2700", 1, false),
    ] {
        let asked = ask(demand, lanes);
        assert_eq!(asked.is_ok(), fits, "{demand}, {lanes} lanes: {asked:?}");
    }
}

#[test]
fn fp64_products_are_not_all_that_an_fp64_poor_card_is_asked_for() {
    let fp64 = "[[round]]\nkind = \"fp64\"\n";
    let poor = Some("NVIDIA GeForce RTX 4090");
    let ask = |text: &str, model| policy(text).rounds(&rig(model, 1), Request::default());
    assert!(ask("", poor).is_ok() && ask(fp64, H200).is_ok());
    let refused = ask(fp64, poor).unwrap_err();
    assert_eq!(refused, SizeError::Fp64Alone { model: "NVIDIA GeForce RTX 4090" });
    assert!(refused.is_of_devices());
    assert!(ask(&format!("{fp64}[findings]\nfp64-alone = \"warn\"\n"), poor).is_ok());
    let typed = Request { matrix_dim: Some(8192), ..Request::default() };
    assert!(Policy::default().rounds(&rig(poor, 1), typed).is_err());
}

#[test]
fn a_hosts_round_is_one_lane_of_what_is_fixed() {
    let text = "[[round]]\nkind = \"fp64\"\n[[round]]\nkind = \"memory\"\non = \"host\"\n\
        arena_blocks = 1024\nnum_iterations = 9\n";
    let plans = plans(&policy(text), rig(H200, 4));
    assert_eq!([plans[0].0.on, plans[1].0.on], [RoundOn::Devices, RoundOn::Host]);
    let spec = plans[1].1.spec();
    assert_eq!((spec.gpu_count, &spec.gpu_model, spec.num_iterations), (Some(1), &None, 9));
    // It shows nothing of the devices.
    let demand = policy(&format!("memory.resident_bytes_min = 1\n{text}"));
    let refused = demand.rounds(&rig(H200, 4), Request::default()).unwrap_err();
    assert!(matches!(refused, SizeError::NotShown { of_model: false, .. }), "{refused}");
}

#[test]
fn demands_on_the_host_need_a_round_of_its_own() {
    let devices = "[[round]]\nkind = \"fp64\"\n";
    let host = "[[round]]\nkind = \"integer\"\non = \"host\"\n";
    let ask = |text: &str, typed| policy(text).rounds(&rig(H200, 1), typed);
    let demand = "host.int8_tops_min = 0.1\n";
    assert_eq!(ask(&format!("{demand}{devices}{host}"), Request::default()).unwrap().len(), 2);
    let typed = Request { matrix_dim: Some(8192), ..Request::default() };
    for (text, typed) in [
        (format!("{demand}{devices}"), Request::default()),
        (format!("host.fp64_tflops_min = 0.1\n{devices}{host}"), Request::default()),
        (format!("{demand}{devices}{host}"), typed),
    ] {
        let refused = ask(&text, typed).unwrap_err();
        assert!(matches!(refused, SizeError::NotShown { of_model: false, .. }), "{refused}");
        assert!(refused.to_string().contains("on = \"host\""), "{refused}");
    }
}

#[test]
fn rounds_that_do_not_fit_are_refused_or_left_out() {
    let ask = |text: &str| policy(text).rounds(&rig(H200, 1), Request::default());
    let short = "[[round]]\nkind = \"memory\"\nseconds = 0.5\n";
    assert!(matches!(ask(short), Err(SizeError::TooShort { .. })));
    let optional = format!("{short}required = false\n");
    assert_eq!(ask(&optional), Err(SizeError::NoRound));
    let with_fp64 = format!("{optional}[[round]]\nkind = \"fp64\"\n");
    assert_eq!(ask(&with_fp64).unwrap().len(), 1);
    // Nobody is named, whatever is required.
    let keyed = format!("session.miner_key_required = true\n{optional}");
    assert_eq!(ask(&keyed), Err(SizeError::MinerKey));
}

#[test]
fn one_round_is_sized_as_in_the_session() {
    let policy = Policy::default();
    let target = Target { model: "NVIDIA H200", seconds: None, round_trip: None };
    let two = Request { gpu_count: Some(2), ..Request::default() };
    let session = policy.rounds(&rig(H200, 2), Request::default()).unwrap();
    for (index, plan) in session.into_iter().enumerate() {
        assert_eq!(policy.round(index, &target, two.clone()).unwrap(), plan);
    }
    let refused = policy.round(4, &target, two).unwrap_err();
    assert_eq!(refused, SizeError::RoundNumber { got: 4, count: 4 });
}
