//! All sessions of the command, held at once, each told of as soon as it is over.
//!
//! Guarantees: a session that does not end keeps no other's verdict back; at the
//! deadline and at a signal what is out is settled, within [`SETTLING`].

use super::show;
use crate::args;
use crate::outcome::Result;
use crate::printer::Pen;
use crate::signals::Stop;
use anyhow::{Context as _, anyhow, bail};
use attest::protocol::quantity::counted;
use attest::session::command::{self, Answers, CommandLine};
use attest::session::drive::{Stage, Validator};
use attest::session::fault::FaultCode;
use attest::session::validator::Ended;
use attest::session::{tcp, tls};
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// How long sessions may take to be settled once they are to end.
pub(super) const SETTLING: Duration = Duration::from_secs(30);

/// A session that is over.
pub(super) struct Over {
    /// With whom, if by TCP.
    pub(super) address: Option<String>,
    pub(super) ended: Ended,
}

/// Holds the session over a command, or those with all miners that were named, and
/// tells `each` of every end.
///
/// # Errors
/// A command that does not start, no TLS, sessions that did not end.
pub(super) async fn hold(
    validator: &Arc<Validator>,
    args: &args::Validate,
    stop: &Stop,
    pen: Pen,
    mut each: impl FnMut(&Over),
) -> Result<()> {
    let mut held = begin(validator, args, pen)?;
    // The end of time for sessions without a deadline, and then for their settlement.
    let mut until = args.deadline.map(|deadline| Instant::now() + deadline);
    let mut is_ending = false;
    loop {
        let why = tokio::select! {
            over = held.join_next() => match over {
                None => return Ok(()),
                Some(over) => {
                    each(&over.context("a session failed\nReport this.")??);
                    continue;
                }
            },
            () = crate::commands::stopped(stop), if !is_ending => {
                "a signal came".to_owned()
            }
            () = at(until) => match args.deadline {
                Some(deadline) if !is_ending => {
                    format!("the deadline of {deadline:?} has passed")
                }
                _ => {
                    let left = held.len();
                    held.abort_all();
                    return Err(anyhow!(
                        "{} could not be settled in {SETTLING:?}\n\
                         Check the ledger; what is not settled there stays open until it expires.",
                        counted(left as u64, "session")
                    ));
                }
            },
        };
        is_ending = true;
        until = Some(Instant::now() + SETTLING);
        validator.interrupt(&why);
    }
}

async fn at(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// A line about one of several sessions.
pub(super) fn named(name: &str, line: &str) -> String {
    if name.is_empty() { line.to_owned() } else { format!("{name}  {line}") }
}

fn begin(
    validator: &Arc<Validator>,
    args: &args::Validate,
    pen: Pen,
) -> Result<JoinSet<Result<Over>>> {
    let mut held = JoinSet::new();
    if args.tcp.is_empty() {
        let command = match args.command.split_first() {
            Some((program, arguments)) => CommandLine {
                program: program.clone(),
                arguments: arguments.to_vec(),
                answers: Answers::Miner,
            },
            None => CommandLine {
                program: local_program()?,
                arguments: vec!["respond".into()],
                answers: Answers::Own,
            },
        };
        held.spawn(over_command(Arc::clone(validator), command, pen));
        return Ok(held);
    }
    let identity = validator.identity.as_ref().context("--tcp needs a key\nGive --key.")?;
    let config = tls::client(identity, &args.peers)?;
    let several = args.tcp.len() > 1;
    for address in args.tcp.iter().cloned() {
        let (validator, config) = (Arc::clone(validator), Arc::clone(&config));
        let pen = pen.clone();
        held.spawn(async move {
            let name = if several { &*address } else { "" };
            let steps = show::Steps::default();
            let watch = |stage: Stage<'_>| pen.note(named(name, &steps.line(&stage)));
            let ended = tcp::validate(&validator, &address, &config, &watch).await;
            Ok(Over { address: Some(address), ended })
        });
    }
    Ok(held)
}

/// A session with the miner that the command reaches.
async fn over_command(validator: Arc<Validator>, command: CommandLine, pen: Pen) -> Result<Over> {
    let teller = pen.clone();
    let say = move |line: &str| teller.note(format!("stderr      {line}"));
    let steps = show::Steps::default();
    let watch = |stage: Stage<'_>| pen.note(steps.line(&stage));
    let (ended, exit) = command::validate(&validator, &command, say, &watch).await?;
    // Without a hello the verdict says so.
    let closed_early = ended.verdict.code == Some(FaultCode::ClosedEarly.code());
    if let Some(exit) = exit.filter(|_| closed_early && ended.hello.is_some()) {
        pen.note(format!("command     ended with {exit}"));
    }
    Ok(Over { address: None, ended })
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
