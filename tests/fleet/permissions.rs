//! A miner with its own key on a server with accounts: it can do its part, and neither read
//! nor write anything of another's.

use super::server::Nats;
use super::*;
use attest::fleet::authorize::configuration;
use attest::fleet::names;
use futures_util::StreamExt as _;

fn authorized(miners: &[u16]) -> String {
    let miners: Vec<PublicKey> = miners.iter().map(|number| key(*number)).collect();
    configuration(&[key(0)], &miners)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_permissions_an_agent_does_its_part() {
    let Some(nats) = Nats::start_with(&authorized(&[1]), "nats") else { return };
    let (server, (_folder, ledger)) = (server_of(&nats.url(), None), ledger());
    let fleet = Validating::start(&server, &ledger, quiet()).await;
    let _agent = Running::start(&server, 1).await;
    fleet.meets(1).await;
    let tasks = fleet.challenge("c1", &[1]).await;
    assert_eq!(fleet.done(&tasks[0]).await.outcome.as_deref(), Some("verified"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_server_does_not_know_is_refused() {
    let Some(nats) = Nats::start_with(&authorized(&[1]), "nats") else { return };
    let server = server_of(&nats.url(), None);
    let unknown = Some(Arc::new(identity(2)));
    assert!(connect(&server, unknown.as_ref(), "test", false).await.is_err());
    assert!(connect(&server, None, "test", false).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miner_neither_reads_nor_writes_anothers_subjects() {
    let Some(nats) = Nats::start_with(&authorized(&[1, 2]), "nats") else { return };
    let server = server_of(&nats.url(), None);
    let validator = reach(&server, Some(identity(0))).await.client;
    let stores = Stores::open_or_make(&validator, GONE_AFTER).await.expect("streams");
    let miner = reach(&server, Some(identity(2))).await.client;
    let (own, other) = (key(2).encoded(), key(1).encoded());
    // What it may hear, and what it may not.
    let mut heard = miner.subscribe(names::ask(own)).await.unwrap();
    let mut unheard = Vec::new();
    let subjects = [names::ask(other), names::to(other, "*"), names::from(other, "*"), ">".into()];
    let more = ["attest.fleet.m.*.ask", "$KV.>", "$JS.>", "_INBOX.>", "attest.fleet.jobs.*"];
    for subject in subjects.into_iter().chain(more.map(str::to_owned)) {
        unheard.push((subject.clone(), miner.subscribe(subject).await.unwrap()));
    }
    // What reaches the validator, and what does not.
    let mut arrived = validator.subscribe(">").await.unwrap();
    // The server takes a connection's words in their order: what comes back shows that it
    // knows of the subscription.
    validator.publish("known", "".into()).await.unwrap();
    while timeout(PATIENCE, arrived.next()).await.expect("in time").expect("open").subject.as_str()
        != "known"
    {}
    miner.flush().await.unwrap();
    for subject in [
        names::from(other, "s"),
        names::to(other, "s"),
        names::to(own, "s"),
        names::ask(other),
        names::announcement(other),
        names::jobs("c1"),
        format!("$KV.{}.c1.0.{own}", names::TASKS),
        format!("$JS.API.STREAM.DELETE.{}", names::JOBS),
    ] {
        miner.publish(subject, "forged".into()).await.unwrap();
    }
    // A rollup of all that its own entry would remove, with the answer sent to another.
    validator.publish(names::announcement(other), "kept".into()).await.unwrap();
    validator.flush().await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Rollup", "all");
    let (to, reply) = (names::announcement(own), names::to(other, "s"));
    miner.publish_with_reply_and_headers(to, reply, headers, "gone".into()).await.unwrap();
    miner.publish(names::from(own, "last"), "genuine".into()).await.unwrap();
    miner.flush().await.unwrap();
    let mut came = Vec::new();
    loop {
        let message = timeout(PATIENCE, arrived.next()).await.expect("in time").expect("open");
        let subject = message.subject.to_string();
        if subject == names::from(own, "last") {
            break;
        }
        if !subject.starts_with("$JS") && !subject.starts_with("_INBOX") {
            came.push((subject, message.payload));
        }
    }
    let forged: Vec<_> = came.iter().filter(|(_, payload)| payload == "forged").collect();
    assert!(forged.is_empty(), "{forged:?}");
    assert!(!came.iter().any(|(subject, _)| *subject == names::to(other, "s")), "{came:?}");
    let kept = stores.agents.get(other.to_string()).await.expect("an answer");
    assert_eq!(kept.as_deref(), Some(&b"kept"[..]));
    // Everything that was said went past it, but for what is its own.
    validator.publish(names::to(other, "s"), "secret".into()).await.unwrap();
    validator.publish(names::ask(other), "secret".into()).await.unwrap();
    validator.publish(names::ask(own), "its own".into()).await.unwrap();
    let message = timeout(PATIENCE, heard.next()).await.expect("in time").expect("open");
    assert_eq!(&message.payload[..], b"its own");
    for (subject, subscription) in &mut unheard {
        let none = timeout(Duration::from_millis(20), subscription.next()).await;
        assert!(!matches!(none, Ok(Some(_))), "{subject}: {none:?}");
    }
}
