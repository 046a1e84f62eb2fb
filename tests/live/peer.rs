//! A miner by hand: says whatever a test wants, and the right thing where asked.

use super::identity;
use super::recording::Recording;
use crate::common::cpu_evidence;
use attest::identity::SigningIdentity;
use attest::mining::issue::Request;
use attest::policy::{RoundKind, RoundPlan};
use attest::protocol::challenge::Challenge;
use attest::protocol::digest::Uuid;
use attest::protocol::evidence::Evidence;
use attest::protocol::names::{Coin, Commitment};
use attest::protocol::result::ResultDoc;
use attest::protocol::signature::{PublicKey, miner_message};
use attest::reference::Run;
use attest::session::drive::Validator;
use attest::session::message::{
    FromMiner, FromValidator, MinerHello, PINGS_CAPABILITY, commitment_line_of, line_of,
    openings_line,
};
use attest::session::numbered::{numbered, take_number};
use attest::session::validator::{Ended, Issued};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, ReadHalf, WriteHalf, duplex,
    split,
};

/// What every lane of these tests is called.
pub const UUIDS: [Uuid; 1] = [Uuid([7; 16])];

/// The miner's end of a session.
pub struct Peer {
    reader: BufReader<ReadHalf<DuplexStream>>,
    writer: WriteHalf<DuplexStream>,
    round: Option<usize>,
}

/// What there is to say of a challenge: honest work, or made of it.
pub struct Answer {
    run: Run,
    pub signature: Option<[u8; 64]>,
}

impl Answer {
    /// The reference's work, signed where `key` is given.
    pub fn of(challenge: &Challenge, key: Option<&SigningIdentity>) -> Self {
        let run = Run::of(challenge, &UUIDS);
        let commitment = run.commitment(&cpu_evidence(&UUIDS));
        let message = miner_message(&challenge.digest(), &commitment);
        Self { run, signature: key.map(|key| key.sign(&message)) }
    }

    pub fn commitment(&self) -> Commitment {
        self.run.commitment(&cpu_evidence(&UUIDS))
    }

    pub fn commitment_line(&self) -> Vec<u8> {
        self.commitment_line_with(&cpu_evidence(&UUIDS))
    }

    /// The same commitment beside other evidence.
    pub fn commitment_line_with(&self, evidence: &Evidence) -> Vec<u8> {
        commitment_line_of(self.commitment(), &self.run.lanes(), evidence, self.signature)
    }

    pub fn result(&self, coin: Option<Coin>) -> ResultDoc {
        let result = self.run.result(cpu_evidence(&UUIDS), coin, None);
        ResultDoc { miner_signature: self.signature, ..result }
    }

    pub fn openings_line(&self, coin: Coin) -> Vec<u8> {
        openings_line(&self.result(Some(coin)))
    }
}

/// The hello of a miner with these keys.
pub fn hello(miner_id: Option<PublicKey>) -> MinerHello {
    let miner_id = miner_id.map(|key| key.encoded());
    MinerHello { versions: vec![1], software: "a test".into(), miner_id, ..MinerHello::default() }
}

impl Peer {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // Whoever was rejected need not be read to the end.
        let _ = self.writer.write_all(bytes.as_ref()).await;
    }

    pub async fn line(&mut self, text: &str) {
        self.send(format!("{text}\n")).await;
    }

    /// The validator's next message; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<FromValidator> {
        let mut line = Vec::new();
        let length = self.reader.read_until(b'\n', &mut line).await.expect("readable");
        // In version 2 it may name a round.
        self.round = take_number(&mut line).ok();
        (length > 0).then(|| FromValidator::read(&line).expect("a validator's message"))
    }

    /// The number of the round that the last message had; version 1 has none.
    pub fn round(&self) -> Option<usize> {
        self.round
    }

    /// Sends a message as one of this round.
    pub async fn send_of(&mut self, round: Option<usize>, line: Vec<u8>) {
        self.send(numbered(line, round)).await;
    }

    /// Says hello and answers the ping.
    pub async fn greet(&mut self, miner_id: Option<PublicKey>) {
        self.send(line_of(&FromMiner::Hello(hello(miner_id)))).await;
        assert!(matches!(self.next().await, Some(FromValidator::Hello { .. })));
        assert!(matches!(self.next().await, Some(FromValidator::Ping { version: 1 })));
        self.send(line_of(&FromMiner::Pong {})).await;
    }

    pub async fn challenge(&mut self) -> Challenge {
        match self.next().await {
            Some(FromValidator::Challenge { token }) => Challenge::from_token(&token).unwrap(),
            other => panic!("no challenge but {other:?}"),
        }
    }

    pub async fn coin(&mut self) -> Coin {
        match self.next().await {
            Some(FromValidator::Coin { coin, .. }) => coin,
            other => panic!("no coin but {other:?}"),
        }
    }

    /// All the way to the coin, honestly.
    pub async fn reach_coin(&mut self) -> (Answer, Coin) {
        self.greet(None).await;
        let answer = Answer::of(&self.challenge().await, None);
        self.send(answer.commitment_line()).await;
        (answer, self.coin().await)
    }

    /// Closes the direction to the validator.
    pub async fn close(&mut self) {
        self.writer.shutdown().await.expect("closed");
    }

    /// Keeps everything open until the validator has closed.
    pub async fn linger(&mut self) {
        while self.next().await.is_some() {}
    }
}

/// A small challenge that the reference answers quickly.
pub fn tiny() -> Request {
    Request {
        matrix_dim: Some(128),
        num_matrices: Some(1),
        num_iterations: Some(1),
        samples_per_iteration: Some(3),
        gpu_count: Some(1),
        ..Request::default()
    }
}

/// A validator that waits as long as a busy machine may need.
pub fn patient(ledger: &Arc<Recording>) -> Validator {
    let mut validator = Validator::new(ledger.clone(), tiny());
    validator.patience.pong = validator.patience.hello;
    validator.identity = Some(Arc::new(identity(1)));
    validator
}

/// The line of a miner without a key that answers every ping.
pub fn hello_line() -> Vec<u8> {
    let capabilities = vec![PINGS_CAPABILITY.to_owned()];
    line_of(&FromMiner::Hello(MinerHello { capabilities, ..hello(None) }))
}

/// A validator's two streams, and the miner's end of them.
pub fn pipe() -> (ReadHalf<DuplexStream>, WriteHalf<DuplexStream>, Peer) {
    let (ours, theirs) = duplex(16 * 1024);
    let (reader, writer) = split(ours);
    let (peer_reader, peer_writer) = split(theirs);
    (reader, writer, Peer { reader: BufReader::new(peer_reader), writer: peer_writer, round: None })
}

/// A session with the miner that `play` plays.
pub async fn session_with<F>(validator: Validator, play: impl FnOnce(Peer) -> F) -> Ended
where
    F: Future<Output = ()>,
{
    let (reader, writer, peer) = pipe();
    let validator = Arc::new(validator);
    let session = validator.session(reader, writer, None, &|_| ());
    let both = async { tokio::join!(session, play(peer)).0 };
    tokio::time::timeout(Duration::from_secs(60), both).await.expect("no session hangs")
}

/// `challenge` as the only round of a session.
pub fn issued(challenge: &Challenge) -> Issued {
    issued_as(challenge, 0, 1)
}

/// `challenge` as a round of a session with `planned` rounds of its work.
pub fn issued_as(challenge: &Challenge, round: usize, planned: usize) -> Issued {
    let plan = RoundPlan::alone(RoundKind::Fp64, tiny());
    Issued { round, challenge: Box::new(challenge.clone()), plan: vec![plan; planned].into() }
}
