//! Sessions over TCP and TLS: keys, plaintext, a busy miner, many at once.

use super::identity;
use super::peer::tiny;
use super::recording::Recording;
use crate::common::{cpu_miner, cpu_miner_with};
use attest::executor::Executor;
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::protocol::signature::PublicKey;
use attest::protocol::verdict::Outcome;
use attest::session::drive::Validator;
use attest::session::respond::Miner;
use attest::session::tcp::{Listener, Met, validate};
use attest::session::tls;
use attest::session::validator::Ended;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A miner that listens: its address, what it met, and the task to stop.
pub struct Listening {
    pub address: String,
    met: mpsc::UnboundedReceiver<Met>,
    task: JoinHandle<()>,
}

/// Key 2 listens for validators with key 1.
async fn listen(miner: Miner) -> Listening {
    listen_for(miner, &[identity(1).public()]).await
}

/// Key 2 listens for these validators.
pub async fn listen_for(miner: Miner, validators: &[PublicKey]) -> Listening {
    let config = tls::server(&Arc::new(identity(2)), validators).unwrap();
    let listener = Listener::bind(Arc::new(miner), "127.0.0.1:0", config).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, met) = mpsc::unbounded_channel();
    let watch = move |_: SocketAddr, what: Met| drop(sender.send(what));
    let task = tokio::spawn(async move { listener.serve(Arc::new(watch)).await });
    Listening { address, met, task }
}

/// A validator with key `own` that lets nobody but key `peer` be the miner.
async fn dial(ledger: &Arc<Recording>, address: &str, own: u8, peer: u8) -> Ended {
    let mut validator = Validator::new(ledger.clone(), tiny());
    let key = Arc::new(identity(own));
    let config = tls::client(&key, &[identity(peer).public()]).unwrap();
    validator.identity = Some(key);
    let validator = Arc::new(validator);
    let session = validate(&validator, address, &config, &|_| ());
    tokio::time::timeout(Duration::from_secs(60), session).await.expect("no session hangs")
}

#[tokio::test(flavor = "multi_thread")]
async fn both_keys_are_proven_and_named() {
    let listening = listen(cpu_miner(Some(identity(2)))).await;
    let ended = dial(&Recording::new(), &listening.address, 1, 2).await;
    assert_eq!(ended.verdict.outcome, Outcome::Verified, "{:?}", ended.verdict);
    let challenge = ended.challenge.unwrap();
    assert_eq!(challenge.spec().miner_id, Some(identity(2).public().encoded()));
    assert!(ended.receipt.is_some());
    listening.task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_are_refused_on_either_side() {
    let mut listening = listen(cpu_miner(Some(identity(2)))).await;
    let ledger = Recording::new();
    // The miner is not who it should be.
    let ended = dial(&ledger, &listening.address, 1, 3).await;
    assert_eq!(ended.verdict.code, Some("handshake-failed"), "{:?}", ended.verdict);
    assert!(matches!(listening.met.recv().await, Some(Met::Refused(_))));
    // The validator is not one that may ask. In TLS 1.3 it learns so when it reads.
    let ended = dial(&ledger, &listening.address, 4, 2).await;
    let code = ended.verdict.code.unwrap();
    assert!(matches!(code, "handshake-failed" | "closed-early"), "{code}");
    assert!(matches!(listening.met.recv().await, Some(Met::Refused(_))));
    assert_eq!(ledger.entries().len(), 0, "no challenge was issued");
    listening.task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miner_that_signs_with_another_key_than_it_shakes_hands_with_is_rejected() {
    let listening = listen(cpu_miner(Some(identity(5)))).await;
    let ended = dial(&Recording::new(), &listening.address, 1, 2).await;
    assert_eq!(ended.verdict.code, Some("wrong-peer"), "{:?}", ended.verdict);
    listening.task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_is_refused() {
    let mut listening = listen(cpu_miner(Some(identity(2)))).await;
    let mut stream = tokio::net::TcpStream::connect(&listening.address).await.unwrap();
    stream
        .write_all(b"{\"message\":\"hello\",\"versions\":[1],\"software\":\"x\"}\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.contains(&b'{'), "nothing of a session is said without TLS");
    assert!(matches!(listening.met.recv().await, Some(Met::Refused(_))));
    listening.task.abort();
}

#[tokio::test]
async fn nobody_there_is_a_rejection() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap().to_string();
    drop(closed);
    let ended = dial(&Recording::new(), &address, 1, 2).await;
    assert_eq!(ended.verdict.code, Some("unreachable"), "{:?}", ended.verdict);
}

/// A gate that a miner's work waits at.
#[derive(Default)]
pub(super) struct Gate(Mutex<bool>, Condvar);

impl Gate {
    pub(super) fn pass(&self) {
        let open = self.0.lock().unwrap();
        drop(self.1.wait_while(open, |open| !*open).unwrap());
    }
    pub(super) fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_meanwhile_is_told_that_the_miner_is_busy() {
    let gate = Arc::new(Gate::default());
    let at_work = Arc::clone(&gate);
    let slow = cpu_miner_with(Some(identity(2)), move |_| {
        at_work.pass();
        let cpu: Box<dyn Executor> = Box::new(CpuExecutor::new(CpuOptions::default()));
        vec![cpu]
    });
    let mut listening = listen(slow).await;
    let (first_ledger, address) = (Recording::new(), listening.address.clone());
    let first = tokio::spawn(async move { dial(&first_ledger, &address, 1, 2).await });
    assert!(matches!(listening.met.recv().await, Some(Met::Began(_))));
    let ledger = Recording::new();
    for _ in 0..3 {
        let ended = dial(&ledger, &listening.address, 1, 2).await;
        assert_eq!(ended.verdict.code, Some("busy"), "{:?}", ended.verdict);
    }
    assert_eq!(ledger.entries().len(), 0, "no challenge was issued");
    gate.open();
    let ended = first.await.unwrap();
    assert_eq!(ended.verdict.outcome, Outcome::Verified, "{:?}", ended.verdict);
    listening.task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_sessions_at_once() {
    let ledger = Recording::new();
    let mut validator = Validator::new(ledger.clone(), tiny());
    let key = Arc::new(identity(1));
    let config = tls::client(&key, &[identity(2).public()]).unwrap();
    validator.identity = Some(key);
    let validator = Arc::new(validator);
    let mut sessions = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (validator, config) = (Arc::clone(&validator), Arc::clone(&config));
        sessions.spawn(async move {
            let listening = listen(cpu_miner(Some(identity(2)))).await;
            let ended = validate(&validator, &listening.address, &config, &|_| ()).await;
            listening.task.abort();
            ended.verdict.outcome
        });
    }
    let outcomes = sessions.join_all().await;
    assert_eq!(outcomes, [Outcome::Verified; 16]);
    let entries = ledger.entries();
    assert_eq!(entries.len(), 16);
    assert!(entries.iter().all(|entry| entry.outcome.as_deref() == Some("verified")));
}
