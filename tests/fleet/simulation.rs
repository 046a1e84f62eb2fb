//! Many agents, some of them hostile, two validators: every outcome right, and recorded once.
//! ATTEST_FLEET_AGENTS and ATTEST_FLEET_SESSIONS make it larger.

use super::hostile::{self, Trick};
use super::server::Nats;
use super::*;
use attest::ledger::{Filter, Order};
use std::collections::HashSet;
use std::time::Instant;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Most memory that this process has had, MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_is_right_and_recorded_once() {
    let agents = number("ATTEST_FLEET_AGENTS", 40);
    let sessions = number("ATTEST_FLEET_SESSIONS", 120);
    let Some(nats) = Nats::start_tls() else { return };
    let ca = nats.ca();
    let (server, (_folder, ledger)) = (server_of(&nats.url(), Some(&ca)), ledger());
    let fleets = [
        Validating::start(&server, &ledger, quiet()).await,
        Validating::start(&server, &ledger, quiet()).await,
    ];
    // One in twenty is hostile, and there is one of each kind at least.
    let trick = |at: usize| match at {
        at if at < 5 => Some(Trick::ALL[at]),
        at if at % 20 == 0 => Some(Trick::ALL[at / 20 % 5]),
        _ => None,
    };
    let (mut honest, mut cheats) = (Vec::new(), Vec::new());
    for at in 0..agents {
        let number = at as u16 + 1;
        match trick(at) {
            Some(trick) => cheats.push(hostile::start(&server, number, trick).await),
            None => honest.push(Running::start(&server, number).await),
        }
    }
    for at in 0..agents {
        fleets[0].meets(at as u16 + 1).await;
    }
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for session in 0..sessions {
        let at = session % agents;
        let campaign = format!("c{}", session / agents);
        let of = &fleets[session % 2];
        tasks.push((at, of.challenge(&campaign, &[at as u16 + 1]).await.remove(0)));
    }
    let mut challenges = HashSet::new();
    for (at, task) in &tasks {
        let record = fleets[0].done(task).await;
        let expected = trick(*at).map(Trick::code);
        assert_eq!(record.code.as_deref(), expected, "{at}: {record:?}");
        let outcome = if expected.is_some() { "rejected" } else { "verified" };
        assert_eq!(record.outcome.as_deref(), Some(outcome), "{at}: {record:?}");
        if let Some(challenge) = record.challenge {
            assert!(challenges.insert(challenge), "{at}: counted twice");
        }
    }
    let took = begun.elapsed();
    eprintln!(
        "{agents} agents, {sessions} sessions, 2 validators: {took:.1?}, {:.1} sessions/s, \
         peak {} MiB",
        sessions as f64 / took.as_secs_f64(),
        peak_mib()
    );
    // The ledger has the same.
    let filter =
        Filter { order: Order::OldestFirst, limit: Filter::LIMIT_MAX, ..Filter::default() };
    let mut verified = 0;
    let mut after = None;
    loop {
        let page = ledger.list(&Filter { after, ..filter.clone() }).unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.issued_unix_ms, last.challenge));
        for entry in &page {
            assert!(entry.outcome.is_some(), "{entry:?}");
            verified += usize::from(entry.outcome.as_deref() == Some("verified"));
        }
    }
    let expected = tasks.iter().filter(|(at, _)| trick(*at).is_none()).count();
    assert_eq!(verified, expected);
    cheats.iter().for_each(JoinHandle::abort);
}
