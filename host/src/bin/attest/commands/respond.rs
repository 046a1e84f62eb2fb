//! `attest respond`: answers a validator over standard input and output. Nothing
//! but messages goes to standard output.

use crate::args;
use crate::commands::run::choice;
use crate::outcome::{Done, Result, check_stdout, note};
use crate::signals::Stop;
use anyhow::{Context as _, anyhow};
use attest::error_text::what_happened;
use attest::evidence::present_gpus;
use attest::executor::Executor as _;
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::executor::gpu::NoGpu;
use attest::identity::SigningIdentity;
use attest::live::fault::OwnFault;
use attest::live::limits::Patience;
use attest::live::message::{Device, DeviceKind, VerdictOutcome};
use attest::live::miner::End;
use attest::live::respond::Miner;
use attest::live::tcp::{Listener, Met};
use attest::live::tls;
use attest::protocol::digest::Digest;
use attest::session::devices::DeviceRules;
use attest::session::executors::{Choice, choose_with};
use attest::streams::{TaskStdin, TaskStdout};
use std::net::SocketAddr;
use std::sync::Arc;

/// Answers one session, or all that come.
///
/// # Errors
/// A key that cannot be read, devices that cannot be used, an address that is taken.
pub fn run(args: &args::Respond) -> Result {
    if args.listen.is_none() {
        check_stdout()?;
    }
    let stop = Stop::listen()?;
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

async fn listen(miner: Arc<Miner>, address: &str, allowed: &[Digest], stop: &Stop) -> Result {
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
    let choice = choice(args.executor, args.devices.as_ref())?;
    let identity = args.key.as_deref().map(SigningIdentity::read).transpose()?.map(Arc::new);
    let rules = args.gpus.rules();
    let devices = devices(&choice, &rules)?;
    let executors = move |challenge: &_| {
        choose_with(&choice, &rules, challenge).map_err(|error| OwnFault::of(&error))
    };
    Ok(Miner {
        executors: Arc::new(executors),
        identity,
        devices,
        patience: Patience::default(),
        stop: stop.flag().clone(),
        progress: Arc::new(|_, _| ()),
    })
}

/// What the hello lists.
fn devices(choice: &Choice, rules: &DeviceRules) -> Result<Vec<Device>> {
    if *choice == Choice::Cpu {
        return Ok(vec![cpu()]);
    }
    let listed = present_gpus();
    if listed.as_ref().map_or_else(NoGpu::is_absence, |_| true) {
        rules.check_count(listed.as_ref())?;
    }
    let list = match (choice, listed) {
        (_, Ok(list)) => list,
        (Choice::Auto, Err(no_gpu)) if no_gpu.is_absence() => {
            note(&format!("note: {}: the CPU answers", what_happened(no_gpu)));
            return Ok(vec![cpu()]);
        }
        (_, Err(no_gpu)) => return Err(no_gpu.into()),
    };
    let by_index = matches!(choice, Choice::Gpus(chosen) if !chosen.is_empty());
    if let Some(missing) = list.missing
        && !by_index
    {
        return Err(missing.into());
    }
    let is_chosen = |index: u32| match choice {
        Choice::Gpus(chosen) if !chosen.is_empty() => chosen.contains(&index),
        _ => true,
    };
    let chosen = list.devices.into_iter().filter(|gpu| is_chosen(gpu.index));
    Ok(chosen
        .map(|gpu| Device {
            kind: DeviceKind::Gpu,
            model: gpu.name,
            uuid: Some(gpu.uuid),
            memory_bytes: gpu.memory_bytes,
        })
        .collect())
}

fn cpu() -> Device {
    let executor = CpuExecutor::new(CpuOptions::default());
    let facts = executor.facts();
    Device {
        kind: DeviceKind::Cpu,
        model: facts.model.clone(),
        uuid: None,
        memory_bytes: facts.memory_bytes,
    }
}

/// The end of a session on standard error, and its exit code.
fn told(end: &End) -> Done {
    match end {
        End::Verdict(verdict) => {
            let code = verdict.code.as_deref().unwrap_or_default().escape_debug();
            match verdict.outcome {
                VerdictOutcome::Verified => {
                    note("the validator says: verified");
                    Done::Ok
                }
                VerdictOutcome::Rejected => {
                    note(&format!("the validator says: rejected ({code})"));
                    if let Some(detail) = &verdict.detail {
                        detail.lines().for_each(|line| note(&format!("  {}", line.escape_debug())));
                    }
                    Done::Rejected
                }
                VerdictOutcome::CouldNotRun => {
                    note("the validator says: it could not run");
                    Done::CouldNotRun
                }
            }
        }
        End::Fault(fault) => {
            note(&format!("session ended: {fault}"));
            Done::CouldNotRun
        }
        End::Own(own) => {
            note(&format!("session ended: {own}"));
            Done::CouldNotRun
        }
    }
}
