//! Every model of the table as every other: miners whose rates and sizes are those of the
//! devices that they have, and whose words are those of the devices that they claim, in a
//! session of the default policy's rounds. They know how long an honest session takes, and
//! wait if they are faster. No work is computed: what is judged is time.
//!
//! docs/threat-model.md has the matrix; [`the_matrix_of_lies`] compares and prints it.

use attest::appraisal::floors;
use attest::appraisal::models::{self, Model};
use attest::mining::issue::{Request, issue};
use attest::policy::{Facts, Judgement, Policy, Rig, RoundFacts, RoundOn, SessionFacts};
use attest::protocol::bound::{Bound, Grinding, OmittedShare, log10_escape};
use attest::protocol::challenge::Challenge;
use attest::protocol::digest::Uuid;
use attest::protocol::evidence::Evidence;
use attest::protocol::verdict::short_name;
use attest::protocol::work::Work;
use serde_json::json;
use std::fmt::Write;
use std::time::Duration;

const DOC: &str = include_str!("../../docs/threat-model.md");

/// Of the peak of its FP64 units, what a device does of attested work (BENCHMARKS.md).
const FP64_SHARE: f64 = 0.81;
/// Of the printed bandwidth, what its sweeps read, and what fills its arena.
const SWEEP_SHARE: f64 = 0.88;
const FILL_SHARE: f64 = 0.85;
/// What comes to a device from elsewhere if its memory is too small, bytes a second: half of a
/// PCIe 5 × 16, as measured.
const ELSEWHERE: f64 = 55e9;
/// Before the work starts and while answers are on their way, s.
const STARTED_S: f64 = 0.05;
const ROUND_TRIP: Duration = Duration::from_millis(30);
/// Most lanes that are claimed of one device, and most devices that stand for one.
const LANES_MOST: u64 = 8;
const DEVICES_MOST: u64 = 4096;

/// What one miner has: this many devices of a model, as fast together as each times their
/// number.
#[derive(Clone, Copy)]
struct Real {
    model: &'static Model,
    devices: u64,
}

impl Real {
    fn peak_flops(self) -> f64 {
        let Model { sm_count, boost_clock_mhz, fp64_fma_per_sm_clock, .. } = *self.model;
        2e6 * f64::from(sm_count) * f64::from(boost_clock_mhz) * f64::from(fp64_fma_per_sm_clock)
    }

    /// All lanes' work, s.
    fn takes(self, challenge: &Challenge, lanes: u64) -> f64 {
        let [devices, lanes] = [self.devices as f64, lanes as f64];
        let bytes_per_s = devices * 1e9 * f64::from(self.model.bandwidth_gb_s);
        let iterations = f64::from(challenge.iterations());
        let amount = lanes * challenge.work().cost().amount as f64 * iterations;
        let run_s = match challenge.work() {
            Work::Fp64Product(_) => amount / (devices * FP64_SHARE * self.peak_flops()),
            Work::IntegerProduct(_) => amount / (devices * self.model.sustained_int8_ops()),
            Work::MemoryResidency(work) => {
                let arenas = lanes * work.arena_bytes() as f64;
                let held = arenas.min(devices * self.model.memory_bytes() as f64);
                let swept = lanes * work.sweep_bytes() as f64 / arenas;
                let own_s = swept * held / (SWEEP_SHARE * bytes_per_s);
                let others_s = swept * (arenas - held) / (devices * ELSEWHERE);
                let filled = lanes * work.fill_bytes() as f64;
                filled / (FILL_SHARE * bytes_per_s) + iterations * own_s.max(others_s)
            }
        };
        STARTED_S + run_s
    }
}

/// The rounds that a policy asks a claim of this many lanes for, and what such cards say.
struct Claim {
    model: &'static Model,
    lanes: u64,
    rounds: Vec<Challenge>,
    evidence: Evidence,
}

