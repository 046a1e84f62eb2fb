//! `attest validate`: holds a live session with a miner. Progress goes to standard
//! error, the verdict to standard output.

use super::verify::painted;
use crate::args::{self, Color, LedgerPlace};
use crate::input::Inputs;
use crate::outcome::{Done, Result, note, print, print_json};
use crate::paint::{Paint, duration, grouped};
use crate::signals::Stop;
use anyhow::{Context as _, bail, ensure};
use attest::files::{self, Source};
use attest::identity::SigningIdentity;
use attest::live::command::Reached;
use attest::live::drive::{Stage, Validator};
use attest::live::message::{Device, MinerHello};
use attest::live::validator::{Ended, Legs};
use attest::live::{tcp, tls, words};
use attest::policy::POLICY_BYTES_MAX;
use attest::policy::Policy;
use attest::protocol::receipt::Receipt;
use attest::protocol::verdict::Outcome;
use attest::session::issue::{Request, issue};
use serde_json::json;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long the last of a command's standard error may take, once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Holds the sessions; the exit code is the verdict, of several the worst.
///
/// # Errors
/// No ledger, no key, a command that does not start.
pub fn run(args: &args::Validate, ledger: Option<&LedgerPlace>, color: Color) -> Result {
    let stop = Stop::listen()?;
    let file = crate::ledger::file(Some(or_default(ledger)));
    Inputs::default()
        .and_file("--key", args.key.as_deref())
        .and_file("--policy", args.policy.as_deref())
        .and_file("--ledger", file.as_deref())
        .check(&[
            ("--result-out", args.result_out.as_ref()),
            ("--receipt-out", args.receipt_out.as_ref()),
        ])?;
    let outs = [&args.result_out, &args.receipt_out].into_iter().flatten();
    for path in outs {
        ensure!(
            args.tcp.len() < 2,
            "--result-out and --receipt-out are for one session\nDial one miner at a time."
        );
        files::check_writable(path)?;
    }
    let validator = Arc::new(validator(args, ledger)?);
    let runtime = super::runtime()?;
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = sessions(&validator, args) => Some(ended),
            () = super::stopped(&stop) => None,
        }
    });
    runtime.shutdown_background();
    match (ended, stop.exit_code()) {
        (_, Some(code)) => Ok(Done::Stopped(code)),
        (Some(ended), None) => report(args, &ended?, color),
        (None, None) => Ok(Done::CouldNotRun),
    }
}

/// The session over a command, or those with all miners that were named.
async fn sessions(validator: &Arc<Validator>, args: &args::Validate) -> Result<Vec<Ended>> {
    if args.tcp.is_empty() {
        return Ok(vec![over_command(validator, args).await?]);
    }
    let identity = validator.identity.as_ref().context("--tcp needs a key\nGive --key.")?;
    let config = tls::client(identity, &args.peers)?;
    let mut tasks = JoinSet::new();
    for (index, address) in args.tcp.iter().cloned().enumerate() {
        let (validator, config) = (Arc::clone(validator), Arc::clone(&config));
        let several = args.tcp.len() > 1;
        tasks.spawn(async move {
            let name = if several { format!("{address}  ") } else { String::new() };
            let watch = |stage: Stage<'_>| note(&format!("{name}{}", line(&stage)));
            (index, tcp::validate(&validator, &address, &config, &watch).await)
        });
    }
    let mut ended = tasks.join_all().await;
    ended.sort_by_key(|(index, _)| *index);
    Ok(ended.into_iter().map(|(_, ended)| ended).collect())
}

/// A session is never without a ledger: that of the user, where none is named.
fn or_default(ledger: Option<&LedgerPlace>) -> &LedgerPlace {
    ledger.unwrap_or(&LedgerPlace::Default)
}

