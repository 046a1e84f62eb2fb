//! Miners that don't hold the arena that they sweep: arenas that are too small, another
//! lane's, another challenge's, or not reached. Leaves that follow from anything else are
//! seen; what gives the right leaves takes time, which is in [`super::memory_time`].

use super::devices::invent;
use super::{Say, UUIDS, alone, challenge, drawn, ended_with, live_with};
use crate::common::arena;
use attest::mining::issue::Request;
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::evidence::Evidence;
use attest::protocol::names::State;
use attest::protocol::work::memory_residency::MemoryResidency;
use attest::reference::fold::Word;
use attest::reference::memory::Arena;
use attest::reference::{MemoryOracle, Run};
use serde_json::{Value, json};

/// Blocks of an arena (N).
const BLOCKS: u64 = 512;
/// Iterations (T).
pub(super) const SWEEPS: u64 = 10;

/// Memory residency for this many lanes, with as many draws a lane as the default policy
/// asks for in all.
pub(super) fn sweeps(
    [half_passes, peer_blocks]: [u64; 2],
    lanes: u64,
    change: impl FnOnce(&mut ChallengeSpec),
) -> Challenge {
    challenge(|spec| {
        spec.work = arena(BLOCKS, half_passes, peer_blocks);
        spec.gpu_count = Some(lanes);
        (spec.num_iterations, spec.samples_per_iteration) = (SWEEPS, 207);
        change(spec);
    })
}

/// What cards of this model say about themselves.
pub(super) fn cards(uuids: &[Uuid], model: &str, memory_bytes: u64) -> Evidence {
    let lane = |uuid: &Uuid| {
        json!({
            "uuid": uuid.to_string(),
            "model": model,
            "memory_bytes": memory_bytes,
            "sm_count": 132,
            "sm_tiles": [],
            "sm_monitoring": "unavailable: these GPUs are a test's",
        })
    };
    let lanes: Vec<Value> = uuids.iter().map(lane).collect();
    Evidence::from_value(json!({"schema": 1, "executor": "gpu", "lanes": lanes})).unwrap()
}

/// What a miner of H200s says that has run like this.
pub(super) fn said(run: Run) -> Say {
    let say = Say::of(run);
    let uuids: Vec<Uuid> = say.run.lanes().iter().map(|lane| lane.uuid).collect();
    Say { evidence: cards(&uuids, "NVIDIA H200", 150_754_820_096), ..say }
}

fn work(challenge: &Challenge) -> MemoryResidency {
    challenge.work().memory_residency().unwrap()
}

/// s(g,0) of the lanes.
pub(super) fn seeds(challenge: &Challenge, uuids: &[Uuid]) -> Vec<State> {
    let seed = |(g, uuid)| attest::protocol::chain::lane_seed(&challenge.digest(), g, uuid);
    (0..).zip(uuids).map(seed).collect()
}

/// The arenas that the challenge asks for.
pub(super) fn right(challenge: &Challenge, uuids: &[Uuid]) -> Vec<Arena> {
    let work = work(challenge);
    seeds(challenge, uuids).iter().map(|seed| Arena::filled(work, seed)).collect()
}

/// A run of lanes each of which reads arenas of its own choice: of every lane, one for
/// each lane's.
pub(super) fn run_over(challenge: &Challenge, uuids: &[Uuid], views: Vec<Vec<Arena>>) -> Run {
    let over = |view| MemoryOracle::over(work(challenge), view);
    let views: Vec<MemoryOracle> = views.into_iter().map(over).collect();
    Run::with(challenge, uuids, |lane, iteration, state| {
        views[lane as usize].iteration_leaves(lane, iteration, state)
    })
}

/// The verdict on lanes that read these arenas.
fn verdict_on(challenge: &Challenge, uuids: &[Uuid], views: Vec<Vec<Arena>>) -> &'static str {
    alone(challenge, &said(run_over(challenge, uuids, views)).result(None))
}

/// One lane's, with its arena changed by `change`.
fn verdict_on_one(change: impl FnOnce(&mut Vec<Vec<Word>>)) -> &'static str {
    let (challenge, uuids) = (sweeps([12, 0], 1, |_| ()), &UUIDS[..1]);
    let mut arenas = right(&challenge, uuids);
    change(&mut arenas[0].blocks);
    verdict_on(&challenge, uuids, vec![arenas])
}

#[test]
fn blocks_that_are_not_held() {
    assert_eq!(verdict_on_one(|_| ()), "verified");
    let nothing = vec![[0; 4]; 256];
    // Half of the arena, and one block in a hundred.
    for one_of in [2, 100] {
        let verdict = verdict_on_one(|blocks| {
            blocks.iter_mut().step_by(one_of).for_each(|block| block.clone_from(&nothing));
        });
        assert_eq!(verdict, "leaf-mismatch", "one of {one_of}");
    }
    // An arena of half as many blocks, read twice.
    let smaller = verdict_on_one(|blocks| {
        let (low, high) = blocks.split_at_mut(BLOCKS as usize / 2);
        high.clone_from_slice(low);
    });
    assert_eq!(smaller, "leaf-mismatch");
    // One word of each block.
    let words = verdict_on_one(|blocks| blocks.iter_mut().for_each(|block| block[77] = [0; 4]));
    assert_eq!(words, "leaf-mismatch");
}