impl Claim {
    fn of(model: &'static Model, lanes: u64, policy: &Policy) -> Self {
        let gpu_model = Some(model.name.as_str());
        let rig = Rig { gpu_model, gpus: lanes, devices: lanes, round_trip: Some(ROUND_TRIP) };
        let plans = policy.rounds(&rig, Request::default()).unwrap();
        // Links have no floor: nobody is too slow for that round.
        let plans = plans.into_iter().filter(|plan| plan.required);
        let rounds = plans.map(|plan| issue(&plan.request).unwrap()).collect();
        let lane = |lane: u64| {
            json!({
                "uuid": Uuid([lane as u8 + 1; 16]).to_string(),
                "model": model.name,
                "memory_bytes": model.memory_bytes(),
                "sm_count": model.sm_count,
                "sm_tiles": [],
                "sm_monitoring": "unavailable: these GPUs are a test's",
            })
        };
        let all: Vec<_> = (0..lanes).map(lane).collect();
        let evidence = json!({"schema": 1, "executor": "gpu", "lanes": all});
        Self { model, lanes, rounds, evidence: Evidence::from_value(evidence).unwrap() }
    }

    /// When the answer comes: as early as can be, and no earlier than is possible for what
    /// is claimed.
    fn answered(&self, challenge: &Challenge, real: Real) -> f64 {
        let (work, iterations) = (challenge.work(), challenge.iterations());
        let floor_s = floors::seconds(work, iterations, &self.model.name).unwrap();
        real.takes(challenge, self.lanes).max(1.001 * floor_s) + ROUND_TRIP.as_secs_f64()
    }

    /// What the validator knows of each round.
    fn facts(&self, real: Real) -> Vec<Facts<'_>> {
        let (share, draws, grinding) = (OmittedShare::default(), 2100, Grinding::ExcludedByCoin);
        let log10_escape = log10_escape(share, draws, grinding);
        let facts = |challenge| Facts {
            challenge,
            evidence: &self.evidence,
            bound: Bound::Sampled { omitted_share: share, draws, grinding, log10_escape },
            live: true,
            elapsed: Some(Duration::from_secs_f64(self.answered(challenge, real))),
            round_trip: Some(ROUND_TRIP),
            history: &[],
            on: RoundOn::Devices,
            devices: &[],
            machine: None,
        };
        self.rounds.iter().map(facts).collect()
    }

    /// The rounds that the validator rejects and the codes, by its policy.
    fn rejected(&self, policy: &Policy, real: Real) -> Vec<(char, Vec<&'static str>)> {
        let facts = self.facts(real);
        let of_session = of_session(policy, &facts);
        assert!(of_session.is_empty(), "{} {of_session:?}", self.model.name);
        let judged = facts
            .iter()
            .map(|facts| (letter(facts.challenge.work()), rejecting(&policy.judge_round(facts))));
        judged.filter(|(_, codes)| !codes.is_empty()).collect()
    }

    /// The rounds for which these devices are too slow, by the rates alone: they do less a
    /// second than the work over the time that the policy leaves.
    fn predicted(&self, policy: &Policy, real: Real) -> Vec<char> {
        let too_slow = |challenge: &&Challenge| {
            let (work, iterations) = (challenge.work(), challenge.iterations());
            let native_s = floors::native_seconds(work, iterations, self.model).unwrap();
            let startup_s = 1e-3 * policy.time.startup_allowance_ms as f64;
            real.takes(challenge, self.lanes) > policy.time.slack * native_s + startup_s
        };
        self.rounds.iter().filter(too_slow).map(|challenge| letter(challenge.work())).collect()
    }

    /// Whether they pass for what is claimed; each verdict is what the rates predict.
    fn believed(&self, policy: &Policy, real: Real) -> Result<(), Vec<char>> {
        let (rejected, predicted) = (self.rejected(policy, real), self.predicted(policy, real));
        let who = format!(
            "{} of {} as {} of {}",
            real.devices, real.model.name, self.lanes, self.model.name
        );
        let rounds: Vec<char> = rejected.iter().map(|(round, _)| *round).collect();
        assert_eq!(rounds, predicted, "{who}");
        assert!(rejected.iter().all(|(_, codes)| *codes == ["too-slow"]), "{who} {rejected:?}");
        if rounds.is_empty() { Ok(()) } else { Err(rounds) }
    }
}

fn rejecting(judgement: &Judgement) -> Vec<&'static str> {
    judgement.rejecting().map(|reason| reason.code).collect()
}