fn validator(args: &args::Validate, ledger: Option<&LedgerPlace>) -> Result<Validator> {
    let identity = args.key.as_deref().map(SigningIdentity::read).transpose()?;
    let mut request = args.ask.request();
    match args.peers[..] {
        [] => {}
        [peer] => request.miner_id = Some(peer),
        // Which of them it is, the handshake says.
        _ => ensure!(!args.tcp.is_empty(), "a command reaches one miner\nName one --peer."),
    }
    if request.validator_id.is_some() {
        bail!("--validator-id comes with the key of this validator\nGive the key file: --key.");
    }
    if args.receipt_out.is_some() && identity.is_none() {
        bail!("--receipt-out needs a key to sign with\nGive the key file: --key.");
    }
    let ledger = crate::ledger::chosen(Some(or_default(ledger)))?
        .context("a live session needs a ledger: the coin comes after the nonce is spent\nLeave --ledger none out.")?;
    let policy = args.policy.as_deref().map(read_policy).transpose()?;
    // No miner is to be reached for a challenge that cannot be issued.
    issue(&least(&request, policy.is_some()))?;
    let mut validator = Validator::new(ledger, request);
    validator.policy = policy;
    validator.identity = identity.map(Arc::new);
    validator.patience.hello = args.hello_within;
    validator.omitted_share = args.omitted_share;
    Ok(validator)
}

/// The least challenge that can come of `typed`: with one lane, and with no more work
/// than was typed where a policy sizes the rest.
fn least(typed: &Request, is_sized: bool) -> Request {
    let one_lane = Request { gpu_count: Some(1), ..Request::default() };
    let little = Request {
        matrix_dim: Some(128),
        num_matrices: Some(1),
        num_iterations: Some(typed.sync_interval.unwrap_or(1)),
        samples_per_iteration: Some(1),
        ..Request::default()
    };
    let least = typed.clone().or(one_lane);
    if is_sized { least.or(little) } else { least }
}

fn read_policy(path: &Path) -> Result<Policy> {
    let source = Source::File(path.to_owned());
    let text = source.read_text(POLICY_BYTES_MAX as u64)?;
    Ok(Policy::from_toml(&text, &source.name())?)
}

/// A session with the miner that the command reaches.
async fn over_command(validator: &Arc<Validator>, args: &args::Validate) -> Result<Ended> {
    let (program, arguments) = match args.command.split_first() {
        Some((program, arguments)) => (program.clone(), arguments.to_vec()),
        None => (local_program()?, vec!["respond".into()]),
    };
    let mut reached = Reached::start(&program, &arguments)?;
    let (stdout, stdin) = reached.streams();
    let say = |line: &str| note(&format!("stderr      {line}"));
    let words = tokio::spawn(words::pass_on(reached.stderr(), say));
    let ended = validator.session(stdout, stdin, None, &|stage| note(&line(&stage))).await;
    reached.finish().await;
    // The last of it is often what explains the end. Who has left the group and
    // holds on to the stream is not waited for.
    let _ = tokio::time::timeout(LAST_WORDS, words).await;
    Ok(ended)
}

/// The program of a local session.
fn local_program() -> Result<OsString> {
    match std::env::var_os("GPU_ATTESTOR_PATH") {
        Some(path) => match args::check_place(&path) {
            Ok(()) => Ok(path),
            Err(why) => {
                bail!("GPU_ATTESTOR_PATH names no program: {why}\nUnset it, or set it to one.")
            }
        },
        None => {
            let own = std::env::current_exe();
            let own =
                own.context("this program cannot find itself\nName it: GPU_ATTESTOR_PATH.")?;
            Ok(own.into_os_string())
        }
    }
}

/// What happens, in a line.
fn line(stage: &Stage<'_>) -> String {
    match stage {
        Stage::Met(hello, round_trip) => format!(
            "miner       {}, {}, round trip {}",
            hello.software.escape_debug(),
            devices(hello),
            duration(*round_trip)
        ),
        Stage::Challenged(challenge) => {
            let shape = challenge.shape();
            format!(
                "challenge   {} iterations of {} products of {n} x {n}, limit {}",
                grouped(u64::from(challenge.iterations())),
                shape.products,
                duration(Duration::from_millis(challenge.limit_ms())),
                n = shape.dim,
            )
        }
        Stage::Committed(commitment) => format!("commitment  {commitment}"),
        Stage::CoinSent => "coin        drawn after the nonce was spent".to_owned(),
        Stage::Complete(openings) => format!("result      {} openings", grouped(*openings as u64)),
    }
}

