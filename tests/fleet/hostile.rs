//! Agents that cheat in a session: an honest miner behind somebody who changes its lines.

use super::*;
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::executor::{
    Assignment, ExecError, Executor, IterationOutput, LaneFacts, Segment, Sink, SmTiles,
    TileRequest,
};
use attest::fleet::agent::Invitation;
use attest::fleet::presence::{AgentState, Announcement};
use attest::fleet::{frame, link, names};
use attest::protocol::challenge::Challenge;
use attest::protocol::digest::Digest;
use attest::protocol::names::Commitment;
use attest::protocol::signature::miner_message;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, duplex, split};

macro_rules! tricks {
    ($($(#[$doc:meta])* $name:ident => $code:literal,)*) => {
        /// What a hostile miner does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Trick {
            /// Nothing: it is honest.
            Nothing,
            $($(#[$doc])* $name,)*
        }

        impl Trick {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// What it ends with.
            pub fn code(self) -> &'static str {
                match self { Self::Nothing => "", $(Self::$name => $code,)* }
            }
        }
    };
}

tricks! {
    /// Rubbish instead of a hello.
    Rubbish => "not-json",
    /// The miner has another key than the one that it is known by.
    OtherKey => "wrong-peer",
    /// It answers a ping before it says hello.
    OutOfTurn => "unexpected-message",
    /// A hello of 70 KiB.
    LongLine => "message-too-long",
    /// It is busy every time.
    SaysBusy => "busy",
    /// It goes before every challenge.
    LeavesAtHello => "closed-early",
    /// The answer to a challenge that has not come.
    Floods => "flooded",
    /// It says that it failed.
    SaysFailed => "miner-failed",
    /// Frames of no kind instead of a commitment.
    BadFrames => "closed-early",
    /// A root of the commitment is changed.
    Root => "commitment-mismatch",
    /// The evidence is changed after the commitment to it.
    Evidence => "commitment-mismatch",
    /// A commitment of zeros.
    Zeros => "commitment-mismatch",
    /// A signature that is none.
    BadSignature => "signature-invalid",
    /// No signature.
    NoSignature => "signature-missing",
    /// A field twice.
    FieldTwice => "malformed",
    /// The commitment to an earlier challenge.
    OldWork => "signature-invalid",
    /// The commitment comes twice.
    Twice => "answered-twice",
    /// It sees the coin and leaves.
    LeavesAtCoin => "closed-early",
    /// It sees the coin and says nothing more.
    StallsAtCoin => "stalled",
    /// The commitment again, instead of openings.
    CommitsAgain => "answered-twice",
    /// Openings of another commitment.
    Swapped => "signature-invalid",
    /// Openings for another coin.
    OtherCoin => "coin-mismatch",
    /// No openings.
    NoOpenings => "openings-mismatch",
    /// Another leaf than the coin selects.
    OtherLeaf => "openings-mismatch",
    /// A path without its end.
    ShortPath => "path-length",
    /// A path with two siblings exchanged.
    Siblings => "leaf-mismatch",
    /// Openings nested without end.
    Nested => "malformed",
    /// All is consistent, and of work that was not asked for.
    OtherWork => "leaf-mismatch",
}

impl Trick {
    /// What it comes to: going away before a challenge gains nothing, and is tried again.
    pub fn outcome(self) -> &'static str {
        let is_away = matches!(self, Self::SaysBusy | Self::LeavesAtHello);
        if is_away { "could-not-run" } else { "rejected" }
    }
}

/// Computes from other states than it should.
struct Elsewhere(CpuExecutor);

fn other(state: attest::protocol::names::State) -> attest::protocol::names::State {
    let mut bytes = state.0;
    bytes[0] ^= 1;
    attest::protocol::names::State(bytes)
}

impl Executor for Elsewhere {
    fn facts(&self) -> &LaneFacts {
        self.0.facts()
    }

    fn begin(&mut self, assignment: &Assignment) -> Result<(), ExecError> {
        self.0.begin(assignment)
    }

    fn run(&mut self, segment: &Segment, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        // One iteration: the chain ends with it.
        let start = other(segment.start);
        self.0.run(&Segment { start, ..*segment }, &mut |output: IterationOutput<'_>| sink(output))
    }

    fn leaf_hashes(
        &mut self,
        assignment: &Assignment,
        tiles: &[TileRequest],
    ) -> Result<Vec<Vec<Digest>>, ExecError> {
        let mut tiles = tiles.to_vec();
        tiles.iter_mut().for_each(|tile| tile.at.state = other(tile.at.state));
        self.0.leaf_hashes(assignment, &tiles)
    }

    fn sm_tiles(&mut self) -> Result<SmTiles, ExecError> {
        self.0.sm_tiles()
    }
}

/// An agent of `number` that plays `trick` in every session, until its task is aborted.
pub async fn start(server: &Server, number: u16, trick: Trick) -> JoinHandle<()> {
    start_with(server, number, trick, BEAT).await
}

/// The same, announcing itself this often.
pub async fn start_with(
    server: &Server,
    number: u16,
    trick: Trick,
    beat: Duration,
) -> JoinHandle<()> {
    start_held(server, number, trick, beat, watch::Sender::new(true).subscribe()).await
}

/// The same, and it says hello only once `released` is true.
pub async fn start_held(
    server: &Server,
    number: u16,
    trick: Trick,
    beat: Duration,
    released: watch::Receiver<bool>,
) -> JoinHandle<()> {
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
    let old = if trick == Trick::OldWork { old_work(number).await } else { String::new() };
    tokio::spawn(async move {
        let mut held: Option<String> = None;
        let mut beat = tokio::time::interval(beat);
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
                        let (bad, to, old) = (client.clone(), to.clone(), old.clone());
                        let mut released = released.clone();
                        tokio::spawn(async move {
                            drop(released.wait_for(|released| *released).await);
                            if play(streams, number, trick, &old).await == Next::BadFrames {
                                let _ = bad.publish(to, vec![99; 9].into()).await;
                            }
                        });
                        held = Some(asked.session);
                    }
                    let _ = client.publish(to, frame::accept().into()).await;
                }
            }
        }
    })
}

