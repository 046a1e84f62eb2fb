//! What hostile sessions do to an honest miner's measured time, and to the validator's
//! memory.
//!
//! ```console
//! $ cargo run --release --example sessions_under_attack
//! ```
//!
//! A validator with two worker threads holds a session with an honest miner, whose work
//! takes 3 s by script, beside 0, 8, 32 and 63 connections on each of which one hostile
//! session follows the other: a mebibyte of small objects, nested arrays, empty strings
//! or roots in the place of evidence, or evidence that is just within its bounds and then
//! a flood of openings. Each row is a process of its own. It fails if the honest time
//! moves by 0.1 s, or 600 MB are resident.

use attest::ledger::{self, Location};
use attest::mining::issue::Request;
use attest::protocol::challenge::Challenge;
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::evidence::Evidence;
use attest::protocol::verdict::Outcome;
use attest::reference::Run;
use attest::session::drive::Validator;
use attest::session::message::{
    FromMiner, FromValidator, MinerHello, PINGS_CAPABILITY, commitment_line_of, line_of,
    openings_line,
};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The honest miner's work.
const WORK: Duration = Duration::from_secs(3);
/// By how much its measured time may move, s.
const MOVES_MAX_S: f64 = 0.1;
/// Most resident memory, miners included, MB.
const PEAK_MB_MAX: u64 = 600;
const ITERATIONS: u64 = 16;
const UUIDS: [Uuid; 1] = [Uuid([7; 16])];

fn main() -> ExitCode {
    match std::env::args().nth(1) {
        Some(hostile) => {
            let (took_s, ended) = round(hostile.parse().expect("a number of hostile miners"));
            println!("{took_s} {} {}", peak_mb(), ended);
            ExitCode::SUCCESS
        }
        None => table(),
    }
}

fn table() -> ExitCode {
    let own = std::env::current_exe().expect("this program");
    let mut alone_s = None;
    let mut is_right = true;
    println!("hostile   honest, s   moved by, s   peak, MB   hostile sessions ended");
    for hostile in ["0", "8", "32", "63"] {
        let out = std::process::Command::new(&own).arg(hostile).output().expect("it runs");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let (said, ended) = match text.trim().splitn(3, ' ').collect::<Vec<_>>()[..] {
            [took, peak, ended] => ((took.parse::<f64>(), peak.parse::<u64>()), ended.to_owned()),
            _ => panic!("{hostile}: {}", String::from_utf8_lossy(&out.stderr)),
        };
        let (Ok(took_s), Ok(peak_mb)) = said else { panic!("{hostile}: {text}") };
        let moved_s = took_s - *alone_s.get_or_insert(took_s);
        println!("{hostile:>7}   {took_s:>9.3}   {moved_s:>11.3}   {peak_mb:>8}   {ended}");
        is_right &= moved_s.abs() < MOVES_MAX_S && peak_mb < PEAK_MB_MAX;
    }
    if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The honest session's measured time, s, and what the hostile ones ended with.
fn round(hostile: usize) -> (f64, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let location = Location::File(folder.path().join("ledger.sqlite"));
    let request = Request {
        matrix_dim: Some(128),
        num_matrices: Some(1),
        num_iterations: Some(ITERATIONS),
        samples_per_iteration: Some(8),
        gpu_count: Some(1),
        max_duration_ms: Some(60_000),
        ..Request::default()
    };
    let validator = Arc::new(Validator::new(ledger::open(&location).expect("a ledger"), request));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let (address, codes) = (listen(&runtime, &validator), Arc::new(Mutex::new(BTreeMap::new())));
    let honest = listen_once(&runtime, &validator);

    let is_over = Arc::new(AtomicBool::new(false));
    let lines: Arc<Vec<Hostile>> = Arc::new(Hostile::all());
    let miners: Vec<_> = (0..hostile)
        .map(|index| {
            let (is_over, lines, codes) = (is_over.clone(), lines.clone(), codes.clone());
            let address = address.0;
            thread::spawn(move || {
                let kind = &lines[index % lines.len()];
                while !is_over.load(Ordering::Relaxed) {
                    // A session that fails is begun again, whatever it failed with.
                    let code = kind.play(address).unwrap_or_else(|error| error.to_string());
                    *codes.lock().expect("no panic").entry(code).or_insert(0_u64) += 1;
                }
            })
        })
        .collect();
    be_honest(honest.0).expect("an honest session");
    let ended = runtime.block_on(honest.1).expect("no panic");
    assert_eq!(ended.verdict.outcome, Outcome::Verified, "{:?}", ended.verdict);
    is_over.store(true, Ordering::Relaxed);
    validator.interrupt("the measurement is over");
    for miner in miners {
        miner.join().expect("no panic");
    }
    address.1.abort();
    let codes = codes.lock().expect("no panic");
    let counts: Vec<String> = codes.iter().map(|(code, count)| format!("{count} {code}")).collect();
    let counts = if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
    (ended.legs.commitment.expect("a commitment").as_secs_f64(), counts)
}

type Session = tokio::task::JoinHandle<attest::session::validator::Ended>;

/// Holds a session with whoever connects.
fn listen(
    runtime: &tokio::runtime::Runtime,
    validator: &Arc<Validator>,
) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let (listener, validator) = (bound(runtime), Arc::clone(validator));
    let address = listener.local_addr().expect("bound");
    let serving = runtime.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let validator = Arc::clone(&validator);
            tokio::spawn(async move {
                let (reader, writer) = stream.into_split();
                validator.session(reader, writer, None, &|_| ()).await
            });
        }
    });
    (address, serving)
}

