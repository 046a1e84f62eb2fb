//! A miner whose executors are warm: one session after another, on its own terms.

use super::in_process::session;
use super::peer::tiny;
use super::recording::Recording;
use super::{identity, small};
use crate::common::cpu_miner_with;
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::executor::{
    Assignment, ExecError, Executor, LaneFacts, Segment, Sink, SmTiles, TileRequest,
};
use attest::mining::devices::DeviceRules;
use attest::mining::executors::Choice;
use attest::mining::issue::{Request, issue};
use attest::mining::pool::{Lending, Pool};
use attest::protocol::digest::Digest;
use attest::protocol::verdict::Outcome;
use attest::session::drive::Validator;
use attest::session::miner::End;
use attest::session::refusal::RefusalCode;
use attest::session::respond::Miner;
use attest::session::tcp::{Listener, validate};
use attest::session::tls;
use attest::session::validator::Ended;
use std::sync::Arc;
use std::time::Duration;

fn warm() -> Arc<Pool> {
    Arc::new(Pool::warm(&Choice::Cpu, &DeviceRules::default()).expect("a CPU"))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_pool_serves_session_after_session_on_the_same_device() {
    let miner = Miner::new(warm());
    let mut uuids = Vec::new();
    for _ in 0..3 {
        let validator = Arc::new(Validator::new(Recording::new(), small()));
        let (ended, _) = session(&validator, &miner).await;
        assert_eq!(ended.verdict.outcome, Outcome::Verified, "{:?}", ended.verdict);
        let evidence = ended.result.expect("a result").evidence;
        assert_eq!(evidence.value()["executor_chosen"], "asked for");
        uuids.push(evidence.lanes()[0].uuid);
        miner.equipment.recover();
    }
    assert!(uuids.iter().all(|uuid| *uuid == uuids[0]), "{uuids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hopeless_work_is_refused_with_its_numbers() {
    let hopeless = Request {
        matrix_dim: Some(32_768),
        num_iterations: Some(1_000_000),
        verification_sample_rate: Some(1e-6),
        max_duration_ms: Some(1),
        valid_for_s: Some(2),
        ..tiny()
    };
    let validator = Arc::new(Validator::new(Recording::new(), hopeless));
    let (ended, end) = session(&validator, &Miner::new(warm())).await;
    let End::Refused(refusal) = end else { panic!("{end:?}") };
    assert_eq!(refusal.code, RefusalCode::TooSlow);
    assert!(refusal.detail.contains("FLOP/s measured"), "{}", refusal.detail);
    assert_eq!(ended.verdict.code, Some("miner-failed"));
    // The same, as the session is too short for it.
    let long = Request { num_iterations: Some(10_000), samples_per_iteration: Some(1), ..small() };
    let long = Request { matrix_dim: Some(8192), verification_sample_rate: Some(0.001), ..long };
    let validator = Arc::new(Validator::new(Recording::new(), long));
    let short = Miner { session_max: Duration::from_secs(5), ..Miner::new(warm()) };
    let (_, end) = session(&validator, &short).await;
    let End::Refused(refusal) = end else { panic!("{end:?}") };
    assert_eq!(refusal.code, RefusalCode::SessionOver);
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_are_at_work_are_busy() {
    let pool = warm();
    let Lending { chosen, loan } =
        pool.lend(&issue(&tiny()).unwrap(), Duration::from_secs(60)).expect("ready");
    let miner = Miner::new(pool);
    let validator = Arc::new(Validator::new(Recording::new(), tiny()));
    let (ended, end) = session(&validator, &miner).await;
    assert_eq!(ended.verdict.code, Some("busy"), "{:?}", ended.verdict);
    assert!(matches!(end, End::Own(_)), "{end:?}");
    drop(chosen);
    drop(loan);
    let (ended, _) = session(&validator, &miner).await;
    assert_eq!(ended.verdict.outcome, Outcome::Verified, "{:?}", ended.verdict);
}

/// An executor with too little memory for anything.
struct Full(CpuExecutor);

impl Executor for Full {
    fn facts(&self) -> &LaneFacts {
        self.0.facts()
    }
    fn begin(&mut self, _: &Assignment) -> Result<(), ExecError> {
        Err(ExecError::Memory {
            device: "GPU 0".into(),
            needed_bytes: 268_435_456,
            free_bytes: 1024,
            advice: "free device memory".into(),
        })
    }
    fn run(&mut self, _: &Segment, _: &mut Sink<'_>) -> Result<(), ExecError> {
        unreachable!("nothing was allocated")
    }
    fn leaf_hashes(
        &mut self,
        _: &Assignment,
        _: &[TileRequest],
    ) -> Result<Vec<Vec<Digest>>, ExecError> {
        unreachable!("nothing was allocated")
    }
    fn sm_tiles(&mut self) -> Result<SmTiles, ExecError> {
        unreachable!("nothing was allocated")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_in_bytes() {
    let full = cpu_miner_with(None, |_| {
        vec![Box::new(Full(CpuExecutor::new(CpuOptions::default()))) as Box<dyn Executor>]
    });
    let validator = Arc::new(Validator::new(Recording::new(), tiny()));
    let (_, end) = session(&validator, &full).await;
    let End::Refused(refusal) = end else { panic!("{end:?}") };
    assert_eq!(refusal.code, RefusalCode::TooLarge);
    assert!(refusal.detail.contains("1.024 kB free and 268.4 MB are needed"), "{refusal}");
}

/// Key 2 listens for keys 1 and 3; key 1 dials, and its challenges name key `named`.
async fn dialled(named: u8) -> Ended {
    let allowed = [identity(1).public(), identity(3).public()];
    let config = tls::server(&Arc::new(identity(2)), &allowed).unwrap();
    let miner = Miner { identity: Some(Arc::new(identity(2))), ..Miner::new(warm()) };
    let listener = Listener::bind(Arc::new(miner), "127.0.0.1:0", config).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move { listener.serve(Arc::new(|_, _| ())).await });
    let config = tls::client(&Arc::new(identity(1)), &[identity(2).public()]).unwrap();
    let mut validator = Validator::new(Recording::new(), tiny());
    validator.identity = Some(Arc::new(identity(named)));
    let ended = validate(&Arc::new(validator), &address, &config, &|_| ()).await;
    task.abort();
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_passes_on_no_other_validators_challenge() {
    assert_eq!(dialled(1).await.verdict.outcome, Outcome::Verified);
    let ended = dialled(3).await;
    assert_eq!(ended.verdict.code, Some("miner-failed"));
    let detail = ended.verdict.detail.unwrap_or_default();
    assert!(detail.contains("other-validator"), "{detail}");
}