/// The commitment of this miner to a challenge that is over.
async fn old_work(number: u16) -> String {
    let (folder, ledger) = ledger();
    let (theirs, ours) = duplex(64 * 1024);
    let (reader, writer) = split(ours);
    let validator = Arc::new(Validator::new(ledger, tiny()));
    let holding =
        tokio::spawn(
            async move { validator.session(reader, writer, Some(key(number)), &|_| ()).await },
        );
    let (miner_side, between) = duplex(64 * 1024);
    let (miner_reader, miner_writer) = split(miner_side);
    let miner = common::cpu_miner(Some(identity(number)));
    let mining = tokio::spawn(async move { miner.respond(miner_reader, miner_writer).await });
    let (from_miner, mut to_miner) = split(between);
    let (mut from_validator, mut to_validator) = split(theirs);
    let down = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_validator, &mut to_miner).await;
    });
    let mut lines = BufReader::new(from_miner).lines();
    let mut commitment = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if is(&line, "commitment") {
            commitment = line;
            break;
        }
        let _ = to_validator.write_all(format!("{line}\n").as_bytes()).await;
    }
    down.abort();
    holding.abort();
    mining.abort();
    drop(folder);
    commitment
}

/// How a session ends.
#[derive(PartialEq, Eq)]
enum Next {
    Over,
    BadFrames,
}

fn is(line: &str, kind: &str) -> bool {
    line.starts_with(&format!("{{\"message\":\"{kind}\""))
}

async fn play(streams: link::Streams, number: u16, trick: Trick, old: &str) -> Next {
    let link::Streams { reader, mut writer, .. } = streams;
    let signs_as = Some(identity(if trick == Trick::OtherKey { number + 10_000 } else { number }));
    let miner = match trick {
        Trick::OtherWork => common::cpu_miner_with(signs_as, |_| {
            let cheat: Box<dyn Executor> =
                Box::new(Elsewhere(CpuExecutor::new(CpuOptions::default())));
            vec![cheat]
        }),
        _ => common::cpu_miner(signs_as),
    };
    let (ours, theirs) = duplex(64 * 1024);
    let (miner_reader, miner_writer) = split(theirs);
    let mining = tokio::spawn(async move { miner.respond(miner_reader, miner_writer).await });
    let mining = Ending(mining);
    let (from_miner, mut to_miner) = split(ours);
    let mut from_miner = BufReader::new(from_miner).lines();
    let mut from_validator = BufReader::new(reader).lines();
    let (mut pongs, mut committed, mut token) = (0, String::new(), String::new());
    loop {
        tokio::select! {
            line = from_validator.next_line() => {
                let Ok(Some(line)) = line else { break };
                match trick {
                    Trick::LeavesAtCoin if is(&line, "coin") => break,
                    Trick::LeavesAtHello if is(&line, "ping") => break,
                    Trick::BadFrames if is(&line, "challenge") => {
                        // What it sends stays open, so that the frames are what ends it.
                        std::mem::forget(writer);
                        return Next::BadFrames;
                    }
                    Trick::StallsAtCoin if is(&line, "coin") => continue,
                    Trick::CommitsAgain if is(&line, "coin") => {
                        let _ = writer.write_all(format!("{committed}\n").as_bytes()).await;
                        continue;
                    }
                    _ => {}
                }
                if is(&line, "challenge") {
                    let line: Value = serde_json::from_str(&line).expect("JSON");
                    line["token"].as_str().expect("a token").clone_into(&mut token);
                }
                let _ = to_miner.write_all(format!("{line}\n").as_bytes()).await;
            }
            line = from_miner.next_line() => {
                let Ok(Some(line)) = line else { break };
                pongs += usize::from(is(&line, "pong"));
                let line = match trick {
                    Trick::Floods if is(&line, "pong") && pongs == 5 => {
                        format!("{line}\n{{\"message\":\"commitment\"}}")
                    }
                    Trick::Zeros if is(&line, "commitment") => zeros(&line, number, &token),
                    _ => changed(line, trick, old),
                };
                if is(&line, "commitment") {
                    committed.clone_from(&line);
                }
                let _ = writer.write_all(format!("{line}\n").as_bytes()).await;
            }
        }
    }
    drop((writer, mining));
    Next::Over
}