/// "2 x NVIDIA H200", as the miner says.
fn devices(hello: &MinerHello) -> String {
    let mut groups: Vec<(&Device, usize)> = Vec::new();
    for device in &hello.devices {
        match groups.iter_mut().find(|(first, _)| first.model == device.model) {
            Some((_, count)) => *count += 1,
            None => groups.push((device, 1)),
        }
    }
    let group =
        |(device, count): &(&Device, usize)| format!("{count} x {}", device.model.escape_debug());
    match groups.len() {
        0 => "no devices named".to_owned(),
        _ => groups.iter().map(group).collect::<Vec<String>>().join(", "),
    }
}

/// What fails here takes nothing else along: the nonce is spent, and no session can be
/// held for its result again. The receipt goes first: it is short, and cannot be had
/// from the ledger.
fn report(args: &args::Validate, all: &[Ended], color: Color) -> Result {
    let mut failure = show(args, all, color).err();
    let mut write = |path: &Option<PathBuf>, text: Option<String>| {
        if let (Some(path), Some(text)) = (path, text)
            && let Err(error) = files::write_atomically(path, &text)
        {
            failure.get_or_insert(error.into());
        }
    };
    for ended in all {
        write(&args.receipt_out, ended.receipt.as_ref().map(Receipt::to_json));
        write(&args.result_out, ended.result.as_ref().map(|result| result.to_json()));
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    let is = |outcome| all.iter().any(|ended| ended.verdict.outcome == outcome);
    Ok(match () {
        () if is(Outcome::CouldNotRun) => Done::CouldNotRun,
        () if is(Outcome::Rejected) => Done::Rejected,
        () => Done::Ok,
    })
}

fn show(args: &args::Validate, all: &[Ended], color: Color) -> Result<()> {
    match (args.json, all) {
        (true, [only]) => print_json(&as_json(only))?,
        (true, all) => print_json(&all.iter().map(as_json).collect::<Vec<_>>())?,
        (false, all) => {
            let paint = Paint::of(color, &std::io::stdout());
            for (index, ended) in all.iter().enumerate() {
                let name = args.tcp.get(index).filter(|_| all.len() > 1);
                let name = name.map(|name| format!("{}  ", paint.strong(name))).unwrap_or_default();
                if ended.legs != Legs::default() {
                    note(&format!("times       {}", legs_text(&ended.legs)));
                }
                print(&format!("{name}{}", painted(&ended.verdict, paint)))?;
            }
        }
    }
    Ok(())
}

fn legs_of(legs: &Legs) -> [(&'static str, Option<Duration>); 6] {
    [
        ("hello", legs.hello),
        ("round_trip", legs.round_trip),
        ("commitment", legs.commitment),
        ("coin", legs.coin),
        ("openings", legs.openings),
        ("judging", legs.judging),
    ]
}

fn legs_text(legs: &Legs) -> String {
    let known = legs_of(legs).into_iter().filter_map(|(name, took)| Some((name, took?)));
    let texts: Vec<String> = known
        .map(|(name, took)| format!("{} {}", name.replace('_', " "), duration(took)))
        .collect();
    texts.join(", ")
}

/// One session for machines.
fn as_json(ended: &Ended) -> serde_json::Value {
    let took = |(name, took): (&str, Option<Duration>)| {
        Some((format!("{name}_us"), json!(took?.as_micros() as u64)))
    };
    let times: serde_json::Map<_, _> = legs_of(&ended.legs).into_iter().filter_map(took).collect();
    let mut value = json!({"schema": 1, "verdict": ended.verdict, "times": times});
    if let Some(hello) = &ended.hello {
        value["miner"] = json!(hello);
    }
    if let Some(challenge) = &ended.challenge {
        value["challenge"] = json!(challenge.token());
    }
    if let Some(receipt) = &ended.receipt {
        value["receipt"] = json!(receipt);
    }
    value
}
