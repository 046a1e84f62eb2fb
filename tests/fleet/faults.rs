//! What dies meanwhile: nothing is lost, nothing is accepted twice, and no honest miner is
//! rejected for it.

use super::server::Nats;
use super::*;
use attest::executor::Executor;
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::fleet::suspects::{Rounds, left_behind};
use attest::ledger::Filter;
use attest::mining::issue::issue;
use attest::protocol::challenge::Challenge;
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
    // As it leaves things when it dies after each step: claimed; with the challenge named; and
    // with the challenge in the ledger.
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
    let bound = Request { miner_id: Some(key(1)), ..tiny() };
    // The last one is another validator's, with which the miner has a session, too.
    let [named, challenged, other] = [(); 3].map(|()| issue(&bound).unwrap());
    let all = [("claimed", None), ("named", Some(&named)), ("challenged", Some(&challenged))];
    for (campaign, challenge) in all {
        let challenge = challenge.map(|challenge| challenge.digest());
        let record = Record { challenge, ..record.clone() };
        tasks.write(&name(campaign).text(), &record, None).await.unwrap().expect("new");
    }
    for challenge in [&challenged, &other] {
        ledger.issue(challenge, challenge.token(), since_unix_ms + 5).unwrap();
    }
    let mut sessions = HashSet::from([named.digest(), challenged.digest(), other.digest()]);
    for (campaign, _) in all {
        first.challenge(campaign, &[1]).await;
        let record = first.done(&name(campaign)).await;
        assert_eq!(record.outcome.as_deref(), Some("verified"), "{campaign}: {record:?}");
        assert!(sessions.insert(record.challenge.unwrap()), "{campaign}");
    }
    let code = |challenge: &Challenge| {
        let (entry, _) = ledger.show(&challenge.digest()).unwrap().expect("on record");
        (entry.outcome, entry.code)
    };
    assert_eq!(code(&challenged).1.as_deref(), Some("abandoned"));
    assert_eq!(code(&other), (None, None));
    assert!(ledger.show(&named.digest()).unwrap().is_none());
    // A session that was concluded counts, of the task that names it only.
    let last = tasks.read(&name("named").text()).await.unwrap().unwrap().record.challenge.unwrap();
    let of = |session| left_behind(&*ledger, key(1).encoded(), 0, session, Rounds::Several);
    let found = of(last).unwrap().expect("concluded");
    assert_eq!((found.outcome, found.challenge), (Outcome::Verified, Some(last)));
    assert_eq!(of(named.digest()).unwrap(), None);
    assert_eq!(code(&other), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_names_its_challenge_before_the_miner_has_it() {
    let Some(nats) = Nats::start() else { return };
    let (server, (_folder, ledger)) = (server_of(&nats.url(), None), ledger());
    let fleet = Validating::start(&server, &ledger, quiet()).await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let waits = common::cpu_miner_with(Some(identity(1)), move |_| {
        let _ = begun.send(());
        let _ = gone.lock().unwrap().recv();
        let cpu: Box<dyn Executor> = Box::new(CpuExecutor::new(CpuOptions::default()));
        vec![cpu]
    });
    let _agent = Running::start_as(&server, 1, waits).await;
    fleet.meets(1).await;
    let task = fleet.challenge("c1", &[1]).await.remove(0);
    timeout(PATIENCE, begins.recv()).await.expect("it is challenged");
    let found = fleet.stores.tasks.read(&task.text()).await.unwrap().expect("a record").record;
    let issued = ledger.list(&Filter::default()).unwrap();
    assert_eq!(found.state, TaskState::Running);
    assert_eq!(found.challenge, Some(issued[0].challenge));
    drop(go);
    let record = fleet.done(&task).await;
    assert_eq!(record.outcome.as_deref(), Some("verified"), "{record:?}");
    assert_eq!(record.challenge, found.challenge);
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