/// A task that ends with this.
struct Ending<T>(JoinHandle<T>);

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the validator gets for a line of the miner.
fn changed(line: String, trick: Trick, old: &str) -> String {
    match trick {
        Trick::Rubbish => "Last login: Thu".to_owned(),
        Trick::OutOfTurn if is(&line, "hello") => "{\"message\":\"pong\"}".to_owned(),
        Trick::LongLine if is(&line, "hello") => {
            format!("{{\"message\":\"hello\",\"software\":\"{}\"}}", "x".repeat(70 * 1024))
        }
        Trick::SaysBusy if is(&line, "hello") => said("busy"),
        _ if is(&line, "commitment") => changed_commitment(line, trick, old),
        _ if is(&line, "openings") => changed_openings(line, trick),
        _ => line,
    }
}

fn said(kind: &str) -> String {
    format!("{{\"message\":\"{kind}\",\"text\":\"later\"}}")
}

fn changed_commitment(line: String, trick: Trick, old: &str) -> String {
    match trick {
        Trick::SaysFailed => said("failed"),
        Trick::Twice => format!("{line}\n{line}"),
        Trick::OldWork => old.to_owned(),
        Trick::Root => flipped(&line, "\"iteration_roots\":[\""),
        Trick::BadSignature => flipped(&line, "\"miner_signature\":\""),
        Trick::FieldTwice => {
            let at = line.find(",\"commitment\":").expect("a commitment");
            let field = &line[at..at + 80];
            line.replace(field, &format!("{field}{field}"))
        }
        Trick::NoSignature => edited(&line, |line| {
            line.as_object_mut().expect("an object").remove("miner_signature");
        }),
        Trick::Evidence => edited(&line, |line| {
            let bytes = &mut line["evidence"]["lanes"][0]["memory_bytes"];
            *bytes = json!(bytes.as_u64().expect("a number") + 1);
        }),
        _ => line,
    }
}

/// A commitment of zeros, signed.
fn zeros(line: &str, number: u16, token: &str) -> String {
    let challenge = Challenge::from_token(token).expect("the validator's");
    let message = miner_message(&challenge.digest(), &Commitment([0; 32]));
    edited(line, |line| {
        line["commitment"] = json!("0".repeat(64));
        line["miner_signature"] = json!(hex::encode(identity(number).sign(&message)));
    })
}

fn changed_openings(line: String, trick: Trick) -> String {
    let first =
        |change: &dyn Fn(&mut Value)| edited(&line, |line| change(&mut line["openings"][0]));
    match trick {
        Trick::Swapped => flipped(&line, "\"commitment\":\""),
        Trick::OtherCoin => flipped(&line, "\"coin\":\""),
        Trick::NoOpenings => edited(&line, |line| line["openings"] = json!([])),
        Trick::Nested => {
            let at = line.find(",\"openings\":").expect("openings");
            format!("{},\"openings\":{}{}}}", &line[..at], "[".repeat(1000), "]".repeat(1000))
        }
        Trick::OtherLeaf => first(&|opening| {
            let leaf = opening["leaf"].as_u64().expect("a number");
            opening["leaf"] = json!(leaf ^ 1);
        }),
        Trick::ShortPath => first(&|opening| {
            opening["path"].as_array_mut().expect("a path").pop();
        }),
        Trick::Siblings => first(&|opening| {
            opening["path"].as_array_mut().expect("a path").swap(0, 1);
        }),
        _ => line,
    }
}

/// With another hex digit right after `mark`.
fn flipped(line: &str, mark: &str) -> String {
    let at = line.find(mark).unwrap_or_else(|| panic!("no {mark} in {line}")) + mark.len();
    let other = if line.as_bytes()[at] == b'0' { "1" } else { "0" };
    format!("{}{other}{}", &line[..at], &line[at + 1..])
}

/// With other fields; kind and round stay in front.
fn edited(line: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(line).expect("the miner writes JSON");
    change(&mut value);
    let fields = value.as_object_mut().expect("an object");
    let mut head = String::from("{");
    for name in ["message", "round"] {
        if let Some(value) = fields.remove(name) {
            head += &format!("\"{name}\":{value},");
        }
    }
    head + &value.to_string()[1..]
}
