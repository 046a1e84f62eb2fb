//! One card in live sessions of int8 products: under its own name it passes, and as two of a
//! larger model it is refuted by the time that the work takes.

use super::{each_device, say, turn};
use attest::appraisal::models::{self, Model};
use attest::executor::gpu::{GpuDevice, GpuExecutor, GpuOptions};
use attest::executor::{
    Assignment, Collect, DeviceTiming, ExecError, Executor, LaneFacts, Segment, SharedMemory, Sink,
    SmTiles, TileRequest,
};
use attest::ledger::{self, Location};
use attest::mining::issue::Request;
use attest::policy::Policy;
use attest::protocol::challenge::Challenge;
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::evidence::document::LaneDetails;
use attest::protocol::names::State;
use attest::protocol::verdict::Outcome;
use attest::protocol::work::integer_product::IntegerProduct;
use attest::session::drive::Validator;
use attest::session::refusal::Unable;
use attest::session::respond::{Equipment, Miner, Taken, device_of};
use attest::session::validator::Ended;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A device that says what it was told to say about itself, and works as it is, in one run
/// after another.
#[derive(Clone)]
pub struct Claiming {
    device: Arc<Mutex<GpuExecutor>>,
    facts: LaneFacts,
    counts: bool,
}

impl Claiming {
    /// As it is.
    pub fn itself(device: GpuExecutor) -> Self {
        let facts = device.facts().clone();
        Self { facts, device: Arc::new(Mutex::new(device)), counts: true }
    }

    /// As the `lane`-th card of `model`.
    pub fn another(device: GpuExecutor, model: &Model, lane: u8) -> Self {
        let facts = LaneFacts {
            kind: device.facts().kind,
            uuid: Uuid([lane + 1; 16]),
            model: model.name.to_owned(),
            memory_bytes: model.memory_bytes(),
            sm_count: model.sm_count,
            details: LaneDetails::default(),
        };
        Self { facts, device: Arc::new(Mutex::new(device)), counts: false }
    }

    fn device(&self) -> MutexGuard<'_, GpuExecutor> {
        self.device.lock().expect("no test goes on after a panic")
    }
}

impl Executor for Claiming {
    fn facts(&self) -> &LaneFacts {
        &self.facts
    }
    fn begin(&mut self, assignment: &Assignment) -> Result<(), ExecError> {
        self.device().begin(assignment)
    }
    fn share(&mut self) -> Option<SharedMemory> {
        self.device().share()
    }
    fn connect(&mut self, lanes: &[Option<SharedMemory>]) -> Result<(), ExecError> {
        self.device().connect(lanes)
    }
    fn defer_tile_roots(&mut self, collect: Collect) {
        self.device().defer_tile_roots(collect);
    }
    fn settle(&mut self) {
        self.device().settle();
    }
    fn run(&mut self, segment: &Segment, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        self.device().run(segment, sink)
    }
    fn leaf_hashes(
        &mut self,
        assignment: &Assignment,
        tiles: &[TileRequest],
    ) -> Result<Vec<Vec<Digest>>, ExecError> {
        self.device().leaf_hashes(assignment, tiles)
    }
    fn sm_tiles(&mut self) -> Result<SmTiles, ExecError> {
        match self.counts {
            true => self.device().sm_tiles(),
            false => Ok(SmTiles::Unavailable("these cards keep their counts".to_owned())),
        }
    }
    fn timing(&self) -> Option<DeviceTiming> {
        self.device().timing()
    }
}

/// Cards that wait, warm, for one challenge after another.
pub struct Cards(Vec<Claiming>);

impl Cards {
    pub fn warm(mut cards: Vec<Claiming>) -> Self {
        for card in &mut cards {
            let work = IntegerProduct { dim: 1024, products: 1 }.into();
            let assignment = Assignment { work, lane: 0, seeds: Arc::new([]) };
            card.begin(&assignment).unwrap_or_else(|error| panic!("begin: {error}"));
            let start = State(Digest::of(&[b"warm"]).0);
            let segment = Segment { first_iteration: 1, iterations: 1, start, solo_sync: None };
            let ran = card.run(&segment, &mut |_| ControlFlow::Continue(()));
            ran.unwrap_or_else(|error| panic!("run: {error}"));
        }
        Self(cards)
    }
}