/// What holds against the rounds together.
fn of_session(policy: &Policy, facts: &[Facts<'_>]) -> Vec<&'static str> {
    let rounds: Vec<RoundFacts> = facts.iter().map(RoundFacts::of).collect();
    rejecting(&policy.judge_session(&SessionFacts { rounds: &rounds, ..SessionFacts::default() }))
}

fn letter(work: Work) -> char {
    match work {
        Work::Fp64Product(_) => 'f',
        Work::IntegerProduct(_) => 'i',
        Work::MemoryResidency(_) => 'm',
    }
}

/// The largest number from 1 to `most` of which `holds` is true; it is true of all below.
fn largest(most: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut yes, mut no) = (1, most + 1);
    while no - yes > 1 {
        let middle = yes + (no - yes) / 2;
        if holds(middle) { yes = middle } else { no = middle }
    }
    yes
}

/// What devices of `real` can claim to be of one model: "3m" if three of them pass for one and
/// two fail in the memory round first, "1" if one does for one, "/4" if one does for four.
fn cell(claims: &[Claim], policy: &Policy, real: &'static Model) -> String {
    let of = |devices| Real { model: real, devices };
    let one = &claims[0];
    match one.believed(policy, of(1)) {
        Ok(()) => {
            let believed = |lanes: u64| claims[lanes as usize - 1].believed(policy, of(1)).is_ok();
            match largest(LANES_MOST, believed) {
                1 => "1".to_owned(),
                lanes => format!("/{lanes}"),
            }
        }
        Err(_) => {
            let fewer = largest(DEVICES_MOST, |devices| one.believed(policy, of(devices)).is_err());
            let rounds = one.believed(policy, of(fewer)).unwrap_err();
            format!("{}{}", fewer + 1, rounds[0])
        }
    }
}

/// The matrix as docs/threat-model.md has it, a line a device.
fn matrix() -> Vec<String> {
    let policy = Policy::default();
    let claims: Vec<Vec<Claim>> = models::all()
        .iter()
        .map(|model| (1..=LANES_MOST).map(|lanes| Claim::of(model, lanes, &policy)).collect())
        .collect();
    let mut header = format!("{:<33}", "");
    for number in 1..=models::all().len() {
        let _ = write!(header, "{number:>5}");
    }
    let row = |(number, real): (usize, &'static Model)| {
        let mut line = format!("{:>2} {:<30}", number + 1, short_name(&real.name));
        for claims in &claims {
            let _ = write!(line, "{:>5}", cell(claims, &policy, real));
        }
        line
    };
    std::iter::once(header).chain(models::all().iter().enumerate().map(row)).collect()
}

#[test]
fn the_matrix_of_lies() {
    let lines = matrix();
    println!("{}", lines.join("\n"));
    for line in lines {
        assert!(DOC.contains(&format!("\n{line}\n")), "docs/threat-model.md lacks\n{line}");
    }
}

/// Everyone passes as what they are.
#[test]
fn honest_cards_of_all_models_are_believed() {
    let policy = Policy::default();
    for model in models::all() {
        for lanes in [1, LANES_MOST] {
            let claim = Claim::of(model, lanes, &policy);
            let real = Real { model, devices: lanes };
            assert_eq!(claim.believed(&policy, real), Ok(()), "{} {lanes}", model.name);
        }
    }
}

/// By the validator's own prices: four cheap cards that do what an H200 shows make its name
/// worth no more than they are.
#[test]
fn a_claim_that_is_cheap_to_fake() {
    let h200 = models::find("NVIDIA H200").unwrap();
    let codes = |discount: f64, cheap: f64| {
        let mut policy = Policy::default();
        policy.prices.fake_discount_max = discount;
        let prices =
            [("NVIDIA H200", 4.0), ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", cheap)];
        policy.prices.per_hour = prices.map(|(name, price)| (name.to_owned(), price)).into();
        let claim = Claim::of(h200, 1, &policy);
        of_session(&policy, &claim.facts(Real { model: h200, devices: 1 }))
    };
    assert_eq!(codes(0.0, 0.1), [""; 0]);
    assert_eq!(codes(0.5, 0.4), ["fake-discount"]);
    assert_eq!(codes(0.5, 1.2), [""; 0]);
}
