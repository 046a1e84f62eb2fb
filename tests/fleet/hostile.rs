//! Agents that cheat in a session: an honest miner behind somebody who changes its lines.

use super::*;
use attest::fleet::agent::Invitation;
use attest::fleet::presence::{AgentState, Announcement};
use attest::fleet::{frame, link, names};
use futures_util::StreamExt as _;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, duplex, split};

/// What becomes of the miner's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trick {
    /// Rubbish instead of a hello.
    Rubbish,
    /// The miner has another key than the one that it is known by.
    OtherKey,
    /// A root of the commitment is changed.
    Root,
    /// The commitment comes twice.
    Twice,
    /// It sees the coin and leaves.
    LeavesAtCoin,
}

impl Trick {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Rubbish, Self::OtherKey, Self::Root, Self::Twice, Self::LeavesAtCoin];

    /// What it is rejected for.
    pub fn code(self) -> &'static str {
        match self {
            Self::Rubbish => "not-json",
            Self::OtherKey => "wrong-peer",
            Self::Root => "commitment-mismatch",
            Self::Twice => "answered-twice",
            Self::LeavesAtCoin => "closed-early",
        }
    }
}

/// An agent of `number` that plays `trick` in every session, until its task is aborted.
pub async fn start(server: &Server, number: u16, trick: Trick) -> JoinHandle<()> {
    let connection = reach(server, Some(identity(number))).await;
    let client = connection.client;
    let key = key(number).encoded();
    let mut asked = client.subscribe(names::ask(key)).await.expect("subscribed");
    let announcement = Announcement {
        version: 1,
        instance: format!("hostile{number}"),
        state: AgentState::Online,
        session: None,
        software: "hostile".to_owned(),
        host: None,
        address: None,
        devices: Vec::new(),
    };
    tokio::spawn(async move {
        let mut held: Option<String> = None;
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    let said = Announcement { session: held.clone(), ..announcement.clone() };
                    let bytes = serde_json::to_vec(&said).unwrap();
                    let _ = client.publish(names::announcement(key), bytes.into()).await;
                }
                message = asked.next() => {
                    let Some(message) = message else { return };
                    let Ok(asked) = serde_json::from_slice::<Invitation>(&message.payload) else {
                        continue;
                    };
                    let to = names::from(key, &asked.session);
                    if held.as_ref() != Some(&asked.session) {
                        let frames = client.subscribe(names::to(key, &asked.session)).await.unwrap();
                        let streams = link::open(client.clone(), to.clone(), frames, PATIENCE);
                        tokio::spawn(play(streams, number, trick));
                        held = Some(asked.session);
                    }
                    let _ = client.publish(to, frame::accept().into()).await;
                }
            }
        }
    })
}

async fn play(streams: link::Streams, number: u16, trick: Trick) {
    let link::Streams { reader, mut writer, .. } = streams;
    let signs_as = if trick == Trick::OtherKey { number + 10_000 } else { number };
    let miner = common::cpu_miner(Some(identity(signs_as)));
    let (ours, theirs) = duplex(64 * 1024);
    let (miner_reader, miner_writer) = split(theirs);
    let mining = tokio::spawn(async move { miner.respond(miner_reader, miner_writer).await });
    let (from_miner, mut to_miner) = split(ours);
    let mut from_miner = BufReader::new(from_miner).lines();
    let mut from_validator = BufReader::new(reader).lines();
    loop {
        tokio::select! {
            line = from_validator.next_line() => {
                let Ok(Some(line)) = line else { break };
                if trick == Trick::LeavesAtCoin && line.starts_with("{\"message\":\"coin\"") {
                    break;
                }
                let _ = to_miner.write_all(format!("{line}\n").as_bytes()).await;
            }
            line = from_miner.next_line() => {
                let Ok(Some(line)) = line else { break };
                let is_commitment = line.starts_with("{\"message\":\"commitment\"");
                let line = match trick {
                    Trick::Rubbish => "Last login: Thu".to_owned(),
                    Trick::Twice if is_commitment => format!("{line}\n{line}"),
                    Trick::Root if is_commitment => changed(&line),
                    _ => line,
                };
                let _ = writer.write_all(format!("{line}\n").as_bytes()).await;
            }
        }
    }
    drop(writer);
    mining.abort();
}

/// With another first root.
fn changed(line: &str) -> String {
    let at = line.find("\"iteration_roots\":[\"").expect("roots") + 20;
    let other = if line.as_bytes()[at] == b'0' { "1" } else { "0" };
    format!("{}{other}{}", &line[..at], &line[at + 1..])
}