impl Equipment for Cards {
    fn devices(&self) -> Result<Vec<attest::session::message::Device>, String> {
        Ok(self.0.iter().map(|card| device_of(&card.facts)).collect())
    }
    fn take(&self, _: &Challenge, _: Duration) -> Result<Taken, Unable> {
        let boxed = |card: &Claiming| Box::new(card.clone()) as Box<dyn Executor>;
        let chosen: Vec<_> = self.0.iter().map(boxed).collect();
        Ok(Taken { chosen: chosen.into(), loan: None })
    }
}

/// Four seconds of int8 products by a policy that asks nine tenths of what `model` is taken
/// to hold, from these cards.
fn session(model: &Model, cards: Vec<Claiming>) -> Ended {
    let mut policy = Policy::default();
    let kept = 0.99;
    policy.integer.int8_tops_min = 0.9e-12 * kept * model.sustained_int8_ops();
    (policy.time.slack, policy.time.duration_target_s) = (1.3, 4.0);
    let request = Request {
        challenge_type: Some("integer_multiplication_pow".to_owned()),
        gpu_count: Some(cards.len() as u64),
        // What comes late is to be judged, not given up.
        max_duration_ms: Some(60_000),
        ..Request::default()
    };
    hold(policy, request, cards)
}

/// A session under this policy with these cards, in one process.
pub fn hold(policy: Policy, request: Request, cards: Vec<Claiming>) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger::open(&Location::File(folder.path().join("ledger.db"))).unwrap();
    let mut validator = Validator::new(ledger, request);
    validator.policy = Some(policy);
    let (validator, miner) = (Arc::new(validator), Miner::new(Arc::new(Cards::warm(cards))));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (ended, _) = runtime.block_on(async {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (reader, writer) = tokio::io::split(ours);
        let (miner_reader, miner_writer) = tokio::io::split(theirs);
        tokio::join!(
            validator.session(reader, writer, None, &|_| ()),
            miner.respond(miner_reader, miner_writer)
        )
    });
    ended
}

pub fn open(device: &GpuDevice) -> GpuExecutor {
    GpuExecutor::open(device.index, GpuOptions::default()).unwrap()
}

pub fn rejecting(ended: &Ended) -> Vec<&str> {
    let judgement = ended.verdict.policy.as_ref();
    let judgement = judgement.unwrap_or_else(|| panic!("its work is right: {:?}", ended.verdict));
    judgement.rejecting().map(|reason| reason.code).collect()
}

#[test]
fn a_card_passes_as_itself_and_not_as_two_of_a_larger_model() {
    let _turn = turn();
    let larger = models::find("NVIDIA GB200").expect("in the table");
    each_device(|device| {
        let executor = open(device);
        let Some(own) = models::find(&executor.facts().model) else {
            say(&format!("SKIPPED, {} is not in the table of models", device.label()));
            return;
        };
        if own.sustained_int8_ops() > 1.6 * larger.sustained_int8_ops() {
            say(&format!("SKIPPED, {} is nearly as fast as two of them", device.label()));
            return;
        }
        let honest = session(own, vec![Claiming::itself(executor)]);
        let shown = |ended: &Ended| ended.verdict.integer.as_ref().and_then(|int8| int8.ops_per_s);
        let code = honest.verdict.outcome;
        assert_eq!(code, Outcome::Verified, "{} as itself: {:?}", own.name, honest.verdict);

        let lies = (0..2).map(|lane| Claiming::another(open(device), larger, lane)).collect();
        let lied = session(larger, lies);
        let reasons = rejecting(&lied);
        say(&format!(
            "{}: as itself {:?} op/s in {:.2?}; as two {}, {:?} each in {:.2?}, {reasons:?}",
            own.name,
            shown(&honest),
            honest.legs.commitment.unwrap_or_default(),
            larger.name,
            shown(&lied),
            lied.legs.commitment.unwrap_or_default(),
        ));
        assert_eq!(lied.verdict.code, Some("rejected-by-policy"), "{:?}", lied.verdict);
        for code in ["too-slow", "integer-rate-low"] {
            assert!(reasons.contains(&code), "{code} is missing: {reasons:?}");
        }
    });
}
