//! Cut off at every step: agents whose connection is closed or goes dead, and validators that
//! are killed, right before each thing that they say in a session.

use super::child::Child;
use super::proxy::{How, Proxy};
use super::server::Nats;
use super::simulation::{verified_at, verified_in};
use super::*;
use attest::fleet::presence;
use std::collections::HashSet;

/// More than an agent says in a session.
const WORDS_MAX: u16 = 24;

/// Agents with a cut each, before the n-th thing that they say after an invitation.
async fn agents_are_cut_off(how: How) {
    let Some(nats) = Nats::start() else { return };
    let (server, (_folder, ledger)) = (server_of(&nats.url(), None), ledger());
    let schedule = Schedule { retries: 50, ..quiet() };
    let fleet = Validating::start(&server, &ledger, schedule).await;
    let (mut proxies, mut agents) = (Vec::new(), Vec::new());
    for number in 1..=WORDS_MAX {
        let proxy = Proxy::new(&nats.url(), b".ask ", usize::from(number) - 1, how).await;
        agents.push(Running::start(&server_of(proxy.url(), None), number).await);
        proxies.push(proxy);
        fleet.meets(number).await;
    }
    let mut tasks = Vec::new();
    for number in 1..=WORDS_MAX {
        tasks.push(fleet.challenge(&format!("c{number}"), &[number]).await.remove(0));
    }
    let mut counted = HashSet::new();
    for task in &tasks {
        let record = fleet.done(task).await;
        assert_eq!(record.outcome.as_deref(), Some("verified"), "{task:?} {record:?}");
        counted.insert(record.challenge.expect("verified"));
    }
    let cuts = proxies.iter().filter(|proxy| proxy.has_cut()).count();
    assert!(cuts > 8, "a session has more words than {cuts}");
    // What was given up is settled, and each task counts one session.
    fleet.validator.settle_dropped();
    assert_eq!(verified_in(&*ledger), counted);
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_whose_connection_is_closed_at_any_moment_are_verified() {
    agents_are_cut_off(How::Drop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_whose_connection_goes_dead_at_any_moment_are_verified() {
    agents_are_cut_off(How::Freeze).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_killed_before_anything_that_it_says_loses_and_repeats_nothing() {
    let Some(nats) = Nats::start() else { return };
    let server = server_of(&nats.url(), None);
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("ledger.sqlite").display().to_string();
    let connection = reach(&server, Some(identity(0))).await;
    let gone_after = presence::BEAT * presence::BEATS_MISSED;
    let stores = Stores::open_or_make(&connection.client, gone_after).await.expect("streams");
    let (mut agents, mut tasks) = (Vec::new(), Vec::new());
    let mut kills = 0;
    for number in 1.. {
        agents.push(Running::start(&server, number).await);
        let proxy = Proxy::new(&nats.url(), b"$JS.ACK.attest_jobs", kills, How::Freeze).await;
        let mut victim = Child::validator(&server_of(proxy.url(), None), &place, 1);
        victim.ready();
        let miner = key(number).encoded();
        let (campaign, slot) = (format!("k{number}"), "0".to_owned());
        let job = Job { campaign, slot, members: vec![miner], not_before_unix_ms: None };
        queue(&stores, &job).await.expect("the queue takes it");
        let task = TaskName { campaign: job.campaign, slot: job.slot, miner };
        tasks.push(task.clone());
        let is_done = tokio::select! {
            () = proxy.cut() => false,
            _ = done(&stores, &task) => true,
        };
        victim.kill();
        if is_done {
            break;
        }
        kills += 1;
    }
    assert!(kills > 8, "a session has more steps than {kills}");
    let _survivor = Child::validator(&server, &place, 16);
    let mut counted = HashSet::new();
    for task in &tasks {
        let record = done(&stores, task).await;
        assert_eq!(record.outcome.as_deref(), Some("verified"), "{task:?} {record:?}");
        assert!(counted.insert(record.challenge.expect("verified")));
    }
    assert_eq!(verified_at(&place).await, counted);
}
