//! Rounds that the machine's CPUs answer, between others.

use super::in_process::session;
use super::recording::Recording;
use crate::common::cpu_miner_with;
use attest::executor::Executor;
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::mining::issue::{Request, issue};
use attest::policy::Policy;
use attest::protocol::verdict::{HOST, Outcome};
use attest::session::clock::Now;
use attest::session::drive::Validator;
use attest::session::fault::FaultCode;
use attest::session::message::{FromValidator, MinerHello, VERSIONS, line_of};
use attest::session::miner::{Action, End, Event, MinerSession, Terms, Who};
use attest::session::numbered::numbered;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
