//! Sessions through NATS, honest and not.

use super::hostile::{self, Trick};
use super::server::Nats;
use super::*;
use attest::executor::Executor;
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::ledger::Filter;
use attest::session::message::VerdictOutcome;

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_verified_through_nats() {
    let Some(nats) = Nats::start() else { return };
    let (server, (_folder, ledger)) = (server_of(&nats.url(), None), ledger());
    let fleet = Validating::start(&server, &ledger, quiet()).await;
    let mut agent = Running::start(&server, 1).await;
    fleet.meets(1).await;
    let tasks = fleet.challenge("c1", &[1]).await;
    let record = fleet.done(&tasks[0]).await;
    assert_eq!(record.outcome.as_deref(), Some("verified"), "{record:?}");
    let entry = ledger.show(&record.challenge.unwrap()).unwrap().expect("on record").0;
    assert_eq!(entry.miner, Some(key(1).encoded()));
    assert_eq!(entry.outcome.as_deref(), Some("verified"));
    let end = timeout(PATIENCE, agent.ends.recv()).await.expect("an end").expect("an end");
    let End::Verdict(verdict) = end else { panic!("{end:?}") };
    assert_eq!(verdict.outcome, VerdictOutcome::Verified);
    // Told to end, it takes its announcement back.
    agent.stop.send_replace(true);
    let gone = async {
        while !fleet.stores.announced().await.unwrap().is_empty() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("it is offline");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_challenged_together_and_each_outcome_is_right() {
    let Some(nats) = Nats::start() else { return };
    let (server, (_folder, ledger)) = (server_of(&nats.url(), None), ledger());
    let fleet = Validating::start(&server, &ledger, quiet()).await;
    let _honest = Running::start(&server, 1).await;
    // The second changes what it has committed to; the third is not there.
    let cheat = hostile::start(&server, 2, Trick::Root).await;
    let _fourth = Running::start(&server, 4).await;
    for number in [1, 2, 4] {
        fleet.meets(number).await;
    }
    let tasks = fleet.challenge("c2", &[1, 2, 3, 4]).await;
    let mut outcomes = Vec::new();
    for task in &tasks {
        let record = fleet.done(task).await;
        outcomes.push((record.outcome.unwrap(), record.code));
    }
    let verified = ("verified".to_owned(), None);
    assert_eq!(outcomes[0], verified);
    assert_eq!(outcomes[3], verified);
    let rejected = ("rejected".to_owned(), Some(Trick::Root.code().to_owned()));
    assert_eq!(outcomes[1], rejected);
    assert_eq!(outcomes[2], ("could-not-run".to_owned(), Some("offline".to_owned())));
    let ended = fleet.ended.lock().unwrap().clone();
    let finals = ended.iter().filter(|(_, _, is_done)| *is_done).count();
    assert_eq!(finals, 4, "each is recorded once: {ended:?}");
    let all = ledger.list(&Filter::default()).unwrap();
    assert!(all.iter().all(|entry| entry.outcome.is_some()), "{all:?}");
    cheat.abort();
}

/// A miner that notes whether `released` was true when its challenge came.
fn noting(number: u16, released: &watch::Sender<bool>) -> (Miner, Arc<Mutex<Vec<bool>>>) {
    let (seen, released) = (Arc::new(Mutex::new(Vec::new())), released.subscribe());
    let notes = Arc::clone(&seen);
    let miner = common::cpu_miner_with(Some(identity(number)), move |_| {
        notes.lock().unwrap().push(*released.borrow());
        let cpu: Box<dyn Executor> = Box::new(CpuExecutor::new(CpuOptions::default()));
        vec![cpu]
    });
    (miner, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_challenge_of_a_group_goes_out_before_all_of_it_are_ready() {
    let Some(nats) = Nats::start() else { return };
    let (server, (_folder, ledger)) = (server_of(&nats.url(), None), ledger());
    let fleet = Validating::start(&server, &ledger, quiet()).await;
    let released = watch::Sender::new(false);
    let (first, first_saw) = noting(1, &released);
    let (second, second_saw) = noting(2, &released);
    let _agents =
        [Running::start_as(&server, 1, first).await, Running::start_as(&server, 2, second).await];
    // The third one takes its time, and the fourth one is gone before it is ready.
    let slow = hostile::start_held(&server, 3, Trick::Nothing, BEAT, released.subscribe()).await;
    let gone = hostile::start(&server, 4, Trick::LeavesAtHello).await;
    for number in [1, 2, 3, 4] {
        fleet.meets(number).await;
    }
    let tasks = fleet.challenge("c4", &[1, 2, 3, 4]).await;
    let two_on_record = async {
        while ledger.list(&Filter::default()).unwrap().len() < 2 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, two_on_record).await.expect("two are ready");
    // Time for a challenge to come that should not.
    sleep(Duration::from_millis(500)).await;
    released.send_replace(true);
    for task in &tasks[..3] {
        let record = fleet.done(task).await;
        assert_eq!(record.outcome.as_deref(), Some("verified"), "{record:?}");
    }
    for saw in [first_saw, second_saw] {
        assert_eq!(*saw.lock().unwrap(), [true], "challenged before the group was ready");
    }
    slow.abort();
    gone.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_while_its_group_works_is_not_tried_again_alone() {
    let Some(nats) = Nats::start() else { return };
    let (server, (_folder, ledger)) = (server_of(&nats.url(), None), ledger());
    let fleet = Validating::start(&server, &ledger, Schedule { retries: 50, ..quiet() }).await;
    let _stays = Running::start(&server, 1).await;
    let leaves = hostile::start(&server, 2, Trick::LeavesAtHello).await;
    let both = [1, 2];
    for number in both {
        fleet.meets(number).await;
    }
    let tasks = fleet.challenge("c5", &both).await;
    let stayed = fleet.done(&tasks[0]).await;
    assert_eq!(stayed.outcome.as_deref(), Some("verified"), "{stayed:?}");
    let left = fleet.done(&tasks[1]).await;
    assert_eq!((left.outcome.as_deref(), left.attempt), (Some("could-not-run"), 1), "{left:?}");
    leaves.abort();
    // Alone in its group it has its attempts.
    let alone = fleet.challenge("c6", &[3]).await;
    let once_away = async {
        while !fleet.ended.lock().unwrap().iter().any(|(name, ..)| *name == alone[0]) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, once_away).await.expect("it is tried without it");
    let _comes = Running::start(&server, 3).await;
    let came = fleet.done(&alone[0]).await;
    assert_eq!(came.outcome.as_deref(), Some("verified"), "{came:?}");
    assert!(came.attempt > 1, "{came:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_with_one_key_hold_one_session() {
    let Some(nats) = Nats::start() else { return };
    let (server, (_folder, ledger)) = (server_of(&nats.url(), None), ledger());
    let fleet = Validating::start(&server, &ledger, quiet()).await;
    let _one = Running::start(&server, 1).await;
    let _two = Running::start(&server, 1).await;
    fleet.meets(1).await;
    let tasks = fleet.challenge("c3", &[1]).await;
    assert_eq!(fleet.done(&tasks[0]).await.outcome.as_deref(), Some("verified"));
    assert_eq!(ledger.list(&Filter::default()).unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_challenges_every_miner_in_its_period() {
    let Some(nats) = Nats::start() else { return };
    let (server, (_folder, ledger)) = (server_of(&nats.url(), None), ledger());
    let schedule = Schedule { period_ms: 2000, sessions: 2.0, ..quiet() };
    let one = Validating::start(&server, &ledger, schedule.clone()).await;
    let _two = Validating::start(&server, &ledger, schedule).await;
    let _agents = [Running::start(&server, 1).await, Running::start(&server, 2).await];
    let all = async {
        loop {
            let tasks = one.stores.tasks.all("*.*.*").await.unwrap_or_default();
            let is_done = |number| {
                let of = tasks.iter().filter(|(name, _)| name.miner == key(number).encoded());
                of.filter(|(_, record)| record.outcome.as_deref() == Some("verified")).count() >= 2
            };
            if is_done(1) && is_done(2) {
                return tasks;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let tasks = timeout(PATIENCE, all).await.expect("both are challenged");
    // Two validators planned; each task ran once.
    let challenges: Vec<_> = tasks.iter().filter_map(|(_, record)| record.challenge).collect();
    let unique: std::collections::HashSet<_> = challenges.iter().collect();
    assert_eq!(unique.len(), challenges.len());
}
