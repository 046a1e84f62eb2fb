//! Rounds that the machine's CPUs answer, between others and beside them.

use super::in_process::session;
use super::recording::Recording;
use crate::common::cpu_miner_with;
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::executor::{
    Assignment, ExecError, Executor, LaneFacts, Segment, Sink, SmTiles, TileRequest,
};
use attest::ledger::{Filter, Ledger as _};
use attest::mining::issue::{Request, issue};
use attest::policy::Policy;
use attest::protocol::challenge::Challenge;
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::verdict::{HOST, Outcome};
use attest::session::clock::Now;
use attest::session::drive::Validator;
use attest::session::fault::FaultCode;
use attest::session::message::{Device, FromValidator, MinerHello, VERSIONS, line_of};
use attest::session::miner::{Action, End, Event, MinerSession, Terms, Who};
use attest::session::numbered::numbered;
use attest::session::refusal::Unable;
use attest::session::respond::{Equipment, Miner, Taken, device_of};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Three small rounds, the second of which is the host's.
const POLICY: &str = r#"
name = "with-a-host-round"
devices.cpu_allowed = true
[[round]]
kind = "integer"
matrix_dim = 128
num_matrices = 1
num_iterations = 20
[[round]]
kind = "fp64"
on = "host"
matrix_dim = 128
num_matrices = 1
num_iterations = 20
[[round]]
kind = "memory"
arena_blocks = 1024
num_iterations = 20
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_round_is_answered_by_cpus_and_the_others_by_the_devices() {
    let ledger = Recording::new();
    let mut validator = Validator::new(ledger.clone(), Request::default());
    validator.policy = Some(Policy::from_toml(POLICY, "test").expect("a policy"));
    let opened = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&opened);
    let miner = cpu_miner_with(None, move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        vec![Box::new(CpuExecutor::new(CpuOptions::default())) as Box<dyn Executor>]
    });
    let (ended, end) = session(&Arc::new(validator), &miner).await;
    let verdict = &ended.session;
    let rounds: Vec<_> = verdict.rounds.iter().map(|round| (round.kind, round.on)).collect();
    assert_eq!(rounds, [("integer", None), ("fp64", Some(HOST)), ("memory", None)], "{end:?}");
    let outcomes: Vec<_> = verdict.rounds.iter().map(|round| round.verdict.outcome).collect();
    assert_eq!(outcomes, [Outcome::Verified; 3], "{verdict:?}");
    assert_eq!(opened.load(Ordering::Relaxed), 2, "the devices were not asked for the host's");
    // What CPUs did is nothing that the devices showed.
    let of_host = verdict.rounds[1].verdict.shown.expect("live and proven");
    assert!(of_host.fp64_flops.is_some(), "{of_host:?}");
    let shown = verdict.shown.expect("live and proven");
    assert!(shown.int8_ops_per_s.is_some() && shown.fp64_flops.is_none(), "{shown:?}");
    assert!(verdict.render_text().contains("(fp64, host)"), "{}", verdict.render_text());
}

/// The host's round beside the one of the devices, and another after them.
const BESIDE: &str = r#"
name = "with-a-host-round-beside"
devices.cpu_allowed = true
[[round]]
kind = "memory"
on = "host"
beside = true
arena_blocks = 1024
num_iterations = 20
[[round]]
kind = "memory"
arena_blocks = 1024
num_iterations = 20
[[round]]
kind = "integer"
matrix_dim = 128
num_matrices = 1
num_iterations = 20
"#;

/// Counts how many of its runs are under way, and lets none end before both have begun.
struct Together {
    inner: CpuExecutor,
    under_way: Arc<AtomicU64>,
}

impl Together {
    fn boxed(under_way: &Arc<AtomicU64>, options: CpuOptions) -> Box<dyn Executor> {
        let (inner, under_way) = (CpuExecutor::new(options), Arc::clone(under_way));
        Box::new(Self { inner, under_way })
    }
}

impl Executor for Together {
    fn facts(&self) -> &LaneFacts {
        self.inner.facts()
    }
    fn begin(&mut self, assignment: &Assignment) -> Result<(), ExecError> {
        self.inner.begin(assignment)
    }
    fn run(&mut self, segment: &Segment, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        while self.under_way.load(Ordering::SeqCst) < 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.inner.run(segment, sink)
    }
    fn leaf_hashes(
        &mut self,
        assignment: &Assignment,
        tiles: &[TileRequest],
    ) -> Result<Vec<Vec<Digest>>, ExecError> {
        self.inner.leaf_hashes(assignment, tiles)
    }
    fn sm_tiles(&mut self) -> Result<SmTiles, ExecError> {
        self.inner.sm_tiles()
    }
}

