//! `attest run`: executes a challenge. The result goes to standard output or a
//! file, everything else to standard error.

use super::run_timing;
use crate::args;
use crate::outcome::{Delivery, Done, Result, check_stdout, deliver, note};
use crate::paint::{duration, rate};
use crate::signals::Stop;
use crate::{input, progress};
use anyhow::bail;
use attest::error_text::what_happened;
use attest::evidence::{MachineOptions, MeasureBandwidth};
use attest::executor::lanes::{RunError, RunOptions};
use attest::files;
use attest::identity::SigningIdentity;
use attest::mining::checkpoint::{self, CheckpointOptions};
use attest::mining::executors::{Choice, Chosen, choose_again};
use attest::mining::mine::{Expiry, MineError, MineOptions, Mined, mine, signer};
use attest::protocol::challenge::Challenge;
use attest::protocol::quantity::counted;
use attest::protocol::work::Cost;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

/// Executes the challenge.
///
/// # Errors
/// Everything that keeps a result from being made or written.
pub fn run(args: &args::Run) -> Result {
    let stop = Stop::listen()?;
    input::Inputs::default()
        .and_text("--challenge", Some(&args.challenge))
        .and_file("--key", args.key.as_deref())
        .check(&[("--checkpoint", args.checkpoint.as_ref()), ("--out", args.out.as_ref())])?;
    let identity = args.key.as_deref().map(SigningIdentity::read).transpose()?;
    let challenge = input::challenge(&args.challenge)?;
    if args.checkpoint.is_some() {
        checkpoint::check_kind(challenge.work())?;
    }
    // Known before any device is looked for.
    let signs = signer(&challenge, identity.as_ref())?.is_some();
    if identity.is_some() && !signs {
        note("note: the challenge names no miner, so the result is not signed");
    }
    // Hours of work are not to end at a folder or a stream that isn't there.
    match &args.out {
        Some(path) => files::check_writable(path)?,
        None => check_stdout()?,
    }
    let before = args.checkpoint.as_deref().map(checkpoint::uuids).transpose()?.flatten();
    let choice = choice(args.executor, args.devices.as_ref())?;
    let Chosen { executors, no_gpu, notes } =
        choose_again(&choice, &args.gpus.rules(), &challenge, before.as_deref())?;
    if let Some(no_gpu) = no_gpu {
        note(&format!("note: {}: executing on the CPU", what_happened(no_gpu)));
    }
    let checkpoint = args.checkpoint.clone().map(|file| CheckpointOptions {
        file,
        interval: Duration::from_secs(args.checkpoint_every.into()),
    });
    let options = MineOptions {
        expiry: Expiry::OwnClock,
        run: RunOptions { stop: stop.flag().clone(), ..RunOptions::default() },
        identity: identity.as_ref(),
        checkpoint,
        notes,
        machine: MachineOptions {
            bandwidth: if args.measure { MeasureBandwidth::First } else { MeasureBandwidth::No },
            ..MachineOptions::default()
        },
    };
    let bar = progress::bar("executing", total(&challenge, executors.len()));
    let mined = mine(&challenge, executors, &options, &|done| bar.set_position(sum(done)));
    bar.finish_and_clear();
    let kept = |file: &PathBuf| {
        note(&format!("{} is kept: the same command goes on from there", files::shown_path(file)));
    };
    if let (Err(MineError::Run(_)), Some(file)) = (&mined, &args.checkpoint) {
        kept(file);
    }
    let mined = match (mined, stop.exit_code()) {
        (_, Some(code)) => return Ok(Done::Stopped(code)),
        (Err(MineError::Run(RunError::Stopped { .. })), None) => return Ok(Done::CouldNotRun),
        (mined, None) => mined?,
    };
    summarise(&challenge, &mined, args.verbose);
    let json = mined.result.to_json();
    let delivery = match &args.out {
        Some(path) => {
            files::write_atomically(path, &json).map(|()| Delivery::Written).map_err(Into::into)
        }
        None => deliver(&format!("{json}\n")),
    };
    // Only now: until here a kill costs nothing but the openings.
    match (&delivery, &args.checkpoint) {
        (Ok(Delivery::Written), Some(file)) => checkpoint::remove(file)?,
        (Ok(Delivery::NoReader), Some(file)) => {
            note("nobody reads standard output any more, and the result went nowhere");
            kept(file);
        }
        (Err(_), Some(file)) => kept(file),
        (_, None) => {}
    }
    delivery.map(|_| Done::Ok)
}

/// For whoever watches; nothing in a pipe, unless it was asked for.
fn summarise(challenge: &Challenge, mined: &Mined, verbose: bool) {
    if verbose || std::io::stderr().is_terminal() {
        let iterations = total(challenge, mined.lanes.len());
        let Cost { amount, unit } = challenge.work().cost();
        let amount = amount as f64 * iterations as f64;
        let (elapsed, lanes) = (mined.executed_in, counted(mined.lanes.len() as u64, "lane"));
        let (speed, elapsed) = (rate(amount, unit, elapsed), duration(elapsed));
        let commitment = mined.result.commitment;
        note(&format!("executed on {lanes} in {elapsed} ({speed}): {commitment}"));
        note(&run_timing::text(mined));
    }
}

/// What was asked for with --executor and --devices.
///
/// # Errors
/// Devices for a CPU.
pub fn choice(executor: args::Executor, devices: Option<&Vec<u32>>) -> Result<Choice> {
    Ok(match (executor, devices) {
        (args::Executor::Cpu, Some(_)) => {
            bail!("--devices names GPUs and --executor cpu uses none\nLeave one of them out.")
        }
        (args::Executor::Cpu, None) => Choice::Cpu,
        (args::Executor::Auto, None) => Choice::Auto,
        (_, devices) => Choice::Gpus(devices.cloned().unwrap_or_default()),
    })
}

fn total(challenge: &Challenge, lanes: usize) -> u64 {
    u64::from(challenge.iterations()) * lanes as u64
}

fn sum(done: &[u32]) -> u64 {
    done.iter().map(|&iterations| u64::from(iterations)).sum()
}
