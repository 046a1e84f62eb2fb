//! Miners that give the right leaves of integer products with other devices than they
//! claim: int8 tensor cores tell those apart that FP64 doesn't. Time is the test's: it
//! follows from rates, so that a session with tiny products is one of large ones in small,
//! without the allowances that count there.

use super::devices::{policy, reasons, session};
use super::turned::Records;
use super::{Say, challenge, ended_with};
use attest::appraisal::models::{self, Model};
use attest::mining::issue::{Request, issue};
use attest::policy::{Facts, Policy, RoundOn, Target, Weight};
use attest::protocol::bound::{Bound, Grinding, OmittedShare, log10_escape};
use attest::protocol::challenge::Challenge;
use attest::protocol::digest::Uuid;
use attest::protocol::evidence::Evidence;
use attest::protocol::work::WorkFields;
use attest::protocol::work::integer_product::IntegerFields;
use attest::reference::Run;
use attest::session::validator::Ended;
use serde_json::{Value, json};
use std::time::Duration;

/// Int8 operations a second of a miner's devices all together.
type Rate = f64;

/// Sixteen virtual cores with VNNI, at twice the 300 GOPS of a core that
/// `attest verify --full` does at least.
const SIXTEEN_CORES: Rate = 16.0 * 0.6e12;
/// The same with AMX: 2048 operations a clock of each of eight cores at 2.6 GHz, and six
/// tenths of that.
const SIXTEEN_CORES_AMX: Rate = 0.6 * 8.0 * 2048.0 * 2.6e9;
/// An H100 under sustained load, as measured on an H200, the same chip with the same power:
/// cuBLASLt, and this program.
const H100: [Rate; 3] = [850e12, 923e12, 1420e12];

/// A claim, how many lanes it has, and those who claim it.
struct Claim {
    model: &'static Model,
    lanes: u8,
    liars: &'static [Rate],
}

fn claim(name: &str, lanes: u8, liars: &'static [Rate]) -> Claim {
    Claim { model: models::find(name).expect("in the table"), lanes, liars }
}

fn of_cpus() -> Vec<Claim> {
    const CORES: &[Rate] = &[SIXTEEN_CORES, SIXTEEN_CORES_AMX];
    vec![
        claim("Tesla T4", 3, CORES),
        claim("NVIDIA A40", 1, CORES),
        claim("NVIDIA GeForce RTX 3090", 1, CORES),
    ]
}

fn of_an_h100() -> Vec<Claim> {
    vec![
        claim("NVIDIA GB200", 2, &H100),
        claim("NVIDIA A100-SXM4-80GB", 4, &H100),
        claim("NVIDIA GeForce RTX 4090", 36, &H100),
    ]
}

impl Claim {
    fn uuids(&self) -> Vec<Uuid> {
        (1..=self.lanes).map(|lane| Uuid([lane; 16])).collect()
    }

    /// What such cards say about themselves.
    fn evidence(&self) -> Evidence {
        let lane = |uuid: &Uuid| {
            json!({
                "uuid": uuid.to_string(),
                "model": self.model.name,
                "memory_bytes": self.model.memory_bytes(),
                "sm_count": self.model.sm_count,
                "sm_tiles": [],
                "sm_monitoring": "unavailable: these GPUs are a test's",
            })
        };
        let lanes: Vec<Value> = self.uuids().iter().map(lane).collect();
        Evidence::from_value(json!({"schema": 1, "executor": "gpu", "lanes": lanes})).unwrap()
    }

    /// What one card does that is 3 % slower than its model is taken to be.
    fn honest(&self) -> Rate {
        0.97 * self.model.sustained_int8_ops()
    }

    /// All lanes' work at `rate` operations a second.
    fn takes(&self, challenge: &Challenge, rate: Rate) -> Duration {
        let work = challenge.work().cost().amount as f64 * f64::from(challenge.iterations());
        Duration::from_secs_f64(f64::from(self.lanes) * work / rate)
    }