#[test]
fn an_arena_filled_by_half() {
    let (challenge, uuids) = (sweeps([12, 0], 1, |_| ()), &UUIDS[..1]);
    let after = |half_passes| {
        let less = MemoryResidency { half_passes, ..work(&challenge) };
        let arena = Arena::filled(less, &seeds(&challenge, uuids)[0]);
        verdict_on(&challenge, uuids, vec![vec![arena]])
    };
    assert_eq!(after(12), "verified");
    for half_passes in [0, 6, 10, 11] {
        assert_eq!(after(half_passes), "leaf-mismatch", "{half_passes} half-passes");
    }
}

#[test]
fn an_arena_of_another_challenge() {
    let uuids = &UUIDS[..1];
    let before = sweeps([12, 0], 1, |spec| spec.validator_nonce = Digest([9; 32]));
    let asked = sweeps([12, 0], 1, |_| ());
    // The seed that both have in common acts through the challenge's digest only.
    assert_eq!(before.spec().gpu_pow_seed, asked.spec().gpu_pow_seed);
    let verdict = |arenas: Vec<Arena>| verdict_on(&asked, uuids, vec![arenas]);
    assert_eq!(verdict(right(&before, uuids)), "leaf-mismatch");
    assert_eq!(verdict(right(&asked, uuids)), "verified");
    // Nor is it another device's.
    assert_eq!(verdict(right(&asked, &UUIDS[1..])), "leaf-mismatch");
}

#[test]
fn one_arena_for_two_lanes() {
    let challenge = sweeps([12, 0], 2, |_| ());
    let both = right(&challenge, &UUIDS);
    let of_first = vec![both[0].clone(), both[0].clone()];
    let views = |arenas: Vec<Arena>| vec![arenas.clone(), arenas];
    assert_eq!(verdict_on(&challenge, &UUIDS, views(of_first)), "leaf-mismatch");
    assert_eq!(verdict_on(&challenge, &UUIDS, views(both)), "verified");
}

/// Each lane has its own arena and nothing of its peer's.
#[test]
fn a_peers_blocks_that_never_came() {
    let challenge = sweeps([12, BLOCKS], 2, |_| ());
    let both = right(&challenge, &UUIDS);
    let [first, second] = [both[0].clone(), both[1].clone()];
    let nothing = Arena { blocks: vec![vec![[0; 4]; 256]; BLOCKS as usize] };
    let verdict = |views| verdict_on(&challenge, &UUIDS, views);
    assert_eq!(verdict(vec![both.clone(), both.clone()]), "verified");
    let own = |arena: &Arena| vec![arena.clone(), arena.clone()];
    assert_eq!(verdict(vec![own(&first), own(&second)]), "leaf-mismatch");
    let without = vec![vec![first, nothing.clone()], vec![nothing, second]];
    assert_eq!(verdict(without), "leaf-mismatch");
    // Of 64 blocks one was not asked for.
    let mut spared = both.clone();
    spared[1].blocks.iter_mut().step_by(64).for_each(|block| block.fill([0; 4]));
    assert_eq!(verdict(vec![spared, both]), "leaf-mismatch");
}

/// A card that is as small as it says.
#[test]
fn a_card_that_says_how_small_it_is() {
    let challenge = sweeps([12, 0], 1, |_| ());
    let run = run_over(&challenge, &UUIDS[..1], vec![right(&challenge, &UUIDS[..1])]);
    let of = |memory_bytes| {
        let evidence = cards(&UUIDS[..1], "NVIDIA H100 80GB HBM3", memory_bytes);
        let say = Say { evidence, ..Say::of(run.clone()) };
        alone(&challenge, &say.result(Some(drawn(&[b"any"]))))
    };
    assert_eq!(of(4096 * BLOCKS), "verified");
    assert_eq!(of(4096 * BLOCKS - 1), "evidence-memory");
    assert_eq!(of(0), "evidence-memory");
}

/// The time floor refutes the claim before a leaf is recomputed.
#[tokio::test]
async fn sweeps_out_of_thin_air_are_too_fast() {
    let sweeps = |arena_blocks, iterations| Request {
        challenge_type: Some("memory_residency_pow".to_owned()),
        arena_blocks: Some(arena_blocks),
        half_passes: Some(12),
        peer_blocks: Some(0),
        num_iterations: Some(iterations),
        samples_per_iteration: Some(1),
        gpu_count: Some(1),
        ..Request::default()
    };
    // A thousand sweeps of 16 GiB take an A30 17 s.
    ended_with("too-fast", &invent(sweeps(1 << 22, 1000), "NVIDIA A30").await);
    // What stays in caches has no floor: invented leaves are seen for what they are.
    ended_with("leaf-mismatch", &invent(sweeps(BLOCKS, 10), "NVIDIA A30").await);
    let honest = live_with(sweeps(BLOCKS, 10), |challenge| Say {
        evidence: super::devices::gpus(&UUIDS[..1], &["1"]),
        ..Say::honestly(challenge)
    });
    ended_with("verified", &honest.await);
}
