//! Miners that give the right leaves without the memory, the links or the number of cards
//! that they were asked for: what each has to do instead takes time, by which the verdict
//! shows less. Time is the test's. It follows from rates, so that a session with a tiny
//! arena is one of a large arena in small: shares of the arena are the same.

use super::devices::{reasons, session};
use super::memory::{SWEEPS, cards, right, run_over, said, sweeps};
use super::turned::Records;
use super::{Say, UUIDS, drawn, ended_with};
use crate::common::{arena, spec};
use attest::executor::cpu::CpuVerifier;
use attest::policy::{Facts, Policy, RoundOn, Weight};
use attest::protocol::bound::{Bound, Grinding, OmittedShare, log10_escape};
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::circumstances::{Circumstances, Issuer, IssuerRecord, SessionRecord};
use attest::protocol::digest::Digest;
use attest::protocol::verified::Verified;
use attest::protocol::verify::{LeafRequest, Recompute, verify};
use attest::protocol::work::memory_residency::MemoryResidency;
use attest::protocol::work::{IterationPlace, RunInputs};
use attest::reference::Run;
use attest::session::validator::Ended;
use std::time::Duration;

const H200: &str = "NVIDIA H200";
/// 90 % of an H200's 141 GB, in whole steps of blocks.
const FULL_BLOCKS: u64 = 30_981_120;
/// The share of them that the 80 GB of an H100 can hold.
const H100_HOLDS: f64 = 80e9 / (4096.0 * FULL_BLOCKS as f64);
/// Blocks of random words that an H200 computes a second: its links of 15 to 30 GB/s in
/// docs/protocol.md are those, and 130 to 290 blocks a word.
const RANDOM_BLOCKS_PER_S: f64 = 2.6e11;

/// How a miner comes by an arena's blocks: some are in its memory, the others come from
/// elsewhere at the same time. Rates in GB/s.
#[derive(Clone, Copy, Debug)]
struct Card {
    held: f64,
    memory_gb_s: f64,
    elsewhere_gb_s: f64,
}

/// As measured, 0.9 of what is printed; behind it a PCIe 5 × 16.
const HONEST: Card = Card { held: 1.0, memory_gb_s: 4320.0, elsewhere_gb_s: 55.0 };

impl Card {
    /// For this many sweeps of one lane's arena.
    fn takes(self, work: MemoryResidency, iterations: u64) -> Duration {
        let bytes = work.sweep_bytes() as f64;
        let [held, others] = [self.held, 1.0 - self.held];
        let sweep_ns = (bytes * held / self.memory_gb_s).max(bytes * others / self.elsewhere_gb_s);
        Duration::from_secs_f64(1e-9 * sweep_ns * iterations as f64)
    }

    /// For filling an arena: each half-pass reads two blocks and writes one.
    fn fills(self, work: MemoryResidency) -> Duration {
        let bytes = work.half_pass_bytes() as f64 * f64::from(work.half_passes);
        Duration::from_secs_f64(1e-9 * bytes / self.memory_gb_s)
    }
}

fn work(challenge: &Challenge) -> MemoryResidency {
    challenge.work().memory_residency().unwrap()
}

/// Asks for 120 of 126.9 GB, or as much of a smaller arena, and for 3.9 TB/s.
fn demanding(challenge: &Challenge) -> Policy {
    let mut policy = Policy::default();
    let share = 120e9 / (4096.0 * FULL_BLOCKS as f64);
    policy.memory.resident_bytes_min = (share * work(challenge).arena_bytes() as f64) as u64;
    policy.memory.memory_gb_s_min = 3900.0;
    policy
}

fn resident(bytes: u64) -> Policy {
    let mut policy = Policy::default();
    policy.memory.resident_bytes_min = bytes;
    policy
}

/// A session of H200s, verified: its coin is on the validator's record.
fn verified(challenge: &Challenge, run: Run) -> Verified {
    let coin = drawn(&[b"of a session"]);
    let result = said(run).result(Some(coin));
    let commitment = result.commitment;
    let record = IssuerRecord {
        nonce_spent_on: Some(commitment),
        session: Some(SessionRecord { commitment, coin }),
    };
    let circumstances = Circumstances {
        issuer: Issuer::Record(record),
        arrival_unix_s: Some(challenge.issued_at_unix_s()),
        ..Circumstances::default()
    };
    verify(challenge, &result, &circumstances, &CpuVerifier::new()).expect("right leaves")
}

