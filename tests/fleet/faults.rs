//! What dies meanwhile: nothing is lost, nothing is accepted twice, and no honest miner is
//! rejected for it.

use super::server::Nats;
use super::*;
use attest::executor::Executor;
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::fleet::suspects::{Rounds, left_behind};
use attest::ledger::Filter;
use attest::mining::issue::issue;
use attest::protocol::verdict::Outcome;
use attest::session::clock::unix_ms;
use std::collections::HashSet;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_nats_server_costs_nobody_a_verdict() {
    let Some(mut nats) = Nats::start() else { return };
    let (server, (_folder, ledger)) = (server_of(&nats.url(), None), ledger());
    let schedule = Schedule { retries: 50, ..quiet() };
    let fleet = Validating::start(&server, &ledger, schedule).await;
    let agents = [1, 2, 3, 4];
    let mut running = Vec::new();
    for number in agents {
        running.push(Running::start(&server, number).await);
        fleet.meets(number).await;
    }
    let tasks = fleet.challenge("c1", &agents).await;
    sleep(Duration::from_millis(30)).await;
    nats.kill();
    sleep(Duration::from_millis(500)).await;
    nats.start_again();
    for task in &tasks {
        let record = fleet.done(task).await;
        assert_eq!(record.outcome.as_deref(), Some("verified"), "{record:?}");
    }
    // What was given up is settled, and each task counts one session.
    fleet.validator.settle_dropped();
    let all = ledger.list(&Filter::default()).unwrap();
    assert!(all.iter().all(|entry| entry.outcome.is_some()), "{all:?}");
    let verified = all.iter().filter(|entry| entry.outcome.as_deref() == Some("verified"));
    assert!(verified.count() >= agents.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_dies_before_its_commitment_is_tried_again() {
    let Some(nats) = Nats::start() else { return };
    let (server, (_folder, ledger)) = (server_of(&nats.url(), None), ledger());
    let schedule = Schedule { retries: 50, ..quiet() };
    let fleet = Validating::start(&server, &ledger, schedule).await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let never = common::cpu_miner_with(Some(identity(1)), move |_| {
        let _ = begun.send(());
        std::thread::sleep(Duration::from_secs(3));
        let cpu: Box<dyn Executor> = Box::new(CpuExecutor::new(CpuOptions::default()));
        vec![cpu]
    });
    // What it runs on stops, as in kill -9: nothing more is said.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let of_dying = server.clone();
    runtime.spawn(async move {
        let _dying = Running::start_as(&of_dying, 1, never).await;
        std::future::pending::<()>().await;
    });
    fleet.meets(1).await;
    let tasks = fleet.challenge("c1", &[1]).await;
    timeout(PATIENCE, begins.recv()).await.expect("it is challenged");
    runtime.shutdown_background();
    // Another one with its key takes its place, later.
    let _again = Running::start(&server, 1).await;
    let record = fleet.done(&tasks[0]).await;
    assert_eq!(record.outcome.as_deref(), Some("verified"), "{record:?}");
    let ended = fleet.ended.lock().unwrap().clone();
    assert!(ended.iter().all(|(_, code, _)| code != "stalled"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_validator_left_is_taken_up_by_another() {
    let Some(nats) = Nats::start() else { return };
    let (server, (_folder, ledger)) = (server_of(&nats.url(), None), ledger());
    let first = Validating::start(&server, &ledger, quiet()).await;
    let _agent = Running::start(&server, 1).await;
    first.meets(1).await;
    // As it leaves things when it dies after each step: claimed; and claimed and challenged.
    let name = |campaign: &str| TaskName {
        campaign: campaign.to_owned(),
        slot: "0".to_owned(),
        miner: key(1).encoded(),
    };
    // Its clock is an hour ahead of the other's.
    let since_unix_ms = unix_ms() + 3_600_000;
    let record = Record {
        state: TaskState::Running,
        validator: "dead".to_owned(),
        attempt: 1,
        since_unix_ms,
        outcome: None,
        code: None,
        challenge: None,
        spread_ms: None,
    };
    let tasks = first.stores.tasks.clone();
    for campaign in ["claimed", "challenged"] {
        tasks.write(&name(campaign).text(), &record, None).await.unwrap().expect("new");
    }
    let bound = Request { miner_id: Some(key(1)), ..tiny() };
    let challenge = issue(&bound).unwrap();
    ledger.issue(&challenge, challenge.token(), since_unix_ms + 5).unwrap();
    for campaign in ["claimed", "challenged"] {
        first.challenge(campaign, &[1]).await;
        let record = first.done(&name(campaign)).await;
        assert_eq!(record.outcome.as_deref(), Some("verified"), "{campaign}: {record:?}");
        assert_ne!(record.challenge, Some(challenge.digest()), "{campaign}");
    }
    let (left, _) = ledger.show(&challenge.digest()).unwrap().expect("on record");
    assert_eq!(left.code.as_deref(), Some("abandoned"));
    // A session that was concluded counts, if it is of no other task.
    let of = |record: &Record| HashSet::from([record.challenge.unwrap()]);
    let mut others = HashSet::new();
    for campaign in ["claimed", "challenged"] {
        others.extend(of(&tasks.read(&name(campaign).text()).await.unwrap().unwrap().record));
    }
    let miner = key(1).encoded();
    assert_eq!(left_behind(&*ledger, miner, 0, &others, Rounds::Several).unwrap(), None);
    let one = others.iter().next().copied().unwrap();
    let without = HashSet::from([one]);
    let found =
        left_behind(&*ledger, miner, 0, &without, Rounds::Several).unwrap().expect("the other one");
    assert_eq!(found.outcome, Outcome::Verified);
    assert!(found.challenge != Some(one) && found.challenge != Some(challenge.digest()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_validator_that_dies_goes_to_another() {
    let Some(nats) = Nats::start() else { return };
    let (server, (_folder, ledger)) = (server_of(&nats.url(), None), ledger());
    let first = Validating::start(&server, &ledger, quiet()).await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let slow = common::cpu_miner_with(Some(identity(1)), move |_| {
        let _ = begun.send(());
        std::thread::sleep(Duration::from_secs(2));
        let cpu: Box<dyn Executor> = Box::new(CpuExecutor::new(CpuOptions::default()));
        vec![cpu]
    });
    let _agent = Running::start_as(&server, 1, slow).await;
    first.meets(1).await;
    let tasks = first.challenge("c1", &[1]).await;
    timeout(PATIENCE, begins.recv()).await.expect("it is challenged");
    // Dropped in the middle of the session: neither acknowledged nor recorded.
    let stores = first.stores.clone();
    drop(first);
    let _second = Validating::start(&server, &ledger, quiet()).await;
    let record = done(&stores, &tasks[0]).await;
    assert_eq!(record.outcome.as_deref(), Some("verified"), "{record:?}");
    let all = ledger.list(&Filter::default()).unwrap();
    let verified = all.iter().filter(|entry| entry.outcome.as_deref() == Some("verified"));
    assert_eq!(verified.count(), 1, "{all:?}");
}
