//! Campaigns during which something fails, with validators and agents in processes of their
//! own: every miner is verified, and nothing is counted twice.

use super::child::Child;
use super::postgres;
use super::server::Nats;
use super::simulation::{all_done, verified_at};
use super::*;
use attest::fleet::presence::{BEAT, BEATS_MISSED};
use std::collections::HashSet;

/// Miners of a campaign, and sessions of each.
const MINERS: usize = 12;
const SESSIONS: usize = 10;

/// A campaign with `agents` and `validators`; `disturb` is called in the middle of it.
async fn campaign(
    nats: &mut Nats,
    place: &str,
    calendars: [Option<&str>; 3],
    disturb: impl AsyncFnOnce(&mut Nats, &mut [Child; 2], &mut Vec<Child>),
) {
    let server = server_of(&nats.url(), None);
    let connection = reach(&server, Some(identity(0))).await;
    let gone_after = BEAT * BEATS_MISSED;
    let stores = Stores::open_or_make(&connection.client, gone_after).await.expect("streams");
    let mut agents = vec![Child::agents_at(&server, 0..MINERS, 0, calendars[2])];
    let mut validators = [0, 1].map(|at| Child::validator_at(&server, place, 4, calendars[at]));
    agents.iter_mut().chain(&mut validators).for_each(Child::ready);
    for slot in 0..SESSIONS {
        for number in 1..=MINERS as u16 {
            let members = vec![key(number).encoded()];
            let (campaign, slot) = ("c".to_owned(), slot.to_string());
            let job = Job { campaign, slot, members, not_before_unix_ms: None };
            queue(&stores, &job).await.expect("the queue takes it");
        }
    }
    all_done(&stores, (MINERS * SESSIONS) as u64 * 3 / 4).await;
    disturb(nats, &mut validators, &mut agents).await;
    all_done(&stores, 0).await;
    let tasks = stores.tasks.all("c.*.*").await.expect("it answers");
    assert_eq!(tasks.len(), MINERS * SESSIONS);
    let mut counted = HashSet::new();
    for (name, record) in tasks {
        assert_eq!(record.outcome.as_deref(), Some("verified"), "{name:?} {record:?}");
        assert!(counted.insert(record.challenge.expect("verified")), "{name:?}");
    }
    let verified = verified_at(place).await;
    let (not_counted, not_verified) =
        (verified.difference(&counted).count(), counted.difference(&verified).count());
    assert_eq!((not_counted, not_verified), (0, 0));
}

/// An own server of PostgreSQL and a database in it.
async fn database() -> Option<(postgres::Server, String)> {
    let start = || {
        let server = postgres::Server::own()?;
        let place = server.new_database();
        Some((server, place))
    };
    tokio::task::spawn_blocking(start).await.expect("no panic")
}

const TRUE: [Option<&str>; 3] = [None; 3];

#[tokio::test(flavor = "multi_thread")]
async fn nats_server_killed_in_the_middle_of_a_campaign() {
    let Some(mut nats) = Nats::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("ledger.sqlite").display().to_string();
    campaign(&mut nats, &place, TRUE, async |nats, _, _| {
        nats.kill();
        sleep(Duration::from_secs(1)).await;
        nats.start_again();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_crashes_in_the_middle_of_a_campaign() {
    let Some(mut nats) = Nats::start() else { return };
    let Some((database, place)) = database().await else { return };
    campaign(&mut nats, &place, TRUE, async |_, _, _| {
        tokio::task::block_in_place(|| {
            database.tell("crash");
            std::thread::sleep(Duration::from_secs(1));
            database.tell("start");
        });
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_and_agents_are_killed_and_every_agent_is_there_twice() {
    let Some(mut nats) = Nats::start() else { return };
    let Some((_database, place)) = database().await else { return };
    let server = server_of(&nats.url(), None);
    campaign(&mut nats, &place, TRUE, async |_, validators, agents| {
        // The same keys on another machine; and then the first ones are gone.
        let mut again = Child::agents(&server, 0..MINERS, 0);
        again.ready();
        agents.push(again);
        validators[0].kill();
        validators[0] = Child::validator(&server, &place, 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_are_an_hour_apart() {
    if std::process::Command::new("faketime").arg("--version").output().is_err() {
        let cause = "no faketime (apt-get install faketime)";
        let required = std::env::var_os("ATTEST_REQUIRE_NATS").is_some_and(|set| set == "1");
        assert!(!required, "{cause}");
        eprintln!("skipped: {cause}");
        return;
    }
    let Some(mut nats) = Nats::start() else { return };
    let Some((_database, place)) = database().await else { return };
    // Between the validators, and between each of them and the agents.
    let apart = [Some("+3600s"), Some("-3600s"), None];
    campaign(&mut nats, &place, apart, async |_, validators, _| {
        // What it leaves behind is another's, whose clock is two hours behind.
        validators[0].kill();
    })
    .await;
}
