//! `attest run`: executes a challenge. The result goes to standard output or a
//! file, everything else to standard error.

use crate::args;
use crate::outcome::{Done, Result, note, print};
use crate::paint::{duration, flops};
use crate::signals::Stop;
use crate::{input, progress};
use anyhow::bail;
use attest::evidence::{MachineOptions, MeasureBandwidth};
use attest::executor::lanes::{RunError, RunOptions};
use attest::identity::SigningIdentity;
use attest::protocol::challenge::Challenge;
use attest::session::executors::{Choice, Chosen, choose_with};
use attest::session::files;
use attest::session::mine::{MineError, MineOptions, Mined, mine, signer};
use std::io::IsTerminal as _;

/// Executes the challenge.
///
/// # Errors
/// Everything that keeps a result from being made or written.
pub fn run(args: &args::Run) -> Result {
    let stop = Stop::listen()?;
    let identity = args.key.as_deref().map(SigningIdentity::read).transpose()?;
    let challenge = input::challenge(&args.challenge)?;
    // Known before any device is looked for.
    let signs = signer(&challenge, identity.as_ref())?.is_some();
    if identity.is_some() && !signs {
        note("note: the challenge names no miner, so the result is not signed");
    }
    // Hours of work are not to end at a folder that isn't there.
    args.out.as_deref().map(files::check_writable).transpose()?;
    let choice = choice(args.executor, args.devices.as_ref())?;
    let Chosen { executors, no_gpu } = choose_with(&choice, &args.gpus.rules(), &challenge)?;
    if let Some(no_gpu) = no_gpu {
        let text = no_gpu.to_string();
        note(&format!("note: {}: executing on the CPU", text.lines().next().unwrap_or_default()));
    }
    let options = MineOptions {
        run: RunOptions { stop: stop.flag().clone(), ..RunOptions::default() },
        identity: identity.as_ref(),
        machine: MachineOptions {
            bandwidth: if args.measure { MeasureBandwidth::First } else { MeasureBandwidth::No },
            ..MachineOptions::default()
        },
    };
    let bar = progress::bar("executing", total(&challenge, executors.len()));
    let mined = mine(&challenge, executors, &options, &|done| bar.set_position(sum(done)));
    bar.finish_and_clear();
    let mined = match (mined, stop.exit_code()) {
        (_, Some(code)) => return Ok(Done::Stopped(code)),
        (Err(MineError::Run(RunError::Stopped { .. })), None) => return Ok(Done::CouldNotRun),
        (mined, None) => mined?,
    };
    summarise(&challenge, &mined);
    let json = mined.result.to_json();
    match &args.out {
        Some(path) => files::write_atomically(path, &json)?,
        None => print(&format!("{json}\n"))?,
    }
    Ok(Done::Ok)
}

/// One line for whoever watches; nothing in a pipe.
fn summarise(challenge: &Challenge, mined: &Mined) {
    if std::io::stderr().is_terminal() {
        let iterations = total(challenge, mined.lanes.len());
        let operations = 2.0 * challenge.shape().multiply_adds() as f64 * iterations as f64;
        let (elapsed, lanes) = (mined.executed_in, mined.lanes.len());
        let (rate, elapsed) = (flops(operations, elapsed), duration(elapsed));
        let commitment = mined.result.commitment;
        note(&format!("executed on {lanes} lane(s) in {elapsed} ({rate}): {commitment}"));
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