/// What `policy` holds against facts, after `elapsed`.
fn against(policy: &Policy, facts: Facts<'_>, elapsed: Duration) -> Vec<(&'static str, String)> {
    let facts =
        Facts { elapsed: Some(elapsed), round_trip: Some(Duration::from_millis(1)), ..facts };
    let reasons = policy.judge(&facts).reasons.into_iter();
    let rejecting = reasons.filter(|reason| reason.weight == Weight::Reject);
    rejecting.map(|reason| (reason.code, reason.text)).collect()
}

fn codes(reasons: &[(&'static str, String)]) -> Vec<&'static str> {
    reasons.iter().map(|(code, _)| *code).collect()
}

/// The share of the arena that a verdict says was held; 0 if it says that nothing is shown.
fn held_share(ended: &Ended, work: MemoryResidency) -> f64 {
    let held_bytes = ended.verdict.memory.as_ref().expect("memory's kind of work").held_bytes;
    let unshown = |text: &String| text.starts_with("memory and links: nothing is shown");
    assert_eq!(held_bytes.is_none(), ended.verdict.not_checked.iter().any(unshown));
    held_bytes.unwrap_or(0) as f64 / work.arena_bytes() as f64
}

#[test]
fn an_h100_poses_as_an_h200() {
    let challenge = sweeps([12, 0], 1, |spec| spec.gpu_model = Some(H200.to_owned()));
    let (work, uuids) = (work(&challenge), &UUIDS[..1]);
    let arenas = right(&challenge, uuids);
    let ended = |say: &Say, elapsed| {
        session(&Records::new(), &challenge, demanding(&challenge), say, elapsed)
    };
    let honest = said(run_over(&challenge, uuids, vec![arenas.clone()]));
    let verified = ended(&honest, HONEST.takes(work, SWEEPS));
    ended_with("verified", &verified);
    assert!(held_share(&verified, work) >= 120e9 / (4096.0 * FULL_BLOCKS as f64));
    // All leaves are right: what its memory lacks comes over PCIe, at 55 GB/s or at as
    // much as the policy allows for.
    for elsewhere_gb_s in [55.0, 128.0] {
        let h100 = Card { held: H100_HOLDS, memory_gb_s: 3020.0, elsewhere_gb_s };
        let ended = ended(&honest, h100.takes(work, SWEEPS));
        ended_with("rejected-by-policy", &ended);
        assert_eq!(reasons(&ended), ["residency-low", "memory-rate-low"]);
        assert!(held_share(&ended, work) <= H100_HOLDS);
    }
    // As fast as an H200, without what its memory lacks.
    let mut lacking = arenas.clone();
    let held = (H100_HOLDS * work.arena_blocks as f64) as usize;
    lacking[0].blocks[held..].iter_mut().for_each(|block| block.fill([0; 4]));
    let lacking = said(run_over(&challenge, uuids, vec![lacking]));
    ended_with("leaf-mismatch", &ended(&lacking, HONEST.takes(work, SWEEPS)));
    // As itself it is not who was asked.
    let evidence = cards(uuids, "NVIDIA H100 80GB HBM3", 85_520_809_984);
    let itself = Say { evidence, ..Say::of(run_over(&challenge, uuids, vec![arenas])) };
    ended_with("evidence-model", &ended(&itself, HONEST.takes(work, SWEEPS)));
}

/// Of a challenge that is too large to answer here: what a policy is told that a
/// verification has found.
fn full_size(lanes: u64, change: impl FnOnce(&mut ChallengeSpec)) -> Challenge {
    let mut spec = ChallengeSpec {
        work: arena(FULL_BLOCKS, 12, 0),
        num_iterations: 300,
        gpu_count: Some(lanes),
        gpu_model: Some(H200.to_owned()),
        samples_per_iteration: 7,
        ..spec()
    };
    change(&mut spec);
    Challenge::issue(spec).unwrap()
}

/// What `policy` holds against H200s that answer it, with right leaves as far as samples
/// go.
fn full_size_against(
    policy: &Policy,
    challenge: &Challenge,
    elapsed: Duration,
) -> Vec<(&'static str, String)> {
    let uuids = &UUIDS[..challenge.max_lanes() as usize];
    let evidence = cards(uuids, H200, 150_754_820_096);
    let (share, draws) = (OmittedShare::default(), 2100);
    let grinding = Grinding::ExcludedByCoin;
    let log10_escape = log10_escape(share, draws, grinding);
    let facts = Facts {
        challenge,
        evidence: &evidence,
        bound: Bound::Sampled { omitted_share: share, draws, grinding, log10_escape },
        live: true,
        elapsed: None,
        round_trip: None,
        history: &[],
        on: RoundOn::Devices,
        devices: &[],
        machine: None,
    };
    against(policy, facts, elapsed)
}

/// The same at full size: the honest bound names at least 120 GB and 3.9 TB/s.
#[test]
fn an_h100_poses_as_an_h200_at_full_size() {
    let challenge = full_size(1, |_| ());
    let mut policy = demanding(&challenge);
    policy.memory.resident_bytes_min = 120_000_000_000;
    let of = |card: Card| full_size_against(&policy, &challenge, card.takes(work(&challenge), 300));
    assert_eq!(of(HONEST), []);
    let h100 = Card { held: H100_HOLDS, memory_gb_s: 3020.0, elsewhere_gb_s: 128.0 };
    // At this size it is also too slow for an H200.
    let reasons = of(h100);
    assert_eq!(codes(&reasons), ["too-slow", "residency-low", "memory-rate-low"]);
    // No more than it has.
    let shown = reasons[1].1.split("at least ").last().unwrap().split(' ').next().unwrap();
    assert!((78e9..80e9).contains(&shown.parse::<f64>().unwrap()), "{shown}");
    // An arena that an H100 can hold shows no more than that; its bandwidth is not an
    // H200's either.
    let fits = full_size(1, |spec| spec.work = arena(1 << 24, 12, 0));
    let elapsed = Card { held: 1.0, ..h100 }.takes(work(&fits), 300);
    assert_eq!(codes(&full_size_against(&Policy::default(), &fits, elapsed)), ["too-slow"]);
    let reasons = full_size_against(&policy, &fits, elapsed);
    assert_eq!(codes(&reasons), ["too-slow", "residency-low", "memory-rate-low"]);
}

#[test]
fn an_arena_behind_a_slow_link() {
    let challenge = sweeps([12, 0], 1, |_| ());
    let work = work(&challenge);
    let say = said(run_over(&challenge, &UUIDS[..1], vec![right(&challenge, &UUIDS[..1])]));
    let ended = |card: Card| {
        session(&Records::new(), &challenge, resident(1), &say, card.takes(work, SWEEPS))
    };
    ended_with("verified", &ended(HONEST));
    // All of it in the host's memory.
    for elsewhere_gb_s in [25.0, 55.0, 126.0] {
        let slow = ended(Card { held: 0.0, elsewhere_gb_s, ..HONEST });
        ended_with("rejected-by-policy", &slow);
        assert_eq!(reasons(&slow), ["residency-low"]);
        assert_eq!(held_share(&slow, work), 0.0);
    }
    // Behind a faster link it counts as the card's own, and a rate tells it from that.
    let faster = Card { held: 0.0, elsewhere_gb_s: 450.0, ..HONEST };
    ended_with("verified", &ended(faster));
    let ended =
        session(&Records::new(), &challenge, demanding(&challenge), &say, faster.takes(work, 10));
    assert_eq!(reasons(&ended), ["residency-low", "memory-rate-low"]);
}

/// Whatever share a miner holds: fetched over slower links or recomputed, what it lacks
/// is not shown.
#[test]
fn no_more_is_shown_than_is_held() {
    let challenge = sweeps([12, 0], 1, |_| ());
    let work = work(&challenge);
    let run = run_over(&challenge, &UUIDS[..1], vec![right(&challenge, &UUIDS[..1])]);
    let verified = verified(&challenge, run);
    for tenths in 0..10 {
        let held = f64::from(tenths) / 10.0;
        let more = (held * work.arena_bytes() as f64) as u64 + 1;
        for elsewhere_gb_s in [15.0, 30.0, 64.0, 128.0] {
            let card = Card { held, elsewhere_gb_s, ..HONEST };
            let elapsed = card.takes(work, SWEEPS);
            let reasons = against(&resident(more), Facts::of(&verified), elapsed);
            assert_eq!(codes(&reasons), ["residency-low"], "{card:?}");
        }
        let elapsed = HONEST.takes(work, SWEEPS);
        assert_eq!(against(&resident(more), Facts::of(&verified), elapsed), [], "{held}");
    }
}

/// Blocks of random words that a word takes of the half `half` after half-pass `r`, if
/// the half `kept.0` after half-pass `kept.1` is in memory.
fn recomputed(work: MemoryResidency, (half, r): (u64, u32), kept: (u64, u32)) -> u64 {
    if (half, r) == kept {
        return 0;
    }
    if r == 0 {
        return 1;
    }
    let before = |half| (half, work.last_change(half, r - 1));
    let [own, partner] = [before(half), before(1 - half)].map(|at| recomputed(work, at, kept));
    own + partner + 1
}

/// What a leaf takes of a miner that keeps half of an arena, after the half-pass that
/// serves it best.
fn best_with_half(half_passes: u32) -> u64 {
    let work = MemoryResidency { arena_blocks: 512, half_passes, peer_blocks: 0 };
    let last = |half| (half, work.last_change(half, half_passes));
    let leaf = |kept| recomputed(work, last(0), kept) + recomputed(work, last(1), kept);
    let kept = |half| (0..=half_passes).map(move |r| (half, work.last_change(half, r)));
    [0, 1].into_iter().flat_map(kept).map(leaf).min().unwrap()
}

/// The rate, GB/s, at which missing blocks come that take so much.
fn recomputing_gb_s(blocks_a_word: u64) -> f64 {
    1e-9 * 16.0 * RANDOM_BLOCKS_PER_S / blocks_a_word as f64
}

#[test]
fn blocks_recomputed_when_they_are_read() {
    // From nothing, and with half of the arena in memory.
    let twelve = MemoryResidency { arena_blocks: 512, half_passes: 12, peer_blocks: 0 };
    let nowhere = (2, 0);
    let nothing = [(0, 11), (1, 12)].map(|at| recomputed(twelve, at, nowhere));
    assert_eq!(nothing.map(|blocks| blocks.div_ceil(2)), [233, 377]);
    assert_eq!([2, 7, 8, 10, 12].map(best_with_half), [2, 26, 42, 110, 288]);
    let b = Policy::default().memory.outside_gb_s;
    assert!(recomputing_gb_s(best_with_half(7)) > b, "recomputing outruns every host link");
    for half_passes in 10..=16 {
        assert!(3.0 * recomputing_gb_s(best_with_half(half_passes)) < b, "p = {half_passes}");
    }
    // Half an arena, and right leaves.
    let challenge = sweeps([12, 0], 1, |_| ());
    let (work, uuids) = (work(&challenge), &UUIDS[..1]);
    let run = Run::with(&challenge, uuids, |lane, iteration, &state| {
        from_nothing(&challenge, &IterationPlace { lane, iteration, state })
    });
    let verified = verified(&challenge, run);
    let half = work.arena_bytes() / 2;
    let card = Card { held: 0.5, elsewhere_gb_s: recomputing_gb_s(288), ..HONEST };
    let reasons = against(&resident(1), Facts::of(&verified), card.takes(work, SWEEPS));
    assert_eq!(codes(&reasons), ["residency-low"]);
    let honest = HONEST.takes(work, SWEEPS);
    assert_eq!(against(&resident(half + 1), Facts::of(&verified), honest), []);
}

/// All leaves of an iteration, as a validator computes them that has no arena.
fn from_nothing(challenge: &Challenge, at: &IterationPlace) -> Vec<Digest> {
    let seeds = super::memory::seeds(challenge, &UUIDS[..1]);
    let requests: Vec<LeafRequest> =
        (0..challenge.work().leaves()).map(|leaf| LeafRequest { at: *at, leaf }).collect();
    let run = RunInputs { work: challenge.work(), seeds: &seeds };
    CpuVerifier::new().leaf_hashes(&run, &requests).expect("memory for some blocks")
}

#[test]
fn few_half_passes() {
    // A miner that holds nothing, as fast as one that holds all.
    let of = |half_passes| {
        let challenge = sweeps([half_passes, 0], 1, |_| ());
        let run = Run::with(&challenge, &UUIDS[..1], |lane, iteration, &state| {
            from_nothing(&challenge, &IterationPlace { lane, iteration, state })
        });
        let verified = verified(&challenge, run);
        let elapsed = HONEST.takes(work(&challenge), SWEEPS);
        assert_eq!(against(&resident(0), Facts::of(&verified), elapsed), []);
        against(&resident(1), Facts::of(&verified), elapsed)
    };
    for half_passes in [0, 2, 9] {
        let reasons = of(half_passes);
        assert_eq!(codes(&reasons), ["residency-low"], "{half_passes}");
        assert!(reasons[0].1.contains("nothing is shown: half_passes is below 10"));
    }
    // From there on nobody is as fast who holds nothing.
    assert_eq!(of(10), []);
}

/// One card serves two lanes: whole runs one after the other, or by filling each lane's
/// arena anew for every sweep.
#[test]
fn one_card_serves_two_lanes_in_turn() {
    let run = |sync_interval| {
        let challenge = sweeps([12, 0], 2, |spec| spec.sync_interval = sync_interval);
        let both = right(&challenge, &UUIDS);
        let run = run_over(&challenge, &UUIDS, vec![both.clone(), both]);
        (verified(&challenge, run), work(&challenge))
    };
    let (in_step, work) = run(1);
    let two = HONEST.takes(work, SWEEPS);
    let against_each = |policy: &Policy, verified: &Verified, elapsed| {
        against(policy, Facts::of(verified), elapsed)
    };
    assert_eq!(against_each(&resident(1), &in_step, two), []);
    // Each sweep waits for two fills: so long that a host's link could have brought it all.
    let fills = 2 * SWEEPS as u32 * HONEST.fills(work);
    let reasons = against_each(&resident(1), &in_step, fills + 2 * two);
    assert_eq!(codes(&reasons), ["residency-low"]);
    // At the rate at which the policy takes no memory to be filled.
    let in_turn = |reasons: Vec<(&'static str, String)>| {
        assert_eq!(codes(&reasons), ["residency-low"]);
        assert!(reasons[0].1.contains("it may have been one after the other"), "{reasons:?}");
    };
    let mut fastest = resident(1);
    fastest.memory.refill_gb_s = 10_000.0;
    let refill_ns = 12.0 * work.arena_bytes() as f64 / fastest.memory.refill_gb_s;
    let refills = Duration::from_nanos((SWEEPS as f64 * refill_ns) as u64 + 1);
    in_turn(against_each(&fastest, &in_step, refills));
    let sooner = refills - Duration::from_nanos(2);
    assert_eq!(against_each(&fastest, &in_step, sooner), []);
    // S = T: without a meeting at every sweep nobody can tell, however fast it was.
    let (apart, _) = run(SWEEPS);
    for elapsed in [2 * (HONEST.fills(work) + two), two] {
        in_turn(against_each(&resident(1), &apart, elapsed));
    }
}

/// Links, if a card can hold what it should read over them.
#[test]
fn a_card_that_holds_its_peers_arena() {
    // A quarter of the arenas crosses at a time, sooner than they could be filled anew.
    let peers = |blocks| full_size(2, |spec| spec.work = arena(blocks, 12, blocks / 1024 * 256));
    let mut policy = Policy::default();
    policy.memory.link_gb_s_min = 100.0;
    let against = |challenge: &Challenge| {
        // 4 KiB a leaf over NVLink, at 370 GB/s.
        let link_ns = 300.0 * work(challenge).link_bytes() as f64 / 370.0;
        full_size_against(&policy, challenge, Duration::from_nanos(link_ns as u64))
    };
    assert_eq!(against(&peers(FULL_BLOCKS)), []);
    // Two arenas of 45 % on each card: nothing need have crossed.
    let halves = against(&peers(FULL_BLOCKS / 1024 * 512));
    assert_eq!(codes(&halves), ["link-rate-low"]);
    assert!(halves[0].1.contains("a lane of its model may have held"), "{halves:?}");
    // S = T: one card after the other.
    let apart = full_size(2, |spec| {
        (spec.work, spec.sync_interval) = (arena(FULL_BLOCKS, 12, FULL_BLOCKS / 4), 300);
    });
    let reasons = against(&apart);
    assert!(reasons[0].1.contains("one after the other"), "{reasons:?}");
}