/// Holds one session.
fn listen_once(
    runtime: &tokio::runtime::Runtime,
    validator: &Arc<Validator>,
) -> (SocketAddr, Session) {
    let (listener, validator) = (bound(runtime), Arc::clone(validator));
    let address = listener.local_addr().expect("bound");
    let session = runtime.spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let (reader, writer) = stream.into_split();
        validator.session(reader, writer, None, &|_| ()).await
    });
    (address, session)
}

fn bound(runtime: &tokio::runtime::Runtime) -> tokio::net::TcpListener {
    runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port")
}

/// A miner's end.
struct Peer {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Peer {
    fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let writer = TcpStream::connect(address)?;
        writer.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(writer.try_clone()?), writer })
    }

    fn next(&mut self) -> std::io::Result<FromValidator> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        FromValidator::read(&line).map_err(std::io::Error::other)
    }

    /// To the challenge; the verdict's code if there is none.
    fn greet(&mut self) -> std::io::Result<Result<Challenge, String>> {
        let capabilities = vec![PINGS_CAPABILITY.to_owned()];
        let hello = MinerHello { versions: vec![1], capabilities, ..MinerHello::default() };
        self.writer.write_all(&line_of(&FromMiner::Hello(hello)))?;
        loop {
            match self.next()? {
                FromValidator::Hello { .. } => {}
                FromValidator::Ping { .. } => {
                    self.writer.write_all(&line_of(&FromMiner::Pong {}))?;
                }
                FromValidator::Challenge { token } => {
                    return Ok(Ok(Challenge::from_token(&token).expect("a challenge")));
                }
                other => return Ok(Err(code_of(&other))),
            }
        }
    }
}

fn code_of(message: &FromValidator) -> String {
    match message {
        FromValidator::Verdict(verdict) => {
            verdict.code.clone().unwrap_or_else(|| "without a code".to_owned())
        }
        _ => "out of turn".to_owned(),
    }
}

fn evidence() -> Evidence {
    let lane = serde_json::json!({
        "uuid": UUIDS[0].to_string(), "model": "a CPU", "memory_bytes": 0, "sm_count": 0,
        "sm_tiles": [],
    });
    let document = serde_json::json!({"schema": 1, "executor": "cpu", "lanes": [lane]});
    Evidence::from_value(document).expect("evidence")
}

