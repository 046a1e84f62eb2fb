//! `attest respond`: answers a validator over standard input and output. Nothing
//! but messages goes to standard output.

use crate::args;
use crate::commands::run::choice;
use crate::outcome::{Done, Result, check_stdout, note};
use crate::paint::{self, duration};
use crate::signals::Stop;
use anyhow::{Context as _, anyhow, bail};
use attest::error_text::what_happened;
use attest::identity::SigningIdentity;
use attest::mining::executors::Choice;
use attest::mining::pool::Pool;
use attest::protocol::signature::PublicKey;
use attest::protocol::work::Unit;
use attest::session::message::{VerdictMessage, VerdictOutcome};
use attest::session::miner::{End, SESSION_DEFAULT};
use attest::session::respond::Miner;
use attest::session::tcp::{Listener, Met};
use attest::session::tls;
use attest::streams::{TaskStdin, TaskStdout};
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Answers one session, or all that come.
///
/// # Errors
/// A key that cannot be read, devices that cannot be used, an address that is taken.
pub fn run(args: &args::Respond) -> Result {
    if args.listen.is_none() {
        check_stdout()?;
    }
    let stop = Stop::listen()?;
    if args.listen.is_none() && std::io::stdin().is_terminal() {
        bail!(
            "standard input is a terminal, which says back what it gets and cuts lines\n\
             A validator starts this command: `attest validate -- ssh HOST attest respond` (ssh \
             without -t). To wait for validators, give --listen."
        );
    }
    let miner = miner(args, &stop)?;
    let runtime = super::runtime()?;
    let done = match &args.listen {
        Some(address) => runtime.block_on(listen(Arc::new(miner), address, &args.allowed, &stop)),
        None => {
            let (stdin, stdout) = (TaskStdin::default(), TaskStdout::default());
            let end = runtime.block_on(miner.respond(stdin, stdout));
            Ok(told(&end))
        }
    };
    // Reading standard input cannot be called off.
    runtime.shutdown_background();
    stop.exit_code().map_or(done, |code| Ok(Done::Stopped(code)))
}

async fn listen(miner: Arc<Miner>, address: &str, allowed: &[PublicKey], stop: &Stop) -> Result {
    let identity = miner.identity.as_ref().context("--listen needs a key\nGive --key.")?;
    let config = tls::server(identity, allowed)?;
    let listener = Listener::bind(miner, address, config).await.map_err(|error| {
        anyhow!("cannot listen on {address}: {error}\nChoose another address with --listen.")
    })?;
    note(&format!("listening on {}", listener.local_addr()?));
    let watch = |address: SocketAddr, met: Met| match met {
        Met::Refused(why) => note(&format!("{address}  refused: {}", why.escape_debug())),
        Met::Busy(_) => note(&format!("{address}  told: busy")),
        Met::Began(Some(key)) => note(&format!("{address}  session with {key}")),
        Met::Began(None) => note(&format!("{address}  session")),
        Met::Ended(end) => {
            told(&end);
        }
    };
    tokio::select! {
        () = listener.serve(Arc::new(watch)) => Ok(Done::CouldNotRun),
        () = super::stopped(stop) => Ok(Done::Ok),
    }
}

fn miner(args: &args::Respond, stop: &Stop) -> Result<Miner> {
    let choice = choice(args.answering.executor, args.answering.devices.as_ref())?;
    let identity = args.key.as_deref().map(SigningIdentity::read).transpose()?.map(Arc::new);
    let begun = Instant::now();
    let pool = warm(&choice, args.answering.gpus)?;
    for (facts, rate) in pool.ready()?.iter().zip(pool.rates()) {
        let rate = paint::rate(rate, Unit::Flop, Duration::from_secs(1));
        note(&format!("  {} ({}): {rate}", facts.model, facts.uuid));
    }
    note(&format!("ready after {}", duration(begun.elapsed())));
    Ok(Miner {
        identity,
        session_max: args.max_session.unwrap_or(SESSION_DEFAULT),
        stop: stop.flag().clone(),
        ..Miner::new(Arc::new(pool))
    })
}

/// The devices that answer, ready.
pub(super) fn warm(choice: &Choice, gpus: args::Gpus) -> anyhow::Result<Pool> {
    note("warming up: opening devices, checking and measuring them");
    let pool = Pool::warm(choice, &gpus.rules())?;
    if let Some(no_gpu) = pool.no_gpu() {
        note(&format!("note: {}: the CPU answers", what_happened(no_gpu)));
    }
    Ok(pool)
}

/// A validator's verdict in a line.
pub(super) fn said(verdict: &VerdictMessage) -> String {
    let code = verdict.code.as_deref().unwrap_or_default().escape_debug();
    match verdict.outcome {
        VerdictOutcome::Verified => "the validator says: verified".to_owned(),
        VerdictOutcome::Rejected => format!("the validator says: rejected ({code})"),
        VerdictOutcome::CouldNotRun => "the validator says: it could not run".to_owned(),
    }
}

/// The end of a session on standard error, and its exit code.
fn told(end: &End) -> Done {
    match end {
        End::Verdict(verdict) => {
            note(&said(verdict));
            match verdict.outcome {
                VerdictOutcome::Verified => Done::Ok,
                VerdictOutcome::Rejected => {
                    if let Some(detail) = &verdict.detail {
                        detail.lines().for_each(|line| note(&format!("  {}", line.escape_debug())));
                    }
                    Done::Rejected
                }
                VerdictOutcome::CouldNotRun => Done::CouldNotRun,
            }
        }
        End::Fault(fault) => {
            note(&format!("session ended: {fault}"));
            Done::CouldNotRun
        }
        End::Refused(refusal) => {
            note(&format!("session ended: {refusal}"));
            Done::CouldNotRun
        }
        End::Own(own) => {
            note(&format!("session ended: {own}"));
            Done::CouldNotRun
        }
    }
}
