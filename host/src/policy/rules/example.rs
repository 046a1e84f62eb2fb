//! An honest result for the tests of rules, to be changed in one thing each.

use super::super::{Facts, Judgement, Policy, RoundFacts, RoundOn, RoundPlan, SessionFacts};
use crate::ledger::HistoryFinding;
use crate::mining::issue::{Request, issue};
use crate::protocol::bound::{Bound, Grinding, OmittedShare, log10_escape};
use crate::protocol::challenge::Challenge;
use crate::protocol::evidence::Evidence;
use crate::protocol::signature::PublicKey;
use crate::protocol::verdict::{LaneDevice, NetworkShown, QuotedMachine};
use crate::protocol::work::Work;
use crate::protocol::work::fp64_product::Fp64Product;
use serde_json::{Value, json};
use std::time::Duration;

/// Codes, each with a change of the honest result that must give it, alone.
pub(in crate::policy) type Cases = &'static [(&'static str, fn(&mut Example))];

/// Products unless another work is asked for: n = 4096, m = 8, T = 100 are 1.10e14 operations.
fn challenge(miner: bool, work: Option<Work>) -> Challenge {
    let key = PublicKey::from(&ed25519_dalek::SigningKey::from_bytes(&[4; 32]));
    let work = work.unwrap_or(Work::from(Fp64Product { dim: 4096, products: 8 }));
    let shape = work.fp64_product().map(|work| (work.dim, work.products));
    let shape = shape.or(work.integer_product().map(|work| (work.dim, work.products)));
    let memory = work.memory_residency();
    issue(&Request {
        challenge_type: Some(work.challenge_type().to_owned()),
        matrix_dim: shape.map(|(dim, _)| dim.into()),
        num_matrices: shape.map(|(_, products)| products.into()),
        arena_blocks: memory.map(|work| work.arena_blocks),
        half_passes: memory.map(|work| work.half_passes.into()),
        peer_blocks: memory.map(|work| work.peer_blocks),
        gpu_count: memory.filter(|work| work.reads_peers()).map(|_| 2),
        num_iterations: Some(100),
        sync_interval: Some(1),
        miner_id: miner.then_some(key),
        ..Request::default()
    })
    .unwrap()
}

/// One honest H200, two seconds of work.
fn honest() -> Value {
    let tiles = |_| (8 * 32 * 32 * 100 / 132).to_string();
    json!({
        "schema": 1,
        "executor": "gpu",
        "lanes": [{
            "uuid": "01".repeat(16),
            "model": "NVIDIA H200",
            "memory_bytes": 150_754_820_096_u64,
            "sm_count": 132,
            "sm_tiles": (0..132).map(tiles).collect::<Vec<_>>(),
            "elapsed_ns": "2043000000",
            "achieved_flops": "53818483983162",
            "serial": "1650123456789",
            "power_limit_mw": 700_000,
            "telemetry": {
                "samples": 10,
                "sm_clock_mhz": {"min": 1700, "median": 1770, "max": 1980, "last": 1770},
                "power_mw": {"min": 300_000, "median": 695_000, "max": 702_500, "last": 1},
                "throttle_reasons": ["SW_POWER_CAP"],
                "before": {"ecc_uncorrected": 3, "rows_remapped_corrected": 0},
                "after": {"ecc_uncorrected": 3, "rows_remapped_corrected": 0},
            },
        }],
        "machine": {"kernel_driver_version": "580.82.07", "machine_id": "a1"},
        "findings": [],
    })
}

pub(in crate::policy) struct Example {
    pub(in crate::policy) policy: Policy,
    pub(in crate::policy) evidence: Value,
    pub(in crate::policy) miner: bool,
    pub(in crate::policy) live: bool,
    pub(in crate::policy) draws: u64,
    pub(in crate::policy) elapsed: Option<Duration>,
    pub(in crate::policy) round_trip: Option<Duration>,
    /// Other work than the honest FP64 products.
    pub(in crate::policy) work: Option<Work>,
    pub(in crate::policy) history: Vec<HistoryFinding>,
    /// Rounds before it, of which only the session is judged.
    pub(in crate::policy) before: Vec<Self>,
    pub(in crate::policy) planned: Vec<RoundPlan>,
    pub(in crate::policy) network: Option<NetworkShown>,
    pub(in crate::policy) on: RoundOn,
    pub(in crate::policy) devices: Vec<LaneDevice>,
    pub(in crate::policy) machine: Option<QuotedMachine>,
}

impl Example {
    pub(in crate::policy) fn honest() -> Self {
        Self {
            policy: Policy::default(),
            evidence: honest(),
            miner: true,
            live: true,
            draws: 2062,
            elapsed: Some(Duration::from_millis(2100)),
            round_trip: Some(Duration::from_millis(30)),
            work: None,
            history: Vec::new(),
            before: Vec::new(),
            planned: Vec::new(),
            network: None,
            on: RoundOn::Devices,
            devices: Vec::new(),
            machine: None,
        }
    }

    /// The judgement of it and of the session that it ends.
    pub(in crate::policy) fn judge(&self) -> Judgement {
        self.with_facts(|facts| {
            let before = self.before.iter().map(Self::round);
            let rounds: Vec<_> = before.chain([RoundFacts::of(facts)]).collect();
            let (planned, network) = (&self.planned[..], self.network);
            let session = SessionFacts { rounds: &rounds, planned, network };
            self.policy.judged(Some(facts), Some(&session))
        })
    }

    /// What is kept of it.
    pub(in crate::policy) fn round(&self) -> RoundFacts {
        self.with_facts(RoundFacts::of)
    }

    pub(in crate::policy) fn with_facts<T>(&self, judge: impl FnOnce(&Facts<'_>) -> T) -> T {
        let (f, grinding) = (OmittedShare::default(), Grinding::ExcludedByCoin);
        let log10_escape = log10_escape(f, self.draws, grinding);
        let evidence = Evidence::from_value(self.evidence.clone()).unwrap();
        let challenge = challenge(self.miner, self.work);
        judge(&Facts {
            challenge: &challenge,
            evidence: &evidence,
            bound: Bound::Sampled { omitted_share: f, draws: self.draws, grinding, log10_escape },
            live: self.live,
            elapsed: self.elapsed,
            round_trip: self.round_trip,
            history: &self.history,
            on: self.on,
            devices: &self.devices,
            machine: self.machine.as_ref(),
        })
    }
}

/// The claims of its lane.
pub(in crate::policy) fn lane(case: &mut Example) -> &mut Value {
    &mut case.evidence["lanes"][0]
}