/// Its work is done before it is asked for: it takes what the script says.
fn be_honest(address: SocketAddr) -> std::io::Result<()> {
    let mut peer = Peer::connect(address)?;
    let challenge = peer.greet()?.map_err(std::io::Error::other)?;
    let asked = std::time::Instant::now();
    let run = Run::of(&challenge, &UUIDS);
    let commitment = run.commitment(&evidence());
    let line = commitment_line_of(commitment, &run.lanes(), &evidence(), None);
    thread::sleep(WORK.saturating_sub(asked.elapsed()));
    peer.writer.write_all(&line)?;
    let FromValidator::Coin { coin, .. } = peer.next()? else {
        return Err(std::io::Error::other("no coin"));
    };
    peer.writer.write_all(&openings_line(&run.result(evidence(), Some(coin), None)))?;
    peer.next().map(|_| ())
}

/// What a hostile miner says to a challenge, and to a coin.
struct Hostile {
    commitment: Vec<u8>,
    openings: Vec<u8>,
}

impl Hostile {
    fn all() -> Vec<Self> {
        let mebibyte = |piece: &str| piece.repeat((1 << 20) / piece.len());
        let evidence = |text: &str| Self {
            commitment: format!(
                "{{\"message\":\"commitment\",\"evidence\":[{}]}}\n",
                text.trim_end_matches(',')
            )
            .into_bytes(),
            openings: Vec::new(),
        };
        let deep = format!("{}{},", "[".repeat(13), "]".repeat(13));
        let root = format!("\"{}\",", "ab".repeat(32));
        let lanes = |roots: &str| {
            format!(
                "[{{\"uuid\":\"{}\",\"iteration_roots\":[{}]}}]",
                UUIDS[0],
                roots.trim_end_matches(',')
            )
        };
        let many_roots =
            format!("{{\"message\":\"commitment\",\"lanes\":{}}}\n", lanes(&mebibyte(&root)));
        // 32,020 values.
        let most = format!(
            "{{\"schema\":1,\"executor\":\"cpu\",\"lanes\":[{{\"uuid\":\"{}\",\"model\":\"x\",\
             \"memory_bytes\":0,\"sm_count\":0,\"sm_tiles\":[]}}],\"x\":[{}]}}",
            UUIDS[0],
            "{\"\":0},".repeat(16_000).trim_end_matches(',')
        );
        let commitment = format!(
            "{{\"message\":\"commitment\",\"commitment\":\"{}\",\"lanes\":{},\"evidence\":{most}}}\n",
            "cd".repeat(32),
            lanes(&root.repeat(ITERATIONS as usize))
        );
        let openings = format!(
            "{{\"message\":\"openings\",\"commitment\":\"{}\",\"coin\":\"{}\",\"openings\":[{}]}}\n",
            "cd".repeat(32),
            Digest([1; 32]),
            "{\"lane\":0,\"iteration\":1,\"leaf\":0,\"path\":[]},"
                .repeat(8 * ITERATIONS as usize)
                .trim_end_matches(',')
        );
        let (many_roots, commitment) = (many_roots.into_bytes(), commitment.into_bytes());
        vec![
            evidence(&mebibyte("{\"\":0},")),
            Self { commitment, openings: openings.into_bytes() },
            evidence(&mebibyte(&deep)),
            evidence(&mebibyte("\"\",")),
            Self { commitment: many_roots, openings: Vec::new() },
        ]
    }

    /// One session; the code that it ends with.
    fn play(&self, address: SocketAddr) -> std::io::Result<String> {
        let mut peer = Peer::connect(address)?;
        if let Err(code) = peer.greet()? {
            return Ok(code);
        }
        peer.writer.write_all(&self.commitment)?;
        match peer.next()? {
            FromValidator::Coin { .. } => peer.writer.write_all(&self.openings)?,
            other => return Ok(code_of(&other)),
        }
        Ok(code_of(&peer.next()?))
    }
}

/// The most memory that was ever resident, MB.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a line of it");
    let kib: u64 = line.split_whitespace().nth(1).expect("a figure").parse().expect("a number");
    kib * 1024 / 1_000_000
}