/// Devices and CPUs that only work together.
struct Both {
    under_way: Arc<AtomicU64>,
    cores_left: AtomicU64,
}

impl Equipment for Both {
    fn devices(&self) -> Result<Vec<Device>, String> {
        Ok(vec![device_of(CpuExecutor::new(CpuOptions::default()).facts())])
    }
    fn take(&self, _: &Challenge, _: Duration) -> Result<Taken, Unable> {
        let uuid = Some(Uuid([7; 16]));
        let options = CpuOptions { uuid, ..CpuOptions::default() };
        Ok(Taken { chosen: vec![Together::boxed(&self.under_way, options)].into(), loan: None })
    }
    fn host(&self, _: &Challenge, cores_left: usize) -> Result<Taken, Unable> {
        self.cores_left.store(cores_left as u64, Ordering::SeqCst);
        let options = CpuOptions { cores_left, ..CpuOptions::default() };
        Ok(Taken { chosen: vec![Together::boxed(&self.under_way, options)].into(), loan: None })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_round_beside_that_of_the_devices_is_under_way_at_the_same_time() {
    let ledger = Recording::new();
    let mut validator = Validator::new(ledger.clone(), Request::default());
    validator.policy = Some(Policy::from_toml(BESIDE, "test").expect("a policy"));
    let both = Arc::new(Both { under_way: Arc::default(), cores_left: AtomicU64::new(9) });
    let equipment: Arc<dyn Equipment> = both.clone();
    let (ended, end) = session(&Arc::new(validator), &Miner::new(equipment)).await;
    let verdict = &ended.session;
    let rounds: Vec<_> =
        verdict.rounds.iter().map(|it| (it.on, it.beside, it.verdict.outcome)).collect();
    let ok = Outcome::Verified;
    let expected = [(Some(HOST), Some(1), ok), (None, None, ok), (None, None, ok)];
    assert_eq!(rounds, expected, "{verdict:?} {end:?}");
    assert_eq!(both.cores_left.load(Ordering::SeqCst), 1, "a core for the lane");
    // Each has its own row, nonce and coin, in one session.
    let rows = ledger.list(&Filter::default()).expect("a list");
    let coins: BTreeSet<_> = rows.iter().map(|row| row.coin.map(|it| *it.as_bytes())).collect();
    assert_eq!((rows.len(), coins.len()), (3, 3));
    let first = ended.earlier[0].challenge.digest();
    let later = rows.iter().filter_map(|row| row.round).map(|it| (it.session, it.number));
    assert_eq!(later.collect::<BTreeSet<_>>(), BTreeSet::from([(first, 1), (first, 2)]));
    let text = verdict.render_text();
    assert!(text.contains("round 0 (memory, host beside round 1)"), "{text}");
}

/// A challenge for CPUs is version 2's.
#[test]
fn a_miner_heeds_whom_a_challenge_is_for() {
    let request = Request { matrix_dim: Some(128), gpu_count: Some(1), ..Request::default() };
    let token = || issue(&request).unwrap().token().to_owned();
    let asked = |version: u32, challenge: FromValidator| {
        let hello = MinerHello { versions: VERSIONS.to_vec(), ..MinerHello::default() };
        let mut session = MinerSession::new(Terms::default(), hello);
        session.handle(Now::default(), Event::Start);
        let said = [
            line_of(&FromValidator::Hello {
                versions: vec![version],
                software: "a test".to_owned(),
            }),
            line_of(&FromValidator::Ping { version }),
            numbered(line_of(&challenge), (version > 1).then_some(0)),
        ];
        let lines = said.iter().flat_map(|line| session.handle(Now::default(), Event::Bytes(line)));
        lines.last().expect("something is to be done")
    };
    let host =
        |version| asked(version, FromValidator::HostChallenge { beside: false, token: token() });
    let devices = |version| asked(version, FromValidator::Challenge { token: token() });
    for (action, expected) in [
        (devices(1), Who::Devices),
        (devices(2), Who::Devices),
        (host(2), Who::Host { beside: false }),
    ] {
        assert!(matches!(&action, Action::Commit { on, .. } if *on == expected), "{action:?}");
    }
    match host(1) {
        Action::End(End::Fault(fault)) => assert_eq!(fault.code, FaultCode::UnexpectedMessage),
        other => panic!("{other:?}"),
    }
}