    /// Cards that are what they say, each at its rate.
    fn honestly_takes(&self, challenge: &Challenge) -> Duration {
        self.takes(challenge, f64::from(self.lanes) * self.honest())
    }

    /// `policy` with a demand of this kind: nine tenths of what such a card is taken to do.
    fn demanding(&self, policy: Policy) -> Policy {
        let kept = 1.0 - policy.omitted_share().get();
        let mut demanding = policy;
        demanding.integer.int8_tops_min = 0.9e-12 * kept * self.model.sustained_int8_ops();
        demanding
    }

    /// The challenge of a policy for this many seconds, too large to answer here.
    fn full_size(&self, policy: &Policy, seconds: f64) -> Challenge {
        let base = Request {
            challenge_type: Some("integer_multiplication_pow".to_owned()),
            gpu_count: Some(self.lanes.into()),
            ..Request::default()
        };
        let target = Target { model: &self.model.name, seconds: Some(seconds), round_trip: None };
        issue(&policy.request(&target, base).unwrap()).unwrap()
    }

    /// One that is answered here.
    fn small(&self) -> Challenge {
        challenge(|spec| {
            // More for few lanes: the fastest need some nanoseconds a product.
            let num_matrices = u64::from(8 / self.lanes).max(1);
            let fields = IntegerFields { matrix_dim: 128, num_matrices };
            (spec.work, spec.num_iterations) = (WorkFields::IntegerProduct(fields), 4);
            spec.gpu_count = Some(self.lanes.into());
            spec.samples_per_iteration = 64;
        })
    }
}

/// What `policy` holds against right leaves of a full-size challenge after `elapsed`.
fn against(
    claim: &Claim,
    policy: &Policy,
    challenge: &Challenge,
    elapsed: Duration,
) -> Vec<String> {
    let (share, draws) = (OmittedShare::default(), 2100);
    let grinding = Grinding::ExcludedByCoin;
    let log10_escape = log10_escape(share, draws, grinding);
    let evidence = claim.evidence();
    let facts = Facts {
        challenge,
        evidence: &evidence,
        bound: Bound::Sampled { omitted_share: share, draws, grinding, log10_escape },
        live: true,
        elapsed: Some(elapsed),
        round_trip: Some(Duration::from_millis(30)),
        history: &[],
        on: RoundOn::Devices,
        devices: &[],
        machine: None,
    };
    let reasons = policy.judge(&facts).reasons.into_iter();
    let rejecting = reasons.filter(|reason| reason.weight == Weight::Reject);
    rejecting.map(|reason| reason.code.to_owned()).collect()
}

/// Less than the default: an honest run takes 1.25 floors.
fn strict() -> Policy {
    let mut policy = Policy::default();
    policy.time.slack = 1.3;
    policy
}

/// Everyone who claims to be such cards, at full size and in a live session in small: honest
/// cards pass, the others are too slow for what they claim.
fn refuted(claims: Vec<Claim>) {
    let started = Duration::from_millis(300 + 30);
    for claim in claims {
        let name = claim.model.name.as_str();
        let large = claim.full_size(&strict(), 10.0);
        let (demanding, honest) = (claim.demanding(strict()), claim.honestly_takes(&large));
        assert_eq!(against(&claim, &demanding, &large, started + honest), [""; 0], "{name}");
        let limit_ms = u128::from(large.limit_ms());
        assert!((started + honest).as_millis() < limit_ms, "{name} keeps the challenge's limit");

        let small = claim.small();
        let run = Run::of(&small, &claim.uuids());
        let say = Say { evidence: claim.evidence(), ..Say::of(run) };
        let ended = |policy, elapsed| session(&Records::new(), &small, policy, &say, elapsed);
        let honest = ended(claim.demanding(policy()), claim.honestly_takes(&small));
        ended_with("verified", &honest);
        assert!(shown(&honest) > 0.48 * claim.honest(), "{name}");

        for &liar in claim.liars {
            let (both, late) = (["too-slow", "integer-rate-low"], claim.takes(&large, liar));
            assert_eq!(against(&claim, &demanding, &large, late), both, "{name} {liar:e}");
            // The challenge's own limit is the policy's.
            assert!(late.as_millis() > limit_ms, "{name} {liar:e}");

            let lied = ended(claim.demanding(policy()), claim.takes(&small, liar));
            ended_with("rejected-by-policy", &lied);
            assert_eq!(reasons(&lied), both, "{name} {liar:e}");
            // And no more is shown than was done.
            assert!(f64::from(claim.lanes) * shown(&lied) <= liar, "{name} {liar:e}");
        }
    }
}

