//! Miners of all kinds, over a pipe within the process.

use crate::common::{cpu_evidence, cpu_miner};
use attest::protocol::challenge::Challenge;
use attest::protocol::digest::Uuid;
use attest::protocol::evidence::Evidence;
use attest::protocol::names::Coin;
use attest::reference::Run;
use attest::session::drive::Validator;
use attest::session::message::{
    FromMiner, FromValidator, MinerHello, commitment_line_of, line_of, openings_line,
};
use attest::session::respond::Miner;
use attest::session::validator::Ended;
use std::sync::{Arc, LazyLock};
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, ReadHalf, WriteHalf, duplex,
    split,
};

/// What a miner does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its part.
    Honest,
    /// Says nothing.
    Mute,
    /// A login banner.
    Garbage,
    /// Works, and is silent after the coin.
    Stalls,
    /// Sends a line without an end instead of a commitment.
    Floods,
    /// Goes away with the challenge.
    Leaves,
    /// Goes away with the coin.
    LeavesWithTheCoin,
    /// Two commitments.
    CommitsTwice,
    /// The openings twice.
    OpensTwice,
    /// Commits to products that it never computed.
    WrongBits,
    /// Opens what another coin asks for.
    OtherCoin,
}

impl Kind {
    /// All but the honest one.
    pub const HOSTILE: [Self; 10] = [
        Self::WrongBits,
        Self::CommitsTwice,
        Self::Floods,
        Self::Garbage,
        Self::Leaves,
        Self::LeavesWithTheCoin,
        Self::OpensTwice,
        Self::OtherCoin,
        Self::Mute,
        Self::Stalls,
    ];

    /// What its session is rejected for; `None`: it is verified.
    pub fn code(self) -> Option<&'static str> {
        Some(match self {
            Self::Honest => return None,
            Self::Mute | Self::Stalls => "stalled",
            Self::Garbage => "not-json",
            Self::Floods => "message-too-long",
            Self::Leaves | Self::LeavesWithTheCoin => "closed-early",
            Self::CommitsTwice | Self::OpensTwice => "answered-twice",
            Self::WrongBits => "leaf-mismatch",
            Self::OtherCoin => "coin-mismatch",
        })
    }

    /// Whether it comes so far that a challenge is issued.
    pub fn is_challenged(self) -> bool {
        !matches!(self, Self::Mute | Self::Garbage)
    }
}

/// One session with a miner of this kind.
pub async fn session(validator: &Arc<Validator>, kind: Kind) -> Ended {
    let (ours, theirs) = duplex(16 * 1024);
    let (reader, writer) = split(ours);
    let (miner_reader, miner_writer) = split(theirs);
    let session = validator.session(reader, writer, None, &|_| ());
    match kind {
        Kind::Honest => tokio::join!(session, HONEST.respond(miner_reader, miner_writer)).0,
        _ => {
            let peer = Peer { reader: BufReader::new(miner_reader), writer: miner_writer };
            tokio::join!(session, peer.play(kind)).0
        }
    }
}

static HONEST: LazyLock<Miner> = LazyLock::new(|| cpu_miner(None));

const UUIDS: [Uuid; 1] = [Uuid([7; 16])];

static EVIDENCE: LazyLock<Evidence> = LazyLock::new(|| cpu_evidence(&UUIDS));

/// A run whose every leaf is made up: it costs nothing and fits together.
fn made_up(challenge: &Challenge) -> Run {
    let leaves = challenge.work().leaves() as usize;
    Run::with(challenge, &UUIDS, |_, _, state| {
        vec![attest::protocol::digest::Digest(state.0); leaves]
    })
}

struct Peer {
    reader: BufReader<ReadHalf<DuplexStream>>,
    writer: WriteHalf<DuplexStream>,
}

impl Peer {
    async fn play(mut self, kind: Kind) {
        match kind {
            Kind::Mute => {}
            Kind::Garbage => self.send(b"Last login: Sun Nov 22\n").await,
            _ => self.answer(kind).await,
        }
        if !matches!(kind, Kind::Leaves | Kind::LeavesWithTheCoin) {
            // Keeps everything open until the validator has closed.
            while self.next().await.is_some() {}
        }
    }

    /// From hello on; returns where it has no more to say.
    async fn answer(&mut self, kind: Kind) {
        let hello = MinerHello { versions: vec![1], ..MinerHello::default() };
        self.send(&line_of(&FromMiner::Hello(hello))).await;
        let (_hello, _ping) = (self.next().await, self.next().await);
        self.send(&line_of(&FromMiner::Pong {})).await;
        let Some(FromValidator::Challenge { token }) = self.next().await else { return };
        let challenge = Challenge::from_token(&token).expect("a challenge");
        match kind {
            Kind::Leaves => return,
            Kind::Floods => {
                self.send(b"{\"message\":\"commitment\",").await;
                return self.send(&vec![b' '; 3 << 20]).await;
            }
            _ => {}
        }
        let run = made_up(&challenge);
        let commitment = run.commitment(&EVIDENCE);
        let mut line = commitment_line_of(commitment, &run.lanes(), &EVIDENCE, None);
        if kind == Kind::CommitsTwice {
            line.extend(line.clone());
        }
        self.send(&line).await;
        let Some(FromValidator::Coin { coin, .. }) = self.next().await else { return };
        let coin = if kind == Kind::OtherCoin { Coin::new([1; 32]).unwrap() } else { coin };
        let line = openings_line(&run.result(EVIDENCE.clone(), Some(coin), None));
        match kind {
            Kind::Stalls | Kind::LeavesWithTheCoin => {}
            Kind::OpensTwice => self.send(&[&line[..], &line].concat()).await,
            _ => self.send(&line).await,
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        // Whoever was rejected need not be read to the end.
        let _ = self.writer.write_all(bytes).await;
    }

    /// The validator's next message; `None` at the end of the stream.
    async fn next(&mut self) -> Option<FromValidator> {
        let mut line = Vec::new();
        let length = self.reader.read_until(b'\n', &mut line).await.expect("readable");
        (length > 0).then(|| FromValidator::read(&line).expect("a validator's message"))
    }
}
