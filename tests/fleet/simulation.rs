//! Many agents, some of them hostile, and two validators, each in processes of their own:
//! every outcome right, and recorded once. ATTEST_FLEET_AGENTS and ATTEST_FLEET_SESSIONS make
//! it larger; ATTEST_FLEET_DURABLE=1 has PostgreSQL write to the disk.

use super::child::{Child, trick_of};
use super::postgres;
use super::server::Nats;
use super::*;
use attest::fleet::presence::{BEAT, BEATS_MISSED};
use attest::ledger::{Filter, Order};
use attest::protocol::digest::Digest;
use attest::protocol::signature::EncodedKey;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

/// Agents of one process.
const AGENTS_A_PROCESS: usize = 250;
/// Miners of one owner; one in five agents belongs to one.
const OWNERS_MINERS: usize = 10;
/// Sessions that a validator holds at once.
const PLACES: u32 = 32;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_is_right_and_recorded_once_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("ledger.sqlite").display().to_string();
    simulate(&place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_is_right_and_recorded_once_on_postgresql() {
    let is_durable = std::env::var_os("ATTEST_FLEET_DURABLE").is_some();
    let start = if is_durable { postgres::Server::durable } else { postgres::Server::own };
    // A client has a runtime of its own.
    let started = tokio::task::spawn_blocking(move || {
        let database = start()?;
        let place = database.new_database();
        Some((database, place))
    });
    let Some((_database, place)) = started.await.expect("no panic") else { return };
    let rows = || {
        let place = place.clone();
        tokio::task::spawn_blocking(move || rows(&place))
    };
    let Some(tasks) = simulate(&place).await else { return };
    let (rows, bytes) = rows().await.expect("no panic");
    let each = |count: i64| count as f64 / tasks as f64;
    eprintln!(
        "ledger: {:.2} rows a session, {:.0} bytes a session: {rows:?}",
        each(rows.values().sum()),
        each(bytes)
    );
}

/// Rows of each table, and bytes of the database's files beyond those of an empty one.
fn rows(place: &str) -> (BTreeMap<String, i64>, i64) {
    let mut client = ::postgres::Client::connect(place, ::postgres::NoTls).expect("it answers");
    let mut rows = BTreeMap::new();
    for table in ["nonces", "challenges", "devices", "sightings", "claims", "meetings"] {
        let statement = format!("SELECT count(*) FROM attest.{table}");
        rows.insert(table.to_owned(), client.query_one(&statement, &[]).expect("a count").get(0));
    }
    let sum = "SELECT sum(pg_total_relation_size(c.oid))::BIGINT FROM pg_class c \
               JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = 'attest' AND c.relkind = 'r'";
    (rows, client.query_one(sum, &[]).expect("a sum").get(0))
}

/// How many belong to an owner, the last ones of all.
fn owned(agents: usize) -> usize {
    agents / 5 / OWNERS_MINERS * OWNERS_MINERS
}

/// Groups of agents that are challenged together: those of an owner, the others alone.
fn groups(agents: usize) -> Vec<Vec<u16>> {
    let numbers: Vec<u16> = (1..=agents as u16).collect();
    let (alone, owned) = numbers.split_at(agents - owned(agents));
    let owned = owned.chunks(OWNERS_MINERS).map(<[u16]>::to_vec);
    alone.iter().map(|number| vec![*number]).chain(owned).collect()
}

/// Waits until no more than `most` jobs are left.
pub async fn all_done(stores: &Stores, most: u64) {
    let (mut left, mut moved) = (u64::MAX, Instant::now());
    while left > most {
        // A server that is away is waited for, too.
        let now = stores.waiting().await.unwrap_or(left);
        if now < left {
            (left, moved) = (now, Instant::now());
        }
        assert!(moved.elapsed() < PATIENCE, "{left} jobs do not end");
        sleep(Duration::from_millis(50)).await;
    }
}

/// How many tasks there were; `None` if there is no server.
async fn simulate(place: &str) -> Option<usize> {
    let agents = number("ATTEST_FLEET_AGENTS", 50);
    let rounds = number("ATTEST_FLEET_SESSIONS", 100).div_ceil(agents);
    let nats = Nats::start_tls()?;
    let ca = nats.ca();
    let server = server_of(&nats.url(), Some(&ca));
    let connection = reach(&server, Some(identity(0))).await;
    let stores =
        Stores::open_or_make(&connection.client, BEAT * BEATS_MISSED).await.expect("streams");
    let mut validators = [(); 2].map(|()| Child::validator(&server, place, PLACES));
    let firsts = (0..agents).step_by(AGENTS_A_PROCESS);
    let mut crowd: Vec<Child> = firsts
        .map(|first| Child::agents(&server, first..agents.min(first + AGENTS_A_PROCESS), agents))
        .collect();
    crowd.iter_mut().chain(&mut validators).for_each(Child::ready);
    let all_there = async {
        while stores.announced().await.map_or(0, |all| all.len()) < agents {
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(PATIENCE, all_there).await.expect("all announce themselves");
    let of_key: HashMap<EncodedKey, usize> =
        (0..agents).map(|at| (key(at as u16 + 1).encoded(), at)).collect();
    let (before, begun) = (nats.figures(), Instant::now());
    for round in 0..rounds {
        for group in groups(agents) {
            let members = group.iter().map(|number| key(*number).encoded()).collect();
            let slot = round.to_string();
            let job = Job { campaign: "c".into(), slot, members, not_before_unix_ms: None };
            queue(&stores, &job).await.expect("the queue takes it");
        }
    }
    all_done(&stores, 0).await;
    let (took, after) = (begun.elapsed(), nats.figures());
    let tasks: HashMap<TaskName, Record> =
        stores.tasks.all("c.*.*").await.expect("it answers").into_iter().collect();
    assert_eq!(tasks.len(), agents * rounds);
    let (mut challenges, mut spreads) = (HashSet::new(), Vec::new());
    let (mut verified, mut wrong) = (HashSet::new(), Vec::new());
    for (name, record) in &tasks {
        let trick = trick_of(of_key[&name.miner], agents);
        let outcome = trick.map_or("verified", |trick| trick.outcome());
        let came = (record.outcome.as_deref(), record.code.as_deref());
        if came != (Some(outcome), trick.map(|trick| trick.code())) {
            wrong.push(format!("{trick:?}: {record:?}"));
        }
        if let Some(challenge) = record.challenge {
            assert!(challenges.insert(challenge), "{name:?}: counted twice");
            if outcome == "verified" {
                verified.insert(challenge);
            }
        }
        if of_key[&name.miner] >= agents - owned(agents) {
            spreads.extend(record.spread_ms);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(verified_at(place).await, verified);
    let of = |child: Vec<Child>| child.into_iter().map(Child::end).collect::<Vec<Value>>();
    let sessions = tasks.len();
    let attempts: u32 = tasks.values().map(|record| record.attempt).sum();
    let per_session = |name: &str| {
        let count = |of: &Value| of[name].as_u64().expect("a count");
        (count(&after) - count(&before)) as f64 / sessions as f64
    };
    eprintln!(
        "{agents} agents, {sessions} sessions ({attempts} attempts), 2 validators: {took:.1?}, \
         {:.1} sessions/s\nNATS a session: {:.1} messages in, {:.1} out, {:.0} bytes in, \
         {:.0} out; server {} MiB\nstart spread of {} sessions in groups, ms: p50 {}, p99 {}, \
         max {}\nvalidators: {:?}\nagents: {:?}",
        sessions as f64 / took.as_secs_f64(),
        per_session("in_msgs"),
        per_session("out_msgs"),
        per_session("in_bytes"),
        per_session("out_bytes"),
        after["mem"].as_u64().unwrap_or(0) >> 20,
        spreads.len(),
        at_share(&mut spreads, 0.5),
        at_share(&mut spreads, 0.99),
        at_share(&mut spreads, 1.0),
        of(validators.into()),
        of(crowd),
    );
    Some(sessions)
}

fn at_share(all: &mut [u64], share: f64) -> u64 {
    all.sort_unstable();
    let last = all.len().saturating_sub(1);
    all.get((share * last as f64).round() as usize).copied().unwrap_or(0)
}

/// Challenges that the ledger has as verified; every one in it has an end.
pub fn verified_in(ledger: &dyn Ledger) -> HashSet<Digest> {
    let mut filter =
        Filter { order: Order::OldestFirst, limit: Filter::LIMIT_MAX, ..Filter::default() };
    let mut verified = HashSet::new();
    loop {
        let page = ledger.list(&filter).expect("it answers");
        let Some(last) = page.last() else { return verified };
        filter.after = Some((last.issued_unix_ms, last.challenge));
        for entry in &page {
            assert!(entry.outcome.is_some(), "{entry:?}");
            if entry.outcome.as_deref() == Some("verified") {
                assert!(verified.insert(entry.challenge));
            }
        }
    }
}

/// The same of the ledger there.
pub async fn verified_at(place: &str) -> HashSet<Digest> {
    let place = Location::parse(place).expect("a place");
    let read = move || verified_in(&*attest::ledger::open(&place).expect("a ledger"));
    tokio::task::spawn_blocking(read).await.expect("no panic")
}