/// The default slack with its allowances lets an honest card take a quarter longer than it is
/// taken to, and more in a short run: that is what lies between an H100 and four A100s.
#[test]
fn the_default_slack_alone_refutes_in_ten_seconds_and_not_in_two() {
    let passing = |seconds| {
        let claims = of_cpus().into_iter().chain(of_an_h100());
        let pass = |claim: Claim| {
            let large = claim.full_size(&Policy::default(), seconds);
            let codes =
                |liar| against(&claim, &Policy::default(), &large, claim.takes(&large, liar));
            let liars = claim.liars.iter().filter(|&&liar| match codes(liar)[..] {
                [] => true,
                ref codes => {
                    assert_eq!(codes, ["too-slow"]);
                    false
                }
            });
            liars.map(|&liar| (claim.model.name.as_str(), liar)).collect::<Vec<_>>()
        };
        claims.flat_map(pass).collect::<Vec<_>>()
    };
    assert_eq!(passing(10.0), []);
    assert_eq!(passing(2.0), [("NVIDIA GB200", 1420e12), ("NVIDIA A100-SXM4-80GB", 1420e12)]);
}

/// int8 operations a second that the verdict says each lane did at least.
fn shown(ended: &Ended) -> f64 {
    let integer = ended.verdict.integer.as_ref().expect("the kind of work");
    integer.ops_per_s.expect("a live session") as f64
}

/// What FP64 can't tell: sixteen cores have as much of it as three T4s, an A40 or an RTX 3090.
#[test]
fn sixteen_cores_pose_as_gpus_with_little_fp64() {
    refuted(of_cpus());
}

/// One H100 for more than its own.
#[test]
fn an_h100_poses_as_more_than_it_is() {
    refuted(of_an_h100());
}

/// Whoever claims a slower card than it has is refuted by the protocol's own floor.
#[test]
fn an_h100_poses_as_a_t4_and_computes_as_an_h100() {
    let claim = claim("Tesla T4", 1, &[]);
    let small = claim.small();
    let say = Say { evidence: claim.evidence(), ..Say::of(Run::of(&small, &claim.uuids())) };
    let ended = |rate| session(&Records::new(), &small, policy(), &say, claim.takes(&small, rate));
    ended_with("too-fast", &ended(H100[0]));
    // 1.1 times the printed 130 TOPS are not refuted.
    ended_with("verified", &ended(142e12));
    ended_with("too-fast", &ended(144e12));
}

/// A policy that asks for int8 products takes no other kind of work for them.
#[test]
fn fp64_products_in_place_of_int8() {
    let claim = claim("NVIDIA H200", 1, &[]);
    let asked = challenge(|spec| spec.gpu_count = Some(1));
    let say = Say { evidence: claim.evidence(), ..Say::of(Run::of(&asked, &claim.uuids())) };
    let elapsed = Duration::from_nanos(150);
    let ended = |policy| session(&Records::new(), &asked, policy, &say, elapsed);
    ended_with("verified", &ended(policy()));
    let mut demanding = policy();
    demanding.integer.int8_tops_min = 1e-6;
    let ended = ended(demanding);
    ended_with("rejected-by-policy", &ended);
    assert_eq!(reasons(&ended), ["integer-rate-low"]);
}
